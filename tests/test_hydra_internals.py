"""What we take of Hydra that it does not promise to keep: a new Hydra that moved one of them fails here, with what moved."""

import inspect
from importlib import import_module, metadata

import pytest

# module -> names, and for callables the parameters that we pass by name.
REACHES = {
    "hydra._internal.callbacks": {"Callbacks": ()},
    "hydra._internal.config_repository": {"ConfigRepository": ("config_search_path",)},
    "hydra._internal.core_plugins.basic_launcher": {"BasicLauncher": ()},
    "hydra.core.config_search_path": {"ConfigSearchPath": ()},
    "hydra.core.global_hydra": {"GlobalHydra": ()},
    "hydra.core.override_parser.overrides_parser": {"OverridesParser": ()},
    "hydra.core.override_parser.types": {"Override": (), "Glob": ()},
    "hydra.core.plugins": {"Plugins": ()},
    "hydra.plugins.config_source": {"ConfigResult": ()},
    "hydra.types": {"HydraContext": ("config_loader", "callbacks"), "RunMode": (), "TaskFunction": ()},
}
METHODS = {
    ("hydra.core.override_parser.overrides_parser", "OverridesParser"): ("create", "parse_override", "parse_overrides"),
    ("hydra._internal.config_repository", "ConfigRepository"): ("initialize_sources", "load_config"),
    ("hydra.core.plugins", "Plugins"): ("instance", "instantiate_launcher"),
    ("hydra.core.global_hydra", "GlobalHydra"): ("instance", "config_loader"),
    ("hydra.core.override_parser.types", "Override"): (
        "is_add", "is_force_add", "is_delete", "is_sweep_override", "sweep_string_iterator", "get_key_element", "value",
    ),
}  # fmt: skip
MOVED = "Hydra {version} has no {what}: adapt src/denoisebench/config/hydra_internals.py, or pin hydra-core below it"


@pytest.mark.parametrize("module", REACHES)
def test_it_is_where_we_reach_for_it(module: str) -> None:
    version = metadata.version("hydra-core")
    try:
        found = import_module(module)
    except ImportError:
        pytest.fail(MOVED.format(version=version, what=module))
    for name, parameters in REACHES[module].items():
        assert hasattr(found, name), MOVED.format(version=version, what=f"{module}.{name}")
        for parameter in parameters:
            has = parameter in inspect.signature(getattr(found, name)).parameters
            assert has, MOVED.format(version=version, what=f"{module}.{name}({parameter})")


@pytest.mark.parametrize("place", METHODS)
def test_it_has_the_methods_that_we_call(place: tuple[str, str]) -> None:
    cls = getattr(import_module(place[0]), place[1])
    for name in METHODS[place]:
        assert hasattr(cls, name), MOVED.format(version=metadata.version("hydra-core"), what=f"{place[1]}.{name}")


def test_nobody_else_reaches_into_it() -> None:
    from pathlib import Path

    import denoisebench

    root = Path(denoisebench.__file__).parent
    reaching = {str(file.relative_to(root)) for file in root.rglob("*.py") if "hydra._internal" in file.read_text()}
    assert reaching == {"config/hydra_internals.py"}
