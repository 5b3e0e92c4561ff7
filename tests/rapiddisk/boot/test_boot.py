"""Restoring at boot is enabled and disabled, all or nothing, and examined."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdctl.cli.run import signals
from rdctl.rapiddisk.boot import units
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel, Killed
from tests.rapiddisk.acts import BOOT, STATE, arranged, stated

Local = Callable[..., Ran]

ETC = "etc/systemd/system"
STATE_FILE = "etc/rdctl/rapiddisk.toml"
LOAD, OPTIONS = "etc/modules-load.d/rdctl.conf", "etc/modprobe.d/rdctl.conf"
REBOOT = f"{ETC}/reboot.target.d/rdctl.conf"
IDLE = (
    "rdctl: warning: rdctl-caches.service, rdctl-images.service, rdctl-exports.service will be"
    " active after the next boot; to have caches written back and images saved at the next"
    " shutdown, too, start them: rdctl --local rapiddisk boot enable --now\n"
)


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


@pytest.fixture
def machine(kernel: FakeKernel) -> FakeKernel:
    stated(kernel)
    kernel.steps = 0
    return kernel


def warned(local: Local) -> list[str]:
    return [one["message"] for one in boot(local, "status", "--json").json["item"]["warnings"]]


def etc(kernel: FakeKernel) -> dict[str, str]:
    """What lies below /etc: files with their texts, links with their targets."""
    top = kernel.path("etc")
    return {
        str(path.relative_to(kernel.root)): os.readlink(path)
        if path.is_symlink()
        else path.read_text()
        for path in sorted(top.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def boot(local: Local, *words: str) -> Ran:
    return local("rapiddisk", "boot", *words)


def item(local: Local) -> dict[str, object]:
    found: dict[str, object] = boot(local, "status", "--json").json["item"]
    return found


def files(local: Local) -> dict[str, str]:
    shown = boot(local, "status", "--json").json["item"]["files"]
    return {Path(row["path"]).as_posix(): row["state"] for row in shown}


# --- enabling, disabling ------------------------------------------------------------------------


def test_what_is_enabled(machine: FakeKernel, local: Local) -> None:
    before = etc(machine)
    ran = boot(local, "enable")
    assert (ran.code, ran.err) == (0, IDLE)
    assert set(etc(machine)) - set(before) == {
        *(LOAD, OPTIONS, REBOOT, f"{ETC}/poweroff.target.d/rdctl.conf"),
        *(f"{ETC}/{unit}" for unit in units.units()),
        f"{ETC}/local-fs.target.wants/rdctl-caches.service",
        f"{ETC}/local-fs.target.wants/rdctl-images.service",
        f"{ETC}/multi-user.target.wants/rdctl-exports.service",
    }
    assert etc(machine)[f"{ETC}/rdctl-caches.service"] == units.units()[units.CACHES]
    assert etc(machine)[LOAD].splitlines()[1:] == ["rapiddisk", "dm-writecache"]
    assert etc(machine)[OPTIONS].splitlines()[1:] == ["options rapiddisk rd_max_nr=64"]
    assert etc(machine)[REBOOT].splitlines()[1:] == ["[Unit]", "JobTimeoutSec=1800"]
    assert machine.path(LOAD).stat().st_mode & 0o777 == 0o644
    assert ran.out.splitlines()[-3:] == [
        "enabled rdctl-caches.service",
        "enabled rdctl-images.service",
        "enabled rdctl-exports.service",
    ]


def test_nothing_is_started_or_stopped_now(machine: FakeKernel, local: Local) -> None:
    for verb in ("enable", "disable"):
        boot(local, verb)
    asked = {line.split()[1] for line in machine.calls}
    assert asked == {"show", "enable", "disable", "daemon-reload"}
    assert not any("--now" in line for line in machine.calls)


def test_the_second_run_writes_nothing(machine: FakeKernel, local: Local) -> None:
    boot(local, "enable")
    steps = machine.steps
    ran = boot(local, "enable")
    assert ran.code == 0
    assert machine.steps == steps
    assert ran.out.splitlines() == [
        "rdctl-caches.service is already enabled",
        "rdctl-images.service is already enabled",
        "rdctl-exports.service is already enabled",
    ]
    assert boot(local, "enable", "--dry-run", "--json").json["plan"] == []


def test_a_changed_state_file_changes_only_what_follows_from_it(
    machine: FakeKernel, local: Local
) -> None:
    boot(local, "enable")
    machine.put(STATE_FILE, STATE.replace("[modules.rapiddisk]\nrd_max_nr = 64\n", ""))
    assert item(local)["status"] == "incomplete"
    assert files(local)[f"/{OPTIONS}"] == "not needed"
    ran = boot(local, "enable", "--json")
    assert {row["target"]: row["changed"] for row in ran.json["results"]} == {
        f"/{OPTIONS}": True,
        "rdctl-caches.service": False,
        "rdctl-images.service": False,
        "rdctl-exports.service": False,
    }
    assert not machine.path(OPTIONS).exists()
    assert item(local)["status"] == "enabled"


def test_a_limit_that_is_long_enough_stays(machine: FakeKernel, local: Local) -> None:
    """Its size follows from speeds that vary with each measurement."""
    big = STATE.replace('"64MiB"', '"300GiB"').replace('"512MiB"', '"300GiB"')
    machine.put(STATE_FILE, big)
    boot(local, "enable")
    assert machine.text(REBOOT).endswith("JobTimeoutSec=14400")
    machine.put(STATE_FILE, STATE)
    assert files(local)[f"/{REBOOT}"] == "up to date"
    assert item(local)["stop_limit"] == 14400


def test_a_limit_is_never_lowered_or_added(machine: FakeKernel, local: Local) -> None:
    packaged = "usr/lib/systemd/system"
    machine.put(f"{packaged}/reboot.target", "[Unit]\nJobTimeoutSec=2h\n")
    machine.put(f"{packaged}/poweroff.target", "[Unit]\nJobTimeoutSec=infinity\n")
    boot(local, "enable")
    assert machine.text(REBOOT).endswith("JobTimeoutSec=7200")
    assert not machine.path(f"{ETC}/poweroff.target.d/rdctl.conf").exists()
    assert item(local)["stop_limit"] == 7200


def test_disabling_undoes_exactly_that(machine: FakeKernel, local: Local) -> None:
    machine.put("etc/modules-load.d/other.conf", "loop\n")
    before = etc(machine)
    boot(local, "enable")
    ran = boot(local, "disable")
    assert (ran.code, etc(machine)) == (0, before)
    ran = boot(local, "disable")
    assert ran.out.splitlines() == [
        "rdctl-caches.service is already disabled",
        "rdctl-images.service is already disabled",
        "rdctl-exports.service is already disabled",
    ]


def test_disabling_needs_no_state_file(machine: FakeKernel, local: Local) -> None:
    boot(local, "enable")
    machine.put(STATE_FILE, "volumes = 7\n")
    assert boot(local, "disable").code == 0
    assert set(etc(machine)) == {STATE_FILE}


def test_the_units_of_a_package_are_used(machine: FakeKernel, local: Local) -> None:
    for name, text in units.units().items():
        machine.put(f"usr/lib/systemd/system/{name}", text)
    boot(local, "enable")
    assert not any(machine.path(ETC).glob("*.service"))
    assert item(local)["status"] == "enabled"
    boot(local, "disable")
    assert item(local)["status"] == "disabled"
    assert machine.path("usr/lib/systemd/system/rdctl-caches.service").exists()


def test_a_file_that_was_edited_is_not_overwritten(machine: FakeKernel, local: Local) -> None:
    boot(local, "enable")
    path = f"{ETC}/rdctl-caches.service"
    edited = machine.path(path).read_text().replace("TimeoutStartSec=120", "TimeoutStartSec=9")
    machine.put(path, edited)
    assert files(local)[f"/{path}"] == "edited by hand"
    ran = boot(local, "enable", "--json")
    assert (ran.code, ran.json["error"]["target"]) == (4, f"/{path}")
    assert "systemctl edit" in ran.json["error"]["hint"]
    ran = boot(local, "disable", "--json")
    assert (ran.code, ran.json["errors"][0]["target"]) == (8, f"/{path}")
    assert machine.path(path).read_text() == edited
    assert set(etc(machine)) == {STATE_FILE, path}


def test_a_file_of_somebody_else_is_refused(machine: FakeKernel, local: Local) -> None:
    machine.put(OPTIONS, "options rapiddisk max_sectors=127\n")
    before = etc(machine)
    ran = boot(local, "enable", "--json")
    assert (ran.code, ran.json["error"]["target"]) == (4, f"/{OPTIONS}")
    boot(local, "disable")
    assert etc(machine) == before


def test_a_dry_run_prints_the_units(machine: FakeKernel, local: Local) -> None:
    before = etc(machine)
    ran = boot(local, "enable", "--dry-run")
    assert (ran.code, machine.steps, etc(machine)) == (0, 0, before)
    for text in units.units().values():
        assert "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines()) in ran.out
    assert "would write /etc/systemd/system/rdctl-caches.service\n" in ran.out
    assert ran.out.endswith(
        "would enable rdctl-caches.service\nwould enable rdctl-images.service\n"
        "would enable rdctl-exports.service\n"
    )


def test_a_step_of_the_trace_writes_the_file(
    machine: FakeKernel, local: Local, tmp_path: Path
) -> None:
    """As a shell would run it."""
    ran = boot(local, "enable", "--dry-run", "--json")
    line = next(line for line in ran.json["plan"] if "rdctl-caches.service" in line)
    place = str(tmp_path / "unit")
    target = str(machine.path(f"{ETC}/rdctl-caches.service"))
    assert os.system(line.replace(target, place)) == 0
    assert Path(place).read_text() == units.units()[units.CACHES]


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        (None, 3, "not-found"),
        ("volumes = 7\n", 2, "config"),
        (STATE + "nonsense = 1\n", 2, "config"),
    ],
)
def test_a_state_file_that_cannot_be_used(
    machine: FakeKernel, local: Local, text: str | None, code: int, word: str
) -> None:
    machine.path(STATE_FILE).unlink()
    if text is not None:
        machine.put(STATE_FILE, text)
    ran = boot(local, "enable", "--json")
    assert (ran.code, ran.json["error"]["code"], machine.steps) == (code, word, 0)
    found = item(local)
    assert found["state_error"] == ran.json["error"]["message"]


def test_no_root(machine: FakeKernel, local: Local) -> None:
    machine.root_user = False
    for verb in ("enable", "disable"):
        assert boot(local, verb).code == 5
    assert item(local)["status"] == "disabled"
    assert item(local)["writeback_seconds"] is None


@pytest.mark.parametrize("verb", ["enable", "disable", "status"])
def test_no_systemd(machine: FakeKernel, local: Local, verb: str) -> None:
    machine.systemctl = False
    assert boot(local, verb).code == 11
    machine.systemctl = True
    machine.says = "System has not been booted with systemd as init system (PID 1)."
    assert boot(local, verb).code == 11
    assert machine.steps == 0


def test_a_program_that_may_not_run_at_boot(
    machine: FakeKernel, rdctl: Program, local: Local
) -> None:
    rdctl.program = ("/home/ann/.venv/bin/rdctl",)
    assert warned(local) == []
    ran = rdctl("--local", "rapiddisk", "boot", "enable")
    assert ran.code == 0
    assert "rdctl: warning: rdctl may not run at boot: /home/ann/.venv/bin/rdctl is in" in ran.err
    assert ran.err.splitlines()[0].removeprefix("rdctl: warning: ") in warned(local)
    unit = machine.text(f"{ETC}/rdctl-caches.service")
    assert "ExecStart=/home/ann/.venv/bin/rdctl --local" in unit


def test_systemd_that_does_not_enable(machine: FakeKernel, local: Local) -> None:
    link = machine.path(f"{ETC}/local-fs.target.wants/rdctl-caches.service")
    machine.after[BOOT["boot enable"].steps] = link.unlink
    ran = boot(local, "enable", "--json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (8, "unproven")


# --- at every step ------------------------------------------------------------------------------

ACTS = {name: BOOT[name] for name in ("boot enable", "boot disable")}
STEPS = [(name, step) for name, act in ACTS.items() for step in range(1, act.steps + 1)]


def ready(rdctl: Program, name: str) -> FakeKernel:
    return arranged(rdctl, rdctl.home / "root", ACTS[name])


def run(rdctl: Program, name: str) -> Ran:
    return rdctl("--local", "rapiddisk", *ACTS[name].words.split())


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_refusal_undoes_the_rest(rdctl: Program, name: str, step: int) -> None:
    kernel = ready(rdctl, name)
    before = etc(kernel)
    kernel.fail_at(step, errno.ENOSPC)
    ran = run(rdctl, name)
    assert ran.code != 0
    assert etc(kernel) == before
    assert "could not be rolled back" not in ran.err
    assert not stale(rdctl)


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_an_interrupt_undoes_the_rest(rdctl: Program, name: str, step: int) -> None:
    kernel = ready(rdctl, name)
    before = etc(kernel)
    kernel.interrupt_at(step, signal.SIGTERM)
    assert run(rdctl, name).code == 143
    assert etc(kernel) == before
    assert not stale(rdctl)


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_after_a_kill_the_second_run_completes(rdctl: Program, name: str, step: int) -> None:
    kernel = ready(rdctl, name)
    kernel.kill_at(step)
    with pytest.raises(Killed):
        run(rdctl, name)
    kernel.revive()
    assert run(rdctl, name).code == 0
    found = rdctl("--local", "rapiddisk", "boot", "status", "--json").json["item"]
    assert found["status"] == {"boot enable": "enabled", "boot disable": "disabled"}[name]
    assert not stale(rdctl)


def stale(rdctl: Program) -> list[str]:
    """Units that systemd has not read as they are."""
    kernel = rdctl.calls
    assert isinstance(kernel, FakeKernel)
    names = [*units.units(), "reboot.target", "poweroff.target"]
    shown = [
        kernel.run(["systemctl", "show", name, "--property=NeedDaemonReload"]) for name in names
    ]
    return [name for name, (_, text) in zip(names, shown, strict=True) if "yes" in text]


# --- looking ------------------------------------------------------------------------------------


def test_status(machine: FakeKernel, local: Local) -> None:
    boot(local, "enable")
    machine.systemd.active.add(units.CACHES)
    machine.put("sys/block/vdb/stat", "1 1 20480 1 1 1 20480 1 1 1000 1\n")  # 20 MiB/s
    found = item(local)
    assert found["units"] == [
        {
            "unit": name,
            "installed": True,
            "enabled": True,
            "active": name == units.CACHES,
            "up_to_date": True,
        }
        for name in (units.CACHES, units.IMAGES, units.EXPORTS)
    ]
    assert found["caches"] == [{"device": "rc-wb_vdb", "dirty": 77 * 4096, "writeback_seconds": 1}]
    assert (found["writeback_seconds"], found["stop_limit"]) == (1, 1800)
    assert found["warnings"] == []


def test_a_shutdown_that_may_be_too_short(machine: FakeKernel, local: Local) -> None:
    machine.put("sys/block/vdb/stat", "1 1 0 1 1 1 1 1 1 1000 1\n")  # 512 bytes/s
    found = item(local)
    assert found["writeback_seconds"] == 616
    assert found["warnings"] == []
    machine.put("sys/block/vdb/stat", "1 1 0 1 1 1 1 1 1 2000 1\n")
    assert warned(local) == [
        "writing back takes about 21 min, more than half of the stop limit of 30 min"
    ]


def test_a_unit_that_the_next_shutdown_does_not_run(machine: FakeKernel, local: Local) -> None:
    boot(local, "enable")
    (found,) = boot(local, "status", "--json").json["item"]["warnings"]
    assert found["message"] == (
        "rdctl-caches.service is enabled but not active: the next shutdown does not run it"
    )
    assert found["mend"] == "rdctl --local rapiddisk boot enable --now"
    shown = boot(local, "status").out
    assert f"{found['message']}: {found['mend']}\n" in shown
    machine.systemd.active.add(units.CACHES)
    assert warned(local) == []


def test_an_idle_unit_without_writeback_caches(machine: FakeKernel, local: Local) -> None:
    machine.unmap(machine.maps["rc-wb_vdb"])
    machine.put(STATE_FILE, STATE[: STATE.index("[caches")])
    boot(local, "enable")
    assert warned(local) == []


def test_disabling_names_what_the_next_shutdown_does_not_do(
    machine: FakeKernel, local: Local
) -> None:
    risk = (
        "rdctl: warning: the next shutdown will not wait until caches are written back; before it,"
        " run: rdctl --local rapiddisk cache sync rc-wb_vdb\n"
    )
    boot(local, "enable")
    assert boot(local, "disable").err == risk
    assert boot(local, "disable").err == ""
    machine.maps["rc-wb_vdb"].dirty = 0
    boot(local, "enable")
    assert boot(local, "disable").err == ""
    machine.systemd.active.add(units.CACHES)
    boot(local, "enable")
    assert boot(local, "disable").err == risk
    for name, text in units.units().items():
        machine.put(f"usr/lib/systemd/system/{name}", text)
    boot(local, "enable")
    assert boot(local, "disable").err == ""


def test_a_speed_that_is_not_known(machine: FakeKernel, local: Local) -> None:
    machine.maps["rc-wb_vdb"].dirty = 12208  # 50.003968 MB
    found = item(local)
    assert found["caches"] == [
        {"device": "rc-wb_vdb", "dirty": 12208 * 4096, "writeback_seconds": None}
    ]
    assert found["writeback_seconds"] == 2


def test_without_the_module(machine: FakeKernel, local: Local) -> None:
    for below in ("sys/kernel/rapiddisk/mgmt", "sys/kernel/rapiddisk/devices"):
        machine.path(below).unlink()
    assert item(local)["caches"] == []
