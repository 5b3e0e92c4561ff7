"""The steps for exports: they are created with their identity, or gain and lose hosts and ports.
One whose identity differs is re-created only if that was requested, or if it is on no port."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.rapiddisk.exports import disconnects, export_data, export_difference, unexport_loss
from rdctl.rapiddisk.model import NvmeNamespace, Subsystem
from rdctl.rapiddisk.names import is_rapiddisk, is_volume
from rdctl.rapiddisk.state import hosts
from rdctl.rapiddisk.state.compare import Difference
from rdctl.rapiddisk.state.model import ExportState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work

# What can change while clients are connected.
_SOFT = ("hosts", "ports", "any_host")


def plan(work: Work) -> list[Step | Refusal]:
    found: list[Step | Refusal] = []
    for wanted in work.comparison.wanted.exports:
        with work.refusing("export", wanted.nqn, found, wanted.at):
            differing = list(work.comparison.export(wanted))
            if differing:
                found.append(_step(work, wanted, differing))
    return found


def _step(work: Work, wanted: ExportState, differing: list[Difference]) -> Step:
    work.backend.permit_exports()
    _guard_ports(work, wanted)
    hosts.guard(work, wanted)
    _guard_existence(work, wanted)
    before = work.comparison.there.exports.get(wanted.nqn)
    if before is None:
        work.check_contents(wanted.device)
        _guard_device(work, wanted)
        return _created(work, wanted)
    hard = [str(one.key) for one in differing if one.key not in _SOFT]
    if not hard:
        return _changed(work, wanted, before)
    return _recreated(work, wanted, before, hard)


def _guard_ports(work: Work, wanted: ExportState) -> None:
    planned = [str(port.number) for port in work.comparison.wanted.ports]
    for number in wanted.ports:
        if number not in work.comparison.there.ports or ("port", str(number)) in work.refused:
            work.check_planned("port", str(number), planned)


def _guard_existence(work: Work, wanted: ExportState) -> None:
    """The device is there, or will be created."""
    device, there, state = wanted.device, work.comparison.there, work.comparison.wanted
    if is_volume(device) and device not in there.volumes:
        work.check_planned("volume", device, [one.name for one in state.volumes])
    elif not is_volume(device) and device not in there.caches:
        work.check_planned("cache", device, [one.name for one in state.caches])


def _guard_device(work: Work, wanted: ExportState, but: str | None = None) -> None:
    """An export of a device that others use corrupts it."""
    device, there = wanted.device, work.comparison.there
    volume, cache = there.volumes.get(device), there.caches.get(device)
    if volume is None and cache is None:
        return
    if volume is not None:
        work.facts.guard(volume, free=False)
        work.facts.guard_contents(volume, may_go=False)
    key = cache.key if cache else device
    work.facts.guard_exported(device, key, but, work.users_going)


def _after(work: Work, wanted: ExportState) -> Subsystem:
    """The subsystem of the file."""
    path = work.backend.path_of(wanted.device)
    namespace = NvmeNamespace(
        wanted.namespace, path, True, wanted.uuid, wanted.nguid, wanted.namespace_attributes
    )
    return Subsystem(
        nqn=wanted.nqn,
        any_host=wanted.any_host,
        hosts=wanted.hosts,
        namespaces=(namespace,),
        ports=wanted.ports,
        serial=wanted.serial,
        attributes=wanted.attributes,
    )


def _created(work: Work, wanted: ExportState) -> Step:
    def act() -> None:
        hosts.require(work, wanted)
        with work.claim([wanted.device]):
            work.backend.change_export(wanted.nqn, None, _after(work, wanted), None)

    return Step(
        Stage.EXPORT,
        "export",
        wanted.nqn,
        f"export {wanted.device} as {wanted.nqn}",
        act,
        "export",
        {
            "device": wanted.device,
            "ports": list(wanted.ports),
            **between(None, export_data(wanted)),
        },
        makes=True,
    )


def _changed(work: Work, wanted: ExportState, before: Subsystem) -> Step:
    after = before._replace(any_host=wanted.any_host, hosts=wanted.hosts, ports=wanted.ports)
    loss = None
    closes = before.any_host and not wanted.any_host
    if closes or {*before.ports} - {*wanted.ports} or {*before.hosts} - {*wanted.hosts}:
        loss = f"{wanted.nqn}: {unexport_loss(before, after)}"

    def act() -> None:
        hosts.require(work, wanted)
        work.backend.change_export(wanted.nqn, before, after, loss)

    return Step(
        Stage.EXPORT,
        "export",
        wanted.nqn,
        f"change the hosts and ports of {wanted.nqn}",
        act,
        "export",
        {
            "ports": list(wanted.ports),
            "hosts": list(wanted.hosts),
            **export_difference(before, after),
        },
        past="updated {}",
        loss=loss,
    )


def _recreated(work: Work, wanted: ExportState, before: Subsystem, hard: list[str]) -> Step:
    """Without ports it is one that was interrupted before anybody could reach it."""
    devices = [work.backend.device_of(one.path) or "" for one in before.namespaces]
    if any(device and not is_rapiddisk(device) for device in devices):
        raise RdctlError(
            Code.CONFLICT, f"{wanted.nqn} exports {devices[0]}, which is not managed by RapidDisk"
        )
    loss = None
    if before.ports:
        loss = f"{wanted.nqn}: it will be re-created, which {disconnects(before)}"
        if not work.options.recreate:
            raise RdctlError(
                Code.CONFLICT,
                f"{wanted.nqn} differs from the file in {', '.join(hard)}, and needs re-creation,"
                f" which {disconnects(before)}",
                hint="Change the file, or use --recreate.",
            )
    _guard_device(work, wanted, wanted.nqn)
    after = _after(work, wanted)

    def act() -> None:
        hosts.require(work, wanted)
        work.backend.recreate_export(before, after, loss or "")

    return Step(
        Stage.EXPORT,
        "export",
        wanted.nqn,
        f"re-create export {wanted.nqn} ({', '.join(hard)})",
        act,
        "export",
        {
            "device": wanted.device,
            "ports": list(wanted.ports),
            **export_difference(before, after),
        },
        past="re-created {}",
        loss=loss,
        makes=True,
    )
