"""rdctl oio content check, content repair and container check."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.oio.integrity.check import Scope
    from rdctl.oio.model import Place
    from rdctl.sites import Site

Function = Callable[..., Any]


def _fail_on(function: Function) -> Function:
    return click.option(
        "--fail-on",
        type=click.Choice(("warning", "error", "never")),
        default="warning",
        show_default=True,
        help="Lowest severity that causes exit code 12.",
    )(function)


def _scope(places: list[Place], prefix: str | None, all_versions: bool) -> Scope:
    """Which objects of a container, if it is given without a path."""
    from rdctl.oio.integrity.check import Scope, is_whole

    whole = is_whole(places)
    if whole and places[0].version is not None:
        raise RdctlError(Code.USAGE, "--content-version requires PATH")
    if not whole and (prefix is not None or all_versions):
        raise RdctlError(Code.USAGE, "--prefix and --all-versions cannot be used with PATH")
    return Scope(prefix, all_versions)


@verb(
    "check",
    shows="rdctl.oio.finding/1",
    examples=[
        "rdctl -c sandbox oio content check photos",
        "rdctl -c sandbox oio content check photos --deep --fail-on error",
        "rdctl -c sandbox oio content check photos --prefix sea/ --all-versions --json",
        "rdctl -c sandbox oio content check photos index.txt sea/storm.svg --deep",
    ],
)
@target("content", several=True, whole=True, reads=True)
@click.option("--deep", is_flag=True, help="Read all chunks and compare their hashes.")
@click.option("--prefix", metavar="P", help="Only objects whose names begin with P.")
@click.option("--all-versions", is_flag=True, help="Also check old versions of objects.")
@_fail_on
def check_contents(
    site: Site,
    places: list[Place],
    deep: bool,
    prefix: str | None,
    all_versions: bool,
    fail_on: str,
) -> Listing:
    """Check the chunks of objects.

    Checks the given objects, or all objects of the container: each chunk must exist, have its size
    and belong to the object, and each part must have the copies or fragments that the chunk method
    of the object requires, on different services. One short request per chunk is sent to the rawx
    services, which do not check data themselves. --deep also reads all chunks, which takes as long
    as downloading all copies, and compares their hashes. Nothing is changed.

    A finding is an error if redundancy or data are lost, else a warning. The finding `lost` means
    that no good copy, or too few good fragments, are left. A chunk whose service does not answer is
    `unreachable`: it may be good. An object that cannot be read without such chunks is
    `unavailable`, which is an error. A hash that is not an MD5 is `not-comparable`. Each
    finding names the command that fixes it, if any.

    The exit code is 12 if there is a finding (see --fail-on). Otherwise it is that of the objects
    that could not be checked: 8 if only some could not."""
    return site.oio.checks.contents(
        places,
        _scope(places, prefix, all_versions),
        deep=deep,
        fail_on=fail_on,
        aimed=site.settings.aimed,
    )


@verb(
    "repair",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content repair photos",
        "rdctl -c sandbox oio content repair photos index.txt sea/storm.svg --deep",
        "rdctl -c sandbox oio content repair photos --prefix sea/ --dry-run",
    ],
)
@target("content", several=True, whole=True, reads=True)
@click.option("--deep", is_flag=True, help="Read all data, to also find silent corruption.")
@click.option("--prefix", metavar="P", help="Only objects whose names begin with P.")
@click.option("--all-versions", is_flag=True, help="Also repair old versions of objects.")
@click.option(
    "--include-unreachable",
    "unreachable",
    is_flag=True,
    help="Also rebuild chunks on rawx services that do not answer.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Journal of repairs (default: repairs.ndjson in the state directory).",
)
def repair(
    site: Site,
    places: list[Place],
    deep: bool,
    prefix: str | None,
    all_versions: bool,
    unreachable: bool,
    journal: str | None,
) -> Report:
    """Repair lost and damaged chunks of objects.

    Without PATH all objects of the container are examined; only those with damage are listed. A
    chunk is rebuilt from good replicas, or from enough fragments of an erasure-coded object. All
    data that a chunk is rebuilt from are read and verified first. If too few chunks are good,
    nothing of the object is changed. Damage that only the data show is found with --deep.

    A missing chunk is stored again under its own URL. A damaged one is replaced: a new chunk is
    stored on another service, read back and registered; then the damaged one is deleted. Nothing
    readable is deleted, so no confirmation is required. In a frozen container, such as a snapshot,
    only missing chunks are rebuilt. --dry-run shows which chunks would be rebuilt, from what, and
    how many bytes.

    A chunk is not lost because its service does not answer. An object with such chunks fails as
    `unavailable`, after its other chunks were rebuilt. With --include-unreachable they are rebuilt
    on other services. The old ones stay on the service that is down, until a later repair with the
    same journal deletes them.

    The journal names each new chunk before it is stored. If a repair is killed, the next one that
    uses the same journal first removes what is left of it. The file must be on a file system with
    locks, best a local one.

    The exit code is that of the objects that could not be repaired or not be examined: 8 if only
    some could not."""
    from rdctl.oio.integrity.repair import Choice, Keeping

    scope = _scope(places, prefix, all_versions)
    where = site.repairs
    keeping = Keeping(path=journal or where.path, home=where.home, now=site.now())
    return site.oio.repairs.repair(places, scope, Choice(deep, unreachable), keeping)


@verb(
    "check",
    shows="rdctl.oio.finding/1",
    examples=[
        "rdctl -c sandbox oio container check photos",
        "rdctl -c sandbox oio container list -o name | rdctl -c sandbox oio container check -",
    ],
)
@target("container", several=True, reads=True)
@_fail_on
def check_containers(site: Site, places: list[Place], fail_on: str) -> Listing:
    """Check the counters of containers.

    Compares the number of objects and bytes that a container counts, and that its quota is based
    on, with its listing, in which each version counts. A difference is reported only if it is seen
    twice without a change in between. It is fixed by setting the counters and then sending them to
    the account with `container touch`: the server does not recompute them. Nothing is changed.

    The exit code is 12 if there is a finding (see --fail-on). Otherwise it is that of the
    containers that could not be checked: 8 if only some could not."""
    return site.oio.checks.containers(places, fail_on=fail_on, aimed=site.settings.aimed)
