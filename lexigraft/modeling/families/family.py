"""What is known of a model family: data alone, so that the planner of a workflow can read it without torch or transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one row per token, looked up by tokens (`input`) or giving their logits (`output`).

    Attributes:
        role: which of the two.
        weight, bias: parameters (V, D) and (V,), by their names in the language model; None where there is no bias.
        tied_to: weight of the table that this one shares its weight with; None where it has its own.
    """

    role: Literal["input", "output"]
    weight: str
    bias: str | None = None
    tied_to: str | None = None


class Limits(NamedTuple):
    """What a model has by its configuration: width D of its word embeddings, layers, and positions of its longest sequence.

    None where the configuration does not say it.
    """

    width: int | None
    layers: int | None
    positions: int | None


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: its classes in transformers, and where its tables, layers and head are.

    Parameters and modules have their names in the language model, but for layers and final norm: in the base model. Keys and
    options are those of `config.json`.

    Attributes:
        model_type: of the plain models; that of factorized ones is `lexigraft-` + `model_type`.
        config, base_model, language_model: dotted names of classes.
        tables: input and output.
        head: modules that turn hidden states into logits, in this order.
        head_dense, head_norm: modules of the head's transform.
        layers: list of layers.
        kind: how the language model predicts tokens.
        final_norm: module behind the last layer; None where each layer ends with its own.
        positions: parameter with absolute position embeddings; None where there is none.
        positions_from_padding: positions count from the padding id + 1 (as fairseq does), and this is the padding id of a
            configuration that names none. None: positions count from 0.
        width_keys: keys of the width of the word embeddings; the first that has a value counts.
        layers_key, length_key: keys of the number of layers and of positions.
        output_bias_key, norm_bias_key: options for a bias of the output table and of LayerNorms; None where they have one.
        head_options: options with which the language model has this head; the source stage writes them.
        added_head_options: options of a model to which a head is added.
        renamed_head: prefixes of parameters that are this head under other names in checkpoints, each with what replaces it.
            Such a head counts where the configuration has not all `head_options`, or where there is no other.
        classifiers_share_head: classifiers have a transform of the same names; only the output bias tells them apart.
        initializes_tables: classes whose `_init_weights` fills weights of tables, which factorized models do not have.
    """

    model_type: str
    config: str
    base_model: str
    language_model: str
    tables: tuple[Table, Table]
    head: tuple[str, ...]
    head_dense: str
    head_norm: str
    layers: str
    kind: Literal["masked"] = "masked"
    final_norm: str | None = None
    positions: str | None = None
    positions_from_padding: int | None = None
    width_keys: tuple[str, ...] = ("hidden_size",)
    layers_key: str = "num_hidden_layers"
    length_key: str = "max_position_embeddings"
    output_bias_key: str | None = None
    norm_bias_key: str | None = None
    head_options: tuple[tuple[str, bool], ...] = ()
    added_head_options: tuple[tuple[str, bool], ...] = ()
    renamed_head: tuple[tuple[str, str], ...] = ()
    classifiers_share_head: bool = False
    initializes_tables: tuple[str, ...] = ()

    @property
    def embedding(self) -> str:
        """Module of the word embeddings."""
        return self.table("input").weight.removesuffix(".weight")

    def table(self, role: Literal["input", "output"]) -> Table:
        """The table with a role."""
        return next(table for table in self.tables if table.role == role)

    def in_head(self, name: str) -> bool:
        """Whether a parameter of the language model belongs to its head."""
        return name.startswith(tuple(f"{module}." for module in self.head))

    def output_bias(self, config: Mapping[str, Any]) -> str | None:
        """Parameter with the output bias; None where models of this configuration have none."""
        return self.table("output").bias if config.get(self.output_bias_key or "", True) else None

    def limits(self, config: Mapping[str, Any]) -> Limits:
        """What a model of a configuration has. Where positions count from the padding id, those up to it are lost."""
        keys = (self.width_keys, (self.layers_key,), (self.length_key,))
        width, layers, positions = (next((config[k] for k in some if isinstance(config.get(k), int)), None) for some in keys)
        if self.positions_from_padding is not None and positions is not None:
            padding = config.get("pad_token_id", self.positions_from_padding)
            positions = positions - padding - 1 if isinstance(padding, int) else None
        return Limits(width, layers, positions)
