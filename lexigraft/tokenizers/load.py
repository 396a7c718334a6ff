"""Loading the tokenizer of an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexigraft.artifacts import check_companion
from lexigraft.errors import ArtifactError
from lexigraft.tokenizers.fast import TOKENIZER_FILES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer from `tokenizer.json` and `tokenizer_config.json` in `folder`; nothing else is read.

    Neither truncation nor padding is set in its backend.

    Raises:
        ArtifactError: a file is missing, altered or cannot be read.
    """
    from transformers import PreTrainedTokenizerFast

    folder = Path(folder)
    for name in TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise ArtifactError(
                "the tokenizer's file does not exist",
                where=folder / name,
                hint="ask snakemake for this file by its name to make it",
            )
        check_companion(folder / name)
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    # the parser written in Rust raises bare exceptions
    except Exception as error:
        raise ArtifactError(
            f"the tokenizer cannot be read ({' '.join(str(error).split())[:200]})",
            where=folder / TOKENIZER_FILES[0],
            hint="delete the file and run snakemake again: it remakes this and what depends on it",
        ) from error
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer
