"""Receive the bytes of erasure-coded objects from the rawx services."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdctl.oio.erasure.fragments import SEGMENT
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.digests import md5_of
from rdctl.oio.objects.gathering import Services
from rdctl.oio.objects.layout import Piece, Position, Span, pieces_of, scheme_of
from rdctl.oio.objects.metachunk import Metachunk, Unprovable
from rdctl.oio.objects.receiving import Receiving
from rdctl.oio.objects.segments import FEW_SEGMENTS, MOST_SEGMENTS, segments_at_a_time
from rdctl.oio.rawx import Rawx
from rdctl.workers import Workers

# Pieces of one object in progress at a time. Each comes from k services.
MOST_PIECES = 2


class Decoding(Receiving):
    """The bytes of one erasure-coded object.

    Bytes that the checksum of the object or of a metachunk proves afterwards are read from k
    fragments, data first, which takes no arithmetic. Others are compared with one more fragment.
    """

    _ahead = MOST_PIECES

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        content: Content,
        place: Place,
        warn: Callable[[str], None],
        parallel: int,
    ) -> None:
        scheme = scheme_of(content)
        most = FEW_SEGMENTS if parallel == 1 else MOST_SEGMENTS
        self.piece = SEGMENT * segments_at_a_time(scheme, most)
        super().__init__(rawx, workers, content, place, warn, min(parallel, MOST_PIECES))
        services = Services(lambda words: warn(f"{self.shown}: {words}"), rawx.silence)
        self._metachunks = {
            part.number: Metachunk(rawx, workers, scheme, part, services, self.shown)
            for part in self.positions
        }
        # Whether bytes were passed on that no checksum proves.
        self._unproven = False

    def proves(self, span: Span) -> bool:
        return not self._unproven

    def _may_be_whole(self, size: int) -> bool:
        return False  # the size of a piece is that of its segments

    def _give_back(self, data: memoryview) -> None:
        """The memory of decoded segments is not reused."""

    def _cut(self, span: Span) -> Iterator[Piece]:
        return pieces_of(self.positions, span, self.piece, aligned=True)

    def _fetch(self, piece: Piece, checked: bool, *, later: bool) -> memoryview:
        self._workers.check()
        metachunk = self._metachunks[piece.position.number]
        first, end = piece.first // SEGMENT, -(-(piece.first + piece.size) // SEGMENT)
        if piece.whole and piece.position.hash is not None and (checked or not later):
            data = self._compared(metachunk, piece.position, metachunk.read(first, end))
        elif later:
            data = metachunk.read(first, end)
        else:
            data = self._checked(metachunk, first, end)
        at = piece.first - first * SEGMENT
        return data[at : at + piece.size]

    @staticmethod
    def _compared(metachunk: Metachunk, position: Position, data: memoryview) -> memoryview:
        """A metachunk that was received at once; read again if its MD5 is wrong."""
        if md5_of(data) == position.hash:
            return data
        sources = metachunk.proven()
        return memoryview(b"".join(metachunk.segments(sources)))

    def _checked(self, metachunk: Metachunk, first: int, end: int) -> memoryview:
        try:
            return metachunk.checked(first, end)
        except Unprovable:
            self._unproven = True
            return metachunk.read(first, end)

    def mend(self, position: Position, write: Callable[[memoryview, int], None]) -> None:
        metachunk = self._metachunks[position.number]
        at = position.offset
        for segment in metachunk.segments(metachunk.proven()):
            write(segment, at)
            at += len(segment)
