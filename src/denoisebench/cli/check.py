"""`denoisebench check`: runs the contract tests on a user's method."""

from typing import Annotated

import typer

from denoisebench.cli.messages import loading, refused


def check(
    settings: Annotated[list[str], typer.Argument(metavar="method=NAME KEY=VALUE", show_default=False)],
    config_dir: Annotated[
        list[str] | None, typer.Option("--config-dir", "-cd", metavar="DIR", help="The folder with method/NAME.yaml.")
    ] = None,
) -> int:
    """Check that a method of yours keeps to the contract, and say in words what it breaks.

    \b
      denoisebench check method=mine --config-dir my_conf

    Each line of the output is one point. The method is built with small images and trained for a few steps on the CPU.

    Exit code: 0 if it keeps to every point, 1 if not, 2 if a setting is not valid.
    """
    from denoisebench import config

    folders = [part for folder in config_dir or () for part in ("--config-dir", folder)]
    with refused():
        overrides, _, _ = config.split_flags([*settings, *folders])
        names = [override.partition("=")[2] for override in overrides if override.startswith("method=")]
        if len(names) != 1 or not names[0]:
            raise ValueError("name one method: denoisebench check method=NAME")
        config.compose_all(overrides, multirun=False)  # refuses what is not valid before PyTorch is loaded
    with loading():
        from denoisebench.study import contract
    with refused():
        subject = contract.subject(names[0], [o for o in overrides if not o.startswith("method=")])
    broken = 0
    for finding in contract.findings(subject):
        broken += 1
        print(f"{names[0]}: {finding}")
    if not broken:
        print(f"{names[0]}: keeps to all {len(contract.CHECKS)} points of the contract")
    return int(broken > 0)
