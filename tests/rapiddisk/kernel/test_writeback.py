"""A write-back cache holds the only copy of what it has not written back: so does its volume, when
the cache is gone."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable

import pytest

from rdctl.rapiddisk.kernel.writecache import superblock
from rdctl.rapiddisk.model import Superblock
from tests.conftest import Program, Ran
from tests.fakes.kernel import FREE, MAGIC, MIB, PAGE, WRITECACHE, FakeKernel

Local = Callable[..., Ran]

DESTROYING = {
    "remove": ("remove", "rd0"),
    "flush": ("flush", "rd0"),
    "shrink": ("resize", "rd0", "8M"),
    "grow": ("resize", "rd0", "128M"),
    "map elsewhere": ("cache", "create", "rd0", "vdc"),
    "map elsewhere as writeback": ("cache", "create", "rd0", "vdc", "--policy", "writeback"),
}


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    kernel.add_volume(0)
    kernel.add_volume(1)
    return local


def orphan(kernel: FakeKernel, dirty: int = 12, source: str = "vdb") -> None:
    """A dirty cache is taken away with `dmsetup remove`."""
    kernel.map_cache(f"rc-wb_{source}", "rd0", source, dirty=dirty)
    kernel.unmap_unsafely(f"rc-wb_{source}")


def made(volumes: Local, source: str = "vdb", **options: str) -> None:
    """A cache that rdctl made."""
    words = ("cache", "create", "rd0", source, "--policy", "writeback", "--yes")
    assert volumes("rapiddisk", *words).code == 0


def problem(ran: Ran) -> dict[str, str]:
    document = ran.json
    error: dict[str, str] = document["errors"][0] if "errors" in document else document["error"]
    return error


# --- the superblock -----------------------------------------------------------------------------


def image(*entries: tuple[int, int], block: int = PAGE, magic: int = MAGIC, more: int = 0) -> bytes:
    """A superblock with these entries, each a sector and a sequence number."""
    header = WRITECACHE.pack(magic, 1, block, 0, len(entries) + more, 2)
    return header + b"".join(struct.pack("<QQ", *entry) for entry in entries) + FREE * more


NONE = (1 << 64) - 1


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", None),
        (bytes(PAGE), None),
        (image((8, 1), magic=MAGIC + 1), None),
        (image((8, 1), block=3000), None),
        (image(more=10), Superblock(4096, 0, 0)),
        (image((NONE, NONE), more=3), Superblock(4096, 0, 0)),
        # Written back: the sector stays, the sequence number goes.
        (image((8, NONE), (16, NONE)), Superblock(4096, 0, 0)),
        # The first block of the source, at the first commit, is all zeros.
        (image((0, 0), more=9), Superblock(4096, 1, 4096)),
        (image((8, 1), (800, 1), (16, NONE), more=4), Superblock(4096, 2, 800 * 512 + 4096)),
        (image((7, 1), block=512), Superblock(512, 1, 8 * 512)),
        # More entries than one piece that is read, and the dirty one among the last.
        (image(*[(NONE, NONE)] * 70000, (24, 1), more=5), Superblock(4096, 1, 24 * 512 + 4096)),
    ],
)
def test_what_a_superblock_says(data: bytes, found: Superblock | None) -> None:
    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    assert superblock(read, len(data)) == found


def test_a_superblock_that_lies_about_its_length() -> None:
    data = WRITECACHE.pack(MAGIC, 1, PAGE, 0, NONE, 2) + struct.pack("<QQ", 8, 1)
    found = superblock(lambda offset, size: data[offset : offset + size], len(data))
    assert found == Superblock(4096, 1, 8192)


# --- what is seen -------------------------------------------------------------------------------


def unwritten(volumes: Local, name: str = "rd0") -> object:
    shown = volumes("rapiddisk", "show", name, "--json").json["item"]["unwritten"]
    (row,) = volumes("rapiddisk", "list", name, "--json").json["items"]
    assert row["unwritten"] == shown
    return shown


def test_list_and_show(kernel: FakeKernel, volumes: Local) -> None:
    assert unwritten(volumes) == 0
    assert "UNWRITTEN" not in volumes("rapiddisk", "list").out
    orphan(kernel, dirty=12)
    assert unwritten(volumes) == 12 * PAGE
    assert unwritten(volumes, "rd1") == 0
    assert "UNWRITTEN" in volumes("rapiddisk", "list").out
    kernel.root_user = False
    assert unwritten(volumes) is None


def test_a_clean_former_cache(kernel: FakeKernel, volumes: Local) -> None:
    """Ordinary consent, as for any contents of which nobody says that they are the only copy."""
    for act in DESTROYING.values():
        if 0 in kernel.volumes:
            kernel.remove_volume(0)
        kernel.add_volume(0)
        orphan(kernel, dirty=0)
        assert unwritten(volumes) == 0
        assert volumes("rapiddisk", *act).code == (0 if "128M" in act else 2)
        assert volumes("rapiddisk", *act, "--yes").code == 0
        for cache in list(kernel.maps):
            assert volumes("rapiddisk", "cache", "remove", cache, "--yes").code == 0


def test_cache_list_shows_what_is_dirty_and_how_long_it_takes(
    kernel: FakeKernel, volumes: Local
) -> None:
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=512)
    kernel.map_cache("rc-wt_vdc", "rd1", "vdc")
    # 100 MiB moved in 10 seconds.
    kernel.put("sys/block/vdb/stat", "10 0 102400 9 5 0 102400 7 0 10000 12 0 0 0 0 0 0\n")
    back, through = volumes("rapiddisk", "cache", "list", "--json").json["items"]
    assert (back["dirty"], back["writeback_seconds"]) == (512 * PAGE, 1)
    assert (through["dirty"], through["writeback_seconds"]) == (None, None)
    assert "DIRTY" in volumes("rapiddisk", "cache", "list").out
    assert unwritten(volumes) == 512 * PAGE
    kernel.put("sys/block/vdb/stat", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n")
    assert volumes("rapiddisk", "cache", "list", "--json").json["items"][0]["dirty"] == 512 * PAGE
    kernel.root_user = False
    row = volumes("rapiddisk", "cache", "list", "--json").json["items"][0]
    assert (row["dirty"], row["writeback_seconds"]) == (None, None)


# --- it is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("act", DESTROYING.values(), ids=DESTROYING)
def test_the_only_copy_is_kept(kernel: FakeKernel, volumes: Local, act: tuple[str, ...]) -> None:
    orphan(kernel)
    before = kernel.snapshot()
    for more in ((), ("--force",), ("--unseen", "opens")):
        ran = volumes("rapiddisk", *act, "--yes", *more, "--json")
        assert (ran.code, problem(ran)["code"]) == (4, "not-empty"), ran
        assert "rd0 holds 12 unwritten blocks (48.0 KiB) of a write-back cache" in ran.err
        assert "rdctl --local rapiddisk cache create rd0 SOURCE --policy writeback --adopt" in (
            ran.err
        )
    assert kernel.steps == 0
    assert kernel.snapshot() == before


@pytest.mark.parametrize("act", DESTROYING.values(), ids=DESTROYING)
def test_it_is_lost_when_that_is_said_and_agreed_to(
    kernel: FakeKernel, volumes: Local, act: tuple[str, ...]
) -> None:
    orphan(kernel)
    words = (*act, "--discard-contents")
    assert volumes("rapiddisk", *words).code == 2
    no = volumes("rapiddisk", *words, tty=True, stdin=b"n\n")
    assert (
        "12 unwritten blocks (48.0 KiB) of a write-back cache, the only copy, will be lost"
        in no.err
    )
    assert (no.code, kernel.steps) == (1, 0)
    assert volumes("rapiddisk", *words, tty=True, stdin=b"y\n").code == 0
    kernel.harm.clear()


def test_a_volume_that_becomes_dirty_after_the_guard(kernel: FakeKernel, volumes: Local) -> None:
    """While the operator is asked, somebody takes a dirty cache away."""
    kernel.when_locked = lambda: orphan(kernel) if "x" not in kernel.calls else None
    ran = volumes("rapiddisk", "remove", "rd0", tty=True, stdin=b"y\n")
    assert (ran.code, 0 in kernel.volumes) == (4, True)


@pytest.mark.parametrize(
    "words",
    [
        ("cache", "create", "rd1", "rd0"),
        ("cache", "create", "rd1", "rd0", "--discard-contents", "--yes"),
        ("nvmet", "export", "rd0", "--port", "1", "--any-host"),
    ],
)
def test_nobody_gets_to_write_to_it(
    kernel: FakeKernel, volumes: Local, words: tuple[str, ...]
) -> None:
    """As a source, or exported, it could be written over."""
    orphan(kernel)
    kernel.add_port(1)
    ran = volumes("rapiddisk", *words, "--json")
    assert (ran.code, problem(ran)["code"]) == (4, "not-empty")
    assert kernel.steps == 0


@pytest.mark.parametrize("policy", ["write-through", "writeback"])
def test_contents_that_come_while_the_operator_is_asked(
    kernel: FakeKernel, volumes: Local, policy: str
) -> None:
    """An orphan's blocks would go to another disk, a file system would be mapped over."""
    words = ("cache", "create", "rd0", "vdc", "--policy", policy, "--yes")

    def once() -> None:
        if not kernel.volumes[0].unwritten:
            orphan(kernel)

    kernel.when_locked = once
    assert volumes("rapiddisk", *words).code == 4
    assert kernel.volumes[0].unwritten == 12
    kernel.remove_volume(0)
    kernel.add_volume(0)
    kernel.when_locked = lambda: kernel.write_data("rd0", b"x" * PAGE, MIB)
    assert volumes("rapiddisk", *words).code == 4
    assert kernel.maps == {}


def test_counters_that_a_refused_erase_set_to_0(kernel: FakeKernel, volumes: Local) -> None:
    """btrfs begins at 64 KiB: neither the usage nor the first block shows it."""
    kernel.write_data("rd0", b"_BHRfS_M", 65600)
    kernel.volumes[0].used = kernel.volumes[0].high = 0
    kernel.refresh()
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json")
    assert (ran.code, problem(ran)["code"]) == (4, "not-empty")


# --- flush_on_suspend, max_age ------------------------------------------------------------------


def test_a_plain_removal_loses_nothing(kernel: FakeKernel, volumes: Local) -> None:
    made(volumes)
    kernel.maps["rc-wb_vdb"].dirty = 9
    kernel.unmap_unsafely("rc-wb_vdb")
    assert unwritten(volumes) == 0
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0


def test_when_it_was_sent(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_vdc", "rd1", "vdc")
    made(volumes)
    rows = volumes("rapiddisk", "cache", "list", "--json").json["items"]
    sent = {row["device"]: row["flush_on_suspend"] for row in rows}
    assert sent["rc-wb_vdc"] is None
    assert sent["rc-wb_vdb"].endswith("Z")


@pytest.mark.parametrize(
    ("release", "words", "options"),
    [
        ("6.1.0-56-amd64", (), ["2", "max_age", "300000"]),
        ("6.1.0-56-amd64", ("--max-age", "60"), ["2", "max_age", "60000"]),
        ("5.8.0", (), ["2", "max_age", "300000"]),
        ("5.7.19", (), ["0"]),
        ("4.19.0-27-amd64", (), ["0"]),
    ],
)
def test_max_age(
    kernel: FakeKernel, volumes: Local, release: str, words: tuple[str, ...], options: list[str]
) -> None:
    kernel.put("proc/sys/kernel/osrelease", f"{release}\n")
    create = ("cache", "create", "rd0", "vdb", "--policy", "writeback", "--yes")
    assert volumes("rapiddisk", *create, *words).code == 0
    assert kernel.maps["rc-wb_vdb"].arguments[4:] == options


def test_max_age_where_it_cannot_be(kernel: FakeKernel, volumes: Local) -> None:
    words = ("cache", "create", "rd0", "vdb", "--max-age", "60", "--yes")
    assert volumes("rapiddisk", *words).code == 2
    assert volumes("rapiddisk", *words, "--policy", "writeback", "--max-age", "0").code == 2
    kernel.put("proc/sys/kernel/osrelease", "5.7.0\n")
    assert volumes("rapiddisk", *words, "--policy", "writeback").code == 11
    assert kernel.steps == 0


# --- adopt --------------------------------------------------------------------------------------

ADOPT = ("cache", "create", "rd0", "vdb", "--policy", "writeback", "--adopt")


def test_adopting_with_a_record(kernel: FakeKernel, volumes: Local) -> None:
    """Made by rdctl, taken away past it: ordinary consent, and the source need not be named."""
    made(volumes)
    mapping = kernel.maps["rc-wb_vdb"]
    mapping.dirty, mapping.armed = 12, False
    kernel.unmap_unsafely("rc-wb_vdb")
    steps = kernel.steps
    no = volumes("rapiddisk", "cache", "create", "rd0", "--adopt", tty=True, stdin=b"n\n")
    assert "vdb: 12 unwritten blocks (48.0 KiB) of rd0 will be written to it" in no.err
    assert "cannot verify" not in no.err
    assert kernel.steps == steps
    assert volumes("rapiddisk", "cache", "create", "rd0", "--adopt", "--yes").code == 0
    assert kernel.maps["rc-wb_vdb"].dirty == 12
    assert kernel.maps["rc-wb_vdb"].armed
    again = volumes("rapiddisk", "cache", "create", "rd0", "--adopt", "--json")
    assert (again.code, again.json["results"][0]["changed"]) == (0, False)
    assert volumes("rapiddisk", "cache", "remove", "rc-wb_vdb", "--yes").code == 0
    assert kernel.volumes[0].unwritten == 0


def test_adopting_without_a_record(kernel: FakeKernel, volumes: Local) -> None:
    orphan(kernel)
    nameless = volumes("rapiddisk", "cache", "create", "rd0", "--adopt", "--yes")
    assert (nameless.code, "no source is recorded for rd0" in nameless.err) == (2, True)
    words = (
        "vdb: 12 unwritten blocks (48.0 KiB) of rd0 will be written to it; rdctl cannot verify that"
        " they belong there"
    )
    missing = volumes("rapiddisk", *ADOPT)
    assert (missing.code, words in missing.err) == (2, True)
    no = volumes("rapiddisk", *ADOPT, tty=True, stdin=b"n\n")
    assert (no.code, words in no.err, kernel.steps) == (1, True, 0)
    trace = volumes("rapiddisk", *ADOPT, "--trace", tty=True, stdin=b"y\n")
    assert trace.code == 0
    assert "0x0531" not in trace.err
    assert kernel.maps["rc-wb_vdb"].dirty == 12


def record(kernel: FakeKernel) -> dict[str, object]:
    found: dict[str, object] = json.loads(kernel.text("run/rdctl/rd0.json"))
    return found


@pytest.mark.parametrize(
    ("key", "value"),
    [("boot", "another"), ("diskseq", "999"), ("size", 5), ("source_diskseq", "998"), ("cache", 0)],
)
def test_a_record_that_is_not_of_these_devices(
    kernel: FakeKernel, volumes: Local, key: str, value: object
) -> None:
    made(volumes)
    kernel.maps["rc-wb_vdb"].dirty, kernel.maps["rc-wb_vdb"].armed = 12, False
    kernel.unmap_unsafely("rc-wb_vdb")
    before = record(kernel)
    del before[key]
    if key != "cache":
        before[key] = value
    kernel.put("run/rdctl/rd0.json", json.dumps(before))
    ran = volumes("rapiddisk", *ADOPT)
    assert (ran.code, "cannot verify" in ran.err) == (2, True)


def test_a_source_that_the_record_names_otherwise(kernel: FakeKernel, volumes: Local) -> None:
    made(volumes)
    kernel.maps["rc-wb_vdb"].dirty, kernel.maps["rc-wb_vdb"].armed = 12, False
    kernel.unmap_unsafely("rc-wb_vdb")
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdc", "--adopt")
    assert (
        ran.code,
        "cannot verify that they belong there: the recorded source is /dev/vdb" in ran.err,
    ) == (
        2,
        True,
    )


@pytest.mark.parametrize("link", ["by-path/pci-0000:00:05.0", "by-id/lvm-pv-uuid-1", "by-uuid/2"])
def test_another_disk_in_its_place(kernel: FakeKernel, volumes: Local, link: str) -> None:
    """A slot and a label are no proof of a disk."""
    kernel.link_node(f"dev/disk/{link}", "../../vdb")
    made(volumes)
    kernel.maps["rc-wb_vdb"].dirty, kernel.maps["rc-wb_vdb"].armed = 12, False
    kernel.unmap_unsafely("rc-wb_vdb")
    kernel.put("sys/block/vdb/diskseq", "4711\n")
    ran = volumes("rapiddisk", "cache", "create", "rd0", "--adopt")
    assert (ran.code, "cannot verify" in ran.err) == (2, True)


def test_a_dry_run_of_an_adoption_whose_mapping_failed(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=12)
    kernel.fail_source("rc-wb_vdb")
    ran = volumes("rapiddisk", *ADOPT, "--dry-run", "--json")
    assert ran.code == 0, ran
    assert ran.json["plan"][0] == "dmsetup remove rc-wb_vdb"
    assert volumes("rapiddisk", *ADOPT, "--yes").code == 0


def test_a_disk_that_comes_back_under_another_name(kernel: FakeKernel, volumes: Local) -> None:
    """It is known by its stable name; a failed mapping that is still there goes first."""
    kernel.link_node("dev/disk/by-id/wwn-0x5000", "../../sda")
    made(volumes, "sda")
    kernel.maps["rc-wb_sda"].dirty = 12
    kernel.fail_source("rc-wb_sda", gone=True)
    for words in (("cache", "remove", "rc-wb_sda"), ("cache", "sync", "rc-wb_sda")):
        ran = volumes("rapiddisk", *words, "--yes", "--json")
        assert (ran.code, problem(ran)["code"]) == (4, "conflict")
        assert "its source sda is gone; rd0 still holds unwritten blocks" in ran.err
        assert "--policy writeback --adopt" in ran.err
        assert "dmsetup remove" not in ran.err
    kernel.reattach("sda", "sdf", "8:80")
    kernel.link_node("dev/disk/by-id/wwn-0x5000", "../../sdf")
    asked = volumes("rapiddisk", "cache", "create", "rd0", "--adopt", tty=True, stdin=b"y\n")
    assert (asked.code, "cannot verify" in asked.err) == (0, False)
    assert sorted(kernel.maps) == ["rc-wb_sdf"]
    assert kernel.maps["rc-wb_sdf"].dirty == 12


def test_a_source_that_fails_in_parts(kernel: FakeKernel, volumes: Local) -> None:
    """The kernel hangs when such a cache is removed after it was told to write back before."""
    made(volumes)
    kernel.maps["rc-wb_vdb"].dirty = 12
    kernel.fail_source("rc-wb_vdb")
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_vdb", "--yes")
    assert "its source vdb returned an I/O error; rd0 still holds" in ran.err
    steps = kernel.steps
    ran = volumes("rapiddisk", *ADOPT, "--yes")
    assert (ran.code, "could hang in the kernel" in ran.err) == (4, True)
    assert kernel.steps == steps
    assert kernel.volumes[0].unwritten == 12


def test_a_failure_that_is_noticed_when_it_is_written_back(
    kernel: FakeKernel, volumes: Local
) -> None:
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=12)

    def fail() -> None:
        kernel.fail_source("rc-wb_vdb")

    kernel.before[1] = fail
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_vdb", "--yes")
    assert ran.code == 4
    assert "its source vdb returned an I/O error; rd0 still holds" in ran.err
    assert "rc-wb_vdb" in kernel.maps


def test_a_suspended_cache(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=12)
    kernel.suspend("rc-wb_vdb")
    for verb in ("remove", "sync"):
        ran = volumes("rapiddisk", "cache", verb, "rc-wb_vdb", "--yes")
        assert (ran.code, "rc-wb_vdb is suspended" in ran.err) == (4, True)
        assert "dmsetup resume rc-wb_vdb" in ran.err
    assert kernel.steps == 0


def test_what_cannot_be_adopted(kernel: FakeKernel, volumes: Local) -> None:
    assert volumes("rapiddisk", *ADOPT, "--yes").code == 4  # rd0 holds nothing
    assert volumes("rapiddisk", "cache", "create", "rd9", "vdb", "--adopt", "--yes").code == 3
    orphan(kernel)
    for more in (("--policy", "write-through"), ("--discard-contents",)):
        assert volumes("rapiddisk", *ADOPT, *more, "--yes").code == 2
    kernel.add_disk("sdg", 32 * 1024, "8:96")
    small = ("cache", "create", "rd0", "sdg", "--adopt", "--yes")
    ran = volumes("rapiddisk", *small, "--json")
    assert (ran.code, problem(ran)["code"]) == (4, "conflict")
    assert "beyond its end (32.0 KiB)" in ran.err
    kernel.put("sys/block/vdb/ro", "1\n")
    assert volumes("rapiddisk", *ADOPT, "--yes").code == 4
    kernel.put("sys/block/vdb/ro", "0\n")
    kernel.mount("/dev/vdb", "/mnt")
    ran = volumes("rapiddisk", *ADOPT, "--yes", "--json")
    assert (ran.code, problem(ran)["code"]) == (4, "in-use")
    assert kernel.steps == 0


def test_a_map_that_fails_keeps_the_blocks(kernel: FakeKernel, volumes: Local) -> None:
    """The undo of an adoption erases nothing."""
    for step in range(1, 5):
        kernel.replace_volume(0, 64 * MIB)
        orphan(kernel)
        kernel.fail_at(kernel.steps + step, errno.EINVAL)
        assert volumes("rapiddisk", *ADOPT, "--yes").code == 1
        assert kernel.maps == {}
        assert kernel.volumes[0].unwritten == 12
        assert volumes("rapiddisk", *ADOPT, "--yes").code == 0
        assert kernel.maps["rc-wb_vdb"].dirty == 12
        assert volumes("rapiddisk", "cache", "remove", "rc-wb_vdb", "--yes").code == 0


def test_the_block_size_is_that_of_the_superblock(kernel: FakeKernel, volumes: Local) -> None:
    kernel.write_data("rd0", image((8, 1), (16, 1), block=1024, more=100))
    ran = volumes("rapiddisk", *ADOPT, "--dry-run", "--trace")
    assert ran.code == 0, ran
    assert "writecache s /dev/vdb /dev/rd0 1024 2 max_age 300000" in ran.err


# --- shrinking ----------------------------------------------------------------------------------


def test_a_refused_erase_makes_no_shrink_safe(kernel: FakeKernel, volumes: Local) -> None:
    """Of whomever: it leaves the kernel's counters at 0 and the data where they are
    (docs/wire/rapiddisk-local.md#27-erase)."""
    kernel.write_data("rd0", b"data" * 1024, 20 * MIB)
    kernel.open_by(5, "qemu", "/dev/rd0")
    with pytest.raises(OSError):
        kernel.wipe("rd0")
    kernel.end_process(5)
    kernel.harm.clear()
    assert (kernel.volumes[0].used, kernel.volumes[0].high) == (0, 0)
    ran = volumes("rapiddisk", "resize", "rd0", "16M", "--yes", "--json")
    assert (ran.code, problem(ran)["code"]) == (4, "not-empty")
    assert "rd0 holds data beyond 16.0 MiB" in ran.err
    assert kernel.volumes[0].size == 64 * MIB
    assert volumes("rapiddisk", "resize", "rd0", "24M", "--yes").code == 0
    words = ("resize", "rd0", "16M", "--yes", "--discard-contents")
    assert volumes("rapiddisk", *words).code == 0
    kernel.harm.clear()


def test_who_writes_while_the_operator_is_asked(kernel: FakeKernel, volumes: Local) -> None:
    def write() -> None:
        kernel.write_data("rd0", b"late" * 1024, 20 * MIB)
        kernel.volumes[0].high = 0

    kernel.when_locked = write
    ran = volumes("rapiddisk", "resize", "rd0", "16M", tty=True, stdin=b"y\n")
    assert (ran.code, kernel.volumes[0].size) == (4, 64 * MIB)


# --- words --------------------------------------------------------------------------------------


def test_sync_that_leaves_blocks(kernel: FakeKernel, volumes: Local, rdctl: Program) -> None:
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=30)
    kernel.after[1] = lambda: setattr(kernel.maps["rc-wb_vdb"], "dirty", 30)
    ran = volumes("rapiddisk", "cache", "sync", "rc-wb_vdb")
    assert ran.code == 1
    assert "rc-wb_vdb: 30 blocks are still not written back" in ran.err
    assert "server" not in ran.out + ran.err
