"""What the keys of a folder of images say, checked: its images, their range, what its names tell."""

import re
from collections.abc import Mapping
from pathlib import Path

from denoisebench.datasets.listing import composed, shown
from denoisebench.datasets.slices import Place
from denoisebench.stacks.opening import is_stack_path


def checked_range(white: float | None, black: float | None) -> tuple[float | None, float | None]:
    if white is not None and white <= (black or 0):
        raise ValueError(f"dataset.white={white} must be above dataset.black={black or 0}: the stored values that mean 1 and 0")
    return white, black


def scene_pattern(scene: str | None) -> re.Pattern[str] | None:
    try:
        pattern = None if scene is None else re.compile(composed(scene))
    except re.error as error:
        raise ValueError(f"dataset.scene={scene} is not a regular expression: {error}") from error
    if pattern is not None and not pattern.groups:
        raise ValueError(f"dataset.scene={scene}: put what names the photograph into ( ), as '([^_]+)_.*'")
    return pattern


def check_partners(sides: Mapping[str, Mapping[str, Place]], given: Mapping[str, str | None]) -> None:
    """Check that both sides have the same images."""
    (first, files), *others = sides.items()
    for side, own in others:
        if lonely := sorted(files.keys() ^ own.keys()):
            keys = f"dataset.{first}={given[first]} and dataset.{side}={given[side]}"
            more = f" and {len(lonely) - 5} more" if len(lonely) > 5 else ""
            raise ValueError(f"{keys} pair by stem; without a partner: {', '.join(lonely[:5])}{more}")


def without_suffix(path: Path) -> Path:
    """A stack's own name is no part of a set's with its suffix."""
    whole = path.resolve()
    return whole.with_suffix("") if whole.is_file() or is_stack_path(whole) else whole


def common_name(folders: list[Path]) -> str:
    """The last part of a path; of the folder that holds both, where one path would only say `noisy`."""
    first, last = folders[0], folders[-1]
    name = first.parent.name if first.parent == last.parent and first != last and first.parent.name else first.name
    return shown(name)
