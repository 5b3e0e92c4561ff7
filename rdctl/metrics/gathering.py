"""All parts of a site, read within a bound in time; the groups of parts run side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rdctl import __version__
from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.metrics import parts
from rdctl.metrics.model import Gathered, PartResult, Sample, in_context, sampled
from rdctl.workers import start_thread

if TYPE_CHECKING:
    from rdctl.metrics.far import Ask
    from rdctl.metrics.parts import Group
    from rdctl.sites import Site

SYSTEMS = ("rapiddisk", "oio")
# For all of it, unless --timeout is given.
SECONDS = 10.0
# The requests of a group end a little before it does, so that it can report what it waited for.
_SHARE = 0.9

Choose = Callable[["Site"], "Group"]


def gather(site: Site, system: str | None, ask: Ask) -> Gathered:
    """The samples of this system, or of all that are configured. `ask` reads RapidDisk where it is
    behind SSH."""
    runs = [_Run(name, choose, site) for name, choose in _groups(site, system, ask)]
    samples: list[Sample] = []
    results: list[PartResult] = []
    for run in runs:
        found, ended = run.result()
        samples += found
        results += ended
    return Gathered(samples, results)


def _groups(site: Site, system: str | None, ask: Ask) -> Iterator[tuple[str, Choose]]:
    chosen = [name for name in SYSTEMS if site.settings.get(name) is not None]
    if system is not None and system not in chosen:
        # Raises that it is not configured.
        _ = site.rapiddisk if system == "rapiddisk" else site.oio
    chosen = chosen if system is None else [system]
    if not chosen:
        raise RdctlError(
            Code.CONFIG,
            f'context "{site.settings.context}" has neither RapidDisk nor OpenIO SDS',
            hint=f"Set one: rdctl context set {site.settings.context} rapiddisk=local",
        )
    if "rapiddisk" in chosen and site.settings.over_ssh:
        from rdctl.metrics import far

        yield "rapiddisk", partial(far.group, ask)
    elif "rapiddisk" in chosen:
        from rdctl.metrics import rapiddisk

        yield "rapiddisk", rapiddisk.group
    if "oio" in chosen:
        from rdctl.metrics import oio

        yield "oio_services", oio.services
        yield "oio_accounts", oio.accounts
        if site.settings.get("events") is not None:
            yield "oio_events", oio.events


class _Run:
    """A group that is read in a thread of its own, which is abandoned when it takes too long."""

    def __init__(self, name: str, choose: Choose, site: Site) -> None:
        self._name = name
        self._seconds = site.seconds or SECONDS
        self._began = time.monotonic()
        self._site, self._choose = site, choose
        self._done = threading.Event()
        self._samples: list[Sample] = []
        self._results: list[PartResult] = []
        self._parts: list[str] = [name]
        try:
            start_thread(self._work)
        except RdctlError as error:
            self._results.append(PartResult(name, 0.0, error))
            self._done.set()

    def _work(self) -> None:
        try:
            group = self._choose(self._site.within(self._seconds * _SHARE))
            self._parts = [part.name for part in group.parts]
            parts.read(group, self._samples.append, self._results.append)
        except Exception as error:
            took = time.monotonic() - self._began
            self._results.append(PartResult(self._name, took, as_error(error)))
        self._done.set()

    def result(self) -> tuple[Sequence[Sample], Sequence[PartResult]]:
        left = self._began + self._seconds - time.monotonic()
        if self._done.wait(max(0.0, left)):
            return self._samples, self._results
        # The thread may still add to its lists.
        samples, results = list(self._samples), list(self._results)
        error = RdctlError(Code.TIMEOUT, f"timed out after {self._seconds:g} s")
        ended = {one.part for one in results}
        late = [part for part in self._parts if part not in ended]
        return samples, [*results, *(PartResult(part, self._seconds, error) for part in late)]


def about(gathered: Gathered, now: float, context: str | None) -> list[Sample]:
    """All samples, with those about the reading itself."""
    found = [Sample("rdctl_scrape_timestamp_seconds", round(now, 3))]
    found += sampled("rdctl_build_info", 1, version=__version__)
    for part, seconds, error in gathered.parts:
        found += sampled("rdctl_scrape_success", error is None, part=part)
        found += sampled("rdctl_scrape_duration_seconds", round(seconds, 6), part=part)
    return in_context([*found, *gathered.samples], context)
