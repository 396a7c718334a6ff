"""What the rows of tokens are made of, in words: `lexigraft explain` and the report show it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lexigraft.artifacts import identity, read_provenance, read_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.factors.tables import MODELS, read_embedding_table
from lexigraft.token_maps.nearest import nearest_tokens
from lexigraft.tokenizers.vocabulary import read_vocabulary

log = logging.getLogger(__name__)

_SHOWN = 5
_EMPTY = {"mean": "the mean of all source rows", "random": "drawn at random", "computed": "predicted by the method"}


def made_of(origin: str, surfaces: Sequence[str], weights: Sequence[float], dense: bool) -> str:
    """The source tokens of a row by falling weight: `prophet .61, seer .22, …`.

    Args:
        origin: of the token.
        surfaces, weights: its source tokens.
        dense: whether the method added a dense row, such as a hypernetwork's prediction.
    """
    if not surfaces:
        return _EMPTY.get(origin, origin)
    order = np.argsort(-np.abs(weights), kind="stable")
    parts = [f"{surfaces[place].strip() or repr(surfaces[place])} {_short(weights[place])}" for place in order[:_SHOWN]]
    if len(order) > _SHOWN:
        parts.append(f"and {len(order) - _SHOWN} more")
    return ", ".join(parts) + (", and a predicted row" if dense else "")


def explain(folder: Path, wanted: Sequence[str], source: Path | None = None) -> str:
    """Say of tokens of a model how their rows are made, and which source tokens are nearest to them.

    Args:
        folder: of a model, at any step.
        wanted: tokens of its vocabulary, or texts, which are cut into tokens.
        source: folder of the source model's artifact; None looks for it where the workflow keeps it.

    Raises:
        InputError: the folder holds no model of lexigraft, or a text has no token.
        ArtifactError: a file is damaged, or the source is not the model's.
    """
    if not (folder / "tokens.parquet").is_file():
        raise InputError("no model of lexigraft: there is no tokens.parquet", where=folder, hint="name a folder …/step-<n>")
    tokens = read_table(folder / "tokens.parquet", MODELS).sort("id")
    ids = [token for text in wanted for token in token_ids(folder, tokens, text)]
    near = nearest(folder, ids, source or find_source(folder))
    lines = []
    for place, row in enumerate(tokens[ids].iter_rows(named=True)):
        made = made_of(row["origin"], row["source_surfaces"], row["weights"], row["dense"])
        how = f"{row['origin']} from {made}" if row["sources"] else made
        lines.append(f"{row['token']} (id {row['id']}), {how}")
        if near:
            lines.append(f"  nearest source tokens: {near[place]}")
    if not near:
        lines.append("nearest source tokens: name the folder of the source model (resources/sources/NAME) with --source")
    return "\n".join(lines)


def token_ids(folder: Path, tokens: pl.DataFrame, text: str) -> list[int]:
    """The token that is written so or has this surface, else the tokens of the text."""
    for column, value in (("token", text), ("surface", text), ("surface", f" {text}")):
        if (found := tokens.filter(pl.col(column) == value)["id"].to_list()) != []:
            return found[:1]
    from lexigraft.tokenizers.load import load_tokenizer

    ids: list[int] = load_tokenizer(folder).encode(text, add_special_tokens=False)
    if not ids:
        raise InputError(f"the tokenizer leaves nothing of {text!r}", where=folder, hint="give a token or a text")
    return ids


def nearest(folder: Path, ids: Sequence[int], source: Path | None) -> list[str]:
    """The nearest source tokens of each row, with cosines; empty where the source model is not at hand."""
    if source is None:
        return []
    own, table = read_embedding_table(folder / "model.safetensors"), read_embedding_table(source / "model.safetensors")
    vocabulary = read_vocabulary(source / "vocabulary.parquet")
    if len(vocabulary) != len(table.rows):
        problem = f"{len(vocabulary)} tokens but {len(table.rows)} rows"
        raise ArtifactError(problem, where=source, hint="name the folder of one source model")
    rows, mean = own.embeddings(np.array(ids)), table.rows.mean(axis=0, dtype=np.float64)
    found, cosines = nearest_tokens(rows, table, np.flatnonzero(vocabulary.is_text), mean)
    return [
        ", ".join(f"{vocabulary.surfaces[token].strip()} {_short(cosine)}" for token, cosine in zip(*pair, strict=True))
        for pair in zip(found.tolist(), cosines.tolist(), strict=True)
    ]


def find_source(folder: Path) -> Path | None:
    """The source artifact that a model was made from, among `resources/sources/*` of the folders above the model."""
    wanted = next(_digests_of_source(folder), None)
    for above in folder.resolve().parents if wanted else ():
        for weights in sorted(above.glob("resources/sources/*/model.safetensors")):
            if identity(weights) == wanted:
                return weights.parent
    return None


def _digests_of_source(folder: Path) -> Iterator[str]:
    """Digest of the source's weights: step 0 was made from them, and later steps lie beside it."""
    for step in (folder, folder.resolve().parent / "step-0"):
        if (step / "tokens.parquet").is_file():
            provenance: dict[str, Any] = read_provenance(step / "tokens.parquet")
            if provenance.get("stage") == "initialized_model":
                yield provenance["inputs"]["weights"]


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"
