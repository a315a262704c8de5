"""Results as a LaTeX table to paste into a paper."""

import re
from collections.abc import Mapping, Sequence

from denoisebench.report.results import Result, Score, measures_in
from denoisebench.report.table import NO_SCORE, TAG_TEXTS, Grid, Line, Mark, grids, marks_of
from denoisebench.scoring.measures import Measure

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "]": "{]}",
}  # fmt: skip
MARKS = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}"}
Marks = Mapping[tuple[str, str], Mapping[str, Mark]]  # by noise and the measure's column, then by the result's id


def latex_text(text: str) -> str:
    """A name as LaTeX prints it unchanged; signs that T1 fonts may lack become question marks."""
    return "".join(SPECIAL.get(sign, sign if sign.isprintable() and ord(sign) < 0x250 else "?") for sign in text)


def latex_tables(results: Sequence[Result]) -> str:
    """One booktabs table for each data set and protocol: its measures, in each the best bold and the second underlined."""
    head = "% Needs \\usepackage{booktabs}. Written by denoisebench report.\n"
    return head + "\n".join(_table(grid) for grid in grids(results))


def _table(grid: Grid) -> str:
    letters, marks = _letters(grid), _marks(grid)
    body = [_line(grid, line, letters, marks) for line in grid.lines]
    bounds = grid.bounds_from
    if 0 < bounds < len(body):
        body.insert(bounds, r"\midrule")
    own = measures_in(grid.results)
    if not own:
        return f"% {latex_text(grid.dataset)}: {NO_SCORE}.\n"
    count, titles = len(own), " & ".join(measure.title for measure in own)
    spans = " & ".join(rf"\multicolumn{{{count}}}{{c}}{{{latex_text(noise)}}}" for noise in grid.noises)
    rules = "".join(rf"\cmidrule(lr){{{count * i + 2}-{count * i + count + 1}}}" for i in range(len(grid.noises)))
    lines = [
        r"\begin{table}", r"\centering",
        rf"\caption{{{_caption(grid, letters)}}}", rf"\label{{{label_of(grid)}}}",
        rf"\begin{{tabular}}{{l{'r' * count * len(grid.noises)}}}", r"\toprule",
        f"Method & {spans} \\\\", rules, " & ".join(["", *[titles] * len(grid.noises)]) + r" \\", r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def label_of(grid: Grid) -> str:
    """`tab:kodak-default`: a table's name for \\ref, of signs that LaTeX takes in a label."""
    return "tab:" + "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-") for text in (grid.dataset, grid.protocol))


def _letters(grid: Grid) -> dict[str, str]:
    """A small letter for each tag of the table."""
    tags = list(dict.fromkeys(tag for line in grid.lines for tag in line.said(grid.images)))
    return {tag: chr(ord("a") + i) if i < 26 else f"z{i}" for i, tag in enumerate(tags)}


def _marks(grid: Grid) -> Marks:
    """Each measure marks its own columns: the best by one may be the worst by another."""
    return {
        (noise, measure.column): marks_of([r for r in grid.results if r.noise == noise], grid.images, measure)
        for noise in grid.noises
        for measure in measures_in(grid.results)
    }


def _line(grid: Grid, line: Line, letters: dict[str, str], marks: Marks) -> str:
    everywhere = [letters[tag] for tag, noises in line.said(grid.images).items() if len(noises) == len(line.results)]
    name = latex_text(line.method) + _superscript(everywhere)
    cells = [
        cell for noise in grid.noises for cell in _score(grid, line, noise, marks, _own(grid, line, noise, letters, everywhere))
    ]
    return " & ".join([name, *cells]) + r" \\"


def _superscript(letters: Sequence[str]) -> str:
    return rf"\textsuperscript{{{','.join(sorted(letters))}}}" if letters else ""


def _own(grid: Grid, line: Line, noise: str, letters: Mapping[str, str], everywhere: Sequence[str]) -> str:
    """The letters of what holds under this noise and not under all."""
    said = line.said(grid.images).items()
    return _superscript([letters[tag] for tag, noises in said if noise in noises and letters[tag] not in everywhere])


def _score(grid: Grid, line: Line, noise: str, marks: Marks, letters: str) -> list[str]:
    result, measures = line.results.get(noise), measures_in(grid.results)
    if result is None or all(result.scores[measure.column].mean is None for measure in measures):
        return ["--"] * len(measures)
    texts = [
        _text(measure, result.scores[measure.column], MARKS[marks[noise, measure.column].get(result.id, "")])
        + _of_images(result.of_images(measure))
        for measure in measures
    ]
    return [texts[0] + letters, *texts[1:]]


def _of_images(text: str) -> str:
    return rf" {{\scriptsize {text.strip()}}}" if text else ""


def _text(measure: Measure, score: Score, mark: str) -> str:
    """The mean, and the spread over seeds where there are several."""
    if score.mean is None:
        return "--"
    seeds = "" if score.sd_seeds is None else rf" {{\scriptsize$\pm${measure.text(score.sd_seeds)}}}"
    return mark.format(measure.text(score.mean)) + seeds


def _caption(grid: Grid, letters: dict[str, str]) -> str:
    said = "; ".join(f"{letter}: {latex_text(tag)}{_explained(tag)}" for tag, letter in letters.items())
    known = rf" {said}." if said else ""
    if any(result.seeds > 1 for result in grid.results):
        said = f"$\\pm$: standard deviation of the means over seeds; {said}".removesuffix("; ")
        known = f" {said}."
    return (
        f"{_titles(grid)} on {latex_text(grid.dataset)}, {grid.size}, means of per-image values under protocol "
        f"{latex_text(grid.protocol)}. In each column the best is bold and the second underlined, "
        f"among methods that saw no clean image.{known}"
    )


def _titles(grid: Grid) -> str:
    """`PSNR (dB) and SSIM`."""
    texts = [measure.title + (f" ({measure.unit})" if measure.unit else "") for measure in measures_in(grid.results)]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _explained(tag: str) -> str:
    return f" ({TAG_TEXTS[tag]})" if tag in TAG_TEXTS else ""
