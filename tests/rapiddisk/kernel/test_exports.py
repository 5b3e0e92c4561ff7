"""NVMe-oF exports and ports of this machine: whole or not at all, and never somebody else's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, NVMET, FakeKernel

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
ONE, TWO = "nqn.2014-08.org.nvmexpress:uuid:1", "nqn.2014-08.org.nvmexpress:uuid:2"


def export(local: Local, device: str, *words: str) -> Ran:
    return local("rapiddisk", "nvmet", "export", device, *words, "--json")


def unexport(local: Local, *words: str) -> Ran:
    return local("rapiddisk", "nvmet", "unexport", *words, "--yes", "--json")


def targets(local: Local, *words: str) -> list[dict[str, Any]]:
    ran = local("rapiddisk", "nvmet", "list", *words, "--json")
    assert ran.code == 0, ran.err
    items: list[dict[str, Any]] = ran.json["items"]
    return items


def steps(ran: Ran) -> list[str]:
    """The changing lines of a trace, without the root of the tree."""
    lines = [
        line for line in ran.err.splitlines() if line.startswith(("mkdir", "rm", "echo", "ln"))
    ]
    return [line.split(f"{NVMET}/", 1)[1] if "ln -s" not in line else line for line in lines]


def code_of(ran: Ran) -> str:
    error = ran.json["errors"][0] if "errors" in ran.json else ran.json["error"]
    code: str = error["code"]
    return code


def test_a_port_is_called_a_port(local: Local) -> None:
    add = (
        "rapiddisk",
        "nvmet",
        "port",
        "add",
        "3",
        "--transport",
        "rdma",
        "--address",
        "127.0.0.1",
    )
    facts = "(transport rdma, address 127.0.0.1, service 4420)"
    assert local(*add).out == f"added port 3 {facts}\n"
    assert local(*add).out == f"port 3 already exists {facts}\n"
    removed = local("rapiddisk", "nvmet", "port", "remove", "3", "--yes")
    assert removed.out == "removed port 3\n"


# --- exporting ----------------------------------------------------------------------------------


def test_export_to_a_named_host(kernel: FakeKernel, ports: Local) -> None:
    ran = export(ports, "rd0", "--port", "1", "--host", ONE)
    assert ran.code == 0, ran.err
    assert ran.json["results"] == [
        {
            "action": "export",
            "target": "rd0",
            "changed": True,
            "verified": True,
            "nqn": NQN,
            "ports": [1],
            "hosts": [ONE],
            "any_host": False,
            "before": None,
            "after": {"nqn": NQN, "ports": [1], "hosts": [ONE], "any_host": False},
        }
    ]
    assert targets(ports) == [
        {
            "nqn": NQN,
            "namespace": 1,
            "device": "/dev/rd0",
            "enabled": True,
            "any_host": False,
            "hosts": [ONE],
            "ports": [
                {
                    "port": 1,
                    "transport": "tcp",
                    "address": "10.0.2.15",
                    "service": "4420",
                    "tls": None,
                }
            ],
            "serial": "00000000000000000001",
            "uuid": "00000000-0000-4000-8000-000000000002",
            "nguid": None,
            "authenticated": False,
            "tls": False,
        }
    ]
    directory = f"{NVMET}/subsystems/{NQN}"
    assert kernel.text(f"{directory}/attr_model") == "RapidDisk"
    assert kernel.text(f"{directory}/attr_allow_any_host") == "0"
    assert kernel.text(f"{directory}/namespaces/1/enable") == "1"


def test_it_is_reachable_only_when_all_else_is_set(ports: Local) -> None:
    ran = export(ports, "rd0", "--port", "1", "--host", ONE, "--trace")
    assert steps(ran)[-1].startswith("ln -s")
    assert "/ports/1/subsystems/" in steps(ran)[-1]


def test_export_to_any_host_is_said_aloud(kernel: FakeKernel, ports: Local) -> None:
    assert ports("rapiddisk", "nvmet", "export", "rd0", "--port", "1").code == 2
    assert export(ports, "rd0", "--port", "1", "--any-host", "--host", ONE).code == 2
    assert ports("rapiddisk", "nvmet", "export", "rd0", "--any-host").code == 2
    assert kernel.steps == 0
    assert export(ports, "rd0", "--port", "1", "--any-host").code == 0
    (target,) = targets(ports)
    assert (target["any_host"], target["hosts"]) == (True, [])


def test_export_of_a_cache(kernel: FakeKernel, ports: Local) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    assert export(ports, "/dev/mapper/rc-wt_vdb", "--port", "1", "--any-host").code == 0
    (target,) = targets(ports)
    assert target["nqn"] == "nqn.2021-06.org.rapiddisk:rdvm-rc-wt_vdb"
    assert target["device"] == "/dev/mapper/rc-wt_vdb"
    assert export(ports, "rd0", "--port", "1", "--any-host").code == 4


def test_an_export_gains_what_it_lacks(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--host", ONE)
    count = kernel.steps
    ran = export(ports, "rd0", "--port", "1", "--host", ONE)
    assert (ran.json["results"][0]["changed"], kernel.steps) == (False, count)
    assert export(ports, "rd0", "--port", "2", "--port", "1", "--host", TWO).code == 0
    assert kernel.steps == count + 3
    (target,) = targets(ports)
    assert [port["port"] for port in target["ports"]] == [1, 2]
    assert target["hosts"] == [ONE, TWO]


def test_any_host_and_named_hosts_exclude_each_other(kernel: FakeKernel, ports: Local) -> None:
    """The kernel says EINVAL to either (docs/wire/rapiddisk-local.md#52-create-the-subsystem)."""
    export(ports, "rd0", "--port", "1", "--host", ONE)
    assert export(ports, "rd0", "--port", "1", "--any-host").code == 4
    unexport(ports, "rd0")
    export(ports, "rd0", "--port", "1", "--any-host")
    count = kernel.steps
    ran = export(ports, "rd0", "--port", "1", "--host", ONE)
    assert (ran.code, code_of(ran), kernel.steps) == (4, "conflict", count)


def test_a_host_that_another_export_has_made(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--host", ONE)
    assert export(ports, "rd1", "--port", "1", "--host", ONE).code == 0
    assert unexport(ports, "rd0").code == 0
    assert kernel.path(f"{NVMET}/hosts/{ONE}").is_dir()
    assert unexport(ports, "rd1").code == 0
    assert not kernel.path(f"{NVMET}/hosts/{ONE}").exists()


@pytest.mark.parametrize(
    "host", ["host", "nqn.", "nqn.a/b", "nqn.a b", "nqn." + "a" * 220, "nqn.ü", "../../ports/1"]
)
def test_a_host_that_cannot_be(kernel: FakeKernel, ports: Local, host: str) -> None:
    ran = export(ports, "rd0", "--port", "1", "--host", host)
    assert (ran.code, kernel.steps) == (2, 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("rd7", "--port", "1"), 3),
        (("rc-wt_vdb", "--port", "1"), 3),
        (("rd0", "--port", "9"), 3),
        (("vdb", "--port", "1"), 2),
        (("/dev/sda", "--port", "1"), 2),
        (("rd0", "--port", "65536"), 2),
        (("rd0", "--port", "-1"), 2),
        (("rd0", "--port", "x"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_exported(
    kernel: FakeKernel, ports: Local, words: tuple[str, ...], code: int
) -> None:
    assert (export(ports, *words, "--any-host").code, kernel.steps) == (code, 0)


def test_a_half_made_cache_is_not_exported(kernel: FakeKernel, ports: Local) -> None:
    kernel.begin_mapping("rc-wt_vdb")
    assert export(ports, "rc-wt_vdb", "--port", "1", "--any-host").code == 3


LINK_FAILURES = [
    (errno.EADDRNOTAVAIL, 4, "the port's address is not on this machine"),
    (errno.EADDRINUSE, 4, "the port's service is in use"),
    (errno.EINVAL, 1, "refused by the kernel"),
    (errno.ENODEV, 1, "device not found"),
]


@pytest.mark.parametrize(("number", "code", "told"), LINK_FAILURES)
def test_a_port_that_cannot_listen_leaves_nothing(
    kernel: FakeKernel, ports: Local, number: int, code: int, told: str
) -> None:
    """The command of RapidDisk leaves the volume exported on no port
    (docs/wire/rapiddisk-local.md#55-incomplete-states-and-how-the-c-command-reacts)."""
    before = kernel.snapshot()
    kernel.fail_at(9, number)
    ran = export(ports, "rd0", "--port", "1", "--port", "2", "--host", ONE)
    assert kernel.steps > 9
    assert ran.code == code
    assert told in ran.err
    assert kernel.snapshot() == before


def test_a_service_that_another_program_has_taken(kernel: FakeKernel, ports: Local) -> None:
    before = kernel.snapshot()
    kernel.taken_services.add(("10.0.2.15", "4421"))
    assert export(ports, "rd0", "--port", "1", "--port", "2", "--any-host").code == 4
    assert kernel.snapshot() == before


def test_an_address_that_went_away(kernel: FakeKernel, ports: Local) -> None:
    """Then the ports that work keep what they had."""
    export(ports, "rd0", "--port", "1", "--host", ONE)
    before = kernel.snapshot()
    kernel.add_port(3, "10.0.2.99")
    ran = export(ports, "rd0", "--port", "3", "--host", TWO)
    assert (ran.code, code_of(ran)) == (4, "conflict")
    after = {key: value for key, value in kernel.snapshot().items() if "ports/3" not in key}
    assert after == before


def test_what_is_in_the_way_is_not_undone(kernel: FakeKernel, ports: Local) -> None:
    """Another tool makes the same subsystem at the same moment: it stays."""
    kernel.before[1] = lambda: kernel.foreign_subsystem(NQN, None)
    ran = export(ports, "rd0", "--port", "1", "--any-host")
    assert (ran.code, code_of(ran)) == (4, "exists")
    assert kernel.path(f"{NVMET}/subsystems/{NQN}").is_dir()


def test_a_kernel_without_a_model(kernel: FakeKernel, ports: Local) -> None:
    kernel.fail_at(2, errno.ENOENT)
    assert export(ports, "rd0", "--port", "1", "--any-host").code == 0


def test_a_half_made_export_is_named_and_removed(kernel: FakeKernel, ports: Local) -> None:
    kernel.foreign_subsystem(NQN, None)
    assert targets(ports) == []
    (row,) = targets(ports, "--all")
    assert (row["nqn"], row["namespace"], row["device"]) == (NQN, None, None)
    assert NQN in ports("rapiddisk", "nvmet", "list", "--all").out
    ran = export(ports, "rd0", "--port", "1", "--any-host")
    assert (ran.code, code_of(ran)) == (4, "exists")
    assert f"rdctl --local rapiddisk nvmet unexport --nqn {NQN}" in ran.err
    assert unexport(ports, "rd0").code == 3
    assert unexport(ports, "--nqn", NQN).code == 0
    assert targets(ports, "--all") == []
    assert export(ports, "rd0", "--port", "1", "--any-host").code == 0


def test_a_renamed_machine_finds_its_exports(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    kernel.put("proc/sys/kernel/hostname", "other\n")
    assert export(ports, "rd0", "--port", "2", "--any-host").code == 0
    assert [target["nqn"] for target in targets(ports)] == [NQN]
    assert unexport(ports, "rd0").code == 0
    assert targets(ports, "--all") == []


def test_a_stale_export_of_a_volume_that_is_gone(kernel: FakeKernel, ports: Local) -> None:
    """A new rd0 does not heal it, so it is in use, and can be unexported
    (docs/wire/rapiddisk-local.md#24-checks-before-remove-erase-shrink-or-use-as-a-cache)."""
    export(ports, "rd0", "--port", "1", "--any-host")
    kernel.remove_volume(0)
    kernel.add_volume(0)
    assert ports("rapiddisk", "remove", "rd0", "--yes").code == 4
    kernel.remove_volume(0)
    assert unexport(ports, "rd0").code == 0


# --- listing ------------------------------------------------------------------------------------


def hosts_and_ports(local: Local, *words: str) -> list[str]:
    """The lines of the table without the columns that stand before hosts and ports."""
    columns = ("--columns", "hosts,ports", "--no-headers")
    ran = local("rapiddisk", "nvmet", "list", *columns, *words)
    assert ran.code == 0, ran.err
    return ran.out.splitlines()


def test_any_host_is_not_shown_as_no_host(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    assert hosts_and_ports(ports) == ["any  1 tcp 10.0.2.15:4420"]
    unexport(ports, "rd0")
    export(ports, "rd0", "--port", "1", "--host", ONE, "--host", TWO)
    assert hosts_and_ports(ports) == [f"{ONE} {TWO}  1 tcp 10.0.2.15:4420"]
    unexport(ports, "rd0", "--host", ONE, "--host", TWO)
    assert hosts_and_ports(ports) == ["none  1 tcp 10.0.2.15:4420"]


@pytest.mark.parametrize("words", [(), ("--table-style", "simple")])
def test_the_hosts_in_each_kind_of_table(ports: Local, words: tuple[str, ...]) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    for tty in (False, True):
        shown = ports("rapiddisk", "nvmet", "list", *words, tty=tty, width=200).out
        assert shown.splitlines()[-1].split() == [
            *(NQN, "1", "/dev/rd0", "yes", "any"),
            *("1", "tcp", "10.0.2.15:4420"),
        ]


def test_data_formats_keep_hosts_exact(ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    columns = ("--columns", "any_host,hosts")
    assert ports("rapiddisk", "nvmet", "list", *columns, "-o", "csv").out == (
        "any_host,hosts\ntrue,[]\n"
    )
    assert targets(ports, *columns) == [{"any_host": True, "hosts": []}]


def test_the_service_of_each_port(kernel: FakeKernel, ports: Local) -> None:
    """Two ports on one address differ by nothing else."""
    kernel.add_port(3, "fd00::2", "4422")
    kernel.make_directory(f"{NVMET}/ports/4")
    kernel.foreign_subsystem(NQN, "/dev/rd0")
    for number in (1, 2, 3, 4):
        kernel.offer(NQN, number)
    (target,) = targets(ports)
    assert [port["service"] for port in target["ports"]] == ["4420", "4421", "4422", None]
    assert hosts_and_ports(ports) == [
        "none  1 tcp 10.0.2.15:4420, 2 tcp 10.0.2.15:4421, 3 tcp [fd00::2]:4422, 4"
    ]
    assert ports("rapiddisk", "nvmet", "port", "list").out == (
        "PORT  TRANSPORT  ADDRESS    SERVICE  TLS\n"
        "   1  tcp        10.0.2.15  4420     -\n"
        "   2  tcp        10.0.2.15  4421     -\n"
        "   3  tcp        fd00::2    4422     -\n"
        "   4  -          -          -        -\n"
    )


# --- unexporting --------------------------------------------------------------------------------


@pytest.fixture
def exported(kernel: FakeKernel, ports: Local) -> Local:
    words = ("--port", "1", "--port", "2", "--host", ONE, "--host", TWO)
    assert export(ports, "rd0", *words).code == 0
    kernel.steps = 0
    return ports


def test_unexport_takes_all_away(kernel: FakeKernel, exported: Local) -> None:
    ran = unexport(exported, "rd0", "--trace")
    assert ran.code == 0, ran.err
    assert targets(exported, "--all") == []
    assert list(kernel.path(f"{NVMET}/hosts").iterdir()) == []
    assert len(list(kernel.path(f"{NVMET}/ports").iterdir())) == 2
    first, *_, last = steps(ran)
    assert first.startswith("ports/1/subsystems/")
    assert last == f"subsystems/{NQN}"


def test_unexport_asks(kernel: FakeKernel, exported: Local) -> None:
    ran = exported("rapiddisk", "nvmet", "unexport", "rd0")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "its clients will lose access" in ran.err
    ran = exported("rapiddisk", "nvmet", "unexport", "rd0", "--host", ONE, "--host", TWO)
    assert f"{ONE}, {TWO} may no longer connect; no host may connect" in ran.err


def test_one_port_after_the_other(exported: Local) -> None:
    assert unexport(exported, "rd0", "--port", "1").code == 0
    (target,) = targets(exported)
    assert [port["port"] for port in target["ports"]] == [2]
    again = unexport(exported, "rd0", "--port", "1")
    assert again.json["results"][0]["changed"] is False
    assert unexport(exported, "rd0", "--port", "2").code == 0
    assert targets(exported, "--all") == []


def test_one_host_after_the_other(kernel: FakeKernel, exported: Local) -> None:
    """The last one leaves nobody, not everybody."""
    assert unexport(exported, "rd0", "--host", ONE).code == 0
    assert unexport(exported, "rd0", "--host", TWO).code == 0
    (target,) = targets(exported)
    assert (target["hosts"], target["any_host"]) == ([], False)
    assert [port["port"] for port in target["ports"]] == [1, 2]
    assert list(kernel.path(f"{NVMET}/hosts").iterdir()) == []


@pytest.mark.parametrize("step", range(1, 10))
def test_an_unexport_that_fails_restores_all(
    kernel: FakeKernel, exported: Local, step: int
) -> None:
    before = kernel.snapshot()
    kernel.fail_at(step, errno.EIO)
    ran = unexport(exported, "rd0")
    assert ran.code == 1
    assert f"{NQN} was not changed" in ran.err
    assert kernel.snapshot() == before


@pytest.mark.parametrize("words", [(), ("rd0", "--nqn", NQN)], ids=["nothing", "both"])
def test_one_of_device_and_nqn(exported: Local, words: tuple[str, ...]) -> None:
    assert exported("rapiddisk", "nvmet", "unexport", *words).code == 2


@pytest.mark.parametrize(
    ("nqn", "device", "ours"),
    [
        ("nqn.x:other", "/dev/vdb", False),
        ("nqn.x:other", "/srv/image.raw", False),
        ("nqn.x:other", "/dev/rd1", True),
        ("nqn.x:other", "/dev/mapper/rc-wt_vdb", True),
        ("nqn.x:other", None, True),
        ("nqn.2021-06.org.rapiddisk:old-rd9", "/dev/rd9", True),
        ("nqn.2021-06.org.rapiddisk:odd", "/dev/vdb", False),
        ("nqn.x:long", "/dev/disk/by-id/" + "x" * 200, False),
    ],
)
def test_only_what_is_ours_or_empty_is_taken_away(
    kernel: FakeKernel, ports: Local, nqn: str, device: str | None, ours: bool
) -> None:
    kernel.put("srv/image.raw", "")
    kernel.foreign_subsystem(nqn, device, enabled=False)
    assert len(targets(ports, "--all")) == 1
    ran = unexport(ports, "--nqn", nqn)
    assert ran.code == (0 if ours else 4), ran.err
    assert kernel.path(f"{NVMET}/subsystems/{nqn}").exists() is not ours


def test_a_subsystem_that_offers_more_than_ours(kernel: FakeKernel, ports: Local) -> None:
    kernel.foreign_subsystem("nqn.x:mixed", "/dev/rd0")
    kernel.foreign_namespace("nqn.x:mixed", 2, "/dev/vdb", enabled=True)
    for ran in (
        unexport(ports, "rd0"),
        unexport(ports, "--nqn", "nqn.x:mixed"),
        export(ports, "rd0", "--port", "1", "--any-host"),
    ):
        assert (ran.code, code_of(ran)) == (4, "conflict")
    assert kernel.steps == 0


def test_exported_twice(kernel: FakeKernel, ports: Local) -> None:
    kernel.foreign_subsystem("nqn.x:a", "/dev/rd0")
    kernel.foreign_subsystem("nqn.x:b", "/dev/rd0")
    ran = unexport(ports, "rd0")
    assert ran.code == 4
    assert "--nqn" in ran.err
    assert unexport(ports, "--nqn", "nqn.x:a").code == 0
    assert [target["nqn"] for target in targets(ports)] == ["nqn.x:b"]


def test_changed_while_it_is_asked(kernel: FakeKernel, exported: Local) -> None:
    kernel.when_locked = lambda: kernel.foreign_namespace(NQN, 2, "/dev/vdb", enabled=True)
    ran = exported("rapiddisk", "nvmet", "unexport", "rd0", tty=True, stdin=b"y\n")
    assert (ran.code, kernel.steps) == (4, 0)


# --- size ---------------------------------------------------------------------------------------


def test_resize_tells_the_clients(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    assert kernel.namespace_sizes[NQN, 1] == 64 * MIB
    ran = ports("rapiddisk", "resize", "rd0", "128M", "--json")
    assert ran.json["results"][0]["revalidated"] == [NQN]
    assert kernel.namespace_sizes[NQN, 1] == 128 * MIB
    ran = ports("rapiddisk", "resize", "rd0", "64M", "--yes")
    assert ran.code == 4


def test_revalidate_by_itself(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    kernel.resize_volume(0, 256 * MIB)
    ran = ports("rapiddisk", "nvmet", "revalidate", "rd0", "--json")
    assert ran.code == 0
    assert kernel.namespace_sizes[NQN, 1] == 256 * MIB
    assert ports("rapiddisk", "nvmet", "revalidate", "rd1").code == 3


def test_a_kernel_that_cannot_revalidate(kernel: FakeKernel, ports: Local) -> None:
    export(ports, "rd0", "--port", "1", "--any-host")
    kernel.path(f"{NVMET}/subsystems/{NQN}/namespaces/1/revalidate_size").unlink()
    assert ports("rapiddisk", "nvmet", "revalidate", "rd0").code == 11
    ran = ports("rapiddisk", "resize", "rd0", "128M")
    assert ran.code == 11
    assert "resized, but its clients were not notified" in ran.err
    assert kernel.volumes[0].size == 128 * MIB


# --- ports --------------------------------------------------------------------------------------


def add(local: Local, number: int, *words: str) -> Ran:
    return local("rapiddisk", "nvmet", "port", "add", str(number), *words, "--json")


def listed(local: Local) -> list[tuple[Any, ...]]:
    ran = local("rapiddisk", "nvmet", "port", "list", "--json")
    return [tuple(row.values()) for row in ran.json["items"]]


ADDED = [
    (("tcp", "--address", "10.0.2.15"), ("tcp", "10.0.2.15", "4420"), "ipv4"),
    (("tcp", "--interface", "eth0"), ("tcp", "10.0.2.15", "4420"), "ipv4"),
    (("tcp", "--interface", "lo", "--service", "9"), ("tcp", "127.0.0.1", "9"), "ipv4"),
    (("tcp", "--address", "::1", "--service", "4421"), ("tcp", "::1", "4421"), "ipv6"),
    (("tcp", "--address", "fd00:0:0::2"), ("tcp", "fd00::2", "4420"), "ipv6"),
    (("tcp", "--address", "0.0.0.0"), ("tcp", "0.0.0.0", "4420"), "ipv4"),
    (("tcp", "--interface", "down0"), ("tcp", "fd00::7", "4420"), "ipv6"),
    (("rdma", "--address", "10.0.2.15"), ("rdma", "10.0.2.15", "4420"), "ipv4"),
    (("loop",), ("loop", None, None), ""),
]


@pytest.mark.parametrize(("words", "port", "family"), ADDED, ids=str)
def test_add_a_port(
    kernel: FakeKernel, local: Local, words: tuple[str, ...], port: tuple[Any, ...], family: str
) -> None:
    kernel.allow_transport("loop")
    kernel.addresses.append("fd00::7")
    ran = add(local, 0, "--transport", *words)
    assert ran.code == 0, ran.err
    assert listed(local) == [(0, *port, None)]
    assert kernel.text(f"{NVMET}/ports/0/addr_adrfam") == family
    assert add(local, 0, "--transport", *words).json["results"][0]["changed"] is False


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--transport", "tcp", "--address", "10.0.2.99"), 4),
        (("--transport", "tcp", "--address", "10.0.2"), 2),
        (("--transport", "tcp", "--address", "host.example"), 2),
        (("--transport", "tcp", "--interface", "nope0"), 3),
        (("--transport", "tcp", "--interface", "a-name-too-long-for-one"), 3),
        (("--transport", "tcp", "--interface", "bare0"), 4),
        (("--transport", "tcp"), 2),
        (("--transport", "tcp", "--interface", "lo", "--address", "127.0.0.1"), 2),
        (("--transport", "tcp", "--address", "127.0.0.1", "--service", "99999"), 2),
        (("--transport", "tcp", "--address", "127.0.0.1", "--service", "0"), 2),
        (("--transport", "tcp", "--address", "127.0.0.1", "--service", "nvme"), 2),
        (("--transport", "fc", "--address", "127.0.0.1"), 2),
        (("--transport", "loop", "--address", "127.0.0.1"), 2),
        (("--transport", "loop"), 6),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_port_that_could_never_be_used(
    kernel: FakeKernel, local: Local, words: tuple[str, ...], code: int
) -> None:
    """The kernel takes all of it, and fails at the first export
    (docs/wire/rapiddisk-local.md#51-create-a-port)."""
    kernel.interfaces["bare0"] = None
    assert (add(local, 1, *words).code, kernel.steps, listed(local)) == (code, 0, [])


@pytest.mark.parametrize("number", ["65536", "-1", "x", "1/../2"])
def test_a_number_that_no_port_has(kernel: FakeKernel, local: Local, number: str) -> None:
    words = ("nvmet", "port", "add", "--transport", "loop", "--", number)
    assert (local("rapiddisk", *words).code, kernel.steps) == (2, 0)


def test_a_second_port_on_one_address(kernel: FakeKernel, local: Local) -> None:
    """It could never listen with the same service."""
    add(local, 1, "--transport", "tcp", "--address", "10.0.2.15")
    steps = kernel.steps
    ran = add(local, 2, "--transport", "tcp", "--interface", "eth0")
    assert (ran.code, kernel.steps) == (4, steps)
    assert "--service" in ran.err
    assert add(local, 2, "--transport", "tcp", "--interface", "eth0", "--service", "4421").code == 0


def test_a_number_that_is_taken(kernel: FakeKernel, local: Local) -> None:
    add(local, 1, "--transport", "tcp", "--address", "10.0.2.15")
    ran = add(local, 1, "--transport", "tcp", "--address", "127.0.0.1")
    assert (ran.code, code_of(ran)) == (4, "exists")
    assert "rdctl --local rapiddisk nvmet port remove 1" in ran.err


@pytest.mark.parametrize("step", range(1, 6))
def test_a_port_that_fails_leaves_nothing(kernel: FakeKernel, local: Local, step: int) -> None:
    before = kernel.snapshot()
    kernel.fail_at(step, errno.EINVAL)
    assert add(local, 1, "--transport", "tcp", "--address", "10.0.2.15").code == 1
    assert kernel.snapshot() == before


def test_a_half_made_port_is_shown_and_removed(kernel: FakeKernel, ports: Local) -> None:
    kernel.make_directory(f"{NVMET}/ports/5")
    assert listed(ports)[2] == (5, None, None, None, None)
    ran = export(ports, "rd0", "--port", "5", "--any-host")
    assert ran.code == 4
    assert "rdctl --local rapiddisk nvmet port remove 5" in ran.err
    assert ports("rapiddisk", "nvmet", "port", "remove", "5", "--yes").code == 0
    assert len(listed(ports)) == 2


def test_remove_a_port(kernel: FakeKernel, exported: Local) -> None:
    remove = ("rapiddisk", "nvmet", "port", "remove")
    ran = exported(*remove, "1", "--yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert f"nvmet unexport --nqn {NQN} --port 1" in ran.err
    assert unexport(exported, "--nqn", NQN, "--port", "1").code == 0
    assert exported(*remove, "1").code == 2
    assert exported(*remove, "1", "--yes").code == 0
    assert exported(*remove, "1", "--yes").code == 3


# --- the module ---------------------------------------------------------------------------------

WITHOUT = [
    ("nvmet", "list"),
    ("nvmet", "list", "--all"),
    ("nvmet", "port", "list"),
    ("nvmet", "export", "rd0", "--port", "1", "--any-host"),
    ("nvmet", "unexport", "rd0", "--yes"),
    ("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1"),
    ("nvmet", "port", "remove", "1", "--yes"),
    ("nvmet", "revalidate", "rd0"),
]


@pytest.mark.parametrize("words", WITHOUT, ids=" ".join)
def test_no_nvmet(rdctl: Program, words: tuple[str, ...]) -> None:
    rdctl.calls = kernel = FakeKernel(rdctl.root, nvmet=False)
    kernel.add_volume(0)
    ran = rdctl("--local", "rapiddisk", *words, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (6, "module-missing")
    assert "modprobe nvmet" in ran.err
    # Where the kernel has no NVMe target nothing is exported.
    assert rdctl("--local", "rapiddisk", "resize", "rd0", "8M", "--yes").code == 0
    kernel.make_directory("sys/module/nvmet")
    ran = rdctl("--local", "rapiddisk", *words)
    assert ran.code == 6
    assert "mount -t configfs none /sys/kernel/config" in ran.err
    assert rdctl("--local", "rapiddisk", "remove", "rd0", "--yes").code == 4


def test_exports_need_no_module_rapiddisk(rdctl: Program) -> None:
    """Only to make them: what is left over can be looked at and taken away without."""
    rdctl.calls = kernel = FakeKernel(rdctl.root, version=None)
    kernel.foreign_subsystem(NQN, None)
    assert rdctl("--local", "rapiddisk", "nvmet", "list").code == 0
    assert rdctl("--local", "rapiddisk", "nvmet", "unexport", "--nqn", NQN, "--yes").code == 0
