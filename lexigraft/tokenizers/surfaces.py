"""Standardized token strings: one way to write tokens of every tokenizer family, so that vocabularies can be compared.

A leading space marks the start of a word (docs/methods.md, section 4; Liu et al. 2024, OFA, section 3.2). The family is read
from the tokenizer's own description (`tokenizer.json`), never guessed from the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from lexigraft.errors import InputError

Family = Literal["wordpiece", "byte_level", "sentencepiece"]
METASPACE = "▁"
_ASCII_BYTE = re.compile("<0x[0-7][0-9A-F]>")


def family_of(description: Mapping[str, Any]) -> Family:
    """Tell how the tokenizer of a `tokenizer.json` marks the starts of words.

    Raises:
        InputError: the tokenizer marks them in no known way.
    """
    model = description["model"]
    parts = [part for key in ("normalizer", "pre_tokenizer", "decoder") for part in _components(description.get(key))]
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return "byte_level"
    if "Metaspace" in kinds or METASPACE in {part.get("content") for part in parts}:
        return "sentencepiece"
    if model.get("type") == "WordPiece" or model.get("continuing_subword_prefix"):
        return "wordpiece"
    raise InputError(
        f"the tokenizer (model {model.get('type')!r}, with {sorted(kinds)}) marks the starts of words in no known way",
        hint="use a WordPiece, SentencePiece or byte-level BPE tokenizer",
    )


def surfaces(description: Mapping[str, Any], tokens: Sequence[str]) -> list[str]:
    """Return the standardized string of each token.

    SentencePiece `▁x` and byte-level `Ġx` become ` x`; WordPiece `##x` becomes `x` and other WordPiece tokens ` x`. Byte-level
    tokens are decoded; those that are not valid UTF-8 become `<0xE2><0x96>`, the way SentencePiece writes bytes. In a
    SentencePiece model with byte fallback, ASCII bytes become their character (`<0x0A>` is how it writes a line break,
    where others have a token). Added tokens, including special ones, are not changed.

    Args:
        description: the content of `tokenizer.json`.
        tokens: strings of the tokenizer's vocabulary.

    Raises:
        InputError: see `family_of`.
    """
    family = family_of(description)
    added = {token["content"] for token in description.get("added_tokens") or []}
    prefix = description["model"].get("continuing_subword_prefix") or "##"
    falls_back = description["model"].get("byte_fallback")

    def standard(token: str) -> str:
        if token in added:
            return token
        if family == "byte_level":
            return _decoded(token)
        if family == "sentencepiece":
            return chr(int(token[3:5], 16)) if falls_back and _ASCII_BYTE.fullmatch(token) else token.replace(METASPACE, " ")
        return token.removeprefix(prefix) if len(token) > len(prefix) and token.startswith(prefix) else f" {token}"

    return [standard(token) for token in tokens]


@cache
def bytes_by_character() -> dict[str, int]:
    """The characters in which byte-level tokenizers write bytes (Radford et al. 2019, GPT-2; `bytes_to_unicode` in its code).

    Printable bytes of Latin-1 are themselves; the others, in order, are the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def _decoded(token: str) -> str:
    table = bytes_by_character()
    if not all(character in table for character in token):
        return token
    raw = bytes(table[character] for character in token)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in raw)


def _components(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """All components of a normalizer, pre-tokenizer or decoder, those inside sequences too."""
    if part is None:
        return
    yield part
    for key in ("normalizers", "pretokenizers", "decoders"):
        for inner in part.get(key) or []:
            yield from _components(inner)
