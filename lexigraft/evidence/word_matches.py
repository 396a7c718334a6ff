"""Word vectors, and which words contain which tokens of both vocabularies (docs/methods.md, sections 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from lexigraft.evidence.base import Evidence, TokenPair

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from lexigraft.word_vectors.table import WordVectors

STAGE = "matches"


@dataclass(frozen=True, slots=True)
class WordMatches(Evidence):
    """How often each word matched each token.

    Attributes:
        source, target: (V, words) float32 CSR counts for either vocabulary.
        vectors: the word vectors and what is known of each word.
    """

    chosen_by: ClassVar[tuple[str, ...]] = ("word_vectors",)
    files: ClassVar[Mapping[str, str]] = {
        "words": "word_vectors.words",
        "vectors": "word_vectors.vectors",
        "source_matches": "source_matches.matches",
        "target_matches": "target_matches.matches",
    }

    source: csr_matrix
    target: csr_matrix
    vectors: WordVectors

    @classmethod
    def read(cls, files: Mapping[str, Path], tokens: TokenPair, gpus: int = 0) -> Self:  # noqa: ARG003
        """Read word vectors and the matches of both vocabularies; see `Evidence.read`."""
        from lexigraft.word_vectors.table import read_word_vectors

        vectors = read_word_vectors(files["words"], files["vectors"])
        source, target = (
            read_matches(files[name], len(vocabulary), len(vectors))
            for name, vocabulary in (("source_matches", tokens.source), ("target_matches", tokens.target))
        )
        return cls(source, target, vectors)


def read_matches(path: Path, tokens: int, words: int) -> csr_matrix:
    """Read matches as a (tokens, words) float32 CSR matrix of counts.

    Raises:
        ArtifactError: the file is damaged, or names tokens or words beyond the given numbers.
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    from lexigraft.artifacts import read_table
    from lexigraft.errors import ArtifactError

    table = read_table(path, STAGE)
    rows, columns = table["token"].to_numpy(), table["word"].to_numpy()
    if rows.max() >= tokens or columns.max() >= words:
        raise ArtifactError(
            f"matches name token {rows.max()} and word {columns.max()}, but there are {tokens} and {words}",
            where=path,
            hint="delete the file and run snakemake again",
        )
    return csr_matrix((table["count"].to_numpy().astype(np.float32), (rows, columns)), shape=(tokens, words))
