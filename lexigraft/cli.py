"""The command `lexigraft`: tools for configurations, runs and models outside the workflow."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lexigraft import __version__
from lexigraft.errors import LexigraftError
from lexigraft.shared_cache.commands import add_cache


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return 0, or 1 after printing an error that the user can act on."""
    parser = argparse.ArgumentParser(prog="lexigraft", description="Graft new languages onto pretrained language models.")
    parser.add_argument("--version", action="version", version=f"lexigraft {__version__}")
    subcommands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in _SUBCOMMANDS:
        add(subcommands)
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        options.run(options)
    except LexigraftError as error:
        print(f"lexigraft {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _add_export(subcommands: Any) -> None:
    parser = subcommands.add_parser(
        "export",
        help="write a model that loads in plain transformers",
        description="Multiply the embedding factors and write a folder that loads in transformers without lexigraft.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="a model, such as results/demo/models/NAME/step-0")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="a folder that does not exist or is empty")
    parser.add_argument("--dtype", default="float32", help="dtype of the weights: float32 (default), float16 or bfloat16")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from lexigraft.modeling.export import export_model

    export_model(options.model, options.out, options.dtype)


def _add_explain(subcommands: Any) -> None:
    parser = subcommands.add_parser(
        "explain",
        help="say what the rows of tokens are made of",
        description="Of each token: its origin, its source tokens with weights, and the source tokens nearest to its row.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="a model, such as results/demo/models/NAME/step-0")
    parser.add_argument("tokens", nargs="+", metavar="TOKEN_OR_TEXT", help="tokens, or texts, which are cut into tokens")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="the source model's artifact, if it is not found")
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> None:
    from lexigraft.token_maps.explaining import explain

    print(explain(options.model, options.tokens, options.source))


def _add_scores(subcommands: Any) -> None:
    parser = subcommands.add_parser("scores", help="print the score table of a run")
    parser.add_argument("run_folder", type=Path, metavar="RUN_FOLDER", help="such as results/demo")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument(
        "--languages", nargs="+", default=[], metavar="CODE", help="only means over these languages, as a Markdown table"
    )
    parser.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help="only these tasks, such as sr_t")
    parser.add_argument(
        "--metrics", nargs="+", default=[], help="only these metrics, such as top_1 or top_10_layer_6, as a Markdown table"
    )
    parser.set_defaults(run=_scores)


def _scores(options: argparse.Namespace) -> None:
    from lexigraft.evaluation.summary import chosen_table, markdown_table, run_summary

    if options.languages or options.metrics:
        print(chosen_table(options.run_folder, options.languages, options.metrics, options.tasks))
        return
    print((markdown_table if options.markdown else run_summary)(options.run_folder, options.tasks))


def _add_picture(subcommands: Any) -> None:
    parser = subcommands.add_parser("picture", help="draw the scores of a run as SVG or PNG")
    parser.add_argument("run_folder", type=Path, metavar="RUN_FOLDER", help="such as results/demo")
    parser.add_argument("out", type=Path, metavar="OUT", help="a file name that ends in .svg or .png")
    parser.set_defaults(run=_picture)


def _picture(options: argparse.Namespace) -> None:
    from lexigraft.report.readme_picture import write_picture

    write_picture(options.run_folder / "scores.parquet", options.run_folder / "intervals.parquet", options.out)


def _add_curves(subcommands: Any) -> None:
    parser = subcommands.add_parser("curves", help="draw held-out loss and scores per pre-training step as SVG or PNG")
    parser.add_argument("run_folder", type=Path, metavar="RUN_FOLDER", help="such as results/pretraining")
    parser.add_argument("out", type=Path, metavar="OUT", help="a file name that ends in .svg or .png")
    parser.add_argument("--task", help="the task of the scores; the first task by default")
    parser.set_defaults(run=_curves)


def _curves(options: argparse.Namespace) -> None:
    from lexigraft.report.curves_picture import write_curves

    found = sorted(options.run_folder.glob("models/*/pretraining_held_out.parquet"))
    held_out = {path.parent.name: path for path in found}
    write_curves(options.run_folder / "scores.parquet", held_out, options.out, task=options.task)


def _add_check(subcommands: Any) -> None:
    parser = subcommands.add_parser(
        "check",
        help="check a configuration without running anything",
        description="Check a configuration as a run would, but without Snakemake, which would execute templates in it.",
    )
    parser.add_argument("config", type=Path, nargs="+", metavar="CONFIG_FILE", help="later files override earlier ones")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    from lexigraft.config.configuration import read_config

    config = read_config(*options.config)
    print(f"run {config.run}: {len(config.models_by_name())} models")
    for name, source in config.sources.items():
        if source.trust_remote_code:
            print(f"sources.{name}.trust_remote_code: code of {source.model} will be executed")


def _add_verify(subcommands: Any) -> None:
    parser = subcommands.add_parser(
        "verify",
        help="check every artifact of a run",
        description="Check that every artifact in the folders is complete and unaltered.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="such as resources and results/demo")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    from lexigraft.artifacts import files_below, verify

    print(f"{verify(files_below(options.folders))} files, none damaged")


_SUBCOMMANDS: tuple[Callable[[Any], None], ...] = (
    _add_export,
    _add_explain,
    _add_scores,
    _add_picture,
    _add_curves,
    _add_check,
    add_cache,
    _add_verify,
)
"""Each adds one subcommand: its parser, and `run`, a function of the parsed options that may raise LexigraftError."""

if __name__ == "__main__":
    sys.exit(main())
