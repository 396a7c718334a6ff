"""Pickles as gensim writes them, without gensim."""

from __future__ import annotations

import pickle
from typing import Any


def gensim_pickle(attributes: dict[str, Any], protocol: int) -> bytes:
    """What pickle writes of a KeyedVectors object with these attributes, without gensim."""
    body = pickle.dumps(attributes, protocol)
    start = b"\x80" + bytes([protocol]) + b"cgensim.models.keyedvectors\nKeyedVectors\n)\x81"
    # between protocol (and frame) and the final stop; the memo is the attributes' own
    return start + body[2:-1] + b"b."
