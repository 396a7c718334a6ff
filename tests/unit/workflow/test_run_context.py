"""Jobs import the library of the checkout that their workflow is read from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lexigraft.errors import ConfigError
from lexigraft.workflow.run_context import use_library_of

ROOT = Path(__file__).resolve().parents[3]


def test_child_processes_import_the_library_of_the_checkout_or_a_link_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    for folder, before in ((ROOT, "before"), (tmp_path / "link", "")):
        monkeypatch.setenv("PYTHONPATH", before)
        use_library_of(folder)
        assert os.environ["PYTHONPATH"] == os.pathsep.join(filter(None, [str(folder), before]))


def test_a_library_from_another_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    (tmp_path / "lexigraft").mkdir()
    with pytest.raises(ConfigError, match=r"the library was imported from .*\n.*PYTHONPATH=before\n.*two checkouts"):
        use_library_of(tmp_path)
    assert os.environ["PYTHONPATH"] == "before"


def test_rules_fetched_without_the_library_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"https:.*does not contain the library\n.*clone lexigraft"):
        use_library_of(Path("https://example.org/lexigraft"))
