"""Services as a whole: resolve, wait, lock before registration, choose, variables, caches."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.oio.conftest import Oio, Server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

META2 = "127.0.0.1:16010"
RDIR = "127.0.0.1:16018"
OTHER_RDIR = "127.0.0.1:16019"


class Clock:
    """Time that only sleeping takes."""

    def __init__(self, oio: Oio, woken: Callable[[int], None] = lambda times: None) -> None:
        self.seconds, self.times, self.woken = 0.0, 0, woken
        oio.rdctl.clock, oio.rdctl.sleep = lambda: self.seconds, self.sleep

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.times += 1
        self.woken(self.times)


# --- conscience resolve ---------------------------------------------------------------------------


def test_an_unknown_id_is_not_an_unavailable_conscience(wire: Oio) -> None:
    """4.2 answers 503 for it, which would be tried again."""
    ran = wire("conscience", "resolve", "rawx", "127.0.0.1:16013", "nosuch", "--json")
    assert ran.code == 8
    assert [row["address"] for row in ran.json["items"]] == ["127.0.0.1:16013"]
    assert 'error: rawx service "nosuch" not found in the conscience' in ran.err
    assert [sent.query for sent in wire.sent].count("type=rawx&service_id=nosuch") == 1
    assert wire("conscience", "resolve", "rawx", "nosuch").code == 3


def test_the_type_of_an_id_is_suggested(oio: Oio) -> None:
    ran = oio("conscience", "resolve", "rawxx", RDIR)
    assert ran.code == 3
    assert "Did you mean rawx?" in ran.err


# --- conscience wait ------------------------------------------------------------------------------


def test_wait_ends_as_soon_as_all_are_up(oio: Oio) -> None:
    oio.ok("conscience", "lock", "rdir", RDIR, "--yes")

    def unlock(times: int) -> None:
        if times == 3:
            oio.rdctl.sleep = lambda seconds: None  # of the nested command
            oio.ok("conscience", "unlock", "rdir", RDIR)
            oio.rdctl.sleep = clock.sleep

    clock = Clock(oio, unlock)
    ran = oio.ok("conscience", "wait", "rdir", "--json")
    assert [row["score"] for row in ran.json["items"]] == [97, 96]
    assert clock.times == 3


@pytest.mark.parametrize(("words", "seconds"), [((), 15), (("--timeout", "4"), 4)])
def test_wait_ends_with_its_time(oio: Oio, words: tuple[str, ...], seconds: int) -> None:
    oio.ok("conscience", "lock", "rdir", RDIR, "--yes")
    clock = Clock(oio)
    ran = oio("conscience", "wait", "rdir", *words)
    assert (ran.code, ran.out) == (7, "")
    low = f"score 0 or lower: rdir {RDIR}"
    assert f"error: timed out after {seconds} s: {low}\n" in ran.err
    assert "If a score is locked, unlock it: --unlock" in ran.err
    assert seconds - 2 < clock.seconds <= seconds


def test_a_type_without_services_is_waited_for(oio: Oio) -> None:
    """OpenIO's own client takes it as done."""
    Clock(oio)
    ran = oio("conscience", "wait", "echo")
    assert ran.code == 7
    assert "no echo service; 0 of 1 services above score 0" in ran.err


def test_so_many_are_waited_for(oio: Oio) -> None:
    Clock(oio)
    ran = oio("conscience", "wait", "rdir", "-n", "3")
    assert ran.code == 7
    assert "error: timed out after 15 s: 2 of 3 services above score 0\n" in ran.err
    assert oio.ok("conscience", "wait", "rdir", "account", "-n", "3").out.count("127.0.0.1") == 3


def test_a_score_has_to_be_exceeded(oio: Oio) -> None:
    Clock(oio)
    assert oio("conscience", "wait", "rdir", "-s", "95").code == 0
    assert (
        f"score 96 or lower: rdir {OTHER_RDIR}" in oio("conscience", "wait", "rdir", "-s", "96").err
    )


def test_an_unknown_type_is_not_waited_for(oio: Oio) -> None:
    clock = Clock(oio)
    ran = oio("conscience", "wait", "rawxx")
    assert (ran.code, clock.times) == (3, 0)
    assert "Did you mean rawx?" in ran.err


def test_addresses_restrict_the_wait(oio: Oio) -> None:
    """Of a type, or of all types."""
    oio.ok("conscience", "lock", "rdir", OTHER_RDIR, "--yes")
    clock = Clock(oio)
    for words in (("rdir", RDIR), (RDIR,)):
        rows = oio.ok("conscience", "wait", *words, "--json").json["items"]
        assert [(row["type"], row["address"]) for row in rows] == [("rdir", RDIR)]
    assert clock.times == 0
    ran = oio("conscience", "wait", "rdir", RDIR, OTHER_RDIR)
    assert (ran.code, ran.out) == (7, "")
    assert f"score 0 or lower: rdir {OTHER_RDIR}\n" in ran.err


def test_an_address_is_waited_for_until_it_registers(oio: Oio) -> None:
    new = "127.0.0.1:16099"

    def register(times: int) -> None:
        if times == 2:
            oio.rdctl.sleep = lambda seconds: None  # of the nested command
            oio.ok("conscience", "lock", "rdir", new, "--score", "50", "--unregistered", "--yes")
            oio.rdctl.sleep = clock.sleep

    clock = Clock(oio)
    ran = oio("conscience", "wait", "meta2", new)
    assert ran.code == 7
    assert f"timed out after 15 s: {new} is not registered; 0 of 1 services" in ran.err
    clock = Clock(oio, register)
    assert new in oio.ok("conscience", "wait", "rdir", new).out
    assert clock.times == 2


def test_a_malformed_address_is_not_waited_for(wire: Oio) -> None:
    ran = wire("conscience", "wait", "rawx", "127.0.0.1:x")
    assert (ran.code, wire.sent) == (2, [])
    assert 'invalid service address "127.0.0.1:x": must be IP:PORT' in ran.err


def test_statistics_are_shown_only_on_request(oio: Oio) -> None:
    def tags(*words: str) -> list[dict[str, Any]]:
        return [row["tags"] for row in oio.ok(*words, "--json").json["items"]]

    plain, full = tags("conscience", "list", "rdir"), tags("conscience", "list", "rdir", "--full")
    assert "stat.cpu" in full[0]
    assert tags("conscience", "wait", "rdir") == plain
    assert tags("local", "list", "rdir") == plain
    assert tags("local", "list", "rdir", "--full") == full


def test_wait_can_unlock_and_only_what_is_low(wire: Oio) -> None:
    wire.ok("conscience", "lock", "rdir", RDIR, "--yes")
    wire.sent.clear()
    Clock(wire)
    wire.ok("conscience", "wait", "--unlock")
    (sent,) = wire.changes
    assert (sent.route, sent.body["addr"]) == ("conscience/unlock", RDIR)
    wire.sent.clear()
    wire.ok("conscience", "wait", "--unlock")
    assert wire.changes == []


def test_wait_bears_a_conscience_that_is_not_up_yet(wire: Oio, server: Server) -> None:
    app, failing = server.app, [True]

    def late(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if failing and "conscience" in environ["PATH_INFO"]:
            start_response("503 Service unavailable", [("Content-Type", "application/json")])
            return [b'{"status":503,"message":"No conscience"}']
        return app(environ, start_response)

    server.app = late
    clock = Clock(wire, lambda times: failing.clear() if times > 4 else None)
    wire.ok("conscience", "wait", "rdir")
    assert clock.times > 4


def test_interrupting_a_wait(oio: Oio) -> None:
    oio.ok("conscience", "lock", "rdir", RDIR, "--yes")

    def interrupt(times: int) -> None:
        raise KeyboardInterrupt

    Clock(oio, interrupt)
    assert oio("conscience", "wait", "rdir").code == 130


# --- conscience lock and unlock -------------------------------------------------------------------


def test_an_unregistered_address_is_probably_a_typo(oio: Oio) -> None:
    before = oio.state
    ran = oio("conscience", "lock", "rawx", "127.0.0.1:16031", "--yes")
    assert ran.code == 3
    assert "Did you mean 127.0.0.1:16013?" in ran.err or "Registered rawx services" in ran.err
    assert "To lock a service before it registers, add --unregistered." in ran.err
    assert oio.state == before


def test_a_lock_before_registration_is_there_at_registration(oio: Oio) -> None:
    new = "127.0.0.1:16099"
    oio.ok("conscience", "lock", "rawx", new, "127.0.0.1:16013", "--unregistered", "--yes")
    oio.ok("conscience", "register", "rawx", new, "--tag", "stat.cpu=90")
    shown = oio.ok("conscience", "list", "rawx", "--json").json["items"]
    assert {row["address"]: row["score"] for row in shown}[new] == 0
    oio.ok("conscience", "unlock", "rawx", new)


def test_the_prompt_names_what_is_not_registered(oio: Oio) -> None:
    words = ("conscience", "lock", "rawx", "127.0.0.1:16099", "127.0.0.1:16013", "--unregistered")
    losses = oio.ok(*words, "--dry-run", "--json").json["losses"]
    assert losses == [
        "rawx 127.0.0.1:16099: not registered in the conscience; its score will be locked at 0"
        " (gets no new data), and it will be listed",
        "rawx 127.0.0.1:16013: score will be locked at 0 (gets no new data)",
    ]


# --- local list -----------------------------------------------------------------------------------


def test_the_local_services_of_some_types(oio: Oio) -> None:
    rows = oio.ok("local", "list", "rdir", "account", "--json").json["items"]
    assert {row["type"] for row in rows} == {"rdir", "account"}
    assert oio.ok("local", "list", "echo", "--json").json["items"] == []
    ran = oio("local", "list", "rawxx")
    assert ran.code == 3
    assert "Did you mean rawx?" in ran.err


# --- lb -------------------------------------------------------------------------------------------


def chosen(oio: Oio, *words: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = oio.ok("lb", *words, "--json").json["items"]
    return rows


def test_services_to_avoid_and_known_ones(wire: Oio) -> None:
    """Addresses are sent as IDs: the server ignores what it does not know."""
    rows = chosen(wire, "poll", "--pool", "meta2", "--avoid", META2, "--avoid", "127.0.0.1:16009")
    assert [row["address"] for row in rows] == ["127.0.0.1:16011"]
    assert wire.sent[-1].body == {
        "avoid": ["OPENIO|meta2|127.0.0.1:16010", "OPENIO|meta2|127.0.0.1:16009"],
        "known": [],
    }
    known = chosen(wire, "poll", "--policy", "THREECOPIES", "--known", "127.0.0.1:16013")
    assert len(known) == 2
    ran = wire("lb", "poll", "--pool", "meta2", "--avoid", "127.0.0.1:1")
    assert ran.code == 3
    assert 'service "127.0.0.1:1" is not known to the proxy' in ran.err


def test_a_flawed_choice_is_shown(oio: Oio) -> None:
    assert {row["flawed"] for row in chosen(oio, "choose", "rawx", "--count", "3")} == {False}
    assert {row["flawed"] for row in chosen(oio, "choose", "rawx", "--slot", "ssd")} == {True}
    assert "FLAWED" in oio.ok("lb", "choose", "rawx", "--slot", "ssd").out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("choose rdir --count 9", 6, "found only 2 services"),
        ("choose rawxx", 3, "Did you mean rawx?"),
        ("choose rawx --count 0", 2, "must be a whole number from 1 to 9999"),
        ("poll --pool rawx4", 3, 'service pool "rawx4" not found'),
        ("poll --policy SINGL", 3, "Did you mean SINGLE?"),
        ("poll", 2, "specify either --pool POOL or --policy POLICY"),
        ("poll --pool rawx2 --policy SINGLE", 2, "specify either"),
    ],
)
def test_what_cannot_be_chosen(oio: Oio, words: str, code: int, says: str) -> None:
    ran = oio("lb", *words.split())
    assert ran.code == code
    assert says in ran.err


# --- service config -------------------------------------------------------------------------------


def value(oio: Oio, service: str, name: str) -> str:
    (row,) = oio.ok("service", "config", "get", service, name, "--json").json["items"]
    return str(row["value"])


def test_the_variables_of_a_service_are_its_own(oio: Oio) -> None:
    oio.ok("service", "config", "set", META2, "ns.worm=on", "core.sds.timeout.cnx.rawx=7")
    assert (value(oio, META2, "ns.worm"), value(oio, "proxy", "ns.worm")) == ("on", "off")
    assert value(oio, META2, "core.sds.timeout.cnx.rawx") == "7.000000"


@pytest.mark.parametrize(
    ("assignment", "is_now"),
    [
        ("core.sds.timeout.cnx.rawx=5", "core.sds.timeout.cnx.rawx is up to date (value 5.000000)"),
        ("core.sds.timeout.cnx.rawx=6.50", "set core.sds.timeout.cnx.rawx (value 6.500000)"),
        ("proxy.cache.enabled=TRUE", "proxy.cache.enabled is up to date (value on)"),
        ("proxy.cache.enabled=no", "set proxy.cache.enabled (value off)"),
        ("proxy.bulk.max.create_many=007", "set proxy.bulk.max.create_many (value 7)"),
    ],
)
def test_equal_values_are_equal_however_they_are_written(
    oio: Oio, assignment: str, is_now: str
) -> None:
    assert oio.ok("service", "config", "set", "proxy", assignment).out == f"{is_now}\n"


@pytest.mark.parametrize(
    ("assignment", "code", "says"),
    [
        ("proxy.bulk.max.create_man=5", 3, "Did you mean proxy.bulk.max.create_many?"),
        ("proxy.bulk.max.create_many=abc", 2, "must be a whole number without a unit"),
        ("proxy.bulk.max.create_many=5k", 2, "must be a whole number without a unit"),
        ("proxy.bulk.max.create_many=", 2, "must be a whole number without a unit"),
        ("core.sds.timeout.cnx.rawx=5m", 2, "must be a number without a unit"),
        ("proxy.cache.enabled=maybe", 2, "must be on or off"),
    ],
)
def test_what_a_service_would_misread_is_never_sent(
    wire: Oio, assignment: str, code: int, says: str
) -> None:
    """Trap 11: it answers 204 to all of these, and resets most to a default."""
    before = wire.state
    ran = wire("service", "config", "set", "proxy", "proxy.bulk.max.delete_many=5", assignment)
    assert ran.code == code
    assert says in ran.err
    assert (wire.changes, wire.state) == ([], before)


def test_a_value_out_of_range_is_not_a_success(oio: Oio) -> None:
    ran = oio("service", "config", "set", "proxy", "proxy.bulk.max.create_many=99999")
    assert ran.code == 4
    assert "proxy.bulk.max.create_many: set to 10000 in place of 99999" in ran.err


def test_a_204_without_effect_is_an_error(wire: Oio, server: Server) -> None:
    app = server.app

    def ignoring(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/v3.0/config":
            start_response("204 No Content", [])
            return [b""]
        return app(environ, start_response)

    server.app = ignoring
    ran = wire("service", "config", "set", "proxy", "proxy.bulk.max.create_many=5")
    assert ran.code == 2
    assert 'invalid value "5": it is still 100' in ran.err


def test_a_later_proxy_says_which_variables_it_knows(wire: Oio, server: Server) -> None:
    """7.3 answers 200, and true also for values that it does not take."""
    app = server.app

    def later(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/v3.0/config":
            app(environ, lambda *reply: None)  # type: ignore[arg-type]
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"proxy.bulk.max.create_many": True}).encode()]
        return app(environ, start_response)

    server.app = later
    ran = wire.ok("service", "config", "set", "proxy", "proxy.bulk.max.create_many=5")
    assert ran.out == "set proxy.bulk.max.create_many (value 5)\n"


def test_variables_that_are_not_there(oio: Oio) -> None:
    ran = oio("service", "config", "get", "proxy", "ns.worm", "nosuch", "--json")
    assert ran.code == 8
    assert [row["name"] for row in ran.json["items"]] == ["ns.worm"]
    assert 'variable "nosuch" not found in the configuration of proxy' in ran.err
    assert oio("service", "config", "get", "127.0.0.1:1").code == 6


# --- cache ----------------------------------------------------------------------------------------


def test_the_proxy_knows_services_again_after_a_flush(oio: Oio) -> None:
    """Trap 10. The proxy asks the conscience again after seconds, which pass while it is waited."""
    looked: list[int] = []

    def woken(times: int) -> None:
        looked.append(len(chosen_by_cache()))
        if times == 2:
            oio_settings(oio, "proxy.period.cs.downstream", "0")

    def chosen_by_cache() -> list[Any]:
        oio.rdctl.sleep = lambda seconds: None
        rows: list[Any] = oio.ok("cache", "show", "--json").json["items"]
        oio.rdctl.sleep = clock.sleep
        return rows

    clock = Clock(oio, woken)
    ran = oio.ok("cache", "flush", "local", "low", "--yes")
    assert ran.out == "flushed local (services 22)\nflushed low\n"
    assert looked == [0, 0]


def oio_settings(oio: Oio, name: str, value: str) -> None:
    oio.ok("api", "POST", "/v3.0/config", "--body", "-", "--yes", body={name: value})


def test_a_flush_of_the_services_has_to_be_confirmed(wire: Oio) -> None:
    assert wire("cache", "flush", "local").code == 2
    assert wire.changes == []
    wire.ok("cache", "flush", "high", "low")


def test_nothing_can_be_chosen_while_the_proxy_knows_no_service(oio: Oio) -> None:
    Clock(oio)
    ran = oio.ok("cache", "flush", "local", "--yes", "--json")
    (result,) = ran.json["results"]
    assert (result["services"], result["verified"]) == (0, None)
    assert oio("lb", "choose", "rawx").code == 6
