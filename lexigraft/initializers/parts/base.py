"""What a method is: its options, the evidence it needs, the token map and the dense rows that it makes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lexigraft.settings import Settings

if TYPE_CHECKING:
    from lexigraft.evidence.base import Evidence, EvidenceSet, TokenPair
    from lexigraft.factors.tables import EmbeddingTable
    from lexigraft.token_maps.token_map import Floats, Integers, TokenMap


@dataclass(frozen=True, slots=True)
class Rows:
    """Dense rows for some target tokens of one table; they are added to what the token map gives.

    Attributes:
        tokens: (n,) ids of target tokens.
        values: (n, columns of the table) float32.
    """

    tokens: Integers
    values: Floats


class Initializer(Settings):
    """A method."""

    draws_map: ClassVar[bool] = False
    """Whether the map depends on the seed; others are shared by models that differ in their seed only."""

    @property
    def needs(self) -> tuple[type[Evidence], ...]:
        """Evidence that the token map is made from; the workflow makes it first."""
        return ()

    @property
    def row_needs(self) -> tuple[type[Evidence], ...]:
        """Evidence that `rows` reads, such as a network that was trained on the table."""
        return ()

    @abstractmethod
    def token_map(self, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> TokenMap:
        """Make the map.

        Args:
            tokens: both vocabularies.
            evidence: of the kinds `needs`.
            seed: for everything random, where the method draws its map.
        """

    def rows(self, table: EmbeddingTable, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> Rows | None:  # noqa: ARG002
        """Dense rows of one table, of methods that predict or draw them; None of all others.

        Args:
            table: of the source model.
            tokens: both vocabularies.
            evidence: of the kinds `row_needs`.
            seed: for everything random.
        """
        return None
