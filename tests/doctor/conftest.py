"""What the tests of the doctor share: a healthy machine, and how findings are read."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from rdctl.cli.tree import Command, root
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel

Run = Callable[..., Ran]
Row = dict[str, Any]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
OWN = ["python", "libraries", "config", "context", "history"]
LOCALLY = "modules configfs devices root userland daemon exposure memory caches exports".split()
LOCALLY += ["boot", "mounts"]
REMOTELY = "daemon exposure memory caches exports clock".split()
OIO = "proxy services elections masters accounts oio-clock".split()
# The first line of /proc/net/tcp.
TCP_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
# What else than rdctl mends something, on a Debian.
PROGRAMS = {
    "apt-get",
    "chmod",
    "dmsetup",
    "modprobe",
    "mount",
    "systemctl",
    "timedatectl",
    "unset",
}


def understood(command: str) -> bool:
    """Whether a command can be typed: it is known, and has the arguments that it needs."""
    words = shlex.split(command.removeprefix("sudo "))
    if words[0] != "rdctl":
        return words[0] in PROGRAMS or words[1:4] == ["-m", "pip", "install"]
    with root.make_context("rdctl", words[1:]) as context:
        verb = root.invoke(context)  # which only parses
    return isinstance(verb.command, Command)


def examined(run: Run, *words: str, code: int | None = None, **options: Any) -> list[Row]:
    """The findings; what mends them can be typed, and the exit code follows from them."""
    ran = run("doctor", "--json", *words, **options)
    assert ran.err == ""
    rows: list[Row] = ran.json["items"]
    assert ran.json["complete"] is True
    severities = {row["severity"] for row in rows}
    assert severities <= {"ok", "skipped", "warning", "error"}
    assert ran.code == int("error" in severities)
    assert code in (None, ran.code)
    for row in rows:
        assert row["mend"] is None or understood(row["mend"]), row
        assert row["severity"] not in ("ok", "skipped") or "rdctl itself" not in row["message"]
    return rows


def of(rows: list[Row], check: str) -> list[Row]:
    found = [row for row in rows if row["check"] == check]
    assert found, check
    return found


def wrong(rows: list[Row], check: str) -> Row:
    """The one warning or error of a check."""
    (found,) = [row for row in of(rows, check) if row["severity"] in ("warning", "error")]
    return found


def checks(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["check"] for row in rows))


def heal(rdctl: Program, mend: str) -> Ran:
    """Type what mends it."""
    words = shlex.split(mend)
    assert words[0] == "rdctl"
    ran = rdctl(*words[1:], "--yes")
    assert ran.code == 0, ran.err
    return ran


def at(run: Run, *where: str, env: dict[str, str] | None = None) -> Run:
    """The program with these options before all others."""
    return lambda *words, **options: run(*where, *words, env=env, **options)


@pytest.fixture
def healthy(kernel: FakeKernel, local: Run) -> Run:
    """A machine on which everything is as it should be."""
    kernel.put("sys/module/rapiddisk/version", "9.2.0\n")
    kernel.add_volume(0)
    kernel.add_volume(1)
    kernel.map_cache("rc-wt_vdb", "rd1", "vdb")
    kernel.add_port(1)
    kernel.foreign_subsystem(NQN, "/dev/rd0")
    kernel.offer(NQN, 1)
    for module in ("nvmet_tcp", "nvmet_rdma", "nvme_loop", "dm_writecache"):
        kernel.make_directory(f"sys/module/{module}")
    return local
