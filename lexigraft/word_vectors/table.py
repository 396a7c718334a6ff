"""Word vectors as every later stage reads them: a table of words and a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, read_table, read_tensors, write_table, write_tensors
from lexigraft.errors import ArtifactError, InputError

STAGE = "word_vectors"
_BLOCK_ROWS = 1 << 16
SCHEMA = pl.Schema({"language": pl.String, "word": pl.String, "sentences": pl.Int64})


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Words of many languages and their vectors.

    Attributes:
        languages: ISO 639-3 or full code of each word, as the source of the vectors gave it.
        words: surface form; a leading or trailing space marks a known word boundary (`$` in ColexNet+ keys).
        sentences: number of training sentences with the word, (N,) int64; 0 where unknown.
        vectors: (N, dim) float32.
    """

    languages: pl.Series
    words: pl.Series
    sentences: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.words)

    def of_languages(self, codes: tuple[str, ...]) -> NDArray[np.bool_]:
        """(N,) bool: words of the given languages; `eng` and `eng_Latn` name the same language."""
        wanted = {code[:3] for code in codes}
        mask: NDArray[np.bool_] = self.languages.str.slice(0, 3).is_in(sorted(wanted)).to_numpy()
        return mask

    def lengths(self) -> NDArray[np.float32]:
        """(N,) Euclidean lengths of the vectors, computed in blocks to avoid a copy of millions of vectors."""
        rows = range(0, len(self), _BLOCK_ROWS)
        parts = [np.linalg.norm(self.vectors[row : row + _BLOCK_ROWS], axis=1) for row in rows]
        return np.concatenate([np.zeros(0, np.float32), *parts]).astype(np.float32)


def check_vectors(vectors: NDArray[np.float32], words: pl.Series, where: object) -> None:
    """Raise InputError naming the first word whose vector holds NaN or infinity."""
    rows = range(0, len(vectors), _BLOCK_ROWS)
    finite = np.concatenate([np.isfinite(vectors[row : row + _BLOCK_ROWS]).all(axis=1) for row in rows] or [np.ones(0, bool)])
    if not finite.all():
        first = int(np.argmin(finite))
        raise InputError(
            f"the vector of {words[first]!r} (row {first}) holds NaN or infinity; {int((~finite).sum())} rows do",
            where=where,
            hint="remove these words from the file, or make the vectors again",
        )


def write_word_vectors(vectors: WordVectors, words_path: Path, vectors_path: Path, provenance: Provenance) -> None:
    """Write `words.parquet` (language, word, sentences) and `vectors.safetensors` (`vectors`, (N, dim) float32)."""
    check_vectors(vectors.vectors, vectors.words, words_path)
    table = pl.DataFrame({"language": vectors.languages, "word": vectors.words, "sentences": vectors.sentences})
    write_tensors(vectors_path, {"vectors": vectors.vectors}, provenance)
    write_table(words_path, table.cast(SCHEMA), provenance)


def read_word_vectors(words_path: Path, vectors_path: Path) -> WordVectors:
    """Read what `write_word_vectors` wrote.

    Raises:
        ArtifactError: a file is damaged, or the two files do not belong together.
    """
    table = read_table(words_path, STAGE)
    vectors = read_tensors(vectors_path, STAGE)["vectors"]
    if len(table) != len(vectors):
        raise ArtifactError(
            f"{len(table)} words but {len(vectors)} vectors",
            where=f"{words_path}, {vectors_path}",
            hint="delete both and rerun",
        )
    return WordVectors(table["language"], table["word"], table["sentences"].to_numpy(), vectors)
