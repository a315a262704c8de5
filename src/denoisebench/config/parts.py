"""`_target_` nodes -> objects: classes imported, arguments checked, each thing made once."""

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from denoisebench.config.checks import check_arguments
from denoisebench.config.errors import ConfigError, DataError

TARGET = "_target_"


def class_of(node: Mapping[str, Any], key: str, kind: type = object) -> type:
    """The class that a node names, one of this kind: of nothing else is anything ever called. Raises: ConfigError."""
    target = node.get(TARGET)
    if not isinstance(target, str) or "." not in target:
        said = "no _target_" if target is None else f"_target_: {target}"
        raise ConfigError(f"{key} has {said}; expected the class of kind {kind.__name__}, e.g. my_module.MyClass")
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever its import does
        raise ConfigError(f"{key}: cannot import {target} ({error})") from error
    if not (isinstance(found, type) and _is_of(found, kind)):
        raise ConfigError(f"{key}: {target} is not a class of kind {kind.__name__}")
    return found


def _is_of(cls: type, kind: type) -> bool:
    """Whether a class is of a kind: derived from it, or with the methods that a protocol asks for."""
    if getattr(kind, "_is_protocol", False):
        return all(callable(getattr(cls, name, None)) for name in vars(kind) if not name.startswith("_"))
    return issubclass(cls, kind)


def arguments_of(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if not name.startswith("_")}


def instantiate(node: Mapping[str, Any], key: str, kind: type = object) -> Any:
    """The object of a `_target_` node, and of those in it.

    Raises: ConfigError for keys and values that are not valid; FileNotFoundError for folders that are not there.
    """
    cls, arguments = class_of(node, key, kind), arguments_of(node)
    check_arguments(cls, arguments, key)
    for name, value in arguments.items():
        if isinstance(value, Mapping) and TARGET in value:
            arguments[name] = instantiate(value, f"{key}.{name}", kind)
    try:
        return cls(**arguments)
    except FileNotFoundError as error:
        raise FileNotFoundError(with_own_key(str(error), key)) from error
    except ValueError as error:
        from denoisebench.datasets.images import ImageSet  # imports NumPy, which help and completion do without

        raise (DataError if kind is ImageSet else ConfigError)(with_own_key(str(error), key)) from error


def with_own_key(text: str, key: str) -> str:
    """What a class says of its keys: the same class may be the test set or the training set."""
    group = {"train_set": "dataset", "train_noise": "noise"}.get(key.partition(".")[0])
    return text.replace(f"{group}.", f"{key}.") if group else text


class Made:
    """What jobs are made of, each thing once however many jobs of one command share it.

    fingerprints: whether sets of images are told apart by their content, for which every file is read; a process that
    only trains what another has planned needs none.
    """

    def __init__(self, *, fingerprints: bool = True) -> None:
        self.fingerprints = fingerprints
        self._objects: dict[str, Any] = {}
        self._fingerprints: dict[int, str] = {}

    def object(self, node: Mapping[str, Any], key: str, kind: type) -> Any:
        return self.once(f"{key} {json.dumps(node, sort_keys=True)}", lambda: instantiate(node, key, kind))

    def once(self, identity: str, make: Callable[[], Any]) -> Any:
        if identity not in self._objects:
            self._objects[identity] = make()
        return self._objects[identity]

    def fingerprint(self, images: Any) -> str:
        """Of a set that was made here."""
        if not self.fingerprints:
            return ""
        if id(images) not in self._fingerprints:
            self._fingerprints[id(images)] = images.fingerprint
        return self._fingerprints[id(images)]
