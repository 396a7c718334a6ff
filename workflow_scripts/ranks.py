"""Script of the retrieval stage."""

from lexigraft.workflow.stage import stage

with stage("ranks", snakemake) as job:
    from lexigraft.evaluation.retrieval import write_ranks
    from lexigraft.evaluation.tasks.retrieval import RetrievalTask
    from lexigraft.settings import parse

    write_ranks(
        parse(RetrievalTask, job.params.settings),
        sentences=job.input.sentences,
        model_folder=job.input.weights.parent,
        path=job.output.ranks,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
