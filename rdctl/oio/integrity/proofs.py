"""Metachunks of erasure-coded objects, proven before anything is encoded from them."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.integrity import model
from rdctl.oio.integrity.model import ChunkState, PositionState
from rdctl.oio.model import Content
from rdctl.oio.objects.gathering import Services
from rdctl.oio.objects.layout import Position
from rdctl.oio.objects.metachunk import Metachunk
from rdctl.oio.rawx import Rawx, reported_md5
from rdctl.workers import Workers


def proved(
    rawx: Rawx, workers: Workers, content: Content, position: PositionState
) -> tuple[PositionState, Metachunk]:
    """The metachunk of a position, which decodes to its MD5, and the position with what that shows:
    fragments that do not belong to the others are damaged, even if they have their own MD5. Raises
    `failed` if too few fragments are good."""
    metachunk = Metachunk(
        rawx,
        workers,
        position.scheme,
        Position(
            number=position.number,
            offset=0,
            size=position.size,
            hash=reported_md5(position.hash),
            copies=tuple(chunk.copy for chunk in position.chunks if chunk.usable),
        ),
        Services(lambda message: None),
        escape(content.path),
    )
    try:
        metachunk.proven()
        metachunk.compare()
    except RdctlError as error:
        # The services answered; the data are not good enough.
        code = Code.FAILED if error.code is Code.BAD_REPLY else error.code
        raise RdctlError(code, error.message, hint=error.hint) from error
    chunks = tuple(_judged(chunk, metachunk) for chunk in position.chunks)
    return position._replace(chunks=chunks), metachunk


def _judged(chunk: ChunkState, metachunk: Metachunk) -> ChunkState:
    reason = metachunk.wrong.get(chunk.copy)
    return chunk if reason is None else chunk._replace(state=model.WRONG_HASH, message=reason)
