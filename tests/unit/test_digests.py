"""Code digests: transitive, blind to comments, and different for what computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexigraft import digests
from lexigraft.digests import code_digest, import_closure, lock_digest

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lexigraft"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "sub" / "__init__.py").write_text("X = 1\n")
    (folder / "sub" / "deep.py").write_text("from lexigraft.leaf import value\n")
    (folder / "leaf.py").write_text('"""Doc."""\nvalue = 1  # one\n')
    (folder / "other.py").write_text("value = 2\n")
    (tmp_path / "script.py").write_text("def run():\n    from lexigraft.sub import deep\n")
    monkeypatch.setattr(digests, "ROOT", tmp_path)
    return tmp_path


def fresh_digest(root: Path) -> str:
    for function in (digests._path, digests._tree, digests._module_digest, digests._imports):
        function.cache_clear()
    return code_digest(root / "script.py")


def test_only_what_is_imported_counts_and_comments_do_not(package: Path) -> None:
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


def test_the_script_itself_counts(package: Path) -> None:
    before = fresh_digest(package)
    (package / "script.py").write_text("def run():\n    from lexigraft.sub import deep\n    return deep\n")
    assert fresh_digest(package) != before


def test_stages_depend_on_what_they_import_and_on_nothing_else() -> None:
    def closure(script: str) -> set[str]:
        import ast

        return import_closure(digests._imports_of(ast.parse((SCRIPTS / script).read_text())))

    assert "lexigraft.factorization" in closure("factors.py")
    assert "lexigraft.matching" not in closure("factors.py")
    assert "lexigraft.hypernetwork.losses" in closure("hypernetwork.py")
    assert "lexigraft.initializers.ofa" not in closure("initialization.py") | closure("pretraining.py") | closure("ranks.py")
    assert not {name for script in SCRIPTS.glob("*.py") for name in closure(script.name) if name == "lexigraft.config"}
    with pytest.raises(ModuleNotFoundError, match="no module of lexigraft"):
        import_closure(["lexigraft.nothing"])


def test_lock_digest_ignores_comments_and_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("# comment\na==1\nb==2  # why\n")
    (tmp_path / "b").write_text("b==2\n\na==1\n")
    (tmp_path / "c").write_text("b==2\na==2\n")
    assert lock_digest(tmp_path / "a") == lock_digest(tmp_path / "b") != lock_digest(tmp_path / "c")
