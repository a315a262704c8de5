"""SIDD-Medium on a disk (Abdelhamed et al., CVPR 2018): a folder for each scene, noisy frames and their clean partners."""

from collections.abc import Sequence
from pathlib import Path

from denoisebench.datasets.images import Files, ImageSet
from denoisebench.datasets.places import find


class MediumFrames(ImageSet):
    """The 320 frames and their partners: what the set in sRGB and the raw one have in common.

    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    has_clean = has_noisy = True

    def _find(self, whole: str, root: str, folders: Sequence[str], pattern: str, first: int | None) -> str:
        """Finds the first frames in the order of their names, all by default. Returns what of the set they are, for its name."""
        data = find(whole, root, folders, ["Data"]) / "Data"
        frames = sorted(data.glob(f"*/{pattern}"), key=lambda path: path.name)
        if not frames:
            raise FileNotFoundError(f"{data}: no */{pattern} in it; `denoisebench data download {whole}` says how to get them")
        self._frames, self._known = frames[:first], Files()
        stems = [path.stem for path in self._frames]
        if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
            raise ValueError(f"{data}: frames of one name in several scenes: {', '.join(twice[:5])}")
        return f"-first{first}" if first and first < len(frames) else ""

    @property
    def frames(self) -> Sequence[Path]:
        return self._frames

    @staticmethod
    def partner(noisy: Path) -> Path:
        """The clean frame of a noisy one."""
        return noisy.with_name(noisy.name.replace("_NOISY_", "_GT_"))

    def _partner_of(self, noisy: Path) -> Path:
        path = self.partner(noisy)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the clean partner of {noisy.name} is missing")
        return path

    def _with_partners(self) -> list[Path]:
        return [file for path in self._frames for file in (path, self.partner(path)) if file.is_file()]

    @property
    def files(self) -> tuple[Path, ...]:
        return self._known.paths

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(f"sidd_medium/{path.parent.name}" for path in self._frames)
