"""Script of the continual pre-training stage."""

from lexigraft.workflow.stage import stage

with stage("pretraining", snakemake) as job:
    from lexigraft.pretraining.engine import Tables, pretrain
    from lexigraft.pretraining.settings import PretrainingSettings
    from lexigraft.settings import parse

    out = job.output
    pretrain(
        parse(PretrainingSettings, job.params.settings),
        model_folder=job.input.weights.parent,
        data_paths=job.input.data,
        vocabulary_path=job.input.vocabulary,
        out_folders=dict(zip(job.params.steps, (path.parent for path in out.weights), strict=True)),
        tables=Tables(out.history, out.held_out, out.languages, out.speed),
        checkpoint_folder=job.folder("history") / "checkpoints",
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        nodes=job.params.nodes,
        provenance=job.provenance,
    )
