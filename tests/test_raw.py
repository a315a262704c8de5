"""Raw: planes as four channels and back, sRGB images taken back to a sensor, its noise, SIDD's raw files, what is refused."""

import base64
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat
from torch import Generator

from denoisebench.bayer import pack, unpack
from denoisebench.cli import main
from denoisebench.config import ConfigError, compose_one
from denoisebench.config.errors import DataError
from denoisebench.config.image_sets import Steps, image_set
from denoisebench.config.jobs import job_of
from denoisebench.datasets import sidd
from denoisebench.datasets.bayer import Packed, Unprocessed
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.sidd_raw import SIDDRawBlocks, SIDDRawMedium
from denoisebench.datasets.unprocessing import GAMMA, Camera, unprocessed
from denoisebench.datasets.verify import verify
from denoisebench.datasets.views import Training, TrainSteps, fixed_view
from denoisebench.noise import Gaussian, Raw, Real
from denoisebench.report.rows import read_study
from denoisebench.scoring.developed import Developed, develop, gray_world, order_of
from denoisebench.scoring.kept import image_hash
from denoisebench.scoring.protocol import Protocol
from denoisebench.study.lacking import Here
from denoisebench.study.limits import check
from sets_fixture import make_sets
from sidd_raw_fixture import SHAPE, make_raw_blocks, make_raw_frames, planes, save_v73

VALIDATION = "ValidationNoisyBlocksRaw"


# ---------------------------------------------------------------------------------------------------------- packing


def test_packing_is_the_row_major_order_of_a_cell_and_its_inverse_is_exact() -> None:
    plane = torch.arange(48.0).reshape(1, 1, 6, 8)
    packed = pack(plane)
    for channel, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        assert torch.equal(packed[0, channel], plane[0, 0, row::2, column::2])
    assert torch.equal(unpack(packed), plane)


# ------------------------------------------------------------------------------------------------------ unprocessing


def test_unprocessing_is_undone_by_the_camera_it_records() -> None:
    """A flat colour: its plane times gains and the inverse matrix, with gamma, is the colour again."""
    camera = Camera.drawn(7)
    assert sum(camera.mix) == pytest.approx(1)
    assert 1.9 <= camera.red <= 2.4
    assert 1.5 <= camera.blue <= 1.9
    image = np.full((5, 7, 3), (90, 120, 60), np.uint8)
    plane = unprocessed(image, camera)
    assert (plane.shape, plane.dtype) == ((4, 6, 1), np.uint16)
    raw = np.array([plane[0, 0, 0], plane[0, 1, 0], plane[1, 1, 0]]) / 65535
    assert plane[1, 0, 0] == plane[0, 1, 0]
    colours = raw * camera.gain * np.array([camera.red, 1, camera.blue])
    back = (np.linalg.inv(camera.matrix) @ colours) ** (1 / GAMMA) * 255
    np.testing.assert_allclose(back, (90, 120, 60), atol=0.2)


def test_white_stays_white_and_gray_is_gray() -> None:
    camera = Camera.drawn(3)
    np.testing.assert_allclose(camera.matrix @ np.ones(3), 1)
    assert (unprocessed(np.full((2, 2, 3), 255, np.uint8), camera) == 65535).all()


def a_folder(tmp_path: Path, name: str = "pictures", side: tuple[int, int] = (25, 36), channels: int = 3) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for number in range(3):
        small = np.random.default_rng([number, *name.encode()]).integers(0, 256, (4, 5, channels), np.uint8)
        image = cv2.resize(small, side[::-1], interpolation=cv2.INTER_LINEAR)
        assert cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_unprocessed_sets_are_functions_of_seed_and_name(tmp_path: Path) -> None:
    images = Folder(clean=str(a_folder(tmp_path)))
    one, same, other = Unprocessed(images, 0), Unprocessed(images, 0), Unprocessed(images, 1)
    np.testing.assert_array_equal(one.clean(1), same.clean(1))
    assert (one.clean(1) != other.clean(1)).any()
    assert one.camera(0) != one.camera(1)
    assert (one.name, other.name) == ("pictures-raw", "pictures-raw1")
    assert len({images.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert one.size(0) == one.clean(0).shape[:2] == (24, 36)


# -------------------------------------------------------------------------------------------------------------- noise


def test_raw_noise_has_the_variance_of_its_noise_level_function() -> None:
    clean = torch.full((1, 1, 400, 400), 0.3, dtype=torch.float64)
    noisy = Raw(shot=0.01, read=4e-4)(clean, Generator().manual_seed(0))
    variance = 0.01 * 0.3 + 4e-4
    assert noisy.mean().item() == pytest.approx(0.3, abs=4 * math.sqrt(variance) / 400)
    assert noisy.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2) / 400)


def test_each_image_draws_its_gain_and_the_read_noise_follows() -> None:
    noise = Raw()
    shot, read = noise.levels(torch.zeros(4000, 1, 1, 1, dtype=torch.float64), Generator().manual_seed(1))
    logs = shot.log().flatten().numpy()
    assert math.log(1e-4) <= logs.min() < math.log(1.2e-4)
    assert math.log(1e-2) < logs.max() <= math.log(1.2e-2)
    left = read.log().flatten().numpy() - (2.18 * logs + 1.20)
    assert left.mean() == pytest.approx(0, abs=0.02)
    assert left.std() == pytest.approx(0.26, abs=0.02)
    assert [one.name for one in (noise, Raw(shot=0.012), Raw(shot=0.01, read=1e-4))] == [
        "raw", "raw-shot0.012", "raw-shot0.01-read0.0001",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"noise\.read of raw noise is one variance"):
        Raw(read=(0.1, 0.2))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- development


def test_development_by_a_slow_loop() -> None:
    plane = torch.rand(1, 1, 6, 8, dtype=torch.float64)
    gains = gray_world(plane)
    found = develop(plane, gains)[0]
    seen = {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}
    weights = {0: {0: 4, 1: 2, 2: 1}, 1: {0: 4, 1: 1}}
    for row in range(6):
        for column in range(8):
            for colour in range(3):
                total = weight = 0.0
                for y in range(max(row - 1, 0), min(row + 2, 6)):
                    for x in range(max(column - 1, 0), min(column + 2, 8)):
                        if seen[y % 2, x % 2] == colour:
                            own = weights[colour % 2].get(abs(y - row) + abs(x - column), 0)
                            total, weight = total + own * plane[0, 0, y, x].item(), weight + own
                expected = min(total / weight * gains[0, colour].item(), 1) ** (1 / 2.2)
                assert found[colour, row, column].item() == pytest.approx(expected, abs=1e-9)


def test_gray_world_makes_the_means_equal_and_greens_are_found() -> None:
    gray = np.random.default_rng(0).uniform(0.2, 0.4, (40, 40, 3))
    image = gray * (0.5, 1.0, 0.7)
    plane = np.empty((40, 40))
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        plane[row::2, column::2] = image[row::2, column::2, colour]
    rggb = torch.from_numpy(plane)[None, None]
    np.testing.assert_allclose(gray_world(rggb).flatten(), [2, 1, 1 / 0.7], rtol=0.02)
    assert order_of(rggb) == "rggb"
    assert order_of(torch.roll(rggb, 1, dims=3)) == "grbg"


def test_the_developed_protocol_scores_pictures_and_refuses_other_images() -> None:
    clean = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    denoised = (clean + 0.05 * torch.randn(clean.shape)).clamp(0, 1)
    gains = gray_world(clean)
    expected = Protocol("default").score(develop(denoised, gains), develop(clean, gains))
    for ours, theirs in zip(Developed("developed").score(denoised, clean), expected, strict=True):
        assert ours.item() == pytest.approx(theirs.item())
    with pytest.raises(ValueError, match="scores Bayer planes"):
        Developed("developed").score(denoised.expand(1, 3, 16, 16), clean.expand(1, 3, 16, 16))


# ---------------------------------------------------------------------------------------------------- SIDD's raw files


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("FRAMES", "BLOCKS", "SIDE"), SHAPE, strict=False):
        monkeypatch.setattr(sidd, name, value)


@pytest.mark.parametrize("how", ["v5", "compressed", "v7.3"])
@pytest.mark.usefixtures("small")
def test_blocks_of_both_versions_of_matlab_are_the_same_planes(tmp_path: Path, how: str) -> None:
    root = make_raw_blocks(tmp_path, v73=how == "v7.3", compressed=how == "compressed")
    images = Packed(SIDDRawBlocks(root=str(root)))
    assert (images.name, len(images.names), images.channels, images.size(5)) == ("sidd_raw_validation", 12, 4, (16, 16))
    expected = planes(VALIDATION)
    for index, name in enumerate(images.names):
        frame, block = map(int, name.split("_"))
        found = images.noisy(index)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[..., 0], expected[frame, block])
    np.testing.assert_array_equal(images.clean(0)[..., 0], planes("ValidationGtBlocksRaw")[0, 0])
    assert images.scene(5) == "0001"


@pytest.mark.usefixtures("small")
def test_uncompressed_blocks_are_mapped_not_loaded(tmp_path: Path) -> None:
    images = SIDDRawBlocks(root=str(make_raw_blocks(tmp_path)))
    assert isinstance(images._array(images._files[0]), np.memmap)


@pytest.mark.usefixtures("small")
def test_what_a_raw_file_lacks_is_said(tmp_path: Path) -> None:
    root = make_raw_blocks(tmp_path, v73=True)
    path = root / "SIDD" / f"{VALIDATION}.mat"
    save_v73(path, "other", planes("x"))
    with pytest.raises(ValueError, match=rf"{VALIDATION}\.mat: it holds other, expected {VALIDATION} in single or double; fetch"):
        SIDDRawBlocks(root=str(root))
    savemat(path, {VALIDATION: planes("x").astype(np.float64)})
    with pytest.raises(ValueError, match=f"its {VALIDATION} is of another type, expected float32"):
        SIDDRawBlocks(root=str(root))
    save_v73(path, VALIDATION, planes("x").astype(np.uint16))
    with pytest.raises(ValueError, match=rf"its {VALIDATION} is in uint16, expected single or double; fetch it again"):
        SIDDRawBlocks(root=str(root))
    save_v73(path, VALIDATION, planes("x")[..., None])
    with pytest.raises(ValueError, match="expected blocks of"):
        SIDDRawBlocks(root=str(root))
    save_v73(path, VALIDATION, planes("x") * 1023)
    with pytest.raises(ValueError, match=r"span \d+ to 10\d\d, expected \[0, 1\]: black level"):
        SIDDRawBlocks(root=str(root)).noisy(0)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match="fetch it again"):
        SIDDRawBlocks(root=str(root))


def test_medium_frames_are_cut_at_even_places_and_read_in_part(tmp_path: Path) -> None:
    """71 columns: the release's last patch would begin at column 39, where the colours change their order."""
    root = make_raw_frames(tmp_path)
    images = SIDDRawMedium(root=str(root), side=32, step=16)
    assert (len(images.frames), images.has_clean) == (6, True)
    places = {tuple(map(int, name.split("_")[-2:])) for name in images.names}
    assert places == {(top, left) for top in (0, 16, 18) for left in (0, 16, 32, 38)}
    index = images.names.index("0002_NOISY_RAW_011_0018_0038")
    for kind, read in (("NOISY", images.noisy), ("GT", images.clean)):
        with h5py.File(next(root.glob(f"SIDD/Data/0002*/*_{kind}_RAW_011.MAT"))) as file:
            whole = np.asarray(file["x"]).T
        np.testing.assert_array_equal(read(index)[..., 0], whole[18:50, 38:70])
    with pytest.raises(ValueError, match=r"dataset\.side=31"):
        SIDDRawMedium(root=str(root), side=31)
    with pytest.raises(ValueError, match=r"50 x 71, smaller than dataset\.side=512"):
        SIDDRawMedium(root=str(root))
    save_v73(next(root.glob("SIDD/Data/0001*/*_NOISY_RAW_010.MAT")), "y", np.zeros((50, 71), np.float32))
    with pytest.raises(ValueError, match="it holds y, expected x in single or double"):
        SIDDRawMedium(root=str(root), side=32)


@pytest.mark.usefixtures("small")
def test_data_verify_reads_raw_sets(tmp_path: Path) -> None:
    root = make_raw_frames(make_raw_blocks(tmp_path))
    verdict = verify("sidd_raw_validation", str(root))
    assert (verdict.files, verdict.problems) == (24, [])
    (root / "SIDD" / f"{VALIDATION}.mat").unlink()
    with pytest.raises(FileNotFoundError, match="denoisebench data download sidd_raw_validation"):
        verify("sidd_raw_validation", str(root))


# --------------------------------------------------------------------------------------------------------- what is refused


def test_planes_that_packing_would_break_are_refused(tmp_path: Path) -> None:
    odd = Folder(clean=str(a_folder(tmp_path, "odd", (25, 36), 1)), channels=1)
    with pytest.raises(ValueError, match="odd, 0: 25 x 36 is no plane of whole 2 x 2 Bayer cells"):
        Packed(odd)
    even = Folder(clean=str(a_folder(tmp_path, "even", (26, 36), 1)), channels=1)
    with pytest.raises(ValueError, match=r"dataset\.crop=9: a crop of Bayer planes has an even side"):
        Packed(even, 9)
    colour = Folder(clean=str(a_folder(tmp_path, "colour")))
    with pytest.raises(ValueError, match=r"has 3: dataset\.unprocess=0"):
        Packed(colour)
    with pytest.raises(ValueError, match="takes clean sRGB images back to raw, and even is not RGB"):
        Unprocessed(even, 0)
    with pytest.raises(ValueError, match="brings noisy images"):
        Unprocessed(Folder(noisy=str(tmp_path / "colour")), 0)


def test_a_crop_keeps_the_order_of_colours(tmp_path: Path) -> None:
    images = Folder(clean=str(a_folder(tmp_path, "even", (26, 36), 1)), channels=1)
    cropped = Packed(images, 12)
    np.testing.assert_array_equal(cropped.clean(0), images.clean(0)[6:18, 12:24])  # 7 would be the middle
    assert (cropped.name, cropped.size(0)) == ("even-bayer-crop12", (12, 12))


def test_settings_that_do_not_go_together_are_said(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    own = ["method=nlm", "dataset=folder", f"dataset.clean={folder}"]
    with pytest.raises(ConfigError, match=r"dataset\.pack=quad is not valid"):
        job_of([*own, "dataset.pack=quad"])
    with pytest.raises(ConfigError, match=r"dataset\.unprocess=true is not valid|dataset\.unprocess=True is not valid"):
        job_of([*own, "dataset.unprocess=true"])
    odd = a_folder(tmp_path, "odd", channels=1)
    with pytest.raises(DataError, match=r"odd, 0: 25 x 36 is no plane"):
        job_of(["method=nlm", "dataset=folder", f"dataset.clean={odd}", "dataset.pack=bayer"])


def test_colours_never_become_gray_on_the_way_to_bayer_planes(tmp_path: Path) -> None:
    colour, gray = a_folder(tmp_path, "colour", (24, 36)), a_folder(tmp_path, "gray", (24, 36), 1)
    pack = ["method=nlm", "dataset=folder", "dataset.pack=bayer"]
    node = {"_target_": "denoisebench.datasets.folder.Folder", "clean": str(colour), "channels": 3, "pack": "bayer"}
    images = image_set(node, "dataset", Steps("bayer"))
    with pytest.raises(ValueError, match=r"0\.png: is RGB, and dataset\.pack=bayer packs planes.*dataset\.unprocess=0"):
        images.clean(0)
    planes_of = image_set({**node, "clean": str(gray)}, "dataset", Steps("bayer"))
    assert (planes_of.name, planes_of.channels) == ("gray-bayer", 4)
    np.testing.assert_array_equal(planes_of.clean(0)[..., 0], cv2.imread(str(gray / "0.png"), cv2.IMREAD_UNCHANGED))
    assert job_of([*pack, f"dataset.clean={gray}", "noise=gaussian25"]).test_set.channels == 4


@pytest.mark.parametrize(("colour", "step"), [(True, "dataset.pack=bayer"), (False, "dataset.unprocess=0")])
def test_files_that_no_planes_can_be_made_of_are_told_with_a_way_out(colour: bool, step: str, tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "own", (24, 36), 3 if colour else 1)
    lacks = Here().lacks(job_of(["method=nlm", "dataset=folder", f"dataset.clean={folder}", step, "noise=raw"]))
    assert lacks is not None
    assert "dataset.channels" not in lacks  # they follow from the step, whatever is set
    assert "dataset.pack=bayer alone takes planes of one channel, dataset.unprocess=SEED takes RGB images" in lacks


def test_what_unprocessing_and_packing_cannot_take_is_told_of_the_set(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "some", (24, 36))
    raw = SIDDRawBlocks(root=str(make_raw_blocks(tmp_path / "data")))
    own = {"_target_": "denoisebench.datasets.sidd_raw.SIDDRawBlocks", "root": str(tmp_path / "data"), "channels": 4}
    with pytest.raises(DataError, match=rf"{raw.name} brings noisy images: set it to null"):
        image_set(own, "dataset", Steps("bayer", 0))
    with pytest.raises(DataError, match=rf"{raw.name} holds Bayer planes, .* set dataset\.pack=bayer"):
        image_set(own, "dataset", Steps())
    gray = {"_target_": "denoisebench.datasets.folder.Folder", "clean": str(folder), "channels": 1}
    with pytest.raises(DataError, match=r"some is not RGB: set it to null"):
        image_set(gray, "dataset", Steps(None, 0))
    sets = make_sets(tmp_path / "sets")
    kodak = {"_target_": "denoisebench.datasets.standard.Standard", "which": "kodak", "root": str(sets)}
    for channels in (1, 3, 4):
        with pytest.raises(DataError, match=r"kodak has 3: dataset\.unprocess=0 makes raw planes"):
            image_set({**kodak, "channels": channels}, "dataset", Steps("bayer"))


class OwnPlanes(Unprocessed):
    """As a set of another package, which knows nothing of `mosaic`."""

    packed = False

    def __init__(self, clean: str, channels: int) -> None:
        super().__init__(Folder(clean=clean), 0)
        if channels != 1:
            raise ValueError(f"dataset.channels is 1: these are planes; it is {channels}")
        self.channels = channels


def test_planes_of_another_package_are_packed(tmp_path: Path) -> None:
    own = {"_target_": f"{__name__}.OwnPlanes", "clean": str(a_folder(tmp_path, "own"))}
    for key, channels in (("dataset", 4), ("train_set", 1)):
        assert image_set({**own, "channels": channels}, key, Steps("bayer")).name == "own-raw-bayer"


def test_the_way_out_for_a_training_set_names_keys_that_there_are(tmp_path: Path) -> None:
    sets = make_sets(tmp_path / "sets")
    kodak = {"_target_": "denoisebench.datasets.standard.Standard", "which": "kodak", "root": str(sets), "channels": 4}
    with pytest.raises(DataError, match=r"^dataset\.pack=bayer packs.*: dataset\.unprocess=0 .*; dataset\.pack=null takes"):
        image_set(kodak, "train_set", Steps("bayer"))
    raw = {"_target_": "denoisebench.datasets.sidd_raw.SIDDRawBlocks", "root": str(sets), "channels": 4}
    with pytest.raises(DataError, match=r"set dataset\.pack=bayer"):
        image_set(raw, "train_set", Steps())
    with pytest.raises(DataError, match=r"train_set\.crop=3: a crop of Bayer planes"):
        image_set({**raw, "crop": 3}, "train_set", Steps("bayer"))


def test_training_patches_keep_the_cells_whole(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    folder.mkdir()
    cell = np.tile(np.array([[10, 20], [30, 40]], np.uint8), (13, 18))
    assert cv2.imwrite(str(folder / "0.png"), cell)
    images = Packed(Folder(clean=str(folder), channels=1))
    steps = TrainSteps(images, Gaussian(), Training(steps=9, patch=8, batch=4, noise="fresh"), 0, 0, need_clean=False)
    for number in range(5):
        clean = steps.step(number).clean
        assert clean is not None
        assert (pack(clean) * 255).round().amax(dim=(0, 2, 3)).tolist() == [10, 20, 30, 40]
        assert (pack(clean) * 255).round().amin(dim=(0, 2, 3)).tolist() == [10, 20, 30, 40]


# ------------------------------------------------------------------------------------------------------- whole cells


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every method that raw names, on raw files of the real layout and on sRGB images taken back to raw."""
    place = tmp_path_factory.mktemp("raw")
    root = make_raw_frames(make_raw_blocks(make_raw_blocks(place / "data"), "benchmark", v73=True), scenes=1)
    folder = a_folder(place)
    short = ["training.steps=2", "training.batch=2", "training.patch=16", "trainer=cpu"]
    sidd_own = ["dataset=sidd_raw_validation", "dataset.first=2", "noise=real", "protocol=[sidd_raw]", "train_set.side=16",
                "train_set.step=16"]  # fmt: skip
    made = ["dataset=folder", f"dataset.clean={folder}", "dataset.first=1", "dataset.unprocess=0", "noise=raw",
            "protocol=[sidd_raw,developed]"]  # fmt: skip
    other = [f"train_set.clean={a_folder(place, 'others')}", "train_set=folder"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("FRAMES", "BLOCKS", "SIDE"), SHAPE, strict=False):
            patch.setattr(sidd, name, value)
        patch.setenv("DENOISEBENCH_DATA", str(root))
        patch.chdir(place)
        assert main(["run", "-m", "study=sidd", "budget=smoke", "method=noisy,neighbor2neighbor",
                     "method.neighbor2neighbor.features=4",
                     *sidd_own, *short]) == 0  # fmt: skip
        assert main(["run", "-m", "study=made", "method=noisy,zsn2n,bm3d", "method.zsn2n.steps=2", "repeats=2", *made]) == 0
        assert main(["run", "study=made", "budget=smoke", "method=noise2noise", "method.features=4", *made, *other, *short]) == 0
        assert main(["run", "study=bench", "method=noisy", "dataset=sidd_raw_benchmark", "noise=real"]) == 0
        assert main(["run", "study=cropped", "method=noisy", "dataset=sidd_raw_benchmark", "noise=real", "dataset.crop=8"]) == 0
        yield place


def test_every_method_gives_planes_that_are_scored(runs: Path) -> None:
    rows = read_study(runs / "runs" / "sidd")
    assert {row["method"].partition("[")[0] for row in rows} == {"noisy", "neighbor2neighbor"}
    noisy = next(row for row in rows if row["method"] == "noisy" and row["image"] == "0000_00")
    clean, seen = (torch.from_numpy(planes(name)[0, 0])[None, None] for name in ("ValidationGtBlocksRaw", VALIDATION))
    kept = (seen.double() * 65535).round() / 65535
    psnr = -10 * torch.log10((kept - clean.double()).square().mean())
    assert float(noisy["psnr_db"]) == pytest.approx(psnr.item(), abs=1e-6)
    assert noisy["noisy_sha"] == image_hash(seen[0])
    rows = read_study(runs / "runs" / "made")
    assert {(row["method"].partition("[")[0], row["protocol"]) for row in rows} == {
        (method, protocol) for method in ("noisy", "zsn2n", "bm3d", "noise2noise") for protocol in ("sidd_raw", "developed")
    }
    assert all(float(row["psnr_db"]) > 5 for row in rows)
    scores = {(row["method"].partition("[")[0], row["protocol"], row["repeat"]): float(row["psnr_db"]) for row in rows}
    for protocol, least in (("sidd_raw", 0.5), ("developed", 0.5)):  # measured: 2.6 and 1.0 dB, 4.0 and 1.4 dB
        assert all(scores["bm3d", protocol, repeat] > scores["noisy", protocol, repeat] + least for repeat in "01")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["blind2unblind", "noise2clean"])
def test_other_methods_train_on_raw_frames(runs: Path, method: str) -> None:
    own = ["dataset=sidd_raw_validation", "dataset.first=1", "noise=real", "protocol=[sidd_raw]", "train_set.side=16"]
    short = ["training.steps=2", "training.batch=2", "training.patch=16", "method.features=4", "trainer=cpu"]
    assert main(["run", f"study={method}", "budget=smoke", f"method={method}", *own, *short]) == 0
    [row] = read_study(Path("runs") / method)
    assert float(row["psnr_db"]) > 3


def test_outputs_are_kept_as_planes_and_cameras_are_recorded(runs: Path) -> None:
    cell = next((runs / "runs/made/noisy/pictures-first1-raw/raw").iterdir())
    kept = cv2.imread(str(cell / "images" / "0.png"), cv2.IMREAD_UNCHANGED)
    assert kept is not None
    assert (kept.shape, kept.dtype) == ((24, 36), np.uint16)
    picture = cv2.imread(str(cell / "pictures" / "0.png"))
    assert picture is not None
    assert picture.std(axis=2).max() > 5  # developed: in colour
    cameras = json.loads((cell / "manifest.json").read_text())["cameras"]
    assert set(cameras) == {"0"}
    assert Camera(**{**cameras["0"], "mix": tuple(cameras["0"]["mix"])}) == Unprocessed(
        Folder(clean=str(runs / "pictures"), first=1), 0
    ).camera(0)


def test_levels_of_noise_are_recorded_for_each_repeat(runs: Path) -> None:
    """With those that are recorded the noise is what it was."""
    cell = next((runs / "runs/made/noisy/pictures-first1-raw/raw").iterdir())
    images = Unprocessed(Folder(clean=str(runs / "pictures"), first=1), 0)
    levels = json.loads((cell / "manifest.json").read_text())["noise_levels"]
    assert set(levels) == {"0"}
    assert len(levels["0"]) == 2
    assert levels["0"][0] != levels["0"][1]
    rows = [row for row in read_study(runs / "runs" / "made") if row["method"] == "noisy" and row["protocol"] == "sidd_raw"]
    for row in rows:
        own = levels["0"][int(row["repeat"])]
        assert 1e-4 <= own["shot"] <= 1.2e-2
        told = fixed_view(images, Raw(**own), 0, 0, int(row["repeat"]))[0]
        seen, clean = fixed_view(images, Raw(), 0, 0, int(row["repeat"]))
        assert row["noisy_sha"] == image_hash(seen[0])
        assert torch.allclose(told, seen, rtol=0, atol=1e-6)
        assert clean is not None
        variance = own["shot"] * clean.mean().item() + own["read"]
        assert (seen - clean).var().item() == pytest.approx(variance, rel=0.3)  # of 864 values
    assert len(rows) == 2
    real = json.loads(next((runs / "runs/bench").rglob("manifest.json")).read_text())
    assert not {"cameras", "noise_levels"} & set(real)


def test_the_raw_bundle_is_that_of_the_server(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next((runs / "runs/bench/noisy/sidd_raw_benchmark/real").iterdir())
    assert main(["submit", "sidd-raw", str(cell), "--authors", "A and B"]) == 0
    assert "12 pieces in float32" in capsys.readouterr().out
    assert main(["verify-submission", str(cell / "submission" / "SubmitRaw.mat")]) == 0
    assert "sidd-raw, 12 pieces of 16 x 16 in float32" in capsys.readouterr().out
    with h5py.File(cell / "submission" / "SubmitRaw.mat") as file:
        blocks: Any = file["DenoisedBlocksRaw"]
        assert blocks.shape == SHAPE[1::-1]
        assert set(file) == {"#refs#", "DenoisedBlocksRaw", "TimeMPRaw", "OptionalData"}
        block: Any = file[blocks[2, 1]]
        assert (block.dtype, block.attrs["MATLAB_class"]) == (np.float32, b"single")
        np.testing.assert_allclose(np.asarray(block).T, planes("BenchmarkNoisyBlocksRaw")[1, 2], atol=0.6 / 65535)


def test_the_raw_csv_is_that_of_kaggle(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next((runs / "runs/bench/noisy/sidd_raw_benchmark/real").iterdir())
    assert main(["submit", "sidd-raw-kaggle", str(cell)]) == 0
    said = capsys.readouterr().out
    assert "12 pieces in float32" in said
    assert "sidd-benchmark-raw-psnr" in said
    path = cell / "submission" / "SubmitRaw.csv"
    head, *lines = path.read_bytes().decode("ascii").removesuffix("\n").split("\n")
    assert head == "ID,BLOCK"
    assert [line.partition(",")[0] for line in lines] == [str(number) for number in range(12)]
    noisy = planes("BenchmarkNoisyBlocksRaw")
    for number, line in enumerate(lines):
        block = np.frombuffer(base64.b64decode(line.partition(",")[2]), "<f4").reshape(SHAPE[2:])
        np.testing.assert_allclose(block, noisy[number // SHAPE[1], number % SHAPE[1]], rtol=0, atol=0.6 / 65535)
    assert main(["verify-submission", str(path)]) == 0
    assert "sidd-raw-kaggle, 12 pieces of 16 x 16 in float32" in capsys.readouterr().out
    wrong = np.full(SHAPE[2:], 2, "<f4")
    for change, text in (
        (f"3,{base64.b64encode(wrong.tobytes()).decode()}", "number 3: values from 2 to 2, expected [0, 1]"),
        (f"3,{base64.b64encode(wrong[1:].tobytes()).decode()}", "after line 4: 960 bytes of number '3' are no square block"),
        (f"3,{base64.b64encode(wrong[:8, :8].tobytes()).decode()}", "number 3: expected (16, 16) in float32, got (8, 8)"),
    ):
        path.write_text("\n".join([head, *lines[:3], change, *lines[4:], ""]))
        assert main(["verify-submission", str(path)]) == 1
        assert text in capsys.readouterr().err
    path.write_text(f"{head}\n0,{base64.b64encode(wrong.astype('<f8').tobytes()).decode()}\n")
    assert main(["verify-submission", str(path)]) == 1
    assert "number 0: its values are in float64, expected float32; write it again by `denoisebench submit sidd-raw-kaggle" in (
        capsys.readouterr().err
    )


def test_a_dry_run_of_the_raw_csv_scores_its_planes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study=dry", "method=noisy", "dataset=sidd_raw_validation", "noise=real", "protocol=[sidd_raw]"]) == 0
    cell = next(Path("runs/dry/noisy/sidd_raw_validation/real").iterdir())
    rows = read_study(Path("runs/dry"))
    assert main(["submit", "sidd-raw-kaggle", str(cell), "--dry-run"]) == 0
    psnr = np.mean([float(row["psnr_db"]) for row in rows])
    assert f"12 pieces as sidd-raw-kaggle sends them: PSNR {psnr:.4f} dB" in capsys.readouterr().out


def test_a_cropped_raw_cell_is_no_submission(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next((runs / "runs/cropped/noisy/sidd_raw_benchmark-crop8/real").iterdir())
    for kind in ("sidd-raw", "sidd-raw-kaggle"):
        assert main(["submit", kind, str(cell)]) == 2
        said = capsys.readouterr().err
        assert "not the whole of sidd_raw_benchmark" in said
        assert "without dataset.first, frames, blocks and crop" in said


@pytest.mark.parametrize(
    ("method", "sides", "others"),
    [
        ("neighbor2neighbor", (256, 256), {"regularizer": (1.0, 2.0)}),
        ("blind2unblind", (256, 128), {"ramp_start": (0.4, 0.8)}),
        ("noise2noise", (256, 256), {}),
        ("noise2clean", (256, 256), {}),
    ],
)
def test_raw_planes_have_recipes_of_their_own(
    method: str, sides: tuple[int, int], others: dict[str, tuple[float, float]]
) -> None:
    kinds = [("dataset=sidd_raw_validation", "noise=real"), ("dataset=kodak", "dataset.unprocess=0", "noise=raw")]
    for number, own in enumerate([*kinds, ("dataset=kodak",), ("dataset=set12",)]):
        place = 0 if number < len(kinds) else 1
        found = compose_one((f"method={method}", *own))
        assert found.plain["training"]["patch"] == sides[place]
        expected = {"lr": (1e-4, 3e-4)[place], **{key: values[place] for key, values in others.items()}}
        assert {key: found.plain["method"][key] for key in expected} == expected
        assert found.changed == ()  # they are this method as published
        assert compose_one((f"method={method}", *own, "budget=quick")).plain["method"]["lr"] == 1e-3


def test_raw_noise_needs_raw_planes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study=no", "method=noisy", "dataset=folder", f"dataset.clean={runs / 'pictures'}", "noise=raw"]) == 0
    assert "skipped  noisy | pictures | raw | seed 0: pictures holds no raw planes" in (said := capsys.readouterr().err)
    assert "set dataset.unprocess=0" in said


def test_sets_of_planes_are_not_given_as_three_channels(runs: Path) -> None:
    shutil.rmtree(runs / "runs" / "no", ignore_errors=True)
    with pytest.raises(DataError, match=r"sidd_raw_validation holds Bayer planes.*set dataset\.pack=bayer"):
        job_of(["method=noisy", "dataset=sidd_raw_validation", "dataset.pack=null", "noise=real"])
    assert job_of(["method=noisy", "dataset=sidd_raw_validation", "noise=real"]).test_set.channels == 4
    assert isinstance(job_of(["method=noisy", "dataset=sidd_raw_validation", "noise=real"]).noise, Real)


def test_an_ensemble_of_bayer_planes_is_refused(runs: Path) -> None:
    """A flipped plane has its colours at other places of a cell; flipped channels keep their colours, but not their places."""
    plane = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert not torch.equal(pack(plane.flip(-1)), pack(plane).flip(-1))
    job = job_of(["method=nlm", "dataset=sidd_raw_validation", "noise=real", "ensemble=dihedral"])
    with pytest.raises(ConfigError, match=r"ensemble=dihedral: .*sidd_raw_validation holds Bayer planes.*leave ensemble out"):
        check(job, 1)


def test_noisy_planes_are_not_called_worse_than_themselves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Pictures developed from dark planes have a far lower PSNR than the planes."""
    folder = tmp_path / "dark"
    folder.mkdir()
    for number in range(2):
        image = np.random.default_rng(number).integers(20, 40, (40, 40, 3)).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), image)
    own = ("dataset=folder", f"dataset.clean={folder}", "dataset.unprocess=0", "noise=raw", "protocol=[developed,sidd_raw]")
    assert main(["run", "method=noisy", *own, "pictures=0", "trainer=cpu"]) == 0
    assert "below its noisy inputs" not in capsys.readouterr().err
    rows = read_study(Path("runs/default"))
    means = {name: np.mean([row["psnr_db"] for row in rows if row["protocol"] == name]) for name in ("developed", "sidd_raw")}
    assert means["developed"] < means["sidd_raw"] - 3, "what would have been said to be harm"


def test_reports_show_raw_images_developed(runs: Path) -> None:
    assert main(["report", str(runs / "runs" / "made")]) == 0
    folder = runs / "runs" / "made"
    [inputs] = (folder / "report" / "developed").glob("*/inputs")
    for path in [*inputs.iterdir(), *inputs.parent.glob("*/images/*.png")]:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert (picture.shape, picture.dtype) == ((24, 36, 3), np.uint8)
    assert len(list(inputs.parent.glob("*/images/0.png"))) == 4
    for page in ("report.md", "report.html"):
        assert "gray-world white balance" in (folder / page).read_text()
