"""Settings of hypernetworks (METHODS: paper sections 3.2 and 4.2, Table 6)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lexigraft.settings import Settings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class BiLSTMHypernetwork(Settings):
    """The paper's network: a BiLSTM over the set of word vectors, then Linear-GELU-Dropout-Linear."""

    kind: Literal["bilstm"]
    layers: PositiveInt = 2
    hidden: PositiveInt = 800
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.4
    epochs: PositiveInt = 370
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-4
    decay: Fraction = 0.95
    decay_every: PositiveInt = 10
    contrastive_weight: Fraction = 0.1
    temperature: PositiveFloat = 0.5
    max_words: PositiveInt = 256
    word_sampling: Literal["paper", "parity"] = "paper"
    """`paper`: shuffle always, sample sets that are too long; `parity`: as the published runs did."""
    validation: Fraction = 0.025
    test: Fraction = 0.005
    split_seed: int = 42


class MLPHypernetwork(Settings):
    """The network inside `graft`: an MLP with a linear skip on the mean of the matched words' vectors."""

    kind: Literal["mlp"]
    hidden: PositiveInt = 1024
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    epochs: PositiveInt = 12
    batch_size: PositiveInt = 512
    learning_rate: PositiveFloat = 2e-3
    contrastive_weight: Fraction = 0.1
    temperature: PositiveFloat = 0.5
    neighbours: PositiveInt = 16
    neighbour_probability: Fraction = 0.3
    neighbour_min_sentences: PositiveInt = 3
    networks: PositiveInt = 2
    validation: Fraction = 0.025
    test: Fraction = 0.005
    split_seed: int = 42


HypernetworkSettings = Annotated[BiLSTMHypernetwork | MLPHypernetwork, Field(discriminator="kind")]
