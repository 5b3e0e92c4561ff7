"""Exports made as they were: created again, or with their former ports, hosts and identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdctl.core.errors import RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.rapiddisk.changes import the_change
from rdctl.rapiddisk.exports import Exports, changed_meanwhile, disconnects, unexport_loss
from rdctl.rapiddisk.guards import NO_OVERRIDES
from rdctl.rapiddisk.identity import is_as
from rdctl.rapiddisk.model import Subsystem


class _Restoration(NamedTuple):
    """`anew`: the kernel cannot change what is there into it. `loss` has to be confirmed."""

    before: Subsystem | None
    after: Subsystem
    anew: bool
    loss: str | None


class FormerExports(Exports):
    def restore(self, formers: Sequence[Subsystem]) -> Report:
        """Make exports as they were, whatever they are now. Access that this takes away has to be
        confirmed."""
        self._backend.permit_exports()
        todo: dict[str, _Restoration] = {}
        outcomes: list[Change | Failure] = []
        for former in formers:
            try:
                planned = self._restoration(former)
            except RdctlError as error:
                outcomes.append(Failure("export", error))
                continue
            if planned.before is not None and is_as(planned.before, former) and not planned.anew:
                outcomes.append(Change("export", former.nqn, False, True))
            else:
                todo[former.nqn] = planned
        losses = [one.loss for one in todo.values() if one.loss is not None]
        if losses:
            self._effects.consent(losses)

        def act(nqn: str) -> Change:
            return the_change(self._restored(nqn, todo[nqn]))

        self._effects.foretell(f"restore the export {nqn}" for nqn in todo)
        names = [former.nqn for former in formers]
        return self._in_turn("export", list(todo), act, None, outcomes, names)

    def _restoration(self, former: Subsystem) -> _Restoration:
        described = self._backend.described_subsystems()
        before = next((one for one in described if one.nqn == former.nqn), None)
        self._guard_former(former, before)
        anew, loss = False, None
        if before is not None:
            anew = _kept(before) != _kept(former)
            if not anew:
                former = before._replace(
                    any_host=former.any_host, hosts=former.hosts, ports=former.ports
                )
            narrowed = {*before.ports} - {*former.ports} or {*before.hosts} - {*former.hosts}
            if anew and before.ports:
                loss = f"export {former.nqn} will be re-created, which {disconnects(before)}"
            elif narrowed or (before.any_host and not former.any_host):
                loss = f"{former.nqn}: {unexport_loss(before, former)}"
        return _Restoration(before, former, anew, loss)

    def _guard_former(self, former: Subsystem, before: Subsystem | None) -> None:
        names = [self._backend.device_of(one.path) or "" for one in former.namespaces]
        facts = self._facts(names if before is None else [], NO_OVERRIDES)
        for name in names:
            self._guard(facts, name, before)
        self._check_ports(former.ports)

    def _restored(self, nqn: str, one: _Restoration) -> Report:
        with self._backend.claim([]) as alone:
            if alone and self._restoration(one.after) != one:
                raise changed_meanwhile(nqn)
            unused = one.before is None
            names = [self._backend.device_of(n.path) or "" for n in one.after.namespaces]
            with self._backend.claim(names if unused else []):
                if one.before is not None and one.anew:
                    self._backend.recreate_export(one.before, one.after, one.loss or "")
                else:
                    self._backend.change_export(nqn, one.before, one.after, one.loss)
            return self._confirmed("export", nqn, one.after, {"ports": list(one.after.ports)})


def _kept(subsystem: Subsystem) -> Subsystem:
    """What clients know it by, and its devices: the kernel cannot change these. Attributes that
    only others set are left as they are."""
    namespaces = sorted(one._replace(attributes=()) for one in subsystem.namespaces)
    return Subsystem(
        nqn=subsystem.nqn,
        any_host=False,
        hosts=(),
        namespaces=tuple(namespaces),
        ports=(),
        serial=subsystem.serial,
    )
