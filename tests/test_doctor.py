"""rdctl doctor: each fault made for real, how it is told, and that what it says mends it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import click
import pytest

from rdctl.cli.tree import root
from rdctl.doctor.findings import SECONDS
from tests.clock import Stopwatch
from tests.conftest import Program, Ran
from tests.fakes.faults import Behaviour, FaultServer, silent
from tests.fakes.faults import json as reply
from tests.fakes.kernel import NVMET, FakeKernel
from tests.fakes.rapiddiskd import Cache, Daemon, Received, Target, Volume

Run = Callable[..., Ran]
Row = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
OWN = ["python", "libraries", "config", "context"]
LOCALLY = "modules configfs devices root userland daemon exposure caches exports".split()
REMOTELY = "daemon exposure caches exports clock".split()
OIO = "proxy services elections masters accounts oio-clock".split()
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
    context = root.make_context("rdctl", words[1:])
    found: click.Command = root
    while isinstance(found, click.Group):
        name, child, rest = found.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert child is not None
        found, context = child, child.make_context(name, rest, parent=context)
    return True


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
        kernel.make_folder(f"sys/module/{module}")
    return local


# --- all of it ----------------------------------------------------------------------------------


def test_a_new_sandbox_is_well(sandbox: Run) -> None:
    rows = examined(sandbox, code=0)
    assert checks(rows) == [*OWN, *REMOTELY, *OIO]
    assert {row["severity"] for row in rows} == {"ok", "skipped"}
    deep = examined(sandbox, "--deep", code=0)
    assert checks(deep) == checks(rows)
    assert [row["severity"] for row in of(deep, "exports") + of(deep, "masters")] == ["ok", "ok"]
    (skipped,) = of(rows, "exports")
    assert (skipped["severity"], skipped["mend"]) == ("skipped", "rdctl -c sandbox doctor --deep")


def test_a_healthy_machine_is_well(healthy: Run) -> None:
    rows = examined(healthy, "--fail-on", "warning", code=0)
    assert checks(rows) == [*OWN, *LOCALLY, "oio"]
    skipped = {row["check"] for row in rows if row["severity"] == "skipped"}
    assert skipped - {"libraries"} == {"oio"}
    (told,) = of(rows, "oio")
    assert "OIO_PROXYD_URL" in told["why"]


def test_a_machine_with_nothing(rdctl: Program) -> None:
    """Not even a kernel; what to do comes with it."""
    rows = examined(rdctl, code=1)
    assert checks(rows) == [*OWN, *LOCALLY, "oio"]
    (module,) = [row for row in rows if row["severity"] == "error"]
    assert module["message"] == "the kernel module rapiddisk is not loaded"
    assert module["mend"].removeprefix("sudo ") == "modprobe rapiddisk"
    assert "rapiddisk-dkms" in module["why"]
    (caches,) = of(rows, "caches")
    assert (caches["severity"], caches["message"]) == ("skipped", "not looked at, see modules")


def test_a_context_without_rapiddisk(rdctl: Program) -> None:
    rdctl("context", "set", "store", "oio=http://127.0.0.1:1", "namespace=NS")
    rows = examined(at(rdctl, "-c", "store"), code=1)
    assert checks(rows) == [*OWN, "rapiddisk", *OIO]
    (row,) = of(rows, "rapiddisk")
    assert row["severity"] == "skipped"
    assert "rdctl context set store rapiddisk=" in row["why"]


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warning", 1)])
def test_what_fails_is_chosen(sandbox: Run, fail_on: str, code: int) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    ran = sandbox("doctor", "--fail-on", fail_on)
    assert (ran.code, ran.err) == (code, "")


def test_a_configuration_that_cannot_be_read_is_an_error_of_its_own(rdctl: Program) -> None:
    rdctl.config.write_text("nonsense = 1\n")
    ran = rdctl("doctor", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")


def test_nothing_is_changed(healthy: Run, kernel: FakeKernel, sandbox: Run) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=9)
    examined(healthy, "--deep")
    assert kernel.steps == 0
    assert not kernel.path("run/rdctl.lock").exists()
    before = sandbox("rapiddisk", "list", "--json").out
    examined(sandbox, "--deep")
    assert sandbox("rapiddisk", "list", "--json").out == before


def test_what_mends_it_goes_where_the_doctor_went(rdctl: Program, sandbox: Run) -> None:
    """However that was said."""
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    words = "oio conscience unlock rawx 127.0.0.1:16013"
    mends = {
        wrong(examined(run), "services")["mend"]
        for run in (sandbox, at(rdctl, env={"RDCTL_CONTEXT": "sandbox"}))
    }
    assert mends == {f"rdctl -c sandbox {words}"}
    rdctl("context", "use", "sandbox")
    assert wrong(examined(rdctl), "services")["mend"] == f"rdctl {words}"


def test_several_contexts(rdctl: Program, sandbox: Run) -> None:
    """Each row and each command names its own, and one error is enough."""
    with FaultServer([silent()]) as server:
        pass
    rdctl("context", "set", "lab", f"rapiddisk={server.url}")
    ran = rdctl("-c", "sandbox,lab", "doctor", "--json")
    assert (ran.code, ran.json["complete"]) == (1, True)
    (error,) = [row for row in ran.json["items"] if row["severity"] == "error"]
    assert (error["context"], error["check"]) == ("lab", "daemon")
    deep = {row["mend"] for row in ran.json["items"] if "--deep" in (row["mend"] or "")}
    assert deep == {"rdctl -c sandbox doctor --deep", "rdctl -c lab doctor --deep"}


# --- how it looks -------------------------------------------------------------------------------


def test_what_is_wrong_stands_out_on_a_terminal(sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    ran = sandbox("doctor", tty=True, width=80)
    assert "\x1b[33mwarning" in ran.out
    assert "\x1b[32mok" in ran.out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.out)
    lines = plain.splitlines()
    assert max(map(len, lines)) <= 80
    at = next(n for n, line in enumerate(lines) if line.startswith("warning"))
    told = [line.strip() for line in lines[at + 1 : at + 5]]
    assert told[-2:] == ["$ rdctl -c sandbox oio conscience unlock rawx \\", "127.0.0.1:16013"]
    # What is parted is still one command to a shell.
    pasted = "\n".join(told[-2:]).removeprefix("$ ")
    assert understood(pasted.replace("\\\n", ""))


def test_in_a_pipe_it_says_the_same(sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    shown = sandbox("doctor").out
    assert shown.startswith("SEVERITY  CHECK      FINDING\nok        python     Python 3.")
    assert "\n" + " " * 21 + "$ rdctl -c sandbox oio conscience unlock" in shown
    by_column = sandbox("doctor", "--columns", "check,mend").out.splitlines()
    assert "services   $ rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013" in by_column
    names = sandbox("doctor", "-o", "name").out.split()
    assert list(dict.fromkeys(names)) == [*OWN, *REMOTELY, *OIO]
    query = "[?severity=='warning'].mend"
    (mend,) = sandbox("doctor", "--query", query).out.splitlines()
    assert mend == "rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013"


# --- rdctl itself -------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Packages as pip would have installed them, before all others."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, version: str, python: str = ">=3.11", *needs: str) -> None:
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {line}" for line in needs)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    return install


def test_what_it_runs_on(sandbox: Run, installed: Callable[..., None]) -> None:
    needs = ("click>=8.2", "rdctl-lib-old>=2.10", "rdctl-lib-gone>=1", 'mypy>=99; extra == "dev"')
    installed("rdctl", "99", ">=3.11", *needs)
    installed("rdctl_lib_old", "2.9")
    rows = of(examined(sandbox, code=1), "libraries")
    old, gone, fine = rows
    assert old["message"] == "rdctl-lib-old 2.9 is older than 2.10"
    assert old["mend"].endswith(" -m pip install 'rdctl-lib-old>=2.10'")
    assert gone["message"] == "rdctl-lib-gone is not installed"
    assert (old["severity"], gone["severity"], fine["severity"]) == ("error", "error", "ok")
    assert fine["message"].startswith("click 8.")


def test_a_python_that_is_too_old(sandbox: Run, installed: Callable[..., None]) -> None:
    installed("rdctl", "99", ">=4.0")
    (row,) = of(examined(sandbox, code=1), "python")
    assert row["message"].endswith("and rdctl needs >=4.0")


@pytest.mark.parametrize(
    ("mode", "severity", "mend"),
    [(0o600, "ok", None), (0o644, "warning", "chmod 600"), (0o622, "error", "chmod go-w")],
)
def test_who_can_see_the_configuration(
    rdctl: Program, sandbox: Run, mode: int, severity: str, mend: str | None
) -> None:
    rdctl.config.write_text('current = "sandbox"\n')
    rdctl.config.chmod(mode)
    first, *_ = of(examined(sandbox), "config")
    assert first["severity"] == severity
    assert first["mend"] == (mend and f"{mend} {rdctl.config}")
    if mend:
        subprocess.run(shlex.split(first["mend"]), check=True)
        assert [row["severity"] for row in of(examined(sandbox), "config")] != ["error"]
        assert first not in of(examined(sandbox), "config")


def test_the_files_of_the_machine_may_be_read(rdctl: Program, sandbox: Run) -> None:
    file = rdctl.root / "etc/rdctl/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[contexts.lab]\nrapiddisk = "local"\n')
    file.chmod(0o644)
    (row,) = of(examined(sandbox, code=0), "config")
    assert (row["severity"], row["message"]) == ("ok", str(file))


def test_the_files_that_contexts_name(rdctl: Program, sandbox: Run) -> None:
    token = rdctl.home / "token"
    token.write_text("secret\n")
    token.chmod(0o644)
    url = "rapiddisk=https://127.0.0.1:1"
    rdctl("context", "set", "lab", url, "token_file=~/token")
    rdctl("context", "set", "attic", url, f"ca={rdctl.home}/gone.pem")
    rdctl("context", "set", "empty", "namespace=NS")
    lab, attic, empty, fine = of(examined(sandbox, code=1), "config")
    assert (lab["severity"], lab["subject"]) == ("warning", "lab token_file")
    assert lab["mend"] == f"chmod 600 {token}"
    assert (attic["severity"], attic["subject"]) == ("error", "attic ca")
    assert "No such file or directory" in attic["message"]
    assert (empty["severity"], empty["mend"]) == ("warning", "rdctl context remove empty")
    assert fine["severity"] == "ok"
    heal(rdctl, empty["mend"])
    token.chmod(0o600)
    assert [row["subject"] for row in of(examined(sandbox), "config")] == ["attic ca", None]


def test_a_current_context_that_is_not_there(rdctl: Program, sandbox: Run) -> None:
    rdctl.config.write_text('current = "gone"\n')
    rdctl.config.chmod(0o600)
    row = wrong(examined(sandbox, code=0), "config")
    assert row["mend"] == "rdctl context use sandbox"
    heal(rdctl, row["mend"])
    assert len(of(examined(sandbox), "config")) == 1


def test_where_it_goes_and_what_is_not_listened_to(rdctl: Program) -> None:
    rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:1", "protected=true")
    env = {"OIO_PROXYD_URL": "http://127.0.0.1:2", "RDCTL_RAPIDDISK_URL": "http://127.0.0.1:1"}
    there, hidden = of(examined(at(rdctl, "-c", "lab", env=env)), "context")
    assert there["message"] == "rapiddisk http://127.0.0.1:1, context lab (-c), protected"
    assert (hidden["severity"], hidden["subject"]) == ("warning", "OIO_PROXYD_URL")
    assert hidden["mend"] == "unset OIO_PROXYD_URL"
    # Where it holds, and in the sandbox, nobody needs to be told.
    held = examined(at(rdctl, env={"OIO_NS": "NS"}))
    assert [row["message"] for row in of(held, "context")] == ["rapiddisk local, the default"]
    shown = examined(at(rdctl, "-c", "sandbox", env=env))
    assert {row["severity"] for row in of(shown, "context")} == {"ok"}


def test_a_token_that_is_not_sent(rdctl: Program) -> None:
    token = rdctl.home / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    with Daemon() as daemon:
        env = {"RDCTL_TOKEN_FILE": str(token)}
        rows = examined(at(rdctl, "--rapiddisk-url", daemon.url, env=env))
    row = wrong(rows, "context")
    assert row["message"] == f"token_file of RDCTL_TOKEN_FILE is not sent to {daemon.url}"


# --- this machine -------------------------------------------------------------------------------


def test_modules_that_are_not_loaded(healthy: Run, kernel: FakeKernel) -> None:
    def unload(name: str) -> None:
        subprocess.run(["rm", "-r", str(kernel.path(f"sys/module/{name}"))], check=True)

    unload("rapiddisk_cache")
    row = wrong(examined(healthy, code=0), "modules")
    assert (row["severity"], row["mend"]) == ("warning", "modprobe rapiddisk-cache")
    unload("nvmet_tcp")  # loaded when it is needed
    unload("nvme_loop")  # which this kernel does not have
    lacking, loaded = [row for row in of(examined(healthy), "modules") if row["subject"] is None]
    assert (lacking["severity"], lacking["message"]) == ("skipped", "this kernel has no nvme-loop")
    assert loaded["message"] == "rapiddisk 9.2.0, dm-writecache, nvmet, nvmet-rdma"


def test_a_module_that_ends_programs(healthy: Run, kernel: FakeKernel) -> None:
    kernel.put("sys/module/rapiddisk/version", "9.0.0\n")
    row = wrong(examined(healthy, code=0), "modules")
    assert (row["severity"], row["subject"], row["mend"]) == ("warning", "rapiddisk", None)
    assert "9.2.0" in row["why"]
    kernel.put("sys/module/rapiddisk/version", "9.1.0\n")
    assert {row["severity"] for row in of(examined(healthy), "modules")} == {"ok"}


def test_a_module_that_is_not_installed(healthy: Run, kernel: FakeKernel) -> None:
    kernel.path("sys/kernel/rapiddisk/mgmt").unlink()
    subprocess.run(["rm", "-r", str(kernel.path("sys/module/rapiddisk"))], check=True)
    kernel.put("lib/modules/6.1.0-56-amd64/modules.dep", "kernel/other.ko:\n")
    row = wrong(examined(healthy, code=1), "modules")
    assert row["mend"] == "apt-get install rapiddisk-dkms"


def test_nothing_to_export_with(rdctl: Program) -> None:
    rdctl.calls = FakeKernel(rdctl.root, nvmet=False)
    rows = examined(at(rdctl, "--local"), code=0)
    (row,) = [row for row in of(rows, "modules") if row["subject"] == "nvmet"]
    assert (row["severity"], row["mend"]) == ("skipped", "modprobe nvmet")
    (exports,) = of(rows, "exports")
    assert exports["severity"] == "skipped"


def test_a_version_that_is_not_known(rdctl: Program) -> None:
    rdctl.calls = kernel = FakeKernel(rdctl.root, version="8.2.0")
    rows = examined(at(rdctl, "--local"), code=1)
    row = wrong(rows, "modules")
    assert row["severity"] == "error"
    assert "8.2.0" in row["message"]
    assert row["mend"] is None
    assert of(rows, "caches")[0]["message"] == "not looked at, see modules"
    assert of(rows, "exports")[0]["message"] == "not looked at, see modules"
    kernel.close_all()


def test_configfs_is_not_mounted(healthy: Run, kernel: FakeKernel) -> None:
    kernel.unmount_configfs()
    rows = examined(healthy, code=1)
    row = wrong(rows, "configfs")
    assert (row["severity"], row["mend"]) == (
        "error",
        "mount -t configfs none /sys/kernel/config",
    )
    (exports,) = of(rows, "exports")
    assert (exports["severity"], exports["message"]) == ("skipped", "not looked at, see configfs")


def test_what_makes_nodes(healthy: Run, kernel: FakeKernel) -> None:
    kernel.path("run/udev/control").unlink()
    row = wrong(examined(healthy, code=0), "devices")
    assert row["mend"] == "systemctl start systemd-udevd"
    kernel.put("run/udev/control", "")
    kernel.path("dev/mapper/control").unlink()
    row = wrong(examined(healthy), "devices")
    assert row["mend"] == "modprobe dm-mod"


def test_without_root(healthy: Run, kernel: FakeKernel) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=9)
    kernel.root_user = False
    kernel.path("run/udev/control").unlink()
    rows = examined(healthy, code=0)
    (row,) = of(rows, "root")
    assert (row["severity"], row["mend"]) == ("skipped", "sudo rdctl --local doctor")
    (caches,) = of(rows, "caches")
    assert (caches["severity"], caches["subject"]) == ("skipped", "rc-wb_sdb")
    assert wrong(rows, "devices")["mend"] == "sudo systemctl start systemd-udevd"


def package(version: str, state: str = "installed") -> str:
    """dpkg's list, as it is in /var/lib/dpkg/status."""
    return (
        f"Package: rapiddisk-dkms\nStatus: install ok installed\nVersion: {version}\n\n"
        f"Package: rapiddisk\nStatus: install ok {state}\nPriority: optional\nSection: kernel\n"
        f"Depends: libc6 (>= 2.34)\nVersion: {version}\n\nPackage: zsh\nVersion: 9.0.0\n"
    )


def test_the_broken_userland_of_debian(healthy: Run, kernel: FakeKernel) -> None:
    kernel.put("var/lib/dpkg/status", package("9.0.0-1+deb12u1"))
    row = wrong(examined(healthy, code=0), "userland")
    assert (row["severity"], row["mend"]) == ("warning", "apt-get remove rapiddisk")
    assert row["subject"] == "9.0.0-1+deb12u1"
    for fine in (package("9.2.0-1"), package("9.0.0-1", "config-files")):
        kernel.put("var/lib/dpkg/status", fine)
        (row,) = of(examined(healthy), "userland")
        assert row["severity"] == "ok"


def test_the_unit_of_the_daemon(healthy: Run, kernel: FakeKernel) -> None:
    kernel.unit["ActiveState"] = "active"
    (row,) = of(examined(healthy), "daemon")
    assert row["message"] == "rapiddiskd is active, not started at boot"
    kernel.unit["ActiveState"] = "failed"
    assert wrong(examined(healthy, code=0), "daemon")["severity"] == "warning"
    kernel.systemctl = False
    (row,) = of(examined(healthy), "daemon")
    assert row["severity"] == "skipped"


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


@pytest.mark.parametrize(
    ("file", "address", "state", "seen"),
    [
        ("tcp", "00000000:239E", "0A", "0.0.0.0"),
        ("tcp", "0F02000A:239E", "0A", "10.0.2.15"),
        ("tcp6", "00000000000000000000000000000000:239E", "0A", "::"),
        ("tcp6", "0000000000000000FFFF00000F02000A:239E", "0A", "::ffff:10.0.2.15"),
        ("tcp", "0100007F:239E", "0A", None),
        ("tcp6", "00000000000000000000000001000000:239E", "0A", None),
        ("tcp", "00000000:239F", "0A", None),
        ("tcp", "0F02000A:239E", "01", None),
    ],
)
def test_the_port_of_the_daemon(
    healthy: Run,
    rdctl: Program,
    kernel: FakeKernel,
    file: str,
    address: str,
    state: str,
    seen: str | None,
) -> None:
    kernel.unit["ActiveState"] = "active"
    kernel.put(f"proc/net/{file}", f"{HEAD}   0: {address} 00000000:0000 {state} 00000000:0\n")
    rows = examined(healthy, code=0)
    if seen is None:
        assert [row["severity"] for row in of(rows, "exposure")] == ["ok"]
        return
    row = wrong(rows, "exposure")
    assert row["severity"] == "warning"
    assert row["message"] in (
        f"port 9118 is open to other machines, on {seen}",
        "port 9118 is open to other machines, on ::ffff:a00:20f",
    )
    assert "asks nobody" in row["why"]
    heal(rdctl, row["mend"])
    assert kernel.unit["ActiveState"] == "inactive"


def test_a_cache_that_is_not_written_back(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.add_volume(2)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=300)
    row = wrong(examined(healthy, code=0), "caches")
    assert (row["severity"], row["subject"]) == ("warning", "rc-wb_sdb")
    assert row["message"].startswith("rc-wb_sdb holds 1.2 MiB, not all of it on sdb")
    assert row["mend"] == "rdctl --local rapiddisk cache sync rc-wb_sdb"
    heal(rdctl, row["mend"])
    (row,) = of(examined(healthy), "caches")
    assert row["message"] == "2 caches, nothing to write back"


def test_a_cache_whose_volume_is_gone(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.add_volume(2)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=3)
    kernel.tear_out("rd2")
    kernel.tear_out("rd1")
    rows = [row for row in of(examined(healthy, code=1), "caches") if row["severity"] == "error"]
    back, through = rows
    assert back["message"] == "rc-wb_sdb: its volume rd2 is gone"
    assert back["mend"] == "dmsetup remove rc-wb_sdb"
    assert "sdb is lost" in back["why"]
    assert through["message"] == "rc-wt_vdb: its volume rd1 is gone"
    heal(rdctl, through["mend"])
    left = [row["subject"] for row in of(examined(healthy), "caches")]
    assert left == ["rc-wb_sdb"]


def test_a_cache_that_is_half_made(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.begin_mapping("rc-wa_sdb")
    row = wrong(examined(healthy, code=1), "caches")
    assert row["message"] == "rc-wa_sdb is only half made"
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(healthy), "caches")] == ["ok"]


def test_an_export_whose_device_is_gone(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.volumes.pop(0)
    kernel._hide_block("rd0", "251:0")
    kernel.refresh()
    row = wrong(examined(healthy, code=1), "exports")
    assert (row["severity"], row["subject"]) == ("error", NQN)
    assert row["message"] == f"{NQN} exports /dev/rd0, which is gone"
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(healthy), "exports")] == ["ok"]


@pytest.mark.parametrize("fault", ["no namespace", "not enabled", "on no port"])
def test_an_export_that_is_half_made(
    healthy: Run, rdctl: Program, kernel: FakeKernel, fault: str
) -> None:
    nqn = "nqn.2021-06.org.rapiddisk:rdvm-rd9"
    if fault == "no namespace":
        kernel.foreign_subsystem(nqn, None)
    else:
        kernel.add_volume(9)
        kernel.foreign_subsystem(nqn, "/dev/rd9", enabled=fault != "not enabled")
        if fault == "not enabled":
            kernel.offer(nqn, 1)
    row = wrong(examined(healthy, code=0), "exports")
    assert (row["severity"], row["subject"]) == ("warning", nqn)
    assert row["message"].endswith(fault)
    assert row["mend"] == f"rdctl --local rapiddisk nvmet unexport --nqn {nqn}"
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(healthy), "exports")] == ["ok"]


def test_what_others_export_is_their_matter(healthy: Run, kernel: FakeKernel) -> None:
    kernel.foreign_subsystem("nqn.2020-01.org.other:disk", "/dev/sdc", enabled=False)
    assert [row["severity"] for row in of(examined(healthy), "exports")] == ["ok"]


def test_a_port_that_is_half_made(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.make_folder(f"{NVMET}/ports/7")
    row = wrong(examined(healthy, code=0), "exports")
    assert row["mend"] == "rdctl --local rapiddisk nvmet port remove 7"
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(healthy), "exports")] == ["ok"]


def test_an_export_for_everybody(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    (kernel.path(f"{NVMET}/subsystems/{NQN}/attr_allow_any_host")).write_text("1\n")
    assert [row["severity"] for row in of(examined(healthy), "exports")] == ["ok"]
    (kernel.path(f"{NVMET}/ports/1/addr_traddr")).write_text("0.0.0.0\n")
    row = wrong(examined(healthy, code=0), "exports")
    assert row["message"] == f"{NQN} is open to every host on every address"
    heal(rdctl, row["mend"])


def test_what_nobody_foresaw_is_a_finding(healthy: Run, kernel: FakeKernel) -> None:
    """A check that breaks does not break the others."""
    kernel.put("proc/net/tcp", f"{HEAD}   0: nonsense\n")
    ran = healthy("doctor", "--json")
    assert (ran.code, ran.err) == (1, "")
    row = wrong(ran.json["items"], "exposure")
    assert row["message"].startswith("a fault in rdctl itself: IndexError")
    assert checks(ran.json["items"]) == [*OWN, *LOCALLY, "oio"]


@pytest.fixture
def stuck(healthy: Run, kernel: FakeKernel) -> Iterator[Run]:
    """A machine on which a file never ends."""
    pipe = kernel.path("proc/net/tcp")
    os.mkfifo(pipe)
    yield healthy
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


def test_a_check_that_does_not_end(stuck: Run) -> None:
    watch = Stopwatch()
    rows = examined(stuck, code=0)
    assert watch.quiet < SECONDS + 1
    (row,) = [row for row in rows if row["severity"] == "warning"]
    assert (row["check"], row["message"]) == ("exposure", "not looked at in time (2 s)")


def test_a_check_has_the_time_of_the_command(stuck: Run) -> None:
    watch = Stopwatch()
    (row,) = [row for row in examined(stuck, "--timeout", "0.5") if row["severity"] == "warning"]
    assert watch.quiet < SECONDS
    assert (row["check"], row["message"]) == ("exposure", "not looked at in time (0.5 s)")


# --- a daemon -----------------------------------------------------------------------------------


def remote(rdctl: Program, url: str) -> Run:
    return at(rdctl, "--rapiddisk-url", url)


@pytest.mark.parametrize(
    ("dialect", "severity", "says"),
    [
        ("7.2.1", "warning", "rapiddiskd 7.2.1 hands what it is sent to a root shell"),
        ("8.2.0", "warning", "rapiddiskd 8.2.0 hands what it is sent to a root shell"),
        ("9.0.0-deb", "warning", "rapiddiskd 9.0.0 is Debian's, which is broken"),
        ("9.2.0", "ok", "rapiddiskd 9.2.0 answers in "),
    ],
)
def test_daemons(rdctl: Program, dialect: str, severity: str, says: str) -> None:
    caches = {"rc-wt_vdb": Cache("rd1", "vdb")}
    volumes = {"rd0": Volume(64), "rd1": Volume(64)}
    with Daemon(dialect, volumes=volumes, caches=caches) as daemon:
        rows = examined(remote(rdctl, daemon.url), code=0)
        assert checks(rows) == [*OWN, *REMOTELY, "oio"]
        (row,) = of(rows, "daemon")
        assert row["severity"] == severity
        assert row["message"].startswith(says)
        assert row["subject"] == daemon.url
        assert daemon.changes == []
        # What could kill it is not asked without being told to.
        assert not any("NVMe" in request for request in daemon.requests)


def test_exports_of_a_daemon(rdctl: Program) -> None:
    targets = [Target(NQN, "/dev/rd0", [1]), Target(f"{NQN}x", "/dev/rd7", [1])]
    with Daemon(volumes={"rd0": Volume(64)}, targets=targets) as daemon:
        row = wrong(examined(remote(rdctl, daemon.url), "--deep", code=1), "exports")
        assert row["message"] == f"{NQN}x exports /dev/rd7, which is gone"
        assert row["mend"] is None
        assert "rdctl --local rapiddisk nvmet unexport --nqn" in row["why"]
        assert daemon.requests.count("GET listAllNVMeTargets") == 1


def test_a_daemon_without_nvmet(rdctl: Program) -> None:
    for dialect in ("7.2.1", "9.2.0"):
        with Daemon(dialect, targets=None) as daemon:
            (row,) = of(examined(remote(rdctl, daemon.url), "--deep", code=0), "exports")
            assert row["severity"] == "skipped"


def test_a_daemon_that_is_not_there(rdctl: Program) -> None:
    with FaultServer([silent()]) as server:
        pass
    rows = examined(remote(rdctl, server.url), code=1)
    row = wrong(rows, "daemon")
    assert row["severity"] == "error"
    assert "refused" in row["message"]
    assert row["mend"] == "rdctl --local rapiddisk daemon start"
    for check in ("caches", "clock"):
        (skipped,) = of(rows, check)
        assert (skipped["severity"], skipped["message"]) == (
            "skipped",
            "not looked at, see daemon",
        )


def test_exposure_by_the_address(rdctl: Program) -> None:
    """0.0.0.0 is this machine, but not by any address of its own."""
    with Daemon() as daemon:
        port = daemon.url.rsplit(":", 1)[1]
        (row,) = of(examined(remote(rdctl, daemon.url)), "exposure")
        assert row["severity"] == "ok"
        url = f"http://0.0.0.0:{port}"
        row = wrong(examined(remote(rdctl, url), code=0), "exposure")
        assert (row["severity"], row["message"]) == ("warning", f"{url} asks for no token")
        token = rdctl.home / "token"
        token.write_text("secret\n")
        token.chmod(0o600)
        rdctl("context", "set", "far", f"rapiddisk={url}", f"token_file={token}")
        far = examined(at(rdctl, "-c", "far"), code=0)
        assert wrong(far, "exposure")["message"] == f"the token for {url} travels unencrypted"


def saying(offset: int | str | None) -> Behaviour:
    """A daemon whose clock is off by so many seconds, or says something else."""
    date = {"Date": offset} if isinstance(offset, str) else {}
    if isinstance(offset, int):
        date = {"Date": formatdate(time.time() + offset, usegmt=True)}
    return reply({"status": "OK", "version": "9.2.0"}, headers=date)


@pytest.mark.parametrize(
    ("offset", "severity", "says"),
    [
        (0, "ok", "the same as the daemon's"),
        (3600, "warning", "3[56]\\d\\d s behind the daemon's"),
        (-3600, "warning", "3[56]\\d\\d s ahead of the daemon's"),
        (None, "skipped", "the server does not tell its time"),
        ("high noon", "skipped", "the server does not tell its time"),
    ],
)
def test_the_clocks(rdctl: Program, offset: int | str | None, severity: str, says: str) -> None:
    with FaultServer([saying(offset)]) as server:
        (row,) = of(examined(remote(rdctl, server.url)), "clock")
    assert row["severity"] == severity
    assert re.fullmatch(says, row["message"])
    assert row["mend"] == (None if severity != "warning" else "timedatectl set-ntp true")


def test_servers_that_do_not_answer(rdctl: Program) -> None:
    """All together in little more than the time of one."""
    with FaultServer([silent()]) as daemon, FaultServer([silent()]) as proxy:
        words = ("--rapiddisk-url", daemon.url, "--oio-url", proxy.url, "--namespace", "NS")
        watch = Stopwatch()
        rows = examined(at(rdctl, *words), code=1)
        took = watch.quiet
    assert took < SECONDS + 1
    for check, url in (("daemon", daemon.url), ("proxy", proxy.url)):
        row = wrong(rows, check)
        assert row["message"] == f"{url} gave no complete answer in time"
    errors = [row["check"] for row in rows if row["severity"] == "error"]
    assert errors == ["daemon", "proxy"]


def test_a_shorter_deadline_holds(rdctl: Program) -> None:
    with FaultServer([silent()]) as daemon:
        watch = Stopwatch()
        examined(remote(rdctl, daemon.url), "--timeout", "0.3", code=1)
        assert watch.quiet < 1.5


def test_an_interrupt_ends_at_once(rdctl: Program) -> None:
    with FaultServer([silent()]) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "rdctl", "--rapiddisk-url", server.url, "doctor"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "HOME": str(rdctl.home),
                "RDCTL_CONFIG": str(rdctl.config),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not server.requests:
            assert process.poll() is None
            time.sleep(0.01)
        watch = Stopwatch()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        took = watch.quiet
    assert (process.returncode, out) == (130, b"")
    assert b"interrupted; nothing was changed" in err
    assert took < 1.5


# --- OpenIO SDS ---------------------------------------------------------------------------------


def test_a_locked_service(rdctl: Program, sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    rows = examined(sandbox, code=0)
    row = wrong(rows, "services")
    assert (row["severity"], row["subject"]) == ("warning", "rawx 127.0.0.1:16013")
    assert row["message"] == "rawx 127.0.0.1:16013 has score 0: it is down, or locked"
    heal(rdctl, row["mend"])
    (row,) = of(examined(sandbox), "services")
    assert row["message"] == "14 services of 7 types up"


def test_a_type_without_a_service(rdctl: Program, sandbox: Run) -> None:
    for address in ("127.0.0.1:16018", "127.0.0.1:16019"):
        sandbox("oio", "conscience", "lock", "rdir", address, "--yes")
    row = wrong(examined(sandbox, code=1), "services")
    assert (row["severity"], row["message"]) == ("error", "no rdir service is up")
    heal(rdctl, row["mend"])
    assert len(of(examined(sandbox), "services")) == 1
    sandbox("oio", "conscience", "register", "echo", "127.0.0.1:7999")
    row = wrong(examined(sandbox, code=1), "services")
    assert row["message"] == "no echo service is up"
    sandbox("oio", "conscience", "flush", "echo", "--yes")
    sandbox("oio", "conscience", "flush", "meta1", "--yes")
    row = wrong(examined(sandbox, code=1), "services")
    assert (row["message"], row["mend"]) == ("no meta1 service is known", None)


def test_a_service_that_was_never_scored(sandbox: Run) -> None:
    sandbox("oio", "conscience", "register", "rawx", "127.0.0.1:7999")
    row = wrong(examined(sandbox, code=0), "services")
    assert row["message"] == "rawx 127.0.0.1:7999 was never scored"


def test_an_account_that_is_not_there(rdctl: Program, sandbox: Run) -> None:
    rows = examined(at(sandbox, "--account", "nobody"), code=0)
    (row,) = of(rows, "accounts")
    assert (row["severity"], row["subject"]) == ("ok", "nobody")
    assert row["message"].startswith("there is no account nobody yet")
    sandbox("oio", "conscience", "lock", "account", "127.0.0.1:16017", "--yes")
    rows = examined(sandbox, code=1)
    assert wrong(rows, "services")["message"] == "no account service is up"
    assert "services matching" in wrong(rows, "accounts")["message"]


def test_a_container_without_a_master(rdctl: Program, sandbox: Run) -> None:
    """The service that won the election is gone, and nobody elected another."""
    replicas = sandbox("oio", "admin", "status", "photos", "--json").json["items"]
    (master,) = [row["service"] for row in replicas if row["role"] == "master"]
    with closing(sqlite3.connect(rdctl.sandbox)) as store, store:
        store.execute("DELETE FROM oio_services WHERE address = ?", (master,))
    assert of(examined(sandbox), "masters")[0]["severity"] == "skipped"
    row = wrong(examined(sandbox, "--deep", code=1), "masters")
    assert (row["severity"], row["subject"]) == ("error", "photos")
    assert f"{master}: {master}: [errno=111]" in row["why"]
    assert row["mend"] == "rdctl -c sandbox oio admin ping photos"


def test_no_more_containers_than_some_are_asked(sandbox: Run) -> None:
    names = [f"c{number}" for number in range(30)]
    sandbox("oio", "container", "create", *names)
    (row,) = of(examined(sandbox, "--deep", code=0), "masters")
    assert row["message"] == "20 containers, the first of more: each has its master"


def test_a_server_cannot_make_commands(rdctl: Program) -> None:
    """What it calls its services stays one word of what mends them."""
    evil = "127.0.0.1:1; touch gone\n\x1b[2J"
    service = {"addr": evil, "score": 0, "tags": {}}
    proxy = Proxy(conscience__list=[service])
    with proxy.server:
        run = through(rdctl, proxy)
        mend = of(run("doctor", "--json").json["items"], "services")[-1]["mend"]
        spoken = subprocess.run(
            ["bash", "-c", f'rdctl() {{ printf "%s\\0" "$@"; }}; {mend}'],
            check=True,
            capture_output=True,
        )
        assert spoken.stdout.decode().split("\0")[-2] == evil
        shown = run("doctor", "--color", "never", tty=True).out
        assert "\x1b[2J" not in shown


class Proxy:
    """An oio-proxy that answers by route; what is not there it does not know."""

    SERVICES = (("meta0", 6006), ("meta1", 6007), ("meta2", 6009), ("rawx", 6013))

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "conscience/info": {"ns": "NS"},
            "lb/choose": [],
            **{key.replace("__", "/"): value for key, value in answers.items()},
        }
        self.server = FaultServer([self._serve])

    def _serve(self, connection: Any) -> None:
        connection.receive()
        path = self.server.requests[-1].path
        route, _, query = path.removeprefix("/v3.0/").removeprefix("NS/").partition("?")
        answer = self.answers.get(route)
        if route == "conscience/info" and "what=types" in query:
            answer = [type for type, _ in self.SERVICES]
        if route == "conscience/list" and answer is None:
            answer = [
                {"addr": f"127.0.0.1:{port}", "score": 90, "tags": {}}
                for type, port in self.SERVICES
                if f"type={type}&" in f"{query}&"
            ]
        status = 200
        if answer is None:
            status, answer = 404, {"status": 404, "message": "No handler found"}
        behaviour = answer if callable(answer) else reply(answer, status)
        behaviour(Received(connection))


def through(rdctl: Program, proxy: Proxy) -> Run:
    where = ("--oio-url", proxy.server.url, "--namespace", "NS", "--account", "me")
    rdctl.calls = rdctl.calls or FakeKernel(rdctl.root)
    return at(rdctl, *where)


def elections(**counts: int) -> Row:
    """forward/info of a proxy 4.2."""
    states = dict.fromkeys(("total", "none", "pending", "failed", "slave", "master"), 0)
    return {"replication": "ZOOKEEPER", "elections": {**states, **counts}}


def test_elections_that_failed(rdctl: Program) -> None:
    proxy = Proxy(forward__info=elections(master=4, failed=2))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy), code=1), "elections")
    assert [row["severity"] for row in rows] == ["error"] * 3
    assert rows[2]["message"] == "meta2 127.0.0.1:6009 is without a master for 2 bases"
    mend = shlex.split(rows[2]["mend"])
    assert mend[-2:] == ["doctor", "--deep"]
    assert mend[1:3] == ["--oio-url", proxy.server.url]


def test_elections_under_way(rdctl: Program) -> None:
    proxy = Proxy(forward__info=elections(pending=1))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy)), "elections")
    assert [row["severity"] for row in rows] == ["warning"] * 3
    assert rows[0]["message"] == "meta0 127.0.0.1:6006 still elects a master for 1 base"


@pytest.mark.parametrize("info", [elections(), {}, {"elections": None}])
def test_elections_of_which_nothing_is_told(rdctl: Program, info: Row) -> None:
    proxy = Proxy(forward__info=info)
    with proxy.server:
        (row,) = of(examined(through(rdctl, proxy)), "elections")
    assert row["severity"] == "ok"


def test_a_proxy_that_does_not_tell_of_elections(rdctl: Program) -> None:
    proxy = Proxy()
    with proxy.server:
        (row,) = of(examined(through(rdctl, proxy)), "elections")
    assert row["severity"] == "skipped"
    assert row["mend"].endswith("doctor --deep")


def test_a_service_that_does_not_answer(rdctl: Program) -> None:
    refused = {"status": 2, "message": "127.0.0.1:6006: [errno=111] Connection refused"}
    proxy = Proxy(forward__info=reply(refused, 503))
    with proxy.server:
        rows = of(examined(through(rdctl, proxy)), "elections")
    assert [row["message"] for row in rows] == [
        f"{name} does not answer"
        for name in ("meta0 127.0.0.1:6006", "meta1 127.0.0.1:6007", "meta2 127.0.0.1:6009")
    ]
    assert "refused" in rows[0]["why"]


def test_a_service_that_hangs(rdctl: Program) -> None:
    proxy = Proxy(forward__info=silent())
    watch = Stopwatch()
    with proxy.server:
        row = wrong(examined(through(rdctl, proxy)), "elections")
        took = watch.quiet
    assert row["message"] == "meta0 127.0.0.1:6006 does not answer"
    assert took < SECONDS + 1


class Accounts(FaultServer):
    """An account service of one container, whose clock is off by so many seconds."""

    def __init__(self, offset: float) -> None:
        date = formatdate(time.time() + offset, usegmt=True)
        self.replies = {
            "/status": {"account_count": 1},
            "/v1.0/account/show": {"id": "me", "containers": 1, "objects": 0, "bytes": 0},
            "/v1.0/account/containers": {"listing": [["photos", 0, 0, 0, 0]]},
        }

        def serve(connection: Any) -> None:
            connection.receive()
            value = self.replies[self.requests[-1].path.partition("?")[0]]
            reply(value, headers={"Date": date})(Received(connection))

        super().__init__([serve])

    @property
    def address(self) -> list[Row]:
        return [{"addr": self.url.removeprefix("http://")}]


def test_the_clock_of_openio_is_the_account_service_s(rdctl: Program) -> None:
    """Its proxy does not tell the time."""
    accounts = Accounts(7200)
    proxy = Proxy(lb__choose=accounts.address)
    with accounts, proxy.server:
        row = wrong(examined(through(rdctl, proxy)), "oio-clock")
    assert row["severity"] == "warning"
    assert re.fullmatch(r"7[12]\d\d s behind the account service's", row["message"])


@pytest.mark.parametrize("hangs", [True, False])
def test_replicas_that_cannot_agree(rdctl: Program, hangs: bool) -> None:
    """A proxy says so after a minute."""
    refused = {"status": 503, "message": "Election failed [AB.1][meta2]"}
    answer = silent() if hangs else reply(refused, 503)
    accounts = Accounts(0)
    proxy = Proxy(lb__choose=accounts.address, admin__status=answer)
    with accounts, proxy.server:
        row = wrong(examined(through(rdctl, proxy), "--deep", code=1), "masters")
    if hangs:
        assert row["message"] == "the container photos does not tell its master in time"
    else:
        assert row["message"] == "the container photos has no master"
        assert "Election failed" in row["why"]


def test_a_namespace_that_is_not_served(rdctl: Program) -> None:
    other = {"status": 400, "message": "Invalid parameter 'namespace'"}
    proxy = Proxy(conscience__info=reply(other, 400))
    with proxy.server:
        rows = examined(through(rdctl, proxy), code=1)
    row = wrong(rows, "proxy")
    assert row["severity"] == "error"
    assert "another namespace" in row["why"]


def test_no_namespace_is_named(rdctl: Program, kernel: FakeKernel) -> None:
    proxy = Proxy()
    with proxy.server:
        where = ("--oio-url", proxy.server.url)
        rows = examined(at(rdctl, *where), code=1)
    assert wrong(rows, "proxy")["message"] == "no namespace is named"
    assert {row["severity"] for check in OIO[1:] for row in of(rows, check)} == {"skipped"}


def test_the_findings_are_data(sandbox: Run) -> None:
    """The same keys in the formats that have rows."""
    lines = sandbox("doctor", "-o", "ndjson").out.splitlines()
    assert {tuple(json.loads(line)) for line in lines} == {
        ("severity", "check", "subject", "message", "why", "mend")
    }
