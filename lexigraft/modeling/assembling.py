"""The initialized model: target coordinates and source primitives as embeddings, everything else from the source model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from lexigraft.artifacts import read_tensors
from lexigraft.errors import ArtifactError, InputError
from lexigraft.modeling.added_head import added_head
from lexigraft.modeling.classes import class_of, embedding_width
from lexigraft.modeling.families import source_family
from lexigraft.modeling.families.family import Family
from lexigraft.token_maps.token_map import TokenMap
from lexigraft.tokenizers.vocabulary import Vocabulary

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
_NOT_TAKEN_OVER = ("model_type", "architectures", "transformers_version", "_name_or_path", "dtype", "torch_dtype")


def assemble(
    source_folder: Path,
    rows: Floats,
    primitives: Floats | None,
    token_map: TokenMap,
    target: Vocabulary,
    *,
    output_rows: Floats | None = None,
    parity: bool = False,
    balanced: bool = False,
) -> PreTrainedModel:
    """Build the masked language model of a target vocabulary: with embeddings F P, or without P the plain class with F.

    Encoder, positions, types, LayerNorms and head come from the source. The output bias of a copied token is copied, that of
    every other token is 0. A source without head gets one, whose bias is the log-unigram distribution of the target tokens
    (`added_head`).

    Args:
        source_folder: `config.json` and `model.safetensors` of the source stage.
        rows: F of the target tokens, (V, D'); their embeddings (V, D) where nothing is factorized.
        primitives: P, (D', D); None where nothing is factorized.
        token_map: says which tokens are copied.
        target: the target vocabulary; its roles name the padding, first and last token.
        output_rows: (V, D) rows of the output table, for models where it is not tied to the embeddings.
        parity: copy no output bias, all are 0, as in the published runs of HyperOFA; an added head is what it is.
        balanced: F * sqrt(V_s) and P / sqrt(V_s) instead of F and P: the same function with entries of F near 1.

    Returns:
        the model on the CPU, float32, in evaluation mode; it shares no memory with the arguments.

    Raises:
        InputError: the source is of a family that cannot be grafted, sizes do not fit, or no token has the role `pad`.
        ArtifactError: the source is damaged or lacks weights.
    """
    config_path, weights_path = source_folder / "config.json", source_folder / "model.safetensors"
    source_config, family = read_source_config(config_path)
    _check_sizes(source_config, rows, primitives, target, source_folder)
    if output_rows is not None and primitives is not None:
        problem = "a model whose output table is not tied to its embeddings has no factors that both share"
        raise InputError(problem, where=config_path, hint="use D' = full")
    weights = read_tensors(weights_path, "source")
    has_head = f"{family.head_dense}.weight" in weights
    dim = None if primitives is None else len(primitives)
    config = _target_config(source_config, family, dim, target, has_head, config_path)
    # the old table is replaced; the pooler belongs to the base model's class and is no part of a masked language model
    weights = {
        name: value for name, value in weights.items() if name != f"{family.embedding}.weight" and ".pooler." not in name
    }
    bias_name = family.output_bias(vars(config))
    if has_head and bias_name is not None:
        bias = weights.get(bias_name)
        if bias is None:
            raise ArtifactError(f"the head has no tensor {bias_name!r}", where=weights_path, hint="make the source again")
        copied = (token_map.copies >= 0) & (not parity)
        weights[bias_name] = np.where(copied, bias[token_map.copies], 0).astype(np.float32)
    elif not has_head:
        weights |= added_head(family, config, target.counts)
    if family.positions_from_padding is not None and family.positions in weights:
        weights[family.positions] = _moved_positions(weights[family.positions], source_config.pad_token_id, config.pad_token_id)
    if output_rows is not None:
        weights[family.table("output").weight] = output_rows
    if primitives is None:
        weights[f"{family.embedding}.weight"] = rows
    else:
        scale = np.float32(np.sqrt(source_config.vocab_size if balanced else 1))
        weights |= {f"{family.embedding}.coordinates": rows * scale, f"{family.embedding}.primitives": primitives / scale}
    model = _build(class_of(family, "language_model", factorized=dim is not None), config, weights, weights_path)
    made = ", ".join(f"{count} {origin}" for origin, count in token_map.counts().items())
    log.info("assembled %s: %d tokens (%s), D' = %s", type(model).__name__, len(target), made, dim or "full")
    log.info("%.1f M parameters, head %s", sum(p.numel() for p in model.parameters()) / 1e6, "copied" if has_head else "added")
    return model


def read_source_config(path: Path) -> tuple[PreTrainedConfig, Family]:
    """Read a source model's configuration and find its family.

    Raises:
        InputError: there is none, or models of its type or kind cannot be grafted.
    """
    if not path.is_file():
        raise InputError("the source model has no configuration", where=path, hint="make the source again")
    values, _ = PreTrainedConfig.get_config_dict(path)
    family = source_family(values, path)
    return class_of(family, "config", factorized=False).from_dict(values), family


def role_id(target: Vocabulary, role: str) -> int | None:
    """Id of the first token with `role`, None where no token has it."""
    return target.roles.index(role) if role in target.roles else None


def _check_sizes(config: PreTrainedConfig, rows: Floats, primitives: Floats | None, target: Vocabulary, where: Path) -> None:
    count, dim = rows.shape
    if count != len(target):
        raise InputError(f"{count} rows for {len(target)} target tokens", where=where, hint="initialize again")
    width = embedding_width(config)
    if (primitives is None and dim != width) or (primitives is not None and primitives.shape != (dim, width)):
        shape = "none" if primitives is None else f"primitives of shape {primitives.shape}"
        raise InputError(
            f"rows of width {dim} and {shape} do not make embeddings of width {width}",
            where=where,
            hint="take the factors of this source model",
        )
    if not (np.isfinite(rows).all() and (primitives is None or np.isfinite(primitives).all())):
        raise InputError("the rows or primitives hold NaN or infinity", where=where, hint="initialize again")


def _target_config(
    source: PreTrainedConfig, family: Family, dim: int | None, target: Vocabulary, has_head: bool, where: Path
) -> PreTrainedConfig:
    padding = role_id(target, "pad")
    if padding is None:
        raise InputError("no token of the target tokenizer has the role 'pad'", where=where, hint="use one with a pad token")
    values = {key: value for key, value in source.to_dict().items() if key not in _NOT_TAKEN_OVER}
    values |= {
        "vocab_size": len(target),
        **({} if dim is None else {"factor_dim": dim}),
        "pad_token_id": padding,
        "bos_token_id": role_id(target, "bos"),
        "eos_token_id": role_id(target, "eos"),
        "dtype": "float32",
        "architectures": [class_of(family, "language_model", factorized=dim is not None).__name__],
        **dict(() if has_head else family.added_head_options),
    }
    also = {"cls_token_id": "bos", "sep_token_id": "eos"}
    values |= {name: role_id(target, role) for name, role in also.items() if name in values}
    if family.positions_from_padding is not None:
        if source.pad_token_id is None:
            raise InputError("the source model names no pad_token_id", where=where, hint="add it to its config.json")
        values[family.length_key] += padding - source.pad_token_id
    config: PreTrainedConfig = class_of(family, "config", factorized=dim is not None)(**values)
    return config


def _moved_positions(positions: Floats, old_padding: int, new_padding: int) -> Floats:
    """Position embeddings (fairseq's: the first token of a text is at padding id + 1) moved to another padding id.

    The row of padding and all after it keep their order; rows before it are never looked up and are zero.
    """
    if new_padding == old_padding:
        return positions
    log.info("positions moved from padding id %d to %d", old_padding, new_padding)
    used = positions[old_padding:]
    moved = np.zeros((new_padding + len(used), positions.shape[1]), dtype=np.float32)
    moved[new_padding:] = used
    return moved


def _build(kind: Any, config: Any, weights: dict[str, Floats], where: Path) -> PreTrainedModel:
    # copies: training the model must not change the caller's arrays
    state = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in weights.items()}
    loaded: tuple[PreTrainedModel, dict[str, set[Any]]] = kind.from_pretrained(
        None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    model, report = loaded
    for what, key in (("lacks", "missing_keys"), ("has unknown", "unexpected_keys"), ("has misshapen", "mismatched_keys")):
        if report[key]:
            listed = ", ".join(sorted(map(str, report[key]))[:5])
            raise ArtifactError(f"the source model {what} weights: {listed}", where=where, hint="make the source again")
    return model
