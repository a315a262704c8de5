"""Any metric that pyiqa names, as `pyiqa:niqe`: the extra `iqa`, for non-commercial use."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import io
import runpy
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from denoisebench.scoring.further.measure import Further, UnavailableError, each, in_colour, in_unit_range, shown

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "pyiqa:"
LEAST = 32
LICENCE = "PolyForm Noncommercial 1.0.0 (pyiqa); weights under their authors' licences"


@functools.cache
def _known() -> Mapping[str, Mapping[str, Any]] | None:
    """What pyiqa says of its metrics, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("pyiqa")
    if spec is None or spec.origin is None:
        return None
    return runpy.run_path(str(Path(spec.origin).with_name("default_model_configs.py")))["DEFAULT_CONFIGS"]


def metric(name: str) -> Further:
    """`pyiqa:NAME` as a measure. Raises: ValueError for a name that pyiqa does not know, where it is installed."""
    own, known = name.removeprefix(PREFIX), _known()
    if known is not None and own not in known:
        close = ", ".join(difflib.get_close_matches(own, known, n=3))
        raise ValueError(f"pyiqa has no metric {own}" + (f"; did you mean {close}?" if close else ""))
    about = {} if known is None else known[own]
    full = about.get("metric_mode", "FR") == "FR"
    return Further(
        name, name, "", 4, higher_is_better=not about.get("lower_better", False),
        score=functools.partial(_score, own, full), needs=frozenset({"clean"} if full else ()), least=LEAST,
        directed=known is not None, range=str(about.get("score_range", "unknown")).replace(", ", " to "), licence=LICENCE,
        library="pyiqa", treats=f"values clipped to [0, 1]; gray as three equal channels; empty below {LEAST} x {LEAST}",
        lacking=functools.partial(_lacking, own),
    )  # fmt: skip


@functools.cache
def _lacking(name: str) -> str | None:
    try:
        _made(name, "cpu")
    except UnavailableError as error:
        return str(error)
    return None


@functools.cache
def _made(name: str, device: str) -> Any:
    import torch

    if _known() is None:
        raise UnavailableError("pyiqa is not installed: pip install 'denoisebench[iqa]' (for non-commercial use)")
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), catch_warnings():
            simplefilter("ignore")
            return importlib.import_module("pyiqa").create_metric(name, device=torch.device(device))
    except Exception as error:  # whatever it makes of weights that it cannot fetch
        told = " ".join(str(error).replace(str(Path.home()), "~").split())[:200] or type(error).__name__
        place = shown(Path(torch.hub.get_dir()) / "pyiqa")
        raise UnavailableError(f"pyiqa cannot make {name} ({told}); its weights go to {place}") from error


def _score(name: str, full: bool, denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    import torch

    made = _made(name, str(denoised.device))
    given = [in_colour(in_unit_range(image)) for image in (denoised, clean) if image is not None and (full or image is denoised)]
    with catch_warnings():
        simplefilter("ignore")
        return each(torch.cat([made(*one).reshape(-1) for one in zip(*(i.split(1) for i in given), strict=True)]), len(denoised))
