"""Writing a model's folder: weights sealed, tokenizer, model card, and a table of how each token was made."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from transformers.modeling_utils import PreTrainedModel

from lexigraft.artifacts import Provenance, atomic_file, with_companions, write_table, write_tensors, write_text
from lexigraft.errors import ArtifactError
from lexigraft.factors.tables import INPUT_TABLE
from lexigraft.token_maps.token_map import ORIGINS, TokenMap
from lexigraft.tokenizers.vocabulary import Vocabulary

WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_PLAIN_FILES = ("config.json", "README.md")
TOKENS_SCHEMA = pl.Schema(
    [
        ("id", pl.Int32()),
        ("token", pl.String()),
        ("surface", pl.String()),
        ("origin", pl.String()),
        ("source_id", pl.Int32()),
        ("sources", pl.List(pl.Int32)),
        ("source_surfaces", pl.List(pl.String)),
        ("weights", pl.List(pl.Float32)),
        ("dense", pl.Boolean()),
    ]
)


def token_table(
    target: Vocabulary, source: Vocabulary, token_map: TokenMap, dense: NDArray[np.int64] | None = None
) -> pl.DataFrame:
    """Return how each target token is made, from its token map.

    Columns: id, token, surface; origin (`ORIGINS`); source_id, null unless copied; and what it is made of: sources,
    source_surfaces, weights; dense, whether the method added a dense row: to the tokens `dense`.
    """
    parts = pl.DataFrame(
        {
            "id": np.repeat(np.arange(len(target)), np.diff(token_map.weights.indptr)),
            "sources": token_map.weights.indices,
            "source_surfaces": pl.Series(source.surfaces, dtype=pl.String).gather(token_map.weights.indices),
            "weights": token_map.weights.data,
        }
    )
    table = pl.DataFrame(
        {
            "id": np.arange(len(target)),
            "token": target.tokens,
            "surface": target.surfaces,
            "origin": np.array(ORIGINS)[token_map.origin],
            "source_id": pl.Series(token_map.copies).replace(-1, None),
            "dense": np.isin(np.arange(len(target)), [] if dense is None else dense),
        }
    )
    made = table.join(parts.group_by("id", maintain_order=True).agg(pl.all()), on="id", how="left", maintain_order="left")
    empty = pl.col("sources", "source_surfaces", "weights").fill_null([])
    return made.with_columns(empty).select(TOKENS_SCHEMA.names()).cast(TOKENS_SCHEMA)


def write_model_folder(
    model: PreTrainedModel, tokenizer_folder: Path, folder: Path, tokens: pl.DataFrame, card: str, provenance: Provenance
) -> None:
    """Write `model` as a folder that `from_pretrained` loads after `import lexigraft`, the weights last.

    Args:
        model: factorized masked language model, on any device.
        tokenizer_folder: has `tokenizer.json` and `tokenizer_config.json`, which are copied.
        folder: is made where it does not exist; files in it are replaced one by one, each atomically.
        tokens: `token_table`, or that of the model's step 0.
        card: text of the model card, `README.md`.
        provenance: its stage is `initialization` or `pretraining`.

    Raises:
        ArtifactError: a tokenizer file does not exist.
    """
    for name in TOKENIZER_FILES:
        if not (tokenizer_folder / name).is_file():
            raise ArtifactError("the tokenizer's file does not exist", where=tokenizer_folder / name, hint="make it again")
    write_text(folder / "config.json", model.config.to_json_string())
    for name in TOKENIZER_FILES:
        with (tokenizer_folder / name).open("rb") as source, atomic_file(folder / name) as target:
            shutil.copyfileobj(source, target)
    write_table(folder / "tokens.parquet", tokens.cast(TOKENS_SCHEMA), provenance)
    write_text(folder / "README.md", card)
    write_tensors(
        folder / WEIGHTS,
        weights_without_duplicates(model),
        with_companions(provenance, folder, (*TOKENIZER_FILES, *_PLAIN_FILES)),
        {INPUT_TABLE: input_table(model)},
    )


def input_table(model: PreTrainedModel) -> list[str]:
    """Names of the model's input embeddings: those of F and P, or of the plain table."""
    embeddings = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is embeddings)
    return sorted(f"{name}.{parameter}" for parameter, _ in embeddings.named_parameters())


def weights_without_duplicates(model: PreTrainedModel) -> dict[str, NDArray[np.float32]]:
    """Parameters of the model by name, as float32 arrays on the CPU, each shared one once."""
    tied = model.all_tied_weights_keys
    return {
        name: value.detach().to("cpu", torch.float32).numpy() for name, value in model.state_dict().items() if name not in tied
    }
