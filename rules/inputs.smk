"""Inputs that follow from the configuration."""

from lexigraft.evidence import kinds


def counted_text(wildcards):
    """The corpus that a tokenizer is learned from or counted on; none for an existing one that is not counted."""
    corpus = named("tokenizers", "tokenizer")(wildcards).corpus
    return [rules.corpus.output.sentences.format(corpus=corpus)] if corpus else []


def extended_source(wildcards):
    """Files of the source that an extension builds on; none for other kinds."""
    source = getattr(named("tokenizers", "tokenizer")(wildcards), "source", None)
    made = rules.source.output
    files = (made.tokenizer, made.tokenizer_config, made.vocabulary)
    return [file.format(source=source) for file in files] if source else []


def vector_inputs(wildcards):
    """A corpus to learn from, or the files to read."""
    settings = named("word_vectors", "word_vectors")(wildcards)
    if settings.kind == "learned":
        return [rules.corpus.output.sentences.format(corpus=settings.corpus)]
    return OUTSIDE["word_vectors"][wildcards.word_vectors]


def max_words_per_token(wildcards):
    return named("word_vectors", "word_vectors")(wildcards).max_words_per_token


def embedding_table(wildcards):
    """F and P of a source model at D', or its weights where D' is `full`."""
    made = (
        rules.source.output.weights
        if wildcards.dim == "full"
        else rules.factors.output.factors
    )
    return made.format(source=wildcards.source, dim=wildcards.dim)


def made_from(wildcards):
    """What an evidence kind without a rule of its own is made from."""
    kind = kinds()[wildcards.kind]
    return {
        name: output_of(*output.split("."), **dict(wildcards.items()))
        for name, output in kind.made_from.items()
    }


def map_evidence(wildcards):
    """The evidence that a method needs for its map."""
    kinds = named("methods", "method")(wildcards).needs
    return evidence_files(kinds, PLAN.map_values(dict(wildcards.items())))


def row_evidence(wildcards):
    """The evidence that a model's method needs for its dense rows."""
    model = model_of(wildcards)
    return evidence_files(PLAN.methods[model.method].row_needs, PLAN.values(model))


def packed_text(model):
    """The packed text that a model is trained on, a file for each language."""
    return expand(
        rules.pretraining_data.output.data,
        corpus=CONFIG.pretraining.corpus,
        tokenizer=model.tokenizer,
        language=stop_on_error(PLAN.training_languages),
    )
