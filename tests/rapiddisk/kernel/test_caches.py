"""Caches of this machine: the tables, the refusals, and the dirty blocks that may not be lost."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel, Killed

Local = Callable[..., Ran]


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    for number in range(3):
        kernel.add_volume(number)
    return local


def caches(local: Local) -> list[tuple[Any, ...]]:
    ran = local("rapiddisk", "cache", "list", "--json")
    assert ran.code == 0, ran.err
    return [tuple(row.values())[:4] for row in ran.json["items"]]


def made(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    target: str = ran.json["results"][0]["target"]
    return target


# --- making -------------------------------------------------------------------------------------

TABLES = {
    "write-through": ("rc-wt_vdb", "0 1048576 rapiddisk-cache /dev/vdb /dev/rd0 131072 0"),
    "write-around": ("rc-wa_vdb", "0 1048576 rapiddisk-cache /dev/vdb /dev/rd0 131072 1"),
    "writeback": ("rc-wb_vdb", "0 1048576 writecache s /dev/vdb /dev/rd0 4096 2 max_age 300000"),
}


@pytest.mark.parametrize("policy", TABLES)
def test_the_table_of_each_policy(kernel: FakeKernel, volumes: Local, policy: str) -> None:
    name, table = TABLES[policy]
    words = ("cache", "create", "rd0", "/dev/vdb", "--policy", policy, "--yes", "--trace")
    ran = volumes("rapiddisk", *words, "-o", "json")
    assert made(ran) == name
    assert f"dmsetup load {name} --table '{table}'\n" in ran.err
    mapping = kernel.maps[name]
    assert (mapping.slaves, mapping.sectors) == (["vdb", "rd0"], 1048576)
    assert mapping.arguments == table.split()[3:]
    assert caches(volumes) == [(name, "rd0", "vdb", policy)]


def test_policies_stacked_on_each_other(kernel: FakeKernel, volumes: Local) -> None:
    """writeback comes last: its blocks are too large for the others."""
    made(volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json"))
    words = ("cache", "create", "rd1", "rc-wt_vdb", "--policy", "write-around", "--json")
    assert made(volumes("rapiddisk", *words)) == "rc-wa_rc-wt_vdb"
    third = ("cache", "create", "rd2", "/dev/dm-1", "--policy", "writeback", "--yes", "--json")
    assert made(volumes("rapiddisk", *third)) == "rc-wb_rc-wa_rc-wt_vdb"
    assert caches(volumes) == [
        ("rc-wa_rc-wt_vdb", "rd1", "rc-wt_vdb", "write-around"),
        ("rc-wb_rc-wa_rc-wt_vdb", "rd2", "rc-wa_rc-wt_vdb", "writeback"),
        ("rc-wt_vdb", "rd0", "vdb", "write-through"),
    ]


def test_a_volume_as_source(volumes: Local) -> None:
    made(volumes("rapiddisk", "cache", "create", "rd1", "rd0", "--json"))
    assert caches(volumes) == [("rc-wt_rd0", "rd1", "rd0", "write-through")]


def test_a_source_by_another_path_is_the_same_source(kernel: FakeKernel, volumes: Local) -> None:
    """Its name is that of the device, so that one disk is never cached twice."""
    kernel.link_node("dev/disk/by-id/virtio-1", "../../vdb")
    made(volumes("rapiddisk", "cache", "create", "rd0", "/dev/disk/by-id/virtio-1", "--json"))
    ran = volumes("rapiddisk", "cache", "create", "rd1", "vdb", "--policy", "write-around")
    assert ran.code == 4
    assert "vdb is in use: used by cache rc-wt_vdb" in ran.err


@pytest.mark.parametrize(
    ("source", "code"),
    [("nosuch", 3), ("/dev/nosuch", 3), ("/dev/mapper/x", 3), ("/proc/meminfo", 2)],
)
def test_a_source_that_is_none(volumes: Local, source: str, code: int) -> None:
    assert volumes("rapiddisk", "cache", "create", "rd0", source).code == code


def test_the_same_once_more(kernel: FakeKernel, volumes: Local) -> None:
    made(volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json"))
    steps = kernel.steps
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json")
    assert ran.json["results"][0]["changed"] is False
    assert kernel.steps == steps


REFUSED = {
    "onto itself": ("rd0", "rd0"),
    "source mapped": ("rd1", "vdb"),
    "source mapped, another policy": ("rd1", "vdb", "--policy", "write-around"),
    "volume mapped": ("rd2", "vdc"),
    "source of a volume that caches": ("rd1", "rd2"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_the_kernel_would_let_pass(
    kernel: FakeKernel, volumes: Local, words: tuple[str, ...]
) -> None:
    """Each of them corrupts data (docs/wire/rapiddisk-local.md#32-calls)."""
    kernel.map_cache("rc-wt_vdb", "rd2", "vdb")
    ran = volumes("rapiddisk", "cache", "create", *words, "--yes", "--discard-contents")
    assert (ran.code, kernel.steps) == (4, 0)


def test_contents_are_not_overwritten(kernel: FakeKernel, volumes: Local) -> None:
    kernel.write_data("rd0", b"x" * PAGE, MIB)
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--yes", "--json")
    assert (ran.code, ran.json["error"]["code"], kernel.steps) == (4, "not-empty", 0)
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--discard-contents", "--json")
    assert (ran.code, ran.json["error"]["code"], kernel.steps) == (2, "consent-missing", 0)
    words = ("cache", "create", "rd0", "vdb", "--discard-contents", "--yes", "--json")
    made(volumes("rapiddisk", *words))
    assert kernel.volumes[0].blocks == {}


@pytest.mark.parametrize("policy", TABLES)
def test_contents_whose_counter_reads_0(kernel: FakeKernel, volumes: Local, policy: str) -> None:
    """After an erase that was refused. ext4 begins with zeros: not only the first bytes count."""
    kernel.write_data("rd0", b"ext4", 1080)
    kernel.volumes[0].used = kernel.volumes[0].high = 0
    kernel.refresh()
    words = ("cache", "create", "rd0", "vdb", "--policy", policy, "--yes")
    ran = volumes("rapiddisk", *words, "--json")
    assert (ran.code, ran.json["error"]["code"], kernel.steps) == (4, "not-empty", 0)
    assert volumes("rapiddisk", *words, "--discard-contents").code == 0


def test_writeback_asks(kernel: FakeKernel, volumes: Local) -> None:
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--policy", "writeback")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "a crash or a power failure loses them" in ran.err


@pytest.mark.parametrize("policy", ["write-through", "write-around"])
def test_a_volume_too_small_for_a_set_of_blocks(
    kernel: FakeKernel, volumes: Local, policy: str
) -> None:
    """The kernel says that it has no memory (docs/wire/rapiddisk-local.md#31-tables)."""
    kernel.add_volume(5, MIB)
    ran = volumes("rapiddisk", "cache", "create", "rd5", "vdb", "--policy", policy)
    assert (ran.code, kernel.steps) == (4, 0)
    assert "requires at least 2.0 MiB" in ran.err
    words = ("cache", "create", "rd5", "vdb", "--policy", "writeback", "--yes")
    assert volumes("rapiddisk", *words).code == 0


def test_no_module_for_caches(kernel: FakeKernel, volumes: Local) -> None:
    kernel.path("sys/module/rapiddisk_cache/version").unlink()
    kernel.path("sys/module/rapiddisk_cache").rmdir()
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (6, "module-missing")
    assert "modprobe rapiddisk-cache" in ran.err
    words = ("cache", "create", "rd0", "vdb", "--policy", "writeback", "--yes")
    assert volumes("rapiddisk", *words).code == 0


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EINVAL, "rc-wt_vdb was not created: refused by the kernel"),
        (errno.ENOMEM, "rc-wt_vdb was not created: the kernel is out of memory"),
        (errno.EBUSY, "rc-wt_vdb was not created: in use"),
        (errno.ENODEV, "rc-wt_vdb was not created: device not found"),
    ],
)
def test_a_table_that_the_kernel_refuses_leaves_nothing(
    kernel: FakeKernel, volumes: Local, number: int, told: str
) -> None:
    """A failed load leaves an empty device, which no listing of the kernel's files shows
    (docs/wire/rapiddisk-local.md#32-calls)."""
    kernel.fail_at(2, number)
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb")
    assert ran.code in (1, 4)
    assert told in ran.err
    assert kernel.maps == {}


def test_what_cannot_be_undone_is_named(kernel: FakeKernel, volumes: Local) -> None:
    kernel.fail_at(2, errno.EINVAL)
    kernel.fail_at(3, errno.EBUSY)
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb")
    assert "Left behind, could not be undone: dmsetup remove rc-wt_vdb" in ran.err
    assert caches(volumes) == [("rc-wt_vdb", None, None, "write-through")]


def test_the_node_comes_a_moment_later(kernel: FakeKernel, volumes: Local, rdctl: Program) -> None:
    kernel.udev = False
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            kernel.link_node("dev/mapper/rc-wt_vdb", "../dm-0")

    rdctl.sleep = sleep
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb")
    assert (ran.code, len(waits), ran.err) == (0, 4, "")


def test_no_udev_no_node(kernel: FakeKernel, volumes: Local, rdctl: Program) -> None:
    kernel.udev = False
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--json")
    assert made(ran) == "rc-wt_vdb"
    assert "/dev/mapper/rc-wt_vdb did not appear" in ran.err
    assert "/dev/dm-0" in ran.err
    assert 3 < sum(rdctl.slept) < 10


# --- half made ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loaded", [False, True], ids=["no table", "table not in use"])
@pytest.mark.parametrize("policy", ["write-through", "writeback"])
def test_a_half_made_cache_is_named_and_removed(
    kernel: FakeKernel, volumes: Local, policy: str, loaded: bool
) -> None:
    words = ("cache", "create", "rd0", "vdb", "--policy", policy, "--yes")
    kernel.kill_at(3 if loaded else 2)
    with pytest.raises(Killed):
        volumes("rapiddisk", *words)
    kernel.revive()
    name = TABLES[policy][0]
    assert caches(volumes) == [(name, None, None, policy)]
    ran = volumes("rapiddisk", *words)
    assert ran.code == 4
    assert f"rdctl --local rapiddisk cache remove {name}" in ran.err
    ran = volumes("rapiddisk", "cache", "stats", name)
    assert ran.code == 4
    assert "incomplete" in ran.err
    assert volumes("rapiddisk", "cache", "remove", name, "--yes").code == 0
    assert kernel.maps == {}
    # A writeback table has formatted the volume: it holds nothing that was not written back.
    assert volumes("rapiddisk", *words).code == 0


def test_what_only_has_the_name_of_a_cache(kernel: FakeKernel, volumes: Local) -> None:
    """It is somebody else's, and is not removed."""
    kernel.map_linear("rc-wt_nothing")
    kernel.map_linear("rc-wb_two", "vdb", "vdc")
    assert caches(volumes) == []
    assert volumes("rapiddisk", "cache", "remove", "rc-wt_nothing", "--yes").code == 3


def test_a_name_that_somebody_else_has_taken(kernel: FakeKernel, volumes: Local) -> None:
    """It stays theirs: what was not created is not undone."""
    kernel.map_linear("rc-wt_vdb", "vdc")
    ran = volumes("rapiddisk", "cache", "create", "rd0", "vdb")
    assert ran.code == 4
    assert "rc-wt_vdb was not created" in ran.err
    assert kernel.maps["rc-wt_vdb"].slaves == ["vdc"]


def test_a_cache_half_made_uses_no_other_volume(kernel: FakeKernel, volumes: Local) -> None:
    """Its parts are not known, and that keeps nobody from the volumes."""
    kernel.begin_mapping("rc-wt_vdc")
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0


def test_many_mappings_fill_more_than_one_buffer(kernel: FakeKernel, volumes: Local) -> None:
    for number in range(600):
        kernel.begin_mapping(f"vg-volume{number:0100}")
    kernel.begin_mapping("rc-wt_vdc")
    assert caches(volumes) == [("rc-wt_vdc", None, None, "write-through")]


# --- statistics ---------------------------------------------------------------------------------


def test_the_counters(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.map_cache("rc-wb_sda", "rd1", "sda", dirty=512)
    ran = volumes("rapiddisk", "cache", "stats", "--json")
    back, through = ran.json["items"]
    assert (through["reads"], through["cache_hits"], through["writes"]) == (1034, 646, 8)
    assert (through["hit_rate"], through["cache_writes"]) == (0.6248, 396)
    assert (through["write_invalidates"], through["errors"]) == (8, None)
    assert (back["reads"], back["cache_hits"], back["writes"]) == (1034, 642, 512)
    assert (back["num_blocks"], back["num_free_blocks"]) == (16320, 15808)
    assert (back["num_write_cache_alloc"], back["num_discard_req"]) == (512, 0)
    assert back["replacement"] is None


def test_an_older_kernel_counts_less(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd1", "sda")
    kernel.writecache_numbers = 4
    (row,) = volumes("rapiddisk", "cache", "stats", "--json").json["items"]
    assert (row["num_blocks"], row["num_flush_req"], row["reads"]) == (16320, None, None)


def test_counters_of_what_is_not_there(volumes: Local) -> None:
    assert volumes("rapiddisk", "cache", "stats", "rc-wt_vdb").code == 3


# --- writing back -------------------------------------------------------------------------------


def test_a_writeback_cache_is_written_back_and_its_volume_wiped(
    kernel: FakeKernel, volumes: Local
) -> None:
    """Mapped again, its old blocks would go to any disk (docs/wire/rapiddisk-local.md#36-unmap)."""
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=77)
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes", "--trace")
    assert ran.code == 0
    steps = [line for line in ran.err.splitlines() if not line.startswith("#")]
    assert [step.split("/")[0] for step in steps] == [
        "dmsetup message rc-wb_sda 0 flush",
        "dmsetup remove rc-wb_sda",
        "ioctl ",
    ]
    assert kernel.volumes[0].blocks == {}
    assert kernel.volumes[0].dirty_of is None
    assert volumes("rapiddisk", "cache", "create", "rd0", "vdb").code == 0


def test_old_blocks_of_another_tool_are_not_replayed(kernel: FakeKernel, volumes: Local) -> None:
    """`dmsetup remove` leaves them in the volume, also those that were written back
    (docs/wire/rapiddisk-local.md#36-unmap)."""
    kernel.map_cache("rc-wb_sda", "rd0", "sda")
    kernel.unmap_unsafely("rc-wb_sda")
    words = ("cache", "create", "rd0", "vdb", "--policy", "writeback")
    assert volumes("rapiddisk", *words).code == 2
    assert volumes("rapiddisk", *words, "--yes").code == 0


def test_others_that_keep_their_pages(kernel: FakeKernel, volumes: Local) -> None:
    """A write-through cache has nothing to write back; what it cached only takes memory."""
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    ran = volumes("rapiddisk", "cache", "remove", "rc-wt_vdb", "--yes", "--trace")
    assert [line for line in ran.err.splitlines() if not line.startswith("#")] == [
        "dmsetup remove rc-wt_vdb"
    ]
    assert kernel.volumes[0].used == 261 * PAGE


def test_a_cache_that_cannot_write_back_stays(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=77)
    kernel.fail_at(1, errno.EIO)
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes")
    assert ran.code == 1
    assert "rc-wb_sda was not written back" in ran.err
    assert kernel.maps["rc-wb_sda"].dirty == 77


def test_a_cache_that_somebody_fills_meanwhile_stays(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=77)
    kernel.after[1] = lambda: setattr(kernel.maps["rc-wb_sda"], "dirty", 3)
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "in-use")
    assert "3 blocks are still not written back" in ran.err
    assert "rc-wb_sda" in kernel.maps
    kernel.maps["rc-wb_sda"].dirty = 0


def test_a_cache_whose_volume_was_torn_out(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=77)
    kernel.tear_out("rd0")
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes")
    assert ran.code == 4
    assert "dmsetup remove rc-wb_sda" in ran.err
    assert kernel.steps == 0


def test_a_volume_torn_out_before_anything_was_dirty(kernel: FakeKernel, volumes: Local) -> None:
    """The cache has not noticed yet, and nothing is lost."""
    kernel.map_cache("rc-wb_sda", "rd0", "sda")
    kernel.tear_out("rd0")
    kernel.maps["rc-wb_sda"].failed = False
    assert caches(volumes) == [("rc-wb_sda", "rd0", "sda", "writeback")]
    assert volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes").code == 0
    assert kernel.maps == {}


def test_a_volume_torn_out_is_noticed_when_it_is_written_back(
    kernel: FakeKernel, volumes: Local
) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=7)
    kernel.tear_out("rd0")
    mapping = kernel.maps["rc-wb_sda"]
    mapping.failed = False
    kernel.after[1] = lambda: setattr(mapping, "failed", True)
    for words in (("cache", "sync"), ("cache", "remove")):
        ran = volumes("rapiddisk", *words, "rc-wb_sda", "--yes", "--json")
        assert (ran.code, ran.json["errors"][0]["code"]) == (4, "conflict")
    assert "rc-wb_sda" in kernel.maps


def test_a_volume_that_cannot_be_wiped_is_told(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda")
    for step in range(3, 200):
        kernel.fail_at(step, errno.EBUSY)
    ran = volumes("rapiddisk", "cache", "remove", "rc-wb_sda", "--yes")
    assert ran.code == 4
    assert "its cache was removed, but rd0 still holds old blocks" in ran.err
    assert "rdctl --local rapiddisk flush rd0" in ran.err


def test_sync(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_sda", "rd0", "sda", dirty=77)
    kernel.map_cache("rc-wt_vdb", "rd1", "vdb")
    kernel.mount("/dev/mapper/rc-wb_sda", "/mnt")
    ran = volumes("rapiddisk", "cache", "sync", "rc-wb_sda", "rc-wt_vdb", "rc-wb_no", "--json")
    assert ran.code == 8
    assert ran.json["results"] == [
        {
            "action": "sync",
            "target": "rc-wb_sda",
            "changed": True,
            "verified": True,
            "dirty": 0,
        },
        {"action": "sync", "target": "rc-wt_vdb", "changed": False, "verified": True},
    ]
    kernel.after[2] = lambda: setattr(kernel.maps["rc-wb_sda"], "dirty", 5)
    ran = volumes("rapiddisk", "cache", "sync", "rc-wb_sda", "--json")
    assert (ran.code, ran.json["results"]) == (1, [])
    assert ran.json["errors"][0]["dirty"] == 5
    assert "rc-wb_sda: 5 blocks are still not written back" in ran.err


def test_no_cache_is_removed_while_it_is_open(kernel: FakeKernel, volumes: Local) -> None:
    """By somebody who is not seen: the kernel itself refuses."""
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.exclusive[-1] = "dm-0"
    ran = volumes("rapiddisk", "cache", "remove", "rc-wt_vdb", "--yes", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "in-use")
    assert "rc-wt_vdb" in kernel.maps
