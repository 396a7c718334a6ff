"""The Slurm cluster of the tests, and Snakemake's head process, which tests can watch and kill."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.checkout import Checkout
from tests.slurm.cluster import Cluster, Unavailable, call, wait_for

QUICK = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")


class Head:
    """A running `snakemake --profile slurm` (which polls its jobs more often here) and its output."""

    def __init__(self, checkout: Checkout, *arguments: str) -> None:
        self.log = checkout.folder / "head.log"
        with self.log.open("w") as log:
            command = checkout.command(*QUICK, *arguments)
            self.process = subprocess.Popen(
                command, cwd=checkout.folder, env=checkout.environment(), stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Head:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        with suppress(AssertionError):
            call("scancel", f"--name={self.run_id}")

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def run_id(self) -> str:
        """The name of all jobs of this run in Slurm."""

        def found() -> re.Match[str] | None:
            match = re.search(r"SLURM run ID: (\S+)", self.output)
            assert match or self.process.poll() is None, self.output
            return match

        match = wait_for("the run's number", found)
        assert match is not None
        return match[1]

    @property
    def steps_done(self) -> int:
        return max(map(int, re.findall(r"^(\d+) of \d+ steps", self.output, flags=re.MULTILINE)), default=0)

    def wait(self, code: int = 0, seconds: float = 1200) -> str:
        """Wait for its end, check the exit code and return what it printed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake did not end in {seconds} s:\n{self.output}\n{call('squeue', '--states=all')}")
        assert self.process.returncode == code, self.output
        return self.output

    def kill(self) -> None:
        """Kill the head process at once, but nothing that it started."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wait_for_steps(self, number: int) -> None:
        def reached() -> bool:
            assert self.process.poll() is None, self.output
            return self.steps_done >= number

        wait_for(f"step {number}", reached, 1200)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm cluster, which is stopped at the end in any case."""
    slurm = Cluster()
    try:
        try:
            slurm.start()
        except Unavailable as reason:
            pytest.skip(f"Slurm cannot be started: {reason}")
        yield slurm
    finally:
        slurm.stop()
