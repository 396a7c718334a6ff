"""Digests of the code and of the pinned versions that an artifact was made with.

The code digest of a stage covers its script, every module of this package that the script imports, directly or not, and the
data files of the package that these modules name. It is computed from syntax trees: nothing is imported, so it is fast enough
for a Snakefile. Comments, docstrings and formatting do not change it.

What counts as an import: an `import` statement anywhere in a module, except below `if TYPE_CHECKING:`, which never runs; and
the full name of a module in a string ("lexigraft.pretraining.worker"), by which it is imported or started later. Data files
are recognized by their names in strings, too ("languages.tsv"). A package whose `__init__` goes through its modules with
`iter_modules` imports all of them, except the registries of which a rule adds the modules that it uses. Other names that are
assembled at run time are not seen; a test refuses them. The package's own `__init__` is excluded: it holds the version and a
hook, and no stage computes with it. So are empty ones.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

PACKAGE = "lexigraft"
ROOT = Path(__file__).resolve().parents[2]
_CHOSEN_BY_RULES = {f"{PACKAGE}.{name}" for name in ("evaluation.tasks", "evidence", "initializers", "pretraining.objectives")}
"""Registries whose modules are not imports of each other: a rule adds those that its job uses."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """What a Python file depends on.

    Attributes:
        digest: of its syntax tree, without docstrings.
        modules: the modules of this package that it imports or names.
        data: the data files of this package that it names.
    """

    digest: str
    modules: frozenset[str]
    data: frozenset[Path]


def code_digest(script: Path, modules: Iterable[str] = ()) -> str:
    """Hex digest of the syntax trees of a script, of `modules`, and of all package modules that these import, transitively.

    Raises:
        ModuleNotFoundError: a name is not a module of the package.
    """
    with _without_collector():
        source = script_source(script)
        closure = import_closure([*source.modules, *modules])
        parts = [source, *(module_source(name) for name in sorted(closure))]
        names = ["", *sorted(closure)]
    lines = [f"{name} {part.digest}" for name, part in zip(names, parts, strict=True)]
    lines += [f"{path.relative_to(ROOT).as_posix()} {_file_digest(path)}" for path in _data_of(parts)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def lock_digest(lock: Path) -> str:
    """Hex digest of the pinned versions in a lock file; comments, blank lines and order do not matter."""
    # a comment starts a line or follows a space: in a URL, # starts a checksum
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return hashlib.sha256("\n".join(sorted(filter(None, lines))).encode()).hexdigest()[:32]


def installed_otherwise(lock: Path) -> list[str]:
    """Installed packages whose version differs from the lock file, as "name version"; missing packages are ignored."""
    pinned = {_plain_name(name): version for name, version in _PIN.findall(lock.read_text(encoding="utf-8"))}
    found = {_plain_name(package.name): package.version for package in distributions()}
    # builds of one version differ in the part after "+"
    return sorted(
        f"{name} {found[name]}"
        for name, version in pinned.items()
        if name in found and version not in (found[name], found[name].partition("+")[0])
    )


def import_closure(modules: Iterable[str]) -> set[str]:
    """Names of `modules` and of every package module that they import, directly or not.

    Raises:
        ModuleNotFoundError: a name is not a module of the package.
    """
    todo, seen = list(modules), set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(module_source(name).modules - seen)
    return seen


def data_files(script: Path, modules: Iterable[str] = ()) -> list[Path]:
    """Data files of the package that are named by a script, by `modules` or by anything they import, sorted."""
    source = script_source(script)
    return _data_of([source, *map(module_source, import_closure([*source.modules, *modules]))])


def forget() -> None:
    """Clear all caches, so that changed files are read again."""
    for cached in (script_source, module_source, _path, _package_data, _file_digest):
        cached.cache_clear()


def _plain_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def script_source(script: Path) -> Source:
    """The direct dependencies of a stage's script."""
    return _source(script, package="")


@cache
def module_source(module: str) -> Source:
    """The direct dependencies of a module of the package; raises ModuleNotFoundError."""
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"{module!r} is not a module of {PACKAGE}")
    source = _source(path, package=module if path.name == "__init__.py" else module.rpartition(".")[0])
    return Source(source.digest, (source.modules | _parents({module})) - {module}, source.data)


def _source(path: Path, package: str) -> Source:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    imported, strings, tokens = set[str](), set[str](), list[str]()
    _walk(tree, package, imported, strings, tokens)
    if "pkgutil.iter_modules" in imported and path.name == "__init__.py" and package not in _CHOSEN_BY_RULES:
        imported |= {f"{package}.{other.stem}" for other in path.parent.glob("*.py") if other != path}
    own = {name for name in imported | strings if name.startswith(f"{PACKAGE}.") and _has_code(name)}
    data = {path for text in strings for path in _package_data().get(text.rpartition("/")[2], ())}
    digest = hashlib.sha256("\n".join(tokens).encode()).hexdigest()
    return Source(digest, frozenset(own | _parents(own)), frozenset(data))


def _walk(node: ast.AST, package: str, imported: set[str], strings: set[str], tokens: list[str], counts: bool = True) -> None:
    """Append a tree, without docstrings and positions, to `tokens`; if `counts`, collect its imports and strings."""
    if counts and isinstance(node, ast.Import | ast.ImportFrom):
        imported.update(_imported(node, package))
    elif counts and isinstance(node, ast.Constant) and isinstance(node.value, str):
        strings.add(node.value)
    tokens.append(node.__class__.__name__)
    test = node.test if isinstance(node, ast.If) else None
    never_runs = (test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)) == "TYPE_CHECKING"
    for field in node._fields:
        value = getattr(node, field, None)
        inside = counts and not (field == "body" and never_runs)
        if value.__class__ is list:
            tokens.append("[")
            for item in _without_docstring(node, value) if field == "body" else value:
                if isinstance(item, ast.AST):
                    _walk(item, package, imported, strings, tokens, inside)
                else:
                    tokens.append(repr(item))
            tokens.append("]")
        elif isinstance(value, ast.AST):
            _walk(value, package, imported, strings, tokens, inside)
        else:
            tokens.append(repr(value))


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Full names that a statement may import, whether or not they are modules."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def _without_docstring(node: ast.AST, body: list[ast.AST]) -> list[ast.AST]:
    if body and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return body[1:]
    return body


def _parents(modules: set[str]) -> set[str]:
    """Packages that contain `modules`, whose `__init__` runs first; without the top-level package."""
    above = {".".join(name.split(".")[:depth]) for name in modules for depth in range(2, name.count(".") + 1)}
    return {name for name in above if _has_code(name)}


def _data_of(parts: Iterable[Source]) -> list[Path]:
    return sorted({path for part in parts for path in part.data})


def _has_code(name: str) -> bool:
    """Whether a name is that of a module; an empty `__init__` is none to depend on."""
    path = _path(name)
    return path is not None and path.stat().st_size > 0


@cache
def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    # a package takes precedence over a module of the same name, as in Python
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


@cache
def _package_data() -> dict[str, list[Path]]:
    """Name -> data files of the package."""
    found: dict[str, list[Path]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*")):
        if path.suffix not in (".py", ".pyc", "") and path.is_file():
            found.setdefault(path.name, []).append(path)
    return found


@cache
def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Garbage collection off: syntax trees are many small objects, and looking for cycles takes as long as parsing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
