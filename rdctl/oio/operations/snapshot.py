"""Snapshots of containers, which share no chunk with their source.

A server copies only the database, so that both list the same chunks. Every chunk of every version
is then linked under another name, and the links are registered in the snapshot in its place. If
that fails, the snapshot is removed without its chunks, which are still those of the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape, quoted
from rdctl.oio.acts import BATCH, PAGE, PROVEN, OioDependencies
from rdctl.oio.chunklists import Exchange, exchange
from rdctl.oio.model import Container, Content, Entry, Place
from rdctl.oio.objects.hardlinks import HardLinks
from rdctl.oio.objects.transfers import Transfers
from rdctl.oio.operations.container import (
    INCOMPLETE,
    SHARES,
    is_incomplete,
    refuse_frozen,
    refuse_shared,
)
from rdctl.oio.rawx import full_path
from rdctl.oio.routes import since

# Requests that undo have this time each, even after the deadline.
UNDO_SECONDS = 30.0
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
# After a lost reply, for a slow server to finish the registration.
_SETTLE_SECONDS = 1.0
_BASE = {"type": "meta2"}
_PAST = "created snapshot of {}; the copy is read-only until `admin enable`"
_DRAINED, _ALREADY_ENABLED, _FROZEN = 427, 439, 436


class _Linked(NamedTuple):
    """A version, its chunks and their links; `faults`: why some of these do not exist."""

    entry: Entry
    pairs: list[Exchange]
    faults: list[RdctlError]


class Snapshots(Transfers):
    """The snapshot of one container."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._links = HardLinks(self._rawx, self._effects, self._workers)
        self._source = self._copy = Place()
        self._mark = ""
        # Whether a creation without a reply may still be carried out.
        self._may_appear = False

    def snapshot(self, source: Place, copy: Place) -> Report:
        """Copy a container, with all versions and delete markers, to one that does not exist yet.
        The source is read-only meanwhile; the snapshot stays so."""
        self._source, self._copy = source, copy
        self._refuse_later()
        container: Container = self._proxy.read("container.show", source)
        refuse_shared(source, container)
        account = source.account or container.account
        name = source.reference or container.container
        self._mark = f"{copy.account}/{copy.reference}{SHARES}{account}/{name}"
        frozen = container.status == "frozen"
        if not frozen:
            refuse_frozen(source, container.status)
        self._refuse_existing()
        loss = f'container "{source.shown}" will be read-only until the snapshot is complete'
        self._effects.consent([] if frozen else [loss])
        with self._held(loss, frozen), self._marked():
            self._create()
            try:
                outcomes = list(self._filled())
            except BaseException as error:
                self._undo(error)
                raise
        return Report(outcomes)

    def _refuse_later(self) -> None:
        """A meta2 2025 derives the IDs of chunks from the container: those of a copy would name
        chunks that do not exist."""
        if self._proxy.detect() in since("2025"):
            raise RdctlError(
                Code.UNSUPPORTED,
                f"rdctl cannot copy the containers of an oio-proxy {self._proxy.dialect}",
                hint="To keep a copy of the database only:"
                f" rdctl oio container checkpoint {self._source.words}",
                target=self._source.name,
            )

    def _refuse_existing(self) -> None:
        suggests, self._proxy.suggests = self._proxy.suggests, False
        try:
            found: Container = self._proxy.read("container.show", self._copy)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return
            raise
        finally:
            self._proxy.suggests = suggests
        raise self._exists(self._removal if is_incomplete(self._copy, found) else None)

    def _exists(self, hint: str | None) -> RdctlError:
        message = f'container "{self._copy.shown}" already exists'
        return RdctlError(Code.EXISTS, message, hint=hint, target=self._copy.name)

    @property
    def _removal(self) -> str:
        return (
            "It is an incomplete snapshot. To remove it without its chunks:"
            f" rdctl oio container destroy --force {self._copy.words}"
        )

    # --- the source, read-only meanwhile ------------------------------------------------------

    @contextmanager
    def _held(self, loss: str, frozen: bool) -> Iterator[None]:
        """Freeze the source, so that no chunk is deleted before it is linked, and enable it again,
        whatever happens. One that is frozen already stays so."""
        if frozen:
            yield
            return
        try:
            self._change("admin.freeze", self._source, _BASE, destroys=loss)
        except BaseException as error:
            self._after_failed_freeze(error)
            raise
        try:
            yield
        except BaseException as error:
            self._enable_after(error)
            raise
        if fault := self._not_enabled():
            raise fault

    def _after_failed_freeze(self, error: BaseException) -> None:
        if not isinstance(error, RdctlError) or error.code is Code.UNKNOWN:
            self._enable_after(error)
        elif error.facts.get("remote_status") == _FROZEN:
            error.hint = hints("Another client has just frozen it.", error.hint)

    def _enable_after(self, error: BaseException) -> None:
        fault = self._not_enabled()
        if fault is None:
            return
        if isinstance(error, RdctlError):
            error.message += f"; {fault.message}"
            error.hint = hints(fault.hint, error.hint)
        else:
            self._warn(f"{fault.message}. {fault.hint}")

    def _not_enabled(self) -> RdctlError | None:
        """Enable the source: why that may have failed."""
        fault = self._enable(self._source)
        if fault is None:
            return None
        self._effects.left.append(f"enable container {self._source.shown}")
        return RdctlError(
            Code.UNKNOWN,
            f'container "{self._source.shown}" may still be read-only: {fault.message}',
            hint=f"Enable it: rdctl oio admin enable {self._source.words}",
            target=self._source.name,
        )

    def _enable(self, place: Place) -> RdctlError | None:
        """Enable a container, with several attempts: that harms nothing."""
        proxy = self._proxy.afterwards(UNDO_SECONDS)
        fault: RdctlError | None = None
        with self._effects.unbroken():
            for attempt in range(_ATTEMPTS):
                if attempt:
                    self._sleep(_PAUSE_SECONDS)
                try:
                    proxy.change(
                        "admin.enable",
                        place,
                        _BASE,
                        what=f"enable {place.shown}",
                        shows=f"rdctl oio container show {place.words}",
                    )
                    return None
                except RdctlError as error:
                    if error.facts.get("remote_status") == _ALREADY_ENABLED:
                        return None
                    fault = error
        return fault

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Mark the source, so that the snapshot exists with the mark from the start."""
        source = self._source
        try:
            self._set_mark(source, f"mark {source.shown} as the source of {self._copy.shown}")
            yield
        finally:
            if not self._may_appear:
                self._unmark_source()

    def _unmark_source(self) -> None:
        proxy = self._proxy.afterwards(UNDO_SECONDS)
        try:
            with self._effects.unbroken():
                proxy.change(
                    "container.del_properties",
                    self._source,
                    what=f"unmark {self._source.shown}",
                    shows=f"rdctl oio container show {self._source.words}",
                    keys=[INCOMPLETE],
                )
        except RdctlError as error:
            shown = self._source.shown
            self._warn(f"{shown}: property {INCOMPLETE} not deleted (harmless): {error.message}")

    def _set_mark(self, place: Place, what: str) -> None:
        self._change(
            "container.set_properties",
            place,
            what=what,
            shows=f"rdctl oio container show {place.words}",
            properties={INCOMPLETE: self._mark},
            system={},
        )

    # --- the snapshot -------------------------------------------------------------------------

    def _create(self) -> None:
        """Copy the database with its mark. The mark is set again, as another client may copy the
        same source if that was frozen before."""
        source, copy = self._source, self._copy
        try:
            self._change(
                "container.snapshot",
                source,
                what=f"create snapshot {copy.shown} of {source.shown}",
                shows=f"rdctl oio container show {copy.words}",
                body={"account": copy.account, "container": copy.reference},
            )
        except RdctlError as error:
            if error.code is Code.UNKNOWN:
                self._may_appear = True
                error.hint = hints(error.hint, self._removal.replace("is an", "may be an"))
            elif "already exists" in error.message.lower():
                # The container was looked up before.
                raise self._exists(
                    "If only the reference of a destroyed container is left:"
                    f" rdctl oio reference destroy {copy.words}"
                ) from error
            raise
        try:
            self._set_mark(copy, f"mark {copy.shown} as incomplete")
        except BaseException as error:
            self._undo(error)
            raise

    def _filled(self) -> Iterator[Change | Failure]:
        """Give all versions their own chunks."""
        failed: list[Failure] = []
        total = {"versions": 0, "bytes": 0}
        chunks = 0
        batch: list[_Linked] = []
        self._workers.progress.begin(None, "versions")
        for linked in self._workers.ordered(self._link, self._versions()):
            self._workers.progress.advance()
            if linked is None:
                continue
            batch.append(linked)
            total["versions"] += 1
            total["bytes"] += linked.entry.size or 0
            chunks += len(linked.pairs)
            if linked.faults:
                failed.append(self._failure(linked))
            if sum(len(one.pairs) for one in batch) >= BATCH:
                self._register(batch)
                batch = []
        self._register(batch)
        if failed and len(failed) == total["versions"]:
            raise failed[0].error
        self._workers.check()
        self._change(
            "container.del_properties",
            self._copy,
            what=f"unmark {self._copy.shown} as incomplete",
            shows=f"rdctl oio container show {self._copy.words}",
            keys=[INCOMPLETE],
        )
        self._touch()
        facts = {"to": self._copy.container, **total, "chunks": chunks}
        yield self._done("snapshot", self._source.name, PROVEN, facts, _PAST)
        yield from failed

    def _versions(self) -> Iterator[Entry]:
        """All versions that have chunks. The snapshot cannot change; a dry run has only the
        source."""
        holder = self._source if self._effects.dry_run else self._copy
        seen: set[str] = set()
        for page in self._proxy.pages(holder, {"max": PAGE, "all": True}):
            if page.skipped or page.incomplete is not None:
                what = f"{page.skipped} rows"
                if page.incomplete is not None:
                    what = f'some versions of "{escape(page.incomplete)}"'
                message = f"{holder.shown}: cannot be listed completely: {what} are missing"
                raise RdctlError(Code.BAD_REPLY, message, target=holder.name)
            for entry in page.entries:
                # Deduplicated versions have one list of chunks.
                if entry.deleted or entry.content_id in seen:
                    continue
                if entry.content_id is not None:
                    seen.add(entry.content_id)
                yield entry

    def _link(self, entry: Entry) -> _Linked | None:
        """Link the chunks of a version; None if its data were drained."""
        holder = self._source if self._effects.dry_run else self._copy
        try:
            content = self._proxy.content(_version_in(holder, entry), check=self._workers.check)
        except RdctlError as error:
            if error.facts.get("remote_status") == _DRAINED:
                return None
            raise
        owner = full_path(
            str(self._copy.account),
            self._copy.container,
            entry.name,
            str(content.version or ""),
            content.content_id or "",
        )
        pairs, faults = [], []
        for old, new in zip(content.chunks, self._links.chunks_of(content), strict=True):
            pairs.append(Exchange(content.content_id, old, new))
            try:
                self._links.make(old, new, owner)
            except RdctlError as error:
                faults.append(error)
        return _Linked(entry, pairs, faults)

    def _failure(self, linked: _Linked) -> Failure:
        """A version of which chunks could not be linked. Those are registered all the same, under
        names that do not exist: the snapshot shares nothing, and a repair can rebuild them."""
        fault = linked.faults[0]
        counted = f"{len(linked.faults)} of {len(linked.pairs)} chunks"
        copy, name = self._copy.words, quoted(linked.entry.name)
        error = RdctlError(
            Code.UNAVAILABLE if fault.code is Code.UNKNOWN else fault.code,
            f'object "{escape(linked.entry.name)}" (version {linked.entry.version}) is damaged in'
            f' snapshot "{self._copy.shown}": {counted} could not be linked: {fault.message}',
            hint=f"See its state: rdctl oio content check {copy} {name}",
            target=linked.entry.name,
            version=linked.entry.version,
        )
        return Failure("snapshot", error)

    def _register(self, batch: list[_Linked]) -> None:
        pairs = [pair for linked in batch for pair in linked.pairs]
        if not pairs:
            return
        try:
            exchange(
                self._proxy,
                self._copy,
                pairs,
                what=f"register {len(pairs)} chunks of snapshot {self._copy.shown}",
                shows=f"rdctl oio container show {self._copy.words}",
                destroys="the registration of the chunks of the source in the snapshot",
                step=False,
                frozen=True,
            )
        except RdctlError as error:
            # A proxy repeats a request to a meta2 that does not answer, and reports that the old
            # chunks are not found if the first one was carried out.
            if error.code not in (Code.UNKNOWN, Code.NOT_FOUND):
                raise
            if error.code is Code.UNKNOWN:
                self._sleep(_SETTLE_SECONDS)
            if not self._is_registered(next(one for one in batch if one.pairs)):
                raise

    def _is_registered(self, linked: _Linked) -> bool:
        """Whether a version has its new chunks: then all of the transaction have theirs."""
        content: Content = self._proxy.content(_version_in(self._copy, linked.entry))
        listed = {str(chunk["url"]) for chunk in content.chunks}
        return all(str(pair.new["url"]) in listed for pair in linked.pairs)

    def _touch(self) -> None:
        """Report the snapshot to the account."""
        try:
            self._change("container.touch", self._copy)
        except RdctlError as error:
            self._warn(f"{self._copy.shown}: not reported to its account: {error.message}")

    # --- when it fails ------------------------------------------------------------------------

    def _undo(self, error: BaseException) -> None:
        """Remove the snapshot, and then the links. Destroying a container by force leaves all
        chunks, those of the source too, as they are."""
        if self._effects.dry_run:
            return
        fault = self._not_removed()
        left = self._links.tidy() if fault is None else self._links.urls
        if fault is None and not left:
            self._effects.undone.append(f"snapshot {self._source.shown}")
            return
        if fault is not None:
            self._effects.left.append(f"remove incomplete snapshot {self._copy.shown}")
            words = f'; the incomplete snapshot "{self._copy.shown}" could not be removed'
            words += f" ({fault.message}): it shares chunks with its source"
        else:
            words = f"; {len(left)} chunks could not be deleted"
        hint = self._removal if fault is not None else None
        if isinstance(error, RdctlError):
            error.message += words
            error.facts["chunks"] = left
            error.hint = hints(hint, error.hint)
        else:
            self._warn(". ".join(filter(None, (words.removeprefix("; "), hint))))

    def _not_removed(self) -> RdctlError | None:
        """Remove the snapshot, which stays frozen until then: why it may still exist."""
        proxy = self._proxy.afterwards(UNDO_SECONDS)
        with self._effects.unbroken():
            try:
                proxy.change(
                    "container.destroy",
                    self._copy,
                    {"force": True},
                    what=f"remove incomplete snapshot {self._copy.shown}",
                    shows=f"rdctl oio container show {self._copy.words}",
                    destroys=f"the incomplete snapshot {self._copy.shown}",
                )
            except RdctlError as error:
                return None if error.code is Code.NOT_FOUND else self._still_there(error)
        return None

    def _still_there(self, fault: RdctlError) -> RdctlError | None:
        try:
            self._proxy.afterwards(UNDO_SECONDS).read("container.show", self._copy)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return None
        return fault


def _version_in(holder: Place, entry: Entry) -> Place:
    return holder._replace(path=entry.name, version=str(entry.version))
