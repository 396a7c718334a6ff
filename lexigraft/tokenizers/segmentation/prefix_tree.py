"""Prefix trees of many strings, built and searched with arrays: nodes are numbers, level by level from the root 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.ragged import code_points

Nodes = NDArray[np.int32]
_CODE_POINT_BITS = 21


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """One node for every distinct prefix of the strings.

    Attributes:
        parent: (nodes,) int32; the root is its own.
        character: (nodes,) uint32: last code point of the prefix, 0 for the root.
        levels: (longest + 2,) int64: prefixes of k characters are the nodes `levels[k] : levels[k + 1]`.
        ends: (strings,) int32: the node of each string.
    """

    parent: Nodes
    character: NDArray[np.uint32]
    levels: NDArray[np.int64]
    ends: Nodes

    def __len__(self) -> int:
        return len(self.parent)


def prefix_tree(strings: pl.Series) -> PrefixTree:
    """Build the tree of distinct strings, none of them empty, that are sorted by code points."""
    flat, ends = code_points(strings)
    lengths = np.diff(ends, prepend=0)
    starts = ends - lengths
    node = np.zeros(len(strings), dtype=np.int32)
    # whether a string differs from the one before it within the characters seen so far
    apart = np.zeros(len(strings), dtype=bool)
    parents, characters, levels = [np.zeros(1, dtype=np.int32)], [np.zeros(1, dtype=np.uint32)], [0, 1]
    active = np.arange(len(strings))
    while len(active):
        depth = len(levels) - 2
        here, before = flat[starts[active] + depth], np.maximum(active - 1, 0)
        shared = (lengths[before] > depth) & (flat[np.minimum(starts[before] + depth, len(flat) - 1)] == here) & (active > 0)
        fresh = apart[active] | ~shared
        apart[active] = fresh
        parents.append(node[active[fresh]])
        characters.append(here[fresh])
        node[active] = levels[-1] - 1 + np.cumsum(fresh)
        levels.append(levels[-1] + len(parents[-1]))
        active = active[lengths[active] > depth + 1]
    return PrefixTree(np.concatenate(parents), np.concatenate(characters), np.array(levels), node)


class Children:
    """Looks up the child of a node by its character."""

    def __init__(self, tree: PrefixTree) -> None:
        # level by level and in the order of the strings, so they rise
        self._keys = _keys(tree.parent[1:], tree.character[1:])

    def find(self, nodes: Nodes, characters: NDArray[np.uint32]) -> Nodes:
        """(n,) int32: the child of each node by a character, -1 where there is none."""
        if not len(self._keys):
            return np.full(len(nodes), -1, dtype=np.int32)
        keys = _keys(nodes, characters)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, places + 1, -1).astype(np.int32)


def _keys(nodes: Nodes, characters: NDArray[np.uint32]) -> NDArray[np.int64]:
    return (nodes.astype(np.int64) << _CODE_POINT_BITS) | characters
