"""The whole graph on Slurm gives the same bytes as on one machine, even after a killed head process and with a shared cache."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.slurm.cluster import Cluster, call, wait_for
from tests.slurm.conftest import QUICK, Head


def test_a_run_with_a_killed_head_process_and_its_cache_give_the_same_bytes(
    cluster: Cluster, finished: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    checkout = Checkout(tmp_path / "checkout")
    with Head(checkout, "all") as head:
        head.wait_for_steps(10)
        running = cluster.wait_for_job("", name=head.run_id)
        head.kill()
        assert running.id in {job.id for job in cluster.jobs_of("", state="RUNNING", name=head.run_id)}

        locked = checkout.snakemake(*QUICK, "all")
        assert locked.returncode != 0
        assert "--unlock" in locked.stdout + locked.stderr

        # the steps of docs/cluster.md
        call("scancel", f"--name={head.run_id}")
        wait_for("the end of the run's jobs", lambda: not call("squeue", "--noheader", f"--name={head.run_id}"))
        unlocked = checkout.snakemake("--profile", "slurm", "--unlock")
        assert unlocked.returncode == 0, unlocked.stderr
    with Head(checkout, "all") as again:
        output = again.wait()
    assert "of 32 steps" not in output  # finished jobs are not repeated
    assert re.search(r"^(\d+) of \1 steps \(100%\) done", output, flags=re.MULTILINE)
    made, wanted = visible(checkout), visible(finished)
    assert sorted(made) == sorted(wanted)
    assert [name for name in wanted if made[name] != wanted[name]] == []
    rules = {job.comment.removeprefix("rule_").split("_wildcards")[0] for job in cluster.jobs()}
    assert {"corpus", "pretraining", "report"} <= rules
    assert rules.isdisjoint({"all", "scores", "token_origins"})

    # the jobs of the next checkout take everything from the cache that these jobs filled
    next_member = Checkout(tmp_path / "next")
    with Head(next_member, "all") as head:
        assert "100%" in head.wait()
    assert [path.name for path in next_member.folder.glob("logs/**/*.log") if "stage " in path.read_text()] == []
    assert "stage pretraining" in "".join(path.read_text() for path in checkout.folder.glob("logs/**/*.log"))
    made = visible(next_member)
    assert [name for name in wanted if made.get(name) != wanted[name]] == []


def visible(checkout: Checkout) -> dict[str, bytes]:
    """Artifacts without the temporary files of killed jobs, and without the table of measured times."""
    found = {Path(name): data for name, data in checkout.artifacts().items()}
    return {str(path): data for path, data in found.items() if path.name[0] != "." and path.name != "pretraining_speed.parquet"}
