"""`make fuzz` finds what it is there to find, and a little of it is run here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import Ran
from tests.fuzz.judge import faults
from tests.fuzz.lines import HOSTILE, Line
from tests.fuzz.place import Kept

DONE = Ran(0, b"", b"")
VOLUME: Kept = {("volume", "rd0"): (64, 8)}


def judged(
    *argv: str, ran: Ran = DONE, before: Kept = VOLUME, after: Kept = VOLUME, tty: bool = False
) -> list[str]:
    return list(faults(Line(list(argv), b"", {}, tty, 80), ran, before, after))


def test_a_little_of_it() -> None:
    words = "--seed 1 --lines 500 --replies 100 --jobs 1".split()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "seed 1: " in ran.stdout
    assert " 0 faults" in ran.stdout


def test_one_group_again() -> None:
    words = "--seed 1 --only lines:0".split()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("\nrdctl ") == 25


def test_a_sound_run() -> None:
    document = json.dumps({"items": []}).encode()
    assert judged("rapiddisk", "list", "--json", ran=Ran(0, document, b"")) == []
    assert judged("rapiddisk", "list", ran=Ran(0, b"\x1b[1mrd0\x1b[0m\r\n", b""), tty=True) == []
    assert judged("rapiddisk", "remove", "rd0", "-y", after={}) == []


@pytest.mark.parametrize(
    ("ran", "fault"),
    [
        (Ran(77, b"", b"rdctl: error: no\n"), "exit 77 means nothing"),
        (Ran(1, b"", b""), "exit 1 without a word"),
        (Ran(1, b"", b"rdctl: error: internal error\n"), "an internal error"),
        (Ran(1, b'{"error": {"code": "internal"}}', b"rdctl: error: no\n"), "an internal error"),
        (Ran(1, b"", f"rdctl: error: {HOSTILE}\n".encode()), "'\\x1b' on stderr"),
    ],
)
def test_what_no_run_may_do(ran: Ran, fault: str) -> None:
    assert fault in judged("rapiddisk", "list", ran=ran)


@pytest.mark.parametrize("text", [b"", b"rd0\n", b'{"a": NaN}', b'{"a": 1}{"a": 2}'])
def test_json_that_is_none(text: bytes) -> None:
    (fault,) = judged("rapiddisk", "list", "--json", ran=Ran(0, text, b""))
    assert fault.startswith("--json is not JSON")


def test_an_escape_on_a_terminal() -> None:
    assert judged("oio", "api", "GET", "/x", ran=Ran(0, b"\x9b", b"")) == []
    shown = Ran(0, "\x9b2J".encode(), b"")
    assert judged("oio", "api", "GET", "/x", ran=shown, tty=True) == ["'\\x9b' on stdout"]


@pytest.mark.parametrize("after", [{}, {("volume", "rd0"): (32, 8)}, {("volume", "rd0"): (64, 0)}])
def test_a_loss_without_consent(after: Kept) -> None:
    (fault,) = judged("rapiddisk", "remove", "rd0", after=after)
    assert "nobody agreed" in fault
