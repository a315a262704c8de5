"""`trainer.compile=true`: the same training to rounding, under the same key and the same names of weights."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import jobs
from denoisebench.store.trainings import weights_in
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan
from denoisebench.training import engine

LEARNED = (
    "method=neighbor2neighbor", "dataset.crop=48", "budget=smoke", "trainer=cpu", "training.steps=5", "method.features=4",
)  # fmt: skip
TOLERANCE = 1e-4  # of weights after five steps: compiled sums are of another order, and Adam divides small numbers


def weights(root: Path, *overrides: str) -> tuple[dict[str, torch.Tensor], str]:
    [job] = plan([jobs.one(*LEARNED, *overrides, f"root={root}")])
    assert compute(job) == "done"
    return load_file(weights_in(job.cell.training)), job.cell.key


def check(tmp_path: Path) -> None:
    plain, key = weights(tmp_path / "plain")
    ours, compiled_key = weights(tmp_path / "compiled", "trainer.compile=true")
    assert compiled_key == key
    assert list(ours) == list(plain)
    assert all(torch.allclose(ours[name], plain[name], rtol=0, atol=TOLERANCE) for name in plain)


def test_a_compiled_training_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[object] = []

    def counted(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(engine, "BACKEND", counted)
    check(tmp_path)
    assert graphs


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="TorchInductor needs a C++ compiler")
def test_inductor_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    check(tmp_path)
