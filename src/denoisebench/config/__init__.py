"""Text -> jobs. The only room that imports Hydra and OmegaConf.

What needs classes and images, and so PyTorch, is in `denoisebench.config.jobs`; the rest is here.
"""

from denoisebench.config.completion import complete
from denoisebench.config.composed import Composed, compose_all, compose_one
from denoisebench.config.errors import SEVERAL_DEVICES, ConfigError, LaunchError, nearest
from denoisebench.config.grids import expand, split_flags
from denoisebench.config.launching import Launcher, hydra_flags
from denoisebench.config.places import conf_dir, groups
from denoisebench.config.quoting import quoted

__all__ = [
    "SEVERAL_DEVICES",
    "Composed",
    "ConfigError",
    "LaunchError",
    "Launcher",
    "complete",
    "compose_all",
    "compose_one",
    "conf_dir",
    "expand",
    "groups",
    "hydra_flags",
    "nearest",
    "quoted",
    "split_flags",
]
