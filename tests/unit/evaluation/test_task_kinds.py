"""Kinds of task behind their protocol; tests/workflow/test_added_task_kind.py adds one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from process_cases import python
from ranks_cases import run_row, write_ranks

from lexigraft.evaluation.tasks import registry
from lexigraft.workflow.code_digests import import_closure, script_source

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, runpy, sys
from types import SimpleNamespace
job = SimpleNamespace(**json.loads(sys.argv[1]))
runpy.run_path(sys.argv[2], init_globals={"snakemake": job})
print([name for name in ("torch", "transformers", "faiss", "tokenizers") if name in sys.modules])
"""


def test_a_kind_is_named_like_its_module() -> None:
    assert set(registry()) == {"retrieval", "tagging", "language_modeling"}
    for name, kind in registry().items():
        assert get_args(kind.model_fields["kind"].annotation) == (name,)
        assert kind.note


def test_only_files_of_a_kind_know_it() -> None:
    generic = [f"lexigraft.workflow.{name}" for name in ("scored", "external_inputs", "source_limits")]
    generic += ["lexigraft.config.configuration", "lexigraft.cli"]
    for script in ("scores", "significance", "report"):
        generic += script_source(ROOT / "workflow_scripts" / f"{script}.py").modules
    closure = import_closure(generic)
    assert not {kind.__module__ for kind in registry().values()} & closure
    files = [ROOT / f"{name.replace('.', '/')}.py" for name in closure]
    for path in [*filter(Path.is_file, files), *(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile"]:
        assert not re.findall(rf"[\"'](?:{'|'.join(registry())})[\"']", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("stage", ["scores", "significance"])
def test_the_stage_loads_no_library_for_models(stage: str, tmp_path: Path) -> None:
    ranks = write_ranks(tmp_path / "ranks.parquet", {"tur_Latn": [1, 2, None]})
    rows, tasks = [run_row("ofa-s-8", task="a")], {"a": {"kind": "retrieval", "corpus": "c"}}
    outputs = {"scores": ["scores"], "significance": ["intervals", "comparisons"]}[stage]
    job = {
        "input": {"results": [str(ranks)]},
        "output": {name: str(tmp_path / f"{name}.parquet") for name in outputs},
        "params": {"rows": rows, "files_per_row": [1], "tasks": tasks, "seed": 1},
        "log": [str(tmp_path / "log")],
        "threads": 1,
    }
    done = python(SCRIPT, json.dumps(job), ROOT / "workflow_scripts" / f"{stage}.py")
    assert done.stdout == "[]\n"
    assert all((tmp_path / f"{name}.parquet").is_file() for name in outputs)
