"""A command of RapidDisk whose context is behind SSH: rdctl there runs it."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import click

from rdctl.cli.names_input import expanded
from rdctl.cli.options import WORDS, flags_of
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing, Report
from rdctl.remote.near import Call, Near, Request
from rdctl.remote.session import Far, started
from rdctl.remote.turns import Turn, taken
from rdctl.remote.wire import GLOBALS, error_data, error_of
from rdctl.workers import WAKE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rdctl.cli.invocation import Invocation
    from rdctl.cli.tree import Command
    from rdctl.core.results import Result
    from rdctl.remote.files import Offered
    from rdctl.sites import Site


def call(
    command: Command, ctx: click.Context, params: dict[str, Any], on: Invocation, site: Site
) -> Result:
    """The result of this command on that machine."""
    if command.name == "doctor":
        return _doctor(command, ctx, params, on, site)
    words = None
    if params.get("words"):
        words = expanded(ctx, site, params["words"])
        if not words:
            return Listing(()) if command.shows else Report(())
    files = {}
    if not flags_of(ctx).get("remote_file"):
        files = {params[name]: use for name, use in command.files.items() if params[name]}
    request, overwrite = _request(command, ctx, params, words), bool(params.get("overwrite"))
    return ask(on, site, request, None, files, overwrite)


def _doctor(
    command: Command, ctx: click.Context, params: dict[str, Any], on: Invocation, site: Site
) -> Listing:
    from rdctl.cli.remote_doctor import examined

    def ask_there(far: Far) -> Listing:
        there = ask(on, site, _request(command, ctx, params, None), far)
        return cast("Listing", there)

    here: Listing = ctx.invoke(command.work, site, **params)
    return examined(here, lambda: _far(on, site), ask_there, site)


def ask(
    on: Invocation,
    site: Site,
    request: Request,
    far: Far | None = None,
    files: Mapping[str, str] = MappingProxyType({}),
    overwrite: bool = False,
) -> Result:
    """The result of a request to the machine of this site. `files` are those of this side that it
    names, each with its use."""
    if far is None and on.contexts is not None and request.shows:
        with _turn(on, site):
            return taken(ask(on, site, request, _far(on, site, shared=True), files, overwrite))
    far = far or _far(on, site)
    near = Near(
        site.effects,
        site.warn,
        on.notice,
        on.workers,
        on.unread,
        on.next_steps,
        site.settings.again("").removeprefix("rdctl").strip(),
        on.contexts is not None,
        lambda: site.left,
        _offered(on, site, far, files, overwrite) if files else None,
    )
    flags = {**request.flags, "timeout": site.left}
    return Call(far, request._replace(flags=flags), near).result()


def _offered(
    on: Invocation, site: Site, far: Far, files: Mapping[str, str], overwrite: bool
) -> Offered:
    from rdctl.remote.files import Offered

    return Offered(
        files,
        replace=overwrite,
        home=site.config.home,
        through=far.target.ssh(),
        environment=on.environment,
        effects=site.effects,
        workers=lambda: on.workers,
        left=lambda: site.left,
    )


@contextmanager
def _turn(on: Invocation, site: Site) -> Iterator[None]:
    """Contexts that only read and lead to the same place take turns: one login, and one rdctl
    there, do for all of them. If that fails, so does it for those that wait; no other one of them
    has to wait as long again."""
    turn = on.remotes.turns.setdefault(_address(site), Turn())
    while not turn.lock.acquire(timeout=WAKE_SECONDS):
        on.workers.check()
        if site.left == 0.0:
            raise RdctlError(Code.TIMEOUT, "timed out", hint="Use a longer --timeout.")
    try:
        on.workers.check()
        if turn.refusal is not None and turn.refused > site.began:
            raise error_of(error_data(turn.refusal))
        try:
            _far(on, site, shared=True)
        except RdctlError as error:
            turn.refusal, turn.refused = error, on.environment.busy()
            raise error_of(error_data(error)) from error
        yield
    finally:
        turn.lock.release()


def _address(site: Site) -> tuple[str, str | None]:
    """What starts rdctl there: the address and the command."""
    settings = site.settings
    return settings.get("rapiddisk"), settings.credential("remote_command", "rapiddisk")


def _far(on: Invocation, site: Site, *, shared: bool = False) -> Far:
    """rdctl on that machine: --watch asks it more than once, and so do contexts that share it."""
    settings, environment = site.settings, on.environment
    key = _address(site) if shared else settings.context or settings.get("rapiddisk")
    fars = on.remotes.fars
    if key in fars and not fars[key].closed:
        return fars[key]
    far = started(
        settings,
        environment,
        # With several contexts, or without a terminal, ssh must not wait for an answer.
        batch=on.contexts is not None or "watch" in on.flags or not environment.can_ask,
        left=lambda: site.left,
        opening=on.remotes.opening,
    )
    fars[key] = far
    return far


def _request(
    command: Command, ctx: click.Context, params: dict[str, Any], words: list[str] | None
) -> Request:
    """The parameters as they were typed; `words` are names that were read from standard input."""
    typed, _, _ = command.make_parser(ctx).parse_args(list(ctx.meta[WORDS]))
    arguments: list[str] = []
    options: dict[str, Any] = {}
    for param in command.params:
        value = typed.get(str(param.name))
        if not param.expose_value or params.get(str(param.name)) is None or not _given(value):
            continue
        if isinstance(param, click.Argument):
            if param.name == "words" and words is not None:
                arguments += words
            else:
                arguments += [value] if isinstance(value, str) else value or ()
        elif isinstance(param, click.Option):
            _add(options, param, value)
    flags = {name: on for name in GLOBALS if (on := flags_of(ctx).get(name)) is not None}
    return Request(ctx.command_path.split()[1:], arguments, options, flags, bool(command.shows))


def _given(value: Any) -> bool:
    """Whether the parser of click found a value; what it has for none depends on its version."""
    return isinstance(value, str | list | tuple | bool) and value != ()


def _add(options: dict[str, Any], param: click.Option, value: Any) -> None:
    spelling = max(param.opts, key=len)
    if isinstance(value, bool):
        if not value and param.secondary_opts:
            spelling = max(param.secondary_opts, key=len)
        options[spelling] = True
    else:
        options[spelling] = [value] if isinstance(value, str) else list(value)
