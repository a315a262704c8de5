"""What every method must keep to, and what is asked of ours alone. A new one needs no line here."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

import denoisebench
from denoisebench import config
from denoisebench.batch import Batch
from denoisebench.cli import main
from denoisebench.config import compose
from denoisebench.config.choosing import class_named
from denoisebench.config.parts import class_of
from denoisebench.datasets.photos import Photos
from denoisebench.denoiser import DatasetDenoiser, Denoiser, ImageDenoiser
from denoisebench.study import contract
from denoisebench.study.contract import CHECKS, SHORT, Subject, findings
from jobs import METHODS, QUICKER, quicker, subject


@functools.cache
def composed(name: str, *overrides: str) -> Any:
    """Composed once in each process: to be read only."""
    return config.compose_one([f"method={name}", "budget=smoke", *overrides]).plain


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)  # the outer loop, so that each process composes only some of them
def test_keeps_to_the_contract(name: str, check: Callable[[Subject], Iterator[str]]) -> None:
    assert list(check(subject(name, *quicker(name)))) == []


@pytest.mark.parametrize("name", METHODS)
def test_keeps_to_the_contract_with_one_channel(name: str) -> None:
    gray = subject(name, "dataset.channels=1", *quicker(name))
    assert gray.channels == 1
    assert [found for check in (contract.shape, contract.clean_in_training) for found in check(gray)] == []


GRAY_AND_COLOUR = ("ffdnet",)  # the networks that its paper defines


@pytest.mark.parametrize("name", [name for name in METHODS if name not in GRAY_AND_COLOUR])
def test_the_four_channels_of_raw_planes_are_denoised(name: str) -> None:
    raw = subject(name, "dataset.channels=4", *quicker(name))
    assert raw.channels == 4
    images = torch.rand(1, 4, 33, 34, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output = raw.build(0).test_step(Batch(images, images, None, ("raw",), 0, 1), 0)
    assert output.shape == images.shape
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("name", GRAY_AND_COLOUR)
def test_four_channels_are_refused_in_words(name: str) -> None:
    with pytest.raises(config.ConfigError, match=r"^method\.channels: FFDNet has networks for 1 and 3 channels only$"):
        composed(name, "dataset.channels=4")
    with pytest.raises(config.ConfigError, match=r"^method\.layers: nothing is set for 4; Valid: 1, 3$"):
        composed(name, "dataset.channels=4", "method.channels=4")


def test_a_gray_subject_is_trained_on_gray_images() -> None:
    gray = subject("noise2void", "dataset.channels=1")
    assert list(contract.resumed(gray)) == []


def test_those_that_train_a_network_on_a_data_set_tile_unless_it_attends_to_the_whole_image() -> None:
    classes = {name: class_of(composed(name)["method"], "method", Denoiser) for name in METHODS}
    learners = {name for name in METHODS if classes[name].learns == "dataset"}
    global_ones = {name for name in METHODS if classes[name].attends_globally}
    assert learners == {name for name in METHODS if classes[name].tiles} | global_ones
    assert all("tiles" in (classes[name].__doc__ or "") for name in global_ones)


@pytest.mark.parametrize("name", METHODS)
def test_every_budget_has_a_recipe_where_something_is_learned_and_none_elsewhere(name: str) -> None:
    learns = class_of(composed(name)["method"], "method", Denoiser).learns
    for budget in config.groups()["budget"]:
        steps = compose.compose([f"method={name}", f"budget={budget}"]).training.steps
        assert (steps > 0) == (learns == "dataset"), budget
        assert learns != "dataset" or steps >= contract.FAILS_AT, "too short to be killed in its midst"
        has_recipe = (Path(config.conf_dir()) / "recipe" / budget / f"{name}.yaml").is_file()
        # An hour is a length of one training on a data set; those that learn from each image anew have none of it.
        assert has_recipe == (learns == "dataset" or (learns == "image" and budget != "hour")), budget


@pytest.mark.parametrize("name", METHODS)
def test_its_class_is_known_without_composing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = class_of(composed(name)["method"], "method", Denoiser)
    monkeypatch.setattr("denoisebench.config.choosing.compose_one", None)
    assert class_named(name) is expected


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_sets_only_what_a_recipe_may(name: str) -> None:
    plain = composed(name)["method"]
    for budget in config.groups()["budget"]:
        file = Path(config.conf_dir()) / "recipe" / budget / f"{name}.yaml"
        if file.is_file():
            recipe = OmegaConf.to_container(OmegaConf.load(file))
            assert set(recipe) <= {"training", "method"}  # type: ignore[arg-type]
            assert set(recipe.get("method", {})) <= set(plain)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_a_class_that_learns_cites_its_source_and_says_how_it_deviates(name: str) -> None:
    cls = class_of(composed(name)["method"], "method", Denoiser)
    assert cls.__doc__
    if cls.learns != "nothing":
        assert "arXiv" in cls.__doc__
        assert "Deviations" in cls.__doc__


# --- Each point is noticed where it is broken ----------------------------------------------------------------------


class Fine(Denoiser):
    """Halves."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy / 2


class Wrong(Fine):
    """Breaks a point, as its subclasses do."""


class Cheats(Wrong):
    """Returns the clean image."""

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert batch.clean is not None
        return batch.clean.clone()


class InPlace(Wrong):
    """Halves its input."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy.mul_(0.5).clone()


class Shares(Wrong):
    """Returns its input."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy


class Remembers(Wrong):
    """Adds what it has seen before."""

    seen = 0.0

    def denoise(self, noisy: Tensor) -> Tensor:
        before, self.seen = self.seen, float(noisy.mean())
        return noisy + before


class Averages(Wrong):
    """Subtracts the mean of the batch."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy - noisy.mean()


class Unseeded(Wrong):
    """Draws from a generator of its own."""

    generator = torch.Generator()

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy + torch.rand(noisy.shape, generator=self.generator)


class Moves(Wrong):
    """Draws from the global generator outside the seeded part."""

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        torch.rand(1)
        return batch.noisy / 2


class Crops(Wrong):
    """Leaves out a row."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy[..., 1:, :].clone()


class Double(Wrong):
    """Returns float64."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy.double()


class Infinite(Wrong):
    """Divides by zero."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy / 0


class Greedy(Wrong):
    """Takes large images alone."""

    smallest = 64


class Loose(Wrong):
    """Says that it takes no image below 8 pixels, and takes it."""

    smallest = 8


class Keyed(Wrong):
    """Has a parameter that its YAML does not have."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()


class Undocumented(Wrong):
    pass


class Tiled(Wrong):
    """Adds one at the border of each tile."""

    tiles = True

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy / 2 if self.tile is None else noisy / 2 + 0.25


class Raises(Wrong):
    """Does not work."""

    def denoise(self, noisy: Tensor) -> Tensor:
        raise RuntimeError("out of\ncheese")


class Learner(DatasetDenoiser):
    """Scales by a number that it learns."""

    tiles = True
    lr = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(()))

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        return (self.scale * noisy - noisy.mean()).square().mean()

    def denoise(self, noisy: Tensor) -> Tensor:
        return self.scale.detach().to(noisy) * noisy


class Peeks(Learner):
    """Learns from clean images, and does not say so."""

    def _batch_loss(self, batch: Batch, progress: float) -> Tensor:
        return self.loss(batch.noisy, progress) if batch.clean is None else self.loss(batch.clean, progress)


class Needs(Learner):
    """Learns from targets, and does not say so."""

    def _batch_loss(self, batch: Batch, progress: float) -> Tensor:
        if batch.target is None:
            raise ValueError("no target")
        return self.loss(batch.target, progress)


class Tagged(Learner):
    """Says that it is supervised, and is not."""

    @property
    def tags(self) -> tuple[str, ...]:
        return ("supervised",)


class Untiled(Learner):
    """Does not heed `tile`."""

    tiles = False


class Counts(Learner):
    """Learns at a rate that its own count of steps gives: the count is in no checkpoint."""

    count = 0

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        self.count += 1
        return super().loss(noisy, progress) * self.count + self.scale**2 * self.count


class Elsewhere(Learner):
    """Keeps a weight that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.rand(())

    def denoise(self, noisy: Tensor) -> Tensor:
        return super().denoise(noisy) + self.offset


class Carries(ImageDenoiser):
    """Goes on with the weights of the image before."""

    lr = 0.1
    num_steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(()))

    def reset(self, noisy: Tensor) -> None:
        self.scale.data.nan_to_num_(0.5)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        return (self.scale * noisy - noisy.mean()).square().mean()

    def predict(self, noisy: Tensor) -> Tensor:
        return self.scale * noisy


def as_subject(cls: type[Denoiser]) -> Subject:
    def build(seed: int) -> Denoiser:
        with contract.isolated_rng(seed):
            return cls().eval()

    return Subject(cls.__name__, cls, frozenset(), build, SHORT)


@pytest.mark.parametrize("cls", [Fine, Learner])
def test_what_keeps_to_every_point_has_no_finding(cls: type[Denoiser]) -> None:
    assert list(findings(as_subject(cls))) == []


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (Cheats, "reads clean images at test"),
        (InPlace, "changes its input"),
        (Shares, "output shares memory with input"),
        (Remembers, "depends on the image before"),
        (Averages, "depends on the other images of a batch"),
        (Unseeded, "does not repeat itself for a seed"),
        (Moves, "moves the global generator"),
        (Crops, "changes the shape: 1x3x33x47 became 1x3x32x47"),
        (Double, "its output is torch.float64"),
        (Infinite, "its output is not finite"),
        (Greedy, "takes no image smaller than 64 pixels"),
        (Loose, "does not refuse an image below its smallest side"),
        (Keyed, "keys of the YAML are not the constructor's parameters: width"),
        (Undocumented, "its class has no docstring"),
        (Tiled, "tiles differ from whole image by 0.25"),
        (Raises, "fails where it is checked that it keeps the shape"),
        (Peeks, "reads clean images in training"),
        (Needs, "needs clean images or targets for training"),
        (Tagged, "is tagged supervised, and its loss does not use the target"),
        (Untiled, "does not heed `tile`"),
        (Counts, "training resumed is not training undisturbed"),
        (Elsewhere, "its weights are not all of it"),
        (Carries, "depends on the image before"),
    ],
)
def test_what_breaks_a_point_is_told_in_a_line(cls: type[Denoiser], found: str) -> None:
    lines = list(findings(as_subject(cls)))
    assert any(line.startswith(found) or found in line for line in lines), lines
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(("cls", "found"), [(Cheats, "reads clean images at test"), (InPlace, "changes its input")])
def test_one_fault_is_one_line(cls: type[Denoiser], found: str) -> None:
    assert list(findings(as_subject(cls))) == [found]


def test_an_image_learner_that_keeps_weights_is_told() -> None:
    assert list(contract.anew(as_subject(Carries))) == ["does not start anew for each image: `reset` leaves weights as they were"]


def test_the_command_checks_a_method_of_an_own_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "project" / "conf"
    (conf / "method").mkdir(parents=True)
    (conf / "method" / "cheat.yaml").write_text("_target_: checked_methods.Cheat\nstrength: 2\n")
    (conf / "method" / "fair.yaml").write_text("_target_: checked_methods.Fair\n")
    (conf.parent / "checked_methods.py").write_text(
        "from denoisebench.denoiser import Denoiser\n"
        "class Fair(Denoiser):\n    'Halves.'\n    def denoise(self, noisy):\n        return noisy / 2\n"
        "class Cheat(Fair):\n    'Cheats.'\n    def __init__(self, strength=1, width=3):\n        super().__init__()\n"
        "    def test_step(self, batch, index):\n        return batch.clean\n"
    )
    assert main(["check", "method=fair", "--config-dir", str(conf)]) == 0
    assert f"fair: keeps to all {len(CHECKS)} points" in capsys.readouterr().out
    assert main(["check", "method=cheat", "--config-dir", str(conf)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "cheat: reads clean images at test" in lines
    assert "cheat: keys of the YAML are not the constructor's parameters: width" in lines
    assert not any("arXiv" in line for line in lines)


NOISE = torch.rand(40, 44, 3, generator=torch.Generator().manual_seed(3)).numpy()
API_IMAGE = (Photos().clean(1)[100:140, 150:194] + 40 * NOISE - 20).clip(0, 255).astype("uint8")


@pytest.mark.parametrize("name", METHODS)
def test_is_the_same_from_python(name: str, tmp_path: Path) -> None:
    """What comes back has the type that came, is repeatable, and leaves the input and the caller's generators alone."""
    before, state = API_IMAGE.copy(), torch.get_rng_state()
    info = {one.name: one for one in denoisebench.methods()}[name]
    if info.learns != "dataset":
        outputs = [denoisebench.denoise(API_IMAGE, name, budget="smoke", **QUICKER.get(name, {})) for _ in range(2)]
    elif info.supervised:
        with pytest.raises(ValueError, match=r"learns from|two independent"):
            denoisebench.train([API_IMAGE], name, budget="smoke")
        return
    else:
        denoiser = denoisebench.train([API_IMAGE], name, budget="smoke", steps=3, training={"batch": 1})
        denoiser.save(tmp_path / "weights.safetensors")
        outputs = [denoiser(API_IMAGE), denoisebench.load(tmp_path / "weights.safetensors")(API_IMAGE)]
    assert (outputs[0].shape, outputs[0].dtype) == (API_IMAGE.shape, API_IMAGE.dtype)
    assert (outputs[0] == outputs[1]).all()
    assert (before == API_IMAGE).all()
    assert torch.equal(torch.get_rng_state(), state)
