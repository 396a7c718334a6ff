"""Errors that a user can act on: each names the value, the place and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LexigraftError(Exception):
    """Base of all errors that are shown without a traceback.

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
    """The configuration does not say something that can be done."""


class InputError(LexigraftError):
    """Data from outside is missing or not what it should be."""


class ArtifactError(LexigraftError):
    """A file that an earlier stage made is missing, truncated, altered or of another kind."""


class MissingPackageError(LexigraftError):
    """A Python package that holds data or code is not installed."""


def nearest(value: str, known: Iterable[str]) -> str:
    """Return `"did you mean 'x' or 'y'?"` for the known names closest to `value`, or the list of all of them."""
    names = sorted(known)
    close = get_close_matches(value, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "known: " + ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
