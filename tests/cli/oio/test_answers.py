"""What the bodies of replies prove, and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_causes import Received, words_of
from tests.cli.oio.test_transfer import Client, near
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer, Request
from tests.fakes.sds import Call, on

__all__ = ["near"]


def at(oio: Oio, server: FaultServer) -> Oio:
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "ACCT")
    return Oio(oio.rdctl, *where, "--retries", "0")


# --- bodies that name a status ------------------------------------------------------------------


@pytest.mark.parametrize("word", ["status", '"status"'])
def test_a_message_about_a_status_is_no_fault_of_rdctl(
    oio: Oio, near: Callable[..., Client], word: str
) -> None:
    with FaultServer([faults.json({"message": word})]) as server:
        ran = at(oio, server)("reference", "get-properties", "r", "--json")
        touched = at(oio, server)("container", "touch", "c", "--json")
    assert (ran.code, ran.json["item"]["properties"]) == (0, {"message": word})
    assert (touched.code, touched.json["errors"][0]["code"]) == (10, "unknown")
    client = near()
    client.file("a", b"x")

    def answer(call: Call) -> None:
        call.body()
        call.json({"message": word})

    client.sds.faults.append(on("content/create", answer))
    put = client("put", "docs", "a", "--json")
    assert (put.code, put.json["errors"][0]["code"]) == (10, "unknown")


def test_a_property_named_status_is_a_property(oio: Oio) -> None:
    flat = {"message": "x", "status": "503"}
    with FaultServer([faults.json(flat)]) as server:
        ran = at(oio, server)("reference", "get-properties", "r", "--json")
    assert (ran.code, ran.json["item"]["properties"]) == (0, flat)


# --- what is no success -------------------------------------------------------------------------

REFUSED = {"status": 503, "message": "no", "cause": "x"}
NO_SUCCESS: list[Any] = [
    REFUSED,
    {"status": "503", "message": "no"},
    {"status": 503.0},
    {"status": None, "message": "failed"},
    {"status": "200"},
    {"error": "boom"},
    {"message": "no"},
    {"127.0.0.1:1": "boom"},
    {"127.0.0.1:1": {"code": "503", "msg": "no"}},
    {"127.0.0.1:1": "OK", "127.0.0.1:2": 7},
    {"properties": {}},
    None,
    [],
    "OK",
]
EMPTY = faults.json({"properties": {}, "system": {}})
DONE = """
container set-properties c a=b|reference set-properties c a=b|content set-properties c o a=b
admin set-properties c a=b|admin freeze c|admin enable c|admin disable c
"""
OF_SERVICES = "conscience register echo 127.0.0.1:7"


def reads(request: Request) -> bool:
    return request.method == "GET" or "get_properties" in request.path


def answering(look: Behaviour, change: Behaviour) -> Behaviour:
    """`look` for what only reads, `change` for the others."""

    def behave(connection: Connection) -> None:
        request = connection.receive()
        answer = look if reads(request) else change
        answer(cast(Connection, Received(connection, request)))

    return behave


def changed(oio: Oio, words: str, look: Behaviour, change: Behaviour) -> tuple[int, Any]:
    """The exit of a change, and its first error."""
    with FaultServer([answering(look, change)]) as server:
        ran = at(oio, server)(*words.split(), "--yes", "--json")
    errors = ran.json.get("errors") or [ran.json.get("error")]
    return ran.code, errors[0]


@pytest.mark.parametrize("words", words_of(DONE))
def test_an_object_of_another_shape_is_no_success(oio: Oio, words: str) -> None:
    for body in NO_SUCCESS:
        code, error = changed(oio, words, EMPTY, faults.json(body))
        assert (code, error["code"]) == (10, "unknown"), body
    for body in ({}, {"127.0.0.1:6008": "OK"}):
        assert changed(oio, words, EMPTY, faults.json(body)) == (0, None), body


@pytest.mark.parametrize("body", [*NO_SUCCESS, {}, {"status": 200, "message": "OK"}])
def test_a_service_is_registered_when_it_is_told_so(oio: Oio, body: Any) -> None:
    code, error = changed(oio, OF_SERVICES, faults.json([]), faults.json(body))
    assert (code, error["code"]) == (10, "unknown")


def test_a_type_is_flushed_when_it_is_told_so(oio: Oio) -> None:
    services = faults.json([{"addr": "127.0.0.1:7", "score": 1, "tags": {}}])
    for verb in ("flush", "deregister"):
        for body in [*NO_SUCCESS, {}]:
            code, error = changed(oio, f"conscience {verb} echo", services, faults.json(body))
            assert (code, error["code"]) == (10, "unknown"), body


# --- replicas -----------------------------------------------------------------------------------

GOOD = {"status": {"status": 200, "message": "OK"}, "body": ""}
BASES = (
    "admin sync c|admin ping c|admin leave c --all|admin drop-cache c|admin copy c --to 127.0.0.1:7"
)


@pytest.mark.parametrize("words", words_of(BASES))
def test_what_is_no_replica_does_nothing(oio: Oio, words: str) -> None:
    for body in ({"error": "boom"}, {"message": "boom"}, {"error": "OK"}, {"127.0.0.1:1": "boom"}):
        code, error = changed(oio, words, EMPTY, faults.json(body))
        assert (code, error["code"]) == (10, "unknown"), body


@pytest.mark.parametrize("words", ["admin status c", "admin debug c"])
def test_an_error_is_no_master(oio: Oio, words: str) -> None:
    with FaultServer([faults.json({"error": "boom"})]) as server:
        ran = at(oio, server)(*words.split(), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (9, "bad-reply")
    assert "shown as null" not in ran.err


def test_every_replica_tells_what_became_of_a_copy(oio: Oio) -> None:
    words = "admin copy c --to 127.0.0.1:7"
    away = {"status": {"status": 431, "message": "no"}, "body": ""}
    for one, exit, word in (({}, 9, "unproven"), (away, 3, "not-found")):
        body = {"127.0.0.1:1": GOOD, "127.0.0.1:2": one}
        code, error = changed(oio, words, EMPTY, faults.json(body))
        assert (code, error["code"], error["target"]) == (exit, word, "127.0.0.1:2")
    for fine in ({}, {"127.0.0.1:1": "OK"}, {"127.0.0.1:1": GOOD}):
        assert changed(oio, words, EMPTY, faults.json(fine)) == (0, None)


@pytest.mark.parametrize("verb", ["link", "renew"])
def test_no_link_is_no_proof_of_one(oio: Oio, verb: str) -> None:
    look = faults.json({"srv": [], "dir": []})
    code, error = changed(oio, f"reference {verb} r rdir", look, faults.json([]))
    assert (code, error["code"]) == (10, "unknown")
