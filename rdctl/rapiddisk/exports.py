"""Exports: volumes and caches that other machines can use as NVMe-oF targets. A rapiddiskd lists
them; only the machine itself changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Listing, Report, between
from rdctl.core.units import escape, guess, operand, quoted
from rdctl.rapiddisk.auth import NO_SETTINGS, Auth, Settings
from rdctl.rapiddisk.changes import (
    Changes,
    distinct,
    export_unproven,
    find,
    missing,
    shown,
    the_change,
)
from rdctl.rapiddisk.guards import Facts, Overrides
from rdctl.rapiddisk.hosts import auth_facts, planned_auth
from rdctl.rapiddisk.identity import NO_IDENTITY, Identity, is_as, with_new_identity
from rdctl.rapiddisk.model import NvmeNamespace, Subsystem, Target, targets_of, trust_shown
from rdctl.rapiddisk.names import (
    device_name,
    host_nqn,
    is_own_nqn,
    is_rapiddisk,
    is_volume,
)

if TYPE_CHECKING:
    from rdctl.rapiddisk.state.model import ExportState

T = TypeVar("T")


class _Request(NamedTuple):
    ports: Sequence[int]
    hosts: Sequence[str]
    any_host: bool
    identity: Identity
    recreate: bool
    overrides: Overrides
    settings: Settings


class _Export(NamedTuple):
    """The change of an export. `loss`: why it has to be re-created, and what that disconnects.
    `hosts` are those that get a key first."""

    before: Subsystem | None
    after: Subsystem
    loss: str | None
    hosts: Mapping[str, Auth]


class _Unexport(NamedTuple):
    """An export to remove or to reduce to `after`, named by its device or its NQN."""

    device: str | None
    nqn: str | None
    before: Subsystem
    after: Subsystem | None
    loss: str


class Exports(Changes):
    # --- looking ------------------------------------------------------------------------------

    def list(self, incomplete: bool, names: Sequence[str] | None = None) -> Listing:
        """The namespaces of all subsystems; with `incomplete` also subsystems without one. `names`
        are those of subsystems or devices; an unknown one is an error."""
        targets = self._targets(incomplete)
        if names is None:
            return Listing(targets, also=trust_shown(targets))
        found: list[Target] = []
        for name in distinct(names):
            found += [target for target in self._named(targets, name) if target not in found]
        return Listing(found, also=trust_shown(found))

    def show(self, names: Sequence[str], keys: Sequence[str]) -> Listing:
        """The namespaces of these subsystems or devices at length, with these keys."""
        targets = self._targets(self._backend.reports_all)
        return shown(names, lambda name: self._named(targets, name), keys)

    def _targets(self, incomplete: bool) -> Sequence[Target]:
        if not incomplete:
            return self._backend.targets()
        ports = {port.port: port for port in self._backend.ports()}
        keys = {host.nqn: host.has_key for host in self._backend.hosts()}
        subsystems = self._backend.subsystems()
        return [target for s in subsystems for target in targets_of(s, ports, keys)]

    def _named(self, targets: Sequence[Target], name: str) -> Sequence[Target]:
        """The namespaces of a subsystem, or those that export a device."""
        found = [target for target in targets if name == target.nqn or self._is_of(target, name)]
        if not found:
            by_nqn = name.startswith("nqn.")
            known = [target.nqn if by_nqn else _device(target.device or "") for target in targets]
            raise missing("export", name, distinct(filter(None, known)))
        return found

    def _is_of(self, target: Target, name: str) -> bool:
        device = _device(name)
        if self._backend.reports_all:
            return self._backend.device_of(target.device) == device
        return target.device == name or self._backend.is_path_of(target.device, device)

    # --- exporting ----------------------------------------------------------------------------

    def export(
        self,
        names: Sequence[str],
        ports: Sequence[int],
        hosts: Sequence[str],
        any_host: bool,
        overrides: Overrides,
        identity: Identity = NO_IDENTITY,
        recreate: bool = False,
        settings: Callable[[], Settings] = lambda: NO_SETTINGS,
    ) -> Report:
        """Export volumes and caches on these ports to these hosts; an existing export gains the
        ports and hosts that it lacks. One of another identity is re-created, if `recreate`.
        `settings` reads how the hosts have to authenticate themselves."""
        names = distinct(map(device_name, names))
        for host in hosts:
            host_nqn(host)
        identity = identity.usual()
        if any(identity) and len(names) > 1:
            raise RdctlError(
                Code.USAGE, "--serial, --uuid and --nguid identify one disk: specify one DEVICE"
            )
        self._backend.permit_exports()
        request = _Request(ports, hosts, any_host, identity, recreate, overrides, settings())
        if any(request.settings):
            self._backend.check_authentication()
        # What has been confirmed.
        asked = self._planned(names[0], request) if recreate else None
        if asked is not None and asked.loss is not None:
            self._effects.consent([asked.loss])

        def act(device: str) -> Change:
            return the_change(self._export(device, request, asked))

        self._effects.foretell(f"export {name}" for name in names)
        return self._in_turn("export", names, act, None, (), names)

    def _export(self, device: str, request: _Request, asked: _Export | None) -> Report:
        with self._backend.claim([]):
            planned = before, after, loss, keys = self._planned(device, request)
            if loss is not None and planned != asked:
                raise changed_meanwhile(device)
            given = {key: value for key, value in request.identity._asdict().items() if value}
            facts = {
                **export_data(after),
                **given,
                **auth_facts(request.settings),
                **export_difference(before, after),
            }
            if after == before and not keys:
                return Report([Change("export", device, False, True, facts)])
            # Meanwhile, an unused device cannot be mounted, mapped or used as swap by others.
            unused = before is None or loss is not None
            with (
                self._backend.claim([device] if unused else []),
                self._effects.transaction(f"export {after.nqn}"),
            ):
                for host, auth in keys.items():
                    self._backend.set_auth(host, auth, None)
                if after == before:
                    pass
                elif before is not None and loss is not None:
                    self._backend.recreate_export(before, after, loss)
                else:
                    self._backend.change_export(after.nqn, before, after, None)
            return self._confirmed("export", device, after, facts)

    def _planned(self, device: str, request: _Request) -> _Export:
        facts = self._facts([device], request.overrides)
        before = self._exported(device)
        self._guard(facts, device, before)
        self._check_ports(request.ports)
        loss = None
        if before is not None and request.identity.differs_from(before):
            loss = self._recreation(device, before, request)
            described = self._backend.described_subsystems()
            before = next(one for one in described if one.nqn == before.nqn)
        after = request.identity.given_to(self._requested(device, before, request))
        keys = planned_auth(self._backend.hosts(), request.hosts, request.settings, after.nqn)
        return _Export(before, after, loss, keys)

    def _recreation(self, device: str, before: Subsystem, request: _Request) -> str:
        """What is lost when an export gets another identity."""
        if not request.recreate:
            differences = "; ".join(request.identity.differences(before, "{} is {}, not {}"))
            raise RdctlError(
                Code.CONFLICT,
                f"{device}: {differences}: the export must be re-created, which"
                f" {disconnects(before)}",
                hint="To re-create it, use --recreate.",
                target=device,
            )
        differences = ", ".join(request.identity.differences(before, "{0} {2} instead of {1}"))
        what = f"export {before.nqn} will be re-created ({differences})"
        return f"{what}, which {disconnects(before)}"

    def _exported(self, device: str) -> Subsystem | None:
        """The one export of a device, to be extended; None if it is not exported."""
        found = self._exports_of(device)
        if not found:
            return None
        subsystem = found[0]
        if len(found) > 1 or len(subsystem.namespaces) > 1:
            raise RdctlError(
                Code.CONFLICT,
                f"{device} is exported by {', '.join(s.nqn for s in found)}, which was not created"
                " by rdctl",
                hint="Change it with the tool that created it, or with: nvmetcli",
                target=device,
            )
        if not subsystem.namespaces[0].enabled:
            raise _incomplete(subsystem.nqn)
        return subsystem

    def _exports_of(self, device: str) -> Sequence[Subsystem]:
        return [
            subsystem
            for subsystem in self._backend.subsystems()
            if any(self._backend.device_of(n.path) == device for n in subsystem.namespaces)
        ]

    def _guard(self, facts: Facts, device: str, before: Subsystem | None) -> None:
        """An export of a device that others use corrupts it."""
        but = before.nqn if before is not None else None
        key = device
        for volume in facts.inventory.volumes:
            if volume.device == device:
                facts.guard(volume, free=False)
                facts.guard_contents(volume, may_go=False)
                break
        else:
            if is_volume(device):
                find(facts.inventory.volumes, device, "volume")
            cache = find(facts.inventory.caches, device, "cache")
            if cache.volume is None:
                raise RdctlError(
                    Code.NOT_FOUND,
                    f"{device} is incomplete",
                    hint=f"Remove it: rdctl rapiddisk cache remove {operand(device)}",
                    target=device,
                )
            key = cache.key
        facts.guard_exported(device, key, but)

    def _check_ports(self, ports: Sequence[int]) -> None:
        there = {port.port: port for port in self._backend.ports()}
        for number in ports:
            if number not in there:
                add = f"rdctl rapiddisk nvmet port add {number} --transport tcp --address IP"
                raise missing("port", str(number), list(map(str, there)), f"Add it: {add}")
            transport = there[number].transport
            if transport is None:
                raise RdctlError(
                    Code.CONFLICT,
                    f"port {number} is incomplete",
                    hint=f"Remove it: rdctl rapiddisk nvmet port remove {number}",
                    target=str(number),
                )
            self._backend.check_transport(transport)

    def _requested(self, device: str, before: Subsystem | None, request: _Request) -> Subsystem:
        any_host = request.any_host
        if before is None:
            nqn = self._backend.nqn_of(device)
            if any(subsystem.nqn == nqn for subsystem in self._backend.subsystems()):
                raise _incomplete(nqn)
            path = self._backend.path_of(device)
            before = Subsystem(
                nqn=nqn,
                any_host=any_host,
                hosts=(),
                namespaces=(NvmeNamespace(1, path, True),),
                ports=(),
            )
        elif before.any_host != any_host:
            who = "any host" if before.any_host else "named hosts only"
            raise RdctlError(
                Code.CONFLICT,
                f"{device} is already exported to {who}, and the kernel cannot mix any-host and"
                " named hosts",
                hint=f"Unexport it first: rdctl rapiddisk nvmet unexport {operand(device)}",
                target=device,
            )
        hosts, ports = _union(before.hosts, request.hosts), _union(before.ports, request.ports)
        return before._replace(hosts=hosts, ports=ports)

    def _confirmed(
        self, action: str, target: str, after: Subsystem, facts: Mapping[str, object]
    ) -> Report:
        def is_so() -> bool:
            return any(is_as(there, after) for there in self._backend.subsystems())

        return self._proven(action, target, is_so, export_unproven(target), facts)

    # --- unexporting --------------------------------------------------------------------------

    def unexport(
        self,
        devices: Sequence[str],
        nqns: Sequence[str],
        ports: Sequence[int],
        hosts: Sequence[str],
    ) -> Report:
        """Remove exports, or only these ports and hosts of them. Removing its last port removes
        all of an export; without its last host, no host may connect."""
        devices = distinct(map(device_name, devices))
        targets = [*devices, *distinct(nqns)]
        self._backend.permit_exports()
        todo: dict[str, _Unexport] = {}
        outcomes: list[Change | Failure] = []
        for target in targets:
            device = target if target in devices else None
            nqn = None if device else target
            try:
                before = self._to_unexport(device, nqn)
            except RdctlError as error:
                outcomes.append(Failure("unexport", error))
                continue
            after = _without(before, ports, hosts)
            if after == before:
                facts = export_difference(before, before)
                outcomes.append(Change("unexport", target, False, True, facts))
            elif all(other.before != before for other in todo.values()):
                loss = f"{before.nqn}: {unexport_loss(before, after)}"
                todo[target] = _Unexport(device, nqn, before, after, loss)
        if todo:
            self._effects.consent([one.loss for one in todo.values()])

        def act(target: str) -> Change:
            return the_change(self._unexport(target, todo[target]))

        return self._in_turn("unexport", list(todo), act, None, outcomes, targets)

    def _unexport(self, target: str, one: _Unexport) -> Report:
        device, nqn, before, after, loss = one
        with self._backend.claim([]) as alone:
            if alone and self._to_unexport(device, nqn) != before:
                raise changed_meanwhile(target)
            self._backend.change_export(before.nqn, before, after, loss)
        if after is not None:
            facts = {**export_data(after), **export_difference(before, after)}
            return self._confirmed("unexport", target, after, facts)

        def is_gone() -> bool:
            return all(subsystem.nqn != before.nqn for subsystem in self._backend.subsystems())

        facts = export_difference(before, None)
        return self._proven("unexport", target, is_gone, export_unproven(target), facts)

    def _to_unexport(self, device: str | None, nqn: str | None) -> Subsystem:
        if device is not None:
            found = self._exports_of(device)
            name, problem, shows = device, f"{device} is not exported", "nvmet list"
        else:
            found = [s for s in self._backend.subsystems() if s.nqn == nqn]
            name, shows = str(nqn), "nvmet list --all"
            problem = f"export {escape(name)} not found"
        if not found:
            known = [target.nqn if nqn else target.device or "" for target in self.list(True)]
            raise RdctlError(
                Code.NOT_FOUND,
                problem,
                hint=hints(f"List the exports: rdctl rapiddisk {shows}", guess(name, known)),
                target=name,
            )
        if len(found) > 1:
            raise RdctlError(
                Code.CONFLICT,
                f"{name} is exported more than once: {', '.join(s.nqn for s in found)}",
                hint="Select one of them: --nqn NQN",
                target=name,
            )
        self._guard_foreign(found[0])
        return found[0]

    def _guard_foreign(self, subsystem: Subsystem) -> None:
        """Only empty exports and those of RapidDisk are removed."""
        devices = [self._backend.device_of(n.path) for n in subsystem.namespaces]
        if all(device is None or is_rapiddisk(device) for device in devices):
            if any(devices) or not subsystem.namespaces or is_own_nqn(subsystem.nqn):
                return
        raise RdctlError(
            Code.CONFLICT,
            f"{subsystem.nqn} exports devices that are not managed by RapidDisk",
            hint="Remove it with the tool that created it, or with: nvmetcli",
            target=subsystem.nqn,
        )

    def revalidate(self, names: Sequence[str]) -> Report:
        """Notify the clients of exports of the devices' new sizes."""
        names = distinct(map(device_name, names))
        self._backend.permit_exports()
        self._effects.foretell(f"revalidate {name}" for name in names)
        return self._in_turn("revalidate", names, self._revalidated, None, (), names)

    def _revalidated(self, device: str) -> Change:
        found = self._exports_of(device)
        if not found:
            raise RdctlError(
                Code.NOT_FOUND,
                f"{device} is not exported",
                hint="List the exports: rdctl rapiddisk nvmet list",
                target=device,
            )
        with self._backend.claim([]):
            for subsystem in found:
                for namespace in subsystem.namespaces:
                    if self._backend.device_of(namespace.path) == device:
                        self._backend.revalidate(subsystem.nqn, namespace.number)
        changed = None if self._effects.dry_run else True
        return Change("revalidate", device, changed, None)


def _device(path: str) -> str:
    """The name of a device, as it is listed."""
    return path.removeprefix("/dev/").removeprefix("mapper/")


def _incomplete(nqn: str) -> RdctlError:
    return RdctlError(
        Code.EXISTS,
        f"{nqn} already exists, incomplete or for another device",
        hint=f"Show it: rdctl rapiddisk nvmet list --all; remove it:"
        f" rdctl rapiddisk nvmet unexport --nqn {quoted(nqn)}",
        target=nqn,
    )


def changed_meanwhile(target: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{target} was changed meanwhile; nothing was done",
        hint="Check it, then try again: rdctl rapiddisk nvmet list --all",
        target=target,
    )


def _union(there: tuple[T, ...], more: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*there, *more)))


def _without(before: Subsystem, ports: Sequence[int], hosts: Sequence[str]) -> Subsystem | None:
    """None: nothing is left of it."""
    left = tuple(port for port in before.ports if port not in ports)
    if not ports and not hosts:
        return None
    if ports and not left and before.ports:
        return None
    allowed = tuple(host for host in before.hosts if host not in hosts)
    return before._replace(ports=left, hosts=allowed)


def unexport_loss(before: Subsystem, after: Subsystem | None) -> str:
    if after is None:
        return "its clients will lose access"
    ports = [str(port) for port in before.ports if port not in after.ports]
    hosts = [host for host in before.hosts if host not in after.hosts]
    words = []
    if ports:
        words.append(f"clients on port {', '.join(ports)} will lose access")
    if hosts:
        words.append(f"{', '.join(hosts)} may no longer connect")
    if not after.hosts and not after.any_host:
        words.append("no host may connect")
    return "; ".join(words)


def export_data(subsystem: Subsystem | ExportState) -> dict[str, object]:
    return {
        "nqn": subsystem.nqn,
        "ports": list(subsystem.ports),
        "hosts": list(subsystem.hosts),
        "any_host": subsystem.any_host,
    }


def export_difference(before: Subsystem | None, after: Subsystem | None) -> dict[str, object]:
    was, will_be = (None if one is None else export_data(one) for one in (before, after))
    return between(*with_new_identity(was, will_be, before, after))


def disconnects(subsystem: Subsystem) -> str:
    """What re-creation does: Linux 6.1 does not show who is connected, so these are the allowed."""
    count = len(subsystem.hosts)
    if subsystem.any_host:
        return "disconnects all its hosts"
    return f"disconnects {count} {'host' if count == 1 else 'hosts'}"
