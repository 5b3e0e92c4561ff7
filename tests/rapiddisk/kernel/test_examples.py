"""The examples of what only the machine itself can do, run as printed."""

from __future__ import annotations

import shlex

import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.conftest import Program
from tests.fakes.kernel import FakeKernel
from tests.rapiddisk.acts import STATE
from tests.rapiddisk.keys import ONE_KEY, TWO_KEY, key_file

NODES = [node.command for node in walk(root) if isinstance(node.command, Command)]
EXAMPLES = [
    example
    for command in NODES
    if command.local_only
    for example in command.examples
    if "-c sandbox" not in example  # which tests of the help run
]


def in_use(kernel: FakeKernel) -> None:
    """What the examples speak of."""
    kernel.has_auth = kernel.has_tls = True
    kernel.put("proc/sys/kernel/hostname", "store\n")
    for number in range(3):
        kernel.add_volume(number)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=3)
    kernel.add_port(1, "127.0.0.1")
    kernel.add_port(2, "127.0.0.1", "4421")
    kernel.unit.update(ActiveState="active")
    kernel.put("etc/rdctl/rapiddisk.toml", STATE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works_as_printed(
    rdctl: Program, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    in_use(kernel)
    monkeypatch.chdir(rdctl.home)
    (rdctl.home / "rapiddisk.toml").write_text(STATE)
    for name, text in (("host.key", ONE_KEY), ("new.key", TWO_KEY)):
        key_file(rdctl.home, name, text)
    program, *words = shlex.split(example)
    assert program == "rdctl"
    if "unexport" in words or "revalidate" in words:
        ports = ("--port", "1", "--port", "2", "--any-host")
        assert rdctl("--local", "rapiddisk", "nvmet", "export", "rd0", "rd1", *ports).code == 0
    if "load" in words:
        assert rdctl("--local", "rapiddisk", "save", "rd1", "rd1.img").code == 0
    if "undo" in words:
        assert rdctl("--local", "rapiddisk", "lock", "rd1").code == 0
        words[-1] = rdctl("history", "--json").json["items"][-1]["id"]
    kernel.steps = 0
    ran = rdctl(*words, tty=True, stdin=b"y\n")
    assert ran.code == (12 if "--exit-code" in words else 0), ran.err
    if "--dry-run" in words:
        assert kernel.steps == 0
    for mapping in kernel.maps.values():
        mapping.dirty = 0


def test_there_are_enough() -> None:
    assert len(EXAMPLES) >= 20
