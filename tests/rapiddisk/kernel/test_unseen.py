"""A guard that cannot see refuses: what could not be looked at is not taken for nobody, and what
users there are is found by the device's number, whatever path they use."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

import pytest

from rdctl.rapiddisk.guards import LOOKS
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, NVMET, FakeKernel

Local = Callable[..., Ran]

DESTROYING = {
    "remove": ("remove", "rd0", "--yes"),
    "flush": ("flush", "rd0", "--yes"),
    "shrink": ("resize", "rd0", "8M", "--yes"),
    "cache with it": ("cache", "create", "rd0", "vdc", "--discard-contents", "--yes"),
}


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    kernel.add_volume(0)
    kernel.add_volume(1)
    return local


def refused(ran: Ran, code: str = "unguarded") -> str:
    assert ran.code == 4, ran
    document = ran.json
    errors = document["errors"] if "errors" in document else [document["error"]]
    assert [error["code"] for error in errors] == [code], ran
    message: str = errors[0]["message"]
    return message


# --- looks that fail ----------------------------------------------------------------------------


def without_configfs(kernel: FakeKernel) -> None:
    kernel.unmount_configfs()


def without_rights(kernel: FakeKernel) -> None:
    """A directory that cannot be listed, as a file stands in for it."""
    directory = kernel.path(f"{NVMET}/subsystems")
    directory.rmdir()
    directory.symlink_to("subsystems")


def without_targets(kernel: FakeKernel) -> None:
    """SCSI targets are served, and configfs shows none of them."""
    kernel.make_directory("sys/module/target_core_mod")


def without_proc(kernel: FakeKernel) -> None:
    kernel.path("proc/self/mountinfo").unlink()


def without_loop_node(kernel: FakeKernel) -> None:
    """A container without the node of a loop device."""
    kernel.loop(3, "/dev/vdb")
    kernel.path("dev/loop3").unlink()


def without_volume_node(kernel: FakeKernel) -> None:
    kernel.path("dev/rd0").unlink()


def without_count(kernel: FakeKernel) -> None:
    def references(path: str) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

    kernel.references = references  # type: ignore[method-assign]


UNSEEN = {
    "no configfs": (without_configfs, "exports", "configfs is not mounted"),
    "configfs denied": (without_rights, "exports", "the NVMe exports cannot be read"),
    "targets hidden": (without_targets, "exports", "the SCSI targets cannot be read"),
    "no /proc": (without_proc, "opens", "/proc is not mounted"),
    "no loop node": (without_loop_node, "opens", "the loop devices cannot be read"),
    "no volume node": (without_volume_node, "opens", "exclusive holders cannot be read"),
    "no count": (without_count, "opens", "Permission denied"),
}


@pytest.mark.parametrize("act", DESTROYING.values(), ids=DESTROYING)
@pytest.mark.parametrize("hide", UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_looked_at_refuses(
    kernel: FakeKernel,
    volumes: Local,
    hide: tuple[Callable[[FakeKernel], None], str, str],
    act: tuple[str, ...],
) -> None:
    """And is named, with the one option that goes on without that look; no other does."""
    blind, look, why = hide
    blind(kernel)
    others = [word for other in LOOKS if other != look for word in ("--unseen", other)]
    for words in ((), ("--force",), others):
        ran = volumes("rapiddisk", *act, *words, "--json")
        assert why in refused(ran)
        assert f"--unseen {look}" in ran.err
    assert kernel.steps == 0


@pytest.mark.parametrize("act", DESTROYING.values(), ids=DESTROYING)
def test_the_override_goes_on(kernel: FakeKernel, volumes: Local, act: tuple[str, ...]) -> None:
    kernel.unmount_configfs()
    assert volumes("rapiddisk", *act, "--unseen", "exports").code == 0


def test_several_overrides(kernel: FakeKernel, volumes: Local) -> None:
    kernel.unmount_configfs()
    kernel.hidden = 1
    act = DESTROYING["remove"]
    assert volumes("rapiddisk", *act, "--unseen", "exports").code == 4
    assert volumes("rapiddisk", *act, "--unseen", "opens").code == 4
    assert volumes("rapiddisk", *act, "--unseen", "opens", "--unseen", "exports").code == 0


def test_no_override_overrides_a_user_that_is_seen(kernel: FakeKernel, volumes: Local) -> None:
    kernel.mount("/dev/rd0", "/mnt")
    every = [word for look in LOOKS for word in ("--unseen", look)]
    ran = volumes("rapiddisk", "remove", "rd0", "--yes", "--force", *every, "--json")
    refused(ran, "in-use")


@pytest.mark.parametrize(
    ("words", "look"),
    [
        ("cache remove rc-wt_vdb", "caches"),
        ("nvmet export rd1 --port 1 --any-host", "caches"),
        ("nvmet export rd1 --port 1 --any-host", "opens"),
    ],
)
def test_other_acts_look_too(kernel: FakeKernel, volumes: Local, words: str, look: str) -> None:
    """At what they need: what is stacked on a device, who has it open."""
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.add_port(1)
    kernel.map_linear("lin", "vdc")
    if look == "opens":
        kernel.hidden = 1
    else:
        directory = kernel.path("sys/block/dm-1/slaves")
        (directory / "vdc").unlink()
        directory.rmdir()
        directory.symlink_to("slaves")
    ran = volumes("rapiddisk", *words.split(), "--yes", "--json")
    refused(ran)
    assert kernel.steps == 0


def test_a_part_of_the_kernel_counts_as_loaded(kernel: FakeKernel, volumes: Local) -> None:
    """A kernel may have its NVMe target built in, and so no directory for the module."""
    kernel.unmount_configfs()
    kernel.path("sys/module/nvmet").rmdir()
    assert volumes("rapiddisk", "flush", "rd0", "--yes").code == 0
    kernel.put(
        "lib/modules/6.1.0-56-amd64/modules.builtin", "kernel/drivers/nvme/target/nvmet.ko\n"
    )
    refused(volumes("rapiddisk", "flush", "rd0", "--yes", "--json"))


def test_a_lock_that_cannot_be_read(kernel: FakeKernel, volumes: Local) -> None:
    kernel.path("sys/block/rd0/ro").unlink()
    message = refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))
    assert "cannot tell whether it is locked" in message
    assert volumes("rapiddisk", "remove", "rd0", "--yes", "--unseen", "locks").code == 0


def test_contents_that_cannot_be_read(kernel: FakeKernel, volumes: Local) -> None:
    """They may be the only copy of what a write-back cache has not written to its source."""
    opened = kernel.open_device

    def open_device(path: str, *, exclusive: bool = False) -> int:
        if path.endswith("/rd0") and not exclusive:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return opened(path, exclusive=exclusive)

    kernel.open_device = open_device  # type: ignore[method-assign]
    words = ("remove", "rd0", "--yes", "--json")
    assert "cannot tell whether it holds unwritten blocks" in refused(volumes("rapiddisk", *words))
    assert volumes("rapiddisk", *words, "--discard-contents").code == 0


def test_show_says_what_it_could_not_see(kernel: FakeKernel, volumes: Local) -> None:
    kernel.unmount_configfs()
    ran = volumes("rapiddisk", "show", "rd0", "--json")
    assert ran.code == 0
    assert "export" not in ran.json["item"]["users_seen"]
    assert "cannot tell whether it is exported" in ran.err


# --- users by number ----------------------------------------------------------------------------


class Use:
    def __init__(self, begin: Callable[[FakeKernel], None], kind: str, named: str) -> None:
        self.begin = begin
        self.kind = kind
        self.named = named


def in_a_jail(kernel: FakeKernel) -> None:
    """A node that another process has made for itself."""
    kernel.link_node("srv/jail/disk", "../../dev/rd0")
    kernel.open_by(77, "qemu", "../../../srv/jail/disk", line="qemu -drive file=/disk")
    kernel.openers[-1] = (77, "rd0")


def in_a_service(kernel: FakeKernel) -> None:
    kernel.open_by(78, "store", "/dev/rd0", line="store", unit="/system.slice/my-store.service")


def scsi_block(kernel: FakeKernel) -> None:
    kernel.make_directory("sys/module/target_core_mod")
    info = "iBlock device: rd0  UDEV PATH: /gone\n        Major: 251 Minor: 0  CLAIMED: IBLOCK\n"
    kernel.put("sys/kernel/config/target/core/iblock_0/lun0/info", info)
    kernel.put("sys/kernel/config/target/core/iblock_0/lun0/enable", "1\n")
    kernel.exclusive[-1] = "rd0"


def scsi_file(kernel: FakeKernel) -> None:
    kernel.make_directory("sys/module/target_core_mod")
    info = "TCM FILEIO ID: 0        File: /dev/rd0  Size: 67108864  Mode: Buffered\n"
    kernel.put("sys/kernel/config/target/core/fileio_0/lun1/info", info)
    kernel.put("sys/kernel/config/target/core/fileio_0/lun1/enable", "1\n")
    kernel.hidden = 1


def zram(kernel: FakeKernel) -> None:
    kernel.put("sys/block/zram0/backing_dev", "/dev/rd0\n")
    kernel.exclusive[-1] = "rd0"
    kernel.hidden = 1  # it opens it twice


def log_of_xfs(kernel: FakeKernel) -> None:
    path = kernel.path("proc/self/mountinfo")
    line = "77 22 254:16 / /data rw - xfs /dev/vdb rw,attr2,logdev=/dev/rd0,noquota\n"
    path.write_text(path.read_text() + line)
    kernel.exclusive[-1] = "rd0"


def bcache(kernel: FakeKernel) -> None:
    kernel.path("sys/block/rd0/bcache").mkdir()
    kernel.exclusive[-1] = "rd0"


def journal(kernel: FakeKernel) -> None:
    kernel.path("proc/fs/jbd2/rd0").mkdir(parents=True)
    kernel.exclusive[-1] = "rd0"


def second_of_btrfs(kernel: FakeKernel) -> None:
    for part in ("vdb", "rd0"):
        kernel.path(f"sys/fs/btrfs/5c1b/devices/{part}").mkdir(parents=True)
    kernel.mount("/dev/vdb", "/data")
    kernel.exclusive[-1] = "rd0"


def unmounted_lazily(kernel: FakeKernel) -> None:
    kernel.path("sys/fs/ext4/rd0").mkdir(parents=True)
    kernel.exclusive[-1] = "rd0"


USES = {
    "a map without a descriptor": Use(
        lambda k: k.map_by(76, "db", "/dev/rd0"), "open", "open in process 76 (db)"
    ),
    "a node outside /dev": Use(in_a_jail, "open", "open in process 77 (qemu -drive file=/disk)"),
    "a service": Use(in_a_service, "open", "systemctl stop my-store.service"),
    "a loop device of another mount namespace": Use(
        lambda k: k.loop(3, "/dev/rd0", shown="/nowhere/rd0"),
        "loop",
        "used by loop device /dev/loop3",
    ),
    "iblock": Use(scsi_block, "target", "exported by SCSI target block/lun0"),
    "fileio": Use(scsi_file, "target", "exported by SCSI target fileio/lun1"),
    "zram": Use(zram, "other", "used by zram0"),
    "bcache": Use(bcache, "other", "used by bcache"),
    "a journal": Use(
        journal, "held", "held exclusively by the kernel, as the journal of an ext4 file system"
    ),
    "the log of XFS": Use(log_of_xfs, "mount", "mounted on /data"),
    "btrfs": Use(second_of_btrfs, "mount", "mounted on /data"),
    "a lazy umount": Use(
        unmounted_lazily, "held", "held exclusively by the kernel, for a mount (ext4) not visible"
    ),
    "whoever it is": Use(
        lambda k: k.exclusive.update({-1: "rd0"}), "held", "held exclusively by the kernel"
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_user_is_found_by_the_number(kernel: FakeKernel, volumes: Local, use: Use) -> None:
    use.begin(kernel)
    (user,) = volumes("rapiddisk", "show", "rd0", "--json").json["item"]["users"]
    assert user["kind"] == use.kind
    for act in DESTROYING.values():
        ran = volumes("rapiddisk", *act, "--json")
        refused(ran, "in-use")
        assert use.named in ran.err, ran.err
    assert kernel.steps == 0
    # Nobody uses rd1, and all opens are accounted for.
    assert volumes("rapiddisk", "remove", "rd1", "--yes").code == 0


@pytest.mark.parametrize(
    ("uuid", "kind", "freed_by"),
    [
        ("LVM-abc", "linear", "lvchange -an vg-x/lv"),
        ("CRYPT-LUKS2-abc", "linear", "cryptsetup close vg--x-lv"),
        ("mpath-3600", "linear", "multipath -f vg--x-lv"),
        ("", "writecache", "dmsetup message vg--x-lv 0 flush && dmsetup remove vg--x-lv"),
        ("", "linear", "dmsetup remove vg--x-lv"),
    ],
)
def test_what_frees_a_mapping_goes_by_its_maker(
    kernel: FakeKernel, volumes: Local, uuid: str, kind: str, freed_by: str
) -> None:
    kernel.map_linear("vg--x-lv", "rd0")
    kernel.put("sys/block/dm-0/dm/uuid", f"{uuid}\n")
    kernel.maps["vg--x-lv"].kind = kind
    (user,) = volumes("rapiddisk", "show", "rd0", "--json").json["item"]["users"]
    assert user == {"kind": "mapping", "name": "vg--x-lv", "freed_by": freed_by}


def test_no_process_is_to_be_killed_first(kernel: FakeKernel, volumes: Local) -> None:
    kernel.open_by(
        5, "dd", "/dev/rd0", line="dd if=/dev/rd0 of=/backup bs=1M count=64 status=none x"
    )
    ran = volumes("rapiddisk", "remove", "rd0", "--yes")
    assert "open in process 5 (dd if=/dev/rd0 of=/backup bs=1M count=64 status=none x)\n" in ran.err
    assert "kill" not in ran.err


# --- what no file shows -------------------------------------------------------------------------


@pytest.mark.parametrize("act", DESTROYING.values(), ids=DESTROYING)
def test_an_open_that_nobody_shows(
    kernel: FakeKernel, volumes: Local, act: tuple[str, ...]
) -> None:
    """A descriptor on its way over a socket, or of a process in another PID namespace."""
    kernel.hidden = 2
    ran = volumes("rapiddisk", *act, "--json")
    assert "2 opens of RapidDisk volumes unaccounted for" in refused(ran)
    assert kernel.steps == 0
    assert volumes("rapiddisk", *act, "--unseen", "opens").code == 0


def test_holders_of_other_volumes_are_accounted_for(kernel: FakeKernel, volumes: Local) -> None:
    for number in range(2, 12):
        kernel.add_volume(number, 8 * MIB)
    kernel.mount("/dev/rd1", "/mnt")
    kernel.mount("/dev/rd1", "/again")
    kernel.swap_on("/dev/rd2")
    kernel.map_cache("rc-wt_vdb", "rd3", "vdb")
    kernel.map_linear("lin", "rd4", "rd5")
    kernel.loop(1, "/dev/rd6")
    kernel.foreign_subsystem("nqn.a:b", "/dev/rd7")
    kernel.foreign_subsystem("nqn.a:c", "/dev/rd7", enabled=False)
    kernel.open_by(70, "db", "/dev/rd8")
    kernel.inherit(71, "worker", 70)
    kernel.map_by(72, "cc", "/dev/rd9")
    kernel.exclusive[-1] = "rd10"
    kernel.raid("md0", "rd11")
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0
    kernel.hidden = 1
    kernel.add_volume(0)
    message = refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))
    assert "1 open of RapidDisk volumes unaccounted for" in message


def test_a_descriptor_that_only_names_the_device(kernel: FakeKernel, volumes: Local) -> None:
    """O_PATH opens nothing, so it must not account for an open that nobody shows."""
    kernel.open_by(70, "ls", "/dev/rd1")
    kernel.put("proc/70/fdinfo/3", f"pos:\t0\nflags:\t{os.O_PATH:o}\nmnt_id:\t24\n")
    refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))
    kernel.openers.clear()
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0


def readings(kernel: FakeKernel, numbers: Sequence[int]) -> None:
    left = list(numbers)

    def references(path: str) -> int:
        return left.pop(0) if len(left) > 1 else left[0]

    kernel.references = references  # type: ignore[method-assign]


def test_a_daemon_that_lists_is_waited_for(
    kernel: FakeKernel, volumes: Local, rdctl: Program
) -> None:
    """It opens each volume for an instant."""
    readings(kernel, [1, 0])
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0
    assert sum(rdctl.slept) < 0.2


def test_a_count_that_never_agrees(kernel: FakeKernel, volumes: Local, rdctl: Program) -> None:
    readings(kernel, [1, 2, 3] * 20)
    message = refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))
    assert "keeps changing" in message
    assert 0.8 < sum(rdctl.slept) < 2


def test_a_pid_namespace_of_its_own(kernel: FakeKernel, volumes: Local) -> None:
    """/proc shows the processes of that namespace alone: it is not said that they were seen."""
    link = kernel.path("proc/self/ns/pid")
    link.unlink()
    link.symlink_to("pid:[4026532355]")
    item = volumes("rapiddisk", "show", "rd0", "--json").json["item"]
    assert "open" not in item["users_seen"]
    assert "held" in item["users_seen"]
    asked = volumes("rapiddisk", "remove", "rd0", tty=True, stdin=b"n\n")
    assert "Not checked: open files." in asked.err
    kernel.hidden = 1
    refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))


def test_what_is_no_open_accounts_for_none(kernel: FakeKernel, volumes: Local) -> None:
    """A FUSE file system has its device open in its process, and mounts nothing of the kernel's."""
    kernel.open_by(70, "fuse2fs", "/dev/rd1")
    path = kernel.path("proc/self/mountinfo")
    path.write_text(path.read_text() + "40 22 0:50 / /mnt rw - fuse.fuse2fs /dev/rd1 rw\n")
    kernel.hidden = 1
    refused(volumes("rapiddisk", "remove", "rd0", "--yes", "--json"))


def test_an_export_by_a_link_accounts_for_none(kernel: FakeKernel, volumes: Local) -> None:
    """The link may have led elsewhere when the export was enabled."""
    kernel.link_node("dev/my", "rd0")
    kernel.foreign_subsystem("nqn.a", "/dev/my")
    readings(kernel, [1])
    refused(volumes("rapiddisk", "remove", "rd1", "--yes", "--json"))


def test_an_export_of_a_path_that_leads_nowhere_here(kernel: FakeKernel, volumes: Local) -> None:
    """It may be any device: the path is that of another mount namespace."""
    kernel.foreign_subsystem("nqn.a:b", "/jail/dev/vdb")
    message = refused(volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json"))
    assert "nqn.a:b exports /jail/dev/vdb, which leads to no device here" in message
    words = ("cache", "create", "rd0", "vdb", "--unseen", "exports")
    assert volumes("rapiddisk", *words).code == 0


@pytest.mark.parametrize(("used", "source"), [("vdb1", "vdb"), ("vdb", "vdb1")])
def test_who_has_a_part_is_named_for_the_whole(
    kernel: FakeKernel, volumes: Local, used: str, source: str
) -> None:
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.mount(f"/dev/{used}", "/mnt")
    ran = volumes("rapiddisk", "cache", "create", "rd0", source)
    assert (ran.code, f"{source} is in use: mounted on /mnt\n" in ran.err) == (4, True)
