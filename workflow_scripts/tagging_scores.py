"""Script of the stage that scores taggers."""

from lexigraft.workflow.stage import stage

with stage("tag_scores", snakemake) as job:
    from lexigraft.evaluation.tagging.scoring import write_tag_scores
    from lexigraft.evaluation.tasks.tagging import TaggingTask
    from lexigraft.settings import parse

    write_tag_scores(
        parse(TaggingTask, job.params.settings),
        model_folder=job.input.weights.parent,
        tagger_path=job.input.tagger,
        tags_path=job.input.tags,
        sentences_path=job.output.sentences,
        confusion_path=job.output.confusion,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
