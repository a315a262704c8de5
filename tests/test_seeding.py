import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoisebench.seeding import isolated_rng, seed_from

NAMES = [("a", "b"), ("ab",), ("train", "bsd400", "gaussian25"), ("ünïcode", "写真"), ("",)]


def numbers() -> list[float]:
    return [*torch.rand(3).tolist(), *torch.randn(2).tolist(), *np.random.rand(3).tolist(), random.random()]  # noqa: NPY002


def states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), kind, np.asarray(keys).tolist(), rest, random.getstate()


def lose(seed: int) -> None:
    with isolated_rng(seed):
        numbers()
        raise KeyError("lost")


def test_another_process_derives_the_same_seeds() -> None:
    program = f"from denoisebench.seeding import seed_from\nfor names in {NAMES!a}: print(seed_from(*names))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert [int(line) for line in answer.stdout.split()] == [seed_from(*names) for names in NAMES]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a", "bc"), ("ab", "c")),
        (("a",), ("a", "")),
        (("a", ""), ("", "a")),
        (("a/b",), ("a", "b")),
        (("a\0b",), ("a", "b")),
        (("a\nb",), ("a", "b")),
        (("a,b",), ("a", "b")),
        (("a", "b", "c"), ("a", "c", "b")),
        (("('a', 'b')",), ("a", "b")),
    ],
)
def test_different_names_give_different_seeds(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert seed_from(*one) != seed_from(*other)


# Few letters, the usual separators among them, make near collisions likely. Control characters name nothing.
LETTERS = st.text("ab/,|:- '", max_size=3) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=4)
NAME_LISTS = st.lists(LETTERS, min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(one=NAME_LISTS, other=NAME_LISTS)
def test_seeds_are_equal_only_for_equal_names(one: list[str], other: list[str]) -> None:
    assert (seed_from(*one) == seed_from(*other)) == (one == other)


@settings(max_examples=50, deadline=None)
@given(names=NAME_LISTS, glue=st.sampled_from(["", "/", ",", "|", ":", "-", " ", "', '", '", "']), data=st.data())
def test_glueing_two_names_gives_another_seed(names: list[str], glue: str, data: st.DataObject) -> None:
    names = [*names, "b"]
    at = data.draw(st.integers(1, len(names) - 1))
    glued = [*names[: at - 1], names[at - 1] + glue + names[at], *names[at + 1 :]]
    assert seed_from(*glued) != seed_from(*names)


def test_seeds_fill_the_63_bits() -> None:
    seeds = [seed_from("image", str(i)) for i in range(2000)]
    assert all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds)
    # Every bit is set about half the time (6 standard deviations), so none is lost to a narrower hash.
    for bit in range(63):
        assert abs(sum(seed >> bit & 1 for seed in seeds) - 1000) < 6 * (2000 / 4) ** 0.5


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1, seed_from("a", "b")])
def test_the_same_seed_gives_the_same_numbers(seed: int) -> None:
    with isolated_rng(seed):
        first = numbers()
    numbers()
    with isolated_rng(seed):
        second = numbers()
    assert first == second


def test_each_generator_depends_on_the_seed() -> None:
    with isolated_rng(1):
        one = numbers()
    with isolated_rng(2):
        other = numbers()
    assert all(a != b for a, b in zip(one, other, strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_outside_nothing_changes(seed: int) -> None:
    # An odd number of normals leaves a cached one in each generator; that belongs to the state too.
    torch.randn(1)
    np.random.standard_normal()  # noqa: NPY002
    random.gauss(0.0, 1.0)
    before = states()
    with isolated_rng(seed):
        numbers()
        assert states() != before
    assert states() == before


def test_after_an_exception_nothing_has_changed() -> None:
    before = states()
    with pytest.raises(KeyError, match="lost"):
        lose(3)
    assert states() == before


def test_nested_blocks_do_not_disturb_each_other() -> None:
    before = states()
    with isolated_rng(4):
        undisturbed = numbers() + numbers()
    with isolated_rng(4):
        outer = numbers()
        middle = states()
        with isolated_rng(5):
            inner = numbers()
            with pytest.raises(KeyError):
                lose(6)
            inner += numbers()
        assert states() == middle
        outer += numbers()
    with isolated_rng(5):
        assert inner == numbers() + numbers()
    assert outer == undisturbed
    assert states() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_generator_is_isolated_too() -> None:
    before = torch.cuda.get_rng_state()
    with isolated_rng(7):
        first = torch.rand(5, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.rand(5, device="cuda")
    with isolated_rng(7):
        assert torch.equal(torch.rand(5, device="cuda"), first)
