"""New tokens and merges for a byte-pair vocabulary, byte-level or not.

Training continues where the source's ended: the source tokenizer segments the words, and merges of the resulting tokens are
learned and appended. All source merges keep their priority, so the segmentation of a text changes only where a new merge joins
tokens of the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexigraft.tokenizers.extension.merges import learn_merges
from lexigraft.tokenizers.extension.wordpiece import check_number
from lexigraft.tokenizers.surfaces import family_of
from lexigraft.tokenizers.words import WordCounts, character_coverage

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def extend_bpe(description: Mapping[str, Any], words: WordCounts, new_tokens: int, coverage: float) -> dict[str, Any]:
    """Return the description of a BPE tokenizer with new tokens in its vocabulary and the merges that build them.

    Args:
        description: the content of `tokenizer.json`, its vocabulary without gaps.
        words: words of the new languages, from the tokenizer's own front end.
        new_tokens: how many tokens to add: first missing characters (a byte-level tokenizer lacks none), then merges.
        coverage: characters beyond this share of the text are not added.

    Raises:
        InputError: the text holds more new characters than that, or fewer new tokens.
    """
    characters = _missing_characters(description, words, coverage)
    with_characters = _with_tokens(description, characters, [])
    vocabulary: dict[str, int] = with_characters["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    sequences, counts = _segmented(with_characters, words)
    prefix = description["model"].get("continuing_subword_prefix") or ""
    wanted = new_tokens - len(characters)
    # two ways to build one token, or a token that the source has but never builds, take merges without adding a token
    asked = wanted + wanted // 20 + 16
    while True:
        learned = learn_merges(sequences, counts, asked) if wanted > 0 else []
        merges = list(dict.fromkeys((_joined(left, tokens, prefix), _joined(right, tokens, prefix)) for left, right in learned))
        made = [left + right.removeprefix(prefix) for left, right in merges]
        fresh = [token for token in dict.fromkeys(made) if token not in vocabulary]
        if len(fresh) >= wanted or len(learned) < asked:
            break
        asked += max(wanted - len(fresh), asked // 5)
    check_number(new_tokens, len(characters), len(characters) + len(fresh))
    needed = made.index(fresh[wanted - 1]) + 1 if wanted > 0 else 0
    return _with_tokens(with_characters, fresh[:wanted], merges[:needed])


def _missing_characters(description: Mapping[str, Any], words: WordCounts, coverage: float) -> list[str]:
    if family_of(description) == "byte_level":
        return []
    vocabulary = description["model"]["vocab"]
    covered = character_coverage(words, coverage)[0]
    prefix = description["model"].get("continuing_subword_prefix") or ""
    forms = dict.fromkeys(form for character in sorted(covered) for form in (character, prefix + character))
    return [form for form in forms if form not in vocabulary]


def _segmented(description: Mapping[str, Any], words: WordCounts) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Token ids of each word under the tokenizer's merges; a word is cut at an unknown token."""
    from tokenizers import Tokenizer

    model = description["model"]
    vocabulary = model["vocab"]
    unknown = {index for token, index in vocabulary.items() if token == model.get("unk_token") or _BYTE.fullmatch(token)}
    segment = Tokenizer.from_str(json.dumps(description)).model.tokenize
    sequences, counts = list[list[int]](), list[int]()
    for word, count in zip(words.words, words.counts.tolist(), strict=True):
        runs: list[list[int]] = [[]]
        for token in segment(word):
            if token.id not in unknown:
                runs[-1].append(token.id)
            else:
                runs.append([])
        sequences += runs
        counts += [count] * len(runs)
    return sequences, np.array(counts, dtype=np.int64)


def _joined(symbols: tuple[int, ...], tokens: list[str], prefix: str) -> str:
    first, *rest = (tokens[symbol] for symbol in symbols)
    return first + "".join(token.removeprefix(prefix) for token in rest)


def _with_tokens(description: Mapping[str, Any], tokens: list[str], merges: list[tuple[str, str]]) -> dict[str, Any]:
    model = description["model"]
    start = len(model["vocab"])
    vocabulary = {**model["vocab"], **{token: start + index for index, token in enumerate(tokens)}}
    old = model["merges"]
    # older files write a merge as one string
    as_text = bool(old) and isinstance(old[0], str)
    present = {tuple(merge.split(" ") if as_text else merge) for merge in old}
    new = [merge for merge in merges if merge not in present]
    written = [" ".join(merge) if as_text else list(merge) for merge in new]
    return {**description, "model": {**model, "vocab": vocabulary, "merges": [*old, *written]}}
