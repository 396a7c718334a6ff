"""Script of the tokenizer fertility stage."""

from lexigraft.workflow.stage import stage

with stage("fertility", snakemake) as job:
    from lexigraft.evaluation.fertility import write_fertility

    write_fertility(job.input.sentences, job.input.tokenizer.parent, job.output.fertility, job.provenance)
