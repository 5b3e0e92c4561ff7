"""A value that cannot be read is null, and one warning a command says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.oio.conftest import Oio
from tests.fakes import faults
from tests.fakes.faults import Behaviour, FaultServer
from tests.fakes.sds import CID, META

SYSTEM = "x-oio-container-meta-sys-"
SHOWN = {f"{SYSTEM}user-name": "docs", f"{SYSTEM}name": f"{CID}.1"}
PAGE = {"x-oio-list-truncated": "false"}
CHUNK = {"url": "http://127.0.0.1:9/A", "pos": "0", "size": 1, "hash": "0" * 32, "score": 1}


def told(value: Any, headers: Any = None) -> Behaviour:
    return faults.json(value, headers=headers)


def at(oio: Oio, server: FaultServer) -> Oio:
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "ACCT")
    return Oio(oio.rdctl, *where)


@pytest.mark.parametrize(
    ("words", "behaviours", "null", "warning"),
    [
        (
            "container show docs",
            [told({}, {**SHOWN, f"{SYSTEM}m2-quota": "1M"})],
            ("quota",),
            "sys.m2.quota (1 container)",
        ),
        (
            "container show docs",
            [told({"properties": {"a": 7}}, {**SHOWN, f"{SYSTEM}m2-ctime": "1e18"})],
            ("created",),
            "sys.m2.ctime (1 container), property a (1 value)",
        ),
        (
            "container list docs",
            [
                told(
                    {"objects": [{"name": "a", "size": 1.0, "mtime": "then"}], "prefixes": []}, PAGE
                )
            ],
            ("size", "modified"),
            "size (1 object), mtime (1 object)",
        ),
        (
            "conscience list rawx",
            [told([{"addr": "127.0.0.1:9", "score": "high", "tags": {}}])],
            ("score", "state"),
            "score (1 service)",
        ),
        (
            "reference show r",
            [told({"srv": [], "dir": [{"seq": [], "type": "meta1", "host": "h", "args": ""}]})],
            (),
            "seq (1 link)",
        ),
        (
            "account show",
            [told({"id": "ACCT", "bytes": "x", "metadata": []})],
            ("bytes",),
            "bytes (1 account), metadata (1 account)",
        ),
        (
            "account containers",
            [told({"listing": [["c", "many", None, 0, {}]]})],
            ("objects", "bytes", "modified"),
            "objects (1 container), mtime (1 container)",
        ),
    ],
)
def test_what_cannot_be_read_is_null(
    oio: Oio, words: str, behaviours: list[Behaviour], null: tuple[str, ...], warning: str
) -> None:
    script = list(behaviours)
    with FaultServer(script) as server:
        if words.startswith("account"):
            address = server.url.removeprefix("http://")
            script.insert(0, told([{"addr": address, "id": "x"}]))
        ran = at(oio, server)(*words.split(), "--json")
    assert ran.code == 0, ran.err
    row = ran.json["items"][0] if "items" in ran.json else ran.json["item"]
    assert {key: row[key] for key in null} == dict.fromkeys(null)
    assert ran.err == f"rdctl: warning: unreadable values shown as null: {warning}\n"


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "yaml", "csv"])
def test_one_warning_counts_for_all_pages(oio: Oio, form: str) -> None:
    """A row without its name is left out, whatever the format; the others stay."""
    bad = {"name": "b", "size": "big", "ctime": "x"}
    first = {"objects": [{"name": "a", "size": 5}, bad, {"size": 1}, 7], "prefixes": []}
    more = {"x-oio-list-truncated": "true", "x-oio-list-marker": "b"}
    last = {"objects": [{"name": "c", "size": "big"}, {"name": "d"}], "prefixes": []}
    with FaultServer([told(first, more), told(last, PAGE)]) as server:
        ran = at(oio, server)("container", "list", "docs", "-o", form)
    assert (ran.code, len(server.requests)) == (0, 2)
    assert all(name in ran.out for name in "abcd")
    said = "unreadable values shown as null: size (2 objects), ctime (1 object)"
    assert ran.err == f"rdctl: warning: {said}; skipped: 2 unreadable objects\n"


def test_quiet_is_quiet(oio: Oio) -> None:
    with FaultServer([told({}, {**SHOWN, f"{SYSTEM}m2-quota": "1M"})]) as server:
        assert at(oio, server)("container", "show", "docs", "-q").err == ""


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_what_is_no_number_to_json_never_comes_out(oio: Oio, number: str) -> None:
    body = f'[{{"addr": "127.0.0.1:9", "score": 5, "tags": {{"stat.cpu": {number}, "b": 1}}}}]'
    with FaultServer([faults.reply(200, body.encode())]) as server:
        ran = at(oio, server)("conscience", "list", "rawx", "--json")
    assert ran.json["items"][0]["tags"] == {"stat.cpu": None, "b": 1}
    assert f"shown as null: {number[:20]} (1 number)" in ran.err


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", 7), ("url", None), ("pos", "first"), ("size", "big"), ("size", 1.0), ("hash", [])],
)
def test_what_data_hang_on_is_not_guessed(oio: Oio, key: str, value: Any) -> None:
    chunks = [{**CHUNK, key: value}]
    with FaultServer([told(chunks, {f"{META}length": "1", f"{META}id": "AB"})]) as server:
        ran = at(oio, server)("content", "get", "docs", "a", "--to", "-")
    assert (ran.code, len(server.requests)) == (9, 1)
    assert f"unreadable value in its reply: {key} of a chunk" in ran.err
    assert "port" not in ran.err


def test_a_score_of_a_chunk_is_no_reason_not_to_read_it(oio: Oio) -> None:
    chunks = [{**CHUNK, "score": "high"}]
    headers = {f"{META}length": "1", f"{META}id": "AB", f"{META}ctime": "once"}
    with FaultServer([told(chunks, headers), told({"properties": {}})]) as server:
        ran = at(oio, server)("content", "show", "docs", "a", "--json")
    assert (ran.code, ran.json["items"][0]["chunks"][0]["score"]) == (0, None)
    assert "score (1 chunk), ctime (1 object)" in ran.err


def test_nothing_is_guessed_about_a_change(oio: Oio) -> None:
    """An item whose status cannot be read is neither done nor not done."""
    items = {"containers": [{"name": "a", "status": 201}, {"name": "b", "status": "fine"}]}
    with FaultServer([told(items)]) as server:
        ran = at(oio, server)("container", "create", "a", "b", "--json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (8, ["unproven"])
