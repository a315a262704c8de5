"""The files of pages: whatever a pack calls its methods and data sets, they stay in the site's folder and apart."""

import hashlib
from collections.abc import Container

from denoisebench.config import groups
from denoisebench.datasets.catalogue import CATALOGUE
from denoisebench.report.published import base_of, set_of
from denoisebench.store.cell import file_name


def method_file(label: str) -> str:
    """The page of a label's method."""
    return _file(base_of(label), groups()["method"])


def dataset_file(name: str) -> str:
    """The page of a data set, to which its parts belong."""
    return _file(set_of(name), CATALOGUE)


def pack_file(name: str, content: str) -> str:
    """The page of a pack, or of rows of one's own. content: what tells two of one name apart."""
    return f"{file_name(name)}-{_mark(content)}.html"


def _file(name: str, ours: Container[str]) -> str:
    """As it is called where it is ours; else a safe name, with a mark because two names may become one, or `index`."""
    return f"{name}.html" if name in ours else f"{file_name(name)}-{_mark(name)}.html"


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
