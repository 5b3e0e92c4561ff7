"""One object on its way into a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from rdctl.core.errors import RdctlError
from rdctl.effects.files import Destination, Part
from rdctl.oio.objects.digests import digest_for, feed, hex_md5, md5
from rdctl.oio.objects.files import others_begun
from rdctl.oio.objects.layout import Position, Span
from rdctl.oio.objects.receiving import Receiving
from rdctl.workers import Workers


class Filling:
    """The download of one object into a file. `had` bytes existed before, `has` exist now, `keep`:
    whether they are usable; `unproven`: no checksum proves some of those that existed
    before; `undated`: the file could not get the modification time `mtime_ns`."""

    def __init__(
        self,
        receiving: Receiving,
        span: Span,
        workers: Workers,
        resume: bool,
        mtime_ns: int | None,
    ) -> None:
        self._receiving = receiving
        self._span = span
        self._workers = workers
        self._resume = resume
        whole = span == Span(0, receiving.size)
        # Else the MD5 of the whole proves every part of it. Only if it is wrong, or not known, the
        # parts are looked at: that is half the work.
        self._hash = receiving.hash if whole and not receiving.proven_by_parts else None
        self.had = self.has = 0
        self.keep = True
        self.unproven = self.undated = False
        self._mtime_ns = mtime_ns

    def fill(self, part: Part) -> None:
        try:
            self.had = self.has = self._kept(part) if self._resume else 0
            part.cut(self.had)
            bad = self._all(part)
            if bad:
                self._mend(part, bad)
            if self._mtime_ns is not None:
                self.undated = not part.date(self._mtime_ns)
        finally:
            part.keep = self.keep

    def _kept(self, part: Part) -> int:
        """How much of what is there can be used."""
        size = min(part.size, self._span.size)
        if self._hash is not None:
            return size
        # Nothing would prove the whole: so each position that is kept has to be right by itself,
        # but for those of which the range has only a part.
        kept = 0
        for position in self._receiving.positions:
            start = position.offset - self._span.first
            end = start + position.size
            if start < 0 or end > self._span.size:
                kept = max(0, min(end, size))
                self.unproven |= kept > max(start, 0)
            elif end <= size and self._is_good(part, position):
                kept = end
            if kept < end:
                break
        return kept

    def _all(self, part: Part) -> list[Position]:
        """Receive what is missing; the positions that turned out to be wrong."""
        receiving, span = self._receiving, self._span
        bad: list[Position] = []
        with digest_for(span.size) if self._hash else nullcontext() as digest:
            if digest is not None:
                feed(digest, part.read, 0, self.had, self._workers.check)
            self._workers.progress.advance(self.had)
            rest = Span(span.first + self.had, span.end)
            blocks = receiving.blocks(rest, checked=digest is None, final=False, wrong=bad.append)
            for block in blocks:
                part.write(block, self.has)
                self.has += len(block)
                self._workers.progress.advance(len(block))
                if digest is not None:
                    digest.update(block)
            if digest is not None and hex_md5(digest) != self._hash:
                bad = [
                    position
                    for position in receiving.positions
                    if not self._is_good(part, position)
                ]
                if not bad:
                    self.keep = False
                    raise receiving.wrong()
        return bad

    def _mend(self, part: Part, bad: Sequence[Position]) -> None:
        """Download corrupt parts again, from replicas with correct data."""
        try:
            for position in bad:
                self._receiving.mend(position, partial(self._rewrite, part))
            if self._hash is not None:
                digest = md5()
                self.had = self.has
                feed(digest, part.read, 0, self.had, self._workers.check)
                if hex_md5(digest) != self._hash:
                    raise self._receiving.wrong()
        except RdctlError:
            self.keep = False
            raise

    def _rewrite(self, part: Part, data: memoryview, at: int) -> None:
        part.write(data, at - self._span.first)

    def _is_good(self, part: Part, position: Position) -> bool:
        return self._receiving.is_good(
            position, lambda size, at: part.read(size, at - self._span.first)
        )

    def stale(self, target: Destination) -> bool:
        """Whether partial data of another version exists, which could not be resumed."""
        return self._resume and not self.had and bool(self.has) and others_begun(target)
