"""An interrupt, a refusal and a kill at every single step of apply: either nothing of it is there,
or the next apply completes it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program
from tests.fakes.kernel import FakeKernel, Killed
from tests.rapiddisk.state.machines import FILE, HOST, SCHEMA, WHOLE, applied, machine, run

SPARE = '[volumes.rd8]\nsize = "8MiB"\n'
MORE = WHOLE.replace(f'hosts = ["{HOST}"]', f'hosts = ["{HOST}2"]') + SPARE.replace("8MiB", "9MiB")
# What is there before, and the steps that lead to the file.
CASES = {
    "whole": (None, WHOLE, "apply --yes", 27),
    "more": (WHOLE + SPARE, MORE, "apply --yes", 5),
    "recreate": (
        WHOLE,
        WHOLE.replace("store-7", "store-8"),
        "apply --yes --recreate",
        14,
    ),
}
STEPS = [(name, step) for name, case in CASES.items() for step in range(1, case[3] + 1)]


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


def arranged(rdctl: Program, name: str) -> FakeKernel:
    before, text, _, _ = CASES[name]
    root = rdctl.home / "root"
    kernel = machine(rdctl, root, SCHEMA) if before is None else applied(rdctl, root, before)
    kernel.put(FILE, text)
    kernel.steps = 0
    return kernel


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_steps(rdctl: Program, name: str) -> None:
    kernel = arranged(rdctl, name)
    ran = run(rdctl, CASES[name][2])
    assert (ran.code, kernel.steps, kernel.harm) == (0, CASES[name][3], []), ran.err


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_an_interrupt_or_a_refusal_leaves_nothing(rdctl: Program, name: str, step: int) -> None:
    kernel = arranged(rdctl, name)
    before = kernel.snapshot()
    kernel.interrupt_at(step)
    assert run(rdctl, CASES[name][2]).code == 130
    assert (kernel.snapshot(), kernel.harm) == (before, [])
    kernel.steps = 0
    kernel.fail_at(step, errno.EIO)
    ran = run(rdctl, CASES[name][2])
    assert ran.code not in (0, 130)
    assert "could not be rolled back" not in ran.err
    assert (kernel.snapshot(), kernel.harm) == (before, [])


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_apply_after_a_kill_completes_it(rdctl: Program, name: str, step: int) -> None:
    kernel = arranged(rdctl, name)
    kernel.kill_at(step)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(Killed))
        run(rdctl, CASES[name][2])
    kernel.revive()
    ran = run(rdctl, CASES[name][2])
    assert (ran.code, kernel.harm) == (0, []), ran.err
    ran = run(rdctl, "diff --exit-code")
    assert ran.code == 0, ran.out
    assert all(mapping.armed for mapping in kernel.maps.values() if mapping.kind == "writecache")
