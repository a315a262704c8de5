"""Plots as SVG: PSNR against cost with its Pareto front, and learning curves. No library, no script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from denoisebench.report.health import Curve
from denoisebench.report.markup import Markup, element, joined
from denoisebench.report.results import Result, all_images
from denoisebench.report.table import seconds_text, tags_of
from denoisebench.scoring.measures import PSNR, Measure

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 14, 44
LETTER, LINE = 6.3, 13  # width of a letter and height of a line of labels, in pixels
Kind = Literal["nothing", "dataset", "image", "bound"]
KINDS: dict[Kind, str] = {
    "nothing": "learns nothing", "dataset": "learns from a data set", "image": "learns from the image", "bound": "bound",
}  # fmt: skip
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Point:
    """A method in a plot of quality against cost: cost in seconds, above zero; score by the report's first measure."""

    label: str
    cost_s: float
    score: float
    kind: Kind
    tags: tuple[str, ...] = ()

    @property
    def marked(self) -> dict[str, str]:
        """The attributes by which the page filters it."""
        return {"data_method": self.label, "data_tags": "\n".join(self.tags)}


def points_of(results: Sequence[Result], cost: Callable[[Result], float]) -> list[Point]:
    """The results that have a finite score; `noisy` costs nothing and is left out."""
    images = all_images(results)
    known = [
        (r, score) for r in results
        if (score := r.scores[r.first.column].mean) is not None and math.isfinite(score) and r.method != "noisy" and cost(r) > 0
    ]  # fmt: skip
    kinds: list[Kind] = ["bound" if r.saw_clean else r.learns for r, _ in known]  # type: ignore[misc]
    return [
        Point(r.method, cost(r), score, kind, tuple(tags_of(r, images))) for (r, score), kind in zip(known, kinds, strict=True)
    ]


def pareto(points: Sequence[Point], measure: Measure = PSNR) -> list[Point]:
    """Those that no rival beats in both cost and quality, by rising cost; bounds are no rivals."""
    front: list[Point] = []
    for point in sorted((p for p in points if p.kind != "bound"), key=lambda p: (p.cost_s, -measure.goodness(p.score))):
        if not front or measure.goodness(point.score) > measure.goodness(front[-1].score):
            front.append(point)
    return front


def cost_plot(points: Sequence[Point], title: str, axis: str, measure: Measure = PSNR) -> Markup:
    """A measure over cost on a logarithmic axis; empty without points."""
    if not points:
        return Markup("")
    low, high = _decades([p.cost_s for p in points])
    bottom, top, ticks = _ticks([p.score for p in points])
    x: Scale = lambda cost: LEFT + (math.log10(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    y: Scale = lambda psnr: HEIGHT - BOTTOM - (psnr - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    grid = [_tick_x(x(10.0**power), _power_text(power)) for power in range(low, high + 1)]
    grid += [_tick_y(y(value), f"{value:g}") for value in ticks]
    front = [(x(p.cost_s), y(p.score)) for p in pareto(points, measure)]
    line = element("polyline", points=_steps(front) if len(front) > 1 else "", class_="front")
    marks = [_placed(x(p.cost_s), y(p.score), p, measure) for p in points]
    ticks = element("g", *grid, class_="ticks-of-axes")
    lower = not measure.higher_is_better
    return _svg(title, ticks, _axes(axis, measure.heading), line, *marks, *_labels(points, x, y), box=True, lower=lower)


def _svg(title: str, *parts: str, box: bool = False, lower: bool = False) -> Markup:
    """box: with the place of its axes, from which the page draws it anew without what a reader hides. lower: is better."""
    return element(
        "svg", element("title", title), *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="plot",
        xmlns="http://www.w3.org/2000/svg", data_box=f"{LEFT} {TOP} {WIDTH - RIGHT} {HEIGHT - BOTTOM}" if box else None,
        data_lower="true" if lower else None,
    )  # fmt: skip


def _placed(x: float, y: float, point: Point, measure: Measure) -> Markup:
    """A mark with what the page needs to draw it elsewhere: where it is, and what it stands for."""
    return element(
        "g", _mark(x, y, point, measure), class_="point", data_x=repr(x), data_y=repr(y), data_cost=repr(point.cost_s),
        data_score=repr(point.score), data_kind=point.kind, **point.marked,
    )  # fmt: skip


def _power_text(power: int) -> str:
    """10 to a power, in seconds."""
    return f"{10 ** (power + 3)} ms" if -3 <= power < 0 else f"{10.0**power:g} s"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _ticks(values: Sequence[float], count: int = 5) -> tuple[float, float, list[float]]:
    """Lower and upper end of an axis, and round values in it."""
    spread = max(max(values) - min(values), 1e-9 + 0.02 * abs(max(values)))
    step = 10 ** math.floor(math.log10(spread / count))
    step *= next(factor for factor in (1, 2, 5, 10) if spread / (factor * step) <= count)
    low, high = math.floor(min(values) / step - 0.2), math.ceil(max(values) / step + 0.2)
    return low * step, high * step, [round(i * step, 10) for i in range(low, high + 1)]


def _tick_x(x: float, text: str) -> Markup:
    line = element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid")
    return joined(line, element("text", text, x=x, y=HEIGHT - BOTTOM + 15, text_anchor="middle"))


def _tick_y(y: float, text: str) -> Markup:
    line = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
    return joined(line, element("text", text, x=LEFT - 6, y=y + 4, text_anchor="end"))


def _axes(horizontal: str, vertical: str) -> Markup:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return joined(
        element("text", horizontal, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle", class_="axis"),
        element("text", vertical, x=14, y=middle, text_anchor="middle", class_="axis", transform=f"rotate(-90 14 {middle:g})"),
    )


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """A staircase: until the next cost, the best remains what it was."""
    corners = [points[0]]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _mark(x: float, y: float, point: Point, measure: Measure = PSNR) -> Markup:
    """Kinds differ by shape, not by colour alone."""
    score = f"{measure.text(point.score)} {measure.unit or measure.title}"
    told = element("title", f"{point.label}: {score}, {seconds_text(point.cost_s)} ({KINDS[point.kind]})")
    style = f"mark {point.kind}"
    if point.kind == "dataset":
        return element("rect", told, x=x - 5, y=y - 5, width=10, height=10, class_=style)
    if point.kind == "nothing":
        return element("circle", told, cx=x, cy=y, r=5.5, class_=style)
    corners = [(0, -6.5), (6, 5), (-6, 5)] if point.kind == "image" else [(0, -7), (7, 0), (0, 7), (-7, 0)]
    return element("polygon", told, points=" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners), class_=style)


def _labels(points: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    """Names beside their marks, each at the first place where it covers the least of marks and other names."""
    taken = [(x(p.cost_s) - 7, y(p.score) - 7, x(p.cost_s) + 7, y(p.score) + 7) for p in points]
    found = []
    for point in points:
        text = point.label if len(point.label) <= 28 else point.label[:27] + "…"
        boxes = _places(x(point.cost_s), y(point.score), len(text) * LETTER)
        box = min(boxes, key=lambda box: (not _inside(box), sum(_covered(box, other) for other in taken)))
        taken.append(box)
        found.append(element("text", text, x=box[0], y=box[3] - 3, class_="label", **point.marked))
    return found


Box = tuple[float, float, float, float]


def _places(x: float, y: float, width: float) -> list[Box]:
    corners = [(x + 9, y - 7), (x - 9 - width, y - 7), (x - width / 2, y - 22), (x - width / 2, y + 9)]
    corners += [(left, y + d) for left in (x + 9, x - 9 - width) for d in (6, -20, 18, -32, 30, -44)]
    corners += [(WIDTH - width, y + d) for d in (-22, 9, -35, 22)]  # at the right edge, whose marks have no room on the right
    return [(left, top, left + width, top + LINE) for left, top in corners]


def _inside(box: Box) -> bool:
    return box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - BOTTOM


def _covered(one: Box, other: Box) -> float:
    """The area that both have."""
    return max(min(one[2], other[2]) - max(one[0], other[0]), 0) * max(min(one[3], other[3]) - max(one[1], other[1]), 0)


def legend(points: Sequence[Point]) -> Markup:
    """The shapes that a plot uses."""
    used: list[Kind] = [kind for kind in KINDS if any(p.kind == kind for p in points)]
    signs: list[Markup] = [
        element("span", element("svg", _mark(8, 8, Point("", 1, 0, kind)), viewBox="0 0 16 16", class_="sign"), KINDS[kind])
        for kind in used
    ]
    return element("p", *signs, element("span", "line: Pareto front of rivals"), class_="legend")


def curve_plot(curve: Curve) -> Markup:
    """A training's loss (logarithmic where it is positive), that of held-out images where they ended it, and PSNR where it was
    validated: a panel each."""
    plots = [_line_plot(curve.loss, f"{curve.label}: loss", "loss", logarithmic=_positive(curve.loss))]
    if held_out := curve.held_out:
        kept = min(held_out, key=lambda point: point[1])
        title = f"{curve.label}: loss of held-out noisy images, lowest at step {kept[0]:,.0f}, whose weights were kept"
        plots.append(_line_plot(held_out, title, "loss", logarithmic=_positive(held_out), marked=kept, of=" (held-out images)"))
    if curve.psnr_db:
        plots.append(_line_plot(curve.psnr_db, f"{curve.label}: PSNR on {curve.on}", "PSNR in dB", logarithmic=False))
    return joined(*plots)


def _positive(points: Sequence[tuple[float, float]]) -> bool:
    return all(y > 0 for _, y in points)


def _line_plot(
    points: Sequence[tuple[float, float]],
    title: str,
    axis: str,
    *,
    logarithmic: bool,
    marked: tuple[float, float] | None = None,
    of: str = "",
) -> Markup:
    """marked: one of the points. of: added to the horizontal axis."""
    values = [math.log10(v) if logarithmic else v for _, v in points]
    bottom, top, ticks = _ticks(values, 4)
    last = max(step for step, _ in points) or 1
    x: Scale = lambda step: LEFT + step / last * (WIDTH - LEFT - RIGHT)  # noqa: E731
    y: Scale = lambda value: HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    grid = [_tick_y(y(tick), f"{10**tick:.3g}" if logarithmic else f"{tick:g}") for tick in ticks]
    grid += [_tick_x(x(last * part), f"{last * part:,.0f}") for part in (0, 0.5, 1)]
    line = " ".join(f"{x(step):.1f},{y(value):.1f}" for (step, _), value in zip(points, values, strict=True))
    parts = [element("polyline", points=line, class_="curve")] if len(points) > 1 else []
    if dot := points[0] if len(points) == 1 else marked:  # a line of one point is not seen
        at = values[points.index(dot)]
        parts.append(element("circle", cx=x(dot[0]), cy=y(at), r=3.5, class_="curve-point"))
    return _svg(title, *grid, _axes(f"step{of}", axis), *parts)


def all_seconds(result: Result) -> float:
    """Seconds of training and of testing all images once: what one row of the table costs."""
    return (result.train_seconds or 0.0) + result.seconds * result.images
