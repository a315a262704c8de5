"""The command `denoisebench`: its commands, and their exit codes."""

import difflib
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import typer

from denoisebench.cli import (
    check,
    completion,
    data,
    denoise,
    diagnose,
    elsewhere,
    packs,
    papers,
    released,
    report,
    run,
    site,
    submit,
    tune,
    weights,
)
from denoisebench.cli.messages import refuse
from denoisebench.environment import own_environment
from denoisebench.streams import steady_output

HELP = """\
Benchmark self-supervised image denoisers: many methods, data sets and noises, one command, one table.

\b
  denoisebench run method=nlm noise=gaussian25              one cell: a method on a data set under a noise
  denoisebench run -m method=noisy,nlm noise=gaussian25,camera   a sweep: every combination
  denoisebench report default                               tables, statistics and pictures of the study `default`
  denoisebench diagnose photos/                             what noise your own photographs have
  denoisebench denoise photos/                              and without it, each in its own format

Results go to runs/STUDY/ (set root=... or DENOISEBENCH_RUNS). `denoisebench COMMAND --help` shows examples.
"""
WIDTH = 130
INTERRUPTED = 130  # what Typer makes of Ctrl-C
CONTINUING = ("run", "retry", "tune", "denoise", "data")  # what goes on where it stopped

app = typer.Typer(
    name="denoisebench", help=HELP, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)  # fmt: skip
app.command(cls=run.RunCommand, context_settings={"ignore_unknown_options": True})(run.run)
app.command()(denoise.denoise)
app.command()(diagnose.diagnose)
app.command()(report.report)
app.command()(report.explain)
app.command()(run.status)
app.command(context_settings={"ignore_unknown_options": True})(run.retry)
app.command(context_settings={"ignore_unknown_options": True})(tune.tune)
app.command()(check.check)
app.command()(report.dashboard)
app.command()(packs.pack)
app.command()(packs.verify_pack)
app.command()(site.site)
app.command()(papers.cite)
app.command()(papers.card)
app.command()(submit.submit)
app.command()(submit.verify_submission)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.command()(released.import_weights)
app.command("export-noisy")(elsewhere.export_noisy)
app.command()(elsewhere.export)
app.command()(completion.completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with steady_output(), own_environment():
        if arguments and arguments[0] in ("-V", "--version"):
            from denoisebench import __version__

            print(f"denoisebench {__version__}")
            return 0
        for name in ("SIGTERM", "SIGUSR1"):  # the second is what Slurm's --signal is mostly told to send before the end
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _terminated)
        return _run(arguments)


def _terminated(*_: object) -> NoReturn:
    """A polite kill (a scheduler's, `timeout`'s) ends a run as Ctrl-C does: Lightning alone would go on with the next cell."""
    raise KeyboardInterrupt


def _run(arguments: list[str]) -> int:
    group = typer.main.get_command(app)
    known = _commands(group)
    if arguments == ["help"]:
        return _call(group, ["--help"])
    if unknown := _unknown(arguments[:1], known, "command"):
        return refuse(unknown)
    for group_of in ("data", "weights"):
        if arguments[:1] == [group_of] and (
            unknown := _unknown(arguments[1:2], _commands(known[group_of]), f"action of {group_of}")
        ):
            return refuse(unknown)
    if not arguments or (len(arguments) == 1 and arguments[0] in known and arguments[0] != "run"):
        return max(_call(group, [*arguments, "--help"]), 2)
    return _call(group, arguments)


def _commands(group: object) -> Mapping[str, object]:
    return getattr(group, "commands")  # noqa: B009 (Typer does not export the type that has it)


def _unknown(word: Sequence[str], known: Mapping[str, object], kind: str) -> str | None:
    """The message for a first word that is not a command."""
    if not word or word[0].startswith("-") or word[0] in known:
        return None
    close = difflib.get_close_matches(word[0], known, n=1)
    return f"no {kind} {word[0]}; {f'did you mean {close[0]}? ' if close else ''}Valid: {', '.join(known)}"


def _call(group: Any, arguments: list[str]) -> int:
    try:
        code = group.main(arguments, prog_name="denoisebench", standalone_mode=False)
    except typer.TyperException as error:
        return refuse(getattr(error, "format_message", error.__str__)())
    except typer.Abort as error:  # what Typer makes of an EOFError, which is no interruption here
        raise error.__cause__ or error from None
    if code == INTERRUPTED:
        told = "; the same command continues where it stopped" if arguments[0] in CONTINUING else ""
        print(f"interrupted{told}", file=sys.stderr)
    return int(code or 0)
