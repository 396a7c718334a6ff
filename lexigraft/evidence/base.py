"""What evidence is: which files it is read from, and how.

An evidence kind is one file in this package with a class derived from `Evidence`. It is imported when a configuration is read,
so whatever is heavy is imported in `read`. How the files are made is the business of their rules and of `makers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

if TYPE_CHECKING:
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


class Evidence(ABC):
    """One kind of evidence, as a method sees it."""

    chosen_by: ClassVar[tuple[str, ...]]
    """Keys of a model in the configuration that say which evidence it uses, such as `word_vectors`."""
    files: ClassVar[Mapping[str, str]]
    """Name of each file -> the rule and output that makes it, `<rule>.<output>`; wildcards follow from the model."""

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


def files_of(kinds: Iterable[type[Evidence]]) -> dict[str, str]:
    """Name of each file of `kinds` -> the rule and output that makes it."""
    return {name: output for kind in kinds for name, output in kind.files.items()}
