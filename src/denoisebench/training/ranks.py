"""Several processes of this machine that train one network together: this one is rank 0, and starts the others.

Lightning's own launcher would start the whole command line again for each rank, with its locks, logs and tests.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import IO, Any, NoReturn

import torch
from torch import distributed

HERE = "127.0.0.1"
TIMEOUT = timedelta(hours=1)  # of one message: the others wait while rank 0 validates
SECONDS_TO_NOTICE = 30.0
LAST_LINES = 6


class RankError(RuntimeError):
    """Another rank ended before its training did."""


@dataclass(frozen=True)
class _Child:
    rank: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return "\n".join([f"rank {self.rank} ended with code {self.process.returncode}:", *lines[-LAST_LINES:]])


@contextmanager
def led(code: str, order: Mapping[str, Any], world: int, device: str, give_up: Callable[[RankError], object]) -> Iterator[None]:
    """This process as rank 0 of `world`; the others run the Python `code`, which calls `follow`, and end with the block.

    order: what `follow` is given, as JSON. device: `cpu` or `gpu`, one for each rank. give_up: told why before this
    process ends, where a dead rank keeps it waiting inside the driver. Raises: RankError with a dead rank's last words.
    """
    store = distributed.TCPStore(HERE, 0, world, is_master=True, wait_for_workers=False)
    text = json.dumps({"port": store.port, "world": world, "device": device, "order": order}) + "\n"
    threads, over = torch.get_num_threads(), Event()
    each = max(1, threads // world)
    with _environment(LOCAL_RANK="0", NODE_RANK="0", OMP_NUM_THREADS=str(each)), ExitStack() as ending:
        ending.callback(over.set)
        ending.callback(torch.set_num_threads, threads)
        ending.callback(setattr, sys, "excepthook", sys.excepthook)  # PyTorch puts one of its own there
        ending.callback(_leave)
        torch.set_num_threads(each)
        children = [_started(code, rank, text, ending) for rank in range(1, world)]
        try:
            _await(store, children)
            Thread(target=_watch, args=(children, over, give_up), daemon=True).start()
            _join(store, 0, world, device)
            yield
            _leave()
        except RuntimeError as error:
            if _is_lost(error) and (dead := _dead(children, SECONDS_TO_NOTICE)):
                raise RankError(dead.last_words()) from error
            raise


def follow(prepare: Callable[[Any], Callable[[], object]]) -> NoReturn:
    """In a process that `led` started: prepare what the order says, join the others, do it. Ends when rank 0 does."""
    orders = json.loads(sys.stdin.buffer.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    rank, code = int(os.environ["LOCAL_RANK"]), 0
    try:
        act = prepare(orders["order"])
        store = distributed.TCPStore(HERE, orders["port"], orders["world"], wait_for_workers=False)
        store.set(str(rank), "ready")
        _join(store, rank, orders["world"], orders["device"])
        act()
        _leave()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # whatever threads are left


@contextmanager
def _environment(**own: str) -> Iterator[None]:
    """With LOCAL_RANK, Lightning takes all ranks for started; it deletes WORLD_SIZE in the end."""
    names = (*own, "WORLD_SIZE")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def _started(code: str, rank: int, text: str, ending: ExitStack) -> _Child:
    """In a session of its own: Ctrl-C is for rank 0, which kills the others."""
    said = ending.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (`ending` is one)
    environment = {**os.environ, "LOCAL_RANK": str(rank), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", code]  # -P: a `random.py` of the current folder is nobody's
    process = ending.enter_context(subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
    ))  # fmt: skip
    ending.callback(process.kill)
    assert process.stdin
    process.stdin.write(text.encode())
    process.stdin.flush()
    return _Child(rank, process, said)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # nothing comes: it ends when rank 0 does
    os._exit(1)


def _await(store: distributed.TCPStore, children: Sequence[_Child]) -> None:
    """Wait until all are ready to join; joining cannot be interrupted."""
    while not store.check([str(child.rank) for child in children]):
        if dead := _dead(children, 0.05):
            raise RankError(dead.last_words())


def _join(store: distributed.TCPStore, rank: int, world: int, device: str) -> None:
    gpu = torch.device("cuda", rank) if device == "gpu" else None
    backend = "nccl" if gpu else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=TIMEOUT, device_id=gpu)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _is_lost(error: BaseException) -> bool:
    """Whether an error may be that another rank is gone: gloo raises plain RuntimeErrors."""
    return type(error) is RuntimeError or isinstance(error, distributed.DistError)


def _dead(children: Sequence[_Child], patience_s: float) -> _Child | None:
    """A rank that failed; None if all live or ended well after so many seconds."""
    until = time.monotonic() + patience_s
    while True:
        failed = next((child for child in children if child.process.poll() not in (None, 0)), None)
        if failed or time.monotonic() > until:
            return failed
        time.sleep(0.02)


def _watch(children: Sequence[_Child], over: Event, give_up: Callable[[RankError], object]) -> None:
    """Over gloo a rank's death is an error at once; over NCCL rank 0 would wait for it inside a kernel, for ever."""
    while not over.wait(1.0):
        if (dead := _dead(children, 0)) and not over.wait(SECONDS_TO_NOTICE):
            give_up(RankError(dead.last_words()))
            os._exit(1)
