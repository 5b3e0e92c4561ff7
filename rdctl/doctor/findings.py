"""What checks are made of: a finding, a check, and what several of them share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.sites import Site

OK, SKIPPED, WARNING, ERROR = "ok", "skipped", "warning", "error"
# For each check, unless --timeout is given.
SECONDS = 2.0
# Servers report the time in whole seconds.
_CLOCK_SECONDS = 2.0


class Finding(NamedTuple):
    """`severity` is ok, skipped, warning or error; `mend` is the command that fixes it."""

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
    """`run` examines a site; `only_deep` is the reason why it runs with --deep only."""

    name: str
    run: Callable[[Site], Iterable[Finding]]
    only_deep: str | None = None


def found_by(site: Site, error: RdctlError) -> Finding:
    """The error that ended a check."""
    error = site.settings.aim(error)
    if error.code is Code.TIMEOUT:
        # Whatever the request was: one cause is reported once.
        server = error.facts.get("server")
        late = f"{server} timed out" if server else error.message
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
    """An rdctl command with the options that lead to the same place."""
    return site.settings.again(words)


def as_root(site: Site, command: str) -> str:
    """A command that requires root, on this machine."""
    return command if site.is_root else f"sudo {command}"


def on_this_machine(site: Site, words: str) -> str:
    """An rdctl command that changes this machine."""
    return as_root(site, rdctl_again(site, words))


def is_here(url: str) -> bool:
    """Whether an address is on this machine, so that no traffic leaves it."""
    import ipaddress

    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- servers ------------------------------------------------------------------------------------


def after(site: Site, begun: float) -> str:
    """How long a server took; nothing for the sandbox, which is not a server."""
    return "" if site.in_sandbox else f" in {(time.perf_counter() - begun) * 1000:.0f} ms"


def in_the_clear(url: str) -> Finding:
    return Finding.warning(
        f"the token for {url} is sent unencrypted",
        subject=url,
        why="Anyone who intercepts it has your permissions. Use https:// to encrypt it.",
    )


def compared(read_clock: Callable[[], float | None], whose: str) -> Finding:
    """The two clocks, as far as whole seconds and the network's delay allow."""
    before = time.time()
    theirs = read_clock()
    now = time.time()
    if theirs is None:
        return Finding.skipped("not checked: the server does not report its time")
    ahead, behind = theirs - now, before - (theirs + 1)
    off = max(ahead, behind)
    if off <= _CLOCK_SECONDS:
        return Finding.ok(f"in sync with {whose}")
    return Finding.warning(
        f"this machine is {off:.0f} s {'behind' if ahead > 0 else 'ahead of'} {whose}",
        why="Their dates and logs do not match. On the machine whose clock is wrong:",
        mend="timedatectl set-ntp true",
    )
