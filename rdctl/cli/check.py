"""rdctl check"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.readings import read, system_argument
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Document
from rdctl.metrics import check as checking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdctl.cli.invocation import Invocation
    from rdctl.cli.readings import Read


def _threshold(level: str) -> Callable[..., Any]:
    return click.option(
        f"--{level}",
        multiple=True,
        metavar="KEY=RANGE",
        help=f"Range outside of which the state is {level}; several: repeat it.",
    )


def _keys() -> Iterator[str]:
    for key in checking.KEYS:
        unit = {"": "", "B": "bytes", "s": "seconds", "%": "percent"}[key.unit]
        levels = (("warning", key.warning), ("critical", key.critical))
        defaults = [f"{level} {text}" for level, text in levels if text is not None]
        known = ", ".join(filter(None, [unit, *defaults]))
        yield f"{key.name} - {key.help}" + (f" ({known})" if known else "")


HELP = f"""Check thresholds, as a plugin of a monitoring system.

Prints one line as plugins of Nagios and Icinga do: the state, what is wrong, and after a | all
values with their thresholds. The exit code is that of a plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3
UNKNOWN. In this command every failure is UNKNOWN, including invalid arguments and an interruption;
so is a part that cannot be read, unless another value is a warning or critical. With several
contexts, the worst state counts. All of it takes at most 10 seconds (or --timeout). Nothing is
changed. The counters of caches require root.

A RANGE is what is normal, in the syntax of plugins: 10 (0 to 10), 10: (at least 10), ~:10 (at most
10), 10:20, @10:20 (outside of it), ~: (anything). Bytes may have units: dirty=1GiB. A key without a
threshold is only shown; a given threshold for a value that is not known is UNKNOWN.

Keys, with units and default thresholds: {"; ".join(_keys())}."""


@verb(
    "check",
    on_site=False,
    help=HELP,
    examples=[
        "rdctl -c sandbox check",
        "rdctl -c sandbox check rapiddisk --warning dirty=1GiB --critical memory=2:",
        "rdctl -c sandbox check oio --warning services-down=1 --json",
    ],
)
@system_argument
@_threshold("warning")
@_threshold("critical")
def check(
    on: Invocation, system: str | None, warning: tuple[str, ...], critical: tuple[str, ...]
) -> Document:
    if on.environment.stdout.closed:
        raise RdctlError(Code.FAILED, "standard output is closed")
    levels = checking.thresholds("--warning", warning), checking.thresholds("--critical", critical)
    gathered = read("check", on, system)
    found = [
        result
        for context, one in gathered.contexts
        for result in checking.results(context, one, *levels)
    ]
    unread = list(_unread(gathered))
    text, data = checking.text_of(found, unread), checking.data_of(found, unread)
    return Document(f"{text}\n", data, exit=checking.state_of(found, unread))


def _unread(gathered: Read) -> Iterator[checking.Unread]:
    for context, one in gathered.contexts:
        for part in one.parts:
            if part.error is not None:
                yield checking.Unread(context, part.part, part.error)
    for failure in gathered.failures:
        yield checking.Unread(failure.context, None, failure.error)
