"""account create, delete, set-properties, del-properties, refresh and flush; container refresh."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from rdctl.oio.operations import refresh
from tests.cli.oio.conftest import Oio, Sent, Server
from tests.conftest import Ran

Answer = tuple[str, bytes]


class Account:
    """The account service of the sandbox, at the port of its proxy: `answers` has other replies to
    some of its requests, by the end of their paths; None: the connection is lost."""

    def __init__(self, oio: Oio, sent: list[Sent], path: Any) -> None:
        self.oio, self._sent, self._path = oio, sent, path
        self.answers: dict[str, list[Answer | None]] = {}
        # Done right before a request is answered, by the end of its path.
        self.meanwhile: dict[str, Callable[[], Any]] = {}

    @property
    def asked(self) -> list[str]:
        """The requests to the account service, and those that touch containers."""
        return [
            f"{one.method} {one.route.removeprefix('v1.0/account/')}"
            for one in self._sent
            if one.route.startswith("v1.0/") or one.route == "container/touch"
        ]

    @property
    def changes(self) -> list[str]:
        return [line for line in self.asked if not line.startswith("GET ")]

    def bodies(self, route: str) -> list[Any]:
        return [one.body for one in self._sent if one.route.endswith(route)]

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path)) as store, store:
            store.execute(statement)

    def shown(self, name: str) -> dict[str, Any]:
        (found,) = self.oio.ok("account", "show", name, "--json").json["items"]
        return dict(found)


@pytest.fixture
def service(wire: Oio, server: Server, oio: Oio) -> Account:
    account = Account(wire, server.sent, oio.rdctl.sandbox)
    sandbox = server.app

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        for end in [end for end in account.meanwhile if path.endswith(end)]:
            account.meanwhile.pop(end)()
        for end, answers in account.answers.items():
            if path.endswith(end) and answers:
                answer = answers.pop(0)
                if answer is None:
                    raise ConnectionAbortedError
                start_response(answer[0], [("Content-Type", "text/plain")])
                return [answer[1]]
        return sandbox(environ, start_response)

    server.app = app
    return account


def error_of(ran: Ran) -> dict[str, Any]:
    (found,) = ran.json.get("errors") or [ran.json["error"]]
    return dict(found)


# --- create -------------------------------------------------------------------------------------


def test_create(service: Account) -> None:
    ran = service.oio.ok("account", "create", "t1", "sandbox", "--json")
    assert [(one["target"], one["changed"]) for one in ran.json["results"]] == [
        ("t1", True),
        ("sandbox", False),
    ]
    assert service.shown("t1")["containers"] == 0


def test_an_account_that_the_service_accepts_but_does_not_create(service: Account) -> None:
    """It answers 202 for an existing account, and for one that another request has locked."""
    service.answers["/create"] = [("202 ACCEPTED", b"")]
    ran = service.oio("account", "create", "t1", "--json")
    assert (ran.code, error_of(ran)["code"]) == (3, "not-found")


# --- delete -------------------------------------------------------------------------------------


def test_delete(service: Account) -> None:
    service.oio.ok("account", "create", "t1")
    service.oio.ok("account", "set-properties", "t1", "owner=me")
    declined = service.oio("account", "delete", "t1")
    assert (declined.code, service.changes[2:]) == (2, [])
    assert 'account "t1" with its properties (owner) will be deleted' in declined.err
    assert "it lists no containers (if it was flushed, they may still exist)" in declined.err
    assert service.oio.ok("account", "delete", "t1", "--yes").out == "deleted t1\n"
    assert service.oio("account", "show", "t1").code == 3


def test_an_account_with_containers_is_not_even_asked_for(service: Account) -> None:
    """The service would refuse, and lock the account."""
    ran = service.oio("account", "delete", "sandbox", "--yes", "--json")
    assert (ran.code, error_of(ran)["code"]) == (4, "not-empty")
    assert error_of(ran)["message"] == 'account "sandbox" is not empty: 1 container'
    assert "container destroy CONTAINER --flush --account sandbox" in error_of(ran)["hint"]
    assert service.changes == []


def test_a_container_that_appears_after_the_look(service: Account) -> None:
    service.oio.ok("account", "create", "t1")
    service.meanwhile["/account/delete"] = lambda: service.oio.rdctl(
        "-c", "sandbox", "oio", "container", "create", "c", "--account", "t1"
    )
    ran = service.oio("account", "delete", "t1", "--yes", "--json")
    assert (ran.code, error_of(ran)["code"]) == (4, "not-empty")
    # Trap: for 10 s it now answers that the account does not exist.
    service.oio.ok("container", "destroy", "c", "--account", "t1", "--yes")
    again = service.oio("account", "delete", "t1", "--yes", "--json")
    assert (again.code, error_of(again)["code"]) == (4, "in-use")
    assert "try again in 10 seconds" in error_of(again)["hint"]
    service.execute("UPDATE oio_account_locks SET until = 0")
    service.oio.ok("account", "delete", "t1", "--yes")
    gone = service.oio("account", "delete", "t1", "--yes", "--json")
    assert (gone.code, error_of(gone)["code"]) == (3, "not-found")


def test_an_account_deleted_by_another_client_meanwhile(service: Account) -> None:
    service.oio.ok("account", "create", "t1")
    service.meanwhile["/account/delete"] = lambda: service.execute(
        "DELETE FROM oio_accounts WHERE name = 't1'"
    )
    ran = service.oio("account", "delete", "t1", "--yes", "--json")
    assert (ran.code, error_of(ran)["code"]) == (3, "not-found")


# --- lost replies ---------------------------------------------------------------------------------

CHANGES = {
    "create t1": "PUT create",
    "delete empty": "POST delete",
    "set-properties sandbox a=b": "POST update",
    "del-properties sandbox owner": "POST update",
    "flush sandbox": "POST flush",
}


@pytest.mark.parametrize("words", CHANGES)
@pytest.mark.parametrize("fault", ["lost", "unmanaged", "gateway"])
def test_a_lost_reply_is_an_unknown_outcome(service: Account, words: str, fault: str) -> None:
    service.oio.ok("account", "create", "empty")
    service.oio.ok("account", "set-properties", "sandbox", "owner=me")
    before = len(service.changes)
    answer: dict[str, Answer | None] = {
        "lost": None,
        "unmanaged": ("500 INTERNAL SERVER ERROR", b"Unmanaged error: redis"),
        "gateway": ("502 Bad Gateway", b"<html>"),
    }
    route = CHANGES[words].split()[1]
    service.answers[f"/account/{route}"] = [answer[fault]]
    ran = service.oio("account", *words.split(), "--yes", "--json")
    assert (ran.code, error_of(ran)["code"]) == (10, "unknown"), ran.err
    assert service.changes[before:] == [CHANGES[words]]  # once
    assert "account show" in error_of(ran)["hint"]


# --- properties -----------------------------------------------------------------------------------


def test_properties_of_a_missing_account_do_not_create_it(service: Account) -> None:
    for words in ("set-properties nope a=b", "del-properties nope a", "flush nope"):
        ran = service.oio("account", *words.split(), "--yes", "--json")
        assert (ran.code, error_of(ran)["code"]) == (3, "not-found")
    assert service.changes == []


def test_properties(service: Account) -> None:
    set_, delete = ("account", "set-properties", "sandbox"), ("account", "del-properties")
    ran = service.oio.ok(*set_, "a=1", "b=", "ü=ä", "--json")
    assert ran.json["results"][0]["properties"] == ["a", "b", "ü"]
    assert service.shown("sandbox")["metadata"] == {"a": "1", "b": "", "ü": "ä"}
    before = len(service.changes)
    assert service.oio.ok(*set_, "a=1", "--json").json["results"][0]["changed"] is False
    assert len(service.changes) == before
    service.oio.ok(*set_, "a=2", "b=")
    assert service.bodies("/account/update")[-1] == {"metadata": {"a": "2"}, "to_delete": []}
    declined = service.oio(*set_, "c=3", "--replace-all")
    assert (declined.code, "all other properties will be deleted" in declined.err) == (2, True)
    service.oio.ok(*set_, "c=3", "--replace-all", "--yes")
    assert service.shown("sandbox")["metadata"] == {"c": "3"}
    ran = service.oio.ok(*delete, "sandbox", "c", "zz")
    assert "properties deleted (c; not set: zz)" in ran.out
    service.oio.ok(*set_, "d=4", "e=5")
    declined = service.oio(*delete, "sandbox", "--all")
    assert (declined.code, "will be deleted: d, e" in declined.err) == (2, True)
    service.oio.ok(*delete, "sandbox", "--all", "--yes")
    assert service.shown("sandbox")["metadata"] == {}
    assert service.oio(*delete, "sandbox").code == service.oio(*delete, "s", "k", "--all").code == 2


# --- flush and refresh ----------------------------------------------------------------------------


def events_arrive(service: Account) -> None:
    service.execute("UPDATE oio_recounted SET until = 0 WHERE until IS NOT NULL")


def test_flush_and_how_the_listing_comes_back(service: Account) -> None:
    declined = service.oio("account", "flush", "sandbox")
    assert (declined.code, service.changes) == (2, [])
    assert "will forget its 1 container; they are not deleted" in declined.err
    service.oio.ok("account", "flush", "sandbox", "--yes")
    assert service.shown("sandbox")["containers"] == 0
    assert "photos" in service.oio.ok("container", "show", "photos").out
    before = len(service.changes)
    assert service.oio.ok("account", "flush", "sandbox").out == "sandbox has no listed containers\n"
    assert len(service.changes) == before
    # Trap: a refresh has nothing to refresh.
    service.oio.ok("account", "refresh", "sandbox")
    events_arrive(service)
    assert service.shown("sandbox")["containers"] == 0
    service.oio.ok("container", "refresh", "photos")
    events_arrive(service)
    assert service.shown("sandbox")["objects"] == 5


def test_refresh_resets_each_container_once_and_touches_it(service: Account) -> None:
    service.oio.ok("container", "create", "b c", "d")
    ran = service.oio.ok("account", "refresh", "sandbox", "--json")
    assert ran.json["results"][0]["containers"] == 3
    resets, touches = ["POST container/reset"] * 3, ["POST container/touch"] * 3
    assert sorted(service.changes) == [*resets, *touches, "POST refresh"]
    assert sorted(body["name"] for body in service.bodies("/container/reset")) == [
        "b c",
        "d",
        "photos",
    ]
    events_arrive(service)
    assert service.shown("sandbox")["objects"] == 5


def test_refresh_does_not_depend_on_the_clock_of_this_machine(service: Account) -> None:
    """A reset in the future would make the service ignore all events until then."""
    service.execute(
        "INSERT INTO oio_recounted VALUES ('sandbox', 'photos', 7, 7, 1795897836.20105,"
        " (SELECT value FROM oio_properties WHERE key = CAST('sys.m2.version' AS BLOB)), NULL)"
    )
    assert service.shown("sandbox")["objects"] == 7
    service.oio.ok("container", "refresh", "photos")
    assert service.bodies("/container/reset") == [{"name": "photos", "mtime": 1795897836.20106}]


def test_a_container_that_no_longer_exists_is_removed_from_the_listing(service: Account) -> None:
    service.execute("INSERT INTO oio_recounted VALUES ('sandbox', 'gone', 3, 30, 1.5, NULL, NULL)")
    assert service.shown("sandbox")["containers"] == 2
    ran = service.oio.ok("account", "refresh", "sandbox", "--json")
    result = ran.json["results"][0]
    assert (result["containers"], result["removed"]) == (2, 1)
    assert service.bodies("/container/update") == [{"name": "gone", "dtime": 1.50002}]
    assert service.shown("sandbox")["containers"] == 1
    missing = service.oio("container", "refresh", "gone", "--json")
    assert (missing.code, error_of(missing)["code"]) == (3, "not-found")
    service.execute("INSERT INTO oio_recounted VALUES ('sandbox', 'go2', 3, 30, 1.5, NULL, NULL)")
    ran = service.oio.ok("container", "refresh", "go2")
    assert ran.out == "go2 not found; removed from the listing of its account\n"


def test_a_newer_event_makes_the_reset_needless(service: Account) -> None:
    conflict = b"No update needed, event older than last container update"
    service.answers["/container/reset"] = [("409 CONFLICT", conflict)]
    service.oio.ok("container", "refresh", "photos")
    assert service.changes[-1] == "POST container/touch"


def test_a_touch_that_fails_after_the_reset(service: Account) -> None:
    busy = json.dumps({"status": 509, "message": "busy"}).encode()
    service.answers["container/touch"] = [("509 Busy", busy), ("509 Busy", busy)]
    ran = service.oio("container", "refresh", "photos", "--json")
    assert "its counters were reset, refresh it again" in error_of(ran)["message"]
    ran = service.oio("account", "refresh", "sandbox", "--json")
    assert error_of(ran)["message"].startswith('account "sandbox": 1 of 1 containers not refreshed')


def test_refresh_of_all_accounts_and_pages(
    service: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "PAGE", 2)
    values = ", ".join(f"('many', 'c{n}', 1, 1, 1.5, NULL, NULL)" for n in range(5))
    service.oio.ok("account", "create", "many", "none")
    service.execute(f"INSERT INTO oio_recounted VALUES {values}")
    ran = service.oio.ok("account", "refresh", "--all", "--json")
    assert [(one["target"], one["containers"]) for one in ran.json["results"]] == [
        ("many", 5),
        ("none", 0),
        ("sandbox", 1),
    ]
    assert service.shown("many")["containers"] == 0  # none of them exists
    assert service.oio("account", "refresh").code == 2
    assert service.oio("account", "refresh", "many", "--all").code == 2


def test_a_listing_that_does_not_advance(service: Account) -> None:
    page = json.dumps({"listing": [["a", 0, 0, 0, 1.5]]}).encode()
    service.answers["/account/containers"] = [("200 OK", page)] * 2
    ran = service.oio("account", "refresh", "sandbox", "--json")
    assert (ran.code, error_of(ran)["code"]) == (9, "bad-reply")


def test_locate(service: Account) -> None:
    (found,) = service.oio.ok("container", "locate", "photos", "--json").json["items"]
    assert found["base"] == f"{found['cid']}.1"
    assert (found["status"], found["meta0"]) == ("enabled", ["127.0.0.1:16006"])
    assert found["meta2"] == ["127.0.0.1:16009", "127.0.0.1:16010", "127.0.0.1:16011"]
    service.oio.ok("admin", "freeze", "photos", "--yes")
    ran = service.oio.ok("container", "locate", "--cid", found["cid"], "--json")
    assert ran.json["items"] == [{**found, "status": "frozen"}]
    assert service.oio("container", "locate", "nope").code == 3
