"""Profiles cover every rule; every rule states the resources it needs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from configargparse import ConfigFileParserException
from snakemake.profiles import ProfileConfigFileParser

ROOT = Path(__file__).parents[3]
RULES = {
    found[1]: found[2]
    for path in (ROOT / "rules").rglob("*.smk")
    for found in re.finditer(r"^rule (\w+):\n((?:(?:    .*)?\n)+)", path.read_text(), flags=re.MULTILINE)
}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read the Slurm profile as Snakemake does, from a folder `slurm` in the working directory, with a given site.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEMAKE_OUTPUT_CACHE", raising=False)
    shutil.copytree(ROOT / "profiles" / "slurm", tmp_path / "slurm")

    def profile(site: str | None = None) -> dict[str, Any]:
        if site is not None:
            (tmp_path / "slurm" / "site.yaml").write_text(site)
        with (tmp_path / "slurm" / "config.yaml").open() as stream:
            return dict(ProfileConfigFileParser().parse(stream))

    return profile


def test_the_link_to_the_slurm_profile_exists() -> None:
    assert (ROOT / "slurm").readlink() == Path("profiles/slurm")
    assert len(RULES) > 20


def test_rules_request_resources_but_set_no_retries() -> None:
    for name, text in RULES.items():
        assert re.search(r"mem_mb=memory\(\d+, [\d.]+(, GPUS)?\),", text), name
        assert re.search(r"runtime=minutes\(\d+\),", text), name
        assert "retries:" not in text, name
        assert ("gpu=GPUS" in text) == ("GPUS)," in text), name
        # even the last of four attempts stays within the day that partitions usually allow
        limit = re.search(r"minutes\((\d+)\)", text)
        assert limit is not None
        assert 4 * int(limit[1]) <= 24 * 60, name


def test_every_gpu_rule_is_warned_before_its_time_limit(read: Any) -> None:
    warned = {entry.partition(":")[0] for entry in read()["set-resources"]}
    assert warned == {name for name, text in RULES.items() if "gpu=GPUS" in text}
    assert {entry.partition("=")[2] for entry in read()["set-resources"]} == {"'--signal=USR1@300'"}


def test_the_default_site_sets_nothing_but_a_cache_whose_variable_is_set(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = read()
    assert profile["slurm-status-command"] == "squeue"
    assert profile["retries"] == "3"
    assert not {"slurm-partition-config", "resources", "set-resource-scopes", "cache"} & set(profile)
    assert profile["default-resources"] == ["tmpdir=system_tmpdir"]
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", "cache")
    assert set(read()["cache"]) == set(RULES)


def test_site_settings_reach_the_profile_and_misspelled_keys_are_reported(read: Any) -> None:
    site = "account: lab\npartitions: {big: {max_gpu: 2}}\nmax_minutes: 720\nmax_memory: 64000\n"
    profile = read(site)
    assert profile["slurm-partition-config"].endswith("slurm/site.yaml")
    assert "slurm_account='lab'" in profile["default-resources"]
    assert profile["resources"] == ["runtime=720", "mem_mb=64000"]
    assert profile["set-resource-scopes"] == ["runtime=local", "mem_mb=local"]
    with pytest.raises(ConfigFileParserException, match=r"unknown keys in .*site.yaml: \['partition'\]"):
        read("partition: big\n")
