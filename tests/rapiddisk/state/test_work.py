"""How much of the kernel apply reads and changes, beside the single commands."""

from __future__ import annotations

import builtins
import os
from typing import Any

import pytest

from tests.conftest import Program
from tests.rapiddisk.state.machines import HOST, PORT, SCHEMA, machine, run

VOLUMES, EXPORTS = 40, 10


class Reads:
    """Counts the files and directories of a tree that are read. Not by an audit hook: it would stay
    for good, and disturb the tracing of threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = ""
        self.count = 0
        self._count_in(monkeypatch, builtins, "open")
        self._count_in(monkeypatch, os, "listdir")

    def begin(self, root: str) -> None:
        self.root, self.count = root, 0

    def _count_in(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        usual = getattr(module, name)

        def counted(path: Any, *arguments: Any, **options: Any) -> Any:
            self.count += bool(self.root) and str(path).startswith(self.root)
            return usual(path, *arguments, **options)

        monkeypatch.setattr(module, name, counted)


def test_apply_needs_less_than_twice_the_work_of_single_commands(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(monkeypatch)
    exports = [
        f'[exports."nqn.2021-06.org.rapiddisk:rdvm-rd{n}"]\ndevice = "rd{n}"\nports = [1]\n'
        f'hosts = ["{HOST}"]\n'
        for n in range(EXPORTS)
    ]
    volumes = [f'[volumes.rd{n}]\nsize = "1MiB"\n' for n in range(VOLUMES)]
    kernel = machine(rdctl, rdctl.home / "single", None)
    reads.begin(str(kernel.root))
    run(rdctl, "nvmet port add 1 --transport tcp --address 10.0.2.15")
    for number in range(VOLUMES):
        assert run(rdctl, f"create 1M --number {number}").code == 0
    for number in range(EXPORTS):
        assert run(rdctl, f"nvmet export rd{number} --port 1 --host {HOST}").code == 0
    single, single_steps = reads.count, kernel.steps
    text = "".join([SCHEMA, PORT, *volumes, *exports])
    kernel = machine(rdctl, rdctl.home / "whole", text)
    reads.begin(str(kernel.root))
    ran = run(rdctl, "apply")
    whole, steps = reads.count, kernel.steps
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert steps <= single_steps
    assert whole > VOLUMES
    assert whole < 2 * single
