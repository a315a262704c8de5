"""The figures of the ranking as SVG: a critical-difference diagram and performance profiles. No library, no script."""

import math
from collections.abc import Callable, Sequence

from denoisebench.report.markup import Markup, element
from denoisebench.site.ranking import Ranking, profile

WIDTH = 760
LEFT, RIGHT = 24, 24
LINE = 22
LETTER = 7.2
STROKES = ("", "7 3", "2 3", "9 3 2 3")
COLOURS = 6
Scale = Callable[[float], float]


def difference_diagram(found: Ranking) -> Markup:
    """An axis of mean ranks, the best at the left; bars join methods that are not distinguished."""
    count = len(found.methods)
    top, ordered = 64 + 9 * len(found.cliques), found.ordered
    half = math.ceil(count / 2)
    height = top + LINE * (half + 1)

    def x(rank: float) -> float:
        return LEFT + (rank - 1) / (count - 1) * (WIDTH - LEFT - RIGHT)

    axis = [element("line", x1=x(1), x2=x(count), y1=44, y2=44, class_="axis")]
    for rank in range(1, count + 1):
        axis += [element("line", x1=x(rank), x2=x(rank), y1=38, y2=44, class_="axis")]
        axis += [element("text", str(rank), x=x(rank), y=32, text_anchor="middle")]
    bars = [
        element("line", x1=x(low) - 3, x2=x(high) + 3, y1=56 + 9 * i, y2=56 + 9 * i, class_="clique")
        for i, (low, high) in enumerate(found.cliques)
    ]
    width = min(x(1 + found.critical), WIDTH - RIGHT)
    scale = [
        element("line", x1=x(1), x2=width, y1=12, y2=12, class_="clique"),
        _beside(f"critical difference {found.critical:.2f}", width, x(1)),
    ]
    names = [part for place, (name, rank) in enumerate(ordered) for part in _named(x(rank), place, half, (name, rank, top))]
    told = "; ".join(f"{name} {rank:.2f}" for name, rank in ordered)
    return _svg(f"Mean ranks over {len(found.tables)} tables: {told}", height, [*scale, *axis, *bars, *names])


def _beside(text: str, end: float, start: float) -> Markup:
    """The name of the critical difference: after its bar, or above where that leaves no room."""
    room = end + 8 + LETTER * len(text) < WIDTH
    return element("text", text, x=end + 8 if room else start, y=16 if room else 8)


def _named(x: float, place: int, half: int, what: tuple[str, float, int]) -> list[Markup]:
    """A method's line from the axis to its name: the better half at the left."""
    name, rank, top = what
    left = place < half
    y = top + LINE * (place if left else 2 * half - place - 1)
    end = LEFT if left else WIDTH - RIGHT
    label = f"{name} ({rank:.2f})"
    return [
        element("polyline", points=f"{x:g},44 {x:g},{y:g} {end:g},{y:g}", class_="leader"),
        element("text", label, x=end, y=y - 4, text_anchor="start" if left else "end", class_="name"),
    ]


def profile_plot(found: Ranking) -> Markup:
    """For each method, the share of tables in which it is within a number of dB of the best."""
    height, left, bottom = 340, 56, 56
    curves = {name: profile(found, name) for name, _ in found.ordered}
    most = max(1.0, math.ceil(min(max(points[-1][0] for points in curves.values()), 10.0)))

    def x(db: float) -> float:
        return left + min(db, most) / most * (WIDTH - left - RIGHT)

    def y(part: float) -> float:
        return height - bottom - part * (height - bottom - 16)

    step = max(1, round(most / 8))
    grid = [part for db in range(0, int(most) + 1, step) for part in _tick(x(db), height - bottom, f"{db}")]
    for part in (0, 0.25, 0.5, 0.75, 1):
        grid += [element("line", x1=left, x2=WIDTH - RIGHT, y1=y(part), y2=y(part), class_="grid")]
        grid += [element("text", f"{part:.0%}", x=left - 8, y=y(part) + 4, text_anchor="end")]
    grid += [element("text", "dB below the best of a table", x=(left + WIDTH - RIGHT) / 2, y=height - 14, text_anchor="middle")]
    lines = [_curve(number, points, x, y, x(most)) for number, points in enumerate(curves.values())]
    told = "; ".join(f"{name}: within 1 dB in {_within(points, 1):.0%}" for name, points in curves.items())
    return _svg(f"Performance profiles. {told}", height, [*grid, *lines])


def _within(points: Sequence[tuple[float, float]], db: float) -> float:
    return max((part for value, part in points if value <= db), default=0.0)


def _tick(x: float, y: float, text: str) -> list[Markup]:
    return [
        element("line", x1=x, x2=x, y1=y, y2=y + 5, class_="axis"),
        element("text", text, x=x, y=y + 19, text_anchor="middle"),
    ]


def _curve(number: int, points: Sequence[tuple[float, float]], x: Scale, y: Scale, end: float) -> Markup:
    corners, height = [(x(0), y(0))], 0.0
    for db, part in (point for point in points if x(point[0]) < end):  # what lies beyond the axis is not drawn at its end
        corners += [(x(db), y(height)), (x(db), y(part))]
        height = part
    corners.append((end, y(height)))
    return element(
        "polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), class_=f"curve c{number % COLOURS}",
        stroke_dasharray=STROKES[number // COLOURS % len(STROKES)] or None,
    )  # fmt: skip


def profile_legend(found: Ranking) -> list[tuple[str, Markup]]:
    """Each method with a piece of its line."""
    return [(name, _svg_line(number)) for number, (name, _) in enumerate(found.ordered)]


def _svg_line(number: int) -> Markup:
    dashes = STROKES[number // COLOURS % len(STROKES)] or None
    line = element("line", x1=0, x2=36, y1=6, y2=6, class_=f"curve c{number % COLOURS}", stroke_dasharray=dashes)
    return element("svg", line, viewBox="0 0 36 12", width=36, height=12, aria_hidden="true", class_="key")


def _svg(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    return element(
        "svg", element("title", title), *parts, viewBox=f"0 0 {WIDTH} {height:g}", role="img", class_="figure", aria_label=title
    )
