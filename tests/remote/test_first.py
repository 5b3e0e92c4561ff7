"""One command over SSH, end to end."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import Ran

Call = Callable[..., Ran]


def test_a_listing_comes_over_ssh(far: Call, sandbox: Call) -> None:
    assert far("rapiddisk", "list", "--json") == sandbox("rapiddisk", "list", "--json")


def test_a_change_is_confirmed_here_and_made_there(far: Call, sandbox: Call) -> None:
    made = far("rapiddisk", "create", "64M", "-o", "name")
    assert (made.code, made.out) == (0, "rd1\n")
    asked = far("rapiddisk", "remove", "rd1", tty=True, stdin=b"n\n")
    assert asked.code == 1
    question = "On context far: volume rd1 (64.0 MiB, empty) will be removed. Continue? [y/N]"
    assert question in asked.err
    assert "rd1" in sandbox("rapiddisk", "list", "-o", "name").out
    gone = far("rapiddisk", "remove", "rd1", "--yes")
    assert (gone.code, gone.out) == (0, "removed rd1\n")
    assert "rd1" not in sandbox("rapiddisk", "list", "-o", "name").out


def test_an_error_there_is_an_error_here(far: Call) -> None:
    ran = far("rapiddisk", "remove", "rd7", "--yes")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("rdctl: error: volume rd7 not found\n")
