"""The bytes of chunks that are rebuilt: verified before the last of them is sent, and in bounded
memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted
from rdctl.oio.integrity.model import ChunkState
from rdctl.oio.objects.digests import hex_md5, md5
from rdctl.oio.objects.layout import PIECE, Scheme
from rdctl.oio.rawx import Copy, Rawx
from rdctl.workers import WAKE_SECONDS, start_thread

if TYPE_CHECKING:
    from rdctl.oio.objects.metachunk import Metachunk

Buffer = bytes | memoryview
# A fragment of at most so many bytes is encoded once and kept, a larger one is encoded again.
KEPT_BYTES = 4 << 20
# Blocks read before they are sent.
_WAITING = 2


class Data(NamedTuple):
    """The bytes of a chunk file: `hash` is their MD5, `shell` is a command that writes them."""

    size: int
    hash: str
    shell: str
    blocks: Callable[[], Iterator[Buffer]]


def replica(
    rawx: Rawx, source: ChunkState, size: int, hash: str, check: Callable[[], None]
) -> Data:
    """The bytes of a replica, from another one."""

    def blocks() -> Iterator[Buffer]:
        for first in range(0, size, PIECE):
            block = memoryview(bytearray(min(PIECE, size - first)))
            try:
                rawx.get(source.copy, first, block, check=check, repeatable=True)
            except RdctlError as error:
                raise RdctlError(Code.BAD_REPLY, error.message) from error
            yield block

    return Data(
        size=size,
        hash=hash,
        shell=f"curl -sS {quoted(source.copy.real_url)}",
        blocks=lambda: ahead(verified(blocks(), hash, source.copy.url)),
    )


def nothing() -> Data:
    """The bytes of a chunk of an empty object."""
    return Data(size=0, hash=hex_md5(md5()), shell="cat /dev/null", blocks=lambda: iter(()))


def fragment(metachunk: Metachunk, scheme: Scheme, target: Copy, size: int) -> Data:
    """The bytes of a fragment, encoded from a metachunk that is proven. Their hash is needed before
    they are sent."""
    from rdctl.oio.erasure.codec import Codec

    codec = Codec(scheme.k, scheme.m)
    sources = metachunk.proven()

    def blocks() -> Iterator[Buffer]:
        for segment in metachunk.segments(sources):
            yield codec.encode(segment)[target.fragment]

    digest = md5()
    kept: list[Buffer] = []
    for block in blocks():
        digest.update(block)
        if size <= KEPT_BYTES:
            kept.append(block)
    hash = hex_md5(digest)
    return Data(
        size=size,
        hash=hash,
        shell=_shell(target),
        blocks=lambda: iter(kept) if kept else ahead(verified(blocks(), hash, target.url)),
    )


def unread(target: Copy, size: int) -> Data:
    """In place of a fragment, in a dry run."""
    return Data(size=size, hash="<MD5>", shell=_shell(target), blocks=lambda: iter(()))


def _shell(target: Copy) -> str:
    return f"cat '<fragment {target.pos}>'"


def verified(blocks: Iterator[Buffer], hash: str, name: str) -> Iterator[Buffer]:
    """The blocks, the last one only if all of them have that MD5: without it nothing is stored."""
    digest = md5()
    last: Buffer | None = None
    for block in blocks:
        digest.update(block)
        if last is not None:
            yield last
        last = block
    if hex_md5(digest) != hash:
        raise RdctlError(Code.BAD_REPLY, f"{name}: its data changed while it was read")
    if last is not None:
        yield last


def ahead(blocks: Iterator[Buffer]) -> Iterator[Buffer]:
    """The blocks, read by a thread of their own: a thread has one request at a time."""
    waiting: queue.Queue[Buffer | BaseException | None] = queue.Queue(_WAITING)
    over = threading.Event()

    def put(item: Buffer | BaseException | None) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=WAKE_SECONDS)
                return

    def run() -> None:
        try:
            for block in blocks:
                put(block)
                if over.is_set():
                    return
            put(None)
        except BaseException as error:  # raised where the blocks are taken
            put(error)

    start_thread(run)
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
