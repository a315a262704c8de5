"""One planned cell, computed as far as it is not done: train if it learns, test, score, write rows.

Whatever goes wrong inside a cell is kept in its status, so that it does not stop the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch

from denoisebench.config.jobs import yaml_of
from denoisebench.job import Job
from denoisebench.progress import console, duration
from denoisebench.scoring import measures
from denoisebench.scoring.further import columns_in
from denoisebench.scoring.kept import measured
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.files import BusyError, LostOwnerError, remove_orphans, write_atomic
from denoisebench.store.finished import damage
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import PartialRows, Row
from denoisebench.study import again, finished
from denoisebench.study.deaths import watched
from denoisebench.study.failures import fail, failure_of
from denoisebench.study.limits import impossible_reason, smaller
from denoisebench.study.ownership import gate, network_free, own
from denoisebench.study.testing import computed
from denoisebench.tracking.log import opened

Outcome = Literal["done", "partly", "skipped", "failed", "busy"]


def compute(job: Job, plan: Mapping[str, Cell] | None = None) -> Outcome:
    """Compute a job's cell, or the shard of it that the job names; it is done once all shards are.

    plan: the cells of its study by key, where they were read already. `busy`: another process has it in hand.
    """
    planned = read_plan(study_folder(job.cell.root, job.cell.study)) if plan is None else plan
    cell = planned.get(job.cell.key)
    if cell is None:
        console.print(
            f"cell {job.cell.key} is not in the plan: its files or code changed while this ran; start it again", style="red"
        )
        return "failed"
    return _attempt(replace(job, cell=cell))


def _attempt(job: Job) -> Outcome:
    cell, was_done = job.cell, job.cell.state == "done" and not again.counts_nothing(job)
    try:
        with own(cell, job.shard), network_free(cell):
            if ended := _begun(job):
                return ended
            with opened(job.loggers, finished.about(job)) as log, _memory_advice(job), watched(cell, job.shard):
                rows = computed(job, log)
    except BusyError:
        return "busy"
    except LostOwnerError as error:  # its status is that of the process that had it
        console.print(f"given up {cell}: {error}", style="red", markup=False)
        return "failed"
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stopped
    except Exception as error:
        if was_done:
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
        else:
            fail(cell, error, job.shard)
        return "failed"
    if rows is None:
        return "partly"
    console.print(f"done     {cell}  {_summary(rows, job.protocols[0])}", markup=False)
    return "done"


@contextmanager
def _memory_advice(job: Job) -> Iterator[None]:
    """A GPU that was too small says what of this job can be made smaller. Images are tested one at a time anyway."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()  # for the cells that follow
        raise torch.cuda.OutOfMemoryError(f"{error}; what needs less memory: {', '.join(smaller(job))}") from error


def _begun(job: Job) -> Outcome | None:
    """`done` for a finished cell, `skipped` for an impossible one; None if it is to be computed, and said to run."""
    cell, shard = job.cell, job.shard
    with gate(cell, shard):
        anew = again.counts_nothing(job)
        if cell.state == "done" and not anew:
            finished.put_scenes(job)
            finished.score_under(cell, job.protocols)
            finished.measure_under(cell, job.measures, {p.name: p for p in job.protocols})
            again.add_code(job)
            if not shard:
                finished.log_from_rows(job)
            return "done"
        if told := damage(cell.folder):
            console.print(f"damaged  {cell}: {told}", style="yellow", markup=False)
        if reason := impossible_reason(job):
            cell.set_status("skipped", reason=reason)
            console.print(f"skipped  {cell}: {reason}", style="yellow", markup=False)
            return "skipped"
        if anew:
            again.begin(job)
        _say_running(cell, shard)
        write_atomic(cell.folder / "config.yaml", yaml_of(job))
        (cell.folder / "rows.csv").unlink(missing_ok=True)
        if not shard:
            remove_orphans(cell.folder)
        again.keep_one_code(job)
        _repair(PartialRows(cell.folder, shard), job)
        return None


def _say_running(cell: Cell, shard: str | None) -> None:
    """That one shard failed stays said while others run, until it is computed itself."""
    failures = list(cell.folder.glob("failed.*of*")) if shard is None else [failure_of(cell, shard)]
    for failure in failures:
        failure.unlink(missing_ok=True)
    if not list(cell.folder.glob("failed.*of*")):
        cell.set_status("running")


def _repair(partial: PartialRows, job: Job) -> None:
    """A torn last line goes. An interrupted test that was scored under other protocols starts anew; of one that was scored by
    other measures, the finished images are scored by those of now."""
    protocols, columns = [protocol.name for protocol in job.protocols], {measure.column for measure in job.measures}
    images = partial.all()
    other = any({*columns_in(row)} - {*measures.columns()} != columns for image in images for row in image)
    needs_noisy = any("noisy" in measure.needs for measure in job.measures)  # which is not kept as it was
    anew = any([row["protocol"] for row in image] != protocols for image in images) or (other and needs_noisy)
    if partial.shard and (anew or other):
        raise ValueError(
            "other shards of this cell were scored under other protocols or measures: use theirs, or leave shard out"
        )
    if other and not anew:
        try:
            partial.change(lambda row: _measured_now(row, job))
        except FileNotFoundError:  # a kept image is gone
            anew = True
    if anew:
        partial.forget()
    partial.begin()


def _measured_now(row: Row, job: Job) -> Row:
    [protocol] = [one for one in job.protocols if one.name == row["protocol"]]
    own = {name: value for name, value in row.items() if name not in columns_in(row) or name in measures.columns()}
    return own | measured(row, protocol, job.cell.folder, job.cell.inputs, job.measures)


def _summary(rows: Sequence[Row], protocol: Protocol) -> str:
    scored = [row for row in rows if row["protocol"] == protocol.name]
    seconds = sum(row["seconds"] for row in scored)
    scores = [row["psnr_db"] for row in scored if row["psnr_db"] is not None]
    mean = f"{sum(scores) / len(scores):.2f} dB, " if scores else "no clean images, "
    return f"{mean}{len(scored)} image{'s' * (len(scored) > 1)} in {duration(seconds)}"
