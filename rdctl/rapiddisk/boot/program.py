"""Whether the program of the units exists when the machine starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

# Mounted before any unit is started.
_EARLY = ("/", "/usr")
_HOMES = ("/home/", "/root/")
_CLEARED = ("/tmp/", "/var/tmp/", "/run/", "/dev/shm/")


def doubt(program: Sequence[str], mount_point: Callable[[str], str]) -> str | None:
    """Why the program may not be there at boot; None: nothing speaks against it."""
    files = [program[0], *(word for word in program[1:] if word.startswith("/"))]  # PYTHON FILE.pyz
    paths = [path for file in files for path in (file, os.path.realpath(file))]
    return next(filter(None, (_doubt(path, mount_point) for path in paths)), None)


def _doubt(path: str, mount_point: Callable[[str], str]) -> str | None:
    if path.startswith(_CLEARED):
        return f"{path} is in a directory that is cleared at boot"
    place = mount_point(path)
    if place not in _EARLY:
        return f"{path} is on {place}, which is mounted only after caches are created"
    if path.startswith(_HOMES):
        return f"{path} is in a home directory, whose owner can remove or replace it"
    return None
