"""denoisebench: a benchmark of self-supervised image denoisers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("denoisebench")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
