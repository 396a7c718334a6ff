"""A copy of the checkout, and one complete small run of the workflow in it, shared by all tests that run the workflow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
FOLDERS = ("rules", "workflow_scripts", "lexigraft", "config", "envs", "profiles", "docs")
PARTS = ("Snakefile", "slurm", "requirements.lock", *FOLDERS)


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of a text that a file must hold."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


class Checkout:
    """A copy of this project in which Snakemake runs."""

    records: Path
    """Folder with records of what the processes of the finished run loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            source = ROOT / name
            if source.is_symlink():
                (folder / name).symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)
        shutil.copy(ROOT / "tests" / "workflow" / "mini.yaml", folder / "mini.yaml")

    @classmethod
    def at(cls, folder: Path) -> Checkout:
        """An existing checkout."""
        checkout = cls.__new__(cls)
        checkout.folder = folder
        return checkout

    def snakemake(
        self, *arguments: str, config: str = "mini.yaml", records: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake with the small configuration, in an environment without the tests' variables.

        With `records`, every process records there what it loaded of the library (`workflow/recorder/sitecustomize.py`).
        """
        command, environment = self.command(*arguments, config=config), self.environment()
        if records is not None:
            environment["PYTHONPATH"] = str(ROOT / "tests" / "workflow" / "recorder")
            environment["LEXIGRAFT_TEST_RECORDS"] = str(records)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment, check=False)

    @staticmethod
    def command(*arguments: str, config: str = "mini.yaml") -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", config, *arguments]

    @staticmethod
    def environment() -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")} | {"PYTHONPATH": ""}

    def run(self, *arguments: str, records: Path | None = None) -> str:
        """Run Snakemake on two cores and return its output; the test fails if it fails."""
        done = self.snakemake("--cores", "2", *arguments, records=records)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str, config: str = "mini.yaml") -> dict[str, int]:
        """Rule -> number of planned jobs, from a dry run."""
        done = self.snakemake("-n", *arguments, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        if "Nothing to be done" in done.stdout + done.stderr:
            return {}
        table = re.search(r"^total +\d+$", done.stdout, flags=re.MULTILINE)
        assert table is not None, done.stdout
        counts = dict(re.findall(r"^([a-z_]+) +(\d+)$", done.stdout[: table.start()], flags=re.MULTILINE))
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    def artifacts(self, *patterns: str) -> dict[str, bytes]:
        """Bytes of all files in resources/ and results/ (or of those that match the patterns)."""
        found = [path for pattern in patterns or ("resources/**/*", "results/**/*") for path in self.folder.glob(pattern)]
        # hidden files are not artifacts: they are second names of tables, for added languages
        found = [path for path in found if path.is_file() and not path.name.startswith(".")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(found)}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """A checkout with the finished small run, made once for all workers of pytest. Tests that change it use `scratch`."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder, records, is_made = shared / "finished", shared / "records", shared / "finished.done"
    with FileLock(shared / "finished.lock"):
        if not is_made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            records.mkdir(exist_ok=True)
            Checkout(folder).run("all", records=records)
            is_made.touch()
    checkout = Checkout.at(folder)
    checkout.records = records
    return checkout


@pytest.fixture
def scratch(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished checkout, with its results, Snakemake's records and all time stamps."""
    shutil.copytree(finished.folder, tmp_path / "scratch", symlinks=True)
    return Checkout.at(tmp_path / "scratch")
