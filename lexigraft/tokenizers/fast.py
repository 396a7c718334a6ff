"""Fast tokenizers of transformers: made from a tokenizer of `tokenizers`, and written as two files that load everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft.artifacts import write_json, write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILES = TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
ROLE_ATTRIBUTES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# transformers writes "no limit" as a number larger than this
_NO_LIMIT = 10**20


def fast_tokenizer(backend: Tokenizer, attributes: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of transformers around `backend`, without the truncation and padding that may be set in it.

    Args:
        backend: segments the text.
        attributes: special tokens by attribute (`bos_token`, …) and other entries of `tokenizer_config.json`.
    """
    from transformers import PreTrainedTokenizerFast

    backend.no_truncation()
    backend.no_padding()
    make: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = make(tokenizer_object=backend, **attributes)
    return tokenizer


def role_attributes(special_tokens: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of special tokens given by role; bos is cls as well, and eos is sep."""
    attributes = {f"{role}_token": token for role, token in special_tokens.items()}
    return attributes | {"cls_token": special_tokens["bos"], "sep_token": special_tokens["eos"]}


def configuration(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`: special tokens by role, length limit, sides.

    The class is named `PreTrainedTokenizerFast`, so that transformers 4 and 5 take `tokenizer.json` as it is; a class named for
    a model (`BertTokenizer`) would rebuild normalizer and pre-tokenizer from its own defaults.
    """
    values: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ROLE_ATTRIBUTES if getattr(tokenizer, name) is not None
    }
    extra = [str(token) for token in tokenizer.extra_special_tokens if str(token) not in values.values()]
    if extra:
        values["additional_special_tokens"] = extra
    if tokenizer.model_max_length < _NO_LIMIT:
        values["model_max_length"] = tokenizer.model_max_length
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": list(tokenizer.model_input_names),
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        **values,
    }


def write_tokenizer_files(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, each atomically; they load with `AutoTokenizer.from_pretrained`."""
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    description["truncation"] = description["padding"] = None
    write_text(folder / TOKENIZER_FILE, json.dumps(description, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_json(folder / CONFIG_FILE, configuration(tokenizer))
