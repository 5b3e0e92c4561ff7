"""Objects into files and to standard output: what is refused, what is proven, what is kept for
another attempt.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Data, Failure, Report
from rdctl.core.units import escape, human_size, quoted
from rdctl.effects.files import Destination, make_directory, make_file, pour
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, SKIPPED, Evidence
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.digests import digest_for, feed, hex_md5, md5
from rdctl.oio.objects.files import (
    Files,
    Where,
    file_at,
    file_fault,
    identity_of,
    is_marker,
    is_regular,
    open_regular,
    parts_of,
    refuse_taken,
    target_of,
)
from rdctl.oio.objects.filling import Filling
from rdctl.oio.objects.layout import Bytes, Position, Span, scheme_of
from rdctl.oio.objects.receiving import Receiving
from rdctl.oio.objects.transfers import Transfers, few_or
from rdctl.oio.sync.choice import EVERYTHING, Choice, Pair, unchanged
from rdctl.oio.sync.compare import downloaded, file_time, is_download, is_newer, object_time
from rdctl.oio.sync.filters import Filters, warn_unmatched
from rdctl.oio.sync.journal import Item
from rdctl.oio.sync.listing import all_below, all_of
from rdctl.oio.sync.model import MTIME, Local, Remote, mtime_of
from rdctl.workers import Stopped


class Below(NamedTuple):
    """The objects of a listing; `missing`: the error about those that it lacks, as it broke off or
    their names cannot be read."""

    places: list[Place]
    remotes: Mapping[str, Remote]
    missing: RdctlError | None = None

    def taken(self, filters: Filters, strip: str) -> Below:
        """Those whose names without `strip` are taken; an object that has only an id always is."""
        places = [
            place
            for place in self.places
            if place.path is None or filters.takes(place.path.removeprefix(strip))
        ]
        return self._replace(places=places)

    def names(self, strip: str) -> list[str]:
        """The names that filters see."""
        return [place.path.removeprefix(strip) for place in self.places if place.path]


class Same(NamedTuple):
    """The file of an object that needs no change, and what is known about that."""

    path: str
    evidence: Evidence


class Downloads(Transfers):
    """Objects that become files."""

    # The command that continues an interrupted one; None: `get --continue`.
    again: str | None = None

    # Whether the progress bar knows the total of all objects.
    _total_known = False
    # The objects that were listed, by their names.
    _listed: Mapping[str, Remote] = {}

    def read(self, below: Below, requested: Bytes | None) -> Data:
        """The bytes of objects, one after the other; nothing if one is missing. A chunk that is
        received in one piece is checked against its MD5 before it is passed on, a larger one at
        its end."""
        if below.missing:
            raise below.missing
        return Data(self._blocks(below.places, requested))

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
        below: Below,
        where: Where,
        requested: Bytes | None,
        *,
        overwrite: bool,
        resume: bool,
        choice: Choice = EVERYTHING,
        losses_after: Sequence[str] | None = None,
    ) -> Report:
        """Download objects into files, with an outcome each. If `choice` compares, existing files
        are left out or replaced. With `losses_after`, which is what will be lost afterwards, it
        asks before files are replaced that are newer than their objects."""
        since = time.monotonic() if choice else None
        places, remotes = below.places, below.remotes
        files = Files(where, places)
        same: dict[Place, Same] = {}
        if choice.compares and not where.special:
            overwrite = True
            same = self._same(below, where, files, choice)
        elif choice.resumes and not where.special:
            same = self._finished(below, where, files, choice)
        differ = [place for place in places if place not in same]
        self._listed = remotes
        if losses_after is not None:
            self._effects.consent([*self._newer(differ, where), *losses_after])
        sizes = [remotes[place.name].size or 0 for place in differ if place.name in remotes]
        self._total_known = len(places) > 1 or len(sizes) == len(places)
        if self._total_known:
            known = len(sizes) == len(differ)
            self._workers.progress.begin(sum(sizes) if known else None, "bytes")

        def get(number: int, parallel: int) -> Change | Failure:
            place = differ[number]
            if where.special:
                return self._get_special(place, where.path, requested, parallel)
            outcome = self._get(place, where, files, requested, parallel, overwrite, resume)
            self._record(outcome, choice)
            return outcome

        skipped = (
            Change("get", place.name, *known, _facts(remotes[place.name], path), "downloaded")
            for place, (path, known) in same.items()
        )
        outcomes = self._each_of("get", [place.name for place in differ], get)
        missing = [Failure("get", below.missing, whole=True)] if below.missing else []
        return Report(chain(skipped, outcomes, missing), since, "downloaded")

    def _newer(self, places: Sequence[Place], where: Where) -> Sequence[str]:
        """The loss of each file that is newer than its object, or of all together."""
        newer = []
        for place in places:
            with suppress(RdctlError):  # reported when it is downloaded
                local = file_at(target_of(where, place.name).path, place.name)
                if local is not None and is_newer(local, self._listed[place.name]):
                    newer.append(local)
        size = human_size(sum(local.size for local in newer))
        many = f"{len(newer)} files ({size}) in {escape(where.path)}"
        return few_or(
            f"{many}, newer than their objects, will be replaced",
            [f"{escape(one.path)}, newer than its object, will be replaced" for one in newer],
        )

    def _same(self, below: Below, where: Where, files: Files, choice: Choice) -> dict[Place, Same]:
        """The objects whose files need no change."""
        found: dict[str, tuple[Place, Same]] = {}
        same: dict[Place, Same] = {}
        pairs = []
        for place in filter(_is_plain, below.places):
            name = place.path or ""
            remote = below.remotes.get(name)
            if remote is None:
                continue
            try:
                if is_marker(where, name) and remote.size == 0:
                    path = os.path.join(where.path, *parts_of(where, name), "")
                    if os.path.isdir(path):
                        same[place] = Same(path, ALREADY)
                    continue
                files.guard(place, name)
                path = target_of(where, name).path
            except RdctlError:  # reported when it is downloaded
                continue
            local = file_at(path, name)
            if _has_finished(choice, local, remote):
                same[place] = Same(path, SKIPPED)
            elif local is not None:
                pairs.append(Pair(local, remote, partial(open_regular, path)))
                found[name] = place, Same(path, choice.evidence(name, local))
        names = unchanged(pairs, choice, downloaded, self._workers, self._warn)
        return same | dict(found[name] for name in found if name in names)

    def _finished(
        self, below: Below, where: Where, files: Files, choice: Choice
    ) -> dict[Place, Same]:
        """The objects that an earlier attempt has downloaded; the last ones of these may be missing
        in its journal."""
        found: dict[Place, Same] = {}
        for place in filter(_is_plain, below.places):
            remote = below.remotes.get(place.name)
            with suppress(RdctlError):  # reported when it is downloaded
                files.guard(place, place.name)
                path = target_of(where, place.name).path
                local = file_at(path, place.name)
                if remote is None or local is None:
                    continue
                if _has_finished(choice, local, remote) or is_download(local, remote):
                    found[place] = Same(path, SKIPPED)
        return found

    def _record(self, outcome: Change | Failure, choice: Choice) -> None:
        """A file is finished."""
        if choice.journal is None or not isinstance(outcome, Change):
            return
        path, name = str(outcome.facts.get("file")), str(outcome.target)
        remote = self._listed.get(name)
        local = Local(name, path, 0, 0) if self._effects.dry_run else file_at(path, name)
        if remote is not None and local is not None and not path.endswith("/"):
            choice.journal.add(Item(name, local.size, local.mtime_ns, remote.content_id))

    def below(self, holder: Place, prefix: str | None) -> Below:
        """All objects of a container with that prefix; `not-found` if none exists. Of a listing
        that breaks off, what was listed."""
        listed = all_below(self._proxy, holder, prefix)
        self._proxy.suggests = False
        if prefix and not listed.remotes and not listed.skipped:
            message = (
                f'objects with prefix "{escape(prefix)}" not found in container "{holder.shown}"'
            )
            raise RdctlError(Code.NOT_FOUND, message, target=prefix)
        missing = listed.fault or (_nameless(holder, listed.skipped) if listed.skipped else None)
        remotes = {remote.name: remote for remote in listed.remotes}
        return Below([holder._replace(path=name) for name in remotes], remotes, missing)

    def named(self, places: Sequence[Place], choice: Choice) -> Below:
        """Given objects; they are looked up only if `choice` compares, or has a journal. Those with
        an id or a version of their own are not compared."""
        places = list(dict.fromkeys(places))
        plain = list(filter(_is_plain, places))
        if not choice.dates or not plain:
            return Below(places, {})
        return Below(places, all_of(self._proxy, self._workers, plain))

    def chosen(self, below: Below, filters: Filters, strip: str) -> Below:
        """Those that filters take, with a warning of patterns that match none."""
        if not below.missing:
            warn_unmatched(filters, below.names(strip), self._warn)
        return below.taken(filters, strip)

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
        whole = span == Span(0, receiving.size)
        dated = self._file_time(place, receiving.content) if whole else None
        filling = Filling(receiving, span, self._workers, resume, dated)
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
        if filling.undated:
            self._warn(f"{place.shown}: the file system cannot keep its modification time")
        facts = {"size": span.size, "file": target.path}
        if resume:
            facts["resumed_at"] = filling.had
        proven = receiving.proves(span) and not filling.unproven
        proven = proven or self._effects.dry_run
        if not proven:
            self._warn_unproven(receiving)
        evidence = PROVEN if proven else ACCEPTED
        return self._done("get", place.name, evidence, facts, past="downloaded")

    def _file_time(self, place: Place, content: Content) -> int | None:
        """The modification time of the file. The properties are requested separately, unless the
        object is as it was listed."""
        listed = self._listed.get(place.name)
        now = (content.content_id, content.version)
        if listed is not None and (listed.content_id, listed.version) == now and None not in now:
            return file_time(listed)
        stored = None
        try:
            found = self._asked(lambda: self._proxy.read("content.get_properties", place))
            stored = mtime_of(found.properties.get(MTIME))
        except RdctlError as error:  # the data can still be had
            self._warn(f"{place.shown}: its stored modification time is unknown: {error.message}")
        date = content.modified or content.created
        if stored is not None or date is None:
            return stored
        from calendar import timegm

        seconds = timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%SZ"))
        return object_time(seconds, content.version)

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
            error.hint = hints(error.hint, f"Resume: {self.again or f'{words} --continue'}")
            error.facts["received"] = filling.has
        return error


def _facts(remote: Remote, path: str) -> dict[str, Any]:
    return {"size": remote.size, "file": path}


def _is_plain(place: Place) -> bool:
    """Whether it means the latest version of a name, as listings have it."""
    return not (place.content_id or place.version)


def _has_finished(choice: Choice, local: Local | None, remote: Remote) -> bool:
    """Whether an earlier attempt has made this file of this object."""
    item = choice.finished(remote.name, local)
    return item is not None and item.content_id == remote.content_id


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
