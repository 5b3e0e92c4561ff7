"""A state file on a real kernel: a dump is applied to the emptied machine, and interrupted at every
step."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, NVMET

HOST = "nqn.2014-08.org.nvmexpress:uuid:7a"
UUID = "d592cdf3-5d1c-44e0-8412-3fcf7d99df27"
NGUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
MADE = Path("/run/rdctl/made.json")


def furnish_little(rdctl: Program) -> None:
    """A cache that is written back, and an export."""
    machine.wipe("/dev/vda", MIB)
    for number in (0, 4):
        rdctl.ok("create", "8M", "--number", str(number))
    rdctl.ok("cache", "create", "rd0", "vda", "--policy", "writeback", "--name", "rc-wb_data")
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    identity = ("--serial", "store-7", "--uuid", UUID, "--nguid", NGUID)
    rdctl.ok("nvmet", "export", "rd4", "--port", "1", "--host", HOST, *identity)


def furnish(rdctl: Program) -> None:
    """Something of everything."""
    furnish_little(rdctl)
    machine.wipe("/dev/vdb", MIB)
    for number in (3, 7):
        rdctl.ok("create", "8M", "--number", str(number))
    rdctl.ok("cache", "create", "rd3", "vdb", "--policy", "write-around")
    rdctl.ok("lock", "rd7")


def dumped(rdctl: Program, path: Path) -> dict[str, Any]:
    """The state of the machine, which is written to a file too."""
    ran = rdctl("dump", options=())
    assert ran.code == 0, ran
    path.write_text(ran.out)
    state: dict[str, Any] = rdctl.ok("dump", options=("--json",))
    return state


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.toml"


def test_a_dump_is_applied(rdctl: Program, file: Path) -> None:
    furnish(rdctl)
    before = dumped(rdctl, file)
    assert before["caches"]["rc-wb_data"]["source"].startswith("/dev/disk/by-path/")
    assert before["exports"]
    assert rdctl.ok("apply", str(file))["results"][0]["changed"] is False
    machine.clean()
    for disk in ("vda", "vdb"):
        machine.wipe(f"/dev/{disk}", MIB)
    ran = rdctl("apply", str(file))
    assert ran.code == 0, ran
    assert dumped(rdctl, file) == before
    assert rdctl("diff", str(file), "--exit-code").code == 0
    assert machine.volume("rd7").locked
    (namespace,) = NVMET.glob("subsystems/*/namespaces/1")
    assert (namespace / "device_uuid").read_text().strip() == UUID
    assert (namespace / "device_nguid").read_text().strip() == NGUID
    assert (namespace.parents[1] / "attr_serial").read_text().strip() == "store-7"


def test_the_second_apply_writes_nothing(rdctl: Program, file: Path) -> None:
    furnish(rdctl)
    dumped(rdctl, file)
    machine.clean()
    rdctl.ok("apply", str(file))
    stamp = MADE.stat().st_mtime_ns
    ran = rdctl("apply", str(file), options=("--json", "--yes", "--trace"))
    assert ran.code == 0, ran
    assert [line for line in ran.err.splitlines() if not line.startswith("# ")] == []
    assert MADE.stat().st_mtime_ns == stamp


def test_prune_takes_only_what_apply_made(rdctl: Program, file: Path) -> None:
    machine.attach(9)
    file.write_text('schema = "rdctl.rapiddisk.state/1"\n[volumes.rd1]\nsize = "8MiB"\n')
    rdctl.ok("apply", str(file))
    machine.mgmt("rapiddisk detach 1")
    machine.attach(1, 8)  # the same name and size, but another volume
    file.write_text('schema = "rdctl.rapiddisk.state/1"\n[volumes.rd2]\nsize = "8MiB"\n')
    rdctl.ok("apply", str(file), "--prune")
    assert machine.names() == ["rd1", "rd2", "rd9"]
    file.write_text('schema = "rdctl.rapiddisk.state/1"\n')
    rdctl.ok("apply", str(file), "--prune")
    assert machine.names() == ["rd1", "rd9"]


def test_a_lost_mapping_is_adopted(rdctl: Program, file: Path) -> None:
    furnish(rdctl)
    dumped(rdctl, file)
    # Suspended and resumed, it is not set to write back any more.
    machine.tool("dmsetup", "suspend", "rc-wb_data")
    machine.tool("dmsetup", "resume", "rc-wb_data")
    written = machine.fill("/dev/mapper/rc-wb_data", MIB)
    machine.tool("dmsetup", "remove", "--retry", "rc-wb_data")
    assert machine.digest("/dev/vda", MIB) != written
    message = rdctl("apply", str(file), options=("--json",)).json["error"]["losses"]
    assert "unwritten blocks" in message[0]
    rdctl.ok("apply", str(file))
    assert machine.digest("/dev/mapper/rc-wb_data", MIB) == written
    rdctl.ok("cache", "remove", "rc-wb_data")
    assert machine.digest("/dev/vda", MIB) == written


def strikes(rdctl: Program, file: Path, signum: signal.Signals) -> Any:
    """Apply on the emptied machine, with a signal before step 1, 2, ..., until one gets through."""
    for line in range(1, 120):
        machine.clean()
        machine.wipe("/dev/vda", MIB)
        ran = rdctl.struck("apply", str(file), line=line, signum=signum)
        if ran is not None and ran.code == 0:
            assert line > 20, "too few steps were struck"
            return
        yield ran
    pytest.fail("no end of steps")


def there() -> tuple[Any, ...]:
    return machine.names(), sorted(machine.mappings()), machine.nvmet()


def test_an_interrupt_before_each_step_leaves_all_or_nothing(rdctl: Program, file: Path) -> None:
    furnish_little(rdctl)
    dumped(rdctl, file)
    whole = there()
    nothing: tuple[Any, ...] = ([], [], machine.NO_NVMET)
    after = []
    for ran in strikes(rdctl, file, signal.SIGINT):
        assert ran.code == 130, ran
        assert there() in (nothing, whole), ran
        after.append(there() == whole)
    # Only what is looked at afterwards is interrupted when all is done.
    assert after == sorted(after)
    assert after.count(False) > 15


def test_apply_after_a_kill_before_each_step_completes_it(rdctl: Program, file: Path) -> None:
    furnish_little(rdctl)
    before = dumped(rdctl, file)
    for ran in strikes(rdctl, file, signal.SIGKILL):
        assert ran is None
        again = rdctl("apply", str(file))
        assert again.code == 0, again
        assert rdctl.ok("dump", options=("--json",)) == before


def test_a_dry_run_is_the_trace(rdctl: Program, file: Path) -> None:
    furnish(rdctl)
    dumped(rdctl, file)
    machine.clean()
    plan = json.loads(rdctl("apply", str(file), "--dry-run").out)["plan"]
    ran = rdctl("apply", str(file), options=("--json", "--yes", "--trace"))
    assert ran.code == 0, ran
    assert [line for line in ran.err.splitlines() if not line.startswith("# ")] == plan
