"""Script of the stage that fine-tunes taggers."""

from lexigraft.workflow.stage import stage

with stage("tagger", snakemake) as job:
    from lexigraft.evaluation.tagging.tagger import write_tagger
    from lexigraft.evaluation.tasks.tagging import TaggerSettings
    from lexigraft.settings import parse

    write_tagger(
        parse(TaggerSettings, job.params.settings),
        model_folder=job.input.weights.parent,
        tagger_path=job.output.tagger,
        tags_path=job.output.tags,
        history_path=job.output.history,
        checkpoint_folder=job.folder("tagger") / "checkpoints",
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
