"""The code that computes a cell: a hash of its classes' sources and of what these import of their own.

Nothing is imported for it: sources are found and read as files, so that a report knows without PyTorch. Comments, docstrings
and layout do not count. Of this package only what computes pixels and scores counts.
"""

import ast
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from denoisebench.store.files import read_json, write_atomic
from denoisebench.store.memo import Memo

OURS = "denoisebench"
COUNTED = (
    "methods", "networks", "noise", "sampling", "masking", "pixel_shuffled", "classical", "correlated", "diagnosis", "schedules",
    "scoring.protocol", "scoring.measures", "scoring.developed",
)  # fmt: skip
INSTALLED = {"site-packages", "dist-packages"}  # here a package's own code is what has its name
FILE = "code.json"
MIXED = "mixed"
Code = Mapping[str, Mapping[str, str]]
"""Of each part of a cell (`method`, `noise`, `protocol default`): its `class`, the folder that its module is found from
(empty for this package), and its `digest`."""


def counts(target: str) -> bool:
    """Whether a class is of this package's code that computes pixels and scores."""
    top, _, rest = target.partition(".")
    return top == OURS and any(rest.startswith(f"{part}.") for part in COUNTED)


def code_of(targets: Mapping[str, str]) -> Code:
    """The code of classes, given as `package.module.Class`, those of others imported; without those that have no source file."""
    found = {name: _located(target) for name, target in targets.items()}
    return {name: one for name, one in found.items() if one}


def _located(target: str) -> dict[str, str] | None:
    module = target.rpartition(".")[0]
    root = "" if module.split(".")[0] == OURS else _root(module)
    if root is None:
        return None
    now = digest(target, root)
    return {"class": target, "root": root, "digest": now} if now else None


def _root(module: str) -> str | None:
    """The folder that an imported module was found from."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return str(path.parents[module.count(".") + (path.name == "__init__.py")])


def keep_code(folder: Path, code: Code) -> None:
    write_atomic(folder / FILE, json.dumps(code, indent=1))


def kept_code(folder: Path) -> Code | None:
    """The code that a cell or a training was computed with; None where that was not recorded."""
    try:
        code = read_json(folder / FILE)
    except (OSError, ValueError):
        return None
    valid = all(isinstance(one, dict) and {"class", "root", "digest"} <= one.keys() for one in code.values())
    return code if code and valid else None


def differing(kept: Code | None, now: Code) -> list[str]:
    """The parts whose code differs, of those that both have."""
    return [name for name, one in (kept or {}).items() if name in now and one["digest"] != now[name]["digest"]]


def mixed(code: Code, names: Iterable[str]) -> Code:
    """The same where what had these parts was computed in part by other code."""
    return {name: {**one, "digest": MIXED} if name in set(names) else one for name, one in code.items()}


def changed_since(folder: Path) -> list[str] | None:
    """The parts of a finished cell whose code, as it lies on this machine, has changed; None where the code is unknown."""
    kept = kept_code(folder)
    if kept is None:
        return None
    now = {name: digest(one["class"], one["root"]) for name, one in kept.items()}
    return [name for name, one in kept.items() if now[name] and one["digest"] != now[name]] if any(now.values()) else None


@functools.cache
def digest(target: str, root: str) -> str | None:
    """Of a class's module and all its own imports; None where there is no source. Read once: a process runs what it imported.

    Of this package's own classes it is remembered as long as no source of it changes.
    """
    if root:
        return _read_digest(target, root)
    memo, of = Memo(), ["code", target]
    found = memo.get(of)
    if not isinstance(found, str) and (found := _read_digest(target, root)):
        memo.put(of, found)
        memo.keep()
    return found


def _read_digest(target: str, root: str) -> str | None:
    sources = _Sources(target, root)
    module, _, name = target.rpartition(".")
    first = sources.defining(module, name)
    return sources.digest(first) if first else None


class _Sources:
    """Modules as files: those that count as the own code of a class."""

    def __init__(self, target: str, root: str) -> None:
        self.ours = Path(__file__).resolve().parents[2]
        self.root = Path(root) if root else None
        self.top = target.split(".")[0]

    def digest(self, first: str) -> str | None:
        found, left = {}, [first]
        while left:
            module = left.pop()
            file, tree = self.file(module), self.tree(module)
            if module not in found and file and tree:
                found[module] = _dumped(file)
                left += self._imports(module, tree)
        text = "\n".join(f"{module} {found[module]}" for module in sorted(found))
        return hashlib.sha256(text.encode()).hexdigest()[:16] if found else None

    def file(self, module: str) -> Path | None:
        """Where an own module lies; None for all others."""
        top, _, rest = module.partition(".")
        if top == OURS:
            if not any(rest == part or rest.startswith(f"{part}.") for part in COUNTED):
                return None
            root: Path | None = self.ours
        else:
            root = self.root if self.root and (top == self.top or not INSTALLED & {*self.root.parts}) else None
        if root is None or not all(part.isidentifier() for part in module.split(".")):
            return None
        place = root.joinpath(*module.split("."))
        return next((file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file()), None)

    def tree(self, module: str) -> ast.Module | None:
        file = self.file(module)
        return _parsed(file) if file else None

    def defining(self, module: str, name: str) -> str | None:
        """The module in which a name of a module is written, however often it is handed on; None if not in own code."""
        tree, seen = self.tree(module), {module}
        while tree:
            origin = next((one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and name in _names(one)), None)
            if origin is None:
                return module
            name = _names(origin)[name]
            module = self._source(module, origin)
            if module in seen:
                return None
            seen.add(module)
            tree = self.tree(module)
        return None

    def _imports(self, module: str, tree: ast.Module) -> Iterator[str]:
        """The own modules that one imports, wherever in it."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._source(module, node)
                for name in _names(node).values():
                    inner = f"{source}.{name}"
                    yield inner if self.file(inner) else self.defining(source, name) or source

    def _source(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        file = self.file(module)
        package = module.split(".") if file and file.name == "__init__.py" else module.split(".")[:-1]
        base = package[: len(package) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])


@functools.cache
def _parsed(file: Path) -> ast.Module | None:
    try:
        return _without_docstrings(ast.parse(file.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return None


@functools.cache
def _dumped(file: Path) -> str:
    return _dump(_parsed(file))


def _names(node: ast.ImportFrom) -> dict[str, str]:
    """As the importing module calls them: as the other module does."""
    return {alias.asname or alias.name: alias.name for alias in node.names}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return tree


def _dump(node: Any) -> str:
    """As text, and alike in all versions of Python: these differ in what they say of what is not there."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={_dump(value)}"
            for name, value in ast.iter_fields(node)
            if value is not None and value != [] and name != "ctx"
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)
