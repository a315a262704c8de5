"""The command `denoisebench` and its verbs. Nothing heavy is imported before a verb runs."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from denoisebench.cells import Cell

HELP = """\
denoisebench: a benchmark of self-supervised image denoisers.

  denoisebench run [KEY=VALUE ...]        one cell: a method on a data set under a noise
  denoisebench run -m [KEY=A,B,... ...]   a sweep: every combination
  denoisebench report STUDY               table, results.csv, report.md and pictures of a study
  denoisebench status STUDY               what is done, failed, skipped, missing
  denoisebench data list|download|verify|prepare|path [NAME ...]   the data sets: get them, check them
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
denoisebench report STUDY: read the rows of all finished cells of a study (a name under runs/, or a path);
print the table, and write results.csv, report.md and its pictures into the study's folder.

  denoisebench report demo
  denoisebench report runs/demo
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

DATA_HELP = """\
denoisebench data ACTION [NAME ...]: the data sets that denoisebench knows, below DENOISEBENCH_DATA and data/.

  denoisebench data list                            what there is, what of it is here, sizes and licences
  denoisebench data download kodak cbsd68           fetch what lacks or is damaged, each file checked by its SHA-256
  denoisebench data download kodak --to FOLDER      elsewhere than DENOISEBENCH_DATA, or data/ where that is not set
  denoisebench data download dnd                    how to get what must be fetched by hand, and where to put it
  denoisebench data download sidd_medium --from SIDD_Medium_Srgb.zip
                                                    unpack an archive that you fetched
  denoisebench data verify polyu                    read every file: names, sizes, checksums (no name: all that is here)
  denoisebench data verify my_photos/               read every image of a folder of yours
  denoisebench data prepare sidd_medium             cut training patches once: [--patch 512] [--to FILE]
  denoisebench data path kodak                      the folder it is read from

An interrupted download or prepare goes on with the same command. Exit code: 0 if all is well, 1 if something is missing,
damaged or to be done by hand, 2 if an argument cannot be or a download failed.
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


def _report(study: Path) -> int:
    from denoisebench.report.markdown import write_report

    return write_report(study)


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


def _data(arguments: Sequence[str]) -> int:
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(DATA_HELP, end="")
        return 0 if arguments else 2
    from denoisebench.datasets.command import data

    try:
        return data(arguments)
    except (OSError, ValueError) as error:
        return _refuse(error)


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
    "report": _study_verb(REPORT_HELP, _report),
    "status": _study_verb(STATUS_HELP, _status),
    "data": _data,
    "import-weights": _import_weights,
    "completion": _completion,
}
