"""Script of the stage of confidence intervals and significance tests."""

from lexigraft.workflow.stage import stage

with stage("significance", snakemake) as job:
    from lexigraft.evaluation.significance import write_statistics
    from lexigraft.evaluation.tasks import tasks_of

    params, files = job.params, iter(job.input.results)
    write_statistics(
        tasks_of(params.tasks),
        params.rows,
        [[next(files) for _ in range(count)] for count in params.files_per_row],
        intervals_path=job.output.intervals,
        comparisons_path=job.output.comparisons,
        seed=params.seed,
        provenance=job.provenance,
    )
