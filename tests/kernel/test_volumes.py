"""Volumes on the kernel itself: what each command leaves, seen past rdctl."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, PAGE


def test_status_and_resources(rdctl: Program, loop: Callable[..., str]) -> None:
    status = rdctl.ok("status")["item"]
    assert status["mode"] == "local"
    assert status["version"] == Path("/sys/module/rapiddisk/version").read_text().strip()
    assert status["endpoint"] is None
    resources = rdctl.ok("resources")["item"]
    assert 0 < resources["mem_free"] <= resources["mem_total"]
    assert 0 < resources["mem_available"] <= resources["mem_total"]
    sizes = {disk["device"]: disk["size"] for disk in resources["disks"]}
    assert {name: sizes.get(name) for name in machine.DISKS} == dict.fromkeys(
        machine.DISKS, machine.DISK_SIZE
    )


def test_an_empty_machine(rdctl: Program) -> None:
    assert rdctl.items("list") == []
    assert rdctl.items("cache", "list") == []
    assert rdctl.items("nvmet", "list") == []
    assert rdctl.items("nvmet", "port", "list") == []


def test_create_takes_the_lowest_free_numbers(rdctl: Program) -> None:
    machine.attach(1)
    report = rdctl.ok("create", "24M", "--count", "3")
    assert [result["target"] for result in report["results"]] == ["rd0", "rd2", "rd3"]
    assert all(result["changed"] and result["verified"] for result in report["results"])
    assert {name: machine.volume(name).size for name in ("rd0", "rd2", "rd3")} == dict.fromkeys(
        ("rd0", "rd2", "rd3"), 24 * MIB
    )


def test_create_fills_a_gap_among_many(rdctl: Program) -> None:
    """The C rapiddisk fails with eleven volumes and a gap at rd1."""
    for number in (0, *range(2, 13)):
        machine.attach(number, 1)
    assert rdctl.ok("create", "1M")["results"][0]["target"] == "rd1"


def test_create_with_a_number(rdctl: Program) -> None:
    assert rdctl.ok("create", "16M", "--number", "77")["results"][0]["target"] == "rd77"
    assert rdctl.ok("create", "16M", "--number", "77")["results"][0]["changed"] is False
    message = rdctl.refused("create", "8M", "--number", "77", code="exists")
    assert "rd77" in message
    assert machine.names() == ["rd77"]


def test_create_beyond_the_memory_is_refused(rdctl: Program) -> None:
    """Volumes are thin: without this guard one that fills up brings the machine down."""
    rdctl.refused("create", "8G", code="conflict")
    assert machine.names() == []
    rdctl.ok("create", "8G", "--overcommit")
    assert machine.volume("rd0").size == 8 << 30
    # What was promised before counts too.
    rdctl.refused("create", "16M", code="conflict")


def test_list_and_show(rdctl: Program) -> None:
    machine.attach(0)
    machine.attach(3, 1)
    with machine.opened("/dev/rd0", os.O_WRONLY) as descriptor:
        os.pwrite(descriptor, b"x" * PAGE, 409600)
        os.fsync(descriptor)
    rows = rdctl.items("list")
    same = {"locked": False, "unwritten": 0, "used_by": []}
    assert rows == [
        {"device": "rd0", "size": 16 * MIB, "usage": PAGE, **same},
        {"device": "rd3", "size": MIB, "usage": 0, **same},
    ]
    assert rdctl.items("list", "rd3") == rows[1:]
    item = rdctl.ok("show", "rd0")["item"]
    assert item["usage"] == PAGE
    assert item["high_water"] == 409600 + PAGE
    assert item["users"] == []
    missing = rdctl.refused("show", "rd1", code="not-found", exit=3)
    assert "rd1" in missing


def test_resize(rdctl: Program) -> None:
    machine.attach(0)
    data = machine.fill("/dev/rd0", 4 * MIB)
    rdctl.ok("resize", "rd0", "32M")
    assert machine.volume("rd0").size == 32 * MIB
    rdctl.ok("resize", "rd0", "5M")
    assert machine.volume("rd0").size == 5 * MIB
    assert machine.digest("/dev/rd0", 4 * MIB) == data
    assert rdctl.ok("resize", "rd0", "5M")["results"][0]["changed"] is False


def test_shrinking_below_what_was_written_is_refused(rdctl: Program) -> None:
    machine.attach(0)
    data = machine.fill("/dev/rd0", 4 * MIB)
    for size in ("4M", "1M"):
        ran = rdctl("resize", "rd0", size)
        assert ran.code in (1, 4), ran
        assert "4.0 MiB" in ran.err, "the message says how far it was written"
    assert machine.volume("rd0").size == 16 * MIB
    assert machine.digest("/dev/rd0", 4 * MIB) == data


def test_flush_erases(rdctl: Program) -> None:
    machine.attach(0)
    machine.fill("/dev/rd0", 2 * MIB)
    rdctl.ok("flush", "rd0")
    assert machine.volume("rd0") == machine.Volume(16 * MIB, 0, 0, False)
    with machine.opened("/dev/rd0") as descriptor:
        assert os.pread(descriptor, 2 * MIB, 0) == bytes(2 * MIB)


def test_remove(rdctl: Program) -> None:
    for number in (0, 1, 10):
        machine.attach(number, 1)
    ran = rdctl("remove", "rd1", "rd5", "rd10")
    assert ran.code == 8
    assert [result["target"] for result in ran.json["results"]] == ["rd1", "rd10"]
    assert [error["target"] for error in ran.json["errors"]] == ["rd5"]
    assert machine.names() == ["rd0"]


def test_lock_is_kept_by_the_kernel_and_by_rdctl(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    data = machine.fill("/dev/rd0", MIB)
    rdctl.ok("lock", "rd0")
    assert rdctl.items("list")[0]["locked"] is True
    with machine.opened("/dev/rd0", os.O_WRONLY) as descriptor, pytest.raises(PermissionError):
        os.write(descriptor, b"x" * PAGE)
    assert rdctl.ok("lock", "rd0")["results"][0]["changed"] is False
    for refused in (
        ("remove", "rd0"),
        ("flush", "rd0"),
        ("resize", "rd0", "32M"),
        ("cache", "create", "rd0", disk, "--discard-contents"),
    ):
        assert "rdctl rapiddisk unlock rd0" in rdctl.refused(*refused, code="locked")
    assert machine.volume("rd0") == machine.Volume(16 * MIB, MIB, MIB, True)
    assert machine.digest("/dev/rd0", MIB) == data
    rdctl.ok("unlock", "rd0")
    machine.fill("/dev/rd0", PAGE)


@pytest.mark.parametrize("verb", ["remove", "flush", "lock", "unlock", "show"])
def test_what_is_not_there(rdctl: Program, verb: str) -> None:
    """The kernel takes a word that is no number for volume 0."""
    machine.attach(0)
    rdctl.refused(verb, "rd7", code="not-found", exit=3)
    rdctl.refused(verb, "abc", code="usage", exit=2)
    assert machine.volume("rd0") == machine.Volume(16 * MIB, 0, 0, False)


@pytest.mark.parametrize(
    "command",
    [
        ("create", "16M", "--count", "2"),
        ("create", "16M", "--number", "5"),
        ("resize", "rd0", "32M"),
        ("resize", "rd0", "8M"),
        ("flush", "rd1"),
        ("remove", "rd0", "rd1"),
        ("lock", "rd0"),
        ("cache", "create", "rd0", "vda"),
        ("cache", "create", "rd1", "vda", "--policy", "writeback", "--discard-contents"),
        (
            "nvmet",
            "port",
            "add",
            "9",
            "--transport",
            "tcp",
            "--interface",
            "lo",
            "--service",
            "4421",
        ),
        ("nvmet", "export", "rd0", "--port", "1", "--any-host"),
        ("nvmet", "export", "rd0", "--port", "1", "--host", "nqn.test:host"),
    ],
    ids=" ".join,
)
def test_a_dry_run_changes_nothing_and_shows_what_a_run_does(
    rdctl: Program, disk: str, command: tuple[str, ...]
) -> None:
    machine.attach(0)
    machine.fill(f"/dev/{machine.attach(1)}", MIB)
    machine.port(1)
    before = machine.volumes(), machine.mappings(), machine.nvmet()
    plan = rdctl.ok(*command, options=("--json", "--dry-run"))["plan"]
    assert (machine.volumes(), machine.mappings(), machine.nvmet()) == before
    ran = rdctl(*command, options=("--json", "--yes", "--trace"))
    assert ran.code == 0, ran
    assert plan
    # What only the change tells is a placeholder.
    done = [line for line in ran.err.splitlines() if not line.startswith("# ")]
    assert len(done) == len(plan)
    for shown, line in zip(plan, done, strict=True):
        assert line == shown or "?" in shown or "<" in shown, (shown, line)
    assert (machine.volumes(), machine.mappings(), machine.nvmet()) != before


def test_nothing_is_destroyed_without_consent(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.fill("/dev/rd0", MIB)
    machine.attach(1)
    before = machine.volumes()
    for command in (
        ("remove", "rd0"),
        ("flush", "rd0"),
        ("resize", "rd0", "8M"),
        ("cache", "create", "rd1", disk, "--policy", "writeback"),
        ("cache", "create", "rd0", disk, "--discard-contents"),
    ):
        assert rdctl(*command, options=("--json",)).code == 2, command
    assert machine.volumes() == before
    assert machine.mappings() == {}


def test_anybody_may_look_and_nobody_may_change(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.fill("/dev/rd0", MIB)
    machine.map_cache("rc-wt_vda", disk, machine.attach(1))
    machine.port(1)
    machine.export("nqn.test:rd0", "/dev/rd0")
    machine.link("nqn.test:rd0", 1)
    assert rdctl.as_nobody("resources").code == 0
    for looking in (
        ("status",),
        ("list",),
        ("cache", "list"),
        ("nvmet", "list"),
        ("nvmet", "port", "list"),
    ):
        as_root = rdctl(*looking)
        as_other = rdctl.as_nobody(*looking)
        # What a former cache holds has to be read from the volume.
        expected = as_root.stdout.replace(b'"unwritten": 0', b'"unwritten": null')
        assert (as_other.code, as_other.stdout) == (as_root.code, expected)
    # The rest of what `show` tells has to be asked of the device itself.
    shown = rdctl.as_nobody("show", "rd0")
    assert shown.code == 0
    assert shown.json["item"]["usage"] == MIB
    assert shown.json["item"]["high_water"] is None
    assert [user["kind"] for user in shown.json["item"]["users"]] == ["export"]
    before = machine.volumes(), machine.mappings(), machine.nvmet()
    machine.attach(2)
    for changing in (
        ("create", "16M"),
        ("resize", "rd2", "32M"),
        ("flush", "rd2"),
        ("remove", "rd2"),
        ("lock", "rd2"),
        ("cache", "stats", "rc-wt_vda"),
        ("cache", "create", "rd2", "vdb"),
        ("cache", "remove", "rc-wt_vda"),
        ("nvmet", "port", "add", "2", "--transport", "tcp", "--address", "::1"),
        ("nvmet", "export", "rd2", "--port", "1", "--any-host"),
        ("nvmet", "unexport", "rd0"),
    ):
        ran = rdctl.as_nobody(*changing)
        assert ran.code == 5, (changing, ran)
    machine.mgmt("rapiddisk detach 2")
    assert (machine.volumes(), machine.mappings(), machine.nvmet()) == before


def test_a_full_volume_reports_an_error_to_its_writer_only(rdctl: Program) -> None:
    """A volume ends where its size says, also after it was grown."""
    machine.attach(0, 1)
    rdctl.ok("resize", "rd0", "2M")
    with machine.opened("/dev/rd0", os.O_WRONLY) as descriptor:
        os.pwrite(descriptor, bytes(PAGE), 2 * MIB - PAGE)
        with pytest.raises(OSError) as caught:
            os.pwrite(descriptor, bytes(PAGE), 2 * MIB)
    assert caught.value.errno == errno.ENOSPC
