"""Upload of files: checks, confirmation, clean-up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import IO, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import human_size
from rdctl.net.deadline import Deadline
from rdctl.oio.acts import ACCEPTED, PROVEN, OioDependencies, for_target
from rdctl.oio.flat import Flat
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.assumed import assumed
from rdctl.oio.objects.destinations import Destinations
from rdctl.oio.objects.files import file_fault, is_regular
from rdctl.oio.objects.inputs import STDIN, File, Naming, files_of
from rdctl.oio.objects.mime import guessed
from rdctl.oio.objects.prepared import check_names
from rdctl.oio.objects.sending import Sending, Sent
from rdctl.oio.objects.source import Source, source_of
from rdctl.oio.objects.transfers import changed, exists, few_or, with_left
from rdctl.oio.sync.choice import EVERYTHING, Choice, Pair, unchanged
from rdctl.oio.sync.compare import is_unchanged, is_upload, uploaded
from rdctl.oio.sync.filters import warn_unmatched
from rdctl.oio.sync.journal import Item
from rdctl.oio.sync.listing import all_of
from rdctl.oio.sync.model import MTIME, Remote, mtime_text
from rdctl.workers import Stopped

# How long a proxy that takes no connection is waited for once the chunks are stored: all of them
# would have to be sent again.
CREATE_SECONDS = 10.0


class Wish(NamedTuple):
    """How to create objects; None: the server decides, and the MIME type is that of the name."""

    overwrite: bool = False
    autocreate: bool = False
    policy: str | None = None
    mime_type: str | None = None
    min_copies: int | None = None
    content_id: str | None = None
    properties: Mapping[str, str] = {}


class Uploads(Destinations):
    """Files that become objects."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._sending: set[Sending] = set()

    def _unfinished(self) -> list[str]:
        return [url for sending in list(self._sending) for url in sending.urls]

    def put(
        self,
        holder: Place,
        paths: Sequence[str],
        naming: Naming,
        *,
        recursive: bool,
        wish: Wish,
        choice: Choice = EVERYTHING,
        own: Mapping[str, Mapping[str, str]],
        stdin: IO[bytes],
        flat: Flat | None = None,
    ) -> Report:
        """Files, and with `recursive` what is below directories, as objects of one container, each
        with an outcome; `flat`: of the container that follows from the name of each. What has a
        name that is taken is refused before anything is sent; if `choice` compares, it is left out
        or replaced. `own` has the properties of single objects."""
        files, refused, names = files_of(holder, paths, naming, recursive, self._warn)
        if not refused:
            warn_unmatched(naming.filters, names, self._warn)
        if flat is not None:
            files = [file._replace(holder=flat.place(file.place).holder) for file in files]
            if not files:
                return Report([])
        if wish.content_id and len(files) != 1:
            raise RdctlError(Code.USAGE, "--content-id cannot be used with several files")
        return self.upload(holder, files, refused, wish=wish, choice=choice, own=own, stdin=stdin)

    def upload(
        self,
        holder: Place,
        files: Sequence[File],
        refused: dict[str, RdctlError],
        *,
        wish: Wish,
        choice: Choice,
        own: Mapping[str, Mapping[str, str]],
        stdin: IO[bytes],
        existing: Mapping[str, Remote] | None = None,
        losses_after: Sequence[str] = (),
    ) -> Report:
        """As `put`, of files that are known. `existing` are the objects, if already listed;
        `losses_after` is what will be lost afterwards, for the same question."""
        since = time.monotonic() if choice else None
        holders = list(dict.fromkeys(file.holder for file in files)) or [holder]
        faults = self._look_up(holders, wish.autocreate)
        for file in files:
            if file.holder in faults:
                refused[file.name] = for_target(faults[file.holder], file.name)
        if len(faults) == len(holders):
            return Report([Failure("put", refused[file.name]) for file in files])
        same: list[File] = []
        remotes: Mapping[str, Remote] = {}
        if choice.compares:
            remotes = self._existing(files) if existing is None else existing
            files, same = self._parted(files, remotes, choice)
            replacing = [file for file in files if file.name not in refused]
            losses = self._replacing(replacing, remotes, losses_after)
        else:
            files, same = self._left(files, choice)
            losses = self._taken(files, refused, wish)
        self._workers.progress.begin(sum(file.size for file in files), "bytes")

        def put(number: int, parallel: int) -> Change | Failure:
            file = files[number]
            name = file.name
            if name in refused:
                return Failure("put", refused[name])
            with closing(self._source(file, stdin)) as source:
                properties = {**wish.properties, **own.get(name, {})}
                if choice.dates and source.mtime_ns is not None:
                    properties = {MTIME: mtime_text(source.mtime_ns), **properties}
                # What was not listed, and has been created since, is not replaced.
                overwrite = wish.overwrite or name in remotes
                mine = wish._replace(properties=properties, overwrite=overwrite)
                loss = losses.get(name)
                listed = remotes.get(name) if loss else None
                outcome = self._put(file.place, source, mine, loss, parallel, listed)
                if choice.journal and source.mtime_ns is not None and isinstance(outcome, Change):
                    choice.journal.add(Item(name, source.size, source.mtime_ns))
                return outcome

        skipped = (
            Change("put", name, *choice.evidence(name, local), {"size": size}, "uploaded")
            for name, local, size in ((file.name, file.local, file.size) for file in same)
        )
        sent = self._each_of("put", [file.name for file in files], put)
        return Report(chain(skipped, sent), since)

    def _existing(self, files: Sequence[File]) -> dict[str, Remote]:
        """The objects that have the names of the files, from a listing."""
        places = [file.place for file in files if self._exists(file.holder)]
        return self._asked(lambda: all_of(self._proxy, self._workers, places))

    def _parted(
        self, files: Sequence[File], remotes: Mapping[str, Remote], choice: Choice
    ) -> tuple[list[File], list[File]]:
        """The files that differ from their objects, and those that do not."""
        pairs, same = list[Pair](), set[str]()
        for file in files:
            name, local = file.name, file.local
            remote = remotes.get(name)
            if local is None or remote is None:
                continue
            if choice.finished(name, local) and remote.size == local.size:
                same.add(name)
            else:
                pairs.append(Pair(local, remote, file.open))
        same |= unchanged(pairs, choice, uploaded, self._workers, self._warn)
        differ = [file for file in files if file.name not in same]
        return differ, [file for file in files if file.name in same]

    def _left(self, files: Sequence[File], choice: Choice) -> tuple[Sequence[File], list[File]]:
        """The files that an earlier attempt has not finished, and those that it has: the object is
        still there. The last ones of these may be missing in its journal."""
        if not choice.resumes:
            return files, []
        names, remotes = set[str](), self._existing(files)
        for file in files:
            local, remote = file.local, remotes.get(file.name)
            if local is None or remote is None:
                continue
            finished = choice.finished(file.name, local) and remote.size == local.size
            if finished or is_upload(local, remote):
                names.add(file.name)
        left = [file for file in files if file.name not in names]
        return left, [file for file in files if file.name in names]

    def _replacing(
        self, files: Sequence[File], remotes: Mapping[str, Remote], after: Sequence[str]
    ) -> dict[str, str]:
        """Ask before objects are replaced, and for what is lost afterwards; the losses by their
        names."""
        lost = [file for file in files if file.name in remotes and self._loses(file)]
        losses = {file.name: _loss(file) for file in lost}
        size = human_size(sum(remotes[name].size or 0 for name in losses))
        holders = [f'container "{shown}"' for shown in {file.holder.shown for file in lost}]
        where = holders[0] if len(holders) == 1 else f"{len(holders)} containers"
        many = f"{len(losses)} objects ({size}) in {where} will be replaced"
        self._effects.consent([*few_or(many, list(losses.values())), *after])
        return losses

    def _loses(self, file: File) -> bool:
        """Whether an existing object of that name would be lost."""
        return not self._to[file.holder].keeps_versions

    def _taken(
        self, files: Sequence[File], refused: dict[str, RdctlError], wish: Wish
    ) -> dict[str, str]:
        """Refuse the names that are taken, or ask before the objects are replaced; the losses by
        their names."""
        losses: dict[str, str] = {}
        if not any(to.owner for to in self._to.values()):
            return losses
        for file, found in zip(files, self._contents(files), strict=True):
            name = file.name
            if name in refused:
                continue
            if isinstance(found, RdctlError):
                refused[name] = found
            elif found is not None and not wish.overwrite:
                refused[name] = exists(file.place, comparable=file.local is not None)
            elif found is not None and self._loses(file):
                losses[name] = _loss(file)
        self._effects.consent(list(losses.values()))
        return losses

    def _contents(self, files: Sequence[File]) -> Iterator[Content | RdctlError | None]:
        """The existing content of each name, if any; or why it is unknown."""

        def look(file: File) -> Content | RdctlError | None:
            if not self._exists(file.holder):
                return None
            try:
                content: Content = self._asked(lambda: self._show(file.place))
                return content
            except RdctlError as error:
                if error.code is Code.NOT_FOUND:
                    return None
                error.target = error.target or file.name
                return error

        return self._workers.ordered(look, files) if files[1:] else map(look, files)

    def _source(self, file: File, stdin: IO[bytes]) -> Source:
        """The file, open for reading; an endless one is read up to the container's quota."""
        quota = self._to[file.holder].quota
        try:
            if file.path != STDIN:
                opened, name, start = file.open(), file.path, 0
            elif is_regular(stdin):
                start = stdin.tell()
                opened, name = _again(stdin), "/dev/stdin"
            else:
                opened, name, start = stdin, "/dev/stdin", 0
            return source_of(opened, name, self._effects, self._in_time, quota, start)
        except OSError as error:
            shown = "standard input" if file.path == STDIN else file.path
            raise file_fault(error, shown) from error

    def _put(
        self,
        place: Place,
        source: Source,
        wish: Wish,
        loss: str | None,
        parallel: int,
        listed: Remote | None = None,
    ) -> Change | Failure:
        prepared = self._ready(place, source.size, wish)
        owner = self._owner_of(place)
        sending = Sending(
            self._rawx,
            self._effects,
            self._workers,
            source,
            prepared,
            place,
            owner,
            parallel,
            self._proxy.deadline,
            wish.min_copies,
        )
        self._sending.add(sending)
        try:
            sent = sending.run()
            self._workers.check()
            if not wish.overwrite and not self._effects.dry_run:
                self._asked(lambda: self._until_taken(lambda: self._still_free(place)))
            if listed is not None and not self._effects.dry_run:
                self._asked(lambda: self._until_taken(lambda: self._still_listed(place, listed)))
        except Stopped:
            return self._undone(place, sending)
        except Exception as error:  # a chunk that was sent is deleted, whatever it is
            raise with_left(as_error(error), sending.tidy()) from error
        finally:
            self._sending.discard(sending)
        self._create(place, source.size, prepared, sent, sending, wish, loss)
        facts = {
            "size": source.size,
            "hash": sent.hash,
            "policy": prepared.policy,
            "chunk_method": prepared.chunk_method,
            "copies": sent.copies,
            "wanted": sent.expected,
            "failed_copies": self._warn_failed(place, sent, sending),
        }
        evidence = PROVEN if sent.proven else ACCEPTED
        return self._done("put", place.name, evidence, facts, past="uploaded")

    def _ready(self, place: Place, size: int, wish: Wish) -> Content:
        """The chunks for so many bytes."""
        to = self._to[place.holder]
        making = wish.autocreate and to.owner is None
        prepared: Content | None = self._asked(
            lambda: self._change(
                self._proxy.prepares(size),
                place,
                {"content": wish.content_id} if wish.content_id else None,
                shows=f"rdctl oio container show {place.holder.words}",
                # It may create a container, and nothing else.
                step=not making,
                assume=None,
                size=size,
                policy=wish.policy,
                autocreate=making,
            )
        )
        if prepared is None:
            policy = wish.policy or to.policy
            prepared = assumed(self._namespace, place, size, policy, wish.content_id)
        check_names(prepared, place)
        if wish.content_id and str(prepared.content_id).upper() != wish.content_id.upper():
            message = f"{place.shown}: the proxy does not accept the ID {wish.content_id}"
            raise RdctlError(Code.BAD_REPLY, message, target=place.name)
        return prepared

    def _still_free(self, place: Place) -> None:
        """Raise `exists` if the object was created by another client meanwhile. This can still
        happen between this check and the creation: then the later one replaces the earlier."""
        try:
            self._show(place)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return
            raise
        raise exists(place)

    def _still_listed(self, place: Place, listed: Remote) -> None:
        """Raise if another client changed the object since: that loss was not confirmed."""
        now = all_of(self._proxy, self._workers, [place]).get(place.name)
        if now is not None and not is_unchanged(now, listed):
            raise changed(place, "replaced")

    def _create(
        self,
        place: Place,
        size: int,
        prepared: Content,
        sent: Sent,
        sending: Sending,
        wish: Wish,
        loss: str | None,
        *,
        append: bool = False,
    ) -> None:
        """Create the object from the chunks, or append these to it. They are deleted only if that
        certainly was not done."""

        def create() -> None:
            self._change(
                "content.create",
                place,
                {"append": append},
                what=f"{'append to' if append else 'put'} {place.described}",
                destroys=loss,
                length=size,
                content_id=prepared.content_id,
                version=prepared.version,
                hash=sent.hash,
                policy=prepared.policy,
                mime_type=wish.mime_type or guessed(place.name) or prepared.mime_type,
                chunk_method=prepared.chunk_method,
                chunks=sent.chunks,
                properties=dict(wish.properties),
            )

        try:
            self._asked(lambda: self._until_taken(create))
        except RdctlError as error:
            if wish.content_id and error.code is Code.EXISTS:
                other = place._replace(path=None, content_id=wish.content_id)
                error.hint = f"See the object with that ID: rdctl oio content show {other.words}"
            if error.code is not Code.UNKNOWN:  # nothing was created
                raise with_left(error, sending.tidy()) from error
            urls = [chunk["url"] for chunk in sent.chunks]
            raise RdctlError(
                Code.UNKNOWN,
                f"{error.message}; its {len(urls)} chunks were not deleted",
                hint=f"See whether it exists: rdctl oio content show {place.words}",
                target=place.name,
                **{**error.facts, "chunks": urls},
            ) from error

    def _until_taken(self, ask: Callable[[], None]) -> None:
        """A request whose connection was refused was never sent: it is retried for a while."""
        left = self._proxy.deadline.left()
        end = Deadline(CREATE_SECONDS if left is None else min(CREATE_SECONDS, left / 2))
        pause = 0.1
        while True:
            try:
                return ask()
            except RdctlError as error:
                never_sent = error.code is Code.UNREACHABLE and "http_status" not in error.facts
                if (
                    not never_sent
                    or (end.left() or 0.0) <= pause
                    or self._workers.stopping.is_set()
                ):
                    raise
            self._sleep(pause)
            pause = min(2 * pause, 2.0)

    def _undone(self, place: Place, sending: Sending, action: str = "put") -> Failure:
        left = sending.tidy()
        if not left:
            self._effects.undone.append(f"{action} {place.shown}")
        message = "interrupted" if left else "interrupted (partial data removed)"
        error = RdctlError(Code.INTERRUPTED, message, target=place.name)
        return Failure(action, with_left(error, left))

    def _warn_failed(self, place: Place, sent: Sent, sending: Sending) -> list[str] | None:
        """Warn of chunks that are missing; the urls of those that failed. Incomplete ones are
        deleted."""
        if not sent.failed and sent.copies >= sent.expected:
            return None
        reasons = [fault.message for _, fault in sent.failed]
        reason = reasons[0] if reasons else "the proxy listed too few services"
        scheme = sending.scheme
        self._warn(
            f"{place.shown}: only {sent.copies} of {sent.expected} {scheme.chunks} of some"
            f" {scheme.part}s were stored: {reason}"
        )
        failed = [copy for copy, _ in sent.failed]
        for _ in sending.delete([copy for copy in failed if copy in sending.delivery.begun]):
            pass
        return [copy.url for copy in failed] or None


def _again(file: IO[bytes]) -> IO[bytes]:
    """The same open file, which is not closed with this."""
    return open(os.dup(file.fileno()), "rb", buffering=0)


def _loss(file: File) -> str:
    place = file.place
    return f'object "{place.shown}" in container "{place.holder.shown}" will be replaced'
