"""Settings of tagged text: sentences with one tag for each word."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import GetJsonSchemaHandler, PositiveInt, model_validator

from lexigraft.files.checksums import Sha256
from lexigraft.settings import Settings


class TaggedFile(Settings):
    """A file of tagged sentences, plain or gzipped; a path alone means that all of it is read."""

    path: str
    max_sentences: PositiveInt | None = None
    """Keep the first so many sentences."""
    sha256: Sha256 | None = None
    """Digest of the file, held against what is there before it is read."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class _OrPath:
    """Adds to the JSON schema that a `TaggedFile` can be a path."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


TaggedPath = Annotated[TaggedFile, _OrPath()]
"""A `TaggedFile`, or its path alone."""


class TagFormat(Settings):
    """How files of tagged sentences are read."""

    format: Literal["conllu", "wikiann", "bio"]
    """`conllu`: Universal Dependencies; `wikiann`: lines `language:word TAB tag`; `bio`: lines `word TAB … TAB tag`."""
    column: Literal["upos", "xpos"] = "upos"
    """Column of CoNLL-U that holds the tag."""
    tag_map: dict[str, str] = {}
    """Tags to read as others, for example `B-MISC: O`."""
