"""Base of all typed settings, and the way their errors are told."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from lexigraft.errors import ConfigError, nearest

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$", max_length=80)]
T = TypeVar("T")


class Settings(BaseModel):
    """Settings of one thing: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(kind: Any, value: object, *, where: str = "configuration") -> Any:
    """Validate `value` as `kind` (a settings class or a union of them).

    Raises:
        ConfigError: naming every wrong key and value, its place, and the nearest key that exists.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError("\n".join(_tell(kind, detail) for detail in error.errors()), where=where) from None


def _tell(kind: Any, detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {place!r}: {nearest(str(detail['loc'][-1]), _keys(kind, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"missing key {place!r}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message} (got {detail['input']!r})" if place else message


def _keys(kind: Any, path: tuple[int | str, ...]) -> set[str]:
    """Keys that settings allow at `path`, read from the JSON schema; tagged unions leave their tag in the path."""
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})

    def options(node: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in node:
            return options(definitions[node["$ref"].rsplit("/", 1)[1]])
        nested = [*node.get("anyOf", []), *node.get("oneOf", []), *node.get("allOf", [])]
        return [found for part in nested for found in options(part)] if nested else [node]

    nodes = options(schema)
    for part in path:
        following: list[dict[str, Any]] = []
        for node in nodes:
            if isinstance(part, str) and part in node.get("properties", {}):
                following += options(node["properties"][part])
            elif isinstance(part, int) and "items" in node:
                following += options(node["items"])
            elif isinstance(node.get("additionalProperties"), dict):
                following += options(node["additionalProperties"])
            elif any(part == value.get("const") for value in node.get("properties", {}).values()):
                following.append(node)
        nodes = following or nodes
    return {key for node in nodes for key in node.get("properties", {})}
