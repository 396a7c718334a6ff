"""Code digests: transitive, insensitive to comments, sensitive to code. Every way to use code is seen or refused."""

from __future__ import annotations

import ast
import random
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.initializers import registry
from lexigraft.modeling.families import families
from lexigraft.pretraining.objectives import registry as objectives
from lexigraft.workflow import code_digests as digests
from lexigraft.workflow.code_digests import code_digest, data_files, forget, import_closure, lock_digest, script_source
from tools.stage_table import rules_of_scripts

ROOT = Path(__file__).parents[3]
DEEP = {"lexigraft.sub.deep", "lexigraft.sub", "lexigraft.sub.near"}
SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
MODULES = sorted((ROOT / "lexigraft").rglob("*.py"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lexigraft"
    (folder / "sub").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "sub" / "__init__.py").write_text("X = 1\n")
    (folder / "sub" / "deep.py").write_text("from lexigraft.leaf import value\n")
    (folder / "leaf.py").write_text('"""Doc."""\nvalue = 1  # one\n')
    (folder / "other.py").write_text("value = 2\n")
    (folder / "data" / "table.tsv").write_text("a\tb\n")
    (tmp_path / "script.py").write_text("def run():\n    from lexigraft.sub import deep\n")
    monkeypatch.setattr(digests, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def fresh_digest(root: Path) -> str:
    forget()
    return code_digest(root / "script.py")


def closure_of(root: Path, text: str) -> set[str]:
    (root / "script.py").write_text(text)
    forget()
    return import_closure(script_source(root / "script.py").modules)


def test_digests_cover_the_script_and_imported_code_but_not_comments(package: Path) -> None:
    before = fresh_digest(package)
    assert import_closure(["lexigraft.sub.deep"]) == {"lexigraft.sub.deep", "lexigraft.sub", "lexigraft.leaf"}
    (package / "lexigraft" / "leaf.py").write_text('"""Other words."""\n\n# two\nvalue = (\n    1\n)\n')
    (package / "lexigraft" / "other.py").write_text("value = 3\n")
    assert fresh_digest(package) == before
    (package / "lexigraft" / "leaf.py").write_text("value = 7\n")
    assert fresh_digest(package) != before
    (package / "lexigraft" / "leaf.py").write_text("value = 1\n")
    assert fresh_digest(package) == before
    (package / "lexigraft" / "sub" / "__init__.py").write_text("X = 2\n")
    assert fresh_digest(package) != before
    (package / "lexigraft" / "sub" / "__init__.py").write_text("X = 1\n")
    (package / "script.py").write_text("def run():\n    from lexigraft.sub import deep\n    return deep\n")
    assert fresh_digest(package) != before


@pytest.mark.parametrize(
    "text",
    [
        "import lexigraft.other",
        "import lexigraft.other as o",
        "from lexigraft import other as o",
        "from lexigraft.other import *",
        "from lexigraft.other import value",
        "try:\n    import json\nexcept ImportError:\n    from lexigraft import other",
        "if __debug__:\n    pass\nelse:\n    import lexigraft.other",
        "class A:\n    def f(self):\n        async def g():\n            from lexigraft.other import value",
        "from importlib import import_module\nimport_module('lexigraft.other')",
        "command = ['python', '-m', 'lexigraft.other']",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import lexigraft.other",
        "if not TYPE_CHECKING:\n    import lexigraft.other",
    ],
)
def test_every_form_of_import_is_seen(package: Path, text: str) -> None:
    assert closure_of(package, text) == {"lexigraft.other"}


@pytest.mark.parametrize(
    "text",
    [
        "import json",
        "if TYPE_CHECKING:\n    from lexigraft.other import value",
        "if typing.TYPE_CHECKING:\n    import lexigraft.other",
        '"""lexigraft.other"""',
        "def f():\n    'lexigraft.other'",
        "x = 'see lexigraft.other'",
        "import lexigraft_other",
    ],
)
def test_code_that_never_runs_is_not_covered(package: Path, text: str) -> None:
    assert closure_of(package, text) == set()


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("sub/deep.py", "from . import near", DEEP),
        ("sub/deep.py", "from .near import x", DEEP),
        ("sub/deep.py", "from .. import other", {"lexigraft.sub.deep", "lexigraft.sub", "lexigraft.other"}),
        ("sub/deep.py", "from ..other import value", {"lexigraft.sub.deep", "lexigraft.sub", "lexigraft.other"}),
        ("sub/__init__.py", "from . import near", {*DEEP, "lexigraft.leaf"}),
        ("sub/__init__.py", "from .near import x", {*DEEP, "lexigraft.leaf"}),
    ],
)
def test_relative_imports_are_seen(package: Path, module: str, text: str, found: set[str]) -> None:
    (package / "lexigraft" / "sub" / "near.py").write_text("x = 1\n")
    (package / "lexigraft" / module).write_text(f"{text}\n")
    forget()
    assert import_closure(["lexigraft.sub.deep"]) == found


def test_a_package_that_goes_through_its_modules_depends_on_all_of_them(package: Path) -> None:
    (package / "lexigraft" / "sub" / "__init__.py").write_text("from pkgutil import iter_modules\nX = iter_modules(__path__)\n")
    assert closure_of(package, "from lexigraft.sub import X") == {"lexigraft.sub", "lexigraft.sub.deep", "lexigraft.leaf"}
    before = code_digest(package / "script.py")
    (package / "lexigraft" / "sub" / "added.py").write_text("x = 1\n")
    forget()
    assert code_digest(package / "script.py") != before


def test_a_folder_without_init_and_a_package_next_to_a_module_of_the_same_name(package: Path) -> None:
    bare = package / "lexigraft" / "bare"
    bare.mkdir()
    (bare / "inside.py").write_text("x = 1\n")
    assert closure_of(package, "from lexigraft.bare import inside") == {"lexigraft.bare.inside"}
    # Python imports the package, so its code is covered
    (package / "lexigraft" / "sub.py").write_text("import lexigraft.other\n")
    assert closure_of(package, "import lexigraft.sub") == {"lexigraft.sub"}


def test_digests_cover_the_data_files_that_modules_name(package: Path) -> None:
    (package / "lexigraft" / "leaf.py").write_text(
        "from pathlib import Path\nPATH = Path(__file__).parent / 'data' / 'table.tsv'\n"
    )
    before = fresh_digest(package)
    assert data_files(package / "script.py") == [package / "lexigraft" / "data" / "table.tsv"]
    (package / "lexigraft" / "data" / "table.tsv").write_text("a\tc\n")
    assert fresh_digest(package) != before
    (package / "lexigraft" / "data" / "table.tsv").write_text("a\tb\n")
    assert fresh_digest(package) == before


def tree_of(text: str) -> str:
    """The tree without docstrings, as the standard library dumps it: an independent way to compare code."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_digests_of_all_modules_ignore_comments_and_formatting(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.py"
    # regenerated from the tree, without the comments and line breaks of the original
    copy.write_text(ast.unparse(ast.parse(path.read_text(encoding="utf-8"))), encoding="utf-8")
    assert digests._source(copy, "").digest == digests._source(path, "").digest


@given(st.randoms(use_true_random=False))
def test_digests_differ_exactly_if_the_trees_differ(tmp_path_factory: pytest.TempPathFactory, random: random.Random) -> None:
    text = random.choice([path for path in MODULES if path.stat().st_size]).read_text(encoding="utf-8")
    words = re.split(r"(\W)", text)
    place = random.randrange(len(words))
    words[place] = random.choice(["", " ", "x", "0", "1.0", "# x\n", words[random.randrange(len(words))]])
    changed = "".join(words)
    try:
        expected = tree_of(changed) == tree_of(text)
    except (SyntaxError, ValueError):
        return
    folder = tmp_path_factory.getbasetemp()
    (folder / "old.py").write_text(text, encoding="utf-8")
    (folder / "new.py").write_text(changed, encoding="utf-8")
    assert (digests._source(folder / "old.py", "").digest == digests._source(folder / "new.py", "").digest) is expected


def test_stages_depend_only_on_what_they_import() -> None:
    closures = {path.stem: import_closure(script_source(path).modules) for path in SCRIPTS}
    assert "lexigraft.factors.factorize" in closures["factors"]
    assert "lexigraft.evidence.makers.word_matches" not in closures["factors"]
    assert "lexigraft.hypernetwork.losses" in closures["hypernetwork"]
    assert "lexigraft.pretraining.worker" in closures["pretraining"]
    for chosen in [*registry().values(), *objectives().values()]:
        # added by the rule, for the models that use it
        assert not {chosen.__module__} & set().union(*closures.values())
    families_data = {
        f"lexigraft.modeling.families.{path.stem}" for path in (ROOT / "lexigraft/modeling/families").glob("[a-z]*.py")
    }
    for closure in closures.values():
        assert not closure & families_data or families_data <= closure
        assert not closure & {"lexigraft.config.configuration", "lexigraft.workflow.code_digests", "lexigraft.cli"}
    with pytest.raises(ModuleNotFoundError, match="not a module of lexigraft"):
        import_closure(["lexigraft.nothing"])


TASKS = tuple(f"evaluation.tasks.{kind}" for kind in ("retrieval", "tagging", "language_modeling"))


@pytest.mark.parametrize(
    ("script", "chosen", "most"),
    [
        ("hypernetwork.py", ("hypernetwork.networks.bilstm",), 45),
        ("initialized_model.py", ("initializers.hyperofa", "hypernetwork.networks.bilstm"), 45),
        ("initialized_model.py", ("initializers.graft", "hypernetwork.networks.mlp"), 45),
        ("scores.py", TASKS, 20),
        ("significance.py", TASKS, 25),
    ],
)
def test_readers_of_artifacts_stand_apart_from_makers(script: str, chosen: tuple[str, ...], most: int) -> None:
    """With the modules that the rule adds, without the families, which are data."""
    modules = [*script_source(ROOT / "workflow_scripts" / script).modules, *(f"lexigraft.{name}" for name in chosen)]
    families_of = "lexigraft.modeling.families."
    closure = {name for name in import_closure(modules) if not name.startswith(families_of) or name == f"{families_of}family"}
    assert len(closure) <= most


def test_every_rule_passes_the_digest_of_its_own_script() -> None:
    rules = rules_of_scripts(ROOT)
    assert set(rules) == {path.name for path in SCRIPTS}
    assert sum(map(len, rules.values())) > 18
    for file in sorted((ROOT / "rules").rglob("*.smk")):
        text = file.read_text(encoding="utf-8")
        constants = dict(re.findall(r'^(\w+_CODE) = code_of\("(.+)"\)', text, flags=re.MULTILINE))
        for rule in re.split(r"^(?=rule \w+:)", text, flags=re.MULTILINE)[1:]:
            (script,) = re.findall(r'"(?:\.\./)+workflow_scripts/(.+)"', rule)
            (code,) = re.findall(
                r'^        code=(?:lambda wildcards: )?(?:(?:code_of|method_code)\(\s*"(.+?)"|(\w+_CODE),)',
                rule,
                flags=re.MULTILINE,
            )
            assert (code[0] or constants[code[1]]) == script, rule.splitlines()[0]
            assert "        lock=LOCK,\n" in rule


def test_every_data_file_is_named_by_a_module() -> None:
    named = {file for path in MODULES for file in digests._source(path, "").data}
    files = {file for file in (ROOT / "lexigraft").rglob("*.*") if file.suffix not in (".py", ".pyc") and file.is_file()}
    assert {file.name for file in files - named} == {"py.typed"}


def calls_of(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """The name of each called function or method, without its object, and the call."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(getattr(call.func, "attr", getattr(call.func, "id", "")), call) for call in calls]


def test_no_module_imports_by_a_name_assembled_at_run_time() -> None:
    importing = {"import_module", "__import__", "lazy_import", "run_module", "run_path", "iter_modules", "walk_packages"}
    importing |= {"spec_from_file_location", "exec_module", "load_module", "exec", "resolve_name"}
    found = set()
    for path in MODULES:
        for name, call in calls_of(ast.parse(path.read_text(encoding="utf-8"))):
            if name in importing and not (call.args and isinstance(call.args[0], ast.Constant)):
                found.add(str(path.relative_to(ROOT / "lexigraft")))
    # registries, and classes of transformers
    registries = ["evidence", "initializers", "modeling/families", "evaluation/tasks", "pretraining/objectives"]
    registries += ["hypernetwork/networks"]
    assert found == {*(f"{name}/__init__.py" for name in registries), "modeling/classes.py"}
    for family in families().values():
        assert all(name.startswith("transformers.") for name in (family.config, family.base_model, family.language_model))
    rules = {path.stem: path.read_text() for path in (ROOT / "rules").glob("*.smk")}
    assert "[PLAN.method_module(wildcards.method)]" in rules["token_maps"]
    assert "PLAN.model_modules(model_of(wildcards))" in rules["initialized_models"]
    assert "[PLAN.network_module(wildcards.hypernetwork)]" in rules["hypernetworks"]
    assert "[kinds()[wildcards.kind].__module__]" in rules["evidence"]
    assert 'code_of("pretraining.py", OBJECTIVE)' in rules["pretraining"]
    uses = {path.name for path in SCRIPTS if "tasks_of(" in path.read_text(encoding="utf-8")}
    found = set(re.findall(r'code=code_of\("(\w+.py)", TASK_MODULES\)', rules["evaluation"]))
    assert uses == found == {"scores.py", "significance.py"}


def test_the_package_init_holds_nothing_that_stages_compute_with() -> None:
    tree = ast.parse((ROOT / "lexigraft" / "__init__.py").read_text(encoding="utf-8"))
    kinds = [ast.unparse(node).splitlines()[0] for node in tree.body[1:]]
    assert kinds[:2] == ["from types import ModuleType", "import wrapt"]
    assert kinds[2].startswith("__version__ = ")
    assert kinds[3:] == ["@wrapt.when_imported('transformers.models.auto.configuration_auto')"]
    # the classes that the hook registers are covered wherever factorized models are used
    for path in SCRIPTS:
        closure = import_closure(script_source(path).modules)
        assert ("lexigraft.modeling.factorized" in closure) == ("lexigraft.modeling.classes" in closure)


def test_scripts_import_only_the_library() -> None:
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in digests._imported(node, ""):
                    assert name.partition(".")[0] in {"lexigraft", *sys.stdlib_module_names}, f"{path.name} imports {name}"


def test_no_code_reads_docstrings() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        # classes.py sets the docstring of a generated class
        read = re.sub(r'"__doc__": f?"', "", text) if path.name == "classes.py" else text
        assert not re.search(r"__doc__|getdoc|use_attribute_docstrings", read), path.name


def test_lock_digest_ignores_comments_and_order_and_covers_the_checksum_of_a_url(tmp_path: Path) -> None:
    url = "x @ https://example.org/x.whl#sha256="
    texts = {"a": "# comment\na==1\nb==2  # why\n", "b": "b==2\n\na==1\n", "c": "b==2\na==2\n"}
    texts |= {"d": f"{url}1\n", "e": f"{url}2\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    a, b, c, d, e = (lock_digest(tmp_path / name) for name in texts)
    assert a == b != c
    assert d != e
