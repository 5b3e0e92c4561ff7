"""rdctl doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import verb
from rdctl.core.errors import Exit
from rdctl.core.results import Listing

if TYPE_CHECKING:
    from rdctl.sites import Site


@verb(
    "doctor",
    shows="rdctl.finding/1",
    examples=[
        "rdctl -c sandbox doctor",
        "rdctl -c sandbox doctor --deep",
        "rdctl -c sandbox doctor --fail-on warning",
        "rdctl -c sandbox doctor --json --query \"[?severity=='error'].[message, mend]\"",
    ],
)
@click.option(
    "--deep", is_flag=True, help="Include checks that are slow or can crash an old daemon."
)
@click.option(
    "--fail-on",
    type=click.Choice(("warning", "error")),
    default="error",
    show_default=True,
    help="Lowest severity that causes exit code 1.",
)
def doctor(site: Site, deep: bool, fail_on: str) -> Listing:
    """Diagnose problems and show how to fix them.

    Checks rdctl itself, its configuration, and the systems of the context: RapidDisk, on this
    machine, through a daemon or on a machine over SSH, and OpenIO SDS. Each problem is shown with
    the command that fixes it. Nothing is changed. The checks run in parallel and take at most 2
    seconds each (or --timeout). Checks that do not apply are shown as skipped, with the reason.

    The exit code is 1 if an error is found or, with --fail-on warning, an error or a warning.
    All findings are data, which -q does not suppress; select some with --query.
    --deep also lists the exports of a daemon, which crashes version 9.2 if it exports a device with
    a long path, and queries the replicas of the account's first containers for their masters."""
    from rdctl.doctor.examination import examine, reaches

    findings = examine(site, deep)
    listing = Listing(findings)
    if reaches(findings, fail_on):
        listing.verdict = Exit.FAILED
    return listing
