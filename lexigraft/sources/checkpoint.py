"""Reading checkpoints of transformers: configuration and weights, under the names of a family's masked language model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from lexigraft.errors import InputError
from lexigraft.modeling.classes import class_of, embedding_width
from lexigraft.modeling.families.family import Family
from lexigraft.sources.torch_files import torch_file

log = logging.getLogger(__name__)

Weights = dict[str, NDArray[np.float32]]
_HINT = "name a folder that holds a whole checkpoint of transformers: config.json, weights as safetensors, tokenizer.json"


def has_mlm_head(names: Iterable[str], family: Family) -> bool:
    """Whether weights of these names have the transform of a masked-language-modeling head."""
    return f"{family.head_dense}.weight" in set(names)


def read_config(path: Path) -> dict[str, Any]:
    """Read a checkpoint's `config.json`."""
    file = path / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        # what is written is float32, whatever was read, and names no code or place outside
        return {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype", "auto_map", "_name_or_path")}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"the model's configuration cannot be read ({error})", where=file, hint=_HINT) from error


def read_weights(path: Path) -> Weights:
    """Read all weights of a checkpoint as float32: safetensors, else torch files with `weights_only=True`.

    Raises:
        InputError: there are none, a file is damaged, or a tensor holds NaN or infinity.
    """
    weights: Weights = {}
    for file in weight_files(path):
        try:
            tensors = load_file(file) if file.suffix == ".safetensors" else torch_file(file)
        # torch's reader of pickles raises any kind of exception
        except Exception as error:
            problem = f"the weights cannot be read ({' '.join(str(error).split())[:200]})"
            raise InputError(problem, where=file, hint="download the file again, or convert it to safetensors") from error
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                weights[name] = tensor.float().numpy()
                if not np.isfinite(weights[name]).all():
                    raise InputError(
                        f"the tensor {name!r} holds NaN or infinity", where=file, hint="use an undamaged checkpoint"
                    )
    return weights


def weight_files(path: Path) -> list[Path]:
    """Files with the weights: one, or those that an index names; safetensors before torch files.

    Raises:
        InputError: there are none, or the index cannot be read.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return [path / name]
        index = path / f"{name}.index.json"
        if index.is_file():
            return _indexed(index)
    raise InputError("the folder holds no weights", where=path, hint=_HINT)


def _indexed(index: Path) -> list[Path]:
    """Files that an index names, in its own folder; any other path is refused."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        away = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"the index of the weights cannot be read ({error})", where=index, hint=_HINT) from error
    if away:
        raise InputError(f"the index names a file outside of the checkpoint's folder, {away[0]!r}", where=index, hint=_HINT)
    return [index.parent / name for name in names]


def masked_lm_names(weights: Weights, family: Family, where: Path) -> Weights:
    """Weights under the names of the family's masked language model, without copies of tied ones, poolers and other heads.

    Raises:
        InputError: the word embeddings are missing.
    """
    base = family.embedding.split(".")[0]
    tied = _tied(class_of(family, "language_model", factorized=False), family)
    whole = any(name.startswith(f"{base}.") for name in weights)
    renamed: Weights = {}
    for name, value in weights.items():
        full = name if whole else f"{base}.{name}"
        full = full.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        unwanted = full in tied or ".pooler." in full or "seq_relationship" in full
        if (full.startswith(f"{base}.") or family.in_head(full)) and not unwanted:
            renamed[full] = value
    if f"{family.embedding}.weight" not in renamed:
        raise InputError(f"the weights hold no {family.embedding}.weight", where=where, hint=_HINT)
    return renamed


def _tied(plain: Any, family: Family) -> set[str]:
    """Parameters of a class that are those of another; not the output table of a family that has one of its own."""
    output = family.table("output")
    return set(plain._tied_weights_keys or {}) - ({output.weight} if output.tied_to is None else set())


def one_head(config: dict[str, Any], weights: Weights, family: Family) -> tuple[dict[str, Any], Weights]:
    """Configuration and weights with the head as the family's class has it, whatever the head of the checkpoint is.

    A head under other names (`Family.renamed_head`) gets the family's; the transform of a classifier is left out.
    """
    renamed_prefixes = tuple(prefix for prefix, _ in family.renamed_head)
    has_renamed = any(name.startswith(renamed_prefixes) for name in weights)
    has_other_options = any(config.get(key, value) != value for key, value in family.head_options)
    if has_renamed and (has_other_options or not has_mlm_head(weights, family)):
        kept = {name: value for name, value in weights.items() if not family.in_head(name)}
        weights = {_family_name(name, family): value for name, value in kept.items()}
    bias = family.output_bias(config)
    if family.classifiers_share_head and bias is not None and bias not in weights:
        weights = {name: value for name, value in weights.items() if not family.in_head(name)}
    return config | dict(family.head_options), weights


def _family_name(name: str, family: Family) -> str:
    """The family's name of a parameter of a renamed head; any other name stays."""
    for prefix, replacement in family.renamed_head:
        if name.startswith(prefix):
            return replacement + name.removeprefix(prefix)
    return name


def check_whole(weights: Weights, family: Family, config: dict[str, Any], where: Path) -> None:
    """Raise InputError unless the weights are all those of the family's masked language model, with or without its head.

    Args:
        weights: by the names of that class, without copies of tied ones; those that it does not have are removed.
        config: content of `config.json`; the model is built from it on the meta device, which takes no memory.
    """
    layers = config.get(family.layers_key, 0)
    # the model takes no memory for its weights, but for its modules
    if not isinstance(layers, int) or layers > len(weights):
        problem = f"config.json says {layers!r} layers, the weights are {len(weights)} tensors"
        raise InputError(problem, where=where, hint="take config.json and weights of one model")
    try:
        plain = class_of(family, "config", factorized=False).from_dict(config)
        with torch.device("meta"):
            model = class_of(family, "language_model", factorized=False)(plain)
    # configuration classes and models raise any kind of exception
    except Exception as error:
        problem = f"no model can be made by config.json ({' '.join(str(error).split())[:200]})"
        raise InputError(problem, where=where, hint=_HINT) from error
    tied = _tied(type(model), family)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in tied}
    if not any(family.in_head(name) for name in weights):
        if embedding_width(plain) != plain.hidden_size:
            raise InputError(
                f"the model has no masked-language-modeling head, and none can be added: its word embeddings are "
                f"{embedding_width(plain)} wide, its hidden states {plain.hidden_size}",
                where=where,
                hint="use a checkpoint with its head, or a model without embedding_size",
            )
        expected = {name: shape for name, shape in expected.items() if not family.in_head(name)}
    missing = sorted(expected.keys() - weights.keys())
    if missing:
        raise InputError(f"the checkpoint lacks {len(missing)} tensors, such as {missing[0]!r}", where=where, hint=_HINT)
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise InputError(
                f"the tensor {name!r} is {weights[name].shape}, but by config.json it should be {shape}",
                where=where,
                hint="take config.json and weights of one model",
            )
    for name in sorted(weights.keys() - expected.keys()):
        log.info("not used: %s", name)
        del weights[name]
