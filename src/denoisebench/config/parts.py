"""`_target_` nodes -> objects: classes imported, arguments checked, each thing made once."""

import functools
import importlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from denoisebench.config.checks import check_arguments
from denoisebench.config.errors import ConfigError, DataError
from denoisebench.job import Part
from denoisebench.store.code import counts
from denoisebench.store.memo import Memo

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
    """What a class says of its keys: the same class may be the test set or the training set. The steps to raw planes are said of
    the test set alone, for both."""
    group = {"train_set": "dataset", "train_noise": "noise"}.get(key.partition(".")[0])
    return re.sub(rf"{group}\.(?!pack=|unprocess=)", f"{key}.", text) if group else text


def is_function_of(node: Mapping[str, Any]) -> bool:
    """Whether what a node describes follows from it and the sources of this package alone: from no file, no other's class."""
    inner = (value for value in node.values() if isinstance(value, Mapping) and TARGET in value)
    return counts(node[TARGET]) and all(map(is_function_of, inner))


Facts = TypeVar("Facts", bound="DataclassInstance")
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Way(Generic[Facts, Thing]):
    """How a part of a job is made. make: of its node and key. facts: what planning asks of it; facts_of: of it and its node."""

    make: Callable[[Mapping[str, Any], str], Thing]
    facts: type[Facts]
    facts_of: Callable[[Thing, Mapping[str, Any]], Facts]


class Made:
    """What jobs are made of, each thing once however many jobs of one command share it.

    fingerprints: whether sets of images are told apart by their content, for which every file is read; a process that
    only trains what another has planned needs none.
    """

    def __init__(self, *, fingerprints: bool = True) -> None:
        self.fingerprints = fingerprints
        self.memo = Memo()
        self._objects: dict[str, Any] = {}
        self._fingerprints: dict[int, str] = {}

    def object(self, node: Mapping[str, Any], key: str, kind: type) -> Any:
        return self.once(f"{key} {json.dumps(node, sort_keys=True)}", lambda: instantiate(node, key, kind))

    def once(self, identity: str, make: Callable[[], Any]) -> Any:
        if identity not in self._objects:
            self._objects[identity] = make()
        return self._objects[identity]

    def part(self, node: Mapping[str, Any], key: str, way: Way[Facts, Thing]) -> Part[Facts, Thing]:
        """What is made when it is asked for; right away if its facts are not known yet. Raises: as `way.make`."""
        return self.once(f"{key} {json.dumps(node, sort_keys=True)}", lambda: self._part(node, key, way))

    def _part(self, node: Mapping[str, Any], key: str, way: Way[Facts, Thing]) -> Part[Facts, Thing]:
        of = [way.facts.__name__, node]
        make = functools.partial(way.make, node, key)
        with suppress(TypeError):  # nothing is known of it, or not this
            return Part(way.facts(**self.memo.get(of)), make)
        made = make()
        facts = way.facts_of(made, node)
        if is_function_of(node):
            self.memo.put(of, asdict(facts))
        return Part(facts, lambda: made)

    def fingerprint(self, images: Any) -> str:
        """Of a set that was made here."""
        if not self.fingerprints:
            return ""
        if id(images) not in self._fingerprints:
            self._fingerprints[id(images)] = images.fingerprint
        return self._fingerprints[id(images)]
