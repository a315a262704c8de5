"""`import denoisebench`, as a Python user meets it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import denoisebench
from denoisebench.config import ConfigError
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import isolated_rng, seed_from
from jobs import built, computed

RNG = np.random.default_rng(5)
CLEAN = np.stack([np.tile(np.linspace(0.2, 0.8, 40), (36, 1)) ** power for power in (1, 1.5, 2)], -1)
NOISY = np.clip(CLEAN + 0.08 * RNG.standard_normal(CLEAN.shape), 0, 1)


def stored(image: np.ndarray, dtype: str) -> np.ndarray:
    white = {"uint8": 255, "uint16": 65535}.get(dtype)
    return image.astype(dtype) if white is None else np.floor(image * white + 0.5).astype(dtype)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_import_is_light() -> None:
    """Under 50 ms of this process, the best of three; nothing heavy comes with it."""
    code = (
        "import sys, time; began = time.process_time(); import denoisebench; print(time.process_time() - began);"
        "dir(denoisebench); heavy = {'torch', 'numpy', 'hydra', 'pandas'} & set(sys.modules); sys.exit(str(heavy or '') or 0)"
    )
    done = [run_python(code) for _ in range(3)]
    assert all(one.returncode == 0 for one in done), done[0].stderr
    assert min(float(one.stdout) for one in done) < 0.05


def test_every_public_name_is_there_and_no_other() -> None:
    for name in denoisebench.__all__:
        assert callable(getattr(denoisebench, name))
        assert name in dir(denoisebench)
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        denoisebench.denoize  # noqa: B018  # type: ignore[attr-defined]


@pytest.mark.parametrize("before", ["", "import denoisebench.methods.nlm; "])
def test_methods_is_a_function_and_a_package_whichever_is_used_first(before: str) -> None:
    code = (
        f"{before}import denoisebench; names = [m.name for m in denoisebench.methods()]; import denoisebench.methods.nlm as nlm;"
    )
    done = run_python(code + "print('zsn2n' in names, nlm.NLM.learns, denoisebench.methods.nlm is nlm)")
    assert done.stdout == "True nothing True\n", done.stderr


def test_methods_say_what_they_learn_from() -> None:
    found = {one.name: one for one in denoisebench.methods()}
    assert (found["nlm"].learns, found["zsn2n"].learns, found["apbsn"].learns) == ("nothing", "image", "dataset")
    assert {name for name, one in found.items() if one.supervised} == {"ffdnet", "noise2clean", "noise2noise"}
    assert all(one.summary.endswith(".") for one in found.values())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64", ">u2", ">f4"])
@pytest.mark.parametrize("gray", [True, False])
def test_arrays_come_back_in_their_type(dtype: str, gray: bool) -> None:
    plain = stored(NOISY[..., 0] if gray else NOISY, np.dtype(dtype).newbyteorder("=").name)
    image = plain.astype(dtype)
    before = image.copy()
    output = denoisebench.denoise(image, "tv", sigma=20)
    assert (output.shape, output.dtype) == (image.shape, image.dtype)
    assert np.array_equal(image, before)
    clean = stored(CLEAN[..., 0] if gray else CLEAN, np.dtype(dtype).newbyteorder("=").name).astype(dtype)
    assert np.abs(output.astype(float) - clean).mean() < 0.6 * np.abs(image.astype(float) - clean).mean()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", ["hw", "chw", "nchw"])
def test_tensors_come_back_in_their_type_and_agree_with_arrays(dtype: torch.dtype, shape: str) -> None:
    array = stored(NOISY, str(dtype).removeprefix("torch."))
    expected = denoisebench.denoise(array if shape != "hw" else array[..., 0], "tv", sigma=20)
    planes = torch.from_numpy(array.transpose(2, 0, 1).copy())
    given = {"hw": planes[0], "chw": planes, "nchw": torch.stack([planes, planes.flip(1)])}[shape]
    output = denoisebench.denoise(given, "tv", sigma=20)
    assert (output.shape, output.dtype) == (given.shape, given.dtype)
    first = output[0] if shape == "nchw" else output
    assert np.array_equal((first if shape == "hw" else first.permute(1, 2, 0)).numpy(), expected)


def test_integers_are_rounded_half_up_and_clipped_floats_are_left() -> None:
    image = stored(NOISY, "uint8")
    unit = image / 255.0
    exact = denoisebench.denoise(unit, "tv", sigma=20)
    assert np.array_equal(denoisebench.denoise(image, "tv", sigma=20), np.clip(np.floor(exact * 255 + 0.5), 0, 255))
    outside = denoisebench.denoise(unit * 1.6 - 0.3, "tv", sigma=5)
    assert outside.min() < 0 < 1 < outside.max()


def test_it_is_what_the_method_itself_gives() -> None:
    """The same method built from the same configuration, seeded as documented: not a pixel differs."""
    image = NOISY[..., 0].astype(np.float32)
    with isolated_rng(seed_from(3, "weights")):
        method = built("method=zsn2n", "dataset=folder", "dataset.noisy=.", "dataset.channels=1", "noise=real", "method.steps=5")
    with isolated_rng(seed_from(3, "denoise")), torch.no_grad():
        expected = method.denoise(torch.from_numpy(image)[None, None])[0, 0].numpy()
    assert np.array_equal(denoisebench.denoise(image, "zsn2n", seed=3, steps=5), expected)
    assert not np.array_equal(denoisebench.denoise(image, "zsn2n", seed=4, steps=5), expected)


def test_a_seed_repeats_and_the_callers_generators_stay() -> None:
    image = NOISY[..., 0]
    state = torch.get_rng_state()
    first = denoisebench.denoise(image, seed=1, steps=3)
    assert np.array_equal(first, denoisebench.denoise(image, seed=1, steps=3))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (NOISY[..., :2], ValueError, "image[..., :3]"),
        (np.dstack([NOISY, NOISY[..., :1]]), ValueError, "alpha"),
        (np.zeros((0, 5)), ValueError, "expected an image"),
        (np.zeros(5), ValueError, "expected an image"),
        (torch.zeros(2, 4, 5), ValueError, "(C, H, W)"),
        (np.zeros((5, 5), bool), TypeError, "bool has no known range"),
        (np.zeros((5, 5), np.int32), TypeError, "int32 has no known range"),
        (torch.zeros(5, 5, dtype=torch.int64), TypeError, "int64 has no known range"),
        (np.full((5, 5), np.nan), ValueError, "the image has 25 NaN or infinite values"),
        (np.full((5, 5), 255.0), ValueError, "divide by the white level"),
        ([[0.5]], TypeError, "np.asarray"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        denoisebench.denoise(image, "nlm")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("zsn2m", {}, "did you mean zsn2n"),
        ("zsn2n", {"stesp": 3}, "no key method.stesp of method=zsn2n; did you mean method.steps"),
        ("zsn2n", {"steps": "many"}, "method.steps=many is not valid; expected an integer"),
        ("zsn2n", {"halvings": object()}, "expected a number, a text"),
        ("zsn2n", {"budget": "quik"}, "no budget quik; did you mean quick"),
        ("neighbor2neighbor", {}, "denoisebench.train(images, method='neighbor2neighbor')"),
        ("zsn2n", {"steps": 1, "tile": 16}, "does not work in tiles"),
    ],
)
def test_settings_that_are_not_valid_name_the_right_ones(method: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        denoisebench.denoise(NOISY, method, **settings)
    assert said in str(caught.value)


def test_settings_are_python_values() -> None:
    """A list, a tuple and numbers of NumPy mean what YAML means by them; one setting may depend on another."""
    image = NOISY[..., 0]
    listed = denoisebench.denoise(image, "zsn2n", steps=4, halvings=[0.25, 0.5])
    assert np.array_equal(denoisebench.denoise(image, "zsn2n", steps=np.int64(4), halvings=(0.25, 0.5)), listed)
    assert not np.array_equal(denoisebench.denoise(image, "zsn2n", steps=4, halvings=[]), listed)
    from denoisebench.config.choosing import choose

    assert choose("dip", 1, settings={"stop": "steps"}).settings["steps"] == 3000
    assert choose("dip", 1).settings["steps"] == 5000


SHORT: dict[str, Any] = {"budget": "smoke", "steps": 4, "training": {"patch": 32, "batch": 2}}


def test_train_save_load_and_continue(tmp_path: Path) -> None:
    images = [stored(NOISY, "uint8"), stored(NOISY[::-1], "uint16"), NOISY]
    trained = denoisebench.train(images, "neighbor2neighbor", features=np.int64(8), folder=tmp_path / "kept", **SHORT)
    output = trained(images[0])
    assert output.dtype == np.uint8
    trained.save(tmp_path / "my weights.safetensors")
    loaded = denoisebench.load(tmp_path / "my weights.safetensors")
    assert (loaded.method, loaded.settings) == ("neighbor2neighbor", trained.settings)
    assert np.array_equal(loaded(images[0]), output)
    assert np.array_equal(loaded(images[0], tile=16), output)
    written = (tmp_path / "kept" / "weights.safetensors").stat().st_mtime_ns
    again = denoisebench.train(images, "neighbor2neighbor", features=8, folder=tmp_path / "kept", **SHORT)
    assert (tmp_path / "kept" / "weights.safetensors").stat().st_mtime_ns == written
    assert np.array_equal(again(images[0]), output)
    with pytest.raises(ValueError, match="denoises RGB images, and this one is gray"):
        loaded(images[0][..., 0])


def test_saved_weights_are_a_checkpoint_of_a_study(tmp_path: Path) -> None:
    """One file for Python and for `run`: the study's output is the array's, to the 16 bit that it keeps."""
    from denoisebench.datasets.photos import Photos
    from denoisebench.store.pictures import read_png

    photo = Photos(crop=48).clean(0)
    trained = denoisebench.train([photo], **SHORT)
    trained.save(tmp_path / "weights.pt")
    [cell] = computed(
        "method=neighbor2neighbor", "budget=smoke", "checkpoint=weights.pt", "dataset.crop=48", "noise=gaussian",
        "noise.sigma=0", "trainer=cpu",
    )  # fmt: skip
    kept = read_png(cell.folder / "images" / "astronaut.png")
    assert np.abs(kept - np.clip(trained(photo / 255.0), 0, 1)).max() < 1 / 65535


def test_load_says_what_a_file_lacks(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        denoisebench.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pt is not a valid file of weights"):
        denoisebench.load(tmp_path / "text.pt")
    method = built("method=neighbor2neighbor", "budget=smoke")
    torch.save(method.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(ValueError, match="does not say of which method"):
        denoisebench.load(tmp_path / "bare.pt")
    with pytest.raises(ValueError, match="does not fit Neighbor2Neighbor"):
        denoisebench.load(tmp_path / "bare.pt", "neighbor2neighbor")
    assert denoisebench.load(tmp_path / "bare.pt", "neighbor2neighbor", features=8).method == "neighbor2neighbor"


@pytest.mark.parametrize(
    ("images", "method", "said"),
    [
        ([], "neighbor2neighbor", "no images to train on"),
        ([NOISY, NOISY[..., 0]], "neighbor2neighbor", "some images are gray and some are RGB"),
        ([NOISY, NOISY * np.nan], "neighbor2neighbor", "image 1: "),
        ([NOISY], "noise2clean", "it learns from clean images"),
        ([NOISY], "noise2noise", "two independent noisy views"),
        ([NOISY], "zsn2n", "needs no training: denoisebench.denoise"),
        ([NOISY[:20]], "neighbor2neighbor", "20 x 40 is smaller than training.patch=32"),
    ],
)
def test_what_cannot_be_trained_is_refused(images: list[np.ndarray], method: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        denoisebench.train(images, method, **({} if method == "zsn2n" else SHORT))
    assert said in str(caught.value)


def test_scores_are_those_of_a_study() -> None:
    """The same image scored from Python and by a cell: the same numbers, under each protocol."""
    from denoisebench.datasets.photos import Photos
    from denoisebench.report.rows import read_cells

    [cell] = computed("method=tv", "dataset.crop=48", "noise=gaussian", "noise.sigma=0", "trainer=cpu", "method.sigma=15",
                      "protocol=[default,apbsn]")  # fmt: skip
    photo = Photos(crop=48).clean(0)
    output = denoisebench.denoise(photo / 255.0, "tv", sigma=15)
    for row in read_cells([cell]):
        if row["image"] == "astronaut":
            scores = denoisebench.score(output, photo, row["protocol"])
            assert scores == pytest.approx({"psnr_db": row["psnr_db"], "ssim": row["ssim"]}, abs=1e-9)


def test_scores_of_what_cannot_be_compared() -> None:
    assert denoisebench.score(CLEAN[:8], CLEAN[:8])["ssim"] is None
    with pytest.raises(ValueError, match="36 x 40 x 3 and the clean one 36 x 40"):
        denoisebench.score(CLEAN, CLEAN[..., 0])
    with pytest.raises(ConfigError, match="defualt"):
        denoisebench.score(CLEAN, CLEAN, "defualt")
    mse = ((stored(NOISY, "uint8") / 255.0 - CLEAN.astype(np.float32)) ** 2).mean()
    assert denoisebench.score(stored(NOISY, "uint8"), CLEAN)["psnr_db"] == pytest.approx(-10 * np.log10(mse), abs=1e-6)
    assert Protocol("x").clip


def test_a_study_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    computed("method=noisy,tv", "dataset.crop=32", "trainer=cpu", "study=mine")
    table = denoisebench.read("mine")
    assert len(table) == 6
    assert set(table["method"]) == {"noisy", "tv"}
    assert table["psnr_db"].dtype == float
    assert table["seed"].tolist() == [0] * 6
    with pytest.raises(FileNotFoundError, match="there are: mine"):
        denoisebench.read("yours")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"denoisebench\[pandas\]"):
        denoisebench.read("mine")
