"""The simulated machine of the sandbox, driven by the real program: several processes share it as
one kernel, and what is done stays done."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.sandbox.machine.stored import StoredMachine
from rdctl.sandbox.store import Store
from tests.cli.processes import Rdctl, process
from tests.conftest import Program, Ran

__all__ = ["process"]

Sandbox = Callable[..., Ran]
UNIT = "etc/systemd/system/rdctl-caches.service"


def machine_of(rdctl: Program) -> StoredMachine:
    return StoredMachine(Store(rdctl.sandbox))


def volumes(sandbox: Sandbox) -> list[str]:
    return sandbox("rapiddisk", "list", "-o", "name").out.split()


def done(sandbox: Sandbox, line: str) -> Ran:
    ran = sandbox("rapiddisk", *line.split())
    assert ran.code == 0, ran.err
    return ran


# One machine for all -----------------------------------------------------------------------------


def test_a_volume_has_its_number_and_its_name(sandbox: Sandbox) -> None:
    done(sandbox, "create 8M --number 7")
    done(sandbox, "cache create rd7 vdc --name rc-wt_data")
    assert volumes(sandbox) == ["rd0", "rd7"]
    assert done(sandbox, "cache list -o name").out == "rc-wt_data\n"


def test_the_daemon_serves_the_same_machine(sandbox: Sandbox, served: Sandbox) -> None:
    done(sandbox, "create 64M")
    assert volumes(served) == ["rd0", "rd1"]
    done(served, "create 8M")
    done(served, "cache create rd1 sdb")
    assert volumes(sandbox) == ["rd0", "rd1", "rd2"]
    assert done(sandbox, "cache list -o name").out == "rc-wt_sdb\n"
    done(sandbox, "nvmet export rd2 --port 1 --any-host")
    exports = done(served, "nvmet list --query [].device").out.split()
    assert sorted(exports) == ["/dev/rd0", "/dev/rd2"]
    done(sandbox, "cache remove rc-wt_sdb --yes")
    assert done(served, "cache list -o name").out == ""


def test_the_paths_are_those_of_the_machine(sandbox: Sandbox) -> None:
    done(sandbox, "create 64M")
    for line in (
        "create 8M",
        "lock rd1",
        "unlock rd1",
        "cache create rd1 sdb --policy writeback --yes",
        "cache remove rc-wb_sdb --yes",
        "flush rd1 --yes",
        "nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4422",
        "nvmet export rd1 --port 3 --any-host",
        "nvmet revalidate rd1",
        "nvmet unexport rd1 --yes",
        "nvmet port remove 3 --yes",
        "remove rd1 --yes",
    ):
        ran = done(sandbox, f"{line} --trace")
        assert "rdctl-sandbox-" not in ran.err + ran.out, line
        assert "/dev/shm" not in ran.err, line
    assert "> /sys/kernel/rapiddisk/mgmt" in done(sandbox, "create 8M --trace").err


def test_a_cache_over_a_stable_name_and_over_a_path(sandbox: Sandbox, rdctl: Program) -> None:
    done(sandbox, "create 64M --count 2")
    done(sandbox, "cache create rd1 /dev/disk/by-id/virtio-sandbox-vdb --policy writeback --yes")
    done(sandbox, "cache create rd2 /dev/disk/by-path/pci-0000:00:08.0 --policy writeback --yes")
    machine = machine_of(rdctl)
    assert '"source": "/dev/disk/by-id/virtio-sandbox-vdb"' in machine.text("run/rdctl/rd1.json")
    assert '"source": "/dev/vdc"' in machine.text("run/rdctl/rd2.json")


def test_what_was_not_written_back_is_written_back(sandbox: Sandbox) -> None:
    """An application has written through the cache since it was created."""
    done(sandbox, "create 64M")
    done(sandbox, "cache create rd1 sdb --policy writeback --yes")
    (row,) = done(sandbox, "cache list --json").json["items"]
    assert row["dirty"] == 2 << 20
    assert done(sandbox, "cache sync rc-wb_sdb --json").json["results"][0]["dirty"] == 0
    (row,) = done(sandbox, "cache list --json").json["items"]
    assert row["dirty"] == 0


def test_the_unit_of_the_daemon(sandbox: Sandbox) -> None:
    done(sandbox, "daemon enable")
    done(sandbox, "daemon start")
    item = done(sandbox, "daemon status --json").json["item"]
    assert (item["active"], item["enabled"]) == (True, True)


# Several processes -------------------------------------------------------------------------------


def test_two_at_once_lose_nothing(process: Rdctl) -> None:
    assert process("-c", "sandbox", "rapiddisk", "list")[0] == 0
    words = ("-c", "sandbox", "rapiddisk", "create", "1M", "--count", "12", "-o", "name")
    running = [process.start(*words) for _ in range(2)]
    made = [one.communicate(timeout=120)[0].decode().split() for one in running]
    assert [len(names) for names in made] == [12, 12]
    _, out, _ = process("-c", "sandbox", "rapiddisk", "list", "-o", "name")
    assert sorted(out.split()) == sorted(["rd0", *made[0], *made[1]])


def test_the_lock_is_that_of_the_machine(rdctl: Program, sandbox: Sandbox) -> None:
    machine = machine_of(rdctl)
    descriptor = machine.lock(str(machine.path("run/rdctl.lock")))
    assert descriptor is not None
    try:
        ran = sandbox("rapiddisk", "lock", "rd0", "--json", "--timeout", "1")
    finally:
        machine.close(descriptor)
    assert (ran.code, ran.json["error"]["code"]) == (4, "in-use")
    assert ran.json["error"]["message"] == (
        f"another rdctl (process {os.getpid()}) holds the lock /run/rdctl.lock"
    )
    assert sandbox("rapiddisk", "lock", "rd0").code == 0


KILLED = """
import os, signal, sys
from rdctl.__main__ import main
from rdctl.sandbox.machine.stored import StoredMachine
steps, change = int(sys.argv.pop(1)), StoredMachine._change
def counted(self, act):
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    change(self, act)
StoredMachine._change = counted
sys.argv[0] = "rdctl"
main()
"""


def test_what_killed_processes_leave_in_memory_is_removed(
    process: Rdctl, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Not at once, and never that of a process which lives."""
    done(sandbox, "create 64M")
    env = process.env | {"TMPDIR": str(tmp_path)}

    def left() -> set[Path]:
        return set(tmp_path.glob("rdctl-sandbox-*"))

    argv = [sys.executable, "-c", KILLED, "1", *"-c sandbox rapiddisk create 1M".split()]
    for _ in range(2):
        subprocess.run(argv, env=env, capture_output=True, timeout=120, check=False)
    dead, young = left()
    os.utime(young)
    lives = tmp_path / "rdctl-sandbox-1-2"
    lives.mkdir()
    descriptor = os.open(lives, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    pipe = tmp_path / "rdctl-sandbox-3-4"
    os.mkfifo(pipe)  # whoever opens it waits
    for old in (dead, lives, pipe):
        os.utime(old, (0, 0))
    argv = [sys.executable, "-m", "rdctl", *"-c sandbox rapiddisk list".split()]
    subprocess.run(argv, env=env, capture_output=True, timeout=120, check=True)
    os.close(descriptor)
    assert left() == {young, lives, pipe}


@pytest.mark.parametrize("step", [2, 3, 4, 5, 6])
def test_a_killed_command_leaves_what_it_had_done(
    process: Rdctl, rdctl: Program, sandbox: Sandbox, step: int
) -> None:
    """A write-back cache: a record, create, load, resume, flush_on_suspend, the record again."""
    done(sandbox, "create 64M")
    before = done(sandbox, "list --json").out
    words = "-c sandbox rapiddisk cache create rd1 sdb --policy writeback --yes".split()
    argv = [sys.executable, "-c", KILLED, str(step), *words]
    ran = subprocess.run(argv, env=process.env, capture_output=True, timeout=120, check=False)
    assert ran.returncode == -signal.SIGKILL
    machine = machine_of(rdctl)
    assert list(machine.maps) == ([] if step == 2 else ["rc-wb_sdb"])
    if step > 2:
        mapping = machine.maps["rc-wb_sdb"]
        assert (mapping.kind, mapping.live) == ("" if step == 3 else "writecache", step > 4)
        assert mapping.armed == (step > 5)
    assert '"sent": null' in machine.text("run/rdctl/rd1.json")
    # Nothing is locked, and what is left can be removed.
    if step > 2:
        done(sandbox, "cache remove rc-wb_sdb --yes")
    assert done(sandbox, "cache list -o name").out == ""
    if step < 4:
        assert done(sandbox, "list --json").out == before


def test_no_directory_is_left(process: Rdctl, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    env = {"TMPDIR": str(place)}
    assert process("-c", "sandbox", "rapiddisk", "list", env=env)[0] == 0
    assert process("-c", "sandbox", "rapiddisk", "show", "rd9", env=env)[0] == 3
    assert list(place.iterdir()) == []


def test_a_reset_reaches_who_has_it_open(rdctl: Program, sandbox: Sandbox, served: Sandbox) -> None:
    done(sandbox, "create 64M")
    assert volumes(served) == ["rd0", "rd1"]
    assert rdctl("sandbox", "reset", "--yes").code == 0
    assert volumes(served) == ["rd0"]
    done(served, "create 8M")
    assert volumes(sandbox) == ["rd0", "rd1"]


# Reboot ------------------------------------------------------------------------------------------


def test_a_reboot_loses_what_is_in_memory(rdctl: Program, sandbox: Sandbox) -> None:
    done(sandbox, "create 64M --count 2")
    done(sandbox, "cache create rd1 sdb --policy writeback --yes")
    machine = machine_of(rdctl)
    machine.replace(str(machine.path("etc/rdctl/rapiddisk.toml")), "kept", 0o644)
    with machine.session():
        machine.write_disk("sda", b"on a disk")
    boot = machine.text("proc/sys/kernel/random/boot_id")
    asked = rdctl("sandbox", "reboot", "--json")
    assert (asked.code, asked.json["error"]["losses"]) == (
        2,
        ["in the sandbox, the contents of rd0 (16.0 KiB) will be lost"],
    )
    assert volumes(sandbox) == ["rd0", "rd1", "rd2"]
    assert rdctl("sandbox", "reboot", "--yes").out == "rebooted sandbox\n"
    assert volumes(sandbox) == []
    assert done(sandbox, "cache list -o name").out == ""
    assert done(sandbox, "nvmet list -o name").out == ""
    assert done(sandbox, "nvmet port list -o name").out == ""
    after = machine_of(rdctl)
    assert after.text("etc/rdctl/rapiddisk.toml") == "kept"
    assert not after.path("run/rdctl").exists()
    assert after.path("dev/sda").read_bytes() == b"on a disk"
    assert after.text("proc/sys/kernel/random/boot_id") != boot
    assert {after.text(f"sys/block/{name}/diskseq") for name in after.disks} == set("12345")
    assert done(sandbox, "create 64M -o name").out == "rd0\n"


def test_unwritten_blocks_are_lost_unless_the_cache_is_armed(
    rdctl: Program, sandbox: Sandbox
) -> None:
    done(sandbox, "create 64M")
    done(sandbox, "cache create rd1 sdb --policy writeback --yes")
    machine = machine_of(rdctl)
    with machine.session():
        machine.maps["rc-wb_sdb"].armed = False
    losses = rdctl("sandbox", "reboot", "--json").json["error"]["losses"]
    assert losses[1:] == ["in the sandbox, 2.0 MiB of rc-wb_sdb not yet on sdb will be lost"]


def test_a_power_failure_loses_what_no_disk_has(rdctl: Program, sandbox: Sandbox) -> None:
    """Also what a shutdown would write back or save to an image. What the other policies wrote is
    on the disk."""
    done(sandbox, "create 64M --count 3")
    for line in ("rd1 sda", "rd2 sdb --policy writeback --yes", "rd3 vdb --policy write-around"):
        done(sandbox, f"cache create {line}")
    done(sandbox, "nvmet unexport rd0 --yes")
    image = (
        'schema = "rdctl.rapiddisk.state/1"\n'
        '[volumes.rd0]\nsize = "32MiB"\nimage = "/var/lib/rdctl/rd0.img"\n'
    )
    machine = machine_of(rdctl)
    machine.replace(str(machine.path("etc/rdctl/rapiddisk.toml")), image, 0o644)
    done(sandbox, "boot enable --now --yes")
    assert rdctl("sandbox", "reboot", "--dry-run", "--json").json["losses"] == []
    sudden = ("sandbox", "reboot", "--power-failure")
    ran = rdctl(*sudden, "--dry-run", "--json")
    assert ran.json["plan"][0] == "systemctl reboot --force --force"
    assert ran.json["losses"] == [
        "in the sandbox, the contents of rd0 (16.0 KiB) will be lost: "
        "they are not saved to its image",
        "in the sandbox, 2.0 MiB of rc-wb_sdb not yet on sdb will be lost",
    ]
    assert rdctl(*sudden).code == 2
    ran = rdctl(*sudden, "--json", "--yes")
    assert (ran.code, ran.json["results"][0]["action"]) == (0, "reboot")
    (volume,) = done(sandbox, "list --json").json["items"]
    assert (volume["device"], volume["usage"]) == ("rd0", 0)


def unit(machine: StoredMachine, text: str, name: str = UNIT) -> None:
    machine.replace(str(machine.path(name)), text, 0o644)
    service = name.rpartition("/")[2]
    assert machine.run(["systemctl", "daemon-reload"]) == (0, "")
    assert machine.run(["systemctl", "enable", service])[0] == 0


def test_enabled_units_run_at_a_reboot(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDCTL_CONFIG", str(rdctl.config))
    machine = machine_of(rdctl)
    unit(
        machine,
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/usr/bin/rdctl --local rapiddisk create 64M --number 5\n"
        "ExecStop=/usr/bin/rdctl --local --yes rapiddisk remove rd5\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    unit(
        machine,
        "[Unit]\nAfter=rdctl-caches.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/usr/bin/rdctl --local rapiddisk lock rd5\n"
        "[Install]\nWantedBy=multi-user.target\n",
        "etc/systemd/system/a-lock.service",
    )
    assert machine.run(["systemctl", "is-enabled", "a-lock.service"]) == (0, "enabled\n")
    assert machine.run(["systemctl", "is-active", "a-lock.service"]) == (3, "inactive\n")
    ran = rdctl("sandbox", "reboot", "--yes")
    assert ran.out == "rebooted sandbox\nstarted rdctl-caches.service\nstarted a-lock.service\n", (
        ran.err
    )
    assert done(sandbox, "list --query [].[device,locked] -o json").json == [["rd5", True]]
    machine.refresh()
    assert machine.run(["systemctl", "is-active", "a-lock.service"]) == (0, "active\n")
    # rd5 is locked: its unit cannot stop, and the machine reboots all the same.
    ran = rdctl("sandbox", "reboot", "--json")
    assert [change["target"] for change in ran.json["results"]] == [
        "a-lock.service",
        "sandbox",
        "rdctl-caches.service",
        "a-lock.service",
    ]
    assert (ran.code, ran.json["errors"][0]["target"]) == (8, "rdctl-caches.service")
    assert ran.json["errors"][0]["message"] == (
        "rdctl-caches.service failed to stop: rd5 is locked"
    )
    assert "rdctl -c sandbox rapiddisk unlock rd5" in ran.json["errors"][0]["hint"]
    assert machine.run(["systemctl", "disable", "a-lock.service"])[0] == 0
    assert machine.run(["systemctl", "is-enabled", "a-lock.service"]) == (1, "disabled\n")


def test_all_of_it_comes_back(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDCTL_CONFIG", str(rdctl.config))
    for line in (
        "create 64M --number 3",
        "cache create rd3 sdb --policy writeback --yes",
        "nvmet unexport rd0 --yes",
        "nvmet export rc-wb_sdb --port 1 --any-host --serial abc",
        "dump --save --yes",
        "boot enable --yes",
    ):
        done(sandbox, line)
    before = done(sandbox, "nvmet list --json").json["items"]
    ran = rdctl("sandbox", "reboot", "--yes")
    assert ran.out.splitlines() == [
        "rebooted sandbox",
        "started rdctl-caches.service",
        "started rdctl-images.service",
        "started rdctl-exports.service",
    ], ran.err
    assert done(sandbox, "diff --exit-code").code == 0
    assert volumes(sandbox) == ["rd0", "rd3"]
    assert done(sandbox, "nvmet list --json").json["items"] == before
    ran = rdctl("sandbox", "reboot", "--json", "--yes")
    verbs = [change["action"] for change in ran.json["results"]]
    assert (ran.code, verbs) == (0, [*["stop"] * 3, "reboot", *["start"] * 3])
    assert done(sandbox, "diff --exit-code").code == 0


def test_a_dry_run_of_a_reboot(rdctl: Program, sandbox: Sandbox) -> None:
    done(sandbox, "create 64M")
    ran = rdctl("sandbox", "reboot", "--dry-run", "--json")
    assert (ran.code, ran.json["plan"]) == (0, ["systemctl reboot"])
    assert volumes(sandbox) == ["rd0", "rd1"]
