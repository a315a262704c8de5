"""`denoisebench run`, `retry` and `status`: the commands that compute a study, and the one that lists its state."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from denoisebench.cli.messages import loading, refuse, refused
from denoisebench.streams import outlive_terminal

if TYPE_CHECKING:
    from denoisebench.config import Composed
    from denoisebench.job import Job, Unmade
    from denoisebench.store.cell import Cell


class RunCommand(TyperCommand):
    """Its help ends with the choices of each group, read from the configuration on demand."""

    def get_help(self, ctx: Any) -> str:
        from denoisebench.config import groups

        listed = "".join(f"  {name:12}{', '.join(choices)}\n" for name, choices in groups().items())
        return f"{super().get_help(ctx)}\n\nGroups\n{listed}"


def run(
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
    multirun: Annotated[bool, typer.Option("--multirun", "-m", help="Run every combination of the values given.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="List the cells and the trainings that they share; compute nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: print it as JSON (docs/json.md).")] = False,
    config_dir: Annotated[
        list[str] | None,
        typer.Option(
            "--config-dir",
            "-cd",
            metavar="DIR",
            help="A folder with your own groups, e.g. DIR/method/mine.yaml; "
            "its classes are found in DIR and in the folder above it.",
        ),
    ] = None,
    cfg: Annotated[str | None, typer.Option("--cfg", metavar="job", help="Print the composed configuration.")] = None,
) -> int:
    """Train if the method learns, test, and write one row per image. Finished cells are not computed again.

    \b
    Examples
      denoisebench run method=nlm                                     non-local means on photographs, gaussian25
      denoisebench run method=neighbor2neighbor budget=quick          a minute of training on 2 CPU cores
      denoisebench run method=nlm noise=gaussian noise.sigma=50       another noise level
      denoisebench run method=nlm noise=gaussian 'noise.sigma=[5,50]' a level drawn from a range for each image
      denoisebench run -m method=noisy,nlm noise=gaussian25,camera seed=0,1
                                                                      a sweep of 8 cells
      denoisebench run method=self2self_plus budget=quick dataset.crop=96   learns anew from each image
      denoisebench run -m method=noisy,bm3d dataset=kodak,set14 noise=gaussian15,gaussian50
                                                                      standard sets: see data/README.md
      denoisebench run method=nlm dataset=folder dataset.noisy=photos/ noise=real
                                                                      your own noisy photos, without ground truth
      denoisebench run -m experiment=demo                             a named grid

    \b
    Settings
      study=NAME            results go to runs/NAME (default: default)
      seed=0 repeats=1      of weights, patches and noise; independent noise realisations of each image
      precision=32          or tf32 (on a GPU), bf16-mixed
      tile=512              networks see a tile of this many pixels at a time: for images that need too much memory
      ensemble=dihedral     the mean over eight flips and turns of each image, for any method: eight times the time
      learn=stack           one network from all slices of a stack, for methods that learn from one image: docs/stacks.md
      pictures=4            side-by-side pictures kept of each cell
      force=true            compute finished cells again, and train their networks again
      logger=wandb          also csv, tensorboard, mlflow, trackio, [wandb,tensorboard]; results do not depend on a logger
      checkpoint=FILE       test these weights instead of training (see denoisebench import-weights)
      weights=NAME          test a named network: denoisebench weights list
      init=FILE             train on from these weights: fine-tuning, e.g. on photographs of your own
      validation.every=500  score clean images of the test set during training: runs/.trained/KEY/validation.csv
      training.selection=oracle   keep the weights that scored best there (rows say oracle_selected)
      stop=holdout          end a training by its own loss on noisy images held out: docs/methods.md
      method.KEY=VALUE      a parameter of the method; training.KEY=VALUE of its training, and so on
      launcher=joblib       or basic, slurm, local, ray: where a sweep's cells run; hydra.launcher.KEY=VALUE sets more
      trainer=ddp           train on all GPUs together: for a single run, not with -m; trainer.devices=2: on two of them
      on_error=stop         end a sweep with the first cell that fails (default: continue)
      shard=1/4             only this quarter of the images; -m shard=1/4,2/4,3/4,4/4 launcher=joblib computes them at once

    A value with any of ( ) = ' , # & { } needs two pairs of quotes: 'dataset.noisy="my photos (1)"'.

    A run continues when its output is closed (`| head`) or its terminal is; Ctrl-C or `kill` ends it.

    Exit code: 0 if every cell is done or skipped with a reason, 1 if one failed, 2 if a setting is not valid.
    """
    from denoisebench import config

    if as_json and not plan:
        raise typer.BadParameter("--json goes with --plan: `denoisebench report STUDY --json` prints results")
    folders = [part for folder in config_dir or () for part in ("--config-dir", folder)]
    arguments = [*(settings or ()), *folders, *(["-m"] if multirun else ()), *(["--cfg", cfg] if cfg else ())]
    with refused():
        overrides, multirun, others = config.split_flags(arguments)
        if others:  # e.g. --cfg job: Hydra's own business
            config.hydra_flags(arguments, overrides, multirun=multirun)
            return 0
        composed = config.compose_all(overrides, multirun=multirun)
    return _compute(lambda: _jobs(composed), only_plan=plan, as_json=as_json)


def _jobs(composed: "Sequence[Composed]") -> "tuple[Sequence[Job], Sequence[Unmade]]":
    from denoisebench.config.jobs import made_or_not

    return made_or_not(composed)


def retry(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A name under runs/, or a path.", show_default=False)],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
) -> int:
    """Compute the failed cells of a study again, each with its own settings; launcher=... and on_error=... may be added.

    \b
      denoisebench retry demo
    """
    from denoisebench.report.rows import find_study

    with loading():
        from denoisebench.study.sweep import failed_jobs

    with refused():
        jobs, unmade = failed_jobs(find_study(study), settings or ())
    if not jobs and not unmade:
        print(f"nothing failed in {study}")
        return 0
    return max(_compute(lambda: (jobs, unmade)), int(bool(unmade)))


def status(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY", help="Names under runs/, or paths.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON (docs/json.md).")] = False,
) -> int:
    """List every planned cell of a study and its state.

    Exit code: 0 if all are done or skipped, 1 if one failed or is missing.

    \b
      denoisebench status demo
    """
    from denoisebench.report.rows import find_study
    from denoisebench.report.status import exit_code, print_status
    from denoisebench.store.plan import read_plan

    with refused():
        folders = list(map(find_study, studies))
        if as_json:
            from denoisebench.report.as_json import status_plain

            print(json.dumps(status_plain(folders), indent=1))
            return max(exit_code(list(read_plan(folder).values())) for folder in folders)
        return max(map(print_status, folders))


def _compute(
    made: "Callable[[], tuple[Sequence[Job], Sequence[Unmade]]]", *, only_plan: bool = False, as_json: bool = False
) -> int:
    """Plan these jobs, and compute what is not done."""
    from denoisebench.config import LaunchError

    with loading():
        # They import torch: only once the command line is right.
        from denoisebench.study import costs, finished, planning, sets, sweep

    with refused():
        jobs, unmade = made()
        planned = planning.plan(jobs, keep=not only_plan)
        for line in sets.remarks_on(planned):
            print(f"note: {line}", file=sys.stderr)
        if only_plan:
            if as_json:
                print(json.dumps(planning.plan_plain(planned, unmade), indent=1))
            else:
                planning.print_plan(planned, unmade)
            return 0
        planning.refuse_if_none(jobs, unmade)
        launch = sweep.launcher(planned)
    costs.warn_of_days(planned)
    cells = [job.cell for job in planned]
    outlive_terminal()
    try:
        launch()
    except LaunchError as error:
        refuse(error)
        return max(_ended(cells), 1)
    unscored = any(finished.lacks_protocols(job) for job in planned)
    failed = max(_ended(cells), int(unscored))
    planning.tell_unmade(unmade)
    for note in finished.notes_of(planned):
        print(note, file=sys.stderr)
    return failed


def _ended(cells: Sequence["Cell"]) -> int:
    """Print the table of this run's cells and their outcome."""
    from denoisebench.progress import output_console
    from denoisebench.report.plain import print_tables
    from denoisebench.report.results import summarise
    from denoisebench.report.rows import read_cells
    from denoisebench.report.status import print_counts

    console, cells = output_console(), list({cell.key: cell for cell in cells}.values())  # shards share one
    print_tables(summarise(read_cells(cells)), console)
    return print_counts(cells, console)
