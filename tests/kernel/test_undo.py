"""undo on a real kernel: changes are taken back, and exports created again with their identity."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB
from tests.kernel.test_state import furnish_little


def identities(rdctl: Program) -> Any:
    return [(row["nqn"], row["serial"], row["uuid"]) for row in rdctl.items("nvmet", "list")]


def test_repeated_undo_walks_back(rdctl: Program) -> None:
    machine.wipe("/dev/vda", MIB)
    rdctl.ok("create", "8M", "--number", "5")
    rdctl.ok("resize", "rd5", "16M")
    rdctl.ok("lock", "rd5")
    rdctl.ok("unlock", "rd5")
    rdctl.ok("cache", "create", "rd5", "vda", "--policy", "writeback", "--name", "rc-wb_undo")
    written = machine.fill("/dev/mapper/rc-wb_undo", MIB)
    rdctl.ok("undo")
    assert machine.mappings() == {}
    assert machine.digest("/dev/vda", MIB) == written
    rdctl.ok("undo")
    assert machine.volume("rd5").locked
    rdctl.ok("undo")
    rdctl.ok("undo")
    assert rdctl.items("list")[0]["size"] == 8 * MIB
    rdctl.ok("undo")
    assert machine.names() == []
    assert rdctl("undo").code == 3


def test_an_export_comes_back_with_its_identity(rdctl: Program) -> None:
    rdctl.ok("create", "8M", "--number", "4")
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    rdctl.ok("nvmet", "export", "rd4", "--port", "1", "--any-host")
    before = identities(rdctl)
    rdctl.ok("nvmet", "unexport", "rd4")
    rdctl.ok("undo")
    assert identities(rdctl) == before
    for _ in range(3):
        rdctl.ok("undo")
    assert machine.names() == []


def test_another_volume_of_that_number_is_left_alone(rdctl: Program) -> None:
    rdctl.ok("create", "8M", "--number", "5")
    machine.mgmt("rapiddisk detach 5")
    machine.attach(5, 8)
    assert "rd5 is not the same volume" in rdctl.refused("undo", code="conflict")
    assert machine.names() == ["rd5"]


def test_lost_contents_are_not_restored(rdctl: Program) -> None:
    rdctl.ok("create", "8M", "--number", "5")
    machine.fill("/dev/rd5", MIB)
    rdctl.ok("remove", "rd5")
    assert "its contents (1.0 MiB) were lost" in rdctl.refused("undo", code="conflict")


@pytest.mark.parametrize("line", [1, 3, 5, 8, 12])
def test_undo_of_apply_continues_after_a_kill(rdctl: Program, line: int) -> None:
    furnish_little(rdctl)
    text = rdctl("dump", options=()).out
    machine.clean()
    machine.wipe("/dev/vda", MIB)
    file = rdctl.home / "state.toml"
    file.write_text(text)
    rdctl.ok("apply", str(file))
    assert rdctl.struck("undo", line=line, signum=signal.SIGKILL) is None
    rdctl.ok("undo")
    assert (machine.names(), machine.mappings()) == ([], {})
    assert machine.nvmet()["subsystems"] == []
