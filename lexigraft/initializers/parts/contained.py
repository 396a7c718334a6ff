"""Words inside of tokens that no word's segmentation holds (docs/methods.md, section 12).

A word is segmented by itself, so pieces that only stand inside of running text match no word: in scripts without spaces that is
most of them. Such a token still has the words that its own surface holds.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from lexigraft.token_maps.token_map import Integers
from lexigraft.word_vectors.table import WordVectors
from lexigraft.word_vectors.words import spaced_words, unspaced_words


def contained_words(surfaces: tuple[str, ...], tokens: Integers, vectors: WordVectors) -> csr_matrix:
    """Shares (V, words), float32, of the words in the surfaces of some tokens: len(word) / len(token).

    Words of a surface are what word vectors are learned of, whatever its script: runs of letters and digits, and of these every
    character and every two neighbors. Case does not count.

    Args:
        surfaces: standardized strings of the V tokens.
        tokens: ids of the tokens whose surfaces are searched; the rows of all others are empty.
        vectors: the words to find, in any language.
    """
    text = pl.DataFrame(
        {"token": tokens, "text": [surfaces[token].strip().lower() for token in tokens]},
        schema={"token": pl.Int64, "text": pl.String},
    ).with_columns(length=pl.col("text").str.len_chars())
    found = pl.concat([spaced_words(text), unspaced_words(text)]).unique(maintain_order=True)
    known = pl.DataFrame({"word": vectors.words.str.strip_chars(" ").str.to_lowercase()}).with_row_index("column")
    hits = found.join(known, on="word", maintain_order="left")
    shares = (hits["word"].str.len_chars() / hits["length"]).to_numpy().astype(np.float32)
    places = hits["token"].to_numpy(), hits["column"].to_numpy()
    return csr_matrix((shares, places), shape=(len(surfaces), len(vectors)))
