"""Script of the corpus stage."""

from lexigraft.workflow.stage import stage

with stage("corpus", snakemake) as job:
    from lexigraft.corpora.build import write_corpus
    from lexigraft.corpora.settings import CorpusSettings
    from lexigraft.settings import parse

    settings = parse(CorpusSettings, job.params.settings)
    write_corpus(settings, job.output.sentences, job.output.held_out, job.output.counts, job.provenance)
