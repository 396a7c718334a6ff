"""Jobs that are cancelled, lose their node, or run out of memory or time are run again with more memory and time."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout, edit
from tests.slurm.cluster import Cluster, call, wait_for
from tests.slurm.conftest import Head

FACTORS = "resources/factors/minilm-32.safetensors"
PACKED = "resources/pretraining_data/bible/bible-4k/{}.arrow"


def removed(checkout: Checkout, *names: str) -> dict[str, bytes]:
    """Remove artifacts and return their content."""
    held = {name: (checkout.folder / name).read_bytes() for name in names}
    for name in names:
        (checkout.folder / name).unlink()
    return held


def restored(checkout: Checkout, wanted: dict[str, bytes]) -> bool:
    return all((checkout.folder / name).read_bytes() == data for name, data in wanted.items())


def test_a_job_over_its_memory_is_retried_with_more(cluster: Cluster, scratch: Checkout) -> None:
    # 89 MB at first: less than Snakemake needs in the job
    edit(scratch.folder / "mini.yaml", "resources: {threads: 1}", "resources: {threads: 1, memory: 0.035}")
    wanted = removed(scratch, FACTORS)
    with Head(scratch, "--retries", "9", "--rerun-triggers", "mtime", "--", *wanted) as head:
        first = cluster.wait_for_job("factors", name=head.run_id)
        # Slurm samples every second, but the whole job may take only two: it is suspended while it uses too much
        wait_for("a job over its memory", lambda: cluster.suspended_over_memory(first))
        output = head.wait()
    assert restored(scratch, wanted)

    jobs = cluster.jobs_of("factors", name=head.run_id)
    (slurm_log,) = scratch.folder.glob(f".snakemake/slurm_logs/rule_factors/*/{jobs[0].id}.log")
    assert "exceeded memory limit" in slurm_log.read_text()
    assert jobs[0].state in ("FAILED", "OUT_OF_MEMORY")
    assert jobs[-1].state == "COMPLETED"
    requested = [job.megabytes for job in jobs]
    assert requested == pytest.approx([(attempt + 1) * requested[0] for attempt in range(len(requested))], abs=len(requested))
    assert "Trying to restart job" in output


def test_jobs_over_their_time_and_cancelled_jobs_are_retried(cluster: Cluster, scratch: Checkout) -> None:
    late, cancelled = PACKED.format("fra_Latn"), PACKED.format("kor_Hang")
    wanted = removed(scratch, late, cancelled)
    with Head(scratch, "--rerun-triggers", "mtime", "--", *wanted) as head:
        slow = cluster.wait_for_job("pretraining_data", "fra_Latn", name=head.run_id)
        for process in wait_for("its processes", lambda: cluster.processes(slow)):
            process.suspend()
        call("scontrol", "update", f"JobId={slow.id}", "TimeLimit=1")
        call("scancel", cluster.wait_for_job("pretraining_data", "kor_Hang", name=head.run_id).id)
        head.wait()
    assert restored(scratch, wanted)
    for language, state in [("fra_Latn", "TIMEOUT"), ("kor_Hang", "CANCELLED")]:
        jobs = cluster.jobs_of("pretraining_data", language, name=head.run_id)
        assert [job.state for job in jobs] == [state, "COMPLETED"]
        assert jobs[-1].minutes == "2:00:00"  # twice the rule's hour


def test_jobs_survive_a_killed_slurmd_and_are_retried_after_a_node_failure(cluster: Cluster, scratch: Checkout) -> None:
    wanted = removed(scratch, *(PACKED.format(language) for language in ("fra_Latn", "kor_Hang")))
    with Head(scratch, "--jobs", "1", "--rerun-triggers", "mtime", "--", *wanted) as head:
        first = cluster.wait_for_job("pretraining_data", name=head.run_id)
        cluster.kill_node()
        cluster.start_node()
        wait_for("the end of the first job", lambda: cluster.jobs_of("pretraining_data", state="COMPLETED", name=head.run_id))
        second = cluster.wait_for_job("pretraining_data", name=head.run_id)
        cluster.fail_node(second)
        head.wait()
    states = {job.id: job.state for job in cluster.jobs_of("pretraining_data", name=head.run_id)}
    assert list(states.values()) == ["COMPLETED", "NODE_FAIL", "COMPLETED"]
    assert first.id != second.id
    assert restored(scratch, wanted)
