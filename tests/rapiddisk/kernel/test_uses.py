"""What a list shows beside the volumes: who uses them, and whether the memory suffices."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.conftest import Ran
from tests.fakes.kernel import MIB, FakeKernel

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd1"


@pytest.fixture
def busy(kernel: FakeKernel, local: Local) -> Local:
    """rd0 caches a disk, rd1 is exported twice, rd2 is mounted, rd3 is swap, rd4 is nobody's."""
    kernel.add_volumes(5)
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.add_port(1)
    kernel.foreign_subsystem(NQN, "/dev/rd1")
    kernel.offer(NQN, 1)
    kernel.foreign_subsystem("nqn.2014-08.org.nvmexpress:uuid:7a", "/dev/rd1")
    kernel.mount("/dev/rd2", "/mnt/a b")
    kernel.swap_on("/dev/rd3")
    return local


@pytest.mark.parametrize("root", [True, False], ids=["root", "nobody"])
def test_who_uses_a_volume(kernel: FakeKernel, busy: Local, root: bool) -> None:
    kernel.root_user = root
    items = busy("rapiddisk", "list", "--json").json["items"]
    assert {row["device"]: row["used_by"] for row in items} == {
        "rd0": ["rc-wt_vdb"],
        "rd1": ["export nqn.2014-08.org.nvmexpress:uuid:7a", f"export {NQN}"],
        "rd2": ["mount /mnt/a b"],
        "rd3": ["swap"],
        "rd4": [],
    }


def test_a_table_shows_short_names(busy: Local) -> None:
    ran = busy("rapiddisk", "list", "rd0", "rd1", "rd2", "rd4", "--columns", "device,used_by")
    assert ran.out == (
        "DEVICE  USED BY\n"
        "rd0     rc-wt_vdb\n"
        "rd1     export uuid:7a, export rdvm-rd1\n"
        "rd2     mount /mnt/a b\n"
        "rd4     -\n"
    )


def test_a_volume_that_is_cached_by_another(kernel: FakeKernel, local: Local) -> None:
    kernel.add_volumes(2)
    kernel.map_cache("rc-wt_rd1", "rd0", "rd1")
    items = local("rapiddisk", "list", "--json").json["items"]
    assert [row["used_by"] for row in items] == [["rc-wt_rd1"], ["rc-wt_rd1"]]


def test_what_cannot_be_read_is_not_nothing(kernel: FakeKernel, busy: Local) -> None:
    """A user that is known is shown; without one, nobody knows."""
    kernel.unmount_configfs()
    ran = busy("rapiddisk", "list", "--json")
    assert ran.err == ""
    assert [row["used_by"] for row in ran.json["items"]] == [
        ["rc-wt_vdb"],
        None,
        ["mount /mnt/a b"],
        ["swap"],
        None,
    ]


def test_the_list_reads_configfs_once(kernel: FakeKernel, busy: Local) -> None:
    reads: list[str] = []
    listdir = os.listdir

    def counted(path: str) -> list[str]:
        reads.append(str(path))
        return listdir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "listdir", counted)
        assert busy("rapiddisk", "list").code == 0
    assert len([path for path in reads if path.endswith("nvmet/subsystems")]) == 1


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "warned"),
    [(425 * MIB, False), (420 * MIB, True), (100 * MIB, True)],
    ids=["enough", "the reserve", "too little"],
)
@pytest.mark.parametrize("verb", ["list", "overview"])
def test_volumes_that_could_outgrow_the_memory(
    kernel: FakeKernel, local: Local, verb: str, available: int, warned: bool
) -> None:
    """By the measure of `create`: what they could still take, above what is available less 5 %."""
    kernel.add_volume(0, 500 * MIB)
    kernel.write_data("rd0", bytes(100 * MIB))
    kernel.set_memory(available)
    ran = local("rapiddisk", verb, "--json")
    assert ran.code == 0
    words = "rdctl: warning: volumes could grow by 400.0 MiB, but only "
    assert ran.err.startswith(words) if warned else ran.err == ""
    assert ran.err.count("\n") == int(warned)
    assert "warning" not in ran.out
    assert local("rapiddisk", verb, "-q").err == ""
    assert local("rapiddisk", "create", "1M").code == (4 if warned else 0)


def test_no_memory_is_asked_of_a_daemon_for_a_list(
    sandbox: Callable[..., Ran],
) -> None:
    ran = sandbox("rapiddisk", "list", "--trace")
    assert "listAllResources" not in ran.err
    assert "listAllNVMeTargets" not in ran.err
