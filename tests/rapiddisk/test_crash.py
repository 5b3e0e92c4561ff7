"""An interrupt, a refusal and a kill at every single step of what takes several.

After an interrupt or a refusal nothing of it is there. After a kill the next command finds a state
that is whole, or that it names and repairs.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program, Ran
from tests.fakes.kernel import PAGE, FakeKernel, Killed

HOST = "nqn.2014-08.org.nvmexpress:uuid:1"
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"


def empty(kernel: FakeKernel) -> None:
    for number in (0, 1):
        kernel.add_volume(number)
    kernel.add_port(1)
    kernel.add_port(2, service="4421")


def filled(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.write_data("rd0", b"x" * PAGE)


def cached(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")


def dirty(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=77)


EXPORT = f"nvmet export rd0 --port 1 --port 2 --host {HOST}"


class Act(NamedTuple):
    """A command, what is there before it, and how many steps it takes."""

    arrange: Callable[[FakeKernel], None]
    words: str
    steps: int
    first: str | None = None  # a command before it


ACTS = {
    "create": Act(empty, "create 8M", 1),
    "create three": Act(empty, "create 8M --count 3", 3),
    "remove two": Act(empty, "remove rd0 rd1 --yes", 2),
    "flush": Act(filled, "flush rd0 --yes", 1),
    "resize": Act(empty, "resize rd0 128M", 1),
    "resize exported": Act(empty, "resize rd0 128M", 2, EXPORT),
    "lock": Act(empty, "lock rd0 rd1", 2),
    "cache create": Act(empty, "cache create rd0 vdb", 3),
    "cache create writeback": Act(empty, "cache create rd0 vdb --policy writeback --yes", 3),
    "cache create over data": Act(filled, "cache create rd0 vdb --discard-contents --yes", 4),
    "cache remove": Act(cached, "cache remove rc-wt_vdb --yes", 1),
    "cache remove writeback": Act(dirty, "cache remove rc-wb_vdb --yes", 3),
    "cache sync": Act(dirty, "cache sync rc-wb_vdb", 1),
    "export": Act(empty, EXPORT, 9),
    "export to any host": Act(empty, "nvmet export rd1 --port 1 --any-host", 7),
    "export more": Act(empty, EXPORT, 3, f"nvmet export rd0 --port 1 --host {HOST}:2"),
    "unexport": Act(empty, "nvmet unexport rd0 --yes", 7, EXPORT),
    "unexport a port": Act(empty, "nvmet unexport rd0 --port 2 --yes", 1, EXPORT),
    "unexport a host": Act(empty, f"nvmet unexport rd0 --host {HOST} --yes", 2, EXPORT),
    "port add": Act(empty, "nvmet port add 3 --transport tcp --address 127.0.0.1", 5),
    "port add loop": Act(empty, "nvmet port add 3 --transport loop", 2),
    "port remove": Act(empty, "nvmet port remove 1 --yes", 1),
}
# Volumes are made and gone one by one, and what was done stays done.
WHOLE_ONLY = (
    "export",
    "export to any host",
    "export more",
    "unexport",
    "unexport a port",
    "unexport a host",
    "port add",
    "port add loop",
    "cache create",
    "cache create writeback",
)
STEPS = [(name, step) for name, act in ACTS.items() for step in range(1, act.steps + 1)]


def start(rdctl: Program, root: Path, act: Act) -> FakeKernel:
    rdctl.root = root
    rdctl.calls = kernel = FakeKernel(root)
    kernel.allow_transport("loop")
    act.arrange(kernel)
    if act.first is not None:
        assert run(rdctl, act.first).code == 0
    kernel.steps = 0
    return kernel


def run(rdctl: Program, words: str, *more: str) -> Ran:
    return rdctl("--local", "rapiddisk", *words.split(), *more)


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


_WHOLE: dict[str, dict[str, str]] = {}


def after(rdctl: Program, name: str) -> dict[str, str]:
    """What is there when nothing goes wrong."""
    if name not in _WHOLE:
        kernel = start(rdctl, rdctl.home / "untouched", ACTS[name])
        ran = run(rdctl, ACTS[name].words)
        assert (ran.code, kernel.steps, kernel.harm) == (0, ACTS[name].steps, []), ran.err
        _WHOLE[name] = kernel.snapshot()
    return _WHOLE[name]


@pytest.mark.parametrize("name", ACTS)
def test_a_dry_run_lists_what_a_run_does(rdctl: Program, name: str) -> None:
    kernel = start(rdctl, rdctl.home / "one", ACTS[name])
    before = kernel.snapshot()
    dry = run(rdctl, ACTS[name].words, "--dry-run")
    assert (dry.code, kernel.steps, kernel.snapshot()) == (0, 0, before)
    assert not kernel.path("run/rdctl.lock").exists() or ACTS[name].first is not None
    real = run(rdctl, ACTS[name].words, "--trace")
    changing = [line for line in real.err.splitlines() if not line.startswith("#")]
    assert dry.out.splitlines() == changing
    assert len(changing) == ACTS[name].steps
    plan = run(rdctl, "create 8M", "--dry-run", "--json").json
    assert plan["schema"] == "rdctl.plan/1"


ENDS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "terminated"),
    signal.SIGHUP: (129, "hang-up"),
}


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_an_interrupt_at_a_step(rdctl: Program, name: str, step: int) -> None:
    """It comes while the step is done, and is heard when that is over."""
    whole = after(rdctl, name)
    kernel = start(rdctl, rdctl.home / "root", ACTS[name])
    before = kernel.snapshot()
    kernel.interrupt_at(step)
    ran = run(rdctl, ACTS[name].words, "--json")
    assert ran.code == 130, ran.err
    assert ran.json["error"]["code"] == "interrupted"
    assert kernel.harm == []
    if name in WHOLE_ONLY:
        assert kernel.snapshot() == before
        assert "begun and undone: " in ran.err
        assert "done before: " not in ran.err
    else:
        assert "done before: " in ran.err
    # Taking a write-back cache off and wiping its volume are one.
    last = step == ACTS[name].steps or (name == "cache remove writeback" and step == 2)
    if last and name not in (*WHOLE_ONLY, "cache create over data"):
        assert kernel.snapshot() == whole
    assert "its fate is not known" not in ran.err
    assert half_made(rdctl) == []


@pytest.mark.parametrize("number", ENDS)
def test_every_signal_that_ends_a_process(rdctl: Program, number: signal.Signals) -> None:
    kernel = start(rdctl, rdctl.home / "root", ACTS["export"])
    before = kernel.snapshot()
    kernel.interrupt_at(6, number)
    ran = run(rdctl, ACTS["export"].words, "--json")
    assert (ran.code, ran.json["error"]["code"]) == ENDS[number]
    assert kernel.snapshot() == before


def test_a_second_signal_is_told_how_much_is_left(rdctl: Program) -> None:
    kernel = start(rdctl, rdctl.home / "root", ACTS["export"])
    before = kernel.snapshot()
    kernel.interrupt_at(6)
    kernel.interrupt_at(8)
    kernel.interrupt_at(9, signal.SIGTERM)
    ran = run(rdctl, ACTS["export"].words)
    assert ran.code == 130
    assert "undoing what was begun: 2 steps left" in ran.err
    assert kernel.snapshot() == before


def test_what_an_interrupt_could_not_undo_is_named(rdctl: Program) -> None:
    kernel = start(rdctl, rdctl.home / "root", ACTS["export"])
    kernel.interrupt_at(2)
    kernel.fail_at(3, errno.EBUSY)
    ran = run(rdctl, ACTS["export"].words)
    assert ran.code == 130
    assert "left behind, it could not be undone: rmdir " in ran.err
    assert NQN in ran.err


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_refusal_at_a_step(rdctl: Program, name: str, step: int) -> None:
    kernel = start(rdctl, rdctl.home / "root", ACTS[name])
    before = kernel.snapshot()
    kernel.fail_at(step, errno.EIO)
    ran = run(rdctl, ACTS[name].words, "--json")
    assert ran.code != 0
    assert "Left behind" not in ran.err
    assert kernel.harm == []
    if name in WHOLE_ONLY:
        assert kernel.snapshot() == before
    assert half_made(rdctl) == []


@pytest.mark.parametrize(("name", "step"), [*STEPS, *((n, a.steps + 1) for n, a in ACTS.items())])
def test_a_kill_before_a_step(rdctl: Program, name: str, step: int) -> None:
    """Nothing runs after it: no undo."""
    whole = after(rdctl, name)
    kernel = start(rdctl, rdctl.home / "root", ACTS[name])
    before = kernel.snapshot()
    kernel.kill_at(step)
    with ExitStack() as stack:
        if step <= ACTS[name].steps:
            stack.enter_context(pytest.raises(Killed))
        run(rdctl, ACTS[name].words)
    kernel.revive()
    if step == 1:
        assert kernel.snapshot() == before
    if step > ACTS[name].steps:
        assert kernel.snapshot() == whole
    repair(rdctl, kernel)


def half_made(rdctl: Program) -> list[str]:
    """What the listings name as such."""
    caches = run(rdctl, "cache list", "--json").json["items"]
    targets = run(rdctl, "nvmet list --all", "--json").json["items"]
    ports = run(rdctl, "nvmet port list", "--json").json["items"]
    return [
        *(row["device"] for row in caches if row["volume"] is None),
        *(row["nqn"] for row in targets if row["device"] is None or not row["enabled"]),
        *(row["port"] for row in ports if row["transport"] is None),
    ]


def repair(rdctl: Program, kernel: FakeKernel) -> None:
    """With what the listings name, everything can be taken away, and done anew."""
    listed = run(rdctl, "list", "--json").json["items"]
    assert {row["device"] for row in listed} == {f"rd{n}" for n in kernel.volumes}
    for cache in run(rdctl, "cache list", "--json").json["items"]:
        ran = run(rdctl, f"cache remove {cache['device']} --yes")
        assert ran.code == 0, ran.err
    assert kernel.maps == {}
    for target in run(rdctl, "nvmet list --all", "--json").json["items"]:
        ran = run(rdctl, f"nvmet unexport --nqn {target['nqn']} --yes")
        assert ran.code == 0, ran.err
    for port in run(rdctl, "nvmet port list", "--json").json["items"]:
        ran = run(rdctl, f"nvmet port remove {port['port']} --yes")
        assert ran.code == 0, ran.err
    assert run(rdctl, "nvmet list --all", "--json").json["items"] == []
    if "rd0" in {row["device"] for row in listed}:
        assert run(rdctl, "unlock rd0").code == 0
        assert run(rdctl, "flush rd0 --yes").code == 0
        assert run(rdctl, "cache create rd0 vdb --policy writeback --yes").code == 0
        assert run(rdctl, "cache remove rc-wb_vdb --yes").code == 0
        assert run(rdctl, "nvmet port add 1 --transport tcp --address 10.0.2.15").code == 0
        assert run(rdctl, f"nvmet export rd0 --port 1 --host {HOST}").code == 0
        assert run(rdctl, "nvmet unexport rd0 --yes").code == 0
    assert kernel.harm == []
