"""The package's own rapiddiskd and command beside local mode, on one kernel. The daemon 9.0.0 shows
empty sizes, so what it did is looked up in the kernel."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB

PORT = 9118
REMOTE = ("--json", "--yes", "--rapiddisk-url", f"http://127.0.0.1:{PORT}")


@pytest.fixture
def daemon() -> Iterator[None]:
    """rapiddiskd of the package, which forks into the background."""
    subprocess.run(["rapiddiskd", "-p", str(PORT)], check=True, stdin=subprocess.DEVNULL)
    machine.until(listening, "rapiddiskd")
    yield
    pid = machine.tool("pidof", "rapiddiskd").split()[0]
    os.kill(int(pid), signal.SIGKILL)
    machine.until(lambda: not listening(), "the end of rapiddiskd")


def listening() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


@pytest.mark.usefixtures("daemon")
def test_remote_and_local_see_and_do_the_same(rdctl: Program, disk: str) -> None:
    assert rdctl.ok("status", options=REMOTE)["item"]["mode"] == "remote"
    made = rdctl.ok("create", "16M", options=REMOTE)["results"][0]["target"]
    assert machine.volume(made).size == 16 * MIB
    rdctl.ok("create", "24M")
    names = [row["device"] for row in rdctl.ok("list", options=REMOTE)["items"]]
    assert names == [row["device"] for row in rdctl.items("list")] == ["rd0", "rd1"]
    rdctl.ok("lock", "rd1", options=REMOTE)
    assert rdctl.items("list")[1]["locked"] is True
    rdctl.ok("unlock", "rd1")
    local = rdctl.items("list")
    remote = rdctl.ok("list", options=REMOTE)["items"]
    assert [list(row) for row in local] == [list(row) for row in remote]
    assert remote[1]["locked"] is False


@pytest.mark.usefixtures("daemon")
def test_what_the_daemon_makes_local_mode_removes_and_back(rdctl: Program) -> None:
    machine.attach(0)
    machine.attach(1)
    rdctl.ok("remove", "rd0", options=REMOTE)
    rdctl.ok("resize", "rd1", "32M", "--force", options=REMOTE)
    assert machine.volumes() == {"rd1": machine.Volume(32 * MIB, 0, 0, False)}
    machine.fill("/dev/rd1", MIB)
    rdctl.ok("flush", "rd1", options=REMOTE)
    assert machine.volume("rd1").usage == 0


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_cannot_show_what_is_mapped_removes_nothing(
    rdctl: Program, disk: str
) -> None:
    """Its own guards are broken: without rdctl's the volume below a cache would go."""
    machine.map_cache(f"rc-wb_{disk}", disk, machine.attach(0))
    data = machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    for command in (("remove", "rd0"), ("flush", "rd0")):
        assert rdctl(*command, options=REMOTE).code == 4
    assert machine.names() == ["rd0"]
    rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    assert machine.digest(f"/dev/{disk}", MIB) == data


@pytest.mark.usefixtures("daemon")
def test_exports_are_the_same_from_both_sides(rdctl: Program) -> None:
    machine.attach(0)
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    remote = rdctl.ok("nvmet", "list", options=REMOTE)["items"]
    local = rdctl.items("nvmet", "list")
    assert [row["nqn"] for row in remote] == [row["nqn"] for row in local]
    assert [list(row) for row in remote] == [list(row) for row in local]


def test_the_c_command_sees_what_rdctl_makes(rdctl: Program, disk: str) -> None:
    rdctl.ok("create", "16M", "--count", "2")
    rdctl.ok("cache", "create", "rd1", disk)
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--interface", "lo")
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    volumes = machine.tool("rapiddisk", "-l", "-j")
    assert set(re.findall(r"rd\d|rc-w[tab]_\w+", volumes)) >= {"rd0", "rd1", f"rc-wt_{disk}"}
    exports = machine.tool("rapiddisk", "-n", "-j")
    assert f":{socket.gethostname()}-rd0" in exports
    json.loads(volumes[volumes.index("{") :])
    # And takes it down again, by the name that it builds itself.
    machine.tool("rapiddisk", "-x", "-b", "rd0", "-P", "1")
    machine.tool("rapiddisk", "-u", f"rc-wt_{disk}")
    machine.tool("rapiddisk", "-d", "rd0")
    assert machine.nvmet()["subsystems"] == []
    assert machine.mappings() == {}
    assert machine.names() == ["rd1"]


def test_the_c_command_creates_at_the_same_time(rdctl: Program) -> None:
    """It knows no lock and does not look whether it succeeded; rdctl does."""
    tools = [subprocess.Popen(["rapiddisk", "-a", "2"], stdout=subprocess.DEVNULL) for _ in "1234"]
    children = [rdctl.start("create", "1M", "--count", "2") for _ in range(4)]
    ours = []
    for child in children:
        ran = child.result()
        assert ran.code == 0, ran
        ours += [result["target"] for result in ran.json["results"]]
    for tool in tools:
        tool.wait()
    assert len(set(ours)) == 8
    assert {machine.volume(name).size for name in ours} == {MIB}


def test_the_program_itself(rdctl: Program) -> None:
    """Not in-process for once: started as a user starts it."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "rdctl", "rapiddisk", "create", "16M", "-o", "name"],
        check=False,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(rdctl.home)},
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "rd0\n", ""), done
    assert time.monotonic() - begin < 60
