"""The steps of --prune: what an earlier apply of this boot made, and the file lacks, is removed."""

from __future__ import annotations

from functools import partial

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.auth import NO_AUTH
from rdctl.rapiddisk.caches import cache_data, removal_loss
from rdctl.rapiddisk.exports import export_difference, unexport_loss
from rdctl.rapiddisk.hosts import auth_loss
from rdctl.rapiddisk.ports import port_data
from rdctl.rapiddisk.state.compare import Difference
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work
from rdctl.rapiddisk.volumes import removal_loss as volume_loss
from rdctl.rapiddisk.volumes import volume_data


def plan(work: Work) -> list[Step | Refusal]:
    """From the top down, so that each is unused when it is removed."""
    found: list[Step | Refusal] = []
    for extra in work.comparison.extras():
        if work.made.owns(extra.kind, extra.name, work.comparison.there):
            with work.refusing(extra.kind, extra.name, found):
                found.append(_removal(work, extra))
                work.going.add((extra.kind, extra.name))
    return found


def _removal(work: Work, extra: Difference) -> Step:
    kind, name = extra.kind, extra.name
    removals = {"export": _export, "host": _host, "port": _port, "cache": _cache, "volume": _volume}
    return removals[kind](work, name)


def _export(work: Work, nqn: str) -> Step:
    before = work.comparison.there.exports[nqn]
    loss = f"{nqn}: {unexport_loss(before, None)}"
    act = partial(work.backend.change_export, nqn, before, None, loss)
    facts = export_difference(before, None)
    return Step(Stage.REMOVE, "export", nqn, f"unexport {nqn}", act, "unexport", facts, loss=loss)


def _host(work: Work, nqn: str) -> Step:
    """Without its exports it goes with its keys."""
    host = work.comparison.there.hosts[nqn]
    host = host._replace(
        exports=tuple(one for one in host.exports if ("export", one) not in work.going)
    )
    loss = auth_loss([host], nqn, host.auth or NO_AUTH, NO_AUTH)
    act = partial(work.backend.set_auth, nqn, NO_AUTH, loss)
    past = "removed the key of host {}"
    what = f"remove the key of host {nqn}"
    facts = between(plain.of_auth(host.auth), plain.of_auth(NO_AUTH))
    return Step(Stage.REMOVE, "host", nqn, what, act, "set", facts, past, loss)


def _port(work: Work, name: str) -> Step:
    number = int(name)
    for export in work.comparison.there.exports.values():
        if number in export.ports and ("export", export.nqn) not in work.going:
            raise RdctlError(
                Code.IN_USE, f"port {number} is in use: {export.nqn} is exported on it"
            )
    loss = f"port {number} will be removed; it has no exports"
    act = partial(work.backend.remove_port, number, loss)
    past = "removed port {}"
    return Step(
        Stage.REMOVE,
        "port",
        name,
        f"remove port {number}",
        act,
        "remove",
        between(port_data(work.comparison.there.ports[number].port), None),
        past,
        loss,
    )


def _cache(work: Work, name: str) -> Step:
    cache = work.comparison.there.caches[name]
    work.facts.guard_cache(cache, work.users_going)
    loss = removal_loss(cache)
    act = partial(work.backend.unmap, name, loss)
    facts = between(cache_data(cache), None)
    return Step(
        Stage.REMOVE, "cache", name, f"remove cache {name}", act, "remove", facts, loss=loss
    )


def _volume(work: Work, name: str) -> Step:
    volume = work.comparison.there.volumes[name]
    work.facts.guard(volume, but=work.users_going)
    work.facts.guard_contents(volume, may_go=False)
    loss = volume_loss(volume, "removed")

    def act() -> None:
        with work.claim([name]):
            work.backend.remove(name, loss)

    facts = between(volume_data(volume), None)
    return Step(
        Stage.REMOVE, "volume", name, f"remove volume {name}", act, "remove", facts, loss=loss
    )
