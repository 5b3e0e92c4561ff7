"""rdctl history"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.tree import verb
from rdctl.config.contexts import SANDBOX
from rdctl.config.resolve import resolve
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdctl.cli.invocation import Invocation
    from rdctl.core.acts import Act
    from rdctl.history.history import History
    from rdctl.history.model import Entry


@verb(
    "history",
    shows="rdctl.history/1",
    on_site=False,
    remote=True,
    examples=[
        "rdctl history --since 2h",
        "rdctl history --target rd1 --since 2026-11-29",
        "rdctl history 3f2a",
        "rdctl -c sandbox history --json --query '[].effects'",
    ],
)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--since", metavar="TIME", help="Show only commands since this time.")
@click.option("--target", metavar="NAME", help="Show only commands that name or changed this.")
def history(on: Invocation, ids: tuple[str, ...], since: str | None, target: str | None) -> Listing:
    """Show which commands changed something.

    Every command that changes something, on any system, is recorded before its first change and at
    its end: who ran it and where, its command line without secrets, and its result. The newest is
    shown last. A command without an outcome was killed, or is still running. With an ID, or its
    first digits, a command is shown in full, with every step that it took. Commands that changed
    nothing and dry runs are not recorded.

    --since takes an age (30s, 15m, 2h30m, 7d, 2w), a day (today, yesterday, 2026-11-29), a time of
    the day (22:00, the last time that it was so), or both (2026-11-29T14:30), in local time unless
    it ends with Z or an offset. --target selects commands that name it as a word, or changed
    it. -c selects those on a context, by name or pattern; the sandbox has its own history. For a
    context over SSH the history of its machine is shown; with --local that of this one, which has
    those commands, too. Each user has a history; that of root is the one of this machine (see
    `rdctl help config`)."""
    from rdctl.history.history import find, names_of, plain, undone_by

    found = _history(on)
    whole = entries = found.entries()
    _guard_context(on, whole)
    if ids:
        entries = [find(entries, text) for text in ids]
    start, undone = _start(since, on.environment.now()), undone_by(whole)
    rows = [
        _row(entry, undone.get(entry.id))
        for entry in entries
        if entry.time >= start
        and (target is None or plain(target) in names_of(entry))
        and _is_on(entry, on.flags.get("context"))
    ]
    if not rows and os.geteuid() != 0 and found.place.journal is not None:
        on.next_steps.append("Changes by root are in its own history: sudo rdctl history")
    return Listing(rows, vertical=bool(ids), also=_known(rows) if ids else ())


def _known(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that some of these have a value of; words are shown once, as the command, and other
    commands with the result."""
    keys = rows[0].keys() - {"argv", "undoes", "undone_by"} if rows else ()
    return [
        key
        for key in keys
        if any(row[key] or (row[key] == 0 and not key.startswith("more_")) for row in rows)
    ]


def _history(on: Invocation) -> History:
    """The history of the sandbox if that is the context, else that of this user."""
    from rdctl.history.history import History
    from rdctl.history.places import of_machine, of_sandbox

    environment = on.environment
    home, flags = environment.home(), on.flags
    named = flags.get("context") or environment.environ.get("RDCTL_CONTEXT") or on.config.current
    if named == SANDBOX and not flags.get("local"):
        on.settings = resolve(on.config, on.flags)  # for the commands in hints
        return History(of_sandbox(on.sandbox_path, home), on.warn)
    return History(of_machine(environment.environ, home, environment.root), on.warn)


def _guard_context(on: Invocation, entries: Sequence[Entry]) -> None:
    """Raise about names after -c that are neither contexts nor in any entry."""
    typed: str | None = on.flags.get("context")
    known = {name for entry in entries for name in (entry.context or "").split(",")}
    for name in filter(None, (typed or "").split(",")):
        if name == SANDBOX and name != typed:
            raise RdctlError(
                Code.USAGE,
                "the sandbox has its own history, which is shown alone",
                hint="Show it: rdctl -c sandbox history",
            )
        if not any(char in name for char in "*?[") and name not in known:
            on.config.context(name)


def _is_on(entry: Entry, typed: str | None) -> bool:
    """Whether it was on one of these contexts, which need not exist any longer."""
    if typed is None or typed == SANDBOX:
        return True
    names = (entry.context or "").split(",")
    return any(fnmatchcase(name, pattern) for pattern in typed.split(",") for name in names)


# --- times ------------------------------------------------------------------------------------


def _start(since: str | None, now: float) -> float:
    """The time from which commands are shown."""
    from rdctl.history.times import past

    return 0.0 if since is None else past(since, now)


def _iso(seconds: float | None) -> str | None:
    """`2026-11-29T14:30:00.123Z`"""
    from datetime import UTC, datetime

    if seconds is None:
        return None
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


# --- rows -------------------------------------------------------------------------------------


def _row(entry: Entry, undone_by: str | None) -> dict[str, Any]:
    import shlex

    from rdctl.history.process import user_of
    from rdctl.output.schemas import SCHEMAS

    more = [f"... ({entry.more_argv} more)"] if entry.more_argv else []
    values = {
        **entry._asdict(),
        "time": _iso(entry.time),
        "ended": _iso(entry.ended),
        "user": user_of(entry),
        "contexts": entry.context.split(",") if entry.context else [],
        "acts": [_act(act) for act in entry.acts],
        "undone_by": undone_by,
        "command": " ".join([shlex.join(["rdctl", *entry.argv]), *more]),
    }
    return {column.key: values[column.key] for column in SCHEMAS["rdctl.history/1"].columns}


def _act(act: Act) -> dict[str, Any]:
    keys = ("kind", "name", "identity")
    return {**act._asdict(), "touched": [dict(zip(keys, one, strict=True)) for one in act.touched]}
