"""Script of the stage of confidence intervals and significance tests."""

from lexigraft.workflow.stage import stage

with stage("significance", snakemake) as job:
    from lexigraft.evaluation.significance import write_statistics

    params, files = job.params, iter(job.input.tag_scores)
    write_statistics(
        job.input.scores,
        {
            "retrieval": (params.rows, [[path] for path in job.input.ranks]),
            "tagging": (params.tagged, [[next(files) for _ in range(params.seeds[row["task"]])] for row in params.tagged]),
            "language_modeling": (params.modeled, [[path] for path in job.input.language_modeling]),
        },
        intervals_path=job.output.intervals,
        comparisons_path=job.output.comparisons,
        seed=params.seed,
        provenance=job.provenance,
    )
