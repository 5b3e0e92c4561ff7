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
    help="""Both systems simulated, to try and to learn.

    rdctl -c sandbox does to it whatever is asked; nothing real is touched.""",
    children={
        "serve": (_HERE + "serve", "Serve the sandbox over HTTP, for other programs."),
        "reset": (_HERE + "reset", "Put the sandbox back to how it began."),
        "path": (_HERE + "path", "Show the file that holds the sandbox."),
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
    help="The address to listen on.",
)
@click.option(
    "--rapiddisk-port",
    type=click.IntRange(0, 65535),
    default=19118,
    metavar="PORT",
    show_default=True,
    help="The port of rapiddiskd; 0 takes a free one.",
)
@click.option(
    "--oio-port",
    type=click.IntRange(0, 65535),
    default=16002,
    metavar="PORT",
    show_default=True,
    help="The port of the oio-proxy; 0 takes a free one.",
)
def serve(on: Invocation, host: str, rapiddisk_port: int, oio_port: int) -> Text:
    """Serve the sandbox over HTTP, for other programs.

    The addresses are written to standard error; the services behind the oio-proxy take free ports,
    which it tells its clients. Runs until Ctrl-C. The ports are not those of the real daemons, and
    it listens on this machine only unless --host says otherwise.

    To reach it by a name, set a context with these addresses, namespace=OPENIO and account=sandbox:
    see rdctl context set --help."""
    from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps
    from rdctl.sandbox.serve import serve as serve_apps

    ports = {RAPIDDISK_HOST: rapiddisk_port, OIO_HOST: oio_port}
    # Where the services listen that the proxy knows by other addresses.
    real: dict[str, str] = {}
    ready_sandbox(on.sandbox_path, on.world.home())
    served = apps(on.sandbox_path, real)
    listeners = [(app, host, ports.get(name, 0)) for name, app in served.items()]

    def ready(urls: list[str]) -> None:
        for name, url in zip(served, urls, strict=True):
            if name in ports:
                on.notice(f"Serving {url} ({'oio-proxy' if name == OIO_HOST else 'rapiddiskd'})")
            else:
                real[name] = url.split("//", 1)[1]
        on.notice("Ctrl-C stops.")

    try:
        serve_apps(listeners, ready)
    except Ended as ended:  # what its clients changed is not ours to tell
        raise RdctlError(ended.code, ended.code.word) from ended
    return Text("")


@verb("reset", on_site=False, examples=["rdctl sandbox reset", "rdctl sandbox reset --dry-run"])
def reset(on: Invocation) -> Report:
    """Put the sandbox back to how it began.

    All that was made in it is lost, so it asks first. No real system is touched."""
    from rdctl.sandbox.store import Store

    loss = f"the sandbox in {on.sandbox_path} goes back to how it began"
    on.effects.consent([loss])
    ready_sandbox(on.sandbox_path, on.world.home())
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
    """Show the file that holds the sandbox.

    It is made when something in the sandbox is first asked for. RDCTL_SANDBOX names another."""
    return Item({"path": on.sandbox_path})
