"""`denoisebench weights`: named networks and their cards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from denoisebench.cli.messages import loading, refused

HELP = """\
Named networks: trained networks that you keep under a name (none is built in yet). Each has a card that says what it
learned from, how it scored and what it is not for.

\b
  denoisebench weights list                         names, methods, sizes
  denoisebench weights card NAME                    the card of one
  denoisebench weights verify                       whether their files are those of their cards
  denoisebench weights add NAME CELL                keep the network of a finished cell under a name

Then `weights=NAME` tests it in a run, with rows like any other, and `denoise --weights NAME` uses it on photographs.

Your networks are stored in DENOISEBENCH_NETWORKS (default: ~/.local/share/denoisebench/networks). To remove one, remove
its folder.
"""

app = typer.Typer(help=HELP, rich_markup_mode=None)


@app.command("list")
def list_() -> int:
    """List the named networks."""
    from denoisebench.store.named import every_name, named, own_shelf

    with refused():
        found = [named(name) for name in every_name()]
    if not found:
        print(f"no named networks, neither in denoisebench nor in {own_shelf()}\n"
              "keep one: denoisebench weights add NAME runs/STUDY/METHOD/SET/NOISE/seed0-KEY")  # fmt: skip
        return 0
    from rich.table import Table

    from denoisebench.progress import output_console

    table = Table("name", "method", "channels", "learned from", "size", "from")
    for one in found:
        card = one.card
        row = (one.name, card["method"], str(card["channels"]), _learned_from(card), f"{card['bytes'] / 1e6:.1f} MB")
        table.add_row(*row, "denoisebench" if one.shipped else "you")
    output_console().print(table)
    return 0


@app.command()
def card(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)]) -> int:
    """Print the card of a named network."""
    from denoisebench.store.named import named

    with refused():
        found = named(name)
    own = found.card
    print(f"{name}: {own.get('about', '')}\n")
    for title, value in _lines(own).items():
        print(f"{title:15} {value}")
    print("\nscores           PSNR in dB [95 % interval over photographs] / SSIM")
    for score in own["scores"]:
        print(f"  {_where(score):44} {_interval(score['psnr_db'], 2)} / {_interval(score['ssim'], 4)}")
    return 0


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Default: all.", show_default=False)] = None,
) -> int:
    """Check that the files of named networks are those of their cards. Exit code 1 if one is not."""
    from denoisebench.store.named import every_name, named

    with refused():
        found = [named(name) for name in names or every_name()]
    wrong = {one.name: one.damage() for one in found}
    for name, damage in wrong.items():
        print(f"{name}: {damage or 'ok'}")
    if not found:
        print("no named networks")
    return int(any(wrong.values()))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    cell: Annotated[Path, typer.Argument(metavar="CELL", help="A finished cell's folder.", show_default=False)],
    *,
    about: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, in a sentence.", show_default=False)],
    not_for: Annotated[str, typer.Option(metavar="TEXT", help="What it is not for.", show_default=False)],
    data_licence: Annotated[str, typer.Option(metavar="TEXT", help="Of the images it learned from.", show_default=False)],
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Of the weights.")] = "not stated",
) -> int:
    """Keep the network of a finished cell under a name, in 16-bit storage, with its scores on every set of that study.

    \b
      denoisebench weights add desk_lamp runs/lamp/at_bsn/lamp/real/seed0-3c5cd3a0ae9b \\
        --about "my desk camera by lamp light" --not-for "other cameras" --data-licence "my own photographs"
    """
    with loading():
        from denoisebench.study.naming import About
        from denoisebench.study.naming import add as keep

    with refused():
        kept = keep(name, cell, About(about, not_for, licence, data_licence))
    apart = kept.card["storage_difference_db"]
    print(f"kept {kept.folder}: {kept.card['bytes'] / 1e6:.1f} MB; 16-bit storage changes the mean PSNR by at most {apart} dB")
    return 0


def _learned_from(card: Mapping[str, Any]) -> str:
    return card["trained_on"] + (f", {card['train_noise']}" if card.get("train_noise") else "")


def _lines(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says, by what it is called."""
    took = f"{card.get('steps')} steps, {card['seconds'] / 60:.0f} minutes" if card.get("seconds") else "not known"
    return {
        "not for": card.get("not_for"),
        "licence": card.get("licence"),
        "method": card["method"],
        "settings": ", ".join(f"{name}={value}" for name, value in card["settings"].items()) or "those of its YAML",
        "channels": card["channels"],
        "learned from": f"{_learned_from(card)} ({card.get('data_licence')})",
        "training": f"{took}; weights: {card.get('selection')}",
        "recipe": " ".join(card.get("recipe", ())),
        "commit": card.get("commit"),
        "storage": f"{card.get('storage')}, at most {card.get('storage_difference_db')} dB from 32 bit",
        "sha256": card["sha256"],
    }


def _where(score: Mapping[str, Any]) -> str:
    tags = f" ({score['tags']})" if score.get("tags") else ""
    return f"{score['dataset']}, {score['noise']}, {score['protocol']}, {score['images']} images{tags}"


def _interval(found: Mapping[str, float | None], digits: int) -> str:
    if found["mean"] is None:
        return "-"
    ends = "" if found["low"] is None else f" [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"
    return f"{found['mean']:.{digits}f}{ends}"
