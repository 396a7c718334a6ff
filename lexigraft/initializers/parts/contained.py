"""Words inside of tokens that no word's segmentation holds (docs/methods.md, section 12).

A word is segmented by itself, so pieces that only stand inside of running text match no word: in scripts without spaces that is
most of them. Such a token still has the words that its own surface holds.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from lexigraft.initializers.base import Integers
from lexigraft.word_vectors.table import WordVectors

_WORD = r"\w+(?:['’\-]\w+)*"


def contained_words(surfaces: tuple[str, ...], tokens: Integers, vectors: WordVectors) -> csr_matrix:
    """Shares (V, words), float32, of the words in the surfaces of some tokens: len(word) / len(token), at most 1.

    Words of a surface are what word vectors are learned of: runs of letters and digits, and of these every character and every
    two neighbours, since nothing tells where words end in scripts without spaces. Case does not count.

    Args:
        surfaces: standardised strings of the V tokens.
        tokens: ids of the tokens whose surfaces are searched; the rows of all others are empty.
        vectors: the words to find, in any language.
    """
    shape = (len(surfaces), len(vectors))
    text = pl.DataFrame(
        {"token": tokens, "text": [surfaces[token].strip().lower() for token in tokens]},
        schema={"token": pl.Int64, "text": pl.String},
    )
    spans = (
        text.select("token", word=pl.col("text").str.extract_all(r"\w+")).explode("word").drop_nulls().with_row_index("span")
    )
    characters = spans.with_columns(pl.col("word").str.extract_all(r"\w")).explode("word").drop_nulls("word")
    pairs = characters.with_columns(word=pl.col("word") + pl.col("word").shift(-1).over("span")).drop_nulls("word")
    whole = text.select("token", word=pl.col("text").str.extract_all(_WORD)).explode("word").drop_nulls()
    found = pl.concat([part.select("token", "word") for part in (whole, characters, pairs)]).unique(maintain_order=True)
    known = pl.DataFrame({"word": vectors.words.str.strip_chars(" ")}).with_row_index("column")
    hits = found.join(known, on="word", maintain_order="left")
    rows, columns = hits["token"].to_numpy(), hits["column"].to_numpy()
    lengths = text.select("token", length=pl.col("text").str.len_chars())
    token_lengths = hits.join(lengths, on="token", maintain_order="left")["length"].to_numpy()
    shares = np.minimum(1.0, hits["word"].str.len_chars().to_numpy() / np.maximum(token_lengths, 1))
    return csr_matrix((shares.astype(np.float32), (rows, columns)), shape=shape)
