"""rdctl rapiddisk nvmet"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.rapiddisk.overrides import UNSEEN
from rdctl.cli.tree import HERE, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.nvmet:"

group = LazyGroup(
    "nvmet",
    help="""NVMe-oF targets and ports.

    A port is an address on which this machine listens; a target is a device that is exported on
    ports, to named hosts or to any. A rapiddiskd lists them; changing them takes --local.""",
    children={
        "list": (_HERE + "list_targets", "List exported devices."),
        "export": (_HERE + "export", "Offer a volume or a cache to other machines."),
        "unexport": (_HERE + "unexport", "Take an export away, or ports and hosts of it."),
        "revalidate": (_HERE + "revalidate", "Tell clients the new size of a device."),
        "port": (_HERE + "port", "NVMe-oF ports."),
    },
)

port = LazyGroup(
    "port",
    help="""NVMe-oF ports.

    The addresses on which devices can be exported, each with a number.""",
    children={
        "list": (_HERE + "list_ports", "List ports."),
        "add": (_HERE + "add_port", "Add a port."),
        "remove": (_HERE + "remove_port", "Remove a port on which nothing is exported."),
    },
)

_PORT = click.IntRange(0, 65535)


@verb(
    "list",
    shows="rdctl.rapiddisk.target/1",
    watch=HERE,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet list",
        "rdctl -c sandbox rapiddisk nvmet list --json --query '[].device'",
    ],
)
@click.option("--all", "incomplete", is_flag=True, help="Half-made ones too; only with --local.")
def list_targets(site: Site, incomplete: bool) -> Listing:
    """List exported devices.

    One line a namespace, of all subsystems of that machine, not only of RapidDisk's. HOSTS lists
    the hosts that may connect: any is every host, none is no host, - is not known. PORTS has the
    number, transport and address of each port, and on the machine itself its TCP port. With --all
    also subsystems without a namespace, which a failed export may have left behind: unexport
    --nqn takes them away. A rapiddiskd 9.2 dies of a device path of more than 30 characters, so it
    is asked once, never again."""
    return site.rapiddisk.exports.list(incomplete)


@verb(
    "export",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet export rd1 --port 1 --host nqn.2014-08.org.nvmexpress:uuid:7a",
        "rdctl rapiddisk nvmet export rd1 --port 1 --any-host --dry-run",
    ],
)
@click.argument("device")
@click.option(
    "--port",
    "ports",
    type=_PORT,
    metavar="ID",
    multiple=True,
    required=True,
    help="The port to offer it on; repeat as needed.",
)
@click.option(
    "--host",
    "hosts",
    metavar="NQN",
    multiple=True,
    help="A host that may connect; repeat as needed.",
)
@click.option("--any-host", is_flag=True, help="Let every host connect.")
@UNSEEN
def export(
    site: Site,
    device: str,
    ports: tuple[int, ...],
    hosts: tuple[str, ...],
    any_host: bool,
    unseen: tuple[str, ...],
) -> Report:
    """Offer a volume or a cache to other machines.

    The hosts are named by their NQN (in their /etc/nvme/hostnqn), or --any-host is said. What is
    exported already gains the ports and hosts that it lacks. All of it is done, or nothing. A
    device that is locked or in use is not exported. Only on the machine itself."""
    if bool(hosts) == any_host:
        raise RdctlError(Code.USAGE, "name the hosts with --host, or say --any-host")
    from rdctl.rapiddisk.guards import Overrides

    return site.rapiddisk.exports.export(device, ports, hosts, any_host, Overrides(unseen=unseen))


@verb(
    "unexport",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet unexport rd1",
        "rdctl rapiddisk nvmet unexport rd1 --port 2 --dry-run",
        "rdctl rapiddisk nvmet unexport --nqn nqn.2021-06.org.rapiddisk:store-rd1 --dry-run",
    ],
)
@click.argument("device", required=False)
@click.option("--nqn", metavar="NQN", help="The subsystem, in place of its device.")
@click.option(
    "--port",
    "ports",
    type=_PORT,
    metavar="ID",
    multiple=True,
    help="Only on this port; repeat as needed.",
)
@click.option(
    "--host", "hosts", metavar="NQN", multiple=True, help="Only for this host; repeat as needed."
)
def unexport(
    site: Site,
    device: str | None,
    nqn: str | None,
    ports: tuple[int, ...],
    hosts: tuple[str, ...],
) -> Report:
    """Take an export away, or ports and hosts of it.

    Asks first, since clients lose the device. Without its last port the export goes wholly;
    without its last host nobody may connect, until a host is added. --nqn names what has no device
    any more, or is half made; only what is RapidDisk's or empty is taken away. Only on the machine
    itself."""
    if (device is None) == (nqn is None):
        raise RdctlError(Code.USAGE, "name the device, or the subsystem with --nqn")
    return site.rapiddisk.exports.unexport(device, nqn, ports, hosts)


@verb(
    "revalidate",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet revalidate rd1",
        "rdctl rapiddisk nvmet revalidate rd1 --dry-run",
    ],
)
@click.argument("device")
def revalidate(site: Site, device: str) -> Report:
    """Tell clients the new size of a device.

    `resize` does it by itself; this is for a device that was resized with another tool. Only on
    the machine itself."""
    return site.rapiddisk.exports.revalidate(device)


@verb(
    "list",
    shows="rdctl.rapiddisk.port/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet port list",
        "rdctl -c sandbox rapiddisk nvmet port list -o csv",
    ],
)
def list_ports(site: Site) -> Listing:
    """List ports.

    Those where nothing is exported as well. SERVICE is the TCP port, which is known only on the
    machine itself."""
    return site.rapiddisk.ports.list()


@verb(
    "add",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4422",
        "rdctl rapiddisk nvmet port add 3 --transport tcp --interface eth0 --dry-run",
    ],
)
@click.argument("number", metavar="ID", type=_PORT)
@click.option(
    "--transport",
    type=click.Choice(("tcp", "rdma", "loop")),
    required=True,
    help="How clients connect.",
)
@click.option("--interface", metavar="IF", help="On this interface's first address.")
@click.option("--address", metavar="IP", help="On this IPv4 or IPv6 address.")
@click.option(
    "--service",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    help="The TCP port; 4420 if not set.",
)
def add_port(
    site: Site,
    number: int,
    transport: str,
    interface: str | None,
    address: str | None,
    service: int | None,
) -> Report:
    """Add a port.

    tcp and rdma take an address of this machine, by itself or by its interface; loop takes none.
    Two ports on one address need two --service. It listens when something is exported on it.
    Only on the machine itself."""
    if transport == "loop" and (interface or address or service):
        raise RdctlError(Code.USAGE, "a loop port has no address and no service")
    if transport != "loop" and (interface is None) == (address is None):
        raise RdctlError(Code.USAGE, f"a {transport} port takes --interface or --address")
    return site.rapiddisk.ports.add(number, transport, interface, address, str(service or 4420))


@verb(
    "remove",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet port remove 2",
        "rdctl rapiddisk nvmet port remove 2 --dry-run",
    ],
)
@click.argument("number", metavar="ID", type=_PORT)
def remove_port(site: Site, number: int) -> Report:
    """Remove a port on which nothing is exported.

    Asks first, since nothing can be exported on it until it is added again. A port with an export
    on it is refused. Only on the machine itself."""
    return site.rapiddisk.ports.remove(number)
