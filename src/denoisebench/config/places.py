"""Where the configuration lies, and the choices that it offers."""

import functools
from collections.abc import Sequence
from pathlib import Path

from denoisebench.config import plugins
from denoisebench.config.errors import ConfigError
from denoisebench.config.quoting import quoted

NO_GROUPS = ("hydra", "recipe")
SEARCH_PATH = ("hydra.searchpath=['file://", "']")


@functools.cache
def conf_dir() -> str:
    """The folder of the configuration: a checkout's own first, else the one in the installed wheel.

    An editable install holds a stale copy beside the package's metadata, so a checkout goes first; it is one only
    with the project file beside it.
    """
    package = Path(__file__).resolve().parents[1]
    checkout, packaged = package.parents[1], package / "conf"
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return str(checkout / "conf")
    if (packaged / "config.yaml").is_file():
        return str(packaged)
    raise ConfigError(f"found no configuration, neither {checkout / 'conf'} nor {packaged}: install denoisebench again")


def own_overrides(overrides: Sequence[str]) -> list[str]:
    """Those among these that name folders of the user's own groups (`--config-dir`)."""
    return [override for override in overrides if override.startswith(SEARCH_PATH[0])]


def own_folders(overrides: Sequence[str]) -> list[Path]:
    """The folders of `--config-dir`."""
    return [Path(override[len(SEARCH_PATH[0]) : -len(SEARCH_PATH[1])]) for override in own_overrides(overrides)]


def brought() -> tuple[Path, ...]:
    """The folders of installed packages that bring methods. Raises: ConfigError for one that is unusable."""
    try:
        return plugins.installed(Path(conf_dir()))
    except plugins.PluginError as error:
        raise ConfigError(str(error)) from error


def search_path(overrides: Sequence[str]) -> list[str]:
    """The one override that adds all folders beside `conf/` to Hydra's search path; none without such folders."""
    folders = [*brought(), *own_folders(overrides)]
    return [f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in folders)}]"] if folders else []


def groups(overrides: Sequence[str] = ()) -> dict[str, list[str]]:
    """The choices of each group, as `conf/` and the folders of `--config-dir` have them; without `for_...`, the defaults."""
    found: dict[str, set[str]] = {}
    for root in (Path(conf_dir()), *brought(), *own_folders(overrides)):
        for folder in root.iterdir():
            if folder.is_dir() and folder.name not in NO_GROUPS:
                found.setdefault(folder.name, set()).update(_choices(folder, folder.stat().st_mtime_ns))
    return {group: sorted(found[group]) for group in sorted(found) if found[group]}


@functools.cache
def _choices(folder: Path, _written: int) -> frozenset[str]:
    return frozenset(file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("for_"))
