"""What takes steps on this machine: each command, what is there before it, how many steps it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.conftest import Program
from tests.fakes.kernel import PAGE, FakeKernel

HOST = "nqn.2014-08.org.nvmexpress:uuid:1"


def empty(kernel: FakeKernel) -> None:
    for number in (0, 1):
        kernel.add_volume(number)
    kernel.add_port(1)
    kernel.add_port(2, service="4421")


def running(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.unit.update(ActiveState="active", UnitFileState="enabled")


def filled(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.write_data("rd0", b"x" * PAGE)


def locked(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.volume("rd0").locked = True
    kernel.put("sys/block/rd0/ro", "1\n")


def cached(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")


def dirty(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=77)


WHOLE = """schema = "rdctl.rapiddisk.state/1"
[volumes.rd7]
size = "16MiB"
[volumes.rd8]
size = "8MiB"
locked = true
[caches.rc-wb_data]
volume = "rd7"
source = "/dev/vdb"
source_size = "512MiB"
policy = "writeback"
[exports."nqn.2021-06.org.rapiddisk:rdvm-rd1"]
device = "rd1"
ports = [1, 2]
any_host = true
"""


def written(kernel: FakeKernel) -> None:
    empty(kernel)
    kernel.put("etc/rdctl/rapiddisk.toml", WHOLE)


EXPORT = f"nvmet export rd0 --port 1 --port 2 --host {HOST}"
IDENTITY = "--serial new --uuid 0E1B4A1C93F046598222F048CD694893 --nguid " + "7" * 32


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
    "create numbered": Act(empty, "create 8M --number 7", 1),
    "shrink": Act(empty, "resize rd0 8M --yes", 1),
    "unlock": Act(locked, "unlock rd0", 1),
    "lock": Act(empty, "lock rd0 rd1", 2),
    "cache create": Act(empty, "cache create rd0 vdb", 3),
    "cache create writeback": Act(empty, "cache create rd0 vdb --policy writeback --yes", 4),
    "cache create over data": Act(filled, "cache create rd0 vdb --discard-contents --yes", 4),
    "cache remove": Act(cached, "cache remove rc-wt_vdb --yes", 1),
    "cache remove writeback": Act(dirty, "cache remove rc-wb_vdb --yes", 3),
    "cache sync": Act(dirty, "cache sync rc-wb_vdb", 1),
    "export": Act(empty, EXPORT, 9),
    "export to any host": Act(empty, "nvmet export rd1 --port 1 --any-host", 7),
    "export more": Act(empty, EXPORT, 3, f"nvmet export rd0 --port 1 --host {HOST}:2"),
    "export identified": Act(empty, f"{EXPORT} {IDENTITY}", 12),
    "export re-created": Act(
        empty, f"{EXPORT} {IDENTITY} --recreate --yes", 17, f"{EXPORT} --serial old"
    ),
    "unexport": Act(empty, "nvmet unexport rd0 --yes", 7, EXPORT),
    "unexport a port": Act(empty, "nvmet unexport rd0 --port 2 --yes", 1, EXPORT),
    "unexport a host": Act(empty, f"nvmet unexport rd0 --host {HOST} --yes", 2, EXPORT),
    "revalidate": Act(empty, "nvmet revalidate rd0", 1, EXPORT),
    "port add": Act(empty, "nvmet port add 3 --transport tcp --address 127.0.0.1", 5),
    "port add loop": Act(empty, "nvmet port add 3 --transport loop", 2),
    "apply": Act(written, "apply --yes", 15),
    "dump saved": Act(empty, "dump --save", 1),
    "port remove": Act(empty, "nvmet port remove 1 --yes", 1),
    "undo": Act(empty, "undo --yes", 7, EXPORT),
}
# Of these systemd takes the steps.
DAEMON = {
    "daemon start": Act(empty, "daemon start", 1),
    "daemon stop": Act(running, "daemon stop --yes", 1),
    "daemon enable": Act(empty, "daemon enable", 1),
    "daemon disable": Act(running, "daemon disable", 1),
}


STATE = """schema = "rdctl.rapiddisk.state/1"

[modules.rapiddisk]
rd_max_nr = 64

[volumes.rd0]
size = "64MiB"

[caches."rc-wb_vdb"]
volume = "rd0"
source = "/dev/vdb"
source_size = "512MiB"
policy = "writeback"
max_age = "300s"
"""


def stated(kernel: FakeKernel) -> None:
    dirty(kernel)
    kernel.put("etc/rdctl/rapiddisk.toml", STATE)


# Of these the files below /etc and what systemd does are steps, too.
BOOT = {
    "boot enable": Act(stated, "boot enable", 9),
    "boot disable": Act(stated, "boot disable", 9, "boot enable"),
    "boot stop": Act(stated, "boot stop", 4),
}


def arranged(rdctl: Program, root: Path, act: Act) -> FakeKernel:
    """A machine of its own on which the act can be done."""
    rdctl.root = root
    rdctl.calls = kernel = FakeKernel(root)
    kernel.allow_transport("loop")
    act.arrange(kernel)
    if act.first is not None:
        ran = rdctl("--local", "rapiddisk", *act.first.split())
        assert ran.code == 0, ran.err
    kernel.steps = 0
    return kernel
