"""Script of the word vector stage."""

from lexigraft.workflow.stage import stage

with stage("word_vectors", snakemake) as job:
    from lexigraft.settings import parse
    from lexigraft.word_vectors.settings import LearnedVectors, WordVectorSettings

    settings = parse(WordVectorSettings, job.params.settings)
    paths = {"words_path": job.output.words, "vectors_path": job.output.vectors, "provenance": job.provenance}
    if isinstance(settings, LearnedVectors):
        from lexigraft.word_vectors.learn import write_learned_vectors

        write_learned_vectors(settings, job.input.files[0], seed=job.params.seed, threads=job.threads, **paths)
    else:
        from lexigraft.word_vectors.read import write_vector_files

        write_vector_files(settings, **paths)
