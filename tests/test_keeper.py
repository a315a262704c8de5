"""Test images and outputs on their way to the disk."""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from denoisebench.scoring import keeper, memory
from denoisebench.scoring.keeper import Keeper, Keeping
from denoisebench.scoring.kept import image_hash, kept_clean
from denoisebench.scoring.meter import ENOUGH, Meter
from denoisebench.store.pictures import holds_levels, read_png, write_png


def kept(study: Path, clean: torch.Tensor, noisy: torch.Tensor | None = None) -> tuple[str, str, str]:
    one = Keeper(Keeping(study / "cell", study / ".inputs"))
    found = one.keep("a", 0, clean, clean if noisy is None else noisy, clean).hashes()
    one.close()
    return found


@pytest.mark.parametrize(("levels", "bits"), [(255, np.uint8), (65535, np.uint16), (None, np.uint16)])
def test_a_clean_image_is_kept_exactly_and_in_8_bit_where_that_holds_it(levels: int | None, bits: type, tmp_path: Path) -> None:
    clean = torch.rand(3, 20, 24)
    clean = clean if levels is None else (clean.double() * levels).round().div(levels).float()
    noisy_sha, clean_sha, _ = kept(tmp_path, clean)
    assert noisy_sha == clean_sha == image_hash(clean)
    stored = cv2.imread(str(tmp_path / ".inputs" / f"{clean_sha}-clean.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.dtype == bits
    read = torch.from_numpy(kept_clean(tmp_path / ".inputs", clean_sha).transpose(2, 0, 1).copy())
    assert torch.equal(read.float(), clean)
    assert (tmp_path / ".inputs" / f"{clean_sha}-clean.npy").is_file() == (levels is None)
    assert read_png(tmp_path / "cell" / "images" / "a.png").shape == (20, 24, 3)


def test_another_study_of_the_same_root_links_its_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, noisy = torch.rand(2, 3, 16, 16)
    names = [f"{kept(tmp_path / 'one', clean, noisy)[place]}-{kind}" for place, kind in enumerate(("noisy.png", "clean.png"))]
    kept(tmp_path / "two", clean, noisy)
    for name in names:
        assert (tmp_path / "two" / ".inputs" / name).samefile(tmp_path / "one" / ".inputs" / name)

    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    kept(tmp_path / "three", clean, noisy)
    first, third = (tmp_path / study / ".inputs" / names[1] for study in ("one", "three"))
    assert not third.samefile(first)
    assert third.read_bytes() == first.read_bytes()


def test_what_cannot_be_written_is_raised_where_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(keeper, "write_png", full)
    with pytest.raises(OSError, match="No space left"):
        kept(tmp_path, torch.rand(3, 16, 16))


def test_the_memory_of_a_quick_method_is_measured_some_times_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(memory, "give_back_freed", lambda: None)
    monkeypatch.setattr(memory, "reset_peak", lambda: None)
    monkeypatch.setattr(memory, "peak_mib", lambda: asked.append(0.0) or float(len(asked) % 2 == 0) * len(asked))
    meter, found = Meter(), []
    for shape in [(1, 3, 8, 8)] * 5 + [(1, 3, 9, 9)]:
        meter.start(torch.empty(shape))
        found.append(meter.stop()[1])
    assert ENOUGH == 3
    assert found == [2, 4, 6, 6, 6, 8], "each its own while it is measured, then the most"


def test_an_8_bit_png_of_the_data_set_is_copied_as_it_is(tmp_path: Path) -> None:
    levels = torch.randint(0, 256, (2, 3, 16, 18), generator=torch.Generator().manual_seed(1))
    noisy, clean = (levels.double() / 255).float()
    files = tmp_path / "set" / "noisy.png", tmp_path / "set" / "clean.png"
    for file, image in zip(files, (noisy, clean), strict=True):
        write_png(file, image.permute(1, 2, 0).numpy())
        file.write_bytes(with_chunk(file.read_bytes(), b"tIME", bytes(7)))  # no encoder here writes that
    one = Keeper(Keeping(tmp_path / "study" / "cell", inputs := tmp_path / "study" / ".inputs", files={"a": files}))
    noisy_sha, clean_sha, _ = one.keep("a", 0, noisy, noisy, clean).hashes()
    one.close()
    kept_files = inputs / f"{noisy_sha}-noisy.png", inputs / f"{clean_sha}-clean.png"
    for file, own in zip(files, kept_files, strict=True):
        assert own.read_bytes() == file.read_bytes()
        assert not own.samefile(file)  # whose owner may change it
    assert not list(inputs.glob("*.npy"))
    assert np.array_equal(kept_clean(inputs, clean_sha), levels[1].permute(1, 2, 0).numpy() / 255)


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with a chunk more, behind its header."""
    chunk = len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return content[:33] + chunk + content[33:]


def test_which_files_hold_their_pixels_as_they_are(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    encoded = {
        "rgb": cv2.imencode(".png", image)[1].tobytes(), "gray": cv2.imencode(".png", image[..., 0])[1].tobytes(),
        "deep": cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes(),
        "alpha": cv2.imencode(".png", np.dstack([image, image[..., :1]]))[1].tobytes(),
        "jpeg": cv2.imencode(".jpg", image)[1].tobytes(),
    }  # fmt: skip
    encoded["profile"] = with_chunk(encoded["rgb"], b"gAMA", (45455).to_bytes(4, "big"))
    encoded["turned"] = with_chunk(encoded["rgb"], b"eXIf", b"MM\0*\0\0\0\x08\0\0")
    encoded["see_through"] = with_chunk(encoded["rgb"], b"tRNS", bytes(6))
    encoded["cut"] = encoded["rgb"][:-20]
    for name, content in encoded.items():
        (tmp_path / name).write_bytes(content)
    assert {name for name in encoded if holds_levels(tmp_path / name, 3)} == {"rgb", "profile"}
    assert {name for name in encoded if holds_levels(tmp_path / name, 1)} == {"gray"}
