"""Hosts that exports allow, and how they authenticate themselves. The kernel keeps keys per host:
the same one is for all of its exports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Listing, Report, between
from rdctl.core.units import escape, quoted
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.auth import NO_AUTH, Auth, Settings
from rdctl.rapiddisk.changes import Changes, distinct, export_unproven, missing
from rdctl.rapiddisk.model import NvmeHost
from rdctl.rapiddisk.names import host_nqn


class HostRow(NamedTuple):
    """A host as it is listed: never with its keys. None: not readable without root."""

    host: str
    exports: list[str]
    key: bool | None
    ctrl_key: bool | None
    hash: str | None
    dhgroup: str | None


class Hosts(Changes):
    def list(self, names: Sequence[str] | None = None) -> Listing:
        """All hosts, or only these; an unknown one is an error."""
        rows = [_row(host) for host in self._backend.hosts()]
        if names is None:
            return Listing(rows)
        there = {row.host: row for row in rows}
        for name in names:
            if name not in there:
                raise missing("host", name, list(there))
        return Listing([there[name] for name in distinct(names)])

    def exposed(self, nqn: str) -> Sequence[str]:
        """The files with its keys that every user of the machine can read."""
        return self._backend.exposed(nqn)

    def set(self, nqn: str, settings: Callable[[], Settings]) -> Report:
        """Set or replace the keys of a host. What a key is used for already has to be
        confirmed."""

        def prepared() -> Callable[[Auth], Auth]:
            return settings().given_to

        return self._changed(nqn, prepared)

    def clear(self, nqn: str) -> Report:
        """Remove the keys of a host."""
        return self._changed(nqn, lambda: lambda before: NO_AUTH)

    def restore(self, nqn: str, former: Mapping[str, Any] | None) -> Report:
        """Make it as it was, as an act has it: keys that were there are still the same."""
        if former is None or not former["key"]:
            return self.clear(nqn)

        def restored(before: Auth) -> Auth:
            ctrl_key = before.ctrl_key if former["ctrl_key"] else None
            return Auth(before.key, ctrl_key, former["hash"], former["dhgroup"])

        return self._changed(nqn, lambda: restored)

    def _changed(self, nqn: str, prepared: Callable[[], Callable[[Auth], Auth]]) -> Report:
        """`prepared` reads what is needed to change the settings."""
        host_nqn(nqn)
        self._backend.permit_exports()
        changed = prepared()
        self._backend.check_authentication()
        planned = before, after, loss = self._planned(nqn, changed)
        facts: dict[str, Any] = {"authenticated": after.key is not None}
        past = "set the key of host {}"
        if after.key is None:
            past = "removed the key of host {}"
        else:
            facts |= {"hash": after.hash, "dhgroup": after.dhgroup}
        facts |= between(plain.of_auth(before), plain.of_auth(after))
        if after == before:
            self._note_files(nqn, after)
            already = "host {} already has this key" if after.key else "host {} has no key"
            return Report([Change("set", nqn, False, True, facts, already)])
        if loss is not None:
            self._effects.consent([loss])
        self._effects.foretell([past.format(nqn)])
        with self._backend.claim([]) as alone:
            if alone and self._planned(nqn, changed) != planned:
                raise RdctlError(
                    Code.CONFLICT,
                    f"host {nqn} was changed meanwhile; nothing was done",
                    hint="Check it, then try again: rdctl rapiddisk nvmet host list",
                    target=nqn,
                )
            self._backend.set_auth(nqn, after, loss)

        def is_so() -> bool:
            return _auth_of(self._backend.hosts(), nqn) == after

        return self._proven("set", nqn, is_so, export_unproven(nqn), facts, past)

    def _note_files(self, nqn: str, auth: Auth) -> None:
        """A dump names the files that were given last."""
        if any(key is not None and key.file is not None for key in auth[:2]):
            with self._backend.claim([]):
                self._backend.note_key_files(nqn, auth)

    def _planned(self, nqn: str, changed: Callable[[Auth], Auth]) -> tuple[Auth, Auth, str | None]:
        hosts = self._backend.hosts()
        before = _auth_of(hosts, nqn)
        after = changed(before)
        if after.key is None and after != NO_AUTH:
            raise RdctlError(
                Code.CONFLICT,
                f"host {escape(nqn)} has no key",
                hint="Name the file with its key: --auth-key-file FILE",
                target=nqn,
            )
        return before, after, auth_loss(hosts, nqn, before, after)


def auth_loss(hosts: Iterable[NvmeHost], nqn: str, before: Auth, after: Auth) -> str | None:
    """What a change of the keys of a host means for those who use them; None: nothing."""
    exports = next((host.exports for host in hosts if host.nqn == nqn), ())
    if after.key is None and before.key is not None:
        what = f"host {nqn} will have no key"
        if not exports:
            return what
        return f"{what}: any client that uses its name can connect to {', '.join(exports)}"
    if not exports or after[:2] == before[:2]:
        return None
    what = "a key" if before.key is None else "the new key"
    return f"host {nqn} will need {what} to connect again to {', '.join(exports)}"


def planned_auth(
    hosts: Iterable[NvmeHost], names: Sequence[str], settings: Settings, own: str
) -> Mapping[str, Auth]:
    """What an export has to set first. Keys that are in use are not changed by it: `own` is the
    NQN of the export."""
    if not any(settings):
        return {}
    there = {host.nqn: host for host in hosts}
    found = {}
    for name in distinct(names):
        before = _auth_of(there.values(), name)
        after = settings.given_to(before)
        if after == before:
            continue
        others = [nqn for nqn in there[name].exports if nqn != own] if name in there else []
        if before.key is not None or others:
            raise _in_use(name, before, others)
        found[name] = after
    return found


def _in_use(host: str, before: Auth, others: Sequence[str]) -> RdctlError:
    has = "other keys or settings" if before.key is not None else "no key"
    used = f", and is allowed by {', '.join(others)}" if others else ""
    return RdctlError(
        Code.CONFLICT,
        f"host {escape(host)} has {has}{used}: a key is for all exports of a host",
        hint="To set its key for all of them:"
        f" rdctl rapiddisk nvmet host set {quoted(host)} --auth-key-file FILE",
        target=host,
    )


def auth_facts(settings: Settings) -> dict[str, Any]:
    """What a result says about them."""
    return {} if settings.key is None else {"authenticated": True}


def _auth_of(hosts: Iterable[NvmeHost], nqn: str) -> Auth:
    for host in hosts:
        if host.nqn == nqn:
            return host.auth or NO_AUTH
    return NO_AUTH


def _row(host: NvmeHost) -> HostRow:
    auth, exports = host.auth, list(host.exports)
    if auth is None:
        return HostRow(host.nqn, exports, None, None, None, None)
    if not host.can:
        return HostRow(host.nqn, exports, False, False, None, None)
    keys = (auth.key is not None, auth.ctrl_key is not None)
    return HostRow(host.nqn, exports, *keys, auth.hash, auth.dhgroup)
