"""The command `denoisebench` and its verbs. Nothing heavy is imported before a verb runs."""

from denoisebench.cli.app import main

__all__ = ["main"]
