"""The identity of exports: what clients know a disk by is set before they can see it, and changed
only when an export is re-created."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import RdctlError
from rdctl.rapiddisk.model import NvmeNamespace, Port, PortDetail, Subsystem
from tests.conftest import Ran
from tests.fakes.kernel import NVMET, FakeKernel
from tests.rapiddisk.kernel.drivers import driver

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
ONE, TWO = "nqn.2014-08.org.nvmexpress:uuid:1", "nqn.2014-08.org.nvmexpress:uuid:2"
UUID = "0e1b4a1c-93f0-4659-8222-6be1fa5c1cf2"
NGUID = "77777777-7777-7777-7777-777777777777"
DIRECTORY = f"{NVMET}/subsystems/{NQN}"
PLACE = f"{DIRECTORY}/namespaces/1"


def export(local: Local, *words: str, **options: Any) -> Ran:
    return local("rapiddisk", "nvmet", "export", "rd0", "--port", "1", *words, **options)


def identity(local: Local) -> tuple[str | None, str | None, str | None]:
    (target,) = local("rapiddisk", "nvmet", "show", "rd0", "--json").json["items"]
    return target["serial"], target["uuid"], target["nguid"]


def changes(trace: list[str], root: Path) -> list[str]:
    """The changing lines of a trace, without the root of the tree."""
    return [line.replace(f"{root}/{NVMET}/", "") for line in trace if not line.startswith("#")]


# --- what can be requested ------------------------------------------------------------------------


def test_a_new_export_has_the_requested_identity(kernel: FakeKernel, ports: Local) -> None:
    words = ("--serial", "lab 1", "--uuid", UUID, "--nguid", NGUID, "--any-host", "--json")
    ran = export(ports, *words)
    assert ran.code == 0, ran.err
    (result,) = ran.json["results"]
    assert (result["serial"], result["uuid"], result["nguid"]) == ("lab 1", UUID, NGUID)
    assert identity(ports) == ("lab 1", UUID, NGUID)
    again = export(ports, *words)
    assert again.json["results"][0]["changed"] is False


def test_what_is_not_requested_is_chosen_by_the_kernel(ports: Local) -> None:
    assert export(ports, "--any-host", "--serial", "lab-1").code == 0
    serial, uuid, nguid = identity(ports)
    assert (serial, nguid) == ("lab-1", None)
    assert uuid is not None
    assert "serial" not in export(ports, "--any-host", "--json").json["results"][0]


def test_all_is_set_before_a_host_can_see_it(ports: Local) -> None:
    words = ("--serial", "a", "--uuid", UUID, "--nguid", NGUID, "--host", ONE, "--trace")
    lines = export(ports, *words).err.splitlines()
    order = [
        next(number for number, line in enumerate(lines) if word in line)
        for word in ("attr_serial", "device_uuid", "device_nguid", "/enable", "ports/1/subsystems")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "text",
    [
        UUID,
        UUID.upper(),
        UUID.replace("-", ""),
        f"{{{UUID}}}",
        f"urn:uuid:{UUID}",
    ],
)
def test_usual_forms_of_an_identifier(ports: Local, text: str) -> None:
    assert export(ports, "--any-host", "--uuid", text, "--nguid", text).code == 0
    assert identity(ports)[1:] == (UUID, UUID)


@pytest.mark.parametrize(
    "words",
    [
        ("--serial", ""),
        ("--serial", " a"),
        ("--serial", "a "),
        ("--serial", "x" * 21),
        ("--serial", "ü"),
        ("--serial", "a\tb"),
        ("--uuid", ""),
        ("--uuid", UUID[:-1]),
        ("--uuid", f"{{{UUID}"),
        ("--uuid", "0" * 32),
        ("--nguid", "g" * 32),
        ("--nguid", "00000000-0000-0000-0000-000000000000"),
        ("--recreate",),
    ],
    ids=" ".join,
)
def test_what_no_disk_has(kernel: FakeKernel, ports: Local, words: tuple[str, ...]) -> None:
    assert (export(ports, "--any-host", *words).code, kernel.steps) == (2, 0)


def test_one_identity_is_not_given_to_two_disks(kernel: FakeKernel, ports: Local) -> None:
    words = ("rapiddisk", "nvmet", "export", "--port", "1", "--any-host", "--serial", "a")
    ran = ports(*words, "rd0", "rd1")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "specify one DEVICE" in ran.err
    assert ports(*words, "rd0", "rd0").code == 0


# --- another identity -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "disconnects"),
    [
        (("--host", ONE, "--host", TWO), "2 hosts"),
        (("--host", ONE), "1 host"),
        (("--any-host",), "all its hosts"),
    ],
)
def test_another_identity_is_refused(
    kernel: FakeKernel, ports: Local, hosts: tuple[str, ...], disconnects: str
) -> None:
    export(ports, *hosts, "--serial", "a")
    before, count = kernel.snapshot(), kernel.steps
    ran = export(ports, *hosts, "--serial", "b", "--nguid", NGUID)
    assert (ran.code, kernel.steps, kernel.snapshot()) == (4, count, before)
    assert (
        f'rd0: serial is "a", not "b"; nguid is not set, not "{NGUID}": the export must be'
        f" re-created, which disconnects {disconnects}\n"
    ) in ran.err
    assert "--recreate" in ran.err


def test_recreation_asks(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "--host", ONE, "--serial", "a")
    before, count = kernel.snapshot(), kernel.steps
    ran = export(ports, "--host", ONE, "--serial", "b", "--recreate")
    assert (ran.code, kernel.steps, kernel.snapshot()) == (2, count, before)
    loss = f'export {NQN} will be re-created (serial "b" instead of "a"), which disconnects 1 host'
    assert loss in ran.err
    ran = export(ports, "--host", ONE, "--serial", "b", "--recreate", tty=True, stdin=b"n\n")
    assert (kernel.steps, kernel.snapshot()) == (count, before)


def test_recreation_keeps_all_else(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "--port", "2", "--host", ONE, "--serial", "a", "--uuid", UUID, "--nguid", NGUID)
    kernel.path(f"{DIRECTORY}/attr_qid_max").write_text("16\n")
    kernel.path(f"{DIRECTORY}/attr_model").write_text("Other\n")
    kernel.path(f"{PLACE}/buffered_io").write_text("1\n")
    kernel.path(f"{NVMET}/hosts/{ONE}/dhchap_key").write_text("DHHC-1:00:secret:\n")
    kernel.discover(NQN)
    before = kernel.snapshot()
    words = ("--host", TWO, "--serial", "b", "--recreate", "--yes", "--trace")
    ran = export(ports, *words)
    assert ran.code == 0, ran.err
    assert "secret" not in ran.err
    after = kernel.snapshot()
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    host = f"{NVMET}/hosts/{TWO}"
    assert changed == {
        f"{DIRECTORY}/attr_serial",
        host,
        f"{DIRECTORY}/allowed_hosts/{TWO}",
    }
    assert identity(ports) == ("b", UUID, NGUID)


def test_a_change_of_identity_is_before_and_after(kernel: FakeKernel, ports: Local) -> None:
    """What is not requested stays as it was, and is no part of the change."""
    made = export(ports, "--host", ONE, "--serial", "a", "--json")
    assert made.json["results"][0]["after"]["serial"] == "a"
    ran = export(ports, "--host", ONE, "--serial", "b", "--recreate", "--yes", "--json")
    (result,) = ran.json["results"]
    assert (result["before"]["serial"], result["after"]["serial"]) == ("a", "b")
    assert "uuid" not in {**result["before"], **result["after"]}


def test_nothing_is_recreated_without_need(kernel: FakeKernel, ports: Local) -> None:
    words = ("--host", ONE, "--serial", "a", "--recreate")
    assert export(ports, *words).code == 0
    count = kernel.steps
    assert export(ports, *words).code == 0
    assert kernel.steps == count


def test_changed_while_it_is_asked(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "--host", ONE, "--serial", "a")
    count = kernel.steps
    kernel.when_locked = lambda: kernel.put(f"{DIRECTORY}/attr_qid_max", "7\n")
    words = ("--host", ONE, "--serial", "b", "--recreate")
    ran = export(ports, *words, tty=True, stdin=b"y\n")
    assert (ran.code, kernel.steps) == (4, count)
    assert "was changed meanwhile" in ran.err


@pytest.mark.parametrize("step", range(1, 19))
def test_a_recreation_that_fails_restores_all(kernel: FakeKernel, ports: Local, step: int) -> None:
    export(ports, "--port", "2", "--any-host", "--serial", "a", "--nguid", NGUID)
    kernel.path(f"{DIRECTORY}/attr_qid_max").write_text("16\n")
    kernel.path(f"{PLACE}/buffered_io").write_text("1\n")
    before = kernel.snapshot()
    kernel.steps = 0
    kernel.fail_at(step, errno.EIO)
    ran = export(ports, "--any-host", "--serial", "b", "--recreate", "--yes")
    assert (ran.code, kernel.snapshot()) == (1, before), ran.err
    assert f"{NQN} was not re-created" in ran.err


def test_a_dry_run_of_a_recreation_is_its_trace(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "--host", ONE, "--serial", "a")
    words = ("--host", ONE, "--serial", "b", "--recreate", "--yes", "--trace")

    def lines(*more: str) -> list[str]:
        acts = ("echo", "ln", "mkdir", "rm", "rmdir")
        return [
            line for line in export(ports, *words, *more).err.splitlines() if line.startswith(acts)
        ]

    dry = lines("--dry-run")
    assert dry
    assert lines() == dry


# --- the backend ----------------------------------------------------------------------------------


def subsystem(**values: Any) -> Subsystem:
    namespace = NvmeNamespace(1, "/dev/rd0", True, UUID, NGUID, (("buffered_io", "1"),))
    whole = Subsystem(
        nqn=NQN,
        any_host=False,
        hosts=(ONE,),
        namespaces=(namespace,),
        ports=(1,),
        serial="lab-1",
        attributes=(("attr_cntlid_max", "200"), ("attr_cntlid_min", "100")),
    )
    return whole._replace(**values)


def test_a_subsystem_is_described_as_it_was_created(kernel: FakeKernel, ports: Local) -> None:
    backend, _, _ = driver(kernel)
    backend.change_export(NQN, None, subsystem(), None)
    assert backend.described_subsystems() == [subsystem()]
    (plain,) = backend.subsystems()
    assert (plain.serial, plain.attributes) == ("lab-1", ())
    assert plain.namespaces[0].attributes == ()


def test_defaults_are_not_described(kernel: FakeKernel, ports: Local) -> None:
    kernel.foreign_subsystem(NQN, "/dev/rd0")
    kernel.put(f"{DIRECTORY}/attr_firmware", "6.1.0-56\n")
    kernel.put(f"{DIRECTORY}/attr_ieee_oui", "0x000000\n")
    kernel.put(f"{PLACE}/p2pmem", "0\n")
    kernel.put(f"{NVMET}/ports/1/param_inline_data_size", "16384\n")
    kernel.put(f"{NVMET}/ports/1/addr_tsas", "none\n")
    backend, _, _ = driver(kernel)
    (found,) = backend.described_subsystems()
    # That of another tool, since rdctl writes its own.
    assert found.attributes == (("attr_model", "Linux"),)
    assert found.namespaces[0].attributes == ()
    assert [detail.attributes for detail in backend.described_ports()] == [(), ()]
    kernel.put(f"{DIRECTORY}/attr_firmware", "1.0\n")
    (found,) = backend.described_subsystems()
    assert found.attributes == (("attr_firmware", "1.0"), ("attr_model", "Linux"))


def test_a_port_with_attributes(kernel: FakeKernel, ports: Local) -> None:
    port = Port(3, "tcp", "127.0.0.1", "4422")
    detail = PortDetail(port, (("addr_treq", "required"), ("param_inline_data_size", "0")))
    backend, _, _ = driver(kernel)
    backend.add_port(detail)
    assert backend.described_ports()[2] == detail


@pytest.mark.parametrize("step", range(1, 8))
def test_a_port_with_attributes_that_fails(kernel: FakeKernel, ports: Local, step: int) -> None:
    backend, _, _ = driver(kernel)
    before = kernel.snapshot()
    kernel.fail_at(step, errno.EIO)
    attributes = (("addr_treq", "required"), ("param_inline_data_size", "0"))
    with pytest.raises(RdctlError, match="port 3 was not added"):
        backend.add_port(PortDetail(Port(3, "tcp", "127.0.0.1", "4422"), attributes))
    assert kernel.snapshot() == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("attr_next", "this kernel has no attribute attr_next"),
        ("../../../ports/1/addr_treq", "invalid name of an attribute"),
        ("passthru/enable", "invalid name of an attribute"),
    ],
)
def test_an_attribute_that_the_kernel_does_not_have(
    kernel: FakeKernel, ports: Local, name: str, why: str
) -> None:
    backend, _, _ = driver(kernel)
    before = kernel.snapshot()
    with pytest.raises(RdctlError) as raised:
        backend.change_export(NQN, None, subsystem(attributes=((name, "1"),)), None)
    expected = why if name == "attr_next" else "refused by the kernel"
    assert expected in raised.value.message
    assert kernel.snapshot() == before


A, B = (ONE,), (TWO,)
# Before and after, as any_host, hosts and ports; and the steps between.
TRANSITIONS: list[tuple[Any, Any, list[str]]] = [
    (
        (False, A, (1,)),
        (False, B, (2,)),
        ["unlink port 1", f"unlink {ONE}", f"link {TWO}", "link port 2"],
    ),
    (
        (False, A, (1,)),
        (True, (), (1, 2)),
        [f"unlink {ONE}", "any 1", "link port 2"],
    ),
    (
        (True, (), (1, 2)),
        (False, A, (2,)),
        ["unlink port 1", "any 0", f"link {ONE}"],
    ),
    ((False, A, (1,)), (False, (*A, *B), ()), ["unlink port 1", f"link {TWO}"]),
]


def step_of(line: str) -> str | None:
    if "attr_allow_any_host" in line:
        return f"any {line.split()[1]}"
    verb = "link" if line.startswith("ln") else "unlink" if line.startswith("rm ") else None
    if verb is None:
        return None
    last = line.rsplit("/", 3)
    return f"{verb} port {last[1]}" if last[2] == "subsystems" else f"{verb} {last[3]}"


@pytest.mark.parametrize(("before", "after", "steps"), TRANSITIONS)
def test_ports_and_hosts_change_in_one_go(
    kernel: FakeKernel, ports: Local, before: Any, after: Any, steps: list[str]
) -> None:
    names = ("any_host", "hosts", "ports")
    one = subsystem(**dict(zip(names, before, strict=True)))
    other = subsystem(**dict(zip(names, after, strict=True)))
    driver(kernel)[0].change_export(NQN, None, one, None)
    whole = kernel.snapshot()
    dry, _, planned = driver(kernel, dry_run=True)
    dry.change_export(NQN, one, other, "access")
    backend, _, trace = driver(kernel)
    kernel.steps = 0
    backend.change_export(NQN, one, other, "access")
    assert planned == trace
    assert [step for line in trace if (step := step_of(line))] == steps
    (found,) = backend.described_subsystems()
    assert (found.any_host, set(found.hosts), found.ports) == (after[0], set(after[1]), after[2])
    # And back, with a failure at each step.
    count, there = kernel.steps, kernel.snapshot()
    for number in range(1, count + 1):
        kernel.steps = 0
        kernel.fail_at(number, errno.EIO)
        with pytest.raises(RdctlError):
            driver(kernel)[0].change_export(NQN, other, one, "access")
        kernel.before.clear()
        assert kernel.snapshot() == there
    driver(kernel)[0].change_export(NQN, other, one, "access")
    assert kernel.snapshot() == whole


def test_a_host_with_a_key_stays(kernel: FakeKernel, ports: Local) -> None:
    """A rollback could not restore a secret that must not be in the trace."""
    backend, _, _ = driver(kernel)
    backend.change_export(NQN, None, subsystem(hosts=(ONE, TWO)), None)
    kernel.put(f"{NVMET}/hosts/{ONE}/dhchap_key", "DHHC-1:00:secret:\n")
    backend.change_export(NQN, subsystem(hosts=(ONE, TWO)), None, "all")
    assert kernel.path(f"{NVMET}/hosts/{ONE}").exists()
    assert not kernel.path(f"{NVMET}/hosts/{TWO}").exists()


def test_a_dry_run_of_two_exports_to_one_host(kernel: FakeKernel, ports: Local) -> None:
    other = NQN[:-1] + "1"
    two = subsystem(nqn=other, namespaces=(NvmeNamespace(1, "/dev/rd1", True),))

    def run(dry_run: bool) -> list[str]:
        backend, _, trace = driver(kernel, dry_run=dry_run)
        backend.change_export(NQN, None, subsystem(), None)
        backend.change_export(other, None, two, None)
        return changes(trace, kernel.root)

    def undo(dry_run: bool) -> list[str]:
        backend, _, trace = driver(kernel, dry_run=dry_run)
        for one in backend.subsystems():
            backend.change_export(one.nqn, one, None, "all")
        return changes(trace, kernel.root)

    planned = run(True)
    assert planned.count(f"mkdir hosts/{ONE}") == 1
    assert run(False) == planned
    planned = undo(True)
    assert planned.count(f"rmdir hosts/{ONE}") == 1
    assert undo(False) == planned
