"""What the doctor says about a reboot and a shutdown of this machine."""

from __future__ import annotations

import pytest

from rdctl.rapiddisk.boot import units
from tests.conftest import Program
from tests.doctor.conftest import Run, examined, heal, of, wrong
from tests.fakes.kernel import FakeKernel
from tests.rapiddisk.acts import STATE

ETC = "etc/systemd/system"
REQUIRES = "x-systemd.requires=rdctl-caches.service"
IMAGES = "x-systemd.requires=rdctl-images.service,x-systemd.after=rdctl-images.service"


@pytest.fixture
def stated(healthy: Run, kernel: FakeKernel) -> Run:
    """A machine with a state file."""
    kernel.put("etc/rdctl/rapiddisk.toml", STATE)
    return healthy


@pytest.fixture
def enabled(stated: Run, kernel: FakeKernel) -> Run:
    assert stated("rapiddisk", "boot", "enable").code == 0
    kernel.systemd.active |= {units.CACHES, units.EXPORTS}
    return stated


def test_nothing_to_restore(healthy: Run) -> None:
    (row,) = of(examined(healthy), "boot")
    assert (row["severity"], row["message"]) == (
        "ok",
        "nothing is restored at boot: no state file",
    )


def test_a_state_file_that_is_not_applied(stated: Run, rdctl: Program, kernel: FakeKernel) -> None:
    (row,) = of(examined(stated), "boot")
    assert (row["severity"], row["message"]) == (
        "skipped",
        "the state file is not applied at boot",
    )
    heal(rdctl, row["mend"])
    kernel.systemd.active.add(units.CACHES)
    (row,) = of(examined(stated), "boot")
    assert (row["severity"], row["message"]) == (
        "ok",
        "the state file is applied at boot; all files up to date",
    )


def test_a_state_file_with_a_fault(enabled: Run, kernel: FakeKernel) -> None:
    kernel.put("etc/rdctl/rapiddisk.toml", "volumes = 7\n")
    rows = examined(enabled, code=1)
    first, second = of(rows, "boot")
    assert first["severity"] == "error"
    assert "/etc/rdctl/rapiddisk.toml" in first["message"]
    assert second["mend"] == "rdctl --local rapiddisk boot disable"


def test_units_without_a_state_file(enabled: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.path("etc/rdctl/rapiddisk.toml").unlink()
    row = wrong(examined(enabled, code=0), "boot")
    assert "no valid state file exists to restore" in row["message"]
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(enabled), "boot")] == ["ok"]


def test_a_file_that_is_outdated(enabled: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.put("etc/rdctl/rapiddisk.toml", STATE.replace("64\n", "65\n", 1))
    row = wrong(examined(enabled, code=0), "boot")
    assert (row["subject"], row["message"]) == (
        "/etc/modprobe.d/rdctl.conf",
        "/etc/modprobe.d/rdctl.conf is outdated",
    )
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(enabled), "boot")] == ["ok"]


def test_a_file_that_was_edited(enabled: Run, kernel: FakeKernel) -> None:
    path = f"{ETC}/{units.EXPORTS}"
    kernel.put(path, kernel.path(path).read_text() + "# mine\n")
    row = wrong(examined(enabled, code=0), "boot")
    assert (row["subject"], row["mend"]) == (f"/{path}", None)
    assert row["message"].endswith("was edited by hand")


def test_one_unit_of_two(enabled: Run, rdctl: Program, kernel: FakeKernel) -> None:
    kernel.run(["systemctl", "disable", units.CACHES])
    row = wrong(examined(enabled, code=0), "boot")
    assert row["message"] == "rdctl-caches.service is not enabled"
    heal(rdctl, row["mend"])
    assert [row["severity"] for row in of(examined(enabled), "boot")] == ["ok"]


def test_a_unit_that_the_next_shutdown_does_not_run(
    stated: Run, rdctl: Program, kernel: FakeKernel
) -> None:
    stated("rapiddisk", "boot", "enable")
    row = wrong(examined(stated, code=0), "boot")
    assert row["message"].startswith("rdctl-caches.service is enabled but not active")
    assert row["mend"] == "rdctl --local rapiddisk boot enable --now"


def test_a_program_that_may_not_run_at_boot(enabled: Run, rdctl: Program) -> None:
    rdctl.program = ("/home/ann/.venv/bin/rdctl",)
    messages = [row["message"] for row in of(examined(enabled, code=0), "boot")]
    assert any(one.startswith("rdctl may not run at boot: /home/ann/") for one in messages)


def test_more_than_a_shutdown_can_write_back(
    enabled: Run, rdctl: Program, kernel: FakeKernel
) -> None:
    kernel.add_volume(2)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=300)
    kernel.put("sys/block/sdb/stat", "1 1 0 1 1 1 2 1 1 1000 1\n")  # 1 KiB/s
    rows = examined(enabled, code=0)
    row = wrong(rows, "boot")
    assert row["message"] == (
        "writing back takes about 20 min, more than half of the stop limit of 30 min"
    )
    heal(rdctl, row["mend"])
    assert kernel.maps["rc-wb_sdb"].dirty == 0


def test_a_cache_that_a_reboot_does_not_bring_back(stated: Run, kernel: FakeKernel) -> None:
    kernel.add_volume(2)
    kernel.map_cache("rc-wb_sdb", "rd2", "sdb", dirty=300)
    (row,) = [row for row in of(examined(stated), "boot") if row["subject"] == "rc-wb_sdb"]
    assert row["severity"] == "skipped"
    assert "is not in the state file: a reboot removes it (1.2 MiB are dirty now)" in row["message"]
    kernel.put("etc/rdctl/rapiddisk.toml", STATE.replace("vdb", "sdb"))
    assert [row["subject"] for row in of(examined(stated), "boot")] == [None]


def test_without_systemd(stated: Run, kernel: FakeKernel) -> None:
    kernel.systemctl = False
    assert [row["severity"] for row in of(examined(stated), "boot")] == ["skipped"]


# --- mounts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "lacking", "better"),
    [
        (
            "/dev/mapper/rc-wt_vdb /data ext4 defaults 0 2",
            f"nofail, {REQUIRES}",
            f"/dev/mapper/rc-wt_vdb /data ext4 nofail,{REQUIRES} 0 2",
        ),
        (
            "/dev/mapper/rc-wt_vdb\t/data\text4\tnoatime,nofail",
            REQUIRES,
            f"/dev/mapper/rc-wt_vdb /data ext4 noatime,nofail,{REQUIRES}",
        ),
        (
            f"/dev/disk/by-id/dm-name-rc-wt_vdb /data xfs {REQUIRES} 0 0",
            "nofail",
            f"/dev/disk/by-id/dm-name-rc-wt_vdb /data xfs {REQUIRES},nofail 0 0",
        ),
        (
            'UUID="1234-ABCD" /data ext4',
            f"nofail, {REQUIRES}",
            f'UUID="1234-ABCD" /data ext4 nofail,{REQUIRES}',
        ),
        ("/dev/rd0 /scratch ext4 defaults", "nofail", "/dev/rd0 /scratch ext4 nofail"),
        ("/dev/rd0 /scratch", "nofail", "/dev/rd0 /scratch auto nofail"),
        # Not there now.
        ("/dev/rd9 /scratch ext4 defaults", "nofail", "/dev/rd9 /scratch ext4 nofail"),
        (
            "/dev/mapper/rc-wb_gone /data ext4 defaults",
            f"nofail, {REQUIRES}",
            f"/dev/mapper/rc-wb_gone /data ext4 nofail,{REQUIRES}",
        ),
    ],
)
def test_a_line_of_fstab_that_lacks_something(
    healthy: Run, kernel: FakeKernel, line: str, lacking: str, better: str
) -> None:
    for name in ("by-id/dm-name-rc-wt_vdb", "by-uuid/1234-ABCD"):
        kernel.link_node(f"dev/disk/{name}", f"../../{kernel.maps['rc-wt_vdb'].kernel}")
    kernel.put("etc/fstab", f"# a comment\nproc /proc proc defaults 0 0\n{line}\n")
    row = wrong(examined(healthy, code=0), "mounts")
    place = line.split()[1]
    assert (row["severity"], row["subject"]) == ("warning", place)
    assert row["message"].startswith(f"/etc/fstab, line 3: {place} on r")
    assert row["message"].endswith(f" lacks {lacking}")
    assert row["why"].endswith(f" Replace the line with: {better}")
    kernel.put("etc/fstab", f"{better}\n")
    assert [row["severity"] for row in of(examined(healthy), "mounts")] == ["ok"]


@pytest.mark.parametrize(
    "line",
    [
        "/dev/sda1 / ext4 errors=remount-ro 0 1",
        "UUID=not-there /home ext4 defaults 0 2",
        "/dev/mapper/rc-wt_vdb /data ext4 noauto",
        "server:/export /srv nfs defaults 0 0",
        "/swap.img none swap sw 0 0",
    ],
)
def test_a_line_of_fstab_that_is_fine(healthy: Run, kernel: FakeKernel, line: str) -> None:
    kernel.put("etc/fstab", f"{line}\n")
    (row,) = of(examined(healthy), "mounts")
    assert row["message"] == "no problems found in /etc/fstab"


@pytest.mark.parametrize("stacked", [False, True])
def test_a_root_file_system_on_a_cache(healthy: Run, kernel: FakeKernel, stacked: bool) -> None:
    if stacked:
        kernel.map_linear("vg-root", kernel.maps["rc-wt_vdb"].kernel)
    device = kernel.maps["vg-root" if stacked else "rc-wt_vdb"]
    mounts = f"22 1 252:{device.minor} / / rw - ext4 /dev/dm-0 rw\n"
    kernel.put(
        "proc/self/mountinfo", mounts + "23 22 0:20 / /sys/kernel/config rw - configfs c rw\n"
    )
    row = wrong(examined(healthy, code=1), "mounts")
    assert row["message"] == "the root file system is on cache rc-wt_vdb, which is not supported"


def imaged(kernel: FakeKernel) -> None:
    kernel.put(
        "etc/rdctl/rapiddisk.toml", STATE + '[volumes.rd9]\nsize = "8MiB"\nimage = "/srv/a"\n'
    )


def test_a_mount_of_a_volume_with_an_image(healthy: Run, kernel: FakeKernel) -> None:
    imaged(kernel)
    kernel.put("etc/fstab", "/dev/rd9 /scratch ext4 defaults 0 0\n")
    row = wrong(examined(healthy, code=0), "mounts")
    assert row["message"] == (
        f"/etc/fstab, line 1: /scratch on rd9 lacks nofail, {IMAGES.replace(',', ', ')}"
    )
    assert row["why"] == (
        "It may be mounted before its image is loaded, or still be in use when it is saved."
        f" Replace the line with: /dev/rd9 /scratch ext4 nofail,{IMAGES} 0 0"
    )
    kernel.put("etc/fstab", f"/dev/rd9 /scratch ext4 nofail,{IMAGES} 0 2\n")
    row = wrong(examined(healthy, code=0), "mounts")
    assert row["message"] == (
        "/etc/fstab, line 1: /scratch on rd9 is checked by fsck before its image is loaded"
    )
    kernel.put("etc/fstab", f"/dev/rd9 /scratch ext4 nofail,{IMAGES} 0 0\n")
    assert [row["severity"] for row in of(examined(healthy), "mounts")] == ["ok"]


def test_an_image_that_would_not_be_saved(enabled: Run, kernel: FakeKernel) -> None:
    imaged(kernel)
    kernel.systemd.active.add(units.IMAGES)
    kernel.make_dir("srv")
    assert enabled("rapiddisk", "boot", "enable").code == 0
    assert enabled("rapiddisk", "apply", "--boot").code == 8  # its cache is not possible there
    assert [row["severity"] for row in of(examined(enabled), "boot")] == ["ok"]
    kernel.put("srv/a", "another image")
    row = wrong(examined(enabled, code=0), "boot")
    assert row["message"] == (
        "not saved at the next shutdown: rd9 and its image /srv/a differ: the volume was not"
        " loaded from it"
    )
    assert "rdctl --local rapiddisk save rd9 /srv/a --overwrite" in row["why"]
