"""Chunks as they were recorded, and the parts that whole objects are made of."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.effects.files import Part, Target, make_file
from rdctl.net.deadline import Deadline
from rdctl.net.messages import Blocks
from rdctl.net.transport import Transport
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.digests import Digest, md5
from rdctl.oio.objects.layout import copies_of, positions
from rdctl.oio.objects.source import Source
from rdctl.oio.rawx import META, Held, Owner, Rawx, chunk_headers, copy_of
from tests.oio.recordings import WIRE
from tests.oio.wire import Answer, Answering

RAWX = [
    one
    for line in (WIRE / "oio-transcripts.jsonl").read_text("utf-8").splitlines()
    if (one := json.loads(line))["server"].startswith("rawx")
]


def content(**known: Any) -> Content:
    empty = dict.fromkeys(Content._fields)
    return Content(**{**empty, "container": "c", "path": "p", "chunks": [], **known})


def chunk(pos: object, url: str = "http://127.0.0.1:6013/AB", **more: Any) -> dict[str, Any]:
    return {"url": url, "pos": str(pos), "size": 5, "hash": "0" * 32, **more}


# Recordings --------------------------------------------------------------------------------------


def metadata(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith(META)}


FULL = [
    one for one in RAWX if one["method"] == "PUT" and len(metadata(one["request_headers"])) == 10
]


@pytest.mark.parametrize("one", FULL, ids=lambda one: one["path"][1:9])
def test_a_rawx_is_told_what_it_was_seen_to_be_told(one: dict[str, Any]) -> None:
    sent = metadata(one["request_headers"])
    account, container, path, version, content_id = map(
        unquote, sent[f"{META}full-path"].split("/")
    )
    found = chunk_headers(
        content(
            content_id=content_id,
            version=int(version),
            policy=sent[f"{META}content-storage-policy"],
            chunk_method=sent[f"{META}content-chunk-method"],
        ),
        Place(account, container, path=path),
        Owner(account, container, sent[f"{META}container-id"]),
    )
    assert found == {key: sent[key] for key in found}
    assert set(sent) - set(found) == {f"{META}chunk-pos", f"{META}chunk-id"}


def test_there_are_such_recordings() -> None:
    assert len(FULL) >= 8


CODES = {400: Code.FAILED, 404: Code.NOT_FOUND, 409: Code.EXISTS, 422: Code.BAD_REPLY}


@pytest.mark.parametrize(
    "number", range(len(RAWX)), ids=lambda number: f"{number}-{RAWX[number]['method']}"
)
def test_a_recorded_reply_is_understood(number: int) -> None:
    one = RAWX[number]
    if one["path"] in ("/stat", "/info"):
        return  # never asked
    body = (one["body"] or "").encode()
    adapter = Answering([Answer(one["status"], body, one["headers"], one["reason"])])
    effects = Effects(ask=lambda losses: None)
    rawx = Rawx(lambda address: Transport(f"http://{address}", effects, adapter=adapter))
    copy = copy_of(chunk(0, f"http://127.0.0.1:6013{one['path']}"))
    headers = {name.lower(): value for name, value in one["headers"].items()}

    def act() -> object:
        check = threading.get_ident
        if one["method"] == "PUT":
            blocks = Blocks([b"x"], 1, "cat x")
            return rawx.put(copy, {}, blocks, what="put", seconds=9, check=check)  # type: ignore[arg-type]
        if one["method"] == "DELETE":
            rawx.delete(copy, 1)
            return None
        if one["method"] == "HEAD":
            return rawx.head(copy, seconds=9, check=check)  # type: ignore[arg-type]
        into = memoryview(bytearray(len(body)))
        first = 0 if one["status"] == 200 else 1
        rawx.get(copy, first, into, check=check, repeatable=False)  # type: ignore[arg-type]
        return None

    gone = one["method"] == "DELETE" and one["status"] == 404
    if one["status"] < 300 or gone:
        told = act()
        if one["method"] in ("PUT", "HEAD"):
            assert isinstance(told, Held)
            assert told.hash == told.md5 == headers[f"{META}chunk-hash"]
            assert str(told.size) == headers[f"{META}chunk-size"]
            assert told.id == headers[f"{META}chunk-id"]
    else:
        with pytest.raises(RdctlError) as caught:
            act()
        assert caught.value.code is CODES.get(one["status"], Code.BAD_REPLY)
        assert copy.url in caught.value.message


# Positions ---------------------------------------------------------------------------------------


def test_positions_come_in_order_and_the_best_replica_first() -> None:
    chunks = [
        chunk(10, "http://h/A"),
        *(chunk(number, f"http://h/{number}") for number in range(9, -1, -1)),
        chunk(3, "http://h/best", score=99),
        chunk(3, "http://h/worst", score=-1),
    ]
    found = positions(content(chunks=chunks), lambda number, one: 7)
    assert [(one.number, one.offset) for one in found] == [(n, 7 * n) for n in range(11)]
    assert [copy.url for copy in found[3].copies] == [
        "http://h/best",
        "http://h/3",
        "http://h/worst",
    ]


def test_a_replica_is_reached_where_it_really_is() -> None:
    copy = copy_of(chunk(0, "http://name/ID", real_url="http://10.0.0.1:6013/ID"))
    assert (copy.url, copy.address, copy.path) == ("http://name/ID", "10.0.0.1:6013", "/ID")


@pytest.mark.parametrize(
    "url",
    ["", "http://h", "http://h/", "ftp://h/x", "http://u@h/x", "http://h\r\nx/y", "http://h/a?b"],
)
def test_what_is_no_address_of_a_chunk(url: str) -> None:
    with pytest.raises(RdctlError) as caught:
        copy_of(chunk(0, url))
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize("pos", ["0.1", "-1", "x", "1"])
def test_what_is_no_position(pos: str) -> None:
    with pytest.raises(RdctlError) as caught:
        positions(content(chunks=[chunk(pos)]), lambda number, one: 1)
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize(
    ("method", "copies"),
    [
        ("plain/nb_copy=3", 3),
        ("plain/distance=1,nb_copy=2", 2),
        ("plain", 1),
        (None, 1),
        ("plain/nb_copy=", 1),
        ("plain/nb_copy=" + "9" * 5000, 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_how_many_copies_are_wanted(method: str | None, copies: int) -> None:
    assert copies_of(method) == copies


@pytest.mark.parametrize("told", ["", "0" * 64, "x" * 32, None])
def test_a_hash_by_another_method_is_none(told: str | None) -> None:
    (found,) = positions(content(chunks=[chunk(0, hash=told)]), lambda number, one: 1)
    assert found.hash is None


# Files -------------------------------------------------------------------------------------------


def test_a_source_begins_where_the_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    source = Source(path.open("rb"), "a", 3)
    assert source.size == 7
    assert b"".join(source.blocks(1, 4)) == b"4567"
    assert source.shell(0, 7) == "tail -c +4 a | head -c 7"
    source.check()
    path.write_bytes(b"x")
    for act in (source.check, lambda: list(source.blocks(0, 7))):
        with pytest.raises(RdctlError) as caught:
            act()
        assert caught.value.code is Code.CONFLICT
    source.close()


def filled(folder: Path, data: bytes = b"new", **options: bool) -> None:
    def fill(part: Part) -> None:
        part.cut(0)
        part.write(data, 0)

    target = Target(str(folder), ("a", "b"), "name", ".name.part")
    given: dict[str, Any] = {"replace": False, "resume": False, **options}
    make_file(target, fill, what="make it", **given).perform()


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    filled(tmp_path)
    assert (tmp_path / "a/b/name").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a/b") == ["name"]
    with pytest.raises(FileExistsError):
        filled(tmp_path, b"newer")
    assert (tmp_path / "a/b/name").read_bytes() == b"new"
    filled(tmp_path, b"newest", replace=True)
    assert (tmp_path / "a/b/name").read_bytes() == b"newest"


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    filled(tmp_path)
    with pytest.raises(FileExistsError):
        filled(tmp_path, b"newer")
    assert (tmp_path / "a/b/name").read_bytes() == b"new"


@pytest.mark.parametrize(("keep", "data"), [(True, b"x"), (True, b""), (False, b"x")])
def test_a_part_is_kept_if_it_is_of_use(tmp_path: Path, keep: bool, data: bytes) -> None:
    def fill(part: Part) -> None:
        part.write(data, 0)
        part.keep = keep
        raise RdctlError(Code.UNREACHABLE, "gone")

    target = Target(str(tmp_path), (), "name", "part")
    with pytest.raises(RdctlError):
        make_file(target, fill, what="make it", replace=False, resume=True).perform()
    assert os.listdir(tmp_path) == (["part"] if keep and data else [])


def test_no_folder_on_the_way_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    os.symlink("../out", tmp_path / "in/a")
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        filled(tmp_path / "in")
    assert os.listdir(tmp_path / "out") == []


# Small things ------------------------------------------------------------------------------------


def test_each_wait_has_its_own_patience_and_all_one_end() -> None:
    now = [100.0]
    patience = Deadline(10, lambda: now[0]).each(3)
    assert patience.left() == 3
    now[0] += 8
    assert patience.left() == 2
    now[0] += 8
    assert patience.over
    assert Deadline(None).each(3).left() == 3
    assert Deadline(None).each(None).left() is None


def test_a_digest_in_a_thread_of_its_own() -> None:
    before = set(threading.enumerate())
    with Digest() as digest:
        for _ in range(20):
            digest.update(b"x" * 1000)
        assert digest.hexdigest() == md5_of(b"x" * 20_000)
    with Digest() as digest:
        digest.update(b"left")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before


def md5_of(data: bytes) -> str:
    digest = md5()
    digest.update(data)
    return str(digest.hexdigest()).upper()
