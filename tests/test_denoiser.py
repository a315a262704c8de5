"""The contract's classes that no shipped method exercises fully: learning from one image, and the optimiser's schedule."""

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from denoisebench.batch import Batch
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.reading import to_unit
from denoisebench.datasets.training import Training
from denoisebench.denoiser import DatasetDenoiser, Denoiser, ImageDenoiser, SupervisedDenoiser
from denoisebench.methods.noisy import Noisy
from denoisebench.noise import Gaussian
from denoisebench.scoring.evaluator import Evaluator
from denoisebench.scoring.keeper import Keeping
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import isolated_rng
from denoisebench.store.rows import COLUMNS, read_chosen
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, quiet, trained, trainer_for


class BlindFilter(ImageDenoiser):
    """A real if small learner of one image: a linear filter that predicts a random half of the pixels, itself unseen."""

    def __init__(self, num_steps: int = 200, lr: float = 0.01) -> None:
        super().__init__()
        self.num_steps, self.lr = num_steps, lr
        self.weight = nn.Parameter(torch.empty(1, 1, 5, 5))

    def reset(self, noisy: Tensor) -> None:
        nn.init.normal_(self.weight, std=0.04)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        chosen = torch.rand_like(noisy) < 0.5
        return ((self.predict(noisy) - noisy).square() * chosen).mean()

    def predict(self, noisy: Tensor) -> Tensor:
        blind = torch.ones(5, 5)
        blind[2, 2] = 0
        padded = nn.functional.pad(noisy, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]
        return nn.functional.conv2d(padded, self.weight * blind).view_as(noisy)


class Scale(DatasetDenoiser):
    """One weight, so that a step can be followed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.lr = 0.01
        self.seen: list[tuple[float, float, float]] = []

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        self.seen.append((progress, self.trainer.optimizers[0].param_groups[0]["lr"], torch.rand(()).item()))
        return (self.weight * noisy - 0.5).square().mean()

    def denoise(self, noisy: Tensor) -> Tensor:
        return self.weight * noisy


class Halves(SupervisedDenoiser):
    """Learns nothing useful; says which target it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.lr = 0.01
        self.targets: list[Tensor] = []

    def loss(self, noisy: Tensor, target: Tensor, progress: float) -> Tensor:
        self.targets.append(target)
        return (self.weight * noisy - target).square().mean()

    def denoise(self, noisy: Tensor) -> Tensor:
        return self.weight * noisy


def data_for(method: pl.LightningModule, steps: int = 4) -> DataModule:
    return DataModule(
        Photos(crop=48), Gaussian(sigma=25), 0,
        train=TrainingData(Photos("train"), Gaussian(sigma=25), Training(steps, 32, 2, "fresh"), method.target),  # type: ignore[arg-type]
    )  # fmt: skip


def rows_of_test(method: pl.LightningModule, folder: Path, **options: Any) -> list[dict]:
    keeping, data = Keeping(folder / "cell", folder / "inputs"), data_for(method)
    evaluator = Evaluator(keeping, {**dict.fromkeys(COLUMNS), "method": "under test"}, [Protocol("default")], data.withheld)
    (folder / "cell").mkdir(parents=True)
    with quiet():
        trainer_for(Engine(), [evaluator], Path(), **options).test(method, data, verbose=False)
    return [row for image in evaluator.partial.read() for row in image]


def test_a_test_far_below_its_own_input_is_remarked_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverged = Halves()
    diverged.weight.data.fill_(0.05)
    rows, noisy = rows_of_test(diverged, tmp_path / "diverged"), rows_of_test(Noisy(), tmp_path / "noisy")
    after, before = (sum(row["psnr_db"] for row in own) / len(own) for own in (rows, noisy))
    assert before - after > 10
    told = "".join(capsys.readouterr()).replace("\n", " ")
    assert told.count("below its noisy inputs") == 1
    assert f"{after:.2f} dB on average, {before - after:.1f} dB below its noisy inputs ({before:.2f} dB)" in told


def test_an_image_learner_trains_inside_lightnings_test_loop(tmp_path: Path) -> None:
    rows = rows_of_test(BlindFilter(), tmp_path / "learner")
    noisy = rows_of_test(Noisy(), tmp_path / "noisy")
    assert [row["image"] for row in rows] == [row["image"] for row in noisy]
    gains = [ours["psnr_db"] - theirs["psnr_db"] for ours, theirs in zip(rows, noisy, strict=True)]
    assert min(gains) > 2


def test_an_image_learner_gives_each_image_of_a_batch_what_it_gives_it_alone() -> None:
    method = BlindFilter(num_steps=3)
    noisy = torch.rand(2, 3, 20, 20)
    with isolated_rng(5):
        together = method.denoise(noisy)
    with isolated_rng(5):
        first = method.denoise(noisy[:1])
    assert torch.equal(together[:1], first)
    assert not together.requires_grad


def test_progress_learning_rate_and_draws_are_functions_of_the_step(tmp_path: Path) -> None:
    seen = []
    for name in ("first", "second"):
        method = Scale()
        torch.manual_seed(hash(name) % 1000)  # what came before must not matter
        trained(method, data_for(method), tmp_path / name, Course(seed=0))
        seen.append(method.seen)
    assert seen[0] == seen[1]
    assert [progress for progress, _, _ in seen[0]] == [0, 0.25, 0.5, 0.75]
    assert [rate for _, rate, _ in seen[0]] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert len({draw for _, _, draw in seen[0]}) == 4


def test_only_a_supervised_method_is_given_clean_patches(tmp_path: Path) -> None:
    method = Halves()
    data = data_for(method)
    trained(method, data, tmp_path / "halves", Course(seed=0))
    steps = data.train_dataloader().dataset
    assert method.tags == ("supervised",)
    assert torch.equal(method.targets[0], steps.step(0).clean)  # type: ignore[attr-defined]

    blind = Scale()
    data = data_for(blind)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.clean is None
    assert batch.target is None


def test_training_leaves_the_global_generators_where_they_were(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    method = Scale()
    trained(method, data_for(method), tmp_path / "a", Course(seed=0))
    rows_of_test(method, tmp_path / "b")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_ends_training_and_names_the_step(tmp_path: Path) -> None:
    class Diverges(Scale):
        def loss(self, noisy: Tensor, progress: float) -> Tensor:
            return super().loss(noisy, progress) * (torch.nan if progress == 0.5 else 1)

    method = Diverges()
    with pytest.raises(FloatingPointError, match="nan at step 3"):
        trained(method, data_for(method), tmp_path, Course(seed=0))
    assert not (tmp_path / "weights.safetensors").exists()


class Wrong(Noisy):
    def __init__(self, output: Tensor | str) -> None:
        super().__init__()
        self.output = output

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy[..., 1:] if isinstance(self.output, str) else noisy * self.output


@pytest.mark.parametrize(
    ("output", "expected"), [("cropped", "expected the shape"), (torch.tensor(torch.nan), "NaN or infinite")]
)
def test_a_wrong_output_is_refused_with_the_method_and_the_image(output: Tensor | str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"under test on astronaut.*{expected}"):
        rows_of_test(Wrong(output), tmp_path)
    assert not list(tmp_path.rglob("*.png"))


def test_bf16_outputs_are_scored_in_float64_outside_autocast(tmp_path: Path) -> None:
    batch = Batch(torch.rand(1, 3, 32, 32))
    exact, mixed = rows_of_test(Noisy(), tmp_path / "32"), []
    keeping, data = Keeping(tmp_path / "cell", tmp_path / "inputs"), data_for(Noisy())
    evaluator = Evaluator(keeping, {**dict.fromkeys(COLUMNS), "method": "m"}, [Protocol("default")], data.withheld)
    (tmp_path / "cell").mkdir()
    with quiet():
        trainer_for(Engine(precision="bf16-mixed"), [evaluator], Path()).test(Noisy(), data, verbose=False)
    mixed = [row for image in evaluator.partial.read() for row in image]
    assert batch.noisy.dtype == torch.float32
    assert [(row["psnr_db"], row["ssim"]) for row in mixed] == [(row["psnr_db"], row["ssim"]) for row in exact]


class Cheat(Denoiser):
    """Returns the clean image, if it is given one."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return batch.noisy if batch.clean is None else batch.clean


class InPlace(Denoiser):
    """Denoises its input where it lies."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy.mul_(0.5).add_(0.25)


class Elsewhere(Denoiser):
    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy * 0.5 + 0.25


def test_no_clean_image_is_given_at_test(tmp_path: Path) -> None:
    cheating, honest = rows_of_test(Cheat(), tmp_path / "cheat"), rows_of_test(Noisy(), tmp_path / "noisy")
    assert [row["psnr_db"] for row in cheating] == [row["psnr_db"] for row in honest]
    assert {row["clean_sha"] for row in cheating} == {row["clean_sha"] for row in honest}
    assert "" not in {row["clean_sha"] for row in honest}


def test_what_a_method_does_to_its_input_changes_no_score_and_no_hash(tmp_path: Path) -> None:
    changed, whole = rows_of_test(InPlace(), tmp_path / "changed"), rows_of_test(Elsewhere(), tmp_path / "whole")
    for name in ("noisy_sha", "clean_sha", "psnr_db", "ssim"):
        assert [row[name] for row in changed] == [row[name] for row in whole], name
    inputs = [sorted(path.name for path in (tmp_path / name / "inputs").iterdir()) for name in ("changed", "whole")]
    assert inputs[0] == inputs[1]
    for name in inputs[0]:
        assert (tmp_path / "changed" / "inputs" / name).read_bytes() == (tmp_path / "whole" / "inputs" / name).read_bytes()


class Oracle(Denoiser):
    """Knows the answers by heart."""

    def __init__(self) -> None:
        super().__init__()
        images = Photos(crop=48)
        self.answers = [to_unit(images.clean(index)).transpose(2, 0, 1) for index in range(len(images.names))]

    def denoise(self, noisy: Tensor) -> Tensor:
        known = [torch.from_numpy(answer).float()[None] for answer in self.answers if answer.shape[-2:] == noisy.shape[-2:]]
        return min(known, key=lambda answer: (answer - noisy).abs().mean().item()) if known else noisy


def test_an_absurd_score_is_remarked_upon_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of_test(Oracle(), tmp_path)
    assert [row["psnr_db"] for row in rows] == [math.inf] * len(rows)
    told = " ".join("".join(capsys.readouterr()).split())
    assert told.count("is beyond what a denoiser can reach") == 1
    assert f"under test on {rows[0]['image']}: PSNR inf dB is beyond" in told


class Choosing(Denoiser):
    """Says what it chose, anew for each image; its warm-up's choice is of no image."""

    calls = 0

    @property
    def chosen(self) -> dict[str, float | str]:
        return {"stop_step": 100 * self.calls, "ratio": 0.1 + 0.2, "kind": "a b"}

    def denoise(self, noisy: Tensor) -> Tensor:
        self.calls += 1
        return noisy


def test_what_a_method_chose_stands_in_its_row(tmp_path: Path) -> None:
    rows = rows_of_test(Choosing(), tmp_path)
    assert [row["chosen"] for row in rows] == [f"stop_step={100 * (i + 2)} ratio=0.3 kind=a_b" for i in range(len(rows))]
    assert read_chosen(rows[0]["chosen"]) == {"stop_step": 200.0, "ratio": 0.3, "kind": "a_b"}
    assert {row["chosen"] for row in rows_of_test(Noisy(), tmp_path / "noisy")} == {""}
