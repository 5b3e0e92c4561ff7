"""Chunks: stored, parsed and shown."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Collection, Iterable
from typing import NamedTuple

from rdctl.sandbox.oio import conscience
from rdctl.sandbox.oio.replies import ApiFault, bad_request, field
from rdctl.sandbox.oio.wsgi import dumps


class Chunk(NamedTuple):
    url: str
    pos: str
    size: int
    hash: str


def chunks_of(connection: sqlite3.Connection, cid: str, content_id: str) -> list[Chunk]:
    rows = connection.execute(
        "SELECT url, pos, size, hash FROM oio_chunks WHERE cid = ? AND content = ?",
        (cid, content_id),
    )
    return [Chunk(*row) for row in rows]


def position_of(pos: str) -> int:
    """The position of a chunk's metachunk: 3 of "3", and of "3.1" for erasure coding."""
    number = pos.split(".")[0]
    return int(number) if re.fullmatch(r"[0-9]{1,18}", number) else 0


def length_of(chunks: Iterable[Chunk]) -> int:
    """The bytes in one copy of each position."""
    return sum({position_of(chunk.pos): chunk.size for chunk in chunks}.values())


def shown_chunks(connection: sqlite3.Connection, chunks: Iterable[Chunk]) -> bytes:
    """The array as the proxy writes it, in no order: one line per chunk, slashes unescaped."""
    scores = {service.address: service.score for service in conscience.services(connection)}
    shown = [
        dumps(
            {
                "url": chunk.url,
                "real_url": chunk.url,
                "pos": chunk.pos,
                "size": chunk.size,
                "hash": chunk.hash,
                "score": scores.get(host_of(chunk.url), 0),
            },
            slashes=False,
        )
        for chunk in chunks
    ]
    random.shuffle(shown)
    return b"[" + b",\n".join(shown) + b"]"


def host_of(url: str) -> str:
    return url.removeprefix("http://").split("/")[0]


def chunk_of(item: object) -> Chunk:
    if not isinstance(item, dict):
        raise bad_request("JSON: expected object")
    url, pos, size, hash = (
        field(item, name, kind)
        for name, kind in (("url", str), ("pos", str), ("size", int), ("hash", str))
    )
    return Chunk(url, pos, size, checked_hash(hash))


def checked_hash(hash: str) -> str:
    if not is_hex(hash):
        raise bad_request(f"JSON: invalid hash: not hexa: '{hash}'")
    return hash.upper()


def is_hex(value: str) -> bool:
    return len(value) % 2 == 0 and re.fullmatch("[0-9A-Fa-f]*", value) is not None


def store_chunks(connection: sqlite3.Connection, cid: str, id: str, chunks: list[Chunk]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO oio_chunks VALUES (?, ?, ?, ?, ?, ?)",
        [(cid, chunk.url, id, chunk.pos, chunk.size, chunk.hash) for chunk in chunks],
    )


def refuse_taken(connection: sqlite3.Connection, cid: str, urls: Collection[str]) -> None:
    """Refuse urls that are registered, or twice among these."""
    taken = "SELECT 1 FROM oio_chunks WHERE cid = ? AND url = ?"
    known = any(connection.execute(taken, (cid, url)).fetchone() for url in urls)
    if known or len(set(urls)) < len(urls):
        raise ApiFault(19, "Step error: (19) UNIQUE constraint failed: chunks.id")
