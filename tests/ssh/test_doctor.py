"""rdctl doctor of a context over SSH: this side, the way there, and the machine there."""

from __future__ import annotations

from typing import Any

from tests.conftest import Ran
from tests.ssh.conftest import Over


def by_check(done: Ran) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in done.json["items"]}


def test_both_sides(over: Over) -> None:
    done = over("doctor", "--json")
    found = by_check(done)
    assert done.code == 0
    assert found["ssh"]["severity"] == "ok"
    assert found["ssh"]["message"].startswith("ssh://node: rdctl ")
    # What is configured is of this side, what is loaded of that one.
    assert "RapidDisk at ssh://node, from context node" in found["context"]["message"]
    machine = ("modules", "memory", "caches", "exports", "boot")
    there = by_check(over.there("doctor", "--json"))
    assert [found[one]["message"] for one in machine] == [there[one]["message"] for one in machine]
    assert "proxy" in there
    assert "proxy" not in found


def test_a_machine_that_is_down(over: Over) -> None:
    over.context("node", url="ssh://127.0.0.1:1")
    done = over("doctor", "--json")
    found = by_check(done)
    assert done.code == 1
    assert found["ssh"]["severity"] == "error"
    assert found["ssh"]["message"].endswith("connect to host 127.0.0.1 port 1: Connection refused")
    assert found["ssh"]["why"] == "Check that this works: ssh -p 1 127.0.0.1 true"
    assert found["python"]["severity"] == "ok"
    assert "modules" not in found


def test_commands_are_for_this_side(over: Over) -> None:
    """The machine of the login itself, which has no RapidDisk."""
    home = over.rdctl.home
    over.context("node", command=f"env RDCTL_HISTORY={home}/history.ndjson rdctl")
    done = over("doctor", "--json")
    mends = [row["mend"] for row in done.json["items"] if row["check"] in ("modules", "daemon")]
    assert any(mends)
    for mend in filter(None, mends):
        assert mend.startswith(("ssh node ", "ssh -t node ", "rdctl -c node "))
    root = by_check(done)["root"]
    if root["severity"] != "ok":
        assert root["mend"] == "rdctl context set node remote_command='sudo -n rdctl'"
