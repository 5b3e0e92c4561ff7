"""rdctl metrics"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from rdctl.cli.readings import Read, read, system_argument
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError, unwritten
from rdctl.core.results import Change, Document, Failure, Report, exit_of
from rdctl.core.units import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rdctl.cli.invocation import Invocation
    from rdctl.metrics.model import Gathered, PartResult, Sample

_SUFFIX = ".prom"


@verb(
    "metrics",
    on_site=False,
    examples=[
        "rdctl -c sandbox metrics",
        "rdctl -c sandbox metrics rapiddisk --json --query 'parts[].part'",
        "rdctl -c sandbox metrics --textfile rdctl.prom --dry-run",
    ],
)
@system_argument
@click.option(
    "--textfile",
    metavar="FILE",
    help="Write them to FILE (*.prom), for the textfile collector of node_exporter.",
)
def metrics(on: Invocation, system: str | None, textfile: str | None) -> Document | Report:
    """Print metrics in the text format of Prometheus.

    Shows RapidDisk and OpenIO SDS, as far as the context has them, or only the given system. Each
    part is read by itself: rdctl_scrape_success is 0 for one that fails, and the exit code is 8, or
    that of the failures if all parts failed. A value that is not known has no sample. With several
    contexts, all samples have the label context. All of it takes at most 10 seconds (or --timeout).
    Nothing is changed, and a daemon is never asked for its exports, which could crash it. The
    counters of caches require root.

    --textfile replaces FILE at once, also if everything failed: then the samples are missing, and
    rdctl_scrape_success is 0. rdctl_scrape_timestamp_seconds shows how old the file is.
    With --json the same is data, with the error of each part that failed."""
    if textfile is None or textfile == "-":
        return _document(on, _read(on, system))
    folder = os.path.dirname(os.path.abspath(textfile))
    if not os.path.isdir(folder):
        message = f"directory {quoted(folder)} of the textfile not found"
        raise RdctlError(Code.NOT_FOUND, message, hint=_COLLECTED, target=textfile)
    if not textfile.endswith(_SUFFIX):
        on.warn(f"{textfile} does not end in {_SUFFIX}: node_exporter will ignore it")
    try:
        found = _read(on, system)
    except RdctlError as error:
        # Otherwise the file would still show what was there before.
        _write(on, textfile, Read([(None, _nothing(error))], []))
        raise
    count = _write(on, textfile, found)
    failures = _failures(found)
    done = None if on.effects.dry_run else True
    change = Change("write", textfile, done, done, {"samples": count}, _WRITTEN)
    return Report([change, *failures] if _some(found) else failures)


_WRITTEN = "{} written"
_COLLECTED = "node_exporter reads the one of its option --collector.textfile.directory."


def _read(on: Invocation, system: str | None) -> Read:
    return read("metrics", on, system)


def _nothing(error: RdctlError) -> Gathered:
    """What is read of a context that cannot be used."""
    from rdctl.metrics.model import Gathered, PartResult

    return Gathered([], [PartResult("context", 0.0, error)])


def _parts(found: Read) -> list[tuple[str | None, PartResult]]:
    return [(context, part) for context, gathered in found.contexts for part in gathered.parts]


def _some(found: Read) -> bool:
    return any(part.error is None for _, part in _parts(found))


def _failures(found: Read) -> list[Failure]:
    failures = []
    for context, part in _parts(found):
        if (error := part.error) is not None:
            # Several parts may have the same error.
            of_part = error.with_facts()
            of_part.target = part.part
            failures.append(Failure("metrics", of_part, context))
    return [*failures, *found.failures]


def _all(found: Read) -> list[tuple[str | None, Gathered]]:
    failed = [(one.context, _nothing(one.error)) for one in found.failures]
    return [*found.contexts, *failed]


def _samples(on: Invocation, found: Read) -> list[Sample]:
    from rdctl.metrics.gathering import about

    now = on.environment.now()
    return [sample for context, gathered in _all(found) for sample in about(gathered, now, context)]


def _document(on: Invocation, found: Read) -> Document:
    from rdctl.metrics.exposition import as_data, exposed

    samples, failures = _samples(on, found), _failures(found)
    for failure in failures:
        on.aimed(failure)
    data = {
        "metrics": as_data(samples),
        "parts": [
            _part(context, part) for context, gathered in _all(found) for part in gathered.parts
        ],
    }
    exit = exit_of(failures, _some(found))
    return Document(exposed(samples), data, "metrics", failures, int(exit))


def _part(context: str | None, part: PartResult) -> Mapping[str, Any]:
    error = part.error
    shown = error and {"code": error.code.word, "message": error.message, "hint": error.hint}
    where = {} if context is None else {"context": context}
    return {**where, "part": part.part, "seconds": round(part.seconds, 6), "error": shown}


def _write(on: Invocation, path: str, found: Read) -> int:
    """Replace the file; the number of its samples."""
    from rdctl.effects.places import write_file
    from rdctl.metrics.exposition import exposed, unique

    samples = _samples(on, found)
    what = f"write {path}"
    try:
        writing = write_file(path, exposed(samples), what=what, mode=0o644)
        on.effects.do(writing._replace(recorded=False), None)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise RdctlError(unwritten(error), message, target=path) from error
    return len(unique(samples))
