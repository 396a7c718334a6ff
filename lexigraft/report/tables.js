// Tables of the page: sorted by a click on a head, filtered by words, saved as CSV and LaTeX.

function save(name, address) {
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// what a cell says, without the small print: [text, small prints, what these are]
function cellParts(cell) {
  const copy = cell.cloneNode(true);
  const prints = [...copy.querySelectorAll("small")];
  const small = prints.map((part) => part.textContent.trim());
  const kinds = prints.map((part) => part.className || "interval");
  copy.querySelectorAll("small, sup, button").forEach((part) => part.remove());
  return [copy.textContent.trim().replace(/\s+/g, " "), small, kinds];
}

// the heads of the columns: those that span rows or columns are repeated, and read from above
function columnHeads(table) {
  const rows = [...table.tHead.rows];
  const grid = rows.map(() => []);
  rows.forEach((row, at) => {
    let column = 0;
    for (const cell of row.cells) {
      while (grid[at][column]) column += 1;
      for (let down = 0; down < cell.rowSpan; down += 1)
        for (let across = 0; across < cell.colSpan; across += 1) grid[at + down][column + across] = cell;
    }
  });
  return grid[grid.length - 1].map((cell, column) => ({
    cell,
    text: [...new Set(grid.map((row) => row[column]))].map((one) => cellParts(one)[0]).filter(Boolean).join(" "),
  }));
}

const bodyRows = (table) => [...table.tBodies].flatMap((body) => [...body.rows]);
const numberOf = (text) => {
  const plain = text.replace(/,/g, "").replace("−", "-").replace(/^[+<] ?/, "").replace("%", "").trim();
  return plain === "" ? NaN : Number(plain);
};

function sortBy(table, column, head) {
  const falling = head.getAttribute("aria-sort") !== "descending";
  table.querySelectorAll("thead [aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].map((row) => {
      const text = cellParts(row.cells[column])[0];
      return { row, text, number: numberOf(text) };
    });
    const numbers = rows.some(({ number }) => !Number.isNaN(number));
    rows.sort((one, other) => {
      // what has no score comes last, however it is sorted
      if (numbers && (Number.isNaN(one.number) || Number.isNaN(other.number)))
        return Number.isNaN(one.number) - Number.isNaN(other.number);
      const order = numbers ? other.number - one.number : other.text.localeCompare(one.text);
      return falling ? order : -order;
    });
    body.append(...rows.map(({ row }) => row));
  }
}

function asCsv(table) {
  const rows = bodyRows(table).filter((row) => !row.hidden).map((row) => [...row.cells].map(cellParts));
  const kindsOf = (column) => [...new Set(rows.flatMap((row) => (row[column] || ["", [], []])[2]))];
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const heads = columnHeads(table).flatMap(({ text }, column) => [
    text,
    ...kindsOf(column).map((kind) => `${text} (${kind})`),
  ]);
  const lines = rows.map((row) =>
    row.flatMap(([text, small, kinds], column) => [text, ...kindsOf(column).map((kind) => small[kinds.indexOf(kind)] || "")]),
  );
  return [heads, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
}

const LATEX = { "\\": "\\textbackslash{}", "−": "$-$", "–": "--", "†": "$^\\dagger$", "′": "$'$", "…": "\\dots{}", "<": "$<$", ">": "$>$" };
const latexText = (text) => text.replace(/[\\&%$#_{}−–†′…<>]/g, (character) => LATEX[character] || `\\${character}`);

function asLatex(table) {
  const heads = columnHeads(table);
  const marks = (cell) => (cell.querySelector("sup") ? "$^\\dagger$" : "");
  const lines = [...table.tBodies].map((body) =>
    [...body.rows]
      .filter((row) => !row.hidden)
      .map((row) =>
        [...row.cells]
          .map((cell) => {
            const [text, small] = cellParts(cell);
            const said = cell.classList.contains("best") ? `\\textbf{${latexText(text)}}` : latexText(text);
            return `${said}${marks(cell)}${small.length ? ` {\\scriptsize ${latexText(small.join("; "))}}` : ""}`;
          })
          .join(" & ")
          .concat(" \\\\"),
      )
      .join("\n"),
  );
  const head = heads.map(({ text }) => latexText(text)).join(" & ");
  const columns = heads.map(({ cell }, place) => (place === 0 || cell.classList.contains("text") ? "l" : "r")).join("");
  return `% needs the package booktabs\n\\begin{tabular}{${columns}}\n\\toprule\n${head} \\\\\n\\midrule\n${lines
    .filter(Boolean)
    .join("\n\\midrule\n")}\n\\bottomrule\n\\end{tabular}\n`;
}

function addTools(table, place) {
  const name = table.dataset.name || `table-${place + 1}`;
  const bar = Object.assign(document.createElement("div"), { className: "tools" });
  if (bodyRows(table).length > 9) {
    const filter = Object.assign(document.createElement("input"), { type: "search", placeholder: "filter rows" });
    filter.setAttribute("aria-label", "filter rows");
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of bodyRows(table)) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    bar.append(filter);
  }
  for (const [kind, write, type] of [["CSV", asCsv, "text/csv"], ["LaTeX", asLatex, "application/x-tex"]]) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind });
    button.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([write(table)], { type: `${type};charset=utf-8` }));
      save(`${name}.${kind === "CSV" ? "csv" : "tex"}`, address);
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
    bar.append(button);
  }
  (table.closest(".scroll") || table).before(bar);
  if (bodyRows(table).length < 2) return;
  columnHeads(table).forEach(({ cell }, column) => {
    cell.classList.add("sorts");
    cell.tabIndex = 0;
    cell.addEventListener("click", () => sortBy(table, column, cell));
    cell.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sortBy(table, column, cell);
    });
  });
}
