"""Contents of volumes on the kernel itself: into images that other tools can use, and back."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, PAGE


def read(device: str) -> bytes:
    return Path(device).read_bytes()


def write(device: str, data: bytes, offset: int = 0) -> None:
    with open(device, "r+b", buffering=0) as node:
        node.seek(offset)
        node.write(data)
        os.fsync(node.fileno())


def usage(rdctl: Program, name: str) -> int:
    (row,) = rdctl.items("list", name)
    found: int = row["usage"]
    return found


def umount(directory: Path) -> None:
    machine.tool("umount", directory)


def test_a_file_system_comes_back(
    rdctl: Program, mounted: Callable[..., Path], loop: Callable[..., str], tmp_path: Path
) -> None:
    rdctl.ok("create", "64M")
    place = mounted("/dev/rd0")
    (place / "note.txt").write_text("kept\n")
    image = tmp_path / "a b.img"
    rdctl.refused("save", "rd0", str(image), code="in-use")
    umount(place)
    (row,) = rdctl.ok("save", "rd0", str(image))["results"]
    data = read("/dev/rd0")
    assert image.read_bytes() == data
    assert row["stored"] == os.stat(image).st_blocks * 512 < 8 * MIB
    subprocess.run(["sha256sum", "-c", "--strict", f"{image}.sha256"], cwd=tmp_path, check=True)
    # Any tool can mount it.
    device = loop(0, image, "--read-only")
    there = mounted(f"/dev/{device}", "there", make=False)
    assert (there / "note.txt").read_text() == "kept\n"
    umount(there)
    machine.tool("losetup", "-d", f"/dev/{device}")

    rdctl.ok("flush", "rd0")
    assert read("/dev/rd0") == bytes(64 * MIB)
    (row,) = rdctl.ok("load", str(image), "rd0")["results"]
    assert row["used"] <= usage(rdctl, "rd0") < 8 * MIB
    assert read("/dev/rd0") == data
    back = mounted("/dev/rd0", "back", make=False)
    assert (back / "note.txt").read_text() == "kept\n"
    rdctl.refused("load", str(image), "rd0", code="in-use")


def test_contents_are_replaced(rdctl: Program, tmp_path: Path) -> None:
    """Nothing of the old ones is left, in the volume or in the page cache."""
    rdctl.ok("create", "16M", "--count", "2")
    write("/dev/rd0", os.urandom(3 * PAGE + 512), 5 * MIB - PAGE)
    image = tmp_path / "rd0.img"
    rdctl.ok("save", "rd0", str(image))
    write("/dev/rd1", os.urandom(16 * MIB))
    assert usage(rdctl, "rd1") == 16 * MIB
    rdctl.ok("load", str(image), "rd1")
    assert read("/dev/rd1") == read("/dev/rd0")
    assert usage(rdctl, "rd1") == 4 * PAGE


def test_a_smaller_image_of_whole_sectors(rdctl: Program, tmp_path: Path) -> None:
    rdctl.ok("create", "16M")
    data = os.urandom(MIB + 3 * 512)
    (tmp_path / "small.img").write_bytes(data)
    rdctl.ok("load", str(tmp_path / "small.img"), "rd0")
    assert read("/dev/rd0") == data.ljust(16 * MIB, b"\0")


def test_in_use_in_other_ways(rdctl: Program, disk: str, tmp_path: Path) -> None:
    rdctl.ok("create", "16M", "--count", "2")
    image = str(tmp_path / "rd1.img")
    rdctl.ok("save", "rd1", image)
    rdctl.ok("cache", "create", "rd0", disk)
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    rdctl.ok("nvmet", "export", "rd1", "--port", "1", "--any-host")
    for name in ("rd0", "rd1"):
        rdctl.refused("save", name, str(tmp_path / "new.img"), code="in-use")
        rdctl.refused("load", image, name, code="in-use")
    with open("/dev/rd1", "rb"):
        rdctl.refused("save", "rd1", str(tmp_path / "new.img"), code="in-use")


def test_a_locked_volume(rdctl: Program, tmp_path: Path) -> None:
    rdctl.ok("create", "16M")
    write("/dev/rd0", b"locked")
    rdctl.ok("lock", "rd0")
    image = tmp_path / "rd0.img"
    rdctl.ok("save", "rd0", str(image))
    assert image.read_bytes().startswith(b"locked")
    rdctl.refused("load", str(image), "rd0", code="locked")


def test_a_full_file_system_loses_nothing(
    rdctl: Program, mounted: Callable[..., Path], loop: Callable[..., str]
) -> None:
    rdctl.ok("create", "16M")
    place = mounted(f"/dev/{loop(12 * MIB)}", "small")
    image = place / "rd0.img"
    write("/dev/rd0", os.urandom(MIB))
    rdctl.ok("save", "rd0", str(image))
    former, names = image.read_bytes(), sorted(os.listdir(place))
    write("/dev/rd0", os.urandom(15 * MIB))
    ran = rdctl("save", "rd0", str(image), "--overwrite")
    assert (ran.code, ran.json["error"]["code"]) == (1, "failed")
    assert "No space left on device" in ran.err
    assert (image.read_bytes(), sorted(os.listdir(place))) == (former, names)
    digest = (place / "rd0.img.sha256").read_text()
    assert digest == f"{hashlib.sha256(former).hexdigest()}  rd0.img\n"
    umount(place)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_before_any_step_of_a_load(
    rdctl: Program, tmp_path: Path, signum: signal.Signals
) -> None:
    """The volume is the old one, the new one, or known to be incomplete."""
    rdctl.ok("create", "16M", "--count", "2")
    write("/dev/rd0", os.urandom(2 * MIB))
    image = tmp_path / "rd0.img"
    rdctl.ok("save", "rd0", str(image))
    former, new = os.urandom(MIB).ljust(16 * MIB, b"\0"), read("/dev/rd0")
    seen = set()
    for line in range(1, 40):
        rdctl.ok("flush", "rd1")
        write("/dev/rd1", former[:MIB])
        ran = rdctl.struck("load", str(image), "rd1", line=line, signum=signum)
        data = read("/dev/rd1")
        again = rdctl("save", "rd1", str(tmp_path / "rd1.img"), "--overwrite")
        assert again.code in (0, 4), again
        state = {former: "old", new: "new", bytes(16 * MIB): "empty"}.get(data, "part")
        if again.code == 0:
            assert state in ("old", "new"), line
        seen.add((state, again.code))
        if ran is not None and ran.code == 0:
            break
    assert ("old", 0) in seen
    assert ("new", 0) in seen
    assert ("empty", 4) in seen


def test_a_gigabyte_takes_little_memory(rdctl: Program, tmp_path: Path) -> None:
    """Of the process, and of the machine: zeros are not written."""
    rdctl.ok("create", "1G", "--overcommit")
    write("/dev/rd0", os.urandom(MIB), 600 * MIB)
    image = tmp_path / "rd0.img"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rdctl.ok("save", "rd0", str(image))
    assert os.stat(image).st_blocks * 512 == MIB
    rdctl.ok("load", str(image), "rd0")
    assert usage(rdctl, "rd0") == MIB
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 << 10  # KiB
