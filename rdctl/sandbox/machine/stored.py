"""The machine of the sandbox: each process has its tree in a directory of its own, and all of them
share what the sandbox's file holds, as programs share one kernel."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection
from threading import RLock

from rdctl.effects.syscalls import Syscalls
from rdctl.sandbox.machine import saved
from rdctl.sandbox.machine.boot import power_cycle
from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import PAGE, Mapping
from rdctl.sandbox.store import Store

# What an application has written through a new write-back cache: 2 MiB.
_WRITTEN = (2 << 20) // PAGE
_DIRECTORY = "rdctl-sandbox-"
_NEW_SECONDS = 60


class StoredMachine(Machine):
    """Every change is saved at once: a process that is killed leaves exactly what it had done.

    The tree is up to date after every system call that changes something, and after `refresh`.
    """

    def __init__(self, store: Store) -> None:
        self._kept = store
        self._lock_path = f"{os.path.realpath(store.path)}-lock"
        self._mutex = RLock()
        self._inside = False
        self._made, self._seen = "", 0
        # What was written to open volumes: the memory that it takes, and its end.
        self._poured: dict[int, tuple[int, int]] = {}
        directory = Directory()
        weakref.finalize(self, directory.remove)
        super().__init__(Path(directory.path))
        self.refresh()

    def _lay_out(self, nvmet: bool, available: int) -> None:
        """Nothing: it is read."""

    def shown(self, path: str) -> str:
        return path.removeprefix(str(self.root))

    def refresh(self) -> None:
        with self._mutex:
            if not self._inside:
                with self._kept.look() as connection:
                    self._read(connection)

    @contextmanager
    def current(self) -> Iterator[None]:
        """The machine as it is now; no other thread changes the tree meanwhile."""
        with self._mutex:
            self.refresh()
            yield

    @contextmanager
    def session(self) -> Iterator[None]:
        """Nobody else changes the machine meanwhile."""
        with self._mutex:
            if self._inside:
                yield
                return
            try:
                with self._kept.change() as connection:
                    self._read(connection)
                    self._inside = True
                    yield
                    self._seen = saved.save(self, connection)
            except BaseException:
                self._made = ""  # the tree holds what was not saved
                raise
            finally:
                self._inside = False

    def _read(self, connection: Connection) -> None:
        made, change = connection.execute("SELECT made, change FROM machine").fetchone()
        if (made, change) == (self._made, self._seen):
            return
        if made != self._made:
            for name in os.listdir(self.root):
                self.delete(name)
            self._seen = -1
        saved.load(self, connection, self._seen)
        self._made, self._seen = made, change
        self._show_lock()

    def _show_lock(self) -> None:
        """The lock of this machine is a file beside that of the sandbox, which all processes
        share."""
        link = self.root / "run/rdctl.lock"
        if os.path.lexists(self._lock_path) and not os.path.lexists(link):
            link.symlink_to(self._lock_path)

    # --- system calls -------------------------------------------------------------------------

    def _change(self, act: Callable[[], None]) -> None:
        refusal: OSError | None = None
        with self.session():
            try:
                super()._change(act)
            except OSError as error:  # a refusal may have changed something, too
                refusal = error
        if refusal is not None:
            raise refusal

    def lock(self, path: str) -> int | None:
        descriptor = Syscalls.lock(self, self._lock_path)
        self._show_lock()
        if descriptor is not None:
            self.descriptors[descriptor] = "lock"
            self.refresh()
        return descriptor

    def open_device(self, path: str, *, exclusive: bool = False) -> int:
        self.refresh()
        return super().open_device(path, exclusive=exclusive)

    def open_for_writing(self, path: str) -> int:
        self.refresh()
        return super().open_for_writing(path)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        """Saved when it is closed: to save a volume after each of many writes would take long."""
        used, end = self._poured.get(descriptor, (0, 0))
        name = self.descriptors[descriptor]
        used += self._write_node(name, bytes(data), offset)
        self._poured[descriptor] = used, max(end, offset + len(data))

    def close(self, descriptor: int) -> None:
        """In any case: while it is open, a load that was interrupted cannot be rolled back."""
        try:
            if descriptor in self._poured:
                name, (used, end) = self.descriptors[descriptor], self._poured.pop(descriptor)
                self._change(lambda: self._pour_out(name, used, end))
        finally:
            super().close(descriptor)

    def _pour_out(self, name: str, used: int, end: int) -> None:
        self._note(f"dev/{name}")
        self._occupy(name, used, end)

    def kept(self, path: str) -> None:
        if os.path.realpath(path).startswith(f"{self.root}/"):
            self._change(lambda: self._keep_file(path))

    def _keep_file(self, path: str) -> None:
        """With its directories, which may be new."""
        below = self.inside(path)
        while below:
            self._note(below)
            below = os.path.dirname(below)

    def device_number(self, path: str) -> str | None:
        self.refresh()
        return super().device_number(path)

    def can_bind(self, address: str) -> bool:
        self.refresh()
        return super().can_bind(address)

    def run(self, argv: Sequence[str], seconds: float | None = None) -> tuple[int, str]:
        self.refresh()
        return super().run(argv, seconds)

    def execute(self, words: list[str]) -> tuple[int, str]:
        """rdctl as the unit runs it, on this machine."""
        programs = [os.path.basename(word) for word in words]  # it may be `python -m rdctl`
        zipped = not os.path.exists(__file__)
        name = os.path.basename(sys.argv[0]) if zipped else "rdctl"
        if name not in programs:
            return 203, f"{words[0]}: not found in the sandbox\n"
        own = [word for word in words[programs.index(name) + 1 :] if word != "--local"]
        program = [os.path.abspath(sys.argv[0])] if zipped else ["-m", "rdctl"]
        here = f"RDCTL_SANDBOX={os.path.abspath(self._kept.path)}"
        argv = ["env", here, sys.executable, *program, "-c", "sandbox", *own]
        return Syscalls.run(self, argv)

    def reboot(self) -> None:
        self._change(lambda: power_cycle(self))

    # --- what happens on the machine ----------------------------------------------------------

    def _dm_resume(self, name: str) -> None:
        super()._dm_resume(name)
        mapping = self.maps[name]
        if mapping.kind == "writecache" and not mapping.dirty:
            self.write_through(mapping, min(_WRITTEN, mapping.counters["num_blocks"] // 2))

    def _looked_at(self, mapping: Mapping) -> None:
        if mapping.kind != "writecache":  # which would be dirty again after it was written back
            with self.session():
                self.work(mapping)


class Directory:
    """A private directory of this process, in memory where there is one for files; `path` is its
    path. What processes that were killed have left there is removed.

    `tempfile` is much to import for one name.
    """

    def __init__(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        top = os.path.realpath(os.environ.get("TMPDIR") or memory)
        _remove_left(top)
        self.path = os.path.join(top, f"{_DIRECTORY}{os.getpid()}-{os.urandom(6).hex()}")
        os.mkdir(self.path, 0o700)
        # Locked until this process ends.
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_left(top: str) -> None:
    with suppress(OSError):
        for name in os.listdir(top):
            if name.startswith(_DIRECTORY):
                with suppress(OSError):
                    _remove_unheld(os.path.join(top, name))


def _remove_unheld(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(directory)
        # A new one may not be locked yet.
        if status.st_uid == os.getuid() and time.time() - status.st_mtime > _NEW_SECONDS:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(directory)
