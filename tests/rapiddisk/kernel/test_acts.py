"""What the backend tells the history: each change of a thing, with its identity."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from typing import Any

import pytest

from rdctl.core.acts import Act
from rdctl.core.errors import RdctlError
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.kernel.backend import Kernel
from rdctl.rapiddisk.model import NewCache, NvmeNamespace, Port, PortDetail, Subsystem
from tests.fakes.kernel import MIB, PAGE, FakeKernel
from tests.rapiddisk.kernel.drivers import driver

NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
HOST = "nqn.2014-08.org.nvmexpress:uuid:1"
PATHS = {"vdb": "/dev/vdb", "sdb": "/dev/disk/by-id/wwn-0x5000"}


def acts_of(kernel: FakeKernel, *changes: Callable[[Kernel], object]) -> list[Act]:
    backend, effects, _ = driver(kernel)
    for change in changes:
        change(backend)
    return effects.acts


def boot(kernel: FakeKernel) -> str:
    return (kernel.root / "proc/sys/kernel/random/boot_id").read_text().strip()


def identity(kernel: FakeKernel, device: str) -> list[Any]:
    return [boot(kernel), (kernel.root / f"sys/block/{device}/diskseq").read_text().strip()]


def disk(kernel: FakeKernel, name: str) -> list[Any]:
    whole, sequence = identity(kernel, name)
    return [whole, [(kernel.root / f"sys/block/{name}/dev").read_text().strip(), sequence]]


def test_a_volume_from_its_creation_to_its_removal(kernel: FakeKernel) -> None:
    acts = acts_of(
        kernel,
        lambda backend: backend.create(8 * MIB, 3),
        lambda backend: backend.resize("rd3", 16 * MIB, None),
        lambda backend: backend.set_lock("rd3", True),
        lambda backend: backend.set_lock("rd3", False),
        lambda backend: backend.resize("rd3", 4 * MIB, "its end"),
    )
    it = identity(kernel, "rd3")
    assert acts == [
        Act("create", "volume", "rd3", it, None, {"size": 8 * MIB}),
        Act("resize", "volume", "rd3", it, {"size": 8 * MIB}, {"size": 16 * MIB}),
        Act("lock", "volume", "rd3", it, {"locked": False}, {"locked": True}),
        Act("unlock", "volume", "rd3", it, {"locked": True}, {"locked": False}),
        Act("resize", "volume", "rd3", it, {"size": 16 * MIB}, {"size": 4 * MIB}),
    ]
    removed = Act("remove", "volume", "rd3", it, {"size": 4 * MIB})
    assert acts_of(kernel, lambda backend: backend.remove("rd3", "all")) == [removed]


@pytest.mark.parametrize("act", ["erase", "remove"])
def test_lost_contents_are_named(kernel: FakeKernel, act: str) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"x" * 3 * PAGE)
    it = identity(kernel, "rd0")
    (done,) = acts_of(kernel, lambda backend: getattr(backend, act)("rd0", "all"))
    assert (done.verb, done.identity, done.lost) == (act, it, "its contents (12.0 KiB)")
    if act == "erase":
        (done,) = acts_of(kernel, lambda backend: backend.erase("rd0", "all"))
        assert done.lost is None


def test_a_cut_of_data_is_named(kernel: FakeKernel) -> None:
    """The counters of the kernel do not show them after a refused erase."""
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"x" * 5 * MIB)
    kernel.volume("rd0").high = 0
    (act,) = acts_of(kernel, lambda backend: backend.resize("rd0", 4 * MIB, "its end"))
    assert act.lost == "data beyond 4.0 MiB"


@pytest.mark.parametrize(
    ("policy", "source", "age"),
    [("write-through", "vdb", None), ("writeback", "sdb", 60), ("writeback", "vdb", None)],
)
def test_a_cache(kernel: FakeKernel, policy: str, source: str, age: int | None) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.link_node("dev/disk/by-id/wwn-0x5000", "../../sdb")
    names = {"write-through": "rc-wt_x", "writeback": "rc-wb_x"}
    name = names[policy]

    def create(backend: Kernel) -> None:
        new = NewCache("rd0", backend.source(source), policy, name, max_age=age)
        backend.map(new, "all")

    (made,) = acts_of(kernel, create)
    it = identity(kernel, kernel.maps[name].kernel)
    touched = (
        ("volume", "rd0", identity(kernel, "rd0")),
        ("disk", source, disk(kernel, source)),
    )
    facts = {"volume": "rd0", "source": PATHS[source], "policy": policy, "max_age": age}
    after = {**facts, "adopted": False}
    assert made == Act("map", "cache", name, it, None, after, touched=touched)
    (gone,) = acts_of(kernel, lambda backend: backend.unmap(name, "its cache"))
    assert gone == Act("unmap", "cache", name, it, facts, touched=touched)


def test_a_cache_without_a_table_cannot_be_made_again(kernel: FakeKernel) -> None:
    kernel.begin_mapping("rc-wt_x")
    (act,) = acts_of(kernel, lambda backend: backend.unmap("rc-wt_x", "its cache"))
    assert (act.verb, act.name, act.before, act.after) == ("unmap", "rc-wt_x", None, None)


def export(**values: Any) -> Subsystem:
    namespace = NvmeNamespace(1, "/dev/rd0", True)
    return Subsystem(NQN, False, (HOST,), (namespace,), (1,))._replace(**values)


def test_an_export_has_the_identity_that_the_kernel_chose(kernel: FakeKernel) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.add_port(1)
    kernel.add_port(2, service="4421")
    (made,) = acts_of(kernel, lambda backend: backend.change_export(NQN, None, export(), None))
    (there,) = driver(kernel)[0].described_subsystems()
    (namespace,) = there.namespaces
    device = ["rd0", identity(kernel, "rd0")[1]]
    it = [boot(kernel), [there.serial, [namespace.uuid, *device]]]
    volume = ("volume", "rd0", identity(kernel, "rd0"))
    assert there.serial is not None
    assert namespace.uuid is not None
    assert made[:5] == ("export", "export", NQN, it, None)
    assert plain.subsystem(json.loads(json.dumps(made.after))).serial == there.serial
    assert made.touched == (volume,)
    more = there._replace(ports=(1, 2))
    (changed,) = acts_of(kernel, lambda backend: backend.change_export(NQN, there, more, None))
    assert changed.identity == it
    assert changed.before == plain.of_subsystem(there)
    assert changed.after == plain.of_subsystem(more)
    other = more._replace(serial="other", attributes=(("attr_qid_max", "64"),))
    (anew,) = acts_of(kernel, lambda backend: backend.recreate_export(more, other, "its hosts"))
    assert anew.identity == [boot(kernel), ["other", *it[1][1:]]]
    assert anew.touched == (volume, ("export", NQN, it))
    listed = driver(kernel)[0].subsystems()[0]
    (gone,) = acts_of(kernel, lambda backend: backend.change_export(NQN, listed, None, "hosts"))
    assert (gone.identity, gone.after) == (anew.identity, None)
    assert plain.subsystem(json.loads(json.dumps(gone.before))) == other


def test_a_port(kernel: FakeKernel) -> None:
    detail = PortDetail(Port(3, "tcp", "10.0.2.15", "4420"), (("param_inline_data_size", "8192"),))
    (made,) = acts_of(kernel, lambda backend: backend.add_port(detail))
    it = [boot(kernel), ["tcp", "10.0.2.15", "4420"]]
    assert made == Act("add-port", "port", "3", it, None, plain.of_port(detail))
    (gone,) = acts_of(kernel, lambda backend: backend.remove_port(3, "it"))
    assert (gone.verb, gone.identity, gone.after) == ("remove-port", it, None)
    assert plain.port(json.loads(json.dumps(gone.before))) == detail


def test_what_was_refused_or_rolled_back_is_no_act(kernel: FakeKernel) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.add_port(1)
    backend, effects, _ = driver(kernel)
    kernel.fail_at(kernel.steps + 1, errno.EIO)
    with pytest.raises(RdctlError):
        backend.create(8 * MIB, 1)
    kernel.fail_at(kernel.steps + 4, errno.EIO)
    with pytest.raises(RdctlError):
        backend.change_export(NQN, None, export(), None)
    kernel.fail_at(kernel.steps + 3, errno.EIO)
    with pytest.raises(RdctlError):
        backend.map(NewCache("rd0", backend.source("vdb"), "write-through", "rc-wt_x"), None)
    assert effects.acts == []

    def several() -> None:
        with effects.transaction("several"):
            backend.create(8 * MIB, 1)
            backend.set_lock("rd9", True)

    with pytest.raises(RdctlError):
        several()
    assert effects.acts == []


def test_what_a_signal_ends_is_an_act(kernel: FakeKernel) -> None:
    """The change is made when the signal is heard."""
    backend, effects, _ = driver(kernel)
    kernel.interrupt_at(1)
    with pytest.raises(KeyboardInterrupt):
        backend.create(8 * MIB, 1)
    assert [(act.verb, act.name) for act in effects.acts] == [("create", "rd1")]
