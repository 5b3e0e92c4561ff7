"""Commands of a boot: the file system of the history may not be there yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel
from tests.history.reading import lines, of_machine, pairs

Local = Callable[..., Ran]
EARLY = "run/rdctl/history.ndjson"
STATE = 'schema = "rdctl.rapiddisk.state/1"\n[volumes.rd0]\nsize = "64M"\n'
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has it")


@pytest.fixture
def machine(rdctl: Program, kernel: FakeKernel) -> Path:
    (rdctl.root / "etc/rdctl").mkdir(parents=True)
    (rdctl.root / "etc/rdctl/rapiddisk.toml").write_text(STATE)
    return rdctl.root


def separate(machine: Path, *, mounted: bool) -> None:
    """/var/log is a file system of its own."""
    (machine / "etc/fstab").write_text(
        "UUID=1 / ext4 defaults 0 1\n/dev/sdb /var/log ext4 ro 0 2\n"
    )
    (machine / "proc/self").mkdir(parents=True, exist_ok=True)
    (machine / "proc/self/mounts").write_text(
        "/dev/sda / ext4 rw 0 0\n" + "/dev/sdb /var/log ext4 rw 0 0\n" * mounted
    )


def test_a_boot_writes_into_the_file_that_is_mounted(
    rdctl: Program, machine: Path, local: Local
) -> None:
    separate(machine, mounted=True)
    assert local("rapiddisk", "apply", "--boot").code == 0
    ((begin, end),) = pairs(of_machine(rdctl))
    assert begin["argv"] == ["--local", "rapiddisk", "apply", "--boot"]
    assert end["targets"] == ["rd0"]
    assert not (machine / EARLY).exists()


def test_what_a_boot_wrote_elsewhere_is_moved_by_the_next_change(
    rdctl: Program, machine: Path, local: Local
) -> None:
    separate(machine, mounted=False)
    assert local("rapiddisk", "apply", "--boot").code == 0
    assert of_machine(rdctl) == []
    assert len(lines(machine / EARLY)) == 2
    assert [row["targets"] for row in rdctl("history", "--json").json["items"]] == [["rd0"]]
    separate(machine, mounted=True)
    assert local("rapiddisk", "lock", "rd0").code == 0
    assert not (machine / EARLY).exists()
    boot, lock = pairs(of_machine(rdctl))
    assert [boot[0]["argv"][2], lock[0]["argv"][2]] == ["apply", "lock"]


def test_apply_moves_it_even_if_nothing_differs(
    rdctl: Program, machine: Path, local: Local
) -> None:
    separate(machine, mounted=False)
    local("rapiddisk", "apply", "--boot")
    local("rapiddisk", "apply", "--dry-run")
    assert of_machine(rdctl) == []
    assert local("rapiddisk", "apply").out.endswith(": no changes\n")
    assert len(pairs(of_machine(rdctl))) == 1
    assert not (machine / EARLY).exists()


def test_a_file_system_that_is_read_only(rdctl: Program, machine: Path, local: Local) -> None:
    """As good as one that is not mounted."""
    (machine / "var").mkdir()
    (machine / "var/log").write_text("")
    ran = local("rapiddisk", "apply", "--boot")
    assert (ran.code, "history" in ran.err) == (0, False)
    assert len(lines(machine / EARLY)) == 2


def test_the_stop_side_too(rdctl: Program, machine: Path, local: Local, kernel: FakeKernel) -> None:
    separate(machine, mounted=False)
    kernel.add_volume(0)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=7)
    assert local("rapiddisk", "boot", "stop", "--only", "caches").code == 0
    ((begin, _),) = pairs(lines(machine / EARLY))
    assert begin["argv"][1:4] == ["rapiddisk", "boot", "stop"]
