"""The kernel lets a volume be removed, erased or mapped whoever uses it. rdctl does not: each kind
of user, really there, against each command that would harm it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB


class Use(NamedTuple):
    """A device in use: how `show` names its user, and the command that frees it."""

    kind: str
    name: str
    freed_by: str | None


User = Callable[[str], Use]


@pytest.fixture
def users(mounted: Callable[..., Path], loop: Callable[..., str]) -> Iterator[dict[str, User]]:
    """Ways to use a block device given by its path."""
    with ExitStack() as stack:

        def mount(path: str) -> Use:
            directory = str(mounted(path))
            return Use("mount", directory, f"umount {directory}")

        def swap(path: str) -> Use:
            machine.tool("mkswap", path)
            machine.tool("swapon", path)
            node = os.path.realpath(path)
            return Use("swap", node, f"swapoff {node}")

        def looped(path: str) -> Use:
            device = loop(0, path)
            return Use("loop", f"/dev/{device}", f"losetup -d /dev/{device}")

        def mapping(path: str) -> Use:
            machine.tool("dmsetup", "create", "linear", "--table", f"0 8192 linear {path} 0")
            return Use("mapping", "linear", "dmsetup remove linear")

        def namespace(path: str, enable: bool) -> Use:
            nqn = machine.export("nqn.test:somebody", path, enable=enable)
            ours = path.startswith(("/dev/rd", "/dev/mapper/rc-"))
            return Use(
                "export", nqn, f"rdctl rapiddisk nvmet unexport --nqn {nqn}" if ours else None
            )

        def opened(path: str) -> Use:
            with open(path, "rb") as device:
                other = stack.enter_context(subprocess.Popen(["sleep", "1000"], stdin=device))
            stack.callback(other.kill)
            return Use("open", f"{other.pid} (sleep 1000)", None)

        yield {
            "mount": mount,
            "swap": swap,
            "loop": looped,
            "mapping": mapping,
            "enabled namespace": partial(namespace, enable=True),
            "disabled namespace": partial(namespace, enable=False),
            "open descriptor": opened,
        }


KINDS = (
    "mount",
    "swap",
    "loop",
    "mapping",
    "enabled namespace",
    "disabled namespace",
    "open descriptor",
)


def named(message: str, use: Use) -> None:
    """The message names the user and what frees the device."""
    assert re.search(rf"(?<![\w]){re.escape(use.name)}(?!\w)", message), message
    if use.freed_by is not None:
        assert use.freed_by in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_used_volume_is_not_touched(
    rdctl: Program, users: dict[str, User], disk: str, kind: str
) -> None:
    machine.attach(0, 4)
    machine.fill("/dev/rd0", 4 * MIB)
    use = users[kind]("/dev/rd0")
    os.sync()
    # Where a mounted file system writes nothing by itself.
    data = machine.digest("/dev/rd0", MIB, at=3 * MIB)
    before = machine.volume("rd0")
    shown = rdctl.ok("show", "rd0")["item"]
    assert shown["users"] == [use._asdict()]
    assert use.kind in shown["users_seen"]
    for command in (
        ("remove", "rd0"),
        ("flush", "rd0"),
        ("resize", "rd0", "3M"),
        ("cache", "create", "rd0", disk, "--discard-contents"),
        ("cache", "create", "rd0", disk, "--discard-contents", "--policy", "writeback"),
        ("remove", "rd0", "--force"),
    ):
        named(rdctl.refused(*command, code="in-use"), use)
    # The counters too: an erase that the kernel refuses zeroes them.
    assert machine.volume("rd0") == before
    assert machine.digest("/dev/rd0", MIB, at=3 * MIB) == data


@pytest.mark.parametrize("kind", KINDS)
def test_a_used_disk_is_not_cached(rdctl: Program, users: dict[str, User], kind: str) -> None:
    machine.wipe("/dev/vda", MIB)
    machine.attach(0)
    use = users[kind]("/dev/vda")
    for policy in ("write-through", "writeback"):
        message = rdctl.refused("cache", "create", "rd0", "vda", "--policy", policy, code="in-use")
        named(message, use)
    assert "rc-wt_vda" not in machine.mappings()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["rc-wt_", "rc-wb_"])
def test_a_used_cache_is_not_removed(
    rdctl: Program, users: dict[str, User], disk: str, prefix: str, kind: str
) -> None:
    cache = machine.map_cache(prefix + disk, disk, machine.attach(0))
    data = machine.fill(f"/dev/mapper/{cache}", MIB, at=20 * MIB)
    use = users[kind](f"/dev/mapper/{cache}")
    named(rdctl.refused("cache", "remove", cache, code="in-use"), use)
    assert cache in machine.mappings()
    assert machine.digest(f"/dev/mapper/{cache}", MIB, at=20 * MIB) == data


def test_a_volume_and_a_disk_under_a_cache(rdctl: Program, disk: str) -> None:
    cache = machine.map_cache(f"rc-wa_{disk}", disk, machine.attach(0))
    machine.attach(1)
    use = Use("cache", cache, f"rdctl rapiddisk cache remove {cache}")
    for command in (
        ("remove", "rd0"),
        ("flush", "rd0"),
        ("resize", "rd0", "8M"),
        ("cache", "create", "rd0", "vdb"),
        ("cache", "create", "rd1", disk),
        ("cache", "create", "rd1", f"/dev/{disk}", "--policy", "writeback"),
    ):
        named(rdctl.refused(*command, code="in-use"), use)
    assert list(machine.mappings()) == [cache]


def test_a_cache_under_a_cache(rdctl: Program, disk: str) -> None:
    lower = machine.map_cache(f"rc-wt_{disk}", disk, machine.attach(0))
    machine.attach(1)
    report = rdctl.ok("cache", "create", "rd1", f"/dev/mapper/{lower}", "--policy", "writeback")
    upper = f"rc-wb_{lower}"
    assert report["results"][0]["target"] == upper
    rows = {row["device"]: row for row in rdctl.items("cache", "list")}
    assert rows[upper]["source"] == lower
    named(
        rdctl.refused("cache", "remove", lower, code="in-use"),
        Use("cache", upper, f"rdctl rapiddisk cache remove {upper}"),
    )
    rdctl.ok("cache", "remove", upper)
    rdctl.ok("cache", "remove", lower)
    assert machine.mappings() == {}


def test_a_partition_in_use_is_a_disk_in_use(
    rdctl: Program, mounted: Callable[..., Path], disk: str
) -> None:
    """And the other way round: a partition of a cached disk."""
    machine.tool("sh", "-c", f"echo 2048,40960 | sfdisk -q /dev/{disk}")
    machine.until(Path(f"/dev/{disk}1").exists, "the partition")
    machine.attach(0)
    directory = mounted(f"/dev/{disk}1")
    named(
        rdctl.refused("cache", "create", "rd0", disk, code="in-use"),
        Use("mount", str(directory), f"umount {directory}"),
    )
    machine.tool("umount", directory)
    rdctl.ok("cache", "create", "rd0", f"{disk}1")
    machine.attach(1)
    rdctl.refused("cache", "create", "rd1", disk, code="in-use")
    rdctl.ok("cache", "remove", f"rc-wt_{disk}1")
    machine.wipe(f"/dev/{disk}", MIB)
    machine.tool("blockdev", "--rereadpt", f"/dev/{disk}")


def test_a_volume_does_not_cache_itself(rdctl: Program) -> None:
    machine.attach(0)
    assert rdctl("cache", "create", "rd0", "rd0").code == 4
    assert rdctl("cache", "create", "rd0", "/dev/rd0", "--policy", "writeback").code == 4
    assert machine.mappings() == {}


def test_names_that_only_look_alike(
    rdctl: Program, mounted: Callable[..., Path], loop: Callable[..., str], disk: str
) -> None:
    """rd1 is not rd10, and a directory may be called like a volume."""
    for number in (0, 1, 10):
        machine.attach(number, 1)
    mounted("/dev/rd10", "rd0-backup")
    mounted("/dev/" + loop(MIB), "rd1")
    rdctl.ok("flush", "rd0", "rd1")
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
    rdctl.ok("remove", "rd1")
    assert machine.names() == ["rd0", "rd10"]


def test_a_user_seen_through_another_path(rdctl: Program, tmp_path: Path) -> None:
    """A namespace may name the device by a link."""
    machine.attach(0)
    path = tmp_path / "disk"
    path.symlink_to("/dev/rd0")
    machine.export("nqn.test:link", str(path))
    rdctl.refused("remove", "rd0", code="in-use")
    number = os.stat("/dev/rd0").st_rdev
    other = tmp_path / "node"
    machine.attach(1)
    os.mknod(other, 0o600 | 0o060000, os.stat("/dev/rd1").st_rdev)
    assert os.stat(other).st_rdev != number
    machine.export("nqn.test:node", str(other))
    rdctl.refused("remove", "rd1", code="in-use")
    assert machine.names() == ["rd0", "rd1"]


def test_a_user_in_another_mount_namespace(rdctl: Program, tmp_path: Path) -> None:
    """A mount that this process does not see still holds the device."""
    machine.attach(0)
    machine.tool("mke2fs", "-q", "-F", "/dev/rd0")
    script = f"mount /dev/rd0 {tmp_path} && echo mounted && read line"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"mounted\n"
        for command in (("remove", "rd0"), ("flush", "rd0"), ("resize", "rd0", "12M")):
            assert "rd0" in rdctl.refused(*command, code="in-use")
        assert machine.volume("rd0").high_water > 0
        other.stdin.close()
    rdctl.ok("remove", "rd0")


def test_growing_a_volume_in_use(rdctl: Program, mounted: Callable[..., Path]) -> None:
    """Nobody is harmed by more room."""
    machine.attach(0)
    directory = mounted("/dev/rd0")
    (directory / "file").write_bytes(b"kept")
    rdctl.ok("resize", "rd0", "32M")
    machine.tool("resize2fs", "/dev/rd0")
    assert os.statvfs(directory).f_blocks * os.statvfs(directory).f_frsize > 16 * MIB
    assert (directory / "file").read_bytes() == b"kept"


def test_one_in_use_among_several(rdctl: Program, mounted: Callable[..., Path]) -> None:
    for number in range(3):
        machine.attach(number)
    mounted("/dev/rd1")
    ran = rdctl("remove", "rd0", "rd1", "rd2")
    assert ran.code == 8
    assert machine.names() == ["rd1"]
    assert [error["target"] for error in ran.json["errors"]] == ["rd1"]
