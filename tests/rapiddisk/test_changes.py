"""The policy: what is refused, what is asked, what is done once, and what is believed after."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import Behaviour, http_error, json
from tests.fakes.rapiddiskd import MIB, After, Cache, Daemon, Target, Volume

GIB = 1 << 30


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """rd0 and rd5 are free, rd1 caches sdb, rd2 is exported, rd3 locked, rd4 holds data; sdc is
    exported as well, and so is what is cached of sdd."""
    with Daemon(
        volumes={
            "rd0": Volume(64),
            "rd1": Volume(64),
            "rd2": Volume(64),
            "rd3": Volume(64, locked=True),
            "rd4": Volume(64, usage=4096),
            "rd5": Volume(64),
            "rd6": Volume(64),
        },
        caches={"rc-wt_sdb": Cache("rd1", "sdb"), "rc-wb_sdd": Cache("rd6", "sdd")},
        targets=[
            Target("nqn.rd2", "/dev/rd2"),
            Target("nqn.sdc", "/dev/sdc"),
            Target("nqn.sdd", "/dev/mapper/rc-wb_sdd"),
        ],
    ) as daemon:
        yield daemon


def ask(rdctl: Program, daemon: Daemon, *argv: str, **options: Any) -> Ran:
    return rdctl("--rapiddisk-url", daemon.url, "rapiddisk", *argv, **options)


def problem(ran: Ran) -> dict[str, Any]:
    """The only error, of the command or of its only target."""
    document: dict[str, Any] = ran.json
    if "error" in document:
        error: dict[str, Any] = document["error"]
        return error
    assert document["results"] == []
    (error,) = document["errors"]
    return error


# --- guards ------------------------------------------------------------------------------------

FREE = " rapiddisk cache remove rc-wt_sdb"
GUARDS: list[tuple[tuple[str, ...], str, str]] = [
    *(
        ((verb, *rest), code, hint)
        for verb in ("resize", "flush", "remove")
        for rest, code, hint in (
            (("rd1",), "in-use", FREE),
            (("rd2",), "in-use", "rdctl --local rapiddisk nvmet unexport rd2"),
            (("rd3",), "locked", " rapiddisk unlock rd3"),
        )
    ),
    (("cache", "create", "rd1", "sda"), "in-use", FREE),
    (("cache", "create", "rd2", "sda"), "in-use", "unexport"),
    (("cache", "create", "rd3", "sda"), "locked", " rapiddisk unlock rd3"),
    (("cache", "create", "rd4", "sda"), "not-empty", " rapiddisk flush rd4"),
    (("cache", "create", "rd0", "sdb"), "in-use", FREE),
    (("cache", "create", "rd0", "/dev/sdb", "--policy", "write-around"), "in-use", FREE),
    (("cache", "create", "rd0", "sdc"), "in-use", "nvmetcli"),
    (("cache", "create", "rd0", "rd0"), "conflict", ""),
    (("cache", "create", "rd0", "rd3"), "locked", "unlock rd3"),
    (("cache", "create", "rd0", "rd1"), "in-use", FREE),
    (("cache", "create", "rd0", "rd2"), "in-use", "unexport"),
    (("cache", "remove", "rc-wb_sdd"), "in-use", "unexport"),
]


@pytest.mark.parametrize(("argv", "code", "hint"), GUARDS)
@pytest.mark.parametrize("force", [False, True])
def test_a_guard_holds_whatever_is_said(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...], code: str, hint: str, force: bool
) -> None:
    argv = (*argv, "128M") if argv[0] == "resize" else argv
    extra = ("--yes", "--force") if force else ("--yes",)
    ran = ask(rdctl, daemon, *argv, *extra, "--json")
    assert (ran.code, daemon.changes) == (4, [])
    error = problem(ran)
    assert error["code"] == code
    assert hint in (error["hint"] or "")


@pytest.mark.parametrize("status", ["unavailable", "strange"])
def test_a_lock_that_the_daemon_could_not_see_needs_force(rdctl: Program, status: str) -> None:
    with Daemon(volumes={"rd0": Volume(64, status=status)}) as daemon:
        ran = ask(rdctl, daemon, "remove", "rd0", "--yes", "--json")
        assert (ran.code, problem(ran)["code"], daemon.changes) == (4, "unguarded", [])
        assert ask(rdctl, daemon, "remove", "rd0", "--yes", "--force").code == 0


@pytest.mark.parametrize(
    ("argv", "promised", "fits"),
    [
        (("create", "500M"), 0, True),
        (("create", "1000M"), 0, False),
        (("create", "100M", "--count", "9"), 0, True),
        (("create", "100M", "--count", "10"), 0, False),
        (("create", "100M"), 870, True),
        (("create", "100M"), 880, False),
        (("resize", "rd0", "900M"), 0, True),
        (("resize", "rd0", "1000M"), 0, False),
        (("resize", "rd0", "900M"), 100, False),
    ],
)
def test_volumes_are_not_promised_more_memory_than_there_is(
    rdctl: Program, argv: tuple[str, ...], promised: int, fits: bool
) -> None:
    volumes = {"rd0": Volume(1), "rd1": Volume(promised)} if argv[0] == "resize" else {}
    with Daemon(volumes=volumes or {"rd1": Volume(promised)}, memory=GIB) as daemon:
        ran = ask(rdctl, daemon, *argv, "--json")
        if fits:
            assert ran.code == 0
            return
        assert (ran.code, problem(ran)["code"], daemon.changes) == (4, "conflict", [])
        assert "--overcommit" in problem(ran)["hint"]
        assert ask(rdctl, daemon, *argv, "--overcommit").code == 0


def test_a_smaller_volume_needs_no_memory(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(4096)}, memory=GIB) as daemon:
        assert ask(rdctl, daemon, "resize", "rd0", "2048M", "--yes").code == 0


def test_nvmet_that_is_not_loaded_exports_nothing(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64)}, targets=None) as daemon:
        assert ask(rdctl, daemon, "remove", "rd0", "--yes").code == 0
        ran = ask(rdctl, daemon, "nvmet", "list", "--json")
        assert (ran.code, problem(ran)["code"]) == (6, "module-missing")


def test_an_export_of_nothing_is_in_nobodys_way(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64)}, targets=[Target("nqn", "(null)")]) as daemon:
        assert ask(rdctl, daemon, "remove", "rd0", "--yes").code == 0


@pytest.mark.parametrize(
    ("route", "exit", "code"),
    [("listRapidDiskVolumes", 1, "failed"), ("listAllNVMeTargets", 4, "unguarded")],
)
def test_what_cannot_be_seen_is_not_taken_for_nothing(
    rdctl: Program, route: str, exit: int, code: str
) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        message = "search_cache_targets: readlink: Invalid argument"
        daemon.instead[route] = json({"status": "Failed", "message": message})
        ran = ask(rdctl, daemon, "remove", "rd0", "--yes", "--json")
        assert (ran.code, problem(ran)["code"], daemon.changes) == (exit, code, [])


# --- contents ----------------------------------------------------------------------------------


def test_contents_are_erased_before_the_volume_becomes_a_cache(
    rdctl: Program, daemon: Daemon
) -> None:
    argv = ("cache", "create", "rd4", "sda", "--discard-contents")
    assert ask(rdctl, daemon, *argv).code == 2
    assert daemon.changes == []
    assert ask(rdctl, daemon, *argv, "--yes").code == 0
    assert daemon.changes == ["flushRapidDisk/rd4", "createRapidDiskCache/rd4/sda/write-through"]


def test_a_map_that_fails_after_the_erasure_says_what_is_gone(
    rdctl: Program, daemon: Daemon
) -> None:
    daemon.instead["createRapidDiskCache"] = json(
        {"status": "Failed", "message": "Error. Unable to create map."}
    )
    argv = ("cache", "create", "rd4", "sda", "--discard-contents", "--yes", "--json")
    error = problem(ask(rdctl, daemon, *argv))
    assert error["message"] == "Unable to create map.; rd4 had already been erased"


def test_below_9_nobody_knows_whether_a_volume_holds_data(rdctl: Program) -> None:
    with Daemon("8.2.0", volumes={"rd0": Volume(64)}) as daemon:
        ran = ask(rdctl, daemon, "cache", "create", "rd0", "sda", "--yes", "--json")
        assert (ran.code, problem(ran)["code"], daemon.changes) == (4, "unguarded", [])
        argv = ("cache", "create", "rd0", "sda", "--discard-contents", "--yes")
        assert ask(rdctl, daemon, *argv).code == 0
        assert daemon.changes[0] == "flushRapidDisk/rd0"


# --- nothing to do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "target"),
    [
        (("resize", "rd0", "64M"), "rd0"),
        (("resize", "rd1", "64M"), "rd1"),  # in use, but nothing is done to it
        (("lock", "rd3"), "rd3"),
        (("unlock", "rd0"), "rd0"),
        (("cache", "create", "rd1", "sdb"), "rc-wt_sdb"),
        (("cache", "create", "/dev/rd1", "/dev/sdb"), "rc-wt_sdb"),
    ],
)
def test_what_is_so_already_is_not_done_again(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...], target: str
) -> None:
    ran = ask(rdctl, daemon, *argv, "--json")
    assert (ran.code, daemon.changes) == (0, [])
    (result,) = ran.json["results"]
    assert (result["target"], result["changed"], result["verified"]) == (target, False, True)


def test_no_names_on_standard_input_are_nothing_to_do(rdctl: Program, daemon: Daemon) -> None:
    for verb in ("flush", "remove", "lock"):
        ran = ask(rdctl, daemon, verb, "-", "--yes", "--json", stdin=b"")
        assert (ran.code, ran.json["results"], daemon.changes) == (0, [], [])
    assert ask(rdctl, daemon, "list", "-", "--json", stdin=b"").json["items"] == []
    assert ask(rdctl, daemon, "cache", "stats", "-", "--json", stdin=b"").json["items"] == []


# --- what is believed --------------------------------------------------------------------------


def attached(name: str) -> Behaviour:
    return json({"status": "Success", "message": f"Attached device {name} of size 64 Mbytes."})


SUCCESS = json({"status": "Success", "message": "Done, it says."})
UNPROVEN: list[tuple[tuple[str, ...], str, Behaviour]] = [
    (("create", "64M"), "createRapidDisk", attached("rd-1")),
    (("create", "64M"), "createRapidDisk", attached("rd0")),  # was there before
    (("create", "64M"), "createRapidDisk", attached("rd99")),
    (("create", "64M"), "createRapidDisk", SUCCESS),
    (("resize", "rd0", "128M"), "resizeRapidDisk", SUCCESS),
    (("flush", "rd4"), "flushRapidDisk", SUCCESS),
    (("remove", "rd0"), "removeRapidDisk", SUCCESS),
    (("lock", "rd0"), "lockRapidDisk", SUCCESS),
    (("unlock", "rd3"), "unlockRapidDisk", SUCCESS),
    (("cache", "create", "rd0", "sda"), "createRapidDiskCache", SUCCESS),
    (("cache", "remove", "rc-wt_sdb"), "removeRapidDiskCache", SUCCESS),
]


@pytest.mark.parametrize("number", range(len(UNPROVEN)))
def test_a_success_that_cannot_be_seen_is_none(rdctl: Program, daemon: Daemon, number: int) -> None:
    argv, route, behaviour = UNPROVEN[number]
    daemon.instead[route] = behaviour
    ran = ask(rdctl, daemon, *argv, "--yes", "--json")
    error = problem(ran)
    assert (ran.code, error["code"], error["fate"]) == (9, "unproven", "unknown")
    assert len(daemon.changes) == 1


def test_a_cache_of_another_volume_is_not_ours(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64), "rd1": Volume(64)}) as daemon:

        def meanwhile(connection: Any) -> None:
            daemon.caches["rc-wt_sda"] = Cache("rd1", "sda")
            SUCCESS(connection)

        daemon.instead["createRapidDiskCache"] = meanwhile
        ran = ask(rdctl, daemon, "cache", "create", "rd0", "sda", "--json")
        assert (ran.code, problem(ran)["code"]) == (9, "unproven")


def test_what_became_of_a_volume_that_is_gone_is_not_known(rdctl: Program) -> None:
    for argv in (("lock", "rd0"), ("flush", "rd0", "--yes"), ("resize", "rd0", "128M")):
        with Daemon(volumes={"rd0": Volume(64)}) as daemon:

            def meanwhile(connection: Any, daemon: Daemon = daemon) -> None:
                daemon.volumes.clear()
                SUCCESS(connection)

            daemon.instead[f"{argv[0]}RapidDisk"] = meanwhile
            (result,) = ask(rdctl, daemon, *argv, "--json").json["results"]
            assert (result["changed"], result["verified"]) == (True, None)


def test_a_name_that_is_claimed_twice_counts_once(rdctl: Program) -> None:
    with Daemon() as daemon:
        daemon.instead["createRapidDisk"] = [None, attached("rd0")]
        ran = ask(rdctl, daemon, "create", "64M", "--count", "2", "--json")
        assert ran.code == 8
        assert [r["target"] for r in ran.json["results"]] == ["rd0"]
        assert [e["code"] for e in ran.json["errors"]] == ["unproven"]


def test_a_volume_that_another_client_made_is_not_taken_for_ours(rdctl: Program) -> None:
    with Daemon() as daemon:

        def meanwhile(connection: Any) -> None:
            daemon.volumes["rd7"] = Volume(64)
            attached("rd-1")(connection)

        daemon.instead["createRapidDisk"] = meanwhile
        ran = ask(rdctl, daemon, "create", "64M", "--json")
        assert (ran.code, ran.json["results"]) == (9, [])


def test_whose_volume_is_whose_is_left_open_where_the_daemon_names_none(rdctl: Program) -> None:
    with Daemon("8.2.0") as daemon:

        def meanwhile(connection: Any) -> None:
            daemon.volumes |= {"rd0": Volume(64), "rd1": Volume(64), "rd2": Volume(32)}
            json({"status": "Success"})(connection)

        daemon.instead["createRapidDisk"] = meanwhile
        (result,) = ask(rdctl, daemon, "create", "64M", "--json").json["results"]
        assert (result["target"], result["changed"], result["verified"]) == (None, True, None)


def test_a_volume_of_another_size_is_another_ones(rdctl: Program) -> None:
    with Daemon("7.2.1") as daemon:

        def meanwhile(connection: Any) -> None:
            daemon.volumes |= {"rd0": Volume(32), "rd1": Volume(64)}
            json({"return_status": "Success"})(connection)

        daemon.instead["createRapidDisk"] = meanwhile
        (result,) = ask(rdctl, daemon, "create", "64M", "--json").json["results"]
        assert (result["target"], result["verified"]) == ("rd1", True)


# --- several targets ---------------------------------------------------------------------------


def outcome(ran: Ran) -> tuple[int, list[str], list[str], list[str]]:
    """Exit code, what was done, what was not, and why not."""
    document = ran.json
    return (
        ran.code,
        [result["target"] for result in document["results"]],
        [error["target"] for error in document["errors"]],
        [error["code"] for error in document["errors"]],
    )


def test_some_done_some_not_is_exit_8(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "remove", "rd3", "rd5", "rd1", "rd9", "rd0", "--yes", "--json")
    assert outcome(ran) == (
        8,
        ["rd5", "rd0"],
        ["rd3", "rd1", "rd9"],
        ["locked", "in-use", "not-found"],
    )
    assert ran.json["status"] == "partial"
    assert daemon.changes == ["removeRapidDisk/rd5", "removeRapidDisk/rd0"]
    lines = [line for line in ran.err.splitlines() if line.startswith("rdctl: ")]
    assert [line.split()[2].rstrip(":") for line in lines] == ["rd3", "rd1", "volume"]


@pytest.mark.parametrize(
    ("names", "code"),
    [(("rd8", "rd9"), 3), (("rd1", "rd3"), 4), (("rd1", "rd9"), 1), (("rd3", "rd3"), 4)],
)
def test_none_done_is_their_common_code(
    rdctl: Program, daemon: Daemon, names: tuple[str, ...], code: int
) -> None:
    for verb in ("flush", "remove"):
        ran = ask(rdctl, daemon, verb, *names, "--yes", "--json")
        assert (ran.code, ran.json["status"], daemon.changes) == (code, "error", [])


def test_a_name_given_twice_is_done_once(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "remove", "rd5", "/dev/rd0", "rd0", "/dev/rd5", "--yes", "--json")
    assert outcome(ran) == (0, ["rd5", "rd0"], [], [])
    assert daemon.changes == ["removeRapidDisk/rd5", "removeRapidDisk/rd0"]


@pytest.mark.parametrize(
    "names", [b"rd5\nrd0\n", b"rd5\nrd0", b"rd5\0rd0\0", b"\n/dev/rd5\n\nrd0\n"]
)
def test_names_may_come_from_standard_input(rdctl: Program, daemon: Daemon, names: bytes) -> None:
    ran = ask(rdctl, daemon, "lock", "-", "--json", stdin=names)
    assert outcome(ran) == (0, ["rd5", "rd0"], [], [])


def test_all_names_are_looked_at_before_anything_is_done(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "remove", "-", "--yes", "--json", stdin=b"rd0\nrd5\nsda\n")
    assert (ran.code, problem(ran)["code"], daemon.requests) == (2, "usage", [])


def test_for_an_unknown_name_those_that_are_there_are_named(rdctl: Program, daemon: Daemon) -> None:
    for argv in (("list", "rd11"), ("show", "rd11"), ("lock", "rd11"), ("resize", "rd11", "64")):
        ran = ask(rdctl, daemon, *argv, "--json")
        assert (ran.code, daemon.changes) == (3, [])
        assert problem(ran)["hint"].startswith("Existing volumes: rd0, rd1, rd2, ")
    ran = ask(rdctl, daemon, "cache", "stats", "rc-wt_sdc", "--json")
    assert ran.code == 3
    assert "Existing caches: rc-wb_sdd, rc-wt_sdb." in problem(ran)["hint"]
    daemon.volumes.clear()
    assert problem(ask(rdctl, daemon, "show", "rd0", "--json"))["hint"] == "No volumes exist."


def test_a_failure_in_the_middle_does_not_stop_the_others(rdctl: Program, daemon: Daemon) -> None:
    busy = json({"status": "Failed", "message": "mem_device_flush: ioctl: Device or resource busy"})
    daemon.instead["flushRapidDisk"] = [None, busy, None]
    ran = ask(rdctl, daemon, "flush", "rd4", "rd0", "rd5", "--yes", "--json")
    assert outcome(ran) == (8, ["rd4", "rd5"], ["rd0"], ["in-use"])


def test_a_daemon_that_is_gone_is_not_asked_again_and_again(rdctl: Program, daemon: Daemon) -> None:
    daemon.instead["removeRapidDisk"] = http_error(503)
    ran = ask(rdctl, daemon, "remove", "rd0", "rd4", "rd5", "--yes", "--json")
    assert outcome(ran) == (10, [], ["rd0", "rd4", "rd5"], ["unknown", *["unreachable"] * 2])
    assert [error["fate"] for error in ran.json["errors"]] == ["unknown", *["not done"] * 2]
    assert daemon.changes == ["removeRapidDisk/rd0"]


@pytest.mark.parametrize("verb", ["remove", "lock"])
@pytest.mark.parametrize(
    ("step", "code", "rest"),
    [(faults.close(), "unknown", "unreachable"), (After(faults.close()), "unknown", "unreachable")],
    ids=["lost", "lost after"],
)
def test_nothing_more_is_sent_after_a_lost_reply(
    rdctl: Program, daemon: Daemon, verb: str, step: Any, code: str, rest: str
) -> None:
    """As with create --count: in what state the daemon is, is not known."""
    daemon.instead[f"{verb}RapidDisk"] = [step, None]
    ran = ask(rdctl, daemon, verb, "rd0", "rd4", "rd5", "--yes", "--json")
    assert outcome(ran) == (10, [], ["rd0", "rd4", "rd5"], [code, rest, rest])
    assert [error["fate"] for error in ran.json["errors"]] == ["unknown", "not done", "not done"]
    assert daemon.changes == [f"{verb}RapidDisk/rd0"]


def test_a_lost_growth_is_repeated_by_its_resulting_size(rdctl: Program, daemon: Daemon) -> None:
    """The typed line would grow the volume twice if the first growth was done."""
    daemon.instead["resizeRapidDisk"] = [After(faults.close())]
    ran = ask(rdctl, daemon, "resize", "rd0", "+8M")
    size = daemon.volumes["rd0"].size
    assert (ran.code, daemon.changes) == (10, [f"resizeRapidDisk/rd0/{size}"])
    assert f" resize rd0 {size}M\n" in ran.err
    again = ask(rdctl, daemon, "resize", "rd0", f"{size}M")
    assert again.out == f"rd0 is already that size ({size << 20} bytes)\n"


def test_a_volume_of_unknown_size_does_not_grow_by_one(rdctl: Program) -> None:
    with Daemon("9.0.0-deb", volumes={"rd0": Volume(64)}) as daemon:
        ran = ask(rdctl, daemon, "resize", "rd0", "+8M")
        assert (ran.code, daemon.changes) == (2, [])
        assert "rd0 cannot grow by a size: its size is not known" in ran.err


def test_nothing_more_is_sent_when_the_time_is_over(rdctl: Program, daemon: Daemon) -> None:
    daemon.instead["removeRapidDisk"] = [faults.silent(), None]
    words = ("remove", "rd0", "rd4", "rd5", "--yes", "--json", "--timeout", "1")
    ran = ask(rdctl, daemon, *words)
    assert outcome(ran)[0] == 10
    assert daemon.changes == ["removeRapidDisk/rd0"]


def test_an_old_daemon_over_a_newer_module(rdctl: Program) -> None:
    """What it sends as a size is the number of a volume there
    (docs/wire/rapiddisk-local.md#26-module-7x--8x-dialect)."""
    with Daemon("8.2.0", newer_module=True) as daemon:
        ran = ask(rdctl, daemon, "create", "16M", "--json")
        assert outcome(ran) == (9, [], ["rd16384"], ["unproven"])
        (error,) = ran.json["errors"]
        cause = "this rapiddiskd is older than the kernel module of its machine"
        assert error["message"] == f"rd16384 of 0 bytes was created instead: {cause}"
        listed = ask(rdctl, daemon, "list")
        assert f"rdctl: warning: rd16384 of 0 bytes: {cause}\n" in listed.err
        examined = rdctl("--rapiddisk-url", daemon.url, "doctor", "--json")
        rows = [row for row in examined.json["items"] if row["severity"] == "error"]
        assert (rows[0]["check"], rows[0]["message"]) == ("daemon", f"rd16384 of 0 bytes: {cause}")


@pytest.mark.parametrize(
    ("steps", "code", "done"),
    [
        ([None, http_error(503)], 8, ["rd0"]),
        ([http_error(429)], 6, []),
        ([http_error(503)], 10, []),
        ([faults.close()], 10, []),
        ([After(faults.close())], 10, []),
    ],
    ids=["one done", "none done", "gateway", "lost", "lost after"],
)
def test_creation_stops_where_it_fails(
    rdctl: Program, steps: list[Any], code: int, done: list[str]
) -> None:
    with Daemon() as daemon:
        daemon.instead["createRapidDisk"] = steps
        ran = ask(rdctl, daemon, "create", "64M", "--count", "3", "--json")
        assert (ran.code, [r["target"] for r in ran.json["results"]]) == (code, done)
        assert len(daemon.changes) == len(done) + 1
        (error,) = ran.json["errors"]
        assert error["message"].endswith(f"; {2 - len(done)} more skipped")


# --- consent -----------------------------------------------------------------------------------

ASKS: list[tuple[tuple[str, ...], str]] = [
    (("flush", "rd4"), "volume rd4 (64.0 MiB, 4.0 KiB used) will be ERASED"),
    (("flush", "rd0"), "volume rd0 (64.0 MiB, empty) will be ERASED"),
    (("remove", "rd0", "rd4"), "volume rd4 (64.0 MiB, 4.0 KiB used) will be removed"),
    (("resize", "rd4", "32M"), "volume rd4 will shrink from 64.0 MiB to 32.0 MiB"),
    (
        ("cache", "create", "rd4", "sda", "--discard-contents"),
        "volume rd4: all data on it will be erased",
    ),
    (
        ("cache", "create", "rd0", "sda", "--policy", "writeback"),
        "sda: new writes stay in RAM",
    ),
    (("cache", "remove", "rc-wt_sdb"), "cache rc-wt_sdb will be removed; sdb will be uncached"),
]
DOES_NOT_ASK: list[tuple[str, ...]] = [
    ("create", "64M"),
    ("resize", "rd0", "128M"),
    ("lock", "rd0"),
    ("unlock", "rd3"),
    ("cache", "create", "rd0", "sda"),
    ("cache", "create", "rd0", "sda", "--policy", "write-around"),
]


@pytest.mark.parametrize(("argv", "loss"), ASKS)
def test_what_destroys_needs_consent(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...], loss: str
) -> None:
    unasked = ask(rdctl, daemon, *argv, "--json")
    assert (unasked.code, problem(unasked)["code"], daemon.changes) == (2, "consent-missing", [])
    assert loss in unasked.err
    for answer in (b"n\n", b"\n", b"", b"maybe\n"):
        declined = ask(rdctl, daemon, *argv, tty=True, stdin=answer)
        assert (declined.code, daemon.changes) == (1, [])
        assert loss in declined.err
        assert daemon.url in declined.err
    assert ask(rdctl, daemon, *argv, tty=True, stdin=b"y\n").code == 0
    assert daemon.changes


@pytest.mark.parametrize(("argv", "loss"), ASKS)
def test_yes_is_consent(rdctl: Program, daemon: Daemon, argv: tuple[str, ...], loss: str) -> None:
    assert ask(rdctl, daemon, *argv, "--yes").code == 0
    assert daemon.changes


@pytest.mark.parametrize("argv", DOES_NOT_ASK)
def test_what_destroys_nothing_does_not_ask(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...]
) -> None:
    ran = ask(rdctl, daemon, *argv, tty=True)
    assert (ran.code, len(daemon.changes)) == (0, 1)
    assert "Continue?" not in ran.err


def test_before_a_writeback_cache_goes_it_is_written_back(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64)}, caches={"rc-wb_sda": Cache("rd0", "sda")}) as daemon:
        ran = ask(rdctl, daemon, "cache", "remove", "rc-wb_sda")
    assert (ran.code, daemon.changes) == (2, [])
    assert "will be written back and removed; sda will be uncached" in ran.err


def test_one_question_for_all_targets(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "remove", "rd0", "rd3", "rd5", tty=True, stdin=b"yes\n")
    assert ran.err.count("Continue?") == 1
    assert "rd3 (" not in ran.err  # it is refused, so it is not among the losses
    assert (ran.code, daemon.changes) == (8, ["removeRapidDisk/rd0", "removeRapidDisk/rd5"])


@pytest.mark.parametrize(
    ("how", "argv", "code"),
    [
        ("current", ("--yes",), 2),
        ("current", ("--yes", "-c", "lab"), 0),
        ("variable", ("--yes",), 2),
        ("variable", (), 2),
    ],
)
def test_in_a_protected_context_yes_is_not_enough(
    rdctl: Program, daemon: Daemon, how: str, argv: tuple[str, ...], code: int
) -> None:
    head = 'current = "lab"\n' if how == "current" else ""
    rdctl.config.write_text(f'{head}[contexts.lab]\nrapiddisk = "{daemon.url}"\nprotected = true\n')
    env = {"RDCTL_CONTEXT": "lab"} if how == "variable" else {}
    ran = rdctl("rapiddisk", "remove", "rd0", *argv, env=env)
    assert ran.code == code
    assert bool(daemon.changes) == (code == 0)
    if argv == ("--yes",):
        assert "Select it by name: -c lab" in ran.err


def test_a_person_may_say_yes_in_a_protected_context(rdctl: Program, daemon: Daemon) -> None:
    rdctl.config.write_text(
        f'current = "lab"\n[contexts.lab]\nrapiddisk = "{daemon.url}"\nprotected = true\n'
    )
    ran = rdctl("rapiddisk", "remove", "rd0", "--yes", tty=True, stdin=b"y\n")
    assert ran.code == 0
    assert "On context lab" in ran.err


# --- dry run -----------------------------------------------------------------------------------

EVERY_CHANGE: list[tuple[str, ...]] = [
    *(argv for argv, _ in ASKS),
    *DOES_NOT_ASK,
    ("create", "64M", "--count", "3"),
    ("remove", "rd0", "rd3", "rd5"),
    ("lock", "rd0", "rd3", "rd5"),
    ("cache", "create", "rd4", "sda", "--discard-contents", "--policy", "writeback"),
    ("resize", "rd0", "64M"),
]


@pytest.mark.parametrize("argv", EVERY_CHANGE, ids=" ".join)
def test_a_dry_run_sends_no_change_and_says_what_the_real_run_sends(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...]
) -> None:
    dry = ask(rdctl, daemon, *argv, "--dry-run", "--json")
    assert daemon.changes == []
    table = ask(rdctl, daemon, *argv, "--dry-run", "--trace")
    assert daemon.changes == []
    real = ask(rdctl, daemon, *argv, "--yes", "--trace", "--json")
    changes = [line for line in real.err.splitlines() if line.startswith("curl -sS -X POST")]
    assert len(changes) == len(daemon.changes)
    assert dry.json["schema"] == "rdctl.plan/1"
    assert dry.json["plan"] == changes
    assert [line for line in table.err.splitlines() if " -X POST" in line] == changes
    assert sum(line.startswith("would ") for line in table.out.splitlines()) == len(changes)
    assert (dry.code, dry.json["status"]) == (real.code, real.json["status"])
    assert [e["code"] for e in dry.json["errors"]] == [e["code"] for e in real.json["errors"]]
    assert len(dry.json["results"]) == len(real.json["results"])
    assert all(r["changed"] in (None, False) for r in dry.json["results"])


@pytest.mark.parametrize(("argv", "code", "hint"), GUARDS)
def test_a_dry_run_is_refused_as_the_real_run_is(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...], code: str, hint: str
) -> None:
    argv = (*argv, "128M") if argv[0] == "resize" else argv
    ran = ask(rdctl, daemon, *argv, "--dry-run", "--json")
    assert (ran.code, problem(ran)["code"]) == (4, code)


# --- reading -----------------------------------------------------------------------------------


def test_a_volume_is_shown_with_everybody_who_uses_it(rdctl: Program, daemon: Daemon) -> None:
    daemon.targets = [Target("nqn.a", "/dev/rd1"), Target("nqn.b", "/dev/rd10")]
    item = ask(rdctl, daemon, "show", "/dev/rd1", "--json").json["item"]
    assert (item["device"], item["size"], item["locked"]) == ("rd1", 64 * MIB, False)
    assert [(user["kind"], user["name"]) for user in item["users"]] == [
        ("cache", "rc-wt_sdb"),
        ("export", "nqn.a"),
    ]
    error = problem(ask(rdctl, daemon, "remove", "rd1", "--yes", "--json"))
    assert "(and 1 more)" in error["message"]


def test_named_volumes_are_listed_in_the_order_of_their_names(
    rdctl: Program, daemon: Daemon
) -> None:
    assert ask(rdctl, daemon, "list", "rd5", "rd0", "rd5", "-o", "name").out == "rd5\nrd0\n"


def test_the_statistics_of_both_kinds_have_the_same_keys(sandbox: Any, rdctl: Program) -> None:
    for argv in (
        ("create", "64M", "--count", "2"),
        ("cache", "create", "rd1", "sdb"),
        ("cache", "create", "rd2", "vdb", "--policy", "writeback", "--yes"),
    ):
        assert sandbox("rapiddisk", *argv).code == 0
    through, back = sandbox("rapiddisk", "cache", "stats", "rc-wt_sdb", "rc-wb_vdb", "--json").json[
        "items"
    ]
    assert list(through) == list(back)
    assert (through["policy"], back["policy"]) == ("write-through", "writeback")
    assert through["reads"] == back["reads"] == 261
    assert (through["num_blocks"], back["disk_reads"]) == (None, None)
    assert through["hit_rate"] == 0.0


def test_every_change_end_to_end_in_the_sandbox(sandbox: Any) -> None:
    def changed(*argv: str) -> list[tuple[str, bool]]:
        ran = sandbox("rapiddisk", *argv, "--yes", "--json")
        assert ran.code == 0, ran.err
        document = jsonlib.loads(ran.out)
        return [(r["target"], r["changed"] and r["verified"]) for r in document["results"]]

    assert changed("create", "64M", "--count", "2") == [("rd1", True), ("rd2", True)]
    assert changed("resize", "rd1", "128M") == [("rd1", True)]
    assert changed("lock", "rd1") == [("rd1", True)]
    assert changed("unlock", "rd1") == [("rd1", True)]
    assert changed("cache", "create", "rd1", "sdb") == [("rc-wt_sdb", True)]
    assert changed("cache", "remove", "rc-wt_sdb") == [("rc-wt_sdb", True)]
    assert changed("flush", "rd1") == [("rd1", True)]
    assert changed("resize", "rd1", "32M") == [("rd1", True)]
    assert changed("remove", "rd1", "rd2") == [("rd1", True), ("rd2", True)]
