"""The job of a packed cell, made from its settings by this program, and what the pack claims against it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import denoisebench
from denoisebench.config.jobs import job_of
from denoisebench.config.parts import Made
from denoisebench.job import Job
from denoisebench.packs.contents import IDENTITY, unsafe, without_machine
from denoisebench.packs.read import Pack
from denoisebench.store.rows import Row
from denoisebench.study.columns import claimed_columns, of_image, slices_of
from denoisebench.study.making import method_and_data
from denoisebench.verify.finding import Finding


def job_for(pack: Pack, finding: Finding, folder: Path, made: Made) -> Job | None:
    """None where it cannot be made here; the finding says why. Nothing that the pack names is imported or read but what
    this installation's own configuration knows."""
    cell = finding.cell
    if not cell.overrides:
        finding.unchecked.append("its configuration: the pack has no settings that give it")
        return None
    if refused := unsafe(cell.overrides):
        finding.unchecked.append(f"its configuration: {refused[0]} is not followed from somebody else's pack")
        return None
    try:
        job = job_of(cell.overrides, made)
        differing = list(_differing(job, folder / "config.yaml"))
    except FileNotFoundError as error:
        finding.unchecked.append(f"configuration, inputs and scores: its images or weights are not here ({_said(error)})")
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        finding.unchecked.append(f"its configuration cannot be made here: {_said(error)}")
        return None
    same_version = pack.head.denoisebench == denoisebench.__version__
    if differing and not same_version:
        finding.unchecked.append(
            f"its configuration: denoisebench {pack.head.denoisebench} made it, {denoisebench.__version__} reads "
            f"{', '.join(differing)} differently"
        )
        return None
    finding.contradictions += [f"config.yaml says another {name} than the settings that gave the cell" for name in differing]
    return job


def _said(error: Exception) -> str:
    """Without the folder of this machine, as findings are published with packs."""
    return str(error).replace(f"{Path.cwd()}/", "")


def _differing(job: Job, config: Path) -> Iterator[str]:
    """The parts of its configuration in which a pack differs from what its settings give."""
    packed = yaml.safe_load(config.read_text(encoding="utf-8"))
    if not isinstance(packed, dict):
        raise ValueError("config.yaml is no mapping")
    ours: Any = without_machine(job.plain)
    for name in IDENTITY:
        if name in ours and _set(packed.get(name)) != _set(ours[name]):
            yield name


def _set(value: Any) -> Any:
    """Without what is null: a later version may know keys that an earlier one did without."""
    if not isinstance(value, Mapping):
        return value
    return {key: _set(inner) for key, inner in value.items() if inner is not None}


def check_claims(job: Job, rows: Sequence[Row], finding: Finding) -> None:
    """Key, label, tags and whatever else of a row follows from the configuration."""
    cell, own = finding.cell, job.cell
    for name in ("key", "setup", "label", "dataset", "noise", "seed"):
        if getattr(cell, name) != getattr(own, name):
            hint = ": the configuration or the images are others" if name in ("key", "setup") else ""
            finding.contradictions.append(f"its {name} is {getattr(own, name)}, and the pack says {getattr(cell, name)}{hint}")
    finding.contradictions += _images(job, rows)
    try:
        method, _ = method_and_data(job, validated=False)
    except (ImportError, OSError, ValueError) as error:
        finding.unchecked.append(f"its tags: the method cannot be made here ({error})")
        return
    claims = claimed_columns(job, method, {"stale": False} if job.learning else None)
    slices = slices_of(job)
    finding.contradictions += dict.fromkeys(
        text for row in rows for text in _against(of_image(claims, row["image"], slices), row)
    )
    finding.checked.append("configuration, label and tags")


def _against(claims: Mapping[str, Any], row: Row) -> Iterator[str]:
    lacking = [tag for tag in claims["tags"].split() if tag not in row["tags"].split()]
    if lacking:
        yield f"its configuration says {', '.join(lacking)}, and its rows have no such tag"
    for name, value in claims.items():
        text = "" if value is None else str(value)
        if name != "tags" and row.get(name) not in (None, "") and row[name] != text:
            yield f"{name} is {text or 'empty'}, and its rows say {row[name]}"
        elif name in ("budget", "selection", "trained_on", "train_steps") and row.get(name) == "" != text:
            yield f"{name} is {text}, and its rows leave it out"


def _images(job: Job, rows: Sequence[Row]) -> Iterator[str]:
    expected = {(name, str(repeat)) for repeat in range(job.repeats) for name in job.test_set.names}
    found = {(row["image"], row["repeat"]) for row in rows}
    if lacking := sorted(expected - found):
        yield f"{len(lacking)} of {len(expected)} images are left out, {lacking[0][0]} among them"
    if foreign := sorted(found - expected):
        yield f"{foreign[0][0]} is no image of {job.test_set.name}"
