"""Script of the score table stage."""

from lexigraft.workflow.stage import stage

with stage("scores", snakemake) as job:
    from lexigraft.evaluation.scores import write_scores
    from lexigraft.evaluation.tasks import tasks_of

    params, files = job.params, iter(job.input.results)
    write_scores(
        tasks_of(params.tasks),
        params.rows,
        [[next(files) for _ in range(count)] for count in params.files_per_row],
        job.output.scores,
        job.provenance,
    )
