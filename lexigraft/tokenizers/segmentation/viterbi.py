"""The best segmentation of many strings under a unigram model, all at once.

A unigram model (Kudo 2018, https://arxiv.org/abs/1804.10959) segments a string into the pieces with the greatest sum of scores.
The best sum up to a position depends on the characters before it only, so it is computed once per
node of the strings' prefix tree. Sums are added up in the order, in the precision and with the rule for
ties (the longest piece wins) of `tokenizers`, so the pieces are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.prefix_tree import Children, Nodes, PrefixTree, prefix_tree
from lexigraft.tokenizers.segmentation.ragged import Integers, Ragged

# what `tokenizers` and SentencePiece put a character without a piece below the worst piece
_UNKNOWN_PENALTY = 10.0
_UNKNOWN = -2

Edge = tuple[Nodes, Nodes, NDArray[np.int32]]
"""Nodes where a piece ends, the nodes where it begins, and the piece."""


class UnigramSegmenter:
    """Segments strings with the pieces of a unigram model."""

    def __init__(self, pieces: Sequence[tuple[str, float]]) -> None:
        """Build the tree of all pieces, read from their ends; if a piece occurs twice, its last id is used."""
        # a piece is met at its end first: all pieces that end at a node are found by walking up from it
        ids = {piece[::-1]: index for index, (piece, _) in enumerate(pieces) if piece}
        backwards = pl.Series(ids.keys(), dtype=pl.String)
        order = backwards.arg_sort()
        tree = prefix_tree(backwards.gather(order))
        self._children = Children(tree)
        self._longest = len(tree.levels) - 2
        self._piece = np.full(len(tree), -1, dtype=np.int32)
        self._piece[tree.ends] = np.fromiter(ids.values(), dtype=np.int32)[order.to_numpy()]
        self._scores = np.array([score for _, score in pieces], dtype=np.float64)
        self._unknown_score = float(self._scores.min(initial=np.inf)) - _UNKNOWN_PENALTY

    def segment(self, strings: pl.Series) -> tuple[Ragged, NDArray[np.bool_]]:
        """Segment distinct strings, none of them empty, that are sorted by code points.

        Returns:
            the pieces of each string, and (N,) bool, True where a string is covered by pieces; those of other strings are
            undefined.
        """
        tree = prefix_tree(strings)
        piece, start = self._best(tree, self._edges(tree))
        return _backwards(tree.ends, piece, start)

    def _edges(self, tree: PrefixTree) -> list[Edge]:
        """All pieces that end at a node, by their length, in the order of nodes."""
        edges: list[Edge] = []
        nodes = np.arange(1, len(tree), dtype=np.int32)
        above, states = nodes, np.zeros(len(nodes), dtype=np.int32)
        for _ in range(self._longest):
            states = self._children.find(states, tree.character[above])
            alive = np.flatnonzero(states >= 0)
            nodes, states, above = nodes[alive], states[alive], tree.parent[above[alive]]
            pieces = self._piece[states]
            whole = np.flatnonzero(pieces >= 0)
            edges.append((nodes[whole], above[whole], pieces[whole]))
            inside = np.flatnonzero(above > 0)
            nodes, states, above = nodes[inside], states[inside], above[inside]
        return edges

    def _best(self, tree: PrefixTree, edges: list[Edge]) -> tuple[NDArray[np.int32], Nodes]:
        """The last piece of the best segmentation up to each node, and the node where that piece begins."""
        best = np.full(len(tree), -np.inf)
        best[0] = 0.0
        piece, start = np.full(len(tree), _UNKNOWN, dtype=np.int32), tree.parent.copy()
        cuts = [np.searchsorted(nodes, tree.levels) for nodes, _, _ in edges]
        is_piece = np.zeros(len(tree), dtype=bool)
        is_piece[edges[0][0] if edges else []] = True
        for depth in range(1, len(tree.levels) - 1):
            # from the longest piece to the shortest: a later one must be better, not as good
            for (nodes, starts, pieces), cut in zip(edges[::-1], cuts[::-1], strict=True):
                part = slice(cut[depth], cut[depth + 1])
                sums = best[starts[part]] + self._scores[pieces[part]]
                better = sums > best[nodes[part]]
                changed = nodes[part][better]
                best[changed], piece[changed], start[changed] = sums[better], pieces[part][better], starts[part][better]
            level = np.arange(tree.levels[depth], tree.levels[depth + 1])
            level = level[~is_piece[level]]
            sums = best[tree.parent[level]] + self._unknown_score
            changed = level[sums > best[level]]
            best[changed], piece[changed], start[changed] = sums[sums > best[level]], _UNKNOWN, tree.parent[changed]
        return piece, start


def _backwards(ends: Nodes, piece: NDArray[np.int32], start: Nodes) -> tuple[Ragged, NDArray[np.bool_]]:
    """Follow the best segmentations from their ends to the root."""
    rows: list[Integers] = []
    found: list[NDArray[np.int32]] = []
    row, node = np.arange(len(ends)), ends
    while len(row):
        rows.append(row)
        found.append(piece[node])
        node = start[node]
        row, node = row[node > 0], node[node > 0]
    lengths = np.zeros(len(ends), dtype=np.int64)
    for row in rows:
        lengths[row] += 1
    stops = np.cumsum(lengths)
    values, known = np.empty(int(lengths.sum()), dtype=np.int32), np.ones(len(ends), dtype=bool)
    for number, (row, pieces) in enumerate(zip(rows, found, strict=True), start=1):
        values[stops[row] - number] = pieces
        known[row[pieces == _UNKNOWN]] = False
    return Ragged(values, stops), known
