"""`denoisebench explain`: from one convention of scoring to another, each step with what it changes.

What scoring cannot explain is not here: other noise (clipped, rounded, another draw), training or images are other runs.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from denoisebench.progress import Advance, output_console, track
from denoisebench.report.rows import read_local, read_rows, runs_root
from denoisebench.report.viewer import inputs_of
from denoisebench.scoring.developed import Developed
from denoisebench.scoring.kept import kept_pair
from denoisebench.scoring.measures import UNIFORM_WINDOW
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.code import changed_since
from denoisebench.store.rows import Row
from denoisebench.store.status import read_status

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, full range
STEPS = {"clip": "clipping", "rounding": "rounding to 8 bit", "border": "border cut off", "ssim": "window of SSIM"}
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Convention:
    """A way from kept outputs to two numbers.

    change: done to both images before they are scored. first: only so many images count. pooled: PSNR of the mean
    squared error over all images, not the mean of each image's PSNR.
    """

    name: str
    protocol: Protocol
    change: Callable[[Tensor], Tensor] | None = None
    first: int | None = None
    pooled: bool = False


@dataclass(frozen=True)
class Score:
    psnr_db: float
    ssim: float


def find_cell(name: str) -> Path:
    """The folder of a finished cell, given as a path or as the beginning of its key.

    Raises: FileNotFoundError naming what is there; ValueError for a beginning of several keys.
    """
    path = Path(name).expanduser()
    found = [path] if (path / "rows.csv").is_file() else []
    if not found and name and "/" not in name:
        found = sorted(p for p in runs_root().glob("*/*/*/*/seed*") if p.name.partition("-")[2].startswith(name))
    if len({folder.name for folder in found}) > 1:
        raise ValueError(f"{name} is the beginning of several keys: {', '.join(folder.name for folder in found[:5])}")
    if not found or read_status(found[0])["state"] != "done":
        raise FileNotFoundError(f"no finished cell {name}: give its folder, or the beginning of its key under {runs_root()}/")
    return found[0]


def ladder(protocol: Protocol, against: Protocol) -> list[Convention]:
    """From one protocol to another, a convention at a time: each keeps what the steps before it changed.

    Raises: ValueError for two of which one scores planes and the other developed pictures.
    """
    if type(protocol) is not type(against):
        raise ValueError(f"{protocol.name} and {against.name} score different images: planes as they are, and developed pictures")
    steps, now = [Convention(protocol.name, protocol)], protocol
    for name in (field.name for field in fields(Protocol) if field.name in STEPS):
        before, after = getattr(now, name), getattr(against, name)
        if before != after:
            now = _changed(now, name, after)
            steps.append(Convention(f"{STEPS[name]}: {_said(before)} -> {_said(after)}", now))
    return steps


def _changed(protocol: Protocol, name: str, value: object) -> Protocol:
    if name == "clip" and not value:
        raise ValueError("outputs are kept clipped: what a protocol without clipping would give is not in them")
    return replace(protocol, **{name: value})


def _said(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def alternatives(protocol: Protocol, images: int, side: int) -> list[Convention]:
    """What else papers and released codes do, each alone beside `protocol`; side: the least one of the images."""
    roundings = [r for r in ("none", "round", "truncate") if r != protocol.rounding]
    windows = [w for w in ("gaussian", "uniform", "volume") if w != protocol.ssim]
    found = [Convention(f"rounding to 8 bit: {r}", replace(protocol, rounding=r)) for r in roundings]  # type: ignore[arg-type]
    found += [Convention(f"window of SSIM: {w}", replace(protocol, ssim=w)) for w in windows]  # type: ignore[arg-type]
    border = [Convention("border of 8 pixels cut off", replace(protocol, border=protocol.border + 8))]
    changed = [
        Convention("luma (Y of BT.601) alone", protocol, change=luma),
        Convention("middle row and column left out (Self2Self+)", protocol, change=without_middle),
    ]
    found += [
        *(border if side >= 2 * (protocol.border + 8) + UNIFORM_WINDOW else []),
        *([] if isinstance(protocol, Developed) else changed),  # of its planes, neither is one
        Convention("pooled: PSNR of the mean error of all images", protocol, pooled=True),
    ]
    return found + ([Convention(f"first {images // 2} images only", protocol, first=images // 2)] if images > 1 else [])


def luma(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W); other images as they are."""
    if image.shape[1] != 3:
        return image
    return (image * torch.tensor(LUMA, dtype=image.dtype).view(1, 3, 1, 1)).sum(1, keepdim=True)


def without_middle(image: Tensor) -> Tensor:
    """Each side one pixel less, as resizing by nearest neighbour to one less does it."""
    height, width = image.shape[-2:]
    kept = [[i for i in range(side) if i != side // 2 or side < 2] for side in (height, width)]
    return image[..., kept[0], :][..., kept[1]]


def scores(pairs: Callable[[], Iterator[Pair]], conventions: Sequence[Convention], advance: Advance) -> list[Score]:
    """The scores of all images under each convention; every image is read once."""
    values: list[list[Score]] = [[] for _ in conventions]
    for done, pair in enumerate(pairs(), 1):
        for own, convention in zip(values, conventions, strict=True):
            own.append(_score(pair, convention))
        advance(done, "")
    return [_mean(own[: c.first], c.pooled) for own, c in zip(values, conventions, strict=True)]


def _score(pair: Pair, convention: Convention) -> Score:
    denoised, clean = pair if convention.change is None else (convention.change(pair[0]), convention.change(pair[1]))
    psnr_db, similarity = convention.protocol.score(denoised, clean)
    return Score(psnr_db.item(), similarity.item())


def _mean(values: Sequence[Score], pooled: bool) -> Score:
    similar = [v.ssim for v in values if not math.isnan(v.ssim)]  # NaN: too small for its window
    similarity = math.fsum(similar) / len(similar) if similar else math.nan
    if pooled:
        error = math.fsum(10 ** (-v.psnr_db / 10) for v in values) / len(values)
        return Score(-10 * math.log10(error) if error else math.inf, similarity)
    return Score(math.fsum(v.psnr_db for v in values) / len(values), similarity)


def own_protocol(cell: Path) -> str:
    """The name of the protocol that a cell was scored under first. Raises: ValueError for one without rows."""
    rows = read_local(cell)
    if not rows:
        raise ValueError(f"{cell}: it has no rows")
    return rows[0]["protocol"]


def explain(cell: Path, protocol: Protocol, against: Protocol | None = None) -> None:
    """Print the ladder from a protocol to another, and the alternatives.

    Raises: ValueError for a cell without clean images, or a protocol that does not clip; FileNotFoundError for kept
    images that are gone.
    """
    for one in (protocol, against or protocol):
        if not one.clip:
            raise ValueError(f"protocol {one.name} does not clip, and outputs are kept clipped: what it gives is not in them")
    rows = [row for row in read_rows(cell) if row["status"] == "done" and row["scored_by"] == "local"]
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    if not first:
        raise ValueError(f"{cell}: it has no clean images, so it has no scores")
    steps = ladder(protocol, against or protocol)
    side = min(min(clean.shape[-2:]) for _, clean in _pairs(first, cell))
    others = alternatives(protocol, len(first), side)
    with track(f"scoring {cell.name}", len(first)) as advance:
        found = scores(lambda: _pairs(first, cell), [*steps, *others], advance)
    _print(first[0], len(first), steps, others, found, against)


def _pairs(rows: Sequence[Row], cell: Path) -> Iterator[Pair]:
    return (kept_pair(row, cell, inputs_of(row)) for row in rows)


def _print(
    row: Row, count: int, steps: Sequence[Convention], others: Sequence[Convention], found: Sequence[Score],
    against: Protocol | None,
) -> None:  # fmt: skip
    console = output_console()
    cell = f"{row['method']} | {row['dataset']} | {row['noise']} | seed {row['seed']}, {count} scores"
    console.print(cell, markup=False)
    console.print(_code(row["cell"]), markup=False)
    climbed = found[: len(steps)]
    if against:
        _print_table(console, f"from {steps[0].name} to {against.name}", steps, climbed, [climbed[0], *climbed])
        if len(steps) == 1:
            console.print(f"{steps[0].name} and {against.name} score alike: only their names differ", markup=False)
    own = [Convention(steps[0].name, steps[0].protocol), *others]
    _print_table(console, "other conventions, each alone", own, [climbed[0], *found[len(steps) :]], [climbed[0]] * len(own))
    console.print(
        "Scoring does not explain differences in noise, images or training: docs/why_your_number_differs.md measures some."
    )


def _code(cell: Path) -> str:
    names = changed_since(cell)
    if names is None:
        return "code unknown: the cell does not record the code that computed it, or that is not on this machine"
    return f"stale_code: the code of its {' and '.join(names)} has changed since it was computed" if names else "code: unchanged"


def _print_table(
    console: Console, title: str, names: Sequence[Convention], found: Sequence[Score], before: Sequence[Score]
) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("convention", no_wrap=True)
    for name in ("PSNR in dB", "change", "SSIM", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, (convention, score, last) in enumerate(zip(names, found, before, strict=False)):
        changes = ("", "") if not i else (f"{score.psnr_db - last.psnr_db:+.4f}", f"{score.ssim - last.ssim:+.4f}")
        table.add_row(convention.name, f"{score.psnr_db:.4f}", changes[0], f"{score.ssim:.4f}", changes[1])
    console.print(table)
