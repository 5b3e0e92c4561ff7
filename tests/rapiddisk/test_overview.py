"""rdctl rapiddisk overview: all of a machine at once, of which each part fails alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Program, Ran
from tests.fakes.faults import close, garbage
from tests.fakes.kernel import FakeKernel
from tests.fakes.rapiddiskd import DIALECTS, Cache, Daemon, Target, Volume

Local = Callable[..., Ran]
PARTS = {
    "volumes": "listRapidDiskVolumes",
    "memory": "listAllResources",
    "exports": "listAllNVMeTargets",
}


def a_daemon(dialect: str = "9.2.0", memory: int = 4 << 30) -> Daemon:
    return Daemon(
        dialect,
        volumes={"rd0": Volume(64), "rd1": Volume(64)},
        caches={"rc-wt_sdb": Cache("rd1", "sdb")},
        targets=[Target("nqn.2021-06.org.rapiddisk:lab-rd0", "/dev/rd0", [1])],
        memory=memory,
    )


def overview(rdctl: Program, daemon: Daemon, *words: str) -> Ran:
    where = ("--rapiddisk-url", daemon.url, "--retries", "0")
    return rdctl(*where, "rapiddisk", "overview", *words, "--json")


def test_exports_are_listed_only_if_that_is_wanted(rdctl: Program) -> None:
    with a_daemon() as daemon:
        ran = overview(rdctl, daemon)
        assert daemon.requests == ["GET listRapidDiskVolumes", "GET listAllResources"]
        (row,) = ran.json["items"]
        assert (ran.code, ran.json["complete"], row["exports"]) == (0, True, None)
        assert [volume["used_by"] for volume in row["volumes"]] == [None, ["rc-wt_sdb"]]
        assert ran.err.startswith("rdctl: warning: exports were not listed")
        assert overview(rdctl, daemon, "-q").err == ""
        (row,) = overview(rdctl, daemon, "--deep").json["items"]
        exports = ["export nqn.2021-06.org.rapiddisk:lab-rd0"]
        assert [volume["used_by"] for volume in row["volumes"]] == [exports, ["rc-wt_sdb"]]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_fails_alone(rdctl: Program, part: str) -> None:
    with a_daemon() as daemon:
        daemon.instead[PARTS[part]] = garbage()
        ran = overview(rdctl, daemon, "--deep")
    assert (ran.code, ran.json["complete"]) == (8, False)
    (row,) = ran.json["items"]
    lost = {key for key, value in row.items() if value is None}
    assert lost == ({"volumes", "caches"} if part == "volumes" else {part})
    (error,) = ran.json["errors"]
    assert (error["action"], error["target"], error["code"]) == ("overview", part, "bad-reply")
    assert f"rdctl: error: {part}: " in ran.err


def test_a_daemon_that_is_away_is_asked_once(rdctl: Program) -> None:
    with a_daemon() as daemon:
        daemon.instead["listRapidDiskVolumes"] = close()
        ran = overview(rdctl, daemon, "--deep")
        assert (ran.code, len(daemon.requests)) == (6, 1)
    assert ran.json["error"]["code"] == "unreachable"


def test_all_parts_fail(rdctl: Program) -> None:
    with a_daemon() as daemon:
        daemon.instead.update(dict.fromkeys(PARTS.values(), garbage()))
        ran = overview(rdctl, daemon, "--deep")
    assert (ran.code, ran.json["error"]["code"]) == (9, "bad-reply")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect(rdctl: Program, dialect: str) -> None:
    with a_daemon(dialect) as daemon:
        ran = overview(rdctl, daemon, "--deep")
    assert ran.code == 0, ran.err
    (row,) = ran.json["items"]
    assert [volume["device"] for volume in row["volumes"]] == ["rd0", "rd1"]
    if dialect == "9.0.0-deb":  # it lists neither sizes nor the devices of caches and exports
        assert row["memory"]["promised"] is None
        assert [volume["used_by"] for volume in row["volumes"]] == [None, None]


def test_more_promised_than_there_is(rdctl: Program) -> None:
    with a_daemon(memory=100 << 20) as daemon:
        ran = overview(rdctl, daemon, "--deep")
    assert "warning: volumes could grow to 128.0 MiB, but only 95.0 MiB of memory" in ran.err


def test_a_machine_without_the_modules(rdctl: Program) -> None:
    rdctl.calls = FakeKernel(rdctl.root, version=None, nvmet=False)
    ran = rdctl("--local", "rapiddisk", "overview", "--json")
    assert ran.code == 8
    (row,) = ran.json["items"]
    assert (row["volumes"], row["exports"]) == (None, [])
    assert row["memory"]["total"] == 4103258112
    assert "modprobe rapiddisk" in ran.err


def test_on_one_screen(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volumes(1)
    ran = local("rapiddisk", "overview", tty=True, env={"NO_COLOR": "1"})
    assert ran.out == (
        "Machine  local\n"
        "Memory\n"
        "    TOTAL  AVAILABLE  PROMISED  USED\n"
        "  3.8 GiB    3.4 GiB   8.0 MiB   0 B\n"
        "Volumes\n"
        "  DEVICE     SIZE  USAGE  LOCKED  USED BY\n"
        "  rd0     8.0 MiB    0 B  no      -\n"
        "Caches   none\n"
        "Exports  none\n"
    )


def test_watch(rdctl: Program) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "overview", "--deep", "--watch")
    assert ran.code == 11
    assert "--deep cannot be used with --watch" in ran.err
