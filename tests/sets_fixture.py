"""Stand-ins of the public data sets: every file of theirs by its name and place, small but large enough for every method
and for the crops of the presets."""

from pathlib import Path

import cv2
import numpy as np

from denoisebench.datasets.prepared import prepare
from denoisebench.datasets.sidd import SIDDMedium
from denoisebench.datasets.standard import SETS
from dnd_fixture import make_dnd
from sidd_fixture import make_blocks, make_frames
from sidd_raw_fixture import make_raw_blocks, make_raw_frames


def make_sets(root: Path) -> Path:
    """The standard sets, SIDD's validation blocks, prepared patches and raw frames, and DND, below `root`; a second's work."""
    rng = np.random.default_rng(0)
    for which, own in SETS.items():
        height, width = (256, 260) if which == "kodak" else (33, 34)
        shape = (height, width) if own.gray else (height, width, 3)
        for part, folders in own.folders.items():
            folder = root / folders[0]
            folder.mkdir(parents=True)
            for name in own.names or [f"{which}-{part}{number:03d}" for number in range(own.count)]:
                for suffix in {own.clean_suffix, own.noisy_suffix or own.clean_suffix}:
                    image = cv2.imencode(".png", rng.integers(0, 256, shape, dtype=np.uint8))[1]
                    (folder / f"{name}{suffix}.png").write_bytes(image.tobytes())
    make_blocks(root)
    make_dnd(root)
    prepare(SIDDMedium(root=str(make_frames(root))), root / "SIDD" / "sidd_medium.h5", patch=32)
    make_raw_frames(make_raw_blocks(root), scenes=1, height=512, width=512)
    return root
