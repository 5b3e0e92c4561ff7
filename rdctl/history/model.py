"""One command in the history: plain data."""

from __future__ import annotations

from typing import NamedTuple

from rdctl.core.acts import Act


class Entry(NamedTuple):
    """A command that changed something, or was about to. Times are seconds since 1970.

    Its first line was written before the first change, with all down to `undoes`; the rest came
    after the last. `result` is `done`, `partial`, `failed` or `unknown`; None: it was killed, or is
    running. `argv` has no secrets. `effects` are lines as in the trace; `targets` the names in the
    outcomes; `left` what a failed command could not roll back. `acts` are those that still hold
    after it: none if it was rolled back. Of what is too long for a line, the first are kept, and
    `more_...` counts the others: without all its acts, a command cannot be undone. `context` may
    be several, with commas in between. `boot` is that of the local machine that it changed.
    `origin` is who sent it over SSH, and the login.
    """

    id: str
    time: float
    host: str
    login_uid: int | None
    uid: int
    sudo_user: str | None
    tty: str | None
    pid: int
    argv: tuple[str, ...]
    more_argv: int
    context: str | None
    request_id: str | None
    boot: str | None
    origin: str | None = None
    undoes: str | None = None
    ended: float | None = None
    effects: tuple[str, ...] = ()
    more_effects: int = 0
    targets: tuple[str, ...] = ()
    more_targets: int = 0
    acts: tuple[Act, ...] = ()
    more_acts: int = 0
    left: tuple[str, ...] = ()
    more_left: int = 0
    result: str | None = None
    error: str | None = None
    exit: int | None = None
