"""What is shown while a sweep runs: which cell of how many, and the time left of the cell and of all."""

import io
import re

import pytest
from rich.console import Console

from denoisebench import cli, progress
from denoisebench.job import Work
from denoisebench.progress import Pace, Part, part, track
from denoisebench.store.cell import Cell
from denoisebench.study.outlook import Outlook
from test_run import SMALL


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(progress.time, "monotonic", own)
    return own


def test_the_time_left_is_counted_down_between_updates_and_grows_when_one_is_overdue(clock: Clock) -> None:
    pace = Pace(10)
    assert pace.left() is None
    clock.now += 60
    pace.update(1)
    assert pace.left() == pytest.approx(9 * 60)
    clock.now += 30
    assert pace.left() == pytest.approx(8.5 * 60)
    clock.now += 30
    assert pace.left() == pytest.approx(8 * 60)
    clock.now += 60  # the second one takes longer than the first
    assert pace.left() == pytest.approx(8 * 90)
    pace.update(10)
    assert pace.left() == 0


def test_before_the_first_update_what_was_planned_counts(clock: Clock) -> None:
    pace = Pace(10, start=4, expected=100)
    clock.now += 30
    assert pace.left() == pytest.approx(70)
    clock.now += 300
    assert pace.left() == 0
    pace.update(5)
    assert pace.left() == pytest.approx(5 * 330)


def test_a_cells_stages_count_together_and_the_other_cells_beside_it(clock: Clock) -> None:
    of = Part("[5/48] ", {"training": 600.0, "testing": 120.0}, lambda: 2 * 86400.0)
    training, testing = Pace(100, expected=600.0), Pace(3, expected=120.0)
    assert of.times(training, "training") == "12 min 00 s left, 2 d 00 h in all"
    assert of.times(testing, "testing") == "2 min 00 s left, 2 d 00 h in all"
    assert Part().times(Pace(3), None) == ""
    assert Part(rest=lambda: None).times(Pace(3, expected=5), None) == "5 s left"


def drawn(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_on_a_terminal_one_bar_goes_through_both_stages(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=160))
    with part(Part("[2/3] ", {"training": 300.0, "testing": 100.0}, lambda: 7200.0)):
        of = progress._part
        with track("training mine", 100, stage="training") as advance:
            clock.now += 150
            advance(50, "loss 0.5")
            share = progress._share(of, 100, Pace(100, expected=150), "training")
            assert share == pytest.approx(150 / 400)
        clock.now += 150
        assert progress._share(of, 4, Pace(4, expected=100), "testing") == pytest.approx(300 / 400)
        with track("testing mine", 4, stage="testing"):
            pass
    shown = drawn(screen.getvalue())
    assert "[2/3] training mine" in shown
    assert "50/100 4 min 10 s left, 2 h 04 min in all loss 0.5" in " ".join(shown.split())
    assert "[2/3] testing mine" in shown


def test_processes_that_share_a_terminal_write_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=160, highlight=False))
    monkeypatch.setattr(progress.multiprocessing, "parent_process", object)
    with track("training mine", 100, stage="training") as advance:
        clock.now += progress.SECONDS_BETWEEN_LINES
        advance(50, "loss 0.5")
    assert screen.getvalue() == "training mine 50/100, 15 s left loss 0.5\n"


def test_a_bar_is_redrawn_without_an_update(clock: Clock) -> None:
    pace, of = Pace(10, expected=100), Part()
    column = progress._Times(lambda: of.times(pace, "testing"))
    first = str(column.render(None))  # type: ignore[arg-type]
    clock.now += 40
    assert (first, str(column.render(None))) == ("1 min 40 s left", "1 min 00 s left")  # type: ignore[arg-type]


# --- Of a sweep ------------------------------------------------------------------------------------------------------


def cell(key: str, label: str = "nlm") -> Cell:
    return Cell("runs", "s", label, "photos", "gaussian25", 0, key, "")


def outlook(**settings: object) -> tuple[Outlook, dict[str, Cell]]:
    cells = {key: cell(key, "bm3d" if key == "d" else "nlm") for key in "abcd"}
    return Outlook(Work("runs", "s", list("abcd"), None, None, "continue", **settings), cells), cells  # type: ignore[arg-type]


def test_planned_seconds_are_corrected_by_those_that_cells_of_the_method_took() -> None:
    told, cells = outlook(train_s=[0, 0, 0, 0], test_s=[10, 20, 30, 5])
    with told.on(cells["a"]):
        assert told.rest() == 55
    told.ended(cells["a"], "done", 40.0)
    assert told.rest() == 4 * 50 + 5


def test_unplanned_seconds_are_those_that_others_of_the_method_took() -> None:
    told, cells = outlook()
    with told.on(cells["d"]):
        assert told.rest() is None
    told.ended(cells["d"], "done", 7.0)
    with told.on(cells["a"]):
        assert told.rest() is None
    told.ended(cells["a"], "done", 3.0)
    assert told.rest() == 6.0


def test_what_was_put_off_or_skipped_teaches_nothing_and_comes_again() -> None:
    told, cells = outlook(train_s=[0, 0, 0, 0], test_s=[10, 20, 30, 5], before=2)
    for outcome in ("busy", "skipped", "failed"):
        with told.on(cells["a"]):
            assert progress._part.prefix == "[3/6] "
        told.ended(cells["a"], outcome, 0.01)  # type: ignore[arg-type]
        if outcome != "busy":
            told._coming.append("a")
    assert told.rest() == 65


def test_a_sweep_shows_its_cells_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    grid = ("method=noisy,neighbor2neighbor,nlm", "noise=gaussian25", "budget=smoke")
    assert cli.main(["run", *SMALL, *grid[1:], "method=noisy"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "-m", *SMALL, *grid]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " left" in line]
    assert {line.split()[0] + line.split()[1] for line in lines} == {"[2/3]training", "[2/3]testing", "[3/3]testing"}
    assert all(" in all" not in line for line in lines if line.startswith("[3/3]")), "nothing follows the last cell"
