"""Names for TAB over SSH: only where ssh shares a connection already."""

from __future__ import annotations

import pytest

from tests.completion.conftest import Completion
from tests.ssh.conftest import Over
from tests.ssh.server import Server

NODE = ("-c", "node")


@pytest.fixture
def complete(over: Over) -> Completion:
    complete = Completion(over.rdctl)
    complete.environ["PATH"] = over.path
    return complete


def test_no_login_for_a_name(complete: Completion, server: Server) -> None:
    before = server.log.read_text()
    assert complete("volume", where=NODE) == []
    assert "Accepted" not in server.log.read_text().removeprefix(before)


def test_names_over_a_shared_connection(complete: Completion, over: Over, shared: Server) -> None:
    assert over("rapiddisk", "create", "64M").code == 0
    before = shared.log.read_text().count("Accepted")
    assert complete("volume", where=NODE) == ["rd0", "rd1"]
    assert complete("port", where=NODE) == ["1", "2"]
    # What only the machine itself knows.
    assert complete("export", where=NODE) == ["rd0"]
    assert "/dev/sda" in complete("source", text="/dev/s", where=NODE)
    (command,) = complete.about("undoable", where=NODE)
    assert "create 64M" in command.about
    # Answered from the cache.
    assert over("rapiddisk", "remove", "rd1", "--yes").code == 0
    assert complete("volume", where=NODE) == ["rd0", "rd1"]
    assert shared.log.read_text().count("Accepted") == before
