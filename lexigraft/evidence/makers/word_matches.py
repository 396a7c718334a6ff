"""Token-word matching: which words contain which tokens, by the tokenizer's own segmentation.

HyperOFA (arXiv 2504.21018, section 3.2): "a token is matched with a word if that word contains the token as a subword". In the
published runs *contains* means that the tokenizer's segmentation of the word contains the token, for three surface variants.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError
from lexigraft.progress import progress
from lexigraft.tokenizers.segmentation.normalizing import SeparatorLostError
from lexigraft.tokenizers.segmentation.ragged import Ragged
from lexigraft.tokenizers.segmentation.segmenter import Segmenter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

SCHEMA = pl.Schema({"token": pl.Int32, "word": pl.Int32, "count": pl.UInt8})
_BLOCK_WORDS = 1 << 17
_WORD = (1 << 32) - 1

Keys = NDArray[np.int64]


def surface_variants(words: pl.Series) -> list[pl.Series]:
    """The three surface forms of each word that are segmented: as it is, after a space, and capitalized.

    A word that begins with a space (`$` in ColexNet+ keys) is capitalized at its start without the space, any other after one.
    """
    table = pl.DataFrame({"word": words})
    bounded = pl.col("word").str.starts_with(" ") & (pl.col("word").str.len_chars() > 1)
    table = table.with_columns(
        bounded=bounded, bare=pl.when(bounded).then(pl.col("word").str.slice(1)).otherwise("word")
    ).with_columns(first=pl.col("bare").str.slice(0, 1), rest=pl.col("bare").str.slice(1))
    # Python's own upper case, asked once for each character: `ß` becomes `SS`
    first = table["first"].unique()
    upper = pl.DataFrame({"first": first, "upper": [character.upper() for character in first]})
    capitalized = pl.when("bounded").then(pl.lit("")).otherwise(pl.lit(" ")) + pl.col("upper") + pl.col("rest")
    table = table.join(upper, on="first", how="left", maintain_order="left").with_columns(capitalized=capitalized)
    return [table["word"], " " + table["word"], table["capitalized"]]


def match_words(tokenizer: Tokenizer, words: pl.Series, is_text: NDArray[np.bool_], block: int = _BLOCK_WORDS) -> pl.DataFrame:
    """Match every word with the tokens of its segmentations.

    Args:
        tokenizer: a fast tokenizer's Rust object.
        words: (N,) strings.
        is_text: (V,) bool, False for special and unknown tokens, which match nothing.
        block: words segmented at a time (bounds the memory).

    Returns:
        token, word, count (in how many of the three variants the token occurs), sorted by token and word.

    Raises:
        InputError: no word matches any token.
    """
    parts = _match_blocks(Segmenter(tokenizer), words, is_text, block)
    if parts is None:
        parts = _match_blocks(Segmenter(tokenizer, arrays=False), words, is_text, block) or []
    matches = _unpacked(np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *parts])))
    if matches.is_empty():
        raise InputError(
            f"none of the {len(words)} words contains any of the {len(is_text)} tokens",
            hint="the word vectors and the tokenizer are of different languages or scripts",
        )
    log.info("%d of %d tokens match a word, %d pairs", matches["token"].n_unique(), int(is_text.sum()), len(matches))
    return matches


def cap_words(matches: pl.DataFrame, sentences: NDArray[np.int64], most: int) -> pl.DataFrame:
    """Keep for each token at most so many words: those in most sentences, of equals those with the lowest index.

    Args:
        matches: token, word, count, sorted by token and word.
        sentences: (N,) number of sentences with each word; zeros leave the order of the words, which in files is by frequency.
        most: words a token.

    Returns:
        the kept rows, sorted by token and word.
    """
    tokens, words = matches["token"].to_numpy(), matches["word"].to_numpy()
    order = np.lexsort((words, -sentences[words], tokens))
    starts = np.flatnonzero(np.diff(tokens, prepend=-1))
    rank = np.arange(len(tokens)) - np.repeat(starts, np.diff(starts, append=len(tokens)))
    kept = np.sort(order[rank < most])
    log.info("%d pairs are left with at most %d words a token", len(kept), most)
    return matches[kept]


def _match_blocks(segmenter: Segmenter, words: pl.Series, is_text: NDArray[np.bool_], block: int) -> list[Keys] | None:
    """Packed matches, block by block; None as soon as words are not segmented as the tokenizer itself does it."""
    parts = []
    starts = range(0, len(words), block)
    for start in progress(starts, len(starts), "matching", "blocks of words"):
        forms = pl.concat(surface_variants(words[start : start + block]), rechunk=True)
        try:
            segments, numbers = segmenter.segment(forms)
        except SeparatorLostError as error:
            log.warning("%s: all words are segmented by the tokenizer", error)
            return None
        different = segmenter.differs(forms, segments, numbers)
        if different is not None:
            log.warning("arrays segment %r otherwise than the tokenizer, which now segments all words", different)
            return None
        parts.append(_pairs(segments, numbers, is_text, start))
    return parts


def _pairs(segments: Ragged, numbers: NDArray[np.int64], is_text: NDArray[np.bool_], start: int) -> Keys:
    """Packed matches of a block (see `_unpacked`).

    Args:
        segments: token ids of each distinct form.
        numbers: (3 * words,) the form of each word's first variant, then of each one's second, then third.
        is_text: (V,) bool.
        start: index of the block's first word.
    """
    # each form's distinct tokens: a token counts once a variant
    kept = is_text[segments.values]
    keys, _ = _counted((segments.rows()[kept] << 32) | segments.values[kept])
    tokens = Ragged(keys.astype(np.int32), np.bincount(keys >> 32, minlength=len(segments)).cumsum())
    found = tokens.take(numbers)
    words = start + np.arange(len(numbers)) % (len(numbers) // 3)
    keys, counts = _counted((found.values.astype(np.int64) << 32) | np.repeat(words, found.lengths))
    return (keys << 2) | counts


def _unpacked(keys: Keys) -> pl.DataFrame:
    """Token, word and count, which share one number: 30 bits, 32 bits and 2 bits."""
    return pl.DataFrame({"token": keys >> 34, "word": (keys >> 2) & _WORD, "count": keys & 3}).cast(SCHEMA)


def _counted(keys: Keys) -> tuple[Keys, NDArray[np.int64]]:
    """Distinct keys, sorted, and how often each occurs; many times faster than `np.unique`, which hashes."""
    keys = np.sort(keys)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.diff(starts, append=len(keys))


def write_matches(
    words_path: Path, tokenizer_folder: Path, path: Path, provenance: Provenance, max_words_per_token: int | None = None
) -> None:
    """Match the words of a word-vector artifact with a tokenizer's vocabulary and write the table (see `cap_words`)."""
    from lexigraft.tokenizers.load import load_tokenizer
    from lexigraft.tokenizers.vocabulary import read_vocabulary
    from lexigraft.word_vectors.table import STAGE as WORD_VECTORS

    words = read_table(words_path, WORD_VECTORS, ["word", "sentences"])
    vocabulary = read_vocabulary(tokenizer_folder / "vocabulary.parquet")
    tokenizer = load_tokenizer(tokenizer_folder).backend_tokenizer
    matches = match_words(tokenizer, words["word"], vocabulary.is_text)
    if max_words_per_token is not None:
        matches = cap_words(matches, words["sentences"].to_numpy(), max_words_per_token)
    write_table(path, matches, provenance)
