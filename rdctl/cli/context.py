"""rdctl context"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import seconds_of
from rdctl.cli.tree import LazyGroup, verb
from rdctl.config.contexts import KEYS, SANDBOX, Config, Context, read_file
from rdctl.config.edit import edited, parse_assignment, renamed, without
from rdctl.config.resolve import resolve
from rdctl.core.errors import Code, RdctlError, unwritten
from rdctl.core.results import Change, Item, Listing, Report, between
from rdctl.core.units import without_password
from rdctl.effects.places import alone_with, write_file

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation

_HERE = "rdctl.cli.context:"

group = LazyGroup(
    "context",
    help="""Manage contexts: named sets of connection settings.

    A context holds the address of a rapiddiskd (or local, or a machine over SSH) and of an
    oio-proxy, with their settings.
    Select one with -c NAME. See `rdctl help config` for the configuration file.""",
    children={
        "list": (_HERE + "list_contexts", "List contexts."),
        "show": (_HERE + "show", "Show the settings in effect and their sources."),
        "current": (_HERE + "current", "Show the current context."),
        "use": (_HERE + "use", "Set the current context."),
        "set": (_HERE + "set_context", "Create or change a context."),
        "rename": (_HERE + "rename", "Rename a context."),
        "remove": (_HERE + "remove", "Remove a context."),
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

    The current context is marked with an asterisk; -c and RDCTL_CONTEXT take precedence over it
    (see `rdctl context show`). The context "sandbox" always exists."""
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
    """Show the settings in effect and their sources.

    Without NAME: the settings of a command with these options and environment variables. With NAME:
    the settings of a command with -c NAME."""
    flags = {**on.flags, "context": name} if name else on.flags
    settings = resolve(on.config, flags)
    rows = [{"key": "context", "value": settings.context, "origin": settings.how}]
    for key in KEYS:
        setting = settings.values.get(key)
        value, origin = (setting.value, setting.origin) if setting else (None, None)
        if key == "http_proxy" and value is not None:
            value = without_password(value)
        rows.append({"key": key, "value": value, "origin": origin})
    rows.append({"key": "config", "value": on.config.path, "origin": None})
    return Listing(rows)


@verb(
    "current",
    shows="rdctl.context/1",
    on_site=False,
    examples=["rdctl -c sandbox context current", "rdctl -c sandbox context current -o name"],
)
def current(on: Invocation) -> Item:
    """Show the current context.

    It is the one that commands use: of -c, RDCTL_CONTEXT, or the configuration file. Without one
    (not-found), commands use RapidDisk on this machine."""
    name = resolve(on.config, on.flags).context
    if name is None:
        raise RdctlError(
            Code.NOT_FOUND,
            "no current context: commands use RapidDisk on this machine",
            hint="Set one: rdctl context use NAME",
        )
    return Item(_row(on.config.context(name), on.config.current))


@verb("use", on_site=False, examples=["rdctl context use sandbox", "rdctl context use lab"])
@click.argument("name")
def use(on: Invocation, name: str) -> Report:
    """Set the current context.

    It is used by commands that specify no other: -c, RDCTL_CONTEXT and the environment variables
    of settings take precedence."""
    with _editing(on) as config:
        config.context(name)
        difference = between({"current": config.current}, {"current": name})
        return _write(
            on, config, "use", name, lambda text, path: edited(text, path, current=name), difference
        )


@verb(
    "set",
    on_site=False,
    examples=[
        "rdctl context set lab rapiddisk=http://127.0.0.1:9118 protected=true",
        "rdctl context set lab oio=http://127.0.0.1:6002 namespace=OPENIO account=me",
        "rdctl context set node7 rapiddisk=ssh://root@node7",
        "rdctl context set lab timeout=",
    ],
)
@click.argument("name")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_context(on: Invocation, name: str, assignments: tuple[str, ...]) -> Report:
    """Create or change a context.

    KEY= removes a setting. Keys: rapiddisk, oio, namespace, account, protected, timeout,
    token_file, ca, cert, key, http_proxy, events, dialect, remote_command (see `rdctl help
    config`). Comments in the file are kept. A system-wide context is copied to your own file
    first."""
    values = [parse_assignment(text) for text in assignments]
    with _editing(on) as config:
        known = config.contexts.get(name)
        if known is not None and known.file not in (None, config.path):
            # The user's context hides the system-wide one of that name, so it copies its settings.
            values = [*known.values.items(), *values]
        edit = partial(edited, name=name, values=values)
        return _write(on, config, "set", name, edit, _difference(known, dict(values)))


@verb(
    "rename",
    on_site=False,
    examples=["rdctl context rename lab rack1", "rdctl context rename lab rack1 --dry-run"],
)
@click.argument("name")
@click.argument("new")
def rename(on: Invocation, name: str, new: str) -> Report:
    """Rename a context.

    If it is the current one, it stays current. A name that already exists is refused; so are the
    context "sandbox" and system-wide contexts."""
    with _editing(on) as config:
        _check_own(config, name, "rename")
        if new in config.contexts:
            raise RdctlError(Code.CONFLICT, f'context "{new}" already exists', target=new)
        edit = partial(renamed, name=name, new=new)
        difference = between({"name": name}, {"name": new})
        return _write(on, config, "rename", name, edit, difference, f' to "{new}"')


@verb("remove", on_site=False, examples=["rdctl context remove lab", "rdctl context remove lab -q"])
@click.argument("name")
def remove(on: Invocation, name: str) -> Report:
    """Remove a context.

    Only its settings are removed; the systems it refers to are not touched. The context "sandbox"
    and system-wide contexts are refused."""
    with _editing(on) as config:
        _check_own(config, name, "remove")
        known = config.contexts[name]
        difference = between(_shown(known.values), None)
        report = _write(on, config, "remove", name, partial(without, name=name), difference)
        if config.current == name and not on.effects.dry_run:
            on.warn(
                f'"{name}" was the current context: without another one, commands use RapidDisk on'
                " this machine"
            )
        return report


def _check_own(config: Config, name: str, act: str) -> None:
    """Raise for a context that is not in the user's file."""
    if name == SANDBOX:
        raise RdctlError(
            Code.USAGE,
            f'cannot {act} context "sandbox": it is built in',
            hint="Reset its state: rdctl sandbox reset",
        )
    context = config.context(name)
    if context.file != config.path:
        raise RdctlError(
            Code.DENIED,
            f'cannot {act} context "{name}": it is system-wide, defined in {context.file}',
            hint=f"An administrator can {act} it in that file.",
            target=name,
        )


@contextmanager
def _editing(on: Invocation) -> Iterator[Config]:
    """The contexts, while no other rdctl process of this user edits them."""
    home = on.environment.home()
    path = on.config.path
    seconds = seconds_of(click.get_current_context()) or _LOCK_SECONDS
    lock = nullcontext() if on.effects.dry_run else alone_with(path, seconds, home)
    with lock:
        yield Config(on.environment.environ, on.environment.root, home)


# Time to wait for another rdctl process.
_LOCK_SECONDS = 10.0


def _write(
    on: Invocation,
    config: Config,
    action: str,
    name: str,
    edit: Any,
    difference: Mapping[str, Any],
    to: str = "",
) -> Report:
    """Change the user's file, unless the change has no effect; `to` is a new name."""
    path = config.path
    before = read_file(path, _LOCK_SECONDS) or ""
    after = edit(before, path)
    if after == before:
        return Report([Change(action, name, False, True, difference, _UNCHANGED[action])])
    created = action == "set" and name not in config.contexts
    try:
        act = "create" if created else _ACTS[action]
        on.effects.do(
            write_file(path, after, what=f'{act} context "{name}"{to}', home=config.home), None
        )
    except OSError as error:
        raise RdctlError(
            unwritten(error), f"{path} cannot be written: {error.strerror}", target=name
        ) from error
    done = None if on.effects.dry_run else True
    past = "created" if created else _CHANGED.get(action)
    sentence = f'Context "{{}}" {past}{to}.' if past else 'Switched to context "{}".'
    return Report([Change(action, name, done, done, difference, sentence)])


def _difference(known: Context | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """What these values change of a context."""
    was = None if known is None else _shown({key: known.values.get(key) for key in values})
    return between(was, _shown(values))


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the password of a proxy."""
    return {
        key: without_password(value) if key == "http_proxy" and value else value
        for key, value in values.items()
    }


_ACTS = {"use": "switch to", "set": "update", "rename": "rename", "remove": "remove"}
_CHANGED = {"set": "updated", "rename": "renamed", "remove": "removed"}
_UNCHANGED = {
    "use": 'Already using context "{}".',
    "set": 'Context "{}" is up to date.',
}
