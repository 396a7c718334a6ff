"""Tokenizers against the libraries and algorithms that they must agree with, on real text where it is installed."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizer_cases import SENTENCES, TRANSLATIONS, build, byte_level, corpus, frame, made_up, verses, words_of
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.fast import write_tokenizer_files
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, text_front_end, text_normalizer, train_pieces, unigram_tokenizer
from lexigraft.tokenizers.words import WordCounts, character_coverage

UNUSUAL = [
    "",
    "   ",
    "two  spaces\tand a tab, \n a line",
    unicodedata.normalize("NFD", "한국어 décomposé Ǟ"),
    "می‌خواهم",
    "soft\xadhyphen \u200emarks\u200f \ufeff",
    "漢字 🙂 ꙮ",
    "ﷺ ½ Ⅷ ＡＢＣ １２３",
    "▁metaspace ▁",
    "a" * 300,
]


def sentencepiece_model(pieces: list[tuple[str, float]]) -> sentencepiece.SentencePieceProcessor:
    """SentencePiece itself with the same pieces, which changes nothing of the text but its spaces."""
    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = 1
    for index, (piece, score) in enumerate(pieces):
        kind = 2 if index == 3 else 3 if index < len(SPECIAL_TOKENS) else 1
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.unk_id = 3
    model.normalizer_spec.name = "identity"
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def test_real_text_is_segmented_as_sentencepiece_does() -> None:
    texts = {language: verses(language, 20_000, 400) for language in TRANSLATIONS}
    pieces = train_pieces(words_of([text for part in texts.values() for text in part[:300]], text_front_end()), 3000, 0.9995)
    ours, theirs, normalizer = unigram_tokenizer(pieces), sentencepiece_model(pieces), text_normalizer()
    for language, part in texts.items():
        for text in [*part, *(unicodedata.normalize("NFD", text) for text in part[:50]), *UNUSUAL]:
            expected = theirs.encode(normalizer.normalize_str(text))
            assert ours.encode(text, add_special_tokens=False).ids == expected, (language, text)
    tokens = sum(len(ours.encode(text, add_special_tokens=False).ids) for text in texts["kor_Hang"][300:])
    assert tokens < 0.9 * sum(map(len, texts["kor_Hang"][300:]))


# the normalizer and Python know different versions of Unicode; beyond the basic plane they differ
@given(st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=40))
@settings(max_examples=300)
def test_normalizer_on_examples(text: str) -> None:
    normalizer = text_normalizer()
    once = normalizer.normalize_str(text)
    assert normalizer.normalize_str(once) == once
    assert once == once.strip(" ")
    assert not re.search(r"\s\s|[\t\n\r\xa0\u3000▁\xad\u200b\ufeff]", once)
    assert unicodedata.is_normalized("NFKC", once)


def test_the_normalizer_keeps_what_spelling_needs() -> None:
    normalizer = text_normalizer()
    assert normalizer.normalize_str("می‌خواهم") == "می‌خواهم"
    assert normalizer.normalize_str("  co\xadop \x00 ＡＢ\u200bc ") == "coop ABc".replace("Bc", "B c")


def front_ends() -> dict[str, Tokenizer]:
    def tokenizer(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
        made = Tokenizer(models.BPE())
        if normalizer is not None:
            made.normalizer = normalizer
        if pre_tokenizer is not None:
            made.pre_tokenizer = pre_tokenizer
        return made

    metaspace = pre_tokenizers.Metaspace
    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return {
        "ours": text_front_end(),
        "bert": tokenizer(normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()),
        "roberta": tokenizer(None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "byte level with a space": tokenizer(None, pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "metaspace, never": tokenizer(None, metaspace(prepend_scheme="never")),
        "xlm-r": tokenizer(normalizers.NFKC(), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()])),
        "llama": tokenizer(llama, None),
    }


@pytest.mark.parametrize("name", front_ends())
def test_counted_words_equal_those_of_unsplit_sentences(name: str) -> None:
    """Counting stretches between spaces gives what pre-tokenizing whole sentences gives."""
    tokenizer = front_ends()[name]
    texts = [*SENTENCES.values(), SENTENCES["eng_Latn"], "It's 3.5% (or so), isn't it?", "one"]
    expected: Counter[str] = Counter()
    for text in texts:
        normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        if tokenizer.pre_tokenizer:
            expected.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized))
        else:
            expected.update("▁" + word for word in normalized.split("▁")[1:])
    found = words_of(texts, tokenizer)
    assert dict(zip(found.words, found.counts.tolist(), strict=True)) == dict(expected)
    assert found.words == sorted(found.words)


def test_character_coverage() -> None:
    words = WordCounts(["ab", "b", "c", "d"], np.array([4, 1, 1, 1]))
    assert character_coverage(words, 1.0) == ({"a", "b", "c", "d"}, set())
    # b 5, a 4, c 1, d 1 of 11 characters
    assert character_coverage(words, 9 / 11) == ({"a", "b"}, {"c", "d"})
    assert character_coverage(words, 0.85) == ({"a", "b", "c"}, {"d"})


def test_error_names_the_largest_trainable_vocabulary_size() -> None:
    words = words_of([text for language in SENTENCES for text in made_up(language)], text_front_end())
    with pytest.raises(InputError, match="vocab_size 9000 is larger than the text allows") as caught:
        train_pieces(words, 9000, 1.0)
    largest = int(re.search(r"(\d+) is the largest possible value", str(caught.value))[1])  # type: ignore[index]
    assert len(train_pieces(words, largest, 1.0)) == largest
    with pytest.raises(InputError, match=f"{largest} is the largest possible value"):
        train_pieces(words, largest + 1, 1.0)


def test_sentence_sample_depends_on_the_seed_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join("".join(rng.choice(list("abcdefgh"), size=4)) for _ in range(6)) for _ in range(300)]
    sentences = corpus(tmp_path / "sentences.parquet", frame(texts))
    values = {"kind": "unigram", "vocab_size": 60, "max_sentences": 100}
    files = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(values, sentences, tmp_path / name, seed=seed)
        files[name] = (tmp_path / name / "tokenizer.json").read_bytes()
    assert files["a"] == files["b"] != files["c"]


def test_special_tokens_after_loading(tmp_path: Path) -> None:
    texts = [text for language in SENTENCES for text in made_up(language)]
    build({"kind": "unigram", "vocab_size": 140}, corpus(tmp_path / "sentences.parquet", frame(texts)), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS.values()] == [0, 1, 2, 3, 4]
    # a mask takes the space before it along
    assert tokenizer.added_tokens_decoder[4].lstrip
    the, earth = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in ("the", "earth"))
    assert tokenizer("the <mask> earth", add_special_tokens=False)["input_ids"] == [*the, 4, *earth]
    assert tokenizer("the", "earth")["input_ids"] == [0, *the, 2, 2, *earth, 2]
    assert 3 in tokenizer("ꙮ", add_special_tokens=False)["input_ids"]


def test_missing_languages_and_empty_text_are_errors(tmp_path: Path) -> None:
    sentences = corpus(tmp_path / "sentences.parquet", frame(["a b c"] * 5))
    with pytest.raises(ConfigError, match="an extension builds on a source"):
        build({"kind": "extension", "source": "s"}, sentences, tmp_path / "out")
    source = tmp_path / "source"
    write_tokenizer_files(byte_level(), source)
    with pytest.raises(InputError, match="no sentence in 'enm_Latn'; did you mean 'eng_Latn'"):
        build({"kind": "extension", "source": "s", "languages": ["enm_Latn"]}, sentences, tmp_path / "out", source)
    blank = corpus(tmp_path / "blank.parquet", frame(["  ", "\t"]))
    with pytest.raises(InputError, match="contains no word"):
        build({"kind": "unigram"}, blank, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ArtifactError, match="does not exist"):
        load_tokenizer(tmp_path / "out")
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_tokenizer(source)


MODELS: dict[str, dict[str, Any]] = {
    "unigram": {"model_type": "unigram"},
    "bpe": {"model_type": "bpe"},
    "bpe with bytes": {"model_type": "bpe", "byte_fallback": True},
    "with a mask": {"model_type": "unigram", "pad_id": 3, "user_defined_symbols": ["<mask>", "<extra>"]},
    "spaces kept": {
        "model_type": "unigram", "normalization_rule_name": "identity",
        "add_dummy_prefix": False, "remove_extra_whitespaces": False,
    },
    "across words": {"model_type": "unigram", "split_by_whitespace": False},
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_sentencepiece_models(name: str, tmp_path: Path) -> None:
    texts = [*SENTENCES.values(), *(text for language in SENTENCES for text in made_up(language))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, num_threads=1, minloglevel=2,
        vocab_size=400 if "bytes" in name else 180, **MODELS[name],
    )  # fmt: skip
    file = tmp_path / "sp.model"
    file.write_bytes(model.getvalue())
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ours = open_tokenizer(file)
    words = " ".join(texts[:4]).split()
    rng = np.random.default_rng(0)
    shuffled = [" ".join(rng.choice(words, size=9)) for _ in range(200)]
    for text in [*texts[:4], *shuffled, " two  spaces ", "ꙮ and more ꙮꙮ", "ＡＢＣ"]:
        assert ours(text, add_special_tokens=False)["input_ids"] == theirs.encode(text), text
    assert ours.convert_ids_to_tokens(range(len(theirs))) == [theirs.id_to_piece(i) for i in range(len(theirs))]
    assert len(ours) == len(theirs) + (0 if name == "with a mask" else 2)
    assert [ours.decode(ours(text)["input_ids"], skip_special_tokens=True).strip() for text in texts[:4]] == texts[:4]
    ids = ours(texts[0])["input_ids"]
    assert (ids[0], ids[-1]) == (theirs.bos_id(), theirs.eos_id())
    assert None not in (ours.mask_token_id, ours.pad_token_id, ours.unk_token_id)


def test_files_that_are_not_tokenizers_are_errors(tmp_path: Path) -> None:
    for name, content in (("x.model", b"\xff\xfe garbage"), ("empty.model", b""), ("x.json", b"{}"), ("x.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"not a SentencePiece model|not a tokenizer"):
            open_tokenizer(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        open_tokenizer(tmp_path / "nothing.json")


def test_roles_of_a_bare_tokenizer_json_follow_from_its_structure(tmp_path: Path) -> None:
    backend = Tokenizer(
        models.WordPiece({name: index for index, name in enumerate(["x", "p", "q", "r", "<mask>", "a"])}, unk_token="x")
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(single="q $A r", special_tokens=[("q", 2), ("r", 3)])
    backend.add_special_tokens(["<mask>"])
    backend.enable_padding(pad_id=1, pad_token="p")
    backend.enable_truncation(3)
    backend.save(str(tmp_path / "bare.json"))
    opened = open_tokenizer(tmp_path / "bare.json")
    assert (opened.unk_token, opened.pad_token, opened.cls_token, opened.sep_token, opened.mask_token) == (
        "x",
        "p",
        "q",
        "r",
        "<mask>",
    )
    assert opened("a a a a a")["input_ids"] == [2, 5, 5, 5, 5, 5, 3]


def test_segmentation_follows_the_file_not_the_class(tmp_path: Path) -> None:
    """`BertTokenizer` of transformers would lower-case, since tokenizer_config.json does not say otherwise."""
    backend = Tokenizer(
        models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4, "A": 5, "a": 6}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 77}')
    for reference in (tmp_path, tmp_path / "tokenizer.json"):
        opened = open_tokenizer(reference)
        assert opened("A a", add_special_tokens=False)["input_ids"] == [5, 6]
        assert (opened.cls_token, opened.mask_token, opened.model_max_length) == ("[CLS]", "[MASK]", 77)
