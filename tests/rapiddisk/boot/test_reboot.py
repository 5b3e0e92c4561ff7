"""A reboot of the simulated machine, by the command lines of the units."""

from __future__ import annotations

from rdctl.rapiddisk.boot import units
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel

DISK = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"
MADE = (
    "create 64M --count 3",
    f"cache create rd0 {DISK} --policy writeback --yes",
    "cache create rd1 sdb",
    "nvmet port add 1 --transport tcp --address 10.0.2.15",
    "nvmet export rd2 --port 1 --any-host",
    "dump --save",
    "boot enable",
)


def run_by_unit(rdctl: Program, name: str, key: str) -> Ran:
    """What systemd would run of the file that was written."""
    text = (rdctl.root / "etc/systemd/system" / name).read_text()
    settings = [line.partition("=") for line in text.splitlines() if "=" in line]
    values = {word: value for word, _, value in settings}
    variable, _, value = values["Environment"].partition("=")
    return rdctl(*values[key].split()[1:], env={variable: value})


def identity(kernel: FakeKernel) -> list[str]:
    """What clients know the exported disk by."""
    top = kernel.path("sys/kernel/config/nvmet/subsystems")
    files = (*top.glob("*/attr_serial"), *top.glob("*/namespaces/1/device_uuid"))
    return [f"{path.relative_to(top)} {path.read_text()}" for path in sorted(files)]


def test_everything_is_there_again_and_nothing_is_lost(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.link_node(DISK, "../../vdb")
    for line in MADE:
        ran = rdctl("--local", "rapiddisk", *line.split())
        assert ran.code == 0, ran.err
    before = identity(kernel)
    kernel.maps["rc-wb_vdb"].dirty = 9
    for name in (units.EXPORTS, units.CACHES):
        ran = run_by_unit(rdctl, name, "ExecStop")
        assert (ran.code, ran.err) == (0, "")
    assert sorted(kernel.maps) == ["rc-wt_sdb"]
    # The power goes: systemd has removed the other mapping, the volumes are gone.
    kernel.unmap_unsafely("rc-wt_sdb")
    for number in list(kernel.volumes):
        assert kernel.volumes[number].unwritten == 0
        kernel.remove_volume(number)
    for name in (units.CACHES, units.EXPORTS):
        ran = run_by_unit(rdctl, name, "ExecStart")
        assert (ran.code, ran.err) == (0, "")
    assert rdctl("--local", "rapiddisk", "diff", "--exit-code").code == 0
    assert sorted(kernel.maps) == ["rc-wb_vdb", "rc-wt_sdb"]
    assert identity(kernel) == before != []
    steps = kernel.steps
    for name in (units.CACHES, units.EXPORTS):
        assert run_by_unit(rdctl, name, "ExecStart").code == 0
    assert kernel.steps == steps


def test_a_restart_of_a_unit_keeps_what_is_in_use(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.link_node(DISK, "../../vdb")
    for line in MADE:
        assert rdctl("--local", "rapiddisk", *line.split()).code == 0
    kernel.mount("/dev/mapper/rc-wb_vdb", "/data")
    for key in ("ExecStop", "ExecStart"):
        assert run_by_unit(rdctl, units.CACHES, key).code == 0
    assert sorted(kernel.maps) == ["rc-wb_vdb", "rc-wt_sdb"]
    assert rdctl("--local", "rapiddisk", "diff", "--exit-code").code == 0
