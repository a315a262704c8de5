"""What a version promises: pixels and scores stay what they were, or the version is raised. And the hashes of rows."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from denoisebench.noise import (
    JPEG,
    Camera,
    Correlated,
    DeadPixels,
    FixedPattern,
    Gaussian,
    NoiseModel,
    Poisson,
    PoissonGaussian,
    Quantised,
    RowColumn,
    SaltAndPepper,
    Speckle,
    Stripes,
)
from denoisebench.scoring.kept import image_hash
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import decoded, read_stored, stored_sha, write_png
from denoisebench.training.weights import weights_sha
from denoisebench.versions import protocol_version, version_of
from jobs import built, computed, one


def clean() -> Tensor:
    ramp = torch.linspace(0, 1, 3 * 24 * 20, dtype=torch.float64).reshape(1, 3, 24, 20)
    return (ramp + 0.25 * torch.sin(40 * ramp)).clamp(0, 1)


NOISES = {
    ("Gaussian", "1"): (Gaussian(sigma=25), "4176c3dc50e1aefc"),
    ("Poisson", "1"): (Poisson(lam=30), "a777e72e3497e58a"),
    ("PoissonGaussian", "1"): (PoissonGaussian(lam=30, sigma=10), "908b753809c43cac"),
    ("SaltAndPepper", "1"): (SaltAndPepper(), "586e3f9253604312"),
    ("Speckle", "1"): (Speckle(sigma=25), "d5bdc18ffb681c1a"),
    ("Camera", "1"): (Camera(), "cde55dfa23a0d0e2"),
    ("RowColumn", "1"): (RowColumn(), "75c15b40f1eec016"),
    ("Stripes", "1"): (Stripes(), "ea9f1d3a782665fc"),
    ("FixedPattern", "1"): (FixedPattern(), "a39f0354f8b503ab"),
    ("DeadPixels", "1"): (DeadPixels(), "95f0ac0422006cee"),
    ("Correlated", "1"): (Correlated(), "3556bb5003dd5bbe"),
    ("JPEG", "1"): (JPEG(), "ea31bcf4cf20ecac"),
    ("Quantised", "1"): (Quantised(), "489572befecd174a"),
}


@pytest.mark.parametrize("known", NOISES, ids=lambda known: known[0])
def test_a_noise_of_one_version_draws_the_same_pixels(known: tuple[str, str]) -> None:
    noise, sha = NOISES[known]
    drawn = noise(clean(), torch.Generator().manual_seed(7)).float()[0]
    assert (type(noise).__name__, version_of(noise)) == known
    assert image_hash(drawn) == sha, "other pixels: raise the version of this noise, and note its new hash here"


def test_a_data_set_of_one_version_has_the_same_pixels() -> None:
    photos = one("method=noisy", "dataset.crop=33").test_set
    assert version_of(photos) == "1"
    assert stored_sha(photos.clean(0)) == "7e61a12362328febf7db57baa07dc87bce30d06092133ba4773e4d6d3a7ad582", (
        "other pixels: raise the version of this set"
    )


SCORES = {
    "gaussian": (23.408267256714, 0.804095999184),
    "uniform": (23.408267256714, 0.862314268933),
    "volume": (23.408267256714, 0.965604262472),
}


@pytest.mark.parametrize("kind", SCORES)
def test_a_protocol_of_one_version_gives_the_same_scores(kind: str) -> None:
    protocol = Protocol("p", ssim=kind)  # type: ignore[arg-type]
    denoised = (clean() + 0.1 * torch.cos(70 * clean())).clamp(0, 1)
    psnr_db, ssim = protocol.score(denoised, clean())
    assert version_of(protocol) == "1"
    assert (psnr_db.item(), ssim.item()) == pytest.approx(SCORES[kind], abs=1e-9), "raise the version of Protocol"


def test_a_protocols_version_tells_its_settings_and_not_its_name() -> None:
    first = protocol_version(Protocol("a"))
    assert first == protocol_version(Protocol("b")) == "1.0c31fb"
    others = [Protocol("a", clip=False), Protocol("a", rounding="round"), Protocol("a", border=4), Protocol("a", ssim="uniform")]
    assert len({first, *map(protocol_version, others)}) == 5


def test_a_raised_version_is_seen() -> None:
    class Other(Gaussian):
        version = "2"

    assert version_of(Other(sigma=25)) == "2"
    assert issubclass(Other, NoiseModel)


def test_rows_have_the_hash_of_what_is_kept_and_the_versions() -> None:
    [cell] = computed("method=tv", "dataset.crop=33", "pictures=0", "protocol=[default,apbsn]")
    with (cell.folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        [kept] = cell.folder.glob(f"images/{row['image']}*.png")
        assert row["output_sha"] == stored_sha(read_stored(kept))
        assert (row["dataset_version"], row["noise_version"], row["weights_sha"]) == ("1", "1", "")
    assert len({row["protocol_version"] for row in rows}) == 2


def test_the_hash_of_an_image_sees_one_level_and_no_compression(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((9, 7, 3))
    sha = write_png(tmp_path / "a.png", image, bits=16)
    stored = read_stored(tmp_path / "a.png")
    assert sha == stored_sha(stored) == stored_sha(decoded((tmp_path / "a.png").read_bytes(), "75c15b40f1eec016"))
    other = stored.copy()
    other[3, 3, 1] ^= 1
    assert stored_sha(other) != sha
    with pytest.raises(ValueError, match="not a whole PNG"):
        decoded(b"no image", "b.png")


def test_the_hash_of_weights_sees_one_value_and_no_order() -> None:
    method = built("method=neighbor2neighbor", "budget=smoke")
    sha = weights_sha(method)
    assert len(sha) == 64
    assert sha == weights_sha(method)
    name, values = next((n, v) for n, v in method.state_dict().items() if v.is_floating_point())
    with torch.no_grad():
        values[(0,) * values.ndim].add_(1e-6)
    assert weights_sha(method) != sha, name
    assert weights_sha(built("method=tv")) == ""
