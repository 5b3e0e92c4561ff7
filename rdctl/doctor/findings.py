"""What checks are made of: a finding, a check, and what several of them say and ask alike."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.sites import Site

OK, SKIPPED, WARNING, ERROR = "ok", "skipped", "warning", "error"
# For each check, unless --timeout says another time.
SECONDS = 2.0
# Servers tell the time in whole seconds.
_CLOCK_SECONDS = 2.0


class Finding(NamedTuple):
    """`severity` is ok, skipped, warning or error; `mend` the command that mends it."""

    severity: str
    check: str
    subject: str | None
    message: str
    why: str | None
    mend: str | None

    @classmethod
    def of(
        cls,
        severity: str,
        message: str,
        *,
        subject: str | None = None,
        why: str | None = None,
        mend: str | None = None,
    ) -> Finding:
        """One whose check is not known yet."""
        return cls(severity, "", subject, message, why, mend)

    @classmethod
    def ok(cls, message: str, **more: str | None) -> Finding:
        return cls.of(OK, message, **more)

    @classmethod
    def skipped(cls, message: str, **more: str | None) -> Finding:
        return cls.of(SKIPPED, message, **more)

    @classmethod
    def warning(cls, message: str, **more: str | None) -> Finding:
        return cls.of(WARNING, message, **more)

    @classmethod
    def error(cls, message: str, **more: str | None) -> Finding:
        return cls.of(ERROR, message, **more)


class Check(NamedTuple):
    """`run` looks at a site; `only_deep` says why it is not done without being asked for."""

    name: str
    run: Callable[[Site], Iterable[Finding]]
    only_deep: str | None = None


def found_by(error: RdctlError) -> Finding:
    """The error that ended a check."""
    if error.code is Code.TIMEOUT:
        # Whatever it was asked: one cause is reported once.
        server = error.facts.get("server")
        late = f"{server} gave no complete answer in time" if server else error.message
        return Finding.error(late, subject=error.target)
    severity = SKIPPED if error.code is Code.UNSUPPORTED else ERROR
    return Finding.of(severity, error.message, subject=error.target, why=error.hint)


def unless_any(findings: Iterable[Finding], fine: str) -> Iterator[Finding]:
    """The findings, or that all is well."""
    any_found = False
    for finding in findings:
        any_found = True
        yield finding
    if not any_found:
        yield Finding.ok(fine)


def count(things: Sequence[object], noun: str) -> str:
    """`no caches`, `1 cache`, `2 caches`"""
    number = len(things)
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


# --- commands -----------------------------------------------------------------------------------


def rdctl_again(site: Site, words: str) -> str:
    """A command of ours as it has to be typed to reach the same place."""
    return site.settings.again(words)


def as_root(site: Site, command: str) -> str:
    """A command that takes root, on this machine."""
    return command if site.is_root else f"sudo {command}"


def on_this_machine(site: Site, words: str) -> str:
    """A command of ours that changes this machine."""
    return as_root(site, rdctl_again(site, words))


def is_here(url: str) -> bool:
    """Whether an address is this very machine, and nobody in between hears it."""
    import ipaddress

    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def numbers(version: str) -> tuple[int, ...]:
    """A version, to be compared; empty where it has no numbers."""
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", version.partition("+")[0])[:3])


# --- servers ------------------------------------------------------------------------------------


def after(site: Site, begun: float) -> str:
    """How long a server took; the sandbox is none."""
    return "" if site.in_sandbox else f" in {(time.perf_counter() - begun) * 1000:.0f} ms"


def in_the_clear(url: str) -> Finding:
    return Finding.warning(
        f"the token for {url} travels unencrypted",
        subject=url,
        why="Who hears it can do what you can; with https:// nobody does.",
    )


def compared(tell: Callable[[], float | None], whose: str) -> Finding:
    """The two clocks, as far as a time in whole seconds and the way there allow."""
    before = time.time()
    theirs = tell()
    now = time.time()
    if theirs is None:
        return Finding.skipped("the server does not tell its time")
    ahead, behind = theirs - now, before - (theirs + 1)
    off = max(ahead, behind)
    if off <= _CLOCK_SECONDS:
        return Finding.ok(f"the same as {whose}")
    return Finding.warning(
        f"{off:.0f} s {'behind' if ahead > 0 else 'ahead of'} {whose}",
        why="Dates and logs of the two do not fit together. On the machine whose clock is wrong:",
        mend="timedatectl set-ntp true",
    )
