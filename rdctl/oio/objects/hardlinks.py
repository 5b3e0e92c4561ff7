"""Second names of chunks, as chunks of another object: the rawx shares the bytes.

A link is noted before it is requested, so that what a failure leaves can be removed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.net.deadline import Deadline
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.model import Content
from rdctl.oio.objects.layout import lacking
from rdctl.oio.rawx import Copy, Rawx, copy_of
from rdctl.workers import Workers

# In all, for the links of an operation that failed.
TIDY_SECONDS = 30.0
DELETE_SECONDS = 5.0
# Of the ID of a chunk, those that choose its directory: a rawx links only to one that exists.
_DIRECTORY_DIGITS = 4
_ID_DIGITS = 64


class HardLinks:
    """The links that one command makes, by several threads."""

    def __init__(self, rawx: Rawx, effects: Effects, workers: Workers) -> None:
        self._rawx = rawx
        self._effects = effects
        self._workers = workers
        self._lock = threading.Lock()
        self._numbers = iter(range(1 << 62))
        # What was requested, by url; and of which of these it is unknown whether it exists.
        self._begun: dict[str, Copy] = {}
        self._unanswered: set[str] = set()
        # Services that gave no answer, and why.
        self._away: dict[str, RdctlError] = {}

    def chunks_of(
        self, content: Content, named: Callable[[str], str] | None = None
    ) -> list[dict[str, Any]]:
        """The chunks of an object as they are listed, each with the url of its link to be. `named`
        returns the ID of a chunk by its position, if it is not free to choose."""
        found = []
        for chunk in content.chunks:
            missing = lacking(chunk)
            if missing is not None:
                shown = escape(content.path)
                message = f"{shown}: the proxy lists a chunk without {missing}"
                raise RdctlError(Code.BAD_REPLY, message)
            kept = {key: chunk[key] for key in ("pos", "size", "hash")}
            head, _, id = str(chunk["url"]).rpartition("/")
            fresh = named(str(chunk["pos"])) if named else self._fresh(id)
            found.append({**kept, "url": f"{head}/{fresh}"})
        return found

    def make(self, old: Mapping[str, Any], new: Mapping[str, Any], owner: str) -> None:
        """Link the chunk `old` as `new`, a chunk of the object whose full path is `owner`."""
        copy = copy_of(old)
        to = _beside(copy, str(new["url"]))
        fault = self._away.get(copy.address)
        if fault is not None:
            raise fault
        with self._lock:
            self._begun[to.url] = to
            self._unanswered.add(to.url)
        try:
            self._attempt(copy, to, owner)
        except RdctlError as error:
            if "http_status" in error.facts:
                self._unanswered.discard(to.url)
                raise
        else:
            return
        # No reply: it is looked up, and requested once more.
        try:
            if not self._exists(to, owner):
                self._attempt(copy, to, owner)
        except RdctlError as error:
            if error.code is Code.EXISTS and self._exists(to, owner):
                return
            if error.code in (Code.UNREACHABLE, Code.TIMEOUT):
                self._away[copy.address] = error
            raise

    def _attempt(self, copy: Copy, to: Copy, owner: str) -> None:
        self._rawx.link(
            copy,
            to,
            owner,
            what=f"link chunk {copy.url}",
            seconds=READ_SECONDS,
            check=self._workers.check,
        )
        self._unanswered.discard(to.url)

    def _exists(self, to: Copy, owner: str) -> bool:
        """Whether a link exists whose reply was lost."""
        try:
            held = self._rawx.head(to, seconds=DELETE_SECONDS, check=self._workers.check)
        except RdctlError:
            return False
        return held.meta.get("full-path") == owner

    def _fresh(self, id: str) -> str:
        if self._effects.dry_run:
            with self._lock:
                return f"<chunk {next(self._numbers)}>"
        digits = os.urandom(_ID_DIGITS // 2).hex().upper()
        return id[:_DIRECTORY_DIGITS] + digits[_DIRECTORY_DIGITS:]

    # --- when it fails ------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """Of everything that was requested."""
        return list(self._begun)

    def tidy(self) -> list[str]:
        """Remove all links, in bounded time: the urls of those that may be left. They are in
        `effects.left` meanwhile, so that they are reported if rdctl is interrupted."""
        copies = list(self._begun.values())
        left = {copy.url: None for copy in copies}
        self._effects.left += left
        for url in self._deleted(copies):
            self._effects.left.remove(url)
            del left[url]
        return list(left)

    def _deleted(self, copies: Sequence[Copy]) -> Iterator[str]:
        end = Deadline(TIDY_SECONDS)
        away: set[str] = set()

        def delete(copy: Copy) -> str | None:
            left = end.left() or 0.0
            if copy.address in away or not left:
                return None
            try:
                was_there = self._rawx.delete(copy, min(DELETE_SECONDS, left))
            except RdctlError:
                away.add(copy.address)
                return None
            return copy.url if was_there or copy.url not in self._unanswered else None

        # Workers of their own: the others may be ending.
        for url in Workers(min(self._workers.parallel, 8)).ordered(delete, copies):
            if url is not None:
                yield url


def _beside(copy: Copy, url: str) -> Copy:
    """The chunk of that url, on the same service as `copy`."""
    return Copy(url, copy.address, "/" + url.rpartition("/")[2], copy.pos)
