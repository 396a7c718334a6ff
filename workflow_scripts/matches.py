"""Script of the matching stage."""

from lexigraft.workflow.stage import stage

with stage("matches", snakemake) as job:
    from lexigraft.evidence.makers.word_matches import write_matches

    cap = job.params.max_words_per_token
    write_matches(job.input.words, job.input.tokenizer.parent, job.output.matches, job.provenance, cap)
