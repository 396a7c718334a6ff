"""Unigram tokenizers (Kudo 2018, https://arxiv.org/abs/1804.10959): trained by SentencePiece, run by `tokenizers`.

The tokenizer itself normalizes the text (NFKC, controls dropped, spaces joined) and SentencePiece is configured to change
nothing, so both segment the same string. SentencePiece's own `nmt_nfkc` table is not used: `tokenizers` does not compose
decomposed Korean with it as SentencePiece does, and it turns the zero-width non-joiner, which Persian spelling needs, into a
space.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lexigraft.errors import InputError
from lexigraft.tokenizers.proto import parse_model
from lexigraft.tokenizers.surfaces import METASPACE
from lexigraft.tokenizers.words import WordCounts

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer
    from tokenizers.processors import PostProcessor

log = logging.getLogger(__name__)

Piece = tuple[str, float]
SPECIAL_TOKENS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
"""By role, in the order of their ids (that of XLM-R, but for `<mask>`, which is last there)."""
UNK_ID = 3
INVISIBLE = r"[\p{Cc}&&[^\t\n\r\x{85}]]|[\x{AD}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}]"
SPACES = r"[\s▁\x{200B}]+"
# SentencePiece adds up expected counts per thread: the scores, and so the pieces, would depend on the number of threads
_TRAINING_THREADS = 1
_LONGEST_WORD_BYTES = 1 << 16
_SEEDS_PER_PIECE, _FEWEST_SEEDS = 10, 100_000
_TOO_LARGE = re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


class VocabularyTooLargeError(InputError):
    """The text has too few different substrings for a vocabulary; `largest` is the largest possible one."""

    def __init__(self, vocab_size: int, largest: int) -> None:
        self.largest = largest
        super().__init__(
            f"vocab_size {vocab_size} is larger than the text allows: {largest} is the largest possible value",
            hint=f"set vocab_size to {largest} or less, or add text to the corpus",
        )


def train_pieces(words: WordCounts, vocab_size: int, coverage: float) -> list[Piece]:
    """Learn a unigram vocabulary with SentencePiece; deterministic, on one thread.

    Args:
        words: counts of words that begin with `▁` where a space was; pieces never cross words.
        vocab_size: number of pieces, the five of `SPECIAL_TOKENS` included.
        coverage: share of the text's characters that get their own piece; all others are unknown.

    Returns:
        (piece, log-probability) by id; the first five are `SPECIAL_TOKENS` with log-probability 0.

    Raises:
        VocabularyTooLargeError: the text has too few different substrings for this number of pieces.
        InputError: it has more characters than pieces.
    """
    import sentencepiece

    log.info("learning %d unigram pieces from %d distinct words", vocab_size, len(words.words))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in zip(words.words, words.counts.tolist(), strict=True)),
            input_format="tsv",
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=coverage,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            seed_sentencepiece_size=max(_SEEDS_PER_PIECE * vocab_size, _FEWEST_SEEDS),
            max_sentence_length=_LONGEST_WORD_BYTES,
            bos_id=0,
            pad_id=1,
            eos_id=2,
            unk_id=UNK_ID,
            control_symbols=[SPECIAL_TOKENS["mask"]],
            num_threads=_TRAINING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(error, vocab_size) from error
    return [(piece.piece, piece.score) for piece in parse_model(model.getvalue()).pieces]


def unigram_tokenizer(pieces: Sequence[Piece]) -> Tokenizer:
    """Return a tokenizer that segments as SentencePiece does with these pieces and frames text with `<s> … </s>`.

    Args:
        pieces: (piece, log-probability) by id, beginning with `SPECIAL_TOKENS`.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=UNK_ID, byte_fallback=False))
    tokenizer.normalizer = text_normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=METASPACE, prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement=METASPACE, prepend_scheme="always", split=True)
    tokenizer.post_processor = framing(SPECIAL_TOKENS["bos"], 0, SPECIAL_TOKENS["eos"], 2)
    # the mask replaces a word and the space before it
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, lstrip=role == "mask") for role, token in SPECIAL_TOKENS.items()]
    )
    return tokenizer


def text_front_end() -> Tokenizer:
    """Return a tokenizer without pieces that normalizes and splits text as `unigram_tokenizer` does."""
    return unigram_tokenizer([(token, 0.0) for token in SPECIAL_TOKENS.values()])


def text_normalizer() -> Normalizer:
    """Return the normalizer of the tokenizers that are trained here.

    It drops control, soft-hyphen and direction characters, applies NFKC, reduces runs of spaces to one and strips the ends.
    """
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(INVISIBLE), ""),
            normalizers.NFKC(),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Strip(),
        ]
    )


def framing(bos: str, bos_id: int, eos: str, eos_id: int) -> PostProcessor:
    """Return the post-processor that makes `bos text eos`, and `bos text eos eos text eos` of a pair."""
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=[bos, "$A", eos], pair=[bos, "$A", eos, eos, "$B", eos], special_tokens=[(bos, bos_id), (eos, eos_id)]
    )


def _explained(error: RuntimeError, vocab_size: int) -> Exception:
    """Turn a SentencePiece error about the vocabulary size into one with a hint."""
    too_large, too_small = _TOO_LARGE.search(str(error)), _TOO_SMALL.search(str(error))
    if too_large:
        return VocabularyTooLargeError(vocab_size, int(too_large[1]))
    if too_small:
        return InputError(
            f"vocab_size {vocab_size} is too small: characters and special tokens alone need {too_small[1]}",
            hint=f"set vocab_size to more than {too_small[1]}, or lower character_coverage",
        )
    return error
