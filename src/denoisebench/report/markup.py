"""HTML and SVG elements whose contents are always escaped."""

from collections.abc import Mapping, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already; any other text is escaped on its way into an element."""

    __slots__ = ()


VOID = {"br", "hr", "img", "input", "link", "meta", "circle", "line", "path", "polyline", "polygon", "rect"}


def joined(*children: str) -> Markup:
    """Children one after the other; anything that is not Markup is escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def element(name: str, *children: str, **attributes: str | float | bool | None) -> Markup:
    """`<name attribute="value">children</name>`.

    `class_` and `for_` lose their underscore, other underscores become hyphens; True is an attribute without value,
    None and False leave it out.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    if name in VOID and not children:
        return Markup(f"<{name}{told}/>" if name not in ("br", "hr", "img", "input") else f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(f"{value:g}" if isinstance(value, float) else str(value))}"'


def table(
    head: list[Markup],
    body: list[list[Markup]],
    marks: Sequence[Mapping[str, str]] = (),
    **attributes: str | float | bool | None,
) -> Markup:
    """A table of ready cells (`th`, `td`) in a box that scrolls sideways on a narrow screen. marks: attributes of each row."""
    rows = [element("tr", *cells, **own) for cells, own in zip(body, marks or [{}] * len(body), strict=True)]
    inner = element("table", element("thead", element("tr", *head)), element("tbody", *rows), **attributes)
    return element("div", inner, class_="scroll")


def with_code(text: str) -> Markup:
    """Text whose `parts between backticks` are code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one backtick is left over: it is meant as it stands
        parts[-2:] = ["`".join(parts[-2:])]
    return joined(*(element("code", part) if i % 2 else part for i, part in enumerate(parts)))


def sortable_head(text: str, kind: str) -> Markup:
    return element("th", element("button", text, type="button"), class_=kind, aria_sort="none")


def number_cell(value: float | None, text: str) -> Markup:
    return element("td", text, class_="number", data_value="" if value is None else float(value))
