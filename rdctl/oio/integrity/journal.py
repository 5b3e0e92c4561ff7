"""The journal of repairs: chunks that a killed repair may leave behind, which no listing shows.

A line names the chunks before the first of them is stored, another one that all of them are either
registered or removed. The next repair finishes what has no second line.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.log import NoLocks, SharedLog
from rdctl.oio.model import Content, Place
from rdctl.oio.rawx import copy_of

# How each line begins.
_START = b'{"id": "'


class Pair(NamedTuple):
    """The urls of a chunk that is stored, and of the one that is removed once it is not listed."""

    new: str
    old: str | None


class Entry(NamedTuple):
    """The repair of one object, as it began, and the line that says so."""

    id: str
    time: float
    namespace: str
    place: Place
    pairs: tuple[Pair, ...]
    line: bytes


class Journal:
    """The journal of one command, of which each thread repairs its own objects. Without `log`, in a
    dry run, nothing is written."""

    def __init__(
        self, path: str, log: SharedLog | None, effects: Effects, namespace: str, now: float
    ) -> None:
        self.path = path
        self._log = log
        self._effects = effects
        self._namespace = namespace
        self._now = now
        self._lock = threading.Lock()

    def begin(self, content: Content, place: Place, pairs: Sequence[Pair]) -> str:
        """Before chunks are stored. Raises `failed` if that cannot be recorded."""
        id = os.urandom(8).hex()
        self._write(
            _line(
                {
                    "id": id,
                    "state": "begun",
                    "time": self._now,
                    "namespace": self._namespace,
                    "account": place.account,
                    "container": place.reference,
                    "cid": place.cid,
                    "path": content.path,
                    "content_id": content.content_id,
                    "version": content.version,
                    "chunks": [pair._asdict() for pair in pairs],
                }
            )
        )
        return id

    def end(self, id: str) -> None:
        """Nothing is left of it."""
        self._write(ended(id))

    def _write(self, line: bytes) -> None:
        def write() -> None:
            if self._log is not None:
                with self._lock:
                    self._log.append(line)

        record = Effect("record the repair", f"write {self.path}", write, brief=False, step=True)
        try:
            self._effects.do(record, None)
        except OSError as error:
            raise unusable(self.path, error) from error


def ended(id: str) -> bytes:
    """The line of a repair of which nothing is left."""
    return _line({"id": id, "state": "done"})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def entries(text: bytes, path: str) -> list[Entry]:
    """What was begun and not finished, the oldest first. Lines that are cut are skipped: what they
    name was not stored. Raises `failed` for another file than a journal, which would be lost."""
    begun: dict[str, Entry] = {}
    lines = [line for line in text.split(b"\n") if line.strip(b"\0\r ")]
    known = not lines
    for line in lines:
        try:
            value = json.loads(line)
            if value["state"] == "done":
                begun.pop(str(value["id"]), None)
            else:
                begun[str(value["id"])] = _entry(value, line)
            known = True
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, RdctlError):
            continue
    if not known and not (len(lines) == 1 and _is_cut(lines[0])):
        raise RdctlError(
            Code.FAILED,
            f"{path}: not a journal of repairs",
            hint="Nothing was repaired. Use another file, or a new one: --journal FILE",
            target=path,
        )
    return list(begun.values())


def _is_cut(line: bytes) -> bool:
    return line.startswith(_START) or _START.startswith(line)


def _entry(value: dict[str, Any], line: bytes) -> Entry:
    place = Place(
        account=_text(value["account"]),
        reference=_text(value["container"]),
        cid=_text(value["cid"]),
        path=_text(value["path"]),
        content_id=_text(value["content_id"]),
    )
    pairs = tuple(Pair(str(pair["new"]), _text(pair["old"])) for pair in value["chunks"])
    for url in (url for pair in pairs for url in pair if url is not None):
        copy_of({"url": url})
    return Entry(
        id=str(value["id"]),
        time=float(value["time"]),
        namespace=str(value["namespace"]),
        place=place,
        pairs=pairs,
        line=line,
    )


def _text(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(value)
    return value


def unusable(path: str, error: OSError) -> RdctlError:
    hint = "Nothing is repaired without it. Use another file: --journal FILE"
    if isinstance(error, NoLocks):
        hint = (
            "Without locks, repairs that run at the same time cannot be seen. Use a file on a local"
            " file system: --journal FILE"
        )
    return RdctlError(
        Code.FAILED,
        f"{path}: {error.strerror or error}: the journal of repairs cannot be used",
        hint=hint,
        target=path,
    )
