"""The hosts of the NVMe target in configfs, and how they authenticate themselves. A key is in no
line, no message and no record."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import (
    Syscalls,
    link,
    make_dir,
    remove_dir,
    set_mode,
    unlink,
    write_secret,
)
from rdctl.rapiddisk.auth import NO_AUTH, Auth, Key
from rdctl.rapiddisk.kernel.configtree import ROOT, ConfigTree
from rdctl.rapiddisk.kernel.hostrecord import HostRecord
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import NvmeHost

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.acts import Acts

_KEY, _CTRL_KEY = _KEYS = ("dhchap_key", "dhchap_ctrl_key")
_HASH, _DHGROUP = "dhchap_hash", "dhchap_dhgroup"
_PRIVATE = 0o600
# The kernel's own, without a name in Python: a hash that it has no code for.
_ENOTSUPP = 524


class NvmetHosts(ConfigTree):
    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        super().__init__(sysfs, calls, effects)
        self._ours = HostRecord(sysfs, calls, effects)

    # --- what is there ------------------------------------------------------------------------

    def hosts(self) -> list[NvmeHost]:
        """Kernels without authentication have hosts, too; a key may be readable by root only."""
        allowed = {nqn: self._names(f"subsystems/{nqn}/allowed_hosts") for nqn in self._exports()}
        found = []
        for name in self._names("hosts"):
            exports = tuple(nqn for nqn, hosts in allowed.items() if name in hosts)
            try:
                auth = self._auth(name)
            except PermissionError:
                found.append(NvmeHost(name, exports, None, True))
                continue
            files = self._ours.files(name)
            found.append(NvmeHost(name, exports, auth, self._can(name), *files))
        return found

    def exposed(self, host: str) -> list[str]:
        """The files with keys of the host that every user of this machine can read: kernels create
        them so."""
        return [
            self._calls.shown(self._path(f"hosts/{host}/{name}"))
            for name in _KEYS
            if not self._is_private(host, name) and self._value(f"hosts/{host}/{name}")
        ]

    def can_authenticate(self) -> bool | None:
        """None while no host is there to show it."""
        for name in self._names("hosts"):
            return self._can(name)
        return None

    def _exports(self) -> list[str]:
        return self._names("subsystems")

    def _can(self, host: str) -> bool:
        return self._sysfs.exists(f"{ROOT}/hosts/{host}/{_KEY}")

    def _auth(self, host: str) -> Auth:
        key, ctrl_key, hashed, dhgroup = (
            self._value(f"hosts/{host}/{name}") for name in (*_KEYS, _HASH, _DHGROUP)
        )
        return Auth(
            Key(key) if key else None,
            Key(ctrl_key) if ctrl_key else None,
            (hashed or f"hmac({NO_AUTH.hash})").removeprefix("hmac(").removesuffix(")"),
            dhgroup or NO_AUTH.dhgroup,
        )

    def _is_private(self, host: str, name: str) -> bool:
        mode = self._sysfs.mode(f"{ROOT}/hosts/{host}/{name}")
        return mode is not None and not mode & 0o077

    # --- changes ------------------------------------------------------------------------------

    def set_auth(self, host: str, after: Auth, destroys: str | None, acts: Acts) -> None:
        """All of it, or on any failure nothing. A host that is not there is created."""
        with self._effects.transaction(f"set the authentication of host {host}"):
            there = self._exists(f"hosts/{host}")
            if not there and after.key is None:
                return
            before = self._auth(host) if there else NO_AUTH
            if not there:
                self._make_dir(f"hosts/{host}")
            if after.key is None and there and not self._allowing(host):
                self.drop_host(host, acts)
                return
            if _loses_key(before, after):
                self._recreate(host, before, after, destroys)
            else:
                self._give(host, before, after, destroys, anew=there)
            self._record(host, before, after)
            self._effects.acted(acts.authenticated(host, before if there else None, after))

    def _record(self, host: str, before: Auth, after: Auth) -> None:
        """That the key is of rdctl, and which files the keys are from."""
        if after.key is None or (after.key == before.key and host not in self._ours):
            return
        pairs = ((before.key, after.key), (before.ctrl_key, after.ctrl_key))
        known = self._ours.files(host)
        files = [_file(old, new, file) for (old, new), file in zip(pairs, known, strict=True)]
        self._ours.keep(host, *files)

    def note_files(self, host: str, auth: Auth) -> None:
        """The same keys, from other files."""
        self._record(host, auth, auth)

    def drop_host(self, host: str, acts: Acts) -> None:
        """Remove a host that no export allows, with the key that rdctl gave it. A rollback restores
        it."""
        auth = self._auth(host) if self._exists(f"hosts/{host}") else NO_AUTH
        self._remove_dir(f"hosts/{host}", self._refilling(host, auth))
        if auth.key is not None:
            self._ours.forget(host)
            self._effects.acted(acts.authenticated(host, auth, None))

    def has_foreign_key(self, host: str) -> bool:
        """Whether it has a key that rdctl did not set."""
        has = any(self._value(f"hosts/{host}/{name}") for name in _KEYS)
        return has and host not in self._ours

    def _recreate(self, host: str, before: Auth, after: Auth, destroys: str | None) -> None:
        """The kernel cannot forget a key: the host is made anew. Meanwhile it cannot connect."""
        exports = self._allowing(host)
        for nqn in exports:
            self._unlink(f"hosts/{host}", _allowed(nqn, host), destroys)
        self._remove_dir(f"hosts/{host}", self._refilling(host, before))
        self._make_dir(f"hosts/{host}")
        self._give(host, NO_AUTH, after, destroys, anew=False)
        for nqn in exports:
            self._link(f"hosts/{host}", _allowed(nqn, host))
        if after.key is None:
            self._ours.forget(host)

    def _give(
        self, host: str, before: Auth, after: Auth, destroys: str | None, *, anew: bool
    ) -> None:
        """`anew`: the host was there, so that a rollback of its first key makes it anew."""
        if anew and _loses_key(after, before):
            self._effects.undo_with(*reversed(list(self._anew(host, before))))
        undo = {name: text for name, text in _words(before) if text is not None}
        for effect, name in zip(
            self._settings(host, before, after), _changing(before, after), strict=True
        ):
            former = [self._setting(host, name, undo[name])] if name in undo else []
            self._perform(host, name, effect._replace(destroys=destroys), former)

    def _perform(
        self, host: str, name: str, effect: Effect[None], undo: Sequence[Effect[Any]]
    ) -> None:
        try:
            if name in _KEYS and not self._is_private(host, name):
                self._effects.do(self._closing(host, name), None)
            self._effects.do(effect, None, undo)
        except FileNotFoundError as error:
            raise self.no_authentication() from error
        except OSError as error:
            if error.errno not in (errno.EINVAL, _ENOTSUPP):
                raise
            what = {_HASH: "this hash", _DHGROUP: "this Diffie-Hellman group"}.get(name, "this key")
            raise RdctlError(
                Code.UNSUPPORTED,
                f"host {host}: this kernel cannot use {what}",
                hint="Choose another --hash or --dhgroup. See the kernel log: dmesg | tail",
                target=host,
            ) from error

    def no_authentication(self) -> RdctlError:
        why = f"its hosts have no {_KEY}"
        needed = "Linux 6.0 or later with CONFIG_NVME_TARGET_AUTH"
        return self._lacking("authenticate hosts", why, needed)

    def _allowing(self, host: str) -> list[str]:
        return [nqn for nqn in self._exports() if self._exists(_allowed(nqn, host))]

    # --- single effects -----------------------------------------------------------------------

    def _settings(self, host: str, before: Auth, after: Auth) -> list[Effect[None]]:
        words = dict(_words(after))
        return [self._setting(host, name, words[name]) for name in _changing(before, after)]

    def _setting(self, host: str, name: str, value: str | Key | None) -> Effect[None]:
        below = f"hosts/{host}/{name}"
        if isinstance(value, Key):
            return write_secret(self._calls, self._path(below), value.reveal(), value.file)
        return self._writing(below, value or "")

    def _closing(self, host: str, name: str) -> Effect[None]:
        """A key is not for every user of this machine."""
        return set_mode(self._calls, self._path(f"hosts/{host}/{name}"), _PRIVATE)

    def _refilling(self, host: str, auth: Auth) -> list[Effect[None]]:
        """The settings of a host that was made again."""
        keys = [name for name in _changing(NO_AUTH, auth) if name in _KEYS]
        closing = [self._closing(host, name) for name in keys]
        return [*closing, *self._settings(host, NO_AUTH, auth)]

    def _anew(self, host: str, auth: Auth) -> Iterator[Effect[Any]]:
        """Make a host again as it was, in this order."""
        path = self._path(f"hosts/{host}")
        exports = [self._path(_allowed(nqn, host)) for nqn in self._allowing(host)]
        yield from (unlink(self._calls, place) for place in exports)
        yield remove_dir(self._calls, path)
        yield make_dir(self._calls, path)
        yield from self._refilling(host, auth)
        yield from (link(self._calls, path, place) for place in exports)


def _allowed(nqn: str, host: str) -> str:
    return f"subsystems/{nqn}/allowed_hosts/{host}"


def _loses_key(before: Auth, after: Auth) -> bool:
    """Whether a key is set before, and not afterwards."""
    pairs = ((before.key, after.key), (before.ctrl_key, after.ctrl_key))
    return any(old is not None and new is None for old, new in pairs)


def _file(before: Key | None, after: Key | None, known: str | None) -> str | None:
    """Where a key was read. The same key may now be in another file."""
    if after is None:
        return None
    return after.file or (known if after == before else None)


def _words(auth: Auth) -> list[tuple[str, str | Key | None]]:
    """Each attribute with its value, in the order in which they are set: the keys come last."""
    return [
        (_HASH, f"hmac({auth.hash})"),
        (_DHGROUP, auth.dhgroup),
        (_CTRL_KEY, auth.ctrl_key),
        (_KEY, auth.key),
    ]


def _changing(before: Auth, after: Auth) -> list[str]:
    former = dict(_words(before))
    return [name for name, value in _words(after) if value is not None and value != former[name]]
