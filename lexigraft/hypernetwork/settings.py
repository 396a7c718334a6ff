"""Settings of hypernetworks (HyperOFA, arXiv 2504.21018, sections 3.2 and 4.2, Table 6 and appendix A.1)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lexigraft.settings import Settings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Hypernetwork(Settings):
    contrastive_weight: Fraction = 0.1
    """Share of the contrastive loss; the rest is the error of the coordinates."""
    temperature: PositiveFloat = 0.5
    """Of the contrastive loss."""
    validation: Fraction = 0.025
    test: Fraction = 0.005
    split_seed: int = 42

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave no pair to train on")
        return self


class _SetHypernetwork(_Hypernetwork):
    """What networks over the set of a token's words share: all of training, and how words are chosen."""

    dropout: Dropout = 0.4
    epochs: PositiveInt = 370
    """The weights of the epoch with the lowest validation loss are the result."""
    patience: PositiveInt | None = None
    """Stop after so many epochs without a lower validation loss; None trains all epochs."""
    batch_size: PositiveInt = 256
    """Tokens per batch."""
    learning_rate: PositiveFloat = 1e-4
    decay: Fraction = 0.95
    """Factor on the learning rate every `decay_every` epochs."""
    decay_every: PositiveInt = 10
    max_words: PositiveInt = 256
    """Words of a token that are read at once, in training and in prediction."""
    word_sampling: Literal["paper", "parity"] = "paper"
    """`paper`: shuffle always, sample sets that are too long; `parity`: as the published runs did."""
    source_word_languages: bool = False
    """Train on words of the source model's own languages only."""
    word_weights: bool = False
    """If a token has more words than are read, they are drawn by weight; prediction reads the heaviest."""
    prediction_draws: PositiveInt = 1
    """Predictions are averaged over so many random draws of the words; 1 predicts once, from the same words every time."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products in training; weights, losses and predictions are float32. `auto`: bfloat16 on GPUs that compute
    in it."""
    checkpoint_minutes: NonNegativeFloat = 10.0
    """Minutes between checkpoints that a killed run continues from; 0 writes one after every epoch."""

    @model_validator(mode="after")
    def _parity_has_no_weights(self) -> Self:
        if self.word_weights and self.word_sampling == "parity":
            raise ValueError("`word_weights` needs `word_sampling: paper`: the published runs read the first words of a token")
        return self


class BiLSTMHypernetwork(_SetHypernetwork):
    """The paper's network: a BiLSTM over the set of word vectors, then Linear-GELU-Dropout-Linear."""

    kind: Literal["bilstm"]
    layers: PositiveInt = 2
    hidden: PositiveInt = 800
    """Width of each direction."""


class SetformerHypernetwork(_SetHypernetwork):
    """The paper's second network (appendix A.1): a transformer encoder without positions, mean pooling, the BiLSTM's head."""

    kind: Literal["setformer"]
    layers: PositiveInt = 28
    heads: PositiveInt = 10
    """Attention heads; they must divide the width of the word vectors."""
    feed_forward: PositiveInt = 1600
    epochs: PositiveInt = 500
    temperature: PositiveFloat = 0.25


class MLPHypernetwork(_Hypernetwork):
    """The network inside `graft`: an MLP with a linear skip on the mean of the matched words' vectors."""

    kind: Literal["mlp"]
    hidden: PositiveInt = 1024
    dropout: Dropout = 0.3
    epochs: PositiveInt = 12
    batch_size: PositiveInt = 512
    learning_rate: PositiveFloat = 2e-3
    """Peak of the one-cycle schedule."""
    source_word_languages: bool = True
    """Train on words of the source model's own languages only."""
    word_weights: bool = True
    """Words weigh min(1, len(token) / len(word)) * sqrt(sentences with the word) in the mean, not their count."""
    unit_words: bool = True
    """Word vectors count with unit length in the mean."""
    neighbors: PositiveInt = 16
    neighbor_probability: Fraction = 0.3
    neighbor_min_sentences: PositiveInt = 3
    networks: PositiveInt = 2


SetSettings = BiLSTMHypernetwork | SetformerHypernetwork
HypernetworkSettings = Annotated[BiLSTMHypernetwork | SetformerHypernetwork | MLPHypernetwork, Field(discriminator="kind")]
