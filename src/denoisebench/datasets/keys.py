"""What the keys of a data set say, checked before anything is read. Raises: ValueError, here as everywhere below."""


def check_selection(**chosen: int | None) -> None:
    """chosen: numbers by their keys; each chooses something, or is None."""
    for key, value in chosen.items():
        if value is not None and value < 1:
            raise ValueError(f"dataset.{key} is a number above 0, or null for all, not {value}")


def check_chosen(channels: int, first: int | None, crop: int | None) -> None:
    """Of a set whose images are given in gray or in colour."""
    if channels not in (1, 3):
        raise ValueError(f"dataset.channels is 1 (gray) or 3 (RGB), not {channels}")
    check_selection(first=first, crop=crop)


def check_gray(name: str, channels: int) -> None:
    """Of a set that has gray images alone: packing and making raw planes ask for other channels too."""
    if channels != 1:
        raise ValueError(
            f"{name} has gray images: dataset.channels is 1, not {channels}, and dataset.pack and dataset.unprocess are null"
        )
