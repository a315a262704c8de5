"""The students that authors released, by their own names of layers: random files, and the real ones where they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from denoisebench.methods.at_bsn import ATBSN
from denoisebench.methods.tm_bsn import TMBSN
from denoisebench.networks.weight_files import read_file
from denoisebench.store.cell import Cell
from denoisebench.training.weights import load_weights
from denoisebench.weights.released import import_weights
from test_slow import compute, mean_psnr, rows_of

Weights = dict[str, Tensor]
TM, AT = "tm_bsn", "at_bsn"


def layer(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)


def active(w: Weights, name: str, x: Tensor) -> Tensor:
    y = layer(w, name, x)
    return torch.where(y > 0, y, 0.1 * y)


def twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def run_tm(w: Weights, x: Tensor) -> Tensor:
    skips, y = [], x
    for level in range(1, 6):
        skips.append(active(w, f"enc{level}.conv", y))
        y = F.max_pool2d(skips[-1], 2)
    y = active(w, "enc6.conv", y)
    for level in range(5, 0, -1):
        y = active(w, f"dec{level}_2.conv", torch.cat([twice(y), skips.pop()], 1))
        y = active(w, f"dec{level}_1.conv", y) if level > 1 else layer(w, "dec1_1", y)
    return y


def run_at(w: Weights, x: Tensor) -> Tensor:
    skips, y = [x], active(w, "unet.intro.conv", x)
    for level in range(1, 6):
        y = F.max_pool2d(active(w, f"unet.enc{level}.conv1.conv", y), 2)
        skips.append(y)
    y = active(w, "unet.enc6.conv1.conv", skips.pop())
    for level in range(5, 0, -1):
        y = active(w, f"unet.dec{level}.conv1.conv", torch.cat([twice(y), skips.pop()], 1))
        y = active(w, f"unet.dec{level}.conv2.conv", y)
    return y


RUN = {TM: run_tm, AT: run_at}


def random_file(student: str) -> Weights:
    """In the order of registration of neither program: names decide, not places."""
    width = {"intro": 3, "enc1": 3 if student == TM else 48, "dec5": 96, "dec1": 144 if student == TM else 99}
    shapes: dict[str, tuple[int, int]] = {}
    for level in range(6, 0, -1):
        shapes[f"enc{level}.conv" if student == TM else f"unet.enc{level}.conv1.conv"] = (48, width.get(f"enc{level}", 48))
    for level in range(1, 6):
        first, second = (f"dec{level}_2.conv", f"dec{level}_1.conv") if student == TM else (
            f"unet.dec{level}.conv1.conv", f"unet.dec{level}.conv2.conv")  # fmt: skip
        second = "dec1_1" if second == "dec1_1.conv" else second
        shapes |= {second: (3 if level == 1 else 96, 96), first: (96, width.get(f"dec{level}", 144))}
    if student == AT:
        shapes["unet.intro.conv"] = (48, 3)
    torch.manual_seed(7)
    weights = {}
    for name, (after, before) in shapes.items():
        weights[f"{name}.bias"] = 0.1 * torch.randn(after)
        weights[f"{name}.weight"] = torch.randn(after, before, 3, 3) * (2 / 9 / before) ** 0.5
    return weights


def test_the_random_files_are_of_the_released_sizes() -> None:
    for student, tensors, values in ((TM, 32, 1_021_107), (AT, 34, 1_003_011)):
        weights = random_file(student)
        assert (len(weights), sum(tensor.numel() for tensor in weights.values())) == (tensors, values)


def models(student: str, **options: Any) -> list[TMBSN | ATBSN]:
    if student == AT:
        return [ATBSN(**options).eval()]
    return [TMBSN(**options).eval(), ATBSN(student="tm_bsn", **options).eval()]


@pytest.mark.parametrize("wrapped", ["plain", "model_state_dict", "module"])
@pytest.mark.parametrize("student", [TM, AT])
def test_a_released_student_loads_directly_and_gives_its_own_output(student: str, wrapped: str, tmp_path: Path) -> None:
    weights = random_file(student)
    content: Any = {f"module.{name}": tensor for name, tensor in weights.items()} if wrapped == "module" else weights
    torch.save({"model_state_dict": content} if wrapped != "plain" else content, tmp_path / "student.pth")
    x = torch.rand(1, 3, 32, 64)
    for value_range in (None, 255):
        for model in models(student, value_range=value_range):
            load_weights(model, tmp_path / "student.pth")
            expected = RUN[student](weights, (value_range or 1) * x) / (value_range or 1)
            with torch.no_grad():
                torch.testing.assert_close(model.denoise(x), expected, rtol=1e-4, atol=1e-4)
            shown = ("value_range_1",) if isinstance(model, ATBSN) and value_range is None else ()
            assert model.tags == shown


@pytest.mark.parametrize("student", [TM, AT])
def test_an_imported_student_is_the_released_one(student: str, tmp_path: Path) -> None:
    torch.save({"model_state_dict": random_file(student)}, tmp_path / "student.pth")
    import_weights(student, tmp_path / "student.pth", tmp_path / "ours.pt")
    names = read_file(tmp_path / "ours.pt").keys()
    assert not any(name.startswith("teacher") for name in names)
    (direct, *_), (imported, *_) = models(student), models(student)
    load_weights(direct, tmp_path / "student.pth")
    load_weights(imported, tmp_path / "ours.pt")
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(direct.denoise(x), imported.denoise(x))
    assert direct.tags == imported.tags


def test_our_own_weights_with_teacher_load_as_ever(tmp_path: Path) -> None:
    first, second = TMBSN(features=2, modules=0), TMBSN(features=2, modules=0)
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    load_weights(second, tmp_path / "weights.pt")
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_another_layout_is_refused_with_what_was_found_and_what_is_known(tmp_path: Path) -> None:
    torch.save(random_file(AT), tmp_path / "student.pth")
    for refused in (lambda: load_weights(TMBSN(), tmp_path / "student.pth"),
                    lambda: import_weights(TM, tmp_path / "student.pth", tmp_path / "ours.pt")):  # fmt: skip
        with pytest.raises(ValueError) as error:
            refused()
        assert "unet.enc6.conv1.conv.bias (48,)" in str(error.value)
        assert "34 tensors in all" in str(error.value)
        assert "APR-RD's of 1.02M (32 tensors, enc1.conv.weight to dec1_1.bias)" in str(error.value)
    assert not (tmp_path / "ours.pt").exists()
    wrong = random_file(TM)
    wrong["dec1_1.weight"] = torch.zeros(1, 96, 3, 3)
    torch.save(wrong, tmp_path / "gray.pth")
    with pytest.raises(ValueError, match="32 tensors in all"):
        load_weights(TMBSN(), tmp_path / "gray.pth")
    with pytest.raises(ValueError, match=r"method\.student=tm_bsn"):
        load_weights(ATBSN(), tmp_path / "gray.pth")
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(TMBSN(distill=False), tmp_path / "student.pth")


# --- The real files ----------------------------------------------------------------------------------------------

FILES = {"tmbsn_student_sidd": TM, "aprrd_student_1.02M_sidd": TM, "aprrd_student_1.00M_sidd": AT}


def released(root: Path, name: str) -> Path:
    file = root / f"{name}.pth"
    if not file.is_file():
        pytest.skip(f"{file.name} is not here")
    return file


def score(method: str, file: Path, *dataset: str) -> Cell:
    [cell] = compute(f"method={method}", f"checkpoint={file}", *dataset, "noise=real", "protocol=sdap", "pictures=0")
    return cell


def folders(root: Path) -> tuple[str, ...]:
    return ("dataset=folder", f"dataset.noisy={root / 'noisy'}", f"dataset.clean={root / 'clean'}")


def literal_psnr(weights: Weights, student: str, noisy: np.ndarray, clean: np.ndarray) -> float:
    x = torch.from_numpy(noisy / np.float32(255)).permute(2, 0, 1)[None]
    y = RUN[student](weights, x)[0].permute(1, 2, 0).numpy()
    levels = np.floor(np.clip(y.astype(np.float64), 0, 1) * 255 + 0.5)
    return float(10 * np.log10(255**2 / np.mean((levels - clean) ** 2)))


def middles(root: Path, names: Sequence[str], out: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The middle 128 x 128 pixels of these blocks, also as files."""
    crops = []
    for name in names:
        pair = []
        for side in ("noisy", "clean"):
            with Image.open(root / side / name) as image:
                pair.append(np.asarray(image)[64:192, 64:192].copy())
            (out / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pair[-1]).save(out / side / name)
        crops.append((pair[0], pair[1]))
    return crops


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_scores_through_the_whole_chain_as_its_literal_forward(
    name: str, data_root: Path, weights_root: Path, tmp_path: Path
) -> None:
    file, student = released(weights_root, name), FILES[name]
    blocks = data_root / "SIDD_val_320"
    chosen = sorted(path.name for path in (blocks / "noisy").glob("*.png"))[::20]
    crops = middles(blocks, chosen, tmp_path / "part")
    content = torch.load(file, map_location="cpu", weights_only=True)
    weights = content.get("model_state_dict", content)
    expected = {Path(n).stem: literal_psnr(weights, student, *pair) for n, pair in zip(chosen, crops, strict=True)}
    cell = score(student, file, *folders(tmp_path / "part"))
    got = {row["image"]: float(row["psnr_db"]) for row in rows_of(cell)}
    assert len(got) == 16
    assert got == pytest.approx(expected, abs=0.005)
    assert mean_psnr(cell) > 36.5
    assert rows_of(cell)[0]["tags"].split() == [*(["value_range_1"] if student == AT else []), "weights_given"]
    assert rows_of(cell)[0]["trained_on"] == "unknown: weights given"


@pytest.mark.parametrize("name", ["tmbsn_student_sidd", "aprrd_student_1.00M_sidd"])
def test_a_real_file_gives_by_tiles_what_the_whole_image_gives(name: str, weights_root: Path) -> None:
    [model, *_] = models(FILES[name])
    load_weights(model, released(weights_root, name))
    model.double()
    x = torch.rand(1, 3, 40, 500, dtype=torch.float64)
    with torch.no_grad():
        whole = model.denoise(x)
        model.tile = 100
        torch.testing.assert_close(model.denoise(x), whole, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "psnr_db"),
    [("tmbsn_student_sidd", 38.094), ("aprrd_student_1.00M_sidd", 38.069), ("aprrd_student_1.02M_sidd", 38.046)],
)
def test_released_students_on_320_sidd_blocks(name: str, psnr_db: float, data_root: Path, weights_root: Path) -> None:
    cell = score(FILES[name], released(weights_root, name), *folders(data_root / "SIDD_val_320"))
    assert len(rows_of(cell)) == 320
    assert mean_psnr(cell) == pytest.approx(psnr_db, abs=0.02)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "psnr_db"), [("tmbsn_student_sidd", 37.531), ("aprrd_student_1.00M_sidd", 37.027)])
def test_released_students_on_polyu(name: str, psnr_db: float, weights_root: Path) -> None:
    cell = score(FILES[name], released(weights_root, name), "dataset=polyu")
    assert len(rows_of(cell)) == 100
    assert mean_psnr(cell) == pytest.approx(psnr_db, abs=0.02)
