"""The steps for hosts: they get their keys before any export allows them."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.core.units import escape
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.auth import NO_AUTH, Auth, Key, key_in
from rdctl.rapiddisk.hosts import auth_loss
from rdctl.rapiddisk.state.model import ExportState, HostState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work


def plan(work: Work) -> list[Step | Refusal]:
    found: list[Step | Refusal] = []
    for wanted in work.comparison.wanted.hosts:
        with work.refusing("host", wanted.nqn, found, wanted.at):
            if list(work.comparison.host(wanted)):
                found.append(_set(work, wanted))
    return found


def _set(work: Work, wanted: HostState) -> Step:
    backend, nqn = work.backend, wanted.nqn
    backend.permit_exports()
    backend.check_authentication()
    there = work.comparison.there.hosts.get(nqn)
    before = (there.auth if there else None) or NO_AUTH
    after = Auth(
        _key(wanted, "auth_key_file", before.key),
        None if wanted.ctrl_key_file is None else _key(wanted, "ctrl_key_file", before.ctrl_key),
        wanted.hash,
        wanted.dhgroup,
    )
    loss = auth_loss([there] if there else [], nqn, before, after)
    return Step(
        Stage.HOST,
        "host",
        nqn,
        f"set the key of host {nqn}",
        lambda: backend.set_auth(nqn, after, loss),
        "set",
        {"authenticated": True, **between(plain.of_auth(before), plain.of_auth(after))},
        past="set the key of host {}",
        loss=loss,
        makes=before.key is None,
    )


def _key(wanted: HostState, name: str, current: Key | None) -> Key:
    file = getattr(wanted, name)
    if file:
        return key_in(file)
    if current is not None:
        return current
    raise RdctlError(
        Code.CONFIG,
        f"host {escape(wanted.nqn)}: {name} is empty",
        hint=f'Name the file with its key: {name} = "/etc/rdctl/host.key".',
    )


def guard(work: Work, export: ExportState) -> None:
    """Refuse an export whose hosts do not get the keys of the file."""
    planned = [host.nqn for host in work.comparison.wanted.hosts]
    for nqn in export.hosts:
        if ("host", nqn) in work.refused:
            work.check_planned("host", nqn, planned)


def require(work: Work, export: ExportState) -> None:
    """Raise before an export allows a host that failed to get its key."""
    if work.effects.dry_run:
        return
    secured = {host.nqn for host in work.backend.hosts() if host.has_key}
    for host in work.comparison.wanted.hosts:
        if host.nqn in export.hosts and host.nqn not in secured:
            raise RdctlError(
                Code.CONFLICT,
                f"{export.nqn} was not changed: its host {escape(host.nqn)} has no key",
                target=export.nqn,
            )
