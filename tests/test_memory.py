import os
import platform
import subprocess
import sys

import pytest
import torch

from denoisebench.scoring import memory
from denoisebench.scoring.meter import Meter

USES = """
import resource
from denoisebench.scoring import memory

def used(mib):
    assert len([b"1" * (20 * 2**20) for _ in range(mib // 20)])

if {keep}:
    memory.keep_freed()
for _ in range(8):  # until its place has been found
    used(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    used(100)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
peaks = []
for _ in range(2):
    memory.give_back_freed()
    memory.reset_peak()
    held = memory.peak_mib()
    used(100)
    peaks.append(round(memory.peak_mib() - held))
print(faults, *peaks)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")


def measured(keep: bool, **environment: str) -> list[int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", USES.format(keep=keep)],
        env=plain | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in done.stdout.split()]


def test_freed_memory_is_used_again_and_still_counted() -> None:
    faults, *peaks = measured(keep=True)
    assert faults < 100
    # What an image needed is told, though the process had it already.
    assert all(95 <= peak <= 120 for peak in peaks)


@pytest.mark.parametrize(("keep", "environment"), [(False, {}), (True, {"MALLOC_ARENA_MAX": "4"})])
def test_without_it_each_use_is_fresh(keep: bool, environment: dict[str, str]) -> None:
    faults, *peaks = measured(keep, **environment)
    assert faults > 500  # pages may be of 2 MiB
    assert all(95 <= peak <= 120 for peak in peaks)


def test_memory_is_measured_after_what_was_kept_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("give_back_freed", "reset_peak"):
        monkeypatch.setattr(memory, name, lambda name=name: done.append(name))
    Meter().start(torch.empty(1))
    assert done == ["give_back_freed", "reset_peak"]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_c_library", lambda: None)
    memory.keep_freed()
    memory.give_back_freed()
    assert memory.peak_mib() > 10
