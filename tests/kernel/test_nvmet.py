"""NVMe-oF: exports that a real client uses, and configfs left whole whatever goes wrong."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.backend import Kernel
from rdctl.rapiddisk.model import Port, PortDetail
from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, NO_NVMET, NVMET

HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
OTHER = "nqn.2014-08.org.nvmexpress:uuid:99999999-2222-3333-4444-555555555555"


# TLS came with Linux 6.7.
PORT = {
    "port": 1,
    "transport": "tcp",
    "address": "127.0.0.1",
    "service": "4420",
    "tls": None if os.uname().release.startswith("6.1.") else False,
}


def nqn(device: str) -> str:
    """As RapidDisk names its exports."""
    return f"nqn.2021-06.org.rapiddisk:{socket.gethostname()}-{device}"


def connect(
    subsystem: str, service: int = 4420, host: str = HOST, address: str = "127.0.0.1"
) -> str:
    """A client on this machine; the path of the disk that it got. It has one queue: of several,
    workers of the kernel would write at the same time, which 9.0.0 does not stand (see `log`)."""
    identity = host.rsplit(":", 1)[1]
    machine.tool(
        *("nvme", "connect", "--transport=tcp", f"--traddr={address}", f"--trsvcid={service}"),
        *(f"--nqn={subsystem}", f"--hostnqn={host}", f"--hostid={identity}"),
        "--nr-io-queues=1",
    )
    machine.until(lambda: disks_of(subsystem), f"the client's disk of {subsystem}")
    path = f"/dev/{disks_of(subsystem)[0]}"
    machine.until(lambda: os.path.exists(path), path)
    return path


def identity(client: str) -> tuple[str, str | None, str | None]:
    """The serial number, the UUID and the NGUID that a client sees of its disk."""
    disk = Path("/sys/block") / client.removeprefix("/dev/")
    known = next(Path("/sys/class/nvme-subsystem").glob(f"nvme-subsys*/{disk.name}")).parent
    uuid, nguid = disk / "uuid", disk / "nguid"
    return (
        (known / "serial").read_text().strip(),
        uuid.read_text().strip() if uuid.exists() else None,
        nguid.read_text().strip() if nguid.exists() else None,
    )


def disks_of(subsystem: str) -> list[str]:
    return [
        disk.name
        for known in Path("/sys/class/nvme-subsystem").glob("nvme-subsys*")
        if (known / "subsysnqn").read_text().strip() == subsystem
        for disk in known.glob("nvme*n*")
        if "c" not in disk.name
    ]


def disconnect() -> None:
    machine.tool("nvme", "disconnect-all")


def add_port(rdctl: Program, number: int = 1, *more: str, address: str = "127.0.0.1") -> None:
    rdctl.ok("nvmet", "port", "add", str(number), "--transport", "tcp", "--address", address, *more)


def test_an_export_that_a_client_reads_and_writes(rdctl: Program) -> None:
    machine.attach(0)
    written = machine.fill("/dev/rd0", 4 * MIB, seed="served")
    add_port(rdctl)
    report = rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    assert report["results"][0]["changed"] is True
    target = rdctl.items("nvmet", "list")[0]
    serial, uuid = target.pop("serial"), target.pop("uuid")
    assert target == {
        "nqn": nqn("rd0"),
        "namespace": 1,
        "device": "/dev/rd0",
        "enabled": True,
        "any_host": True,
        "hosts": [],
        "ports": [PORT],
        "nguid": None,
        "authenticated": False,
        "tls": False,
    }
    assert rdctl.items("nvmet", "port", "list") == [PORT]
    client = connect(nqn("rd0"))
    model = Path("/sys/class/nvme-subsystem").glob("nvme-subsys*/model")
    assert [path.read_text().strip() for path in model] == ["RapidDisk"]
    assert identity(client) == (serial, uuid, None)
    assert machine.digest(client, 4 * MIB) == written
    back = machine.fill(client, 4 * MIB, at=8 * MIB, seed="by the client")
    disconnect()
    rdctl.ok("nvmet", "unexport", "rd0")
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}
    assert machine.digest("/dev/rd0", 4 * MIB, at=8 * MIB) == back
    rdctl.ok("nvmet", "port", "remove", "1")
    assert machine.nvmet() == NO_NVMET
    # Nothing holds the volume any more.
    rdctl.ok("remove", "rd0")


def test_a_cache_exported(rdctl: Program, disk: str) -> None:
    written = machine.fill(f"/dev/{disk}", 2 * MIB, seed="cached")
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk)
    cache = f"rc-wt_{disk}"
    add_port(rdctl)
    rdctl.ok("nvmet", "export", cache, "--port", "1", "--any-host")
    assert rdctl.items("nvmet", "list")[0]["device"] == f"/dev/mapper/{cache}"
    client = connect(nqn(cache))
    assert machine.digest(client, 2 * MIB) == written
    # The volume below the cache below the export.
    assert cache in rdctl.refused("remove", "rd0", code="in-use")
    message = rdctl.refused("cache", "remove", cache, code="in-use")
    assert "rdctl rapiddisk nvmet unexport" in message
    disconnect()
    rdctl.ok("nvmet", "unexport", f"/dev/mapper/{cache}")
    rdctl.ok("cache", "remove", cache)


def test_named_hosts_only(rdctl: Program) -> None:
    machine.attach(0)
    add_port(rdctl)
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    target = rdctl.items("nvmet", "list")[0]
    assert (target["any_host"], target["hosts"]) == (False, [HOST])
    with pytest.raises(AssertionError):
        connect(nqn("rd0"), host=OTHER)
    connect(nqn("rd0"), host=HOST)
    disconnect()
    # A second host joins; the first goes; the last one gone leaves nobody, and not anybody.
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--host", OTHER)
    assert rdctl.items("nvmet", "list")[0]["hosts"] == [HOST, OTHER]
    rdctl.ok("nvmet", "unexport", "rd0", "--host", HOST)
    assert rdctl.items("nvmet", "list")[0]["hosts"] == [OTHER]
    assert machine.nvmet()["hosts"] == [f"hosts/{OTHER}"]
    rdctl.ok("nvmet", "unexport", "rd0", "--host", OTHER)
    left = rdctl.items("nvmet", "list")
    assert not left or (left[0]["any_host"], left[0]["hosts"]) == (False, [])
    with pytest.raises(AssertionError):
        connect(nqn("rd0"), host=OTHER)


def test_who_may_connect_has_to_be_said(rdctl: Program) -> None:
    machine.attach(0)
    add_port(rdctl)
    for wrong in (
        (),
        ("--any-host", "--host", HOST),
        ("--host", "nqn.with/slash"),
        ("--host", "no-nqn"),
        ("--host", "nqn." + "x" * 300),
    ):
        ran = rdctl("nvmet", "export", "rd0", "--port", "1", *wrong)
        assert ran.code == 2, (wrong, ran)
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}


def test_a_host_of_two_exports_stays_with_the_second(rdctl: Program) -> None:
    add_port(rdctl)
    for number in range(2):
        machine.attach(number)
        rdctl.ok("nvmet", "export", f"rd{number}", "--port", "1", "--host", HOST)
    rdctl.ok("nvmet", "unexport", "rd0")
    assert machine.nvmet()["allowed"] == [f"subsystems/{nqn('rd1')}/allowed_hosts/{HOST}"]
    rdctl.ok("nvmet", "unexport", "rd1")
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}


def test_two_ports(rdctl: Program) -> None:
    """Another service port on the same address; the last port gone removes the export."""
    machine.attach(0)
    add_port(rdctl, 1)
    add_port(rdctl, 7, "--service", "4421")
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--port", "7", "--any-host")
    connect(nqn("rd0"), service=4421)
    disconnect()
    message = rdctl.refused("nvmet", "port", "remove", "7", code="in-use")
    assert nqn("rd0") in message
    rdctl.ok("nvmet", "unexport", "rd0", "--port", "1")
    assert [port["port"] for port in rdctl.items("nvmet", "list")[0]["ports"]] == [7]
    connect(nqn("rd0"), service=4421)
    disconnect()
    rdctl.ok("nvmet", "unexport", "rd0", "--port", "7")
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1", "ports/7"]}


@pytest.mark.parametrize(
    ("where", "address"),
    [
        (("--interface", "lo"), "127.0.0.1"),
        (("--address", "::1"), "::1"),
        (("--address", "127.0.0.2"), "127.0.0.2"),
    ],
)
def test_addresses(rdctl: Program, where: tuple[str, str], address: str) -> None:
    machine.attach(0)
    written = machine.fill("/dev/rd0", MIB)
    rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", *where, "--service", "5000")
    port = rdctl.items("nvmet", "port", "list")[0]
    assert (port["address"], port["service"]) == (address, "5000")
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    assert machine.digest(connect(nqn("rd0"), 5000, address=address), MIB) == written


@pytest.mark.parametrize(
    "wrong",
    [
        ("1", "--transport", "tcp"),
        ("1", "--transport", "tcp", "--address", "not-an-address"),
        ("1", "--transport", "tcp", "--address", "203.0.113.9"),
        ("1", "--transport", "tcp", "--interface", "nope0"),
        ("1", "--transport", "tcp", "--address", "127.0.0.1", "--service", "99999"),
        ("65536", "--transport", "tcp", "--address", "127.0.0.1"),
        ("-1", "--transport", "tcp", "--address", "127.0.0.1"),
        ("1", "--transport", "fc", "--address", "127.0.0.1"),
        ("1", "--transport", "loop", "--address", "127.0.0.1"),
    ],
    ids=" ".join,
)
def test_a_port_that_cannot_be(rdctl: Program, wrong: tuple[str, ...]) -> None:
    """The kernel checks none of this before something is exported there."""
    ran = rdctl("nvmet", "port", "add", *wrong)
    assert ran.code in (2, 3, 4), ran
    assert machine.nvmet() == NO_NVMET


def test_a_port_that_is_there_already(rdctl: Program) -> None:
    add_port(rdctl)
    again = rdctl.ok("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    assert again["results"][0]["changed"] is False
    for other in (("--address", "::1"), ("--address", "127.0.0.1", "--service", "4421")):
        rdctl.refused("nvmet", "port", "add", "1", "--transport", "tcp", *other, code="exists")
    assert rdctl.items("nvmet", "port", "list")[0]["address"] == "127.0.0.1"


@pytest.fixture
def occupied() -> Iterator[int]:
    """A service port at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_an_export_on_a_port_that_cannot_be_bound_is_undone(rdctl: Program, occupied: int) -> None:
    """The kernel says so only at the very last step, with the namespace enabled by then."""
    machine.attach(0)
    machine.port(1)
    machine.port(2, service=occupied)
    before = machine.nvmet()
    for who in (("--any-host",), ("--host", HOST, "--host", OTHER)):
        ran = rdctl("nvmet", "export", "rd0", "--port", "1", "--port", "2", *who)
        assert ran.code in (1, 4), ran
        assert "is in use" in ran.err
        assert machine.nvmet() == before
    rdctl.ok("flush", "rd0")
    # The port that can be bound works all the same.
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")


def test_an_export_that_exists_survives_a_failed_addition(rdctl: Program, occupied: int) -> None:
    machine.attach(0)
    written = machine.fill("/dev/rd0", MIB)
    add_port(rdctl)
    machine.port(2, service=occupied)
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    before = machine.nvmet()
    assert rdctl("nvmet", "export", "rd0", "--port", "2", "--host", OTHER).code in (1, 4)
    assert machine.nvmet() == before
    assert machine.digest(connect(nqn("rd0")), MIB) == written


def test_transports_that_this_kernel_lacks(rdctl: Program) -> None:
    """Debian's kernel has no nvme-loop, and this machine no rdma hardware."""
    machine.attach(0)
    if machine.tool("modinfo", "nvme-loop", check=False).startswith("filename"):
        pytest.skip("this kernel has nvme-loop")
    made = rdctl("nvmet", "port", "add", "5", "--transport", "loop")
    if made.code == 0:
        ran = rdctl("nvmet", "export", "rd0", "--port", "5", "--any-host")
        assert ran.code in (1, 4, 6, 11), ran
        assert "nvme-loop" in ran.err or "nvme_loop" in ran.err
        rdctl.ok("nvmet", "port", "remove", "5")
    else:
        assert "nvme-loop" in made.err or "nvme_loop" in made.err
    assert machine.nvmet() == NO_NVMET


def test_what_cannot_be_exported(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    add_port(rdctl)
    before = machine.nvmet()
    for device, port, codes in (
        ("rd9", "1", (3,)),
        ("rd0", "8", (3,)),
        (disk, "1", (2, 3)),
        ("/dev/null", "1", (2, 3)),
        ("rc-wt_nothing", "1", (3,)),
    ):
        ran = rdctl("nvmet", "export", device, "--port", port, "--any-host")
        assert ran.code in codes, (device, port, ran)
    assert machine.nvmet() == before


def test_a_device_in_use_is_not_exported(
    rdctl: Program, mounted: Callable[..., Path], disk: str
) -> None:
    """A client and a mount on one device destroy the file system."""
    machine.attach(0)
    machine.attach(1)
    add_port(rdctl)
    directory = mounted("/dev/rd0")
    cache = machine.map_cache(f"rc-wt_{disk}", disk, "rd1")
    before = machine.nvmet()
    export = ("--port", "1", "--any-host")
    assert str(directory) in rdctl.refused("nvmet", "export", "rd0", *export, code="in-use")
    assert cache in rdctl.refused("nvmet", "export", "rd1", *export, code="in-use")
    assert machine.nvmet() == before


def test_exported_again_is_no_change(rdctl: Program) -> None:
    machine.attach(0)
    add_port(rdctl)
    command = ("nvmet", "export", "rd0", "--port", "1", "--any-host")
    rdctl.ok(*command)
    before = machine.nvmet()
    assert rdctl.ok(*command)["results"][0]["changed"] is False
    assert machine.nvmet() == before


def test_a_client_sees_a_new_size(rdctl: Program) -> None:
    machine.attach(0)
    add_port(rdctl)
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    client = Path("/sys/class/block") / connect(nqn("rd0")).removeprefix("/dev/") / "size"
    assert int(client.read_text()) * 512 == 16 * MIB
    rdctl.ok("resize", "rd0", "32M")
    machine.until(lambda: int(client.read_text()) * 512 == 32 * MIB, "the client's new size")
    # Somebody else resized it.
    machine.mgmt(f"rapiddisk resize 0 {48 * MIB}")
    assert int(client.read_text()) * 512 == 32 * MIB
    rdctl.ok("nvmet", "revalidate", "rd0")
    machine.until(lambda: int(client.read_text()) * 512 == 48 * MIB, "the client's new size")


def test_half_made_leftovers_are_shown_and_removed(rdctl: Program) -> None:
    """Of a tool that died in between: a subsystem without a namespace, and one without a port."""
    machine.attach(0)
    machine.port(1)
    empty, unlinked = nqn("rd7"), nqn("rd0")
    machine.export(empty, None)
    machine.export(unlinked, "/dev/rd0")
    shown = {row["nqn"]: row for row in rdctl.items("nvmet", "list", "--all")}
    assert set(shown) == {empty, unlinked}
    assert shown[unlinked]["ports"] == []
    for half in (empty, unlinked):
        rdctl.ok("nvmet", "unexport", "--nqn", half)
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}


def test_what_belongs_to_others_is_left_alone(
    rdctl: Program, loop: Callable[..., str], tmp_path: Path
) -> None:
    """A disk served by somebody else, below a path that kills the C rapiddisk."""
    long = tmp_path / "a-path-much-longer-than-thirty-characters"
    long.symlink_to(f"/dev/{loop(MIB)}")
    theirs = machine.export("nqn.test:theirs", str(long))
    machine.port(1)
    machine.link(theirs, 1)
    before = machine.nvmet()
    shown = [row for row in rdctl.items("nvmet", "list") if row["nqn"] == theirs]
    assert shown[0]["device"] == str(long)
    assert rdctl("nvmet", "unexport", "--nqn", theirs).code == 4
    assert rdctl("nvmet", "unexport", str(long)).code in (2, 3, 4)
    assert rdctl("nvmet", "port", "remove", "1").code == 4
    assert machine.nvmet() == before


UUID = "0e1b4a1c-93f0-4659-8222-6be1fa5c1cf2"
NGUID = "77777777-6666-5555-4444-333333333333"


def driver() -> Kernel:
    effects = Effects(ask=lambda losses: None)
    effects.consent(["all of it"])
    return Kernel("/", Syscalls(), effects, warn=lambda text: None, sleep=time.sleep)


def test_a_client_sees_the_requested_identity(rdctl: Program) -> None:
    machine.attach(0)
    add_port(rdctl)
    words = ("nvmet", "export", "rd0", "--port", "1", "--any-host")
    given = ("--serial", "lab 1", "--uuid", UUID.upper(), "--nguid", NGUID.replace("-", ""))
    rdctl.ok(*words, *given)
    target = rdctl.items("nvmet", "list")[0]
    assert (target["serial"], target["uuid"], target["nguid"]) == ("lab 1", UUID, NGUID)
    assert identity(connect(nqn("rd0"))) == ("lab 1", UUID, NGUID)
    assert rdctl.ok(*words, *given)["results"][0]["changed"] is False
    disconnect()
    # It is the same disk after all of it was removed.
    rdctl.ok("nvmet", "unexport", "rd0")
    rdctl.ok(*words, *given)
    assert identity(connect(nqn("rd0"))) == ("lab 1", UUID, NGUID)


def test_recreate_an_export_that_a_client_has_seen(rdctl: Program) -> None:
    machine.attach(0)
    written = machine.fill("/dev/rd0", MIB, seed="kept")
    add_port(rdctl)
    add_port(rdctl, 7, "--service", "4421")
    words = ("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    rdctl.ok(*words, "--port", "7", "--serial", "a", "--uuid", UUID)
    directory = NVMET / "subsystems" / nqn("rd0")
    (directory / "attr_qid_max").write_text("3")
    connect(nqn("rd0"))
    before = machine.nvmet()
    # The kernel itself refuses it.
    with pytest.raises(OSError):
        (directory / "attr_serial").write_text("b")
    message = rdctl.refused(*words, "--serial", "b", code="conflict")
    assert 'serial is "a", not "b"' in message
    assert "disconnects 1 host" in message
    assert machine.nvmet() == before
    disconnect()
    rdctl.ok(*words, "--serial", "b", "--recreate")
    assert machine.nvmet() == before
    assert (directory / "attr_qid_max").read_text().strip() == "3"
    client = connect(nqn("rd0"))
    assert identity(client) == ("b", UUID, None)
    assert machine.digest(client, MIB) == written


def test_recreate_that_fails_restores_the_identity(rdctl: Program, occupied: int) -> None:
    machine.attach(0)
    add_port(rdctl)
    machine.port(2, service=occupied)
    words = ("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    rdctl.ok(*words, "--serial", "a", "--uuid", UUID, "--nguid", NGUID)
    before = machine.nvmet()
    place = NVMET / "subsystems" / nqn("rd0") / "namespaces/1"
    disconnect()
    ran = rdctl(*words, "--port", "2", "--host", OTHER, "--serial", "b", "--recreate")
    assert ran.code in (1, 4), ran
    assert "Left behind" not in ran.err
    assert machine.nvmet() == before
    assert (place / "enable").read_text().strip() == "1"
    assert identity(connect(nqn("rd0"))) == ("a", UUID, NGUID)


def test_the_identity_and_attributes_of_the_kernel_itself(rdctl: Program) -> None:
    """Nothing that this kernel has by itself counts as a setting, before and after a port begins to
    listen; and what is described can be created again."""
    machine.attach(0)
    add_port(rdctl)
    assert [detail.attributes for detail in driver().described_ports()] == [()]
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    assert [detail.attributes for detail in driver().described_ports()] == [()]
    (found,) = driver().described_subsystems()
    assert (found.attributes, found.namespaces[0].attributes) == ((), ())
    namespace = found.namespaces[0]._replace(attributes=(("buffered_io", "1"),))
    attributes = (("attr_cntlid_max", "200"), ("attr_cntlid_min", "100"), ("attr_model", "Other"))
    other = found._replace(
        any_host=False, hosts=(HOST,), namespaces=(namespace,), attributes=attributes
    )
    driver().recreate_export(found, other, "access")
    assert driver().described_subsystems() == [other]
    # Who may connect changes in both directions.
    for after in (found, other):
        (before,) = driver().subsystems()
        driver().change_export(found.nqn, before, after, "access")
        (now,) = driver().subsystems()
        assert (now.any_host, now.hosts) == (after.any_host, after.hosts)
    (before,) = driver().subsystems()
    driver().change_export(found.nqn, before, None, "access")
    driver().remove_port(1, "it")
    detail = PortDetail(
        Port(1, "tcp", "127.0.0.1", "4420"),
        (("addr_treq", "not required"), ("param_inline_data_size", "8192")),
    )
    driver().add_port(detail)
    assert driver().described_ports() == [detail]
    driver().change_export(found.nqn, None, found, None)
    assert driver().described_ports() == [detail]
    assert driver().described_subsystems() == [found]


def test_unexport_what_is_not(rdctl: Program) -> None:
    machine.attach(0)
    rdctl.refused("nvmet", "unexport", "rd0", code="not-found", exit=3)
    rdctl.refused("nvmet", "unexport", "--nqn", "nqn.test:nothing", code="not-found", exit=3)
    rdctl.refused("nvmet", "port", "remove", "3", code="not-found", exit=3)
    assert rdctl("nvmet", "unexport").code == 2


def test_an_export_under_a_foreign_name_is_found_by_its_device(rdctl: Program) -> None:
    """The machine was renamed, or somebody made it by hand."""
    machine.attach(0)
    machine.port(1)
    foreign = machine.export("nqn.2021-06.org.rapiddisk:oldname-rd0", "/dev/rd0")
    machine.link(foreign, 1)
    assert foreign in rdctl.refused("remove", "rd0", code="in-use")
    rdctl.ok("nvmet", "unexport", "rd0")
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}
    assert not (NVMET / "subsystems" / foreign).exists()
