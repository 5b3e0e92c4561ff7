"""The oldest releases of the libraries that rdctl works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.core.units import numbers

if TYPE_CHECKING:
    from types import ModuleType

# As in setup.cfg.
FLOORS = {
    "click": "8.1.3",
    "rich": "13",
    "requests": "2.28",
    "urllib3": "1.26.5",
    "tabulate": "0.8.9",
    "PyYAML": "6",
    "jmespath": "1.0",
}
# The module that shows whether a library works, if it has another name.
MODULES = {"PyYAML": "yaml", "rich": "rich.progress"}


def module_of(library: str) -> str:
    return MODULES.get(library, library)


def require(*modules: ModuleType) -> None:
    """Raise ImportError for a release that is too old, if the module states its version: unlike a
    query of importlib.metadata, this costs nothing."""
    for module in modules:
        version = vars(module).get("__version__")
        library = next(one for one in FLOORS if module_of(one) == module.__name__)
        if isinstance(version, str) and numbers(version) < numbers(FLOORS[library]):
            raise ImportError(f"{library} {version} is too old")
