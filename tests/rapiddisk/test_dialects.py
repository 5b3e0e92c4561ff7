"""Every dialect of rapiddiskd, 7.2 to 9.2: what its operator sees, and what it is sent."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.fakes.rapiddiskd import DIALECTS, MIB, Cache, Daemon, Target, Volume
from tests.rapiddisk.test_replay import exchanges

NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd2"


@pytest.fixture(params=DIALECTS)
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    volumes = {f"rd{n}": Volume(64, usage=4096 * n) for n in (0, 1, 2, 3, 10)}
    with Daemon(
        request.param,
        volumes=volumes,
        caches={"rc-wt_vdb": Cache("rd1", "vdb")},
        targets=[Target(NQN, "/dev/rd2", [1, 2])],
    ) as daemon:
        yield daemon


def below_9(daemon: Daemon) -> bool:
    return daemon.major in "78"


def ask(rdctl: Program, daemon: Daemon, *argv: str, **options: Any) -> Ran:
    return rdctl("--rapiddisk-url", daemon.url, "rapiddisk", *argv, **options)


# What a daemon was seen to say (docs/wire/rapiddisk-rest.md), and the state in which it did.
SEEN: dict[str, dict[str, Any]] = {
    "GET /v1/checkServiceStatus": {},
    "GET /v1/listRapidDiskVolumes": {},
    "GET /v1/nope": {},
    "GET /v1/listAllNVMeTargets": {"targets": None},
    "POST /v1/nope": {},
    "POST /v1/createRapidDisk/64": {},
    "POST /v1/removeRapidDisk/rd9": {"volumes": {"rd0": Volume(64)}},
    "POST /v1/flushRapidDisk/rd9": {"volumes": {"rd0": Volume(64)}},
    "POST /v1/lockRapidDisk/rd0": {"volumes": {"rd0": Volume(64)}},
    "POST /v1/unlockRapidDisk/rd0": {"volumes": {"rd0": Volume(64)}},
    "POST /v1/createRapidDiskCache/rd0/vdb/write-through": {"volumes": {"rd0": Volume(64)}},
    "POST /v1/createRapidDiskCache/rd2/sda/write-back": {"volumes": {"rd2": Volume(64)}},
    "POST /v1/createRapidDiskCache/rd2/sda/writeback": {"volumes": {"rd2": Volume(64)}},
    "POST /v1/removeRapidDiskCache/rc-wt_vdb": {"caches": {"rc-wt_vdb": Cache("rd0", "vdb")}},
}


def recorded(dialect: str, line: str) -> set[tuple[int, str]]:
    """What this daemon was seen to answer to this request, in whatever state
    (docs/wire/rapiddisk-rest.md#5-version-table)."""
    version, _, build = dialect.partition("-")
    return {
        (sent["status"], re.sub(r"(?<=Please load ).*(?=\")", "...", sent["body"]))
        for sent in (exchange.sent for exchange in exchanges())
        if f"{sent['method']} {sent['path']}" == line
        and sent["daemon"] == version
        and sent["build"].startswith("debian") == bool(build)
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_daemon_of_these_tests_speaks_as_recorded(dialect: str) -> None:
    compared = 0
    for line, state in SEEN.items():
        answers = recorded(dialect, line)
        if answers:
            with Daemon(dialect, **state) as daemon:
                server = http.client.HTTPConnection(daemon.url.removeprefix("http://"))
                method, path = line.split()
                server.request(method, path)
                reply = server.getresponse()
                assert (reply.status, reply.read().decode()) in answers, line
                server.close()
                compared += 1
    assert compared > 4


def test_volumes_look_the_same_in_every_dialect(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "list", "--json")
    size = None if daemon.debian else 64 * MIB
    assert ran.json == {
        "schema": "rdctl.rapiddisk.volume/1",
        "items": [
            {
                "device": f"rd{n}",
                "size": size,
                "usage": None if below_9(daemon) else 4096 * n,
                "locked": None if below_9(daemon) else False,
                "unwritten": None,
                # Exports are not listed, and Debian's lists caches without their volumes.
                "used_by": ["rc-wt_vdb"] if n == 1 and not daemon.debian else None,
            }
            for n in (0, 1, 2, 3, 10)
        ],
        "complete": True,
    }


def test_caches_look_the_same_in_every_dialect(rdctl: Program, daemon: Daemon) -> None:
    (cache,) = ask(rdctl, daemon, "cache", "list", "--json").json["items"]
    known = (None, None) if daemon.debian else ("rd1", "vdb")
    assert (cache["device"], cache["volume"], cache["source"], cache["policy"]) == (
        "rc-wt_vdb",
        *known,
        "write-through",
    )


def test_targets_look_the_same_in_every_dialect(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "nvmet", "list", "--json")
    if daemon.major == "7":
        assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")
        return
    (target,) = ran.json["items"]
    assert target["nqn"] == NQN
    assert target["device"] == (None if daemon.debian else "/dev/rd2")
    assert target["enabled"] is (None if daemon.debian else True)
    assert target["hosts"] == ([] if daemon.version == "9.2.0" else None)
    assert [port["port"] for port in target["ports"]] == [1, 2]


def test_who_uses_a_volume_and_what_kinds_of_user_were_seen(rdctl: Program, daemon: Daemon) -> None:
    for name, kind in (("rd1", "cache"), ("rd2", "export"), ("rd3", None)):
        item = ask(rdctl, daemon, "show", name, "--json").json["item"]
        seen = ["cache"] if daemon.major == "7" else ["cache", "export"]
        assert item["users_seen"] == seen
        expect = [kind] if kind in seen and not daemon.debian else []
        assert [user["kind"] for user in item["users"]] == expect


@pytest.mark.parametrize(
    "argv", [("list",), ("status",), ("remove", "rd3", "--yes", "--force"), ("create", "64")]
)
def test_below_9_is_warned_of_once_on_stderr_only(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...]
) -> None:
    ran = ask(rdctl, daemon, *argv, "--json")
    assert ran.code == 0
    assert ran.err.count("rdctl: warning: ") == int(below_9(daemon))
    assert ran.err.count(f"rapiddiskd {daemon.version} passes") == int(below_9(daemon))
    json.loads(ran.out)
    assert ask(rdctl, daemon, "list", "-q").err == ""


def test_a_new_volume_is_found_by_its_name_or_by_looking(rdctl: Program, daemon: Daemon) -> None:
    ran = ask(rdctl, daemon, "create", "32M", "--count", "3", "--json")
    assert ran.code == 0
    assert [(r["target"], r["changed"], r["verified"]) for r in ran.json["results"]] == [
        (name, True, True) for name in ("rd4", "rd5", "rd6")
    ]
    assert daemon.changes == ["createRapidDisk/32"] * 3


@pytest.mark.parametrize("verb", ["lock", "unlock"])
def test_the_lock(rdctl: Program, daemon: Daemon, verb: str) -> None:
    daemon.volumes["rd0"].locked = verb == "unlock"
    ran = ask(rdctl, daemon, verb, "rd0", "--json")
    if below_9(daemon):
        assert (ran.code, daemon.changes) == (11, [])
        assert ran.json["errors"][0]["code"] == "unsupported"
        return
    assert (ran.code, daemon.changes) == (0, [f"{verb}RapidDisk/rd0"])
    head = {"action": verb, "target": "rd0", "changed": True, "verified": True}
    was, is_now = {"locked": verb == "unlock"}, {"locked": verb == "lock"}
    assert ran.json["results"] == [{**head, "before": was, "after": is_now}]


def test_the_word_for_writeback(rdctl: Program, daemon: Daemon) -> None:
    daemon.caches.clear()
    daemon.targets = []
    argv = ("cache", "create", "rd0", "sda", "--policy", "writeback", "--discard-contents")
    ran = ask(rdctl, daemon, *argv, "--yes", "--json")
    word = {"7": None, "8": "writeback", "9": "write-back"}[daemon.major]
    erased = ["flushRapidDisk/rd0"] if below_9(daemon) else []
    if word is None:
        assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")
        # Refused before the contents went.
        assert daemon.changes == []
        return
    assert (ran.code, ran.json["results"][0]["target"]) == (0, "rc-wb_sda")
    assert daemon.changes == [*erased, f"createRapidDiskCache/rd0/sda/{word}"]


@pytest.mark.parametrize(
    ("argv", "change"),
    [
        (("resize", "rd3", "128M"), "resizeRapidDisk/rd3/128"),
        (("resize", "rd3", "32M", "--yes"), "resizeRapidDisk/rd3/32"),
        (("flush", "rd3", "--yes"), "flushRapidDisk/rd3"),
        (("remove", "rd3", "--yes"), "removeRapidDisk/rd3"),
        (("cache", "remove", "rc-wt_vdb", "--yes"), "removeRapidDiskCache/rc-wt_vdb"),
    ],
)
def test_the_other_changes(
    rdctl: Program, daemon: Daemon, argv: tuple[str, ...], change: str
) -> None:
    # Debian's 9.0.0 tells neither a size nor who uses what:
    # docs/wire/rapiddisk-rest.md#0-what-the-published-reference-leaves-out
    extra = ("--force", "--yes") if daemon.debian else ()
    ran = ask(rdctl, daemon, *argv, *extra, "--json")
    assert (ran.code, daemon.changes) == (0, [change])
    (result,) = ran.json["results"]
    seen = not (daemon.debian and argv[0] == "resize") and not (
        below_9(daemon) and argv[0] == "flush"
    )
    assert (result["changed"], result["verified"]) == (True, True if seen else None)


# --- Debian's 9.0.0 -------------------------------------------------------------------------------

GUARDED = [
    ("resize", "rd3", "32M"),
    ("flush", "rd3"),
    ("remove", "rd3"),
    ("cache", "create", "rd0", "sda"),
    ("cache", "remove", "rc-wt_vdb"),
]


@pytest.mark.parametrize("argv", GUARDED)
@pytest.mark.parametrize("unknown", ["caches", "exports"])
def test_what_debian_does_not_tell_needs_force(
    rdctl: Program, argv: tuple[str, ...], unknown: str
) -> None:
    with Daemon("9.0.0-deb", volumes={f"rd{n}": Volume(64) for n in range(4)}) as daemon:
        daemon.caches["rc-wt_vdb"] = Cache("rd1", "vdb")
        if unknown == "exports":
            daemon.targets = [Target(NQN, "/dev/rd2")]
            if argv[:2] != ("cache", "remove"):
                daemon.caches.clear()
        elif argv[:2] == ("cache", "remove"):
            return  # which volumes other caches use does not matter to this one
        ran = ask(rdctl, daemon, *argv, "--yes", "--json")
        assert ran.code == 4
        told = ran.json.get("error") or ran.json["errors"][0]
        assert (told["code"], daemon.changes) == ("unguarded", [])
        assert "--force" in told["hint"]
        assert ask(rdctl, daemon, *argv, "--yes", "--force").code == 0
        assert len(daemon.changes) == 1


def test_debian_with_nothing_mapped_or_exported_needs_no_force(rdctl: Program) -> None:
    with Daemon("9.0.0-deb", volumes={"rd0": Volume(64)}) as daemon:
        assert ask(rdctl, daemon, "remove", "rd0", "--yes").code == 0


def test_a_size_that_is_not_known_may_be_cut_and_may_outgrow_the_memory(rdctl: Program) -> None:
    with Daemon("9.0.0-deb", volumes={"rd0": Volume(64)}, memory=1 << 30) as daemon:
        ran = ask(rdctl, daemon, "resize", "rd0", "64M")
        assert (ran.code, daemon.changes) == (2, [])
        assert "size unknown" in ran.err
        assert ask(rdctl, daemon, "resize", "rd0", "2G", "--yes").code == 4
        assert ask(rdctl, daemon, "resize", "rd0", "2G", "--yes", "--overcommit").code == 0


def test_sizes_are_unknown_only_where_debian_made_them_so(rdctl: Program) -> None:
    with Daemon("9.2.0", volumes={"rd0": Volume(0)}) as daemon:
        assert ask(rdctl, daemon, "list", "--json").json["items"][0]["size"] == 0
        assert "GET checkServiceStatus" in daemon.requests
    with Daemon("9.2.0", volumes={"rd0": Volume(0), "rd1": Volume(64)}) as daemon:
        items = ask(rdctl, daemon, "list", "--json").json["items"]
        assert [item["size"] for item in items] == [0, 64 * MIB]
        assert daemon.requests == ["GET listRapidDiskVolumes"]


def test_the_daemons_negative_sizes_are_huge_ones(rdctl: Program) -> None:
    with Daemon("9.2.0", volumes={"rd0": Volume(-1), "rd1": Volume(64)}) as daemon:
        items = ask(rdctl, daemon, "list", "--json").json["items"]
        assert items[0]["size"] == 2**64 - MIB
        assert ask(rdctl, daemon, "create", "1M").code == 4  # the memory is promised already
        assert ask(rdctl, daemon, "resize", "rd0", "64M", "--yes").code == 0
