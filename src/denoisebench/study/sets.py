"""Checks the image sets of a command before anything is computed: what is refused, and what is remarked on."""

from collections.abc import Iterator, Sequence

from denoisebench.config import ConfigError
from denoisebench.datasets.images import ChangedError, ImageSet, changed
from denoisebench.datasets.listing import shown
from denoisebench.datasets.remarks import level_remarks, remarks
from denoisebench.job import Job
from denoisebench.store.cell import study_folder


def check_sets(jobs: Sequence[Job]) -> None:
    """That a name means one set, and that no crop is larger than an image of a cell that is left. Raises: ConfigError."""
    for key, sets in _sets(jobs).items():
        _check_names(key, sets)
        left = {id(images): images for images, job in sets if job.cell.state != "done" or job.force}
        for images in left.values():
            _check_crop(key, images)


def _sets(jobs: Sequence[Job]) -> dict[str, list[tuple[ImageSet, Job]]]:
    return {
        "dataset": [(job.test_set, job) for job in jobs],
        "train_set": [(job.learning.images, job) for job in jobs if job.learning],
    }


def _check_names(key: str, sets: Sequence[tuple[ImageSet, Job]]) -> None:
    """Within a table: a data set under a noise."""
    named: dict[tuple[str, str, str], ImageSet] = {}
    for images, job in sets:
        other = named.setdefault((images.name, job.cell.dataset, job.cell.noise), images)
        if other is not images and other.fingerprint != images.fingerprint:
            places = " and ".join(_place(one) for one in (other, images))
            raise ConfigError(
                f"two sets would be called {images.name} in the same tables, {places}: give each a name, {key}.name=NAME"
            )


def _place(images: ImageSet) -> str:
    return shown(images.files[0].parent) if images.files else images.name


def _check_crop(key: str, images: ImageSet) -> None:
    """A crop is what its name says: `crop256` is of 256 x 256 pixels."""
    crop = getattr(images, "crop", None)
    if crop is None:
        return
    for index, name in enumerate(images.names):
        height, width = images.size(index)
        if min(height, width) < crop:
            raise ConfigError(
                f"{key}.crop={crop} is larger than {name} of {images.name}, whose shorter side has {min(height, width)} pixels: "
                "set it to that at most, or leave it out for whole images"
            )


def changed_since_planned(job: Job) -> ChangedError:
    """Why a planned cell's job has another key now: the first of its image files that was written to after its study was
    planned, as far as any was."""
    planned = (study_folder(job.cell.root, job.cell.study) / "plan.json").stat().st_mtime_ns
    files = [*job.test_set.files, *(job.learning.images.files if job.learning else ())]
    late = (path for path in files if max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) > planned)
    other = "its images, weights or settings are not those that were planned: start the same command again"
    return next(map(changed, late), ChangedError(other))


def remarks_on(jobs: Sequence[Job]) -> Iterator[str]:
    """What is odd about the images and noises of the cells that are left, each once."""
    left = [job for job in jobs if not job.lacks and (job.cell.state != "done" or job.force)]
    told = [line for job in {(id(job.test_set), job.noise_part): job for job in left}.values() for line in _of_test(job)]
    told += [line for job in left if job.learning for line in level_remarks(job.learning.noise_part.facts)]
    return iter(dict.fromkeys(told))


def _of_test(job: Job) -> Iterator[str]:
    return remarks(job.test_set, job.noise_part.facts)
