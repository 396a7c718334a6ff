"""The vocabulary table: standardized strings, roles, ids, counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.tokenizers.counting import count_tokens
from lexigraft.tokenizers.surfaces import bytes_by_character, surfaces
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.tokenizers.vocabulary_table import token_roles, tokens_by_id, vocabulary_table

WORDPIECE = {"model": {"type": "WordPiece", "continuing_subword_prefix": "##"}, "added_tokens": [{"content": "[CLS]"}]}
SENTENCEPIECE = {"model": {"type": "Unigram"}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁"}}
LLAMA = {
    "model": {"type": "BPE"},
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
}
BYTE_LEVEL = {
    "model": {"type": "BPE"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]},
    "added_tokens": [{"content": "<|é Ġ|>"}],
}


def wordpiece(tokens: list[str], **attributes: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token=tokens[0]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **attributes)


def test_wordpiece_surfaces() -> None:
    assert surfaces(WORDPIECE, ["water", "##s", "##", "##水", ".", "[CLS]"]) == [" water", "s", " ##", "水", " .", "[CLS]"]


@pytest.mark.parametrize("description", [SENTENCEPIECE, LLAMA])
def test_sentencepiece_surfaces(description: dict[str, object]) -> None:
    assert surfaces(description, ["▁water", "s", "▁", "<0xE2>", "▁a▁b"]) == [" water", "s", " ", "<0xE2>", " a b"]


def test_bytes_of_sentencepiece() -> None:
    tokens = ["<0x0A>", "<0x41>", "<0x80>", "<0xE2>", "<0x0a>", "<0x41>a"]
    falling_back = {**SENTENCEPIECE, "model": {"type": "BPE", "byte_fallback": True}}
    assert surfaces(falling_back, tokens) == ["\n", "A", *tokens[2:]]
    assert surfaces(SENTENCEPIECE, tokens) == tokens


def test_byte_level_surfaces() -> None:
    tokens = ["Ġwater", "Ã©", "ìĹIJ", "Ġà", "<|é Ġ|>"]
    assert surfaces(BYTE_LEVEL, tokens)[:2] == [" water", "é"]
    assert surfaces(BYTE_LEVEL, ["Ġà", "Ċ"]) == ["<0x20><0xE0>", "\n"]
    # added tokens are not written in bytes
    assert surfaces(BYTE_LEVEL, ["<|é Ġ|>"]) == ["<|é Ġ|>"]


def test_the_byte_table_is_that_of_gpt2() -> None:
    assert bytes_by_character() == {character: byte for byte, character in bytes_to_unicode().items()}


@given(st.text(min_size=1, max_size=20))
def test_byte_level_tokens_of_whole_characters_decode_to_text(text: str) -> None:
    table = bytes_to_unicode()
    token = "".join(table[byte] for byte in text.encode("utf-8", "surrogatepass"))
    valid = not any(0xD800 <= ord(character) < 0xE000 for character in text)
    assert (surfaces(BYTE_LEVEL, [token]) == [text]) == valid


def test_a_tokenizer_without_word_starts_is_refused() -> None:
    with pytest.raises(InputError, match="starts of words in no known way"):
        surfaces({"model": {"type": "WordLevel"}, "pre_tokenizer": {"type": "Whitespace"}}, ["a"])


def test_roles_come_from_attributes_and_not_from_strings() -> None:
    tokens = ["[UNK]", "</s>", "<pad>", "[MASK]", "<s>", "word", "[CLS]"]
    tokenizer = wordpiece(tokens, unk_token="[UNK]", cls_token="</s>", sep_token="<pad>", mask_token="<s>", pad_token="[MASK]")
    tokenizer.backend_tokenizer.add_special_tokens([AddedToken("[CLS]", special=True)])
    assert vocabulary_table(tokenizer)["role"].to_list() == ["unk", "bos", "eos", "pad", "mask", None, "special"]


def test_a_token_with_several_roles_gets_one() -> None:
    tokenizer = wordpiece(
        ["<|endoftext|>", "word"], **{f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "unk", "pad")}
    )
    assert token_roles(tokenizer) == {0: "eos"}


def test_ids_with_gaps_or_duplicates_are_errors(tmp_path: Path) -> None:
    holed = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "b": 4}, unk_token="[UNK]"))
    with pytest.raises(InputError, match="2 ids of the tokenizer have no token, the first is 2; its ids go up to 4"):
        tokens_by_id(PreTrainedTokenizerFast(tokenizer_object=holed))
    doubled = json.loads(holed.to_str())
    doubled["model"]["vocab"]["b"] = 1
    (tmp_path / "tokenizer.json").write_text(json.dumps(doubled))
    with pytest.raises(InputError, match="two tokens have the id 1"):
        tokens_by_id(PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json")))


def test_embedding_rows() -> None:
    tokenizer = wordpiece(["[UNK]", "a", "##b"], unk_token="[UNK]")
    with pytest.raises(InputError, match=r"ids go up to 2 \('##b'\), the model has 2 embedding rows"):
        vocabulary_table(tokenizer, rows=2)
    assert len(vocabulary_table(tokenizer, rows=3)) == 3
    padded = vocabulary_table(tokenizer, rows=5)
    assert padded["id"].to_list() == [0, 1, 2, 3, 4]
    assert padded["role"].to_list()[3:] == ["special", "special"]
    assert padded["token"].n_unique() == 5


def corpus(path: Path, texts: list[str], stage: str = "corpus") -> Path:
    rows = [("eng_Latn", str(index), text) for index, text in enumerate(texts)]
    schema = {"language": pl.String, "sentence_id": pl.String, "text": pl.String}
    write_table(path, pl.DataFrame(rows, schema=schema, orient="row"), Provenance(stage))
    return path


def test_counts_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    tokenizer = wordpiece(["[UNK]", "[CLS]", "a", "b", "##b", "##a"], unk_token="[UNK]", cls_token="[CLS]")
    texts = ["a ab abb", "", "x a", "[CLS] b", "bab " * 300]
    sentences = corpus(tmp_path / "sentences.parquet", texts)
    expected = np.zeros(6, dtype=np.int64)
    for text in texts:
        for index in tokenizer(text, add_special_tokens=False)["input_ids"]:
            expected[index] += 1
    # truncation and padding of the caller neither change the counts nor are changed
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    for block in (1, 2, 100):
        np.testing.assert_array_equal(count_tokens(tokenizer, sentences, block), expected)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 2


def test_counting_refuses_files_that_are_not_a_corpus(tmp_path: Path) -> None:
    tokenizer = wordpiece(["[UNK]", "a"], unk_token="[UNK]")
    with pytest.raises(InputError, match="the corpus is empty"):
        count_tokens(tokenizer, corpus(tmp_path / "empty.parquet", []))
    with pytest.raises(ArtifactError, match="'word_vectors'"):
        count_tokens(tokenizer, corpus(tmp_path / "foreign.parquet", ["a"], "word_vectors"))
    damaged = corpus(tmp_path / "damaged.parquet", ["a"])
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(ArtifactError):
        count_tokens(tokenizer, damaged)


def test_vocabulary_table_round_trip(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0), ("b", -2.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    write_table(tmp_path / "v.parquet", vocabulary_table(fast, np.array([3, 2, 1])), Provenance("tokenizer"))
    vocabulary = read_vocabulary(tmp_path / "v.parquet")
    assert vocabulary.tokens == ("<unk>", "▁a", "b")
    assert vocabulary.surfaces == ("<unk>", " a", "b")
    assert vocabulary.counts.tolist() == [3, 2, 1]
    assert vocabulary.is_text.tolist() == [False, True, True]
    write_table(tmp_path / "w.parquet", vocabulary_table(fast), Provenance("source"))
    assert read_vocabulary(tmp_path / "w.parquet").counts.tolist() == [0, 0, 0]
