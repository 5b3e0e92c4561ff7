"""A cache of answers for a few seconds, each in its own file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from rdctl.completion.request import SEVERAL, Candidate, CompletionRequest
from rdctl.core.units import CONTROL
from rdctl.sites import Site

if TYPE_CHECKING:
    from rdctl.core.environment import Environment

# Lifetime of an answer in seconds.
FRESH = 5.0

_PREFIX = "names-"


class AnswerCache(NamedTuple):
    """One answer in its own file, in a private directory. If it cannot be written, every completion
    queries the site."""

    directory: str
    name: str
    now: Callable[[], float]

    @classmethod
    def of(cls, request: CompletionRequest, site: Site, environment: Environment) -> AnswerCache:
        import hashlib

        directory = environment.environ.get("XDG_CACHE_HOME", "")
        if not directory.startswith("/"):
            directory = os.path.join(environment.home(), ".cache")
        directory = os.path.join(directory, "rdctl")
        # Answers of other kinds do not depend on the typed text.
        text = request.text if request.kind in _BY_TEXT else ""
        args = request.args if SEVERAL.get(request.kind) else ()
        where = site.sandbox_path if site.in_sandbox else None
        key = (site.settings, where, *request._replace(text=text, args=args, dashes=False))
        digest = hashlib.blake2b(repr(key).encode("utf-8", "replace"), digest_size=16)
        return cls(directory, _PREFIX + digest.hexdigest(), environment.now)

    def read(self) -> list[Candidate] | None:
        """The names, or None without a fresh answer written by this user."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._opened() as directory:
                descriptor = os.open(self.name, flags, dir_fd=directory)
            with open(descriptor, encoding="utf-8") as file:
                status = os.fstat(descriptor)
                fresh = 0 <= self.now() - status.st_mtime < FRESH
                if not (fresh and stat.S_ISREG(status.st_mode) and _private(status)):
                    return None
                return [Candidate(*line.rstrip("\n").split("\t", 1)) for line in file]
        except (OSError, ValueError, TypeError):
            return None

    def write(self, names: Iterable[Candidate]) -> None:
        part = f"{self.name}.{os.getpid()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(OSError, ValueError):
            self._make_directory()
            with self._opened() as directory:
                self._sweep(directory)
                descriptor = os.open(part, flags, 0o600, dir_fd=directory)
                with open(descriptor, "w", encoding="utf-8") as file:
                    for name, about in names:
                        if not CONTROL.search(name):
                            file.write(f"{name}\t{CONTROL.sub('?', about)}\n")
                os.replace(part, self.name, src_dir_fd=directory, dst_dir_fd=directory)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The open directory, which cannot be exchanged; raises OSError if it is not private."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.directory, flags)
        try:
            if not _private(os.fstat(descriptor)):
                raise PermissionError(self.directory)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_directory(self) -> None:
        """Create the directory only in a directory of this user: root must not leave files in the
        home directory of another user."""
        above = os.path.dirname(self.directory)
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        if os.stat(above).st_uid == os.geteuid():
            os.makedirs(self.directory, mode=0o700, exist_ok=True)

    def _sweep(self, directory: int) -> None:
        """Remove expired answers."""
        for name in os.listdir(directory):
            if name.startswith(_PREFIX):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if not 0 <= self.now() - status.st_mtime < FRESH:
                    os.unlink(name, dir_fd=directory)


def _private(status: os.stat_result) -> bool:
    """Whether no other user can write there."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


_BY_TEXT = ("container", "content", "source")
