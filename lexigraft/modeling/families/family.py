"""What is known of a model family: data alone, so that the planner of a workflow can read it without torch or transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one row per token.

    Attributes:
        role: `input` is looked up by tokens, `output` gives their logits.
        weight: parameter (V, D), by its name in the language model.
        bias: parameter (V,); None where there is none.
        tied_to: weight of the table that this one shares its weight with; None where it has its own.
    """

    role: Literal["input", "output"]
    weight: str
    bias: str | None = None
    tied_to: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: its classes in transformers, and where its tables, layers and head are.

    Names of parameters and modules are those in the language model, but for layers and final norm, which are found in its base
    model. Keys are those of `config.json`.

    Attributes:
        model_type: of the plain models; that of factorized ones is `lexigraft-` + `model_type`.
        config, base_model, language_model: dotted names of classes of transformers.
        tables: input and output table.
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
        output_bias_key, norm_bias_key: keys of whether the output table and the LayerNorms have a bias; None where they have.
        head_options: what the configuration must say for a language model with this head; the source stage writes it.
        added_head_options: what the configuration must say for a model to which a head is added.
        renamed_head: prefixes of a checkpoint's parameters that are this head under other names, each with what replaces it.
            Such a head counts where the configuration has not all `head_options`, or where there is no other.
        classifiers_share_head: classifiers have a transform of the same names; only the output bias tells them apart.
        initializes_tables: classes whose `_init_weights` fills the weights of tables, which factorized ones do not have.
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

    def table(self, role: Literal["input", "output"]) -> Table:
        """The table with a role."""
        return next(table for table in self.tables if table.role == role)

    @property
    def embedding(self) -> str:
        """Module of the word embeddings."""
        return self.table("input").weight.removesuffix(".weight")

    def in_head(self, name: str) -> bool:
        """Whether a parameter of the language model belongs to its head."""
        return name.startswith(tuple(f"{module}." for module in self.head))

    def output_bias(self, config: Mapping[str, Any]) -> str | None:
        """Parameter with the output bias; None where models of this configuration have none."""
        has_bias = self.output_bias_key is None or config.get(self.output_bias_key, True)
        return self.table("output").bias if has_bias else None

    def width(self, config: Mapping[str, Any]) -> int | None:
        """Width D of the word embeddings; None where the configuration does not say it."""
        return _first_number(config, self.width_keys)

    def depth(self, config: Mapping[str, Any]) -> int | None:
        """Number of layers; None where the configuration does not say it."""
        return _first_number(config, [self.layers_key])

    def longest(self, config: Mapping[str, Any]) -> int | None:
        """Longest sequence that a model takes; None where the configuration does not say it.

        Where positions count from the padding id, those up to it are lost.
        """
        positions = _first_number(config, [self.length_key])
        if positions is None or self.positions_from_padding is None:
            return positions
        padding = config.get("pad_token_id", self.positions_from_padding)
        return positions - padding - 1 if isinstance(padding, int) else None


def _first_number(config: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)
