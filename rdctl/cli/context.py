"""rdctl context"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import seconds_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.config.contexts import KEYS, SANDBOX, Config, Context, read_file
from rdctl.config.edit import edited, parse_assignment, without
from rdctl.config.resolve import resolve
from rdctl.core.errors import Code, RdctlError, unwritten
from rdctl.core.results import Change, Listing, Report
from rdctl.core.units import without_password
from rdctl.effects.places import alone_with, write_file

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation

_HERE = "rdctl.cli.context:"

group = LazyGroup(
    "context",
    help="""The systems that rdctl knows, by name.

    A context keeps the address of a rapiddiskd (or local), of an oio-proxy, and what goes with
    them. -c NAME works in it; rdctl help config tells of the file.""",
    children={
        "list": (_HERE + "list_contexts", "List contexts."),
        "show": (_HERE + "show", "Show every setting that holds, and where it comes from."),
        "use": (_HERE + "use", "Use a context when none is named."),
        "set": (_HERE + "set_context", "Make a context, or change its settings."),
        "remove": (_HERE + "remove", "Forget a context."),
    },
)


@verb(
    "list",
    shows="rdctl.context/1",
    on_site=False,
    examples=["rdctl context list", "rdctl context list -o name"],
)
def list_contexts(on: Invocation) -> Listing:
    """List contexts.

    The one that is used when none is named carries a star. The context sandbox always exists."""
    config = on.config
    return Listing(
        [_row(context, config.current) for _, context in sorted(config.contexts.items())]
    )


def _row(context: Context, current: str | None) -> dict[str, Any]:
    values = context.values
    return {
        "name": context.name,
        "current": context.name == current,
        "rapiddisk": values.get("rapiddisk"),
        "oio": values.get("oio"),
        "namespace": values.get("namespace"),
        "account": values.get("account"),
        "protected": bool(values.get("protected")),
        "file": context.file,
    }


@verb(
    "show",
    shows="rdctl.setting/1",
    on_site=False,
    examples=["rdctl context show", "rdctl context show sandbox", "rdctl context show --json"],
)
@click.argument("name", required=False)
def show(on: Invocation, name: str | None) -> Listing:
    """Show every setting that holds, and where it comes from.

    Without NAME: what a command would use now, with these options and variables. With NAME: what
    it would use with -c NAME."""
    flags = {**on.flags, "context": name} if name else on.flags
    settings = resolve(on.config, flags)
    rows = [{"key": "context", "value": settings.context, "origin": None}]
    for key in KEYS:
        setting = settings.values.get(key)
        value, origin = (setting.value, setting.origin) if setting else (None, None)
        if key == "http_proxy" and value is not None:
            value = without_password(value)
        rows.append({"key": key, "value": value, "origin": origin})
    rows.append({"key": "config", "value": on.config.path, "origin": None})
    return Listing(rows)


@verb("use", on_site=False, examples=["rdctl context use sandbox", "rdctl context use lab"])
@click.argument("name")
def use(on: Invocation, name: str) -> Report:
    """Use a context when none is named.

    From now on, until another is chosen; -c, RDCTL_CONTEXT and the variables of settings still
    come first."""
    with _editing(on) as config:
        config.context(name)
        return _write(on, config, "use", name, lambda text, path: edited(text, path, current=name))


@verb(
    "set",
    on_site=False,
    examples=[
        "rdctl context set lab rapiddisk=http://127.0.0.1:9118 protected=true",
        "rdctl context set lab oio=http://127.0.0.1:6002 namespace=OPENIO account=me",
        "rdctl context set lab timeout=",
    ],
)
@click.argument("name")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_context(on: Invocation, name: str, assignments: tuple[str, ...]) -> Report:
    """Make a context, or change its settings.

    KEY= with nothing behind it takes the setting away. The keys: rapiddisk, oio, namespace,
    account, protected, timeout, token_file, ca, cert, key, http_proxy, dialect; see
    rdctl help config. Comments in the file stay. A context of the whole machine is copied to your
    own file first."""
    values = [parse_assignment(text) for text in assignments]
    with _editing(on) as config:
        known = config.contexts.get(name)
        if known is not None and known.file not in (None, config.path):
            # The user's context hides the machine's of that name, so it takes over what that says.
            values = [*known.values.items(), *values]
        return _write(
            on, config, "set", name, lambda text, path: edited(text, path, name=name, values=values)
        )


@verb("remove", on_site=False, examples=["rdctl context remove lab", "rdctl context remove lab -q"])
@click.argument("name")
def remove(on: Invocation, name: str) -> Report:
    """Forget a context.

    Only its settings go; the systems behind it are not touched."""
    if name == SANDBOX:
        raise RdctlError(
            Code.USAGE,
            "the context sandbox is built in and stays",
            hint="Its state goes with: rdctl sandbox reset",
        )
    with _editing(on) as config:
        context = config.context(name)
        if context.file != config.path:
            raise RdctlError(
                Code.DENIED,
                f"the context {name} is set for the whole machine, in {context.file}",
                hint="Who administers the machine can remove it there.",
                target=name,
            )
        return _write(on, config, "remove", name, lambda text, path: without(text, path, name))


@contextmanager
def _editing(on: Invocation) -> Iterator[Config]:
    """The contexts as they are while no other rdctl of this user edits them."""
    home = on.world.home()
    path = on.config.path
    seconds = seconds_of(click.get_current_context()) or _LOCK_SECONDS
    lock = nullcontext() if on.effects.dry_run else alone_with(path, seconds, home)
    with lock:
        yield Config(on.world.environ, on.world.root, home)


# To wait for another rdctl, which takes an instant.
_LOCK_SECONDS = 10.0


def _write(on: Invocation, config: Config, action: str, name: str, edit: Any) -> Report:
    """Change the user's file; nothing is written where nothing changes."""
    path = config.path
    before = read_file(path, _LOCK_SECONDS) or ""
    after = edit(before, path)
    if after == before:
        return Report([Change(action, name, False, True)])
    try:
        on.effects.do(
            write_file(path, after, what=f"{action} the context {name}", home=config.home), None
        )
    except OSError as error:
        raise RdctlError(
            unwritten(error), f"{path} cannot be written: {error.strerror}", target=name
        ) from error
    done = None if on.effects.dry_run else True
    return Report([Change(action, name, done, done)])
