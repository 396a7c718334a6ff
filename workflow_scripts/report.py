"""Script of the report stage."""

from lexigraft.workflow.stage import stage

with stage("report", snakemake) as job:
    from lexigraft.report.inputs import ReportInputs
    from lexigraft.report.page import write_report

    params = job.params
    inputs = ReportInputs(
        run=params.run,
        scores=job.input.scores,
        rows=params.rows,
        notes=params.notes,
        configuration=params.configuration,
        seed=params.seed,
        intervals=job.input.intervals,
        comparisons=job.input.comparisons,
        token_origins=job.input.token_origins,
        **job.named_files(params.names),
    )
    write_report(inputs, job.output.report)
