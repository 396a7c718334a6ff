"""What the workflow costs beside its stages: reading the rules, planning, doing nothing, starting jobs.

Plans are dry runs in an empty folder, so that no input has to be there. Jobs are those of the demo with adapters that write
empty files. Every measurement is a Snakemake of its own, from its start to its end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import yaml

from benchmarks.harness import Arrays, Case, benchmark

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow_scripts", "lexigraft", "config", "envs", "profiles", "docs", "requirements.lock")
EMPTY = """from pathlib import Path

for file in [*snakemake.output, *snakemake.log]:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).touch()
"""


@benchmark("parsing the workflow (paper)", limit=2.0)
def parsing(_: float) -> Case:
    folder = checkout()
    return Case(lambda: _ran(snakemake(folder, "config/paper.yaml", "-n", "--list-rules")))


@benchmark("planning the demo", limit=5.0)
def planning_the_demo(_: float) -> Case:
    return _plan("config/config.yaml", 1)


@benchmark("planning the paper", limit=10.0)
def planning_the_paper(_: float) -> Case:
    return _plan("config/paper.yaml", 1)


@benchmark("planning the paper with ten times its languages", limit=60.0)
def planning_ten_times_the_languages(fraction: float) -> Case:
    return _plan("config/paper.yaml", max(1, round(10 * fraction)))


@benchmark("a finished demo run again: nothing to be done", limit=5.0)
def nothing_to_do(_: float) -> Case:
    folder = checkout(empty=True)
    snakemake(folder, "config/config.yaml", "--cores", "1", "all")

    def ours() -> Arrays:
        done = snakemake(folder, "config/config.yaml", "--cores", "1", "all")
        assert "Nothing to be done" in done, done
        return _ran(done)

    return Case(ours)


@benchmark("100 jobs that do nothing, one after the other", limit=100.0)
def starting_jobs(fraction: float) -> Case:
    folder = checkout(empty=True)
    jobs = 100
    # the files of a few words that a shard a language needs
    languages = round(jobs * fraction)
    targets = [f"resources/pretraining_data/bible/bible-30k/{code}.arrow" for code in _new_codes(languages)]
    snakemake(folder, "config/config.yaml", "--cores", "1", "resources/tokenizers/bible-30k/tokenizer.json")

    def ours() -> Arrays:
        shutil.rmtree(folder / "resources" / "pretraining_data", ignore_errors=True)
        return _ran(snakemake(folder, "config/config.yaml", "--cores", "1", *targets))

    return Case(ours)


def checkout(*, empty: bool = False) -> Path:
    """A copy of the project, with the adapters replaced by one that writes empty files if `empty`."""
    folder = Path(mkdtemp(prefix="lexigraft-orchestration-"))
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    if empty:
        for script in (folder / "workflow_scripts").iterdir():
            script.write_text(EMPTY, encoding="utf-8")
    return folder


def snakemake(folder: Path, config: str, *arguments: str) -> str:
    """Run Snakemake in a folder and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")} | {"PYTHONPATH": ""}
    command = [sys.executable, "-m", "snakemake", "--configfile", config, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout + done.stderr


def grown(config: dict[str, Any], times: int) -> dict[str, Any]:
    """The paper's configuration with so many times as many languages in every corpus and every test, under made-up codes."""
    for corpus in config["corpora"].values():
        for key in ("languages", "max_sentences"):
            corpus[key] = _more(corpus.get(key), times)
    for task in config["tasks"].values():
        if "test" in task:
            task["test"] = _more(task["test"], times)
    return config


def _more(listed: Any, times: int) -> Any:
    if not isinstance(listed, dict | list):
        return listed
    codes = list(_new_codes(len(listed) * (times - 1)))
    return [*listed, *codes] if isinstance(listed, list) else {**listed, **dict.fromkeys(codes, next(iter(listed.values())))}


def _new_codes(count: int) -> Iterator[str]:
    """Codes that ISO 639-3 leaves to private use, in ever other scripts."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = (f"q{one}{two}_{script}" for script in ("Latn", "Cyrl", "Arab", "Deva") for one in letters[:20] for two in letters)
    return (name for name, _ in zip(names, range(count), strict=False))


def _plan(config: str, times: int) -> Case:
    folder = checkout()
    given = yaml.safe_load((folder / config).read_text(encoding="utf-8"))
    (folder / "grown.yaml").write_text(yaml.safe_dump(grown(given, times) if times > 1 else given), encoding="utf-8")

    def ours() -> Arrays:
        return _ran(snakemake(folder, "grown.yaml", "-n", "all"))

    return Case(ours)


def _ran(printed: str) -> Arrays:
    """The number of jobs that a run had or planned."""
    total = re.search(r"^total +(\d+)$", printed, flags=re.MULTILINE)
    return {"jobs": np.array([int(total[1]) if total else 0])}
