"""A context over SSH: rdctl there acts on its real kernel. Both sides are this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB
from tests.ssh.server import Server, left_behind, serving

NODE = ("--json", "--yes", "-c", "node")


@pytest.fixture
def server(rdctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The context `node`, whose connection is shared: a login takes seconds under emulation."""
    with serving(tmp_path / "ssh") as server:
        server.configure(
            f"ControlPath {server.folder}/cm", "ControlMaster auto", "ControlPersist yes"
        )
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        (rdctl.home / "config.toml").write_text('[contexts.node]\nrapiddisk = "ssh://node"\n')
        login = subprocess.run(
            [server.bin / "ssh", "node", "true"], check=False, stderr=subprocess.PIPE
        )
        assert login.returncode == 0, (login.stderr, server.log.read_text())
        yield server
        subprocess.run([server.bin / "ssh", "-O", "exit", "node"], check=True, capture_output=True)
        assert left_behind(server) == {}


@pytest.mark.usefixtures("server")
def test_the_main_job(rdctl: Program, disk: str) -> None:
    made = rdctl.ok("create", "16M", options=NODE)["results"][0]
    assert (made["target"], made["verified"]) == ("rd0", True)
    assert machine.volume("rd0").size == 16 * MIB
    cached = rdctl.ok("cache", "create", "rd0", disk, options=NODE)["results"][0]["target"]
    assert list(machine.mappings()) == [cached]
    # The guards are those of the machine.
    in_use = rdctl("remove", "rd0", options=NODE)
    assert in_use.code == 4, in_use
    assert in_use.json["errors"][0]["code"] == "in-use"
    rdctl.ok("cache", "remove", cached, options=NODE)
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    exported = rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host", options=NODE)
    assert exported["results"][0]["verified"] is True
    assert len(machine.nvmet()["links"]) == 1
    rdctl.ok("nvmet", "unexport", "rd0", options=NODE)
    rdctl.ok("remove", "rd0", options=NODE)
    assert (machine.volumes(), machine.mappings()) == ({}, {})
