"""An interrupt, a refusal and a kill at every single step of what takes several.

After an interrupt or a refusal nothing of it is there. After a kill the next command finds a state
that is whole, or that it names and repairs.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel, Killed
from tests.rapiddisk.acts import ACTS, HOST, arranged
from tests.signals import signal_here

NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"

# Volumes are made and gone one by one, and what was done stays done.
WHOLE_ONLY = (
    "export",
    "export to any host",
    "export more",
    "export identified",
    "export re-created",
    "unexport",
    "unexport a port",
    "unexport a host",
    "port add",
    "port add loop",
    "apply",
    "undo",
    "cache create",
    "cache create writeback",
)
# A signal leaves the rest of them, and each is told.
SEVERAL = ("create three", "remove two", "lock")
STEPS = [(name, step) for name, act in ACTS.items() for step in range(1, act.steps + 1)]


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
        kernel = arranged(rdctl, rdctl.home / "untouched", ACTS[name])
        ran = run(rdctl, ACTS[name].words)
        assert (ran.code, kernel.steps, kernel.harm) == (0, ACTS[name].steps, []), ran.err
        _WHOLE[name] = kernel.snapshot()
    return _WHOLE[name]


ENDS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "terminated"),
    signal.SIGHUP: (129, "hang-up"),
}


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_an_interrupt_at_a_step(rdctl: Program, name: str, step: int) -> None:
    """It comes while the step is done, and is heard when that is over."""
    whole = after(rdctl, name)
    kernel = arranged(rdctl, rdctl.home / "root", ACTS[name])
    before = kernel.snapshot()
    kernel.interrupt_at(step)
    ran = run(rdctl, ACTS[name].words, "--json")
    assert ran.code == 130, ran.err
    if name in SEVERAL:
        errors, left = ran.json["errors"], ACTS[name].steps - step
        assert len(ran.json["results"]) == step
        if name == "create three":  # they have no name yet, and are counted
            told = [f"interrupted; {left} not started"] if left else []
            assert [error["message"] for error in errors] == told
        else:
            assert len(errors) == left
    else:
        errors = [ran.json["error"]]
    assert all(error["code"] == "interrupted" for error in errors)
    assert kernel.harm == []
    if name in WHOLE_ONLY:
        assert kernel.snapshot() == before
        assert "rolled back: " in ran.err
        assert "completed: " not in ran.err
    else:
        assert "completed: " in ran.err
    # Taking a write-back cache off and wiping its volume are one.
    last = step == ACTS[name].steps or (name == "cache remove writeback" and step == 2)
    if last and name not in (*WHOLE_ONLY, "cache create over data"):
        assert kernel.snapshot() == whole
    assert "outcome unknown" not in ran.err
    assert half_made(rdctl) == []


@pytest.mark.parametrize("number", ENDS)
def test_every_signal_that_ends_a_process(rdctl: Program, number: signal.Signals) -> None:
    kernel = arranged(rdctl, rdctl.home / "root", ACTS["export"])
    before = kernel.snapshot()
    kernel.interrupt_at(6, number)
    ran = run(rdctl, ACTS["export"].words, "--json")
    assert (ran.code, ran.json["error"]["code"]) == ENDS[number]
    assert kernel.snapshot() == before


def test_a_second_signal_is_told_how_much_is_left(rdctl: Program) -> None:
    kernel = arranged(rdctl, rdctl.home / "root", ACTS["export"])
    before = kernel.snapshot()
    kernel.interrupt_at(6)
    kernel.interrupt_at(8)
    kernel.interrupt_at(9, signal.SIGTERM)
    ran = run(rdctl, ACTS["export"].words)
    assert ran.code == 130
    assert "rolling back: 2 steps left" in ran.err
    assert kernel.snapshot() == before


def test_what_an_interrupt_could_not_undo_is_named(rdctl: Program) -> None:
    kernel = arranged(rdctl, rdctl.home / "root", ACTS["export"])
    kernel.interrupt_at(2)
    kernel.fail_at(3, errno.EBUSY)
    ran = run(rdctl, ACTS["export"].words)
    assert ran.code == 130
    assert "could not be rolled back: rmdir " in ran.err
    assert NQN in ran.err


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_refusal_at_a_step(rdctl: Program, name: str, step: int) -> None:
    kernel = arranged(rdctl, rdctl.home / "root", ACTS[name])
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
    kernel = arranged(rdctl, rdctl.home / "root", ACTS[name])
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


def two_caches(rdctl: Program) -> FakeKernel:
    kernel = arranged(rdctl, rdctl.home / "root", ACTS["cache remove writeback"])
    kernel.map_cache("rc-wt_vdc", "rd1", "vdc")
    return kernel


REMOVE_TWO = "cache remove rc-wb_vdb rc-wt_vdc --yes --json"


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_signal_leaves_what_comes_later(rdctl: Program, step: int) -> None:
    """The cache that is under way is written back and taken off."""
    kernel = two_caches(rdctl)
    kernel.interrupt_at(step)
    ran = run(rdctl, REMOVE_TWO)
    assert (ran.code, kernel.harm, kernel.snapshot()["dm"]) == (130, [], "rc-wt_vdc")
    assert [row["target"] for row in ran.json["results"]] == ["rc-wb_vdb"]
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"], error["fate"]) == (
        "rc-wt_vdc",
        "interrupted",
        "not done",
    )
    assert "Press Ctrl-C again to stop now" in ran.err


def test_a_second_signal_waits_for_no_cache(rdctl: Program) -> None:
    kernel = two_caches(rdctl)

    def twice() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal_here(number)

    kernel.before[1] = twice
    ran = run(rdctl, REMOVE_TWO)
    assert (ran.code, kernel.harm) == (143, [])
    assert kernel.snapshot()["dm"] == "rc-wb_vdb rc-wt_vdc"
    assert "rdctl: error: terminated; completed: " in ran.err
