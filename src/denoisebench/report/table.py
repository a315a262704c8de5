"""Results as tables: in the terminal and in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from denoisebench.cells import write_csv
from denoisebench.progress import duration
from denoisebench.report.rows import Result, mean

FIELDS = (
    "method", "dataset", "noise", "protocol", "scored_by", "psnr_db", "ssim", "images", "seeds", "seconds", "train_seconds",
    "peak_mib", "learns", "trained_on", "train_noise", "train_steps", "selection", "budget", "tags", "precision", "keys",
    "commits",
)  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Methods x noises on one data set under one protocol, as texts; `best` marks the best unsupervised score."""

    dataset: str
    protocol: str
    images: int
    noises: list[str]
    lines: list[tuple[str, list[tuple[str, bool]], str, str, str]]  # method, (score, best), per image, training, notes
    bounds_from: int


def grids(results: Sequence[Result]) -> list[Grid]:
    """One grid for each data set and protocol, rows in the order of the results' kinds."""
    pairs = list(dict.fromkeys((r.dataset, r.protocol) for r in results))
    return [_grid([r for r in results if (r.dataset, r.protocol) == pair]) for pair in pairs]


def _grid(results: Sequence[Result]) -> Grid:
    noises = list(dict.fromkeys(r.noise for r in results))
    images = max(r.images for r in results)
    # The order of the first noise's results; a method that it lacks comes where its own noise puts it.
    methods = list(dict.fromkeys((r.method, r.budget) for r in sorted(results, key=lambda r: r.supervised)))
    at = {(r.method, r.budget, r.noise): r for r in results}
    rivals = [r for r in results if not r.saw_clean and r.images == images]
    best = {noise: max((_psnr(r) for r in rivals if r.noise == noise), default=None) for noise in noises}
    lines = []
    for method, budget in methods:
        own = [at[method, budget, noise] for noise in noises if (method, budget, noise) in at]
        scores = [_score(at.get((method, budget, noise)), best[noise]) for noise in noises]
        train_s = mean(r.train_seconds for r in own)
        training = "" if train_s is None else duration(train_s)
        lines.append((method, scores, _seconds(mean(r.seconds for r in own)), training, _notes(own, images)))
    bounds = [any(r.supervised for r in results if (r.method, r.budget) == method) for method in methods]
    bounds_from = bounds.index(True) if True in bounds else len(methods)
    return Grid(results[0].dataset, results[0].protocol, images, noises, lines, bounds_from)


def _psnr(result: Result) -> float:
    return float("-inf") if result.psnr_db is None else result.psnr_db


def _score(result: Result | None, best: float | None) -> tuple[str, bool]:
    if result is None:
        return "", False
    similarity = "" if result.ssim is None else f" / {result.ssim:.4f}"
    if result.psnr_db is None:
        return f"?{similarity}" if similarity else "no clean images", False
    return f"{result.psnr_db:.2f}{similarity}", not result.saw_clean and result.psnr_db == best


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{1e3 * value:.2g} ms" if value < 0.0995 else f"{1e3 * value:.0f} ms" if value < 1 else duration(value)


def _notes(results: Sequence[Result], images: int) -> str:
    """What a reader must know: budget, tags (with the noises where they hold, if not under all), how many seeds."""
    said: dict[str, list[str]] = {}
    for result in results:
        server = ["scored by server"] if result.scored_by == "server" else []
        partial = [f"{result.images} images only"] if result.images < images else []
        for tag in [*([f"budget {result.budget}"] if result.budget else []), *result.tags.split(), *server, *partial]:
            said.setdefault(tag, []).append(result.noise)
    notes = [tag if len(noises) == len(results) else f"{tag} ({', '.join(noises)})" for tag, noises in said.items()]
    seeds = max(r.seeds for r in results)
    return ", ".join(notes + ([f"{seeds} seeds"] if seeds > 1 else []))


def print_tables(results: Sequence[Result], console: Console) -> None:
    for grid in grids(results):
        table = Table(
            title=f"{escape(grid.dataset)}, {grid.images} images, protocol {grid.protocol}: PSNR in dB / SSIM",
            title_justify="left",
        )
        table.add_column("method", no_wrap=True)
        for noise in grid.noises:
            table.add_column(escape(noise), justify="right", no_wrap=True)
        for name in ("per image", "training"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("notes", overflow="fold")
        for i, (method, scores, per_image, training, notes) in enumerate(grid.lines):
            if i == grid.bounds_from and i:
                table.add_section()
            shown = [f"[bold]{text}[/bold]" if best else text for text, best in scores]
            table.add_row(escape(method), *shown, per_image, training, notes)
        console.print(table)


def markdown_tables(results: Sequence[Result]) -> str:
    parts = []
    for grid in grids(results):
        head = ["method", *grid.noises, "per image", "training", "notes"]
        lines = [f"**{grid.dataset}**, {grid.images} images, protocol `{grid.protocol}`: PSNR in dB / SSIM", ""]
        lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 2) + "---|"]
        for method, scores, per_image, training, notes in grid.lines:
            shown = [f"**{text}**" if best else text for text, best in scores]
            lines.append("| " + " | ".join([_escaped(method), *shown, per_image, training, notes]) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    for mark in "\\|[]*_<`":
        text = text.replace(mark, "\\" + mark)
    return text


def write_results(results: Sequence[Result], path: Path) -> None:
    write_csv(path, FIELDS, [{name: getattr(result, name) for name in FIELDS} for result in results])
