"""Export: the embeddings multiplied out, for plain transformers without lexigraft."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from lexigraft.artifacts import umask
from lexigraft.errors import InputError, nearest
from lexigraft.modeling.card import exported_card
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.factorized import FactorizedEmbedding
from lexigraft.modeling.families import family_of
from lexigraft.modeling.load import load_model

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_NOT_TAKEN_OVER = ("model_type", "architectures", "transformers_version", "_name_or_path", "factor_dim", "dtype")
_OWN_FILES = frozenset({"config.json", "README.md"})
_BLOCK_ROWS = 1 << 16


def export_model(folder: Path, out: Path, dtype: str = "float32") -> None:
    """Write the model of `folder` with E = F P as the plain class of transformers, such as `RobertaForMaskedLM`.

    A model that is not factorized (D' = `full`) is that already: it is written again in `dtype`. Tokenizer, model card and the
    table of tokens go along. The folder appears as a whole or not at all.

    Args:
        folder: a model of lexigraft, or one that was trained further and saved by transformers.
        out: where to write; must not exist or be empty.
        dtype: of the written weights, one of `DTYPES`.

    Raises:
        InputError: `folder` is not a model of lexigraft, `out` holds something, or `dtype` is unknown.
        ArtifactError: the model is damaged.
    """
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}: {nearest(dtype, DTYPES)}", where="--dtype")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("the output folder exists and is not empty", where=out, hint="name a new folder, or empty this one")
    plain: Any = multiplied_out(load_model(folder, must_be_sealed=False))
    plain.to(dtype=DTYPES[dtype])
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        plain.save_pretrained(temporary)
        _copy_companions(folder, temporary)
        temporary.chmod(0o777 & ~umask())
        if out.exists():
            out.rmdir()
        temporary.replace(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    size = sum(parameter.numel() for parameter in plain.parameters()) / 1e6
    log.info("exported %s with %.1f M parameters in %s to %s", type(plain).__name__, size, dtype, out)


def multiplied_out(model: PreTrainedModel) -> PreTrainedModel:
    """Return the plain model of transformers with embeddings E = F P that gives the same logits; float32, on the CPU.

    A model that is not factorized is returned as it is. Memory: that of the plain model in addition. The two share all other
    weights.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, FactorizedEmbedding):
        return model
    family = family_of(model.config.model_type)
    values: dict[str, Any] = {key: value for key, value in model.config.to_dict().items() if key not in _NOT_TAKEN_OVER}
    config = class_of(family, "config", factorized=False)(**values, dtype="float32")
    tied = model.all_tied_weights_keys
    state = {name: value for name, value in model.state_dict().items() if name not in tied}
    for name in ("coordinates", "primitives"):
        del state[f"{family.embedding}.{name}"]
    state[f"{family.embedding}.weight"] = multiply(embedding.coordinates.detach(), embedding.primitives.detach())
    kind = class_of(family, "language_model", factorized=False)
    plain: PreTrainedModel = kind.from_pretrained(None, config=config, state_dict=state, dtype=torch.float32)
    return plain


def multiply(coordinates: Tensor, primitives: Tensor) -> Tensor:
    """(V, D) float32 product of F (V, D') and P (D', D), summed in float64 in blocks of rows."""
    product = torch.empty(len(coordinates), primitives.shape[1], dtype=torch.float32)
    for start in range(0, len(coordinates), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        product[rows] = (coordinates[rows].double() @ primitives.double()).float()
    return product


def _copy_companions(folder: Path, out: Path) -> None:
    """Copy every other file of the model's folder (tokenizer, table of tokens), and the card with how to load it now."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in _OWN_FILES and not path.name.startswith((".", "model.safetensors")):
            shutil.copyfile(path, out / path.name)
    card = folder / "README.md"
    if card.is_file():
        (out / "README.md").write_text(exported_card(card.read_text(encoding="utf-8")), encoding="utf-8")
