"""The worked examples of CONTRIBUTING.md: files by the paths that the text gives them."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example_files() -> dict[str, str]:
    """Path of each complete file in the text -> its content."""
    found = re.findall(r"`([\w/]+\.(?:py|smk))`, complete:\n\n```\w+\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return dict(found)


def example_lines() -> list[str]:
    """The pieces of configuration that use them."""
    return re.findall(r"^```yaml\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
