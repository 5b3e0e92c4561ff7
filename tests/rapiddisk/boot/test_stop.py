"""What the units run at shutdown: nothing that is only in RAM is lost, and nothing hangs."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import pytest

from rdctl.rapiddisk.boot import units
from tests.conftest import Program, Ran
from tests.fakes.kernel import NVMET, FakeKernel, Killed

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd3"


@pytest.fixture
def dirty(kernel: FakeKernel) -> FakeKernel:
    """Two write-back caches, of which one is in use, and one of another policy."""
    for number in range(4):
        kernel.add_volume(number)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=7)
    kernel.map_cache("rc-wb_vdc", "rd1", "vdc", dirty=8)
    kernel.map_cache("rc-wt_sda", "rd2", "sda")
    kernel.mount("/dev/mapper/rc-wb_vdc", "/data")
    return kernel


def stop(local: Local, *words: str) -> Ran:
    return local("rapiddisk", "boot", "stop", *words)


def test_all_are_written_back_and_the_unused_removed(dirty: FakeKernel, local: Local) -> None:
    ran = stop(local, "--only", "caches")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "wrote rc-wb_vdb back and removed it",
        "wrote rc-wb_vdc back and kept it: rc-wb_vdc is in use: mounted on /data",
    ]
    assert sorted(dirty.maps) == ["rc-wb_vdc", "rc-wt_sda"]
    assert (dirty.maps["rc-wb_vdc"].dirty, dirty.maps["rc-wb_vdc"].armed) == (0, True)


def test_nothing_is_removed_before_all_are_written_back(dirty: FakeKernel, local: Local) -> None:
    plan = stop(local, "--only", "caches", "--dry-run", "--json").json["plan"]
    flushes = [number for number, line in enumerate(plan) if line.endswith(" 0 flush")]
    removal = next(number for number, line in enumerate(plan) if "dmsetup remove" in line)
    assert [plan[number].split()[2] for number in flushes if number < removal][:2] == [
        "rc-wb_vdb",
        "rc-wb_vdc",
    ]
    assert (dirty.maps["rc-wb_vdb"].dirty, dirty.steps) == (7, 0)


def test_a_dry_run_says_what_is_done(dirty: FakeKernel, local: Local) -> None:
    assert stop(local, "--only", "caches", "--dry-run").out.splitlines() == [
        *("would write back rc-wb_vdb", "would write back rc-wb_vdc"),
        *("would write back rc-wb_vdb", "would remove cache rc-wb_vdb", "would erase rd0"),
        "would set rc-wb_vdc to be written back when it is removed",
    ]


def test_what_was_written_later_is_written_back_by_the_kernel(
    dirty: FakeKernel, local: Local
) -> None:
    stop(local, "--only", "caches")
    dirty.maps["rc-wb_vdc"].dirty = 5
    dirty.mounts.clear()
    dirty.unmap_unsafely("rc-wb_vdc")
    assert dirty.volumes[1].unwritten == 0


def test_the_time_at_which_it_was_armed_is_recorded(dirty: FakeKernel, local: Local) -> None:
    stop(local, "--only", "caches")
    record = json.loads(dirty.text("run/rdctl/rd1.json"))
    assert (record["cache"], record["sent"] is None) == ("rc-wb_vdc", False)


def test_the_upper_of_two_comes_first(kernel: FakeKernel, local: Local) -> None:
    """It writes to the lower one."""
    for number in range(2):
        kernel.add_volume(number)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=1)
    kernel.map_cache("rc-wb_upper", "rd1", "mapper/rc-wb_vdb", dirty=1)
    ran = stop(local, "--only", "caches", "--json")
    assert {row["target"] for row in ran.json["results"]} == {"rc-wb_upper", "rc-wb_vdb"}
    assert (ran.code, kernel.maps) == (0, {})


@pytest.mark.parametrize("gone", [True, False])
def test_a_failed_source_keeps_nothing_else_back(
    dirty: FakeKernel, local: Local, gone: bool
) -> None:
    """A message to a cache that has failed could wait in the kernel forever."""
    dirty.fail_source("rc-wb_vdb", gone=gone)
    steps = dirty.steps
    ran = stop(local, "--only", "caches", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == ("rc-wb_vdb", "conflict")
    assert "rc-wb_vdb has failed" in error["message"]
    assert [row["target"] for row in ran.json["results"]] == ["rc-wb_vdc"]
    assert dirty.maps["rc-wb_vdb"].armed is False
    assert dirty.steps == steps + 2


def test_all_that_fail(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volume(0)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=7)
    kernel.suspend("rc-wb_vdb")
    ran = stop(local, "--only", "caches", "--json")
    assert (ran.code, ran.json["errors"][0]["target"]) == (4, "rc-wb_vdb")


def test_a_refused_flush(dirty: FakeKernel, local: Local) -> None:
    dirty.fail_at(1, errno.EIO)
    ran = stop(local, "--only", "caches", "--json")
    assert (ran.code, ran.json["errors"][0]["target"]) == (8, "rc-wb_vdb")
    assert [row["target"] for row in ran.json["results"]] == ["rc-wb_vdc"]
    assert dirty.maps["rc-wb_vdb"].dirty == 7


def test_what_is_written_meanwhile_is_named(dirty: FakeKernel, local: Local) -> None:
    def write() -> None:
        dirty.maps["rc-wb_vdc"].dirty = 3

    dirty.after[2] = write
    ran = stop(local, "--only", "caches", "--json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["target"], error["dirty"]) == (8, "rc-wb_vdc", 3)
    assert "rc-wb_vdc" in dirty.maps


def test_one_that_comes_into_use_is_kept(dirty: FakeKernel, local: Local) -> None:
    dirty.after[2] = lambda: dirty.mount("/dev/mapper/rc-wb_vdb", "/late")
    ran = stop(local, "--only", "caches", "--json")
    assert ran.code == 0
    assert dirty.maps["rc-wb_vdb"].armed is True


def test_no_confirmation(dirty: FakeKernel, local: Local) -> None:
    """Nothing is lost; a unit has no terminal."""
    plan = stop(local, "--dry-run", "--json").json
    assert plan["losses"] == []
    assert stop(local).code == 0


def test_nothing_to_do(kernel: FakeKernel, local: Local) -> None:
    ran = stop(local)
    assert (ran.code, kernel.steps) == (0, 0)
    assert ran.out.splitlines() == [
        "exports: nothing to remove",
        "images: nothing to save",
        "caches: nothing to write back",
    ]


def test_no_root(dirty: FakeKernel, local: Local) -> None:
    dirty.root_user = False
    assert stop(local, "--only", "caches").code == 5


# --- exports ------------------------------------------------------------------------------------

STATE = f"""schema = "rdctl.rapiddisk.state/1"

[volumes.rd3]
size = "64MiB"

[ports.1]
transport = "tcp"
address = "10.0.2.15"
service = "4420"

[ports.2]
transport = "tcp"
address = "10.0.2.15"
service = "4421"

[exports."{NQN}"]
device = "rd3"
ports = [1]
any_host = true
serial = "0123456789abcdef0123"
"""


@pytest.fixture
def exported(dirty: FakeKernel) -> FakeKernel:
    dirty.put("etc/rdctl/rapiddisk.toml", STATE)
    dirty.add_port(1)
    dirty.add_port(2, service="4421")
    dirty.foreign_subsystem(NQN, "/dev/rd3")
    dirty.put(f"{NVMET}/subsystems/{NQN}/attr_serial", "0123456789abcdef0123\n")
    dirty.offer(NQN, 1)
    dirty.steps = 0
    return dirty


def left(kernel: FakeKernel, kind: str) -> list[str]:
    return sorted(path.name for path in kernel.path(f"{NVMET}/{kind}").iterdir())


def test_exports_and_ports_are_removed(exported: FakeKernel, local: Local) -> None:
    exported.add_port(7, service="4500")
    ran = stop(local, "--only", "exports")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [f"removed export {NQN}", "removed port 1", "removed port 2"]
    assert (left(exported, "subsystems"), left(exported, "ports")) == ([], ["7"])
    assert "rc-wb_vdb" in exported.maps


def test_an_exported_cache_is_free_afterwards(exported: FakeKernel, local: Local) -> None:
    path = f"{NVMET}/subsystems/{NQN}/namespaces/1/device_path"
    exported.put(path, "/dev/mapper/rc-wb_vdb\n")
    state = STATE.replace('"rd3"', '"rc-wb_vdb"')
    state += (
        '[volumes.rd0]\nsize = "64MiB"\n[caches."rc-wb_vdb"]\nvolume = "rd0"\n'
        'source = "/dev/vdb"\nsource_size = "512MiB"\npolicy = "writeback"\n'
    )
    exported.put("etc/rdctl/rapiddisk.toml", state)
    assert "would remove cache rc-wb_vdb\n" in stop(local, "--dry-run").out
    assert stop(local).code == 0
    assert "rc-wb_vdb" not in exported.maps


@pytest.mark.parametrize(
    ("below", "text"),
    [("attr_serial", "other"), ("namespaces/1/device_path", "/dev/rd2")],
)
def test_the_export_of_another_is_kept(
    exported: FakeKernel, local: Local, below: str, text: str
) -> None:
    """A name alone proves nothing."""
    exported.put(f"{NVMET}/subsystems/{NQN}/{below}", f"{text}\n")
    ran = stop(local, "--only", "exports")
    assert ran.code == 0
    assert f"kept {NQN}: it differs from the state file" in ran.out
    assert left(exported, "subsystems") == [NQN]
    assert left(exported, "ports") == ["1"]


def test_a_port_that_another_export_uses_is_kept(exported: FakeKernel, local: Local) -> None:
    exported.foreign_subsystem("nqn.2020-01.org.other:disk", "/dev/sdz")
    exported.offer("nqn.2020-01.org.other:disk", 1)
    stop(local, "--only", "exports")
    assert left(exported, "subsystems") == ["nqn.2020-01.org.other:disk"]
    assert left(exported, "ports") == ["1"]


def test_a_state_file_that_cannot_be_read_keeps_no_cache_from_being_written_back(
    exported: FakeKernel, local: Local
) -> None:
    exported.put("etc/rdctl/rapiddisk.toml", "volumes = 7\n")
    ran = stop(local, "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (8, "config")
    assert "rc-wb_vdb" not in exported.maps
    assert left(exported, "subsystems") == [NQN]


def test_a_machine_that_cannot_export(dirty: FakeKernel, local: Local) -> None:
    dirty.unmount_configfs()
    assert stop(local).code in (0, 8)


@pytest.mark.parametrize("step", range(1, 5))
def test_after_a_kill_the_second_run_completes(dirty: FakeKernel, local: Local, step: int) -> None:
    dirty.kill_at(step)
    with pytest.raises(Killed):
        stop(local, "--only", "caches")
    dirty.revive()
    assert stop(local, "--only", "caches").code == 0
    assert sorted(dirty.maps) == ["rc-wb_vdc", "rc-wt_sda"]
    assert (dirty.maps["rc-wb_vdc"].dirty, dirty.maps["rc-wb_vdc"].armed) == (0, True)


def test_a_protected_context_does_not_ask_the_units(dirty: FakeKernel, local: Local) -> None:
    for words in ("context set lab rapiddisk=local protected=true", "context use lab"):
        assert local(*words.split()).code == 0
    assert stop(local, "--only", "caches").code == 0


def test_a_fault_in_the_configuration_of_root_is_of_no_matter(
    rdctl: Program, dirty: FakeKernel
) -> None:
    """As the units run it."""
    rdctl.config.write_text("nonsense = [")
    unit = units.units()[units.CACHES]
    (setting,) = [line for line in unit.splitlines() if line.startswith("Environment=")]
    name, _, value = setting.removeprefix("Environment=").partition("=")
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStop=")]
    ran = rdctl(*line.split()[1:], env={name: value})
    assert (ran.code, ran.err) == (0, "")
    assert dirty.maps["rc-wb_vdc"].dirty == 0
