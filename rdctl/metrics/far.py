"""What rdctl on another machine has read there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import RdctlError
from rdctl.metrics.model import METRICS, Sample
from rdctl.metrics.parts import Group, Part
from rdctl.remote.wire import code_of

if TYPE_CHECKING:
    from rdctl.sites import Site

# The data of `metrics rapiddisk --json` on the machine of a site.
Ask = Callable[["Site"], Mapping[str, Any]]


def group(ask: Ask, site: Site) -> Group:
    """The parts as they were read there. Its samples about the reading itself are left out."""
    data = ask(site)
    samples = list(_samples(data["metrics"]))
    parts = []
    for number, part in enumerate(data["parts"]):
        # Which part a sample is of is not reported, and does not matter.
        read = partial(_read, samples if number == 0 else (), part["error"])
        parts.append(Part(part["part"], read, seconds=part["seconds"]))
    return Group(parts, one_server=False)


def _read(samples: Iterable[Sample], error: Mapping[str, Any] | None) -> Iterator[Sample]:
    yield from samples
    if error is not None:
        raise RdctlError(code_of(error["code"]), error["message"], hint=error["hint"])


def _samples(metrics: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """A later version may have metrics that are not known here."""
    for metric in metrics:
        name = metric["name"]
        if name in METRICS and not name.startswith("rdctl_"):
            for one in metric["samples"]:
                yield Sample(name, one["value"], tuple(one["labels"].items()))
