"""The machine under test, driven and looked at past rdctl: files, ioctls, and the system's own
tools. What a test says about the kernel it says through these."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
SECTOR = 512
PAGE = 4096

# Scratch disks, 32 MiB each, that the runner gives to the guest.
DISKS = ("vda", "vdb", "vdc")
DISK_SIZE = 32 * MIB

MGMT = Path("/sys/kernel/rapiddisk/mgmt")
NVMET = Path("/sys/kernel/config/nvmet")

_DM_LIST_DEVICES, _DM_HEADER = 0xC138FD02, 312  # linux/dm-ioctl.h
_HIGH_WATER, _USAGE, _ERASE, _FLUSH_BUFFERS = 0x0529, 0x0530, 0x0531, 0x1261


def tool(*argv: str | Path, check: bool = True) -> str:
    """What a program prints on both streams; that it fails fails the test."""
    done = subprocess.run(
        [str(word) for word in argv],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}"
    return done.stdout


def until(true: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait for what comes by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


# --- volumes --------------------------------------------------------------------------------------


class Volume(NamedTuple):
    """Bytes, and whether the kernel calls it read-only."""

    size: int
    usage: int
    high_water: int
    locked: bool


def mgmt(line: str) -> None:
    """One command of the kernel; OSError when it refuses."""
    descriptor = os.open(MGMT, os.O_WRONLY)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def attach(number: int, mib: int = 16) -> str:
    """A volume made past rdctl; its name."""
    mgmt(f"rapiddisk attach {number} {mib * MIB}")
    return f"rd{number}"


def names() -> list[str]:
    """The volumes that there are, by number."""
    found = (re.fullmatch(r"rd(\d+)", name) for name in os.listdir("/sys/block"))
    return [f"rd{number}" for number in sorted(int(match[1]) for match in found if match)]


def volume(name: str) -> Volume:
    size = int(Path(f"/sys/block/{name}/size").read_text()) * SECTOR
    locked = Path(f"/sys/block/{name}/ro").read_text() == "1\n"
    usage, high_water = _number(name, _USAGE) * PAGE, _number(name, _HIGH_WATER) * SECTOR
    return Volume(size, usage, high_water, locked)


def volumes() -> dict[str, Volume]:
    return {name: volume(name) for name in names()}


def _number(name: str, request: int) -> int:
    with opened(f"/dev/{name}") as descriptor:
        answer = fcntl.ioctl(descriptor, request, bytes(8))
    return int(struct.unpack("Q", answer)[0])


def erase(name: str) -> None:
    with opened(f"/dev/{name}") as descriptor:
        fcntl.ioctl(descriptor, _ERASE, 0)


@contextmanager
def opened(path: str | Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- data -----------------------------------------------------------------------------------------


def fill(path: str | Path, size: int, *, at: int = 0, seed: object = 0) -> str:
    """Whole pages, each different, written to a device and synced; their checksum."""
    page = random.Random(repr(seed)).randbytes(PAGE - 8)
    data = b"".join(number.to_bytes(8, "big") + page for number in range(size // PAGE))
    with opened(path, os.O_WRONLY) as descriptor:
        for done in range(0, size, MIB):
            os.pwrite(descriptor, data[done : done + MIB], at + done)
        os.fsync(descriptor)
    return _checksum(data).hexdigest()


def digest(path: str | Path, size: int, *, at: int = 0) -> str:
    """The checksum of what lies on the device itself, not in the buffers in front of it."""
    checksum = _checksum()
    with opened(path) as descriptor:
        fcntl.ioctl(descriptor, _FLUSH_BUFFERS, 0)
        for done in range(0, size, MIB):
            data = os.pread(descriptor, min(MIB, size - done), at + done)
            assert data, f"{path} ends at {at + done}"
            checksum.update(data)
    return checksum.hexdigest()


def _checksum(data: bytes = b"") -> hashlib._Hash:
    # Under emulation the quickest by far.
    return hashlib.md5(data, usedforsecurity=False)


def wipe(path: str | Path, size: int) -> None:
    """Zeros over the beginning of a device, so that nothing of an earlier test is found there."""
    with opened(path, os.O_WRONLY) as descriptor:
        for at in range(0, size, MIB):
            os.pwrite(descriptor, bytes(min(MIB, size - at)), at)
        os.fsync(descriptor)


# --- device-mapper --------------------------------------------------------------------------------


def mappings() -> dict[str, str]:
    """The mappings that there are, those without a table too: name to kernel name. As `dmsetup ls`,
    which takes most of a second to start under emulation."""
    buffer = bytearray(1 << 16)
    struct.pack_into("=5I", buffer, 0, 4, 0, 0, len(buffer), _DM_HEADER)
    with opened("/dev/mapper/control", os.O_RDWR) as control:
        fcntl.ioctl(control, _DM_LIST_DEVICES, buffer)
    assert len(buffer) > struct.unpack_from("=I", buffer, 12)[0] > 0, "more than the buffer holds"
    found, at, step = {}, struct.unpack_from("=I", buffer, 16)[0], 1
    while step:
        number, step = struct.unpack_from("=QI", buffer, at)
        if number:
            name = buffer[at + 12 : buffer.index(0, at + 12)].decode()
            found[name] = f"dm-{(number & 0xFF) | (number >> 12 & ~0xFF)}"
        at += step
    return found


def map_cache(name: str, source: str, volume_name: str) -> str:
    """A cache made past rdctl."""
    sectors = Path(f"/sys/class/block/{source}/size").read_text().strip()
    if name.startswith("rc-wb_"):
        table = f"0 {sectors} writecache s /dev/{source} /dev/{volume_name} {PAGE} 0"
    else:
        mode = {"rc-wt_": 0, "rc-wa_": 1}[name[:6]]
        size = volume(volume_name).size // SECTOR
        table = f"0 {sectors} rapiddisk-cache /dev/{source} /dev/{volume_name} {size} {mode}"
    tool("dmsetup", "create", name, "--table", table)
    return name


# --- NVMe targets ---------------------------------------------------------------------------------


def nvmet() -> dict[str, list[str]]:
    """What configfs holds: hosts, ports, subsystems, and who is linked where."""
    return {
        "hosts": _below("hosts/*"),
        "ports": _below("ports/*"),
        "subsystems": _below("subsystems/*"),
        "namespaces": _below("subsystems/*/namespaces/*"),
        "allowed": _below("subsystems/*/allowed_hosts/*"),
        "links": _below("ports/*/subsystems/*"),
    }


NO_NVMET: dict[str, list[str]] = {
    kind: [] for kind in ("hosts", "ports", "subsystems", "namespaces", "allowed", "links")
}


def _below(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(NVMET)) for path in NVMET.glob(pattern))


def port(number: int, address: str = "127.0.0.1", service: int = 4420) -> int:
    """A tcp port made past rdctl."""
    node = NVMET / "ports" / str(number)
    node.mkdir()
    (node / "addr_trsvcid").write_text(str(service))
    (node / "addr_adrfam").write_text("ipv6" if ":" in address else "ipv4")
    (node / "addr_trtype").write_text("tcp")
    (node / "addr_traddr").write_text(address)
    return number


def export(nqn: str, device: str | None, *, enable: bool = True) -> str:
    """A subsystem for any host made past rdctl; without a namespace where no device is given."""
    node = NVMET / "subsystems" / nqn
    node.mkdir()
    (node / "attr_allow_any_host").write_text("1")
    if device is not None:
        namespace = node / "namespaces/1"
        namespace.mkdir()
        (namespace / "device_path").write_text(device)
        if enable:
            (namespace / "enable").write_text("1")
    return nqn


def link(nqn: str, number: int) -> None:
    (NVMET / "ports" / str(number) / "subsystems" / nqn).symlink_to(NVMET / "subsystems" / nqn)


# --- a clean machine ------------------------------------------------------------------------------


def clean() -> None:
    """Free and remove whatever a test left, whoever made it."""
    if not os.environ.get("RDCTL_KERNEL_TESTS"):  # a file of tests was named where they do not run
        raise RuntimeError("only for the virtual machine of make test-kernel")
    if any(Path("/sys/class/nvme").glob("nvme*")):
        tool("nvme", "disconnect-all")
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        source, target = line.split()[:2]
        if re.match(r"/dev/(rd|vd|dm-|loop|nvme|mapper/)", source):
            tool("umount", target.replace("\\040", " "))
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        tool("swapoff", line.split()[0])
    _clean_nvmet()
    if loops():
        tool("losetup", "--detach-all")
    _clean_mappings()
    # Only now is one free that a mapping was made of.
    until(lambda: not loops(), "the loop devices are free")
    for name in names():
        mgmt(f"rapiddisk detach {name.removeprefix('rd')}")


def loops() -> list[str]:
    """The loop devices in use."""
    return [path.parent.name for path in Path("/sys/block").glob("loop*/loop")]


def _clean_nvmet() -> None:
    for kind in ("ports/*/subsystems/*", "subsystems/*/allowed_hosts/*"):
        for path in NVMET.glob(kind):
            path.unlink()
    for kind in ("subsystems/*/namespaces/*", "subsystems/*", "ports/*", "hosts/*"):
        for path in NVMET.glob(kind):
            path.rmdir()


def _clean_mappings() -> None:
    """Those on top first."""
    while left := mappings():
        free = [n for n, block in left.items() if not any(_holders(block))]
        assert free, f"mappings in a circle: {left}"
        for name in free:
            tool("dmsetup", "remove", "--retry", name)


def _holders(block: str) -> Iterator[Path]:
    return Path(f"/sys/block/{block}/holders").glob("*")
