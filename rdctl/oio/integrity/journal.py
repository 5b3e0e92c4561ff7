"""The journal of repairs: chunks that a killed repair may leave behind, which no listing shows.

A line names the chunks before the first of them is stored, another one that all of them are either
registered or removed. The next repair finishes what has no second line.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.log import SharedLog
from rdctl.oio.model import Content, Place


class Pair(NamedTuple):
    """The urls of a chunk that is stored, and of the one that is removed once it is not listed."""

    new: str
    old: str | None


class Entry(NamedTuple):
    """The repair of one object, as it began."""

    id: str
    time: float
    namespace: str
    place: Place
    pairs: tuple[Pair, ...]


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
        return id

    def end(self, id: str) -> None:
        """Nothing is left of it."""
        self._write({"id": id, "state": "done"})

    def _write(self, value: dict[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"

        def write() -> None:
            if self._log is not None:
                with self._lock:
                    self._log.append(line)

        record = Effect("record the repair", f"write {self.path}", write, brief=False, step=True)
        try:
            self._effects.do(record, None)
        except OSError as error:
            raise unusable(self.path, error) from error


def entries(text: bytes) -> Iterator[Entry]:
    """What was begun and not finished, the oldest first. Lines that are cut are skipped: what they
    name was not stored."""
    begun: dict[str, Entry] = {}
    for line in text.splitlines():
        try:
            value = json.loads(line)
            if value["state"] == "done":
                begun.pop(value["id"], None)
            else:
                begun[value["id"]] = _entry(value)
        except (ValueError, TypeError, KeyError):
            continue
    yield from begun.values()


def _entry(value: dict[str, Any]) -> Entry:
    place = Place(
        account=value["account"],
        reference=value["container"],
        cid=value["cid"],
        path=value["path"],
        content_id=value["content_id"],
    )
    pairs = tuple(Pair(str(pair["new"]), pair["old"]) for pair in value["chunks"])
    return Entry(
        id=str(value["id"]),
        time=float(value["time"]),
        namespace=str(value["namespace"]),
        place=place,
        pairs=pairs,
    )


def unusable(path: str, error: OSError) -> RdctlError:
    return RdctlError(
        Code.FAILED,
        f"{path}: {error.strerror or error}: the journal of repairs cannot be used",
        hint="Nothing is repaired without it. Use another file: --journal FILE",
        target=path,
    )
