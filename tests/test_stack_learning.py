"""`learn=stack`: one network for all slices of a stack, and for no others."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from denoisebench.cli import main
from denoisebench.config import ConfigError
from denoisebench.datasets.views import NoisyViews
from denoisebench.denoiser import ImageDenoiser
from denoisebench.methods.pixel2pixel import Pixel2Pixel
from denoisebench.methods.self2self import Self2Self
from denoisebench.methods.zsn2n import ZSN2N
from denoisebench.photographs import memory
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.stack_learning import Slices, StackLearner, _held_bytes, can_learn_from_slices
from denoisebench.store.finished import read_finished
from denoisebench.store.pictures import output_name, read_stored
from denoisebench.study.limits import check
from denoisebench.verify.finding import Finding
from denoisebench.verify.job import check_claims
from jobs import METHODS, built, computed, one
from test_ensemble import CLASSES

SHORT = ("method=zsn2n", "method.steps=6", "method.features=4", "noise=real", "trainer=cpu", "pictures=0")


def stacks(folder: Path, **shapes: tuple[int, int, int]) -> Path:
    folder.mkdir()
    for number, (name, shape) in enumerate(shapes.items()):
        values = np.random.default_rng(number).integers(0, 60000, shape).astype(np.uint16)
        tifffile.imwrite(folder / f"{name}.tif", values, photometric="minisblack", metadata={"axes": "TYX"})
    return folder


def of(folder: Path, *more: str) -> tuple[str, ...]:
    return (*SHORT, "dataset=folder", f"dataset.noisy={folder}", "dataset.channels=1", *more)


def rows_of(cell: Any) -> dict[str, dict[str, str]]:
    with (cell.folder / "rows.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What each step of a training learned from: the shape, and the mean in 16 bit."""
    found: list[tuple[int, ...]] = []
    loss = ZSN2N.loss

    def watched(self: ZSN2N, noisy: Tensor, progress: float) -> Tensor:
        assert self._pair.shape[-1] == noisy.shape[-1] // 2
        found.append((*noisy.shape, round(65535 * noisy.mean().item())))
        return loss(self, noisy, progress)

    monkeypatch.setattr(ZSN2N, "loss", watched)
    return found


def test_slices_of_different_stacks_never_mix(tmp_path: Path, seen: list[tuple[int, ...]]) -> None:
    folder = stacks(tmp_path / "noisy", a=(3, 20, 24), b=(2, 28, 16), c=(2, 20, 24))
    tifffile.imwrite(folder / "alone.tif", np.full((16, 16), 9, np.uint16))
    job = one(*of(folder, "learn=stack"))
    views = NoisyViews(job.test_set, job.noise, 0, 1, ())
    means = {name: round(65535 * views[index].noisy.mean().item()) for index, name in enumerate(job.test_set.names)}
    computed(*of(folder, "learn=stack"))
    [cell] = Path("runs/default").glob("*/*/real/seed0-*")
    rows = read_finished(cell)
    assert {row["image"] for row in rows if row["tags"] == "learned_from_stack"} == set(means) - {"alone"}
    assert {row["tags"] for row in rows} == {"learned_from_stack", ""}
    finding = Finding(job.cell)  # type: ignore[arg-type]
    check_claims(job, rows, finding)
    assert not finding.contradictions
    check_claims(job, [{**row, "tags": ""} for row in rows], finding)
    assert finding.contradictions == ["its configuration says learned_from_stack, and its rows have no such tag"]
    assert len(seen) == 4 * 6  # one training for each stack, and one for the image alone
    trainings = [{step[-1] for step in seen[start : start + 6]} for start in range(0, 24, 6)]
    assert trainings == [{means[name] for name in means if name.partition("/")[0] == stack} for stack in ("a", "alone", "b", "c")]
    assert [[step[-1] for step in seen[:6]].count(means[f"a/t{number}"]) for number in range(3)] == [2, 2, 2]


def test_outputs_do_not_depend_on_which_slice_comes_first(tmp_path: Path) -> None:
    """A shard, or a run that goes on, gives each slice what the whole run gives it."""
    own = of(stacks(tmp_path / "noisy", a=(3, 20, 24)), "learn=stack")
    whole = rows_of(computed(*own, "study=whole")[0])
    assert [main(["run", *own, "study=parts", f"shard={shard}"]) for shard in ("2/2", "1/2")] == [1, 0]  # 1: others are left
    [cell] = Path("runs/parts").glob("*/*/real/seed0-*")
    with (cell / "rows.csv").open(newline="") as file:
        assert {row["image"]: row["output_sha"] for row in csv.DictReader(file)} == {
            name: row["output_sha"] for name, row in whole.items()
        }
    assert len({row["output_sha"] for row in whole.values()}) == 3


def test_it_is_one_network_and_the_average_of_none(tmp_path: Path) -> None:
    """Each output is the same network's, learned by a slow loop from the slices in turn."""
    [cell] = computed(*of(folder := stacks(tmp_path / "noisy", a=(3, 20, 24)), "learn=stack"))
    job = one(*of(folder, "learn=stack"))
    views = NoisyViews(job.test_set, job.noise, 0, 1, ())
    images = [views[index].noisy for index in range(3)]
    method = ZSN2N(channels=1, features=4, steps=6)
    with isolated_rng(seed_from(0, "stack", job.test_set.name, "a", 0)):
        for image in images:
            method.reset(image)
        first = {name: value.clone() for name, value in method.state_dict().items()}
        order = [*torch.randperm(3).tolist(), *torch.randperm(3).tolist()]
    optimizer = method.configure_optimizers()
    for step, number in enumerate(order):
        weights = first if step == 0 else {name: value.clone() for name, value in method.state_dict().items()}
        method.reset(images[number])
        method.load_state_dict(weights)
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate(step / 6)
        optimizer.zero_grad()
        method.loss(images[number], step / 6).backward()
        optimizer.step()
    rows = rows_of(cell)
    with torch.no_grad():
        for name, image in zip(job.test_set.names, images, strict=True):
            stored = read_stored(cell.folder / "images" / output_name(name, 0)).astype(np.float64) / 65535
            assert np.abs(stored.squeeze() - method.predict(image)[0, 0].numpy()).max() < 1 / 65535
    assert {row["tags"] for row in rows.values()} == {"learned_from_stack"}


def test_it_is_part_of_a_cell_only_where_it_is_set(tmp_path: Path) -> None:
    folder = stacks(tmp_path / "noisy", a=(2, 20, 24))
    plain, null, shared = (one(*of(folder, *more)).cell for more in ((), ("learn=null",), ("learn=stack",)))
    assert (plain.key, plain.label) == (null.key, null.label)
    assert plain.key != shared.key
    assert shared.label == f"{plain.label[:-1]},learn=stack]"
    with pytest.raises(ConfigError, match="stack"):
        one(*of(folder, "learn=stak"))


def test_what_cannot_learn_from_slices_is_refused(tmp_path: Path) -> None:
    folder = stacks(tmp_path / "noisy", a=(2, 20, 24))
    data = ("dataset=folder", f"dataset.noisy={folder}", "dataset.channels=1", "noise=real", "learn=stack")
    for method, said in (
        ("nlm", "nlm does not learn from one image; leave learn out$"),
        ("neighbor2neighbor", "train_set=transductive trains it on all slices"),
        ("dip", "stages or an end that belong to one image"),
        ("mash", "stages or an end that belong to one image"),
    ):
        with pytest.raises(ConfigError, match=f"learn=stack: {method} .*{said}|{said}"):
            check(one(f"method={method}", *data), 1)
    with pytest.raises(ConfigError, match=r"photos.* holds no stack"):
        check(one("method=zsn2n", "learn=stack"), 1)


def test_those_that_keep_one_image_while_they_learn_are_refused() -> None:
    method = Self2Self(channels=1, features=3, steps=3, passes=2, result="training")
    slices = Slices(2, lambda number: torch.rand(1, 1, 32, 32), 0)
    with pytest.raises(
        ValueError, match=r"Self2Self keeps _average of one image from step to step, .*: let it learn from each alone"
    ):
        StackLearner(method, slices)(torch.rand(1, 1, 32, 32))


def test_those_that_change_what_they_built_from_an_image_are_refused() -> None:
    class Changing(ZSN2N):
        def loss(self, noisy: Tensor, progress: float) -> Tensor:
            self._pair.mul_(0.9)
            return super().loss(noisy, progress)

    method = Changing(channels=1, features=3, steps=3)
    with pytest.raises(ValueError, match="Changing keeps _pair of one image from step to step"):
        StackLearner(method, Slices(2, lambda number: torch.rand(1, 1, 32, 32), 0))(torch.rand(1, 1, 32, 32))


class InBuffer(ZSN2N):
    """As a plugin may: what it builds from an image is a buffer, which copies of a method share."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register_buffer("level", torch.zeros(1), persistent=False)

    def reset(self, noisy: Tensor) -> None:
        super().reset(noisy)
        self.level = noisy.mean()[None]


class ChangedBuffer(InBuffer):
    def reset(self, noisy: Tensor) -> None:
        ZSN2N.reset(self, noisy)
        self.level.copy_(noisy.mean())


class InPart(ZSN2N):
    def reset(self, noisy: Tensor) -> None:
        super().reset(noisy)
        self.network.level = noisy.mean()


@pytest.mark.parametrize(("cls", "name"), [(InBuffer, "level"), (ChangedBuffer, "level"), (InPart, "network.level")])
@pytest.mark.parametrize("held", [2**20, 1])
def test_those_that_build_from_an_image_what_all_slices_share_are_refused(cls: type[ZSN2N], name: str, held: int) -> None:
    learner = StackLearner(cls(channels=1, features=3, steps=3), Slices(2, lambda number: torch.rand(1, 1, 32, 32), 0, held))
    with pytest.raises(ValueError, match=f"{cls.__name__} keeps {name} of an image in a buffer or a part of its network"):
        learner(torch.rand(1, 1, 32, 32))


def test_buffers_that_every_image_begins_with_anew_may_stay() -> None:
    """Statistics of a norm: `reset` changes them after a training, to the same for each image."""

    class Normed(ZSN2N):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.norm = torch.nn.BatchNorm2d(1)

        def reset(self, noisy: Tensor) -> None:
            super().reset(noisy)
            self.norm.reset_parameters()

        def loss(self, noisy: Tensor, progress: float) -> Tensor:
            return super().loss(noisy, progress) + self.norm(noisy).square().mean()

    method = Normed(channels=1, features=3, steps=3)
    for _ in range(2):  # stacks
        learner = StackLearner(method, Slices(2, lambda number: torch.rand(1, 1, 32, 32), 0))
        learned = []
        for _ in range(2):
            learner(torch.rand(1, 1, 32, 32))
            learned.append(method.state_dict()["norm.running_mean"].clone())
        assert torch.equal(*learned)
        assert learned[0] > 0.05


@pytest.mark.parametrize("name", ["denoise", "_denoise_one", "_steps", "learn", "test_step"])
def test_those_that_learn_or_denoise_in_a_way_of_their_own_cannot(name: str) -> None:
    """Nothing would then be learned from the stack."""
    assert not can_learn_from_slices(type("Own", (ZSN2N,), {name: lambda self, *given: getattr(ZSN2N, name)(self, *given)}))


def test_what_a_method_chose_is_that_of_each_slice() -> None:
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    images = [0.5 + level / 255 * noise for level in (5, 25, 60)]
    method = Pixel2Pixel(channels=1, neighbours=None, steps=3)
    learner = StackLearner(method, Slices(3, lambda number: images[number], 0))
    chosen = []
    for image in images:
        learner(image)
        chosen.append(method.chosen)
    assert [one["neighbours"] for one in chosen] == [2, 4, 8]
    assert [float(one["sigma"]) for one in chosen] == pytest.approx([5, 25, 60], rel=0.1)


ABLE = [name for name in METHODS if can_learn_from_slices(CLASSES[name])]


def test_these_methods_can() -> None:
    assert {"zsn2n", "self2self", "self2self_plus", "pixel2pixel", "pixel_refilling"} <= set(ABLE)
    assert not {"dip", "mash", "noise2fast", "noise2detail", "nlm", "neighbor2neighbor"} & set(ABLE)


@pytest.mark.parametrize("name", ABLE)
def test_a_method_that_can_denoises_each_slice_by_the_same_weights(name: str) -> None:
    settings = ["method.result=passes"] if name == "self2self" else []
    method = built(f"method={name}", "budget=smoke", *settings)
    assert isinstance(method, ImageDenoiser)
    images = [torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(number)) for number in range(3)]
    read: list[int] = []
    method.stack = learner = StackLearner(method, Slices(3, lambda number: (read.append(number), images[number])[1], 5))
    outputs, weights = [], []
    for image in images:
        with isolated_rng(1):
            outputs.append(method.denoise(image))
        weights.append({key: value.clone() for key, value in method.state_dict().items()})
    assert read == [0, 1, 2]  # one training
    assert all(
        output.shape == image.shape and not torch.equal(output, image) for output, image in zip(outputs, images, strict=True)
    )
    assert all(torch.equal(weights[0][key], other[key]) for other in weights[1:] for key in weights[0])
    assert learner._weights is not None
    with isolated_rng(1):
        assert torch.equal(method.denoise(images[0]), outputs[0])


def test_of_many_slices_those_that_fit_are_learned_from() -> None:
    read: list[int] = []

    def slice_of(number: int) -> Tensor:
        read.append(number)
        return torch.rand(1, 1, 16, 16)

    each = 4 * (16 * 16 + 2 * 8 * 8)  # an image, and its pair of halves
    StackLearner(ZSN2N(channels=1, features=4, steps=2), Slices(101, slice_of, 0, 3 * each + 10))(torch.rand(1, 1, 16, 16))
    assert read == [0, 50, 100]


def test_no_more_is_held_than_fits_where_later_slices_need_more() -> None:
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    taught: set[float] = set()

    class Watched(Pixel2Pixel):
        def loss(self, noisy: Tensor, progress: float) -> Tensor:
            taught.add(round(noisy.std().item() * 255))
            return super().loss(noisy, progress)

    def slice_of(number: int) -> Tensor:
        return 0.5 + (5 if number == 0 else 60) / 255 * noise  # 2 neighbours, then 8

    room = 10 * 4 * 64 * 64 * 3  # ten of the first, an image and its two neighbours
    learner = StackLearner(Watched(channels=1, neighbours=None, steps=40), Slices(10, slice_of, 0, room))
    learner(slice_of(0))
    held = learner._held()
    assert 1 < len(held) < 10
    assert sum(_held_bytes(*one) for one in held) <= room
    assert taught == {5, 60}


# ------------------------------------------------------------------------------------------------------------- denoise


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return stacks(tmp_path / "films", a=(3, 20, 24), b=(2, 28, 16))


def test_denoise_learns_once_for_each_stack(film: Path, tmp_path: Path, seen: list[tuple[int, ...]]) -> None:
    own = ["denoise", str(film), "--set", "steps=6", "--set", "features=4", "--seed", "3"]
    assert main([*own, "--out", str(tmp_path / "out"), "--learn", "stack"]) == 0
    assert [step[2:4] for step in seen] == [(20, 24)] * 6 + [(28, 16)] * 6
    assert main([*own, "--out", str(tmp_path / "out"), "--learn", "stack"]) == 0
    assert len(seen) == 12  # done before
    assert main([*own, "--out", str(tmp_path / "each")]) == 0
    assert len(seen) == 12 + 5 * 6
    together, each = (tifffile.imread(tmp_path / place / "a.tif") for place in ("out", "each"))
    assert together.shape == each.shape == (3, 20, 24)
    assert (together != each).any()


def test_denoise_refuses_methods_that_cannot(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("dip", "nlm", "auto"):
        assert main(["denoise", str(film), "--method", method, "--learn", "stack"]) == 2
        assert f"--learn stack: {method} is not of those that can learn" in capsys.readouterr().err
    assert not list(film.glob("*_denoised*"))


def test_all_slices_are_denoised_as_the_first_however_much_memory_the_others_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stacks(tmp_path / "films", a=(3, 200, 200))
    free = iter([2**28, *[2**20] * 100])
    monkeypatch.setattr(memory, "free_bytes", lambda: next(free))
    monkeypatch.setattr(memory.Rooms, "_cost", lambda *_: 1000.0)
    sizes = []
    predict = ZSN2N.predict
    monkeypatch.setattr(ZSN2N, "predict", lambda self, noisy: (sizes.append(tuple(noisy.shape[-2:])), predict(self, noisy))[1])
    own = ["denoise", str(folder), "--set", "steps=6", "--set", "features=4", "--learn", "stack", "--out", str(tmp_path / "out")]
    assert main(own) == 0
    assert sizes == [(200, 200)] * 3


def test_slices_that_are_held_leave_less_room_for_denoising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stacks(tmp_path / "films", a=(3, 200, 200))
    monkeypatch.setattr(memory.Rooms, "_cost", lambda *_: 1000.0)
    needed = 200 * 200 * (1000 + 4 * memory.COPIES)
    held = 3 * 2 * memory.COPIES * 4 * 200 * 200
    own = ["denoise", str(folder), "--set", "steps=6", "--set", "features=4", "--learn", "stack", "--out", str(tmp_path / "out")]
    assert main([*own, "--memory", str((needed + held - 1000) / 2**30)]) == 1
    assert "--learn stack takes whole slices" in capsys.readouterr().err
    assert main([*own, "--memory", str((needed + held + 1000) / 2**30)]) == 0


def test_photographs_that_are_no_stack_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", np.random.default_rng(0).integers(0, 60000, (24, 24)).astype(np.uint16))
    own = ["denoise", "--set", "steps=6", "--set", "features=4", "--learn", "stack", "--out", str(tmp_path / "out")]
    assert main([*own, str(folder)]) == 0
    assert capsys.readouterr().err.replace("\n", " ").count("--learn stack: none of these is a stack of several images") == 1
    assert main([*own, str(stacks(tmp_path / "films", c=(2, 20, 24)))]) == 0
    assert "none of these" not in capsys.readouterr().err.replace("\n", " ")


# ------------------------------------------------------------------------------------------------------------ learning


@pytest.mark.slow
@pytest.mark.long
def test_four_noisy_shots_of_a_scene_teach_at_least_what_one_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96] / 96
    clean = 0.5 + 0.2 * np.sin(12 * rows) * np.cos(9 * columns) + 0.2 * (rows > columns)
    for side, values in (("clean", clean[None]), ("noisy", clean + rng.normal(0, 25 / 255, (4, 96, 96)))):
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "scene.npy", values.astype(np.float32))
    data = of(tmp_path / "noisy", f"dataset.clean={tmp_path / 'clean'}", "dataset.white=1")[3:]
    own = ["method=zsn2n", "method.steps=600", *data]
    alone, together = (rows_of(computed(*own, *more)[0]) for more in ((), ("learn=stack",)))
    assert len(alone) == len(together) == 4
    gains = [float(together[name]["psnr_db"]) - float(alone[name]["psnr_db"]) for name in alone]
    assert np.mean(gains) >= 0
    assert np.mean([float(row["psnr_db"]) for row in alone.values()]) > 25  # 20.2 of the noisy ones: they learn
