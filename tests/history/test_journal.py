"""The entry in the journal, as its socket receives it."""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.conftest import Program
from tests.history.reading import of_machine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root has a place of its own")


def parsed(data: bytes) -> list[tuple[str, str]]:
    """https://systemd.io/JOURNAL_NATIVE_PROTOCOL/"""
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields.append((name.decode(), value.decode()))
        data = rest
    return fields


class Journal:
    def __init__(self, rdctl: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = rdctl.root / "run/systemd/journal"
        directory.mkdir(parents=True)
        monkeypatch.chdir(directory)  # the path of a socket has at most 108 bytes
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("socket")
        self.socket.setblocking(False)

    def entries(self) -> list[list[tuple[str, str]]]:
        found = []
        while True:
            try:
                found.append(parsed(self.socket.recv(1 << 20)))
            except BlockingIOError:
                return found


@pytest.fixture
def journal(rdctl: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    journal = Journal(rdctl, monkeypatch)
    yield journal
    journal.socket.close()


def test_a_command_has_one_entry(rdctl: Program, journal: Journal) -> None:
    rdctl("context", "set", "lab", "http_proxy=http://ada:geheim@127.0.0.1:3128")
    rdctl("context", "list")
    (entry,) = journal.entries()
    fields = dict(entry)
    command = "rdctl context set lab 'http_proxy=http://ada:***@127.0.0.1:3128'"
    assert fields["MESSAGE"] == f"{command}: done (exit 0)"
    assert fields["SYSLOG_IDENTIFIER"] == "rdctl"
    assert fields["PRIORITY"] == "5"
    assert fields["RDCTL_COMMAND"] == command
    assert fields["RDCTL_ID"] == of_machine(rdctl)[0]["id"]
    assert (fields["RDCTL_RESULT"], fields["RDCTL_EXIT"]) == ("done", "0")
    assert fields["RDCTL_TARGET"] == "lab"
    assert len(fields["MESSAGE_ID"]) == 32


def test_a_value_of_several_lines(rdctl: Program, journal: Journal) -> None:
    rdctl("context", "set", "lab", "namespace=a\nRDCTL_EXIT=7")
    (entry,) = journal.entries()
    assert [value for name, value in entry if name == "RDCTL_EXIT"] == ["0"]
    assert "a\nRDCTL_EXIT=7" in dict(entry)["RDCTL_COMMAND"]


def test_the_sandbox_is_not_in_the_journal(rdctl: Program, journal: Journal) -> None:
    assert rdctl("-c", "sandbox", "rapiddisk", "create", "64M").code == 0
    assert journal.entries() == []


def test_a_history_of_its_own_is_not_in_the_journal(rdctl: Program, journal: Journal) -> None:
    env = {"RDCTL_HISTORY": str(rdctl.home / "mine")}
    assert rdctl("context", "set", "lab", "account=a", env=env).code == 0
    assert journal.entries() == []


class Small(_socket.socket):
    """A socket where memory is short."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("full", "Resource temporarily unavailable"),
        ("small", "Message too long"),
        ("dead", "Connection refused"),
    ],
)
def test_a_journal_that_takes_nothing_stops_nothing(
    rdctl: Program, journal: Journal, fault: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "dead":
        journal.socket.close()
    elif fault == "full":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"x", "socket")
    else:
        monkeypatch.setattr(_socket, "socket", Small)
    # Characters of four bytes each: one value has 4 KiB.
    ran = rdctl("context", "set", "lab", "account=" + "\U0001d49c" * 5000)
    assert ran.code == 0
    assert f"rdctl: warning: history not written: journal: {why}\n" in ran.err
    assert of_machine(rdctl)[-1]["result"] == "done"


def test_without_a_journal_there_is_no_warning(rdctl: Program) -> None:
    ran = rdctl("context", "set", "lab", "account=a")
    assert (ran.code, ran.err) == (0, "")
