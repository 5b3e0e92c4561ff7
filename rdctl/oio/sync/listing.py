"""Objects of a container as they are compared: all of them, or those of given names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import raw_bytes
from rdctl.oio.acts import PAGE, by_holder
from rdctl.oio.client import Client
from rdctl.oio.model import PageOf, Place
from rdctl.oio.sync.model import Remote
from rdctl.workers import Workers

# So many names are looked up one by one; more of them by listing what is between.
FEW = 8


class Objects(NamedTuple):
    """The objects of a listing. `fault` is what ended it early; `skipped` counts those whose names
    cannot be read."""

    remotes: list[Remote]
    skipped: int
    fault: RdctlError | None

    @property
    def complete(self) -> bool:
        return self.fault is None and not self.skipped


def all_below(proxy: Client, holder: Place, prefix: str | None) -> Objects:
    """All objects of a container with that prefix. A listing that cannot be begun raises."""
    remotes: list[Remote] = []
    skipped, fault = 0, None
    pages = _pages(proxy, holder, prefix)
    try:
        for page in pages:
            remotes += page.entries
            skipped += page.skipped
    except RdctlError as error:
        if not remotes:
            raise
        fault = error
    return Objects(remotes, skipped, fault)


def all_named(
    proxy: Client, workers: Workers, holder: Place, names: Sequence[str]
) -> dict[str, Remote]:
    """The objects of these names, as far as they exist. What is between far names is not listed,
    so this takes at most a request a name, and at most those of the whole listing."""
    if len(names) > FEW:
        return {remote.name: remote for remote in _scanned(proxy, holder, names)}

    def look(name: str) -> Remote | None:
        # An object comes before all others whose names begin with its name.
        for page in _pages(proxy, holder, name, most=1):
            for remote in page.entries:
                return remote if remote.name == name else None
        return None

    found = workers.ordered(look, names) if len(names) > 1 else map(look, names)
    return {remote.name: remote for remote in found if remote is not None}


def all_of(proxy: Client, workers: Workers, places: Sequence[Place]) -> dict[str, Remote]:
    """As `all_named`, of objects that may be in several containers, which need not exist then."""
    groups = by_holder(places)

    def look(holder: Place) -> dict[str, Remote]:
        try:
            return all_named(proxy, workers, holder, [place.name for place in groups[holder]])
        except RdctlError as error:
            if error.code is Code.NOT_FOUND and len(groups) > 1:
                return {}
            raise

    found = workers.ordered(look, groups) if len(groups) > 1 else map(look, groups)
    return {name: remote for remotes in found for name, remote in remotes.items()}


def _scanned(proxy: Client, holder: Place, names: Sequence[str]) -> Iterator[Remote]:
    """The existing objects of these names, in one pass over the listing."""
    requested = set(names)
    left = sorted(requested, key=raw_bytes)
    order = [raw_bytes(name) for name in left]
    prefix = os.path.commonprefix([left[0], left[-1]])  # noqa: RUF071 - names, not paths
    at = 0
    while at < len(left):
        before = left[at][:-1]  # a marker that comes before the name
        for page in _pages(proxy, holder, prefix or None, before or None):
            yield from (remote for remote in page.entries if remote.name in requested)
            if page.marker is None:
                return
            reached = unquote_to_bytes(page.marker)
            while at < len(left) and order[at] <= reached:
                at += 1
            if at == len(left) or raw_bytes(left[at][:-1]) > reached:
                break


def _pages(
    proxy: Client,
    holder: Place,
    prefix: str | None,
    marker: str | None = None,
    most: int = PAGE,
) -> Iterator[PageOf[Remote]]:
    query = {"max": most, "prefix": prefix, "marker": marker, "properties": True}
    return proxy.pages(holder, query, "container.compare")
