"""The simulated daemon against every recording of the real one, and what no recording shows
(docs/wire/rapiddisk-rest.md)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from itertools import groupby, pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest

from rdctl.sandbox.machine.stored import StoredMachine
from rdctl.sandbox.rapiddisk.daemon import RapidDiskd
from rdctl.sandbox.rapiddisk.state import load_state
from rdctl.sandbox.serve import serve
from rdctl.sandbox.store import Store

WIRE = Path(__file__).parent.parent.parent / "wire" / "rapiddisk-transcripts.jsonl"
MIB = 1 << 20
State = dict[str, Any]


class Daemon:
    """The simulated daemon behind a real socket, as `sandbox serve` has it."""

    def __init__(self, store: Store, machine: StoredMachine, port: int) -> None:
        self.store = store
        self.machine = machine
        self.port = port

    def load(self, state: State) -> None:
        with self.machine.session():
            load_state(self.machine, state)

    def ask(self, method: str, target: str) -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response, body

    def get(self, path: str) -> Any:
        return json.loads(self.ask("GET", f"/v1/{path}")[1])

    def post(self, path: str) -> Any:
        return json.loads(self.ask("POST", f"/v1/{path}")[1])

    def volumes(self) -> dict[str, Any]:
        listed = self.get("listRapidDiskVolumes")["volumes"][0]["rapiddisk"]
        return {volume["device"]: volume for volume in listed}

    def caches(self) -> dict[str, Any]:
        listed = self.get("listRapidDiskVolumes")["volumes"][1]["rapiddisk_cache"]
        return {cache["device"]: cache for cache in listed}

    def stats(self, cache: str) -> dict[str, int]:
        (entry,) = self.get(f"showRapidDiskCacheStats/{cache}")["statistics"][0]["cache_stats"]
        assert entry.pop("device") == cache
        counters: dict[str, int] = entry
        return counters


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    store = Store(tmp_path_factory.mktemp("daemon") / "sandbox.db")
    urls: list[str] = []
    listening, stop = Event(), Event()

    def ready(found: list[str]) -> None:
        urls.extend(found)
        listening.set()

    app = RapidDiskd(store)
    thread = Thread(target=serve, args=([(app, "127.0.0.1", 0)], ready, stop))
    thread.start()
    assert listening.wait(10)
    yield Daemon(store, app.machine, int(urls[0].rpartition(":")[2]))
    stop.set()
    thread.join()
    store.close()


@pytest.fixture
def daemon(served: Daemon) -> Daemon:
    served.store.reset()
    return served


# The recordings ----------------------------------------------------------------------------------


def volume(name: str, mib: int, **more: Any) -> State:
    return {"device": name, "size": mib * MIB, **more}


def export(device: str, nqn: str = "nqn.2021-06.org.rapiddisk:rdvm-x", **more: Any) -> State:
    return {"nqn": nqn, "device": device, **more}


def volumes(*mib: int) -> State:
    return {"volumes": [volume(f"rd{number}", size) for number, size in enumerate(mib)]}


SDA = {"device": "sda", "size": 512 * MIB, "vendor": "QEMU", "model": "QEMU"}
UNLISTED = [
    {"device": name, "size": 512 * MIB, "vendor": None, "model": None} for name in ("vdb", "vdc")
]
WT_VDB = {"device": "rc-wt_vdb", "cache": "rd0", "source": "vdb"}
WA_VDC = {"device": "rc-wa_vdc", "cache": "rd1", "source": "vdc"}
WB_SDA = {"device": "rc-wb_sda", "cache": "rd2", "source": "sda"}
MAPPED: State = {**volumes(64, 64, 64), "caches": [WT_VDB]}

# What stood before the first exchange of each recorded state. A state that is not here was reached
# by the exchanges before it, and is reached so again.
STATES: dict[str, State] = {
    "rapiddisk + rapiddisk-cache + dm-writecache loaded, no volumes, nvmet module NOT loaded": {
        "disks": [SDA]
    },
    "modules loaded incl. nvmet; no volumes, no targets, no ports": {},
    "no volumes: bad sizes": {},
    "malformed argument counts": {},
    "unknown paths and wrong methods": {},
    "empty, then create volumes one after another": {},
    "rd0 64 MiB, rd1 32 MiB, rd2 16 MiB, nothing written": volumes(64, 32, 16),
    "rd0, rd2 exist (rd1 removed)": {"volumes": [volume("rd0", 64), volume("rd2", 16)]},
    "rd0 32 MiB, first 20 MiB written": {
        "volumes": [volume("rd0", 32, usage=20 * MIB), volume("rd1", 8), volume("rd2", 16)]
    },
    "rd0 21 MiB, 20 MiB written": {
        "volumes": [volume("rd0", 21, usage=20 * MIB), volume("rd1", 8), volume("rd2", 16)]
    },
    "rd0 ext4 mounted on /mnt/a": {
        "volumes": [volume("rd0", 64, usage=4587520, high_water=64 * MIB)]
    },
    # Any other opener; the daemon answers alike for an export.
    "rd0 held open read-only by another process (not mounted)": {
        **volumes(64),
        "targets": [export("/dev/rd0")],
    },
    "rd0 rd1 rd2 64 MiB each; vdb vdc sda free": volumes(64, 64, 64),
    "rc-wt_vdb mapped (rd0 -> vdb), some I/O": {
        **MAPPED,
        "caches": [
            {
                **WT_VDB,
                "counters": {
                    "reads": 1034,
                    "writes": 8,
                    "cache_hits": 646,
                    "write_invalidates": 8,
                    "disk_reads": 388,
                    "disk_writes": 8,
                    "cache_reads": 646,
                    "cache_writes": 396,
                },
            }
        ],
    },
    "rc-wt_vdb held open by a process": {
        **MAPPED,
        "targets": [export("/dev/mapper/rc-wt_vdb")],
    },
    "rc-wt_vdb idle": MAPPED,
    "rc-wt_vdb, rc-wa_vdc, rc-wb_sda mapped": {
        "memory": {"total": 4103258112, "free": 3492745216 + 22831104},
        "disks": [SDA, *UNLISTED],
        "volumes": [
            volume("rd0", 128, usage=17305600),
            volume("rd1", 64, usage=1069056),
            volume("rd2", 64, usage=4456448),
        ],
        "caches": [
            WT_VDB,
            WA_VDC,
            {
                **WB_SDA,
                "counters": {
                    "num_free_blocks": 15296,
                    "num_read_req": 1546,
                    "num_read_cache_hits": 1155,
                    "num_write_req": 1024,
                    "num_write_cache_alloc": 1024,
                },
            },
        ],
    },
    "rc-wt_vdb": MAPPED,
    "rd2 has a stale dm-writecache superblock from sda": volumes(64, 64, 64),
    "rd1 holds an ext4 file system": {
        "volumes": [volume("rd0", 64), volume("rd1", 64, usage=4587520, high_water=64 * MIB)]
    },
    "rd0, rd1 64 MiB; nothing mapped": volumes(64, 64),
    "rd0 exported to host nqn.host1 on tcp port 1; "
    "rd1 exported to any host on tcp port 1 and loop port 2": {
        **volumes(64, 64),
        "ports": [
            {"port": 1, "address": "10.0.2.15", "protocol": "tcp"},
            {"port": 2, "address": "UNDEFINED", "protocol": "loop"},
        ],
        "targets": [
            export(
                "/dev/rd0", "nqn.2021-06.org.rapiddisk:rdvm-rd0", hosts=["nqn.host1"], ports=[1]
            ),
            export("/dev/rd1", "nqn.2021-06.org.rapiddisk:rdvm-rd1", ports=[1, 2]),
        ],
    },
    "rapiddisk modules unloaded while the daemon runs": {},
}

# Here every exchange was made in the state itself, not after the one before it.
EACH_ANEW = {"no volumes: bad sizes", "rc-wt_vdb, rc-wa_vdc, rc-wb_sda mapped"}

# What was done before an exchange without being recorded.
UNRECORDED = {
    ("rd0 rd1 rd2 64 MiB each; vdb vdc sda free", "createRapidDiskCache/rd0/null/write-through"): (
        "createRapidDiskCache/rd0/rd0/write-through"
    ),
    ("rd0 rd1 rd2 64 MiB each; vdb vdc sda free", "createRapidDiskCache/rd0/vdb/write-through"): (
        "removeRapidDiskCache/rc-wt_rd0"
    ),
}

MOUNTS = "nothing is ever mounted in the sandbox"
NOT_REPLAYED = {
    ("rd0 ext4 mounted on /mnt/a", "flushRapidDisk/rd0"): MOUNTS,
    ("rd0 ext4 mounted on /mnt/a", "createRapidDiskCache/rd0/vdb/write-through"): MOUNTS,
    ("rc-wt_vdb mounted on /mnt/b", "removeRapidDiskCache/rc-wt_vdb"): MOUNTS,
    ("rapiddisk modules unloaded while the daemon runs", "createRapidDisk/64"): (
        "the sandbox has its modules"
    ),
    ("unknown paths and wrong methods", "garbage"): "not HTTP: see test_serve",
}


class Exchange(NamedTuple):
    line: int
    state: str
    method: str
    path: str
    status: int | None
    status_line: str
    headers: dict[str, str]
    body: str

    @property
    def key(self) -> tuple[str, str]:
        return self.state, self.path.removeprefix("/v1/")

    @property
    def skipped(self) -> bool:
        # The others without a status are names and paths so long that the daemon died of them.
        return self.key in NOT_REPLAYED or self.status is None


def expand(text: str) -> str:
    """Long runs are recorded as <400 x "A">."""
    return re.sub(r'<(\d+) x "([^"]*)">', lambda run: run[2] * int(run[1]), text)


def recorded() -> Iterator[Exchange]:
    for number, line in enumerate(WIRE.read_text("utf-8").splitlines(), 1):
        row = json.loads(line)
        if row["daemon"] == "9.2.0":
            yield Exchange(
                number,
                row["state"],
                row["method"],
                expand(row["path"]),
                row["status"],
                row.get("status_line", ""),
                row["headers"],
                expand(row["body"]),
            )


def scenes() -> Iterator[Any]:
    """The exchanges in their order, cut where a state is set up."""
    scene: list[Exchange] = []
    for state, exchanges in groupby(recorded(), key=lambda exchange: exchange.state):
        if state in STATES and scene:
            yield pytest.param(scene, id=scene[0].state)
            scene = []
        scene = [*scene, *exchanges]
    yield pytest.param(scene, id=scene[0].state)


@pytest.mark.parametrize("scene", list(scenes()))
def test_it_answers_as_recorded(served: Daemon, scene: list[Exchange]) -> None:
    served.load(STATES[scene[0].state])
    for exchange in scene:
        if exchange.skipped:
            continue
        if exchange.state in EACH_ANEW:
            served.load(STATES[exchange.state])
        if exchange.key in UNRECORDED:
            assert served.post(UNRECORDED[exchange.key])["status"] == "Success"
        response, body = served.ask(exchange.method, exchange.path)
        assert (exchange.line, body) == (exchange.line, exchange.body)
        assert f"HTTP/1.1 {response.status} {response.reason}" == exchange.status_line
        headers = dict(response.getheaders())
        assert headers.pop("Date")
        assert headers == {key: text for key, text in exchange.headers.items() if key != "Date"}


def test_nearly_all_of_the_recordings_are_replayed() -> None:
    exchanges = list(recorded())
    assert len(exchanges) == 195
    assert {exchange.key for exchange in exchanges} >= NOT_REPLAYED.keys() | UNRECORDED.keys()
    killed = [exchange for exchange in exchanges if exchange.status is None]
    assert len([exchange for exchange in exchanges if not exchange.skipped]) == 195 - 4 - len(
        killed
    )
    assert all(len(exchange.path) > 500 for exchange in killed if exchange.path != "garbage")


def test_the_targets_as_9_2_lists_them(served: Daemon) -> None:
    (exported,) = [state for name, state in STATES.items() if name.startswith("rd0 exported")]
    served.load(exported)
    _, body = served.ask("GET", "/v1/listAllNVMeTargets")
    assert body == (
        '{"targets": [{"nvmet_targets": ['
        '{"nqn": "nqn.2021-06.org.rapiddisk:rdvm-rd1", "namespace": 1, "device": "/dev/rd1",'
        ' "enabled": "true", "allowed_hosts": [], "assigned_ports": ['
        '{"port": 2, "address": "UNDEFINED", "protocol": "loop"},'
        ' {"port": 1, "address": "10.0.2.15", "protocol": "tcp"}]},'
        ' {"nqn": "nqn.2021-06.org.rapiddisk:rdvm-rd0", "namespace": 1, "device": "/dev/rd0",'
        ' "enabled": "true", "allowed_hosts": [{"host": "nqn.host1"}], "assigned_ports": ['
        '{"port": 1, "address": "10.0.2.15", "protocol": "tcp"}]}]}]}'
    )
    _, body = served.ask("GET", "/v1/listAllNVMePorts")
    assert body == (
        '{"targets": [{"nvmet_ports": ['
        '{"port": 2, "address": "UNDEFINED", "protocol": "loop"},'
        ' {"port": 1, "address": "10.0.2.15", "protocol": "tcp"}]}]}'
    )


# Beyond the recordings ---------------------------------------------------------------------------


def test_a_new_sandbox(daemon: Daemon) -> None:
    assert daemon.volumes() == {
        "rd0": {"device": "rd0", "size": 32 * MIB, "usage": 16384, "status": "unlocked"}
    }
    assert daemon.caches() == {}
    memory, disks = daemon.get("listAllResources")["resources"]
    assert memory == {"memory": [{"mem_total": 4103258112, "mem_free": 3502264320 - 16384}]}
    assert {disk["device"] for disk in disks["volumes"]} == {"sda", "sdb", "nvme0n1"}
    (target,) = daemon.get("listAllNVMeTargets")["targets"][0]["nvmet_targets"]
    assert target["nqn"] == "nqn.2021-06.org.rapiddisk:sandbox-rd0"
    assert target["device"] == "/dev/rd0"
    assert target["assigned_ports"] == [{"port": 1, "address": "127.0.0.1", "protocol": "tcp"}]
    ports = daemon.get("listAllNVMePorts")["targets"][0]["nvmet_ports"]
    assert {(port["port"], port["protocol"]) for port in ports} == {(1, "tcp"), (2, "loop")}


def test_a_head_request_has_the_length_and_no_body(daemon: Daemon) -> None:
    response, body = daemon.ask("HEAD", "/v1/checkServiceStatus")
    assert (response.status, response.getheader("Content-Length"), body) == (400, "20", "")


def test_a_name_hides_the_free_number_in_it(daemon: Daemon) -> None:
    numbers = [0, *range(2, 12)]
    daemon.load({"volumes": [volume(f"rd{number}", 4) for number in numbers]})
    reply = daemon.post("createRapidDisk/4")
    assert reply == {"status": "Success", "message": "Attached device rd-1 of size 4 Mbytes."}
    assert set(daemon.volumes()) == {f"rd{number}" for number in numbers}


def test_the_kernel_attaches_1024_volumes_and_the_daemon_does_not_notice(daemon: Daemon) -> None:
    daemon.load(volumes(*[1] * 1024))
    assert daemon.post("createRapidDisk/1")["status"] == "Success"
    assert len(daemon.volumes()) == 1024


@pytest.mark.parametrize(
    ("size", "listed"),
    [
        ("0", 0),
        ("0x40", 0),
        ("-1", -MIB),
        ("-5", -5 * MIB),
        ("17592186044416", 0),
        ("8796093022208", -(1 << 63)),
        ("0000000000000000000000064", 64 * MIB),
        ("%0964", 64 * MIB),
    ],
)
def test_sizes_wrap_at_64_bits(daemon: Daemon, size: str, listed: int) -> None:
    assert daemon.post(f"createRapidDisk/{size}")["status"] == "Success"
    assert daemon.volumes()["rd1"]["size"] == listed


@pytest.mark.parametrize("size", ["18446744073709551616", "9" * 5000, "-" + "9" * 30])
def test_numbers_beyond_64_bits(daemon: Daemon, size: str) -> None:
    reply = daemon.post(f"createRapidDisk/{size}")
    assert reply == {"status": "Failed", "message": "Invalid size."}
    assert set(daemon.volumes()) == {"rd0"}


@pytest.mark.parametrize(
    "target",
    [
        "/v1/lockRapidDisk/%72d0",
        "/v1/lockRapidDisk%2Frd0",
        "/v1/lockRapidDisk/rd0%00x/y/z",
        "/v1/lockRapidDiskrd0",
    ],
)
def test_other_spellings_of_a_name(daemon: Daemon, target: str) -> None:
    _, body = daemon.ask("POST", target)
    assert json.loads(body)["status"] == "Success"
    assert daemon.volumes()["rd0"]["status"] == "locked"


@pytest.mark.parametrize(
    "target",
    ["//v1/checkServiceStatus", "/v1/checkservicestatus", "http://x/v1/checkServiceStatus"],
)
def test_other_spellings_of_a_path_are_unknown(daemon: Daemon, target: str) -> None:
    response, body = daemon.ask("GET", target)
    assert (response.status, json.loads(body)["message"]) == (400, "Unsupported.")


def test_a_name_that_is_not_utf8_gets_no_message(daemon: Daemon) -> None:
    _, body = daemon.ask("POST", "/v1/lockRapidDisk/rd%ff%fe")
    assert body == '{"status": "Failed"}'
    assert daemon.post("createRapidDisk/%ff")["message"] == "Not a number."


def test_an_export_guards_nothing_but_the_flush(daemon: Daemon) -> None:
    reply = daemon.post("flushRapidDisk/rd0")
    assert reply["message"] == "mem_device_flush: ioctl: Device or resource busy"
    assert daemon.volumes()["rd0"]["usage"] == 0  # even so
    reply = daemon.post("removeRapidDisk/rd0")
    assert reply == {"status": "Success", "message": "Detached device rd0."}
    (target,) = daemon.get("listAllNVMeTargets")["targets"][0]["nvmet_targets"]
    assert (target["device"], target["enabled"]) == ("/dev/rd0", "true")
    assert daemon.post("removeRapidDisk/rd0")["message"] == "Error. Device rd0 does not exist."


def test_a_locked_volume_is_removed(daemon: Daemon) -> None:
    daemon.load({"volumes": [volume("rd0", 4, locked=True)]})
    assert daemon.volumes()["rd0"]["status"] == "locked"
    assert daemon.post("removeRapidDisk/rd0")["status"] == "Success"
    assert daemon.volumes() == {}


def test_shrinking_stops_at_the_high_water_mark(daemon: Daemon) -> None:
    daemon.load({"volumes": [volume("rd0", 64, usage=4096, high_water=20 * MIB + 4096)]})
    reply = daemon.post("resizeRapidDisk/rd0/20")
    assert reply["message"] == "Error. Please specify a size larger than 20 Mbytes."
    assert daemon.post("resizeRapidDisk/rd0/21")["status"] == "Success"
    assert daemon.volumes()["rd0"]["size"] == 21 * MIB
    daemon.post("flushRapidDisk/rd0")
    assert daemon.post("resizeRapidDisk/rd0/1")["status"] == "Success"
    reply = daemon.post("resizeRapidDisk/rd0/0")
    assert reply["message"] == "Error. Please specify a size larger than 0 Mbytes."


def test_free_memory_falls_with_usage(daemon: Daemon) -> None:
    def free() -> int:
        memory: int = daemon.get("listAllResources")["resources"][0]["memory"][0]["mem_free"]
        return memory

    before = free()
    daemon.post("createRapidDisk/64")
    assert free() == before  # volumes are thin
    daemon.post("createRapidDiskCache/rd1/vdb/write-through")
    assert free() == before - 1069056
    daemon.post("removeRapidDiskCache/rc-wt_vdb")
    assert free() == before - 1069056  # the pages stay
    daemon.post("flushRapidDisk/rd1")
    assert free() == before


@pytest.mark.parametrize(
    ("mib", "policy", "status"),
    [
        (0, "write-back", "Failed"),
        (1, "write-back", "Success"),
        (1, "write-through", "Failed"),
        (2, "write-around", "Success"),
    ],
)
def test_a_volume_too_small_for_a_cache(daemon: Daemon, mib: int, policy: str, status: str) -> None:
    daemon.load(volumes(mib))
    reply = daemon.post(f"createRapidDiskCache/rd0/sda/{policy}")
    assert reply["status"] == status
    assert len(daemon.caches()) == (status == "Success")
    if status == "Failed":
        assert reply["message"].startswith("Error. Unable to create map.")


def test_sources_that_cannot_be_mapped(daemon: Daemon) -> None:
    reply = daemon.post("createRapidDiskCache/rd0/null/write-through")
    assert reply["message"] == "cache_device_map: ioctl: Inappropriate ioctl for device"
    reply = daemon.post("createRapidDiskCache/rd0/dm-0/write-through")
    assert reply["message"] == "cache_device_map: open: No such file or directory"


def test_a_cache_below_another_cannot_be_unmapped(daemon: Daemon) -> None:
    daemon.load({**volumes(64, 64), "caches": [WT_VDB]})
    assert daemon.post("createRapidDiskCache/rd1/dm-0/write-back")["status"] == "Success"
    assert daemon.caches()["rc-wb_dm-0"] == {
        "device": "rc-wb_dm-0",
        "cache": "rd1",
        "source": "dm-0",
        "mode": "writeback",
    }
    reply = daemon.post("removeRapidDiskCache/rc-wt_vdb")
    assert reply["message"].startswith("Error. Unable to unmap rc-wt_vdb.")
    assert daemon.post("removeRapidDiskCache/rc-wb_dm-0")["status"] == "Success"
    assert daemon.post("removeRapidDiskCache/rc-wt_vdb")["status"] == "Success"


def test_a_volume_may_cache_itself(daemon: Daemon) -> None:
    daemon.load(volumes(64))
    assert daemon.post("createRapidDiskCache/rd0/rd0/write-around")["status"] == "Success"
    assert daemon.caches() == {
        "rc-wa_rd0": {
            "device": "rc-wa_rd0",
            "cache": "rd0",
            "source": "",
            "mode": "write-around",
        }
    }


def test_a_namespace_without_a_path(daemon: Daemon) -> None:
    foreign = {"nqn": "foreign2.nqn", "namespace": 7, "device": "(null)", "enabled": False}
    daemon.load({"targets": [foreign]})
    assert daemon.get("listAllNVMeTargets")["targets"][0]["nvmet_targets"] == [
        {
            "nqn": "foreign2.nqn",
            "namespace": 7,
            "device": "(null)",
            "enabled": "false",
            "allowed_hosts": [],
            "assigned_ports": [],
        }
    ]


def test_a_listing_is_not_sorted(daemon: Daemon) -> None:
    daemon.load(volumes(*[1] * 12))
    listed = list(daemon.volumes())
    assert listed != sorted(listed)
    assert sorted(listed) == sorted(f"rd{number}" for number in range(12))
    assert list(daemon.volumes()) == listed


# Statistics --------------------------------------------------------------------------------------

LOOKS = 100


def watch(daemon: Daemon, policy: str, mib: int = 64) -> tuple[list[dict[str, int]], list[int]]:
    """The counters and the volume's usage of a new cache at each of many looks."""
    daemon.load(volumes(mib))
    reply = daemon.post(f"createRapidDiskCache/rd0/sdb/{policy}")
    name = reply["message"].split()[3]
    seen, usage = [], []
    for _ in range(LOOKS):
        usage.append(daemon.volumes()["rd0"]["usage"])
        seen.append(daemon.stats(name))
    for before, after in pairwise(seen):
        falling = {"num_free_blocks"}
        assert all(after[key] >= before[key] for key in after.keys() - falling)
    return seen, usage


@pytest.mark.parametrize("policy", ["write-through", "write-around"])
@pytest.mark.parametrize("mib", [2, 64])
def test_the_counters_of_a_cache_add_up(daemon: Daemon, policy: str, mib: int) -> None:
    seen, usage = watch(daemon, policy, mib)
    assert usage[0] == 1069056
    assert usage[-1] <= mib * MIB
    for counters, used in zip(seen, usage, strict=True):
        assert counters["reads"] == counters["cache_hits"] + counters["disk_reads"]
        assert counters["cache_reads"] == counters["cache_hits"]
        assert counters["writes"] == counters["disk_writes"]
        through = counters["disk_writes"] if policy == "write-through" else 0
        assert counters["cache_writes"] == counters["disk_reads"] + through
        assert used == counters["disk_reads"] * 4096
    hits = [after["cache_hits"] - before["cache_hits"] for before, after in pairwise(seen)]
    assert 0 < hits[0] < hits[-1] <= 128


@pytest.mark.parametrize(("mib", "blocks"), [(1, 254), (64, 16320), (65, 16575)])
def test_the_counters_of_a_writeback_cache_add_up(daemon: Daemon, mib: int, blocks: int) -> None:
    seen, usage = watch(daemon, "write-back", mib)
    assert seen[0]["num_free_blocks"] == blocks
    for counters, used in zip(seen, usage, strict=True):
        assert counters["num_blocks"] == blocks
        held = blocks - counters["num_free_blocks"]
        assert 0 <= held <= blocks
        assert held == counters["num_write_cache_alloc"]
        assert counters["num_write_req"] == (
            counters["num_write_cache_alloc"] + counters["num_write_committed_blk_hits"]
        )
        assert counters["num_read_cache_hits"] <= counters["num_read_req"]
        assert (blocks * 4096) + used - held * 4096 <= mib * MIB
    assert seen[-1]["num_read_cache_hits"] > seen[10]["num_read_cache_hits"]


def test_two_sandboxes_count_alike(daemon: Daemon) -> None:
    assert watch(daemon, "write-through") == watch(daemon, "write-through")


# Two at once -------------------------------------------------------------------------------------

CREATOR = """
import json
import sys
from rdctl.sandbox import RAPIDDISK_HOST, apps
from rdctl.sandbox.adapter import WsgiAdapter

adapter = WsgiAdapter(apps(sys.argv[1])[RAPIDDISK_HOST])
url = f"http://{RAPIDDISK_HOST}/v1/createRapidDisk/1"
sys.stdin.readline()
for _ in range(50):
    *_, body = adapter.call("POST", url, {}, None)
    print(json.loads(body)["message"].split()[2])
"""


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "sandbox.db")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    made = [name for process in processes for name in process.communicate(timeout=60)[0].split()]
    assert sorted(made) == sorted(f"rd{number}" for number in range(1, 101))
    store = Store(path)
    assert {f"rd{number}" for number in StoredMachine(store).volumes} == {"rd0", *made}
    with store.look() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store.close()
