"""rdctl doctor of a context over SSH: what concerns this side, the way there, and what rdctl there
finds on its machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rdctl import __version__
from rdctl.core.errors import Exit, RdctlError
from rdctl.core.results import Listing
from rdctl.doctor import oio, own
from rdctl.doctor.findings import OK, Finding, found_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rdctl.remote.launch import Target
    from rdctl.remote.session import Far
    from rdctl.sites import Site

_CHECK = "ssh"
# Those that concern this side are made here.
_ELSEWHERE = {check.name for check in (*own.CHECKS, *oio.ALL)}


def examined(
    here: Listing, reach: Callable[[], Far], ask: Callable[[Far], Listing], site: Site
) -> Listing:
    """The findings of both sides; `here` are those of this one."""
    findings: list[Any] = list(here)
    try:
        began = time.perf_counter()
        far = reach()
        findings.append(_reached(far, time.perf_counter() - began))
        there = ask(far)
        findings += _of_machine(there, far.target)
        verdict = there.verdict
    except RdctlError as error:
        findings.append(found_by(site, error)._replace(check=_CHECK))
        verdict = Exit.FAILED
    listing = Listing(findings)
    listing.verdict = max(here.verdict, verdict)
    return listing


def _reached(far: Far, seconds: float) -> Finding:
    """How long it took until rdctl there had started, and its version."""
    there = f"{far.target.url}: rdctl {far.version} as {far.user}"
    message = f"{there} answers in {seconds * 1000:.0f} ms"
    if far.version == __version__:
        return Finding.ok(message, subject=far.target.url)._replace(check=_CHECK)
    return Finding.warning(
        f"{message}; here it is {__version__}",
        subject=far.target.url,
        why="Options that only one of them has are refused. Install the same version on both.",
    )._replace(check=_CHECK)


def _of_machine(findings: Iterable[Mapping[str, Any]], target: Target) -> Iterator[dict[str, Any]]:
    """The findings of the machine, with commands for this one."""
    for finding in findings:
        if finding["check"] in _ELSEWHERE:
            continue
        mend = finding["mend"]
        if finding["check"] == "root" and finding["severity"] != OK:
            mend = f"rdctl context set {target.context} remote_command='sudo -n rdctl'"
        elif mend:
            mend = _from_here(mend, target)
        yield {**finding, "mend": mend}


def _from_here(command: str, target: Target) -> str:
    """A command for that machine, as one types it here."""
    plain = command.removeprefix("sudo ")
    if plain.startswith("rdctl "):
        return plain
    terminal = () if plain == command else ("-t",)  # on which sudo asks for a password
    return target.ssh(command, options=terminal)
