"""Script of the stage that packs pre-training data."""

from lexigraft.workflow.stage import stage

with stage("pretraining_data", snakemake) as job:
    from lexigraft.pretraining.packing import write_shard

    write_shard(
        job.input.sentences,
        job.input.tokenizer.parent,
        job.output.data,
        language=job.params.language,
        max_sentences=job.params.max_sentences,
        length=job.params.length,
        provenance=job.provenance,
    )
