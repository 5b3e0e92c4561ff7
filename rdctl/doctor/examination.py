"""What works, what does not, why, and the command that fixes it: a list of checks, each of which
examines a site and reports what it found. Nothing is changed, and nothing takes longer than
--timeout, or SECONDS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from rdctl.config.contexts import LOCAL
from rdctl.core import libraries
from rdctl.core.errors import RdctlError, as_error
from rdctl.doctor import oio, own, rapiddisk
from rdctl.doctor.findings import (
    ERROR,
    OK,
    SECONDS,
    WARNING,
    Check,
    Finding,
    found_by,
)
from rdctl.workers import start_thread

if TYPE_CHECKING:
    from rdctl.sites import Site

# The requests of a check end a little before it does, so that it can report what it waited for.
_SHARE = 0.9


def reaches(findings: Iterable[Finding], severity: str) -> bool:
    """Whether any is at least as severe."""
    failing = (ERROR,) if severity == ERROR else (WARNING, ERROR)
    return any(finding.severity in failing for finding in findings)


def examine(site: Site, deep: bool) -> list[Finding]:
    """The findings of all checks that apply, which run side by side, in the order of the list."""
    # Imported once, and not in the time of the check that comes first.
    libraries.faults()
    if any(site.settings.get(key) not in (None, LOCAL) for key in ("rapiddisk", "oio")):
        import_module("rdctl.net.transport")
    checks = [*own.CHECKS, *rapiddisk.checks(site), *oio.checks(site)]
    runs = [_Run(check, site, deep) for check in checks]
    return _once(finding for run in runs for finding in run.findings())


class _Run:
    """A check that runs in a thread of its own, which is abandoned when it takes too long."""

    def __init__(self, check: Check, site: Site, deep: bool) -> None:
        self._check = check
        self._site = site
        self._seconds = site.seconds or SECONDS
        self._end = time.monotonic() + self._seconds
        self._done = threading.Event()
        self._found: list[Finding] = []
        if check.only_deep is not None and not deep:
            self._found = [Finding.skipped(f"not checked: {check.only_deep}")]
            self._done.set()
        else:
            try:
                start_thread(self._work)
            except RdctlError as error:
                self._found = [found_by(site, error)]
                self._done.set()

    def _work(self) -> None:
        try:
            site = self._site.within(self._seconds * _SHARE)
            for finding in self._check.run(site):
                self._found.append(finding)
        except Exception as error:
            self._found.append(found_by(self._site, as_error(error)))
        self._done.set()

    def findings(self) -> list[Finding]:
        found = self._found
        if not self._done.wait(max(0.0, self._end - time.monotonic())):
            late = f"{_LATE} ({self._seconds:g} s)"
            found = [*found, Finding.warning(late, why="Try a longer --timeout.")]
        return [finding._replace(check=self._check.name) for finding in found]


_LATE = "check timed out"


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """One cause is one finding: a check that finds it again only names the first check."""
    seen: dict[str, str] = {}
    shown = []
    for finding in findings:
        if finding.severity != OK and not finding.message.startswith(_LATE):
            before = seen.setdefault(finding.message, finding.check)
            if before != finding.check:
                message = f"not checked: see {before}"
                finding = Finding.skipped(message)._replace(check=finding.check)
        shown.append(finding)
    return shown
