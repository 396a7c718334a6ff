"""Adapter of the packing of pre-training data."""

from lexigraft.stages import stage

with stage("pretraining_data", snakemake) as job:
    from lexigraft.pretraining.data import write_pretraining_data

    write_pretraining_data(
        job.input.sentences,
        job.input.tokenizer.parent,
        job.output.data,
        job.output.counts,
        languages=job.params.languages,
        sampling_exponent=job.params.sampling_exponent,
        length=job.params.length,
        seed=job.params.seed,
        provenance=job.provenance,
    )
