"""--quota, --policy and --max-versions: the system properties of containers that people set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import parsed
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdctl.sites import Site

_KEYS = {
    "quota": "sys.m2.quota",
    "policy": "sys.m2.policy.storage",
    "max_versions": "sys.m2.policy.version",
}


def _quota(text: str) -> int:
    """Bytes. A number without a unit is refused: for volumes it means MiB."""
    if text.isdecimal() and int(text):
        hint = f"For bytes write {text}B, for MiB {text}M."
        raise RdctlError(Code.USAGE, f'invalid quota "{text}": must have a unit', hint=hint)
    return parse_bytes(text)


def limits(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; their values are for `limits_of`."""
    for option in (
        click.option(
            "--max-versions",
            type=click.IntRange(-1),
            metavar="N",
            help="Number of versions to keep per object; 1: no versioning, -1: all.",
        ),
        click.option("--policy", metavar="POLICY", help="Storage policy of new objects."),
        click.option(
            "--quota",
            type=parsed("size", _quota),
            metavar="SIZE",
            help="Maximum size of all objects, such as 10G; 0: no limit.",
        ),
    ):
        function = option(function)
    return function


def limits_of(site: Site, system: Mapping[str, str], options: dict[str, Any]) -> dict[str, str]:
    """The system properties that these options set, which are removed from them. A policy must be
    known to the namespace: servers accept any name, and refuse all uploads afterwards."""
    given = {key: options.pop(key, None) for key in _KEYS}
    found = {_KEYS[key]: str(value) for key, value in given.items() if value is not None}
    for option, key in _KEYS.items():
        if key in found and key in system:
            option = option.replace("_", "-")
            message = f"--{option} and --system {key} are mutually exclusive"
            raise RdctlError(Code.USAGE, message)
    if given["policy"] is not None:
        site.oio.conscience.check_policy(given["policy"])
    return found
