"""Sentence ids that are kept out of all training."""

from __future__ import annotations

from lexigraft.corpora.lines import line_blocks
from lexigraft.corpora.sources import ALL, held_out_file
from lexigraft.errors import InputError


def held_out_ids(held_out: str | None) -> frozenset[str]:
    """Ids named by the setting: none, `sr_b` (500 verses of the Bible retrieval task), or a text file with one id a line.

    `all` names every sentence, whose ids are not known beforehand: there too the result is empty.

    Raises:
        InputError: the file is missing, empty or not UTF-8.
    """
    if held_out in (None, ALL):
        return frozenset()
    path = held_out_file(str(held_out))
    ids = frozenset(line.strip() for _, lines in line_blocks(path) for line in lines if line.strip())
    if not ids:
        raise InputError("the file of held-out sentence ids holds none", where=path, hint="one id a line, or no `held_out`")
    return ids
