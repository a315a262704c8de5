"""What is missing here for a job, as far as it can be known before anything runs: from imports and files' headers."""

import json
from collections.abc import Callable

from denoisebench.config import ConfigError
from denoisebench.config.parts import is_function_of
from denoisebench.datasets.fitting import too_small
from denoisebench.datasets.images import ImageSet
from denoisebench.job import Job, Learning
from denoisebench.progress import counted
from denoisebench.seeding import isolated_rng
from denoisebench.store.memo import Memo

SHOWN = 5


class Here:
    """Looks at what the jobs of one command need, at each thing once."""

    def __init__(self) -> None:
        self._known: dict[object, str | None] = {}
        self.memo = Memo()

    def lacks(self, job: Job) -> str | None:
        """What is missing for a job, and the way out. Raises: ConfigError for values that the method's class refuses."""
        weights = job.checkpoint or job.init
        settings = json.dumps(job.plain["method"], sort_keys=True)
        return (
            self._once((settings, weights and weights.resolve()), lambda: self._method(job))
            or self._once(("dataset", id(job.test_set)), lambda: _images_lack(job.test_set, "dataset"))
            or (self._training(job, job.learning) if job.learning else None)
        )

    def _method(self, job: Job) -> str | None:
        """That nothing lacks is remembered until a package is installed or removed. Weights that a library fetched and somebody
        removed are found missing by the cell."""
        node, of = job.plain["method"], ["lacks nothing", job.plain["method"]]
        if (job.checkpoint or job.init) is None and self.memo.get(of):
            return None
        reason = _method_lacks(job)
        if reason is None and is_function_of(node):
            self.memo.put(of, value=True)
        return reason

    def _training(self, job: Job, own: Learning) -> str | None:
        images, patch = own.images, own.training.patch
        if images.channels != job.test_set.channels:
            return f"{images.name} is {_colour(images)}, and {job.test_set.name} {_colour(job.test_set)}: set train_set.channels"
        return self._once(("train_set", id(images)), lambda: _images_lack(images, "train_set")) or self._once(
            ("patch", id(images), patch), lambda: too_small(images, patch)
        )

    def _once(self, what: object, look: Callable[[], str | None]) -> str | None:
        if what not in self._known:
            self._known[what] = look()
        return self._known[what]


def _colour(images: ImageSet) -> str:
    return "gray" if images.channels == 1 else "RGB"


def _method_lacks(job: Job) -> str | None:
    """Its class is made as the cell will make it, and given its weights."""
    try:
        with isolated_rng(0):
            method = job.method.make()
    except ConfigError:
        raise
    except (ImportError, OSError) as error:
        return str(error)
    except Exception as error:  # whatever anybody's class does
        raise ConfigError(
            f"method={job.method.name} cannot be made with these settings: {type(error).__name__}: {error}"
        ) from error
    if reason := method.lacking():
        return reason
    from denoisebench.training.weights import load_weights  # imports PyTorch, as making the method did

    try:
        if (weights := job.checkpoint or job.init) and job.method.learns == "dataset":
            load_weights(method, weights)
    except ValueError as error:
        return str(error)
    return None


def _images_lack(images: ImageSet, key: str) -> str | None:
    lines = images.damaged()
    if not lines:
        return None
    shown = "; ".join(lines[:SHOWN]) + (f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")
    of_packed = "; dataset.pack=bayer alone takes planes of one channel, dataset.unprocess=SEED takes RGB images"
    other = of_packed if images.packed else f", or set {key}.channels"
    channels = other if any("this data set is read as" in line for line in lines) else ""
    return f"{key} {images.name}: {counted(len(lines), 'file')} cannot be used: {shown}. Replace or remove them{channels}"
