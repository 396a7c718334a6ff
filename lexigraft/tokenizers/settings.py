"""Settings of target tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.files.checksums import Sha256s
from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings


class UnigramTokenizer(Settings):
    """A SentencePiece unigram model trained on a corpus."""

    kind: Literal["unigram"]
    corpus: Name
    vocab_size: PositiveInt = 30_000
    character_coverage: float = Field(default=0.9995, gt=0.9, le=1.0)
    max_sentences: PositiveInt | None = None
    """Size of the seeded sample of sentences to train on (all by default)."""


class ExistingTokenizer(Settings):
    """A tokenizer that exists: a hub id, a folder, a `tokenizer.json`, a SentencePiece `.model`, or `package:NAME/PATH`."""

    kind: Literal["existing"]
    path: str = Field(min_length=1)
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    sha256: Sha256s | None = None
    """Digest of the file, or of each file by name, compared before the file is read."""
    corpus: Name | None = None
    """Text to count tokens on. Only sources without a masked-language-modeling head need the counts: a new head starts from
    them. Without it all counts are 0."""


class ExtendedTokenizer(Settings):
    """The source tokenizer with new pieces, learned on a corpus, spliced into its model."""

    kind: Literal["extension"]
    source: Name
    corpus: Name
    languages: list[LanguageCode] | None = None
    """Languages to learn the new pieces on (all of the corpus by default)."""
    new_tokens: PositiveInt = 20_000
    character_coverage: float = Field(default=0.9999, gt=0.9, le=1.0)
    """Words with characters rarer than this are not learned from."""
    max_sentences: PositiveInt | None = None
    """Size of the seeded sample of sentences to learn from (all by default)."""


TokenizerSettings = Annotated[UnigramTokenizer | ExistingTokenizer | ExtendedTokenizer, Field(discriminator="kind")]
