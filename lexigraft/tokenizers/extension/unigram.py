"""New pieces for a unigram vocabulary, with log-probabilities on the source's scale."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from lexigraft.tokenizers.extension.wordpiece import check_number
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, Piece, VocabularyTooLargeError, train_pieces
from lexigraft.tokenizers.words import WordCounts, character_coverage

log = logging.getLogger(__name__)


def extend_unigram(description: Mapping[str, Any], words: WordCounts, new_tokens: int, coverage: float) -> dict[str, Any]:
    """Return the description of a unigram tokenizer with new pieces in its vocabulary.

    A unigram vocabulary is learned on the new text; its best pieces that the source lacks are added, characters first. Their
    log-probabilities are shifted by the median difference, source minus new, over the pieces that both have: the
    mixture then treats the new text as that share of the source's text.

    Args:
        description: the content of `tokenizer.json`, its vocabulary without gaps.
        words: words of the new languages, from the tokenizer's own front end.
        new_tokens: how many pieces to add.
        coverage: characters beyond this share of the text get no piece.

    Raises:
        InputError: the text holds more new characters than that, or fewer new pieces.
    """
    model = description["model"]
    source: dict[str, float] = dict(map(tuple, model["vocab"]))
    unknown = model["vocab"][model["unk_id"]][0] if model["unk_id"] is not None else None
    added_tokens = {token["content"] for token in description.get("added_tokens") or []}
    text_pieces = {piece: score for piece, score in source.items() if piece not in added_tokens and piece != unknown}
    covered = character_coverage(words, coverage)[0]
    check_number(new_tokens, len(covered - source.keys()), largest=new_tokens)
    # every character needs a piece in training, known or not; one more for how SentencePiece rounds the coverage
    size = len(SPECIAL_TOKENS) + max(new_tokens + _pieces_in_use(description, words), len(covered) + 1)
    learned = _learned(words, set(source), size, new_tokens, coverage)
    fresh = [piece for piece in learned if piece[0] not in source]
    characters = [piece for piece in fresh if len(piece[0]) == 1]
    check_number(new_tokens, len(characters), len(fresh))
    longer = [piece for piece in fresh if len(piece[0]) > 1]
    chosen = sorted([*characters, *longer[: new_tokens - len(characters)]], key=lambda piece: (-piece[1], piece[0]))
    shift = _shift(text_pieces, dict(learned))
    # the unknown token is scored relative to the worst piece, which must not change
    worst = min(text_pieces.values())
    pieces = [[piece, max(score + shift, worst)] for piece, score in chosen]
    return {**description, "model": {**model, "vocab": [*model["vocab"], *pieces]}}


def _learned(words: WordCounts, known: set[str], size: int, new_tokens: int, coverage: float) -> list[Piece]:
    """Pieces of the text, best first: `new_tokens` of them are not `known` if it has so many; `size` is a first guess."""
    largest: int | None = None
    while True:
        try:
            pieces = train_pieces(words, size, coverage)[len(SPECIAL_TOKENS) :]
        except VocabularyTooLargeError as error:
            if error.largest >= size:
                raise
            size = largest = error.largest
            continue
        fresh = sum(piece not in known for piece, _ in pieces)
        if fresh >= new_tokens or size == largest:
            return sorted(pieces, key=lambda piece: (-piece[1], piece[0]))
        size += max(new_tokens - fresh, size // 20)
        size = size if largest is None else min(size, largest)


def _pieces_in_use(description: Mapping[str, Any], words: WordCounts) -> int:
    """Number of source pieces that occur when the source segments the new text."""
    from tokenizers import Tokenizer

    segment = Tokenizer.from_str(json.dumps(description)).model.tokenize
    return len({token.id for word in words.words for token in segment(word)})


def _shift(source: Mapping[str, float], learned: Mapping[str, float]) -> float:
    """What to add to new log-probabilities: the median difference over shared pieces; without any, that of the best pieces."""
    shared = sorted(source.keys() & learned.keys())
    differences = [source[piece] - learned[piece] for piece in shared] or [max(source.values()) - max(learned.values())]
    shift = float(np.median(differences))
    log.info("%d pieces are shared; new log-probabilities are shifted by %.2f", len(shared), shift)
    return shift
