"""Which hosts got their key from rdctl since the machine started: those are removed with their last
export. Keys that others set stay."""

from __future__ import annotations

import json
from contextlib import suppress

from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, remove_file, replace_file
from rdctl.rapiddisk.kernel.sysfs import Sysfs

_PLACE = "run/rdctl/hosts.json"
# The names of two files by the NQN of a host: those of its key and of its controller key.
_Entries = dict[str, tuple[str | None, str | None]]
_WHAT = "record which hosts have a key of rdctl"


class HostRecord:
    """One file with names of hosts and of files, which a reboot clears with the hosts."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._effects = effects

    def __contains__(self, nqn: object) -> bool:
        return nqn in self._entries()

    def files(self, nqn: str) -> tuple[str | None, str | None]:
        """Where the key and the controller key of a host were read, as far as known."""
        return self._entries().get(nqn, (None, None))

    def keep(self, nqn: str, key: str | None, ctrl_key: str | None) -> None:
        """Raises OSError."""
        self._write({**self._entries(), nqn: (key, ctrl_key)})

    def forget(self, nqn: str) -> None:
        """Raises OSError."""
        self._write({name: files for name, files in self._entries().items() if name != nqn})

    def _entries(self) -> _Entries:
        with suppress(ValueError, TypeError, AttributeError):
            found = json.loads(self._sysfs.text(_PLACE) or "{}")
            return {str(name): (key, ctrl_key) for name, (key, ctrl_key) in found.items()}
        return {}

    def _write(self, entries: _Entries) -> None:
        former = self._entries()
        if entries == former:
            return
        effect, undo = self._effect(entries), self._effect(former)
        self._effects.do(effect._replace(step=True), None, [undo])

    def _effect(self, entries: _Entries) -> Effect[None]:
        path = self._sysfs.path(_PLACE)
        if not entries:
            return remove_file(self._calls, path)
        return replace_file(self._calls, path, json.dumps(entries) + "\n", what=_WHAT)
