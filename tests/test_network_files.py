"""Networks out and in: what is exported is ours, goes back in, and no file runs code unasked."""

import csv
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from skimage import data

from denoisebench.cli import main
from denoisebench.config import ConfigError, conf_dir
from denoisebench.config.parts import class_of
from denoisebench.denoiser import Denoiser
from denoisebench.elsewhere.network import NetworkFile
from denoisebench.networks.weight_files import read_file
from denoisebench.store.trainings import weights_in
from denoisebench.study.export import export
from denoisebench.training.weights import load_weights
from jobs import METHODS, built, computed, one

SETTINGS = ("noise=gaussian25", "dataset.crop=48", "trainer=cpu", "budget=smoke")


def noisy(height: int, width: int) -> torch.Tensor:
    image = torch.from_numpy(data.astronaut()[:height, 100 : 100 + width].transpose(2, 0, 1) / 255).float()[None]
    return image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def psnr_of(method: str) -> list[float]:
    [path] = Path("runs/default", method).glob("*/*/seed*/rows.csv")
    return psnr_in(path)


def psnr_in(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["psnr_db"]) for row in csv.DictReader(file)]


SET_TRAINED = {  # and the setting under which one draws no random numbers to denoise
    "apbsn": "refine=false", "at_bsn": "", "blind2unblind": "", "cbsn": "", "ffdnet": "sigma=25", "laine": "",
    "mm_bsn": "refine=false", "neighbor2neighbor": "", "noise2clean": "", "noise2noise": "", "noise2self": "",
    "noise2void": "", "puca": "refine=false", "recorrupted2recorrupted": "passes=0", "sasl": "", "sdap": "", "tm_bsn": "",
}  # fmt: skip
TO: tuple[Literal["torch", "onnx"], ...] = ("torch", "onnx")
QUICK = [("cbsn", "torch"), ("sdap", "onnx"), ("ffdnet", "torch")]
NOT_LONG = ("blind2unblind", "cbsn", "ffdnet", "recorrupted2recorrupted", "sdap")
REFUSED = ("ams_net",)
WHOLE = (
    "apbsn",
    "at_bsn",
    "cbsn",
    "laine",
    "mm_bsn",
    "puca",
    "tm_bsn",
)  # tiles would change their result, or were not shown not to


def marks_of(one: tuple[str, str]) -> tuple[pytest.MarkDecorator, ...]:
    if one in QUICK:
        return ()
    return (pytest.mark.slow,) if one[0] in NOT_LONG else (pytest.mark.slow, pytest.mark.long)


def test_these_are_all_methods_that_train_a_network_on_a_set() -> None:
    nodes = {name: yaml.safe_load((Path(conf_dir()) / "method" / f"{name}.yaml").read_text()) for name in METHODS}
    classes = {name: class_of(node, "method", Denoiser) for name, node in nodes.items()}
    trained = {name for name, one in classes.items() if one.learns == "dataset"}
    assert trained == {*REFUSED, *SET_TRAINED}


@pytest.mark.parametrize(
    ("name", "to"),
    [pytest.param(*one, marks=marks_of(one)) for one in product(SET_TRAINED, TO)],
)
def test_an_exported_network_is_ours_at_any_size(name: str, to: Literal["torch", "onnx"]) -> None:
    settings = [f"method.{SET_TRAINED[name]}"] if SET_TRAINED[name] else []
    torch.manual_seed(0)
    ours = built(f"method={name}", "budget=smoke", *settings).eval()
    file = Path("net.pt2" if to == "torch" else "net.onnx")
    with torch.no_grad():
        export(ours, 3, to, file)
        theirs = NetworkFile(str(file), sigma=25.0)
        for size in ((96, 64), (97, 131), (77, 131), (40, 20), (11, 9)):
            image = noisy(*size)
            assert (theirs.denoise(image) - ours.denoise(image)).abs().max() < 1e-4, size
        image, theirs.tile = noisy(130, 203), 64
        if name in WHOLE:
            with pytest.raises(ValueError, match="leave tile out"):
                theirs.denoise(image)
        else:
            assert (theirs.denoise(image) - ours.denoise(image)).abs().max() < 1e-4, "in tiles"


@pytest.mark.parametrize("to", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_released_ffdnet_scores_the_same_both_ways(to: str, weights_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released = weights_root / "ffdnet_color.pth"
    if not released.is_file():
        pytest.skip("ffdnet_color.pth is not there: set DENOISEBENCH_WEIGHTS to its folder")
    file = "f.pt2" if to == "torch" else "f.onnx"
    assert main(["run", "method=ffdnet", f"checkpoint={released}", *SETTINGS[:3]]) == 0
    [folder] = Path("runs/default").glob("ffdnet*/*/*/seed*")
    ours = psnr_in(folder / "rows.csv")
    assert min(ours) > 28, "it denoises: the noisy images have 20 dB"
    assert main(["export", str(folder), "--to", to, "--out", file]) == 0
    assert main(["run", "method=network", f"method.file={file}", f"method.label={to}", *SETTINGS[:3]]) == 0
    assert psnr_of(to) == pytest.approx(ours, abs=1e-3)
    assert "with a noise-level channel" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*REFUSED, "apbsn", "mm_bsn", "puca", "recorrupted2recorrupted"])
def test_what_is_no_fixed_graph_is_refused_as_a_graph_with_what_to_do_instead(name: str) -> None:
    ours = built(f"method={name}", "budget=smoke").eval()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"--to safetensors writes its weights") as refused:
        export(ours, 3, "torch", Path("net.pt2"))
    hint = f"with method.{SET_TRAINED[name]} it draws none" if name in SET_TRAINED else "writes its weights"
    assert str(refused.value).endswith(hint)
    assert torch.equal(torch.get_rng_state(), state)
    assert not Path("net.pt2").exists()


class Halving(Denoiser):
    """Its output depends on the size of the image in a way that no graph of any size follows."""

    learns = "dataset"

    def denoise(self, noisy: torch.Tensor) -> torch.Tensor:
        return noisy if noisy.shape[-1] < 70 else noisy / 2


def test_a_graph_that_is_another_function_at_another_size_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"Halving cannot be exported for images of any size"):
        export(Halving(), 3, "torch", Path("c.pt2"))
    assert not Path("c.pt2").exists()


@pytest.mark.parametrize("name", [*REFUSED, *SET_TRAINED])
def test_weights_of_every_method_go_out_and_come_back(name: str) -> None:
    first, second = (built(f"method={name}", "budget=smoke") for _ in range(2))
    export(first, 3, "safetensors", Path("w.safetensors"))
    load_weights(second, Path("w.safetensors"))
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key])


class Halves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x


def test_a_program_runs_only_if_it_is_trusted() -> None:
    with pytest.warns(FutureWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(Halves(), torch.rand(1, 3, 8, 8)), "halves.pt")
    image = noisy(20, 24)
    with pytest.raises(ValueError, match=r"a program that would run: method\.trust=true"):
        NetworkFile("halves.pt").denoise(image)
    trusted = NetworkFile("halves.pt", trust=True)
    assert torch.equal(trusted.denoise(image), image * 255 * 0.5 / 255 if trusted.given["range"] else image * 0.5)
    torch.save(Halves(), "pickled.pth")
    with pytest.raises(ValueError, match=r"no checkpoint that spandrel recognises .*it would run code"):
        NetworkFile("pickled.pth").denoise(image)


def test_range_and_level_are_what_the_user_says() -> None:
    class Probe(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :3] + x[:, 3:]  # the level, added

    program = torch.export.export(
        Probe(), (torch.rand(1, 4, 8, 8),), dynamic_shapes=({2: torch.export.Dim("h"), 3: torch.export.Dim("w")},)
    )
    torch.export.save(program, "probe.pt2")
    image = noisy(12, 9)
    whites: tuple[Literal[1, 255], ...] = (1, 255)
    for white in whites:
        found = NetworkFile("probe.pt2", range=white, sigma_map=True, sigma=25.0).denoise(image)
        assert torch.allclose(found, image + 25 / 255, atol=1e-6)
    with pytest.raises(ValueError, match=r"method\.sigma_map says"):
        NetworkFile("probe.pt2").denoise(image)


def test_a_checkpoint_that_spandrel_knows() -> None:
    from spandrel.architectures.DnCNN import DnCNN

    torch.manual_seed(0)
    network = DnCNN(in_nc=3, out_nc=3, nc=16, nb=9, act_mode="R").eval()
    torch.save(network.state_dict(), "dncnn.pth")
    image = noisy(33, 40)
    with torch.no_grad():
        assert torch.allclose(NetworkFile("dncnn.pth").denoise(image), network(image), atol=1e-5)


def test_a_key_is_of_what_the_file_holds_and_a_missing_one_is_refused() -> None:
    Path("a.onnx").write_bytes(b"first")
    Path("b.onnx").write_bytes(b"first")
    keys = [one("method=network", f"method.file={name}", "method.label=x", *SETTINGS).cell.key for name in ("a.onnx", "b.onnx")]
    assert keys[0] == keys[1]
    Path("b.onnx").write_bytes(b"other")
    assert one("method=network", "method.file=b.onnx", "method.label=x", *SETTINGS).cell.key != keys[0]
    with pytest.raises(FileNotFoundError, match=r"method.file=c.onnx: no such file"):
        one("method=network", "method.file=c.onnx", *SETTINGS)
    with pytest.raises(ConfigError, match=r"needs method\.file=FILE"):
        one("method=network", *SETTINGS)
    with pytest.raises(ValueError, match="is no network of ONNX"):
        NetworkFile("a.onnx").denoise(torch.from_numpy(np.zeros((1, 3, 8, 8), np.float32)))


def test_a_cell_to_export_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [cell] = computed("method=neighbor2neighbor", *SETTINGS, "dataset.first=1")
    folder, trained = cell.folder.resolve(), read_file(weights_in(cell.training))
    for up, here in enumerate([folder, *folder.parents][:6]):
        monkeypatch.chdir(here)
        file = tmp_path / f"{up}.safetensors"
        assert main(["export", str(folder.relative_to(here)), "--to", "safetensors", "--out", str(file)]) == 0
        assert all(torch.equal(tensor, trained[name]) for name, tensor in read_file(file).items())


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_that_is_no_cell_is_not_exported(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", place, "--to", "onnx"]) == 2
    assert f"{place} is no cell of a study: give the folder of one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "why"),
    [(("method=noisy",), "noisy learns nothing"), (("method=zsn2n", "method.steps=2"), "zsn2n learns anew from each image")],
)
@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_a_cell_without_a_network_is_told_so(
    settings: tuple[str, ...], why: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [cell] = computed(*settings, *SETTINGS, "dataset.first=1")
    assert main(["export", str(cell.folder), "--to", to]) == 2
    assert f"{cell} has no network to export: {why}; give a cell of a method that learns" in capsys.readouterr().err
