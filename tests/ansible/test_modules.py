"""Each module against the sandbox: a rehearsal, the change, the same again, removal, again."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from tests.ansible.conftest import MODULES, Run

MIB = 1024 * 1024
HOST = "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"
SECRET = bytes(range(32))
STATE = """schema = "rdctl.rapiddisk.state/1"

[volumes.rd5]
size = "64M"
"""

# What each module needs first, its options, and what a diff shows of what it makes.
LIVES: list[tuple[str, list[tuple[str, dict[str, Any]]], dict[str, Any], dict[str, Any]]] = [
    (
        "rapiddisk_volume",
        [],
        {"name": "rd3", "size": "64M"},
        {"rd3": {"size": 64 * MIB}},
    ),
    (
        "rapiddisk_cache",
        [("rapiddisk_volume", {"name": "rd3", "size": "64M"})],
        {"volume": "rd3", "source": "/dev/sdb"},
        {"rc-wt_sdb": {"volume": "rd3", "source": "sdb", "policy": "write-through"}},
    ),
    (
        "rapiddisk_port",
        [],
        {"port": 7, "transport": "tcp", "address": "127.0.0.1", "service": 4999},
        {"7": {"transport": "tcp", "address": "127.0.0.1", "service": "4999"}},
    ),
    (
        "rapiddisk_export",
        [("rapiddisk_volume", {"name": "rd3", "size": "64M"})],
        {"device": "rd3", "ports": [1, 2], "hosts": ["nqn.x:1"]},
        {
            "rd3": {
                "nqn": "nqn.2021-06.org.rapiddisk:sandbox-rd3",
                "ports": [1, 2],
                "hosts": ["nqn.x:1"],
                "any_host": False,
            }
        },
    ),
    (
        "oio_container",
        [],
        {"name": "été 1", "quota": "1G", "properties": {"on": True, "n": 5}},
        {"été 1": {"quota": "1G", "properties": {"n": "5", "on": "true"}}},
    ),
    (
        "oio_object",
        [],
        {"container": "photos", "path": "-é ü/'x'", "content": "hallo", "properties": {"a": "=b"}},
        {"-é ü/'x'": {"size": 5}},
    ),
]


@pytest.mark.parametrize(
    ("module", "first", "options", "made"), LIVES, ids=lambda one: str(one)[:16]
)
def test_a_life(
    run: Run,
    module: str,
    first: list[tuple[str, dict[str, Any]]],
    options: dict[str, Any],
    made: dict[str, Any],
) -> None:
    for name, words in first:
        assert run(name, **words)["changed"] is True
    rehearsed = run(module, check=True, **options)
    assert (rehearsed["changed"], rehearsed["diff"]["before"]) == (True, {})
    assert shown(rehearsed["diff"]["after"]) == made
    done = run(module, **options)
    assert done["changed"] is True, done
    assert shown(done["diff"]["after"]) == made
    again = run(module, **options)
    assert (again["changed"], again["changes"]) == (False, [])
    assert again["diff"] == {"before": {}, "after": {}}
    naming = {
        key: options[key]
        for key in ("name", "volume", "port", "device", "container", "path")
        if key in options
    }
    rehearsed = run(module, check=True, state="absent", **naming)
    removed = run(module, state="absent", **naming)
    assert (rehearsed["changed"], removed["changed"]) == (True, True)
    assert rehearsed["diff"] == removed["diff"]
    assert (list(removed["diff"]["before"]), removed["diff"]["after"]) == (list(made), {})
    again = run(module, state="absent", **naming)
    assert (again["changed"], again["changes"]) == (False, [])


def shown(things: dict[str, Any]) -> dict[str, Any]:
    """Without what only the change itself finds out."""
    return {
        name: {key: value for key, value in data.items() if key not in ("hash", "system")}
        for name, data in things.items()
    }


def test_a_state(run: Run, home: Path) -> None:
    file = home / "a state.toml"
    file.write_text(STATE)
    rehearsed = run("rapiddisk_state", check=True, src=str(file))
    done = run("rapiddisk_state", content=STATE)
    assert rehearsed["diff"] == done["diff"] == {"before": {}, "after": {"rd5": {"size": 64 * MIB}}}
    assert {"kind": "volume", "name": "rd5", "state": "missing"}.items() <= {
        **rehearsed["differences"][0]
    }.items()
    assert run("rapiddisk_state", src=str(file))["changed"] is False
    without = STATE.partition("[")[0]
    assert run("rapiddisk_state", content=without)["changed"] is False
    refused = run("rapiddisk_state", content=without, prune=True)
    assert (refused["failed"], refused["code"]) == (True, "consent-missing")
    assert refused["losses"] == ["volume rd5 (64.0 MiB, empty) will be removed"]
    pruned = run("rapiddisk_state", content=without, prune=True, confirm_loss=True)
    assert (pruned["changed"], list(pruned["diff"]["before"])) == (True, ["rd5"])
    assert run("rapiddisk_state", content=without, prune=True)["changed"] is False


def test_a_volume_changes(run: Run) -> None:
    """It is unlocked for its new size, in a rehearsal too; it shrinks by consent only."""
    run("rapiddisk_volume", name="rd3", size="64M", locked=True)
    for check in (True, False):
        grown = run("rapiddisk_volume", check=check, name="rd3", size="128M", locked=False)
        assert grown["diff"] == {
            "before": {"rd3": {"size": 64 * MIB, "locked": True}},
            "after": {"rd3": {"size": 128 * MIB, "locked": False}},
        }
    run("rapiddisk_volume", name="rd3", locked=True)
    removal = {"name": "rd3", "state": "absent", "locked": False}
    assert run("rapiddisk_volume", check=True, **removal)["losses"] == [
        "volume rd3 will be removed"
    ]
    for check in (True, False):
        shrunk = run("rapiddisk_volume", check=check, name="rd3", size="64M", locked=False)
        assert (shrunk["code"], shrunk["changed"], shrunk["changes"]) == (
            "consent-missing",
            False,
            [],
        )
    shrunk = run("rapiddisk_volume", name="rd3", size="64M", locked=False, confirm_loss=True)
    assert (shrunk["changed"], shrunk["volume"]["size"]) == (True, 64 * MIB)
    assert run("rapiddisk_volume", name="rd3")["changed"] is False


def test_a_path_is_a_name(run: Run) -> None:
    """As rdctl_info returns it of an export, and as rdctl takes it."""
    run("rapiddisk_volume", name="/dev/rd3", size="64M")
    made = run("rapiddisk_cache", volume="/dev/rd3", source="/dev/sdb")
    assert made["cache"]["device"] == "rc-wt_sdb"
    other = run("rapiddisk_cache", volume="rd3", source="sda", state="absent")
    assert (other["failed"], other["msg"]) == (True, "rc-wt_sdb caches sdb, not sda")
    named = {"name": "/dev/mapper/rc-wt_sdb", "volume": "/dev/rd3", "source": "/dev/sdb"}
    assert run("rapiddisk_cache", state="absent", **named)["changed"] is True
    (export,) = run("rdctl_info", gather=["exports"])["info"]["exports"]
    removed = run("rapiddisk_export", device=export["device"], state="absent")
    assert (removed["changed"], removed["export"]) == (True, None)


def test_a_volume_with_data_is_removed_by_consent_only(run: Run) -> None:
    run("rapiddisk_volume", name="rd3", size="64M")
    run("rapiddisk_cache", volume="rd3", source="sdb")
    run("rapiddisk_cache", volume="rd3", state="absent")  # the volume keeps the cached blocks
    for check in (True, False):
        refused = run("rapiddisk_volume", check=check, name="rd3", state="absent")
        assert (refused["failed"], refused["code"]) == (True, "consent-missing")
        assert refused["losses"] == ["volume rd3 will be removed with its data"]
    removed = run("rapiddisk_volume", name="rd3", state="absent", confirm_loss=True)
    assert (removed["changed"], removed["volume"]) == (True, None)


def test_a_volume_in_use_stays(run: Run) -> None:
    for check in (True, False):
        refused = run(
            "rapiddisk_volume", check=check, name="rd0", state="absent", confirm_loss=True
        )
        assert (refused["failed"], refused["code"], refused["rc"]) == (True, "in-use", 4)
        assert refused["hint"].startswith(
            "Free it first: rdctl -c sandbox rapiddisk nvmet unexport"
        )
        assert refused["changed"] is False


def test_a_daemon_chooses_names(run: Run, served: str) -> None:
    """So that a new volume cannot be asked for by its name; those that exist can be managed."""
    there = {"context": None, "rapiddisk_url": served}
    refused = run("rapiddisk_volume", name="rd3", size="64M", **there)
    assert (refused["failed"], refused["code"]) == (True, "unsupported")
    assert "--number" in refused["msg"]
    grown = run("rapiddisk_volume", name="rd0", locked=True, **there)
    assert (grown["changed"], grown["volume"]["locked"]) == (True, True)
    assert run("rapiddisk_volume", name="rd0", locked=True, **there)["changed"] is False


def test_writeback_risks_are_confirmed(run: Run) -> None:
    run("rapiddisk_volume", name="rd3", size="64M")
    cache = {"volume": "rd3", "source": "sdb", "policy": "writeback"}
    refused = run("rapiddisk_cache", **cache)
    assert (refused["code"], len(refused["losses"])) == ("consent-missing", 1)
    made = run("rapiddisk_cache", confirm_loss=True, max_age=60, **cache)
    assert (made["changed"], made["cache"]["device"]) == (True, "rc-wb_sdb")
    assert run("rapiddisk_cache", max_age=60, **cache)["changed"] is False


def test_an_exclusive_export(run: Run) -> None:
    export = {"device": "rd0", "ports": [2], "hosts": ["nqn.x:1"]}
    added = run("rapiddisk_export", **export)
    assert added["diff"]["after"]["rd0"]["hosts"] == [HOST, "nqn.x:1"]
    rehearsed = run("rapiddisk_export", check=True, exclusive=True, **export)
    narrowed = run("rapiddisk_export", exclusive=True, **export)
    assert rehearsed["diff"] == narrowed["diff"]
    assert narrowed["diff"]["after"]["rd0"]["hosts"] == ["nqn.x:1"]
    assert [port["port"] for port in narrowed["export"]["ports"]] == [2]
    assert run("rapiddisk_export", exclusive=True, **export)["changed"] is False


def test_another_export_at_once(run: Run) -> None:
    """Ports and hosts are added and removed by one task: check mode foresees both."""
    export = {"device": "rd0", "ports": [2], "hosts": ["nqn.x:1"], "exclusive": True}
    rehearsed = run("rapiddisk_export", check=True, **export)
    done = run("rapiddisk_export", **export)
    assert rehearsed["diff"] == done["diff"]
    assert (done["diff"]["before"]["rd0"]["ports"], done["diff"]["after"]["rd0"]["ports"]) == (
        [1],
        [2],
    )
    nqn = "nqn.2021-06.org.rapiddisk:sandbox-rd0"
    assert rehearsed["losses"] == [
        f"{nqn}: clients on port 1 will lose access",
        f"{nqn}: {HOST} may no longer connect",
    ]
    assert done["losses"] == [
        "nqn.2021-06.org.rapiddisk:sandbox-rd0: clients on port 1 will lose access;"
        f" {HOST} may no longer connect"
    ]


def test_an_export_with_another_serial_number(run: Run) -> None:
    export = {"device": "rd0", "ports": [1], "hosts": [HOST], "serial": "lab-1"}
    refused = run("rapiddisk_export", **export)
    assert (refused["code"], refused["hint"]) == ("conflict", "To re-create it, use recreate.")
    rehearsed = run("rapiddisk_export", check=True, recreate=True, **export)
    done = run("rapiddisk_export", recreate=True, **export)
    assert rehearsed["diff"] == done["diff"]
    assert done["diff"]["after"]["rd0"]["serial"] == "lab-1"
    assert done["diff"]["before"]["rd0"]["serial"] not in (None, "lab-1")


def test_an_export_that_asks_for_a_key(run: Run, home: Path) -> None:
    key = "DHHC-1:00:" + base64.b64encode(SECRET + crc32(SECRET).to_bytes(4, "little")).decode()
    file = home / "host key"
    file.write_text(f"{key}:\n")
    file.chmod(0o600)
    port = {"port": 7, "transport": "tcp", "address": "127.0.0.1", "service": 4999, "tls": True}
    listening = run("rapiddisk_port", **port)
    assert (listening["port"]["port"], listening["port"]["tls"]) == (7, True)
    assert run("rapiddisk_port", **port)["changed"] is False
    run("rapiddisk_volume", name="rd3", size="64M")
    export = {"device": "rd3", "ports": [7], "hosts": ["nqn.x:1"], "auth_key_file": str(file)}
    made = run("rapiddisk_export", hash="sha384", dhgroup="ffdhe2048", **export)
    assert (made["changed"], made["export"]["authenticated"]) == (True, True)
    again = run("rapiddisk_export", **export)
    assert again["changed"] is False
    assert key not in json.dumps([made, again])
    file.chmod(0o644)
    refused = run("rapiddisk_export", **export)
    assert (refused["failed"], refused["changed"]) == (True, False)
    assert str(file) in refused["msg"]


def test_a_container_without_properties(run: Run) -> None:
    run("oio_container", name="docs", properties={"a": "1", "b": "2"})
    for check in (True, False):
        emptied = run("oio_container", check=check, name="docs", replace_all=True)
        assert emptied["diff"]["before"]["docs"]["properties"] == {"a": "1", "b": "2"}
    assert emptied["container"]["properties"] == {}
    assert run("oio_container", name="docs", properties={}, replace_all=True)["changed"] is False


def test_a_container_changes(run: Run) -> None:
    run("oio_container", name="docs", properties={"a": "1", "b": "2"})
    changed = run("oio_container", name="docs", properties={"b": "3"}, replace_all=True, quota="1G")
    assert changed["diff"]["before"]["docs"]["properties"] == {"a": "1", "b": "2"}
    assert changed["diff"]["after"]["docs"]["properties"] == {"b": "3"}
    assert (changed["container"]["properties"], changed["container"]["quota"]) == (
        {"b": "3"},
        1024**3,
    )
    refused = run("oio_container", name="docs", max_versions=3)
    assert refused["code"] == "consent-missing"
    assert run("oio_container", name="docs", max_versions=3, confirm_loss=True)["changed"] is True
    assert run("oio_container", name="docs", max_versions=3, quota="1G")["changed"] is False


def test_a_container_with_objects(run: Run) -> None:
    refused = run("oio_container", name="photos", state="absent")
    assert (refused["failed"], refused["code"]) == (True, "not-empty")
    emptied = run("oio_container", name="photos", state="absent", flush=True)
    assert emptied["losses"] == ['container "photos" and its 5 objects (733 B) will be deleted']
    assert (emptied["changed"], emptied["container"]) == (True, None)


def test_an_object_is_replaced_by_consent_only(run: Run, home: Path) -> None:
    file = home / "-a b"
    file.write_bytes(b"hallo")
    where = {"container": "docs", "path": "x"}
    assert run("oio_object", src=str(file), **where)["code"] == "not-found"
    assert run("oio_object", src=str(file), autocreate=True, **where)["changed"] is True
    assert run("oio_object", content="hallo", **where)["changed"] is False
    for check in (True, False):
        refused = run("oio_object", check=check, content="hello", **where)
        assert (refused["failed"], refused["code"]) == (True, "exists")
    replaced = run("oio_object", content="hello", overwrite=True, **where)
    assert replaced["losses"] == ['object "x" in container "docs" will be replaced']
    assert replaced["diff"]["before"] == {
        "x": {"size": 5, "hash": "598D4C200461B81522A3328565C25F7C"}
    }
    assert replaced["diff"]["after"] == {
        "x": {"size": 5, "hash": "5D41402ABC4B2A76B9719D911017C592"}
    }
    tagged = run("oio_object", content="hello", properties={"a": "1"}, **where)
    assert tagged["diff"]["after"] == {"x": {"properties": {"a": "1"}}}


def test_information(run: Run) -> None:
    parts = ["status", "volumes", "caches", "exports", "ports", "boot", "containers", "services"]
    found = run("rdctl_info", gather=parts)
    assert (found["changed"], list(found["info"])) == (False, parts)
    assert [one["device"] for one in found["info"]["volumes"]] == ["rd0"]
    assert found["info"]["caches"] == []
    assert found["info"]["status"]["mode"] == "local"
    refused = run("rdctl_info", gather=["differences"])
    assert (refused["failed"], refused["code"], refused["rc"]) == (True, "not-found", 3)


@pytest.mark.parametrize("module", MODULES)
def test_without_rdctl(run: Run, module: str) -> None:
    refused = run(module, executable="/nowhere/rdctl", **LEAST[module])
    assert refused["failed"] is True
    assert refused["msg"] == "/nowhere/rdctl not found on this host"
    assert (refused["code"], refused["rc"]) == ("not-found", None)


# What each module requires.
LEAST: dict[str, dict[str, Any]] = {
    "oio_container": {"name": "docs"},
    "oio_object": {"container": "docs", "path": "x", "content": ""},
    "rapiddisk_cache": {"volume": "rd0", "source": "sdb"},
    "rapiddisk_export": {"device": "rd0", "ports": [1]},
    "rapiddisk_port": {"port": 1, "transport": "loop"},
    "rapiddisk_state": {"content": ""},
    "rapiddisk_volume": {"name": "rd0"},
    "rdctl_info": {},
}


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("rdctl 0.9.9", "0.9.9"),
        ("rdctl 2.0.0", "2.0.0"),
        ("something else", "unknown (something else)"),
        ("", "unknown ()"),
    ],
)
def test_another_version(run: Run, home: Path, answer: str, version: str) -> None:
    program = home / "rdctl"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    refused = run("rdctl_info", executable=str(program))
    assert (refused["failed"], refused["code"]) == (True, "unsupported")
    assert refused["msg"] == (
        f"rdctl 1.0.0 or later, below 2.0, is required; the version of {program} is {version}"
    )


def test_an_answer_that_is_no_json(run: Run, home: Path) -> None:
    program = home / "rdctl"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo rdctl 1.5.0 && exit\necho broken >&2; exit 1\n'
    )
    program.chmod(0o755)
    refused = run("rdctl_info", executable=str(program))
    assert (refused["failed"], refused["msg"]) == (True, "rdctl did not print JSON: broken")


@pytest.mark.parametrize(
    ("module", "options", "code"),
    [
        ("rapiddisk_volume", {"name": "rd 3", "size": "64M"}, "usage"),
        ("rapiddisk_volume", {"name": "--help", "size": "64M"}, "usage"),
        ("rapiddisk_volume", {"name": "rd9"}, "usage"),
        ("rapiddisk_volume", {"name": "rd9", "size": "much"}, "usage"),
        ("rapiddisk_volume", {"name": "rd9", "size": "+64M"}, "usage"),
        ("rapiddisk_cache", {"volume": "--help", "source": "sdb"}, "usage"),
        ("rapiddisk_cache", {"volume": "", "state": "absent"}, "usage"),
        ("rapiddisk_cache", {"name": "rc-wt_s b", "state": "absent"}, "usage"),
        ("rapiddisk_export", {"device": "", "state": "absent"}, "usage"),
        ("rapiddisk_cache", {"volume": "rd0", "source": "--yes"}, "not-found"),
        ("rapiddisk_export", {"device": "-", "ports": [1]}, "usage"),
        ("oio_container", {"name": "-"}, "usage"),
        ("oio_container", {"name": "", "properties": {"a": ""}}, "usage"),
        ("oio_container", {"name": "docs", "properties": {"a=b": "c"}}, "usage"),
        ("oio_container", {"name": "docs", "properties": {"a": None}}, "usage"),
        ("oio_object", {"container": "photos", "path": "-", "content": ""}, "usage"),
        ("oio_container", {"name": "docs", "context": "--help"}, "not-found"),
        ("oio_container", {"name": "docs", "context": "nowhere", "state": "absent"}, "not-found"),
    ],
)
def test_unsafe_names(run: Run, module: str, options: dict[str, Any], code: str) -> None:
    refused = run(module, **options)
    assert (refused["failed"], refused["code"], refused["changed"]) == (True, code, False)


def test_a_protected_context(run: Run, served: str) -> None:
    """What is lost there is confirmed only if the task names the context."""
    for words in (
        f"context set lab rapiddisk={served} protected=true",
        "context use lab",
        "rapiddisk create 64M",
    ):
        subprocess.run(["rdctl", "-q", *words.split()], check=True)
    removal: dict[str, Any] = {"name": "rd1", "state": "absent"}
    refused = run("rapiddisk_volume", context=None, **removal)
    assert (refused["failed"], refused["code"]) == (True, "consent-missing")
    assert "context lab is protected" in refused["msg"]
    assert run("rapiddisk_volume", context="lab", **removal)["changed"] is True
