"""Volumes of this machine: what is read, what is written to `mgmt`, and what the kernel would let
happen."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.backend import Kernel
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel

Local = Callable[..., Ran]


def commands(ran: Ran) -> list[str]:
    """What a traced run wrote to mgmt."""
    return [line.split("'")[1] for line in ran.err.splitlines() if line.startswith("echo 'rapid")]


def rows(ran: Ran) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    found: list[dict[str, Any]] = ran.json["items"]
    return found


# --- reading ------------------------------------------------------------------------------------


def test_the_list(kernel: FakeKernel, local: Local) -> None:
    for number in (10, 2, 0):
        kernel.add_volume(number, 8 * MIB)
    kernel.write_data("rd2", b"x" * 5000)
    local("rapiddisk", "lock", "rd10")
    same = {"size": 8 * MIB, "usage": 0, "locked": False, "unwritten": 0, "used_by": []}
    assert rows(local("rapiddisk", "list", "--json")) == [
        {"device": "rd0", **same},
        {"device": "rd2", **same, "usage": 2 * PAGE},
        {"device": "rd10", **same, "locked": True},
    ]


def test_an_empty_list(local: Local) -> None:
    assert rows(local("rapiddisk", "list", "--json")) == []


def test_only_the_module_says_what_a_volume_is(kernel: FakeKernel, local: Local) -> None:
    """Other drivers have names that begin with rd."""
    kernel.add_disk("rd7", 8 * MIB, "48:7")
    assert rows(local("rapiddisk", "list", "--json")) == []
    assert local("rapiddisk", "remove", "rd7", "--yes").code == 3


@pytest.mark.parametrize("root", [True, False], ids=["root", "nobody"])
def test_a_list_that_the_kernel_cuts(kernel: FakeKernel, local: Local, root: bool) -> None:
    """It ends after a page, within a line; the names are in /sys/block, beside strangers
    (docs/wire/rapiddisk-local.md#21-reading)."""
    kernel.add_volumes(300)
    kernel.add_disk("rd4000", 8 * MIB, "48:0")
    kernel.volumes[299].used = 3 * PAGE
    kernel.root_user = root
    ran = local("rapiddisk", "list", "--json")
    found = rows(ran)
    assert [row["device"] for row in found] == [f"rd{number}" for number in range(300)]
    assert {row["size"] for row in found} == {8 * MIB}
    assert {row["locked"] for row in found} == {False}
    unseen = [row for row in found if row["usage"] is None]
    if root:
        assert unseen == []
        assert found[299]["usage"] == 3 * PAGE
        assert ran.err == ""
    else:
        assert 50 < len(unseen) < 150
        assert f"usage of {len(unseen)} volumes is unknown" in ran.err


def test_a_number_that_the_kernel_cuts_is_not_believed(kernel: FakeKernel, local: Local) -> None:
    """Wherever the page ends: within the usage of a volume, what is left of it is a number too."""
    kernel.add_volumes(300)
    kernel.root_user = False
    for volume in kernel.volumes.values():
        volume.used = 123 * PAGE
    for digits in range(1, 12):
        kernel.volumes[0].used = 10**digits
        kernel.refresh()
        known = {row["device"]: row["usage"] for row in rows(local("rapiddisk", "list", "--json"))}
        assert known.pop("rd0") == 10**digits
        assert set(known.values()) == {123 * PAGE, None}


def test_a_thousand_volumes_cost_little_more_than_ten(rdctl: Program) -> None:
    """And no root."""
    seconds = {}
    for count in (10, 1000):
        kernel = FakeKernel(rdctl.home / str(count))
        kernel.add_volumes(count)
        kernel.root_user = False
        rdctl.root, rdctl.calls = kernel.root, kernel
        spent = []
        for _ in range(3):
            start = time.process_time()
            ran = rdctl("--local", "rapiddisk", "list", "-o", "ndjson")
            spent.append(time.process_time() - start)
            assert len(ran.out.splitlines()) == count
        seconds[count] = min(spent)
    assert seconds[1000] < 2 * seconds[10] + 0.2


def test_a_volume_that_goes_while_it_is_read(kernel: FakeKernel, local: Local) -> None:
    """The list still names it."""
    kernel.add_volume(0)
    listed = kernel.text("sys/kernel/rapiddisk/devices")
    kernel.remove_volume(0)
    kernel.put("sys/kernel/rapiddisk/devices", f"{listed}\n")
    (row,) = rows(local("rapiddisk", "list", "--json"))
    assert (row["device"], row["locked"]) == ("rd0", None)
    assert local("rapiddisk", "remove", "rd0", "--yes").code != 0


def test_show(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.write_data("rd0", b"x" * PAGE, 409600)
    item = local("rapiddisk", "show", "/dev/rd0", "--json").json["item"]
    assert item["high_water"] == 808 * 512
    assert item["users"] == []
    assert set(item["users_seen"]) >= {"mount", "swap", "loop", "mapping", "cache", "export"}


def test_resources(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.add_disk("loop0", MIB, "7:0")
    kernel.add_disk("sr0", MIB, "11:0")
    item = local("rapiddisk", "resources", "--json").json["item"]
    assert item == {
        "mem_total": 4007088 << 10,
        "mem_free": 3420180 << 10,
        "mem_available": 3500 * MIB,
        "disks": [
            {"device": "sda", "size": 512 * MIB, "vendor": "QEMU", "model": "QEMU HARDDISK"},
            {"device": "sdb", "size": 1024 * MIB, "vendor": None, "model": None},
            {"device": "vdb", "size": 512 * MIB, "vendor": None, "model": None},
            {"device": "vdc", "size": 512 * MIB, "vendor": None, "model": None},
        ],
    }


# --- creating -----------------------------------------------------------------------------------


def test_create_takes_the_lowest_free_number_in_bytes(kernel: FakeKernel, local: Local) -> None:
    for number in (0, 1, 3, *range(4, 14)):
        kernel.add_volume(number)
    ran = local("rapiddisk", "create", "64M", "--count", "2", "--trace")
    assert (ran.code, commands(ran)) == (
        0,
        ["rapiddisk attach 2 67108864", "rapiddisk attach 14 67108864"],
    )
    assert ran.out == "created rd2 (67108864 bytes)\ncreated rd14 (67108864 bytes)\n"


def test_create_with_a_number(kernel: FakeKernel, local: Local) -> None:
    ran = local("rapiddisk", "create", "8M", "--number", "1048575", "--json")
    assert ran.json["results"][0]["target"] == "rd1048575"
    again = local("rapiddisk", "create", "8M", "--number", "1048575", "--json")
    assert (again.code, again.json["results"][0]["changed"]) == (0, False)
    other = local("rapiddisk", "create", "9M", "--number", "1048575", "--json")
    assert (other.code, other.json["errors"][0]["code"]) == (4, "exists")
    assert len(kernel.volumes) == 1
    for wrong in (("--number", "1048576"), ("--number", "1", "--count", "2"), ("--number", "x")):
        assert local("rapiddisk", "create", "8M", *wrong).code == 2


def test_a_number_lost_to_another_tool_is_taken_again(kernel: FakeKernel, local: Local) -> None:
    kernel.before[1] = lambda: kernel.take_number(0)
    kernel.before[2] = lambda: kernel.take_number(1)
    ran = local("rapiddisk", "create", "8M", "--json")
    assert ran.json["results"][0] == {
        "action": "create",
        "target": "rd2",
        "changed": True,
        "verified": True,
        "size": 8 * MIB,
        "before": None,
        "after": {"size": 8 * MIB},
    }
    assert kernel.volumes[2].size == 8 * MIB


def test_a_chosen_number_that_is_lost_is_not_replaced(kernel: FakeKernel, local: Local) -> None:
    kernel.before[1] = lambda: kernel.take_number(5)
    ran = local("rapiddisk", "create", "8M", "--number", "5", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (4, "exists")
    assert list(kernel.volumes) == [5]


def test_the_limit_of_the_module(rdctl: Program) -> None:
    kernel = FakeKernel(rdctl.root, limit=2)
    rdctl.calls = kernel
    ran = rdctl("--local", "rapiddisk", "create", "8M", "--count", "4", "--json")
    assert ran.code == 8
    assert [result["target"] for result in ran.json["results"]] == ["rd0", "rd1"]
    assert "the module's limit of 2 volumes is reached; 1 more skipped" in ran.err


def test_a_refusal_for_no_reason_that_is_seen(kernel: FakeKernel, local: Local) -> None:
    """The number is free still: then it is no lost race, and not tried for ever."""
    kernel.fail_at(1, errno.EINVAL)
    ran = local("rapiddisk", "create", "8M")
    assert (ran.code, kernel.steps) == (1, 1)
    assert "dmesg" in ran.err


def test_two_of_us_never_collide(kernel: FakeKernel, local: Local, rdctl: Program) -> None:
    """The second waits for the first, then reads the list."""
    other = Syscalls().lock(str(kernel.path("run/rdctl.lock")))
    assert other is not None
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            kernel.take_number(0)
            kernel.close(other)

    rdctl.sleep = sleep
    ran = local("rapiddisk", "create", "8M", "--json")
    assert ran.json["results"][0]["target"] == "rd1"
    assert "waiting for another rdctl (process " in ran.err
    assert kernel.steps == 1


def test_another_of_us_that_never_ends(kernel: FakeKernel, local: Local, rdctl: Program) -> None:
    other = Syscalls().lock(str(kernel.path("run/rdctl.lock")))
    assert other is not None
    ran = local("rapiddisk", "create", "8M", "--json")
    kernel.close(other)
    assert (ran.code, ran.json["error"]["code"]) == (4, "in-use")
    lock = kernel.path("run/rdctl.lock")
    assert f"another rdctl (process {os.getpid()}) holds the lock {lock}" in ran.err
    assert 20 < sum(rdctl.slept) < 40
    assert kernel.steps == 0
    assert local("rapiddisk", "create", "8M").code == 0


def test_no_longer_than_the_timeout(kernel: FakeKernel, local: Local, rdctl: Program) -> None:
    other = Syscalls().lock(str(kernel.path("run/rdctl.lock")))
    assert other is not None
    assert local("rapiddisk", "create", "8M", "--timeout", "2").code == 4
    kernel.close(other)
    assert 1.5 < sum(rdctl.slept) <= 2.1


def test_what_the_kernel_makes_otherwise_is_not_believed(kernel: FakeKernel, local: Local) -> None:
    """Its answer was Success; the list shows another size."""
    kernel.after[1] = lambda: kernel.replace_volume(0, 0)
    ran = local("rapiddisk", "create", "8M", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (9, "unproven")


# --- resizing -----------------------------------------------------------------------------------


def test_resize(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    ran = local("rapiddisk", "resize", "rd0", "128M", "--trace")
    assert (ran.code, commands(ran)) == (0, ["rapiddisk resize 0 134217728"])
    ran = local("rapiddisk", "resize", "rd0", "16M", "--yes", "--trace")
    assert (ran.code, commands(ran)) == (0, ["rapiddisk resize 0 16777216"])
    same = local("rapiddisk", "resize", "rd0", "16M", "--json")
    assert same.json["results"][0]["changed"] is False


def test_shrinking_asks(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    ran = local("rapiddisk", "resize", "rd0", "16M")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "will shrink from 64.0 MiB to 16.0 MiB" in ran.err


def test_shrinking_below_what_was_written_is_refused_before_it_is_asked(
    kernel: FakeKernel, local: Local
) -> None:
    kernel.add_volume(0)
    kernel.write_data("rd0", b"x" * PAGE, 16 * MIB - PAGE)
    ran = local("rapiddisk", "resize", "rd0", "16M", tty=True, stdin=b"y\n")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "Continue?" not in ran.err
    assert "rdctl --local rapiddisk flush rd0" in ran.err
    assert local("rapiddisk", "resize", "rd0", "17M", "--yes").code == 0


def test_written_to_while_it_is_cut(kernel: FakeKernel, local: Local) -> None:
    """The kernel's EINVAL is told (docs/wire/rapiddisk-local.md#25-resize)."""
    kernel.add_volume(0)
    kernel.before[1] = lambda: kernel.write_data("rd0", b"x" * PAGE, 32 * MIB)
    ran = local("rapiddisk", "resize", "rd0", "16M", "--yes")
    assert ran.code == 1
    assert "rd0 was not resized to 16.0 MiB" in ran.err
    assert kernel.volumes[0].size == 64 * MIB


# --- erasing, removing, locking -----------------------------------------------------------------


def test_flush(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.write_data("rd0", b"x" * PAGE)
    ran = local("rapiddisk", "flush", "rd0", "--yes", "--json")
    assert ran.json["results"][0]["verified"] is True
    volume = kernel.volumes[0]
    assert (volume.used, volume.blocks, volume.size) == (0, {}, 64 * MIB)


def test_remove(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.add_volume(3)
    ran = local("rapiddisk", "remove", "rd3", "rd9", "rd0", "--yes", "--json", "--trace")
    assert ran.code == 8
    assert commands(ran) == ["rapiddisk detach 3", "rapiddisk detach 0"]
    assert kernel.volumes == {}


@pytest.mark.parametrize("name", ["abc", "rd", "rdabc", "rd-1", "rd0 ", "rd0;rd1", "vdb", "rd01x"])
def test_what_is_no_number_reaches_no_kernel(kernel: FakeKernel, local: Local, name: str) -> None:
    """`detach abc` removes rd0 (docs/wire/rapiddisk-local.md#22-commands)."""
    kernel.add_volume(0)
    for verb in (("remove",), ("flush",), ("lock",), ("resize", name, "8M")):
        words = verb if len(verb) > 1 else (*verb, name)
        assert local("rapiddisk", *words, "--yes").code == 2
    assert kernel.steps == 0
    assert local("rapiddisk", "remove", "rd00", "--yes").code == 3


@pytest.mark.parametrize("size", ["0", "-1", "512B", "64abc", "010x", "9223372036854775808B"])
def test_what_is_no_size_reaches_no_kernel(kernel: FakeKernel, local: Local, size: str) -> None:
    """A module of 9.0.0 takes 0 bytes, and 2^64 (docs/wire/rapiddisk-local.md#22-commands)."""
    assert local("rapiddisk", "create", "--", size).code == 2
    assert kernel.steps == 0


def test_lock_and_unlock(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    for verb, locked in (("lock", True), ("lock", True), ("unlock", False), ("unlock", False)):
        changed = kernel.volumes[0].locked != locked
        ran = local("rapiddisk", verb, "rd0", "--json")
        assert ran.json["results"][0]["changed"] is changed
        assert kernel.volumes[0].locked is locked


def test_a_volume_in_use_can_be_locked(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.mount("/dev/rd0", "/mnt")
    assert local("rapiddisk", "lock", "rd0").code == 0


def test_a_thousand_are_removed_with_few_looks(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volumes(200)
    names = "\n".join(f"rd{number}" for number in range(200)).encode()
    start = time.process_time()
    ran = local("rapiddisk", "remove", "-", "--yes", "--json", stdin=names)
    assert len(ran.json["results"]) == 200
    assert kernel.volumes == {}
    assert time.process_time() - start < 5


# --- the module ---------------------------------------------------------------------------------

ANY = [("list",), ("create", "8M"), ("remove", "rd0", "--yes"), ("cache", "list")]


@pytest.mark.parametrize("words", ANY, ids=" ".join)
def test_no_module(rdctl: Program, words: tuple[str, ...]) -> None:
    rdctl.calls = FakeKernel(rdctl.root, version=None)
    ran = rdctl("--local", "rapiddisk", *words, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (6, "module-missing")
    assert "sudo modprobe rapiddisk;" in ran.err


@pytest.mark.parametrize("version", ["8.2.0", "7.0", "10.0.0", "90.1", ""])
@pytest.mark.parametrize("words", ANY, ids=" ".join)
def test_a_module_of_another_dialect(rdctl: Program, version: str, words: tuple[str, ...]) -> None:
    """An attach in the words of 9 makes a volume of a wrong size there
    (docs/wire/rapiddisk-local.md#26-module-7x--8x-dialect)."""
    rdctl.calls = kernel = FakeKernel(rdctl.root, version=version)
    ran = rdctl("--local", "rapiddisk", *words, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")
    assert version in ran.err
    assert kernel.steps == 0


@pytest.mark.parametrize("version", ["9.0.0", "9.2.0", "9.17"])
def test_any_9_is_spoken_to(rdctl: Program, version: str) -> None:
    rdctl.calls = FakeKernel(rdctl.root, version=version)
    assert rdctl("--local", "rapiddisk", "create", "8M").code == 0


def test_status_says_what_is_missing(rdctl: Program) -> None:
    rdctl.calls = FakeKernel(rdctl.root, version=None, nvmet=False)
    ran = rdctl("--local", "rapiddisk", "status", "--json")
    item = ran.json["item"]
    assert (ran.code, item["status"], item["version"]) == (0, "module missing", None)
    modules = {module["module"]: module for module in item["modules"]}
    assert modules["rapiddisk"]["load"] == "modprobe rapiddisk"
    assert modules["nvmet"]["loaded"] is False
    assert modules["nvme-loop"]["load"] is None
    assert "not available in this kernel" in modules["nvme-loop"]["needed_for"]
    other = FakeKernel(rdctl.home / "other", version="8.2.0")
    rdctl.root, rdctl.calls = other.root, other
    item = rdctl("--local", "rapiddisk", "status", "--json").json["item"]
    assert (item["status"], item["version"], item["dialect"]) == (
        "unsupported version",
        "8.2.0",
        None,
    )


def test_status(local: Local) -> None:
    item = local("rapiddisk", "status", "--json").json["item"]
    assert item["status"] == "OK"
    assert (item["mode"], item["endpoint"], item["dialect"]) == ("local", None, "9")
    assert (item["volumes"], item["max_volumes"]) == (0, 1024)
    assert "rapiddisk-cache" in local("rapiddisk", "status").out


# --- the system calls themselves ----------------------------------------------------------------


def test_one_write_whose_own_result_counts(tmp_path: Any) -> None:
    """Through a real file descriptor; a file that is not there is not made."""
    file = tmp_path / "mgmt"
    with pytest.raises(FileNotFoundError):
        Syscalls().write(str(file), "rapiddisk attach 0 1048576")
    assert not file.exists()
    file.write_text("")
    Syscalls().write(str(file), "rapiddisk attach 0 1048576")
    assert file.read_text() == "rapiddisk attach 0 1048576"
    with pytest.raises(OSError, match="No space left"):
        Syscalls().write("/dev/full", "x")


def test_a_command_is_written_at_once(kernel: FakeKernel, local: Local) -> None:
    """Only the first command of a write is executed, and numbers begin with no 0
    (docs/wire/rapiddisk-local.md#22-commands)."""
    ran = local("rapiddisk", "create", "8M", "--count", "3", "--trace")
    assert commands(ran) == [f"rapiddisk attach {number} 8388608" for number in range(3)]
    assert kernel.steps == 3


def test_the_driver_needs_no_program(tmp_path: Any) -> None:
    """It takes a root and system calls, and nothing else of the process."""
    kernel = FakeKernel(tmp_path / "root")
    trace: list[str] = []
    effects = Effects(ask=lambda losses: None, trace=trace.append)
    driver = Kernel(
        str(kernel.root), kernel, effects, warn=lambda text: None, sleep=lambda seconds: None
    )
    driver.create(8 * MIB, None)
    assert [volume.device for volume in driver.inventory().volumes] == ["rd0"]
    assert effects.done == ["create rd0"]
    mgmt = f"{kernel.root}/sys/kernel/rapiddisk/mgmt"
    changes = [line for line in trace if not line.startswith("#")]
    assert changes == [f"echo 'rapiddisk attach 0 8388608' > {mgmt}"]
