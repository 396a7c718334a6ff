"""Script of the source stage."""

from lexigraft.workflow.stage import stage

with stage("source", snakemake) as job:
    from lexigraft.settings import parse
    from lexigraft.sources.build import write_source
    from lexigraft.sources.settings import SourceSettings

    write_source(parse(SourceSettings, job.params.settings), job.folder("weights"), job.provenance)
