"""What is wrong with a YAML file, in a line that names the file and the line in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import Container, DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from denoisebench.config.errors import ConfigError


@contextmanager
def readable(file: str) -> Iterator[None]:
    """Turns what reading `file` raises into a `ConfigError`."""
    try:
        yield
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{file}{_line(error)}: {_said(error)}") from error


def check_keys(config: Container, file: str) -> None:
    """That a file holds keys with values. Raises: ConfigError."""
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{file} holds a list; expected keys with values, e.g. `_target_: my_module.MyClass`")
    if strange := [key for key in config if not isinstance(key, str)]:
        raise ConfigError(f"{file}: the key {strange[0]} is no text; quote a name that YAML would read as something else")


def _line(error: Exception) -> str:
    mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    return f", line {mark.line + 1}" if mark else ""


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, MarkedYAMLError):
        return " ".join((error.problem or error.context or "not valid YAML").split())
    return " ".join(str(getattr(error, "reason", error)).split())  # a ReaderError's text would name the file once more
