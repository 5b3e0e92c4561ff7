"""How much of the kernel apply reads and changes, beside the single commands."""

from __future__ import annotations

import sys
from typing import Any

from tests.conftest import Program
from tests.rapiddisk.state.machines import HOST, PORT, SCHEMA, machine, run

VOLUMES, EXPORTS = 40, 10


class Reads:
    """Counts the files and directories of a tree that are read. A hook stays for good, so it is
    one for all."""

    root: str | None = None
    count = 0

    @classmethod
    def hear(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.root is not None and event in ("open", "os.listdir", "os.scandir"):
            if str(arguments[0]).startswith(cls.root):
                cls.count += 1


sys.addaudithook(Reads.hear)


def test_apply_needs_less_than_twice_the_work_of_single_commands(rdctl: Program) -> None:
    exports = [
        f'[exports."nqn.2021-06.org.rapiddisk:rdvm-rd{n}"]\ndevice = "rd{n}"\nports = [1]\n'
        f'hosts = ["{HOST}"]\n'
        for n in range(EXPORTS)
    ]
    volumes = [f'[volumes.rd{n}]\nsize = "1MiB"\n' for n in range(VOLUMES)]
    kernel = machine(rdctl, rdctl.home / "single", None)
    Reads.root, Reads.count = str(kernel.root), 0
    run(rdctl, "nvmet port add 1 --transport tcp --address 10.0.2.15")
    for number in range(VOLUMES):
        assert run(rdctl, f"create 1M --number {number}").code == 0
    for number in range(EXPORTS):
        assert run(rdctl, f"nvmet export rd{number} --port 1 --host {HOST}").code == 0
    single, single_steps = Reads.count, kernel.steps
    text = "".join([SCHEMA, PORT, *volumes, *exports])
    kernel = machine(rdctl, rdctl.home / "whole", text)
    Reads.root, Reads.count = str(kernel.root), 0
    ran = run(rdctl, "apply")
    whole, steps = Reads.count, kernel.steps
    Reads.root = None
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert steps <= single_steps
    assert whole < 2 * single
