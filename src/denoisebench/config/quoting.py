"""What Hydra's grammar cannot read on a command line, and how to quote it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from denoisebench.config import hydra_internals
from denoisebench.config.errors import ConfigError

UNQUOTED = "( ) = ' \" , # & { }"


def quoted(text: str) -> str:
    """A text as a value of an override, whatever signs are in it."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"


def typed(key: str, text: str) -> str:
    """`key=text` as it is typed in a shell, for a text that Hydra's grammar would read as something else."""
    readable = f'"{text}"' if '"' not in text and not text.endswith("\\") else quoted(text)
    return shlex.quote(f"{key}={readable}")


def or_quote(line: str) -> str:
    """The end of a message about a text that was read as something else."""
    key, _, value = line.partition("=")
    return f"or quote it if it is one text: {typed(key, value)}"


def as_written(value: bool | int | float | None) -> str:
    """A value as YAML writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def settings(part: str, values: Mapping[str, Any]) -> list[str]:
    """The overrides that give the keys of a part of the configuration these values. Raises: ConfigError for what is none."""
    return [f"{part}.{name}={_written(value, f'{part}.{name}')}" for name, value in values.items()]


def _written(value: Any, key: str) -> str:
    """A Python value as an override has it."""
    if value is None or isinstance(value, bool | int | float):
        return as_written(value)
    if isinstance(value, str | Path):
        return quoted(str(value))
    if isinstance(value, Sequence):
        return f"[{','.join(_written(part, key) for part in value)}]"
    if hasattr(value, "item"):  # a number of NumPy or PyTorch
        return _written(value.item(), key)
    raise ConfigError(f"{key}={value!r} is not valid; expected a number, a text, true or false, None, or a list of these")


def unreadable(overrides: Sequence[str]) -> str | None:
    """What to say of the first of these that the grammar cannot read; None if it reads them all."""
    return next((_advice(line) for line in overrides if not _reads(line)), None)


def _reads(line: str) -> bool:
    try:
        hydra_internals.parse_one(line)
    except HydraException:
        return False
    return True


def _advice(line: str) -> str:
    key, equals, value = line.partition("=")
    if not equals or not re.fullmatch(r"[~+]*[\w./@:-]+", key):
        return f"{line!r} is not key=value"
    if not _reads(f"{key}=x"):
        return f"{line!r}: {key!r} is not a key"
    if value.startswith(("[", "{")):
        return f"{line!r}: a list is written [a,b], and a text with signs such as {UNQUOTED} in it is quoted: {typed(key, value)}"
    return f"{line!r}: a text with signs such as {UNQUOTED} in it, or with letters beyond a to z, is quoted: {typed(key, value)}"
