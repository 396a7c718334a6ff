"""The configuration: every mistake is reported with its place and a hint."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from process_cases import python

from lexigraft.config.configuration import load_config
from lexigraft.errors import ConfigError, InputError, nearest
from lexigraft.workflow.external_inputs import outside_files
from tools.generate import generated_files

ROOT = Path(__file__).parents[3]
DEMO = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


SAME_NAME = [DEMO["models"][0], {**DEMO["models"][0], "tokenizer": "other"}]


def changed(**values: Any) -> dict[str, Any]:
    config = copy.deepcopy(DEMO)
    for place, value in values.items():
        *parents, key = place.split("__")
        node = config
        for parent in parents:
            node = node[parent.replace("bible_30k", "bible-30k")]
        node[key] = value
    return config


def test_the_demo_is_valid_names_its_models_and_finds_its_external_files() -> None:
    config = load_config(DEMO)
    assert list(config.models_by_name()) == [f"{m}-minilm-100" for m in ("random", "ofa", "hyperofa", "graft")]
    assert config.seed == 42
    found, missing = outside_files(config)
    assert missing == ""
    assert [Path(file).name for file in found["corpora"]["bible"]] == ["bible.db"]
    assert "model.safetensors" in {Path(file).name for file in found["sources"]["minilm"]}


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
        (
            {"tokenizers__other": {"kind": "unigram", "corpus": "bible"}, "models": SAME_NAME},
            "two different models are named 'random-minilm-100'",
        ),
        ({"run": "a b/../c"}, "run: String should match pattern"),
        (
            {"methods__hyperofa__word_weights": True},
            "methods.hyperofa.word_weights: the method has a hypernetwork; set it there, in hypernetworks.bilstm-2x200",
        ),
        ({"models": [{**DEMO["models"][0], "word_vectors": None}]}, "models.0: the method 'ofa' needs word_vectors; name one"),
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
def test_mistakes_are_reported_with_their_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(changed(**change))
    assert message in str(caught.value)


def test_all_missing_sections_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"run": "x"})
    assert {"missing key 'corpora'", "missing key 'models'", "missing key 'methods'"} <= set(str(caught.value).splitlines())


def test_environments_install_the_lock_and_one_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = re.fullmatch(r">=(\d+\.\d+)", project["requires-python"])
    assert oldest is not None
    pinned = locked("")
    (gpu_faiss,) = project["optional-dependencies"]["gpu"]
    for name, instead in (("cpu", set()), ("gpu", {gpu_faiss})):
        python, pip, installed = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        assert (python, pip) == (f"python={oldest[1]}", "pip")
        left_out = {line for line in pinned if instead and line.startswith("faiss-cpu==")}
        assert set(installed["pip"]) == pinned - left_out | instead
        script = (ROOT / "envs" / f"{name}.post-deploy.sh").read_text().splitlines()[-1]
        assert script == f"python -m pip install --no-deps {' '.join(sorted(locked('-demo')))}"
    images = []
    for name, start in (("Dockerfile", "FROM "), ("apptainer.def", "From: ")):
        text = (ROOT / "envs" / name).read_text()
        assert re.search(r"python -m pip install [^|;&]*-r /requirements\.lock( &&|$)", text, flags=re.MULTILINE)
        assert re.search(r"python -m pip install [^|;&]*--no-deps -r /requirements-demo\.lock$", text, flags=re.MULTILINE)
        assert re.search(r"^.*requirements\.lock .*requirements-demo\.lock", text, flags=re.MULTILINE | re.DOTALL)
        images += re.findall(rf"^{start}(.*)$", text, flags=re.MULTILINE)
    assert len(images) == 2
    assert len(set(images)) == 1
    # a tag of one patch release of the oldest Python that is supported
    assert re.fullmatch(rf"python:{re.escape(oldest[1])}\.\d+-slim-[a-z]+", images[0])
    ignored = (ROOT / "envs" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"!requirements.lock", "!requirements-demo.lock"} <= set(ignored)


def test_extras_and_locks_pin_the_same_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    expected = {"": project["dependencies"] + extras["slurm"], "-test": extras["test"], "-docs": extras["docs"]}
    for name in ("demo", "multi"):
        assert sorted(locked(f"-{name}")) == sorted(extras[name])
    for name, requirements in expected.items():
        assert set(requirements) <= locked(name)


def locked(name: str) -> set[str]:
    lines = (ROOT / f"requirements{name}.lock").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_generated_files_are_up_to_date() -> None:
    for path, text in generated_files(ROOT).items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make generated`"


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    code = (
        "import sys, yaml; from lexigraft.config.configuration import load_config;"
        "load_config(yaml.safe_load(open(sys.argv[1])));"
        "print([m for m in ('torch', 'transformers', 'polars', 'faiss', 'scipy', 'pyarrow', 'tokenizers') if m in sys.modules])"
    )
    assert python(code, ROOT / "config" / "config.yaml").stdout == "[]\n"


def test_all_missing_files_are_reported_at_once_and_a_plan_continues() -> None:
    config = changed(sources__minilm__model="package:no-such-package/model")
    config["corpora"]["other"] = {"adapter": "text_folder", "path": "no/such/folder"}
    config["tokenizers"]["theirs"] = {"kind": "existing", "path": "./no/tokenizer.json", "corpus": "other"}
    config["word_vectors"]["theirs"] = {"kind": "files", "paths": "no/vectors.vec"}
    with pytest.raises(InputError) as caught:
        outside_files(load_config(config))
    for name in ("no-such-package", "no/such/folder", "no/tokenizer.json", "no/vectors.vec"):
        assert name in str(caught.value)
    found, missing = outside_files(load_config(config), only_plan=True)
    assert found["word_vectors"]["theirs"] == []
    assert "word_vectors.theirs: the file 'no/vectors.vec' does not exist" in missing


@pytest.mark.parametrize("file", ["a.wv", "a.kv", "a", "[a].v"])
def test_side_files_of_gensim_vectors_are_found(tmp_path: Path, file: str) -> None:
    for name in (file, f"{file}.vectors.npy", f"b{file}.vectors.npy", f"{file}.txt"):
        (tmp_path / name).touch()
    config = changed()
    config["word_vectors"]["theirs"] = {"kind": "files", "paths": str(tmp_path / file)}
    found, _ = outside_files(load_config(config), only_plan=True)
    assert [Path(file).name for file in found["word_vectors"]["theirs"]] == [file, f"{file}.vectors.npy"]


def test_nearest_suggests_similar_names_or_lists_all() -> None:
    assert nearest("tur_Latm", ["tur_Latn", "kor_Hang"]) == "did you mean 'tur_Latn'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
