"""Language codes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.errors import ConfigError
from lexigraft.languages import LanguageCode, check_code, writes_spaces
from lexigraft.settings import Settings, parse


@pytest.mark.parametrize("code", ["tur_Latn", "arb_Arab", "cmn_Hans"])
def test_codes_of_the_right_form_pass_unchanged(code: str) -> None:
    assert check_code(code) == code


@pytest.mark.parametrize(
    "code", ["tur", "tr_Latn", "tur-Latn", "TUR_Latn", "tur_latn", "tur_Latin", " tur_Latn", "tur_Latn\n", ""]
)
def test_other_codes_are_named_in_the_error(code: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(code))):
        check_code(code)


@given(st.text(max_size=12))
def test_accepted_codes_are_three_letters_and_a_script(text: str) -> None:
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


def test_settings_tell_of_a_wrong_code() -> None:
    class Example(Settings):
        language: LanguageCode

    with pytest.raises(ConfigError, match=r"language: language code 'turkish' is not of the form iso639-3_Script"):
        parse(Example, {"language": "turkish"})
