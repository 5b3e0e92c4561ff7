"""Where the history is kept, and the journal of repairs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

VARIABLE = "RDCTL_HISTORY"
_NAME = "history.ndjson"
_REPAIRS = "repairs.ndjson"


class Place(NamedTuple):
    """A file of the history. New files below `home` belong to its owner. `early` is where the
    commands of a boot write while this file cannot be written. `journal` is the root of the
    machine whose journal gets an entry, too. `lasting`: it is to survive a power failure."""

    path: str
    home: str | None = None
    early: str | None = None
    journal: str | None = None
    lasting: bool = True


def of_machine(environ: Mapping[str, str], home: str, root: str) -> Place:
    """The history of this user: of root, that of the machine."""
    if path := environ.get(VARIABLE):
        return Place(path, home)
    if os.geteuid() == 0:
        path = os.path.join(root, "var/log/rdctl", _NAME)
        return Place(path, None, os.path.join(root, "run/rdctl", _NAME), root)
    directory = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
    return Place(os.path.join(directory, "rdctl", _NAME), home, None, root)


def of_sandbox(path: str, home: str) -> Place:
    """The history of the sandbox in this file."""
    return Place(f"{path}-{_NAME}", home, lasting=False)


def repairs(environ: Mapping[str, str], home: str, root: str) -> Place:
    """The journal of repairs of this user: of root, that of the machine."""
    if os.geteuid() == 0:
        return Place(os.path.join(root, "var/lib/rdctl", _REPAIRS))
    directory = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
    return Place(os.path.join(directory, "rdctl", _REPAIRS), home)


def repairs_of_sandbox(path: str, home: str) -> Place:
    """The journal of repairs of the sandbox in this file."""
    return Place(f"{path}-{_REPAIRS}", home)


def at_boot(place: Place, root: str) -> list[Place]:
    """The places for a command of a boot or a shutdown, in the order of preference."""
    if place.early is None:
        return [place]
    early = place._replace(path=place.early, early=None)
    return [place, early] if _is_mounted(place.path, root) else [early]


def _is_mounted(path: str, root: str) -> bool:
    """Whether the file system that /etc/fstab has for this path is mounted."""
    inside = "/" + os.path.relpath(path, root)
    above = [point for point in _points(root, "etc/fstab") if _is_below(inside, point)]
    return not above or max(above, key=len) in _points(root, "proc/self/mounts")


def _is_below(path: str, point: str) -> bool:
    return point != "/" and path.startswith(f"{point}/")


def _points(root: str, table: str) -> list[str]:
    """The mount points in a table; those that are not mounted at boot are left out."""
    try:
        with open(os.path.join(root, table), encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    entries = [line for line in lines if len(line) >= 4 and not line[0].startswith("#")]
    shown = [line[1] for line in entries if "noauto" not in line[3].split(",")]
    return [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point) for point in shown]
