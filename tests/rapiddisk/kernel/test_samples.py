"""Real files of a kernel, read without root: what rdctl lists is what the recorded command of
RapidDisk listed of them (docs/wire/rapiddisk-local.md#21-reading)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rdctl.effects.syscalls import Syscalls
from tests.conftest import Program

SAMPLES = sorted((Path(__file__).parent.parent.parent / "wire/sysfs-samples").glob("[0-9]*.txt"))
DEVICES = "/sys/kernel/rapiddisk/devices (-rw-rw-r-- root:root)"


class NoRoot(Syscalls):
    @property
    def privileged(self) -> bool:
        return False


def sections(sample: Path) -> dict[str, str]:
    """What stands below each `== HEAD` line."""
    parts = re.split(r"^== (.*)\n", sample.read_text("utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def build(sample: Path, root: Path) -> None:
    """The tree that the sample shows, as far as it shows it."""
    for head, text in sections(sample).items():
        file = re.fullmatch(r"(/\S+) \([-rwx]{10} .*\)", head)
        directory = re.fullmatch(r"(/\S+)/ : (.*)", head)
        if file:
            put(root / file[1][1:], text)
        elif directory:
            for name in directory[2].split():
                put(root / directory[1][1:] / name, "")
        elif head.startswith("/proc/devices: "):
            put(root / "proc/devices", f"Block devices:\n{head[15:]}\n")
        elif head.startswith("find "):
            for line in text.splitlines():
                kind, _, path, target = line.split(" ", 3)
                place = root / path[1:]
                if kind == "l":
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(target)
                elif kind == "d":
                    place.mkdir(parents=True, exist_ok=True)
    (root / "sys/class/block").mkdir(parents=True, exist_ok=True)
    for device in (root / "sys/block").glob("*"):
        (root / "sys/class/block" / device.name).symlink_to(f"../../block/{device.name}")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(params=SAMPLES, ids=lambda path: path.stem)
def sample(request: pytest.FixtureRequest, rdctl: Program) -> dict[str, str]:
    rdctl.root.mkdir()
    build(request.param, rdctl.root)
    rdctl.calls = NoRoot()
    return sections(request.param)


def recorded(sample: dict[str, str], command: str) -> dict[str, Any]:
    """The command's JSON, whose parts are wrapped into lists of one key."""
    document = json.loads(
        sample[f"rapiddisk {command} -j (9.2.0)".replace("-N -j (9.2.0)", "-N -j")]
    )
    (parts,) = [value for value in document.values() if isinstance(value, list)]
    return {key: value for part in parts for key, value in part.items()}


def listed(rdctl: Program, *words: str) -> list[dict[str, Any]]:
    ran = rdctl("--local", "rapiddisk", *words, "--json")
    assert (ran.code, ran.err) == (0, "")
    items: list[dict[str, Any]] = ran.json["items"]
    return items


def by_device(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["device"]))


def test_volumes(rdctl: Program, sample: dict[str, str]) -> None:
    rows = listed(rdctl, "list")
    told = sample["rapiddisk -l -j (9.2.0)"]
    if "Unable to locate any" in told:
        assert rows == []
        return
    # Not the command's usage: a mounted file system wrote between the two.
    usage = dict(re.findall(r"^(rd\d+)\t\d+\t\d+\t(\d+)$", sample[DEVICES], re.M))
    uses = {row["device"]: row.pop("used_by") for row in rows}
    for cache in recorded(sample, "-l")["rapiddisk_cache"]:
        assert cache["device"] in uses[cache["cache"]]
    assert rows == [
        {
            "device": row["device"],
            "size": row["size"],
            "usage": int(usage[row["device"]]),
            "locked": row["status"] == "locked",
            "unwritten": None,
        }
        for row in by_device(recorded(sample, "-l")["rapiddisk"])
    ]


def test_caches(rdctl: Program, sample: dict[str, str]) -> None:
    rows = listed(rdctl, "cache", "list")
    told = sample["rapiddisk -l -j (9.2.0)"]
    caches = [] if "Unable" in told else recorded(sample, "-l")["rapiddisk_cache"]
    for row in rows:
        assert row.pop("kernel").startswith("dm-")
        assert (
            row.pop("dirty") is row.pop("writeback_seconds") is row.pop("flush_on_suspend") is None
        )
    assert rows == [
        {
            "device": row["device"],
            "volume": row["cache"],
            # The command shows dm-1 for what has a name.
            "source": sample.get(
                f"/sys/block/{row['source']}/dm/name (-r--r--r-- root:root)", row["source"]
            ).strip(),
            "policy": row["mode"],
            "source_kernel": row["source"],
        }
        for row in by_device(caches)
    ]


def test_targets_and_ports(rdctl: Program, sample: dict[str, str]) -> None:
    if "/sys/kernel/config/nvmet does not exist" in sample:
        for words in (("nvmet", "list"), ("nvmet", "port", "list")):
            ran = rdctl("--local", "rapiddisk", *words, "--json")
            assert (ran.code, ran.json["error"]["code"]) == (6, "module-missing")
            assert "modprobe nvmet" in ran.err
        return
    assert [
        (row["port"], row["transport"], row["address"])
        for row in listed(rdctl, "nvmet", "port", "list")
    ] == sorted(
        (row["port"], row["protocol"], known(row["address"]))
        for row in recorded(sample, "-N")["nvmet_ports"]
    )
    told = recorded(sample, "-n")["nvmet_targets"]
    found = listed(rdctl, "nvmet", "list")
    assert [essence(row) for row in by_device(found)] == [
        (
            row["nqn"],
            row["namespace"],
            row["device"],
            row["enabled"] == "true",
            [host["host"] for host in row["allowed_hosts"]],
            sorted((p["port"], p["protocol"], known(p["address"])) for p in row["assigned_ports"]),
        )
        for row in by_device(told)
    ]


def known(address: str) -> str | None:
    return None if address == "UNDEFINED" else address


def essence(row: dict[str, Any]) -> tuple[Any, ...]:
    ports = [(port["port"], port["transport"], port["address"]) for port in row["ports"]]
    return (*(row[key] for key in ("nqn", "namespace", "device", "enabled", "hosts")), ports)


def test_what_a_failed_export_left_behind_is_named(rdctl: Program) -> None:
    (half_made,) = [path for path in SAMPLES if path.name.startswith("12")]
    rdctl.root.mkdir()
    build(half_made, rdctl.root)
    rdctl.calls = NoRoot()
    assert listed(rdctl, "nvmet", "list") == []
    (row,) = listed(rdctl, "nvmet", "list", "--all")
    assert (row["nqn"], row["namespace"], row["device"], row["enabled"]) == (
        "nqn.2021-06.org.rapiddisk:rdvm-rd2",
        None,
        None,
        False,
    )


def test_status(rdctl: Program, sample: dict[str, str]) -> None:
    item = rdctl("--local", "rapiddisk", "status", "--json").json["item"]
    mgmt = sample["/sys/kernel/rapiddisk/mgmt (-rw-rw-r-- root:root)"]
    attached = re.search(r"Attached Devices: (\d+)", mgmt)
    assert attached
    assert item["version"] == "9.0.0"
    assert (item["volumes"], item["max_volumes"]) == (int(attached[1]), 1024)
    versions = {module["module"]: module["version"] for module in item["modules"]}
    assert versions["rapiddisk"] == versions["rapiddisk-cache"] == "9.0.0"
