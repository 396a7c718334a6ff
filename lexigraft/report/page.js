// Draws every chart of the page; nothing is loaded. What is large is drawn when it comes into sight.
(async () => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const LARGE = 2000;

  const button = (text, action) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    made.addEventListener("click", action);
    return made;
  };

  // cells of a heat map: languages x models, as rows
  const cellsOf = ({ languages, models, n, score, digits }) =>
    languages.flatMap((language, row) =>
      models.flatMap((model, column) =>
        score[row][column] === null
          ? []
          : [{ model, language, n: n[row], score: score[row][column], label: score[row][column].toFixed(digits) }],
      ),
    );

  // points of one language's curves
  const pointsOf = (series, name) =>
    series.flatMap(({ model, step, tokens, loss }) =>
      (loss[name] || []).map((value, place) => ({ model, step: step[place], tokens: tokens[place], loss: value })),
    );

  const draw = async (place) => {
    const id = place.dataset.chart;
    const spec = structuredClone(specs[id]);
    const { letters, matrix, x, choice } = spec.usermeta;
    const width = place.clientWidth || 600;
    // a legend as wide as its chart: Vega-Lite does not wrap legends by itself
    spec.config.legend.columns = Math.max(1, Math.floor((width - 40) / (letters * 6.2 + 32)));
    if (place.closest(".wide")) spec.height *= Math.min(1, width / 480); // maps keep their shape on a phone
    if (matrix) spec.datasets.data = cellsOf(matrix);
    if (choice && place.dataset.choice) spec.datasets.data = pointsOf(choice.series, place.dataset.choice);
    if (x && place.dataset.x) Object.assign(spec.encoding.x, { field: place.dataset.x, title: x[place.dataset.x] });
    const size = (spec.datasets.data || []).length;
    const { view } = await vegaEmbed(place, spec, {
      mode: "vega-lite",
      renderer: matrix && size > LARGE ? "canvas" : "svg",
      actions: false,
    });
    place.view = view;
    place.classList.add("drawn");
  };

  // what is below a chart: other axes, other languages, the picture as a file
  const addControls = (place) => {
    const { x, choice } = specs[place.dataset.chart].usermeta;
    const bar = Object.assign(document.createElement("div"), { className: "tools" });
    if (choice) {
      const select = document.createElement("select");
      select.setAttribute("aria-label", "language");
      select.append(...choice.names.map((name) => new Option(name, name)));
      select.addEventListener("change", () => {
        place.dataset.choice = select.value;
        draw(place);
      });
      bar.append(select);
    }
    for (const [field, title] of Object.entries(x || {}))
      bar.append(
        button(`by ${title}`, () => {
          place.dataset.x = field;
          draw(place);
        }),
      );
    for (const kind of ["svg", "png"])
      bar.append(
        button(kind.toUpperCase(), async () => {
          if (!place.view) await draw(place);
          save(`${place.dataset.chart}.${kind}`, await place.view.toImageURL(kind, kind === "png" ? 2 : 1));
        }),
      );
    place.after(bar);
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((item) => item.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("main table").forEach(addTools);
  for (const place of document.querySelectorAll("[data-chart]")) {
    addControls(place);
    const { matrix } = specs[place.dataset.chart].usermeta;
    if (matrix) {
      place.style.minHeight = `${specs[place.dataset.chart].height}px`;
      seen.observe(place);
    } else await draw(place);
  }
})();
