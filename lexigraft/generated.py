"""Files of the project that are generated from others; a test keeps them in step. `lexigraft generate` writes them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from lexigraft.artifacts import write_text
from lexigraft.config import json_schema
from lexigraft.rule_graph import readme_with_graph
from lexigraft.stage_table import stage_page

_GPU_INSTEAD = {"faiss-cpu": "faiss-gpu-cu12==1.14.1.post1"}


def generated_files(root: Path) -> dict[Path, str]:
    """Path and text of every file of the checkout at `root` that is generated as a whole."""
    lock = root / "requirements.lock"
    return {
        root / "config" / "schema.json": json.dumps(json_schema(), indent=2, sort_keys=True) + "\n",
        root / "envs" / "cpu.yaml": conda_environment("lexigraft-cpu", pins(lock)),
        root / "envs" / "gpu.yaml": conda_environment("lexigraft-gpu", pins(lock, _GPU_INSTEAD)),
        root / "docs" / "stages.md": stage_page(root),
    }


def write_generated(root: Path) -> None:
    """Write every generated file of the checkout at `root`, and the picture of its rules into the README."""
    readme = readme_with_graph(root)
    for path, text in generated_files(root).items():
        write_text(path, text)
    write_text(root / "README.md", readme)


def pins(lock: Path, instead: dict[str, str] | None = None) -> list[str]:
    """The pinned requirements of a lock file, some packages replaced by others."""
    lines = [line.split("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    return [(instead or {}).get(line.split("==")[0], line) for line in lines if line]


def conda_environment(name: str, requirements: list[str]) -> str:
    """A conda environment file that installs the requirements with pip."""
    dependencies = ["python=3.11", "pip", {"pip": requirements}]
    content = {"name": name, "channels": ["conda-forge", "nodefaults"], "dependencies": dependencies}
    text: str = yaml.safe_dump(content, sort_keys=False)
    return "# Generated from requirements.lock by `lexigraft generate`.\n" + text
