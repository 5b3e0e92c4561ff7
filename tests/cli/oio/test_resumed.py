"""rdctl oio content get --continue: what was broken off, and is gone on with."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.cli.oio.transfers import (
    Client,
    bytes_of,
    errors_of,
    not_found,
    part_of,
    wait_for,
)
from tests.cli.processes import SECONDS
from tests.fakes.sds import on, slowly


def test_a_whole_download_is_not_called_resumed(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"abc")
    assert "resumed" not in client.ok("get", "docs", "a", "--continue").out


@pytest.mark.parametrize("hashes", [True, False])
def test_a_broken_download_is_gone_on_with(near: Callable[..., Client], hashes: bool) -> None:
    client, data = near(hashes=hashes), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", not_found, pos=3)]
    ran = client("get", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert error["received"] == 3000
    assert part_of(client).stat().st_size == 3000
    client.sds.faults = []
    client.sds.calls.clear()
    words = error["hint"].split(" oio content ")[-1].split()
    ran = client.ok(*words, "--json")
    assert (client.directory / "a").read_bytes() == data
    assert ran.json["results"][0]["resumed_at"] == 3000
    assert {call.pos for call in client.sds.asked("GET")} == {3, 4, 5}
    assert os.listdir(client.directory) == ["a"]


@pytest.mark.parametrize(("wanted", "first"), [("500-5200", 500), ("1000-4999", 1000)])
def test_a_broken_range_is_gone_on_with(
    near: Callable[..., Client], wanted: str, first: int
) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", not_found, pos=3)]
    ran = client("get", "docs", "a", "--range", wanted, "--json")
    (error,) = errors_of(ran)
    client.sds.faults = []
    words = error["hint"].split(" oio content ")[-1].split()
    ran = client.ok(*words, "--json")
    assert (client.directory / "a").read_bytes() == data[first : int(wanted[-4:]) + 1]
    assert ran.json["results"][0]["resumed_at"] == 3000 - first
    assert os.listdir(client.directory) == ["a"]


def test_a_part_of_something_else_is_not_gone_on_with(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", bytes_of(5500))
    client.sds.faults = [on("GET", not_found, pos=3)]
    client("get", "docs", "a")
    client.sds.faults = []
    data = bytes_of(4000, 2)
    client.sds.put("a", data)
    ran = client.ok("get", "docs", "a", "--continue")
    assert (client.directory / "a").read_bytes() == data
    assert "changed since the partial download" in ran.err


def test_a_part_that_was_spoilt_is_mended(near: Callable[..., Client]) -> None:
    for hashes in (True, False):
        client, data = near(hashes=hashes), bytes_of(5500)
        client.sds.put("a", data)
        client.sds.faults = [on("GET", not_found, pos=3)]
        client("get", "docs", "a", "--to", f"f{hashes}")
        client.sds.faults = []
        with open(part_of(client), "r+b") as file:
            file.seek(1500)
            file.write(b"spoilt")
        client.ok("get", "docs", "a", "--to", f"f{hashes}", "--continue")
        assert (client.directory / f"f{hashes}").read_bytes() == data


def test_what_is_complete_is_left_as_it_is(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"same")
    client.sds.put("b", b"new")
    client.sds.put("c", b"missing")
    client.file("a", b"same")
    client.file("b", b"old")
    ran = client("get", "docs", "--recursive", "--continue", "--json")
    assert ran.code == 8
    assert [(one["target"], one["changed"]) for one in ran.json["results"]] == [
        ("a", False),
        ("c", True),
    ]
    assert [one["target"] for one in errors_of(ran)] == ["b"]


def test_two_at_once_do_not_spoil_one_part(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(900)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", slowly, times=1)]
    with client.start("get", "docs", "a") as process:
        wait_for(lambda: client.sds.asked("GET"))
        ran = client("get", "docs", "a", "--json")
        assert [one["code"] for one in errors_of(ran)] == ["in-use"]
        assert process.wait(SECONDS) == 0
    assert (client.directory / "a").read_bytes() == data
