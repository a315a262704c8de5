"""`denoisebench tune`: settings of a method, searched without ground truth."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.cli.messages import loading, refuse, refused
from denoisebench.streams import outlive_terminal

if TYPE_CHECKING:
    from denoisebench.tuning.trials import Trial, Tuning


def tune(
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
    config_dir: Annotated[
        list[str] | None,
        typer.Option("--config-dir", "-cd", metavar="DIR", help="A folder with your own groups, as for `run`."),
    ] = None,
) -> int:
    """Search settings of a method by trials, each a cell of a study, and write the best as a recipe (extra: tune).

    \b
    Examples
      denoisebench tune method=tv noise=gaussian25 'method.strength=interval(0.3,1.2)'
      denoisebench tune method=neighbor2neighbor budget=quick trials=30 'method.lr=tag(log,interval(1e-4,1e-2))'
      denoisebench run method=tv budget=tuned --config-dir=runs/tune-tv/conf      with the settings found

    \b
    Ranges, of method.KEY and training.steps, training.patch, training.batch
      interval(0.3,1.2)               numbers of four digits; tag(log,interval(1e-4,1e-2)) is even in the logarithm
      int(interval(8,64))             integers, both ends included
      range(1,5) range(1,9,2)         1, 2, 3, 4 and 1, 3, 5, 7, as with run -m
      choice(a,b) or a,b              one of these

    \b
    Settings beside those of run
      trials=20                       the first 10 are random, each later one heeds those before
      objective=sure_diagnosed        an estimate of the squared error from the noisy images alone, for the noise that is
                                      diagnosed in each; also sure, recorrupted, blind_spot, halves, whiteness, likeness,
                                      independence (docs/sweeps.md says when each misleads)
      objective=oracle                the PSNR: every row is tagged oracle_tuned, and so are those of the recipe
      images=4                        how many images of the test set the objective is computed on
      study=tune-METHOD               tune-METHOD-oracle with objective=oracle

    The same command makes the same trials: what is finished is not computed again, and a larger trials= goes on.

    Exit code: 0 if every trial is done, 1 if one failed, 2 if a setting is not valid.
    """
    from denoisebench import config

    folders = [part for folder in config_dir or () for part in ("--config-dir", folder)]
    with refused():
        overrides, multirun, others = config.split_flags([*(settings or ()), *folders])
        if multirun or others:
            raise config.ConfigError("tune takes KEY=VALUE and --config-dir: every trial is one cell")
    with loading():
        from denoisebench.tuning import trials
    with refused():
        tuning = trials.tuning_of(overrides)
        trials.optuna()
    outlive_terminal()
    try:
        with refused():
            done = trials.run(tuning, lambda trial: _tell(tuning, trial))
    except config.LaunchError as error:
        refuse(error)
        return 1
    return _ended(tuning, done)


def _tell(tuning: "Tuning", trial: "Trial") -> None:
    print(f"trial {trial.number + 1}/{tuning.trials}: {_valued(tuning, trial)}  {trial.settings}", flush=True)


def _valued(tuning: "Tuning", trial: "Trial") -> str:
    if trial.value is None:
        return "failed"
    return f"{-trial.value:.2f} dB" if tuning.is_oracle else f"{tuning.objective} {trial.value:.4g}"


def _ended(tuning: "Tuning", done: "list[Trial]") -> int:
    """Write the recipe of the best trial, and say how it is used."""
    from denoisebench.config.search import write_recipe
    from denoisebench.tuning.trials import best_of

    best = best_of(done)
    if best is None:
        print("no trial could be computed: see above", file=sys.stderr)
        return 1
    name, job = "tuned_oracle" if tuning.is_oracle else "tuned", best.job
    folder = Path(job.cell.root) / job.cell.study / "conf"
    about = f"{tuning.objective}, {len(done)} trials on {job.cell.dataset}, {job.cell.noise}, seed {job.seed}: {best.settings}"
    overrides = [o for o in job.overrides if not o.startswith("tuned_by=")]
    write_recipe(folder, name, job.method.name, overrides, {"tuned_by": tuning.objective, "base": job.budget, "about": about})
    print(f"best: trial {best.number + 1}, {_valued(tuning, best)}  {best.settings}")
    print(f"use:  denoisebench run method={job.method.name} budget={name} --config-dir {shlex.quote(str(folder))}")
    if tuning.is_oracle:
        print("chosen with clean images: rows of this recipe are tagged oracle_tuned, and no rank is given to them")
    return int(any(trial.value is None for trial in done))
