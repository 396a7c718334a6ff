"""The protocol buffer that a SentencePiece model is.

Its format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def parse_model(data: bytes) -> Any:
    """Return the parsed `ModelProto`.

    Raises:
        ValueError: the bytes are not a SentencePiece model.
    """
    # generated modules, without types
    model: Any = import_module("sentencepiece.sentencepiece_model_pb2").ModelProto
    message: Any = import_module("google.protobuf.message")
    try:
        return model.FromString(data)
    except message.DecodeError as error:
        raise ValueError(str(error)) from error
