"""One contract for all modes: the same commands give the same documents and exit codes, whether
this machine's kernel is driven, that of the sandbox, or a rapiddiskd is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rdctl.output.schemas import SCHEMAS
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel

Machine = Callable[..., Ran]
HOST = "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"


def as_the_sandbox_begins(kernel: FakeKernel) -> None:
    """One small volume, exported over TCP, and a loop port."""
    kernel.put("proc/sys/kernel/hostname", "sandbox\n")
    kernel.add_volume(0, 32 * MIB)
    kernel.write_data("rd0", b"x" * 4 * PAGE)
    kernel.add_port(1, "127.0.0.1")
    nqn = "nqn.2021-06.org.rapiddisk:sandbox-rd0"
    kernel.foreign_subsystem(nqn, "/dev/rd0")
    kernel.allow_host(nqn, HOST)
    kernel.offer(nqn, 1)
    kernel.allow_transport("loop")


# What leads to the machine in each mode.
WHERE = {"local": "--local", "sandbox": "-c sandbox", "remote": "-c served"}
HERE = ("local", "sandbox")


@pytest.fixture(params=WHERE)
def machine(request: pytest.FixtureRequest, rdctl: Program) -> Iterator[Machine]:
    """The program on a machine in the state of a new sandbox."""
    kernel = FakeKernel(rdctl.root)
    as_the_sandbox_begins(kernel)
    where = WHERE[request.param].split()
    if request.param == "remote":
        request.getfixturevalue("served")
    if request.param == "local":
        rdctl.calls = kernel
        assert rdctl(*where, *words("nvmet port add 2 --transport loop")).code == 0

    def call(line: str, *more: str, **options: Any) -> Ran:
        return rdctl(*where, *words(line), *more, **options)

    yield call
    assert kernel.harm == []


def words(line: str) -> list[str]:
    return ["rapiddisk", *line.split()]


def items(ran: Ran) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    assert ran.json["complete"] is True
    found: list[dict[str, Any]] = ran.json["items"]
    return found


def change(
    action: str, target: str, changed: bool, before: Any, after: Any, **facts: Any
) -> dict[str, Any]:
    head = {"action": action, "target": target, "changed": changed, "verified": True}
    return {**head, **facts, "before": before, "after": after}


def test_volumes(request: pytest.FixtureRequest, machine: Machine) -> None:
    here = request.node.callspec.params["machine"] in HERE
    assert items(machine("list --json")) == [
        {
            "device": "rd0",
            "size": 32 * MIB,
            "usage": 4 * PAGE,
            "locked": False,
            "unwritten": 0 if here else None,
            "used_by": ["export nqn.2021-06.org.rapiddisk:sandbox-rd0"] if here else None,
        }
    ]
    assert machine("list rd0 -o name").out == "rd0\n"
    assert machine("list rd7").code == 3
    assert machine("list vdb").code == 2


def test_the_life_of_a_volume(machine: Machine) -> None:
    small, large, least = {"size": 64 * MIB}, {"size": 128 * MIB}, {"size": 8 * MIB}
    empty = {**least, "usage": 0, "locked": False}
    for line, expected in (
        ("create 64M", change("create", "rd1", True, None, small, **small)),
        ("resize rd1 128M", change("resize", "rd1", True, small, large, **large)),
        ("resize rd1 128M", change("resize", "rd1", False, large, large, **large)),
        ("resize rd1 8M --yes", change("resize", "rd1", True, large, least, **least)),
        ("lock rd1", change("lock", "rd1", True, {"locked": False}, {"locked": True})),
        ("lock rd1", change("lock", "rd1", False, {"locked": True}, {"locked": True})),
        ("unlock rd1", change("unlock", "rd1", True, {"locked": True}, {"locked": False})),
        ("flush rd1 --yes", change("flush", "rd1", True, {"usage": 0}, {"usage": 0})),
        ("remove rd1 --yes", change("remove", "rd1", True, empty, None)),
    ):
        ran = machine(line, "--json")
        assert ran.code == 0, (line, ran.err)
        assert ran.json == {
            "schema": "rdctl.change/1",
            "status": "success",
            "results": [expected],
            "errors": [],
        }
    assert [row["device"] for row in items(machine("list --json"))] == ["rd0"]


def test_several_at_once(machine: Machine) -> None:
    ran = machine("create 1M --count 3", "--json")
    assert [result["target"] for result in ran.json["results"]] == ["rd1", "rd2", "rd3"]
    ran = machine("remove rd3 rd9 rd0 rd1 --yes", "--json")
    assert (ran.code, ran.json["status"]) == (8, "partial")
    assert [result["target"] for result in ran.json["results"]] == ["rd3", "rd1"]
    assert [(error["target"], error["code"]) for error in ran.json["errors"]] == [
        ("rd9", "not-found"),
        ("rd0", "in-use"),
    ]
    names = machine("list -o name").out
    assert machine("lock -", stdin=names.encode()).code == 0


@pytest.mark.parametrize(
    ("policy", "name"),
    [("write-through", "rc-wt_sdb"), ("write-around", "rc-wa_sdb"), ("writeback", "rc-wb_sdb")],
)
def test_the_life_of_a_cache(
    request: pytest.FixtureRequest, machine: Machine, rdctl: Program, policy: str, name: str
) -> None:
    machine("create 64M")
    create = f"cache create rd1 sdb --policy {policy} --yes"
    made = {"volume": "rd1", "source": "sdb", "policy": policy}
    assert machine(create, "--json").json["results"] == [change("create", name, True, None, made)]
    assert machine(create, "--json").json["results"] == [change("create", name, False, made, made)]
    (row,) = items(machine("cache list --json"))
    assert list(row) == [c.key for c in SCHEMAS["rdctl.rapiddisk.cache/1"].columns]
    assert list(row.values())[:4] == [name, "rd1", "sdb", policy]
    here = request.node.callspec.params["machine"] in HERE
    assert (row["kernel"], row["source_kernel"]) == (("dm-0", "sdb") if here else (None, None))
    assert (row["dirty"] is None) == (not here or policy != "writeback")
    (row,) = items(machine("cache stats --json"))
    assert list(row) == [c.key for c in SCHEMAS["rdctl.rapiddisk.cache-stats/1"].columns]
    mine = "num_blocks" if policy == "writeback" else "disk_reads"
    other = "disk_reads" if policy == "writeback" else "num_blocks"
    assert (row["device"], row["policy"], row[other]) == (name, policy, None)
    assert isinstance(row[mine], int)
    assert isinstance(row["reads"], int)
    (user,) = machine("show rd1 --json").json["item"]["users"]
    freeing = f"{WHERE[request.node.callspec.params['machine']]} rapiddisk cache remove {name}"
    assert user == {"kind": "cache", "name": name, "freed_by": f"rdctl {freeing}"}
    ran = rdctl(*freeing.split(), "--yes", "--json")
    assert ran.json["results"] == [change("remove", name, True, made, None)]
    assert items(machine("cache list --json")) == []
    assert machine(f"cache remove {name} --yes").code == 3


def test_show(machine: Machine) -> None:
    item = machine("show rd0 --json").json["item"]
    assert list(item) == [c.key for c in SCHEMAS["rdctl.rapiddisk.volume-detail/1"].columns]
    (user,) = item["users"]
    assert (user["kind"], user["name"]) == ("export", "nqn.2021-06.org.rapiddisk:sandbox-rd0")
    assert item["users_seen"][:2] == ["cache", "export"]
    assert machine("show rd7").code == 3


def test_targets_and_ports(request: pytest.FixtureRequest, machine: Machine) -> None:
    (row,) = items(machine("nvmet list --json"))
    any_host = row.pop("any_host")
    assert any_host is False
    # The daemon's wire has no services: docs/wire/rapiddisk-rest.md#25-listallnvmetargets
    (port,) = row["ports"]
    assert port.pop("service") in ("4420", None)
    identity = [row.pop(key) for key in ("serial", "uuid", "nguid")]
    here = request.node.callspec.params["machine"] in HERE
    assert [value is not None for value in identity] == [here, here, False]
    # The daemon shows neither keys nor TLS; the tests' kernel has no TLS.
    trust = [row.pop("authenticated"), row.pop("tls")]
    assert trust == ([False, False] if here else [None, None])
    assert port.pop("tls") in (False, None)
    assert row == {
        "nqn": "nqn.2021-06.org.rapiddisk:sandbox-rd0",
        "namespace": 1,
        "device": "/dev/rd0",
        "enabled": True,
        "hosts": [HOST],
        "ports": [{"port": 1, "transport": "tcp", "address": "127.0.0.1"}],
    }
    ports = items(machine("nvmet port list --json"))
    assert [(row.pop("service"), row.pop("tls"), row)[-1] for row in ports] == [
        {"port": 1, "transport": "tcp", "address": "127.0.0.1"},
        {"port": 2, "transport": "loop", "address": None},
    ]


NQN = "nqn.2021-06.org.rapiddisk:sandbox-rd0"
# The rows of a list, of these names only, at length, and in an overview.
NAMED = {
    "cache list": ("cache list rc-wt_sdb /dev/mapper/rc-wt_sdb", "cache show rc-wt_sdb", "caches"),
    "nvmet list": (f"nvmet list rd0 {NQN} /dev/rd0", f"nvmet show {NQN} rd0", "exports"),
    "nvmet port list": ("nvmet port show 1 2", "nvmet port show 2 1", None),
    "list": ("list rd0 rd1", "list rd0 /dev/rd1 rd0", "volumes"),
}


@pytest.mark.parametrize("line", NAMED)
def test_the_same_rows_by_name_and_at_length(machine: Machine, line: str) -> None:
    assert machine("create 64M").code == 0
    assert machine("cache create rd1 sdb").code == 0
    listed = items(machine(line, "--json"))
    *names, part = NAMED[line]
    for other in names:
        found = items(machine(str(other), "--json"))
        assert sorted(map(str, found)) == sorted(map(str, listed)), other
    if part is not None:
        (row,) = items(machine("overview --deep --json"))
        for one in (*row["volumes"], *listed):
            one.pop("used_by", None)
        assert row[part] == listed


UNKNOWN = {
    "cache list rc-wt_sdz": 3,
    "cache list sdb": 2,
    "cache show rc-wt_sdz": 3,
    "nvmet list rd7": 3,
    "nvmet list nqn.2021-06.org.rapiddisk:none": 3,
    "nvmet show rd7": 3,
    "nvmet port show 9": 3,
    "nvmet port show 65536": 2,
    "show rd0 rd7": 8,
    "show rd7 rd8": 3,
}


@pytest.mark.parametrize("line", UNKNOWN)
def test_a_name_that_is_not_there(machine: Machine, line: str) -> None:
    ran = machine(line)
    assert ran.code == UNKNOWN[line], ran.err
    assert ran.err.startswith("rdctl: error: ")
    assert "hint: " in ran.err


def test_names_from_standard_input(machine: Machine) -> None:
    assert machine("create 64M").code == 0
    assert machine("cache create rd1 sdb").code == 0
    assert machine("cache list - -o name", stdin=b"rc-wt_sdb\n").out == "rc-wt_sdb\n"
    assert machine("nvmet list - --query [].device", stdin=b"rd0\n").out == "/dev/rd0\n"
    assert machine("nvmet list -", stdin=b"").code == 0


def test_several_volumes_at_length(machine: Machine) -> None:
    assert machine("create 64M").code == 0
    rows = items(machine("show rd1 rd0 --json"))
    assert rows == [machine(f"show {name} --json").json["item"] for name in ("rd1", "rd0")]


def test_an_overview(machine: Machine) -> None:
    assert machine("create 64M").code == 0
    assert machine("cache create rd1 sdb").code == 0
    (row,) = items(machine("overview --deep --json"))
    assert list(row) == [c.key for c in SCHEMAS["rdctl.rapiddisk.overview/1"].columns]
    uses = [volume["used_by"] for volume in row["volumes"]]
    assert uses == [[f"export {NQN}"], ["rc-wt_sdb"]]
    assert row["memory"]["total"] == 4103258112
    assert row["memory"]["promised"] == 96 * MIB
    assert row["memory"]["used"] == sum(volume["usage"] for volume in row["volumes"])


POLICY = {
    "wt": "write-through",
    "WA": "write-around",
    "wB": "writeback",
    "Write-Around": "write-around",
    "WRITEBACK": "writeback",
}


@pytest.mark.parametrize("word", POLICY)
def test_the_policy_in_the_words_of_the_c_command(machine: Machine, word: str) -> None:
    assert machine("create 64M").code == 0
    assert machine(f"cache create rd1 sdb --policy {word} --yes").code == 0
    (row,) = items(machine("cache list --json"))
    assert row["policy"] == POLICY[word]


def test_status_and_resources(machine: Machine) -> None:
    item = machine("status --json").json["item"]
    assert list(item) == [c.key for c in SCHEMAS["rdctl.rapiddisk.status/1"].columns]
    assert item["status"] == "OK"
    assert item["version"].startswith("9.")
    item = machine("resources --json").json["item"]
    assert list(item) == [c.key for c in SCHEMAS["rdctl.rapiddisk.resources/1"].columns]
    assert item["mem_total"] == 4103258112
    disks = {disk["device"]: disk for disk in item["disks"]}
    assert disks["sdb"]["size"] == 1024 * MIB
    assert {tuple(disk) for disk in item["disks"]} == {("device", "size", "vendor", "model")}


# A refusal has the same words in either mode.
REFUSED = {
    "remove rd0 --yes": (4, "in-use"),
    "flush rd0 --yes": (4, "in-use"),
    "resize rd0 8M --yes": (4, "in-use"),
    "cache create rd0 sdb": (4, "in-use"),
    "cache create rd1 rd1": (4, "conflict"),
    "cache create rd1 rd0": (4, "in-use"),
    "cache create rd1 nosuch": (3, "not-found"),
    "cache create rd1 sdb --policy writeback": (2, "consent-missing"),
    "cache create rd9 sdb": (3, "not-found"),
    "cache remove rc-wt_sdb --yes": (3, "not-found"),
    "cache remove sdb --yes": (2, "usage"),
    "cache stats rc-wt_sdb": (3, "not-found"),
    "remove rd1": (2, "consent-missing"),
    "flush rd1": (2, "consent-missing"),
    "resize rd1 8M": (2, "consent-missing"),
    "resize rd9 8M": (3, "not-found"),
    "create 4P": (4, "conflict"),
    "create 0": (2, "usage"),
    "remove rd2 --yes": (4, "locked"),
    "flush rd2 --yes": (4, "locked"),
    "resize rd2 256M": (4, "locked"),
    "cache create rd2 sdb": (4, "locked"),
    "cache create rd1 rd2": (4, "locked"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused(machine: Machine, line: str) -> None:
    machine("create 64M --count 2")
    machine("lock rd2")
    before = machine("list --json").out
    ran = machine(line, "--json")
    error = ran.json["error"] if "error" in ran.json else ran.json["errors"][0]
    assert (ran.code, error["code"]) == REFUSED[line], ran.err
    assert error["message"]
    assert machine("list --json").out == before
    assert items(machine("cache list --json")) == []


def test_the_volume_and_source_of_a_cache(machine: Machine) -> None:
    machine("create 64M --count 2")
    machine("cache create rd1 sdb")
    for line in ("cache create rd1 vdb", "cache create rd2 sdb", "cache create rd2 rd1"):
        assert machine(line).code == 4, line
    assert machine("cache create rd2 sdb --policy write-around").code == 4
    assert machine("remove rd1 --yes").code == 4
    assert len(items(machine("cache list --json"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "create 8M",
        "resize rd1 128M",
        "resize rd1 8M",
        "flush rd1",
        "remove rd1",
        "lock rd1",
        "cache create rd1 sdb",
    ],
)
def test_a_dry_run(machine: Machine, line: str) -> None:
    """It asks nobody and does nothing; its lines are of the mode, its document is not."""
    machine("create 64M")
    before = machine("list --json").out
    ran = machine(line, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["schema"] == "rdctl.plan/1"
    assert len(ran.json["plan"]) >= 1
    (result,) = ran.json["results"]
    assert (result["changed"], result["verified"]) == (None, None)
    assert machine("list --json").out == before


def test_a_question_and_its_answers(machine: Machine) -> None:
    machine("create 64M")
    ran = machine("remove rd1", tty=True, stdin=b"n\n")
    assert ran.code == 1
    assert "volume rd1 (64.0 MiB, empty) will be removed" in ran.err
    ran = machine("remove rd1", tty=True, stdin=b"y\n")
    assert ran.code == 0
    assert machine("show rd1").code == 3


LOCAL_ONLY = [
    "cache sync rc-wb_sdb",
    "create 8M --number 5",
    "nvmet list --all",
    "nvmet export rd1 --port 1 --any-host",
    "nvmet unexport rd0 --yes",
    "nvmet revalidate rd0",
    "nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4422",
    "nvmet port remove 2 --yes",
    "daemon status",
    "daemon start",
    "daemon enable",
    "daemon disable",
    "daemon stop --yes",
]


@pytest.mark.parametrize("line", LOCAL_ONLY)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
def test_what_only_the_machine_itself_can_do(
    served: Callable[..., Ran], line: str, dry: tuple[str, ...]
) -> None:
    before = served("rapiddisk", "nvmet", "list", "--json").out
    ran = served(*words(line), *dry, "--json")
    error = ran.json["error"] if "error" in ran.json else ran.json["errors"][0]
    assert (ran.code, error["code"]) == (11, "unsupported"), ran.err
    assert "--local" in ran.err
    assert served("rapiddisk", "nvmet", "list", "--json").out == before
