"""A sweep on a real Ray cluster of two nodes, which is started here, and one of them killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from denoisebench import cli
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from test_run import SMALL, rows_of, without_costs

WAITS = """\
import os
import time
from pathlib import Path
from denoisebench.methods.noisy import Noisy
class Waits(Noisy):
    def denoise(self, noisy):
        if Path("waits").is_dir():
            (Path("waits") / str(os.getpid())).write_text(str(os.getppid()))
        while Path("waits").is_dir():
            time.sleep(0.05)
        return super().denoise(noisy)
"""
# A lost node is told after a second instead of half a minute.
QUICK = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "2", "RAY_AUTH_MODE": "disabled"}


@dataclass(frozen=True)
class Cluster:
    address: str
    second: subprocess.Popen[bytes]

    def lose_second(self, workers: Mapping[int, int]) -> int:
        """Kills the second node at once. workers: of both, with the processes that started them. Returns the node's own."""
        [(worker, raylet)] = [pair for pair in workers.items() if parent_of(pair[1]) == self.second.pid]
        for process in (raylet, worker, self.second.pid):
            os.kill(process, signal.SIGKILL)
        self.second.wait()
        return worker


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head and a second node, each with one core."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'denoisebench[ray]'")
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    ray += ["--object-store-memory=100000000"]
    with (tmp_path / "ray.txt").open("w") as told:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen([*ray, *arguments], stdout=told, stderr=told, start_new_session=True)

        nodes = [start("--head", f"--port={port}", "--include-dashboard=false")]
        try:
            wait_for(lambda: answers(port))
            nodes.append(start(f"--address=127.0.0.1:{port}"))
            yield Cluster(f"127.0.0.1:{port}", nodes[1])
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                node.wait(timeout=60)


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(happened: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def waits(tmp_path: Path) -> list[str]:
    """A method that waits while the folder `waits` is there, and notes there which process of which node does."""
    own = tmp_path / "own"
    (own / "method").mkdir(parents=True)
    (own / "waits.py").write_text(WAITS)
    (own / "method" / "waits.yaml").write_text("_target_: waits.Waits\n")
    return ["--config-dir", str(own), "method=noisy,waits", "noise=gaussian25,camera"]


def run(*arguments: str) -> int:
    return cli.main(["run", "-m", *SMALL, *arguments])


def cells(study: str) -> dict[tuple[str, str], Cell]:
    return {(cell.label, cell.noise): cell for cell in read_plan(Path("runs") / study).values()}


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_computes_a_sweep(cluster: Cluster, waits: list[str], tmp_path: Path) -> None:
    waiting = tmp_path / "waits"
    waiting.mkdir()
    lost: list[int] = []

    def lose() -> None:
        try:
            wait_for(lambda: sum(file.stat().st_size > 0 for file in waiting.iterdir()) == 2)
            lost.append(cluster.lose_second({int(file.name): int(file.read_text()) for file in waiting.iterdir()}))
        finally:  # else the sweep would wait for ever
            waiting.rename(tmp_path / "waited")

    losing = threading.Thread(target=lose)
    losing.start()
    assert run(*waits, "study=by_ray", "launcher=ray", f"hydra.launcher.address={cluster.address}") == 0
    losing.join()
    assert lost, "a worker of the second node, in the middle of a cell"
    assert run(*waits, "study=here") == 0
    by_ray, here = cells("by_ray"), cells("here")
    assert [cell.state for cell in by_ray.values()] == ["done"] * 4
    for key, cell in here.items():
        theirs = [{**row, "study": "here"} for row in without_costs(rows_of(by_ray[key]))]
        assert without_costs(rows_of(cell)) == theirs
