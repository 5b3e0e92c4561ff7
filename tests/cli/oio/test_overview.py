"""`overview`: services by type and the totals of the accounts; each part fails alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rdctl.oio.operations import account
from tests.cli.oio.conftest import Oio, Server
from tests.cli.oio.test_refusals import refusing

RAWX = "127.0.0.1:16013"
TOTALS = ("accounts", "containers", "objects", "bytes")


def row(ran: Any) -> dict[str, Any]:
    (found,) = ran.json["items"]
    return dict(found)


def of_type(found: dict[str, Any], type: str) -> dict[str, Any]:
    (one,) = [service for service in found["services"] if service["type"] == type]
    return dict(one)


def test_services_are_counted_by_type(oio: Oio) -> None:
    oio.ok("conscience", "lock", "rawx", RAWX, "--yes")
    found = row(oio.ok("overview", "--json"))
    assert found["namespace"] == "OPENIO"
    rawx = {"type": "rawx", "total": 12, "up": 11, "down_or_locked": 1, "lowest_score": 0}
    assert of_type(found, "rawx") == rawx
    assert "echo" not in [service["type"] for service in found["services"]]
    assert re.search(r"\n  rawx +12 +11 +1 +0\n", oio.ok("overview").out)


def test_accounts_are_added_up(oio: Oio) -> None:
    oio.ok("container", "create", "mine", "--account", "other")
    totals = row(oio.ok("overview", "--json"))
    shown = [
        oio.ok("account", "show", name, "--json").json["items"][0] for name in ("sandbox", "other")
    ]
    assert totals["accounts"] == 2
    for key in TOTALS[1:]:
        assert totals[key] == sum(account[key] for account in shown)


def test_a_type_that_cannot_be_listed_is_null(wire: Oio, server: Server) -> None:
    refusing_query(server, "conscience/list", "type=rawx")
    ran = wire("overview", "--json")
    assert ran.code == 8
    nothing = {"type": "rawx", "total": None, "up": None}
    nothing |= {"down_or_locked": None, "lowest_score": None}
    assert of_type(row(ran), "rawx") == nothing
    assert of_type(row(ran), "meta2")["total"] == 3
    assert (ran.json["complete"], [e["target"] for e in ran.json["errors"]]) == (False, ["rawx"])
    assert "rdctl: error: rawx: " in ran.err


def test_services_that_cannot_be_listed_are_null(wire: Oio, server: Server) -> None:
    refusing(server, "conscience/info", 503)
    ran = wire("overview", "--json")
    assert (ran.code, row(ran)["services"], row(ran)["accounts"]) == (8, None, 1)


def test_accounts_that_cannot_be_listed_are_null(wire: Oio, server: Server) -> None:
    refusing(server, "lb/choose", 481)
    ran = wire("overview", "--json")
    assert [row(ran)[key] for key in TOTALS] == [None] * 4
    assert of_type(row(ran), "meta2")["up"] == 3
    assert (ran.code, ran.json["errors"][0]["target"]) == (8, "accounts")
    assert "Accounts    -\n" in wire("overview").out


def test_too_many_accounts_are_counted_only(oio: Oio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MOST_ACCOUNTS", 0)
    ran = oio("overview", "--json")
    assert [row(ran)[key] for key in TOTALS] == [1, None, None, None]
    assert ran.code == 8
    assert "1 accounts are too many to add up" in ran.err


def test_if_all_parts_fail_the_command_does(oio: Oio) -> None:
    gone = Oio(oio.rdctl, "--oio-url", "http://127.0.0.1:1", "--namespace", "NS", "--retries", "0")
    ran = gone("overview", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (6, "unreachable")
    assert ran.err.count("rdctl: error: ") == 1


def refusing_query(server: Server, route: str, query: str) -> None:
    """As `refusing`, only for that query."""
    app = server.app
    refusing(server, route, 503)
    refused = server.app

    def chosen(environ: Any, start_response: Any) -> Any:
        asked = query in environ["QUERY_STRING"].split("&")
        return (refused if asked else app)(environ, start_response)

    server.app = chosen
