"""The commands of README and docs, run one after the other as they stand there, on small images and for seconds."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import denoisebench
from denoisebench.cli.app import main
from denoisebench.store.pictures import write_png
from test_docs import ROOT, fenced

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]
# What is not run here, by a pattern of the command, with the reason. `test_docs` composes these too.
ELSEWHERE = {
    r"^data (download|prepare)|^data (path|verify) (kodak|polyu)": "fetches or needs data sets: test_data",
    r"dataset=(kodak|polyu|dnd|sidd_\w+)|experiment=(classical|camera_noise)": "needs data sets: test_standard, test_sidd",
    r"launcher=(slurm|joblib)": "needs a cluster, or starts processes: test_slurm, test_sweep",
    r"logger=wandb": "starts a server of its own: test_loggers",
    r"^import-weights": "needs a released checkpoint: test_cli",
    r"^(submit|verify-submission)": "needs the images of SIDD or DND: test_submit",
    r"^export|method=(outputs|network)": "needs files made elsewhere: test_elsewhere, test_network_files",
    r"checkpoint=tmbsn": "needs released weights: test_released",
    r"^tune|budget=tuned": "takes tens of trials: test_tune",
    r"--config-dir DIR": "a template: test_plugins",
}
SMALL = ("dataset.crop=64", "budget=smoke", "trainer=cpu", "pictures=0")
STUDIES = ("demo", "classical", "kodak", "quick")  # of which the pages speak without computing them


def commands(page: Path) -> Iterator[str]:
    """The commands in the `sh` blocks of a page, without `denoisebench` and remarks."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^ +(?=```|\S)", "", text, flags=re.MULTILINE)  # blocks in lists are indented
    for line in "\n".join(fenced(text, "sh")).replace("\\\n", " ").splitlines():
        found = re.match(r"(?:\.venv/bin/)?denoisebench (.+)", line)
        if found:
            yield shlex.join(shlex.split(found[1], comments=True))


def small(words: list[str]) -> list[str]:
    """A command with what makes it short, in place of its own settings of the same keys."""
    if words[0] == "run":
        keys = {setting.partition("=")[0] for setting in SMALL}
        return [*(word for word in words if word.partition("=")[0] not in keys), *SMALL]
    if words[0] == "denoise":  # again with --force: the examples of a page name the same folders
        return [*words, "--force", *(() if {"nlm", "--checkpoint"} & set(words) else ("--budget", "smoke"))]
    return words


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages take for granted: photographs, trained weights, studies and another lab's pack."""
    monkeypatch.setenv("DENOISEBENCH_NETWORKS", str(Path("networks").absolute()))
    image = np.random.default_rng(0).random((72, 68, 3))
    for place in ("my_photos/a.png", "holiday/a.png", "scans/a.png", "lamp/noisy/a.png", "lamp/clean/a.png"):
        Path(place).parent.mkdir(exist_ok=True, parents=True)
        write_png(Path(place), image, bits=8)
    photo("IMG_0001.jpg", image)
    photo("scans/page.tif", image)
    denoisebench.train([image, image], "neighbor2neighbor", budget="smoke").save("weights.safetensors")
    for study in STUDIES:
        assert main(["run", "-m", "method=noisy,nlm", f"study={study}", *SMALL]) == 0
    assert main(["pack", "demo", "--lab", "Other", "--to", "other-lab.pack.zip"]) == 0
    exec(next(iter(fenced((ROOT / "docs" / "stacks.md").read_text(encoding="utf-8"), "python"))), {})  # writes its stacks
    Path("experiments").symlink_to(ROOT / "experiments")


def photo(path: str, image: np.ndarray) -> None:
    Image.fromarray((image * 255).astype(np.uint8)).save(path)


def filled(command: str) -> str:
    """A command with a cell's folder, key and study for what its page leaves open or shows by an example."""
    cell = next(Path("runs/default").rglob("rows.csv"), Path("CELL/rows.csv")).parent
    places = {"CELL": str(cell), "KEY": cell.name.rpartition("-")[2], "STUDY": "default", "method=NAME": "method=noisy"}
    command = command.replace("--weights NAME", "--weights desk_lamp")  # which docs/methods.md has added
    command = re.sub(r"runs/(\w+)/\S+/seed0-\w+", lambda found: str(next(Path("runs").glob(f"{found[1]}/*/*/*/*"))), command)
    return re.sub(r"\b(CELL|KEY|STUDY|method=NAME)\b", lambda found: places[found[1]], command)


@pytest.mark.slow
def test_the_commands_of_the_pages_run(prepared: None, capsys: pytest.CaptureFixture[str]) -> None:
    left = set(ELSEWHERE)
    ran = 0
    for page in PAGES:
        for command in commands(page):
            elsewhere = {pattern for pattern in ELSEWHERE if re.search(pattern, command)}
            left -= elsewhere
            if elsewhere:
                continue
            code = main(small(shlex.split(filled(command))))
            shown = capsys.readouterr()
            assert code == 0, f"{page.relative_to(ROOT)}: denoisebench {command}: {code}\n{shown.out}{shown.err}"
            ran += 1
    assert not left, f"no page has a command of {left}"
    assert ran >= 35
