"""MLflow: imported when it is asked for; on a server, or in a SQLite file beside the study."""

import csv
import io
import json
import logging
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from denoisebench.store.rows import Row, inert
from denoisebench.tracking.about import About, table_columns
from denoisebench.tracking.log import is_number

ID = "denoisebench.id"
LONGEST_PARAM, AT_ONCE = 500, 100
STATUS = {0: "FINISHED", 130: "KILLED"}
FILE = "mlflow.db"


class MLflow:
    """One run for each cell and each training, in an experiment of the study's name.

    server: its address; None for a SQLite file in `<study>/.mlflow/`. Raises: ValueError where MLflow is not installed.
    """

    name = "mlflow"

    def __init__(self, server: str | None = None) -> None:
        self.server = server
        if find_spec("mlflow") is None:
            raise ValueError("logger=mlflow needs the package mlflow: pip install 'denoisebench[mlflow]'")

    def start(self, about: About) -> "MLflowRun":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        own = (about.folder / ".mlflow").resolve()
        own.mkdir(parents=True, exist_ok=True)
        with FileLock(own / ".lock"):  # a database, an experiment and a run are each made once
            return self._started(about, own)

    def _started(self, about: About, own: Path) -> "MLflowRun":
        from mlflow import MlflowClient  # type: ignore[import-not-found]

        client = MlflowClient(self.server or f"sqlite:///{own / FILE}")
        experiment = client.get_experiment_by_name(about.study)
        place = None if self.server else (own / "artifacts").as_uri()
        number = experiment.experiment_id if experiment else client.create_experiment(about.study, place)
        found = client.search_runs([number], f"tags.`{ID}` = '{about.id}'", max_results=1)
        if found:
            client.update_run(found[0].info.run_id, status="RUNNING")
            return MLflowRun(client, found[0].info.run_id, found[0].data.metrics)
        tags = {ID: about.id, "kind": about.kind, **dict.fromkeys(about.tags, "")}
        run = client.create_run(number, tags=tags, run_name=about.name).info.run_id
        _tell(client, run, about.config)
        return MLflowRun(client, run, {})

    def note(self, study: Path) -> str | None:
        file = study.resolve() / ".mlflow" / FILE
        if self.server or not file.is_file():
            return None
        return f"MLflow: mlflow server --backend-store-uri {shlex.quote(f'sqlite:///{file}')}"


def _tell(client: Any, run: str, config: Mapping[str, Any]) -> None:
    from mlflow.entities import Param  # type: ignore[import-not-found]

    parameters = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in _flat(config).items()]
    for first in range(0, len(parameters), AT_ONCE):
        client.log_batch(run, params=parameters[first : first + AT_ONCE])
    client.log_text(run, json.dumps(config, indent=1, default=str), "config.json")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"method.lr": 0.1}` of `{"method": {"lr": 0.1}}`."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return found


class MLflowRun:
    """known: the last numbers of a run that is taken up again; its earlier points are not logged twice."""

    def __init__(self, client: Any, run: str, known: Mapping[str, float]) -> None:
        self._client, self._run, self._known = client, run, dict(known)

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        if step > self._known.get(axis, 0):
            self._batch({**values, axis: float(step)}, step)

    def _batch(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric  # type: ignore[import-not-found]

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        columns, text = table_columns(rows), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([inert(row.get(name)) for name in columns] for row in rows)
        self._client.log_text(self._run, text.getvalue(), "per_image.csv")
        for path in pictures.values():
            self._client.log_artifact(self._run, str(path), "pictures")

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        self._batch({f"summary/{name}": float(value) for name, value in summary.items() if is_number(value)}, 0)
        for name in ("state", "reason"):
            self._client.set_tag(self._run, name, str(summary.get(name, "")))
        self._client.set_terminated(self._run, STATUS.get(exit_code, "FAILED"))
