"""`denoisebench denoise`: people's own photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from denoisebench.cli.messages import loading, refused
from denoisebench.streams import outlive_terminal

if TYPE_CHECKING:
    from denoisebench.photographs.work import Outcome

DEFAULT = "zsn2n"


def denoise(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders or patterns.", show_default=False)],
    *,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any method, or auto (default: zsn2n, or the checkpoint's).")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where outputs go, under the names of the inputs.")] = None,
    suffix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Added to the name of each output (without --out: _denoised).")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of the method, instead of training on the images.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="NAME", help="A named network (denoisebench weights list), instead of training.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="hour (default to train on the images), paper, quick or smoke."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method, e.g. steps=500; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of whatever the method draws.")] = 0,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG outputs (default: the quantisation tables of the input).")
    ] = None,
    page: Annotated[
        int | None, typer.Option(min=1, help="One page of a TIFF with several, counted from 1 (default: all of a stack).")
    ] = None,
    axes: Annotated[
        str | None, typer.Option(metavar="LETTERS", help="Of stacks that do not say them, e.g. TZYX (S: samples of RGB).")
    ] = None,
    learn: Annotated[
        Literal["stack"] | None,
        typer.Option(metavar="stack", help="One network from all slices of a stack, for methods that learn from one image."),
    ] = None,
    white: Annotated[
        float | None,
        typer.Option(help="The value of white, e.g. 4095 for 12 bit in 16 (default: the largest of its type)."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="Memory to use at most (default: 60 % of what is free).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Denoise again what is done or was made with other settings.")] = False,
) -> int:
    """Denoise photographs, and write each in its own format beside the original; inputs are never touched.

    \b
      denoisebench denoise IMG_0001.jpg                         writes IMG_0001_denoised.jpg
      denoisebench denoise holiday/ --out holiday/denoised      every image of a folder (not of its subfolders)
      denoisebench denoise *.tif --method nlm --set strength=0.6
      denoisebench denoise scans/ --method auto                 the method that suits each image, tried on a part of it
      denoisebench denoise scans/ --method neighbor2neighbor    trains on the images first, about an hour
      denoisebench denoise scans/ --method neighbor2neighbor --checkpoint weights.safetensors
      denoisebench denoise scans/ --weights NAME                a named network: denoisebench weights list
      denoisebench denoise embryo.ome.tif --white 4095          a stack, slice by slice, and back in one file

    PNG and TIFF of 8 and 16 bit, TIFF of floats, JPEG; stacks in TIFF, ImageJ, OME-TIFF, .npy, MRC and OME-Zarr files. Bit
    depth, colour model, alpha channel, EXIF, ICC profile, orientation, axes, tags and compression stay as they are.

    Ctrl-C ends it; the same command continues, and does nothing where all is done.

    Exit code: 0 if every image is denoised, 1 if one could not be, 2 if a setting is not valid.
    """
    from denoisebench.config import ConfigError

    problems: list[tuple[Path, str]] = []
    with loading():
        from denoisebench import api
        from denoisebench.config.choosing import from_text
        from denoisebench.config.named_weights import whole
        from denoisebench.photographs import files
        from denoisebench.photographs.how import AUTO, How
        from denoisebench.photographs.reading import Reading
        from denoisebench.photographs.work import Outcome, Work
        from denoisebench.ranking import trust
    with refused():
        if weights is not None:
            if checkpoint is not None:
                raise ConfigError("--weights and --checkpoint both say what denoises: give one of the two")
            checkpoint = whole(weights).file
        if checkpoint is not None and not checkpoint.is_file():
            raise FileNotFoundError(f"--checkpoint {checkpoint}: no such file")
        if (white is not None and not 0 < white < float("inf")) or (memory is not None and not 0 < memory < float("inf")):
            raise ConfigError("--white and --memory are numbers above 0")
        if out is not None and (out.is_file() or (not out.exists() and out.suffix.lower() in files.LISTED)):
            raise ConfigError(f"--out {out} names a file, and is the folder of the outputs, which keep the names of the inputs")
        name = method or (api.saved(checkpoint).get("method") if checkpoint else None) or DEFAULT
        limit = None if memory is None else int(memory * 2**30)
        reading = Reading(quality, page, white, axes)
        how = How(name, from_text(settings or ()), budget, checkpoint, seed, reading, limit, force, learn)
        for one in how.methods:
            how.chosen(3, one)
    items = files.placed(files.listed(paths, problems), out, suffix, problems)
    outcome = Outcome()
    for path, text in problems:
        outcome.failed(path, text)
    outlive_terminal()
    with refused():
        Work(items, how, outcome).run()
    if name == AUTO and outcome.written:
        print(trust())
    return _ended(outcome, len(items))


def _ended(outcome: "Outcome", count: int) -> int:
    from denoisebench.progress import counted

    parts = [f"{outcome.written} denoised"]
    if outcome.done_before:
        parts.append(f"{outcome.done_before} done before")
    if outcome.problems:
        parts.append(f"{counted(len(outcome.problems), 'problem')}")
    print(f"{counted(count, 'image')}: {', '.join(parts)}")
    return int(bool(outcome.problems))
