"""Finished cells: scored under further protocols and logged, without computing anything again."""

from collections.abc import Sequence

from denoisebench.job import Job
from denoisebench.progress import console
from denoisebench.scoring.kept import rescored
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.files import BusyError, held
from denoisebench.store.finished import read_finished
from denoisebench.store.rows import Row, write_rows
from denoisebench.study import again
from denoisebench.tracking.about import About, about_cell, metrics
from denoisebench.tracking.log import lacking, opened


def is_left(job: Job) -> bool:
    """Whether there is something to do: the cell is not done, or not scored or logged as its job asks for."""
    if job.lacks:
        return False
    if job.cell.state != "done" or job.force or again.is_done_again(job):
        return True
    return lacks_protocols(job) or lacks_scenes(job) or _lacks_log(job)


def lacks_protocols(job: Job) -> bool:
    """Whether a finished cell was not scored under a protocol that its job asks for."""
    asked = {protocol.name for protocol in job.protocols}
    return job.cell.state == "done" and bool(asked - {row["protocol"] for row in read_finished(job.cell.folder)})


def lacks_scenes(job: Job) -> bool:
    """Whether the rows of a finished cell do not say yet which photographs its images are of, and its job now does."""
    if job.cell.state != "done" or not getattr(job.test_set, "scene_is_said", False):
        return False
    return any(row.get("scene") != scene for row, scene in _with_scenes(job))


def put_scenes(job: Job) -> None:
    """The photographs that a finished cell's job names, into its rows: they change no pixel."""
    if lacks_scenes(job):
        write_rows(job.cell.folder / "rows.csv", [{**row, "scene": scene} for row, scene in _with_scenes(job)])
        console.print(f"scenes   {job.cell}: as dataset.scene says", markup=False)


def _with_scenes(job: Job) -> list[tuple[Row, str]]:
    scenes = {name: job.test_set.scene(index) for index, name in enumerate(job.test_set.names)}
    return [(row, scenes[row["image"]]) for row in read_finished(job.cell.folder)]


def _lacks_log(job: Job) -> bool:
    return bool(job.loggers) and not job.shard and bool(lacking(job.loggers, about(job)))


def about(job: Job) -> About:
    """What the loggers' run of a cell is about; a shard's is one of its own."""
    return about_cell(job.cell, job.plain, job.method.learns, job.shard)


def score_under(cell: Cell, protocols: Sequence[Protocol]) -> None:
    """Rows of the protocols that a finished cell was not yet scored under, made from its kept outputs."""
    rows = read_finished(cell.folder)
    scored = {row["protocol"] for row in rows}
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    new = [row for p in protocols if p.name not in scored for row in rescored(first, p, cell.folder, cell.inputs)]
    if new:
        write_rows(cell.folder / "rows.csv", [*rows, *new])
        console.print(f"scored   {cell}  under {', '.join(sorted({row['protocol'] for row in new}))}", markup=False)


def rescore(finished: Sequence[Cell], protocols: Sequence[Protocol]) -> int:
    """Score the kept outputs of finished cells under further protocols; returns how many cells could not be."""
    failures = 0
    for cell in finished:
        if cell.state != "done":
            continue
        try:
            with held(cell.folder / ".lock"):
                score_under(cell, protocols)
        except (BusyError, OSError, ValueError) as error:
            failures += 1
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
    return failures


def log_from_rows(job: Job) -> None:
    """Log a finished cell where a logger has not got all of it: it was done before that logger was asked for, or its
    process was killed between its rows and the end of its run."""
    run = about(job)
    if late := lacking(job.loggers, run):
        rows = [_typed(row) for row in read_finished(job.cell.folder)]
        with opened(late, run) as log:
            for image in {(row["image"], row["repeat"]): None for row in rows}:
                log.image([row for row in rows if (row["image"], row["repeat"]) == image])
            log.done(rows, job.cell.folder)


def _typed(row: Row) -> Row:
    """A row of a file as it was before it was written, as far as loggers look at it."""
    numbers = {name: float(row[name]) if row.get(name) else None for name in metrics()}
    return {**row, **numbers, "repeat": int(row["repeat"])}


def notes_of(planned: Sequence[Job]) -> list[str]:
    """What the loggers of a command say at its end, once for each study."""
    notes = [logger.note(study_folder(job.cell.root, job.cell.study)) for job in planned for logger in job.loggers]
    return [note for note in dict.fromkeys(notes) if note]
