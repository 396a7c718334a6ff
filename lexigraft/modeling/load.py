"""Loading models that lexigraft made."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers.modeling_utils import PreTrainedModel

from lexigraft.artifacts import PROVENANCE_KEY, check, check_companion
from lexigraft.errors import ArtifactError, InputError, LexigraftError
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.families import PREFIX, family_of

log = logging.getLogger(__name__)

STAGES = ("initialized_model", "pretraining")


def load_model(folder: Path, *, must_be_sealed: bool = True) -> PreTrainedModel:
    """Load a masked language model of lexigraft, factorized or not, from a local folder; nothing is looked up on a hub.

    The encoder alone is `load_model(folder).base_model`.

    Args:
        folder: `<results>/models/<model>/step-<n>`, or a copy of it.
        must_be_sealed: refuse weights without a seal. Without it a model that was trained further elsewhere and saved by
            transformers is loaded as well; a seal that is there is checked in any case.

    Returns:
        the model on the CPU, float32, in evaluation mode.

    Raises:
        InputError: the folder does not hold a model of lexigraft.
        ArtifactError: weights or `config.json` are truncated, altered, made by another stage, or do not fit.
    """
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    model_type = _model_type(config_path)
    sealed, factorized = _is_sealed(weights_path), model_type.startswith(PREFIX)
    if not sealed and not factorized:
        raise InputError(
            f"not a model of lexigraft: its config.json says model_type {model_type!r}, and its weights have no seal",
            where=folder,
            hint="name a folder <results>/models/<model>/step-<n>",
        )
    if must_be_sealed or sealed:
        check(weights_path, STAGES)
        check_companion(config_path)
    else:
        log.warning("%s has no seal of lexigraft: it was saved by another program and cannot be checked", weights_path)
    kind = class_of(family_of(model_type, where=config_path), "language_model", factorized=factorized)
    return load_whole(kind, folder, ArtifactError, "make it again", "make the model again")


def load_whole(kind: Any, folder: Path, refusal: type[LexigraftError], hint: str, misfit_hint: str) -> PreTrainedModel:
    """`kind.from_pretrained` of a folder, float32; `refusal` where it fails, ArtifactError unless all weights fit."""
    try:
        loaded: tuple[PreTrainedModel, dict[str, set[Any]]] = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        message = " ".join(str(error).split())[:300]
        raise refusal(f"the model cannot be loaded: {message}", where=folder, hint=hint) from error
    model, report = loaded
    wrong = sorted(str(name) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in report[key])
    if wrong:
        raise ArtifactError(f"weights do not fit config.json: {', '.join(wrong[:5])}", where=folder, hint=misfit_hint)
    return model


def _model_type(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
    except FileNotFoundError:
        raise InputError(
            "no model: there is no config.json", where=path.parent, hint="name a folder <results>/models/<model>/step-<n>"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"config.json cannot be read ({error!r})", where=path, hint="name a folder with a model") from None


def _is_sealed(path: Path) -> bool:
    if not path.is_file():
        return True  # the check says that it is missing
    try:
        with safe_open(str(path), framework="pt") as handle:
            return PROVENANCE_KEY in (handle.metadata() or {})
    except (SafetensorError, OSError):
        return True  # it may be a damaged artifact
