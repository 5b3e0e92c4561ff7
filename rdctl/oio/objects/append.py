"""Bytes that are appended to an existing object, as new chunks after its last one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import IO, Any

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.results import Change, Failure, Report
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, Evidence
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.inputs import File
from rdctl.oio.objects.layout import scheme_of
from rdctl.oio.objects.sending import Sending, Sent
from rdctl.oio.objects.source import Source
from rdctl.oio.objects.transfers import with_left
from rdctl.oio.objects.upload import Uploads, Wish
from rdctl.workers import Stopped


class Appends(Uploads):
    def append(self, place: Place, path: str, min_copies: int | None, stdin: IO[bytes]) -> Report:
        """Append a file (`-`: standard input) to the latest version of an object."""
        if place.version is not None:
            message = f"{place.shown}: only the latest version can be appended to"
            raise RdctlError(Code.UNSUPPORTED, message, target=place.name)
        wish = Wish(min_copies=min_copies)
        self._look_up_one(place.holder)
        old = self._existing_content(place)
        file = File(place.name, path, place.holder)
        wish = wish._replace(policy=old.policy, mime_type=old.mime_type)

        def append(number: int, parallel: int) -> Change | Failure:
            with closing(self._source(file, stdin)) as source:
                if not source.size:
                    facts = {"size": old.size, "added": 0}
                    return self._done("append", place.name, ALREADY, facts, past=_PAST)
                return self._append(place, old, source, wish, parallel)

        return Report(self._each_of("append", [place.name], append))

    def _existing_content(self, place: Place) -> Content:
        """The object; the server would create a missing one."""
        try:
            old: Content = self._asked(lambda: self._show(place))
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                error.hint = f"Upload it: rdctl oio content put {place.holder.words} FILE"
            raise
        scheme_of(old)  # refuses what could not be read afterwards
        if old.content_id is None or old.version is None or old.size is None:
            message = f"{place.shown}: the proxy reports no ID, version or size"
            raise RdctlError(Code.BAD_REPLY, message, target=place.name)
        return old

    def _append(
        self, place: Place, old: Content, source: Source, wish: Wish, parallel: int
    ) -> Change | Failure:
        prepared = self._ready(place, source.size, wish)
        if scheme_of(prepared) != scheme_of(old):
            raise _other_method(place, old, prepared)
        sending = Sending(
            self._rawx,
            self._effects,
            self._workers,
            source,
            # The chunks are labeled as those of the object, which prepare does not know.
            prepared._replace(content_id=old.content_id, version=old.version),
            place,
            self._owner_of(place),
            parallel,
            self._proxy.deadline,
            wish.min_copies,
        )
        sending.delivery.first = 1 + max((_number(chunk) for chunk in old.chunks), default=-1)
        self._sending.add(sending)
        try:
            sent = sending.run()
            self._workers.check()
        except Stopped:
            return self._undone(place, sending, "append")
        except Exception as error:  # a chunk that was sent is deleted, whatever it is
            raise with_left(as_error(error), sending.tidy()) from error
        finally:
            self._sending.discard(sending)
        self._create(
            place,
            source.size,
            prepared._replace(content_id=old.content_id, version=old.version),
            sent,
            sending,
            wish,
            None,
            append=True,
        )
        size = (old.size or 0) + source.size
        facts = {
            "size": size,
            "added": source.size,
            "hash": None,
            "policy": prepared.policy,
            "chunk_method": prepared.chunk_method,
            "copies": sent.copies,
            "wanted": sent.expected,
            "failed_copies": self._warn_failed(place, sent, sending),
        }
        evidence = self._evidence(place, old, size, sent)
        if old.hash:
            self._warn(f"{place.shown}: its MD5 is no longer recorded; each chunk has its own")
        return self._done("append", place.name, evidence, facts, past=_PAST)

    def _evidence(self, place: Place, old: Content, size: int, sent: Sent) -> Evidence:
        """Whether the chunks are part of the object, of that size at least: it may have been
        replaced or deleted meanwhile, and then the server makes an object of the part alone."""
        if self._effects.dry_run:
            return ACCEPTED
        try:
            new: Content = self._asked(lambda: self._show(place))
        except RdctlError:
            return ACCEPTED  # the change itself is done
        there = {chunk.get("url") for chunk in new.chunks}
        whole = (new.size or 0) >= size and new.content_id == old.content_id
        if whole and {one["url"] for one in sent.chunks} <= there:
            return PROVEN
        raise RdctlError(
            Code.UNPROVEN,
            f"{place.shown}: replaced or deleted by another client meanwhile; the appended data may"
            " be in another version, or alone in the object",
            hint=f"See its chunks: rdctl oio content show {place.words} --chunks",
            target=place.name,
        )


_PAST = "appended to"


def _number(chunk: Mapping[str, Any]) -> int:
    """The position of a chunk: 3 of 3.1."""
    number = str(chunk.get("pos", "")).partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _other_method(place: Place, old: Content, prepared: Content) -> RdctlError:
    """A part would be stored in another way than the rest, and could not be read."""
    return RdctlError(
        Code.UNSUPPORTED,
        f"{place.shown}: policy {old.policy} now stores objects as {prepared.chunk_method},"
        f" the object is stored as {old.chunk_method}",
        hint="Download it, and upload it again with the data appended.",
        target=place.name,
    )
