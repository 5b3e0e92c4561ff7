"""One metachunk of an erasure-coded object: its proven bytes from any k fragments, and which of its
fragments are wrong.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import combinations
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.objects.digests import hex_md5, md5, md5_of
from rdctl.oio.objects.gathering import Services
from rdctl.oio.objects.layout import DAMAGE_HINT, Position, Scheme
from rdctl.oio.objects.segments import Disagreement, Segments, Window
from rdctl.oio.rawx import Copy, Held, Rawx, reported_md5
from rdctl.workers import Workers

Sources = tuple[Copy, ...]


class Unprovable(RdctlError):
    """No checksum is known that could prove the bytes."""


class Survey(NamedTuple):
    """The result of reading fragments to their ends: those that were read, each with whether it has
    its own MD5 (None: not reported), the k that were decoded, the MD5 of the metachunk decoded from
    them, and those of its segments."""

    read: dict[Copy, bool | None]
    sources: Sources
    hash: str
    digests: list[str]


class Metachunk:
    """A metachunk, read from its fragments. `wrong` are those found to be wrong, each with the
    reason; `shown` names the object."""

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        scheme: Scheme,
        position: Position,
        services: Services,
        shown: str,
    ) -> None:
        self.position = position
        self.wrong: dict[Copy, str] = {}
        self._scheme = scheme
        self._services = services
        self._shown = f"{shown}: metachunk {position.number}"
        self._segments = Segments(
            rawx, workers, scheme, position, services, self.wrong.__setitem__, self._shown
        )
        self._lock = threading.RLock()
        self._sources: Sources = ()
        # The MD5 of each segment, once that of the metachunk is proven.
        self._digests: list[str] = []

    # --- some segments ------------------------------------------------------------------------

    def read(self, first: int, end: int) -> memoryview:
        """The segments from `first` up to and without `end`, not proven."""
        window = self._segments.window(first, end)
        parts = self._segments.received(self.position.copies, window, self._scheme.k)
        return self._segments.joined(window, parts)

    def checked(self, first: int, end: int) -> memoryview:
        """The same, proven: by one more fragment that agrees, otherwise by the MD5 of the whole
        metachunk. Raises Unprovable if neither is possible."""
        window = self._segments.window(first, end)
        if not self._digests:
            parts = self._segments.received(self._last_first(), window, self._scheme.k + 1)
            more = len(parts) > self._scheme.k
            if more and self._segments.disagreement(window, parts) is None:
                return self._segments.joined(window, parts)
            self._prove(disagree=more)
        return self._proven_bytes(window)

    def _last_first(self) -> Sources:
        """The data fragments, then the parity ones from the last. The first parity is the XOR of
        the data, so equal errors in two of them cancel out; and OpenIO's rebuilder, which verifies
        nothing, rebuilds from a wrong fragment another one that agrees with the data and the first
        parity."""
        data = [copy for copy in self.position.copies if copy.fragment < self._scheme.k]
        parity = [copy for copy in self.position.copies if copy.fragment >= self._scheme.k]
        return (*data, *reversed(parity))

    def _prove(self, *, disagree: bool) -> None:
        try:
            self.proven()
        except Unprovable as error:
            if not disagree:
                raise
            message = f"{self._shown}: its fragments disagree, and no checksum shows which is wrong"
            raise RdctlError(Code.BAD_REPLY, message) from error
        if disagree and not self.wrong:
            self.compare()

    def _proven_bytes(self, window: Window) -> memoryview:
        """Segments whose MD5s are known."""
        sources = self.proven()
        others = [one for one in self.position.copies if one not in (*sources, *self.wrong)]
        parts = self._segments.received([*sources, *others], window, self._scheme.k)
        data = self._segments.joined(window, parts)
        self._verify(window, data)
        return data

    def _verify(self, window: Window, data: memoryview) -> None:
        for number, segment in enumerate(_cut(window, data), window.first):
            if self._digests and md5_of(segment) != self._digests[number]:
                message = f"{self._shown}: its fragments changed while it was read"
                raise RdctlError(Code.BAD_REPLY, message)

    # --- the whole ----------------------------------------------------------------------------

    def proven(self) -> Sources:
        """The k fragments from which the metachunk decodes to its MD5. If that is not known, k
        fragments with their own MD5s; Unprovable without these."""
        with self._lock:
            if not self._sources:
                self._find()
            return self._sources

    def segments(self, sources: Sequence[Copy]) -> Iterator[memoryview]:
        """The bytes of the metachunk from these k fragments, a segment at a time. After `proven`,
        each is compared with what was proven."""
        for window, parts in self._segments.windows(sources, self._scheme.k):
            data = self._segments.joined(window, parts)
            self._verify(window, data)
            yield from _cut(window, data)

    def compare(self) -> None:
        """Compare all fragments with the proven ones: `wrong` gains those that differ, even if they
        have their own MD5."""
        sources = self.proven()
        others = [one for one in self.position.copies if one not in (*sources, *self.wrong)]
        together = [*sources, *others]
        once = len({copy.fragment for copy in together}) == len(together)
        if once and self._disagreement(together) is None:
            return
        for copy in others:
            rest = [one for one in sources if one.fragment != copy.fragment]
            with suppress(RdctlError):  # it cannot be read
                digests = self._survey([copy, *rest[: self._scheme.k - 1]]).digests
                if digests != self._digests:
                    self._is_wrong(copy, "it does not match the other fragments")

    def _find(self) -> None:
        survey = self._survey(self.position.copies)
        if self._proves(survey) or self._proven_by_sound(survey):
            return
        if self.position.hash is None:
            raise Unprovable(Code.BAD_REPLY, f"{self._shown}: no checksum can prove its bytes")
        sound = [copy for copy in survey.read if copy not in self.wrong]
        candidates = sound if len(sound) >= self._scheme.k else list(survey.read)
        for sources in self._subsets(candidates):
            if self._proves(self._survey(sources)):
                self.compare()
                return
        message = f"no {self._scheme.k} of its fragments match its MD5: the data is corrupt"
        raise RdctlError(Code.BAD_REPLY, f"{self._shown}: {message}", hint=DAMAGE_HINT)

    def _proven_by_sound(self, survey: Survey) -> bool:
        """Whether fragments that are not wrong by their own MD5, those that have it first, prove
        the metachunk. Those of which a duplicate was wrong are among them."""
        copies: list[Copy] = list(self.position.copies)
        while True:
            sound = [copy for copy in copies if copy not in self.wrong]
            sound.sort(key=lambda copy: not survey.read.get(copy))
            if sound == copies or len({copy.fragment for copy in sound}) < self._scheme.k:
                return False
            copies = sound
            survey = self._survey(copies)
            if self._proves(survey):
                if not self.wrong:
                    self.compare()
                return True

    def _proves(self, survey: Survey) -> bool:
        if self.position.hash is None:
            proves = all(survey.read[copy] for copy in survey.sources)
        else:
            proves = survey.hash == self.position.hash
        if proves and survey.sources:
            self._sources, self._digests = survey.sources, survey.digests
        return bool(self._sources)

    def _survey(self, copies: Sequence[Copy]) -> Survey:
        """Read these fragments to their ends, and decode the first k of them."""
        own: dict[Copy, Any] = {}
        held: dict[Copy, Held] = {}
        sources: Sources = ()
        whole, digests = md5(), []
        for window, parts in self._segments.windows(copies, len(copies)):
            if not own:
                own = {copy: md5() for copy in copies if copy in parts}
                held = {copy: part.held for copy, part in parts.items()}
                sources = tuple(own)[: self._scheme.k]
            own = {copy: digest for copy, digest in own.items() if copy in parts}
            for copy, digest in own.items():
                digest.update(parts[copy].data)
            if all(copy in own for copy in sources):
                data = self._segments.joined(window, {copy: parts[copy] for copy in sources})
                whole.update(data)
                digests += [md5_of(segment) for segment in _cut(window, data)]
        if len(digests) < self._segments.count:
            sources = ()  # one of them failed in between
        read = {copy: self._is_own(copy, held[copy], hex_md5(own[copy])) for copy in own}
        return Survey(read, sources, hex_md5(whole), digests)

    def _is_own(self, copy: Copy, held: Held, hash: str) -> bool | None:
        """Whether a fragment has the MD5 that its rawx reports; None if it reports none."""
        whole = reported_md5(held.meta.get("metachunk-hash"))
        if held.md5 not in (None, hash):
            self._is_wrong(copy, f"MD5 mismatch: expected {held.md5}, got {hash}")
        elif whole and self.position.hash not in (None, whole):
            self._is_wrong(copy, f"it is a fragment of other data, with the MD5 {whole}")
        return None if held.md5 is None else copy not in self.wrong

    def _subsets(self, copies: Sequence[Copy]) -> Iterator[Sources]:
        """All subsets of k of these fragments. The result of most subsets is likely to be right, so
        these come first."""
        subsets = list(combinations(copies, self._scheme.k))
        found = self._disagreement(copies)
        if found is None:
            yield subsets[0]  # they all decode to the same
            return
        decoded = {one: md5_of(self._decoded(found, one)) for one in subsets}
        votes = Counter(decoded.values())
        yield from sorted(subsets, key=lambda one: -votes[decoded[one]])

    def _decoded(self, found: Disagreement, sources: Sources) -> bytes:
        chosen = {copy: found.fragments[copy] for copy in sources}
        return self._segments.decode(chosen, found.size)

    def _disagreement(self, copies: Sequence[Copy]) -> Disagreement | None:
        """The first segment in which these fragments, more than k, disagree."""
        with closing(self._segments.windows(copies, len(copies))) as windows:
            for window, parts in windows:
                if found := self._segments.disagreement(window, parts):
                    return found
        return None

    def _is_wrong(self, copy: Copy, reason: str) -> None:
        if copy not in self.wrong:
            self.wrong[copy] = reason
            self._services.wrong(copy, reason)


def _cut(window: Window, data: memoryview) -> Iterator[memoryview]:
    """The segments of a window."""
    at = 0
    for size in window.sizes:
        yield data[at : at + size]
        at += size
