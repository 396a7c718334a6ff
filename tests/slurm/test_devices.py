"""Slurm assigns GPUs to rules that compute on them, and to no others."""

from __future__ import annotations

import re

from tests.checkout import Checkout, edit
from tests.slurm.cluster import GPUS, Cluster, call
from tests.slurm.conftest import Head

NETWORK = "hypernetworks/tiny/bible-50/minilm-32"
MODELS = "results/mini/models"
ON_GPUS = {
    # rule -> an artifact and its log
    "hypernetwork": (f"resources/{NETWORK}/seed-7/network.safetensors", f"logs/{NETWORK}-seed-7.log"),
    "pretraining": (f"{MODELS}/random-minilm-32/pretraining_history.parquet", "logs/pretraining/random-minilm-32.log"),
    "ranks": ("results/mini/ranks/sr_b/ofa-minilm-32-step-0.parquet", "logs/ranks/sr_b/ofa-minilm-32-step-0.log"),
}
ON_CPUS = {"source_fertility": ("resources/fertility/bible/source-minilm.parquet", "logs/fertility/bible/source-minilm.log")}
SITE = """
partitions:
  standard: {max_runtime: 1d}
  gpus: {max_runtime: 1d, max_gpu: 2}
max_minutes: 20
max_memory: 3500
"""


def test_gpu_rules_get_gpus_and_their_partition(cluster: Cluster, scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "resources: {threads: 1}", "resources: {threads: 1, gpus: 1}")
    (scratch.folder / "slurm" / "site.yaml").write_text(SITE)
    for artifact, log in [*ON_GPUS.values(), *ON_CPUS.values()]:
        (scratch.folder / artifact).unlink(missing_ok=True)
        (scratch.folder / log).unlink(missing_ok=True)
    targets = [artifact for artifact, _ in [*ON_GPUS.values(), *ON_CPUS.values()]]
    with Head(scratch, "--retries", "0", "--rerun-triggers", "mtime", "--", *targets) as head:
        output = head.wait(1)  # the devices are fake, so torch cannot use them
    for rule, (artifact, log) in ON_GPUS.items():
        (job,) = cluster.jobs_of(rule, name=head.run_id)
        assert (job.partition, job.state) == ("gpus", "FAILED")
        assert re.search(r"TresPerJob=gres.gpu:1\b", call("scontrol", "show", "job", job.id))
        text = (scratch.folder / log).read_text()
        given = re.search(r"and GPUs (\d)\n", text)
        assert given is not None, text
        assert int(given[1]) < len(GPUS)
        assert "1 GPUs are asked for, this machine has 0 that torch" in text
        assert "ask the cluster for more" in output
        assert not (scratch.folder / artifact).exists()
    for rule, (artifact, log) in ON_CPUS.items():
        (job,) = cluster.jobs_of(rule, name=head.run_id)
        assert (job.partition, job.state) == ("standard", "COMPLETED")
        assert "gres" not in call("scontrol", "show", "job", job.id)
        assert "GPUs" not in (scratch.folder / log).read_text()
        assert (scratch.folder / artifact).exists()
    limits = {(job.minutes, int(job.memory.removesuffix("M"))) for job in cluster.jobs_of("", name=head.run_id)}
    assert ("20:00", 3500) in limits  # reduced to the limits of the site
    assert all(memory <= 3500 for _, memory in limits)
