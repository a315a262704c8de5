"""Networks out and in: what is exported is ours, goes back in, and no file runs code unasked."""

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from skimage import data

from denoisebench.cli import main
from denoisebench.config import ConfigError
from denoisebench.elsewhere.network import NetworkFile
from denoisebench.study.export import export
from denoisebench.training.weights import load_weights
from jobs import built, one

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


@pytest.mark.parametrize("name", ["neighbor2neighbor", "ffdnet"])
def test_an_exported_network_is_ours_at_any_size(name: str) -> None:
    settings = ("method.sigma=25",) if name == "ffdnet" else ()
    ours = built(f"method={name}", "budget=smoke", *settings).eval()
    with torch.no_grad():
        for to, file in (("torch", "a.pt2"), ("onnx", "a.onnx")):
            export(ours, 3, to, Path(file))  # pyright: ignore[reportArgumentType]
            theirs = NetworkFile(file, sigma=25.0)
            for size in ((96, 64), (77, 131)):
                image = noisy(*size)
                assert (theirs.denoise(image) - ours.denoise(image)).abs().max() < 1e-4, (to, size)
            theirs.tile = 64
            assert (theirs.denoise(image) - ours.denoise(image)).abs().max() < 1e-4, "in tiles"


@pytest.mark.parametrize(("to", "file"), [("torch", "f.pt2"), pytest.param("onnx", "f.onnx", marks=pytest.mark.slow)])
def test_released_ffdnet_scores_the_same_both_ways(to: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    weights = built("method=ffdnet", "budget=smoke").eval()
    torch.save(weights.state_dict(), "ffdnet.pt")
    small = ("budget=smoke", *(f"method.{k}={v}" for k, v in (("features", weights.network.model[0].out_channels),
             ("layers", len(weights.network.model[::2])))))  # fmt: skip
    assert main(["run", "method=ffdnet", "checkpoint=ffdnet.pt", *small[1:], *SETTINGS]) == 0
    [folder] = Path("runs/default").glob("ffdnet*/*/*/seed*")
    ours = psnr_in(folder / "rows.csv")
    assert main(["export", str(folder), "--to", to, "--out", file]) == 0
    assert main(["run", "method=network", f"method.file={file}", f"method.label={to}", *SETTINGS]) == 0
    assert psnr_of(to) == pytest.approx(ours, abs=1e-3)
    assert "with a noise-level channel" in capsys.readouterr().out


def test_a_method_that_padding_changes_is_not_exported() -> None:
    """C-BSN is traced for even sides, and normalises by the mean of its image, which padding changes."""
    ours = built("method=cbsn", "budget=smoke").eval()
    with pytest.raises(ValueError, match=r"padded to multiples, differs by 0\.\d"):
        export(ours, 3, "torch", Path("c.pt2"))
    assert not Path("c.pt2").exists()


def test_safetensors_are_weights() -> None:
    first, second = (built("method=neighbor2neighbor", "budget=smoke") for _ in range(2))
    export(first, 3, "safetensors", Path("w.safetensors"))
    load_weights(second, Path("w.safetensors"))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


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
