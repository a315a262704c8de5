"""The command `denoisebench` and its verbs. Nothing heavy is imported before a verb runs."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import argparse

    from denoisebench.config import Composed
    from denoisebench.job import Job
    from denoisebench.scoring.protocol import Protocol
    from denoisebench.store.cell import Cell

HELP = """\
denoisebench: a benchmark of self-supervised image denoisers.

  denoisebench run [KEY=VALUE ...]        one cell: a method on a data set under a noise
  denoisebench run -m [KEY=A,B,... ...]   a sweep: every combination
  denoisebench report STUDY...            tables, statistics and pictures: report.html, report.md, results.csv, table.tex
  denoisebench explain CELL               a cell's scores under other conventions, step by step
  denoisebench status STUDY               what is done, failed, skipped, missing
  denoisebench retry STUDY                compute its failed cells again
  denoisebench dashboard STUDY            make its Weights & Biases workspace, on the server
  denoisebench submit sidd-kaggle|sidd-mat|dnd CELL   its outputs as the online benchmarks of SIDD and DND want them
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
  tile=512              networks see a tile of this many pixels at a time: for images that need too much memory
  pictures=4            side-by-side pictures kept of each cell
  force=true            compute finished cells again, and train their networks again
  logger=wandb          also csv, tensorboard, [wandb,tensorboard]: watch it; the results need no logger
  checkpoint=FILE       test these weights instead of training (see denoisebench import-weights)
  validation.every=500  score clean images of the test set during training: runs/.trained/KEY/validation.csv
  training.selection=oracle   end with the weights that scored best there (rows say oracle_selected)
  method.KEY=VALUE      a parameter of the method, training.KEY=VALUE of its training, and so on
  launcher=joblib       or basic, slurm, local, ray: how a sweep's cells are spread; hydra.launcher.KEY=VALUE sets more
  trainer=ddp           train on all GPUs together: for a single run, not with -m; trainer.devices=2: on two of them
  on_error=stop         end a sweep with the first cell that fails (default: continue)
  shard=1/4             only this quarter of the images; -m shard=1/4,2/4,3/4,4/4 launcher=joblib computes them at once
  --plan                list the cells as done, missing or impossible and the trainings they share, and stop
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

RETRY_HELP = """\
denoisebench retry STUDY [launcher=... on_error=...]: compute the failed cells of a study (a name under runs/, or a path)
again, each with its own settings.

  denoisebench retry demo
"""

STATUS_HELP = """\
denoisebench status STUDY: every planned cell of a study (a name under runs/, or a path) and its state.
Exit code 0 if all are done or skipped, 1 if one failed or is missing.

  denoisebench status demo
"""

DASHBOARD_HELP = """\
denoisebench dashboard STUDY --entity ENTITY [--project PROJECT]: make a Weights & Biases workspace of a study whose runs
are there: method x noise, curves, pictures, the table of images. Needs WANDB_API_KEY and the extra `dashboard`.

  denoisebench dashboard demo --entity my-team
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

SUBMIT_HELP = """\
denoisebench submit sidd-kaggle|sidd-mat|dnd CELL: the kept images of a finished cell (its folder,
runs/STUDY/METHOD/DATASET/real/seed0-KEY) as an online benchmark wants them, read back and compared before it says done.

  denoisebench run method=bm3d dataset=sidd_benchmark noise=real
  denoisebench submit sidd-kaggle runs/default/bm3d/sidd_benchmark/real/seed0-KEY       SubmitSrgb.csv
  denoisebench submit sidd-mat CELL --authors "A and B"                                 SubmitSrgb.mat of the first server
  denoisebench submit dnd CELL                                                          bundled/0001.mat to 0050.mat
  denoisebench submit sidd-kaggle CELL --dry-run       CELL of dataset=sidd_validation: scores what would be sent
  denoisebench submit dnd CELL --result psnr=38.45 ssim=0.939      what the server answered: for the report

  --out FOLDER          where to put it (default: CELL/submission)
  --name --authors --title --venue TEXT     what sidd-mat says of the method
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

SUBMIT_ABOUT = {"name": "MethodName", "authors": "Authors", "title": "PaperTitle", "venue": "Venue"}

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
    for name in ("SIGTERM", "SIGUSR1"):  # the second is what Slurm's --signal is mostly told to send before the end
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminated)
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
        overrides, multirun, others = config.split_flags([argument for argument in arguments if argument != "--plan"])
        if others:  # as --cfg job: Hydra's own business
            config.hydra_flags(arguments)
            return 0
        composed = config.compose_all(overrides, multirun=multirun)
    except (config.ConfigError, OSError) as error:
        return _refuse(error)
    return _compute(lambda: _jobs(composed), only_plan="--plan" in arguments)


def _jobs(composed: "Sequence[Composed]") -> "list[Job]":
    from denoisebench.config.jobs import made_of
    from denoisebench.config.parts import Made

    made = Made()
    return [made_of(one, made) for one in composed]


def _retry(arguments: Sequence[str]) -> int:
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(RETRY_HELP, end="")
        return 0 if arguments else 2
    from denoisebench.config import ConfigError
    from denoisebench.report.rows import find_study
    from denoisebench.study.sweep import failed_jobs

    study, *settings = arguments
    try:
        jobs = failed_jobs(find_study(study), settings)
    except (ConfigError, OSError) as error:
        return _refuse(error)
    if not jobs:
        print(f"nothing failed in {study}")
        return 0
    return _compute(lambda: jobs)


def _compute(jobs: "Callable[[], Sequence[Job]]", *, only_plan: bool = False) -> int:
    """Plan these jobs, and compute what is not done."""
    from denoisebench.config import LaunchError
    from denoisebench.study import finished, planning, sweep  # imports torch: only once the command line is right

    try:
        planned = planning.plan(jobs(), keep=not only_plan)
        if only_plan:
            planning.print_plan(planned)
            return 0
        launch = sweep.launcher(planned)
    except (OSError, ValueError) as error:
        return _refuse(error)
    cells = [job.cell for job in planned]
    try:
        launch()
    except LaunchError as error:
        print(f"denoisebench: {error}", file=sys.stderr)
        return max(_ended(cells), 1)
    unscored = any(finished.lacks_protocols(job) for job in planned)
    failed = max(_ended(cells), int(unscored))
    for note in finished.notes_of(planned):
        print(note, file=sys.stderr)
    return failed


def _ended(cells: Sequence["Cell"]) -> int:
    """Print the table of the cells of this run, and what became of them."""
    from denoisebench.progress import output_console
    from denoisebench.report.plain import print_tables
    from denoisebench.report.results import summarise
    from denoisebench.report.rows import read_cells
    from denoisebench.report.status import print_counts

    console, cells = output_console(), list({cell.key: cell for cell in cells}.values())  # shards share one
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
    from denoisebench.config.jobs import protocols_of

    return protocols_of(names)


def _rescored(studies: Sequence[Path], names: Sequence[str]) -> int:
    from denoisebench.store.plan import read_plan
    from denoisebench.study.finished import rescore

    return rescore([cell for study in studies for cell in read_plan(study).values()], _protocols(names))


def _explain(arguments: Sequence[str]) -> int:
    import argparse

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(EXPLAIN_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench explain", add_help=False)
    parser.add_argument("cell")
    parser.add_argument("--protocol", default=None)
    parser.add_argument("--against", default=None)
    given = _parsed(parser, arguments)
    if given is None:
        return 2
    from denoisebench.report.explain import explain, find_cell, own_protocol

    try:
        cell = find_cell(given.cell)
        own = given.protocol or own_protocol(cell)
        protocols = _protocols(list(dict.fromkeys([own, given.against or own])))
        explain(cell, protocols[0], protocols[-1] if given.against else None)
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
    from denoisebench.weights.released import import_weights

    out: Path = given.out or given.file.with_suffix(".ours.pt")
    try:
        import_weights(given.method, given.file, out)
    except (OSError, ValueError) as error:
        return _refuse(error)
    print(f"wrote {out}; test it with: denoisebench run method={given.method} checkpoint={out}")
    return 0


def _dashboard(arguments: Sequence[str]) -> int:
    import argparse
    import os

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(DASHBOARD_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench dashboard", add_help=False)
    parser.add_argument("study")
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), required="WANDB_ENTITY" not in os.environ)
    parser.add_argument("--project", default=os.environ.get("WANDB_PROJECT", "denoisebench"))
    given = parser.parse_args(arguments)
    from denoisebench.tracking.dashboard import save

    try:
        print(save(given.study, given.entity, given.project))
    except ValueError as error:
        return _refuse(error)
    return 0


def _submit(arguments: Sequence[str]) -> int:
    import argparse

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(SUBMIT_HELP, end="")
        return 0 if arguments else 2
    parser = argparse.ArgumentParser("denoisebench submit", add_help=False, allow_abbrev=False)
    parser.add_argument("kind", choices=("sidd-kaggle", "sidd-mat", "dnd"))
    parser.add_argument("cell", type=Path)
    parser.add_argument("--out", type=Path)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true")
    what.add_argument("--result", nargs="+", metavar="SCORE")
    for option, name in SUBMIT_ABOUT.items():
        parser.add_argument(f"--{option}", dest=name)
    given = parser.parse_args(arguments)
    about = {name: text for name in SUBMIT_ABOUT.values() if (text := getattr(given, name))}
    from denoisebench.submit.answers import record
    from denoisebench.submit.send import dry_run, submit

    try:
        if given.result:
            print(record(given.kind, given.cell, given.result))
        elif given.dry_run:
            print(dry_run(given.kind, given.cell, given.out))
        else:
            print(submit(given.kind, given.cell, given.out, about))
    except (OSError, ValueError) as error:
        return _refuse(error)
    return 0


def _data(arguments: Sequence[str]) -> int:
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(DATA_HELP, end="")
        return 0 if arguments else 2
    from denoisebench.cli.data import data

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
    "report": _report,
    "explain": _explain,
    "status": _study_verb(STATUS_HELP, _status),
    "retry": _retry,
    "dashboard": _dashboard,
    "submit": _submit,
    "data": _data,
    "import-weights": _import_weights,
    "completion": _completion,
}
