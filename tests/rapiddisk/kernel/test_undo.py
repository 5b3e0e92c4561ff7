"""Single acts as parts of a transaction: what was done is undone when a later step fails, unless it
is in use meanwhile; a dry run of all of them is their trace."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.rapiddisk.kernel.backend import Kernel
from rdctl.rapiddisk.model import Device, NewCache, NvmeNamespace, Subsystem
from tests.fakes.kernel import MIB, FakeKernel
from tests.rapiddisk.kernel.drivers import driver

NQN = "nqn.2021-06.org.rapiddisk:rdvm-rc-wb_sdb"
ODD = 131072 + 512


class Stop(Exception):
    """A later step fails."""


def failed(kernel: FakeKernel, act: Callable[[Kernel], object]) -> Effects:
    """A transaction that fails after the act."""
    backend, effects, _ = driver(kernel)
    with suppress(Stop), effects.transaction("apply"):
        act(backend)
        raise Stop
    return effects


# --- volumes --------------------------------------------------------------------------------------


def test_sizes_are_bytes(kernel: FakeKernel) -> None:
    backend, _, _ = driver(kernel)
    assert backend.create(ODD, 3) == "rd3"
    assert kernel.volumes[3].size == ODD
    backend.resize("rd3", 2 * ODD, None)
    assert kernel.volumes[3].size == 2 * ODD
    with pytest.raises(RdctlError, match="rd4 was not created"):
        backend.create(ODD + 1, 4)


def test_a_creation_is_undone(kernel: FakeKernel) -> None:
    before = kernel.snapshot()
    effects = failed(kernel, lambda backend: backend.create(8 * MIB, None))
    assert (effects.undone, effects.left, effects.done) == (["apply"], [], [])
    assert kernel.snapshot() == before


def test_a_refused_creation_undoes_nothing(kernel: FakeKernel) -> None:
    """The number is another tool's."""

    def act(backend: Kernel) -> None:
        kernel.before[1] = lambda: kernel.take_number(5)
        with pytest.raises(RdctlError) as raised:
            backend.create(8 * MIB, 5)
        assert raised.value.code is Code.EXISTS

    assert failed(kernel, act).left == []
    assert list(kernel.volumes) == [5]


USERS: dict[str, Callable[[FakeKernel], None]] = {
    "mount": lambda kernel: kernel.mount("/dev/rd0", "/mnt"),
    "swap": lambda kernel: kernel.swap_on("/dev/rd0"),
    "export": lambda kernel: kernel.foreign_subsystem("nqn.x", "/dev/rd0"),
    "process": lambda kernel: kernel.open_by(77, "dd", "/dev/rd0"),
    "mapping": lambda kernel: kernel.map_linear("data", "rd0"),
}


@pytest.mark.parametrize("user", USERS)
def test_what_is_used_by_then_is_left_and_named(kernel: FakeKernel, user: str) -> None:
    def act(backend: Kernel) -> None:
        backend.create(8 * MIB, 0)
        backend.resize("rd0", 16 * MIB, None)
        USERS[user](kernel)

    effects = failed(kernel, act)
    assert kernel.volumes[0].size == 16 * MIB
    resized, attached = effects.left
    assert f"rapiddisk resize 0 {8 * MIB}" in resized
    assert "rapiddisk detach 0" in attached


def test_a_growth_is_undone(kernel: FakeKernel) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"kept", 4 * MIB)
    before = kernel.snapshot()
    assert failed(kernel, lambda backend: backend.resize("rd0", 9 * MIB, None)).left == []
    assert kernel.snapshot() == before


def test_a_growth_that_was_written_to_is_left_and_named(kernel: FakeKernel) -> None:
    kernel.add_volume(0, 8 * MIB)

    def act(backend: Kernel) -> None:
        backend.resize("rd0", 16 * MIB, None)
        kernel.write_data("rd0", b"new", 12 * MIB)

    (left,) = failed(kernel, act).left
    assert f"rapiddisk resize 0 {8 * MIB}" in left
    assert kernel.volumes[0].size == 16 * MIB


@pytest.mark.parametrize("locked", [True, False])
def test_a_lock_is_undone(kernel: FakeKernel, locked: bool) -> None:
    kernel.add_volume(0, 8 * MIB)
    driver(kernel)[0].set_lock("rd0", not locked)
    before = kernel.snapshot()
    assert failed(kernel, lambda backend: backend.set_lock("rd0", locked)).left == []
    assert kernel.snapshot() == before


# --- all of it ------------------------------------------------------------------------------------


def everything(backend: Kernel, effects: Effects) -> None:
    """A volume with a cache that is exported, and a locked one."""
    with effects.transaction("apply"):
        backend.create(64 * MIB, 0)
        backend.create(ODD, 7)
        backend.resize("rd7", 2 * ODD, None)
        source = Device("sdb", "8:16", "sdb")
        backend.map(NewCache("rd0", source, "writeback", "rc-wb_sdb", max_age=300), "rd0")
        below = NewCache("rd7", Device("vdb", "254:16", "vdb"), "writeback", "rc-wb_vdb")
        backend.map(below, "rd7")
        path = backend.path_of("rc-wb_sdb")
        namespace = NvmeNamespace(1, path, True)
        after = Subsystem(NQN, True, (), (namespace,), (1,), serial="lab-1")
        backend.change_export(NQN, None, after, None)
        backend.create(8 * MIB, None)
        backend.set_lock("rd1", True)


def changes(trace: list[str]) -> list[str]:
    return [line for line in trace if not line.startswith("#")]


def test_a_dry_run_is_the_trace(kernel: FakeKernel) -> None:
    kernel.add_port(1)
    before = kernel.snapshot()
    backend, effects, planned = driver(kernel, dry_run=True)
    everything(backend, effects)
    assert kernel.snapshot() == before
    backend, effects, trace = driver(kernel)
    everything(backend, effects)
    assert changes(planned) == changes(trace)
    assert effects.done == ["apply"]
    assert {f"rd{number}": v.size for number, v in kernel.volumes.items()} == {
        "rd0": 64 * MIB,
        "rd7": 2 * ODD,
        "rd1": 8 * MIB,
    }


def test_all_is_undone_at_every_step(kernel: FakeKernel) -> None:
    kernel.add_port(1)
    before = kernel.snapshot()
    step = 0
    while True:
        step += 1
        kernel.steps = 0
        kernel.fail_at(step, errno.EIO)
        backend, effects, _ = driver(kernel)
        try:
            everything(backend, effects)
        except RdctlError:
            assert (effects.left, kernel.harm) == ([], [])
            assert kernel.snapshot() == before
            assert list(kernel.path("run").glob("rdctl/*")) == []
            continue
        break
    assert step > 20


# --- what a dump needs ----------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "there"), [(300, 300), (None, None), (1, 1)])
def test_the_age_of_blocks(kernel: FakeKernel, seconds: int | None, there: int | None) -> None:
    kernel.add_volume(0)
    backend, _, _ = driver(kernel)
    source = Device("sdb", "8:16", "sdb")
    backend.map(NewCache("rd0", source, "writeback", "rc-wb_sdb", max_age=seconds), "rd0")
    assert backend.max_age_of("rc-wb_sdb") == there


def test_the_age_among_other_options(kernel: FakeKernel) -> None:
    kernel.add_volume(0)
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb")
    mapping = kernel.maps["rc-wb_sdb"]
    mapping.arguments[4:] = ["5", "high_watermark", "60", "max_age", "1500", "cleaner"]
    backend, _, _ = driver(kernel)
    assert backend.max_age_of("rc-wb_sdb") == 2


def test_other_caches_have_no_age(kernel: FakeKernel) -> None:
    kernel.add_volume(0)
    kernel.map_cache("rc-wt_sdb", "rd0", "sdb")
    backend, _, _ = driver(kernel)
    assert backend.max_age_of("rc-wt_sdb") is None
    kernel.begin_mapping("rc-wb_vdb")
    with pytest.raises(RdctlError, match="rc-wb_vdb is incomplete"):
        backend.max_age_of("rc-wb_vdb")
    with pytest.raises(RdctlError) as raised:
        backend.max_age_of("rc-wb_none")
    assert raised.value.code is Code.NOT_FOUND


BY = "dev/disk/by-"


def test_the_most_stable_name_of_a_source(kernel: FakeKernel) -> None:
    backend, _, _ = driver(kernel)
    kernel.link_node(f"{BY}uuid/4a1c", "../../sdb")
    kernel.link_node(f"{BY}label/data", "../../sdb")
    kernel.link_node(f"{BY}id/dm-name-x", "../../sdb")
    assert backend.stable_source("sdb") == ("/dev/sdb", "kernel")
    kernel.link_node(f"{BY}path/pci-0000:00:1f.2-ata-1", "../../sdb")
    assert backend.stable_source("sdb") == ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "path")
    kernel.link_node(f"{BY}partuuid/9f", "../../sdb")
    assert backend.stable_source("sdb") == ("/dev/disk/by-partuuid/9f", "partuuid")
    kernel.link_node(f"{BY}id/wwn-0x1", "../../vdb")  # of another device
    kernel.link_node(f"{BY}id/wwn-0x2", "../../sdb")
    assert backend.stable_source("sdb") == ("/dev/disk/by-id/wwn-0x2", "id")


def test_the_names_of_mappings_and_volumes(kernel: FakeKernel) -> None:
    backend, _, _ = driver(kernel)
    kernel.add_volume(0)
    kernel.add_volume(1)
    assert backend.stable_source("rd1") == ("/dev/rd1", "volume")
    kernel.map_linear("data", "vdc")
    kernel.link_node(f"{BY}id/dm-uuid-LVM-1", "../../dm-0")
    assert backend.stable_source("dm-0") == ("/dev/mapper/data", "mapping")
    kernel.map_cache("rc-wt_sdb", "rd0", "sdb")
    assert backend.stable_source("dm-1") == ("/dev/mapper/rc-wt_sdb", "mapping")


def test_a_source_that_is_gone_has_no_name(kernel: FakeKernel) -> None:
    backend, _, _ = driver(kernel)
    os.unlink(kernel.path("dev/sdb"))
    with pytest.raises(RdctlError) as raised:
        backend.stable_source("sdb")
    assert raised.value.code is Code.NOT_FOUND
