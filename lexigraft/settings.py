"""The base class of all typed settings, and readable messages for their errors."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from lexigraft.errors import ConfigError, nearest

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$", max_length=80)]
NameTemplate = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_.-]|\{source\}|\{dim\})+$", max_length=80)]
"""A name in which `{source}` and `{dim}` are replaced for each model."""
T = TypeVar("T")


def _part_of_a_name(value: str) -> str:
    if not value or value in (".", "..") or any(character in "/\\" or not character.isprintable() for character in value):
        raise ValueError(f"{value!r} cannot be part of a file name: it must not contain slashes")
    return value


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not value.isprintable():
        raise ValueError(f"{value!r} points outside the folder: it must not contain '..' or begin with a slash")
    return value


def _without_placeholders(value: str) -> str:
    if not value or not value.isprintable() or set(value) & set("{}<>*?[]"):
        raise ValueError(f"{value!r} is not a folder: it must not contain any of the characters {{ }} < > * ? [ ]")
    return value


FilePart = Annotated[str, AfterValidator(_part_of_a_name)]
"""The name of a language in file names."""
InsidePath = Annotated[str, AfterValidator(_inside)]
"""A path inside a folder."""
Folder = Annotated[str, AfterValidator(_without_placeholders)]
"""An output folder."""


class Settings(BaseModel):
    """Base of settings classes: unknown keys are errors, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(kind: Any, value: object, *, where: str = "configuration") -> Any:
    """Validate `value` as `kind` (a settings class or a union of them).

    Raises:
        ConfigError: keys or values are wrong; the message lists all of them with their places and the nearest known keys.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError("\n".join(_message(kind, detail) for detail in error.errors()), where=where) from None


def _message(kind: Any, detail: Any) -> str:
    *parents, key = detail["loc"] or [""]
    above, known = _walk(kind, parents)
    place = ".".join([*above, str(key)])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {place!r}: {nearest(str(key), known)}"
    if detail["type"] == "missing":
        return f"missing key {place!r}"
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return _union_message(place, detail)
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message} (got {detail['input']!r})" if place else message


def _union_message(place: str, detail: Any) -> str:
    """The message for settings whose kind is missing or unknown."""
    context = detail["ctx"]
    key = ".".join(filter(None, [place, context["discriminator"].strip("'")]))
    if detail["type"] == "union_tag_not_found":
        return f"missing key {key!r} (given: {', '.join(map(repr, detail['input'])) or 'nothing'})"
    known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    return f"{key}: there is no {context['tag']!r}; {nearest(context['tag'], known)}"


def _walk(kind: Any, path: list[int | str]) -> tuple[list[str], set[str]]:
    """The readable form of a path into settings, and the keys that are allowed there, both from the JSON schema.

    pydantic's paths contain the tags of unions (`unigram`), which are not keys; they are removed.
    """
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})

    def options(node: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in node:
            return options(definitions[node["$ref"].rsplit("/", 1)[1]])
        nested = [*node.get("anyOf", []), *node.get("oneOf", []), *node.get("allOf", [])]
        return [found for part in nested for found in options(part)] if nested else [node]

    def below(node: dict[str, Any], part: int | str) -> list[dict[str, Any]]:
        values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties"), node.get("items")]
        found = [node["properties"][part]] if part in node.get("properties", {}) else values
        return [option for value in found if isinstance(value, dict) for option in options(value)]

    nodes, shown = options(schema), list[str]()
    for part in path:
        tagged = [node for node in nodes if part in _tags(node)]
        if tagged:
            nodes = tagged
        else:
            nodes = [option for node in nodes for option in below(node, part)]
            shown.append(str(part))
    return shown, {key for node in nodes for key in node.get("properties", {})}


def _tags(node: dict[str, Any]) -> set[str]:
    return {value["const"] for value in node.get("properties", {}).values() if "const" in value}
