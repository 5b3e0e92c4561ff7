"""Machines over SSH: a real OpenSSH server on 127.0.0.1, and sandboxes behind it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.meter import Row, Section
from tests.bench.sections import Bench
from tests.ssh.server import PROGRAMS, Server

MANY = 20
_KINDS = {"same": "one machine", "node": "a login each", "shared": "a shared connection"}
# What ssh is given for each kind.
_HOSTS = {"same": "node", "node": "node", "shared": "shared"}


@contextmanager
def machines(bench: Bench) -> Iterator[Bench]:
    """With a server that has the installed rdctl, where OpenSSH is."""
    if not all(os.access(path, os.X_OK) for path in PROGRAMS):
        yield bench
        return
    server = Server(bench.home / "ssh", rdctl=str(bench.programs / "rdctl"))
    control = f"ControlPath {server.folder}/cm"
    alias = f"Host shared\n  HostName 127.0.0.1\n  Port {server.port}"
    server.configure(f"{alias}\n  ControlMaster auto\n  {control}\n  ControlPersist yes")
    _contexts(bench.home, server)
    server.start()
    try:
        yield bench._replace(ssh=str(server.bin))
    finally:
        # Without a master this fails.
        subprocess.run(
            [server.bin / "ssh", "-O", "exit", "shared"], check=False, capture_output=True
        )
        server.stop()


def _contexts(home: Path, server: Server) -> None:
    """MANY of each kind, each with a sandbox of its own but for those of one machine."""
    lines = []
    for kind in _KINDS:
        for number in range(MANY):
            sandbox = 0 if kind == "same" else number
            command = f"env RDCTL_SANDBOX={server.home}/{sandbox}.db rdctl -c sandbox"
            lines += [f"[contexts.{kind}{number}]", f'rapiddisk = "ssh://{_HOSTS[kind]}"']
            lines += [f"remote_command = {json.dumps(command)}"]
    (home / "ssh.toml").write_text("\n".join(lines) + "\n")


def over_ssh(bench: Bench) -> Section:
    """One context and twenty: of one machine, with a login each, and over a shared connection."""
    lacking = None if bench.ssh else "not measured: no OpenSSH server here"
    rdctl = [
        *("env", f"PATH={bench.ssh}:{os.environ['PATH']}", f"RDCTL_CONFIG={bench.home}/ssh.toml"),
        str(bench.programs / "rdctl"),
    ]
    rows = []
    for kind, how in _KINDS.items():
        one = f"1 context, {how}"
        many = [*rdctl, "-c", f"{kind}*", "--parallel", str(MANY), "rapiddisk", "list"]
        rows += [
            Row(one, [*rdctl, "-c", f"{kind}0", "rapiddisk", "list"], lacking=lacking),
            Row(f"{MANY} contexts, {how}", many, against=one, lacking=lacking),
        ]
    text = (
        f"`rdctl rapiddisk list` over SSH, with `--parallel {MANY}` for {MANY} contexts: OpenSSH on"
        " 127.0.0.1 with its default limits. Contexts of one machine with the same command share a"
        " login and rdctl there. The others have a sandbox each; as many programs are started on"
        " the other side, which here has the same processors, so that the ratio depends on their"
        " number. The CPU time is that of this side."
    )
    return Section("Machines over SSH", text, rows, bench.few(5, 1))
