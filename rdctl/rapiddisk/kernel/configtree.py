"""The NVMe target's configuration in configfs: its directories, attributes and links.

Nothing there is transactional: each step is one system call, so each names its undo.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Any

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, link, make_dir, remove_dir, unlink, write
from rdctl.rapiddisk.kernel.attributes import is_attribute
from rdctl.rapiddisk.kernel.sysfs import Sysfs

ROOT = "sys/kernel/config/nvmet"


class ConfigTree:
    """Reads raise OSError where the configuration cannot be read; so do changes."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._effects = effects
        # What this dry run would have made (True) and removed (False).
        self._planned: dict[str, bool] = {}

    def _names(self, below: str) -> list[str]:
        return self._sysfs.listed(f"{ROOT}/{below}")

    def _value(self, below: str) -> str | None:
        """An attribute; None if it is empty."""
        return self._sysfs.read(f"{ROOT}/{below}") or None

    def _lacking(self, what: str, why: str, needed: str) -> RdctlError:
        """The error for what this kernel cannot do."""
        release = self._sysfs.text("proc/sys/kernel/osrelease") or "unknown"
        return RdctlError(
            Code.UNSUPPORTED,
            f"this kernel ({release}) cannot {what}: {why}",
            hint=f"It needs {needed}, which Debian's kernels have from 6.12 on.",
        )

    # --- single steps -------------------------------------------------------------------------

    def _path(self, below: str) -> str:
        return self._sysfs.path(f"{ROOT}/{below}")

    def _exists(self, below: str) -> bool:
        """In a dry run: whether it would exist by now."""
        if below in self._planned:
            return self._planned[below]
        return self._sysfs.exists(f"{ROOT}/{below}")

    def _plan(self, below: str, there: bool) -> None:
        if self._effects.dry_run:
            self._planned[below] = there

    def _writing(self, below: str, text: str) -> Effect[None]:
        path = self._path(below)
        return write(self._calls, path, text, what=f"write {text} to {self._calls.shown(path)}")

    def _writings(self, directory: str, values: Iterable[tuple[str, str]]) -> list[Effect[None]]:
        return [self._writing(f"{directory}/{name}", text) for name, text in values]

    def _write(
        self, below: str, text: str, *, was: str | None = None, destroys: str | None = None
    ) -> None:
        undo = [] if was is None else [self._writing(below, was)]
        self._effects.do(self._writing(below, text)._replace(destroys=destroys), None, undo)

    def _set(self, directory: str, values: Iterable[tuple[str, str]]) -> None:
        """Attributes of a new directory, which is undone by its removal."""
        for name, text in values:
            if not is_attribute(name):
                raise OSError(errno.EINVAL, "invalid name of an attribute", name)
            try:
                self._write(f"{directory}/{name}", text)
            except FileNotFoundError as error:
                why = f"this kernel has no attribute {name}"
                raise OSError(errno.EOPNOTSUPP, why, error.filename) from error

    def _write_if_there(self, below: str, text: str) -> None:
        """Older kernels lack some attributes; a dry run has no directory yet to look into."""
        try:
            self._write(below, text)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _make_dir(self, below: str) -> None:
        path = self._path(below)
        self._effects.do(make_dir(self._calls, path), None, [remove_dir(self._calls, path)])
        self._plan(below, True)

    def _remove_dir(
        self,
        below: str,
        again: Sequence[Effect[Any]] = (),
        destroys: str | None = None,
        what: str = "",
        act: Act | None = None,
    ) -> None:
        """`again` refills the directory when it has to be restored."""
        path = self._path(below)
        undo = [*reversed(again), make_dir(self._calls, path)]
        effect = remove_dir(self._calls, path)._replace(destroys=destroys)
        effect = effect._replace(what=what or effect.what)
        self._effects.do(effect, None, undo, None if act is None else lambda: act)
        self._plan(below, False)

    def _link(self, target: str, below: str) -> None:
        path = self._path(below)
        effect = link(self._calls, self._path(target), path)
        self._effects.do(effect, None, [unlink(self._calls, path)])
        self._plan(below, True)

    def _unlink(self, target: str, below: str, destroys: str | None) -> None:
        path = self._path(below)
        effect = unlink(self._calls, path)._replace(destroys=destroys)
        self._effects.do(effect, None, [link(self._calls, self._path(target), path)])
        self._plan(below, False)
