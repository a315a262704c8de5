"""Composition, labels, keys, and errors that help."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from denoisebench import config
from denoisebench.config import ConfigError, composed, hydra_internals
from denoisebench.config.checks import check_arguments
from denoisebench.config.jobs import job_of, jobs, protocols_of
from denoisebench.config.parts import Made, class_of, instantiate
from denoisebench.denoiser import Denoiser
from denoisebench.noise import NoiseModel
from denoisebench.store.cell import Cell
from denoisebench.study.limits import impossible_reason
from denoisebench.study.planning import plan
from sets_fixture import make_sets


def plain(*overrides: str) -> Any:
    """The configuration of one job as plain values."""
    return config.compose_one(overrides).plain


def cell(*overrides: str) -> Cell:
    return job_of(overrides).cell


def error_of(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(jobs(list(overrides), multirun=False))
    return str(caught.value)


def test_conf_of_the_checkout_is_found_from_any_folder() -> None:
    assert Path(config.conf_dir()) == Path(__file__).parents[1] / "conf"


def test_every_noise_can_train() -> None:
    groups = config.groups()
    assert groups["train_noise"] == sorted([*groups["noise"], "same"])
    for noise in groups["noise"]:
        both = plain(f"noise={noise}", f"train_noise={noise}")
        assert both["noise"] == both["train_noise"]


def test_every_data_set_has_a_training_set() -> None:
    groups = config.groups()
    defaults = {path.stem for path in (Path(config.conf_dir()) / "train_set").glob("for_*.yaml")}
    assert defaults == {f"for_{name}" for name in groups["dataset"]}
    assert not [name for name in groups["train_set"] if name.startswith("for_")]


def test_a_training_set_that_is_named_is_that_set(data_root: Path) -> None:
    for name in ("cbsd68", "kodak", "set14", "bsd300", "bsds500", "polyu"):
        named = plain("dataset=cbsd68", "dataset.crop=64", f"train_set={name}")["train_set"]
        assert (named["which"], named["crop"]) == (name, None)
    assert plain("dataset=kodak")["train_set"]["which"] == "bsds500"


def test_an_own_data_set_needs_a_training_set_only_to_train(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text("defaults: [photos]\ncrop: 64\n")
    own, _, _ = config.split_flags(["--config-dir", str(tmp_path), "dataset=mine"])
    assert cell(*own, "method=noisy").dataset == "photos-crop64"
    assert "choose one, e.g. train_set=" in error_of(*own, "method=sdap")
    assert cell(*own, "method=sdap", "train_set=photos").train_key
    assert "did you mean photos" in error_of(*own, "method=sdap", "train_set=fotos")


def test_own_files_are_not_hidden_by_ours(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "nlm.yaml").write_text("_target_: mine\n")
    with pytest.raises(ConfigError, match=r"nlm\.yaml would be hidden"):
        config.split_flags(["--config-dir", str(tmp_path), "method=nlm"])


def test_a_glob_finds_methods_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("_target_: denoisebench.methods.nlm.NLM\n")
    own, _, _ = config.split_flags(["--config-dir", str(tmp_path), "method=glob(mi*)"])
    assert [each.method for each in config.compose_all(own, multirun=True)] == ["mine"]


@pytest.mark.parametrize("flag", ["--run", "--config-name", "--experimental-rerun=x", "--plann"])
def test_an_option_that_computes_and_prints_nothing_is_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"no option {flag}"):
        config.split_flags([flag, "method=nlm"])


def test_a_recipe_is_no_place_to_change_a_method_unsaid(tmp_path: Path) -> None:
    target = "_target_: denoisebench.methods.self2self_plus.Self2SelfPlus\n"
    (tmp_path / "method").mkdir()
    (tmp_path / "recipe" / "quick").mkdir(parents=True)
    (tmp_path / "method" / "mine.yaml").write_text(target)
    recipe = tmp_path / "recipe" / "quick" / "mine.yaml"
    recipe.write_text("# @package _global_\nmethod: {+drop: 0.9, steps: 3}\n".replace("+", ""))
    own, _, _ = config.split_flags(["--config-dir", str(tmp_path), "method=mine", "budget=quick"])
    assert cell(*own).label == "mine[drop=0.9]"
    hydra_internals.forget_files()
    composed._unchanged.cache_clear()
    recipe.write_text("# @package _global_\ntraining: {steps: 3}\n")
    assert "learns from no data set" in error_of(*own)


def test_a_budget_is_part_of_what_learns_from_an_image() -> None:
    quick = plain("method=self2self_plus", "budget=quick")["method"]
    spelled = [f"method.{key}={quick[key]}" for key in ("features", "steps", "passes", "init", "lr", "lr_decay")]
    paper = cell("method=self2self_plus", *spelled, "method.iqa=null")
    assert paper.key != cell("method=self2self_plus", "budget=quick").key


def test_a_grid_needs_its_flag_and_globs_are_expanded() -> None:
    assert "add -m" in error_of("experiment=demo")
    named = [name for name in config.groups()["method"] if name.startswith("no")]
    assert [each.method for each in config.compose_all(["method=glob(no*)"], multirun=True)] == named
    with pytest.raises(ConfigError):
        jobs(["method=range(1,3)"], multirun=True)
    with pytest.raises(FileNotFoundError, match=r"train_set\.noisy=/nope"):
        cell("method=sdap", "train_set=folder", "train_set.noisy=/nope")


def test_every_noise_and_protocol_is_named_after_its_parameters() -> None:
    for name in config.groups()["noise"]:
        noise = instantiate(plain(f"noise={name}")["noise"], "noise")
        assert noise.name.startswith(name) or name in ("gaussian", "poisson", "poisson_gaussian")
    for name in config.groups()["protocol"]:
        assert [protocol.name for protocol in protocols_of([name])] == [name]


# Cells of each named study, as the comment at its head says.
EXPERIMENTS = {
    "ablation_apbsn": 4, "ablation_cbsn": 6, "ablation_neighbor2neighbor": 12, "ablation_sdap": 6, "ablation_self2self_plus": 8,
    "awgn": 80, "camera_noise": 10, "classical": 30, "demo": 4, "demo_camera": 6, "gpu_camera": 4, "gpu_gaussian": 4,
    "gpu_polyu": 4, "gpu_self2self_plus": 2, "gray": 9, "gray_hour": 4, "hour": 6, "hour_real": 7, "neighbor2neighbor": 48,
    "poisson": 40, "raw": 6, "real_noise": 15, "sidd_raw": 5, "zero_shot": 18,
}  # fmt: skip


def pairwise(grid: list[list[str]]) -> list[list[str]]:
    """Cells of a grid that hold every pair of its choices: composing the others would show nothing new."""
    pairs = [set(itertools.combinations(own, 2)) for own in grid]
    unseen = set().union(*pairs)
    kept: list[list[str]] = []
    while unseen:
        most = max(range(len(grid)), key=lambda index: len(pairs[index] & unseen))
        kept.append(grid[most])
        unseen -= pairs[most]
    return kept


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", config.groups()["experiment"])
def test_every_experiment_can_be_planned_and_no_cell_of_it_is_impossible(
    name: str, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(sets))
    grid = config.expand([f"experiment={name}"], multirun=True)
    assert len(grid) == EXPERIMENTS[name]
    made = Made()
    planned = plan([job_of(own, made) for own in pairwise(grid)], keep=False)
    assert len({job.cell.key for job in planned}) == len(planned)
    assert [reason for job in planned if (reason := impossible_reason(replace(job, lacks=None)))] == []


def test_every_experiment_says_what_it_costs_and_its_command() -> None:
    for name in EXPERIMENTS:
        lines = (Path(config.conf_dir()) / "experiment" / f"{name}.yaml").read_text().splitlines()
        head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
        launched = " launcher=joblib hydra.launcher.n_jobs=2" if name in ("demo", "demo_camera") else ""
        assert f"#   denoisebench run -m experiment={name}{launched}" in head
        assert any(re.search(r"\b(GPU|CPU|core)", line) for line in head)


def test_the_published_repeats_belong_to_the_data_set() -> None:
    of_one = ["experiment=neighbor2neighbor", "method=noisy", "noise=gaussian25"]
    repeats = {one.plain["dataset"]["which"]: one.plain["repeats"] for one in config.compose_all(of_one, multirun=True)}
    assert repeats == {"kodak": 10, "bsd300": 3, "set14": 20}
    other = config.compose_all([*of_one, "dataset=cbsd68,photos"], multirun=True)
    assert {one.plain["repeats"] for one in other} == {1}


def test_the_true_sigma_is_told_only_where_one_number_says_the_noise() -> None:
    told = lambda *overrides: plain("method=nlm", *overrides)["method"]["sigma"]  # noqa: E731
    assert told("noise=gaussian50") == 50
    assert told("noise=gaussian", "noise.sigma=12.5") == 12.5
    assert told("noise=gaussian5_50") is None
    assert told("noise=gaussian25", "noise.clip=true") is None
    assert told("noise=camera") is None
    assert told("method.sigma=null") is None


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ((), "neighbor2neighbor"),
        (("budget=quick",), "neighbor2neighbor"),
        (("method.regularizer=8", "method.features=32"), "neighbor2neighbor[features=32,regularizer=8]"),
        (("method.regularizer_ramp=false",), "neighbor2neighbor[regularizer_ramp=false]"),
        (("method.features=48",), "neighbor2neighbor"),
        (("training.steps=7",), "neighbor2neighbor[training.steps=7]"),
        (("training.noise=fixed",), "neighbor2neighbor[training.noise=fixed]"),
        (("noise=gaussian", "noise.sigma=50"), "neighbor2neighbor"),
        (("train_noise=gaussian5_50",), "neighbor2neighbor[train_noise=gaussian5_50]"),
        (("train_noise=camera",), "neighbor2neighbor[train_noise=camera]"),
        (("train_noise=gaussian25",), "neighbor2neighbor"),
        (("train_set.crop=300",), "neighbor2neighbor[train_set=photos-train-crop300]"),
        (("precision=bf16-mixed",), "neighbor2neighbor[precision=bf16-mixed]"),
        (("tile=512",), "neighbor2neighbor[tile=512]"),
        (("method=nlm", "tile=512"), "nlm"),
        (("trainer=cpu", "study=other", "seed=3", "protocol=[neighbor2neighbor]"), "neighbor2neighbor"),
        (("method=self2self_plus",), "self2self_plus"),
        (("method=self2self_plus", "budget=quick"), "self2self_plus[iqa=null]"),
        (("method=self2self_plus", "budget=quick", "method.drop=0.3"), "self2self_plus[drop=0.3,iqa=null]"),
    ],
)
def test_a_label_names_what_differs_from_the_yaml(overrides: tuple[str, ...], label: str) -> None:
    own = () if any(each.startswith("method=") for each in overrides) else ("method=neighbor2neighbor",)
    assert cell(*own, *overrides).label == label


def test_an_equal_value_is_no_difference_and_a_preset_hides_none(tmp_path: Path) -> None:
    plain = cell("method=nlm", "noise=gaussian25")
    same = cell("method=nlm", "noise=gaussian25", "method.sigma=25")
    assert (same.label, same.key, same.folder) == ("nlm", plain.key, plain.folder)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nmethod: {strength: 0.5}\nprecision: bf16-mixed\n")
    overrides, _, _ = config.split_flags(["--config-dir", str(tmp_path), "experiment=mine", "method=nlm"])
    assert cell(*overrides).label == "nlm[strength=0.5,precision=bf16-mixed]"
    assert "mine" in config.groups(overrides)["experiment"]
    with pytest.raises(ConfigError, match="did you mean mine"):
        jobs([*overrides, "experiment=min"], multirun=False)


def test_a_preset_of_ones_own_that_chooses_a_launcher_is_told_where_one_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [override /launcher: joblib]\n")
    overrides, _, _ = config.split_flags(["--config-dir", str(tmp_path), "experiment=mine", "method=nlm"])
    with pytest.raises(ConfigError, match="say launcher=NAME in the command"):
        jobs(overrides, multirun=True)


def test_what_a_sweep_sets_once_is_set_after_what_it_chooses() -> None:
    overrides = ["method=neighbor2neighbor,noise2clean", "method.lr=1e-3", "study=two", "noise=gaussian", "noise.sigma=[5,50]"]
    assert [one.plain["method"]["lr"] for one in config.compose_all(overrides, multirun=True)] == [1e-3, 1e-3]


def test_annotations_for_type_checkers_alone_do_not_stop_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_method.py").write_text(
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "from denoisebench.methods.noisy import Noisy\nif TYPE_CHECKING:\n    from pathlib import Path\n"
        "class Lazy(Noisy):\n    def __init__(self, place: Path | None = None) -> None:\n        super().__init__()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    check_arguments(class_of({"_target_": "lazy_method.Lazy"}, "method"), {"place": None}, "method")


def test_what_trains_nothing_is_not_labelled_by_training() -> None:
    assert cell("method=nlm", "method.sigma=null", "train_noise=camera", "training.steps=3").label == "nlm[sigma=null]"


@pytest.mark.parametrize(
    "overrides",
    [
        ("root=elsewhere",), ("study=other",), ("trainer=cpu",), ("pictures=0",), ("protocol=[neighbor2neighbor]",),
        ("trainer.checkpoint_s=1",), ("trainer.threads=1",), ("noise.sigma=25.0",), ("train_noise=gaussian25",),
        ("trainer.compile=true",), ("force=true",), ("method.lr=0.0003",), ("trainer.devices=2",),
    ],
)  # fmt: skip
def test_the_key_forgets_what_changes_no_pixel(overrides: tuple[str, ...]) -> None:
    plain, other = (
        cell("method=neighbor2neighbor", "noise=gaussian"),
        cell("method=neighbor2neighbor", "noise=gaussian", *overrides),
    )
    assert (plain.key, plain.train_key, plain.setup) == (other.key, other.train_key, other.setup)


@pytest.mark.parametrize(
    ("overrides", "trains_anew"),
    [
        (("method.regularizer=8",), True), (("method.lr=1e-4",), True), (("training.steps=3",), True),
        (("training.patch=32",), True), (("training.noise=fixed",), True), (("train_noise=gaussian50",), True),
        (("train_set.crop=300",), True), (("seed=1",), True), (("precision=bf16-mixed",), True),
        (("tile=64",), False), (("budget=quick",), True),
        (("dataset.crop=64",), False), (("repeats=2",), False),
        (("noise.sigma=50", "train_noise=gaussian", "train_noise.sigma=25"), False),
    ],
)  # fmt: skip
def test_the_key_knows_what_changes_pixels(overrides: tuple[str, ...], trains_anew: bool) -> None:
    plain, other = (
        cell("method=neighbor2neighbor", "noise=gaussian"),
        cell("method=neighbor2neighbor", "noise=gaussian", *overrides),
    )
    assert plain.key != other.key
    assert (plain.train_key != other.train_key) == trains_anew


def test_what_learns_nothing_forgets_the_training_too() -> None:
    plain = cell("method=nlm")
    assert plain.train_key is None
    for overrides in (
        ("train_set.crop=64",),
        ("train_noise=camera",),
        ("training.patch=32",),
        ("training.steps=9",),
        ("budget=quick",),
    ):
        assert cell("method=nlm", *overrides).key == plain.key


def test_seeds_of_one_setup_share_the_setup_alone() -> None:
    first, second = cell("method=nlm", "seed=0"), cell("method=nlm", "seed=1")
    assert first.setup == second.setup
    assert first.key != second.key


def test_a_preset_and_its_value_are_one_cell() -> None:
    assert cell("method=noisy", "noise=gaussian50").key == cell("method=noisy", "noise=gaussian", "noise.sigma=50").key
    assert cell("method=noisy", "noise=gaussian25", "noise.sigma=50").noise == "gaussian50"


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=noisy,nlm", "noise=gaussian15,camera", "seed=0,1"],
        ["method=noisy", "noise=gaussian", "noise.sigma=15,50"],
        ["noise=gaussian", "noise.sigma=[5,50],[10,20]", "method=choice(noisy,nlm)"],
        ["method=nlm", "seed=range(0,3)", "method.strength=0.5,1e-1"],
        ["method=noisy", "seed=1", "seed=2"],
        ["method=noisy"],
    ],
)
def test_a_sweep_expands_as_hydra_expands_it(overrides: list[str]) -> None:
    parsed = OverridesParser.create().parse_overrides(overrides)
    theirs = BasicSweeper.split_arguments(parsed, None)[0]
    ours = [[f"{o.get_key_element()}={o.get_value_element_as_str()}" for o in OverridesParser.create().parse_overrides(each)]
            for each in config.expand(overrides, multirun=True)]  # fmt: skip
    assert [dict(each.split("=", 1) for each in job) for job in ours] == [
        dict(each.split("=", 1) for each in job) for job in theirs
    ]


def test_an_experiment_brings_its_grid_and_the_command_line_goes_before_it() -> None:
    assert len(config.expand(["experiment=classical"], multirun=True)) == 30
    own = config.expand(["experiment=classical", "method=nlm"], multirun=True)
    assert [[o for o in each if o.startswith("method=")] for each in own] == [["method=nlm"]] * 6


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("method=neighbour2neighbor",), "did you mean neighbor2neighbor"),
        (("method=noisy", "dataset=fotos"), "did you mean photos"),
        (("method=noisy", "noise=gausian25"), "did you mean gaussian25"),
        (("method=noisy", "budget=quik"), "did you mean quick"),
        (("method=noisy", "protocol=[defalt]"), "did you mean default"),
        (("method=noisy", "trainer=gup"), "did you mean gpu"),
        (("methd=noisy",), "did you mean method"),
        (("method=neighbor2neighbor", "method.featrues=3"), "did you mean method.features"),
        (("method=neighbor2neighbor", "+method.featrues=3"), "did you mean features"),
        (("method=noisy", "noise.sigm=3"), "did you mean noise.sigma"),
        (("method=noisy", "method.sigma=3"), "method=noisy has no parameters"),
        (("method=noisy", "+sed=3"), "did you mean seed"),
        (("method=neighbor2neighbor", "training.step=3"), "did you mean training.steps"),
        (("method=neighbor2neighbor", "+training.epochs=3"), "no key training.epochs"),
        (("method=neighbor2neighbor", "method.lr_decay=linaer"), "did you mean linear"),
        (("method=neighbor2neighbor", "method.lr=fast"), "expected a number"),
        (("method=neighbor2neighbor", "method.features=4.5"), "expected an integer"),
        (("method=neighbor2neighbor", "method.regularizer_ramp=3"), "expected true or false"),
        (("method=neighbor2neighbor", "training.noise=freshh"), "did you mean fresh"),
        (("method=noisy", "precision=16"), "Valid: 32, bf16-mixed, tf32"),
        (("method=neighbor2neighbor", "tile=0"), r"(1 or more) or null"),
        (("method=self2self_plus", "budget=hour"), "budget=hour has no recipe for it"),
        (("method=self2self_plus", "tile=64"), "trains on whole images"),
        (("method=noisy", "noise.sigma=abc"), "expected a number"),
        (("method=noisy", "seed=one"), "expected an integer"),
        (("method=noisy", "train_noise.sigma=3"), "train_noise=gaussian"),
        (("method=noisy", "dataset=folder"), "dataset.noisy=PATH"),
        (("method=noisy,nlm",), "add -m"),
        (("noisy",), "not key=value"),
        (("method=neighbor2neighbor", "training.steps=0"), "set training.steps or choose another budget"),
        (("method=noisy", "trainer=gpu"), "trainer=cpu"),
        (("method=noisy", "trainer.threads=abc"), "trainer.threads=abc is not valid; expected an integer (1 or more) or null"),
        (("method=noisy", "trainer.threads=0"), "1 or more"),
        (("method=noisy", "+trainer.foo=1"), "no key trainer.foo"),
        (("method=nlm", "~method.sigma"), "null says what has no value"),
        (("method=noisy", "protocols.default.border=20"), "default.border=20: what protocol=default means is fixed"),
        (("method=noisy", "protocols.default.name=mine"), "what protocol=default means is fixed"),
    ],
)
def test_a_mistyped_setting_names_the_nearest_valid_one(overrides: tuple[str, ...], expected: str) -> None:
    assert expected in error_of(*overrides)


def test_a_folder_of_own_groups_joins_the_search(tmp_path: Path) -> None:
    tmp_path = tmp_path / "mine, and yours"
    tmp_path.mkdir()
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "faint.yaml").write_text("defaults: [gaussian]\nsigma: 2\n")
    overrides, _, _ = config.split_flags(["--config-dir", str(tmp_path), "method=noisy", "noise=faint"])
    assert cell(*overrides).noise == "gaussian2"
    with pytest.raises(ConfigError, match="no such folder"):
        config.split_flags(["--config-dir", str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ru", ["run"]),
        ("run me", ["method=", "method._"]),
        ("run method=ne", ["method=neighbor2neighbor"]),
        ("run -m method=noisy,nl", ["method=noisy,nlm"]),
        ("run method=nlm method.st", ["method.strength="]),
    ],
)
def test_completion_offers_what_can_follow(line: str, offered: list[str]) -> None:
    found = config.complete(line, ["run", "report"])
    assert [each for each in offered if "_" not in each[-1:]] == [each for each in found if each in offered]
    assert found


def test_self2self_plus_has_its_published_settings_for_each_data_set(data_root: Path) -> None:
    published = {"polyu": (0.7, 5000), "cbsd68": (0.4, 4000), "kodak": (0.4, 4000), "photos": (0.4, 4000)}
    for name, (drop, steps) in published.items():
        method = plain("method=self2self_plus", f"dataset={name}")["method"]
        assert [method[key] for key in ("drop", "steps", "passes", "iqa")] == [drop, steps, 500, "paq2piq"]


@pytest.mark.parametrize(("group", "kind"), [("method", Denoiser), ("noise", NoiseModel)])
def test_every_number_of_every_class_has_its_range(group: str, kind: type) -> None:
    """None takes a number below zero: some would be handed to native code, which ends the process."""
    taken, told = [], []
    for name in config.groups()[group]:
        node = config.compose_one(["method=noisy", f"{group}={name}"]).plain[group]
        for key, value in node.items():
            numbers = value if isinstance(value, list) else [value]
            if key == "level" or not numbers or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
                continue  # a stored noise's level is a name of a folder
            for below in (-7, -0.5):
                try:
                    instantiate({**node, key: [below] * len(numbers) if isinstance(value, list) else below}, group, kind)
                    taken.append(f"{group}.{name}.{key}={below}")
                except ConfigError as error:
                    told.append((f"{group}.{key}", str(error)))
    assert taken == []
    assert [error for key, error in told if key not in error] == []
    assert len(told) > 10
