"""rdctl oio content get, against rawx services that fail in every way."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.oio.transfers import (
    READ_FAULTS,
    Client,
    bytes_of,
    errors_of,
    flipped,
)
from tests.cli.processes import SECONDS
from tests.fakes.sds import Call, on

# Reading when something fails ---------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("fault", READ_FAULTS)
def test_another_replica_is_read(near: Callable[..., Client], fault: Any, hashes: bool) -> None:
    client, data = near(copies=3, rawx=3, hashes=hashes), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", fault, who=1))
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.directory / "b").read_bytes() == data
    assert (
        client.ok("get", "docs", "a", "--to", "-", "--range", "500-4999").stdout == data[500:5000]
    )
    assert os.listdir(client.directory) == ["b"]


def test_a_dead_rawx_is_passed_over(near: Callable[..., Client]) -> None:
    client, data = near(copies=2, rawx=2), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.stop(0)
    ran = client.ok("get", "docs", "a", "--to", "b")
    assert (client.directory / "b").read_bytes() == data
    assert "trying another replica" in ran.err


def test_a_rawx_that_does_not_answer_is_asked_once(near: Callable[..., Client]) -> None:
    client, data = near(copies=2, rawx=2), bytes_of(20_500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", lambda call: call.reset(), who=0))
    ran = client.ok("get", "docs", "a", "--to", "-", "--parallel", "1")
    assert ran.stdout == data
    assert len([call for call in client.sds.asked("GET") if call.who == 0]) == 1
    assert ran.err.count("trying another replica") == 1


@pytest.mark.parametrize("fault", READ_FAULTS)
def test_an_only_replica_that_fails(near: Callable[..., Client], fault: Any) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", fault, pos=3))
    ran = client("get", "docs", "a", "--to", "-")
    assert ran.code in (1, 6, 9), ran.err
    # Not a byte of a wrong chunk.
    assert data.startswith(ran.stdout)
    assert len(ran.stdout) <= 3000
    ran = client("get", "docs", "a", "--to", "b", "--json")
    assert ran.code in (1, 6, 9)
    assert not (client.directory / "b").exists()
    (error,) = errors_of(ran)
    assert (error["code"] == "bad-reply") >= (fault is flipped)
    # What is kept was proven part by part.
    assert "--to b --continue" in error["hint"]
    (part,) = client.directory.iterdir()
    assert data.startswith(part.read_bytes())


def test_wrong_bytes_of_a_long_chunk(near: Callable[..., Client]) -> None:
    """On one stream it comes in pieces, whose MD5 is known only at the end."""
    client, data = near(chunk_size=5 << 20, copies=2, rawx=2), bytes_of(11 << 20)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", flipped, who=1, pos=1))
    ran = client("get", "docs", "a", "--to", "-", "--parallel", "1")
    assert ran.code == 9
    assert "the MD5 of position 1 does not match" in ran.err
    client.ok("get", "docs", "a", "--to", "b", "--parallel", "1")
    assert (client.directory / "b").read_bytes() == data
    client.ok("get", "docs", "a", "--to", "c", "--range", "1-", "--parallel", "1")
    assert (client.directory / "c").read_bytes() == data[1:]


def test_a_long_chunk_is_received_whole(near: Callable[..., Client]) -> None:
    """If there is one object alone: with one request, and verified before it is passed on."""
    client, data = near(chunk_size=5 << 20, copies=2, rawx=2), bytes_of(27 << 20)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", flipped, who=1))
    ran = client.ok("get", "docs", "a", "--to", "-")
    assert ran.stdout == data
    asked = client.sds.asked("GET")
    assert len(asked) == 6 + ran.err.count("trying another replica")
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.directory / "b").read_bytes() == data
    first, last = (3 << 20) + 7, (23 << 20) + 1
    ran = client.ok("get", "docs", "a", "--to", "c", "--range", f"{first}-{last - 1}")
    assert (client.directory / "c").read_bytes() == data[first:last]


def test_chunks_beyond_the_limit_come_in_pieces(near: Callable[..., Client]) -> None:
    client, data = near(chunk_size=11 << 20), bytes_of(12 << 20)
    client.sds.put("a", data)
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.directory / "b").read_bytes() == data
    assert len(client.sds.asked("GET")) == 7


def test_an_object_whose_own_hash_is_wrong(near: Callable[..., Client]) -> None:
    client, data = near(chunk_size=5 << 20), bytes_of(11 << 20)
    client.sds.put("a", data)
    client.sds.objects["a"][0]["meta"]["hash"] = "0" * 32
    assert client("get", "docs", "a", "--to", "-", "--parallel", "1").code == 9
    ran = client("get", "docs", "a", "--parallel", "1")
    assert ran.code == 9
    assert os.listdir(client.directory) == []


def test_parts_with_an_md5_each_prove_the_whole(near: Callable[..., Client]) -> None:
    """Side by side, where the MD5 of the whole would be worked out one after the other."""
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.objects["a"][0]["meta"]["hash"] = "0" * 32
    (change,) = client.ok("get", "docs", "a", "--json").json["results"]
    assert change["verified"] is True
    assert (client.directory / "a").read_bytes() == data


@pytest.mark.parametrize(
    "lie",
    [
        lambda chunks: chunks.pop(),
        lambda chunks: chunks[1].update(pos="7"),
        lambda chunks: chunks[1].update(size=5),
        lambda chunks: chunks[1].update(url="nowhere"),
        lambda chunks: chunks[1].update(url="https://x/y"),
        lambda chunks: chunks[1].update(url="http://[::1/x", real_url="http://[::1/x"),
        lambda chunks: chunks[1].update(url="http://a]:1/x", real_url="http://a]:1/x"),
    ],
    ids=["missing", "gap", "size", "no url", "https", "half an address", "other half"],
)
def test_a_list_of_chunks_that_cannot_be(near: Callable[..., Client], lie: Any) -> None:
    client = near()
    client.sds.put("a", bytes_of(2500))
    lie(client.sds.objects["a"][0]["chunks"])
    assert client("get", "docs", "a").code == 9
    assert client.sds.asked("GET") == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_no_wrong_bytes_are_taken_for_good(
    near: Callable[..., Client], seed: int
) -> None:
    chance = random.Random(seed)
    size, copies = chance.randrange(0, 9000), chance.randrange(1, 4)
    client = near(chunk_size=chance.randrange(300, 3000), copies=copies, hashes=seed % 3 != 0)
    data = bytes_of(size, seed)
    client.sds.put("a", data)

    def fault(call: Call) -> bool | None:
        if call.method != "GET" or call.who == "proxy" or chance.random() > 0.25:
            return None
        # A part of a chunk cannot be held against the MD5 of the whole chunk.
        chance.choice(READ_FAULTS[1:] if first else READ_FAULTS)(call)
        return True

    first = chance.randrange(size) if size and seed % 4 == 0 else 0
    client.sds.faults.append(fault)
    words = ("--range", f"{first}-") if first else ()
    ran = client("get", "docs", "a", "--to", "-", *words)
    assert data[first:].startswith(ran.stdout)
    assert (ran.code == 0) == (ran.stdout == data[first:])
    for _ in range(6):
        ran = client("get", "docs", "a", "--to", "b", "--continue", *words)
        if ran.code == 0:
            break
        assert not (client.directory / "b").exists()
    client.sds.faults = []
    if ran.code:
        client.ok("get", "docs", "a", "--to", "b", "--continue", *words)
    assert (client.directory / "b").read_bytes() == data[first:]
    assert os.listdir(client.directory) == ["b"]


# Ranges -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("0-0", 0, 1),
        ("0-99", 0, 100),
        ("999-1000", 999, 1001),
        ("1000-1999", 1000, 2000),
        ("500-4321", 500, 4322),
        ("5400-9999", 5400, 5500),
        ("100-", 100, 5500),
        ("5499-", 5499, 5500),
        ("-50", 5450, 5500),
        ("-99999", 0, 5500),
    ],
)
def test_ranges(near: Callable[..., Client], wanted: str, start: int, end: int) -> None:
    client, data = near(copies=2), bytes_of(5500)
    client.sds.put("a", data)
    assert client.ok("get", "docs", "a", "--to", "-", "--range", wanted).stdout == data[start:end]
    ran = client.ok("get", "docs", "a", "--to", "b", "--range", wanted, "--json")
    assert (client.directory / "b").read_bytes() == data[start:end]
    assert ran.json["results"][0]["size"] == end - start


@pytest.mark.parametrize("wanted", ["5500-", "9999-99999", "-0"])
def test_a_range_that_is_not_there(near: Callable[..., Client], wanted: str) -> None:
    client = near()
    client.sds.put("a", bytes_of(5500))
    ran = client("get", "docs", "a", "--range", wanted)
    assert ran.code == 2
    assert "5500 bytes" in ran.err


# Files --------------------------------------------------------------------------------------------


def test_a_name_that_is_too_long_is_refused_before_a_byte_comes(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.file("a", b"x")
    name = "n" * 300
    client.ok("put", "docs", "a", "--path", name)
    ran = client("get", "docs", name, "--to", "new/")
    assert (ran.code, "File name too long" in ran.err) == (1, True)
    assert client.sds.asked("GET") == []
    assert not (client.directory / "new").exists()


def test_a_file_that_exists_is_not_touched(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"new")
    client.sds.put("b", b"new")
    client.file("a", b"old")
    ran = client("get", "docs", "a", "b", "--json")
    assert ran.code == 8
    assert [one["code"] for one in errors_of(ran)] == ["exists"]
    assert (client.directory / "a").read_bytes() == b"old"
    assert (client.directory / "b").read_bytes() == b"new"
    client.ok("get", "docs", "a", "--overwrite")
    assert (client.directory / "a").read_bytes() == b"new"


def test_permissions_are_as_the_umask_says(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("d/a", b"x")
    before = os.umask(0o027)
    try:
        client.ok("get", "docs", "d/a")
    finally:
        os.umask(before)
    assert (client.directory / "d/a").stat().st_mode & 0o777 == 0o640
    assert (client.directory / "d").stat().st_mode & 0o777 == 0o750


HOSTILE = (
    "/../out",
    "../out",
    "..//../out",
    "a/../../out",
    "a/..",
    "a//../../out",
    "../",
    "./a",
    "link/",
    ".",
    "..",
    "link/out",
    "inner/link/out",
)


def test_names_that_stand_for_directories(near: Callable[..., Client]) -> None:
    """As aws and rclone have it: an empty object whose name ends with a slash is a directory, and
    empty parts count for nothing."""
    client = near()
    empty = ("dir/", "empty/", "deep/er/", "//", "sl//ash/")
    full = {"dir/a": "dir/a", "x//y": "x/y", "/lead": "lead", "/etc/passwd": "etc/passwd"}
    full |= {"file/": "file", "deep/er/f": "deep/er/f"}
    for name in empty:
        client.sds.put(name, b"")
    for name in full:
        client.sds.put(name, name.encode())
    ran = client.ok("get", "docs", "--recursive", "--to", "out", "--json")
    for name, path in full.items():
        assert (client.directory / "out" / path).read_bytes() == name.encode()
    for name in empty:
        assert (client.directory / "out" / name.strip("/")).is_dir()
    assert {one["target"] for one in ran.json["results"]} == {*empty, *full}
    assert sorted(os.listdir(client.directory)) == ["out"]
    # One alone, and what is there already.
    client.ok("get", "docs", "dir/", "--to", "alone/")
    assert os.listdir(client.directory / "alone") == ["dir"]
    again = client.ok("get", "docs", "dir/", "--to", "alone", "--json")
    assert [one["changed"] for one in again.json["results"]] == [False]
    client.ok("get", "docs", "dir/", "--to", "alone", "--recursive", "--dry-run")
    client.ok("get", "docs", "dir/", "--to", "stripped", "--recursive")
    assert os.listdir(client.directory / "stripped") == ["a"]


@pytest.mark.parametrize(
    ("names", "kept", "skipped"),
    [
        (("a/b", "a//b"), "a/b", "a//b"),
        (("//a", "/a", "a"), "a", "//a /a"),
        (("d/", "d/x"), "d/x", "d/"),
        (("d/", "d"), "d", "d/"),
    ],
)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_cannot_be_a_file_of_its_own_is_told(
    near: Callable[..., Client],
    names: tuple[str, ...],
    kept: str,
    skipped: str,
    overwrite: tuple[str, ...],
) -> None:
    client = near()
    for name in names:
        client.sds.put(name, name.encode())
    ran = client("get", "docs", "--recursive", "--to", "out", "--json", *overwrite)
    assert ran.code == 8
    assert [one["target"] for one in errors_of(ran)] == skipped.split()
    assert {one["code"] for one in errors_of(ran)} == {"conflict"}
    assert all("skipped: " in one["message"] for one in errors_of(ran))
    assert (client.directory / "out" / kept).read_bytes() == kept.encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_leads_out_of_the_directory(near: Callable[..., Client], name: str) -> None:
    client = near()
    client.sds.put(name, b"" if name.endswith("/") else b"evil")
    client.sds.put("good", b"good")
    outside = client.directory.parent / "outside"
    outside.mkdir()
    (client.directory / "to/inner").mkdir(parents=True)
    for link in ("to/link", "to/inner/link"):
        os.symlink(outside, client.directory / link)
    ran = client("get", "docs", "--recursive", "--to", "to", "--json")
    assert ran.code == 8
    assert [one["target"] for one in errors_of(ran)] == [name]
    assert (client.directory / "to/good").read_bytes() == b"good"
    assert not (client.directory.parent / "out").exists()
    assert os.listdir(outside) == []
    # Into a file that is named itself any object may go.
    client.ok("get", "docs", "--to", "file", "--", name)
    assert (client.directory / "file").read_bytes() == (b"" if name.endswith("/") else b"evil")


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("a", b"new")
    outside = client.directory.parent / "outside"
    outside.write_bytes(b"old")
    os.symlink(outside, client.directory / "a")
    assert client("get", "docs", "a").code == 4
    client.ok("get", "docs", "a", "--overwrite")
    assert outside.read_bytes() == b"old"
    assert (client.directory / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", ["a b", "two\nlines", "\x1b[2J", "é\udcff", "-x", "x" * 255, "😀", "a\\b", "*?"]
)
def test_names_of_any_bytes(near: Callable[..., Client], name: str) -> None:
    client = near()
    client.file("a", b"x" * 1500)
    client.ok("put", "docs", "--path", name, "--", "a")
    client.ok("get", "docs", "--to", "to", "--recursive")
    assert os.listdir(os.fsencode(client.directory / "to")) == [os.fsencode(name)]
    assert b"\x1b" not in client.ok("get", "docs", "--to", "t2/", "--", name).stdout


def test_a_directory_stands_where_the_file_should(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"x")
    client.sds.put("b/c", b"x")
    (client.directory / "a").mkdir()
    client.file("b", b"file")
    ran = client("get", "docs", "a", "b/c", "--overwrite", "--json")
    assert [one["code"] for one in errors_of(ran)] == ["conflict", "conflict"]
    assert (client.directory / "b").read_bytes() == b"file"


def test_nothing_below_a_prefix(near: Callable[..., Client]) -> None:
    client = near()
    ran = client("get", "docs", "nope/", "--recursive")
    assert ran.code == 3
    assert 'objects with prefix "nope/" not found in container "docs"' in ran.err
    assert client.ok("get", "docs", "--recursive").out == ""


def test_a_device_is_written_to_and_not_replaced(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.ok("get", "docs", "a", "--to", "/dev/null")
    assert Path("/dev/null").is_char_device()
    os.mkfifo(client.directory / "pipe")
    with client.start("get", "docs", "a", "--to", "pipe") as process:
        assert (client.directory / "pipe").read_bytes() == data
        assert process.wait(SECONDS) == 0


def test_a_pipe_among_the_files_is_not_replaced(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a", "b"):
        client.sds.put(name, b"data")
    os.mkfifo(client.directory / "a")
    for words in (["a", "b"], ["--recursive"]):
        ran = client("get", "docs", *words, "--overwrite")
        assert ran.code == 8
        assert "a: not a regular file" in ran.err
        assert (client.directory / "a").is_fifo()
    ran = client("get", "docs", "a", "--to", "./", "--continue")
    assert (ran.code, (client.directory / "a").is_fifo()) == (4, True)


def test_a_terminal_gets_text_only(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("text", "grün\n".encode())
    client.sds.put("binary", b"\x1b[2J")
    assert client.ok("get", "docs", "text", "--to", "-", tty=True).out == "grün\n"
    ran = client("get", "docs", "binary", "--to", "-", tty=True)
    assert (ran.code, ran.stdout) == (2, b"")
    assert "--to FILE" in ran.err
