"""What a simulated machine consists of."""

from __future__ import annotations

import errno
import os
import struct
from typing import NoReturn

MIB = 1 << 20
PAGE = 4096
SECTOR = 512
WORD = 1 << 64
MAJOR, DM_MAJOR = 251, 252
NVMET = "sys/kernel/config/nvmet"
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"

# A writecache's superblock, and how many entries follow it here.
WRITECACHE = struct.Struct("<IIIIQQ32x")
MAGIC, ENTRIES = 0x23489321, 1024
FREE = b"\xff" * 16


def fail(number: int, path: str = "") -> NoReturn:
    raise OSError(number, os.strerror(number), path)


def filled(argument: bytearray | int) -> bytearray:
    """The argument of an ioctl that is a structure."""
    return argument if isinstance(argument, bytearray) else fail(errno.EFAULT)


class Volume:
    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self.high = 0  # bytes
        self.locked = False
        self.blocks: dict[int, bytes] = {}  # by their byte offset
        self.dirty_of: str | None = None  # the source that its blocks were written for
        self.unwritten = 0  # blocks that are on no source


class Mapping:
    """A device of device-mapper."""

    def __init__(self, minor: int, name: str) -> None:
        self.minor = minor
        self.kernel = f"dm-{minor}"
        self.name = name
        self.kind = ""
        self.arguments: list[str] = []
        self.sectors = 0
        self.slaves: list[str] = []
        self.numbers: list[str] = []  # of these, as they were
        self.live = False
        self.dirty = 0
        self.failed = False
        self.armed = False  # it is written back before it goes
        self.counters: dict[str, int] = {}  # of a cache

    @property
    def is_cache(self) -> bool:
        return self.kind in ("writecache", "rapiddisk-cache")

    @property
    def volume(self) -> str:
        return self.slaves[1]

    @property
    def source(self) -> str:
        return self.slaves[0]


class Disk:
    def __init__(self, size: int, number: str) -> None:
        self.size = size
        self.number = number
