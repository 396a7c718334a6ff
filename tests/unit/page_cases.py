"""A reader of the report's page, and the real browser that opens it."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=600000"),
]


def page_of(report: Path) -> Page:
    """A report, read."""
    return Page(report.read_text(encoding="utf-8"))


def console(report: Path, folder: Path) -> tuple[list[str], str]:
    """What a browser writes to its console about a page, and the page as it stands then."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1200,4000"]
    result = subprocess.run([*command, "--dump-dom", report.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    shutil.rmtree(folder / "profile", ignore_errors=True)
    return [line for line in result.stderr.splitlines() if "CONSOLE" in line], result.stdout


class Page(HTMLParser):
    """Tables as lists of rows of cell texts, by section; scripts by id; every src and href; ids and classes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.section, self.cell, self.data = "", False, ""
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.bold: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        self.addresses += [str(found[name]) for name in ("src", "href") if name in found]
        if tag == "section":
            self.section = str(found["id"])
            self.tables[self.section] = []
            self.bold[self.section] = []
            self.texts[self.section] = ""
        elif tag == "table":
            self.tables[self.section].append([])
        elif tag == "tr":
            self.tables[self.section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")
            self.cell = True
            self.best = "best" in str(found.get("class"))
        elif tag in ("small", "br") and self.cell:
            self.tables[self.section][-1][-1][-1] += " "
        elif tag == "script":
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.cell = False
            if self.best:
                self.bold[self.section].append(self.tables[self.section][-1][-1][-1])

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.tables[self.section][-1][-1][-1] += data.strip()
        elif self.section and self.scripts == []:
            self.texts[self.section] += data
        if self.scripts and self.elements[-1][0] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def inline_values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of the data of a specification."""
    return [row for rows in spec["datasets"].values() for row in rows]
