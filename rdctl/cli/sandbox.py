"""rdctl sandbox"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from rdctl.cli.options import flags_of, seconds_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, Ended, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Report, Text
from rdctl.core.units import human_size
from rdctl.effects.door import Effect
from rdctl.sites import ready_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.cli.invocation import Invocation
    from rdctl.sandbox.oio.trials import Placed
    from rdctl.sandbox.store import Store

_HERE = "rdctl.cli.sandbox:"

group = LazyGroup(
    "sandbox",
    help="""Manage the sandbox: both systems, simulated.

    Use -c sandbox to try any command without touching a real system. The commands below mean the
    sandbox whatever context is selected.""",
    children={
        "serve": (_HERE + "serve", "Serve the sandbox over HTTP."),
        "reboot": (_HERE + "reboot", "Reboot the simulated machine of the sandbox."),
        "damage": (_HERE + "damage", "Damage chunks of the sandbox."),
        "stop": (_HERE + "stop", "Stop OpenIO services of the sandbox."),
        "start": (_HERE + "start", "Start OpenIO services of the sandbox."),
        "release": (_HERE + "release", "Select the release of the sandbox's OpenIO."),
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
    The services behind the oio-proxy listen on free ports, which the proxy reports to its clients;
    so does the beanstalkd (see `rdctl oio events stats`).
    Runs until interrupted with Ctrl-C. By default it listens on this machine only (see --host), and
    its ports differ from those of the real daemons.

    To use it as a context, set one with these addresses, namespace=OPENIO and account=sandbox (see
    `rdctl context set --help`)."""
    from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps, beanstalkd
    from rdctl.sandbox.serve import serve as serve_apps

    ports = {RAPIDDISK_HOST: rapiddisk_port, OIO_HOST: oio_port}
    # The real address of each service that the proxy knows by another one.
    real: dict[str, str] = {}
    _ready(on)
    served = apps(on.sandbox_path, real)
    listeners = [(app, host, ports.get(name, 0)) for name, app in served.items()]
    queue = beanstalkd(on.sandbox_path)

    def ready(urls: list[str]) -> None:
        *of_apps, of_queue = urls
        for name, url in zip(served, of_apps, strict=True):
            if name in ports:
                on.notice(f"Serving {url} ({'oio-proxy' if name == OIO_HOST else 'rapiddiskd'})")
            else:
                real[name] = url.split("//", 1)[1]
        on.notice(f"Serving {of_queue} (beanstalkd)")
        on.notice("Press Ctrl-C to stop.")

    try:
        serve_apps([*listeners, (queue, host, 0)], ready)
    except Ended as ended:  # changes made by its clients are not reported
        raise RdctlError(ended.code, ended.code.word) from ended
    return Text("")


@verb(
    "reboot",
    on_site=False,
    examples=["rdctl sandbox reboot", "rdctl sandbox reboot --power-failure --dry-run"],
)
@click.option(
    "--power-failure",
    is_flag=True,
    help="Cut the power: nothing is written back or saved before.",
)
def reboot(on: Invocation, power_failure: bool) -> Report:
    """Reboot the simulated machine of the sandbox.

    As on a real machine, all volumes, caches and exports are gone afterwards, unless units that are
    enabled bring them back: the stop side of these units runs before, their start side after. With
    --power-failure it does not, and writeback caches are not written back either. Disks and the
    files in /etc stay. Requires confirmation if contents or unwritten blocks are lost.
    OpenIO is not affected, except that its stopped services are started. No real machine is
    rebooted."""
    from rdctl.sandbox.machine.boot import losses
    from rdctl.sandbox.machine.stored import StoredMachine
    from rdctl.sandbox.oio.trials import start_all

    store = _store(on)
    machine = StoredMachine(store)
    with_image = _with_image(str(machine.root))
    lost = [_loss(*loss) for loss in losses(machine, with_image, sudden=power_failure)]
    on.effects.consent(lost)
    active = [unit for unit in machine.units() if unit in machine.systemd.active]
    if power_failure:
        active = []
    outcomes = [_run_unit(on, "stop", unit, machine.stop) for unit in reversed(active)]

    def restart() -> None:
        machine.reboot()
        with store.change() as connection:
            start_all(connection)

    line = "systemctl reboot --force --force" if power_failure else "systemctl reboot"
    act = Effect("reboot the sandbox", line, restart, "; ".join(lost) or None)
    on.effects.do(act, None)
    done = None if on.effects.dry_run else True
    outcomes.append(Change("reboot", "sandbox", done, done))
    enabled = [unit for unit in machine.units() if machine.systemd.is_enabled(unit)]
    outcomes += [_run_unit(on, "start", unit, machine.start) for unit in enabled]
    return Report(outcomes)


def _store(on: Invocation) -> Store:
    from rdctl.sandbox.store import Store

    _ready(on)
    seconds = seconds_of(click.get_current_context())
    return Store(on.sandbox_path, lambda: seconds)


def _ready(on: Invocation) -> None:
    _check_context(on)
    ready_sandbox(on.sandbox_path, on.environment.home())


def _check_context(on: Invocation) -> None:
    """Refuse an unknown context after -c, although these commands mean the sandbox in any case."""
    typed = on.flags.get("context")
    if typed and on.contexts is None:
        on.config.context(typed)


def _with_image(root: str) -> set[str]:
    from rdctl.rapiddisk.state.files import machine_state

    with suppress(RdctlError):
        return {one.name for one in machine_state(root).volumes if one.image}
    return set()


def _loss(name: str, size: int, source: str | None, image: bool) -> str:
    if source is None:
        why = ": they are not saved to its image" if image else ""
        return f"in the sandbox, the contents of {name} ({human_size(size)}) will be lost{why}"
    return f"in the sandbox, {human_size(size)} of {name} not yet on {source} will be lost"


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


# The ways of trials.damage: the sandbox is not imported for help.
_WAYS = ("missing", "short", "long", "corrupt", "foreign", "unlabeled")


@verb(
    "damage",
    on_site=False,
    examples=[
        "rdctl sandbox damage photos index.txt --how missing",
        "rdctl sandbox damage photos index.txt --how corrupt",
        "rdctl sandbox damage photos sea/storm.svg --position 0 --count 2 --how short --dry-run",
    ],
)
@click.argument("container", metavar="CONTAINER")
@click.argument("path", metavar="PATH")
@click.option("--how", type=click.Choice(_WAYS), required=True, help="How to damage the chunks.")
@click.option(
    "--position",
    default="0",
    metavar="P",
    show_default=True,
    help="Part of the object (0), or a fragment of it (0.3).",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    show_default=True,
    help="Number of replicas or fragments to damage.",
)
def damage(
    on: Invocation, container: str, path: str, how: str, position: str, count: int
) -> Report:
    """Damage chunks of the sandbox.

    This is for trials of checks and repairs: chunks are damaged without OpenIO noticing, as by a
    failing disk. They are removed (missing), cut in half (short), extended by one byte (long),
    changed in one byte (corrupt), replaced by a chunk of another object (foreign), or stripped of
    their metadata (unlabeled). Only the latest version of an object is damaged, and only in the
    sandbox, whatever the current context is; its account is "sandbox" unless --account is given.
    Requires confirmation."""
    from rdctl.sandbox.oio import trials

    store = _store(on)
    account = flags_of(click.get_current_context()).get("account") or "sandbox"
    with store.look() as connection:
        chunks = trials.placed(connection, account, container, path, position)[:count]
    losses = [f"chunk {one.pos} of {path} at {one.url} will be damaged: {how}" for one in chunks]
    on.effects.consent(losses)
    outcomes = []
    for chunk, loss in zip(chunks, losses, strict=True):
        outcomes.append(_damage(on, store, chunk, how, loss))
    return Report(outcomes)


def _damage(on: Invocation, store: Store, chunk: Placed, how: str, loss: str) -> Change:
    from rdctl.sandbox.oio import trials

    def act() -> None:
        with store.change() as connection:
            trials.damage(connection, chunk, how)

    on.effects.do(
        Effect(f"damage chunk {chunk.pos}", f"damage {chunk.url} ({how})", act, loss), None
    )
    done = None if on.effects.dry_run else True
    return Change("damage", chunk.url, done, done, {"position": chunk.pos, "how": how})


@verb(
    "stop",
    on_site=False,
    examples=[
        "rdctl sandbox stop 127.0.0.1:16013",
        "rdctl sandbox stop 127.0.0.1:16013 127.0.0.1:16014 --dry-run",
    ],
)
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def stop(on: Invocation, services: tuple[str, ...]) -> Report:
    """Stop OpenIO services of the sandbox.

    This is for trials: a stopped service refuses connections, and its score is 0. The replicas of a
    container on the other meta2 services elect a master, as long as more than half of them run. No
    data are lost. `rdctl sandbox start` and `rdctl sandbox reboot` start the services again."""
    return Report([_switch(on, address, down=True) for address in services])


@verb(
    "start",
    on_site=False,
    examples=[
        "rdctl sandbox start 127.0.0.1:16013",
        "rdctl sandbox start 127.0.0.1:16013 --dry-run",
    ],
)
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def start(on: Invocation, services: tuple[str, ...]) -> Report:
    """Start OpenIO services of the sandbox.

    Services that were stopped run again, with the data that they had. So does a meta2 that an
    invalid request for spare chunks has crashed, as it crashes real ones of 4.2."""
    return Report([_switch(on, address, down=False) for address in services])


def _switch(on: Invocation, address: str, *, down: bool) -> Change:
    from rdctl.sandbox.oio import trials

    verb, past = ("stop", "stopped") if down else ("start", "started")
    store = _store(on)
    with store.look() as connection:
        if trials.is_down(connection, address) is down:
            state = "stopped" if down else "running"
            return Change(verb, address, False, True, past=f"{{}} is already {state}")

    def act() -> None:
        with store.change() as connection:
            (trials.stop if down else trials.start)(connection, address)

    on.effects.do(Effect(f"{verb} {address}", f"{verb} {address}", act), None)
    done = None if on.effects.dry_run else True
    return Change(verb, address, done, done, past=past)


@verb(
    "release",
    on_site=False,
    examples=["rdctl sandbox release 2025", "rdctl sandbox release 4.2 --dry-run"],
)
@click.argument("release", metavar="RELEASE", type=click.Choice(["4.2", "5", "7", "2025"]))
def release(on: Invocation, release: str) -> Report:
    """Select the release of the sandbox's OpenIO.

    The sandbox simulates a 4.2. With 5, 7 or 2025, its proxy also has the routes of that dialect
    that rdctl uses, and reports locks as it does. Stored data are the same in all of them."""
    from rdctl.sandbox.oio import state

    store = _store(on)
    with store.look() as connection:
        if state.release(connection) == release:
            return Report([Change("release", release, False, True, past="{} is already selected")])

    def act() -> None:
        with store.change() as connection:
            state.set_release(connection, release)

    on.effects.do(Effect(f"select release {release}", f"select release {release}", act), None)
    done = None if on.effects.dry_run else True
    return Report([Change("release", release, done, done, past="selected release")])


@verb("reset", on_site=False, examples=["rdctl sandbox reset", "rdctl sandbox reset --dry-run"])
def reset(on: Invocation) -> Report:
    """Reset the sandbox to its initial state.

    Requires confirmation: all changes in the sandbox are lost. No real system is touched."""
    store = _store(on)
    loss = f"the sandbox in {on.sandbox_path} will be reset; all changes in it will be lost"
    on.effects.consent([loss])
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
    _check_context(on)
    return Item({"path": on.sandbox_path})
