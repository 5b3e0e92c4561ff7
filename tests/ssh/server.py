"""A real OpenSSH server on 127.0.0.1 with keys and a configuration of its own, and this tree's
rdctl behind it. A user's real files are not touched: HOME is a temporary folder on both sides."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Debian's openssh-server and openssh-client.
PROGRAMS = ("/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen")
# sshd of root requires this empty folder, which its service would make.
_SEPARATED = Path("/run/sshd")
SECONDS = 60.0
_PROGRAM = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "rdctl"])


def required() -> None:
    """Skip the test where OpenSSH is not installed; in CI, fail."""
    missing = [path for path in PROGRAMS if not os.access(path, os.X_OK)]
    if missing:
        reason = f"{', '.join(missing)} not found: install openssh-server and openssh-client"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class Server:
    """A server, and the `ssh` of a user for whom it is the host `node`.

    `bin` has that ssh, and is for PATH; `home` is the home directory of the login there. `options`
    are further lines of the server's configuration; `rdctl` is the command that runs rdctl there.
    """

    user = getpass.getuser()

    def __init__(self, folder: Path, options: Sequence[str] = (), rdctl: str = _PROGRAM) -> None:
        self.folder = folder
        self.home = folder / "far"
        self.bin = folder / "bin"
        self.log = folder / "sshd.log"
        self.known_hosts = folder / "known_hosts"
        self.config = folder / "ssh_config"
        self.port = _free_port()
        self._options = options
        self._rdctl = rdctl
        self._process: subprocess.Popen[bytes] | None = None
        for path in (self.home / "bin", self.bin):
            path.mkdir(parents=True)
        for name in ("host", "user"):
            self.key(name)
        self.restore()
        self._ssh = f"/usr/bin/ssh -F {shlex.quote(str(self.config))}"
        _script(self.bin / "ssh", f'exec {self._ssh} "$@"')
        _script(self.home / "bin" / "rdctl", f'exec {rdctl} "$@"')

    @property
    def url(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def key(self, name: str) -> None:
        path = self.folder / name
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True
        )

    def behind(self, *names: str) -> None:
        """Hosts of these names, each of which has rdctl in a sandbox of its own, and a sudo."""
        hosts = [
            f"Host {name}\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"  SetEnv RDCTL_SANDBOX={self.home}/{name}.db"
            for name in names
        ]
        self.configure(*hosts)
        # Whatever user is named, the one of the tests logs in.
        each = "for word; do shift; case $word in *@node*) word=${word#*@};; esac"
        _script(self.bin / "ssh", f'{each}; set -- "$@" "$word"; done\nexec {self._ssh} "$@"')
        _script(self.home / "bin" / "rdctl", f'exec {self._rdctl} -c sandbox "$@"')
        _script(self.home / "bin" / "sudo", '[ "$1" != -n ] || shift; exec "$@"')

    def restore(self) -> None:
        """Undo what a test has changed."""
        self.admit("user")
        self.know()
        self.configure()

    def admit(self, name: str) -> None:
        """Only the owner of this key may log in."""
        shutil.copyfile(self.folder / f"{name}.pub", self.folder / "authorized_keys")

    def know(self) -> None:
        """The user's ssh knows the key of this host."""
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def configure(self, *client: str) -> None:
        """The configuration of the user's ssh; the first value of an option counts."""
        lines = [
            *client,
            "Host node far-*",
            "  HostName 127.0.0.1",
            f"  Port {self.port}",
            "Host *",
            f"  User {self.user}",
            f"  IdentityFile {self.folder / 'user'}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        environment = {
            "HOME": self.home,
            "PATH": f"{self.home / 'bin'}:/usr/bin:/bin",
            "RDCTL_HISTORY": self.home / "history.ndjson",
        }
        lines = [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            f"PidFile {self.folder / 'sshd.pid'}",
            "SetEnv " + " ".join(f"{name}={value}" for name, value in environment.items()),
            *self._options,
            "AcceptEnv RDCTL_SANDBOX",
            "StrictModes no",
            f"UsePAM {'yes' if _is_locked(self.user) else 'no'}",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PrintMotd no",
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            _SEPARATED.mkdir(mode=0o755, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log
            )
        end = time.monotonic() + SECONDS
        while not _accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"sshd did not start: {self.log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server and its sessions; nothing of them may be left."""
        if self._process is None:
            return
        for one in [*self.sessions(), self._process.pid]:
            with suppress(ProcessLookupError):
                os.kill(one, 15)
        self._process.wait(SECONDS)
        self._process = None

    def sessions(self) -> list[int]:
        """The processes of the server's sessions, and what runs in them."""
        return descendants(self._process.pid) if self._process else []


def _is_locked(user: str) -> bool:
    """Whether sshd lets this user in through PAM only, which not every container has."""
    with suppress(OSError):
        return bool(re.search(rf"^{user}:!", Path("/etc/shadow").read_text(), re.MULTILINE))
    return False


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    required()
    server = Server(folder, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


# --- processes --------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    """What a process and its children have started."""
    found = []
    with suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def naming(text: str) -> dict[int, str]:
    """The command lines of all processes in which this text occurs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if text in words:
                found[int(path.parent.name)] = words
    return found


def lasting(text: str, seconds: float = SECONDS) -> dict[int, str]:
    """Those that do not end: one that was killed still has to notice it."""
    end = time.monotonic() + seconds
    while (found := naming(text)) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def left_behind(server: Server, seconds: float = SECONDS) -> dict[int, str]:
    """Processes of ssh here and of rdctl there that do not end: those that name the folder of this
    server, and its sessions."""
    end = time.monotonic() + seconds
    while True:
        own = {server._process.pid} if server._process else set()
        found: dict[int, Any] = {
            pid: words for pid, words in naming(str(server.folder)).items() if pid not in own
        }
        found |= dict.fromkeys(server.sessions(), "session")
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)
