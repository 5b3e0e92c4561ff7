"""Links of references, and the copies of databases: reference relink, admin has, remove, vacuum."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.oio.conftest import Oio, Server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

M1, M2, M3 = (f"127.0.0.1:{port}" for port in (16009, 16010, 16011))
SQLX = "127.0.0.1:16012"  # any service may hold a copy in the sandbox


def links(oio: Oio, name: str, type: str) -> list[tuple[int, str]]:
    shown = oio.ok("reference", "show", name, "--type", type, "--json").json
    return [(link["seq"], link["address"]) for link in shown["items"][0]["services"]]


@pytest.fixture
def linked(wire: Oio) -> Oio:
    """With a reference user1, over HTTP."""
    wire.ok("reference", "create", "user1")
    wire.sent.clear()
    return wire


def join(oio: Oio, type: str, *addresses: str, seq: int = 1) -> None:
    """Link services under one sequence number, as the directory does for replicas."""
    with closing(sqlite3.connect(oio.rdctl.sandbox)) as store, store:
        (cid,) = store.execute("SELECT cid FROM oio_references WHERE name = 'user1'").fetchone()
        for address in addresses:
            store.execute(
                "INSERT INTO oio_links VALUES (?, ?, ?, ?, '')", (cid, type, seq, address)
            )


# --- reference relink -----------------------------------------------------------------------------


def test_the_only_service_is_replaced_by_the_directory(linked: Oio) -> None:
    join(linked, "meta2", M1)
    ran = linked.ok("reference", "relink", "user1", "meta2", "--from", M1, "--yes", "--json")
    ((seq, now),) = links(linked, "user1", "meta2")
    assert seq == 1
    assert now in (M2, M3)
    assert ran.json["results"][0]["services"] == [now]
    rehearsed, relinked = (sent for sent in linked.sent if sent.route == "reference/relink")
    assert "dryrun=1" in rehearsed.query
    assert "dryrun" not in relinked.query
    described = {"seq": 1, "type": "meta2", "args": "", "host": M1}
    assert relinked.body == rehearsed.body == {"kept": None, "replaced": described}


def test_services_that_stay_are_never_left_to_the_server(linked: Oio) -> None:
    """It would drop the links that it is to keep, whatever it answers (trap 7)."""
    join(linked, "meta2", M1, M2)
    ran = linked.ok("reference", "relink", "user1", "meta2", "--from", M1, "--yes")
    assert ran.out == f"relinked user1 (services {M2}, {M3})\n"
    assert links(linked, "user1", "meta2") == [(1, M2), (1, M3)]
    (sent,) = linked.changes
    assert (sent.route, sent.body["host"]) == ("reference/force", f"{M2},{M3}")


def test_the_server_itself_drops_what_it_is_to_keep(linked: Oio) -> None:
    """What the test before avoids, as upstream's source has it and a real 7.3 did."""
    join(linked, "meta2", M1, M2)
    described = {"seq": 1, "type": "meta2", "args": ""}
    body = {"kept": {**described, "host": M2}, "replaced": {**described, "host": M1}}
    linked.ok(
        *("api", "POST", "reference/relink", "--param", "acct=sandbox", "--param", "ref=user1"),
        *("--param", "type=meta2", "--body", "-", "--yes"),
        body=body,
    )
    assert links(linked, "user1", "meta2") == [(1, M3)]


def test_other_sequence_numbers_are_kept(linked: Oio) -> None:
    join(linked, "meta2", M1)
    join(linked, "meta2", M2, seq=2)
    linked.ok("reference", "relink", "user1", "meta2", "--from", M2, "--yes")
    assert links(linked, "user1", "meta2") == [(1, M1), (2, M3)]


@pytest.mark.parametrize(
    ("services", "words", "code", "says"),
    [
        ([(M1,)], M2, 3, f'reference "user1" is not linked to meta2 {M2}'),
        ([], M1, 3, "Linked meta2 services: none."),
        ([(M1,), (M2,)], f"{M1} --from {M2}", 2, "have several sequence numbers"),
        ([(M1, M2, M3)], M1, 6, "0 of 1 meta2 services can be chosen"),
        ([(M1, M2, M3)], f"{M1} --from {M2} --from {M3}", 6, "found only 0 services"),
    ],
)
def test_what_cannot_be_relinked_is_not_touched(
    linked: Oio, services: list[tuple[str, ...]], words: str, code: int, says: str
) -> None:
    for seq, addresses in enumerate(services, 1):
        join(linked, "meta2", *addresses, seq=seq)
    before = linked.state
    ran = linked("reference", "relink", "user1", "meta2", "--from", *words.split(), "--yes")
    assert ran.code == code, ran.err
    assert says in ran.err
    assert (linked.changes, linked.state) == (
        [],
        before,
    )


def test_links_that_change_while_the_question_is_open_are_kept(linked: Oio, server: Server) -> None:
    join(linked, "meta2", M1)
    app = server.app

    def changing(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        reply = app(environ, start_response)
        if "dryrun=1" in environ["QUERY_STRING"]:
            join(linked, "meta2", M2)
        return reply

    server.app = changing
    ran = linked("reference", "relink", "user1", "meta2", "--from", M1, "--yes")
    assert ran.code == 4
    assert "changed in the meantime" in ran.err
    assert links(linked, "user1", "meta2") == [(1, M1), (1, M2)]


def test_a_relink_that_lost_links_is_not_a_success(linked: Oio, server: Server) -> None:
    join(linked, "meta2", M1)
    app = server.app

    def losing(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        query = environ["QUERY_STRING"]
        if environ["PATH_INFO"].endswith("/relink") and "dryrun" not in query:
            with closing(sqlite3.connect(linked.rdctl.sandbox)) as store, store:
                store.execute("DELETE FROM oio_links WHERE type = 'meta2'")
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b"[]"]
        return app(environ, start_response)

    server.app = losing
    ran = linked("reference", "relink", "user1", "meta2", "--from", M1, "--yes")
    assert ran.code == 9
    assert 'reference "user1" is now linked to no service' in ran.err


# --- admin has and info ---------------------------------------------------------------------------


def test_who_has_the_database(oio: Oio) -> None:
    rows = oio.ok("admin", "has", "photos", "--json").json["items"]
    assert {row["service"] for row in rows} == {M1, M2, M3}
    assert all(row["body"].endswith(".1.meta2") for row in rows)
    ran = oio("admin", "has", "photos", "--service", M1, "--service", SQLX, "--json")
    assert ran.code == 8
    assert 'meta2 database of "photos" not found' in ran.err


def test_the_settings_of_each_replica(oio: Oio) -> None:
    rows = oio.ok("admin", "info", "photos", "--json").json["items"]
    assert rows[0]["body"]["replication"] == "ZOOKEEPER"


# --- admin remove ---------------------------------------------------------------------------------


def master(oio: Oio) -> str:
    rows = oio.ok("admin", "status", "photos", "--json").json["items"]
    return next(str(row["service"]) for row in rows if row["role"] == "master")


def others(oio: Oio) -> list[str]:
    return sorted({M1, M2, M3} - {master(oio)})


def test_a_surplus_copy_is_removed(wire: Oio) -> None:
    wire.ok("admin", "copy", "photos", "--to", SQLX, "--yes")
    ran = wire.ok("admin", "remove", "photos", "--service", SQLX, "--yes", "--json")
    assert (ran.json["results"][0]["changed"], ran.json["results"][0]["verified"]) == (True, True)
    assert wire("admin", "has", "photos", "--service", SQLX).code == 3
    again = wire.ok("admin", "remove", "photos", "--service", SQLX, "--yes", "--json")
    assert again.json["results"][0]["changed"] is False
    assert [sent.route for sent in wire.changes].count("admin/remove") == 1


def test_a_slave_may_be_removed_but_not_the_master(wire: Oio) -> None:
    first, second = others(wire)
    wire.ok("admin", "remove", "photos", "--service", first, "--yes")
    serving = master(wire)
    wire.sent.clear()
    for words in ((serving,), (second, "--service", serving)):
        ran = wire("admin", "remove", "photos", "--service", *words, "--yes")
        assert ran.code == 4
        assert wire.changes == []
    assert "the only copy" in ran.err
    assert wire.ok("container", "show", "photos").code == 0


def test_the_only_copy_is_never_removed(wire: Oio) -> None:
    """Trap 9: the server would remove it, and the container would be lost."""
    first, second = others(wire)
    wire.ok("admin", "remove", "photos", "--service", first, "--service", second, "--yes")
    wire.sent.clear()
    ran = wire("admin", "remove", "photos", "--service", master(wire), "--yes")
    assert ran.code == 4
    assert 'it has the only copy of container "photos"' in ran.err
    assert wire.changes == []


def test_a_copy_without_a_link_does_not_serve(wire: Oio) -> None:
    first, second = others(wire)
    wire.ok("admin", "remove", "photos", "--service", first, "--service", second, "--yes")
    wire.ok("admin", "copy", "photos", "--to", SQLX, "--yes")
    wire.sent.clear()
    ran = wire("admin", "remove", "photos", "--service", master(wire), "--yes")
    assert ran.code == 4
    assert wire.changes == []


def test_the_server_itself_removes_the_only_copy(oio: Oio) -> None:
    """What rdctl avoids: the sandbox behaves as recorded."""
    oio.ok(
        *("api", "POST", "admin/remove", "--param", "acct=sandbox", "--param", "ref=photos"),
        *("--param", "type=meta2", "--param", f"service_id={M1},{M2},{M3}", "--yes"),
    )
    assert oio("container", "show", "photos").code == 3


def of_one(address: str, status: int, message: str) -> dict[str, Any]:
    """What admin/ answers about one service."""
    return {address: {"status": {"status": status, "message": message}, "body": ""}}


def answering(server: Server, route: str, value: dict[str, Any]) -> None:
    app = server.app

    def app_with(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"].endswith(route):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(value).encode()]
        return app(environ, start_response)

    server.app = app_with


def test_nothing_is_removed_if_the_master_is_not_known(wire: Oio, server: Server) -> None:
    answering(server, "admin/status", of_one(M1, 500, "Election failed"))
    ran = wire("admin", "remove", "photos", "--service", M2, "--yes")
    assert ran.code == 4
    assert "cannot check whether it is the master" in ran.err
    assert wire.changes == []


def test_nothing_is_removed_from_a_service_that_does_not_answer(wire: Oio) -> None:
    ran = wire("admin", "remove", "photos", "--service", "127.0.0.1:1", "--yes")
    assert ran.code == 4
    assert "127.0.0.1:1: cannot check whether it has" in ran.err
    assert wire.changes == []


def test_a_refusal_inside_a_200_is_seen(wire: Oio, server: Server) -> None:
    slave = others(wire)[0]
    answering(server, "admin/remove", of_one(slave, 500, "busy"))
    ran = wire("admin", "remove", "photos", "--service", slave, "--yes")
    assert ran.code == 10
    assert "busy" in ran.err


def test_an_ok_for_a_copy_that_stays_is_not_a_success(wire: Oio, server: Server) -> None:
    slave = others(wire)[0]
    answering(server, "admin/remove", of_one(slave, 200, "OK"))
    ran = wire("admin", "remove", "photos", "--service", slave, "--yes")
    assert ran.code == 9
    assert f'container "photos" is still on {slave}' in ran.err


# --- admin vacuum ---------------------------------------------------------------------------------


def test_vacuum_is_of_later_proxies(wire: Oio, server: Server) -> None:
    """A 7.3 answers with an empty object."""
    assert wire("admin", "vacuum", "photos").code == 11
    answering(server, "admin/vacuum", {})
    wire.sent.clear()
    assert wire.ok("admin", "vacuum", "photos", "--dry-run").out == "would vacuum photos\n"
    assert wire.changes == []
    ran = wire.ok("admin", "vacuum", "photos", "docs", "--json")
    assert [row["target"] for row in ran.json["results"]] == ["photos", "docs"]
    assert {row["verified"] for row in ran.json["results"]} == {None}
    assert [sent.route for sent in wire.changes] == ["admin/vacuum"] * 2
    assert wire.ok("admin", "vacuum", "photos").out == "compacted photos\n"


# --- elections ------------------------------------------------------------------------------------


def roles(oio: Oio) -> dict[str, str | None]:
    listed = oio("admin", "status", "photos", "--json").json["items"]
    return {row["service"]: row["role"] for row in listed}


def test_the_others_elect_a_master_while_they_are_a_majority(oio: Oio) -> None:
    before = roles(oio)
    assert sorted(map(str, before.values())) == ["master", "slave", "slave"]
    first = next(service for service, role in before.items() if role == "master")
    second, third = before.keys() - {first}
    assert oio.rdctl("sandbox", "stop", first).code == 0
    assert sorted(map(str, roles(oio).values())) == ["None", "master", "slave"]
    assert roles(oio)[first] is None
    oio.ok("container", "show", "photos")

    assert oio.rdctl("sandbox", "stop", second).code == 0
    assert roles(oio) == dict.fromkeys(before)
    for command in (("container", "show"), ("content", "list"), ("admin", "sync")):
        ran = oio(*command, "photos")
        assert (ran.code, "Election failed [" in ran.err) == (6, True), ran.err
    debug = oio("admin", "debug", "photos", "--json").json["items"]
    assert {row["service"]: row["master"] for row in debug} == dict.fromkeys(before)
    put = oio("content", "put", "photos", "-", "--path", "new", stdin=b"x")
    assert (put.code, "Election failed [" in put.err) == (6, True), put.err

    assert oio.rdctl("sandbox", "start", second).code == 0
    assert "master" in (roles(oio)[second], roles(oio)[third])
    oio.ok("container", "show", "photos")


def test_without_any_replica_no_service_replies(oio: Oio) -> None:
    assert oio.rdctl("sandbox", "stop", M1, M2, M3).code == 0
    ran = oio("container", "show", "photos")
    assert (ran.code, "No service replied" in ran.err) == (6, True), ran.err
