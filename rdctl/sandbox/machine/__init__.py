"""A simulated machine: a tree of /sys, /proc and /dev, and the system calls that change it."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection

SCHEMA = """
CREATE TABLE machine (
    made TEXT,           -- another one after a reset
    change INTEGER,      -- the number of the last change
    objects TEXT         -- JSON
);
CREATE TABLE machine_files (
    path TEXT PRIMARY KEY,
    kind TEXT,           -- dir, file, packed or link; NULL: it was removed
    mode INTEGER,
    content BLOB,        -- of a link its target; of a packed file see packed.py
    change INTEGER       -- its last one
);
CREATE INDEX machine_changes ON machine_files (change);
"""


def seed(connection: Connection) -> None:
    """The machine of a new sandbox."""
    from rdctl.sandbox.machine import saved
    from rdctl.sandbox.machine.boot import name_boot
    from rdctl.sandbox.machine.initial import furnish
    from rdctl.sandbox.machine.machine import Machine
    from rdctl.sandbox.machine.stored import Directory

    directory = Directory()
    try:
        machine = Machine(Path(directory.path), version="9.2.0", available=3350 << 20)
        name_boot(machine)
        furnish(machine)
        saved.add(machine, connection)
    finally:
        directory.remove()
