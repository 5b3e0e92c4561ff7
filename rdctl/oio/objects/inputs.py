"""The files that become objects: which they are, and how they are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import IO, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.model import Place
from rdctl.oio.objects.files import files_below, open_below
from rdctl.oio.sync.filters import Filters
from rdctl.oio.sync.model import Local

STDIN = "-"


class File(NamedTuple):
    """A file to be sent (`-`: standard input), and the name of the object that it becomes in a
    container; `below`: it was found in that directory. `local` None: its size is not known, or it
    does not exist."""

    name: str
    path: str
    holder: Place
    below: str | None = None
    local: Local | None = None

    @property
    def place(self) -> Place:
        return self.holder._replace(path=self.name)

    @property
    def size(self) -> int:
        return self.local.size if self.local else 0

    def open(self) -> IO[bytes]:
        """Open the file for reading. Raises OSError."""
        if self.below is None:
            # Of a pipe the other end may never be opened: wait for its bytes instead.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return open(descriptor, "rb", buffering=0)
        return open_below(self.below, os.path.relpath(self.path, self.below))


class Inputs(NamedTuple):
    """What is to be sent, what of it cannot be read, by the names of the objects, and all names
    that the filters have seen."""

    files: list[File]
    refused: dict[str, RdctlError]
    names: list[str]


class Naming(NamedTuple):
    """The names of objects: `names` has those of files by path, `path` that of a single one;
    `prefix` comes before each other name. `filters` see names without the prefix."""

    names: Mapping[str, str]
    path: str | None
    prefix: str
    filters: Filters = Filters()

    def of(self, given: str) -> str:
        return self.path or self.names.get(given) or self.prefix + os.path.basename(given)

    def takes(self, name: str) -> bool:
        return self.filters.takes(name.removeprefix(self.prefix))


def files_of(
    holder: Place,
    paths: Sequence[str],
    naming: Naming,
    recursive: bool,
    warn: Callable[[str], None],
) -> Inputs:
    """The files at these paths, and with `recursive` those below directories."""
    found: list[File] = []
    refused: dict[str, RdctlError] = {}
    names: list[str] = []
    for given in paths:
        status = None if given == STDIN else _status(given)
        if status is None or not stat.S_ISDIR(status.st_mode):
            name = naming.of(given)
            names.append(name.removeprefix(naming.prefix))
            if naming.filters.takes(names[-1]):
                found.append(_single(holder, given, name, status, naming))
            continue
        if not recursive:
            raise _is_directory(given, naming)
        inside, unread = files_below(given, warn)
        names += [local.name for local in inside]
        found += [
            File(naming.prefix + local.name, local.path, holder, given, local)
            for local in inside
            if not naming.filters or naming.filters.takes(local.name)
        ]
        for inner, error in unread.items():
            if not naming.filters.excludes(inner + "/"):
                name = f"{naming.prefix}{inner}/"
                found.append(File(name, os.path.join(given, inner), holder))
                refused[name] = error
    if naming.path is not None and len(found) != 1 and not (naming.filters and not found):
        raise RdctlError(Code.USAGE, "--path cannot be used with several files")
    made = [file.name for file in found]
    if len(set(made)) < len(made):
        twice = next(name for name in made if made.count(name) > 1)
        raise RdctlError(Code.USAGE, f'several files would become object "{escape(twice)}"')
    return Inputs(found, refused, names)


def _single(
    holder: Place, given: str, name: str, status: os.stat_result | None, naming: Naming
) -> File:
    """A file, pipe or device that was named, or standard input."""
    regular = status is not None and stat.S_ISREG(status.st_mode)
    if naming.path is None and (given == STDIN or not (regular or status is None)):
        shown = "standard input" if given == STDIN else escape(given)
        message = f"{shown} needs an object name: use --path P"
        raise RdctlError(Code.USAGE, message, target=naming.names.get(given))
    local = Local(name, given, status.st_size, status.st_mtime_ns) if status and regular else None
    return File(name, given, holder, local=local)


def _status(path: str) -> os.stat_result | None:
    """None if it does not exist, which is reported when it is opened."""
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _is_directory(given: str, naming: Naming) -> RdctlError:
    hint = "Use --recursive to upload the files below it."
    if naming.names:
        hint = "List only files, for example: find DIRECTORY -type f"
    message = f"{escape(given)}: is a directory"
    return RdctlError(Code.USAGE, message, hint=hint, target=naming.names.get(given))
