"""A network that loses what is sent, between the real ssh and its server: neither learns of it."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rdctl.remote import wire
from tests.ssh.conftest import Over
from tests.ssh.server import SECONDS, Server, left_behind


class Network:
    """Passes bytes on between ssh and the server, until one side has sent `limit` of them; what is
    sent afterwards is lost, and nothing is closed."""

    def __init__(self, port: int) -> None:
        self.side, self.limit = "", 0
        self.frozen = threading.Event()
        self._server = port
        self._all: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self, side: str, limit: int) -> None:
        self.side, self.limit = side, limit

    def close(self) -> None:
        for one in (self._listening, *self._all):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._server))
                self._all += [near, far]
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        sent = dict.fromkeys(("near", "far"), 0)
        with suppress(OSError):
            while True:
                for one in select.select([near, far], [], [])[0]:
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
def network(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Between the user's ssh and the server. Both sides of rdctl are impatient."""
    monkeypatch.setattr(wire, "BEAT", 0.2)
    monkeypatch.setattr(wire, "PATIENCE", 2.0)
    network = Network(server.port)
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
