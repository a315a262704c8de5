"""`denoisebench export-noisy` and `export`: what other programs are given."""

import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from denoisebench.cli.messages import loading, refused

Kind = Literal["tiff", "npy", "png8", "png16"]


def export_noisy(
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="dataset=, noise=, seed=, repeats=.")],
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.", show_default=False)],
    kinds: Annotated[
        str, typer.Option("--as", metavar="KINDS", help="tiff,npy: float32, unclipped; png8, png16: clipped.")
    ] = "tiff,npy",
) -> int:
    """Write the noisy images of a test set, with their hashes in DIR/manifest.json, for a program that is not ours.

    \b
      denoisebench export-noisy dataset=kodak noise=gaussian25 --to noisy
      denoisebench run method=outputs method.folder=denoised method.label=their_method method.manifest=noisy/manifest.json

    Files of several kinds lie in a folder for each: DIR/tiff, DIR/npy.
    """
    wanted = list(dict.fromkeys(kind.strip() for kind in kinds.split(",")))
    if wrong := [kind for kind in wanted if kind not in get_args(Kind)]:
        raise typer.BadParameter(f"--as {', '.join(wrong)}: expected {', '.join(get_args(Kind))}")
    with loading():
        from denoisebench.config.jobs import job_of
        from denoisebench.progress import counted
        from denoisebench.study.noisy_images import export_noisy as write

    with refused():
        count = write(job_of(["method=noisy", *settings]), to, wanted)  # pyright: ignore[reportArgumentType]
    if clipped := [kind for kind in wanted if kind.startswith("png")]:
        print(f"warning: {', '.join(clipped)} clips the noise to [0, 1] and rounds it: what is denoised from these is at a "
              "disadvantage, or at an advantage, against methods that see the noisy image as it is", file=sys.stderr)  # fmt: skip
    print(f"wrote {counted(count, 'noisy image')} ({', '.join(wanted)}) and manifest.json to {to}")
    return 0


def export(
    source: Annotated[str, typer.Argument(metavar="CELL|WEIGHTS", help="A finished cell's folder, or a file of weights.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="With WEIGHTS: method=NAME; method.KEY= for another setting.")
    ] = None,
    *,
    to: Annotated[Literal["onnx", "torch", "safetensors"], typer.Option(help="The format.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write (default: METHOD with the format's ending).")
    ] = None,
) -> int:
    """Write the network of a method that learned from a data set, for other programs and for method=network.

    \b
      denoisebench export runs/default/neighbor2neighbor/photos/gaussian25/seed0-KEY --to onnx
      denoisebench export ffdnet_color.pth method=ffdnet --to torch --out ffdnet.pt2
      denoisebench run method=network method.file=ffdnet.pt2 dataset=kodak noise=gaussian25

    onnx and torch take images of any size (FFDNet's: of even sides); each is compared with ours
    at several sizes before it is kept.
    """
    with loading():
        from denoisebench.study import export as exporting

    with refused():
        method, channels, name = exporting.network_of(source, settings or [])
        path = out or Path(name + exporting.SUFFIXES[to])
        about = exporting.export(method, channels, to, path)
    size = "any size" if about.get("multiple") == 1 else "even sides"
    told = f" ({size}{', with a noise-level channel' * about['sigma_map']})" if about else ""
    print(f"wrote {path}{told}")
    return 0
