"""Weights & Biases: imported when it is asked for, offline where it has no key or no server.

Every run is one of its own whatever others are open (`reinit="create_new"`), and is finished by `loggers.opened`.
An offline folder is whole in itself: a run that is taken up again logs its earlier points again, with the same values,
because a killed process leaves next to nothing in its own folder (records are flushed every 15 s).
"""

import functools
import netrc
import os
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from denoisebench.environment import without
from denoisebench.progress import console
from denoisebench.ranges import Positive
from denoisebench.store.rows import Row
from denoisebench.tracking.about import About, metrics, table_columns

SECONDS_FOR_A_SERVER = 2.0
NETRC_FILES = ("~/.netrc", "~/_netrc")
SETTINGS: dict[str, Any] = {
    "silent": True, "quiet": True, "console": "off", "reinit": "create_new", "symlink": False, "use_dot_wandb": True,
    "disable_git": True, "disable_code": True, "x_save_requirements": False, "finish_timeout_raises": True,
}  # fmt: skip
# What makes `wandb.init` take another run than the one it is asked for, as an agent of a sweep sets them.
FOREIGN = (
    "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME", "WANDB_RESUME_FROM", "WANDB_FORK_FROM",
    "WANDB_LAUNCH", "WANDB_LAUNCH_CONFIG_PATH", "WANDB_CONFIG_PATHS",
)  # fmt: skip

_OPEN: set[str] = set()
_UNREACHABLE: list[str] = []  # why this process went offline: no later cell waits for a server again


class ForeignRunError(RuntimeError):
    """W&B opened another run than the one it was asked for."""


class Wandb:
    """One run for each cell and each training; runs lie in `<study>/.wandb/`.

    mode: `auto` is what WANDB_MODE says, else online with a key and a server in reach, else offline.
    timeout_s: waited for a server at the begin and at the end of a run.
    """

    name = "wandb"

    def __init__(
        self,
        project: str = "denoisebench",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        timeout_s: Positive = 60.0,
    ) -> None:
        self.project, self.entity, self.mode, self.timeout_s = project, entity, mode, timeout_s

    def start(self, about: About) -> "WandbRun":
        own = about.folder / ".wandb"
        own.mkdir(parents=True, exist_ok=True)
        _remove_older(own, about.id)
        with without(FOREIGN) as hidden:
            sweep = {"wandb_sweep": hidden["WANDB_SWEEP_ID"]} if "WANDB_SWEEP_ID" in hidden else {}
            return self._started(replace(about, config={**about.config, **sweep}))

    def _started(self, about: About) -> "WandbRun":
        mode = self._mode()
        try:
            return self._open(about, mode)
        except ForeignRunError:
            raise
        except Exception as error:
            if mode != "online" or _OPEN:
                raise
            return self._open_offline(about, error)

    def _open_offline(self, about: About, error: Exception) -> "WandbRun":
        import wandb

        _UNREACHABLE.append(str(error))
        wandb.teardown()  # its service would hold on to the id of the run that did not start
        reason = str(error).splitlines()[0]
        console.print(f"logger=wandb: no server ({reason}); this process goes on offline", style="yellow", markup=False)
        return self._open(about, "offline")

    def _open(self, about: About, mode: str) -> "WandbRun":
        run = self._init(about, mode)
        try:
            _check_id(run.id, about.id)
            opened = WandbRun(run, about.folder / ".wandb" / "staging" / about.id)
        except BaseException:
            run.finish(exit_code=1)
            raise
        _OPEN.add(about.id)
        return opened

    def _mode(self) -> str:
        if _UNREACHABLE:
            return "offline"
        if self.mode != "auto":
            return self.mode
        return os.environ.get("WANDB_MODE") or ("online" if _can_be_online() else "offline")

    def _init(self, about: About, mode: str) -> Any:
        import wandb

        _silent_settings()
        wanted = {**SETTINGS, "init_timeout": self.timeout_s, "finish_timeout": self.timeout_s}
        settings = {name: value for name, value in wanted.items() if name in wandb.Settings.model_fields}
        return wandb.init(
            project=self.project, entity=self.entity, id=about.id, name=about.name[:128], group=about.study[:128],
            job_type=about.kind, tags=about.tags, config=about.config, mode=mode, resume="allow",  # type: ignore[arg-type]
            dir=str(about.folder), settings=wandb.Settings(**settings),
        )  # fmt: skip

    def note(self, study: Path) -> str | None:
        """The line that uploads what offline runs left in a study."""
        if _unsynced(study / ".wandb"):
            return f"W&B: wandb sync {shlex.quote(str(study / '.wandb'))}"
        return None


def _unsynced(folder: Path, run: str = "*") -> list[Path]:
    return [path for path in sorted(folder.glob(f"offline-run-*-{run}")) if not any(path.glob("*.synced"))]


def _remove_older(folder: Path, run: str) -> None:
    """What an interrupted process left of this run, which logs all of it again."""
    for older in [path for path in _unsynced(folder, run) if path.name.split("-", 3)[3] == run]:
        shutil.rmtree(older, ignore_errors=True)


def _check_id(opened: str, asked: str) -> None:
    if opened != asked:
        raise ForeignRunError(
            f"W&B opened run {opened} instead of {asked}; unset WANDB_RUN_ID and WANDB_SWEEP_ID, "
            "and call no wandb.setup before this logger"
        )


# --- Online or not -----------------------------------------------------------------------------------------------


def _silent_settings() -> Any:
    """W&B's settings of this process; it has its say through this project's own lines."""
    import wandb

    return wandb.setup(wandb.Settings(silent=True, quiet=True)).settings


def _can_be_online() -> bool:
    url = urlsplit(_silent_settings().base_url)
    return bool(url.hostname) and _has_key(url.hostname or "") and _server_answers(url.geturl())


def _has_key(host: str) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    for file in (os.environ.get("NETRC"), *NETRC_FILES):
        try:
            if file and netrc.netrc(os.path.expanduser(file)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


@functools.cache
def _server_answers(url: str) -> bool:
    """Whether it, or the proxy before it, takes a connection within two seconds, looking up its name included."""
    parts = urlsplit(url)
    at = urlsplit(getproxies().get(parts.scheme) or url)
    answered = threading.Event()

    def connect() -> None:
        try:
            port = at.port or (443 if at.scheme == "https" else 80)
            with socket.create_connection((at.hostname, port), timeout=SECONDS_FOR_A_SERVER):
                answered.set()
        except OSError:
            return

    threading.Thread(target=connect, daemon=True).start()
    return answered.wait(SECONDS_FOR_A_SERVER)


# --- One run -----------------------------------------------------------------------------------------------------


class WandbRun:
    """staging: where W&B keeps the files of a table until they are uploaded."""

    def __init__(self, run: Any, staging: Path) -> None:
        self._run, self._staging = run, staging
        self._before = dict(run.summary) if run.resumed else {}
        for part in ("train", "validation", "holdout"):
            run.define_metric(f"{part}/step", hidden=True)
            run.define_metric(f"{part}/*", step_metric=f"{part}/step")
        run.define_metric("test/image", hidden=True)
        for name in metrics():
            run.define_metric(f"test/{name}", step_metric="test/image", summary="none")

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        if step > self._before.get(axis, 0):  # a run resumed online has the earlier ones
            self._run.log({axis: step, **values})

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        import wandb

        first = rows[0]["protocol"] if rows else ""
        lines = []
        for row in rows:
            path = pictures.get((row["image"], row["repeat"])) if row["protocol"] == first else None
            lines.append([*(row.get(name) for name in table_columns(rows)), None if path is None else wandb.Image(str(path))])
        shown = [wandb.Image(str(path), caption=image) for (image, _), path in pictures.items()]
        with _data_in(self._staging):
            table = wandb.Table(columns=[*table_columns(rows), "noisy, denoised, clean"], data=lines)
            self._run.log({"per_image": table, **({"pictures": shown} if shown else {})})

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        try:
            self._run.summary.update(dict(summary))
        finally:
            _OPEN.discard(self._run.id)
            self._run.finish(exit_code=exit_code)


@contextmanager
def _data_in(folder: Path) -> Iterator[None]:
    """W&B would keep a table's files in the home directory, where `wandb sync` looks for them days later."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]
