"""Files of the released layouts are made here: the networks are written anew as their authors named their layers."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench import config
from denoisebench.cli import main
from denoisebench.config.parts import instantiate
from denoisebench.networks.weight_files import read_file
from denoisebench.training.weights import load_weights
from denoisebench.weights.released import IMPORTABLE, convert, import_weights


def conv(before: int, after: int, size: int = 1) -> dict[str, Tensor]:
    std = (2 / (before * size * size)) ** 0.5
    return {"weight": std * torch.randn(after, before, size, size), "bias": 0.1 * torch.randn(after)}


def flat(layers: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return OrderedDict((f"{layer}.{kind}", value) for layer, kinds in layers.items() for kind, value in kinds.items())


def dbsn_layers() -> dict[str, Tensor]:
    layers = {"head.0": conv(3, 128)}
    for branch, size in ((1, 3), (2, 5)):
        body = f"branch{branch}.body"
        mask = torch.ones(128, 128, size, size)
        mask[:, :, size // 2, size // 2] = 0
        layers[f"{body}.0"] = {**conv(128, 128, size), "mask": mask}
        layers |= {f"{body}.{i}": conv(128, 128) for i in (2, 4)}
        for i in range(6, 15):
            layers |= {f"{body}.{i}.body.0": conv(128, 128, 3), f"{body}.{i}.body.2": conv(128, 128)}
        layers[f"{body}.15"] = conv(128, 128)
    widths = [(256, 128), (128, 64), (64, 64), (64, 3)]
    return flat(layers | {f"tail.{2 * i}": conv(*width) for i, width in enumerate(widths)})


def run_dbsn(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def layer(name: str, z: Tensor, dilation: int = 1) -> Tensor:
        weight = w[f"{name}.weight"] * w.get(f"{name}.mask", torch.ones(()))
        return F.conv2d(z, weight, w[f"{name}.bias"], padding=dilation * (weight.shape[-1] // 2), dilation=dilation)

    head, branches = layer("head.0", x).relu(), []
    for branch, dilation in ((1, 2), (2, 3)):
        z = head
        for i in (0, 2, 4):
            z = layer(f"branch{branch}.body.{i}", z).relu()
        for i in range(6, 15):
            module = f"branch{branch}.body.{i}.body"
            z = z + layer(f"{module}.2", layer(f"{module}.0", z, dilation).relu())
        branches.append(layer(f"branch{branch}.body.15", z).relu())
    z = torch.cat(branches, 1)
    for i in (0, 2, 4):
        z = layer(f"tail.{i}", z).relu()
    return layer("tail.6", z)


def unet_layers() -> dict[str, Tensor]:
    layers = {"enc_conv0": conv(3, 48, 3)} | {f"enc_conv{i}": conv(48, 48, 3) for i in range(1, 7)}
    for level, (below, inside) in {5: (48, 96), 4: (96, 144), 3: (96, 144), 2: (96, 144), 1: (96, 99)}.items():
        layers[f"up{level}.deconv"] = conv(below, below, 2)
        layers |= {f"dec_conv{level}a": conv(inside, 96, 3), f"dec_conv{level}b": conv(96, 96, 3)}
    return flat(layers | {"nin_a": conv(96, 96), "nin_b": conv(96, 96), "nin_c": conv(96, 3)})


def run_unet(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def layer(name: str, z: Tensor) -> Tensor:
        weight = w[f"{name}.weight"]
        return F.conv2d(z, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def active(name: str, z: Tensor) -> Tensor:
        return F.leaky_relu(layer(name, z), 0.2)

    pools = [x, F.max_pool2d(active("enc_conv1", active("enc_conv0", x)), 2)]
    for i in range(2, 6):
        pools.append(F.max_pool2d(active(f"enc_conv{i}", pools[-1]), 2))
    z = active("enc_conv6", pools.pop())
    for level in range(5, 0, -1):
        z = F.conv_transpose2d(z, w[f"up{level}.deconv.weight"], w[f"up{level}.deconv.bias"], stride=2)
        z = active(f"dec_conv{level}b", active(f"dec_conv{level}a", torch.cat([z, pools.pop()], 1)))
    return layer("nin_c", active("nin_b", active("nin_a", z)))


def tensorflow_arrays() -> dict[str, np.ndarray]:
    def variables(name: str, before: int, after: int, size: int = 1, kinds: tuple[str, str] = ("kernel", "bias")) -> dict:
        own = conv(before, after, size)
        return {
            f"DBSN/{name}/{kinds[0]}": own["weight"].permute(2, 3, 1, 0).numpy(),
            f"DBSN/{name}/{kinds[1]}": own["bias"].numpy(),
        }

    arrays = variables("conv0", 3, 128)
    for branch, size in (("B1", 3), ("B2", 5)):
        arrays |= variables(f"{branch}/conv1", 128, 128, size, ("W1", "b1"))
        for name in ("conv2", "conv3", "conv4"):
            arrays |= variables(f"{branch}/{name}", 128, 128)
        for i in range(9):
            arrays |= variables(f"{branch}/DCM{i}/conv1", 128, 128, 3) | variables(f"{branch}/DCM{i}/conv2", 128, 128)
    for name, before, after in (("conv1", 256, 128), ("conv2", 128, 64), ("conv3", 64, 64), ("conv4", 64, 3)):
        arrays |= variables(name, before, after)
    return arrays


def run_tensorflow(arrays: dict[str, np.ndarray], x: Tensor, *, blind: bool) -> Tensor:
    def layer(name: str, z: Tensor, dilation: int = 1, kinds: tuple[str, str] = ("kernel", "bias")) -> Tensor:
        kernel = torch.from_numpy(arrays[f"DBSN/{name}/{kinds[0]}"]).permute(3, 2, 0, 1).clone()
        half = kernel.shape[-1] // 2
        if kinds[0] == "W1" and blind:
            kernel[..., half, half] = 0
        return F.conv2d(
            z, kernel, torch.from_numpy(arrays[f"DBSN/{name}/{kinds[1]}"]), padding=dilation * half, dilation=dilation
        )

    head, branches = layer("conv0", x).relu(), []
    for branch, dilation in (("B1", 2), ("B2", 3)):
        z = layer(f"{branch}/conv1", head, kinds=("W1", "b1")).relu()
        z = layer(f"{branch}/conv3", layer(f"{branch}/conv2", z).relu()).relu()
        for i in range(9):
            z = z + layer(f"{branch}/DCM{i}/conv2", layer(f"{branch}/DCM{i}/conv1", z, dilation).relu()).relu()
        branches.append(layer(f"{branch}/conv4", z).relu())
    z = torch.cat(branches, 1)
    for name in ("conv1", "conv2", "conv3"):
        z = layer(name, z).relu()
    return layer("conv4", z)


def built(method: str, weights: dict[str, Tensor]) -> Any:
    model = instantiate(config.compose_one([f"method={method}", "budget=paper"]).plain["method"], "method").eval()
    model.load_state_dict(weights)
    return model


def wrapped(layers: dict[str, Tensor], how: str) -> Any:
    if how == "parallel":
        return {f"module.{name}": value for name, value in layers.items()}
    if how == "trainer":
        inside = {f"bsn.{name}": value for name, value in layers.items()}
        return {"epoch": 20, "model_weight": {"denoiser": inside}, "optimizer_weight": {"denoiser": {"state": {}}}}
    return layers


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("sdap", "plain"),
        ("sdap", "parallel"),
        ("apbsn", "trainer"),
        ("neighbor2neighbor", "plain"),
        ("neighbor2neighbor", "parallel"),
    ],
)
def test_a_released_network_gives_the_same_output_in_ours(method: str, how: str, tmp_path: Path) -> None:
    layers, run = (unet_layers(), run_unet) if method == "neighbor2neighbor" else (dbsn_layers(), run_dbsn)
    torch.save(wrapped(layers, how), tmp_path / "released.pth")
    import_weights(method, tmp_path / "released.pth", tmp_path / "out" / "weights.safetensors")
    model = built(method, read_file(tmp_path / "out" / "weights.safetensors"))
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), run(layers, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", ["", ":0"])
def test_the_released_tensorflow_network_gives_the_same_output_in_ours(suffix: str, tmp_path: Path) -> None:
    arrays = tensorflow_arrays()
    rest = {f"{name}/Adam": value for name, value in list(arrays.items())[:4]}
    rest |= {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999), "global_step": np.int64(500_000)}  # type: ignore[dict-item]
    saved: dict[str, Any] = {name + suffix: value for name, value in (arrays | rest).items()}
    np.savez(tmp_path / "cbsn.npz", **saved)
    model = built("cbsn", convert("cbsn", tmp_path / "cbsn.npz"))
    x = torch.rand(1, 3, 17, 16)
    for blind in (True, False):
        with torch.no_grad():
            expected = run_tensorflow(arrays, x, blind=blind)
            torch.testing.assert_close(model.network(x, blind=blind), expected, rtol=1e-4, atol=1e-4)


def test_what_is_missing_too_much_or_of_another_shape_is_listed(tmp_path: Path) -> None:
    layers = dbsn_layers()
    del layers["tail.6.bias"]
    layers["tail.8.bias"] = torch.zeros(3)
    layers["head.0.weight"] = torch.zeros(64, 3, 1, 1)
    torch.save(layers, tmp_path / "other.pth")
    with pytest.raises(ValueError) as error:
        convert("sdap", tmp_path / "other.pth")
    said = str(error.value)
    assert "missing: tail.6.bias" in said
    assert "too much: tail.8.bias" in said
    assert "head.0.weight (64, 3, 1, 1) instead of (128, 3, 1, 1)" in said
    with pytest.raises(ValueError, match=r"missing: .* and \d+ more"):
        convert("neighbor2neighbor", tmp_path / "other.pth")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"head.0.weight": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="plain tensors"):
        convert("sdap", tmp_path / "evil.pth")
    np.savez(tmp_path / "evil.npz", a=np.array([Malicious()], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz .* it would run code"):
        convert("cbsn", tmp_path / "evil.npz")
    assert not Path("executed").exists()


@pytest.mark.parametrize("method", IMPORTABLE)
def test_other_files_are_refused(method: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="text"):
        convert(method, tmp_path / "text")
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        convert(method, tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        convert(method, tmp_path / "absent")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth"):
        convert(method, tmp_path / "list.pth")


def test_a_whole_module_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ValueError, match="plain tensors"):
        convert("sdap", tmp_path / "module.pth")


def test_methods_without_released_weights_are_named() -> None:
    with pytest.raises(ValueError, match=r"'nlm'.*neighbor2neighbor, sdap, apbsn, cbsn"):
        convert("nlm", Path("x"))


# --- Files of other kinds, in one line of our own -----------------------------------------------------------------


def of_36_tib(file: Path) -> None:
    """An archive with an array whose header promises far more than there is."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3037000499, 3257), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))


FOREIGN: dict[str, Callable[[Path], object]] = {
    "five.pth": lambda file: torch.save({"state_dict": 5}, file),
    "inner.pth": lambda file: torch.save({"state_dict": {"a": 5}}, file),
    "complex.pth": lambda file: torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, file),
    "sparse.pth": lambda file: torch.save({"a": torch.zeros(2).to_sparse()}, file),
    "code.pth": lambda file: torch.save({"a": Malicious()}, file),
    "old.pth": lambda file: file.write_bytes(pickle.dumps({"a": Malicious()})),
    "cut.pth": lambda file: file.write_bytes(b"PK\x03\x04 cut"),
    "html.pth": lambda file: file.write_text("<html>"),
    "folder.pth": lambda file: file.mkdir(),
    "huge.npz": of_36_tib,
    "text.npz": lambda file: file.write_text("hello"),
    "complex.npz": lambda file: complex_npz(file, {"DBSN/conv0/kernel": np.zeros((1, 1, 3, 3), complex)}),
    "code.npz": lambda file: np.savez(file, a=np.array([Malicious()], dtype=object)),
    "one.npz": lambda file: file.write_bytes(npy()),
}  # fmt: skip


def complex_npz(file: Path, arrays: dict[str, Any]) -> None:
    np.savez(file, **arrays)


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_told_in_one_line_of_our_own(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / name
    FOREIGN[name](file)
    commands = [["import-weights", "--method", "cbsn" if file.suffix == ".npz" else "sdap", str(file), str(tmp_path / "out.pt")]]
    commands += [["run", "method=noise2clean", f"checkpoint={file}", "budget=smoke", "dataset.crop=48"]]
    for command in commands:
        assert main(command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(file) in line
        assert not any(word in line for word in ("weights_only", "allow_pickle", "\x1b", "torch.load", "_target_"))
        assert ("run code" in line) == (
            name in ("code.pth", "old.pth") or (name == "code.npz" and command[0] == "import-weights")
        )
    assert not (tmp_path / "out.pt").exists()
    assert not Path("executed").exists()
    assert not Path("runs").exists()


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    method = instantiate(config.compose_one(["method=noise2clean", "budget=smoke"]).plain["method"], "method")
    torch.save({name: values.long() for name, values in method.state_dict().items()}, tmp_path / "long.pt")
    with pytest.raises(ValueError, match=r"long\.pt does not fit Noise2Clean .* has whole numbers in network"):
        load_weights(method, tmp_path / "long.pt")
