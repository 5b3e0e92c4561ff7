"""Damage to the sandbox: chunks, and services that are down."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.oio.conftest import Oio

DATA = bytes(range(251)) * 9000


def of(ran: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.out)["results"]
    return found


@pytest.fixture
def stored(oio: Oio, tmp_path: Path) -> Oio:
    (tmp_path / "big").write_bytes(DATA)
    oio.ok("content", "put", "photos", str(tmp_path / "big"), "--path", "big", "--policy", "EC42")
    return oio


def files(oio: Oio) -> dict[str, tuple[str, bytes]]:
    """The chunks of the rawx services: metadata and data."""
    return {row[1]: (row[2], row[5]) for row in oio.state["oio_rawx"]}


@pytest.mark.parametrize("how", ["missing", "short", "long", "corrupt", "foreign", "unlabeled"])
def test_chunks_are_damaged_each_in_its_way(stored: Oio, how: str) -> None:
    before = files(stored)
    (change,) = of(
        stored.rdctl(
            "sandbox",
            "damage",
            "photos",
            "big",
            "--position",
            "0.3",
            "--how",
            how,
            "--yes",
            "--json",
        )
    )
    assert (change["position"], change["how"]) == ("0.3", how)
    id = change["target"][-64:]
    after = files(stored)
    assert {key: after.get(key) for key in before if key != id} == {
        key: value for key, value in before.items() if key != id
    }
    (meta, data), now = before[id], after.get(id)
    if how == "missing":
        assert now is None
        return
    assert now is not None
    assert {
        "short": now == (meta, data[: len(data) // 2]),
        "long": now == (meta, data + b"\0"),
        "corrupt": now[0] == meta and sum(a != b for a, b in zip(now[1], data, strict=False)) == 1,
        "foreign": json.loads(now[0]).get("content-id")
        not in (None, json.loads(meta)["content-id"]),
        "unlabeled": now == ("{}", data),
    }[how]


def test_a_corrupt_chunk_is_not_healed_by_further_damage(stored: Oio) -> None:
    for _ in range(2):
        stored.rdctl("sandbox", "damage", "photos", "big", "--how", "corrupt", "--yes")
    ran = stored("content", "check", "photos", "big", "--deep")
    assert (ran.code, ran.out.count("wrong-hash")) == (12, 1)


def test_so_many_fragments_of_a_part(stored: Oio) -> None:
    words = ("sandbox", "damage", "photos", "big", "--count", "2", "--how", "missing")
    asked = stored.rdctl(*words)
    assert (asked.code, asked.err.count("will be damaged: missing")) == (2, 2)
    found = of(stored.rdctl(*words, "--yes", "--json"))
    assert [change["position"] for change in found] == ["0.0", "0.1"]
    again = of(stored.rdctl(*words, "--yes", "--json"))
    assert [change["position"] for change in again] == ["0.2", "0.3"]


def test_a_damaged_object_is_read_while_k_fragments_are_left(stored: Oio, tmp_path: Path) -> None:
    def got() -> tuple[int, str]:
        out = tmp_path / "out"
        ran = stored("content", "get", "photos", "big", "--to", str(out), "--overwrite")
        data = out.read_bytes() if out.exists() else b""
        return ran.code, hashlib.md5(data).hexdigest()

    right = hashlib.md5(DATA).hexdigest()
    for how in ("missing", "corrupt"):
        stored.rdctl("sandbox", "damage", "photos", "big", "--how", how, "--yes")
    assert got() == (0, right)
    stored.rdctl("sandbox", "damage", "photos", "big", "--position", "0.4", "--how", "short", "-y")
    assert got()[0] != 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope", "big"), 'object "big" not found in container "nope" of the sandbox'),
        (("photos", "nope"), 'object "nope" not found in container "photos" of the sandbox'),
        (("photos", "big", "--position", "7"), "big: no chunk at position 7 on the rawx services"),
    ],
)
def test_what_cannot_be_damaged(stored: Oio, words: tuple[str, ...], message: str) -> None:
    before = files(stored)
    ran = stored.rdctl("sandbox", "damage", *words, "--how", "missing", "--yes")
    assert (ran.code, message in ran.err, files(stored)) == (3, True, before)


def test_a_stopped_rawx_has_no_score(oio: Oio) -> None:
    address = "127.0.0.1:16013"
    assert oio.rdctl("sandbox", "stop", address).out == f"stopped {address}\n"
    assert oio.rdctl("sandbox", "stop", address).out == f"{address} is already stopped\n"
    listed = oio.ok("conscience", "list", "rawx", "--json").json["items"]
    assert {one["address"]: one["score"] for one in listed}[address] == 0
    assert oio.rdctl("sandbox", "start", address).out == f"started {address}\n"
    assert oio.rdctl("sandbox", "start", address).out == f"{address} is already running\n"


def test_a_reboot_starts_what_is_down(oio: Oio) -> None:
    oio.rdctl("sandbox", "stop", "127.0.0.1:16013")
    assert oio.rdctl("sandbox", "reboot", "--yes").code == 0
    assert oio.rdctl("sandbox", "stop", "127.0.0.1:16013").out == "stopped 127.0.0.1:16013\n"


def test_a_service_that_the_sandbox_lacks(oio: Oio) -> None:
    ran = oio.rdctl("sandbox", "stop", "192.0.2.1:16013")
    assert (ran.code, "service 192.0.2.1:16013 not found in the sandbox" in ran.err) == (3, True)
