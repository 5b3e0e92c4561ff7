"""rdctl sandbox"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.options import seconds_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Ended, RdctlError
from rdctl.core.results import Change, Item, Report, Text
from rdctl.effects.door import Effect
from rdctl.sites import ready_sandbox

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation

_HERE = "rdctl.cli.sandbox:"

group = LazyGroup(
    "sandbox",
    help="""Manage the sandbox: both systems, simulated.

    Use -c sandbox to try any command without touching a real system.""",
    children={
        "serve": (_HERE + "serve", "Serve the sandbox over HTTP."),
        "reset": (_HERE + "reset", "Reset the sandbox to its initial state."),
        "path": (_HERE + "path", "Show the path of the sandbox file."),
    },
)


@verb(
    "serve",
    on_site=False,
    examples=[
        "rdctl sandbox serve",
        "rdctl sandbox serve --rapiddisk-port 0 --oio-port 0",
    ],
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--rapiddisk-port",
    type=click.IntRange(0, 65535),
    default=19118,
    metavar="PORT",
    show_default=True,
    help="Port of rapiddiskd; 0 selects a free port.",
)
@click.option(
    "--oio-port",
    type=click.IntRange(0, 65535),
    default=16002,
    metavar="PORT",
    show_default=True,
    help="Port of the oio-proxy; 0 selects a free port.",
)
def serve(on: Invocation, host: str, rapiddisk_port: int, oio_port: int) -> Text:
    """Serve the sandbox over HTTP.

    Other programs can use it like the real daemons. The addresses are printed to standard error.
    The services behind the oio-proxy listen on free ports, which the proxy reports to its clients.
    Runs until interrupted with Ctrl-C. By default it listens on this machine only (see --host), and
    its ports differ from those of the real daemons.

    To use it as a context, set one with these addresses, namespace=OPENIO and account=sandbox (see
    `rdctl context set --help`)."""
    from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps
    from rdctl.sandbox.serve import serve as serve_apps

    ports = {RAPIDDISK_HOST: rapiddisk_port, OIO_HOST: oio_port}
    # The real address of each service that the proxy knows by another one.
    real: dict[str, str] = {}
    ready_sandbox(on.sandbox_path, on.environment.home())
    served = apps(on.sandbox_path, real)
    listeners = [(app, host, ports.get(name, 0)) for name, app in served.items()]

    def ready(urls: list[str]) -> None:
        for name, url in zip(served, urls, strict=True):
            if name in ports:
                on.notice(f"Serving {url} ({'oio-proxy' if name == OIO_HOST else 'rapiddiskd'})")
            else:
                real[name] = url.split("//", 1)[1]
        on.notice("Press Ctrl-C to stop.")

    try:
        serve_apps(listeners, ready)
    except Ended as ended:  # changes made by its clients are not reported
        raise RdctlError(ended.code, ended.code.word) from ended
    return Text("")


@verb("reset", on_site=False, examples=["rdctl sandbox reset", "rdctl sandbox reset --dry-run"])
def reset(on: Invocation) -> Report:
    """Reset the sandbox to its initial state.

    Requires confirmation: all changes in the sandbox are lost. No real system is touched."""
    from rdctl.sandbox.store import Store

    loss = f"the sandbox in {on.sandbox_path} will be reset; all changes in it will be lost"
    on.effects.consent([loss])
    ready_sandbox(on.sandbox_path, on.environment.home())
    seconds = seconds_of(click.get_current_context())
    store = Store(on.sandbox_path, lambda: seconds)
    act = Effect("reset the sandbox", f"reset {on.sandbox_path}", store.reset, loss)
    on.effects.do(act, None)
    done = None if on.effects.dry_run else True
    return Report([Change("reset", "sandbox", done, done)])


@verb(
    "path",
    shows="rdctl.sandbox/1",
    on_site=False,
    examples=["rdctl sandbox path", "rdctl sandbox path -o name"],
)
def path(on: Invocation) -> Item:
    """Show the path of the sandbox file.

    The file is created on first use. Set RDCTL_SANDBOX to use another file."""
    return Item({"path": on.sandbox_path})
