"""Write the table of methods in docs/methods.md from conf/method/*.yaml and the docstrings of the classes.

    python docs/methods.py

A class's docstring gives its row: the first line says what the method is, the second paragraph cites its paper and links
its official code.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "methods.md"
KINDS = {
    "Denoiser": "nothing (training-free)",
    "ClassicalDenoiser": "nothing (training-free)",
    "DatasetDenoiser": "noisy images",
    "ImageDenoiser": "each image alone",
    "SupervisedDenoiser": "pairs (supervised reference)",
}
ELSEWHERE = "made elsewhere: what you say"
ORDER = (*dict.fromkeys(KINDS.values()), ELSEWHERE)


def table() -> str:
    """The Markdown table of all methods, by what they learn from, then by name."""
    paths = (ROOT / "conf" / "method").glob("*.yaml")
    rows = sorted(map(_row, paths), key=lambda row: (ORDER.index(row[1]), row[0]))
    lines = ["| `method=` | learns from | what it is | source |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {learns} | {what} | {source} |" for name, learns, what, source in rows)])


def page() -> str:
    """The whole page with its table as it should be."""
    return filled(PAGE, "methods.py", table())


def filled(page: Path, script: str, text: str) -> str:
    """A page with the text that a script of docs/ writes into it."""
    begin, end = f"<!-- begin: written by docs/{script} -->", "<!-- end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def _row(path: Path) -> tuple[str, str, str, str]:
    found = re.search(r"^_target_: ([\w.]+)\.(\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path}: expected a line `_target_: module.Class`")
    cls = next(node for node in _module(found[1]).body if isinstance(node, ast.ClassDef) and node.name == found[2])
    what, _, rest = (ast.get_docstring(cls) or "").partition("\n\n")
    citation = " ".join(rest.partition("\n\n")[0].split())
    learns = ELSEWHERE if found[1].startswith("denoisebench.elsewhere.") else _learns(found[1], found[2])
    return path.stem, learns, _cell(" ".join(what.split())), _linked(_cell(citation))


def _module(name: str) -> ast.Module:
    return ast.parse((ROOT / "src" / name.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))


def _learns(module: str, name: str) -> str:
    """What a class learns from, by the base class that it comes from, here or in the module that it is imported from."""
    for node in _module(module).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return _learns(node.module, name)
        if isinstance(node, ast.ClassDef) and node.name == name:
            bases = [ast.unparse(base).split("[")[0] for base in node.bases]
            known = [KINDS[base] for base in bases if base in KINDS]
            return known[0] if known else _learns(module, bases[0])
    raise ValueError(f"{module}.{name}: expected one of {', '.join(KINDS)} among its base classes")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _linked(text: str) -> str:
    text = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"(?<!\()(https://[^\s,;)]+[^\s,;).])", r"<\1>", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
