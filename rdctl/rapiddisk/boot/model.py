"""What restoring at boot consists of, as it is shown."""

from __future__ import annotations

from typing import NamedTuple


class BootUnit(NamedTuple):
    """A unit of systemd; `up_to_date`: it is as rdctl would write it now."""

    unit: str
    installed: bool
    enabled: bool
    active: bool
    up_to_date: bool


class UnitState(NamedTuple):
    """Whether a unit of systemd is enabled and active."""

    unit: str
    enabled: bool
    active: bool


class FileState(NamedTuple):
    """A file of rdctl for the boot; `state` is one of the words of `files`."""

    path: str
    state: str


class Dirty(NamedTuple):
    """A write-back cache, as in model.Cache."""

    device: str
    dirty: int | None
    writeback_seconds: int | None


class BootWarning(NamedTuple):
    """What is at risk at the next boot or shutdown; `mend`: the command that prevents it."""

    message: str
    why: str
    mend: str | None


class BootStatus(NamedTuple):
    """`status`: enabled, disabled or incomplete. `state_error`: why the state file cannot be used.
    Writing back now takes about `writeback_seconds`; systemd forces a shutdown after `stop_limit`
    seconds, None: never."""

    status: str
    units: list[BootUnit]
    state_error: str | None
    files: list[FileState]
    caches: list[Dirty]
    writeback_seconds: int | None
    stop_limit: int | None
    warnings: list[BootWarning]
