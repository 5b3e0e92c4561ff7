"""Chunks at their rawx, as they were recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.net.messages import Blocks
from rdctl.net.transport import Transport
from rdctl.oio.model import Place
from rdctl.oio.rawx import META, Held, Owner, Rawx, chunk_headers, copy_of
from tests.oio.objects.chunks import chunk, content
from tests.oio.recordings import WIRE
from tests.oio.wire import Answer, Answering

RAWX = [
    one
    for line in (WIRE / "oio-transcripts.jsonl").read_text("utf-8").splitlines()
    if (one := json.loads(line))["server"].startswith("rawx")
]


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
    # Not all bodies were recorded as they were sent.
    framing = () if one["method"] == "HEAD" else ("Content-Length", "Transfer-Encoding")
    sent = {name: value for name, value in one["headers"].items() if name not in framing}
    engine = Answering([Answer(one["status"], body, sent, one["reason"])])
    effects = Effects(ask=lambda losses: None)
    rawx = Rawx(lambda address: Transport(f"http://{address}", effects, engine=engine))
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
        held = act()
        if one["method"] in ("PUT", "HEAD"):
            assert isinstance(held, Held)
            assert held.hash == held.md5 == headers[f"{META}chunk-hash"]
            assert str(held.size) == headers[f"{META}chunk-size"]
            assert held.id == headers[f"{META}chunk-id"]
            assert held.content_id == headers[f"{META}content-id"]
            assert {META + name: value for name, value in held.meta.items()} == metadata(headers)
    else:
        with pytest.raises(RdctlError) as caught:
            act()
        assert caught.value.code is CODES.get(one["status"], Code.BAD_REPLY)
        assert copy.url in caught.value.message


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


def test_a_rawx_that_finds_a_chunk_damaged_is_understood() -> None:
    """Since 5 a chunk of another size than its metadata have is refused, whatever is asked."""
    engine = Answering([Answer(412), Answer(412)])
    effects = Effects(ask=lambda losses: None)
    rawx = Rawx(lambda address: Transport(f"http://{address}", effects, engine=engine))
    copy = copy_of(chunk(0, f"http://127.0.0.1:6013/{'A' * 64}"))
    into = memoryview(bytearray(9))

    def check() -> None:
        pass

    asked: list[Callable[[], object]] = [
        lambda: rawx.head(copy, seconds=9, check=check),
        lambda: rawx.get(copy, 0, into, check=check, repeatable=False),
    ]
    for ask in asked:
        with pytest.raises(RdctlError) as caught:
            ask()
        assert caught.value.code is Code.BAD_REPLY
        assert "damaged" in caught.value.message
