"""A study's Weights & Biases workspace: method x noise, curves, pictures, the table of images."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace  # type: ignore[import-not-found]

from denoisebench.scoring.measures import MEASURES

LINE = "cell.line"  # method | data set | noise: seeds are averaged, nothing else is


def layout(study: str, entity: str, project: str) -> "Workspace":
    """The workspace of a study, not yet saved.

    Raises: ValueError where its package or W&B's key is missing.
    """
    if not os.environ.get("WANDB_API_KEY"):
        raise ValueError("a dashboard is made on the server: set WANDB_API_KEY")
    try:
        import wandb_workspaces.workspaces as ws  # type: ignore[import-not-found]
        from wandb_workspaces import expr  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError("a dashboard needs the package wandb-workspaces: pip install 'denoisebench[dashboard]'") from error
    return ws.Workspace(
        entity=entity, project=project, name=f"denoisebench {study}",
        sections=[ws.Section(name=name, is_open=True, panels=panels) for name, panels in _panels().items()],
        runset_settings=ws.RunsetSettings(filters=expr.And(ws.Config("study") == study)),
    )  # fmt: skip


def _panels() -> dict[str, list[Any]]:
    import wandb_workspaces.reports.v2 as wr  # type: ignore[import-not-found]

    bars = {measure.heading: measure.column for measure in MEASURES} | {"seconds for an image": "seconds"}
    curves = {"training loss": "train/loss", "validation PSNR in dB": "validation/psnr_db"}
    return {
        "Method x noise": [wr.BarPlot(title=title, metrics=[name], groupby=wr.Config(LINE)) for title, name in bars.items()],
        "Trainings": [wr.LinePlot(title=t, x=f"{name.partition('/')[0]}/step", y=[name]) for t, name in curves.items()],
        "Pictures: noisy, denoised, clean": [wr.MediaBrowser(media_keys=["pictures"])],
        "Images": [wr.WeavePanelSummaryTable(table_name="per_image")],
    }


def save(study: str, entity: str, project: str) -> str:
    """Make it on the server; returns its address.

    Raises: ValueError for whatever the server says.
    """
    workspace = layout(study, entity, project)
    try:
        return workspace.save().url
    except Exception as error:  # of the network, the key, the entity
        raise ValueError(f"W&B made no dashboard: {error}") from error
