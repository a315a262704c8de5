"""What every set of real noise keeps to: names, shapes, ranges, pairs, and training apart from the test."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisebench import config
from denoisebench.cli import main
from denoisebench.config.jobs import job_of
from denoisebench.datasets.fitting import impossible
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.prepared import prepare
from denoisebench.datasets.reading import to_unit
from denoisebench.datasets.sidd import SIDDMedium
from denoisebench.datasets.views import NoisyViews
from denoisebench.noise import Real
from denoisebench.scoring.measures import psnr
from dnd_fixture import make_dnd
from sidd_fixture import make_blocks, make_frames

PAIRED = ("sidd_validation", "sidd_medium", "sidd_medium_frames", "polyu", "cc")
NOISY_ONLY = ("sidd_benchmark", "dnd")
TESTED = ("sidd_validation", "sidd_benchmark", "dnd", "polyu", "cc")
OWN_TRAINING = ("polyu", "cc")  # nothing else is like them: trained on their own noisy side, which rows say


def make_crops(folder: Path, count: int, suffix: str) -> None:
    """The layout of PolyU and CC: `<scene>_real.*` and `<scene>_mean.*` in one folder, here with little noise."""
    folder.mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        clean = rng.integers(30, 220, (4, 4, 3)).repeat(8, axis=0).repeat(8, axis=1)
        for side, pixels in (("mean", clean), ("real", clean + rng.integers(-9, 10, clean.shape))):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"Camera_{index}_{side}{suffix}", quality=100)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("everything")
    make_dnd(make_blocks(make_blocks(make_frames(root)), "benchmark"))
    prepare(SIDDMedium(root=str(root)), root / "SIDD" / "sidd_medium.h5", patch=32)
    make_crops(root / "PolyU" / "CroppedImages", 100, ".JPG")
    make_crops(root / "CC" / "Real_ccnoise_denoised_part", 15, ".png")
    return root


@pytest.fixture(autouse=True)
def _found(everything: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "data_root" not in request.fixturenames:
        monkeypatch.setenv("DENOISEBENCH_DATA", str(everything))


def of(dataset: str, *overrides: str) -> tuple[ImageSet, ImageSet]:
    """The test set of a data set, and what it is trained for on."""
    job = job_of(["method=sdap", f"dataset={dataset}", "noise=real", *overrides])
    assert job.learning is not None
    return job.test_set, job.learning.images


@pytest.mark.parametrize(
    ("dataset", "overrides"),
    [
        *((dataset, overrides) for dataset in (*PAIRED, *NOISY_ONLY) for overrides in ((), ("dataset.first=2",))),
        ("dnd", ("dataset.mode=whole",)), ("dnd", ("dataset.margin=4",)), ("sidd_validation", ("dataset.crop=8",)),
    ],
)  # fmt: skip
def test_each_set_keeps_the_contract(dataset: str, overrides: tuple[str, ...]) -> None:
    images, _ = of(dataset, *overrides)
    assert len(images.names) == len(set(images.names)) > 0
    assert ("-first2" in images.name) == (overrides == ("dataset.first=2",))
    assert (images.has_noisy, images.has_clean) == (True, dataset in PAIRED)
    assert impossible(images, Real()) is None
    assert images.fingerprint == of(dataset, *overrides)[0].fingerprint
    for index in {0, len(images.names) // 2, len(images.names) - 1}:
        sides = [images.noisy(index), *([images.clean(index)] if images.has_clean else [])]
        for image in sides:
            assert image.shape == (*images.size(index), 3) == (*image.shape[:2], images.channels)
            assert image.dtype == (np.float32 if dataset == "dnd" else np.uint8)
            assert 0 <= to_unit(image).min() <= to_unit(image).max() <= 1
        if not images.has_clean:
            with pytest.raises(ValueError, match="not public"):
                images.clean(index)


@pytest.mark.parametrize("dataset", TESTED)
def test_what_trains_is_apart_from_the_test_images_or_says_so(dataset: str) -> None:
    images, trains = of(dataset)
    assert bool(images.sources & trains.sources) == (dataset in OWN_TRAINING)
    _, itself = of(dataset, "train_set=transductive")
    assert itself.fingerprint == images.fingerprint
    _, named = of(dataset, "dataset.first=2", f"train_set={dataset}")
    assert (named.name, named.fingerprint) == (images.name, images.fingerprint)
    if dataset not in OWN_TRAINING:
        _, mixed = of(dataset, "train_set=mixed")
        assert mixed.names == (*(f"{trains.name}/{n}" for n in trains.names), *(f"{images.name}/{n}" for n in images.names))
        assert mixed.sources == trains.sources | images.sources


def test_the_crops_of_another_set_are_counted(everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_crops(tmp_path / "CC", 14, ".png")
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path))
    with pytest.raises(config.ConfigError, match=r"CC: expected 15 images, got 14; get it by `denoisebench data download cc`"):
        of("cc")


# ---------------------------------------------------------------------------------------------- the real files


def aligned(images: ImageSet) -> None:
    """Each noisy image is nearest to its own clean one."""
    clean = [to_unit(images.clean(index))[::8, ::8].ravel() for index in range(len(images.names))]
    for index in range(len(images.names)):
        noisy = to_unit(images.noisy(index))[::8, ::8].ravel()
        distances = [np.square(noisy - other).mean() for other in clean]
        assert int(np.argmin(distances)) == index


def test_the_noisy_images_of_polyu_have_their_published_score(data_root: Path) -> None:
    if not (data_root / "PolyU").is_dir():
        pytest.skip("PolyU is not here")
    images, trains = of("polyu")
    assert trains.name == "polyu"
    aligned(images)
    views = NoisyViews(images, Real(), 0, 1, ())
    scores = [psnr(batch.noisy, batch.clean).item() for batch in map(views.__getitem__, range(100)) if batch.clean is not None]
    assert np.mean(scores) == pytest.approx(35.97, abs=0.005)


@pytest.mark.slow
def test_the_command_gives_the_published_score_of_noisy_polyu(data_root: Path) -> None:
    assert main(["run", "method=noisy", "dataset=polyu", "noise=real", "pictures=0"]) == 0
    (rows,) = Path("runs/default/noisy/polyu/real").glob("*/rows.csv")
    scores = [float(row["psnr_db"]) for row in csv.DictReader(rows.read_text().splitlines())]
    assert (len(scores), round(np.mean(scores), 2)) == (100, 35.97)


def test_real_blocks_of_sidd_pair(data_root: Path) -> None:
    folder = data_root / "SIDD_val_5"
    if not folder.is_dir():
        pytest.skip("blocks of SIDD are not here")
    images, _ = of("folder", f"dataset.noisy={folder / 'noisy'}", f"dataset.clean={folder / 'clean'}")
    assert [images.size(index) for index in range(len(images.names))] == [(256, 256)] * 5
    aligned(images)


def test_real_patches_of_dnd_run_without_clean_images(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "DND_patches"
    if not folder.is_dir():
        pytest.skip("patches of DND are not here")
    (tmp_path / "few").mkdir()
    for name in ("01_noise.png", "32_noise.png"):
        (tmp_path / "few" / name).symlink_to(folder / name)
    assert main(["run", "method=noisy", "dataset=folder", f"dataset.noisy={tmp_path / 'few'}", "noise=real", "pictures=0"]) == 0
    (cell,) = Path("runs/default/noisy/few/real").iterdir()
    assert sorted(path.name for path in (cell / "images").iterdir()) == ["01_noise.png", "32_noise.png"]
    assert (cell / "rows.csv").read_text().count(",unscored,") == 2
