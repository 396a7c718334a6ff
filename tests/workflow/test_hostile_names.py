"""Names with a meaning in a shell, and configurations that try to run code, in workflow runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout

HOSTILE = """we're "here" $(touch pwned) `touch pwned`; touch pwned & #"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in a folder with a hostile name, whose configuration uses such names wherever possible."""
    found = Checkout(tmp_path / HOSTILE)
    text = found.folder / HOSTILE
    text.mkdir()
    sentences = [f"sentence number {index} of many, {'ab'[index % 2]}" for index in range(60)]
    (text / "eng_Latn.txt").write_text("\n".join(sentences))
    (text / f"{HOSTILE}.vec").write_text("sentence 1 2\nnumber 3 4\nmany 5 6\n")
    (text / f"{HOSTILE}.ids").write_text("3\n5\n")
    (text / f"{HOSTILE}.bio").write_text("Paris\tB-LOC\nis\tO\n\n" * 9)
    files = {"eng_Latn": str(text / f"{HOSTILE}.bio")}
    config = yaml.safe_load((found.folder / "mini.yaml").read_text())
    config["corpora"]["own"] = {"adapter": "text_folder", "path": str(text), "held_out": str(text / f"{HOSTILE}.ids")}
    config["word_vectors"]["own"] = {"kind": "files", "paths": str(text / f"{HOSTILE}.vec")}
    config["sources"]["minilm"]["license"] = HOSTILE
    config["tasks"]["tags"] = {"kind": "tagging", "format": "bio", "train": files, "dev": files, "test": files}
    config["pathvars"] = {name: f"{HOSTILE} {name}" for name in ("results", "resources", "logs")}
    (found.folder / "hostile.yaml").write_text(yaml.safe_dump(config))
    return found


def test_hostile_names_are_never_executed(checkout: Checkout, tmp_path: Path) -> None:
    resources = f"{HOSTILE} resources"
    targets = [f"{resources}/corpora/own/sentences.parquet", f"{resources}/word_vectors/own/words.parquet"]
    done = checkout.snakemake("--cores", "1", *targets, config="hostile.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((checkout.folder / target).stat().st_size for target in targets)
    assert (checkout.folder / f"{HOSTILE} logs" / "corpora" / "own.log").is_file()
    planned = checkout.planned("all", config="hostile.yaml")
    assert planned["tagger"] == 8
    assert {"source", "factors", "hypernetwork", "initialized_model", "pretraining", "ranks", "report"} <= planned.keys()
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", ["../x", "a b", "$(touch pwned)"])
def test_a_run_with_a_hostile_name_is_refused(checkout: Checkout, tmp_path: Path, name: str) -> None:
    done = checkout.snakemake("-n", "all", "--config", f"run={json.dumps(name)}", config="mini.yaml")
    assert done.returncode != 0
    assert "run: " in done.stdout + done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_targets_outside_their_folders_are_refused(checkout: Checkout) -> None:
    for target in ("resources/corpora/../sentences.parquet", "resources/corpora/a b/sentences.parquet", "results/../x.parquet"):
        done = checkout.snakemake("-n", target)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr


def test_a_configuration_that_runs_code_is_refused(checkout: Checkout) -> None:
    config = (checkout.folder / "mini.yaml").read_text()
    (checkout.folder / "template.yaml").write_text(f"__use_yte__: true\n{config}")
    done = checkout.snakemake("-n", "all", config="template.yaml")
    assert done.returncode != 0
    assert "the configuration is a template (__use_yte__)" in done.stdout + done.stderr
    mark = checkout.folder / "pwned"
    (checkout.folder / "tags.yaml").write_text(f'note: !!python/object/apply:os.system ["touch pwned"]\n{config}')
    done = checkout.snakemake("-n", "all", config="tags.yaml")
    assert done.returncode != 0
    assert not mark.exists()
