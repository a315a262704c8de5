"""Finished cells: scored under further protocols and logged, without computing anything again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from denoisebench.config import groups
from denoisebench.config.jobs import measures_of
from denoisebench.config.jobs import protocols_of as protocols_named
from denoisebench.job import Job
from denoisebench.progress import console
from denoisebench.scoring.further import Further, keep, kept, was_lacking
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.files import BusyError, held
from denoisebench.store.finished import protocols_of, read_finished
from denoisebench.store.rows import Row, write_rows
from denoisebench.study import again
from denoisebench.tracking.about import About, about_cell, metrics
from denoisebench.tracking.log import lacking, opened

if TYPE_CHECKING:
    from denoisebench.scoring.protocol import Protocol


def is_left(job: Job) -> bool:
    """Whether there is something to do: the cell is not done, or not scored or logged as its job asks for."""
    if job.lacks:
        return False
    if job.cell.state != "done" or job.force or again.is_done_again(job):
        return True
    return lacks_protocols(job) or bool(lacking_measures(job.cell, job.measures)) or lacks_scenes(job) or _lacks_log(job)


def lacks_protocols(job: Job) -> bool:
    """Whether a finished cell was not scored under a protocol that its job asks for."""
    asked = set(job.protocol_names)
    return job.cell.state == "done" and bool(asked - protocols_of(job.cell.folder))


def lacking_measures(cell: Cell, wanted: Sequence[Further]) -> list[Further]:
    """The measures that the rows of a finished cell have no column of, or an empty one for a reason that is gone: a package
    was not installed, say."""
    if cell.state != "done" or not wanted:
        return []
    columns = set(read_finished(cell.folder)[0])
    return [
        measure for measure in wanted
        if measure.column not in columns or (was_lacking(cell.folder, measure) and not measure.lacking())
    ]  # fmt: skip


def measure_under(cell: Cell, wanted: Sequence[Further], protocols: "Mapping[str, Protocol]") -> None:
    """Columns of the measures that a finished cell has none of, made from its kept outputs.

    protocols: those of its rows by name, as far as they are made already; rows of unknown ones stay empty.
    """
    lacking = lacking_measures(cell, wanted)
    if not lacking:
        return
    from denoisebench.scoring.kept import measured  # imports PyTorch

    protocols = {**known_protocols(protocols_of(cell.folder) - protocols.keys()), **protocols}
    nothing = {measure.column: None for measure in lacking}
    rows = [
        {**row, **(measured(row, protocols[row["protocol"]], cell.folder, cell.inputs, lacking)
                   if row["protocol"] in protocols else nothing)}
        for row in read_finished(cell.folder)
    ]  # fmt: skip
    keep(cell.folder, lacking)
    write_rows(cell.folder / "rows.csv", rows)
    console.print(f"measured {cell}  {', '.join(measure.title for measure in lacking)}", markup=False)


def known_protocols(names: Iterable[str]) -> "dict[str, Protocol]":
    """The protocols of these names that this installation has."""
    here = sorted(name for name in names if name in groups()["protocol"])
    return {protocol.name: protocol for protocol in protocols_named(here)} if here else {}


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


def score_under(cell: Cell, protocols: "Sequence[Protocol]") -> None:
    """Rows of the protocols that a finished cell was not yet scored under, made from its kept outputs."""
    from denoisebench.scoring.kept import measured, rescored  # imports PyTorch

    rows = read_finished(cell.folder)
    scored = {row["protocol"] for row in rows}
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    wanted = measures_of([measure.name for measure, _ in kept(cell.folder).values() if measure.column in rows[0]])
    new = [
        {**row, **measured(row, p, cell.folder, cell.inputs, wanted)}
        for p in protocols if p.name not in scored for row in rescored(first, p, cell.folder, cell.inputs)
    ]  # fmt: skip
    if new:
        write_rows(cell.folder / "rows.csv", [*rows, *new])
        console.print(f"scored   {cell}  under {', '.join(sorted({row['protocol'] for row in new}))}", markup=False)


def rescore(
    finished: Sequence[Cell], protocols: "Sequence[Protocol]", wanted: Sequence[Further] = (),
    known: "Mapping[str, Protocol] | None" = None,
) -> int:  # fmt: skip
    """Score the kept outputs of finished cells under further protocols and by further measures.

    known: the protocols that the cells were scored under before, by name. Returns how many cells could not be scored.
    """
    failures = 0
    for cell in finished:
        if cell.state != "done":
            continue
        try:
            with held(cell.folder / ".lock"):
                score_under(cell, protocols)
                measure_under(cell, wanted, {**(known or {}), **{p.name: p for p in protocols}})
        except (BusyError, OSError, ValueError) as error:
            failures += 1
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
    return failures


def protocols_in(cells: Sequence[Cell]) -> set[str]:
    """The protocols that finished cells were scored under."""
    return {row["protocol"] for cell in cells if cell.state == "done" for row in read_finished(cell.folder)}


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
    numbers = {name: float(row[name]) if row.get(name) else None for name in metrics(row)}
    return {**row, **numbers, "repeat": int(row["repeat"])}


def notes_of(planned: Sequence[Job]) -> list[str]:
    """What the loggers of a command say at its end, once for each study."""
    notes = [logger.note(study_folder(job.cell.root, job.cell.study)) for job in planned for logger in job.loggers]
    return [note for note in dict.fromkeys(notes) if note]
