"""Forbidden constructs in the project's code, and names and files that try to make it run something."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.cli import main
from lexigraft.config.configuration import load_config, read_config, refuse_templates
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.errors import ConfigError, LexigraftError
from lexigraft.files.references import resolve, source_files
from lexigraft.settings import parse
from lexigraft.word_vectors.pickled import _Unpickler

ROOT = Path(__file__).parents[3]
DEMO = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
CODE = sorted(path for folder in ("lexigraft", "workflow_scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]

# ------------------------------------------------------------------------------------------------------- forbidden constructs

_PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
_CALLS = {
    "eval", "exec", "compile", "__import__",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
    "pty.spawn", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.full_load_all",
    "yaml.unsafe_load_all", "torch.save", "pd.read_pickle", "pandas.read_pickle", "pd.eval", "pandas.eval",
    "shutil.unpack_archive", "torch.hub.load", "tempfile.mktemp",
}  # fmt: skip
_METHODS = {"extractall", "extract", "read_pickle", "to_pickle"}
# polars has a string method of this name
_POLARS_METHODS = {"str.extract"}
# its unpickler makes inert objects only
_UNPICKLER = "lexigraft/word_vectors/pickled.py"
_MUST_SAY = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}


def forbidden(source: str) -> Iterator[str]:
    """The forbidden constructs in a source text, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: imports {name}" for name in modules if name.split(".")[0] in _PICKLES)
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (f"line {node.lineno}: imports {name}" for name in names & (_CALLS | _MUST_SAY.keys()))
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {problem}" for problem in _of_call(node))


def _of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in _CALLS or re.fullmatch(r"os\.(exec|spawn)\w+", name):
        yield f"calls {name}"
    if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and not name.endswith(tuple(_POLARS_METHODS)):
        yield f"calls {name}"
    if name in _MUST_SAY:
        option, value = _MUST_SAY[name]
        if not (isinstance(given := options.get(option), ast.Constant) and given.value is value):
            yield f"calls {name} without {option}={value}"
    if "shell" in options and not (isinstance(options["shell"], ast.Constant) and options["shell"].value is False):
        yield f"calls {name} with a shell"
    if isinstance(given := options.get("trust_remote_code"), ast.Constant) and given.value:
        yield f"calls {name} with trust_remote_code"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_loads_pickles_evaluates_text_or_uses_a_shell(path: Path) -> None:
    found = [re.sub(r"line \d+: ", "", problem) for problem in forbidden(path.read_text(encoding="utf-8"))]
    assert found == (["imports pickle"] if path == ROOT / _UNPICKLER else [])


def test_of_pickle_only_the_unpickler_is_used_whose_names_are_looked_up_in_a_table() -> None:
    names = set(re.findall(r"\bpickle\.(\w+)", (ROOT / _UNPICKLER).read_text(encoding="utf-8")))
    assert {name for name in names if not name.isupper()} == {"_Unpickler", "UnpicklingError"}
    assert {"find_class", "get_extension"} <= vars(_Unpickler).keys()


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import joblib.numpy_pickle", "eval('1')", "exec(text)", "os.system('ls')",
        "os.execvp('ls', [])", "subprocess.run('ls', shell=True)", "subprocess.run('ls', shell=flag)", "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)", "torch.load(path)", "torch.load(path, weights_only=False)",
        "from torch import load", "np.load(path)", "np.load(path, allow_pickle=True)", "archive.extractall()",
        "AutoModel.from_pretrained(name, trust_remote_code=True)", "__import__('os')", "shutil.unpack_archive(path)",
        "torch.save(model, path)", "tar.extract(member)",
    ],
)  # fmt: skip
def test_forbidden_constructs_are_found(source: str) -> None:
    assert list(forbidden(f"def f():\n    {source}\n"))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()", "re.compile('x')", "torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)",
        "import pickletools", "yaml.safe_load(text)", "subprocess.run(['ls'])", "pl.col('a').str.extract('x')",
    ],
)  # fmt: skip
def test_allowed_constructs_are_not_reported(source: str) -> None:
    assert not list(forbidden(f"def f():\n    {source}\n"))


def test_only_one_setting_allows_remote_code() -> None:
    named = {str(path.relative_to(ROOT)) for path in CODE if "trust_remote_code" in path.read_text(encoding="utf-8")}
    expected = {"sources/settings.py", "sources/build.py", "tokenizers/existing.py", "workflow/external_inputs.py", "cli.py"}
    assert named == {f"lexigraft/{name}" for name in expected}
    (setting,) = re.findall(r"trust_remote_code: .*", (ROOT / "lexigraft/sources/settings.py").read_text())
    assert setting == "trust_remote_code: bool = False"


def test_no_rule_uses_a_shell() -> None:
    """So no configuration value can reach one: every rule runs a script, which receives values as Python objects."""
    found = 0
    for path in RULES:
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"^\s*(shell|run|wrapper|notebook|cwl|template_engine|container|envmodules)\s*:", text, re.M), path
        assert not re.search(
            r"\b(shell|eval|exec|system|popen|subprocess|yaml|open)\s*\(|\bimport\s+(os|subprocess)\b", text
        ), path
        for rule in re.split(r"^(?=rule )", text, flags=re.MULTILINE)[1:]:
            found += 1
            if not rule.startswith("rule all:"):
                assert re.search(r'^    script:\n        "(\.\./)+workflow_scripts/\w+\.py"$', rule, re.M), rule
    assert found > 15


# -------------------------------------------------------------------------------------------------------------- hostile names

HOSTILE = [
    "../x", "..", ".", "", "a b", "a/b", "/etc/passwd", "$(touch x)", "`touch x`", "a;touch x", "a'b", 'a"b', "a\nb", "a\\b",
    "~", "-rf", "--config", "a--b", "{model}", "<results>", "a*", "a|b", "a&b", "a\x00b", "ä", "%2e%2e", "a" * 81, "x\n",
]  # fmt: skip


def renamed(section: str, name: str) -> dict[str, Any]:
    """The demo's configuration with an entry of `section` called `name`."""
    values = json.loads(json.dumps(DEMO))
    if section == "run":
        values["run"] = name
    elif section == "label":
        values["models"][0]["label"] = name
    elif section == "inputs":
        values["inputs"] = {name: "x"}
    else:
        first = next(iter(values[section]))
        values[section][name] = values[section][first]
    return values


SECTIONS = [
    "run", "label", "inputs", "corpora", "sources", "tokenizers", "word_vectors", "hypernetworks", "methods", "tasks",
]  # fmt: skip


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *(("run", name) for name in HOSTILE),
        *((section, name) for section in SECTIONS for name in ("../x", "a b", "$(touch x)")),
    ],
)
def test_names_that_become_parts_of_paths_are_restricted(section: str, name: str) -> None:
    with pytest.raises(ConfigError):
        load_config(renamed(section, name))


@pytest.mark.parametrize("section", SECTIONS)
def test_ordinary_names_are_accepted(section: str) -> None:
    assert load_config(renamed(section, "a.b-c_1"))


@settings(max_examples=40)
@given(name=st.text(max_size=12))
def test_accepted_run_names_stay_in_their_folder(name: str) -> None:
    try:
        run = load_config(renamed("run", name)).run
    except ConfigError:
        return
    folder = Path("/results")
    assert (folder / run).resolve().parent == folder
    assert re.fullmatch(r"[\w.-]+", run, flags=re.ASCII)


@pytest.mark.parametrize("name", ["../tur", "/tur", "..", "a/b", "a\\b", "a\x00", "", "a\n"])
def test_names_of_pair_files_stay_in_their_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a file name"):
        parse(CorpusSettings, {"adapter": "pairs", "path": "x", "languages": {"tur_Latn": name}})


@pytest.mark.parametrize("name", ["../tur", "/tur", "..", "a/../../b", "a\x00"])
def test_folders_of_local_datasets_stay_in_their_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="points outside the folder"):
        parse(CorpusSettings, {"adapter": "huggingface", "dataset": "x", "languages": {"tur_Latn": name}})


@pytest.mark.parametrize("folder", ["", "{run}", "<results>", "a\nb", "a*", "a[b]"])
def test_pathvars_hold_no_placeholders(folder: str) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_config({**DEMO, "pathvars": {"results": folder}})


@pytest.mark.parametrize(
    "reference",
    [
        "package:pip/../../../etc/passwd", "package:pip/pip/../../../x", "package:pip//etc/passwd", "package:../pip/pip",
        "package:/etc/passwd", "package:pip/", "package:", "package:..", "package:pip/.", "package:./pip/x",
        "package:pip/pip/..", "package:$(touch x)/a", "package:pip\\..\\x/a",
    ],
)  # fmt: skip
def test_references_into_packages_stay_in_the_package(reference: str) -> None:
    for find in (resolve, source_files):
        with pytest.raises(LexigraftError):
            find(reference)


@pytest.mark.parametrize("reference", ["../x", "a/../b", "a/b/c", "owner/../x", "$(touch x)", "a b/c", "https://x/y", "-x"])
def test_invalid_hub_ids_are_refused_without_contacting_the_hub(reference: str) -> None:
    with pytest.raises(LexigraftError, match="does not exist"):
        source_files(reference)


# --------------------------------------------------------------------------------------------------------- configuration files


def test_configurations_are_read_as_plain_yaml(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for text in (
        f'run: !!python/object/apply:os.system ["touch {mark}"]',
        f"run: !!python/object/new:os.mkdir ['{mark}']",
        "run: !!python/name:os.system",
        "[" * 3000,
        "a: *b",
        "- a",
        "",
        "\t",
    ):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"cannot be read|holds no keys"):
            read_config(tmp_path / "c.yaml")
        assert main(["check", str(tmp_path / "c.yaml")]) == 1
    assert not mark.exists()


@pytest.mark.parametrize("key", ["__use_yte__", '"__use_yte__"', '"\\x5f_use_yte__"', '{"__use_yte__": true} #'])
def test_templates_are_refused_and_not_run_by_check(tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    mark, path = tmp_path / "mark", tmp_path / "c.yaml"
    path.write_text(key if key.startswith("{") else f"{key}: true\nrun: ?__import__('os').mkdir({str(mark)!r})\n")
    with pytest.raises(ConfigError, match="template"):
        refuse_templates([path])
    assert main(["check", str(path)]) == 1
    assert "Snakemake runs the code in it" in capsys.readouterr().err
    assert not mark.exists()


def test_check_reads_the_configurations_of_the_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = ROOT / "config"
    assert main(["check", str(config / "config.yaml")]) == 0
    assert main(["check", str(config / "config.yaml"), str(config / "tatoeba.yaml")]) == 0
    assert "run demo: 4 models" in capsys.readouterr().out
    values = {**DEMO, "sources": {"minilm": {**DEMO["sources"]["minilm"], "trust_remote_code": True}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    assert "sources.minilm.trust_remote_code: code of package:gt-all" in capsys.readouterr().out
    refuse_templates(config.glob("*.yaml"))


# ------------------------------------------------------------------------------------------------------------------ remote code


@pytest.mark.parametrize("trusted", [False, True])
def test_code_of_a_tokenizer_runs_only_if_it_is_trusted(tmp_path: Path, trusted: bool) -> None:
    folder, mark = tmp_path / "model", tmp_path / "mark"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}})
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}))
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Own: pass\nclass Config: pass\n")
    code = (
        "import sys; from pathlib import Path\n"
        "from lexigraft.errors import LexigraftError; from lexigraft.tokenizers.existing import open_tokenizer\n"
        f"try: open_tokenizer(Path(sys.argv[1]), trust_remote_code={trusted})\n"
        "except LexigraftError as error: print('refused:', error)\n"
        "else: print('opened')\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.startswith("refused: "), done.stdout + done.stderr
    assert mark.exists() == trusted
