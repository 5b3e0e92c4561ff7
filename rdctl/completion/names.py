"""The current names of each kind at a site; reads only."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from rdctl.completion.request import Candidate, CompletionRequest
from rdctl.config.contexts import Config
from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size
from rdctl.effects.door import Effect, Effects
from rdctl.sites import Site

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.oio.model import Place

T = TypeVar("T")

# Maximum number of queried names.
MOST = 200


class NoEffects(Effects):
    """Reads only."""

    def do(
        self,
        effect: Effect[T],
        assume: T,
        undo: Sequence[Effect[Any]] = (),
        act: Callable[[], Act] | None = None,
    ) -> T:
        refuse([effect.what])


def refuse(losses: Sequence[str]) -> NoReturn:
    raise RdctlError(Code.INTERNAL, f"completion must not change anything: {', '.join(losses)}")


# --- the kinds --------------------------------------------------------------------------------


def contexts(config: Config) -> list[Candidate]:
    return [
        Candidate(
            name, ", ".join(str(context.values[key]) for key in _ABOUT if key in context.values)
        )
        for name, context in sorted(config.contexts.items())
    ]


_ABOUT = ("rapiddisk", "oio", "namespace", "account")


def _volumes(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for volume in site.rapiddisk.volumes.list(None):
        size = "" if volume.size is None else human_size(volume.size)
        yield Candidate(volume.device, f"{size}, locked" if volume.locked else size)


def _caches(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for cache in site.rapiddisk.caches.list():
        yield Candidate(cache.device, f"{cache.volume or '?'} caches {cache.source or '?'}")


def _devices(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    yield from _volumes(site, request)
    yield from _caches(site, request)


def _ports(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for port in site.rapiddisk.ports.list():
        about = (port.transport, port.address, port.service)
        yield Candidate(str(port.port), " ".join(filter(None, about)))


def _sources(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """Devices that a volume can cache; also as paths below /dev, if one is being typed. A daemon
    knows only of whole disks."""
    if site.settings.is_local:
        yield from _sources_here(site, request)
        return
    before = "/dev/" if request.text.startswith("/") else ""
    for disk in site.rapiddisk.resources().value.disks:
        size = "" if disk.size is None else human_size(disk.size)
        yield Candidate(
            before + disk.device, " ".join(filter(None, (size, disk.vendor, disk.model)))
        )


def _sources_here(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    from rdctl.rapiddisk.kernel.cacheable import cacheable
    from rdctl.rapiddisk.kernel.sysfs import Sysfs

    for device in cacheable(Sysfs(site.root)):
        name = device.name
        if request.text.startswith("/"):
            name = device.path
        elif request.text.startswith("mapper/"):
            name = device.path.removeprefix("/dev/")
        yield Candidate(name, " ".join((human_size(device.size), device.about)).rstrip())


# NVMe-oF targets are listed only on this machine: listing them can crash a daemon.


def _exports(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for target in site.rapiddisk.exports.list(False):
        if target.device:
            yield Candidate(os.path.basename(target.device), target.nqn)


def _subsystems(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    devices: dict[str, list[str]] = {}
    for target in site.rapiddisk.exports.list(True):
        devices.setdefault(target.nqn, []).extend([target.device] if target.device else [])
    return (Candidate(nqn, ", ".join(exported)) for nqn, exported in devices.items())


def _targets(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """Exported devices, then the NQNs of all subsystems."""
    yield from _exports(site, request)
    yield from _subsystems(site, request)


def _hosts(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    targets = site.rapiddisk.exports.list(True)
    return (Candidate(host) for host in sorted({h for t in targets for h in t.hosts or ()}))


def _undoable(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The commands with something to undo, the latest first."""
    for entry in site.rapiddisk.undo(site.history.entries).candidates():
        yield Candidate(entry.id, shlex.join(["rdctl", *entry.argv]))


def _interfaces(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for interface, address in _addresses_here(site):
        yield Candidate(interface, address)


def _addresses(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for interface, address in _addresses_here(site):
        if address:
            yield Candidate(address, interface)


def _addresses_here(site: Site) -> Iterator[tuple[str, str]]:
    """The network interfaces, each with its address, if it has one."""
    from rdctl.rapiddisk.kernel.addresses import address_of
    from rdctl.rapiddisk.kernel.sysfs import Sysfs

    sysfs = Sysfs(site.root)
    for interface in sysfs.names("sys/class/net"):
        address = None
        with suppress(OSError):
            address = address_of(interface, sysfs, site.calls, site.effects)
        yield interface, address or ""


def _accounts(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    return (Candidate(row["account"]) for row in site.oio.accounts.names())


def _containers(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    def ask(marker: str | None, limit: int) -> Listing:
        return site.oio.accounts.containers(request.text, marker, limit)

    for container in _first(ask, request.text):
        yield Candidate(
            container.name, f"{container.objects} objects, {human_size(container.bytes)}"
        )


def _contents(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    if request.options.get("auto"):
        return  # to find them, all containers would have to be listed
    container = None if request.options.get("cid") else request.args[0]
    place = site.oio.place(container, request.options.get("cid"))

    def ask(marker: str | None, limit: int) -> Listing:
        filters = {"prefix": request.text, "marker": marker}
        return site.oio.containers.entries(place, filters, limit)

    for entry in _first(ask, request.text):
        yield Candidate(entry.name, "" if entry.size is None else human_size(entry.size))


def _first(ask: Callable[[str | None, int], Listing], prefix: str) -> list[Any]:
    """The first names with this prefix. If there are more, the answer includes one that shares the
    shortest prefix with them: the shell inserts the common prefix."""
    listing = ask(None, MOST)
    names = list(listing)
    if listing.marker is not None:
        # Sorted: the common prefix of the first and the last is that of all.
        ends = zip(names[0].name, names[-1].name, strict=False)
        common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        if common != prefix:
            names += ask(common + "\U0010ffff", 1)
    return names


def _types(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    return (Candidate(row["type"]) for row in site.oio.conscience.types())


def _services(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The services of the preceding type, or of all types."""
    types = [word for word in request.args if ":" not in word][-1:]
    return _services_of(site, types or None)


def _types_and_services(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """Types, and the services of the preceding type; without one, those of all types."""
    yield from _types(site, request)
    yield from _services(site, request)


def _replicas(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The services that can hold a database of `--type`."""
    return _services_of(site, [request.options.get("type") or "meta2"])


def _services_of_type(type: str, site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    return _services_of(site, [type])


def _services_of(site: Site, types: Sequence[str] | None) -> Iterator[Candidate]:
    for service in site.oio.conscience.services(types, False):
        yield Candidate(service.address, f"{service.type}, score {service.score}")


def _policies(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    policies = site.oio.conscience.namespace().value.storage_policies
    return (Candidate(name, str(meaning)) for name, meaning in policies.items())


def _pools(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    pools = site.oio.conscience.namespace().value.service_pools
    return (Candidate(name, str(meaning)) for name, meaning in pools.items())


def _slots(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The slots of the services of the preceding type."""
    slots: dict[str, int] = {}
    for service in site.oio.conscience.services(request.args[:1], False):
        for slot in str(service.tags.get("tag.slots", "")).split(","):
            slots[slot] = slots.get(slot, 0) + 1
    return (Candidate(slot, f"{count} services") for slot, count in sorted(slots.items()) if slot)


def _known(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The services that the proxy knows."""
    return (Candidate(service.address, service.type or "") for service in site.oio.caches.known())


def _configurable(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The services that show their variables, and the proxy."""
    yield Candidate("proxy", "the oio-proxy itself")
    yield from _services_of(site, ["meta0", "meta1", "meta2"])


def _variables(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    for row in site.oio.variables.get(request.args[0], None):
        yield Candidate(row["name"], row["value"] or "")


def _variable_assignments(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    return (Candidate(f"{name}=", value) for name, value in _variables(site, request))


def _linked(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The services that the reference is linked to, of the type if it was typed."""
    cid = request.options.get("cid")
    place = site.oio.place(None if cid else request.args[0], cid)
    type = next(iter(request.args[0 if cid else 1 :]), None)
    for reference in site.oio.references.show([place], type):
        for link in reference.services:
            yield Candidate(link.address, link.type)


def _keys(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    query = {"type": request.options.get("type") or "meta2"} if request.noun == "admin" else {}
    item = site.oio.properties.get(request.noun, _place(site, request), None, query)
    return (Candidate(key, value) for key, value in sorted(item.value.properties.items()))


def _assignments(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    return (Candidate(f"{key}=", value) for key, value in _keys(site, request))


def _place(site: Site, request: CompletionRequest) -> Place:
    """The place named by the arguments and options so far."""
    args, options = iter(request.args), request.options
    auto = options.get("auto")
    container = None if options.get("cid") or auto else next(args)
    path = None
    if request.noun == "content" and not options.get("content_id"):
        path = next(args)
    ids = (options.get(key) for key in ("content_id", "version"))
    place = site.oio.place(container, options.get("cid"), path, *ids)
    if not auto:
        return place
    bits = options.get("flat_bits")
    return site.oio.flat(int(bits) if bits else None).place(place)


def _commands(site: Site, request: CompletionRequest) -> Iterator[Candidate]:
    """The commands in the history, the newest first."""
    for entry in reversed(site.history.entries()[-MOST:]):
        yield Candidate(entry.id, " ".join(entry.argv)[:_LONGEST_ABOUT])


_LONGEST_ABOUT = 60

_Kinds = dict[str, Callable[[Site, CompletionRequest], Iterable[Candidate]]]
# Queried on this machine only.
HERE: _Kinds = {
    "export": _exports,
    "nqn": _subsystems,
    "target": _targets,
    "host": _hosts,
    "interface": _interfaces,
    "ip": _addresses,
    "undoable": _undoable,
}
RAPIDDISK: _Kinds = {
    "volume": _volumes,
    "cache": _caches,
    "device": _devices,
    "source": _sources,
    "port": _ports,
}
OPENIO: _Kinds = {
    "account": _accounts,
    "container": _containers,
    "content": _contents,
    "type": _types,
    "address": _services,
    "type-or-address": _types_and_services,
    **{type: partial(_services_of_type, type) for type in ("meta1", "rawx")},
    "replica": _replicas,
    "policy": _policies,
    "pool": _pools,
    "slot": _slots,
    "known": _known,
    "configurable": _configurable,
    "variable": _variables,
    "variable-assignment": _variable_assignments,
    "linked": _linked,
    "key": _keys,
    "assignment": _assignments,
}
# On disk, whatever the context.
HISTORY: _Kinds = {"command": _commands}
KINDS = HERE | RAPIDDISK | OPENIO | HISTORY
