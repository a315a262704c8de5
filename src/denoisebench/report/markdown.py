"""`denoisebench report`: table, results.csv, report.md and pictures of a study."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from denoisebench.cells import Row, read_plan, write_atomic
from denoisebench.pictures import output_name, read_png, strip, write_png
from denoisebench.progress import output_console
from denoisebench.report.rows import Result, read_study, summarise
from denoisebench.report.status import counts, explained
from denoisebench.report.table import markdown_tables, print_tables, write_results

PICTURED_IMAGES = 3
PICTURED_SIDE = 256

NOTES = """\
The best score that needs no clean image is bold. `supervised` methods were trained on clean images: they are bounds.
`oracle_sigma`: the method was told the true noise level. `oracle_selected`: its weights were chosen by clean images.
`second_view`: trained on pairs of noisy views. `transductive`: the test photographs were among its training images
(noisy as the method is given them; never their clean side). `stale_training`: the code has changed since its training.
`budget`: which recipe trained it; only `paper` is the published one, the others say nothing about the published method.
`scored by server`: what a benchmark's server answered to a submission, on its own scale (its protocol says which), never
averaged with scores made here. `computed_again_since`: its outputs were computed again after that answer. `as_...`: how the
method saw that set.
Scores are means over images of per-image values. Under protocol `default` outputs are clipped to [0, 1] and not
rounded (but kept, and scored as kept, in 16 bit); SSIM has an 11 x 11 Gaussian window (1.5), valid region, mean over
channels. Time per image is the method's own, without reading and scoring.
"""


def write_report(study: Path) -> int:
    """Print the table of a study and write its report; 1 if there is no finished cell."""
    console = output_console()
    rows = read_study(study)
    if not rows:
        console.print(f"{study}: no finished cell yet; `denoisebench status {study.name}` says why", markup=False)
        return 1
    results = summarise(rows)
    print_tables(results, console)
    write_results(results, study / "results.csv")
    cells = list(read_plan(study).values())
    sections = [
        f"# {study.name}",
        markdown_tables(results),
        NOTES,
        f"Commits: {', '.join(sorted({row['commit'] for row in rows}))}. {counts(cells)}.",
    ]
    if reasons := explained(cells):
        sections.append("## Not done\n\n" + "\n".join(f"- {reason}" for reason in reasons))
    sections.append("## Pictures\n\n" + "\n\n".join(_pictures(study, rows, results)))
    write_atomic(study / "report.md", "\n\n".join(sections) + "\n")
    console.print(f"wrote {study / 'report.md'} and {study / 'results.csv'}", markup=False)
    return 0


def _pictures(study: Path, rows: Sequence[Row], results: Sequence[Result]) -> list[str]:
    """A strip noisy | each method | clean for the first images of each data set and noise; their Markdown."""
    lines = []
    results = [result for result in results if result.scored_by == "local"]
    for dataset, noise in dict.fromkeys((r.dataset, r.noise) for r in results):
        protocol = next(r.protocol for r in results if (r.dataset, r.noise) == (dataset, noise))
        shown = [r for r in results if (r.dataset, r.noise, r.protocol) == (dataset, noise, protocol)]
        own = [
            row for row in rows if row["cell"] in {r.cell for r in shown} and row["protocol"] == protocol and row["repeat"] == "0"
        ]
        for image in list(dict.fromkeys(row["image"] for row in own))[:PICTURED_IMAGES]:
            name = output_name(f"{dataset}_{noise}_{image}", 0)
            try:
                picture = _strip(study, image, [row for row in own if row["image"] == image], shown)
            except (OSError, ValueError) as error:
                lines.append(f"{dataset}, {noise}, {image}: no picture ({error})")
                continue
            write_png(study / "report" / name, picture)
            lines.append(f"{dataset}, {noise}, {image}\n\n![{image} under {noise}](report/{quote(name)})")
    return lines


def _strip(study: Path, image: str, rows: Sequence[Row], shown: Sequence[Result]) -> np.ndarray:
    inputs = study / ".inputs"
    at = {row["cell"]: row for row in rows}
    methods = [r for r in shown if r.cell in at]
    sha = at[methods[0].cell]["noisy_sha"]
    panels = [] if methods[0].method == "noisy" else [("noisy", read_png(inputs / f"{sha}-noisy.png"))]
    for result in methods:
        psnr_db = at[result.cell]["psnr_db"]
        label = result.method + ("" if psnr_db is None else f" {psnr_db:.2f} dB")
        panels.append((label, read_png(result.cell / "images" / output_name(image, 0))))
    clean_sha = at[methods[0].cell]["clean_sha"]
    clean = [("clean", read_png(inputs / f"{clean_sha}-clean.png"))] if clean_sha else []
    return strip([*panels, *clean], PICTURED_SIDE)
