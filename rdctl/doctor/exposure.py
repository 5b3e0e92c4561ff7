"""Exports that machines outside the private networks can reach: who may use them, and whether what
they send can be read on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rdctl.core.units import quoted
from rdctl.doctor.findings import Finding, as_root, on_this_machine
from rdctl.rapiddisk.reach import EVERYWHERE, public_addresses

if TYPE_CHECKING:
    from rdctl.rapiddisk.model import Port, Target
    from rdctl.sites import Site

_SERVICE = 4420


def exposures(site: Site, ports: Sequence[Port], targets: Iterable[Target]) -> Iterator[Finding]:
    """Of exports of this machine; `ports` are all."""
    keys = {row.host: row.key for row in site.rapiddisk.hosts.list()}
    own = site.rapiddisk.surroundings().addresses
    for target in targets:
        reached = {port.port: public_addresses(port, own) for port in target.ports}
        addresses = list(dict.fromkeys(one for found in reached.values() for one in found))
        if not addresses:
            continue
        yield from _access(site, target, addresses, keys)
        plain = [port for port in target.ports if reached[port.port] and not port.tls]
        if plain:
            yield _in_the_clear(site, target, plain[0], addresses, ports)


def readable_keys(site: Site) -> Iterator[Finding]:
    """Keys that every user of this machine can read."""
    for row in site.rapiddisk.hosts.list():
        for path in site.rapiddisk.hosts.exposed(row.host):
            yield Finding.warning(
                f"every user of this machine can read a key of host {row.host}",
                subject=row.host,
                why="The kernel creates the file so; rdctl makes it private when it sets a key.",
                mend=as_root(site, f"chmod 600 {quoted(path)}"),
            )


def _access(
    site: Site, target: Target, addresses: Sequence[str], keys: Mapping[str, bool | None]
) -> Iterator[Finding]:
    where = f"on {', '.join(addresses)}, which is not a private address"
    if target.any_host and all(port.address not in EVERYWHERE for port in target.ports):
        yield Finding.warning(
            f"{target.nqn} is open to every host {where}",
            subject=target.nqn,
            why="Any client that reaches the port can read and change the disk. To restrict it,"
            " unexport it, then export it with --host and --auth-key-file.",
            mend=on_this_machine(site, f"rapiddisk nvmet unexport --nqn {quoted(target.nqn)}"),
        )
    for host in target.hosts or ():
        if keys.get(host) is False:
            yield Finding.warning(
                f"{target.nqn} does not authenticate its host {host}, {where}",
                subject=target.nqn,
                why="Any client that reaches the port and uses that name can read and change the"
                " disk. Make a key with `nvme gen-dhchap-key`, and use it on the host, too.",
                mend=on_this_machine(
                    site, f"rapiddisk nvmet host set {quoted(host)} --auth-key-file FILE"
                ),
            )


def _in_the_clear(
    site: Site, target: Target, port: Port, addresses: Sequence[str], ports: Sequence[Port]
) -> Finding:
    number = max((one.port for one in ports), default=0) + 1
    used = {one.service for one in ports}
    service = next(one for one in range(_SERVICE, 65536) if str(one) not in used)
    add = f"nvmet port add {number} --transport tcp --address {port.address}"
    return Finding.warning(
        f"{target.nqn} is not encrypted on {', '.join(addresses)}, which is not a private address",
        subject=target.nqn,
        why="Its data can be read and changed on the way. Export it on a port with TLS (Linux 6.7"
        " or later, with tlshd), or through a VPN.",
        mend=on_this_machine(site, f"rapiddisk {add} --service {service} --tls"),
    )
