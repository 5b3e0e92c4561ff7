"""Objects into files and to standard output: what is refused, what is proven, what is kept for
another attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Data, Failure, Report
from rdctl.core.units import escape, quoted
from rdctl.effects.files import Destination, make_directory, make_file, pour
from rdctl.oio.acts import ACCEPTED, ALREADY, PAGE, PROVEN
from rdctl.oio.model import Content, Page, Place
from rdctl.oio.objects.digests import digest_for, feed, hex_md5, md5
from rdctl.oio.objects.files import (
    Files,
    Where,
    file_fault,
    identity_of,
    is_marker,
    is_regular,
    parts_of,
    refuse_taken,
    target_of,
)
from rdctl.oio.objects.filling import Filling
from rdctl.oio.objects.layout import Bytes, Position, Span, scheme_of
from rdctl.oio.objects.receiving import Receiving
from rdctl.oio.objects.transfers import Transfers
from rdctl.workers import Stopped


class Below(NamedTuple):
    """The objects of a container with a common prefix, and their total size; `missing`: the error
    about objects whose names cannot be read."""

    places: list[Place]
    total: int
    missing: RdctlError | None


class Downloads(Transfers):
    """Objects that become files."""

    # Whether the progress bar knows the total of all objects.
    _total_known = False

    def read(
        self, places: Sequence[Place], requested: Bytes | None, below: Below | None = None
    ) -> Data:
        """The bytes of objects, one after the other; nothing if one is missing. A chunk that is
        received in one piece is checked against its MD5 before it is passed on, a larger one at
        its end."""
        if below and below.missing:
            raise below.missing
        return Data(self._blocks(places, requested))

    def _blocks(self, places: Sequence[Place], requested: Bytes | None) -> Iterator[memoryview]:
        for number, place in enumerate(places, 1):
            with self._workers.progress.file(number, len(places), place.name):
                receiving, span = self._receiving(place, requested, self._workers.parallel)
                yield from self._checked(receiving, span)

    def _receiving(
        self, place: Place, requested: Bytes | None, parallel: int
    ) -> tuple[Receiving, Span]:
        content = self._asked(lambda: self._show(place))
        receive = _way_of(content)
        receiving = receive(self._rawx, self._workers, content, place, self._warn, parallel)
        whole = Span(0, receiving.size)
        span = requested.of(receiving.size, place.name) if requested else whole
        if not self._total_known:
            self._workers.progress.begin(span.size, "bytes")
        return receiving, span

    def _checked(self, receiving: Receiving, span: Span) -> Iterator[memoryview]:
        """Bytes that cannot be taken back: corrupt data ends it."""

        def wrong(position: Position) -> None:
            raise receiving.wrong(f"the MD5 of position {position.number}")

        whole = receiving.hash if span == Span(0, receiving.size) else None
        if receiving.proven_by_parts:
            whole = None
        # The MD5 of an only part is that of the whole, and computed once.
        alone = len(receiving.positions) == 1 and receiving.positions[0].hash == whole
        by_parts = not alone or span.size <= receiving.piece
        apart = whole and not (alone and by_parts)
        with digest_for(span.size) if apart else nullcontext() as digest:
            for block in receiving.blocks(span, checked=by_parts, final=True, wrong=wrong):
                yield block
                self._workers.progress.advance(len(block))
                if digest is not None:
                    digest.update(block)
            if digest is not None and hex_md5(digest) != whole:
                raise receiving.wrong()
        if not receiving.proves(span):
            self._warn_unproven(receiving)

    def _warn_unproven(self, receiving: Receiving) -> None:
        known = receiving.hash or any(part.hash for part in receiving.positions)
        reason = "checksums cover whole chunks only" if known else "the proxy reports no checksum"
        self._warn(f"{receiving.shown}: the bytes could not be verified: {reason}")

    def get(
        self,
        places: Iterable[Place],
        where: Where,
        requested: Bytes | None,
        *,
        overwrite: bool,
        resume: bool,
        below: Below | None = None,
    ) -> Report:
        """Download objects into files, with an outcome each; `below`: the listing they come
        from."""
        places = list(dict.fromkeys(places))
        total = below.total if below else None
        files = Files(where, places)
        self._total_known = len(places) > 1 or total is not None
        if self._total_known:
            self._workers.progress.begin(total, "bytes")

        def get(number: int, parallel: int) -> Change | Failure:
            place = places[number]
            if where.special:
                return self._get_special(place, where.path, requested, parallel)
            return self._get(place, where, files, requested, parallel, overwrite, resume)

        outcomes = self._each_of("get", [place.name for place in places], get)
        missing = [Failure("get", below.missing, whole=True)] if below and below.missing else []
        return Report(chain(outcomes, missing))

    def below(self, holder: Place, prefix: str | None) -> Below:
        """All objects of a container with that prefix; `not-found` if none exists."""
        query = {"max": PAGE, "prefix": prefix}
        pages: Iterator[Page] = self._proxy.pages(holder, query)
        places, total, skipped = [], 0, 0
        for page in pages:
            places += [holder._replace(path=entry.name) for entry in page.entries]
            total += sum(entry.size or 0 for entry in page.entries)
            skipped += page.skipped
        self._proxy.suggests = False
        if prefix and not places:
            message = (
                f'objects with prefix "{escape(prefix)}" not found in container "{holder.shown}"'
            )
            raise RdctlError(Code.NOT_FOUND, message, target=prefix)
        return Below(places, total, _nameless(holder, skipped) if skipped else None)

    def _get_special(
        self, place: Place, path: str, requested: Bytes | None, parallel: int
    ) -> Change | Failure:
        """Into a device or a pipe, as to standard output."""
        receiving, span = self._receiving(place, requested, parallel)

        def fill(write: Callable[[memoryview], None]) -> None:
            for block in self._checked(receiving, span):
                write(block)

        try:
            act = pour(path, fill, what=f"get {place.described}", check=self._in_time)
            self._effects.do(act, None)
        except OSError as error:
            raise file_fault(error, path) from error
        facts = {"size": span.size, "file": path}
        evidence = PROVEN if receiving.proves(span) else ACCEPTED
        return self._done("get", place.name, evidence, facts, past="downloaded")

    def _get(
        self,
        place: Place,
        where: Where,
        files: Files,
        requested: Bytes | None,
        parallel: int,
        overwrite: bool,
        resume: bool,
    ) -> Change | Failure:
        named = place.path
        if named is not None and not is_marker(where, named):
            files.guard(place, named)
            refuse_taken(target_of(where, named), replaced=overwrite or resume)
        receiving, span = self._receiving(place, requested, parallel)
        name = named or receiving.path
        if is_marker(where, name):
            if receiving.size == 0:
                return self._get_directory(place, where, name)
            files.guard(place, name)
        target = target_of(where, name, identity_of(*receiving.identity, *span))
        if resume and not overwrite and is_regular(target.path):
            return self._there_already(place, receiving, span, target)
        refuse_taken(target, replaced=overwrite)
        filling = Filling(receiving, span, self._workers, resume)
        act = make_file(
            target,
            filling.fill,
            what=f"get {place.described}",
            replace=overwrite,
            resume=resume,
            home=where.home,
        )
        try:
            self._effects.do(act, None)
        except OSError as error:
            raise file_fault(error, target.at(error)) from error
        except Stopped:
            ended = RdctlError(Code.INTERRUPTED, "interrupted", target=place.name)
            return Failure("get", self._to_be_resumed(ended, filling, place, target, requested))
        except RdctlError as error:
            raise self._to_be_resumed(error, filling, place, target, requested) from error
        if filling.stale(target):
            self._warn(
                f"{place.shown}: changed since the partial download; downloaded from the start"
            )
        facts = {"size": span.size, "file": target.path}
        if resume:
            facts["resumed_at"] = filling.had
        proven = receiving.proves(span) and not filling.unproven
        proven = proven or self._effects.dry_run
        if not proven:
            self._warn_unproven(receiving)
        evidence = PROVEN if proven else ACCEPTED
        return self._done("get", place.name, evidence, facts, past="downloaded")

    def _get_directory(self, place: Place, where: Where, name: str) -> Change:
        """An empty object that stands for a directory."""
        directories = parts_of(where, name)
        path = os.path.join(where.path, *directories, "")
        evidence = ALREADY if os.path.isdir(path) else PROVEN
        try:
            made = make_directory(
                where.path, directories, what=f"get {place.described}", home=where.home
            )
            self._effects.do(made, None)
        except OSError as error:
            raise file_fault(error, path) from error
        return self._done("get", place.name, evidence, {"size": 0, "file": path}, "downloaded")

    def _there_already(
        self, place: Place, receiving: Receiving, span: Span, target: Destination
    ) -> Change:
        """A file that is the object already; `exists` for any other one."""
        digest = md5()
        try:
            with open(target.path, "rb") as file:
                same = os.fstat(file.fileno()).st_size == span.size == receiving.size
                if same:
                    read = partial(os.pread, file.fileno())
                    feed(digest, read, 0, span.size, self._workers.check)
        except OSError as error:
            raise file_fault(error, target.path) from error
        if not same or receiving.hash != hex_md5(digest):
            refuse_taken(target, replaced=False)
        self._workers.progress.advance(span.size)
        facts = {"size": span.size, "file": target.path}
        return self._done("get", place.name, ALREADY, facts, past="downloaded")

    def _to_be_resumed(
        self,
        error: RdctlError,
        filling: Filling,
        place: Place,
        target: Destination,
        requested: Bytes | None,
    ) -> RdctlError:
        """The error, with a hint on how to resume if something was received."""
        if filling.has and filling.keep:
            options = f" --range {requested.words}" if requested else ""
            words = f"rdctl oio content get {place.words} --to {quoted(target.path)}{options}"
            error.hint = hints(error.hint, f"Resume: {words} --continue")
            error.facts["received"] = filling.has
        return error


def _way_of(content: Content) -> type[Receiving]:
    """How an object is received: from replicas, or from fragments."""
    if scheme_of(content).k:
        from rdctl.oio.objects.decoding import Decoding  # not loaded for replicas

        return Decoding
    return Receiving


def _nameless(holder: Place, count: int) -> RdctlError:
    """The error of objects not downloaded because their names cannot be read."""
    objects = f"{count} object" + ("s" if count > 1 else "")
    message = f"{holder.shown}: {objects} not downloaded: unreadable name in the listing"
    return RdctlError(Code.BAD_REPLY, message, target=holder.name)
