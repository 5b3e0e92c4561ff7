"""rdctl oio service"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.conscience import address
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.results import Item, Listing, Report

if TYPE_CHECKING:
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.service:"
_META2 = "127.0.0.1:16010"

# What a service can be told: the action, a line, what it means.
_TOLD = {
    "lean-glib": (
        "Make a service give memory back.",
        "What GLib keeps for later goes back to the system; nothing is lost.",
    ),
    "lean-sqlx": (
        "Make a service give SQLite's memory back.",
        "The caches of its databases shrink, and fill again as needed.",
    ),
    "flush": (
        "Make a service forget its caches.",
        "They fill again as needed; until then it is slower.",
    ),
    "reload": (
        "Make a service read its caches anew.",
        "It reads again which services and pools there are.",
    ),
    "kill": (
        "Abort a service.",
        "Asks first. The process ends at once, and requests under way are lost; what supervises it"
        " may start it again. Servers"
        " refuse it unless it was enabled for them.",
    ),
}

group = LazyGroup(
    "service",
    help="""Single services.

    Each is named by its ADDRESS (IP:PORT): rdctl oio conscience list. meta0, meta1, meta2 and sqlx
    are asked through the proxy; rawx, rdir and account services by their own HTTP.""",
    children={
        "stats": (_HERE + "stats", "Show the counters of a service."),
        "ping": (_HERE + "ping", "Ask whether a service answers."),
        "version": (_HERE + "version", "Show the version of a service."),
        "handlers": (_HERE + "handlers", "List what a service understands."),
        **{
            action: (f"{_HERE}{action.replace('-', '_')}", line)
            for action, (line, _) in _TOLD.items()
        },
    },
)


_type = click.option(
    "--type",
    metavar="TYPE",
    help="The type of the service; the conscience is asked for it by default.",
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

    Requests by kind and their time in microseconds, connections, threads; of a rdir its open
    databases, of an account service its accounts."""
    return site.oio.services.stats(address, type)


@verb(
    "ping",
    shows="rdctl.oio.service-reply/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio service ping {_META2}",
        f"rdctl -c sandbox oio service ping {_META2} --timeout 2",
    ],
)
@click.argument("address", callback=address)
@_type
def ping(site: Site, address: str, type: str | None) -> Item:
    """Ask whether a service answers.

    Exit 6 when nobody listens there, 7 when nothing comes back in time."""
    return site.oio.services.ping(address, type)


@verb(
    "version",
    shows="rdctl.oio.service-reply/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio service version {_META2}",
        f"rdctl -c sandbox oio service version {_META2} --json --query version",
    ],
)
@click.argument("address", callback=address)
@_type
def version(site: Site, address: str, type: str | None) -> Item:
    """Show the version of a service.

    rawx, rdir and account services may not report theirs. A service that is away is exit 6."""
    return site.oio.services.version(address, type)


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
    """List what a service understands.

    Only proxies of the 3.3 line can ask that; later ones are exit 11."""
    return site.oio.services.handlers(address)


def _tell(action: str) -> Command:
    line, meaning = _TOLD[action]

    def tell(site: Site, address: str) -> Report:
        return site.oio.services.tell(action, address)

    tell.__doc__ = f"{line}\n\n{meaning}"
    here = f"rdctl -c sandbox oio service {action} {_META2}"
    return verb(action, examples=[f"{here} --dry-run", f"{here} --json --dry-run"])(
        click.argument("address", callback=address)(tell)
    )


lean_glib = _tell("lean-glib")
lean_sqlx = _tell("lean-sqlx")
flush = _tell("flush")
reload = _tell("reload")
kill = _tell("kill")
