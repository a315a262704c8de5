"""Photographs: what surrounds the pixels survives byte for byte, in every format; what cannot be done is said."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import denoisebench
import photos
from denoisebench.cli import main
from denoisebench.config.choosing import choose
from denoisebench.photographs import files, memory, record, work
from denoisebench.photographs.photo import PhotoError, with_alpha
from denoisebench.photographs.reading import Reading, read_photo
from denoisebench.stacks import segments
from denoisebench.store import files as store_files


def denoised(path: Path, *options: str, method: str = "tv", code: int = 0) -> Path:
    """The output of the command for one file, in a folder of its own."""
    out = path.parent / "out"
    assert main(["denoise", str(path), "--method", method, "--out", str(out), *options]) == code
    return out / path.name


def decoded(path: Path) -> np.ndarray:
    """The samples of a file by a decoder that is none of ours, not turned: (H, W, samples)."""
    if path.suffix == ".tif":
        image = tifffile.imread(path)
        image = np.moveaxis(image, 0, -1) if image.ndim == 3 and image.shape[0] in (2, 3, 4) else image
    else:
        with Image.open(path) as opened:
            image = np.asarray(opened)
    return image.reshape(*image.shape[:2], -1)


# --- PNG ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_keeps_every_chunk_and_its_alpha(dtype: str, channels: int, tmp_path: Path) -> None:
    path, samples = tmp_path / "a photo.png", photos.noisy(dtype, channels)
    path.write_bytes(photos.png_bytes(samples))
    same, other = denoised(path, method="noisy").read_bytes(), denoised(path, "--suffix", "_tv").with_stem("a photo_tv")
    before = photos.png_chunks(path.read_bytes())
    for content in (same, other.read_bytes()):
        after = photos.png_chunks(content)
        assert [c for c in after if c[0] != b"IDAT"] == [c for c in before if c[0] != b"IDAT"]
    read = read_photo(path)
    assert np.array_equal(with_alpha(read.pixels, read.alpha), samples)
    (tmp_path / "same.png").write_bytes(same)
    assert np.array_equal(_png_samples(same, samples.shape, dtype), samples)
    smoothed = _png_samples(other.read_bytes(), samples.shape, dtype).astype(float)
    colours = channels - (channels in (2, 4))
    assert np.array_equal(smoothed[..., colours:], samples[..., colours:])
    roughness = [np.abs(np.diff(image[..., :colours].astype(float), axis=1)).mean() for image in (smoothed, samples)]
    assert 0 < roughness[0] < 0.7 * roughness[1]


def _png_samples(content: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """By OpenCV, whose channels are turned round."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.dtype == dtype
    planes = {1: [0], 2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[shape[2]]
    return image.reshape(*shape[:2], -1)[..., planes]


def test_denoised_pixels_are_those_of_python(tmp_path: Path) -> None:
    """The command and `denoisebench.denoise` are one way in."""
    for dtype in ("uint8", "uint16"):
        path, samples = tmp_path / f"{dtype}.png", photos.noisy(dtype, 3)
        path.write_bytes(photos.png_bytes(samples))
        output = read_photo(denoised(path, "--set", "steps=3", "--seed", "5", method="zsn2n")).pixels
        assert np.array_equal(output, denoisebench.denoise(samples, "zsn2n", steps=3, seed=5))


# --- JPEG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_jpeg_keeps_metadata_tables_and_sampling(channels: int, settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "IMG 0001.JPG"
    path.write_bytes(photos.jpeg_bytes(photos.noisy("uint8", channels), **settings))
    output = denoised(path)
    assert photos.jpeg_metadata(output.read_bytes()) == photos.jpeg_metadata(path.read_bytes())
    with Image.open(path) as before, Image.open(output) as after:
        assert (after.size, after.mode, after.info["icc_profile"]) == (before.size, before.mode, photos.ICC)
        assert dict(after.getexif()) == dict(before.getexif())
        assert after.getexif()[0x0112] == 6
        assert after.getexif().get_ifd(0x8769) == before.getexif().get_ifd(0x8769)
        assert getattr(after, "quantization") == getattr(before, "quantization")  # noqa: B009
        if channels == 3:
            assert getattr(after, "layer") == getattr(before, "layer")  # noqa: B009
        assert bool(after.info.get("progressive")) == bool(settings.get("progressive"))


def test_jpeg_quality_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photos.jpeg_bytes(photos.noisy("uint8", 3)))
    sizes = [denoised(path, "--quality", str(q), "--force").stat().st_size for q in (30, 98)]
    assert sizes[0] < 0.8 * sizes[1]


def test_a_jpeg_without_a_jfif_header_gets_none_and_of_several_images_the_first_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif_first = tmp_path / "phone.jpg"
    content = photos.jpeg_bytes(photos.noisy("uint8", 3))
    start = content.index(b"JFIF") - 4
    exif_first.write_bytes(content[:start] + content[start + 18 :])
    markers = [marker for marker, _ in photos.jpeg_metadata(denoised(exif_first).read_bytes())]
    assert 0xE0 not in markers
    assert markers == [marker for marker, _ in photos.jpeg_metadata(exif_first.read_bytes())]
    several, first = tmp_path / "several.jpg", Image.fromarray(photos.noisy("uint8", 3))
    first.save(several, "MPO", save_all=True, append_images=[first])
    output = denoised(several)
    assert "holds 2 images: the first is denoised" in capsys.readouterr().err
    with Image.open(output) as image:
        assert getattr(image, "n_frames", 1) == 1


@pytest.mark.parametrize("options", [[], ["--quality", "90"]])
@pytest.mark.parametrize("sampling", [cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411])
def test_a_jpeg_of_another_sampling_loses_no_colour(sampling: int, options: list[str], tmp_path: Path, capsys: Any) -> None:
    """Pillow writes 4:2:0 in its place."""
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), photos.noisy("uint8", 3), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
    output = denoised(path, *options)
    assert "a.jpg: its chroma subsampling cannot be kept: it is written as 4:4:4" in capsys.readouterr().err
    with Image.open(path) as before, Image.open(output) as after:
        assert [one[1:3] for one in getattr(after, "layer")] == [(1, 1)] * 3  # noqa: B009
        assert (getattr(after, "quantization") == getattr(before, "quantization")) == (not options)  # noqa: B009


# --- TIFF --------------------------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "plain": {}, "deflate": {"compression": "zlib"}, "deflate, strips": {"compression": "zlib", "rowsperstrip": 8},
    "big-endian": {"byteorder": ">", "rowsperstrip": 10}, "tiles": {"tile": (32, 32), "compression": "zlib"},
    "planes": {"planarconfig": "separate"}, "BigTIFF": {"bigtiff": True, "compression": "zlib"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "channels"), [(kind, channels) for kind in KINDS for channels in (1, 2, 3, 4) if (kind, channels) != ("planes", 1)]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float16"])
def test_tiff_keeps_every_tag(kind: str, dtype: str, channels: int, tmp_path: Path) -> None:
    path, samples = tmp_path / "scan.tif", photos.noisy(dtype, channels)
    if kind == "planes":
        photo = "rgb" if channels > 2 else "minisblack"
        tifffile.imwrite(path, np.moveaxis(samples, -1, 0), photometric=photo, planarconfig="separate", metadata=None,
                         extrasamples={2: ["unassalpha"], 4: ["unassalpha"]}.get(channels))  # fmt: skip
    else:
        photos.write_tiff(path, samples, **KINDS[kind])
    read = read_photo(path)
    assert np.array_equal(with_alpha(read.pixels, read.alpha), samples)
    output = denoised(path, method="noisy")
    assert photos.tiff_tags(output) == photos.tiff_tags(path)
    assert np.array_equal(decoded(output), samples)
    smoothed = denoised(path, "--force")
    assert photos.tiff_tags(smoothed) == photos.tiff_tags(path)
    colours = channels - (channels in (2, 4))
    result = decoded(smoothed)
    assert np.array_equal(result[..., colours:], samples[..., colours:])
    assert result.dtype == samples.dtype
    roughness = [np.abs(np.diff(image[..., :colours].astype(float), axis=1)).mean() for image in (result, samples)]
    assert 0 < roughness[0] < 0.7 * roughness[1]


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lzw_tiff(predictor: int, channels: int, tmp_path: Path) -> None:
    """Written and read by libtiff, in strips, with and without differences."""
    path, samples = tmp_path / "lzw.tif", photos.noisy("uint8", channels)
    photos.write_lzw_tiff(path, samples, predictor)
    read = read_photo(path)
    assert np.array_equal(with_alpha(read.pixels, read.alpha), samples)
    for method in ("noisy", "tv"):
        output = denoised(path, "--force", method=method)
        assert photos.tiff_tags(output) == photos.tiff_tags(path)
        with Image.open(output) as image:
            result = np.asarray(image).reshape(samples.shape)
        assert np.array_equal(result, samples) == (method == "noisy")


@pytest.mark.parametrize("compression", [cv2.IMWRITE_TIFF_COMPRESSION_LZW, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE])
@pytest.mark.parametrize("predictor", [1, 2])
def test_16_bit_lzw_and_differences_as_photo_editors_write_them(compression: int, predictor: int, tmp_path: Path) -> None:
    path, samples = tmp_path / "editor.tif", photos.noisy("uint16", 3)
    settings = [
        cv2.IMWRITE_TIFF_COMPRESSION,
        compression,
        cv2.IMWRITE_TIFF_PREDICTOR,
        predictor,
        cv2.IMWRITE_TIFF_ROWSPERSTRIP,
        9,
    ]
    assert cv2.imwrite(str(path), samples[..., ::-1], settings)
    assert np.array_equal(read_photo(path).pixels, samples)
    output = denoised(path, method="noisy")
    again = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert again is not None
    assert np.array_equal(again[..., ::-1], samples)
    with tifffile.TiffFile(output) as file:
        assert file.pages.first.predictor == predictor


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_differences(dtype: str, tmp_path: Path) -> None:
    """Predictor 3, against its definition: bytes of a row sorted by significance, then differences."""
    samples = photos.noisy(dtype, 3, 6, 10)
    rows = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8).reshape(6, 30, -1)
    sorted_bytes = rows.transpose(0, 2, 1).reshape(6, -1)
    expected = sorted_bytes.copy()
    expected[:, 3:] -= sorted_bytes[:, :-3]
    layout = segments.Layout((6, 10, 3), np.dtype(dtype).newbyteorder("<"), segments.DEFLATE, segments.FLOAT_DIFFERENCES, 1, ())
    assert segments._differed(samples, layout) == expected.tobytes()
    assert np.array_equal(segments._undiffered(expected.reshape(-1), (6, 10, 3), layout), samples)


def test_packbits_white_is_zero_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, samples = tmp_path / "fax.tif", photos.noisy("uint8", 1)
    Image.fromarray(samples[..., 0]).save(path, compression="packbits")
    assert np.array_equal(read_photo(path).pixels, samples)
    assert np.array_equal(read_photo(denoised(path, method="noisy")).pixels, samples)
    inverted = tmp_path / "inverted.tif"
    tifffile.imwrite(inverted, 255 - samples[..., 0], photometric="miniswhite", metadata=None)
    assert np.array_equal(read_photo(inverted).pixels, samples)
    assert np.array_equal(decoded(denoised(inverted, method="noisy")), 255 - samples)
    pages = tmp_path / "pages.tif"
    with tifffile.TiffWriter(pages) as file:
        for image in (samples[..., 0], photos.noisy("uint16", 3)):
            file.write(image, photometric="rgb" if image.ndim == 3 else "minisblack", metadata=None)
    first = denoised(pages)
    assert "has 2 pages: page 1 is denoised" in capsys.readouterr().err
    assert np.array_equal(tifffile.imread(first, key=1), tifffile.imread(pages, key=1))
    assert not np.array_equal(tifffile.imread(first, key=0), tifffile.imread(pages, key=0))
    second = denoised(pages, "--page", "2", "--force")
    assert np.array_equal(tifffile.imread(second, key=0), tifffile.imread(pages, key=0))
    assert not np.array_equal(tifffile.imread(second, key=1), tifffile.imread(pages, key=1))
    with pytest.raises(PhotoError, match="it has 2 pages: --page 3"):
        read_photo(pages, Reading(page=3))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_page_that_shares_its_stored_pixels_is_written_apart(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    images = [photos.noisy("uint16", 1)[..., 0] for _ in range(2)]
    photos.write_sharing_pages(path, [images[0], images[0], images[1]], compression)
    for page in (1, 2, 3):
        output = denoised(path, "--page", str(page), "--force")
        before, after = ([tifffile.imread(file, key=key) for key in range(3)] for file in (path, output))
        assert [np.array_equal(*pair) for pair in zip(before, after, strict=True)] == [key + 1 != page for key in range(3)]
        assert (output.stat().st_size == path.stat().st_size) == (page == 3)


def test_segments_that_grow_go_to_the_end(tmp_path: Path) -> None:
    """A flat image packs to little; noise in its place does not fit where it was, nor do its sizes into 16 bit."""
    path, flat = tmp_path / "flat.tif", np.full((300, 300, 3), 9, np.uint8)
    tifffile.imwrite(path, flat, photometric="rgb", compression="zlib", rowsperstrip=300, metadata=None)
    grown = photos.noisy("uint8", 3, 300, 300)
    (tmp_path / "grown.tif").write_bytes(read_photo(path).encoded(grown))
    assert np.array_equal(tifffile.imread(tmp_path / "grown.tif"), grown)
    assert photos.tiff_tags(tmp_path / "grown.tif") == photos.tiff_tags(path)
    many = tmp_path / "many.tif"  # its byte counts are of 16 bit
    Image.fromarray(flat).save(many, compression="tiff_lzw", tiffinfo={278: 150})
    (tmp_path / "grown many.tif").write_bytes(read_photo(many).encoded(grown))
    with Image.open(tmp_path / "grown many.tif") as image:
        assert np.array_equal(np.asarray(image), grown)


def test_a_white_level_of_ones_own(tmp_path: Path) -> None:
    """12 bit in 16 denoised as an image of full range is, and floats beyond 1 with a white level only."""
    full, path = photos.noisy("uint16", 1), tmp_path / "12bit.tif"
    tifffile.imwrite(path, (full[..., 0] // 16), photometric="minisblack", metadata=None)
    output = decoded(denoised(path, "--white", "4095"))
    expected = denoisebench.denoise(full[..., 0] // 16 / 4095, "tv") * 4095
    assert np.abs(output[..., 0] - expected).max() <= 0.51
    path = tmp_path / "float.tif"
    tifffile.imwrite(path, full[..., 0].astype(np.float32), photometric="minisblack", metadata=None)
    with pytest.raises(PhotoError, match="give the white level, --white"):
        read_photo(path)
    assert decoded(denoised(path, "--white", "65535")).max() > 1000


# --- What cannot be done -----------------------------------------------------------------------------------------------


def _saved(image: Image.Image, name: str, **settings: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        image.save(folder / name, **settings)
        return folder / name

    return write


def _bytes(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content())
        return folder / name

    return write


RGB = Image.fromarray(photos.noisy("uint8", 3))
BAD = {
    "empty": (_bytes("a.png", lambda: b""), "it is empty: replace it"),
    "text": (_bytes("a.png", lambda: b"no image"), "it is no image of a known kind: save it as PNG, TIFF or JPEG"),
    "palette": (_saved(RGB.quantize(16), "a.png"), "its colours are a palette"),
    "1-bit PNG": (_saved(RGB.convert("1"), "a.png"), "its samples have 1 bit"),
    "animated": (_saved(RGB, "a.png", save_all=True, append_images=[RGB.rotate(90)]), "it is animated"),
    "transparent colour": (_saved(RGB, "a.png", transparency=(1, 2, 3)), "save it with an alpha channel"),
    "cut off PNG": (_bytes("a.png", lambda: _png()[:-60]), "cut off"),
    "changed PNG": (_bytes("a.png", lambda: _png().replace(photos.TEXT, b"x" * 12)), "checksum"),
    "GIF": (_saved(RGB, "a.gif"), "it is a GIF file: save it as PNG, TIFF or JPEG"),
    "WebP": (_saved(RGB, "a.webp"), "it is a WebP file"),
    "BMP named PNG": (_bytes("a.png", lambda: _encoded(RGB, "BMP")), "it is a BMP file"),
    "CMYK JPEG": (_saved(RGB.convert("CMYK"), "a.jpg"), "stored as CMYK: convert it to RGB"),
    "cut off JPEG": (_bytes("a.jpg", lambda: photos.jpeg_bytes(photos.noisy("uint8", 3))[:-300]), "cannot be read as an image"),
    "CMYK TIFF": (_saved(RGB.convert("CMYK"), "a.tif"), "stored as CMYK"),
    "1-bit TIFF": (_saved(RGB.convert("1"), "a.tif"), "save it in 8 or 16 bit"),
    "palette TIFF": (_saved(RGB.quantize(16), "a.tif"), "stored as a palette"),
    "JPEG in TIFF": (_saved(RGB, "a.tif", compression="jpeg"), "its compression JPEG is not supported"),
    "integers of 32 bit": (_saved(Image.fromarray(photos.noisy("uint16", 1)[..., 0].astype(np.int32)), "a.tif"), "int32"),
    "cut off TIFF": (_bytes("a.tif", lambda: _encoded(RGB, "TIFF")[:4000]), "cannot be read as an image"),
    "TIFF without a page": (_bytes("a.tif", lambda: _encoded(RGB, "TIFF")[:8]), "it is cut off"),
    "NaN": (_saved(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "a.tif"), "81 of its values are NaN"),
    "damaged raw": (_bytes("a.dng", lambda: b"II*\0"), "cannot be read as an image"),
}  # fmt: skip


def _png() -> bytes:
    return photos.png_bytes(photos.noisy("uint8", 3))


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_told_and_the_others_finish(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write, said = BAD[kind]
    bad, good = write(tmp_path), tmp_path / "zz good.png"
    good.write_bytes(photos.png_bytes(photos.noisy("uint8", 1)))
    before = bad.read_bytes()
    assert main(["denoise", str(tmp_path), "--method", "tv"]) == 1
    printed = capsys.readouterr()
    assert f"{bad}: " in printed.err
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert "2 images: 1 denoised, 1 problem" in printed.out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".denoisebench", bad.name, "zz good.png", "zz good_denoised.png"]
    )
    assert bad.read_bytes() == before


def test_a_method_that_fails_on_one_file_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(photos.png_bytes(photos.noisy("uint8", 3, 1, 1)))
    (tmp_path / "b.png").write_bytes(photos.png_bytes(photos.noisy("uint8", 3)))
    assert main(["denoise", str(tmp_path), "--set", "steps=2", "--method", "zsn2n"]) == 1
    printed = capsys.readouterr()
    assert "1 denoised, 1 problem" in printed.out
    assert "a.png: this method takes images of at least" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "zsn2m"], "did you mean zsn2n"),
        (["--set", "stesp=3"], "did you mean method.steps"),
        (["--set", "steps"], "expected KEY=VALUE"),
        (["--set", "halvings=[1"], "not valid YAML"),
        (["--budget", "quik"], "did you mean quick"),
        (["--checkpoint", "none.pt"], "no such file"),
        (["--white", "-1"], "above 0"),
        (["--quality", "0"], "--quality"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(arguments: list[str], said: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.png").write_bytes(photos.png_bytes(photos.noisy("uint8", 1)))
    assert main(["denoise", str(tmp_path), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# --- Where outputs go --------------------------------------------------------------------------------------------------


def _some(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(photos.png_bytes(photos.noisy("uint8", 1 + 2 * (number % 2))))


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    _some(Path("holiday 1"), "a b.png", "c.png", ".hidden.png")
    (Path("holiday 1") / "notes.txt").write_text("not an image")
    _some(Path("holiday 1/sub"), "deep.png")
    _some(Path(), "single.png", "[odd].png")
    paths = ["holiday 1", "holiday 1/c.png", "s*.png", "[odd].png", "none.png"]
    assert main(["denoise", *paths, "--method", "noisy", "--out", "new/out"]) == 1
    printed = capsys.readouterr()
    assert "none.png: no such file or folder" in printed.err
    assert "4 images: 4 denoised, 1 problem" in printed.out
    assert sorted(path.name for path in Path("new/out").glob("*.png")) == ["[odd].png", "a b.png", "c.png", "single.png"]


def test_a_file_is_no_folder_of_outputs(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "a.png")
    for out in (tmp_path / "a.png", tmp_path / "new" / "b.JPG"):
        assert main(["denoise", str(tmp_path / "a.png"), "--method", "tv", "--out", str(out)]) == 2
        assert "names a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_an_input_is_never_written_over(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "a.png", "a_denoised.png")
    before = [(tmp_path / name).read_bytes() for name in ("a.png", "a_denoised.png")]
    for options in (["--out", str(tmp_path)], ["--suffix", ""], ["--out", str(tmp_path / "x" / "..")], []):
        assert main(["denoise", str(tmp_path), "--method", "tv", *options]) == 1
        assert "written over an input" in capsys.readouterr().err
        assert [(tmp_path / name).read_bytes() for name in ("a.png", "a_denoised.png")] == before
    _some(tmp_path / "b", "a.png")
    assert main(["denoise", str(tmp_path / "a.png"), str(tmp_path / "b" / "a.png"), "--out", str(tmp_path / "o")]) == 1
    assert capsys.readouterr().err.count("another input has the same output") == 2


def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("mine")
    for options in ([], ["--force"]):
        denoised(tmp_path / "a.png", *options, code=1)
        assert "is not as this command left it" in capsys.readouterr().err
        assert (tmp_path / "out" / "a.png").read_text() == "mine"
    (tmp_path / "out" / "a.png").unlink()
    output = denoised(tmp_path / "a.png")
    denoised(tmp_path / "a.png", "--set", "strength=0.1", code=1)
    assert "--force replaces it" in capsys.readouterr().err
    first = output.read_bytes()
    assert denoised(tmp_path / "a.png", "--set", "strength=0.1", "--force").read_bytes() != first


def test_an_output_that_somebody_changed_is_never_replaced(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "a.png")
    output = denoised(tmp_path / "a.png")
    output.write_bytes(b"edited by hand")
    for options in ([], ["--force"], ["--force", "--set", "strength=0.1"]):
        denoised(tmp_path / "a.png", *options, code=1)
        assert "is there already, and is not as this command left it" in capsys.readouterr().err
        assert output.read_bytes() == b"edited by hand"


def test_an_output_that_could_not_be_replaced_is_still_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As after a kill, or on a full disk, between the record and the file."""
    _some(tmp_path, "a.png")
    first = denoised(tmp_path / "a.png").read_bytes()
    real, options = os.replace, ("--set", "strength=0.1", "--force")

    def full(source: Path, target: Path) -> None:
        if target.name == "a.png":
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(store_files.os, "replace", full)
        assert denoised(tmp_path / "a.png", *options, code=1).read_bytes() == first
    assert denoised(tmp_path / "a.png", *options[:2], code=1).read_bytes() == first
    assert "--force replaces it" in capsys.readouterr().err
    assert denoised(tmp_path / "a.png", *options).read_bytes() != first


def test_an_output_is_no_input(tmp_path: Path, capsys: Any) -> None:
    """Neither of a folder or pattern, silently, nor named itself, unless beside its own input, as a shell's pattern does."""
    _some(tmp_path, "a.png", "b.png")
    ours, arguments = tmp_path / "a_denoised.png", ["--method", "tv"]
    assert main(["denoise", str(tmp_path / "a.png"), *arguments]) == 0
    capsys.readouterr()
    assert main(["denoise", str(tmp_path / "a_*.png"), *arguments]) == 0
    assert "0 images: 0 denoised\n" in capsys.readouterr().out
    assert main(["denoise", str(ours), str(tmp_path / "b.png"), *arguments]) == 1
    printed = capsys.readouterr()
    assert f"{ours}: it is an output of an earlier call" in printed.err
    assert "1 image: 1 denoised, 1 problem" in printed.out
    by_shell = sorted(str(path) for path in tmp_path.glob("*.png"))
    assert len(by_shell) == 4
    assert main(["denoise", *by_shell, *arguments]) == 0
    assert "2 images: 0 denoised, 2 done before\n" in capsys.readouterr().out


def test_another_file_of_the_name_of_an_output_is_denoised_if_it_is_named(tmp_path: Path, capsys: Any) -> None:
    """As of a camera card that is copied into a folder of outputs."""
    _some(tmp_path, "a.png", "b.png")
    card = denoised(tmp_path / "a.png")
    shutil.copyfile(tmp_path / "b.png", card)
    _some(card.parent, "new.png")
    capsys.readouterr()
    options = ["--method", "tv", "--out", str(tmp_path / "out 2")]
    for text in (str(card.parent), str(card.parent / "*.png")):
        assert main(["denoise", text, *options]) == 1
        printed = capsys.readouterr()
        assert f"{card}: it has the name of an output of an earlier call, and is not as that call left it: name" in printed.err
        assert printed.out.startswith("1 image: ")
    assert main(["denoise", str(card.parent), str(card), *options]) == 0
    assert "2 images: 1 denoised, 1 done before\n" in capsys.readouterr().out
    assert np.array_equal(
        read_photo(tmp_path / "out 2" / "a.png").pixels, denoisebench.denoise(read_photo(tmp_path / "b.png").pixels, "tv")
    )


def test_each_record_is_read_once_and_only_names_in_it_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _some(tmp_path, "a.png", "b.png", "c.png")
    output = denoised(tmp_path / "a.png")
    _some(output.parent, "b.png", "c.png")
    read, hashed = [], []
    monkeypatch.setattr(record, "_entries", lambda file, real=record._entries: read.append(file) or real(file))
    monkeypatch.setattr(record, "file_hash", lambda path, real=record.file_hash: hashed.append(path) or real(path))
    found = files.listed([str(tmp_path), str(output.parent)], [])
    assert [path.name for path in found] == ["a.png", "b.png", "c.png", "b.png", "c.png"]
    assert len(read) == 2
    assert hashed == [output]


def test_diagnose_reads_what_is_named_and_what_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(photos.png_bytes(photos.noisy("uint8", 1, 80, 80)))
    output = denoised(Path("a.png"))
    shutil.copyfile(output, output.with_name("copy.png"))
    for place, names in ((output.parent, ["copy.png"]), (output, ["a.png"])):
        capsys.readouterr()
        assert main(["diagnose", str(place), "--json"]) == 0
        assert [Path(one["file"]).name for one in json.loads(capsys.readouterr().out)["images"]] == names
    shutil.copyfile("a.png", output)
    for place, names in ((output.parent, ["a.png", "copy.png"]), (output, ["a.png"])):
        assert main(["diagnose", str(place), "--json"]) == 0
        assert [Path(one["file"]).name for one in json.loads(capsys.readouterr().out)["images"]] == names


def test_a_name_with_brackets_stands_in_the_table_of_diagnose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("holiday [edited].png").write_bytes(photos.png_bytes(photos.noisy("uint8", 1, 80, 80)))
    assert main(["diagnose", "holiday [edited].png"]) == 0
    assert "holiday [edited].png" in capsys.readouterr().out


def test_a_second_start_does_nothing(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take its own outputs for inputs; a deleted or changed output, or a changed input, is another matter."""
    _some(tmp_path, "a.png", "b.png")
    arguments = ["denoise", str(tmp_path), "--method", "tv"]
    assert main(arguments) == 0
    assert "2 images: 2 denoised\n" in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(work.Work, "_one", lambda *_: pytest.fail("denoised again"))
        assert main(arguments) == 0
    assert "2 images: 0 denoised, 2 done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}.items() <= written.items()
    (tmp_path / "a_denoised.png").unlink()
    assert main(arguments) == 0
    assert "1 denoised, 1 done before" in capsys.readouterr().out


def test_permissions_of_the_input_are_kept(tmp_path: Path) -> None:
    _some(tmp_path, "a.png")
    (tmp_path / "a.png").chmod(0o640)
    assert denoised(tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    _some(tmp_path, "a.png", "b.png")
    real = os.fsync

    def full(number: int) -> None:
        if os.path.basename(os.readlink(f"/proc/self/fd/{number}")).endswith(".part") and not failed:
            failed.append(number)
            raise OSError(28, "No space left on device")
        real(number)

    failed: list[int] = []
    monkeypatch.setattr(store_files.os, "fsync", full)
    assert main(["denoise", str(tmp_path), "--method", "tv", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "a.png: no space is left on the disk" in printed.err
    assert "1 denoised, 1 problem" in printed.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".denoisebench", "b.png"]


def test_a_target_that_cannot_be_written(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "a.png")
    (tmp_path / "file").write_text("a file where a folder should be")
    assert main(["denoise", str(tmp_path / "a.png"), "--out", str(tmp_path / "file" / "out"), "--method", "tv"]) == 1
    assert "choose a folder that can be written to" in capsys.readouterr().err


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    _some(tmp_path, "a.png")
    (tmp_path / "out").mkdir()
    orphan, other = tmp_path / "out" / f".{'0' * 32}.part", tmp_path / "out" / ".mine.part"
    orphan.write_text("half")
    other.write_text("mine")
    denoised(tmp_path / "a.png")
    assert not orphan.exists()
    assert other.exists()


# --- Memory ------------------------------------------------------------------------------------------------------------


def test_tiles_are_exact_and_pieces_are_told(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, samples = tmp_path / "large.png", photos.noisy("uint8", 3, 400, 420)
    path.write_bytes(photos.png_bytes(samples))
    trained = denoisebench.train([samples], "neighbor2neighbor", budget="smoke", steps=3, training={"patch": 32})
    trained.save(tmp_path / "w.pt")
    monkeypatch.setattr(memory.Rooms, "_cost", lambda *_: 1000.0)
    room = str((400 * 420 * 3 * 4 * memory.COPIES + 300**2 * 1000) / 2**30)
    output = denoised(path, "--checkpoint", str(tmp_path / "w.pt"), "--memory", room, method="neighbor2neighbor")
    assert "in tiles of 160 pixels, equal to the whole image up to rounding" in capsys.readouterr().err
    assert np.abs(read_photo(output).pixels.astype(int) - trained(samples)).max() <= 1
    pieces = denoised(path, "--memory", room, "--force")
    assert "in pieces of 288 pixels, each denoised on its own" in capsys.readouterr().err
    whole = denoisebench.denoise(samples, "tv").astype(int)
    assert np.abs(read_photo(pieces).pixels - whole).mean() < 1
    denoised(path, "--memory", "0.001", "--force", code=1)
    assert "too large for the memory there is: 400 x 420 needs about" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "side"), [(96, 96), (97, 96), (1000, 128), (333, 320)])
def test_pieces_cover_an_axis_and_blend(size: int, side: int) -> None:
    parts = memory.windows(size, side)
    weights = np.zeros(size)
    for part in parts:
        assert part.stop - part.start <= side
        weights[part] += memory.ramp(part, size)
    assert (parts[0].start, parts[-1].stop) == (0, size)
    assert (weights > 0.01).all()
    assert all(after.start + memory.OVERLAP <= before.stop for before, after in pairwise(parts))


def test_a_cost_is_measured_and_larger_for_a_wider_network() -> None:
    image = photos.noisy("float32", 1, 300, 300)
    costs = []
    for features in (4, 96):
        chosen = choose("zsn2n", 1, settings={"features": features, "steps": 500})
        own = denoisebench.Denoiser(chosen, chosen.make(0))
        costs.append(memory.Rooms(None)._cost(own, image[:128, :128]))
        assert getattr(own.network, "num_steps") == 500  # noqa: B009
    assert costs[1] > 2 * costs[0]


# --- Methods that train ------------------------------------------------------------------------------------------------


def test_methods_that_learn_from_a_set_train_on_the_images_of_one_kind(tmp_path: Path, capsys: Any) -> None:
    _some(tmp_path, "gray.png", "rgb.png", "gray 2.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    arguments = ["denoise", str(tmp_path), "--method", "neighbor2neighbor", "--budget", "smoke"]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.count("bad.png: it is no image") == 1
    assert "4 images: 3 denoised, 1 problem" in printed.out
    trainings = sorted((tmp_path / ".denoisebench").glob("training-*"))
    assert len(trainings) == 2
    assert main(arguments) == 1
    assert "0 denoised, 3 done before, 1 problem" in capsys.readouterr().out
    assert sorted((tmp_path / ".denoisebench").glob("training-*")) == trainings


# --- Kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_continues(tmp_path: Path, capsys: Any) -> None:
    """Interrupted while the second image is denoised: the first is there, nothing else; afterwards all is as without."""
    _some(tmp_path, "a.png", "b.png", "c.png")
    arguments = ["denoise", str(tmp_path), "--out", str(tmp_path / "out"), "--method", "zsn2n", "--set", "steps=300"]
    process = subprocess.Popen([sys.executable, "-m", "denoisebench", *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (tmp_path / "out" / "a.png").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert "the same command continues" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left in ([".denoisebench", "a.png"], [".denoisebench", "a.png", "b.png"])
    shutil.copytree(tmp_path / "out", tmp_path / "kept")
    assert main(arguments) == 0
    assert f"{3 - len(left) + 1} denoised, {len(left) - 1} done before" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "kept" / "a.png").read_bytes()
    expected = denoisebench.denoise(read_photo(tmp_path / "c.png").pixels, "zsn2n", steps=300)
    assert np.array_equal(read_photo(tmp_path / "out" / "c.png").pixels, expected)
