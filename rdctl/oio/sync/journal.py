"""The journal of a transfer: what is finished, so that a transfer that was killed continues.

JSON lines that are only appended: the first one identifies the transfer, each further one names an
item that is finished. A line is written at once, so that a killed process loses none; what a power
failure may take is at most the lines since the last batch, whose items are recognized otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape, raw_bytes
from rdctl.effects.door import Effect, Effects
from rdctl.effects.log import Log, locked_log, shared_text
from rdctl.oio.sync.model import Local

FORMAT = "rdctl.oio.transfer/1"
# How each journal begins.
_START = b'{"journal": "' + FORMAT.encode()
# Lines that are forced to the disk together.
BATCH = 100
# So many sources are named in the first line, more of them by their hash.
_NAMED = 10


class Given(NamedTuple):
    """What --journal and --resume say."""

    path: str
    resume: bool
    home: str | None = None


class Item(NamedTuple):
    """An item that is finished: the object, and the file as it was or was made."""

    name: str
    size: int
    mtime_ns: int
    content_id: str | None = None


class Journal:
    """The journal of one command, for all its threads. Without `log`, in a dry run, nothing is
    written."""

    def __init__(
        self, path: str, log: Log | None, effects: Effects, finished: Mapping[str, Item] | None
    ) -> None:
        self.path = path
        self._log = log
        self._effects = effects
        # Whether it continues an earlier attempt.
        self.resumed = finished is not None
        self._finished = finished or {}
        self._lock = threading.Lock()
        self._unsynced = 0

    def item(self, name: str, local: Local | None) -> Item | None:
        """What an earlier attempt has finished under this name, if the file is still that one."""
        item = self._finished.get(name)
        if item is None or local is None:
            return None
        same = (item.size, item.mtime_ns) == (local.size, local.mtime_ns)
        return item if same else None

    def add(self, item: Item) -> None:
        """An item is finished. Raises `failed` if that cannot be recorded."""
        self.write(_line(item._asdict()))

    def write(self, line: bytes) -> None:
        def write() -> None:
            if self._log is not None:
                with self._lock:
                    self._log.write(line)
                    self._unsynced += 1
                    if self._unsynced >= BATCH:
                        self._log.sync()
                        self._unsynced = 0

        record = Effect("record what is finished", f"write {self.path}", write, step=True)
        try:
            self._effects.do(record, None)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def sync(self) -> None:
        if self._log is not None:
            self._log.sync()


@contextmanager
def opened(given: Given, effects: Effects, transfer: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of this transfer. Refused are one of another transfer, and without --resume any
    that is not empty."""
    path = given.path
    transfer = {
        key: several(value) if isinstance(value, list) else value for key, value in transfer.items()
    }
    with ExitStack() as kept:
        log = None
        try:
            if not effects.dry_run:
                log = kept.enter_context(locked_log(path, given.home, 0.0))
            text = log.read(log.size) if log else shared_text(path)
        except OSError as error:
            raise _unusable(path, error) from error
        journal = _checked(given, text, log, effects, transfer)
        try:
            yield journal
        finally:
            journal.sync()


def _checked(
    given: Given, text: bytes, log: Log | None, effects: Effects, transfer: Mapping[str, Any]
) -> Journal:
    found = read(text, given.path)
    if found is None:
        journal = Journal(given.path, log, effects, None)
        journal.write(_line({"journal": FORMAT, **transfer}))
        journal.sync()
        return journal
    before, finished = found
    _refuse_other(given.path, before, transfer)
    if not given.resume:
        raise RdctlError(
            Code.EXISTS,
            f"{escape(given.path)}: already exists; {len(finished)} items are finished",
            hint="Use --resume to continue this transfer, or another file to start again.",
            target=given.path,
        )
    return Journal(given.path, log, effects, finished)


def read(text: bytes, path: str) -> tuple[dict[str, Any], dict[str, Item]] | None:
    """The first line of a journal, and what is finished; None if nothing is in it yet. Lines that
    are cut are skipped. Raises `conflict` for another file than a journal."""
    rows = list(filter(None, map(_row, text.split(b"\n"))))
    if not rows and (_START.startswith(text) or text.startswith(_START)):
        return None
    if not rows or rows[0].get("journal") != FORMAT:
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(path)}: not a journal of a transfer",
            hint="It is left unchanged. Use another file, or a new one: --journal FILE",
            target=path,
        )
    first = {key: value for key, value in rows[0].items() if key != "journal"}
    items = filter(None, map(_item, rows[1:]))
    return first, {item.name: item for item in items}


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _item(row: Mapping[str, Any]) -> Item | None:
    name, size, mtime_ns, content_id = (row.get(field) for field in Item._fields)
    if not isinstance(name, str) or not isinstance(content_id, str | None):
        return None
    if type(size) is not int or type(mtime_ns) is not int:
        return None
    return Item(name, size, mtime_ns, content_id)


def _refuse_other(path: str, before: Mapping[str, Any], transfer: Mapping[str, Any]) -> None:
    """Refuse the journal of another transfer."""
    keys = [key for key in {**before, **transfer} if before.get(key) != transfer.get(key)]
    if keys:
        key = keys[0]
        shown = [json.dumps(side.get(key)) for side in (before, transfer)]
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(path)}: belongs to another transfer: {key} is {shown[0]} there, and"
            f" {shown[1]} here",
            hint="Repeat the command of that transfer, or use another file: --journal FILE",
            target=path,
        )


def journaled(
    given: Given | None,
    effects: Effects,
    transfer: Mapping[str, Any],
    act: Callable[[Journal | None], Report],
) -> Report:
    """The report of `act`, of which each operation can use the journal."""
    if given is None:
        return act(None)
    with ExitStack() as opening:
        journal = opening.enter_context(opened(given, effects, transfer))
        report = act(journal)
        kept = opening.pop_all()

    def outcomes() -> Iterator[Change | Failure]:
        with kept:
            yield from report

    return Report(outcomes(), report.since, report.past)


def several(names: Sequence[str]) -> Any:
    """Names in the first line of a journal."""
    if len(names) <= _NAMED:
        return list(names)
    hashed = hashlib.sha256()
    for name in names:
        hashed.update(raw_bytes(name) + b"\0")
    return {"count": len(names), "sha256": hashed.hexdigest()}


def folder_of(path: str) -> str:
    """A folder in the first line of a journal."""
    return os.path.abspath(path)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _unusable(path: str, error: OSError) -> RdctlError:
    if isinstance(error, TimeoutError):
        message = f"{escape(path)}: another process is using this journal"
        return RdctlError(Code.IN_USE, message, target=path)
    message = f"{escape(path)}: the journal cannot be used: {error.strerror or error}"
    return RdctlError(Code.FAILED, message, target=path)
