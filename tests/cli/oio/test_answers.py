"""What the bodies of replies prove, and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_causes import Received, words_of
from tests.cli.oio.transfers import Client
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer, Request
from tests.fakes.sds import META, Call, on


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


# --- the fate of a change -----------------------------------------------------------------------

CHANGES = """
container create c|content delete c o|container set-properties c a=b|admin freeze c
container destroy c|container touch c|reference link r rdir|reference create r
conscience register echo 127.0.0.1:7|content set-properties c o a=b|container purge c
"""
MANY = "container create c d|content delete c o p"
LOOKS = {
    "reference/show": ({"srv": [], "dir": []}, {}),
    "container/show": ({}, {"x-oio-container-meta-sys-user-name": "c"}),
    "container/list": (
        {"objects": [{"name": "o", "size": 1}], "prefixes": []},
        {"x-oio-list-truncated": "false"},
    ),
    "conscience/list": ([], {}),
    "status": ("counter a = 1", {}),
}


def fate(oio: Oio, words: str, change: Behaviour) -> tuple[int, str, str | None]:
    """The exit, the word and the fate of a change that is answered so."""

    def behave(connection: Connection) -> None:
        request = connection.receive()
        route = request.path.partition("?")[0].removeprefix("/v3.0/").removeprefix("OPENIO/")
        value, headers = LOOKS.get(route, ({"properties": {}, "system": {}}, {}))
        look = faults.json(value, headers=headers)
        answer = look if reads(request) else change
        answer(cast(Connection, Received(connection, request)))

    with FaultServer([behave]) as server:
        ran = at(oio, server)(*words.split(), "--yes", "--json")
    document = ran.json
    error = document.get("error") or document["errors"][0]
    return ran.code, error["code"], error.get("fate")


def body(status: Any, http: int = 500, message: str = "no") -> Behaviour:
    return faults.http_error(http, {"status": status, "message": message})


OPEN = {
    "500": body(500),
    "2": body(2),
    "2 by 503": body(2, 503, "127.0.0.1:1: [errno=111] Connection refused"),
    "3": body(3),
    "7": body(7, 504),
    "502": body(502),
    "503": body(503, 503),
    "503 by 500": body(503),
    "503 by 200": body(503, 200),
    "503 by 404": body(503, 404),
    "504": body(504),
    "200 by 500": body(200),
    "600": body(600),
    "a page with 500": faults.http_error(500),
    "a page with 503": faults.http_error(503),
    "an election that is told of by another": body(503, 503, "No service replied: Election failed"),
}
CLOSED: dict[str, tuple[Behaviour, int]] = {
    "a page with 404": (faults.http_error(404), 9),
    "302": (faults.redirect("http://elsewhere.test/"), 9),
    "429": (faults.http_error(429), 6),
    "401": (faults.http_error(401), 5),
    "no election": (body(503, 503, "Election failed [AB.1][meta2]"), 6),
    "starting": (body(503, 503, "META1 error: The current META0 service is not ready yet"), 6),
    "busy": (body(503, 500, "META2 error: Too many pending events"), 6),
    "509": (body(509), 6),
    "501": (body(501, 501), 11),
    "481": (body(481), 6),
    "a redirection": (body(303), 1),
}


@pytest.mark.parametrize("words", words_of(CHANGES))
def test_who_is_away_may_have_done_it(oio: Oio, words: str) -> None:
    told = {what: fate(oio, words, answer)[:2] for what, answer in OPEN.items()}
    assert told == dict.fromkeys(OPEN, (10, "unknown"))


@pytest.mark.parametrize("words", words_of(CHANGES))
def test_a_refusal_did_nothing(oio: Oio, words: str) -> None:
    told = {what: fate(oio, words, answer) for what, (answer, _) in CLOSED.items()}
    assert {what: code for what, (code, *_) in told.items()} == {
        what: code for what, (_, code) in CLOSED.items()
    }
    assert {fate for *_, fate in told.values()} <= {"not done", None}


@pytest.mark.parametrize("words", words_of(MANY))
def test_items_of_a_batch_have_their_fate(oio: Oio, words: str) -> None:
    for status, message, expected in (
        (503, "No service replied", (10, "unknown", "unknown")),
        (500, "no", (10, "unknown", "unknown")),
        (2, "Connection refused", (10, "unknown", "unknown")),
        (503, "Election failed [AB.1][meta2]", (6, "unavailable", "not done")),
        (436, "Invalid status", (4, "frozen", "not done")),
    ):
        names = words.split()[-2:]
        items = [{"name": name, "status": status, "message": message} for name in names]
        answer = faults.json({"containers": items, "contents": items})
        assert fate(oio, words, answer) == expected, message
    assert fate(oio, words, faults.http_error(503))[:2] == (10, "unknown")


def test_a_name_is_no_proof(oio: Oio) -> None:
    """The words of a server count, not those of the operator in front of them."""
    container = "client creation"
    with FaultServer([body(500)]) as server:
        ran = at(oio, server)("container", "touch", container, "--json")
    assert ran.code == 10


def test_a_single_service_that_refuses_a_connection_did_nothing(oio: Oio) -> None:
    refused = body(2, 503, "127.0.0.1:7: [errno=111] Connection refused")
    with FaultServer([answering(faults.json([]), refused)]) as server:
        ran = at(oio, server)("service", "flush", "127.0.0.1:7", "--json")
    assert ran.code == 6
    item = {"status": {"status": 2, "message": "127.0.0.1:1: [errno=111] Connection refused"}}
    away = faults.json({"127.0.0.1:1": {**item, "body": ""}})
    assert changed(oio, "admin copy c --to 127.0.0.1:7", EMPTY, away)[0] == 6
    lost = faults.json({"127.0.0.1:1": {"status": {"status": 503, "message": "no"}, "body": ""}})
    assert changed(oio, "admin copy c --to 127.0.0.1:7", EMPTY, lost)[0] == 10


def test_a_proxy_that_is_not_learnt_was_sent_nothing(oio: Oio) -> None:
    """The dialect is asked for before a container is made."""
    with FaultServer([faults.http_error(503)]) as server:
        ran = at(oio, server)("admin", "copy", "c", "--to", "127.0.0.1:7", "--yes", "--json")
    assert (ran.code, [request.method for request in server.requests]) == (6, ["GET"])


# --- one bad value ------------------------------------------------------------------------------

CHUNK = {"url": "http://127.0.0.1:9/A", "pos": "0", "size": 1, "hash": "0" * 32, "score": 1}
HEADERS = {f"{META}length": "1", f"{META}id": "AB"}
BAD = [
    *[("hash", 5), ("hash", None), ("size", "big"), ("size", 1.0), ("pos", "first")],
    *[("pos", 0), ("url", 7), ("url", None)],
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_one_replica_that_cannot_be_read_is_shown_as_null(oio: Oio, key: str, value: Any) -> None:
    chunks = [CHUNK, {**CHUNK, "url": "http://127.0.0.1:9/B", key: value}]
    with FaultServer([faults.json(chunks, headers=HEADERS), EMPTY]) as server:
        ran = at(oio, server)("content", "show", "c", "o", "--json")
    assert ran.code == 0, ran.err
    (item,) = ran.json["items"]
    assert [chunk[key] for chunk in item["chunks"]].count(None) == 1
    assert (f"{key} (1 chunk)" in ran.err) is (value is not None)


def test_a_length_that_cannot_be_read_is_shown_as_null(oio: Oio) -> None:
    told = faults.json([CHUNK], headers={**HEADERS, f"{META}length": "long"})
    with FaultServer([told, EMPTY]) as server:
        ran = at(oio, server)("content", "show", "c", "o", "--json")
        got = at(oio, server)("content", "get", "c", "o", "--to", "-")
    assert (ran.code, ran.json["items"][0]["size"]) == (0, None)
    with FaultServer([told]) as server:
        got = at(oio, server)("content", "get", "c", "o", "--to", "-")
        cut = at(oio, server)("content", "truncate", "c", "o", "--size", "1", "--yes")
    assert (got.code, cut.code, len(server.requests)) == (9, 9, 2)
    assert "length" in got.err


@pytest.mark.parametrize(("key", "value"), [*BAD, ("url", "nowhere"), ("pos", "x")])
def test_another_replica_is_received(near: Callable[..., Client], key: str, value: Any) -> None:
    client = near(copies=2)
    data = b"0123456789" * 150
    client.sds.put("o", data)
    client.sds.objects["o"][-1]["chunks"][0][key] = value
    if key == "url":
        client.sds.faults.append(on("content/show", lambda call: odd_url(call, value)))
    ran = client("get", "docs", "o", "--to", "-")
    assert (ran.code, ran.stdout) == (0, data), ran.err


def odd_url(call: Call, value: Any) -> None:
    """The list of chunks, in which one has that url."""
    (kept,) = call.sds.objects["o"]
    chunks = [{**chunk, "real_url": chunk["url"]} for chunk in kept["chunks"]]
    chunks[0]["url"] = chunks[0]["real_url"] = value
    headers = {META + name: text for name, text in kept["meta"].items()}
    call.json(chunks, headers=headers)


def test_a_part_without_a_readable_replica_is_not_received(near: Callable[..., Client]) -> None:
    client = near(copies=2)
    client.sds.put("o", bytes(1500))
    for chunk in client.sds.objects["o"][-1]["chunks"]:
        chunk["hash"] = None if chunk["pos"] == "1" else chunk["hash"]
    ran = client("get", "docs", "o", "--to", "-")
    assert ran.code == 9
    assert "hash of a chunk" in ran.err


def test_one_part_of_a_reply_does_not_condemn_the_others(oio: Oio) -> None:
    link = {"seq": 1, "type": "meta2", "host": "127.0.0.1:1", "args": ""}
    with FaultServer([faults.json({"srv": [link], "dir": "none"})]) as server:
        ran = at(oio, server)("reference", "show", "r", "--json")
    assert (ran.code, ran.json["items"][0]["directory"]) == (0, None)
    assert len(ran.json["items"][0]["services"]) == 1
    with FaultServer([faults.json({"properties": {"a": "b"}, "system": []})]) as server:
        ran = at(oio, server)("container", "get-properties", "c", "--json")
        words = ("container", "set-properties", "c", "--system", "sys.m2.quota=", "--yes")
        decided = at(oio, server)(*words)
    assert (ran.code, ran.json["item"]["properties"]) == (0, {"a": "b"})
    assert ran.json["item"]["system"] is None
    assert decided.code == 9


@pytest.mark.parametrize(
    ("read_back", "verified"),
    [
        (faults.json({"properties": {}, "system": {"sys.m2.quota": "5"}}), True),
        (faults.json({"properties": {}, "system": {"sys.m2.quota": "7"}}), None),
        (faults.json({"properties": {}, "system": {}}), None),
        (faults.json({"properties": {}, "system": []}), None),
        (faults.reply(500, b""), None),
    ],
    ids=["set", "another", "not reported", "unreadable", "failed"],
)
def test_a_limit_is_verified_if_the_proxy_reports_it(
    oio: Oio, read_back: Behaviour, verified: bool | None
) -> None:
    before = faults.json({"properties": {}, "system": {"sys.m2.quota": "9"}})
    with FaultServer([before, faults.reply(204, b""), read_back]) as server:
        words = ("container", "set-properties", "c", "--quota", "5B", "--yes", "--json")
        ran = at(oio, server)(*words)
    (row,) = ran.json["results"]
    assert (ran.code, row["changed"], row["verified"]) == (0, True, verified)


def test_one_counter_does_not_condemn_the_others(oio: Oio) -> None:
    def ask(behaviour: Behaviour, type: str, verb: str) -> Any:
        with FaultServer([behaviour]) as server:
            address = server.url.removeprefix("http://")
            return at(oio, server)("service", verb, address, "--type", type, "--json")

    for type in ("rdir", "account"):
        ran = ask(faults.json({"opened": 3, "odd": "many"}), type, "stats")
        assert {row["name"]: row["value"] for row in ran.json["items"]} == {
            "opened": 3,
            "odd": None,
        }
        assert "odd (1 counter)" in ran.err
        assert ask(faults.json({"odd": "many"}), type, "stats").code == 9
    ran = ask(faults.reply(200, b"namespace OPENIO\nversion 1\nodd\n"), "rawx", "version")
    assert (ran.code, ran.json["items"][0]["version"]) == (0, "1")


def test_what_a_server_sends_to_a_terminal(oio: Oio) -> None:
    """Its control characters are shown, not obeyed, unless that is asked for; a pipe gets all."""
    escape = b"\x1b]0;PWN\x07"
    with FaultServer(
        [faults.reply(200, b'{"x": "' + escape + b'"}', {"X-A": "\x1b[2J"})]
    ) as server:
        away = Oio(oio.rdctl, "--oio-url", server.url, "--namespace", "NS")
        words = ("api", "GET", "/x", "-i")
        shown = away.ok(*words, tty=True)
        assert b"\x1b" not in shown.stdout
        assert rb'"\x1b]0;PWN\x07"' in shown.stdout
        assert rb"X-A: \x1b[2J" in shown.stdout
        assert escape in away.ok(*words, "--raw", tty=True).stdout
        assert escape in away.ok(*words).stdout
