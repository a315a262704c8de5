"""`ensemble=dihedral`: the mean over eight flips and turns, part of a cell's identity, equivariant."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.config import ConfigError, conf_dir
from denoisebench.config.parts import TARGET, class_of
from denoisebench.datasets.views import NoisyViews
from denoisebench.denoiser import Denoiser
from denoisebench.ensemble import dihedral_mean
from denoisebench.scoring.kept import image_hash
from denoisebench.store.pictures import read_stored
from denoisebench.study.limits import check
from jobs import METHODS, built, computed, one


def class_of_method(name: str) -> type[Denoiser]:
    """As its YAML names it: composing each would take seconds."""
    text = (Path(conf_dir()) / "method" / f"{name}.yaml").read_text()
    return class_of({TARGET: re.findall(r"^_target_: (\S+)", text, re.MULTILINE)[0]}, "method", Denoiser)


CLASSES = {name: class_of_method(name) for name in METHODS}
DETERMINISTIC = [
    pytest.param(name, marks=pytest.mark.slow) if name in ("bm3d", "bm3d_correlated") else name
    for name, cls in CLASSES.items()
    if cls.learns != "image" and not cls.stochastic
]


def sloped(x: Tensor) -> Tensor:
    """A function of place that no flip or turn leaves as it is."""
    rows = torch.arange(x.shape[-2], dtype=x.dtype)[:, None]
    columns = torch.arange(x.shape[-1], dtype=x.dtype)
    return x * (1 + rows + 3 * columns) + x.roll(1, -1) ** 2


def test_it_is_the_mean_of_eight_outputs_turned_back() -> None:
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    total = np.zeros(tuple(x.shape))
    for quarter in range(4):
        for flipped in (False, True):
            view = np.rot90(x.numpy(), quarter, (-2, -1))
            view = view[..., ::-1] if flipped else view
            output = sloped(torch.from_numpy(view.copy())).numpy()
            total += np.rot90(output[..., ::-1] if flipped else output, -quarter, (-2, -1))
    assert np.abs(dihedral_mean(sloped, x).numpy() - total / 8).max() < 1e-12


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_output_of_a_turned_image_is_the_turned_output(name: str) -> None:
    torch.manual_seed(0)
    method = built(f"method={name}", "budget=smoke").eval()
    method.self_ensemble = True
    side = max(24, method.smallest)
    noisy = torch.rand(1, 3, side, side + 9)
    before = noisy.clone()
    with torch.no_grad():
        upright = method.test_step(Batch(noisy), 0)
        assert torch.equal(noisy, before)
        for quarter, flipped in ((1, False), (2, True), (3, True)):
            turned = noisy.rot90(quarter, (-2, -1))
            turned = turned.flip(-1) if flipped else turned
            back = method.test_step(Batch(turned), 0)
            back = (back.flip(-1) if flipped else back).rot90(-quarter, (-2, -1))
            assert (back - upright).abs().max() < 1e-6


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(ValueError, match=r"denoise returned \(1, 1, 3, 3\), expected"):
        dihedral_mean(lambda x: x[..., :3, :3], torch.rand(1, 1, 3, 5))


def test_it_is_part_of_a_cell_and_not_of_its_training() -> None:
    plain, turned = (one("method=neighbor2neighbor", "budget=smoke", *more).cell for more in ((), ("ensemble=dihedral",)))
    assert turned.label == "neighbor2neighbor[ensemble=dihedral]"
    assert (plain.key != turned.key, plain.setup != turned.setup, plain.train_key) == (True, True, turned.train_key)
    assert one("method=nlm", "ensemble=null").cell.key == one("method=nlm").cell.key
    with pytest.raises(ConfigError, match="dihedral"):
        one("method=nlm", "ensemble=dihedrl")


def test_outputs_of_others_cannot_be_turned(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 3), np.float32))
    job = one("method=outputs", f"method.folder={tmp_path}", "method.label=theirs", "ensemble=dihedral")
    with pytest.raises(ConfigError, match="made elsewhere"):
        check(job, 1)


def test_a_run_keeps_the_mean_and_says_so() -> None:
    [cell] = computed("method=tv", "ensemble=dihedral", "dataset.crop=32", "dataset.first=1", "trainer=cpu")
    with (cell.folder / "rows.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["method"], row["averaged"], row["tags"]) == ("tv[ensemble=dihedral]", "8", "oracle_sigma self_ensemble")
    noisy = one("method=tv", "dataset.crop=32", "dataset.first=1")
    view = NoisyViews(noisy.test_set, noisy.noise, 0, 1, ())[0]
    assert image_hash(view.noisy[0]) == row["noisy_sha"]
    expected = dihedral_mean(built("method=tv").denoise, view.noisy)[0].clamp(0, 1)
    [kept] = cell.folder.glob("images/*.png")
    stored = torch.from_numpy(read_stored(kept).astype(np.float64) / 65535).permute(2, 0, 1)
    assert (stored - expected).abs().max() < 1 / 65535
    assert json.loads((cell.folder / "manifest.json").read_text())["evidence"]["test_reads"]["batches"] == 1
