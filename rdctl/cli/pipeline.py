"""The steps of one command: its view, its sites, the verb itself, its result, the exit code."""

from __future__ import annotations

import gc
from functools import partial
from typing import TYPE_CHECKING, Any

from rdctl.cli.messages import show_error, show_failures
from rdctl.cli.names_input import check_single
from rdctl.cli.options import SYNONYM, seconds_of
from rdctl.cli.view import view_of
from rdctl.core.errors import Code, Ended, Exit, RdctlError, as_error
from rdctl.core.results import Change, Document, Failure, Listing, Plan, Raw, Report
from rdctl.core.units import quoted
from rdctl.output.render import render
from rdctl.output.schemas import CHANGE, SCHEMAS, with_context
from rdctl.output.view import View, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import click

    from rdctl.cli.invocation import Invocation
    from rdctl.cli.names_input import Bulk
    from rdctl.cli.tree import Command
    from rdctl.core.results import Result
    from rdctl.output.schemas import Schema
    from rdctl.sites import Site


def carry_out(ctx: click.Context, invocation: Invocation) -> int:
    """Run the verb and return its exit code."""
    command: Command = ctx.command  # type: ignore[assignment]
    view, params = view_of(invocation.flags, invocation.environment), dict(ctx.params)
    shown = command.shown(params)
    schema = SCHEMAS[shown] if shown else None
    if command.on_site and invocation.contexts is not None:
        schema = with_context(schema or CHANGE)
    if view.columns == ["help"]:
        from rdctl.cli.help import columns_of

        invocation.environment.stdout.write(columns_of(schema or CHANGE, view.width))
        return int(Exit.OK)
    view = checked(view, schema)
    if "list_of_files" not in params:
        invocation.bulk.check(params.get("words", ()))
    if view.sort_by and params.get("limit"):
        # The first rows are known only when all rows are.
        view = view._replace(limit=params["limit"])
        params["limit"] = None
    if not gc.isenabled():
        # `__main__` disabled it during startup, whose objects all stay alive.
        gc.freeze()
        gc.enable()
    ask = partial(result_of, ctx, params, invocation)
    try:
        if "watch" in invocation.flags and schema is not None:
            from rdctl.cli.watch import watch

            return watch(ask, command, schema, view, invocation)
        return _shown(_asked(ask, command, invocation), schema, view, invocation)
    finally:
        invocation.close()
        if words := invocation.unread.words:
            invocation.warn(words)


# --- the verb ---------------------------------------------------------------------------------


def _asked(ask: Callable[[], Result], command: Command, invocation: Invocation) -> Result:
    """The result of the verb; if it fails as a whole, all its names are kept as failed."""
    try:
        return ask()
    except (RdctlError, KeyboardInterrupt, Ended) as error:
        invocation.end_progress()
        # The message lists the names that are done, if any.
        _keep_failed([Failure(str(command.name), as_error(error), whole=True)], invocation)
        raise


def result_of(ctx: click.Context, params: dict[str, Any], invocation: Invocation) -> Result:
    """The result of the verb on one site or several; its hints address the site they are from."""
    command: Command = ctx.command  # type: ignore[assignment]
    call = partial(_called, ctx, params, invocation)
    result: Result
    if not command.on_site:
        result = _unsited(ctx, params, invocation)
    elif invocation.contexts is None:
        result = call(invocation.site())
    else:
        from rdctl.cli import fleet

        fleet.check(command, invocation)
        if typed := ctx.meta.get(SYNONYM):
            check_single(ctx, typed, len(invocation.contexts) > 1)
        if "-" in params.get("words", ()):
            invocation.bulk.read(invocation.environment, seconds_of(ctx))  # once for all
        result = fleet.result(command, call, invocation, invocation.contexts)
    if isinstance(result, Report):
        result.pass_through(invocation.aimed)
    elif isinstance(result, Listing):
        result.items = invocation.aiming(result, result.items)
    elif isinstance(result, Raw) and result.error is not None:
        invocation.aim(result.error)
    return result


def _unsited(ctx: click.Context, params: dict[str, Any], invocation: Invocation) -> Result:
    """The result of a verb that needs no site."""
    command: Command = ctx.command  # type: ignore[assignment]
    if command.remote and (site := invocation.ssh_site()) is not None:
        return _called(ctx, params, invocation, site)
    result: Result = ctx.invoke(command.work, invocation, **params)
    return result


def _called(
    ctx: click.Context, params: dict[str, Any], invocation: Invocation, site: Site
) -> Result:
    """The result of the verb on this site: of its function, or over SSH of rdctl there."""
    command: Command = ctx.command  # type: ignore[assignment]
    if site.settings.over_ssh and invocation.noun != "oio":
        from rdctl.cli.remote import call

        return call(command, ctx, params, invocation, site)
    if invocation.flags.get("remote_file"):
        raise RdctlError(
            Code.USAGE,
            "--remote-file requires a context over SSH",
            hint="Omit it: the file is on this machine.",
        )
    result: Result = ctx.invoke(command.work, site, **params)
    return result


# --- what it returns --------------------------------------------------------------------------


def _shown(result: Result, schema: Schema | None, view: View, invocation: Invocation) -> int:
    """Show the result and return its exit code."""
    environment, report = invocation.environment, result if isinstance(result, Report) else None
    invocation.report = report
    _number(result, invocation.bulk, view)
    ended: BaseException | None = None
    # Lines would break the progress bar; a document is written when it is complete.
    if report is not None and (environment.stderr.tty or invocation.effects.dry_run or view.in_one):
        ended = _completed(report)
        invocation.end_progress()
    if isinstance(result, Listing):
        if result.few:
            result.items = invocation.one_by_one(result.items)
        elif environment.stdout.tty:
            invocation.leave_out_progress()
    try:
        render(
            _planned(result, invocation, view), schema, view, environment.stdout, invocation.notice
        )
    except BrokenPipeError:
        if report is not None:  # a change continues without a reader
            _completed(report)
        raise
    finally:
        invocation.end_progress()
        if isinstance(result, Report | Listing | Document):
            failures = [one for one in result.so_far if isinstance(one, Failure)]
            show_failures(environment, failures)
            _keep_failed(failures, invocation)
    if ended is not None:
        raise ended
    return _settled(result, invocation)


def _number(result: Result, bulk: Bulk, view: View) -> None:
    """Add to failures and outcomes the input lines of their names."""
    if bulk.lines and isinstance(result, Report):
        result.pass_through(_numbering(bulk, view))
    elif bulk.lines and isinstance(result, Listing):
        result.items = bulk.numbering(result, result.items)


def _numbering(bulk: Bulk, view: View) -> Callable[[Change | Failure], Change | Failure]:
    """A function that adds input lines to outcomes; sentences do not show them."""

    def numbered(outcome: Change | Failure) -> Change | Failure:
        if isinstance(outcome, Failure):
            return bulk.numbered(outcome)
        if view.in_words:
            return outcome
        line = bulk.of(outcome.context).lines.get(outcome.target or "")
        return outcome if line is None else outcome.with_line(line)

    return numbered


def _completed(report: Report) -> BaseException | None:
    """Complete the report; the signal that ended it early, if any."""
    try:
        for _ in report:
            pass
    except (KeyboardInterrupt, Ended) as error:
        return error
    return None


def _planned(result: Result, invocation: Invocation, view: View) -> Result:
    """In a dry run, the plan: the steps, and the outcomes as far as they are known."""
    plan = [line for door in invocation.doors for line in door.plan]
    report = result if isinstance(result, Report) else None
    if not invocation.effects.dry_run or (report is None and not plan):
        return result
    summary, losses = [], []
    texts: dict[str, str] = {}
    for door in invocation.doors:
        where = f"{door.context}: " if door.context else ""
        summary += [f"{where}would {act}" for act in door.would]
        texts |= {f"{where}would {act}": text for act, text in door.texts.items()}
        losses += [f"{where}{loss}" for loss in door.losses]
    if report is not None and (report.summary is not None or view.in_words):
        summary += _not_to_be_done(report, view)
    contexts = {door.context: door.plan for door in invocation.doors if door.context}
    return Plan(plan, report, contexts or None, summary, losses, texts)


def _not_to_be_done(report: Report, view: View) -> list[str]:
    """What a dry run says of targets that need no change: the numbers, or each."""
    from rdctl.output.words import sentence, total

    if (counts := report.summary) is not None:
        return [total(counts, view.units, report.past, planned=True)]
    unchanged = [change for change in report.changes if change.changed is False]
    return [sentence(change, view.units) for change in unchanged]


def _keep_failed(failures: Sequence[Failure], invocation: Invocation) -> None:
    bulk, effects = invocation.bulk, invocation.effects
    if bulk.failed is not None and not effects.dry_run:
        bulk.keep_failed(failures, effects, invocation.environment.home())


# --- the end ----------------------------------------------------------------------------------


def _settled(result: Result, invocation: Invocation) -> int:
    """Print the final notices and return the exit code."""
    report, environment = invocation.report, invocation.environment
    mark_sandbox(invocation)
    if isinstance(result, Listing):
        invocation.next_steps += [*result.notes, *_markers(result)]
    if invocation.next_steps:
        environment.stdout.flush()
    for line in invocation.next_steps:
        invocation.notice(line)
    if isinstance(result, Listing):
        return int(result.exit)
    if isinstance(result, Raw) and result.error is not None:
        show_error(environment, result.error)
        return int(result.error.exit)
    if isinstance(result, Document):
        return int(result.exit)
    return int(report.exit if report is not None else Exit.OK)


def mark_sandbox(invocation: Invocation) -> None:
    """Among the final notices, name the sandbox if it was changed."""
    report, effects = invocation.report, invocation.effects
    if invocation.in_sandbox and not effects.dry_run:
        if report.changes if report is not None else effects.done:
            invocation.next_steps.insert(0, "[sandbox]")


def _markers(listing: Listing) -> Iterator[str]:
    """How to get more results; known when all were taken."""
    if listing.marker is not None:
        yield f"More results: --marker {quoted(listing.marker)}"
    for context, marker in listing.markers.items():
        yield f"More results: -c {context} --marker {quoted(marker)}"
