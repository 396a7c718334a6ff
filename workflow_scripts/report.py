"""Adapter of the report."""

from lexigraft.stages import stage

with stage("report", snakemake) as job:
    from lexigraft.report.inputs import ReportInputs
    from lexigraft.report.page import write_report

    params = job.params
    write_report(
        ReportInputs(
            run=params.run,
            scores=job.input.scores,
            ranks=job.input.ranks,
            rows=params.rows,
            configuration=params.configuration,
            seed=params.seed,
            initialisation=job.input.initialisation,
            corpora=dict(zip(params.corpora, job.input.counts, strict=True)),
            tokens=dict(zip(params.models, job.input.tokens, strict=True)),
            weights=dict(zip(params.models, job.input.weights, strict=True)),
            factors=dict(zip(params.models, job.input.factors, strict=True)),
            source_vocabularies=dict(zip(params.sources, job.input.source_vocabularies, strict=True)),
            target_vocabularies=dict(zip(params.tokenizers, job.input.target_vocabularies, strict=True)),
            pretraining=dict(zip(params.trained, job.input.pretraining, strict=True)),
            hypernetworks=dict(zip(params.hypernetworks, job.input.hypernetworks, strict=True)),
            quality=dict(zip(params.hypernetworks, job.input.quality, strict=True)),
        ),
        job.output.report,
    )
