"""rdctl rapiddisk nvmet host"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.rapiddisk.authkeys import auth_options, settings_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.nvmethost:"

group = LazyGroup(
    "host",
    help="""Manage hosts and their keys.

    A host is a client of exports, identified by its NQN. The kernel keeps its keys, and uses them
    for all exports that allow it.""",
    children={
        "list": (_HERE + "list_hosts", "List hosts, and whether they have keys."),
        "set": (_HERE + "set_host", "Set or remove the keys of a host."),
    },
)


@verb(
    "list",
    shows="rdctl.rapiddisk.host/1",
    local_only=True,
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk nvmet host list",
        "rdctl -c sandbox rapiddisk nvmet host list --json --query '[?!key].host'",
    ],
)
@names("host", required=False)
def list_hosts(site: Site, hosts: list[str] | None) -> Listing:
    """List hosts, and whether they have keys.

    Lists all hosts that the kernel knows, or only the given ones, with the exports that allow
    each. KEY says whether the host must authenticate itself, CTRL KEY whether this machine does,
    too; the keys themselves are never shown. Local only."""
    return site.rapiddisk.hosts.list(hosts)


@verb(
    "set",
    local_only=True,
    examples=[
        "rdctl rapiddisk nvmet host set nqn.2014-08.org.nvmexpress:uuid:7a --auth-key-file new.key",
        "rdctl -c sandbox rapiddisk nvmet host set nqn.2014-08.org.nvmexpress:uuid:7a --no-auth",
    ],
)
@click.argument("host", metavar="HOST")
@auth_options
@click.option("--no-auth", is_flag=True, help="Remove the keys.")
def set_host(
    site: Site,
    host: str,
    auth_key_file: str | None,
    ctrl_key_file: str | None,
    hash: str | None,
    dhgroup: str | None,
    no_auth: bool,
) -> Report:
    """Set or remove the keys of a host.

    HOST is the NQN of the host (its /etc/nvme/hostnqn). FILE has a key of `nvme gen-dhchap-key` and
    must not be readable by others (mode 0600); - reads it from stdin. Over SSH it is a file of the
    remote machine. What is not given stays. If
    exports allow the host, that requires confirmation: its connections stay, but to connect again
    it needs the new key. --no-auth removes both keys, after which any client that uses the name of
    the host can connect; a host without exports is removed with its keys. A former key is recorded
    nowhere, so that `undo` cannot restore it. Local only."""
    given = (auth_key_file, ctrl_key_file, hash, dhgroup) != (None, None, None, None)
    if given == no_auth:
        raise RdctlError(
            Code.USAGE,
            "specify either --no-auth, or what to set: --auth-key-file, --ctrl-key-file, --hash or"
            " --dhgroup",
        )
    if no_auth:
        return site.rapiddisk.hosts.clear(host)
    settings = settings_of(auth_key_file, ctrl_key_file, hash, dhgroup)
    return site.rapiddisk.hosts.set(host, settings)
