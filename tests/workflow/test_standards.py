"""Snakemake's own report and graph of the workflow, and the modules that stages really load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from lexigraft.evaluation.tasks import registry as task_kinds
from lexigraft.initializers import registry
from lexigraft.pretraining.objectives import registry as objectives
from lexigraft.workflow.code_digests import data_files, import_closure, script_source
from tests.checkout import ROOT, Checkout, edit
from tools.rule_graph import direct, mermaid, readme_with_graph, rule_graph
from tools.stage_table import rules_of_scripts

SCRIPTS = ROOT / "workflow_scripts"


def test_digests_cover_everything_that_stages_load(finished: Checkout) -> None:
    loaded: dict[str, set[str]] = {}
    opened: dict[str, set[str]] = {}
    for path in finished.records.glob("*.json"):
        record = json.loads(path.read_text())
        script = Path(record["arguments"][0]).name.partition(".")[2]
        if (SCRIPTS / script).is_file():
            loaded.setdefault(script, set()).update(record["modules"])
            opened.setdefault(script, set()).update(Path(file).name for file in record["files"])
    assert len(loaded) == 16  # all stages of the small run
    assert opened["report.py"] >= {"template.html", "style.css", "page.js", "languages.tsv"}
    assert "lexigraft.hypernetwork.losses" in loaded["hypernetwork.py"]
    # a registry loads all of its modules, to find one by its name; the rule adds the module of that one
    methods = [method.__module__ for method in registry().values()]
    networks = [f"lexigraft.hypernetwork.networks.{kind}" for kind in ("bilstm", "mlp", "setformer")]
    tasks = [f"lexigraft.evaluation.tasks.{kind}" for kind in task_kinds()]
    registries = {"token_map.py": methods, "initialized_model.py": methods + networks, "hypernetwork.py": networks}
    registries |= {"pretraining.py": [objective.__module__ for objective in objectives().values()]}
    registries |= dict.fromkeys(("scores.py", "significance.py"), tasks)
    packages = (ROOT / "lexigraft").rglob("__init__.py")
    empty = {".".join(path.parent.relative_to(ROOT).parts) for path in packages if not path.stat().st_size}
    for script, modules in loaded.items():
        source = script_source(SCRIPTS / script)
        covered = import_closure([*source.modules, *registries.get(script, [])]) | {"lexigraft"}
        assert modules - covered - empty == set(), script
        data = {path.name for path in data_files(SCRIPTS / script)}
        assert opened[script] - data == set(), script


def test_the_graph_in_the_readme_is_up_to_date(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    shutil.copy(ROOT / "README.md", tmp_path)
    readme = (ROOT / "README.md").read_text()
    edges = rule_graph(tmp_path)
    assert f"```mermaid\n{mermaid(direct(edges))}```" in readme, "README.md is out of date: run `make generated`"
    assert "  corpus --> factors\n" not in readme
    # no kind of evidence of this project is made by the rule `evidence`
    rules = {rule for rules in rules_of_scripts(ROOT).values() for rule in rules} - {"evidence"}
    assert {rule for edge in edges for rule in edge} == rules
    assert ("source", "factors") in edges
    # an added input changes the graph
    weights = "weights=rules.source.output.weights,\n"
    more = f'{weights}        more="<resources>/corpora/bible/counts.parquet",\n'
    edit(checkout.folder / "rules/factors.smk", weights, more)
    assert "  corpus --> factors\n" in readme_with_graph(tmp_path)


def test_indirect_edges_are_removed_from_the_graph() -> None:
    chain = {("a", "b"), ("b", "c"), ("c", "d")}
    assert direct(chain | {("a", "c"), ("a", "d"), ("x", "d")}) == chain | {("x", "d")}
    assert mermaid({("b", "c"), ("a", "b")}) == "flowchart LR\n  a --> b\n  b --> c\n"


def test_snakemakes_report_has_captions_and_categories_and_needs_no_network(finished: Checkout, tmp_path: Path) -> None:
    done = offline(finished, "all", "--report", str(tmp_path / "report.zip"))
    assert done.returncode == 0, done.stdout + done.stderr
    with ZipFile(tmp_path / "report.zip") as archive:
        page = archive.read("report/report.html").decode()
        files = {Path(name).name: archive.read(name) for name in archive.namelist() if not name.endswith("report/report.html")}
    for category in ("Report", "Scores", "Initialization", "Hypernetworks", "Continual pre-training"):
        assert f'"{category}"' in page, category
    for caption in (
        "Scores of all models of the run before and after",  # the page's own
        "a row for every model, step, task, language and metric",
        "interval of every score in every language",
        "Paired tests of every two methods",
        "How the tokens of all models were made",
        "Model card of ofa-minilm-32 as initialized",
        "Losses of the hypernetwork tiny for minilm",
        "predict the rows of held-out tokens of",
        "Training loss and learning rates of graft-minilm-32",
        "Loss of random-minilm-32 on held-out text",
        "lexigraft gave a pretrained language model a vocabulary",
    ):
        assert caption in page.replace("\\n", " "), caption
    results = finished.folder / "results/mini"
    for name in ("report.html", "scores.parquet", "intervals.parquet", "comparisons.parquet", "token_origins.parquet"):
        assert files[name] == (results / name).read_bytes()
    # the page fetches nothing when it is opened: its libraries are embedded
    assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page)


def offline(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a process that cannot open connections."""
    wall = "import socket; socket.socket.connect = lambda *_: (_ for _ in ()).throw(OSError('no network in this test'))"
    start = "import sys; from snakemake.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", f"{wall}\n{start}", *arguments, "--configfile", "mini.yaml"]
    return subprocess.run(command, cwd=checkout.folder, capture_output=True, text=True, check=False)
