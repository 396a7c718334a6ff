"""Sentence ids that are excluded from all training."""

from __future__ import annotations

from lexigraft.corpora.lines import line_blocks
from lexigraft.corpora.sources import ALL, held_out_file
from lexigraft.errors import InputError


def held_out_ids(held_out: str | None) -> frozenset[str]:
    """The ids of the setting: none, `sr_b` (500 verses of the Bible retrieval task), or a text file with one id per line.

    `all` means every sentence; their ids are not known in advance, so the result is empty for it too.

    Raises:
        InputError: the file is missing, empty or not UTF-8.
    """
    if held_out in (None, ALL):
        return frozenset()
    path = held_out_file(str(held_out))
    ids = frozenset(line.strip() for _, lines in line_blocks(path) for line in lines if line.strip())
    if not ids:
        hint = "write one id per line, or remove `held_out`"
        raise InputError("the file of held-out sentence ids is empty", where=path, hint=hint)
    return ids
