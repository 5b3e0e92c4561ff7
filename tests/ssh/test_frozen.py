"""A network between the real ssh and its server that breaks, or loses what is sent: of that neither
learns."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rdctl.remote import wire
from tests.rapiddisk.acts import ACTS
from tests.remote.nursery import ACT, NETWORK, ROOT
from tests.ssh.conftest import Over
from tests.ssh.server import SECONDS, Server, left_behind


class Network:
    """Passes bytes on between ssh and the server, until one side has sent `limit` of them; what is
    sent afterwards is lost, and nothing is closed. That, or a `drop` of the connection, happens as
    well when something connects to `address`."""

    def __init__(self, port: int, address: str) -> None:
        self.address = address
        self.drop = False
        self._asked = socket.socket(socket.AF_UNIX)
        self._asked.bind(address)
        self._asked.listen()
        threading.Thread(target=self._break, daemon=True).start()
        self.side, self.limit = "", 0
        self.frozen = threading.Event()
        self._server = port
        self._all: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self, side: str, limit: int) -> None:
        self.side, self.limit = side, limit
        self.frozen.clear()

    def close(self) -> None:
        self._end(self._listening, self._asked, *self._all)

    @staticmethod
    def _end(*sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _break(self) -> None:
        with suppress(OSError):
            while True:
                asking, _ = self._asked.accept()
                self.frozen.set()
                if self.drop:
                    self._end(*self._all)
                asking.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._server))
                self._all += [near, far]
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        sent = dict.fromkeys(("near", "far"), 0)
        with suppress(OSError, ValueError):  # of a socket that was closed
            while True:
                for one in select.select([near, far], [], [])[0]:
                    if self.frozen.is_set():
                        return
                    side, other = ("near", far) if one is near else ("far", near)
                    if not (data := one.recv(1 << 14)):
                        other.shutdown(socket.SHUT_WR)
                        return
                    other.sendall(data)
                    sent[side] += len(data)
                    if side == self.side and sent[side] >= self.limit:
                        self.frozen.set()
                        return


@pytest.fixture
def network(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Between the user's ssh and the server. Both sides of rdctl are impatient."""
    monkeypatch.setattr(wire, "BEAT", 0.2)
    monkeypatch.setattr(wire, "PATIENCE", 5.0)
    network = Network(server.port, str(tmp_path / "network"))
    server.configure(
        f"Host node\n  Port {network.port}\n  HostKeyAlias [127.0.0.1]:{server.port}\n"
        "  Compression no"
    )
    yield network
    network.close()


def imaged(size: int) -> bytes:
    data = os.urandom(size)
    Path("a.img").write_bytes(data)
    Path("a.img.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  a.img\n")
    return data


def agents(server: Server) -> list[int]:
    """The processes of rdctl there that do not end by themselves."""
    end = time.monotonic() + SECONDS
    while True:
        found = [pid for pid in server.sessions() if last_word(pid) == "__agent"]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def last_word(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").rpartition("\0")[2]
    return ""


def written(file: Path) -> str:
    """The text of a file that another process writes at its end."""
    end = time.monotonic() + SECONDS
    while not (file.exists() and file.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    return file.read_text()


# Frozen connections are noticed after seconds, so they are fewer.
BROKEN = [("export", True), ("cache create writeback", True), ("cache create writeback", False)]
STEPS = [(name, step, drop) for name, drop in BROKEN for step in range(1, ACTS[name].steps + 1)]


@pytest.mark.parametrize(("name", "step", "drop"), STEPS)
def test_a_change_is_rolled_back_at_any_step(
    over: Over, server: Server, network: Network, tmp_path: Path, name: str, step: int, drop: bool
) -> None:
    network.drop = drop
    (tmp_path / "there").mkdir()
    words = [f"{ACT}={json.dumps([name, step, str(tmp_path / 'there'), 0, ''])}"]
    words += [f"{NETWORK}={network.address}", f"PYTHONPATH={ROOT}"]
    over.context(
        "node", command=shlex.join(["env", *words, sys.executable, "-m", "tests.ssh.there"])
    )
    ran = over("rapiddisk", *ACTS[name].words.split(), "--yes")
    assert (ran.code, ran.out) == (10, ""), ran.err
    assert ran.err.startswith("rdctl: error: connection to node lost")
    assert "; the outcome is unknown\n" in ran.err
    there = json.loads(written(tmp_path / "there" / "after.json"))
    network.close()
    assert left_behind(server) == {}
    assert (there["after"], there["harm"], there["free"]) == (there["before"], [], True)
    _, ended = map(json.loads, (tmp_path / "there" / "history.ndjson").read_text().splitlines())
    assert (ended["result"], ended["exit"]) == ("failed", 130)
    assert "rolled back: " in ended["error"]


def test_a_load_that_freezes(
    over: Over, server: Server, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    imaged(8 << 20)
    assert over.there("rapiddisk", "create", "8M", "--number", "7").code == 0
    network.freeze("near", 4 << 20)
    ran = over("rapiddisk", "load", "a.img", "rd7")
    assert network.frozen.is_set()
    assert ran.code == 10, ran.err
    assert ran.err.startswith("rdctl: error: connection to node lost: no reply; the outcome is")
    # rdctl there has ended, too, with what Ctrl-C does; sshd itself does not know of anything.
    assert agents(server) == []
    network.freeze("", 0)
    entry = over("history", "--json").json["items"][-1]
    assert (entry["command"], entry["exit"]) == ("rdctl rapiddisk load a.img rd7", 130)
    assert over.there("rapiddisk", "flush", "rd7", "--yes").code == 0
    network.close()
    assert left_behind(server) == {}


def test_a_save_that_freezes(
    over: Over, server: Server, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    imaged(8 << 20)
    assert over.there("rapiddisk", "create", "8M", "--number", "7").code == 0
    assert over.there("rapiddisk", "load", "a.img", "rd7").code == 0
    network.freeze("far", 4 << 20)
    ran = over("rapiddisk", "save", "rd7", "b.img")
    assert network.frozen.is_set()
    assert ran.code == 6, ran.err
    assert "lost: no reply; nothing was changed" in ran.err
    assert sorted(one.name for one in tmp_path.glob("?.img*")) == ["a.img", "a.img.sha256"]
    network.close()
    assert left_behind(server) == {}
