"""Digests that say which code and which pinned versions an artifact was made with.

The code digest of a module covers the module and every module of this package that it imports, transitively, found by reading
the syntax trees: nothing is imported, so a Snakefile can afford it. Comments and formatting do not count: the tree is hashed.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

PACKAGE = "lexigraft"
ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", flags=re.MULTILINE)


def code_digest(script: Path, modules: Iterable[str] = ()) -> str:
    """Hex digest of the syntax trees of a script, of `modules`, and of all package modules that these import, transitively.

    Raises:
        ModuleNotFoundError: a name is no module of the package.
    """
    names = import_closure([*_imports_of(ast.parse(script.read_text(encoding="utf-8"))), *modules])
    digest = hashlib.sha256(_tree_digest(ast.parse(script.read_text(encoding="utf-8"))).encode())
    for name in sorted(names):
        digest.update(f"{name} {_module_digest(name)}\n".encode())
    return digest.hexdigest()[:32]


def lock_digest(lock: Path) -> str:
    """Hex digest of the pinned versions in a lock file (comments and blank lines do not count)."""
    lines = (line.split("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return hashlib.sha256("\n".join(sorted(filter(None, lines))).encode()).hexdigest()[:32]


def installed_otherwise(lock: Path) -> list[str]:
    """Packages that are installed in another version than a lock file pins, as "name version"; missing ones do not count."""
    pinned = {_plain_name(name): version for name, version in _PIN.findall(lock.read_text(encoding="utf-8"))}
    found = {_plain_name(package.name): package.version for package in distributions()}
    # builds of one version differ in what follows "+"
    return sorted(
        f"{name} {found[name]}"
        for name, version in pinned.items()
        if name in found and version not in (found[name], found[name].partition("+")[0])
    )


def content_digest(files: Iterable[Path]) -> str:
    """Hex digest of the bytes of files that belong to the checkout, wherever it lies."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:32]


def import_closure(modules: Iterable[str]) -> set[str]:
    """Names of `modules` and of every package module that they import, directly or not."""
    todo, seen = list(modules), set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(name))
    return seen


def _plain_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"{module!r} is no module of {PACKAGE}")
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _module_digest(module: str) -> str:
    return _tree_digest(_tree(module))


def _tree_digest(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]


@cache
def _imports(module: str) -> frozenset[str]:
    path = _path(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]
    return frozenset((_imports_of(_tree(module), package) | _parents({module})) - {module})


def _imports_of(tree: ast.Module, package: str = "") -> set[str]:
    """Modules of this package that a tree imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    own = {name for name in found if name.split(".")[0] == PACKAGE and _path(name) is not None}
    return (own | _parents(own)) - {PACKAGE}


def _parents(modules: set[str]) -> set[str]:
    """Packages that hold `modules`, whose `__init__` runs first; the top one only registers models and is left out."""
    return {".".join(name.split(".")[:depth]) for name in modules for depth in range(2, name.count(".") + 1)}
