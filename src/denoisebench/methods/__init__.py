"""The methods, one file for each."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Methods(ModuleType):
    """This package; called as `denoisebench.methods()`, it lists the methods. Both have the same name."""

    def __call__(self) -> Any:
        return import_module("denoisebench.api").methods()


sys.modules[__name__].__class__ = _Methods
