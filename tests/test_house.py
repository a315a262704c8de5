"""The sizes that keep the house readable: of modules, and of what a function asks for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import denoisebench

SOURCE = Path(denoisebench.__file__).parent
LATER: set[str] = set()  # rooms that are not there yet
MODULES = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))]
KEPT = [name for name in MODULES if name.partition("/")[0] not in LATER]

LINES, FUNCTIONS, ARGUMENTS = 350, 25, 7
# Their constructors take the keys of a YAML one by one, their functions the options of a command: so are they given.
WRITTEN_AS_YAML = (
    "methods/",
    "elsewhere/network.py",
    "datasets/sidd.py",
    "datasets/folder.py",
    "datasets/fmdd.py",
    "cli/submit.py",
    "cli/denoise.py",
    "cli/report.py",
)


def functions_of(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every `def` of a module: methods, properties and nested ones too."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many a caller may give: `self` and `cls` are none."""
    own = function.args
    given = [*own.posonlyargs, *own.args, *own.kwonlyargs, *(one for one in (own.vararg, own.kwarg) if one)]
    return len([one for one in given if one.arg not in ("self", "cls")])


def too_large(name: str, source: str) -> Iterator[str]:
    functions, lines = functions_of(source), len(source.splitlines())
    if lines > LINES:
        yield f"{lines} lines, at most {LINES}"
    if len(functions) > FUNCTIONS:
        yield f"{len(functions)} functions, at most {FUNCTIONS}"
    for function in functions:
        exempt = function.name in ("__init__", "submit", "denoise", "report") and name.startswith(WRITTEN_AS_YAML)
        if arguments_of(function) > ARGUMENTS and not exempt:
            yield f"{function.name} takes {arguments_of(function)} arguments, at most {ARGUMENTS}"


@pytest.mark.parametrize("name", KEPT)
def test_no_module_is_too_large(name: str) -> None:
    assert not list(too_large(name, (SOURCE / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n" * 351, "351 lines"),
        ("class A:\n" + "".join(f"    @property\n    def f{i}(self): ...\n" for i in range(26)), "26 functions"),
        ("def f(a, b, c, /, d, e, *, g, h, i): ...", "f takes 8"),
        (
            "class A:\n    def f(self, a, b, c, d, e, *rest, **more): ...\n    def g(self, a, b, c, d, e, f, *g, h): ...",
            "g takes 8",
        ),
    ],
)
def test_what_is_too_large_is_found(source: str, said: str) -> None:
    [found] = too_large("store/rows.py", source)
    assert found.startswith(said)


def test_rooms_that_come_later_are_rooms() -> None:
    assert all((SOURCE / room).is_dir() for room in LATER)
