"""The files and the systemd units of this machine, for what lasts over a reboot."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from rdctl.core.errors import RdctlError, unwritten
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, remove_file, replace_file
from rdctl.rapiddisk.kernel.refusals import denied
from rdctl.rapiddisk.kernel.surroundings import unescaped
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.kernel.systemd import Systemd

_MODE = 0o644
# Of a path with all that its links lead to: links may lead in a circle.
_MOST_PARTS = 4096


class Mount(NamedTuple):
    """Where a file system is mounted, its type, and the kernel's name of its device."""

    place: str
    kind: str
    device: str | None


class Host:
    """`systemd` are its units. Paths begin with /etc, /usr, ..."""

    def __init__(
        self, sysfs: Sysfs, calls: Syscalls, effects: Effects, seconds: float | None
    ) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._effects = effects
        self.systemd = Systemd(calls, effects, seconds)

    @property
    def privileged(self) -> bool:
        return self._calls.privileged

    def permit(self) -> None:
        if not self.privileged:
            raise denied("changes require root")

    # --- looking ------------------------------------------------------------------------------

    def text(self, path: str) -> str | None:
        """A file's whole text; None when it does not exist."""
        try:
            with open(self._sysfs.path(path), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def real(self, path: str) -> str:
        """The path without symbolic links, as this machine resolves them. It need not exist."""
        left, found = path.split("/")[::-1], ""
        for _ in range(_MOST_PARTS):
            if not left:
                break
            name = left.pop()
            if name == "..":
                found = found.rpartition("/")[0]
            elif name not in ("", "."):
                try:
                    target = os.readlink(self._sysfs.path(f"{found}/{name}"))
                except OSError:
                    found += f"/{name}"
                else:
                    left += target.split("/")[::-1]
                    found = "" if target.startswith("/") else found
        return "/".join([found, *left[::-1]]) or "/"

    def place(self, path: str) -> str:
        """Where this process finds it."""
        return self._sysfs.path(self.real(path))

    def has(self, path: str) -> bool:
        """Whether there is a file of that name, or where its link leads."""
        return os.path.lexists(self.place(path))

    def free(self, path: str) -> int | None:
        """Bytes that root can still write to the file system that has the path; None if unknown."""
        place = os.path.dirname(self.place(path))
        while not os.path.isdir(place) and place != os.path.dirname(place):
            place = os.path.dirname(place)
        try:
            found = os.statvfs(place)
        except OSError:
            return None
        return found.f_bfree * found.f_frsize

    def mount(self, path: str) -> Mount:
        """The file system that has the path: /proc/self/mountinfo"""
        found = Mount("/", "", None)
        for line in (self._sysfs.text("proc/self/mountinfo") or "").splitlines():
            fields, _, others = line.partition(" - ")
            words = fields.split()
            place = unescaped(words[4])
            above = f"{path}/".startswith(f"{place.rstrip('/')}/")
            if above and len(place) >= len(found.place):  # the last of a place is the upper one
                found = Mount(place, others.split()[0], self._sysfs.numbered(words[2]))
        return found

    def mount_point(self, path: str) -> str:
        return self.mount(path).place

    # --- changing -----------------------------------------------------------------------------

    def put(self, files: Mapping[str, str | None]) -> None:
        """Write these files, or remove those without a text, then have systemd read them. Part of a
        transaction, whose rollback ends with what systemd had read before."""
        undo = [self.systemd.reverting("daemon-reload", ())]
        for path, text in files.items():
            undo.append(self._effect(path, self.text(path)))
            try:
                self._effects.do(self._effect(path, text), None, undo)
            except OSError as error:
                message = f"{path} cannot be written: {error.strerror}"
                raise RdctlError(unwritten(error), message, target=path) from error
            undo = []
        self.systemd.act("daemon-reload", ())

    def _effect(self, path: str, text: str | None) -> Effect[Any]:
        place = self._sysfs.path(path)
        if text is None:
            return remove_file(self._calls, place)._replace(what=f"remove {path}")
        effect = replace_file(self._calls, place, text, what=f"write {path}", mode=_MODE)
        return effect._replace(line=f"printf {_escaped(text)} | {effect.line}", shows=text)


def _escaped(text: str) -> str:
    """A text on one line, as printf takes it."""
    for character, words in (("\\", "\\\\"), ("%", "%%"), ("\n", "\\n")):
        text = text.replace(character, words)
    return shlex.quote(text)
