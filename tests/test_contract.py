"""What every method must keep to. The methods are found in conf/method/: a new one is tested without being named here."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from denoisebench import config
from denoisebench.batch import Batch
from denoisebench.config.parts import class_of, instantiate
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.views import Training
from denoisebench.denoiser import Denoiser, ImageDenoiser
from denoisebench.noise import Gaussian
from denoisebench.seeding import isolated_rng
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained

METHODS = config.groups()["method"]


def composed(name: str, *overrides: str) -> Any:
    return config.compose_one([f"method={name}", "budget=smoke", *overrides]).plain


def class_named(name: str) -> type[Denoiser]:
    return class_of(composed(name)["method"], "method", Denoiser)


def built(name: str, seed: int = 0) -> Denoiser:
    with isolated_rng(seed):
        return instantiate(composed(name)["method"], "method", Denoiser).eval()


def batch_of(count: int, height: int = 33, width: int = 47, seed: int = 7) -> Batch:
    images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return Batch(images * 1.4 - 0.2, images, None, tuple(map(str, range(count))), 0, seed)


def denoised(method: Denoiser, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return method.test_step(batch, 0)


@pytest.mark.parametrize("name", METHODS)
def test_yaml_keys_are_the_constructor_parameters(name: str) -> None:
    node, cls = composed(name)["method"], class_named(name)
    parameters = {p.name for p in inspect.signature(cls).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    assert {str(key) for key in node} - {"_target_"} == parameters


@pytest.mark.parametrize("name", METHODS)
def test_every_budget_has_a_recipe_where_something_is_learned_and_none_elsewhere(name: str) -> None:
    learns = class_named(name).learns
    for budget in config.groups()["budget"]:
        steps = config.compose_one([f"method={name}", f"budget={budget}"]).plain["training"]["steps"]
        assert (steps > 0) == (learns == "dataset"), budget
        has_recipe = (Path(config.conf_dir()) / "recipe" / budget / f"{name}.yaml").is_file()
        # An hour is a length of one training on a data set; those that learn from each image anew have none of it.
        assert has_recipe == (learns == "dataset" or (learns == "image" and budget != "hour")), budget


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
    cls = class_named(name)
    assert cls.__doc__
    if cls.learns != "nothing":
        assert "arXiv" in cls.__doc__
        assert "Deviations" in cls.__doc__


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("count", "height", "width"), [(1, 33, 47), (3, 33, 47), (2, 32, 64), (1, 5, 2)])
def test_keeps_shape_and_stays_finite(name: str, count: int, height: int, width: int) -> None:
    method, batch = built(name), batch_of(count, height, width)
    if min(height, width) < method.smallest:
        assert method.smallest <= 33
        with pytest.raises(ValueError, match=f"at least {method.smallest}"):
            denoised(method, batch)
        return
    output = denoised(method, batch)
    assert output.shape == batch.noisy.shape
    assert output.dtype == torch.float32
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("name", METHODS)
def test_repeats_itself_for_a_seed(name: str) -> None:
    batch = batch_of(1)
    assert torch.equal(denoised(built(name), batch), denoised(built(name), batch))


@pytest.mark.parametrize("name", METHODS)
def test_does_not_depend_on_the_images_before(name: str) -> None:
    method, first, second = built(name), batch_of(1, seed=1), batch_of(1, seed=2)
    alone = denoised(method, first)
    denoised(method, second)
    assert torch.equal(denoised(method, first), alone)


@pytest.mark.parametrize("name", METHODS)
def test_does_not_depend_on_its_neighbours_in_the_batch(name: str) -> None:
    method, batch = built(name), batch_of(3)
    if method.stochastic:
        pytest.skip("is given one image at a time")
    turned = denoised(method, batch._replace(noisy=batch.noisy.flip(0))).flip(0)
    torch.testing.assert_close(denoised(method, batch), turned, atol=1e-5, rtol=0)
    alone = denoised(method, batch._replace(noisy=batch.noisy[:1]))
    torch.testing.assert_close(denoised(method, batch)[:1], alone, atol=1e-5, rtol=0)


TILING = [name for name in METHODS if class_named(name).tiles]


@pytest.mark.parametrize("name", TILING)
def test_tiles_give_what_the_whole_image_gives(name: str) -> None:
    method, batch = built(name).double(), batch_of(1, 419, 222)
    batch = batch._replace(noisy=batch.noisy.double())
    whole = denoised(method, batch)
    for tile in (100, 230):
        method.tile = tile
        torch.testing.assert_close(denoised(method, batch), whole, rtol=0, atol=1e-12)


GLOBAL_ATTENTION = {"puca"}  # their networks take means over the whole image, which no tile has


def test_those_that_train_a_network_on_a_data_set_tile_unless_it_attends_to_the_whole_image() -> None:
    learners = {name for name in METHODS if class_named(name).learns == "dataset"}
    assert learners == {*TILING, *GLOBAL_ATTENTION}
    assert not GLOBAL_ATTENTION & {*TILING}
    for name in GLOBAL_ATTENTION:
        assert "cannot denoise in tiles" in (class_named(name).__doc__ or "")


@pytest.mark.parametrize("name", METHODS)
def test_leaves_its_input_and_the_global_generators_alone(name: str) -> None:
    method, batch = built(name), batch_of(1)
    before, state = batch.noisy.clone(), torch.get_rng_state()
    output = denoised(method, batch)
    assert torch.equal(batch.noisy, before)
    assert torch.equal(torch.get_rng_state(), state)
    output.add_(1)
    assert torch.equal(batch.noisy, before), "the output shares memory with the input"


@pytest.mark.parametrize("name", METHODS)
def test_never_sees_clean_images_in_the_test(name: str) -> None:
    method, batch = built(name), batch_of(1)
    blinded = batch._replace(clean=torch.full_like(batch.noisy, torch.nan))
    assert torch.equal(denoised(method, batch), denoised(method, blinded))


@pytest.mark.parametrize("name", METHODS)
def test_trains_without_clean_images_unless_tagged_supervised(name: str) -> None:
    method = built(name)
    if method.learns != "dataset":
        pytest.skip("learns from no data set")
    noisy = torch.rand(2, 3, 32, 32)
    nan = torch.full_like(noisy, torch.nan)
    losses = []
    for batch in (Batch(noisy), Batch(noisy, nan, nan)):
        torch.manual_seed(0)
        try:
            losses.append(method._batch_loss(batch, 0.5))  # type: ignore[operator]
        except ValueError:
            losses.append(torch.tensor(torch.nan))  # without a target
    if "supervised" in method.tags:
        assert not any(loss.isfinite() for loss in losses)
    else:
        assert torch.equal(*losses)
        assert losses[0].isfinite()


@pytest.mark.parametrize("name", METHODS)
def test_state_dict_round_trip(name: str, tmp_path: Path) -> None:
    first, second = built(name, seed=1), built(name, seed=2)
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(denoised(first, batch_of(1)), denoised(second, batch_of(1)))


@pytest.mark.parametrize("name", METHODS)
def test_training_resumed_equals_training_undisturbed(name: str, tmp_path: Path) -> None:
    job = composed(name)
    method = built(name)
    if method.learns != "dataset":
        pytest.skip("learns from no data set")
    training = Training(**job["training"])
    assert training.steps >= 3

    def train(folder: Path, fail_at: int | None) -> dict[str, torch.Tensor]:
        own = built(name).train()
        data = DataModule(
            Photos(crop=32), Gaussian(sigma=25), 0, train=TrainingData(Photos("train"), Gaussian(sigma=25), training, own.target),
        )  # fmt: skip
        if fail_at is not None:
            loss: Any = own._batch_loss  # type: ignore[attr-defined]
            calls = [0]

            def failing(batch: Batch, progress: float) -> torch.Tensor:
                calls[0] += 1
                if calls[0] == fail_at:
                    raise RuntimeError("killed")
                return loss(batch, progress)

            own._batch_loss = failing  # type: ignore[method-assign,assignment]
        trained(own, data, folder, Course(0, Engine(checkpoint_s=0)))
        return torch.load(folder / "weights.pt", weights_only=True)

    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "disturbed", fail_at=3)
    assert (tmp_path / "disturbed" / "last.ckpt").is_file()
    resumed, undisturbed = train(tmp_path / "disturbed", None), train(tmp_path / "undisturbed", None)
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[key], undisturbed[key]) for key in resumed)
    curves = [(tmp_path / folder / "curve.csv").read_text().splitlines()[-1] for folder in ("disturbed", "undisturbed")]
    assert curves[0].split(",")[0] == curves[1].split(",")[0] == str(training.steps)
    assert not (tmp_path / "disturbed" / "last.ckpt").exists()


@pytest.mark.parametrize("name", METHODS)
def test_image_learners_start_anew_for_each_image(name: str) -> None:
    method = built(name)
    if not isinstance(method, ImageDenoiser):
        pytest.skip("does not learn from one image")
    first = denoised(method, batch_of(1))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.fill_(torch.nan)
    assert torch.equal(denoised(method, batch_of(1)), first)
