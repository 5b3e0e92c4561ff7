"""RapidDisk: each fault made for real, on this machine and behind a daemon."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from rdctl.doctor.findings import SECONDS
from tests.clock import Stopwatch
from tests.conftest import Program
from tests.doctor.conftest import (
    NQN,
    OWN,
    REMOTELY,
    TCP_HEAD,
    Run,
    at,
    checks,
    examined,
    heal,
    of,
    wrong,
)
from tests.fakes.faults import Behaviour, FaultServer, silent
from tests.fakes.faults import json as reply
from tests.fakes.kernel import NVMET, FakeKernel
from tests.fakes.rapiddiskd import Cache, Daemon, Target, Volume

ROOT = Path(__file__).resolve().parents[2]


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
    assert loaded["message"] == "loaded: rapiddisk 9.2.0, dm-writecache, nvmet, nvmet-rdma"


def test_volumes_that_could_outgrow_the_memory(
    healthy: Run, kernel: FakeKernel, rdctl: Program
) -> None:
    (row,) = of(examined(healthy), "memory")
    assert row["severity"] == "ok"
    kernel.set_memory(128 << 20)
    row = wrong(examined(healthy, code=0), "memory")
    assert row["message"].startswith("volumes could grow by 127.0 MiB, but only 121.6 MiB")
    with Daemon(volumes={"rd0": Volume(1024)}, memory=1 << 30) as daemon:
        row = wrong(examined(at(rdctl, "--rapiddisk-url", daemon.url), code=0), "memory")
    assert row["message"].startswith("volumes could grow to 1.0 GiB, but only 972.8 MiB")


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
    assert of(rows, "caches")[0]["message"] == "not checked: see modules"
    assert of(rows, "exports")[0]["message"] == "not checked: see modules"
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
    assert (exports["severity"], exports["message"]) == ("skipped", "not checked: see configfs")


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
    kernel.put(f"proc/net/{file}", f"{TCP_HEAD}   0: {address} 00000000:0000 {state} 00000000:0\n")
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
    assert "does not authenticate clients" in row["why"]
    heal(rdctl, row["mend"])
    assert kernel.unit["ActiveState"] == "inactive"


def test_a_cache_that_is_not_written_back(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.add_volume(2)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=300)
    row = wrong(examined(healthy, code=0), "caches")
    assert (row["severity"], row["subject"]) == ("warning", "rc-wb_sdb")
    assert row["message"].startswith("rc-wb_sdb holds 1.2 MiB, not all of it written back to sdb")
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
    assert "sdb are lost" in back["why"]
    assert through["message"] == "rc-wt_vdb: its volume rd1 is gone"
    heal(rdctl, through["mend"])
    left = [row["subject"] for row in of(examined(healthy), "caches")]
    assert left == ["rc-wb_sdb"]


def test_a_cache_that_is_half_made(healthy: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.begin_mapping("rc-wa_sdb")
    row = wrong(examined(healthy, code=1), "caches")
    assert row["message"] == "rc-wa_sdb is incomplete"
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


@pytest.mark.parametrize("fault", ["no namespace", "not enabled", "no port"])
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
    kernel.make_directory(f"{NVMET}/ports/7")
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


def remote(rdctl: Program, url: str) -> Run:
    return at(rdctl, "--rapiddisk-url", url)


@pytest.mark.parametrize(
    ("dialect", "severity", "says"),
    [
        ("7.2.1", "warning", "rapiddiskd 7.2.1 passes requests to a root shell"),
        ("8.2.0", "warning", "rapiddiskd 8.2.0 passes requests to a root shell"),
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
            "not checked: see daemon",
        )


def test_exposure_by_the_address(rdctl: Program) -> None:
    """0.0.0.0 is this machine, but not by any address of its own."""
    with Daemon() as daemon:
        port = daemon.url.rsplit(":", 1)[1]
        (row,) = of(examined(remote(rdctl, daemon.url)), "exposure")
        assert row["severity"] == "ok"
        url = f"http://0.0.0.0:{port}"
        row = wrong(examined(remote(rdctl, url), code=0), "exposure")
        assert (row["severity"], row["message"]) == ("warning", f"{url} is used without a token")
        token = rdctl.home / "token"
        token.write_text("secret\n")
        token.chmod(0o600)
        rdctl("context", "set", "far", f"rapiddisk={url}", f"token_file={token}")
        far = examined(at(rdctl, "-c", "far"), code=0)
        assert wrong(far, "exposure")["message"] == f"the token for {url} is sent unencrypted"


def saying(offset: int | str | None) -> Behaviour:
    """A daemon whose clock is off by so many seconds, or says something else."""
    date = {"Date": offset} if isinstance(offset, str) else {}
    if isinstance(offset, int):
        date = {"Date": formatdate(time.time() + offset, usegmt=True)}
    return reply({"status": "OK", "version": "9.2.0"}, headers=date)


@pytest.mark.parametrize(
    ("offset", "severity", "says"),
    [
        (0, "ok", "in sync with the clock of the daemon"),
        (3600, "warning", "this machine is 3[56]\\d\\d s behind the clock of the daemon"),
        (-3600, "warning", "this machine is 3[56]\\d\\d s ahead of the clock of the daemon"),
        (None, "skipped", "not checked: the server does not report its time"),
        ("high noon", "skipped", "not checked: the server does not report its time"),
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
        assert row["message"] == f"{url} timed out"
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
