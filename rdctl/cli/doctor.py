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
        "rdctl -c sandbox doctor --fail-on warning -q",
        "rdctl -c sandbox doctor --json --query \"[?severity=='error'].[message, mend]\"",
    ],
)
@click.option("--deep", is_flag=True, help="Also what could kill an old daemon, or asks much.")
@click.option(
    "--fail-on",
    type=click.Choice(("warning", "error")),
    default="error",
    show_default=True,
    help="What makes the exit code 1.",
)
def doctor(site: Site, deep: bool, fail_on: str) -> Listing:
    """Find out what works, what does not, and why.

    Looks at rdctl itself, its configuration, and what the context leads to: RapidDisk on this
    machine or behind a daemon, OpenIO SDS. What is wrong comes with the command that mends it.
    Nothing is changed. The checks run side by side, for 2 seconds at most each. What does not
    apply is shown as skipped, with the reason.

    Exit code 1 when an error was found, or, with --fail-on warning, at least a warning. --deep
    also asks a daemon for its exports, which kills one of version 9.2 that exports a device with
    a long path, and the replicas of the account's first containers for their masters."""
    from rdctl.doctor.examination import examine, reaches

    findings = examine(site, deep)
    listing = Listing(findings)
    if reaches(findings, fail_on):
        listing.verdict = Exit.FAILED
    return listing
