"""Every reach into what Hydra does not promise to keep, with its reason. `hydra-core` is pinned below 1.4 for it.

`tests/test_hydra_internals.py` says which of them a new Hydra has moved.
"""

import copy
import functools
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks  # a launcher is made with a context, and a context with callbacks
from hydra._internal.config_repository import ConfigRepository  # what reads YAML files: replaced by one that reads each once
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra  # the loader that `initialize_config_dir` made
from hydra.core.override_parser.overrides_parser import OverridesParser  # the grammar, without composing
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins  # launchers, without the sweeper that Hydra puts around them
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, flag_override

from denoisebench.config.yaml_files import check_keys, readable

VERSION_BASE = "1.3"


def parse(lines: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(lines))


@functools.cache
def parse_one(line: str) -> Override:
    return OverridesParser.create().parse_override(line)


@functools.cache
def _read_below(_search_path: tuple[str, ...]) -> dict[str, bytes]:
    """What was read so far with a search path, pickled."""
    return {}


class _ReadOnce(ConfigRepository):
    """Hydra's and our files, each read once in a process: a composition would read and parse two dozen."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_ReadOnce":
        return copy.copy(self)  # Hydra copies it for each composition: what was read is for all of them

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self.folders = tuple(str(part.path) for part in config_search_path.get_path())
        self._read = _read_below(self.folders)

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            file = self._file(config_path)
            with readable(file):
                found = super().load_config(config_path)
            if found:
                check_keys(found.config, file)
            self._read[config_path] = pickle.dumps(found)
        return pickle.loads(self._read[config_path])  # Hydra merges into it; a deep copy takes five times as long

    def _file(self, config_path: str) -> str:
        """Where a file of the configuration lies, for what is said of it."""
        name = config_path if config_path.endswith((".yaml", ".yml")) else f"{config_path}.yaml"
        places = (Path(folder.removeprefix("file://")) / name for folder in self.folders)
        return str(next((place for place in places if place.is_file()), name))


@functools.cache
def _files(_folder: str) -> _ReadOnce:
    return _ReadOnce(_loader().config_search_path)


def _loader() -> Any:
    """Hydra's, while it is initialised."""
    return GlobalHydra.instance().config_loader()


def composed(folder: str, overrides: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
    """`config.yaml` of a folder with these overrides, and Hydra's own configuration that goes with it: the caller's to change."""
    return pickle.loads(_composed(folder, overrides))


@functools.cache
def _composed(folder: str, overrides: tuple[str, ...]) -> bytes:
    """The same, pickled."""
    from hydra import compose

    with initialize_config_dir(folder, version_base=VERSION_BASE):
        _loader().repository = _files(folder)
        config = compose("config", list(overrides), return_hydra_config=True)
    with flag_override(config, "struct", False):
        own = config.pop("hydra")
    return pickle.dumps((config, own))


def searches_only(folder: str) -> bool:
    """Whether what was composed of a folder was searched in it and in Hydra's own files, not in folders that a plugin adds."""
    return _files(folder).folders == ("pkg://hydra.conf", folder, "structured://")


def forget_files() -> None:
    """For who changes files of the configuration while this process runs, as tests do."""
    for cached in (_composed, _read_below, _files):
        cached.cache_clear()


def launcher(
    folder: str, settings: Sequence[str], task: TaskFunction, own: Callable[[DictConfig], Any]
) -> tuple[DictConfig, Any]:
    """`work.yaml` of a folder with these settings, and the launcher that it chooses, which runs `task`.

    own: the launcher where it is none of Hydra's plugins, else None.
    """
    with initialize_config_dir(folder, version_base=VERSION_BASE, job_name="denoisebench"):
        loader = _loader()
        chosen = loader.load_configuration("work", list(settings), run_mode=RunMode.MULTIRUN)
        if (ours := own(chosen)) is not None:
            return chosen, ours
        context = HydraContext(config_loader=loader, callbacks=Callbacks(chosen))
        return chosen, Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=chosen)


def work(folder: str, overrides: Sequence[str]) -> DictConfig:
    """`work.yaml` of a folder with the overrides of one work item."""
    with initialize_config_dir(folder, version_base=VERSION_BASE, job_name="denoisebench"):
        return _loader().load_configuration("work", list(overrides), run_mode=RunMode.RUN)


def run_flags(folder: str, task: Callable[[DictConfig], None]) -> None:
    """What Hydra's own flags on `sys.argv` print, as `--cfg job`; `task` is not run by them."""
    import hydra

    hydra.main(config_path=folder, config_name="config", version_base=VERSION_BASE)(task)()
