"""A method's paper, code and deviations, read from its class's docstring; and papers as BibTeX."""

import ast
import inspect
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PAPER = re.compile(r"(?P<authors>[^:;]+?): (?P<title>[^;]+?), (?:(?P<venue>[A-Z][A-Za-z ]*?) )?(?P<year>\d{4})\b(?!\.\d)")
PREPRINT = re.compile(r"(?P<authors>[^:;]+?): (?P<title>[^;]+?), arXiv \d{4}\.\d{4,5}")
ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
LINK = re.compile(r"https://[^\s,;)]+[^\s,;).]")
JOURNALS = {
    "TIP": "IEEE Transactions on Image Processing", "TPAMI": "IEEE Transactions on Pattern Analysis and Machine Intelligence",
    "TMLR": "Transactions on Machine Learning Research", "JMIV": "Journal of Mathematical Imaging and Vision",
    "Physica D": "Physica D", "Biometrika": "Biometrika", "Nature Machine Intelligence": "Nature Machine Intelligence",
    "PeerJ": "PeerJ", "JRSS B": "Journal of the Royal Statistical Society B",
}  # fmt: skip


@dataclass(frozen=True)
class Paper:
    """authors: family names, `et al.` as `others`. venue: empty for a preprint."""

    authors: tuple[str, ...]
    title: str
    venue: str
    year: str
    arxiv: str = ""
    url: str = ""

    def bibtex(self, key: str) -> str:
        kind = "article" if self.venue in JOURNALS else "inproceedings" if self.venue else "misc"
        where = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}[kind]
        preprint = f"arXiv:{self.arxiv}" if self.arxiv else self.url
        fields = {
            "title": f"{{{self.title}}}", "author": " and ".join(self.authors),
            where: JOURNALS.get(self.venue, self.venue) or preprint, "year": self.year,
            "eprint": self.arxiv, "archiveprefix": "arXiv" if self.arxiv else "", "url": self.url,
        }  # fmt: skip
        lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{kind}{{{key},", *lines, "}"])


@dataclass(frozen=True)
class Described:
    """What a method's docstring says. told: the citation as written; empty for a method without a paper."""

    what: str
    told: str
    deviations: str

    @property
    def paper(self) -> Paper | None:
        """The first paper that it cites."""
        text = re.split(r"\. (?=Official|Stopping|It )", self.told)[0]
        found = PAPER.match(text) or PREPRINT.match(text)
        if not found or ("," not in found["authors"] and "et al." not in found["authors"] and "." not in found["authors"]):
            return self._without_authors(text)
        authors = tuple(name.strip() for name in found["authors"].replace(" et al.", ", others").split(","))
        return self._paper(authors, found)

    def _without_authors(self, text: str) -> Paper | None:
        found = re.match(r"(?P<title>[^;]+: [^;]+?), (?P<venue>[A-Z][A-Za-z ]*?) (?P<year>\d{4}), arXiv", text)
        return self._paper((), found) if found else None

    def _paper(self, authors: tuple[str, ...], found: re.Match[str]) -> Paper:
        own = re.split(r"[;(]|\. ", self.told[found.start() :][len(found["title"]) + len(", ".join(authors)) :])[0]
        arxiv = ARXIV.search(own)
        said = found.groupdict()
        year = said.get("year") or (f"20{arxiv[1][:2]}" if arxiv else "")
        title = re.sub(r" \([^)]*\)$", "", found["title"])
        return Paper(authors, title, said.get("venue") or "", year, arxiv[1] if arxiv else "")

    @property
    def code(self) -> list[str]:
        return list(dict.fromkeys(LINK.findall(self.told)))


def described(cls: type) -> Described:
    """What a class's docstring says: its first line, the paragraph that cites, and its deviations."""
    return _described(cls.__doc__ or "")


def described_at(target: str) -> Described:
    """The same of `package.module.Class`, read as a file: PyTorch is not loaded. Raises: ValueError where there is none."""
    module, _, name = target.rpartition(".")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"{target}: no source file of it is here")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not classes:
        raise ValueError(f"{target}: {spec.origin} has no such class")
    return _described(ast.get_docstring(classes[0]) or "")


def _described(docstring: str) -> Described:
    what, *parts = inspect.cleandoc(docstring).split("\n\n")
    flat = [" ".join(part.split()) for part in parts]
    cites = flat[0] if flat and (re.search(r"\b(19|20)\d\d\b", flat[0]) or ARXIV.search(flat[0])) else ""
    deviations = next((part for part in flat if part.startswith("Deviations")), "")
    return Described(" ".join(what.split()), cites, deviations)


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)([&%#_])", r"\\\1", text) if "://" not in text else text
