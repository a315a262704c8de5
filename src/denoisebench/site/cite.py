"""BibTeX of methods and data sets: by name, or of all that a study ran."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from denoisebench.citations import Paper, described_at
from denoisebench.config import conf_dir, groups, nearest
from denoisebench.datasets.references import REFERENCES
from denoisebench.report.published import base_of, set_of
from denoisebench.report.rows import find_study
from denoisebench.store.plan import read_plan

OURS = """\
@software{denoisebench,
  title = {{denoisebench: a benchmark of self-supervised image denoisers}},
  author = {{The denoisebench contributors}},
  version = {%s},
}"""


def cited(names: Sequence[str]) -> tuple[dict[str, Paper], list[str]]:
    """The papers of methods, data sets and studies by key, and what has none. Raises: ValueError for an unknown name."""
    found: dict[str, Paper] = {}
    without = []
    for name in dict.fromkeys(one for given in names for one in _meant(given)):
        if paper := _paper(name):
            found[name] = paper
        else:
            without.append(name)
    return found, without


def _meant(name: str) -> list[str]:
    """Methods and data sets behind a name: itself, or what a study ran."""
    if name in groups()["method"] or name in REFERENCES:
        return [name]
    try:
        study = find_study(name)
    except FileNotFoundError as error:
        known = [*groups()["method"], *REFERENCES]
        raise ValueError(f"no method, data set or study {name}; {nearest(name, known)}") from error
    cells = list(read_plan(study).values())
    sets = [set_of(cell.dataset) for cell in cells]
    return list(
        dict.fromkeys([*(base_of(cell.label) for cell in cells), *sets, *(s for cell in cells for s in _trained_on(cell.folder))])
    )


def _trained_on(folder: Path) -> list[str]:
    """The training set of a cell that trained a network."""
    try:
        plain = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        steps, target = plain["training"]["steps"], plain["train_set"]["_target_"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return []
    name = target.rpartition(".")[2].lower()
    return [name] if steps and name in REFERENCES else []


def _paper(name: str) -> Paper | None:
    if name in REFERENCES:
        return REFERENCES[name]
    path = Path(conf_dir()) / "method" / f"{name}.yaml"
    if not path.is_file():
        return None
    return described_at(yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"]).paper
