"""rdctl rapiddisk nvmet"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.rapiddisk.authkeys import auth_options, settings_of
from rdctl.cli.rapiddisk.details import hidden_keys
from rdctl.cli.rapiddisk.overrides import UNSEEN
from rdctl.cli.tree import HERE, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.nvmet:"
_TARGET = "rdctl.rapiddisk.target/1"

group = LazyGroup(
    "nvmet",
    help="""Manage NVMe-oF targets and ports.

    A port is an address on which this machine listens. A target is a device that is exported on
    ports, to specific hosts or to any host. rapiddiskd can only list them; changes require
    --local.""",
    children={
        "list": (_HERE + "list_targets", "List exported devices."),
        "show": (_HERE + "show", "Show exports in detail."),
        "export": (_HERE + "export", "Export volumes or caches over NVMe-oF."),
        "unexport": (_HERE + "unexport", "Remove exports, or some of their ports or hosts."),
        "revalidate": (_HERE + "revalidate", "Notify clients of the new size of devices."),
        "port": (_HERE + "port", "Manage NVMe-oF ports."),
        "host": ("rdctl.cli.rapiddisk.nvmethost:group", "Manage hosts and their keys."),
    },
)

port = LazyGroup(
    "port",
    help="""Manage NVMe-oF ports.

    A port is an address on which devices can be exported, identified by a number.""",
    children={
        "list": (_HERE + "list_ports", "List ports."),
        "show": (_HERE + "show_ports", "Show ports in detail."),
        "add": (_HERE + "add_port", "Add a port."),
        "remove": (_HERE + "remove_ports", "Remove unused ports."),
    },
)

_PORT = click.IntRange(0, 65535)


@verb(
    "list",
    shows=_TARGET,
    watch=HERE,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet list",
        "rdctl -c sandbox rapiddisk nvmet list rd0 --json --query '[].ports'",
    ],
)
@names("export", required=False)
@click.option("--all", "incomplete", is_flag=True, help="Include incomplete ones (local only).")
def list_targets(site: Site, exports: list[str] | None, incomplete: bool) -> Listing:
    """List exported devices.

    Lists all exports, or only the given ones: EXPORT is an NQN or a device; an unknown one fails
    with exit code 3. Shows one row per namespace, for all subsystems of the machine, including
    those not created by RapidDisk. HOSTS lists the hosts that may connect: any (every host), none
    (no host) or - (unknown). PORTS shows the number, transport and address of each port, and in
    local mode its TCP port. --all includes subsystems without a namespace, which a failed export
    may have left behind; remove them with unexport --nqn. Listing exports can crash rapiddiskd 9.2
    if a device path is longer than 30 characters, so the request is never retried."""
    return site.rapiddisk.exports.list(incomplete, exports)


@verb(
    "show",
    shows=_TARGET,
    watch=HERE,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet show rd0",
        "rdctl -c sandbox rapiddisk nvmet show rd0 --json --query '[].hosts[]'",
    ],
)
@names("export")
def show(site: Site, exports: list[str]) -> Listing:
    """Show exports in detail.

    EXPORT is an NQN or a device. Shows one block per namespace, in local mode also for incomplete
    subsystems. A daemon is asked as by `list`, which can crash rapiddiskd 9.2."""
    return site.rapiddisk.exports.show(exports, hidden_keys(_TARGET))


@verb(
    "export",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet export rd1 --port 1 --host nqn.2014-08.org.nvmexpress:uuid:7a",
        "rdctl rapiddisk nvmet export rd0 rd1 --port 1 --any-host --dry-run",
        "rdctl rapiddisk nvmet export rd1 --port 1 --any-host --serial lab-1 --recreate --dry-run",
        "rdctl rapiddisk nvmet export rd1 --port 1 --host nqn.2014-08.org.nvmexpress:uuid:7a"
        " --auth-key-file host.key",
        "rdctl -c sandbox rapiddisk nvmet export rd1 --port 1 --any-host",
    ],
)
@names("device")
@click.option(
    "--port",
    "ports",
    type=_PORT,
    metavar="ID",
    multiple=True,
    required=True,
    help="Port to export on (repeatable).",
)
@click.option(
    "--host",
    "hosts",
    metavar="NQN",
    multiple=True,
    help="Host that may connect (repeatable).",
)
@click.option("--any-host", is_flag=True, help="Allow any host to connect.")
@auth_options
@click.option("--serial", metavar="TEXT", help="Serial number, at most 20 characters.")
@click.option("--uuid", metavar="UUID", help="UUID of the namespace.")
@click.option("--nguid", metavar="NGUID", help="NGUID of the namespace (32 hex digits).")
@click.option("--recreate", is_flag=True, help="Re-create an export of another identity.")
@UNSEEN
def export(
    site: Site,
    devices: list[str],
    ports: tuple[int, ...],
    hosts: tuple[str, ...],
    any_host: bool,
    auth_key_file: str | None,
    ctrl_key_file: str | None,
    hash: str | None,
    dhgroup: str | None,
    serial: str | None,
    uuid: str | None,
    nguid: str | None,
    recreate: bool,
    unseen: tuple[str, ...],
) -> Report:
    """Export volumes or caches over NVMe-oF.

    Each device is exported by itself, on the same ports to the same hosts. Specify the NQN of each
    host (see its /etc/nvme/hostnqn), or --any-host. If the device is already exported, missing
    ports and hosts are added. On failure everything is rolled back. A device that is locked or in
    use is refused.

    By default a host only has to say its name, which anyone can. With --auth-key-file each --host
    must prove that it has a key, and with --ctrl-key-file this machine proves it to the host, too
    (DH-HMAC-CHAP, Linux 6.0 or later). FILE has a key of `nvme gen-dhchap-key` and must not be
    readable by others (mode 0600); - reads it from stdin. Over SSH it is a file of the remote
    machine. The kernel keeps a key per host, for all its exports: one that has other settings, or
    other exports without a key, is refused; use `nvmet host set`. The last unexport of a host
    removes the key that rdctl set.

    Clients know the disk by its serial number, UUID and NGUID. --serial, --uuid and --nguid set
    them for one DEVICE; otherwise the kernel chooses, differently for each new export. Those of an
    existing export cannot be changed: it has to be re-created, which disconnects its hosts and
    keeps all its other settings. That requires --recreate and confirmation. Local only."""
    if bool(hosts) == any_host:
        raise RdctlError(Code.USAGE, "specify either --host NQN or --any-host")
    if any_host and auth_key_file is not None:
        raise RdctlError(
            Code.USAGE,
            "--auth-key-file requires --host: a key is of a host",
            hint="Show the NQN on the host: cat /etc/nvme/hostnqn",
        )
    if auth_key_file is None and (ctrl_key_file or hash or dhgroup):
        raise RdctlError(
            Code.USAGE, "--ctrl-key-file, --hash and --dhgroup require --auth-key-file"
        )
    if recreate and (serial, uuid, nguid) == (None, None, None):
        raise RdctlError(Code.USAGE, "--recreate requires --serial, --uuid or --nguid")
    from rdctl.rapiddisk.guards import Overrides
    from rdctl.rapiddisk.identity import Identity

    return site.rapiddisk.exports.export(
        devices,
        ports,
        hosts,
        any_host,
        Overrides(unseen=unseen),
        Identity(serial, uuid, nguid),
        recreate,
        settings_of(auth_key_file, ctrl_key_file, hash, dhgroup),
    )


@verb(
    "unexport",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet unexport rd0 rd1",
        "rdctl rapiddisk nvmet unexport rd1 --port 2 --dry-run",
        "rdctl rapiddisk nvmet unexport --nqn nqn.2021-06.org.rapiddisk:store-rd1 --dry-run",
        "rdctl -c sandbox rapiddisk nvmet unexport rd0",
    ],
)
@names("device", required=False)
@click.option(
    "--nqn", "nqns", metavar="NQN", multiple=True, help="Subsystem, not DEVICE (repeatable)."
)
@click.option(
    "--port",
    "ports",
    type=_PORT,
    metavar="ID",
    multiple=True,
    help="Remove only this port (repeatable).",
)
@click.option(
    "--host", "hosts", metavar="NQN", multiple=True, help="Remove only this host (repeatable)."
)
def unexport(
    site: Site,
    devices: list[str] | None,
    nqns: tuple[str, ...],
    ports: tuple[int, ...],
    hosts: tuple[str, ...],
) -> Report:
    """Remove exports, or some of their ports or hosts.

    Requires confirmation: clients lose access to the device. Removing the last port removes the
    whole export. After removing the last host, no host can connect until one is added. Use --nqn
    for a subsystem that is incomplete or has lost its device; one that is not empty and was not
    created by RapidDisk is refused. Local only."""
    if bool(devices) == bool(nqns):
        raise RdctlError(Code.USAGE, "specify either DEVICE or --nqn NQN")
    return site.rapiddisk.exports.unexport(devices or (), nqns, ports, hosts)


@verb(
    "revalidate",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet revalidate rd0 rd1",
        "rdctl rapiddisk nvmet revalidate rd1 --dry-run",
        "rdctl -c sandbox rapiddisk nvmet revalidate rd0",
    ],
)
@names("device")
def revalidate(site: Site, devices: list[str]) -> Report:
    """Notify clients of the new size of devices.

    Only needed for a device that was resized with another tool; `resize` does this automatically.
    Local only."""
    return site.rapiddisk.exports.revalidate(devices)


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

    Includes ports without exports. SERVICE is the TCP port, which is shown in local mode only."""
    return site.rapiddisk.ports.list()


@verb(
    "show",
    shows="rdctl.rapiddisk.port/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet port show 1",
        "rdctl -c sandbox rapiddisk nvmet port show 1 2 --json",
    ],
)
@names("id")
def show_ports(site: Site, numbers: list[str]) -> Listing:
    """Show ports in detail.

    As `list`, for the given ports only. SERVICE is the TCP port, which is shown in local mode only.
    The exports on a port are shown by `nvmet list`."""
    return site.rapiddisk.ports.show(numbers)


@verb(
    "add",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4422",
        "rdctl rapiddisk nvmet port add 3 --transport tcp --interface eth0 --dry-run",
        "rdctl -c sandbox rapiddisk nvmet port add 3 --transport loop",
    ],
)
@click.argument("number", metavar="ID", type=_PORT)
@click.option(
    "--transport",
    type=click.Choice(("tcp", "rdma", "loop")),
    required=True,
    help="Transport protocol.",
)
@click.option("--interface", metavar="IF", help="Listen on the first address of this interface.")
@click.option("--address", metavar="IP", help="Listen on this IPv4 or IPv6 address.")
@click.option(
    "--service",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    help="TCP port (default: 4420).",
)
@click.option("--tls", is_flag=True, help="Require TLS 1.3 of clients (Linux 6.7 or later).")
def add_port(
    site: Site,
    number: int,
    transport: str,
    interface: str | None,
    address: str | None,
    service: int | None,
    tls: bool,
) -> Report:
    """Add a port.

    tcp and rdma require an address of this machine (--address or --interface); loop takes none. Two
    ports on the same address need different --service values. The port starts listening when a
    device is exported on it. Local only.

    With --tls clients must encrypt what they send and receive. That needs a pre-shared key on both
    sides, in the keyring .nvme (`nvme check-tls-key --insert`), and the program tlshd (package
    ktls-utils), which must be running on both; rdctl sets up neither. A kernel without TLS is
    refused."""
    if tls and transport != "tcp":
        raise RdctlError(Code.USAGE, "--tls requires --transport tcp")
    if transport == "loop" and (interface or address or service):
        raise RdctlError(Code.USAGE, "--transport loop takes no address and no service")
    if transport != "loop" and (interface is None) == (address is None):
        raise RdctlError(
            Code.USAGE, f"--transport {transport}: specify either --interface or --address"
        )
    return site.rapiddisk.ports.add(
        number, transport, interface, address, str(service or 4420), tls=tls
    )


@verb(
    "remove",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet port remove 2",
        "rdctl rapiddisk nvmet port remove 1 2 --dry-run",
        "rdctl -c sandbox rapiddisk nvmet port remove 2",
    ],
)
@names("id")
def remove_ports(site: Site, numbers: list[str]) -> Report:
    """Remove unused ports.

    Requires confirmation: devices can no longer be exported on these ports. A port with exports is
    refused. Local only."""
    return site.rapiddisk.ports.remove(numbers)
