"""Exports that machines outside the private networks can reach: who may use them, and whether what
they send can be read on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rdctl.core.units import quoted
from rdctl.doctor.findings import Finding, as_root, on_this_machine

if TYPE_CHECKING:
    from rdctl.rapiddisk.model import Port, Target
    from rdctl.sites import Site

EVERYWHERE = ("0.0.0.0", "::")
# RFC 1918, loopback, link-local, and the unique local addresses of IPv6.
_PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)
_SERVICE = 4420


def exposures(site: Site, ports: Sequence[Port], targets: Iterable[Target]) -> Iterator[Finding]:
    """Of exports of this machine; `ports` are all."""
    keys = {row.host: row.key for row in site.rapiddisk.hosts.list()}
    own = site.rapiddisk.surroundings().addresses
    for target in targets:
        reached = {port.port: _public(port, own) for port in target.ports}
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


def _public(port: Port, own: Sequence[str]) -> list[str]:
    """The addresses of a port that are not private; `own` are all of this machine."""
    found = own if port.address in EVERYWHERE else [port.address or ""]
    return [address for address in found if not _is_private(address)]


def _is_private(address: str) -> bool:
    import ipaddress

    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return True  # a loop port has none
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    networks = map(ipaddress.ip_network, _PRIVATE)
    return any(mapped in network for network in networks if network.version == mapped.version)


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
