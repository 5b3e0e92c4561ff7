"""rdctl oio service"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.oio.arguments import pairs
from rdctl.cli.oio.conscience import address, checked_address
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.results import Listing, Report

if TYPE_CHECKING:
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.service:"
_META2 = "127.0.0.1:16010"
# In place of the address of a service.
PROXY = "proxy"

# The actions of a service: the first line of the help, and the rest.
_COMMANDS = {
    "lean-glib": (
        "Release the unused memory of services.",
        "Returns memory that GLib keeps in reserve to the system. Nothing is lost.",
    ),
    "lean-sqlx": (
        "Release the SQLite caches of services.",
        "The caches of their databases shrink, and are filled again as needed.",
    ),
    "flush": (
        "Flush the caches of services.",
        "The caches are filled again as needed. The services are slower until then.",
    ),
    "reload": (
        "Reload the caches of services.",
        "The services reload the lists of services and pools.",
    ),
    "kill": (
        "Abort services.",
        "Requires confirmation: the processes terminate immediately, and requests in progress fail."
        " A supervisor may restart them. Servers refuse this unless it is enabled in their"
        " configuration.",
    ),
}

group = LazyGroup(
    "service",
    help="""Manage single services.

    ADDRESS is IP:PORT, as shown by `rdctl oio conscience list`. meta0, meta1, meta2 and sqlx are
    reached through the proxy; rawx, rdir and account services are reached directly over HTTP.""",
    children={
        "stats": (_HERE + "stats", "Show the counters of a service."),
        "ping": (_HERE + "ping", "Check whether services respond."),
        "version": (_HERE + "version", "Show the versions of services."),
        "handlers": (_HERE + "handlers", "List the request handlers of a service."),
        "config": (_HERE + "config", "Show and set variables of running services."),
        **{
            action: (f"{_HERE}{action.replace('-', '_')}", line)
            for action, (line, _) in _COMMANDS.items()
        },
    },
)


config = LazyGroup(
    "config",
    help="""Show and set variables of running services.

    ADDRESS is that of a meta0, meta1 or meta2 service, or `proxy` for the oio-proxy itself. Changes
    are lost when the service restarts: for lasting ones, edit its configuration file.""",
    children={
        "get": (_HERE + "get_config", "Show variables of a service."),
        "set": (_HERE + "set_config", "Set variables of a service."),
    },
)

_type = click.option(
    "--type",
    metavar="TYPE",
    help="Service type (default: ask the conscience).",
)


@verb(
    "stats",
    shows="rdctl.oio.counter/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio service stats {_META2}",
        f"rdctl -c sandbox oio service stats {_META2} --sort-by -value",
    ],
)
@click.argument("address", callback=address)
@_type
def stats(site: Site, address: str, type: str | None) -> Listing:
    """Show the counters of a service.

    Shows requests by type and their time in microseconds, connections and threads; for rdir the
    open databases, for an account service its accounts."""
    return site.oio.services.stats(address, type)


@verb(
    "ping",
    shows="rdctl.oio.service-reply/2",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio service ping {_META2}",
        f"rdctl -c sandbox oio service ping {_META2} --timeout 2",
    ],
)
@names("address", check=checked_address)
@_type
def ping(site: Site, addresses: list[str], type: str | None) -> Listing:
    """Check whether services respond.

    Exit code 6 if the connection is refused, 7 if the service does not respond in time."""
    return site.oio.services.ping(addresses, type)


@verb(
    "version",
    shows="rdctl.oio.service-reply/2",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio service version {_META2}",
        f"rdctl -c sandbox oio service version {_META2} --json --query '[].version'",
    ],
)
@names("address", check=checked_address)
@_type
def version(site: Site, addresses: list[str], type: str | None) -> Listing:
    """Show the versions of services.

    rawx, rdir and account services may not report their version. Exit code 6 if the service is
    down."""
    return site.oio.services.version(addresses, type)


@verb(
    "handlers",
    shows="rdctl.oio.handler/1",
    watch=True,
    examples=[
        f"rdctl --oio-url http://127.0.0.1:6002 oio service handlers {_META2}",
        f"rdctl --oio-url http://127.0.0.1:6002 oio service handlers {_META2} -o name",
    ],
)
@click.argument("address", callback=address)
def handlers(site: Site, address: str) -> Listing:
    """List the request handlers of a service.

    Only supported by proxies 3.3; later ones fail with exit code 11."""
    return site.oio.services.handlers(address)


def _command(action: str) -> Command:
    line, meaning = _COMMANDS[action]

    def send(site: Site, addresses: list[str]) -> Report:
        return site.oio.services.command(action, addresses)

    send.__doc__ = f"{line}\n\n{meaning}"
    here = f"rdctl -c sandbox oio service {action} {_META2}"
    return verb(action, examples=[f"{here} --dry-run", f"{here} --json --dry-run"])(
        names("address", check=checked_address)(send)
    )


lean_glib = _command("lean-glib")
lean_sqlx = _command("lean-sqlx")
flush = _command("flush")
reload = _command("reload")
kill = _command("kill")


def _configurable(context: click.Context, param: click.Parameter, value: str) -> str:
    return value if value == PROXY else checked_address(value)


@verb(
    "get",
    shows="rdctl.oio.variable/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio service config get proxy",
        f"rdctl -c sandbox oio service config get {_META2} ns.storage_policy",
    ],
)
@click.argument("address", callback=_configurable)
@click.argument("names", metavar="[VARIABLE...]", nargs=-1)
def get_config(site: Site, address: str, names: tuple[str, ...]) -> Listing:
    """Show variables of a service.

    Shows the given variables, or all. Their values are strings, as the service reports them. Not
    supported by proxies 3.3."""
    return site.oio.variables.get(address, names or None)


@verb(
    "set",
    examples=[
        "rdctl -c sandbox oio service config set proxy proxy.bulk.max.create_many=50",
        f"rdctl -c sandbox oio service config set {_META2} ns.worm=on --dry-run",
    ],
)
@click.argument("address", callback=_configurable)
@click.argument("values", metavar="VARIABLE=VALUE...", nargs=-1, required=True)
def set_config(site: Site, address: str, values: tuple[str, ...]) -> Report:
    """Set variables of a service.

    Unknown variables, and values that are not of the kind of the current one, are refused before
    anything is changed: a service would ignore the former and misread the latter. Each variable is
    read afterwards; a value that the service limited to its range is an error."""
    return site.oio.variables.set(address, pairs(values))
