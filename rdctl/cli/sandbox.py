"""rdctl sandbox"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from rdctl.cli.options import seconds_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, Ended, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Report, Text
from rdctl.core.units import human_size
from rdctl.effects.door import Effect
from rdctl.sites import ready_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.cli.invocation import Invocation

_HERE = "rdctl.cli.sandbox:"

group = LazyGroup(
    "sandbox",
    help="""Manage the sandbox: both systems, simulated.

    Use -c sandbox to try any command without touching a real system.""",
    children={
        "serve": (_HERE + "serve", "Serve the sandbox over HTTP."),
        "reboot": (_HERE + "reboot", "Reboot the simulated machine of the sandbox."),
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


@verb("reboot", on_site=False, examples=["rdctl sandbox reboot", "rdctl sandbox reboot --dry-run"])
def reboot(on: Invocation) -> Report:
    """Reboot the simulated machine of the sandbox.

    As on a real machine, all volumes, caches and exports are gone afterwards, unless units that are
    enabled bring them back: the stop side of these units runs before, their start side after. Disks
    and the files in /etc stay. Requires confirmation if contents or unwritten blocks are lost.
    OpenIO is not affected, and no real machine is rebooted."""
    from rdctl.sandbox.machine.boot import losses
    from rdctl.sandbox.machine.stored import StoredMachine
    from rdctl.sandbox.store import Store

    ready_sandbox(on.sandbox_path, on.environment.home())
    seconds = seconds_of(click.get_current_context())
    machine = StoredMachine(Store(on.sandbox_path, lambda: seconds))
    lost = [_loss(*loss) for loss in losses(machine, _with_image(str(machine.root)))]
    on.effects.consent(lost)
    active = [unit for unit in machine.units() if unit in machine.systemd.active]
    outcomes = [_run_unit(on, "stop", unit, machine.stop) for unit in reversed(active)]
    act = Effect("reboot the sandbox", "systemctl reboot", machine.reboot, "; ".join(lost) or None)
    on.effects.do(act, None)
    done = None if on.effects.dry_run else True
    outcomes.append(Change("reboot", "sandbox", done, done))
    enabled = [unit for unit in machine.units() if machine.systemd.is_enabled(unit)]
    outcomes += [_run_unit(on, "start", unit, machine.start) for unit in enabled]
    return Report(outcomes)


def _with_image(root: str) -> set[str]:
    from rdctl.rapiddisk.state.files import machine_state

    with suppress(RdctlError):
        return {one.name for one in machine_state(root).volumes if one.image}
    return set()


def _loss(name: str, size: int, source: str | None, image: bool) -> str:
    if source is None:
        why = ": they are not saved to its image" if image else ""
        return f"the contents of {name} ({human_size(size)}) will be lost{why}"
    return f"{human_size(size)} of {name} that are not on {source} will be lost"


def _run_unit(
    on: Invocation, verb: str, unit: str, act: Callable[[str], tuple[int, str]]
) -> Change | Failure:
    """Start or stop a unit; its failure does not end the reboot."""
    effect = Effect(f"{verb} {unit}", f"systemctl {verb} {unit}", lambda: act(unit))
    code, said = on.effects.do(effect, (0, ""))
    if code:
        lines = said.strip().splitlines()
        why = [line.partition("error: ")[2] for line in lines if line.startswith("rdctl: error: ")]
        error = RdctlError(
            Code.FAILED,
            f"{unit} failed to {verb}: {'; '.join(why or lines)}",
            hint=hints(*(line[6:] for line in lines if line.startswith("hint: "))),
            target=unit,
        )
        return Failure(verb, error)
    done = None if on.effects.dry_run else True
    return Change(verb, unit, done, done, past="started" if verb == "start" else "stopped")


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
