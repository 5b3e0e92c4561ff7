"""From where exports can be reached: addresses that are private, and those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdctl.rapiddisk.model import Port

EVERYWHERE = ("0.0.0.0", "::")
# RFC 1918, loopback, link-local, and the unique local addresses of IPv6.
_PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)


def public_addresses(port: Port, own: Sequence[str]) -> list[str]:
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
