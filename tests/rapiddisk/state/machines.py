"""A machine with something of everything, its state file, and what runs the program there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel

FILE = "etc/rdctl/rapiddisk.toml"
HOST = "nqn.2014-08.org.nvmexpress:uuid:1"
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd3"
BY_ID = "/dev/disk/by-id/wwn-0x5000"
UUID = "d592cdf3-5d1c-44e0-8412-3fcf7d99df27"
SCHEMA = 'schema = "rdctl.rapiddisk.state/1"\n'

VOLUMES = """
[volumes.rd0]
size = "64MiB"

[volumes.rd3]
size = "16MiB"

[volumes.rd5]
size = "8MiB"
locked = true

[volumes.rd6]
size = "32MiB"
"""
WRITEBACK = f"""
[caches."rc-wb_data"]
volume = "rd0"
source = "{BY_ID}"
source_size = "1GiB"
policy = "writeback"
max_age = "60s"
"""
CACHES = f"""
{WRITEBACK}
[caches."rc-wt_top"]
volume = "rd6"
source = "/dev/disk/by-path/pci-1"
source_size = "512MiB"
policy = "write-through"
"""
PORT = """
[ports.1]
transport = "tcp"
address = "10.0.2.15"
service = "4420"
"""
EXPORT = f"""
[exports."{NQN}"]
device = "rd3"
ports = [1]
hosts = ["{HOST}"]
serial = "store-7"
uuid = "{UUID}"
"""
WHOLE = SCHEMA + VOLUMES + CACHES + PORT + EXPORT


def machine(rdctl: Program, root: Path, text: str | None = WHOLE) -> FakeKernel:
    """An empty machine with the names of its disks and, unless None, a state file."""
    rdctl.root = root
    rdctl.calls = kernel = FakeKernel(root)
    for link, disk in ((BY_ID, "sdb"), ("/dev/disk/by-path/pci-1", "sda")):
        kernel.link_node(link[1:], f"../../{disk}")
    kernel.allow_transport("loop")
    if text is not None:
        kernel.put(FILE, text)
    kernel.steps = 0
    return kernel


def run(rdctl: Program, words: str, *more: str, **options: Any) -> Ran:
    return rdctl("--local", "rapiddisk", *words.split(), *more, **options)


def applied(rdctl: Program, root: Path, text: str = WHOLE) -> FakeKernel:
    """A machine on which the file was applied."""
    kernel = machine(rdctl, root, text)
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    kernel.steps = 0
    return kernel


def differences(rdctl: Program, words: str = "diff") -> list[tuple[str, str, str, str | None]]:
    rows = run(rdctl, words, "--json").json["items"]
    return [(row["kind"], row["name"], row["state"], row["key"]) for row in rows]
