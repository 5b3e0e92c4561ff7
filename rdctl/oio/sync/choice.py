"""Which files and objects a repeated transfer leaves out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

from rdctl.core.units import escape
from rdctl.oio.acts import ALREADY, SKIPPED, Evidence
from rdctl.oio.objects.digests import feed, hex_md5, md5
from rdctl.oio.sync.compare import comparable, same_bytes
from rdctl.oio.sync.filters import Filters
from rdctl.oio.sync.journal import Item, Journal
from rdctl.oio.sync.model import Local, Remote
from rdctl.workers import Workers

# Names in a warning about many.
_NAMED = 3


class Choice(NamedTuple):
    """What is transferred: what `filters` take, and with `update` or `checksum` only what differs,
    by size and time, or by size and MD5. What `journal` has as finished is left out."""

    update: bool = False
    checksum: bool = False
    filters: Filters = Filters()
    journal: Journal | None = None

    @property
    def compares(self) -> bool:
        return self.update or self.checksum

    @property
    def dates(self) -> bool:
        """Whether objects get the modification time of their file, by which it is recognized."""
        return self.compares or self.journal is not None

    @property
    def resumes(self) -> bool:
        """Whether some of it may be finished by an earlier attempt."""
        return self.journal is not None and self.journal.resumed

    def finished(self, name: str, local: Local | None) -> Item | None:
        """What an earlier attempt has finished, if the file is still the same."""
        return self.journal.item(name, local) if self.journal else None

    def evidence(self, name: str, local: Local | None) -> Evidence:
        """What is known of a file that is skipped: only --checksum reads it."""
        return ALREADY if self.checksum and not self.finished(name, local) else SKIPPED

    def __bool__(self) -> bool:
        """Whether anything may be left out."""
        return self.dates or bool(self.filters)


# All, whether it differs or not.
EVERYTHING = Choice()


class Pair(NamedTuple):
    """A file and the object of the same name; `opened` opens the file, or raises OSError."""

    local: Local
    remote: Remote
    opened: Callable[[], IO[bytes]]


def unchanged(
    pairs: Sequence[Pair],
    choice: Choice,
    by_time: Callable[[Local, Remote], bool],
    workers: Workers,
    warn: Callable[[str], None],
) -> set[str]:
    """The names of the objects that are the same as their files."""
    if not choice.checksum:
        return {pair.remote.name for pair in pairs if by_time(pair.local, pair.remote)}
    _warn_incomparable([pair.remote for pair in pairs if not comparable(pair.remote)], warn)
    likely = [
        pair for pair in pairs if comparable(pair.remote) and pair.local.size == pair.remote.size
    ]
    workers.progress.begin(sum(pair.local.size for pair in likely), "bytes")
    same = workers.ordered(lambda pair: _same(pair, workers), likely)
    return {pair.remote.name for pair, found in zip(likely, same, strict=True) if found}


def _same(pair: Pair, workers: Workers) -> bool:
    """Whether the bytes of the file are those of the object. What cannot be read is reported when
    it is transferred."""
    digest, size = md5(), pair.local.size
    try:
        with pair.opened() as file:

            def read(count: int, at: int) -> bytes:
                block = os.pread(file.fileno(), count, at)
                workers.progress.advance(len(block))
                return block

            # One more byte: the file may have grown since.
            feed(digest, read, 0, size + 1, workers.check)
    except OSError:
        return False
    return same_bytes(size, hex_md5(digest), pair.remote)


def _warn_incomparable(remotes: Sequence[Remote], warn: Callable[[str], None]) -> None:
    if not remotes:
        return
    names = ", ".join(escape(remote.name) for remote in remotes[:_NAMED])
    more = f" and {len(remotes) - _NAMED} more" if remotes[_NAMED:] else ""
    warn(f"{names}{more}: not comparable: the listing has no MD5")
