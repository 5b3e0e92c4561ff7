"""The libraries that rdctl requires: what is wrong with them, and the command that mends it.

Loaded only when something failed, and by the doctor."""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.metadata import distributions
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.floors import FLOORS, module_of
from rdctl.core.units import defuse, numbers, quoted

if TYPE_CHECKING:
    from types import ModuleType

# What Fedora calls a library, and Debian, if not python3-NAME.
_RPM, _DEB = {"PyYAML": "pyyaml"}, {"PyYAML": "yaml"}


class Fault(NamedTuple):
    """What is wrong with a library, and the directory that it is imported from, if any."""

    name: str
    message: str
    directory: str | None = None
    broken: bool = False


# --- faults -----------------------------------------------------------------------------------


def examined(name: str) -> str | Fault:
    """The version of a library that works, or its fault."""
    module, required = module_of(name), f"rdctl requires {FLOORS[name]} or later"
    top = module.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return Fault(name, f"{name} is not installed: {required}")
    directory = os.path.dirname(spec.origin)
    if spec.submodule_search_locations:
        directory = os.path.dirname(directory)
    try:
        loaded = importlib.import_module(module)
        version = _version(name, sys.modules[top], directory)
    except Exception as error:
        named = f"{name} {_version(name, None, directory)}".strip()
        reason = f"{type(error).__name__}: {defuse(str(error))}"
        return Fault(name, f"{named} in {directory} is broken: {reason}", directory, broken=True)
    if loaded and version and numbers(version) < numbers(FLOORS[name]):
        return Fault(name, f"{name} {version} in {directory} is too old: {required}", directory)
    return version


def _version(name: str, module: ModuleType | None, directory: str) -> str:
    """Of the module itself, which need not be what pip installed; click and others compute it."""
    own = vars(module).get("__version__") if module else None
    if isinstance(own, str):
        return own
    found = next(iter(distributions(name=name, path=[directory])), None)
    return found.version if found else ""


def faults() -> list[Fault]:
    """What is wrong with the libraries."""
    return [found for name in FLOORS if isinstance(found := examined(name), Fault)]


def cause_of(error: BaseException) -> RdctlError | None:
    """The error to show, if libraries that are missing, too old or broken explain this one."""
    found = faults()
    if not found:
        return None
    mend = command(found)
    message = "; ".join(one.message for one in found)
    fault = RdctlError(Code.FAILED, message, hint=f"Run: {mend}" if mend else ADVICE)
    fault.__cause__ = error
    return fault


# --- commands ---------------------------------------------------------------------------------


class Place(NamedTuple):
    """How this rdctl was installed: the directory or file that it is imported from, and facts about
    its Python. `managed`: pip may not install into it (PEP 668)."""

    rdctl: str
    prefix: str
    venv: bool
    managed: bool
    user: str
    root: bool
    paths: Sequence[str] = ()


def here() -> Place:
    """The place of the running rdctl."""
    # Up from rdctl/core/libraries.py.
    above = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    while not os.path.exists(above):  # a directory in a zip
        above = os.path.dirname(above)
    standard = sysconfig.get_path("stdlib")
    return Place(
        rdctl=above,
        prefix=sys.prefix,
        venv=sys.prefix != sys.base_prefix,
        managed=os.path.exists(os.path.join(standard, "EXTERNALLY-MANAGED")),
        user=site.getusersitepackages(),
        root=os.geteuid() == 0,
        paths=[os.path.abspath(one) for one in os.environ.get("PYTHONPATH", "").split(":") if one],
    )


# What to do if no command mends it.
ADVICE = "Replace the file of rdctl with a complete copy."


def command(wrong: Iterable[Fault], place: Place | None = None) -> str | None:
    """The command that mends these faults in this kind of installation; None: a single file."""
    wrong, place = list(wrong), place or here()
    if any(one.directory in place.paths and one.directory != place.rdctl for one in wrong):
        return "unset PYTHONPATH"
    if os.path.isfile(place.rdctl):
        return None
    if _packaged(place.rdctl) and not place.venv:
        return _of_the_system(wrong, place)
    if place.venv:
        for receipt, again in (
            ("pipx_metadata.json", "pipx reinstall rdctl"),
            ("uv-receipt.toml", "uv tool install --reinstall rdctl"),
        ):
            if os.path.exists(os.path.join(place.prefix, receipt)):
                return again
        return _pip(wrong)
    if place.managed and not _installed(place.rdctl):
        return _of_the_system(wrong, place)
    user = ["--user"] if place.rdctl == place.user else []
    return _pip(wrong, *user, *_permitted(place))


def _installed(directory: str) -> bool:
    return os.path.basename(directory) in ("site-packages", "dist-packages")


def _packaged(directory: str) -> bool:
    """Whether the packages of the system installed it there."""
    return _installed(directory) and directory.startswith("/usr/lib")


def _of_the_system(wrong: Sequence[Fault], place: Place) -> str:
    """With the packages of the system; what hides one of them is uninstalled."""
    sudo = "" if place.root else "sudo "
    hiding = [one.name for one in wrong if one.directory and not _packaged(one.directory)]
    if hiding:
        options = " ".join(["--yes", *_permitted(place)])
        return f"{sudo}{quoted(sys.executable)} -m pip uninstall {options} {' '.join(hiding)}"
    if os.path.exists("/etc/debian_version"):
        names = [f"python3-{_DEB.get(one.name, one.name)}" for one in wrong]
        return f"{sudo}apt-get install --reinstall {' '.join(names)}"
    names = [f"python3-{_RPM.get(one.name, one.name)}" for one in wrong]
    return f"{sudo}dnf {'reinstall' if all(one.directory for one in wrong) else 'install'} " + (
        " ".join(names)
    )


def _permitted(place: Place) -> list[str]:
    return ["--break-system-packages"] if place.managed else []


def _pip(wrong: Sequence[Fault], *options: str) -> str:
    # A broken library may be of a version that pip is content with.
    again = ["--force-reinstall"] if any(one.broken for one in wrong) else ["--upgrade"]
    lines = [quoted(f"{one.name}>={FLOORS[one.name]}") for one in wrong]
    return " ".join([quoted(sys.executable), "-m pip install", *options, *again, *lines])
