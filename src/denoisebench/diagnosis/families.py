"""Which families of methods can work on noise as it was diagnosed."""

from dataclasses import dataclass

from denoisebench.diagnosis.diagnosis import IMPULSES, Diagnosis


@dataclass(frozen=True)
class Family:
    """correlated: whether it is made for noise that is correlated between pixels. needs_level: whether it takes one level, of
    independent noise, for the whole image. methods: by their names."""

    name: str
    methods: tuple[str, ...]
    learns: str
    correlated: bool = False
    needs_level: bool = False


FAMILIES = (
    Family("filters", ("bm3d", "nlm", "tv", "wavelet"), "nothing", needs_level=True),
    Family("filters, correlated noise", ("bm3d_correlated", "wavelet_correlated"), "nothing", correlated=True),
    Family(
        "one image, pixels independent",
        ("noise2detail", "noise2fast", "pixel2pixel", "self2self", "self2self_plus", "zsn2n"),
        "image",
    ),
    Family("one image, correlated noise", ("dip", "mash", "pixel_refilling"), "image", correlated=True),
    Family(
        "a set of images, pixels independent",
        ("blind2unblind", "laine", "neighbor2neighbor", "noise2self", "noise2void", "recorrupted2recorrupted"),
        "dataset",
    ),
    Family(
        "a set of images, correlated noise",
        ("ams_net", "apbsn", "at_bsn", "cbsn", "mm_bsn", "puca", "sasl", "sdap", "tm_bsn"),
        "dataset",
        correlated=True,
    ),
)


@dataclass(frozen=True)
class Advice:
    """fits: True, False, or None where it depends; why, in a sentence."""

    family: Family
    fits: bool | None
    why: str


def advice(of: Diagnosis) -> list[Advice]:
    """For each family, in the order of FAMILIES."""
    return [Advice(family, *_judged(family, of)) for family in FAMILIES]


def _judged(family: Family, of: Diagnosis) -> tuple[bool | None, str]:
    if of.storing.impulses > IMPULSES:
        return None, "there are impulses, which all of these take for detail: remove them first, e.g. by a median"
    if of.verdict == "clean":
        return False, "there is next to no noise to remove: any method costs detail"
    if of.independent is None:
        return None, "there is too little noise, or no flat area, to tell whether pixels are independent"
    if of.independent == family.correlated:
        return _misfit(family, of)
    if family.needs_level and of.level.law != "constant":
        return None, "noise grows with intensity, and these take one level for the whole image"
    return True, "the noise is correlated over pixels, as these expect" if family.correlated else "pixels are independent"


def _misfit(family: Family, of: Diagnosis) -> tuple[bool | None, str]:
    if family.correlated:
        return None, "pixels are independent: these work, and lose detail that others keep"
    if family.needs_level:
        return None, f"noise is correlated over {of.correlation.radius} px: their own estimate of the level is too low, set sigma"
    return False, f"noise is correlated over {of.correlation.radius} px: these take it for structure and keep it"


def sentence(of: Diagnosis) -> str:
    """One line for a table."""
    fits = [one.family.name for one in advice(of) if one.fits]
    if of.verdict == "clean":
        return "nothing to remove"
    return "; ".join(fits) if fits else "no family fits without doubt"
