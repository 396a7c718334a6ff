"""Token-word matching: which words contain which tokens, by the tokenizer's own segmentation.

HyperOFA (arXiv 2504.21018, section 3.2): "a token is matched with a word if that word contains the token as a subword". In the
published runs *contains* means that the tokenizer's segmentation of the word contains the token, for three surface variants.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.progress import progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

STAGE = "matches"
SCHEMA = pl.Schema({"token": pl.Int32, "word": pl.Int32, "count": pl.UInt8})
_BLOCK_WORDS = 65_536


def variants(word: str) -> tuple[str, str, str]:
    """The three surface forms of a word that are segmented: as it is, after a space, and capitalised.

    A word that begins with a space (`$` in ColexNet+ keys) is capitalised at its start without the space, any other after one.
    """
    bounded = word.startswith(" ") and len(word) > 1
    capitalised = word[1].upper() + word[2:] if bounded else " " + word[:1].upper() + word[1:]
    return word, " " + word, capitalised


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
    parts = list(
        progress(_match_blocks(tokenizer, words, is_text, block), -(-len(words) // block), "matching", "blocks of words")
    )
    matches = pl.concat(parts).sort("token", "word") if parts else pl.DataFrame(schema=SCHEMA)
    if matches.is_empty():
        raise InputError(
            f"none of the {len(words)} words contains any of the {len(is_text)} tokens",
            hint="the word vectors and the tokenizer are of different languages or scripts",
        )
    log.info("%d of %d tokens match a word, %d pairs", matches["token"].n_unique(), int(is_text.sum()), len(matches))
    return matches


def _match_blocks(tokenizer: Tokenizer, words: pl.Series, is_text: NDArray[np.bool_], block: int) -> Iterator[pl.DataFrame]:
    for start in range(0, len(words), block):
        chunk = words[start : start + block].to_list()
        pairs = [_pairs(tokenizer, list(forms), is_text) for forms in zip(*map(variants, chunk), strict=True)]
        keys, counts = np.unique(np.concatenate(pairs), return_counts=True)
        word, token = np.divmod(keys, len(is_text))
        yield pl.DataFrame({"token": token, "word": word + start, "count": counts}).cast(SCHEMA)


def _pairs(tokenizer: Tokenizer, forms: list[str], is_text: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Distinct (word, token) pairs of one variant, each as one number: word * V + token."""
    encodings = tokenizer.encode_batch_fast(forms, add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    tokens = np.fromiter((token for row in ids for token in row), dtype=np.int64, count=int(lengths.sum()))
    rows = np.repeat(np.arange(len(ids)), lengths)
    kept = is_text[tokens]
    return np.unique(rows[kept] * len(is_text) + tokens[kept])


def write_matches(words_path: Path, tokenizer_folder: Path, path: Path, provenance: Provenance) -> None:
    """Match the words of a word-vector artifact with a tokenizer's vocabulary and write the table."""
    from lexigraft.tokenizers.load import load_tokenizer
    from lexigraft.tokenizers.vocabulary import read_vocabulary
    from lexigraft.word_vectors.table import STAGE as WORD_VECTORS

    words = read_table(words_path, WORD_VECTORS, ["word"])["word"]
    vocabulary = read_vocabulary(tokenizer_folder / "vocabulary.parquet")
    tokenizer = load_tokenizer(tokenizer_folder).backend_tokenizer
    write_table(path, match_words(tokenizer, words, vocabulary.is_text), provenance)


def read_matches(path: Path, tokens: int, words: int) -> csr_matrix:
    """Read matches as a (tokens, words) CSR matrix of counts.

    Raises:
        ArtifactError: the file is damaged, or names tokens or words beyond the given numbers.
    """
    table = read_table(path, STAGE)
    rows, columns = table["token"].to_numpy(), table["word"].to_numpy()
    if rows.max() >= tokens or columns.max() >= words:
        raise ArtifactError(
            f"matches name token {rows.max()} and word {columns.max()}, but there are {tokens} and {words}",
            where=path,
            hint="delete the file and run snakemake again",
        )
    return csr_matrix((table["count"].to_numpy().astype(np.float32), (rows, columns)), shape=(tokens, words))
