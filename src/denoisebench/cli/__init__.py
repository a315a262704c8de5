"""The command line, one file for each group of commands. Nothing heavy is imported before a command runs."""

from denoisebench.cli.app import main

__all__ = ["main"]
