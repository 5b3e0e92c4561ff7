"""rdctl rapiddisk dump, diff, apply"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import flags_of
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Document, Listing, Report
    from rdctl.sites import Site

_FILE = click.argument("file", required=False)


def _only(words: str, *choices: str) -> Callable[..., Any]:
    return click.option("--only", type=click.Choice(choices), help=words)


_PARTS = _only(
    "Only volumes and caches, only images, or only ports and exports.",
    *("caches", "images", "exports"),
)


def _nvmetcli(words: str) -> Callable[..., Any]:
    return click.option("--nvmetcli", is_flag=True, help=words)


@verb(
    "dump",
    local_only=True,
    fleet=False,
    examples=[
        "rdctl -c sandbox rapiddisk dump",
        "rdctl -c sandbox rapiddisk dump -o json",
        "rdctl -c sandbox rapiddisk dump --save --dry-run",
    ],
)
@click.option("--save", is_flag=True, help="Write it to /etc/rdctl/rapiddisk.toml.")
@_only("Only volumes and caches, or only ports and exports.", "caches", "exports")
@_nvmetcli("Print ports and exports in the format of nvmetcli.")
def dump(site: Site, save: bool, only: str | None, nvmetcli: bool) -> Document | Report:
    """Print this machine's volumes, caches, ports and exports.

    The output is a TOML file for `diff`, `apply` and `boot enable`; with -o json it is JSON, which
    they also read. It has everything that is needed to create them again: sizes, numbers, locks,
    policies, addresses, hosts, and the identity by which clients know an exported disk. The
    contents of volumes are not included. Cached disks are named by links that stay the same when
    the kernel names the disk differently; a warning is shown for one that has no such link. Exports
    that are not RapidDisk's are left out. A writeback cache requires root. Local only.

    --save replaces the state file of this machine; files in /etc/rdctl/rapiddisk.d are not
    changed."""
    for option, given in (("--nvmetcli", nvmetcli), ("--only", only)):
        if save and given:
            raise RdctlError(Code.USAGE, f"--save and {option} are mutually exclusive")
    return site.rapiddisk.states.dump(site.warn, only=only, save=save, foreign=nvmetcli)


@verb(
    "diff",
    files={"file": "state"},
    shows="rdctl.rapiddisk.difference/1",
    local_only=True,
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk diff",
        "rdctl rapiddisk diff rapiddisk.toml --exit-code",
    ],
)
@_FILE
@click.option("--exit-code", is_flag=True, help="Exit with 12 if there are differences.")
@_PARTS
@_nvmetcli("FILE is of nvmetcli (nvmetcli save).")
def diff(
    site: Site, file: str | None, exit_code: bool, only: str | None, nvmetcli: bool
) -> Listing:
    """Compare this machine with its state file.

    FILE is a state file, a directory of them, or - for standard input; without it,
    /etc/rdctl/rapiddisk.toml and /etc/rdctl/rapiddisk.d. Shows one row per difference: what the
    machine lacks (missing), what differs, and what the file lacks (extra). Contents of volumes are
    not compared. Local only."""
    state = partial(site.state_file, file, nvmetcli)
    return site.rapiddisk.states.diff(state, only, exit_code)


@verb(
    "apply",
    files={"file": "state"},
    local_only=True,
    examples=[
        "rdctl -c sandbox rapiddisk apply --dry-run",
        "rdctl rapiddisk apply rapiddisk.toml --prune --dry-run",
    ],
)
@_FILE
@click.option("--prune", is_flag=True, help="Remove what apply created and the file lacks.")
@click.option("--recreate", is_flag=True, help="Re-create exports whose identity differs.")
@click.option("--overcommit", is_flag=True, help="Skip the check that memory is sufficient.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="Wait for missing disks and addresses (default: 0; with --boot: 30).",
)
@click.option("--save", is_flag=True, help="Save FILE as /etc/rdctl/rapiddisk.toml, too.")
@click.option("--boot", is_flag=True, help="Do what is possible without asking (systemd units).")
@_PARTS
@_nvmetcli("FILE is of nvmetcli (nvmetcli save).")
def apply(
    site: Site,
    file: str | None,
    prune: bool,
    recreate: bool,
    overcommit: bool,
    wait: float | None,
    save: bool,
    boot: bool,
    only: str | None,
    nvmetcli: bool,
) -> Report:
    """Make this machine as its state file says.

    FILE is as for `diff`. Only what differs is changed, as one transaction: if a step fails, all
    are rolled back. Nothing is cleared first. Volumes are created and grow, but never shrink;
    nothing is erased or formatted; a volume with data is not cached. The image of a volume is
    loaded if the volume is new or empty, once its checksum was verified; if the volume has data, it
    must come from that file; if not, use `load` or `save` first. A missing image is only recorded.
    A writeback cache whose mapping was lost is adopted if rdctl has recorded its disk. Refused, by
    name: a disk that is missing, mounted, read-only, or has another size than in the file; a device
    that is in use; a cache that differs from the file. What loses data or access requires
    confirmation. If nothing differs, nothing is written.

    Exports get the serial, uuid and nguid of the file before clients can connect. One that differs
    in them is only re-created with --recreate, which disconnects its hosts.

    --save also makes FILE the state file of this machine, which is applied at boot, once all of it
    was applied; a file that it replaces requires confirmation.

    --prune removes only what apply created since the machine started. What others created is never
    removed; `diff` shows it.

    --boot is for the systemd units (see `boot enable`): it does what is possible, and exits with 8
    if something is missing. --only caches neither loads images nor locks their volumes, which
    --only images does. It skips everything that requires confirmation, except a writeback
    cache over a disk that the file identifies. Local only."""
    from rdctl.rapiddisk.state.apply import BOOT_SECONDS
    from rdctl.rapiddisk.state.plan import Options

    yes = "yes" in flags_of(click.get_current_context())
    for option, given in (("--prune", prune), ("--recreate", recreate), ("--yes", yes)):
        if boot and given:
            raise RdctlError(Code.USAGE, f"--boot and {option} are mutually exclusive")
    for option, given in (("--boot", boot), ("--only", only is not None), ("--nvmetcli", nvmetcli)):
        if save and given:
            raise RdctlError(Code.USAGE, f"--save and {option} are mutually exclusive")
    if wait is not None and math.isnan(wait):
        raise RdctlError(Code.USAGE, "invalid value for --wait: must be a number of seconds")
    if save and file is None:
        raise RdctlError(Code.USAGE, "--save requires FILE")
    options = Options(prune, recreate, overcommit, boot, only, save)
    seconds = wait if wait is not None else (BOOT_SECONDS if boot else 0.0)
    state = partial(site.state_file, file, nvmetcli)
    return site.rapiddisk.states.apply(state, options, seconds, site.warn)
