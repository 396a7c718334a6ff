"""Opening tokenizers from outside: a hub id, a folder, a `tokenizer.json` or a SentencePiece `.model`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft.errors import InputError
from lexigraft.tokenizers.fast import CONFIG_FILE, TOKENIZER_FILE, configuration, fast_tokenizer
from lexigraft.tokenizers.sentencepiece_model import sentencepiece_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

_RARE = "a \U000e0fff"
_NOT_FAST = (
    "use a tokenizer with a tokenizer.json, or convert it with `AutoTokenizer.from_pretrained(...).save_pretrained(...)`"
)


def open_tokenizer(path: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """Open a tokenizer and return it as a plain fast one, whatever its class was.

    A `tokenizer.json` alone decides how text is segmented; the class named in `tokenizer_config.json` only gives special tokens
    their roles.

    Args:
        path: a folder, a `tokenizer.json`, or a SentencePiece `.model` file.
        trust_remote_code: run code that a folder brings along.

    Raises:
        InputError: the path does not exist, cannot be read, or has no fast version.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".json" and (path.parent / CONFIG_FILE).is_file() and path.name == TOKENIZER_FILE:
        path = path.parent
    if path.is_dir():
        tokenizer = _from_folder(path, trust_remote_code)
    elif not path.is_file():
        raise InputError("the tokenizer does not exist", where=path)
    elif path.suffix == ".model":
        tokenizer = sentencepiece_tokenizer(path)
    elif path.suffix == ".json":
        tokenizer = _from_bare_file(path)
    else:
        raise InputError(
            f"{path.name!r} is not a tokenizer",
            where=path,
            hint="name a folder, a tokenizer.json or a SentencePiece .model file",
        )
    try:
        tokenizer.backend_tokenizer.encode(_RARE)
    # such as an unknown token that is none of the tokens
    except Exception as error:
        raise InputError(f"the tokenizer cannot segment text ({error})", where=path, hint="download it again") from error
    missing = [role for role in ("bos", "eos", "pad", "unk", "mask") if _token(tokenizer, role) is None]
    if missing:
        log.warning("the tokenizer has no token for: %s", ", ".join(missing))
    return tokenizer


def _token(tokenizer: PreTrainedTokenizerFast, role: str) -> str | None:
    also = {"bos": "cls", "eos": "sep"}.get(role, role)
    token: str | None = getattr(tokenizer, f"{role}_token") or getattr(tokenizer, f"{also}_token")
    return token


def _from_folder(folder: Path, trust_remote_code: bool) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    try:
        named: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    # tokenizer classes raise exceptions of any kind
    except Exception as error:
        raise InputError(
            f"the tokenizer cannot be read ({' '.join(str(error).split())[:300]})", where=folder, hint=_NOT_FAST
        ) from error
    if not named.is_fast:
        raise InputError(f"the tokenizer (a {type(named).__name__}) has no fast version", where=folder, hint=_NOT_FAST)
    file = folder / TOKENIZER_FILE
    backend = _read(file) if file.is_file() else named.backend_tokenizer
    attributes = configuration(named)
    del attributes["tokenizer_class"]
    return fast_tokenizer(backend, attributes)


def _from_bare_file(file: Path) -> PreTrainedTokenizerFast:
    """Open a `tokenizer.json` without a `tokenizer_config.json` that gives its special tokens roles.

    The unknown token is named by the model, those at the ends of a text by the post-processor, the padding by the padding
    settings. Remaining roles go to tokens that the file declares special and that have the usual names.
    """
    backend = _read(file)
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        roles = _roles_from_structure(description)
        special = {token["content"] for token in description.get("added_tokens") or [] if token.get("special")}
    # the library written in Rust reads more leniently
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        problem = f"the file is not a tokenizer.json ({' '.join(str(error).split())[:200]})"
        raise InputError(problem, where=file, hint="download it again") from error
    for role, names in (("mask", ("<mask>", "[MASK]")), ("pad", ("<pad>", "[PAD]")), ("unk", ("<unk>", "[UNK]"))):
        usual = [name for name in names if name in special]
        if role not in roles and usual:
            log.info("no %s beside %s: %r is used as its %s token because of its name", CONFIG_FILE, file.name, usual[0], role)
            roles[role] = usual[0]
    attributes = {f"{role}_token": token for role, token in roles.items()}
    also = {"cls_token": roles.get("bos"), "sep_token": roles.get("eos")}
    return fast_tokenizer(backend, attributes | {name: token for name, token in also.items() if token is not None})


def _roles_from_structure(description: dict[str, Any]) -> dict[str, str]:
    model, processor, padding = description["model"], description.get("post_processor"), description.get("padding")
    roles: dict[str, str] = {}
    if model.get("unk_token"):
        roles["unk"] = model["unk_token"]
    elif model.get("unk_id") is not None:
        roles["unk"] = model["vocab"][model["unk_id"]][0]
    if padding:
        roles["pad"] = padding["pad_token"]
    for part in (processor or {}).get("processors") or [processor or {}]:
        if part.get("type") in ("BertProcessing", "RobertaProcessing"):
            roles |= {"bos": part["cls"][0], "eos": part["sep"][0]}
        if part.get("type") == "TemplateProcessing":
            roles |= _roles_from_template(part)
    return roles


def _roles_from_template(processor: dict[str, Any]) -> dict[str, str]:
    """The special token before the text and the one after it, in a template such as `[CLS] $A [SEP]`."""
    names = [piece.get("SpecialToken", {}).get("id") for piece in processor["single"]]
    text = next(index for index, piece in enumerate(processor["single"]) if "Sequence" in piece)

    def token(found: list[str | None]) -> str | None:
        first = next((name for name in found if name is not None), None)
        return None if first is None else str(processor["special_tokens"][first]["tokens"][0])

    ends = {"bos": token(names[:text]), "eos": token(names[text + 1 :])}
    return {role: name for role, name in ends.items() if name is not None}


def _read(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    # the parser written in Rust raises bare exceptions
    except Exception as error:
        raise InputError(
            f"the file is not a tokenizer.json ({' '.join(str(error).split())[:200]})", where=file, hint="download it again"
        ) from error
