"""Adapter of continual pre-training."""

from lexigraft.stages import stage

with stage("pretraining", snakemake) as job:
    from lexigraft.pretraining.engine import pretrain
    from lexigraft.pretraining.settings import PretrainingSettings
    from lexigraft.settings import parse

    pretrain(
        parse(PretrainingSettings, job.params.settings),
        model_folder=job.input.weights.parent,
        data_path=job.input.data,
        vocabulary_path=job.input.vocabulary,
        out_folders=dict(zip(job.params.steps, (path.parent for path in job.output.weights), strict=True)),
        history_path=job.output.history,
        checkpoint_folder=job.folder("history") / "checkpoints",
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
