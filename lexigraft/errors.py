"""Errors that a user can act on: each states the problem, where it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LexigraftError(Exception):
    """Base class of all errors that are shown without a traceback.

    Args:
        problem: what is wrong, with the offending value.
        where: the file, line or configuration key.
        hint: what to do about it.
    """

    def __init__(self, problem: str, *, where: object = None, hint: str | None = None) -> None:
        self.problem, self.where, self.hint = problem, where, hint
        lines = [problem]
        if where is not None:
            lines.append(f"  where: {where}")
        if hint is not None:
            lines.append(f"  what to do: {hint}")
        super().__init__("\n".join(lines))


class ConfigError(LexigraftError):
    """The configuration is invalid or cannot be carried out."""


class InputError(LexigraftError):
    """External data is missing or invalid."""


class ArtifactError(LexigraftError):
    """A file of an earlier stage is missing, truncated, altered or of another kind, or a file cannot be written."""


class MissingPackageError(LexigraftError):
    """A required Python package is not installed."""


def nearest(value: str, known: Iterable[str]) -> str:
    """Return `"did you mean 'x' or 'y'?"` with the known names closest to `value`, or a list of the known names."""
    names = sorted(known)
    close = get_close_matches(value, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "known: " + ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
