"""Metachunks of erasure-coded objects, proven before anything is encoded from them."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.integrity.model import PositionState
from rdctl.oio.integrity.plan import sources
from rdctl.oio.model import Content
from rdctl.oio.objects.gathering import Services
from rdctl.oio.objects.layout import Position
from rdctl.oio.objects.metachunk import Metachunk
from rdctl.oio.rawx import Rawx, reported_md5
from rdctl.workers import Workers


def proven(rawx: Rawx, workers: Workers, content: Content, position: PositionState) -> Metachunk:
    """The metachunk of a position, which decodes to its MD5 from fragments that are good. Raises
    `failed` if it does not."""
    metachunk = Metachunk(
        rawx,
        workers,
        position.scheme,
        Position(
            number=position.number,
            offset=0,
            size=position.size,
            hash=reported_md5(position.hash),
            copies=tuple(chunk.copy for chunk in sources(position)),
        ),
        Services(lambda message: None),
        escape(content.path),
    )
    try:
        metachunk.proven()
    except RdctlError as error:
        # The services answered; the data are not good enough.
        code = Code.FAILED if error.code is Code.BAD_REPLY else error.code
        raise RdctlError(code, error.message, hint=error.hint) from error
    return metachunk
