"""A signal before every single step of a change: Ctrl-C leaves all or nothing, a kill leaves what
the next command can name and repair."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB

HOST = "nqn.test:host"

State = tuple[Any, ...]


def state() -> State:
    return machine.names(), sorted(machine.mappings()), machine.nvmet()


def nothing(rdctl: Program) -> None:
    machine.wipe("/dev/vda", MIB)
    machine.attach(0)
    machine.port(1)


def written_back(rdctl: Program) -> None:
    machine.attach(0)
    machine.port(1)
    machine.wipe("/dev/vda", MIB)
    rdctl.ok("cache", "create", "rd0", "vda", "--policy", "writeback")
    machine.fill("/dev/mapper/rc-wb_vda", MIB)


def exported(rdctl: Program) -> None:
    machine.attach(0)
    machine.port(1)
    machine.port(2, service=4421)
    who = ("--host", HOST, "--host", HOST + "2")
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--port", "2", *who)


CHANGES: dict[str, tuple[Callable[[Program], None], tuple[str, ...]]] = {
    "create": (nothing, ("create", "1M", "--count", "3")),
    "cache create": (nothing, ("cache", "create", "rd0", "vda", "--policy", "writeback")),
    "cache remove": (written_back, ("cache", "remove", "rc-wb_vda")),
    "port add": (
        nothing,
        ("nvmet", "port", "add", "2", "--transport", "tcp", "--address", "::1"),
    ),
    "export": (nothing, ("nvmet", "export", "rd0", "--port", "1", "--host", HOST)),
    "unexport": (exported, ("nvmet", "unexport", "rd0")),
}
# Where every step stands for itself, what was done stays and is told.
STEPWISE = ("create",)


def strikes(rdctl: Program, change: str, signum: signal.Signals) -> Any:
    """Prepare, run and strike before step 1, 2, ...: what ran, the state before and after; until a
    run gets through unharmed."""
    prepare, command = CHANGES[change]
    for line in range(1, 60):
        machine.clean()
        prepare(rdctl)
        before = state()
        ran = rdctl.struck(*command, line=line, signum=signum)
        after = state()
        if ran is not None and ran.code == 0:
            assert line > 1, "nothing was struck"
            return
        yield ran, before, after
    pytest.fail(f"{change}: no end of steps")


@pytest.mark.parametrize("change", CHANGES)
def test_an_interrupt_before_each_step(rdctl: Program, change: str) -> None:
    prepare, command = CHANGES[change]
    prepare(rdctl)
    rdctl.ok(*command)
    whole = state()
    for ran, before, after in strikes(rdctl, change, signal.SIGINT):
        assert ran.code == 130, ran
        if change in STEPWISE:
            made = [name for name in after[0] if name not in before[0]]
            assert all(name in ran.err for name in made), ran
        else:
            assert after in (before, whole), ran
        if change not in STEPWISE:
            # The same command again comes to the same end.
            again = rdctl(*command)
            assert again.code in (0, 3), again
            assert state() == whole, ran


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_are_the_same(rdctl: Program, signum: signal.Signals) -> None:
    codes = {signal.SIGTERM: 143, signal.SIGHUP: 129}
    for ran, before, after in strikes(rdctl, "export", signum):
        assert ran.code == codes[signum], ran
        assert after == before, ran


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in STEPWISE])
def test_a_kill_before_each_step(rdctl: Program, change: str) -> None:
    """Nothing can be undone by the dead. The next command finishes it, or the leftovers are listed
    and go by the commands for that."""
    prepare, command = CHANGES[change]
    prepare(rdctl)
    rdctl.ok(*command)
    whole = without_hosts(state())
    for ran, _, after in strikes(rdctl, change, signal.SIGKILL):
        assert ran is None
        again = rdctl(*command)
        # What is only half made has the names of what is whole.
        if again.code not in (0, 3) or without_hosts(state()) != whole:
            repair(rdctl)
            again = rdctl(*command)
        assert again.code in (0, 3), (after, again)
        assert without_hosts(state()) == whole, (after, again)


def without_hosts(state: State) -> State:
    """A host that nobody may connect as any more is not told from one that was made on purpose."""
    volumes, mappings, nvmet = state
    return volumes, mappings, {**nvmet, "hosts": []}


def repair(rdctl: Program) -> None:
    """By what the lists show, and by what they advise."""
    for row in rdctl.items("cache", "list"):
        if row["volume"] is None:
            rdctl.ok("cache", "remove", row["device"])
    for row in rdctl.items("nvmet", "list", "--all"):
        rdctl.ok("nvmet", "unexport", "--nqn", row["nqn"])
    for row in rdctl.items("nvmet", "port", "list"):
        if row["transport"] is None or row["address"] is None:
            rdctl.ok("nvmet", "port", "remove", str(row["port"]))
    if not machine.mappings():
        # Loading the table of a write-back cache writes to the volume.
        rdctl.ok("flush", "rd0")


def test_no_dirty_block_is_lost_by_an_interrupted_removal(rdctl: Program) -> None:
    """Neither by Ctrl-C nor by a kill, before whichever step."""
    for signum in (signal.SIGINT, signal.SIGKILL):
        for number in range(1, 20):
            machine.clean()
            nothing(rdctl)
            machine.wipe("/dev/vda", MIB)
            rdctl.ok("cache", "create", "rd0", "vda", "--policy", "writeback")
            data = machine.fill("/dev/mapper/rc-wb_vda", MIB, seed=number)
            ran = rdctl.struck("cache", "remove", "rc-wb_vda", line=number, signum=signum)
            if "rc-wb_vda" in machine.mappings():
                rdctl.ok("cache", "remove", "rc-wb_vda")
            assert machine.digest("/dev/vda", MIB) == data
            if ran is not None and ran.code == 0:
                break
        else:
            pytest.fail("no end of steps")
