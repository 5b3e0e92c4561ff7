"""Objects into files and to standard output: what is refused, what is proven, what is kept for
another attempt. The bytes themselves come in `rdctl.oio.objects`."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Data, Failure, Report
from rdctl.core.units import escape, quoted, raw_bytes
from rdctl.effects.files import Part, Target, make_file, make_folder, pour
from rdctl.oio.model import Page, Place
from rdctl.oio.objects import PIECE, Digest, Position, Receiving, Span, md5, told_of
from rdctl.oio.operations.acts import ACCEPTED, ALREADY, PAGE, PROVEN
from rdctl.oio.operations.transfer import Transfers, file_fault, is_regular
from rdctl.oio.source import BLOCK
from rdctl.workers import Stopped, Workers


class Bytes(NamedTuple):
    """What was asked for of an object: `first` to `last`, each counted from 0; without `first` the
    last so many; without `last` up to the end."""

    first: int | None
    last: int | None

    def of(self, size: int, name: str) -> Span:
        """The part of an object of that size; `usage` where there is none."""
        if self.first is None:
            first, end = max(0, size - (self.last or 0)), size
        else:
            first, end = self.first, size if self.last is None else min(self.last + 1, size)
        if first >= end:
            message = f"{escape(name)}: it has {size} bytes, and none of them is in that range"
            raise RdctlError(Code.USAGE, message, target=name)
        return Span(first, end)


class Where(NamedTuple):
    """Where objects go: into the file `path`, or below the folder `path`, by their names without
    `strip`. `special`: it is a device or a pipe. `home` is the home directory: what is new below it
    belongs to its owner."""

    path: str
    folder: bool
    special: bool = False
    strip: str = ""
    home: str | None = None


class Below(NamedTuple):
    """The objects of a container whose names begin alike, and their bytes; `missing`: some that its
    listing does not name."""

    places: list[Place]
    total: int
    missing: RdctlError | None


class Downloads(Transfers):
    """Objects that become files."""

    # Whether the bytes of all are told to the bar at once.
    _total_told = False

    def read(
        self, places: Sequence[Place], wanted: Bytes | None, below: Below | None = None
    ) -> Data:
        """The bytes of objects, one after the other, and none where one is missing. Those of a
        chunk are held against its MD5 before they are handed on where that is no larger than
        `objects.PIECE`, else at its end."""
        if below and below.missing:
            raise below.missing
        return Data(self._blocks(places, wanted))

    def _blocks(self, places: Sequence[Place], wanted: Bytes | None) -> Iterator[memoryview]:
        for place in places:
            receiving, span = self._receiving(place, wanted, self._workers.parallel)
            yield from self._checked(receiving, span)

    def _receiving(
        self, place: Place, wanted: Bytes | None, parallel: int
    ) -> tuple[Receiving, Span]:
        content = self._asked(lambda: self._show(place))
        receiving = Receiving(self._rawx, self._workers, content, self._warn, parallel)
        whole = Span(0, receiving.size)
        span = wanted.of(receiving.size, place.name) if wanted else whole
        if not self._total_told:
            self._workers.progress.begin(span.size, "bytes")
        return receiving, span

    def _checked(self, receiving: Receiving, span: Span) -> Iterator[memoryview]:
        """Bytes that cannot be taken back: wrong ones end it."""

        def wrong(position: Position) -> None:
            raise receiving.wrong(f"part {position.number}")

        whole = receiving.hash if span == Span(0, receiving.size) else None
        if receiving.proven_by_parts:
            whole = None
        # The MD5 of an only part is that of the whole, and worked out once.
        alone = len(receiving.positions) == 1 and receiving.positions[0].hash == whole
        by_parts = not alone or span.size <= PIECE
        with nullcontext() if not whole or (alone and by_parts) else _digest(span.size) as digest:
            for block in receiving.blocks(span, checked=by_parts, wrong=wrong):
                yield block
                self._workers.progress.advance(len(block))
                if digest is not None:
                    digest.update(block)
            if digest is not None and told_of(digest) != whole:
                raise receiving.wrong()
        if not receiving.proves(span):
            self._tell_unproven(receiving)

    def _tell_unproven(self, receiving: Receiving) -> None:
        known = receiving.hash or any(part.hash for part in receiving.positions)
        reason = "checksums cover whole chunks only" if known else "the proxy names no checksum"
        self._warn(f"{receiving.shown}: the bytes could not be verified: {reason}")

    def get(
        self,
        places: Iterable[Place],
        where: Where,
        wanted: Bytes | None,
        *,
        overwrite: bool,
        resume: bool,
        below: Below | None = None,
    ) -> Report:
        """Objects into files, each with an outcome; `below`: where they were found."""
        places = list(dict.fromkeys(places))
        total = below.total if below else None
        layout = _Layout(where, places)
        self._total_told = len(places) > 1 or total is not None
        if self._total_told:
            self._workers.progress.begin(total, "bytes")

        def get(number: int, parallel: int) -> Change | Failure:
            place = places[number]
            try:
                if where.special:
                    return self._get_special(place, where.path, wanted, parallel)
                return self._get(place, where, layout, wanted, parallel, overwrite, resume)
            except RdctlError as error:
                error.target = error.target or place.name
                return Failure("get", error)

        outcomes = self._each_of("get", [place.name for place in places], get)
        missing = [Failure("get", below.missing, whole=True)] if below and below.missing else []
        return Report(chain(outcomes, missing))

    def below(self, holder: Place, prefix: str | None) -> Below:
        """All objects of a container whose names begin so; `not-found` when there is none that
        does."""
        query = {"max": PAGE, "prefix": prefix}
        pages: Iterator[Page] = self._proxy.pages(holder, query)
        places, total, skipped = [], 0, 0
        for page in pages:
            places += [holder._replace(path=entry.name) for entry in page.entries]
            total += sum(entry.size or 0 for entry in page.entries)
            skipped += page.skipped
        self._proxy.suggests = False
        if prefix and not places:
            message = f"nothing in {holder.shown} begins with {escape(prefix)}"
            raise RdctlError(Code.NOT_FOUND, message, target=prefix)
        return Below(places, total, _nameless(holder, skipped) if skipped else None)

    def _get_special(
        self, place: Place, path: str, wanted: Bytes | None, parallel: int
    ) -> Change | Failure:
        """Into a device or a pipe, as to standard output."""
        receiving, span = self._receiving(place, wanted, parallel)

        def fill(write: Callable[[memoryview], None]) -> None:
            for block in self._checked(receiving, span):
                write(block)

        try:
            act = pour(path, fill, what=f"get {place.shown}", check=self._in_time)
            self._effects.do(act, None)
        except OSError as error:
            raise file_fault(error, path) from error
        facts = {"size": span.size, "file": path}
        evidence = PROVEN if receiving.proves(span) else ACCEPTED
        return self._done("get", place.name, evidence, facts, past="received")

    def _get(
        self,
        place: Place,
        where: Where,
        layout: _Layout,
        wanted: Bytes | None,
        parallel: int,
        overwrite: bool,
        resume: bool,
    ) -> Change | Failure:
        named = place.path
        if named is not None and not _is_marker(where, named):
            layout.guard(place, named)
            self._free(_target(where, named), overwrite or resume)
        receiving, span = self._receiving(place, wanted, parallel)
        name = named or receiving.path
        if _is_marker(where, name):
            if receiving.size == 0:
                return self._get_folder(place, where, name)
            layout.guard(place, name)
        target = _target(where, name, _identity(receiving, span))
        if resume and not overwrite and is_regular(target.path):
            return self._there_already(place, receiving, span, target)
        self._free(target, overwrite)
        filling = _Filling(receiving, span, self._workers, resume)
        act = make_file(
            target,
            filling.fill,
            what=f"get {place.shown}",
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
            return Failure("get", self._to_be_resumed(ended, filling, place, target, wanted))
        except RdctlError as error:
            raise self._to_be_resumed(error, filling, place, target, wanted) from error
        if filling.stale(target):
            self._warn(f"{place.shown}: it is not what was begun before; it was received anew")
        facts = {"size": span.size, "file": target.path}
        if resume:
            facts["resumed_at"] = filling.had
        proven = receiving.proves(span) or self._effects.dry_run
        if not proven:
            self._tell_unproven(receiving)
        evidence = PROVEN if proven else ACCEPTED
        return self._done("get", place.name, evidence, facts, past="received")

    def _get_folder(self, place: Place, where: Where, name: str) -> Change:
        """An empty object that stands for a folder."""
        folders = _parts(where, name)
        path = os.path.join(where.path, *folders, "")
        evidence = ALREADY if os.path.isdir(path) else PROVEN
        try:
            made = make_folder(where.path, folders, what=f"get {place.shown}", home=where.home)
            self._effects.do(made, None)
        except OSError as error:
            raise file_fault(error, path) from error
        return self._done("get", place.name, evidence, {"size": 0, "file": path}, "received")

    def _free(self, target: Target, taken: bool) -> None:
        """Raise where no file may be made."""
        if any(len(os.fsencode(name)) > _NAME_MAX for name in (*target.folders, target.name)):
            error = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            raise file_fault(error, target.path)
        try:
            status = os.lstat(target.path)
        except OSError:
            return  # if it cannot be made, making it tells why
        if stat.S_ISDIR(status.st_mode):
            message = f"{escape(target.path)}: there is a folder where the file should be"
            raise RdctlError(Code.CONFLICT, message)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            message = f"{escape(target.path)} is not a regular file"
            raise RdctlError(Code.CONFLICT, message, hint="As the only target it is written to.")
        if not taken:
            raise RdctlError(
                Code.EXISTS,
                f"{escape(target.path)} exists already",
                hint="--overwrite replaces it; --continue goes on where a get was broken off.",
            )

    def _there_already(
        self, place: Place, receiving: Receiving, span: Span, target: Target
    ) -> Change:
        """A file that is the object already; `exists` for any other one."""
        digest = md5()
        try:
            with open(target.path, "rb") as file:
                same = os.fstat(file.fileno()).st_size == span.size == receiving.size
                while same and (block := file.read(BLOCK)):
                    self._workers.check()
                    digest.update(block)
        except OSError as error:
            raise file_fault(error, target.path) from error
        if not same or receiving.hash != told_of(digest):
            self._free(target, False)
        self._workers.progress.advance(span.size)
        facts = {"size": span.size, "file": target.path}
        return self._done("get", place.name, ALREADY, facts, past="received")

    def _to_be_resumed(
        self,
        error: RdctlError,
        filling: _Filling,
        place: Place,
        target: Target,
        wanted: Bytes | None,
    ) -> RdctlError:
        """The error, and how to go on where something was received."""
        if filling.has and filling.keep:
            options = f" --range {_range_words(wanted)}" if wanted else ""
            words = f"rdctl oio content get {place.words} --to {quoted(target.path)}{options}"
            error.hint = hints(error.hint, f"Go on with: {words} --continue")
            error.facts["received"] = filling.has
        return error


def _nameless(holder: Place, count: int) -> RdctlError:
    """The error of objects that could not be received, since their names cannot be read."""
    objects = f"{count} object" + ("s" if count > 1 else "")
    message = f"{objects} of {holder.shown} not received: the listing cannot be read there"
    return RdctlError(Code.BAD_REPLY, message, target=holder.name)


class _Filling:
    """One object on its way into a file. `had` bytes were there before, `has` are there now, `keep`
    says whether they are of use."""

    def __init__(self, receiving: Receiving, span: Span, workers: Workers, resume: bool) -> None:
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

    def fill(self, part: Part) -> None:
        try:
            self.had = self.has = self._kept(part) if self._resume else 0
            part.cut(self.had)
            bad = self._all(part)
            if bad:
                self._mend(part, bad)
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
            elif end <= size and self._is_good(part, position):
                kept = end
            if kept < end:
                break
        return kept

    def _all(self, part: Part) -> list[Position]:
        """Receive what is missing; the positions that turned out to be wrong."""
        receiving, span = self._receiving, self._span
        bad: list[Position] = []
        with _digest(span.size) if self._hash else nullcontext() as digest:
            if digest is not None:
                self._hash_what_is_there(part, digest)
            self._workers.progress.advance(self.had)
            rest = Span(span.first + self.had, span.end)
            for block in receiving.blocks(rest, checked=digest is None, wrong=bad.append):
                part.write(block, self.has)
                self.has += len(block)
                self._workers.progress.advance(len(block))
                if digest is not None:
                    digest.update(block)
            if digest is not None and told_of(digest) != self._hash:
                bad = [
                    position
                    for position in receiving.positions
                    if not self._is_good(part, position)
                ]
                if not bad:
                    self.keep = False
                    raise receiving.wrong()
        return bad

    def _hash_what_is_there(self, part: Part, digest: Any) -> None:
        at = 0
        while at < self.had and (block := part.read(min(BLOCK, self.had - at), at)):
            self._workers.check()
            digest.update(block)
            at += len(block)

    def _mend(self, part: Part, bad: Sequence[Position]) -> None:
        """Receive wrong parts anew, from replicas whose bytes are right."""
        try:
            for position in bad:
                self._receiving.mend(position, partial(self._rewrite, part))
            if self._hash is not None:
                digest = md5()
                self.had = self.has
                self._hash_what_is_there(part, digest)
                if told_of(digest) != self._hash:
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

    def stale(self, target: Target) -> bool:
        """Whether parts of something else lie there, which this was to go on with."""
        if not self._resume or self.had or not self.has:
            return False
        stem = target.part[: -len(_identity_of(target.part))]
        folder = os.path.dirname(target.path) or "."
        with suppress(OSError):
            return any(
                name != target.part and name.startswith(stem) and name.endswith(_PART)
                for name in os.listdir(folder)
            )
        return False


def _digest(size: int) -> Any:
    """What works out an MD5 of so many bytes: in a thread of its own where they are many."""
    return Digest() if size > BLOCK else nullcontext(md5())


# --- names ----------------------------------------------------------------------------------------

_PART = ".part"
_NAME_MAX = 255  # bytes, in any file system of Linux
# Bytes of a name that its part has too: with the rest it must not be longer than a name may be.
_STEM = 200


def _identity(receiving: Receiving, span: Span) -> str:
    """What tells this object, this version of it and these bytes from all others."""
    words = (*receiving.identity, *span)
    return hashlib.md5(repr(words).encode(), usedforsecurity=False).hexdigest()[:16]


def _identity_of(part: str) -> str:
    return part[-16 - len(_PART) :]


def _target(where: Where, name: str, identity: str = "") -> Target:
    """The file that an object becomes; `usage` for a name that would lead elsewhere."""
    if not where.folder:
        root, _, last = where.path.rpartition("/")
        root = root or ("/" if where.path.startswith("/") else ".")
        return Target(root, (), last, _part_of(last, identity))
    parts = _parts(where, name)
    if not parts:
        raise RdctlError(
            Code.CONFLICT, f"{escape(name)}: its name leaves none for a file", hint=_ALONE
        )
    *folders, last = parts
    return Target(where.path, tuple(folders), last, _part_of(last, identity))


def _parts(where: Where, name: str) -> tuple[str, ...]:
    """The path of an object below the folder. Empty parts (`//`, a leading `/`) count for nothing,
    as in any path; what would lead elsewhere is `usage`."""
    # A name may hold half a surrogate pair, which is no byte.
    relative = os.fsdecode(raw_bytes(name.removeprefix(where.strip)))
    parts = tuple(part for part in relative.split("/") if part)
    for part in parts:
        if part in (".", "..") or "\0" in part:
            kind = "a NUL" if "\0" in part else f"the part '{escape(part)}'"
            raise RdctlError(
                Code.USAGE,
                f"{escape(name)}: its name has {kind}, and so is no path below a folder",
                hint=_ALONE,
                target=name,
            )
    return parts


def _is_marker(where: Where, name: str) -> bool:
    """Whether the name is one that stands for a folder, if the object is empty."""
    return where.folder and name.endswith("/")


class _Layout:
    """Which objects of a command become which files below the folder."""

    def __init__(self, where: Where, places: Sequence[Place]) -> None:
        self._where = where
        self._files: dict[tuple[str, ...], Place] = {}
        self._folders: set[tuple[str, ...]] = set()
        if not where.folder:
            return
        for place in places:
            with suppress(RdctlError):  # told when it is its turn
                self._add(place, place.path or "")

    def _add(self, place: Place, name: str) -> None:
        parts = _parts(self._where, name)
        self._folders.update(parts[:count] for count in range(1, len(parts)))
        if name.endswith("/") or not parts:
            return
        # The one whose name is that path has it before those that only become it.
        if "/".join(parts) == os.fsdecode(raw_bytes(name.removeprefix(self._where.strip))):
            self._files[parts] = place
        else:
            self._files.setdefault(parts, place)

    def guard(self, place: Place, name: str) -> None:
        """Raise where another object becomes the same file, or a folder in its place."""
        if not self._where.folder:
            return
        parts = _parts(self._where, name)
        other = self._files.setdefault(parts, place)
        reason = None
        if other != place:
            reason = f"{other.shown} becomes the same file"
        elif name.endswith("/") and parts in self._folders:
            reason = "it is not empty, and other objects lie below it"
        if reason:
            raise RdctlError(
                Code.CONFLICT, f"{escape(name)}: skipped: {reason}", hint=_ALONE, target=name
            )


_ALONE = "One object alone goes into any file with: --to FILE"


def _part_of(name: str, identity: str) -> str:
    stem = os.fsdecode(raw_bytes(name)[:_STEM])
    return f".{stem}.{identity}{_PART}"


def _range_words(wanted: Bytes) -> str:
    first = "" if wanted.first is None else wanted.first
    return f"{first}-{'' if wanted.last is None else wanted.last}"
