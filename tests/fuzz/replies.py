"""Spoiled replies: what a broken, foreign or hostile server may send in place of a proper one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.fuzz.lines import HOSTILE

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1 << 63, 1 << 70, -(1 << 70), 0.5, 1e308, "", " ", "0", "-1"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}, "x" * 10_000, HOSTILE, "\n", "\x00"),
    *("é\u202e", "\ud800", "../../x", "http://127.0.0.1:9/x", "http://[", "1e999", "9" * 5000),
    *("x; touch y", "$(touch y)", "a" * 64, "0" * 32, "plain/nb_copy=0", "ec/x"),
)
STATUS = (
    *(100, 101, 199, 200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406),
    *(407, 409, 410, 413, 416, 418, 420, 421, 429, 431, 432, 433, 480, 500, 501, 502, 503, 504),
    *(0, 99, 600, 999, -1),
)
TEXTS = (
    *(b"", b"null", b"[]", b"{}", b"OK", b"<html>", b"NaN", b"[NaN]", b'{"a":Infinity}'),
    *(b"[" * 1000, b'{"a":' * 800 + b"1" + b"}" * 800, b"\xff\xfe", b"\xef\xbb\xbf{}"),
    *(b'{"status":503,"message":"no"}', b"9" * 5000, b'"' + HOSTILE.encode() + b'"'),
)
HEADERS = (
    *(b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Location: http://127.0.0.1:9/"),
    *(b"Content-Type: text/html; charset=nonsense", b"Date: Sun, 99 Foo 99999 25:61:61 GMT"),
    *(b"Retry-After: 1e99", b"Set-Cookie: a=b", b"X" * 70_000, b"no colon", b" folded"),
)


def spoiled(rng: random.Random, reply: bytes) -> bytes:
    """A proper reply with one fault or a few."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        reply = rng.choice(FAULTS)(rng, reply)
    return reply


def _parts(reply: bytes) -> tuple[bytes, bytes]:
    head, _, body = reply.partition(b"\r\n\r\n")
    return head, body


def _joined(head: bytes, body: bytes, *, right: bool = True) -> bytes:
    if right:
        lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"content-length")]
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
    return head + b"\r\n\r\n" + body


def cut(rng: random.Random, reply: bytes) -> bytes:
    return reply[: rng.randrange(len(reply) + 1)]


def bytes_changed(rng: random.Random, reply: bytes) -> bytes:
    changed = bytearray(reply)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 10, 13, 27, 34, 255, 0x7B, 0x30))
    return bytes(changed)


def part_moved(rng: random.Random, reply: bytes) -> bytes:
    one, other = sorted(rng.randrange(len(reply) + 1) for _ in range(2))
    place = rng.randrange(len(reply) + 1)
    return reply[:place] + reply[one:other][:5000] + reply[place:]


def status_changed(rng: random.Random, reply: bytes) -> bytes:
    head, body = _parts(reply)
    _, _, rest = head.partition(b"\r\n")
    word = rng.choice((b"OK", b"", HOSTILE.encode(), b"Not found"))
    return b"HTTP/1.%d %d %s\r\n" % (rng.randrange(2), rng.choice(STATUS), word) + _joined(
        rest, body, right=False
    )


def header_changed(rng: random.Random, reply: bytes) -> bytes:
    head, body = _parts(reply)
    lines = head.split(b"\r\n")
    name, _, value = rng.choice(lines[1:] or [b"X: y"]).partition(b":")
    hostile = (b"", b"-1", b"99999999999", b"abc", value, HOSTILE.encode(), b"\xff", b"x" * 70_000)
    line = rng.choice((name + b":" + rng.choice(hostile), rng.choice(HEADERS)))
    place = rng.randrange(1, len(lines) + 1)
    if rng.random() < 0.5 and place < len(lines):
        lines[place] = line
    else:
        lines.insert(place, line)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def body_replaced(rng: random.Random, reply: bytes) -> bytes:
    return _joined(_parts(reply)[0], rng.choice(TEXTS), right=rng.random() < 0.9)


def chunked(rng: random.Random, reply: bytes) -> bytes:
    head, body = _parts(reply)
    lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"content-length")]
    lines.append(b"Transfer-Encoding: chunked")
    sizes = (b"%x" % len(body), b"-5", b"zz", b"", b"ffffffffffffffff", b"%x" % (len(body) + 1))
    end = rng.choice((b"0\r\n\r\n", b"0\r\n", b"", b"\r\n", b"0\r\nX: y\r\n\r\n"))
    framed = rng.choice(sizes) + b"\r\n" + body + b"\r\n" + end
    return b"\r\n".join(lines) + b"\r\n\r\n" + framed


def value_changed(rng: random.Random, reply: bytes) -> bytes:
    """Another value somewhere in the JSON text, a key more, or one less."""
    head, body = _parts(reply)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return header_changed(rng, reply)
    places: list[tuple[Any, Any]] = []
    _walk(value, places)
    if not places:
        return _joined(head, json.dumps(rng.choice(VALUES)).encode())
    holder, key = rng.choice(places)
    match rng.randrange(5):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(("", "x", HOSTILE, "status", "name"))] = holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), rng.choice(VALUES))
        case 3 if isinstance(holder, list):
            holder.append(holder[key])
        case _:
            holder[key] = rng.choice(VALUES)
    return _joined(head, json.dumps(value).encode())


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        places.append((value, key))
        _walk(value[key], places)


FAULTS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(cut, bytes_changed, part_moved, status_changed, header_changed, header_changed),
    *(body_replaced, chunked, value_changed, value_changed, value_changed, value_changed),
)
