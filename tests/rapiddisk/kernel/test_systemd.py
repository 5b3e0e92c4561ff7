"""The daemon's unit, through systemctl: the one program that rdctl runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Ran
from tests.fakes.kernel import FakeKernel

Local = Callable[..., Ran]


def test_status(kernel: FakeKernel, local: Local) -> None:
    kernel.unit.update(ActiveState="active", UnitFileState="enabled")
    ran = local("rapiddisk", "daemon", "status", "--json")
    assert ran.json["item"] == {
        "unit": "rapiddiskd",
        "installed": True,
        "active": True,
        "enabled": True,
        "state": "active",
        "pid": 4711,
    }
    assert kernel.steps == 0


def test_status_needs_no_root(kernel: FakeKernel, local: Local) -> None:
    kernel.root_user = False
    item = local("rapiddisk", "daemon", "status", "--json").json["item"]
    assert (item["active"], item["pid"]) == (False, None)


@pytest.mark.parametrize(
    ("verb", "key", "value", "words"),
    [
        ("start", "ActiveState", "active", ()),
        ("enable", "UnitFileState", "enabled", ()),
        ("stop", "ActiveState", "inactive", ("--yes",)),
        ("disable", "UnitFileState", "disabled", ()),
    ],
)
def test_a_change_is_done_once(
    kernel: FakeKernel, local: Local, verb: str, key: str, value: str, words: tuple[str, ...]
) -> None:
    if verb in ("stop", "disable"):
        kernel.unit.update(ActiveState="active", UnitFileState="enabled")
    for changed in (True, False):
        ran = local("rapiddisk", "daemon", verb, *words, "--json")
        assert (ran.code, ran.json["results"][0]["changed"]) == (0, changed)
        assert kernel.unit[key] == value
    assert kernel.calls.count(f"systemctl {verb} rapiddiskd") == 1


def test_what_was_done_is_a_sentence(kernel: FakeKernel, local: Local) -> None:
    kernel.unit.update(ActiveState="active")
    assert local("rapiddisk", "daemon", "stop", "--yes").out == "stopped rapiddiskd\n"
    assert local("rapiddisk", "daemon", "stop").out == "rapiddiskd is already stopped\n"
    assert local("rapiddisk", "daemon", "start").out == "started rapiddiskd\n"


def test_stopping_asks(kernel: FakeKernel, local: Local) -> None:
    kernel.unit.update(ActiveState="active")
    ran = local("rapiddisk", "daemon", "stop")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "rapiddiskd will be stopped" in ran.err
    ran = local("rapiddisk", "daemon", "stop", tty=True, stdin=b"n\n")
    assert (ran.code, kernel.unit["ActiveState"]) == (1, "active")


def test_a_unit_that_is_not_installed(kernel: FakeKernel, local: Local) -> None:
    kernel.unit.update(LoadState="not-found")
    assert local("rapiddisk", "daemon", "status", "--json").json["item"]["installed"] is False
    ran = local("rapiddisk", "daemon", "start", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")


def test_a_unit_that_does_not_come_up(kernel: FakeKernel, local: Local) -> None:
    kernel.after[1] = lambda: kernel.unit.update(ActiveState="failed")
    ran = local("rapiddisk", "daemon", "start", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (9, "unproven")


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [
        ("System has not been booted with systemd as init system (PID 1).", 11, "unsupported"),
        ("Failed to connect to bus: Permission denied", 5, "denied"),
        ("Interactive authentication required.", 5, "denied"),
        ("Job for rapiddiskd.service failed.", 1, "failed"),
        ("", 1, "failed"),
    ],
)
def test_what_systemctl_says(
    kernel: FakeKernel, local: Local, said: str, code: int, word: str
) -> None:
    kernel.says = said
    ran = local("rapiddisk", "daemon", "start", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (code, word)


def test_no_systemd(kernel: FakeKernel, local: Local) -> None:
    kernel.systemctl = False
    assert local("rapiddisk", "daemon", "status").code == 11
    assert local("rapiddisk", "daemon", "start").code == 11
