"""OpenIO SDS: each fault made for real, and that what the doctor says mends it."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import time
from contextlib import closing
from email.utils import formatdate
from typing import Any

import pytest

from rdctl.doctor.findings import SECONDS
from tests.clock import Stopwatch
from tests.conftest import Program
from tests.doctor.conftest import (
    OIO,
    Row,
    Run,
    at,
    examined,
    heal,
    of,
    wrong,
)
from tests.fakes.faults import FaultServer, silent
from tests.fakes.faults import json as reply
from tests.fakes.kernel import FakeKernel
from tests.fakes.rapiddiskd import Received


def test_a_locked_service(rdctl: Program, sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    rows = examined(sandbox, code=0)
    row = wrong(rows, "services")
    assert (row["severity"], row["subject"]) == ("warning", "rawx 127.0.0.1:16013")
    assert row["message"] == "rawx 127.0.0.1:16013 has score 0: it is down or locked"
    heal(rdctl, row["mend"])
    (row,) = of(examined(sandbox), "services")
    assert row["message"] == "22 services of 7 types are up"


def test_a_type_without_a_service(rdctl: Program, sandbox: Run) -> None:
    for address in ("127.0.0.1:16018", "127.0.0.1:16019"):
        sandbox("oio", "conscience", "lock", "rdir", address, "--yes")
    row = wrong(examined(sandbox, code=1), "services")
    assert (row["severity"], row["message"]) == ("error", "no rdir service is up")
    heal(rdctl, row["mend"])
    assert len(of(examined(sandbox), "services")) == 1
    sandbox("oio", "conscience", "register", "echo", "127.0.0.1:7999")
    row = wrong(examined(sandbox, code=1), "services")
    assert row["message"] == "no echo service is up"
    sandbox("oio", "conscience", "flush", "echo", "--yes")
    sandbox("oio", "conscience", "flush", "meta1", "--yes")
    row = wrong(examined(sandbox, code=1), "services")
    assert (row["message"], row["mend"]) == ("no meta1 service is registered", None)


def test_a_service_that_was_never_scored(sandbox: Run) -> None:
    sandbox("oio", "conscience", "register", "rawx", "127.0.0.1:7999")
    row = wrong(examined(sandbox, code=0), "services")
    assert row["message"] == "rawx 127.0.0.1:7999 was never scored"


def test_an_account_that_is_not_there(rdctl: Program, sandbox: Run) -> None:
    rows = examined(at(sandbox, "--account", "nobody"), code=0)
    (row,) = of(rows, "accounts")
    assert (row["severity"], row["subject"]) == ("ok", "nobody")
    assert row["message"].startswith("account nobody does not exist yet")
    sandbox("oio", "conscience", "lock", "account", "127.0.0.1:16017", "--yes")
    rows = examined(sandbox, code=1)
    assert wrong(rows, "services")["message"] == "no account service is up"
    assert "services matching" in wrong(rows, "accounts")["message"]


def test_a_container_without_a_master(rdctl: Program, sandbox: Run) -> None:
    """The service that won the election is gone, and nobody elected another."""
    replicas = sandbox("oio", "admin", "status", "photos", "--json").json["items"]
    (master,) = [row["service"] for row in replicas if row["role"] == "master"]
    with closing(sqlite3.connect(rdctl.sandbox)) as store, store:
        store.execute("DELETE FROM oio_services WHERE address = ?", (master,))
    assert of(examined(sandbox), "masters")[0]["severity"] == "skipped"
    row = wrong(examined(sandbox, "--deep", code=1), "masters")
    assert (row["severity"], row["subject"]) == ("error", "photos")
    assert f"{master}: {master}: [errno=111]" in row["why"]
    assert row["mend"] == "rdctl -c sandbox oio admin ping photos"


def test_no_more_containers_than_some_are_asked(sandbox: Run) -> None:
    names = [f"c{number}" for number in range(30)]
    sandbox("oio", "container", "create", *names)
    (row,) = of(examined(sandbox, "--deep", code=0), "masters")
    assert row["message"] == "20 containers checked (more exist): each has a master"


def test_a_server_cannot_make_commands(rdctl: Program) -> None:
    """What it calls its services stays one word of what mends them."""
    evil = "127.0.0.1:1; touch gone\n\x1b[2J"
    service = {"addr": evil, "score": 0, "tags": {}}
    proxy = Proxy(conscience__list=[service])
    with proxy.server:
        run = through(rdctl, proxy)
        mend = of(run("doctor", "--json").json["items"], "services")[-1]["mend"]
        spoken = subprocess.run(
            ["bash", "-c", f'rdctl() {{ printf "%s\\0" "$@"; }}; {mend}'],
            check=True,
            capture_output=True,
        )
        assert spoken.stdout.decode().split("\0")[-2] == evil
        shown = run("doctor", "--color", "never", tty=True).out
        assert "\x1b[2J" not in shown


class Proxy:
    """An oio-proxy that answers by route; what is not there it does not know."""

    SERVICES = (("meta0", 6006), ("meta1", 6007), ("meta2", 6009), ("rawx", 6013))

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "conscience/info": {"ns": "NS"},
            "lb/choose": [],
            **{key.replace("__", "/"): value for key, value in answers.items()},
        }
        self.server = FaultServer([self._serve])

    def _serve(self, connection: Any) -> None:
        connection.receive()
        path = self.server.requests[-1].path
        route, _, query = path.removeprefix("/v3.0/").removeprefix("NS/").partition("?")
        answer = self.answers.get(route)
        if route == "conscience/info" and "what=types" in query:
            answer = [type for type, _ in self.SERVICES]
        if route == "conscience/list" and answer is None:
            answer = [
                {"addr": f"127.0.0.1:{port}", "score": 90, "tags": {}}
                for type, port in self.SERVICES
                if f"type={type}&" in f"{query}&"
            ]
        status = 200
        if answer is None:
            status, answer = 404, {"status": 404, "message": "No handler found"}
        behaviour = answer if callable(answer) else reply(answer, status)
        behaviour(Received(connection))


def through(rdctl: Program, proxy: Proxy) -> Run:
    where = ("--oio-url", proxy.server.url, "--namespace", "NS", "--account", "me")
    rdctl.calls = rdctl.calls or FakeKernel(rdctl.root)
    return at(rdctl, *where)


def elections(**counts: int) -> Row:
    """forward/info of a proxy 4.2."""
    states = dict.fromkeys(("total", "none", "pending", "failed", "slave", "master"), 0)
    return {"replication": "ZOOKEEPER", "elections": {**states, **counts}}


def test_elections_that_failed(rdctl: Program) -> None:
    proxy = Proxy(forward__info=elections(master=4, failed=2))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy), code=1), "elections")
    assert [row["severity"] for row in rows] == ["error"] * 3
    assert rows[2]["message"] == "meta2 127.0.0.1:6009 has no master for 2 bases"
    mend = shlex.split(rows[2]["mend"])
    assert mend[-2:] == ["doctor", "--deep"]
    assert mend[1:3] == ["--oio-url", proxy.server.url]


def test_elections_under_way(rdctl: Program) -> None:
    proxy = Proxy(forward__info=elections(pending=1))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy)), "elections")
    assert [row["severity"] for row in rows] == ["warning"] * 3
    assert rows[0]["message"] == "meta0 127.0.0.1:6006 is still electing a master for 1 base"


@pytest.mark.parametrize("info", [elections(), {}, {"elections": None}])
def test_elections_of_which_nothing_is_told(rdctl: Program, info: Row) -> None:
    proxy = Proxy(forward__info=info)
    with proxy.server:
        (row,) = of(examined(through(rdctl, proxy)), "elections")
    assert row["severity"] == "ok"


def test_a_proxy_that_does_not_tell_of_elections(rdctl: Program) -> None:
    proxy = Proxy()
    with proxy.server:
        (row,) = of(examined(through(rdctl, proxy)), "elections")
    assert row["severity"] == "skipped"
    assert row["mend"].endswith("doctor --deep")


def test_a_service_that_does_not_answer(rdctl: Program) -> None:
    refused = {"status": 2, "message": "127.0.0.1:6006: [errno=111] Connection refused"}
    proxy = Proxy(forward__info=reply(refused, 503))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy)), "elections")
    assert [row["message"] for row in rows] == [
        f"{name} does not answer"
        for name in ("meta0 127.0.0.1:6006", "meta1 127.0.0.1:6007", "meta2 127.0.0.1:6009")
    ]
    assert "refused" in rows[0]["why"]


def test_a_service_that_hangs(rdctl: Program) -> None:
    proxy = Proxy(forward__info=silent())
    watch = Stopwatch()
    with proxy.server:
        row = wrong(examined(through(rdctl, proxy)), "elections")
        took = watch.quiet
    assert row["message"] == "meta0 127.0.0.1:6006 does not answer"
    assert took < SECONDS + 1


class Accounts(FaultServer):
    """An account service of one container, whose clock is off by so many seconds."""

    def __init__(self, offset: float) -> None:
        date = formatdate(time.time() + offset, usegmt=True)
        self.replies = {
            "/status": {"account_count": 1},
            "/v1.0/account/show": {"id": "me", "containers": 1, "objects": 0, "bytes": 0},
            "/v1.0/account/containers": {"listing": [["photos", 0, 0, 0, 0]]},
        }

        def serve(connection: Any) -> None:
            connection.receive()
            value = self.replies[self.requests[-1].path.partition("?")[0]]
            reply(value, headers={"Date": date})(Received(connection))

        super().__init__([serve])

    @property
    def address(self) -> list[Row]:
        return [{"addr": self.url.removeprefix("http://")}]


def test_the_clock_of_openio_is_the_account_service_s(rdctl: Program) -> None:
    """Its proxy does not tell the time."""
    accounts = Accounts(7200)
    proxy = Proxy(lb__choose=accounts.address)
    with accounts, proxy.server:
        row = wrong(examined(through(rdctl, proxy)), "oio-clock")
    assert row["severity"] == "warning"
    assert re.fullmatch(
        r"this machine is 7[12]\d\d s behind the clock of the account service", row["message"]
    )


@pytest.mark.parametrize("hangs", [True, False])
def test_replicas_that_cannot_agree(rdctl: Program, hangs: bool) -> None:
    """A proxy says so after a minute."""
    refused = {"status": 503, "message": "Election failed [AB.1][meta2]"}
    answer = silent() if hangs else reply(refused, 503)
    accounts = Accounts(0)
    proxy = Proxy(lb__choose=accounts.address, admin__status=answer)
    with accounts, proxy.server:
        row = wrong(examined(through(rdctl, proxy), "--deep", code=1), "masters")
    if hangs:
        assert row["message"] == 'container "photos" did not report its master in time'
    else:
        assert row["message"] == 'container "photos" has no master'
        assert "Election failed" in row["why"]


def test_a_namespace_that_is_not_served(rdctl: Program) -> None:
    other = {"status": 400, "message": "Invalid parameter 'namespace'"}
    proxy = Proxy(conscience__info=reply(other, 400))
    with proxy.server:
        rows = examined(through(rdctl, proxy), code=1)
    row = wrong(rows, "proxy")
    assert row["severity"] == "error"
    assert "another namespace" in row["why"]


def test_no_namespace_is_named(rdctl: Program, kernel: FakeKernel) -> None:
    proxy = Proxy()
    with proxy.server:
        where = ("--oio-url", proxy.server.url)
        rows = examined(at(rdctl, *where), code=1)
    assert wrong(rows, "proxy")["message"] == "no namespace configured"
    assert {row["severity"] for check in OIO[1:] for row in of(rows, check)} == {"skipped"}
