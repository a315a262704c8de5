"""What the site says of each data set: licence, how to get it, pictures where its licence lets others show them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from denoisebench.citations import Paper
from denoisebench.datasets.catalogue import CATALOGUE, Entry
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.references import REFERENCES
from denoisebench.report.published import set_of
from denoisebench.report.results import Result
from denoisebench.report.study import Report
from denoisebench.site.names import dataset_file

SIDE = 192
PICTURES = 4


@dataclass(frozen=True)
class DataPage:
    """entry: None for a set that is not in the catalogue. pictures: (name, data address) of a few images."""

    name: str
    entry: Entry | None
    paper: Paper | None
    results: Sequence[Result]
    pictures: Sequence[tuple[str, str]]

    @property
    def file(self) -> str:
        return dataset_file(self.name)

    @property
    def how(self) -> str:
        """How to get it, in words."""
        if self.entry is None:
            return "It is not in the catalogue: whoever ran it has the images."
        if not self.entry.parts:
            return "It comes with scikit-image; nothing has to be downloaded."
        return "" if self.entry.fetched else f"By hand: {self.entry.by_hand}."

    @property
    def no_pictures(self) -> str:
        if self.entry is None or self.pictures:
            return ""
        return f"No pictures here: its licence is “{self.entry.licence}”, or it was not on the machine that built this page."


def data_pages(report: Report) -> list[DataPage]:
    """One for each set of the catalogue, and for each other that rows name; parts of a set belong to it."""
    by_set: dict[str, list[Result]] = {}
    for result in report.results:
        by_set.setdefault(set_of(result.dataset), []).append(result)
    names = [*CATALOGUE, *sorted(by_set.keys() - CATALOGUE.keys())]
    return [DataPage(n, CATALOGUE.get(n), REFERENCES.get(n), by_set.get(n, []), _pictures(n)) for n in names]


def _pictures(name: str) -> list[tuple[str, str]]:
    if name != "photos":
        return []
    images = Photos()
    return [(images.names[i], _embedded(images.clean(i))) for i in range(min(PICTURES, len(images.names)))]


def _embedded(image: np.ndarray) -> str:
    """A small copy as a data address: the site fetches nothing."""
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise OSError("OpenCV could not encode a picture")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
