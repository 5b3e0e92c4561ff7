"""Nothing that is in use is destroyed: each kind of user against each act that would."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, FakeKernel

Local = Callable[..., Ran]


class Use(NamedTuple):
    """How somebody comes to use a device, what the refusal calls it, and what frees it; {} stands
    for the device."""

    begin: Callable[[FakeKernel, str], None]
    named: str
    freed_by: str
    kind: str


NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"


def by_another_path(kernel: FakeKernel, device: str) -> None:
    kernel.link_node("dev/disk/by-id/ram-0", f"../../{device}")
    kernel.foreign_subsystem(NQN, "/dev/disk/by-id/ram-0")


def as_a_source(kernel: FakeKernel, device: str) -> None:
    kernel.add_volume(9)
    kernel.map_cache(f"rc-wt_{device}", "rd9", device)


USES = {
    "mount": Use(
        lambda k, d: k.mount(f"/dev/{d}", "/mnt/a b"),
        "mounted on /mnt/a b",
        "umount '/mnt/a b'",
        "mount",
    ),
    "mount elsewhere": Use(
        lambda k, d: k.mount_elsewhere(f"/dev/{d}", "/data", 77),
        "mounted on /data (of process 77)",
        "nsenter -t 77 -m umount /data",
        "mount",
    ),
    "swap": Use(lambda k, d: k.swap_on(f"/dev/{d}"), "swap space", "swapoff /dev/{}", "swap"),
    "loop": Use(
        lambda k, d: k.loop(3, f"/dev/{d}"),
        "used by loop device /dev/loop3",
        "losetup -d /dev/loop3",
        "loop",
    ),
    "mapping": Use(
        lambda k, d: k.map_linear("vg-lv", d),
        "used by mapping vg-lv",
        "dmsetup remove vg-lv",
        "mapping",
    ),
    "array": Use(
        lambda k, d: k.raid("md0", d), "used by array md0", "mdadm --stop /dev/md0", "raid"
    ),
    "bcache": Use(
        lambda k, d: k.raid("bcache0", d), "used by bcache0", "Stop bcache0 first", "other"
    ),
    "cache": Use(
        lambda k, d: k.map_cache("rc-wt_vdb", d, "vdb"),
        "used by cache rc-wt_vdb",
        "rdctl --local rapiddisk cache remove rc-wt_vdb",
        "cache",
    ),
    "source of a cache": Use(
        as_a_source,
        "used by cache rc-wt_{}",
        "rdctl --local rapiddisk cache remove rc-wt_{}",
        "cache",
    ),
    "export": Use(
        lambda k, d: k.foreign_subsystem(NQN, f"/dev/{d}"),
        f"exported over NVMe-oF as {NQN}",
        f"rdctl --local rapiddisk nvmet unexport --nqn {NQN}",
        "export",
    ),
    "disabled export": Use(
        lambda k, d: k.foreign_subsystem(NQN, f"/dev/{d}", enabled=False),
        f"exported over NVMe-oF as {NQN}",
        f"rdctl --local rapiddisk nvmet unexport --nqn {NQN}",
        "export",
    ),
    "export by another path": Use(
        by_another_path,
        f"exported over NVMe-oF as {NQN}",
        f"rdctl --local rapiddisk nvmet unexport --nqn {NQN}",
        "export",
    ),
    "open": Use(
        lambda k, d: k.open_by(1234, "dd", f"/dev/{d}"),
        "open in process 1234 (dd)",
        "ps -fp 1234",
        "open",
    ),
}
ACTS = {
    "remove": ("remove", "rd0", "--yes"),
    "flush": ("flush", "rd0", "--yes"),
    "shrink": ("resize", "rd0", "8M", "--yes"),
    "cache with it": ("cache", "create", "rd0", "vdc", "--discard-contents", "--yes"),
    "cache of it": ("cache", "create", "rd1", "rd0", "--yes"),
    "export": ("nvmet", "export", "rd0", "--port", "1", "--any-host"),
}


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    kernel.add_volume(0)
    kernel.add_volume(1)
    kernel.add_port(1)
    return local


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_device_in_use_is_left_alone(
    kernel: FakeKernel, volumes: Local, use: Use, act: tuple[str, ...]
) -> None:
    use.begin(kernel, "rd0")
    before = kernel.snapshot()
    ran = volumes("rapiddisk", *act, "--json")
    again = "nvmet" in act and use.kind == "export"
    assert ran.code == 4, ran.err
    error = ran.json["errors"][0] if "errors" in ran.json else ran.json["error"]
    # Half an export of its own is in the way of another, in other words.
    assert error["code"] in (("in-use", "exists", "conflict") if again else ("in-use",))
    if not again:
        assert use.named.format("rd0") in ran.err
        assert use.freed_by.format("rd0") in ran.err
    assert kernel.steps == 0
    assert kernel.snapshot() == before


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_it_is_shown_with_what_frees_it(kernel: FakeKernel, volumes: Local, use: Use) -> None:
    use.begin(kernel, "rd0")
    item = volumes("rapiddisk", "show", "rd0", "--json").json["item"]
    (user,) = item["users"]
    assert user["kind"] == use.kind
    assert user["kind"] in item["users_seen"]
    if user["freed_by"]:
        assert user["freed_by"] == use.freed_by.format("rd0")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_volume_in_use_can_grow(kernel: FakeKernel, volumes: Local, use: Use) -> None:
    use.begin(kernel, "rd0")
    ran = volumes("rapiddisk", "resize", "rd0", "128M")
    assert ran.code == 0, ran.err
    assert kernel.volumes[0].size == 128 * MIB


def test_names_that_only_look_alike_are_no_users(kernel: FakeKernel, volumes: Local) -> None:
    """The command of RapidDisk searches for the name in the text of /proc/mounts
    (docs/wire/rapiddisk-local.md#24-checks-before-remove-erase-shrink-or-use-as-a-cache)."""
    kernel.add_volume(10)
    kernel.add_disk("loop1", 8 * MIB, "7:1")
    kernel.add_disk("loop10", 8 * MIB, "7:10")
    kernel.mount("/dev/rd10", "/mnt/rd1-backup")
    kernel.mount("/dev/loop10", "/mnt/rd1")
    assert volumes("rapiddisk", "remove", "rd1", "--yes").code == 0
    assert 1 not in kernel.volumes
    assert volumes("rapiddisk", "cache", "create", "rd0", "loop1").code == 0


def test_an_unknown_holder_is_told_as_such(kernel: FakeKernel, volumes: Local) -> None:
    """Nothing shows who: a mount in a namespace without a process."""
    kernel.exclusive[-1] = "rd0"
    for act in ("remove", "flush"):
        ran = volumes("rapiddisk", act, "rd0", "--yes")
        assert ran.code == 4
        assert "rd0 is in use: held exclusively by the kernel" in ran.err
    assert kernel.steps == 0


def test_who_mounts_after_the_guard_is_seen(kernel: FakeKernel, volumes: Local) -> None:
    """While the operator is asked, another mounts."""
    kernel.when_locked = lambda: kernel.mount("/dev/rd0", "/mnt/late")
    ran = volumes("rapiddisk", "remove", "rd0", tty=True, stdin=b"y\n")
    assert ran.code == 4
    assert "Continue?" in ran.err
    assert "mounted on /mnt/late" in ran.err
    assert 0 in kernel.volumes


def test_nobody_can_mount_between_the_check_and_the_act(kernel: FakeKernel, volumes: Local) -> None:
    held: list[str] = []
    kernel.before[1] = lambda: held.extend(kernel.exclusive.values())
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0
    assert held == ["rd0"]
    assert kernel.exclusive == {}


def test_a_busy_erase_is_never_tried(kernel: FakeKernel, volumes: Local) -> None:
    """Even where refused by the kernel, it sets the counters to 0
    (docs/wire/rapiddisk-local.md#27-erase)."""
    kernel.write_data("rd0", b"x" * 8192, 1 * MIB)
    kernel.open_by(5, "qemu", "/dev/rd0")
    assert volumes("rapiddisk", "flush", "rd0", "--yes").code == 4
    assert (kernel.volumes[0].used, kernel.volumes[0].high) == (8192, MIB + 8192)


@pytest.mark.parametrize(
    ("name", "parent"), [("(udev-worker)", "systemd-udevd"), ("lvm) S 1 (", "(udev-worker)")]
)
def test_udev_is_waited_for(
    kernel: FakeKernel, volumes: Local, rdctl: Program, name: str, parent: str
) -> None:
    kernel.open_by(5, name, "/dev/rd0", parent)
    rdctl.sleep = lambda seconds: kernel.end_process(5)
    assert volumes("rapiddisk", "flush", "rd0", "--yes").code == 0


def test_udev_that_stays_is_a_user(kernel: FakeKernel, volumes: Local, rdctl: Program) -> None:
    kernel.open_by(5, "(udev-worker)", "/dev/rd0")
    ran = volumes("rapiddisk", "flush", "rd0", "--yes")
    assert ran.code == 4
    assert "open in process 5 ((udev-worker))" in ran.err
    assert "Free it first: udevadm settle" in ran.err
    assert 2 < sum(rdctl.slept) < 10


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_udev_is_waited_for_beside_others(
    kernel: FakeKernel, volumes: Local, rdctl: Program, use: Use
) -> None:
    use.begin(kernel, "rd0")
    kernel.open_by(5, "(udev-worker)", "/dev/rd0")
    rdctl.sleep = lambda seconds: kernel.end_process(5)
    users = volumes("rapiddisk", "show", "rd0", "--json").json["item"]["users"]
    assert [user["kind"] for user in users] == [use.kind]


@pytest.mark.parametrize("kind", ["mount elsewhere", "cache", "export"])
def test_udev_that_stays_hides_nobody(kernel: FakeKernel, volumes: Local, kind: str) -> None:
    """What ends by itself is not what an operator has to end."""
    USES[kind].begin(kernel, "rd0")
    kernel.open_by(5, "(udev-worker)", "/dev/rd0")
    ran = volumes("rapiddisk", "remove", "rd0", "--yes")
    first = ran.err.splitlines()[0]
    assert USES[kind].named.format("rd0") in first
    assert "(and 1 more)" in first


@pytest.mark.parametrize(
    ("words", "step", "device"),
    [
        ("flush rd0", 1, "/dev/rd0"),
        ("cache remove rc-wb_vdb", 2, "/dev/dm-0"),
        ("cache remove rc-wb_vdb", 3, "/dev/rd0"),
    ],
    ids=["flush", "unmap", "wipe"],
)
def test_udev_looks_after_all_was_checked(
    kernel: FakeKernel, volumes: Local, rdctl: Program, words: str, step: int, device: str
) -> None:
    """It opens a device whenever somebody who wrote to it has closed it."""
    kernel.write_data("rd0", b"x" * 8192, 1 * MIB)
    if words.startswith("cache"):
        kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=7)

    rdctl.sleep = lambda seconds: kernel.end_process(5)
    kernel.before[step] = lambda: kernel.open_by(5, "(udev-worker)", device)
    ran = volumes("rapiddisk", *words.split(), "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert (kernel.volumes[0].used, kernel.volumes[0].high) == (0, 0)
    assert kernel.snapshot()["dm"] == ""
    # An erase that is refused does harm, which the next one mends.
    assert kernel.harm == [] or "refused erase" in kernel.harm.pop()


def test_who_opens_it_after_all_was_checked_is_named(
    kernel: FakeKernel, volumes: Local, rdctl: Program
) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.before[1] = lambda: kernel.open_by(5, "dd", "/dev/dm-0")
    ran = volumes("rapiddisk", "cache", "remove", "rc-wt_vdb", "--yes")
    assert ran.code == 4
    assert (
        "rc-wt_vdb was not removed: open in process 5 (dd)\n"
        "hint: The process must close it first. Show it: ps -fp 5\n" in ran.err
    )
    assert kernel.snapshot()["dm"] == "rc-wt_vdb"
    assert rdctl.slept == []


def test_an_unseen_user_is_waited_for_a_moment(
    kernel: FakeKernel, volumes: Local, rdctl: Program
) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    for step in range(1, 200):
        kernel.fail_at(step, errno.EBUSY)
    ran = volumes("rapiddisk", "cache", "remove", "rc-wt_vdb", "--yes")
    assert ran.code == 4
    assert "rc-wt_vdb was not removed: in use" in ran.err
    assert 2 < sum(rdctl.slept) < 10


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_locked_volume_is_left_alone(
    kernel: FakeKernel, volumes: Local, act: tuple[str, ...]
) -> None:
    """The kernel's lock stops none of these (docs/wire/rapiddisk-local.md#28-lock-and-unlock)."""
    assert volumes("rapiddisk", "lock", "rd0").code == 0
    steps = kernel.steps
    ran = volumes("rapiddisk", *act, "--json")
    assert ran.code == 4
    error = ran.json["errors"][0] if "errors" in ran.json else ran.json["error"]
    assert error["code"] == "locked"
    assert "rdctl --local rapiddisk unlock rd0" in ran.err
    assert kernel.steps == steps
    grown = volumes("rapiddisk", "resize", "rd0", "256M")
    assert (grown.code, kernel.volumes[0].size) == (4, 64 * MIB)


@pytest.mark.parametrize(
    "use", [USES[n] for n in USES if "cache" not in n and n != "export by another path"]
)
@pytest.mark.parametrize("partition", [False, True], ids=["disk", "partition"])
def test_a_source_in_use_is_not_cached(
    kernel: FakeKernel, volumes: Local, use: Use, partition: bool
) -> None:
    """Nor a disk with a partition in use, nor a partition of a disk in use."""
    kernel.add_partition("vdb", "vdb1", "254:17")
    use.begin(kernel, "vdb1" if partition else "vdb")
    for source in ("vdb", "vdb1"):
        ran = volumes("rapiddisk", "cache", "create", "rd1", source)
        assert ran.code == 4, (source, ran)
        assert f"{source} is in use" in ran.err
    assert kernel.steps == 0


CACHE_USES = {
    "mount": lambda k: k.mount("/dev/mapper/rc-wt_vdb", "/mnt/b"),
    "swap": lambda k: k.swap_on("/dev/mapper/rc-wt_vdb"),
    "loop": lambda k: k.loop(3, "/dev/mapper/rc-wt_vdb"),
    "cache": lambda k: k.map_cache("rc-wb_rc-wt_vdb", "rd1", "mapper/rc-wt_vdb"),
    "export": lambda k: k.foreign_subsystem("nqn.x:y", "/dev/mapper/rc-wt_vdb"),
    "export of its kernel name": lambda k: k.foreign_subsystem("nqn.x:y", "/dev/dm-0"),
    "disabled export": lambda k: k.foreign_subsystem(
        "nqn.x:y", "/dev/mapper/rc-wt_vdb", enabled=False
    ),
    "open": lambda k: k.open_by(6, "fsck", "/dev/dm-0"),
}


@pytest.mark.parametrize("begin", CACHE_USES.values(), ids=CACHE_USES)
def test_a_cache_in_use_stays(
    kernel: FakeKernel, volumes: Local, begin: Callable[[FakeKernel], None]
) -> None:
    assert volumes("rapiddisk", "cache", "create", "rd0", "vdb").code == 0
    begin(kernel)
    steps = kernel.steps
    ran = volumes("rapiddisk", "cache", "remove", "rc-wt_vdb", "--yes")
    assert ran.code == 4
    assert "rc-wt_vdb is in use" in ran.err
    assert kernel.steps == steps
    assert "rc-wt_vdb" in kernel.maps


# --- memory -------------------------------------------------------------------------------------


def test_volumes_may_not_outgrow_the_memory(kernel: FakeKernel, local: Local) -> None:
    """Size plus what all volumes can still grow by, above what is available less 5 %."""
    kernel.add_volume(0, 500 * MIB)
    kernel.write_data("rd0", bytes(100 * MIB))
    kernel.set_memory(1000 * MIB)
    ran = local("rapiddisk", "create", "551M")
    assert ran.code == 4
    assert "--overcommit" in ran.err
    assert kernel.steps == 0
    assert local("rapiddisk", "create", "550M").code == 0
    assert local("rapiddisk", "create", "4G", "--overcommit").code == 0


def test_growing_counts_like_creating(kernel: FakeKernel, local: Local) -> None:
    kernel.set_memory(1000 * MIB)
    kernel.add_volume(0, 500 * MIB)
    assert local("rapiddisk", "resize", "rd0", "951M").code == 4
    assert local("rapiddisk", "resize", "rd0", "950M").code == 0
    assert local("rapiddisk", "resize", "rd0", "960M", "--overcommit").code == 0


# --- root ---------------------------------------------------------------------------------------

CHANGING = [
    ("create", "8M"),
    ("remove", "rd0", "--yes"),
    ("flush", "rd0", "--yes"),
    ("resize", "rd0", "8M", "--yes"),
    ("lock", "rd0"),
    ("unlock", "rd0"),
    ("cache", "create", "rd0", "vdb"),
    ("cache", "remove", "rc-wt_vdb", "--yes"),
    ("cache", "sync", "rc-wt_vdb"),
    ("nvmet", "export", "rd0", "--port", "1", "--any-host"),
    ("nvmet", "unexport", "rd0", "--yes"),
    ("nvmet", "revalidate", "rd0"),
    ("nvmet", "port", "add", "2", "--transport", "tcp", "--address", "127.0.0.1"),
    ("nvmet", "port", "remove", "1", "--yes"),
    ("daemon", "start"),
    ("daemon", "stop"),
]


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
def test_changes_take_root(
    kernel: FakeKernel, volumes: Local, words: tuple[str, ...], dry: tuple[str, ...]
) -> None:
    kernel.root_user = False
    ran = volumes("rapiddisk", *words, *dry, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "denied")
    assert "sudo" in ran.err
    assert kernel.steps == 0


def test_what_is_not_seen_without_root_is_null_and_said(kernel: FakeKernel, volumes: Local) -> None:
    kernel.open_by(5, "dd", "/dev/rd0")
    kernel.root_user = False
    ran = volumes("rapiddisk", "show", "rd0", "--json")
    item = ran.json["item"]
    assert (ran.code, item["high_water"], item["users"]) == (0, None, [])
    assert "open" not in item["users_seen"]
    assert "only root can see the high-water mark" in ran.err
    ran = volumes("rapiddisk", "cache", "stats")
    assert ran.code == 0
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    ran = volumes("rapiddisk", "cache", "stats", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "denied")


def test_refused_by_the_kernel_as_root_too(kernel: FakeKernel, volumes: Local) -> None:
    """In a container even root may not."""
    kernel.fail_at(1, errno.EPERM)
    ran = volumes("rapiddisk", "create", "8M", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (5, "denied")


@pytest.mark.parametrize("number", [errno.ENXIO, errno.ENOENT], ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", ["remove rd0 --yes", "flush rd0 --yes", "resize rd0 32M --yes"])
def test_a_volume_that_is_removed_while_it_is_checked(
    kernel: FakeKernel, local: Local, verb: str, number: int
) -> None:
    """What cannot be seen because it is gone is not in doubt: it is not found."""
    kernel.add_volume(0)
    kernel.add_volume(1)
    real = kernel.open_device

    def removed(path: str, *, exclusive: bool = False) -> int:
        if path.endswith("/rd0"):
            if kernel.path("sys/block/rd0").exists():
                kernel.remove_volume(0)
            raise OSError(number, os.strerror(number), path)
        return real(path, exclusive=exclusive)

    kernel.open_device = removed  # type: ignore[method-assign]
    ran = local("rapiddisk", *verb.split(), "--json")
    assert ran.code == 3, ran.err
    assert "volume rd0 not found" in ran.err
    assert kernel.steps == 0


def test_a_volume_that_cannot_be_checked_but_is_there_is_refused(
    kernel: FakeKernel, local: Local
) -> None:
    kernel.add_volume(0)

    def refused(path: str, *, exclusive: bool = False) -> int:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)

    kernel.open_device = refused  # type: ignore[method-assign]
    ran = local("rapiddisk", "remove", "rd0", "--yes", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "unguarded")
    assert kernel.steps == 0
