"""ssh asks on the terminal if there is one context and a person at it; Ctrl-C ends it there."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

from tests.cli.processes import ROOT
from tests.ssh.conftest import Over
from tests.ssh.server import SECONDS, Server

PROMPT = "(yes/no/[fingerprint])? "
LIST = ("rapiddisk", "list", "-o", "name")


class AtTerminal:
    """rdctl as a process of its own, with a terminal that is only its own."""

    def __init__(self, over: Over, *words: str) -> None:
        rdctl = over.rdctl
        env = {
            "HOME": str(rdctl.home),
            "RDCTL_CONFIG": str(rdctl.config),
            "RDCTL_HISTORY": str(rdctl.home / "history.ndjson"),
            "PATH": over.path,
            "PYTHONPATH": str(ROOT),
            "TERM": "dumb",
        }
        self.seen = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "rdctl", *words], env)

    def until(self, text: str) -> None:
        """Read the screen until this text is on it."""
        end = time.monotonic() + SECONDS
        while text not in self.seen:
            assert self._read(end), self.seen

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def code(self) -> int:
        """The exit code, when all is read."""
        end = time.monotonic() + SECONDS
        while self._read(end):
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, end: float) -> bool:
        left = end - time.monotonic()
        assert left > 0, self.seen
        if not select.select([self._terminal], [], [], left)[0]:
            return True
        try:
            data = os.read(self._terminal, 4096)
        except OSError:  # what Linux reports when all who had the terminal have ended
            return False
        self.seen += data.decode()
        return bool(data)


def unknown(server: Server) -> None:
    """Its host key is not known, and ssh asks about it."""
    server.known_hosts.write_text("")
    server.configure("StrictHostKeyChecking ask")


def test_a_person_is_asked(over: Over, server: Server) -> None:
    unknown(server)
    rdctl = AtTerminal(over, "-c", "node", *LIST)
    rdctl.until(PROMPT)
    rdctl.types("yes\n")
    assert rdctl.code() == 0, rdctl.seen
    assert rdctl.seen.endswith("rd0\r\n")
    assert "127.0.0.1" in server.known_hosts.read_text()


def test_what_ssh_waits_for_is_shown(over: Over, tmp_path: Path) -> None:
    """Such as the touch of a hardware key: ssh names it to a terminal only."""
    touch = tmp_path / "touch"
    os.mkfifo(touch)
    ask = r"[ -t 2 ] && printf '\rConfirm user presence for key K\r\n' >&2"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\n{ask}\nread _ <{touch}\nexec {over.server.bin}/ssh "$@"\n')
    ssh.chmod(0o755)
    over.path = f"{tmp_path}:{over.path}"
    rdctl = AtTerminal(over, "-c", "node", *LIST)
    rdctl.until("\n")
    touch.write_text("\n")
    assert rdctl.code() == 0, rdctl.seen
    assert rdctl.seen == "Confirm user presence for key K\r\nrd0\r\n"


def test_ctrl_c_at_the_prompt_of_ssh(over: Over, server: Server) -> None:
    unknown(server)
    rdctl = AtTerminal(over, "-c", "node", *LIST)
    rdctl.until(PROMPT)
    rdctl.types("\x03")
    assert rdctl.code() == 130, rdctl.seen
    assert server.known_hosts.read_text() == ""


def test_several_contexts_do_not_ask(over: Over, server: Server) -> None:
    over.context("other")
    unknown(server)
    rdctl = AtTerminal(over, "-c", "node,other", *LIST)
    assert rdctl.code() == 6, rdctl.seen
    assert PROMPT not in rdctl.seen
    assert "ssh://node: the host key is not known" in rdctl.seen
