"""Script of the tokenizer stage."""

from lexigraft.workflow.stage import stage

with stage("tokenizer", snakemake) as job:
    from lexigraft.settings import parse
    from lexigraft.tokenizers.build import write_tokenizer
    from lexigraft.tokenizers.settings import TokenizerSettings

    write_tokenizer(
        parse(TokenizerSettings, job.params.settings),
        job.input.sentences[0] if job.input.sentences else None,
        job.folder("tokenizer"),
        seed=job.params.seed,
        threads=job.threads,
        provenance=job.provenance,
        source_folder=job.input.source[0].parent if job.input.source else None,
    )
