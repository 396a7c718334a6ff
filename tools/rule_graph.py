"""The picture of the rules in the README, as `snakemake --rulegraph` has it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from lexigraft.errors import ConfigError

_CONFIGURATION = "config/evaluation.yaml"
"""It uses every rule; a plan needs none of its inputs."""
_BLOCK = re.compile(r"(?<=<!-- rulegraph, made by `make generated` -->\n).*?(?=<!-- end of rulegraph -->)", re.DOTALL)

Edges = set[tuple[str, str]]


def readme_with_graph(root: Path) -> str:
    """Text of the README of the checkout at `root`, with the picture as its rules are now.

    Raises:
        ConfigError: Snakemake cannot plan, or the README has no marked place.
    """
    text = (root / "README.md").read_text(encoding="utf-8")
    if not _BLOCK.search(text):
        raise ConfigError("no place for the graph of the rules", where=root / "README.md", hint="keep the marked lines")
    picture = mermaid(direct(rule_graph(root)))
    return _BLOCK.sub(lambda _: f"```mermaid\n{picture}```\n", text)


def rule_graph(root: Path) -> Edges:
    """Rules that read what another one writes, as (writer, reader), without the target `all`; Snakemake plans in `root`.

    Raises:
        ConfigError: Snakemake cannot plan.
    """
    command = [sys.executable, "-m", "snakemake", "all", "-n", "--rulegraph", "mermaid-js", "--configfile", _CONFIGURATION]
    environment = os.environ | {"PYTHONPATH": str(root.resolve())}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"Snakemake cannot plan {_CONFIGURATION}:\n{(done.stdout + done.stderr).strip()}", where=root)
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", done.stdout, re.MULTILINE))
    edges = {(names[writer], names[reader]) for writer, reader in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    return {edge for edge in edges if "all" not in edge}


def direct(edges: Edges) -> Edges:
    """Edges that do not follow from others: those whose reader is not reached on a longer way."""
    after: dict[str, set[str]] = {}
    for writer, reader in edges:
        after.setdefault(writer, set()).add(reader)

    def reached(rule: str) -> set[str]:
        return set().union(*({reader} | reached(reader) for reader in after.get(rule, ())))

    return {(writer, reader) for writer, reader in edges if all(reader not in reached(other) for other in after[writer])}


def mermaid(edges: Edges) -> str:
    """A flow chart, the same text for the same edges."""
    return "flowchart LR\n" + "".join(f"  {writer} --> {reader}\n" for writer, reader in sorted(edges))
