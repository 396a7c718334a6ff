"""Standardized tokens of real tokenizers: lossless where the tokenizer is, and of one form for one text in all of them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizer_cases import PLACES
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import PreTrainedTokenizerFast

from lexigraft.initializers.parts.overlap import overlap
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.vocabulary import Vocabulary
from lexigraft.tokenizers.vocabulary_table import vocabulary_table

BYTE_LEVEL = ("gpt2", "pythia", "llama", "qwen")
TEXTS = [
    "In the beginning God created the heavens and the earth. The earth was formless and empty (see 1:2).",
    'Die Höhle der "Löwen" öffnet um 18:30 Uhr; Eintritt: 12,50 €!',
    "В начале сотворил Бог небо и землю — и сказал: «да будет свет».",
    "태초에 하나님이 천지를 창조하시니라. 땅이 혼돈하고 공허하며",
    "أَشْهَدُ أنَّ الماء أصل الحياة، أليس كذلك؟",
    "बच्चे बगीचे में खेल रहे हैं। १२३",
    "水は百度で沸騰する。漢字とかな！",
    "Watoto wanacheza bustanini, sivyo?",
    "def f(x):\n\treturn  x ** 2  # tab,  two spaces\n\n    end",
    "🙂 emoji 👩‍👩‍👧, naïve café, Ωμέγα, ½ ﷺ Ⅷ",
]
# what each pair of vocabularies shares, beside much else
SHARED = [" the", " of", " and", "s", "ing", "er", *"0123456789", *".,!?:;'", "-", "a", "é"]


@dataclass(frozen=True)
class Real:
    """A real tokenizer, its vocabulary, and its normalizer and pre-tokenizer, which are slow to get from it each time."""

    tokenizer: PreTrainedTokenizerFast
    vocabulary: Vocabulary
    normalizer: Normalizer
    pre_tokenizer: PreTokenizer

    def surfaces_of(self, text: str) -> list[str]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [self.vocabulary.surfaces[index] for index in ids]

    def text_surfaces(self) -> set[str]:
        roles = zip(self.vocabulary.surfaces, self.vocabulary.roles, strict=True)
        return {surface for surface, role in roles if role is None}


@cache
def real(name: str) -> Real:
    tokenizer = open_tokenizer(PLACES[name]())
    columns = vocabulary_table(tokenizer).to_dict(as_series=False)
    counts = np.zeros(len(columns["id"]), dtype=np.int64)
    vocabulary = Vocabulary(*(tuple(columns[key]) for key in ("token", "surface", "role")), counts)
    backend = tokenizer.backend_tokenizer
    return Real(tokenizer, vocabulary, backend.normalizer, backend.pre_tokenizer)


def joined(surfaces: list[str]) -> str:
    """The text of standardized tokens: `<0xE2><0x96>` are bytes, anything else is text."""
    raw = b""
    for surface in surfaces:
        written = re.fullmatch(r"(?:<0x[0-9A-F]{2}>)+", surface)
        raw += bytes.fromhex(re.sub("<0x|>", "", surface)) if written else surface.encode()
    return raw.decode("utf-8")


# slices of real text, put together: cut inside words, and where scripts meet
slices = st.tuples(st.sampled_from(TEXTS), st.integers(0, 110), st.integers(0, 110)).map(lambda cut: cut[0][cut[1] : cut[2]])
mixed = st.lists(slices | st.text(max_size=4), max_size=4).map("".join)
of_any_length = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", BYTE_LEVEL)
@of_any_length
@given(text=mixed)
def test_byte_level_surfaces_concatenate_to_the_text(name: str, text: str) -> None:
    found = real(name)
    # Pythia's and Qwen's normalize to NFC, the others do nothing
    expected = unicodedata.normalize("NFC", text) if name in ("pythia", "qwen") else text
    assert joined(found.surfaces_of(text)) == expected


@of_any_length
@given(text=mixed)
def test_sentencepiece_surfaces_with_byte_fallback_concatenate_to_the_text(text: str) -> None:
    assume(text and "▁" not in text)
    surfaces = real("mistral").surfaces_of(text)
    assert joined(surfaces) == (text if text.startswith(" ") else f" {text}")


@of_any_length
@given(text=mixed)
def test_sentencepiece_surfaces_concatenate_to_the_normalized_text(text: str) -> None:
    found = real("xlm-r")
    ids = found.tokenizer(text, add_special_tokens=False)["input_ids"]
    assume(found.tokenizer.unk_token_id not in ids)
    expected = found.normalizer.normalize_str(text).replace("▁", " ")
    assert "".join(found.surfaces_of(text)) == (expected if not expected or expected.startswith(" ") else f" {expected}")


@of_any_length
@given(text=mixed)
def test_wordpiece_surfaces_concatenate_to_the_words(text: str) -> None:
    found = real("minilm")
    ids = found.tokenizer(text, add_special_tokens=False)["input_ids"]
    assume(found.tokenizer.unk_token_id not in ids)
    words = found.pre_tokenizer.pre_tokenize_str(found.normalizer.normalize_str(text))
    assert "".join(found.surfaces_of(text)) == "".join(f" {word}" for word, _ in words)


@pytest.mark.parametrize(("one", "other"), list(combinations(PLACES, 2)))
def test_overlapping_tokens_of_two_tokenizers_spell_the_same_text(one: str, other: str) -> None:
    shared = real(one).text_surfaces() & real(other).text_surfaces()
    # MiniLM has no accents and no capitals
    missing = [surface for surface in SHARED if surface not in shared and not (surface == "é" and "minilm" in (one, other))]
    assert missing == []
    assert len(shared) > 9_000


@pytest.mark.parametrize(("source", "target"), [("minilm", "xlm-r"), ("gpt2", "llama"), ("xlm-r", "mistral")])
def test_overlap_of_real_vocabularies_is_that_of_plain_dictionaries(source: str, target: str) -> None:
    theirs, ours = real(source).vocabulary, real(target).vocabulary
    text = [(index, surface) for index, surface in enumerate(theirs.surfaces) if theirs.roles[index] is None]
    exact, lower = {surface: index for index, surface in text}, {surface.lower(): index for index, surface in text}
    roles = {role: theirs.roles.index(role) for role in ("bos", "eos", "pad", "unk", "mask") if role in theirs.roles}
    expected = [
        roles.get(role, -1) if role is not None else exact.get(surface, lower.get(surface.lower(), -1))
        for surface, role in zip(ours.surfaces, ours.roles, strict=True)
    ]
    found = overlap(theirs, ours)
    differing = [ours.tokens[index] for index in np.flatnonzero(found != np.array(expected))]
    # Python and polars lower-case a few letters differently (a final sigma, a dotted capital I)
    assert len(differing) < 20
    assert (found >= 0).sum() > 9_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xlm-r", {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}),
        ("minilm", {"bos": "[CLS]", "eos": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}),
        ("gpt2", {"eos": "<|endoftext|>"}),
        ("pythia", {}),
        ("llama", {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|finetune_right_pad_id|>"}),
        ("qwen", {"eos": "<|im_end|>", "pad": "<|endoftext|>"}),
        ("mistral", {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}),
    ],
)
def test_special_tokens_by_role(name: str, expected: dict[str, str]) -> None:
    vocabulary = real(name).vocabulary
    pairs = zip(vocabulary.tokens, vocabulary.roles, strict=True)
    assert {role: token for token, role in pairs if role not in (None, "special")} == expected
    special = [token for token, role in zip(vocabulary.tokens, vocabulary.roles, strict=True) if role == "special"]
    assert len(special) == {"pythia": 2, "llama": 254, "qwen": 12}.get(name, 0)


def test_special_tokens_are_matched_by_role() -> None:
    source, target = real("minilm").vocabulary, real("xlm-r").vocabulary
    found = overlap(source, target)
    matched = {target.tokens[index]: source.tokens[found[index]] for index, role in enumerate(target.roles) if role is not None}
    assert matched == {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}


@pytest.mark.parametrize("name", [*BYTE_LEVEL, "mistral"])
def test_every_byte_has_a_token(name: str) -> None:
    """Bytes that are a character are that character; the others are written in one way by all families."""
    surfaces = real(name).text_surfaces()
    assert [byte for byte in range(128) if chr(byte) not in surfaces] == []
    # Pythia's tokenizer has no token for bytes that never occur in UTF-8
    never = {0xC0, 0xC1, *range(0xF5, 0x100)} if name == "pythia" else set()
    assert {byte for byte in range(128, 256) if f"<0x{byte:02X}>" not in surfaces} == never


@pytest.mark.parametrize("name", PLACES)
def test_ids_are_rows_and_surfaces_are_those_of_the_tokens(name: str) -> None:
    found = real(name)
    assert found.tokenizer.convert_ids_to_tokens(list(range(0, len(found.vocabulary), 997))) == list(
        found.vocabulary.tokens[::997]
    )
    sizes = {"xlm-r": 250_002, "minilm": 30_522, "gpt2": 50_257, "pythia": 50_277, "llama": 128_257, "qwen": 151_669}
    assert len(found.vocabulary) == sizes.get(name, 32_002)
    assert not [surface for surface in found.vocabulary.surfaces if "Ġ" in surface and "Ġ" in surface.strip()[1:]]
