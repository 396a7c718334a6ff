"""The configuration: every mistake is named with its place and the way out."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from lexigraft.config.configuration import load_config
from lexigraft.errors import ConfigError, InputError, nearest
from lexigraft.workflow.external_inputs import outside_files
from tools.generate import generated_files

ROOT = Path(__file__).parents[3]
DEMO = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def changed(**values: Any) -> dict[str, Any]:
    config = copy.deepcopy(DEMO)
    for place, value in values.items():
        *parents, key = place.split("__")
        node = config
        for parent in parents:
            node = node[parent.replace("bible_30k", "bible-30k")]
        node[key] = value
    return config


def test_the_demo_is_valid_and_names_its_models() -> None:
    config = load_config(DEMO)
    assert list(config.models_by_name()) == [f"{m}-minilm-100" for m in ("random", "ofa", "hyperofa", "graft")]
    assert config.seed == 42


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sseed": 3}, "unknown key 'sseed': did you mean 'seed'?"),
        ({"tokenizers__bible_30k__vocab_sise": 3}, "unknown key 'tokenizers.bible-30k.vocab_sise': did you mean 'vocab_size'?"),
        ({"methods__ofa__temprature": 0.2}, "unknown key 'methods.ofa.temprature': did you mean 'temperature'?"),
        (
            {"pretraining__learning_rates__encodr": 1},
            "unknown key 'pretraining.learning_rates.encodr': did you mean 'encoder'?",
        ),
        ({"methods__ofa__top_k": 0}, "methods.ofa.top_k: Input should be greater than 0 (got 0)"),
        (
            {"tokenizers__bible_30k__corpus": "bibel"},
            "tokenizers.bible-30k.corpus: no corpus is named 'bibel'; did you mean 'bible'?",
        ),
        ({"methods__hyperofa__hypernetwork": "lstm"}, "no hypernetwork is named 'lstm'; known: bilstm-2x200"),
        ({"tasks__sr_b__languages": ["tur_Latn"]}, "corpus 'bible' has no language 'tur_Latn'"),
        ({"tasks__sr_b__languages": ["tirkish"]}, "language code 'tirkish' is not of the form iso639-3_Script"),
        ({"corpora__bible__held_out": None}, "corpus 'bible' holds no sentences out"),
        ({"run": "a b/../c"}, "run: String should match pattern"),
        (
            {"methods__hyperofa__word_weights": True},
            "methods.hyperofa.word_weights (true) and hypernetworks.bilstm-2x200.word_weights (false) must agree",
        ),
        (
            {"hypernetworks__bilstm-2x200__source_word_languages": True},
            "methods.hyperofa.source_word_languages (false) and hypernetworks.bilstm-2x200.source_word_languages (true) must",
        ),
        ({"methods__random__predict_copied": True}, "`predict_copied` does nothing here: this method computes no rows"),
        ({"methods__random__word_weights": True}, "`word_weights` does nothing here without `verify_copies`"),
        ({"methods__ofa__fallback": "noise"}, "methods.ofa.fallback: Input should be 'random' or 'mean'"),
        ({"methods__ofa": {"initializr": "ofa"}}, "missing key 'methods.ofa.initializer' (given: 'initializr')"),
        ({"methods__ofa__initializer": "offa"}, "methods.ofa.initializer: there is no 'offa'; did you mean 'ofa'?"),
        ({"tasks__sr_b__kind": "x"}, "tasks.sr_b.kind: there is no 'x'; known: language_modeling, retrieval, tagging"),
        (
            {"pretraining__objective": "causal"},
            "models of a run are masked language models; `causal` trains causal ones, which only the library takes",
        ),
        ({"pretraining__objective": "mlmm"}, "pretraining.objective: Input should be 'causal' or 'mlm'"),
        ({"pretraining__checkpoints": [30]}, "the last of checkpoints [30] must be `steps`, 60"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(changed(**change))
    assert message in str(caught.value)


def test_missing_sections_are_all_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"run": "x"})
    assert {"missing key 'corpora'", "missing key 'models'", "missing key 'methods'"} <= set(str(caught.value).splitlines())


def test_two_models_of_one_name_are_an_error() -> None:
    config = changed()
    config["tokenizers"]["other"] = {**config["tokenizers"]["bible-30k"], "vocab_size": 10}
    config["models"].append({**config["models"][0], "tokenizer": "other"})
    with pytest.raises(ConfigError, match="two different models are named 'random-minilm-100'"):
        load_config(config)


def test_environments_install_the_lock_and_one_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = re.fullmatch(r">=(\d+\.\d+)", project["requires-python"])
    assert oldest is not None
    pinned = {line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")}
    (gpu_faiss,) = project["optional-dependencies"]["gpu"]
    for name, instead in (("cpu", set()), ("gpu", {gpu_faiss})):
        python, pip, installed = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        assert (python, pip) == (f"python={oldest[1]}", "pip")
        left_out = {line for line in pinned if instead and line.startswith("faiss-cpu==")}
        assert set(installed["pip"]) == pinned - left_out | instead
    images = []
    for name, start in (("Dockerfile", "FROM "), ("apptainer.def", "From: ")):
        text = (ROOT / "envs" / name).read_text()
        assert re.search(r"python -m pip install [^|;&]*-r /requirements\.lock$", text, flags=re.MULTILINE)
        assert "requirements.lock /requirements.lock" in text
        images += re.findall(rf"^{start}(.*)$", text, flags=re.MULTILINE)
    assert len(images) == 2
    assert len(set(images)) == 1
    # a tag of one patch release of the oldest Python that is supported
    assert re.fullmatch(rf"python:{re.escape(oldest[1])}\.\d+-slim-[a-z]+", images[0])
    assert "!requirements.lock" in (ROOT / "envs" / "Dockerfile.dockerignore").read_text().splitlines()


def test_generated_files_are_in_step() -> None:
    for path, text in generated_files(ROOT).items():
        assert path.read_text() == text, f"{path.name} is out of step: run `make generated`"


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    code = (
        "import sys, yaml; from lexigraft.config.configuration import load_config;"
        "load_config(yaml.safe_load(open('config/config.yaml')));"
        "print([m for m in ('torch', 'transformers', 'polars', 'faiss', 'scipy', 'pyarrow', 'tokenizers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_all_missing_files_are_named_at_once() -> None:
    config = changed(sources__minilm__model="package:no-such-package/model")
    config["corpora"]["other"] = {"adapter": "text_folder", "path": "no/such/folder"}
    config["tokenizers"]["theirs"] = {"kind": "existing", "path": "./no/tokenizer.json", "corpus": "other"}
    config["word_vectors"]["theirs"] = {"kind": "files", "paths": "no/vectors.vec"}
    with pytest.raises(InputError) as caught:
        outside_files(load_config(config))
    for name in ("no-such-package", "no/such/folder", "no/tokenizer.json", "no/vectors.vec"):
        assert name in str(caught.value)


def test_files_of_the_demo() -> None:
    found, missing = outside_files(load_config(DEMO))
    assert missing == ""
    assert [Path(file).name for file in found["corpora"]["bible"]] == ["bible.db"]
    assert "model.safetensors" in {Path(file).name for file in found["sources"]["minilm"]}


@pytest.mark.parametrize("file", ["a.wv", "a.kv", "a", "[a].v"])
def test_arrays_beside_a_file_of_gensim_are_read_with_it(tmp_path: Path, file: str) -> None:
    for name in (file, f"{file}.vectors.npy", f"b{file}.vectors.npy", f"{file}.txt"):
        (tmp_path / name).touch()
    config = changed()
    config["word_vectors"]["theirs"] = {"kind": "files", "paths": str(tmp_path / file)}
    found, _ = outside_files(load_config(config), only_plan=True)
    assert [Path(file).name for file in found["word_vectors"]["theirs"]] == [file, f"{file}.vectors.npy"]


def test_a_plan_tells_what_is_missing_and_goes_on() -> None:
    config = changed()
    config["word_vectors"]["theirs"] = {"kind": "files", "paths": "no/vectors.vec"}
    found, missing = outside_files(load_config(config), only_plan=True)
    assert found["word_vectors"]["theirs"] == []
    assert "word_vectors.theirs: the file 'no/vectors.vec' does not exist" in missing


def test_nearest() -> None:
    assert nearest("tur_Latm", ["tur_Latn", "kor_Hang"]) == "did you mean 'tur_Latn'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
