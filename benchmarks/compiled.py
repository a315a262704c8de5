"""`trainer.compile=true` against eager: one training of each in one process, the compiler's own time counted.

python benchmarks/compiled.py [STEPS]
"""

import json
import sys
import tempfile
from pathlib import Path

from denoisebench.cli import main

TRAINING = ("method=neighbor2neighbor", "budget=quick", "dataset.crop=64", "pictures=0")


def seconds(root: Path, steps: int, *, compiled: bool) -> float:
    overrides = (f"training.steps={steps}", f"trainer.compile={str(compiled).lower()}", f"root={root}")
    assert main(["run", *TRAINING, *overrides]) == 0
    [told] = root.glob(".trained/*/training.json")
    return json.loads(told.read_text(encoding="utf-8"))["seconds"]


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    with tempfile.TemporaryDirectory() as folder:
        seconds(Path(folder, "first"), 10, compiled=False)  # what only a first training of a process waits for
        eager = seconds(Path(folder, "eager"), steps, compiled=False)
        compiled = seconds(Path(folder, "compiled"), steps, compiled=True)
    print(f"{steps} steps: eager {eager:.1f} s, compiled {compiled:.1f} s, of eager {compiled / eager:.2f}")
