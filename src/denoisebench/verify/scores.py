"""The inputs of a packed cell made again from seed and data set, and its packed outputs scored again."""

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from denoisebench.config import ConfigError
from denoisebench.datasets.views import NoisyViews
from denoisebench.job import Job
from denoisebench.packs.read import Pack
from denoisebench.scoring.kept import as_stored, batched, image_hash, values_of
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import decoded, from_levels, output_name
from denoisebench.store.rows import COLUMNS, Row
from denoisebench.study.finished import known_protocols
from denoisebench.verify.finding import Finding, some
from denoisebench.versions import protocol_version

TOLERANCE = 1e-9


def check_scores(pack: Pack, job: Job, rows: Sequence[Row], finding: Finding) -> None:
    """Hashes of inputs, and scores where the pack has outputs."""
    protocols = scorable(rows, finding) if pack.head.outputs else {}
    by_view: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_view.setdefault((row["image"], row["repeat"]), []).append(row)
    other, wrong = [], []
    views = NoisyViews(job.test_set, job.noise, job.seed, job.repeats, ())
    for number in range(len(views)):
        batch = views[number]
        own = by_view.get((batch.name[0], str(batch.repeat)), [])
        clean_sha = "" if batch.clean is None else image_hash(batch.clean[0])
        if any((row["noisy_sha"], row["clean_sha"]) != (image_hash(batch.noisy[0]), clean_sha) for row in own):
            other.append(batch.name[0])
        elif own and protocols:
            wrong += _rescored(pack, finding, own, protocols, (batch.clean, batch.noisy))
    if other:
        finding.contradictions.append(f"the noisy or clean image of {some(other)} is another than seed and data set give")
    finding.contradictions += [f"scored again, {text}" for text in wrong[:3]]
    finding.contradictions += [f"and {len(wrong) - 3} more scores are not what the outputs give"] if len(wrong) > 3 else []
    finding.checked.append(f"{len(views)} noisy inputs made again")
    if further := sorted({name for row in rows for name in row} - {*COLUMNS}):
        finding.unchecked.append(f"scores by {', '.join(further)}: further measures are not scored again")
    if protocols:
        finding.checked.append(f"outputs scored again under {', '.join(protocols)}")


def scorable(rows: Sequence[Row], finding: Finding) -> dict[str, Protocol]:
    """The protocols under which outputs can be scored here; kept outputs are clipped."""
    found = {}
    for name in dict.fromkeys(row["protocol"] for row in rows):
        try:
            protocol = known_protocols([name]).get(name)
        except ConfigError:
            protocol = None
        versions = {row.get("protocol_version") for row in rows if row["protocol"] == name} - {None, ""}
        if protocol is None:
            finding.leave(f"scores under {name}: this installation has no such protocol")
        elif not protocol.clip:
            finding.leave(f"scores under {name}: it does not clip, and packed outputs are clipped")
        elif versions - {protocol_version(protocol)}:
            finding.leave(f"scores under {name}: version {versions.pop()}, here {protocol_version(protocol)}")
        else:
            found[name] = protocol
    return found


def _rescored(
    pack: Pack, finding: Finding, rows: Sequence[Row], protocols: Mapping[str, Protocol], others: tuple[Tensor | None, Tensor]
) -> Iterator[str]:
    """What the rows of one image say otherwise than its output gives."""
    image, (clean, noisy) = rows[0]["image"], others
    name = f"images/{output_name(image, int(rows[0]['repeat']))}"
    try:
        output = batched(from_levels(decoded(pack.read(finding.cell.member(name)), name)))
    except ValueError:
        return  # told already
    if output.shape != noisy.shape:
        yield f"the output of {image} has shape {tuple(output.shape)}, its input {tuple(noisy.shape)}"
        return
    truth = None if clean is None else as_stored(clean)
    for row in rows:
        if protocol := protocols.get(row["protocol"]):
            yield from _against(row, values_of(protocol.scores(output, truth, noisy), 0))


def _against(row: Row, scores: Mapping[str, float | None]) -> Iterator[str]:
    for column, value in scores.items():
        if column not in row:
            continue
        said = float(row[column]) if row[column] else None
        if not _equal(said, value):
            yield f"{column} of {row['image']} under {row['protocol']} is {value}, and its row says {said}"


def _equal(said: float | None, value: float | None) -> bool:
    if said is None or value is None:
        return said is value
    return said == value or math.isclose(said, value, rel_tol=0, abs_tol=TOLERANCE)
