"""Inputs of a configuration that a user sets in one place: `inputs: {name: path}`, used elsewhere as `input:name/rest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexigraft.errors import ConfigError, nearest

PREFIX = "input:"


def with_inputs(values: Mapping[str, Any], where: str = "configuration") -> dict[str, Any]:
    """Replace `input:NAME` and `input:NAME/REST` in all values by the path or id that the section `inputs` gives NAME.

    Raises:
        ConfigError: `inputs` has no such name; the message tells of every one.
    """
    inputs = values.get("inputs") or {}
    if not isinstance(inputs, Mapping):
        return dict(values)  # the typed settings say what is wrong
    problems: list[str] = []

    def replaced(value: Any, place: str) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(item, f"{place}.{key}" if place else str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, f"{place}.{index}") for index, item in enumerate(value)]
        if not (isinstance(value, str) and value.startswith(PREFIX)):
            return value
        name, slash, rest = value.removeprefix(PREFIX).partition("/")
        if name not in inputs:
            problems.append(f"{place}: no input is named {name!r}; {nearest(name, list(inputs))}")
            return value
        return f"{inputs[name]}{slash}{rest}"

    result = {key: value if key == "inputs" else replaced(value, str(key)) for key, value in values.items()}
    if problems:
        raise ConfigError("\n".join(problems), where=where, hint="name it in the section `inputs`, with its path or hub id")
    return result
