"""The sandbox's state: one SQLite file that every command, thread and server shares."""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError

# The simulated systems: modules next to this one, each with `SCHEMA: str` (a script of SQL) and
# `seed(connection) -> None`.
SYSTEMS = ("machine", "oio")

# Increased with every change of a SCHEMA: a store of another version is refused until it is reset.
VERSION = 7

_OURS = 0x7264_6374  # PRAGMA application_id: "rdct"
_PATIENCE = 10.0  # seconds that a transaction waits for those before it, if nothing else is given
_MOST_PATIENCE = 86_400.0  # SQLite counts milliseconds, in 31 bits
_MOST_LOG = 1 << 20  # bytes that the log keeps once it is written into the file
_RESET = "Reset it: rdctl sandbox reset"


class _Fault(NamedTuple):
    """A problem with the file rather than with our SQL, in words for the user; `hint` may contain
    the {file} and its {directory}."""

    code: Code
    hint: str


_BUSY = _Fault(
    Code.TIMEOUT,
    hint="Another rdctl is changing the sandbox. Try again, or with a longer --timeout.",
)
_DAMAGED = _Fault(Code.CONFIG, hint=_RESET)
_DENIED = _Fault(Code.DENIED, hint="Choose a writable file: RDCTL_SANDBOX=PATH")
_DISK = _Fault(Code.FAILED, hint="Nothing was saved. See the kernel log for disk errors: dmesg")
_FULL = _Fault(Code.FAILED, hint="Nothing was saved. Free space in {directory}, then try again.")
# SQLite has one code for a quota, a limit on the size of files and a broken disk.
_UNWRITTEN = _Fault(
    Code.FAILED,
    hint=f"{_FULL.hint}\nIf there is enough space, see the kernel log for disk errors: dmesg",
)
_UNFIT = _Fault(Code.CONFIG, hint="Choose another file: RDCTL_SANDBOX=PATH")
_FOREIGN = _Fault(
    Code.CONFIG,
    hint="Choose another file with RDCTL_SANDBOX, or move this one: mv -n {file} {file}.old",
)

# By the code of the error, else by its lowest byte.
_SQLITE_FAULTS = {
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_NOTADB: _FOREIGN,
    sqlite3.SQLITE_CORRUPT: _FOREIGN,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_IOERR_WRITE: _UNWRITTEN,
    sqlite3.SQLITE_IOERR_SHMSIZE: _UNWRITTEN,
}
_SYSTEM_FAULTS = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _DISK,
}


class Store:
    """A SQLite file in WAL mode, created and seeded by its first user.

    Threads may share a Store, and processes the file. Faults of the file itself are an RdctlError.
    `left`: seconds that are left to wait for other writers, None for the default.
    """

    def __init__(
        self, path: str | os.PathLike[str], left: Callable[[], float | None] | None = None
    ) -> None:
        self._idle: list[sqlite3.Connection] = []
        self._left = left
        self.path = os.fspath(path)
        # When the store is no longer referenced, at the latest at the end of the process.
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """Read one consistent state, whatever others write meanwhile."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Change the state exclusively: committed at the end, rolled back after an exception."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def reset(self) -> None:
        """Back to the seeded state, also from a store that is damaged or that another version made.

        One transaction: others who have the store open see the state before or the state after. A
        copy of a new one is written over it, however much it holds.
        """
        until = time.monotonic() + self._patience()

        def wait(status: int, remaining: int, total: int) -> None:
            locked = status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if locked and time.monotonic() > until:
                raise self._error(_BUSY, "database is locked")

        with self._explained(), closing(self._connect()) as connection, closing(_new()) as new:
            _bear_damage(connection)
            self._refuse_foreign(connection)
            new.backup(connection, progress=wait, sleep=0.01)

    def close(self) -> None:
        """Close the connections that are not in use; the store opens new ones when needed."""
        _close(self._idle)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._explained():
            connection = self._take()
            try:
                with _transaction(connection, begin):
                    yield connection
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                self._idle.append(connection)
                raise
            self._idle.append(connection)

    def _take(self) -> sqlite3.Connection:
        """A connection that no other thread uses, to a store that is ready."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._open()
        connection.execute(f"PRAGMA busy_timeout = {round(self._patience() * 1000)}")
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            self._refuse_foreign(connection)
            # Before the first table: a file that was created without it grows forever.
            connection.execute("PRAGMA auto_vacuum = FULL")
            _use_wal(connection, self._patience())
            connection.execute(f"PRAGMA journal_size_limit = {_MOST_LOG}")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        self._make_file()
        connection = sqlite3.connect(
            self.path, timeout=self._patience(), isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _patience(self) -> float:
        left = None if self._left is None else self._left()
        return _PATIENCE if left is None else min(left, _MOST_PATIENCE)

    def _make_file(self) -> None:
        """Make the file before SQLite does, which gives its side files the mode of this one.

        One that is there is never opened beside SQLite: closing any descriptor of a file drops all
        locks that this process holds on it.
        """
        try:
            with _making:
                mode = _made(os.path.realpath(self.path))
        except OSError as error:
            fault = _SYSTEM_FAULTS.get(error.errno or 0, _UNFIT)
            raise self._error(fault, error.strerror or str(error)) from error
        if stat.S_ISDIR(mode):
            raise self._error(_UNFIT, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            # SQLite puts files next to a device, and loses what it writes to the device.
            raise self._error(_UNFIT, "not a regular file")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the store if it is new; refuse one of another version."""
        if _pragma(connection, "user_version") == VERSION:
            return
        with _transaction(connection, "BEGIN IMMEDIATE"):
            found = _pragma(connection, "user_version")
            if found == VERSION:  # another process created it while this one waited
                return
            if found != 0 or _objects(connection):
                raise RdctlError(
                    Code.CONFIG,
                    f"sandbox {self.path} was created by another version of rdctl"
                    f" (format {found}, expected {VERSION})",
                    hint=_RESET,
                    target=self.path,
                )
            _create(connection)

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        # The mark first: it can be read in a store of ours whose tables are damaged. And last:
        # another process may have created the store in between.
        if not _is_marked(connection) and _objects(connection) and not _is_marked(connection):
            raise self._refusal(_FOREIGN, f"{self.path} is a database, but not an rdctl sandbox")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            fault = self._fault(getattr(error, "sqlite_errorcode", 0))
            if fault is None:
                raise
            raise self._error(fault, str(error)) from error

    def _fault(self, code: int) -> _Fault | None:
        kind = code & 0xFF
        if kind == sqlite3.SQLITE_CORRUPT and self._is_ours():
            return _DAMAGED
        if kind == sqlite3.SQLITE_CANTOPEN:
            return _unopened(self.path, self._directory)
        return _SQLITE_FAULTS.get(code) or _SQLITE_FAULTS.get(kind)

    def _is_ours(self) -> bool:
        """Whether a damaged file has our mark. Read through SQLite, since only SQLite knows when it
        may close the file: see `_make_file`."""
        try:
            with closing(self._connect()) as connection:
                _bear_damage(connection)
                return _is_marked(connection)
        except (sqlite3.Error, RdctlError):
            return False

    @property
    def _directory(self) -> str:
        return os.path.dirname(os.path.realpath(self.path))

    def _error(self, fault: _Fault, reason: str) -> RdctlError:
        return self._refusal(fault, f"cannot use sandbox {self.path}: {reason}")

    def _refusal(self, fault: _Fault, message: str) -> RdctlError:
        hint = fault.hint.format(file=shlex.quote(self.path), directory=self._directory)
        return RdctlError(fault.code, message, hint=hint, target=self.path)


def _unopened(path: str, directory: str) -> _Fault:
    """Why SQLite cannot open the file, or those that it needs next to it."""
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(directory, os.W_OK)):
        return _DENIED
    room = os.statvfs(directory)
    return _FULL if room.f_files and not room.f_favail else _UNFIT


# One thread creates the file, and has closed it before another one uses it.
_making = threading.Lock()


def _made(path: str) -> int:
    """The mode of the file, which is created if it does not exist."""
    while True:
        try:
            return os.stat(path).st_mode
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with suppress(FileExistsError):  # another process created it in between
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _close(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back on a full disk
            connection.execute("ROLLBACK")
        raise


def _bear_damage(connection: sqlite3.Connection) -> None:
    """Have SQLite open a store that is truncated, or whose tables it cannot read."""
    connection.execute("PRAGMA writable_schema = ON")


def _use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Turn WAL on. SQLite does not wait for others that are doing the same, so this does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    connection.execute("PRAGMA synchronous = NORMAL")


def _new() -> sqlite3.Connection:
    """A new store in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA auto_vacuum = FULL")
    with _transaction(connection, "BEGIN"):
        _create(connection)
    return connection


def _create(connection: sqlite3.Connection) -> None:
    for name in SYSTEMS:
        system = import_module(f"{__package__}.{name}")
        for statement in _statements(system.SCHEMA):
            connection.execute(statement)
        system.seed(connection)
    connection.execute(f"PRAGMA application_id = {_OURS}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit the transaction first."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):  # not a ; in a comment, text or trigger
            yield statement
            statement = ""


def _objects(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return [(row["type"], row["name"]) for row in rows]


def _is_marked(connection: sqlite3.Connection) -> bool:
    return _pragma(connection, "application_id") == _OURS


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
