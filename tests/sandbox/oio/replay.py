"""Recordings of real OpenIO servers, replayed against the sandbox.

Ids, versions and urls that a server chose are bound at first sight to those that the sandbox chose,
and must stay what they are; `_same` has the rules for what may differ.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rdctl.sandbox import OIO_HOST
from tests.sandbox.oio.wire import NS, Reply, Servers


class Step(NamedTuple):
    """A request that was not recorded; `target` below the namespace of the proxy, or whole."""

    method: str
    host: str
    target: str
    body: str
    headers: dict[str, str]


_ADDRESS = re.compile(r"127\.0\.0\.1:\d{4,5}\b")
_CHUNK_URL = re.compile(r"http://127\.0\.0\.1:\d{4,5}/[0-9A-F]{64}")
_CHOSEN = re.compile(r"\b(?:[0-9A-F]{32}|\d{16})\b")

# Any service of these types may be the one that is chosen.
_ANY_SERVICE = {
    f"127.0.0.1:{port}": type
    for type, ports in {
        "meta1": (16007, 16008),
        "meta2": (16009, 16010, 16011),
        "rawx": (*range(16013, 16017), *range(16020, 16028)),
        "rdir": (16018, 16019),
    }.items()
    for port in ports
}


# Recorded on another lab, which had no others (repair-recordings.jsonl).
POLICIES_OF_ANOTHER_LAB = {"EC42", "EC21"}
# The ends of the names of numbers that need only be numbers.
_MEASURES = ("score", "ctime", "mtime")


class Replay:
    """`addresses` replaces the recorded addresses in a text by those of the sandbox; `proxy` is the
    recorded one of the proxy."""

    def __init__(self, servers: Servers, addresses: Callable[[str], str], proxy: str) -> None:
        self.servers = servers
        self.addresses = addresses
        self.proxy = proxy
        self.bound: dict[str, str] = {}  # as recorded, but at our addresses: as the sandbox has it
        self.sent: set[str] = set()  # ids and urls in requests: what the sandbox did not choose
        self.masked: dict[str, str] = {}  # addresses that stand for any service of a type
        self.measures: tuple[str, ...] = _MEASURES

    def arrange(self, step: Step) -> None:
        """Do what was not recorded: the sandbox must agree."""
        whole = step.target if step.target.startswith("/") else f"{NS}/{step.target}"
        reply = self.servers.send(
            self.ours(step.host),
            step.method,
            self.ours(whole),
            step.headers,
            self.ours(step.body).encode(),
        )
        assert reply.status < 300, (step, reply)

    def ours(self, text: str) -> str:
        """A recorded text with our addresses and what is bound."""
        text = self.addresses(text)
        for recorded, ours in self.bound.items():
            text = text.replace(recorded, ours)
        return text

    def mask(self, text: str) -> str:
        """Without what differs by chance."""
        for address, kind in self.masked.items():
            text = text.replace(address, kind)
        text = re.sub(r"OPENIO-meta2-\d", "OPENIO-meta2-N", text)
        text = re.sub(r"resolve=\d+,meta2=\d+", "resolve=N,meta2=N", text)
        text = re.sub(r"(Unmanaged error: Expecting property name).*", r"\1", text)
        return re.sub(r"(boundary=|--)[0-9a-f]{16}\b", r"\1B", text)

    def differences(self, recording: dict[str, Any]) -> list[str]:
        # What lists services must list the right ones; elsewhere the choice is free.
        listed = re.search("/(conscience|local|cache)/", recording["path"])
        self.masked = {} if listed else _ANY_SERVICE
        # The scores of echo services were set by the recorded requests.
        self.measures = _MEASURES[1:] if "type=echo" in recording["path"] else _MEASURES
        reply = self._send(recording)
        return [
            f"{recording['method']} {recording['path'][:80]}: {fault}"
            for fault in _compared(self, recording, reply)
        ]

    def _send(self, recording: dict[str, Any]) -> Reply:
        headers = dict(recording["request_headers"] or {})
        host = headers.get("Host", self.proxy)
        url = self.ours(f"http://{host}{recording['path']}").removeprefix("http://")
        address, slash, target = url.partition("/")
        named = {name: self.ours(value) for name, value in headers.items()}
        body = self._body(recording)
        asked = " ".join([target, *named.values(), body[:20000].decode("latin-1")])
        self.sent |= {*_CHUNK_URL.findall(asked), *_CHOSEN.findall(asked)}
        return self.servers.send(
            OIO_HOST if host == self.proxy else address,
            recording["method"],
            slash + target,
            named,
            body,
        )

    def _body(self, recording: dict[str, Any]) -> bytes:
        """The body as it was sent. Where it was not UTF-8 it is recorded as Latin-1; what was cut
        short in the recording repeats itself."""
        text = recording["request_body"] or ""
        length = recording.get("request_body_truncated_from")
        if length:
            end = '"}}' if text.startswith("{") else ""
            filler = text[100:] * (length // len(text[100:]) + 1)
            text = (text + filler)[: length - len(end)] + end
        sent = int((recording["request_headers"] or {}).get("Content-Length", 0))
        data: bytes = text.encode()
        if len(data) != sent:
            data = text.encode("latin-1")
        return self.ours(text).encode() if data == text.encode() else data


def _compared(replay: Replay, recording: dict[str, Any], reply: Reply) -> Iterator[str]:
    expected = (recording["status"], recording["reason"])
    if (reply.status, reply.reason) != expected:
        yield f"{expected} expected, not {reply.status} {reply.reason} {reply.text[:200]}"
        return
    wanted = _headers(recording["headers"].items())
    found = _headers(reply.headers)
    yield from _same(replay, "headers", wanted, found)
    if "body_truncated_from" in recording:
        return
    try:
        body = json.loads(recording["body"])
    except ValueError:
        yield from _same(replay, "text", recording["body"], reply.text)
    else:
        yield from _same(replay, "body", body, reply.json)
        if ("\\/" in recording["body"]) != ("\\/" in reply.text):
            yield f"slashes are escaped or are not: {reply.text[:200]}"


# Headers of the connection, and what a cache would ask for; an empty sys.user.type came and went.
_NO_MATTER = {"connection", "content-length", "transfer-encoding", "date", "etag", "last-modified"}


def _headers(pairs: Any) -> dict[str, str]:
    headers = {name.lower(): value for name, value in pairs if name.lower() not in _NO_MATTER}
    if headers.get("x-oio-container-meta-sys-user-type") == "":
        del headers["x-oio-container-meta-sys-user-type"]
    return headers


def _same(replay: Replay, where: str, recorded: Any, ours: Any) -> Iterator[str]:
    """The differences. Numbers that measure or date something need only be such numbers."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        yield from _same_object(replay, where, recorded, ours)
    elif isinstance(recorded, list) and isinstance(ours, list):
        yield from _same_array(replay, where, recorded, ours)
    elif _is_measure(replay, where) and _is_number(recorded) and _is_number(ours):
        return
    elif not _same_scalar(replay, recorded, ours):
        yield f"{where}: {replay.ours(str(recorded))!r} expected, not {ours!r}"


def _is_measure(replay: Replay, where: str) -> bool:
    return (
        where.endswith(replay.measures) or re.match(r"body\.listing\[\d+]\[4]", where) is not None
    )


def _is_number(value: object) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None


def _same_object(
    replay: Replay, where: str, recorded: dict[str, Any], ours: dict[str, Any]
) -> Iterator[str]:
    wanted, found = dict(recorded), dict(ours)
    if where.endswith("tags"):
        for tags in (wanted, found):
            for key in [key for key in tags if key.startswith("stat.")]:
                del tags[key]
    if where.endswith("system"):
        wanted, found = ({"sys.user.type": "", **values} for values in (wanted, found))
    if where == "body" and all(_ADDRESS.fullmatch(key) for key in wanted) and wanted:
        # What each service of a base says: any service may be the one.
        yield from _same_array(replay, where, [*wanted.values()], [*found.values()])
        wanted = dict.fromkeys(replay.mask(replay.ours(host)) for host in wanted)
        found = dict.fromkeys(map(replay.mask, found))
    if where in ("body.storage_policy", "body.data_security"):
        found = {name: found[name] for name in found if name not in POLICIES_OF_ANOTHER_LAB}
    if set(wanted) != set(found):
        yield f"{where}: keys {sorted(wanted)} expected, not {sorted(found)}"
        return
    for key, value in wanted.items():
        yield from _same(replay, f"{where}.{key}", value, found[key])


def _same_array(replay: Replay, where: str, recorded: list[Any], ours: list[Any]) -> Iterator[str]:
    """Names stand in order; services, chunks and the like in none."""
    if len(recorded) != len(ours):
        yield f"{where}: {len(recorded)} items expected, not {len(ours)}: {ours}"
        return
    if where.endswith((".objects", ".prefixes", ".containers", ".contents", "]", ".listing")):
        for number, (wanted, found) in enumerate(zip(recorded, ours, strict=True)):
            yield from _same(replay, f"{where}[{number}]", wanted, found)
        return
    left = list(ours)
    for wanted in recorded:
        bound = dict(replay.bound)
        for found in left:
            if not list(_same(replay, f"{where}[]", wanted, found)):
                left.remove(found)
                break
            replay.bound = dict(bound)
        else:
            yield f"{where}: {wanted} expected, not one of {left}"


def _same_scalar(replay: Replay, recorded: Any, ours: Any) -> bool:
    if not isinstance(recorded, str) and not isinstance(ours, str):
        if recorded == ours:
            return type(recorded) is type(ours)
        recorded, ours = str(recorded), str(ours)
    if type(recorded) is not type(ours):
        return False
    wanted = replay.ours(recorded)
    if wanted == ours or _bind(replay, wanted, ours):
        return True
    return replay.mask(wanted) == replay.mask(ours)


def _bind(replay: Replay, recorded: str, ours: str) -> bool:
    for pattern in (_CHUNK_URL, _CHOSEN):
        if pattern.fullmatch(recorded) and pattern.fullmatch(ours):
            taken = replay.bound.values()
            if recorded in taken or recorded in replay.sent or ours in taken:
                return False
            replay.bound[recorded] = ours
            if pattern is _CHUNK_URL:
                replay.bound[recorded[-64:]] = ours[-64:]
            return True
    return False


# What happened between the recordings ------------------------------------------------------------

_CHUNK = "http://127.0.0.1:6013/" + "A" * 64
_PUT_IDS = (f"{number:032X}" for number in itertools.count(1))


def post(
    target: str, body: object = None, headers: dict[str, str] | None = None, host: str = OIO_HOST
) -> list[Step]:
    data = "" if body is None else json.dumps(body, ensure_ascii=False)
    return [Step("POST", host, target, data, headers or {})]


def container(name: str, system: dict[str, str] | None = None) -> list[Step]:
    return post(f"container/create?acct=ACCT&ref={name}", {"system": system or {}})


def put(name: str, *paths: str, id: str = "", url: str = _CHUNK, length: int = 1) -> list[Step]:
    """Contents of one chunk, which may be nowhere."""
    steps = []
    for path in paths:
        chunk = {"url": url, "pos": "0", "size": length, "hash": "0" * 32}
        headers = {
            "x-oio-content-meta-length": str(length),
            "x-oio-content-meta-id": id or next(_PUT_IDS),
        }
        steps += post(f"content/create?acct=ACCT&ref={name}&path={path}", [chunk], headers)
    return steps


def put_stored(name: str, path: str, address: str, id: str) -> list[Step]:
    """A content whose chunk is on the rawx."""
    headers = {
        "x-oio-chunk-meta-content-storage-policy": "SINGLE",
        "x-oio-chunk-meta-content-chunk-method": "plain/nb_copy=1",
        "x-oio-chunk-meta-chunk-pos": "0",
        "x-oio-chunk-meta-full-path": f"ACCT/{name}/{path}/1/{'0' * 32}",
    }
    stored = Step("PUT", address, f"/{id}", "x", headers)
    return [stored, *put(name, path, url=f"http://{address}/{id}")]
