"""The command `denoisebench` and its verbs. Nothing heavy is imported before a verb runs."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import argparse

    from denoisebench.cells import Cell
    from denoisebench.protocol import Protocol

HELP = """\
denoisebench: a benchmark of self-supervised image denoisers.

  denoisebench run [KEY=VALUE ...]        one cell: a method on a data set under a noise
  denoisebench run -m [KEY=A,B,... ...]   a sweep: every combination
  denoisebench report STUDY...            tables, statistics and pictures: report.html, report.md, results.csv, table.tex
  denoisebench explain CELL               a cell's scores under other conventions, step by step
  denoisebench status STUDY               what is done, failed, skipped, missing
  denoisebench import-weights ...         the authors' released checkpoints, to test with run checkpoint=FILE
  denoisebench completion bash|zsh        shell completion: eval "$(denoisebench completion bash)"

`denoisebench VERB --help` has examples. Results go to runs/STUDY/ (set root=... or DENOISEBENCH_RUNS).
"""

RUN_HELP = """\
denoisebench run [-m] [KEY=VALUE ...]: train if the method learns, test, write rows; what is done is not done again.

Examples
  denoisebench run method=nlm                                     non-local means on photographs, gaussian25
  denoisebench run method=neighbor2neighbor budget=quick          a minute of training on 2 CPU cores
  denoisebench run method=nlm noise=gaussian noise.sigma=50       another noise level
  denoisebench run method=nlm noise=gaussian 'noise.sigma=[5,50]' drawn from a range for each image
  denoisebench run -m method=noisy,nlm noise=gaussian25,camera seed=0,1
                                                                  a sweep of 8 cells
  denoisebench run method=self2self_plus budget=quick dataset.crop=96   learns anew from each image
  denoisebench run -m method=noisy,bm3d dataset=kodak,set14 noise=gaussian15,gaussian50
                                                                  standard sets: see data/README.md
  denoisebench run method=nlm dataset=folder dataset.noisy=photos/ noise=real
                                                                  your own noisy photos, without ground truth
  denoisebench run -m experiment=demo                             a named grid

Groups
{groups}
Settings
  study=NAME            results go to runs/NAME (default: default)
  seed=0 repeats=1      of weights, patches and noise; independent noisy views of each image
  precision=32          or bf16-mixed
  pictures=4            side-by-side pictures kept of each cell
  force=true            compute finished cells again, and train their networks again
  checkpoint=FILE       test these weights instead of training (see denoisebench import-weights)
  validation.every=500  score clean images of the test set during training: runs/.trained/KEY/validation.csv
  training.selection=oracle   end with the weights that scored best there (rows say oracle_selected)
  method.KEY=VALUE      a parameter of the method, training.KEY=VALUE of its training, and so on
  --cfg job             print the composed configuration, and stop
  --config-dir DIR      a folder of your own groups, as DIR/method/mine.yaml

Exit code: 0 if every cell is done or skipped with a reason, 1 if one failed, 2 if a setting cannot be.
"""

REPORT_HELP = """\
denoisebench report STUDY...: read the rows of all finished cells of one or several studies (names under runs/, or paths);
print the tables, and write report.html, report.md, results.csv and table.tex. One study's report goes into its own
folder, that of several into runs/a+b/.

  denoisebench report demo
  denoisebench report classical quick --baseline bm3d
  denoisebench report demo --protocol apbsn

  --protocol NAME   score the kept outputs under this protocol too (again for several)
  --baseline NAME   the method that differences are taken to beside the best (default: noisy)
  --pictures N      images of each data set and noise with crops and residuals, or `all` (default: as many as take seconds)
  --out DIR         where to write

report.html opens from the disk and fetches nothing. It links the kept images of the study, so move it with them.
"""

EXPLAIN_HELP = """\
denoisebench explain CELL [--against PROTOCOL]: why your number is not the paper's. Prints the scores of a finished cell
(its folder, or the beginning of its key) under its own protocol, then step by step under another one, and what every
other convention of the field would change, each alone.

  denoisebench explain 3c1f09 --against apbsn
  denoisebench explain runs/demo/nlm/photos-crop128/gaussian25/seed0-80d72494d0ac
"""

STATUS_HELP = """\
denoisebench status STUDY: every planned cell of a study (a name under runs/, or a path) and its state.
Exit code 0 if all are done or skipped, 1 if one failed or is missing.

  denoisebench status demo
"""

IMPORT_HELP = """\
denoisebench import-weights --method neighbor2neighbor|sdap|apbsn|cbsn FILE [OUT]: turn a checkpoint that the authors
released into weights of ours (OUT: FILE with the ending .ours.pt), loaded without running code from it.

  denoisebench import-weights --method apbsn APBSN_SIDD.pth
  denoisebench run method=apbsn checkpoint=APBSN_SIDD.ours.pt dataset=polyu noise=real

C-BSN was released for TensorFlow 1; where that is installed, these lines make the .npz that is read here:

  import numpy as np, tensorflow as tf
  checkpoint = tf.train.load_checkpoint("CBSN_SIDDtrain.ckpt")
  np.savez("cbsn.npz", **{name: checkpoint.get_tensor(name) for name in checkpoint.get_variable_to_shape_map()})
"""

COMPLETION_HELP = """\
denoisebench completion bash|zsh: print a completion script. For good, put this into ~/.bashrc or ~/.zshrc:

  eval "$(denoisebench completion bash)"
  eval "$(denoisebench completion zsh)"
"""

COMPLETION = {
    "bash": """\
_denoisebench() {
  local IFS=$'\\n' line="${COMP_LINE:0:$COMP_POINT}"
  COMPREPLY=($(denoisebench completion --query "${line#* }" 2>/dev/null))
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != *[=.] ]] && COMPREPLY=("${COMPREPLY[0]} ")
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o nospace -F _denoisebench denoisebench
""",
    "zsh": """\
_denoisebench() {
  local -a found
  found=("${(@f)$(denoisebench completion --query "${BUFFER#* }" 2>/dev/null)}")
  compadd -S '' -- $found
}
compdef _denoisebench denoisebench
""",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from denoisebench import __version__

        print(f"denoisebench {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        import difflib

        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return _refuse(f"no verb {verb}; {hint}Valid: {', '.join(VERBS)}")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return VERBS[verb](rest)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130


def _terminated(*_: object) -> NoReturn:
    """A polite kill (a scheduler's, `timeout`'s) ends a run as Ctrl-C does: Lightning alone would go on with the next cell."""
    raise KeyboardInterrupt


def _refuse(message: object) -> int:
    print(f"denoisebench: {message}", file=sys.stderr)
    return 2


def _run(arguments: Sequence[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(RUN_HELP.format(groups=_groups_text()), end="")
        return 0
    from denoisebench import config

    try:
        overrides, multirun, others = config.split_flags(arguments)
        if others:  # as --cfg job: Hydra's own business
            config.launch(arguments, _unused)
            return 0
        jobs = config.jobs(overrides, multirun=multirun)
        from denoisebench import run  # imports torch: only once the command line is right

        cells = run.plan(jobs)
    except (config.ConfigError, OSError, ValueError) as error:
        return _refuse(error)
    if any(cell.state != "done" for cell in cells) or jobs[0].config.force or run.lacks_protocols(jobs, cells):
        config.launch(["-m", *config.for_each_job(overrides)] if multirun else overrides, run.main)
    return max(_ended(cells), int(run.lacks_protocols(jobs, cells)))


def _unused(_: object) -> None:
    """What Hydra's flags print needs a task that they do not run."""


def _ended(cells: Sequence["Cell"]) -> int:
    """Print the table of the cells of this run, and what became of them."""
    from denoisebench.progress import output_console
    from denoisebench.report.rows import read_cells, summarise
    from denoisebench.report.status import print_counts
    from denoisebench.report.table import print_tables

    console = output_console()
    print_tables(summarise(read_cells(cells)), console)
    return print_counts(cells, console)


def _groups_text() -> str:
    from denoisebench.config import groups

    return "".join(f"  {name:12}{', '.join(choices)}\n" for name, choices in groups().items())


def _study_verb(text: str, act: Callable[[Path], int]) -> Callable[[Sequence[str]], int]:
    """A verb whose arguments are studies."""

    def verb(arguments: Sequence[str]) -> int:
        if not arguments or "-h" in arguments or "--help" in arguments:
            print(text, end="")
            return 0 if arguments else 2
        from denoisebench.report.rows import find_study

        try:
            return max(act(find_study(argument)) for argument in arguments)
        except (OSError, ValueError) as error:
            return _refuse(error)

    return verb


def _report(arguments: Sequence[str]) -> int:
    import argparse

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(REPORT_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench report", add_help=False)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--protocol", action="append", default=[])
    parser.add_argument("--baseline", default="noisy")
    parser.add_argument("--pictures", type=_count, default=None)
    parser.add_argument("--out", type=Path, default=None)
    given = _parsed(parser, arguments)
    if given is None:
        return 2
    from denoisebench.report.rows import find_study
    from denoisebench.report.write import write_report

    try:
        studies = [find_study(name) for name in dict.fromkeys(given.studies)]
        failures = _rescored(studies, given.protocol) if given.protocol else 0
        written = write_report(studies, given.out, baseline=given.baseline, pictures=given.pictures)
    except (OSError, ValueError) as error:
        return _refuse(error)
    return max(written, int(failures > 0))


def _count(text: str) -> int:
    return sys.maxsize if text == "all" else max(int(text), 0)


def _parsed(parser: "argparse.ArgumentParser", arguments: Sequence[str]) -> "argparse.Namespace | None":
    """The parsed arguments; None, with the reason printed, where they cannot be."""
    try:
        return parser.parse_args(arguments)
    except SystemExit:
        return None


def _protocols(names: Sequence[str]) -> "list[Protocol]":
    from denoisebench import config, run

    [job] = config.jobs([f"protocol=[{','.join(names)}]"], multirun=False)
    return run.protocols_of(job.config)


def _rescored(studies: Sequence[Path], names: Sequence[str]) -> int:
    from denoisebench import run
    from denoisebench.cells import read_plan

    return run.rescore([cell for study in studies for cell in read_plan(study).values()], _protocols(names))


def _explain(arguments: Sequence[str]) -> int:
    import argparse

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(EXPLAIN_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench explain", add_help=False)
    parser.add_argument("cell")
    parser.add_argument("--protocol", default="default")
    parser.add_argument("--against", default=None)
    given = _parsed(parser, arguments)
    if given is None:
        return 2
    from denoisebench.report.explain import explain, find_cell

    try:
        protocols = _protocols(list(dict.fromkeys([given.protocol, given.against or given.protocol])))
        explain(find_cell(given.cell), protocols[0], protocols[-1] if given.against else None)
    except (OSError, ValueError) as error:
        return _refuse(error)
    return 0


def _status(study: Path) -> int:
    from denoisebench.report.status import print_status

    return print_status(study)


def _import_weights(arguments: Sequence[str]) -> int:
    import argparse

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(IMPORT_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench import-weights", add_help=False)
    parser.add_argument("--method", required=True)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    given = parser.parse_args(arguments)
    from denoisebench.weights import import_weights

    out: Path = given.out or given.file.with_suffix(".ours.pt")
    try:
        import_weights(given.method, given.file, out)
    except (OSError, ValueError) as error:
        return _refuse(error)
    print(f"wrote {out}; test it with: denoisebench run method={given.method} checkpoint={out}")
    return 0


def _completion(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "--query":
        from denoisebench.config import complete

        print("\n".join(complete(arguments[1] if len(arguments) > 1 else "", VERBS)))
        return 0
    if not arguments or arguments[0] not in COMPLETION:
        print(COMPLETION_HELP, end="")
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    print(COMPLETION[arguments[0]], end="")
    return 0


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": _run,
    "report": _report,
    "explain": _explain,
    "status": _study_verb(STATUS_HELP, _status),
    "import-weights": _import_weights,
    "completion": _completion,
}
