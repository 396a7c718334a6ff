"""What evidence is: which files it is read from, and how.

An evidence kind is one file in this package with a class derived from `Evidence`. It is imported when a configuration is read,
so whatever is heavy is imported in its functions. The rule `evidence` makes it with `make`. A kind whose making must not count
as code of those who read it, since a change there would rerun all of them, has a rule of its own and a module in `makers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from lexigraft.artifacts import Provenance
    from lexigraft.tokenizers.vocabulary import Vocabulary

Kind = TypeVar("Kind", bound="Evidence")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """Both vocabularies.

    Attributes:
        source, target: the vocabularies.
        source_languages: languages that the source model was pretrained on.
    """

    source: Vocabulary
    target: Vocabulary
    source_languages: tuple[str, ...]

    @classmethod
    def read(cls, source: Path, target: Path, source_languages: tuple[str, ...]) -> Self:
        """Read both vocabularies, `vocabulary.parquet` of either."""
        from lexigraft.tokenizers.vocabulary import read_vocabulary

        return cls(read_vocabulary(source), read_vocabulary(target), source_languages)


class Evidence(ABC):
    """One kind of evidence, as a method sees it."""

    chosen_by: ClassVar[tuple[str, ...]]
    """Keys of a model in the configuration that say which evidence it uses, such as `word_vectors`."""
    files: ClassVar[Mapping[str, str]]
    """Name of each file -> the rule and output that makes it, `<rule>.<output>`; wildcards follow from the model."""

    made_from: ClassVar[Mapping[str, str]] = {}
    """Name of each file that `make` reads -> the rule and output that makes it."""

    @classmethod
    def make(cls, files: Mapping[str, Path], path: Path, provenance: Provenance) -> None:  # noqa: ARG003
        """Make the evidence of a source model and a tokenizer and write it to `path`, for a kind of the rule `evidence`.

        Such a kind has one file, `{"<kind>": "evidence.table"}`.

        Args:
            files: by the names of `made_from`.
            path: a Parquet file.
            provenance: its stage is `evidence`.
        """
        raise TypeError(f"{cls.__name__} is made by a rule of its own")

    @classmethod
    @abstractmethod
    def read(cls, files: Mapping[str, Path], tokens: TokenPair, gpus: int = 0) -> Self:
        """Read the evidence of a pair of vocabularies.

        Args:
            files: by the names of `files`, and perhaps others.
            tokens: the vocabularies that it is about.
            gpus: what may be used; without a GPU everything runs on the CPU.

        Raises:
            ArtifactError: a file is damaged, or belongs to other vocabularies.
        """


class EvidenceSet:
    """The evidence that a method needs, by kind: `evidence[WordMatches]`."""

    def __init__(self, items: Iterable[Evidence] = ()) -> None:
        self._by_kind: dict[type[Evidence], Evidence] = {type(item): item for item in items}

    @classmethod
    def read(cls, kinds: Iterable[type[Evidence]], files: Mapping[str, Path], tokens: TokenPair, gpus: int = 0) -> EvidenceSet:
        """Read all of `kinds`; see `Evidence.read`."""
        return cls(kind.read(files, tokens, gpus) for kind in kinds)

    def __getitem__(self, kind: type[Kind]) -> Kind:
        item = self._by_kind[kind]
        assert isinstance(item, kind)
        return item


def choices_of(kinds: Iterable[type[Evidence]]) -> tuple[str, ...]:
    """Keys of a model that choose the evidence of `kinds`, each once."""
    return tuple(dict.fromkeys(key for kind in kinds for key in kind.chosen_by))
