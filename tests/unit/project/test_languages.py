"""Language codes and the table of languages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.errors import ConfigError
from lexigraft.languages import (
    UNKNOWN,
    ByLanguage,
    LanguageCode,
    check_code,
    groups,
    languages,
    seen_groups,
    to_code,
    writes_spaces,
)
from lexigraft.report.paper import pretraining_languages, task_languages
from lexigraft.settings import Settings, parse


@pytest.mark.parametrize(
    "code", ["tur", "tr_Latn", "tur-Latn", "TUR_Latn", "tur_latn", "tur_Latin", " tur_Latn", "tur_Latn\n", ""]
)
def test_invalid_codes_raise_an_error(code: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(code))):
        check_code(code)


@given(st.text(max_size=12))
def test_accepted_codes_have_three_letters_and_a_script(text: str) -> None:
    try:
        language, script = check_code(text).split("_")
    except ValueError:
        return
    assert len(language) == 3
    assert language.islower()
    assert len(script) == 4
    assert script.istitle()


def test_scripts_without_spaces_between_words() -> None:
    unspaced = {
        code for code in ("cmn_Hans", "jpn_Jpan", "tha_Thai", "eng_Latn", "kor_Hang", "amh_Ethi") if not writes_spaces(code)
    }
    assert unspaced == {"cmn_Hans", "jpn_Jpan", "tha_Thai"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("tr", "tur_Latn"),
        ("tur", "tur_Latn"),
        ("TR", "tur_Latn"),
        ("TUR_LATN", "tur_Latn"),
        ("ger", "deu_Latn"),
        ("sr", "srp_Cyrl"),
        ("sr-Latn", "srp_Latn"),
        ("zh", "zho_Hani"),
        ("zh-yue", "yue_Hani"),
        ("fa", "fas_Arab"),
        ("jpn_Japn", "jpn_Jpan"),
        ("als", "als_Latn"),
        ("swl_Latn", "swl_Latn"),
        ("tru_Syrc", "tru_Syrc"),  # in no benchmark
        ("qax_Latn", "qax_Latn"),  # private use
        ("nah_Latn", "nah_Latn"),  # a language family, ISO 639-5
    ],
)
def test_alternative_codes_are_mapped_and_complete_ones_kept(text: str, code: str) -> None:
    assert to_code(text) == code


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("turkish", "'tur_Latn' (Turkish)"),
        ("uyghur", "'uig_Arab' (Uyghur)"),
        ("tuu", "'tur_Latn' (Turkish)"),
        ("tr-Arab", "'tur_Latn' (Turkish)"),
        ("ger_Latn", "no language 'ger'; did you mean 'deu_Latn' (German)"),
        ("eur_Latn", "no language 'eur'; did you mean 'tur_Latn' (Turkish)"),
        ("tur_Latm", "no script 'Latm'; did you mean 'tur_Latn' (Turkish)"),
    ],
)
def test_unknown_codes_raise_an_error_with_suggestions(text: str, near: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as caught:
        to_code(text)
    assert repr(text) in str(caught.value)
    assert near in str(caught.value)


def test_every_row_of_the_table_is_complete_and_found_by_its_other_codes() -> None:
    assert len(languages()) > 400
    assert sum(language.in_xlm_r for language in languages().values()) == 100
    for code, language in languages().items():
        assert check_code(code) == language.code == code
        assert code.split("_")[1] == language.script
        assert language.name
        assert language.family
        assert language.resource in ("high", "mid", "low", None)
        assert [to_code(other) for other in language.other_codes] == [code] * len(language.other_codes)
        assert to_code(code) == code


def test_the_table_has_all_of_the_papers_languages_and_tasks() -> None:
    for task, of_paper in task_languages().items():
        assert set(of_paper) == {code for code, language in languages().items() if task in language.tasks}, task
    classes = pretraining_languages()
    assert len(classes) == 22
    for code, resource in classes.select("language", "resource").iter_rows():
        assert languages()[code].resource == resource
        assert "cpt" in languages()[code].tasks


def test_groups_preserve_the_order_of_languages() -> None:
    codes = ["tur_Latn", "kor_Hang", "uig_Arab", "tru_Latn", "ces_Latn"]
    assert groups(codes, "script") == {"Latn": ["tur_Latn", "tru_Latn", "ces_Latn"], "Hang": ["kor_Hang"], "Arab": ["uig_Arab"]}
    assert groups(codes, "family") == {
        "Turkic": ["tur_Latn", "uig_Arab"],
        "Koreanic": ["kor_Hang"],
        UNKNOWN: ["tru_Latn"],
        "Indo-European": ["ces_Latn"],
    }
    assert groups(codes, "resource") == {
        "high": ["tur_Latn", "kor_Hang", "ces_Latn"],
        "low": ["uig_Arab"],
        UNKNOWN: ["tru_Latn"],
    }
    assert seen_groups(codes, ["kor_Hang", "eng_Latn"]) == {
        "unseen": ["tur_Latn", "uig_Arab", "tru_Latn", "ces_Latn"],
        "seen": ["kor_Hang"],
    }
    assert seen_groups(["kor_Hang"], ["kor_Hang"]) == {"seen": ["kor_Hang"]}


def test_settings_map_codes_and_refuse_duplicate_languages() -> None:
    class Example(Settings):
        texts: ByLanguage[str]
        languages: list[LanguageCode] = []

    found = parse(Example, {"texts": {"tr": "a", "deu_Latn": "b"}, "languages": ["eng"]})
    assert found.texts == {"tur_Latn": "a", "deu_Latn": "b"}
    assert found.languages == ["eng_Latn"]
    with pytest.raises(ConfigError, match="'tr' and 'tur_Latn' are the same language, tur_Latn"):
        parse(Example, {"texts": {"tr": "a", "tur_Latn": "b"}})
