"""The authors' released checkpoints -> weights of our methods.

Methods that know the layouts of released files themselves (`released`) also take these without being converted.
Neighbor2Neighbor, SDAP and AP-BSN release PyTorch state dicts; C-BSN a TensorFlow checkpoint, of which these lines make
the `.npz` that is read here:

    import numpy as np, tensorflow as tf
    checkpoint = tf.train.load_checkpoint("CBSN_SIDDtrain.ckpt")
    np.savez("cbsn.npz", **{name: checkpoint.get_tensor(name) for name in checkpoint.get_variable_to_shape_map()})
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from denoisebench.denoiser import Denoiser
from denoisebench.methods.apbsn import APBSN
from denoisebench.methods.at_bsn import ATBSN
from denoisebench.methods.cbsn import CBSN
from denoisebench.methods.neighbor2neighbor import Neighbor2Neighbor
from denoisebench.methods.sdap import SDAP
from denoisebench.methods.tm_bsn import TMBSN
from denoisebench.networks.layout import found, unwrapped
from denoisebench.networks.weight_files import as_safetensors, read_file
from denoisebench.store.files import whole_file

KNOW_LAYOUTS: dict[str, type[Denoiser]] = {"tm_bsn": TMBSN, "at_bsn": ATBSN}
IMPORTABLE = ("neighbor2neighbor", "sdap", "apbsn", "cbsn", *KNOW_LAYOUTS)
MODULES = 9
# What TensorFlow saves beside the weights: Adam's moments and counters.
TENSORFLOW_REST = ("/Adam", "/Adam_1", "beta1_power", "beta2_power", "global_step")
SHOWN = 8


def import_weights(method: str, file: Path, out: Path) -> None:
    """Write the state dict of our `method` that holds the weights of the released `file` to `out`, whole or not at all.

    Raises: ValueError as `convert`; FileNotFoundError.
    """
    weights = convert(method, file)
    with whole_file(out) as part:
        part.write_bytes(as_safetensors(weights))


def convert(method: str, file: Path) -> dict[str, Tensor]:
    """The state dict of our `method`, with its released settings, from a released checkpoint.

    Raises: ValueError if the method has none, the file cannot be read without executing code, or its names or shapes
    are others; the text lists what is missing, too much, or of another shape.
    """
    if method not in IMPORTABLE:
        raise ValueError(f"no released checkpoints of {method!r} are known; there are those of {', '.join(IMPORTABLE)}")
    if method in KNOW_LAYOUTS:
        return _by_layout(method, file)
    if method == "cbsn":
        released, names = _from_tensorflow(file), _tensorflow_names()
    else:
        released, names = _from_pytorch(file), _unet_names() if method == "neighbor2neighbor" else _dbsn_names()
    expected = _method(method).state_dict()
    wanted = {theirs: expected[f"network.{ours}"].shape for theirs, ours in names.items()}
    _compare(method, file, released, wanted)
    converted = {f"network.{ours}": released[theirs].to(torch.float32).contiguous() for theirs, ours in names.items()}
    assert converted.keys() == expected.keys()
    return {name: converted[name] for name in expected}


def _by_layout(name: str, file: Path) -> dict[str, Tensor]:
    method, weights = KNOW_LAYOUTS[name](), _from_pytorch(file)
    released = method.released(weights)
    if released is None:
        known = ", ".join(method.released_layouts)
        raise ValueError(f"{file} is not a released checkpoint of {name}: it holds {found(weights)}; known are: {known}")
    return {name: tensor.contiguous() for name, tensor in released.items()}


def _method(name: str) -> nn.Module:
    match name:
        case "neighbor2neighbor":
            return Neighbor2Neighbor()
        case "sdap":
            return SDAP()
        case "apbsn":
            return APBSN()
        case _:
            return CBSN()


def _compare(method: str, file: Path, released: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> None:
    problems = {
        "missing": [name for name in wanted if name not in released],
        "too much": [name for name in released if name not in wanted],
        "of another shape": [
            f"{name} {tuple(released[name].shape)} instead of {tuple(shape)}"
            for name, shape in wanted.items()
            if name in released and released[name].shape != shape
        ],
    }
    if any(problems.values()):
        said = "; ".join(f"{what}: {_listed(names)}" for what, names in problems.items() if names)
        raise ValueError(f"{file} is not a released checkpoint of {method}: {said}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


# --- Reading -----------------------------------------------------------------------------------------------------


def _from_pytorch(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, out of what trainers wrap it in, without buffers of the mask."""
    try:
        content = read_file(file)
    except ValueError as error:
        raise ValueError(f"{file} is not a PyTorch file of plain tensors: {error}") from error
    for key in ("model_weight", "denoiser"):  # as AP-BSN's trainer saves it
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    try:
        tensors = {name.removeprefix("bsn."): value for name, value in unwrapped(content).items()}
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return {name: value for name, value in tensors.items() if not name.endswith(".mask")}


class _NotArraysError(ValueError):
    """A file that NumPy reads, and which is no archive of arrays."""


def _from_tensorflow(file: Path) -> dict[str, Tensor]:
    """The variables of the `.npz`, kernels turned from (height, width, in, out) to (out, in, height, width)."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _NotArraysError("it is one array")
            arrays = {name.removesuffix(":0"): archive[name] for name in archive.files}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise _NotArraysError("it holds other things than arrays")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError, MemoryError, SyntaxError) as error:
        raise ValueError(
            f"{file} is not an .npz of C-BSN's variables: {_why_unread(error)}; `denoisebench import-weights --help` shows how "
            "TensorFlow makes one"
        ) from error
    if strange := [name for name, array in arrays.items() if array.dtype.kind not in "fiu"]:
        raise ValueError(f"{file}: {_listed(strange)} hold no real numbers")
    weights = {name: array for name, array in arrays.items() if not name.endswith(TENSORFLOW_REST)}
    return {
        name: torch.from_numpy(np.array(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
        for name, array in weights.items()
    }


def _why_unread(error: Exception) -> str:
    """Without a word of NumPy's, which advises to load such a file less safely."""
    if isinstance(error, MemoryError) or "Maximum allowed" in str(error) or "too big" in str(error):
        return "an array of it would not fit into memory"
    if "Object arrays" in str(error):
        return "it would run code when it is loaded"
    return str(error) if isinstance(error, _NotArraysError) else "it is cut off, damaged, or of another kind"


# --- Their names -> ours -----------------------------------------------------------------------------------------


def _layers(pairs: Mapping[str, str]) -> dict[str, str]:
    """Names of layers -> names of their weights and biases."""
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in pairs.items() for kind in ("weight", "bias")}


def _unet_names() -> dict[str, str]:
    layers = {"enc_conv0": "encoder.0.0", "enc_conv1": "encoder.0.2", "enc_conv6": "bottom.0"}
    layers |= {f"enc_conv{level + 1}": f"encoder.{level}.0" for level in range(1, 5)}
    for step, level in enumerate(range(5, 0, -1)):
        layers |= {
            f"up{level}.deconv": f"decoder.{step}.up",
            f"dec_conv{level}a": f"decoder.{step}.block.0",
            f"dec_conv{level}b": f"decoder.{step}.block.2",
        }
    return _layers(layers | {"nin_a": "head.0", "nin_b": "head.2", "nin_c": "head.4"})


def _dbsn_names() -> dict[str, str]:
    layers = {"head.0": "head.0"} | {f"tail.{layer}": f"tail.{layer}" for layer in (0, 2, 4, 6)}
    for branch in range(2):
        theirs, ours = f"branch{branch + 1}.body", f"branches.{branch}.body"
        layers |= {f"{theirs}.0": f"branches.{branch}.masked"}
        layers |= {f"{theirs}.{layer}": f"{ours}.{layer - 1}" for layer in (2, 4, 6 + MODULES)}
        for module in range(6, 6 + MODULES):
            layers |= {
                f"{theirs}.{module}.body.0": f"{ours}.{module - 1}.dilated",
                f"{theirs}.{module}.body.2": f"{ours}.{module - 1}.pointwise",
            }
    return _layers(layers)


def _tensorflow_names() -> dict[str, str]:
    layers = {"conv0": "head.0"} | {f"conv{layer + 1}": f"tail.{2 * layer}" for layer in range(4)}
    masked = {}
    for branch in range(2):
        theirs, ours = f"B{branch + 1}", f"branches.{branch}"
        masked |= {f"DBSN/{theirs}/conv1/W1": f"{ours}.masked.weight", f"DBSN/{theirs}/conv1/b1": f"{ours}.masked.bias"}
        layers |= {f"{theirs}/conv2": f"{ours}.body.1", f"{theirs}/conv3": f"{ours}.body.3"}
        layers |= {f"{theirs}/conv4": f"{ours}.body.{5 + MODULES}"}
        for module in range(MODULES):
            layers |= {
                f"{theirs}/DCM{module}/conv1": f"{ours}.body.{5 + module}.dilated",
                f"{theirs}/DCM{module}/conv2": f"{ours}.body.{5 + module}.pointwise",
            }
    kinds = {"kernel": "weight", "bias": "bias"}
    return masked | {f"DBSN/{t}/{kind}": f"{o}.{ours}" for t, o in layers.items() for kind, ours in kinds.items()}
