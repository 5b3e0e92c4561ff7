"""Erasure-coded objects as recorded (docs/wire/oio-ec.md), sent again to the sandbox at sockets.

What OpenIO's own client sent is sent byte for byte, its trailers included; only addresses differ.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rdctl.sandbox import OIO_HOST, oio_apps
from rdctl.sandbox.oio.state import RAWX_ADDRESSES
from tests.fakes.served import serving

WIRE = Path(__file__).parent.parent.parent / "wire" / "ec-recordings.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in WIRE.read_text("utf-8").splitlines()]
_CHANCE = {"connection", "date", "etag", "last-modified", "server", "location"}
# What the server chooses, or measures.
_CHOSEN = re.compile(r"x-oio-content-meta-(id|version|.time|hash|length|name)")


class Message(NamedTuple):
    start: str
    headers: dict[str, str]
    body: bytes


def parsed(head: str, body: bytes) -> Message:
    start, *lines = head.strip().splitlines()
    return Message(start, dict(re.split(r":\s*", line, maxsplit=1) for line in lines), body)


def body_of(row: dict[str, Any], what: str) -> bytes:
    text = row.get(f"{what}_body")
    return base64.b64decode(row[f"{what}_body_b64"]) if text is None else text.encode()


class Namespace:
    def __init__(self, hosts: dict[str, str]) -> None:
        self.hosts = hosts

    def ours(self, text: str) -> str:
        return re.sub(
            r"127\.0\.0\.1:170(1[2-9]|2[0-3])\b",
            lambda match: self.hosts[RAWX_ADDRESSES[int(match[1]) - 12]],
            text,
        )

    def send(self, row: dict[str, Any], trailing: str | None = None) -> Message:
        peer = row["peer"]
        host = self.hosts[OIO_HOST] if peer.endswith(":17000") else self.ours(peer)
        sent = parsed(self.ours(row["request_head"]), body_of(row, "request"))
        data, headers = sent.body, sent.headers
        if "Content-Length" in headers:
            data = self.ours(data.decode()).encode()
            headers["Content-Length"] = str(len(data))
        if trailing is not None:
            data = re.sub(rb"(?m)^%s: .*\r\n" % trailing.encode(), b"", data)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        address, _, port = host.rpartition(":")
        with socket.create_connection((address, int(port)), timeout=20) as connection:
            connection.sendall(f"{sent.start}\r\n{head}\r\n".encode() + data)
            reply = b""
            while block := connection.recv(65536):
                reply += block
        head_of_reply, _, body = reply.partition(b"\r\n\r\n")
        return parsed(head_of_reply.decode("latin-1"), body)


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    real: dict[str, str] = {}
    apps = oio_apps(tmp_path / "store", real)
    with serving(*apps.values()) as urls:
        hosts = {name: url.split("//")[1] for name, url in zip(apps, urls, strict=True)}
        real.update({name: host for name, host in hosts.items() if name != OIO_HOST})
        yield Namespace(hosts)


def facts(namespace: Namespace, message: Message, route: str) -> tuple[str, dict[str, str]]:
    """The status and the headers that are not chosen; of the proxy's lists not their length."""
    proxy = "/v3.0/" in route
    kept = {
        name.lower(): namespace.ours(value)
        for name, value in message.headers.items()
        if name.lower() not in _CHANCE
        and not (proxy and name == "Content-Length")
        and not ("content/prepare" in route and _CHOSEN.fullmatch(name.lower()))
        and not re.fullmatch("x-oio-content-meta-.time", name.lower())
    }
    return message.start, kept


def chunks(body: bytes) -> list[tuple[str, int, str]]:
    return sorted((one["pos"], one["size"], one["hash"]) for one in json.loads(body))


def test_recordings(namespace: Namespace) -> None:
    for row in ROWS:
        wanted = parsed(row["response_head"], body_of(row, "response"))
        found = namespace.send(row)
        route = row["request_head"].split()[1]
        about = f"#{row['number']} {row['label']}"
        assert facts(namespace, found, route) == facts(namespace, wanted, route), about
        if "/content/" not in route:
            assert found.body == wanted.body, about
        elif wanted.body:
            assert chunks(found.body) == chunks(wanted.body), about


PUT = next(row for row in ROWS if row["request_head"].startswith("PUT") and row["number"] > 8)


@pytest.mark.parametrize(
    ("missing", "status"),
    [
        ("x-oio-chunk-meta-metachunk-size", "HTTP/1.1 403 Forbidden"),
        ("x-oio-chunk-meta-metachunk-hash", "HTTP/1.1 403 Forbidden"),
        ("x-oio-chunk-meta-chunk-hash", "HTTP/1.1 201 Created"),
    ],
)
def test_what_a_fragment_needs(namespace: Namespace, missing: str, status: str) -> None:
    assert namespace.send(PUT, trailing=missing).start == status


def test_a_fragment_that_is_there_or_wrong(namespace: Namespace) -> None:
    wrong = {**PUT, "request_body_b64": base64.b64encode(_wrong(body_of(PUT, "request"))).decode()}
    assert namespace.send(wrong).start == "HTTP/1.1 422 Unprocessable Entity"
    assert namespace.send(PUT).start == "HTTP/1.1 201 Created"
    assert namespace.send(PUT).start == "HTTP/1.1 409 Conflict"


def _wrong(body: bytes) -> bytes:
    return re.sub(rb"(chunk-meta-chunk-hash: )\w{4}", rb"\g<1>0000", body)


CREATE = next(row for row in ROWS if "/content/create" in row["request_head"] and row["number"] > 8)


@pytest.mark.parametrize(("kept", "status"), [(6, 204), (5, 204), (4, 204), (3, 500), (1, 500)])
def test_k_fragments_make_an_object(namespace: Namespace, kept: int, status: int) -> None:
    body = json.loads(CREATE["request_body"])
    body["chunks"] = body["chunks"][:kept]
    prepared = next(row for row in ROWS if "/content/prepare" in row["request_head"])
    assert namespace.send(prepared).start.endswith("200 OK")  # it creates the container
    reply = namespace.send({**CREATE, "request_body": json.dumps(body)})
    assert int(reply.start.split()[1]) == status
    if status == 500:
        assert json.loads(reply.body)["status"] == 425
