"""Trackio: imported when it is asked for; a database and a dashboard on this machine, without an account."""

import contextvars
import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denoisebench.store.rows import Row
from denoisebench.tracking.about import About, table_columns


class Trackio:
    """One run for each cell and each training, grouped by study, in the database of a project.

    A run that is taken up again replaces what an interrupted process left of it: all its points are logged again.
    Raises: ValueError where Trackio is not installed.
    """

    name = "trackio"

    def __init__(self, project: str = "denoisebench") -> None:
        self.project = project
        if find_spec("trackio") is None:
            raise ValueError("logger=trackio needs the package trackio: pip install 'denoisebench[trackio]'")

    def start(self, about: About) -> "TrackioRun":
        import trackio  # type: ignore[import-not-found]

        name = f"{about.name} ({about.id})"
        with redirect_stdout(io.StringIO()):  # it greets every run
            _remove_older(self.project, name)
            # It has one current run and finishes the one before: each of ours has a context of its own.
            run = contextvars.Context().run(
                trackio.init, project=self.project, name=name, group=about.study,
                config={**about.config, "id": about.id, "kind": about.kind, "tags": list(about.tags)},
                embed=False, auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip
        return TrackioRun(run)

    def note(self, study: Path) -> str | None:
        return f"Trackio: trackio show --project {self.project}"


def _remove_older(project: str, name: str) -> None:
    import trackio  # type: ignore[import-not-found]

    try:
        found = list(trackio.Api().runs(project))
    except ValueError:  # its first run makes a project
        return
    for run in found:
        if run.name == name:
            run.delete()


class TrackioRun:
    def __init__(self, run: Any) -> None:
        self._run = run
        self._last = 0

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)
        self._last = max(self._last, step)

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        import trackio  # type: ignore[import-not-found]

        columns = table_columns(rows)
        table = trackio.Table(columns=list(columns), data=[[row.get(name) for name in columns] for row in rows])
        shown = {f"pictures/{image}": trackio.Image(str(path), caption=image) for (image, _), path in pictures.items()}
        self._run.log({"per_image": table, **shown}, step=self._last)

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        with redirect_stdout(io.StringIO()):
            self._run.log({f"summary/{name}": value for name, value in summary.items()}, step=self._last)
            self._run.finish()
