"""get-properties, set-properties and del-properties, for every noun."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import SYSTEM, pairs, target
from rdctl.cli.oio.limits import limits_of
from rdctl.cli.tree import Command, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Item, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

# Options that the commands of a noun add to the query.
Adds = Callable[[Callable[..., Any]], Callable[..., Any]]


def _none(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def properties_verbs(
    family: str,
    kind: str,
    example: str,
    *,
    system: bool,
    adds: Adds = _none,
    sets: Adds = _none,
) -> tuple[Command, Command, Command]:
    """The three commands of a noun. `example` is a target in the sandbox; `system`: the noun has
    system properties that can be set; `adds` adds options, whose values are sent in the query;
    `sets` adds those of `limits` to set-properties."""
    here = f"rdctl -c sandbox oio {family}"
    flat = kind == "content"

    @verb(
        "get-properties",
        shows="rdctl.oio.properties/1",
        watch=True,
        examples=[
            f"{here} get-properties {example}",
            f"{here} get-properties {example} --json --query properties",
        ],
    )
    @target(kind, rest="[KEY...]", reads=True, flat=flat)
    @adds
    def get(site: Site, place: Place, keys: list[str] | None, **query: Any) -> Item:
        """Show properties.

        Shows all properties, or only the given ones. Properties that are not set are omitted."""
        return site.oio.properties.get(family, place, keys, query)

    @verb(
        "set-properties",
        examples=[
            f"{here} set-properties {example} color=blue",
            f"{here} set-properties {example} color=blue --replace-all --dry-run",
        ],
    )
    @target(kind, rest="[KEY=VALUE...]", sent_by="path", flat=flat)
    @click.option("--replace-all", is_flag=True, help="Remove all other properties.")
    @sets
    @(SYSTEM if system else _none)
    @adds
    def set(
        site: Site,
        place: Place,
        texts: list[str] | None,
        replace_all: bool,
        system: dict[str, str] | None = None,
        **query: Any,
    ) -> Report:
        """Set properties.

        Other properties are kept, unless --replace-all is given, which requires confirmation.
        Values that are already set are not sent again. Values are strings; only references can have
        empty ones."""
        system = {**(system or {}), **limits_of(site, system or {}, query)}
        if texts is None and not system:
            raise click.UsageError("Missing argument 'KEY=VALUE...'.", click.get_current_context())
        values = pairs(texts or [])
        for key in values.keys() & _LIMITS if family == "container" else ():
            site.warn(f'"{key}" is set as a user property; to limit the container, use --{key}')
        return site.oio.properties.set(family, place, values, system, replace_all, query)

    @verb(
        "del-properties",
        examples=[
            f"{here} del-properties {example} color",
            f"{here} del-properties {example} --all --dry-run",
        ],
    )
    @target(kind, rest="[KEY...]", flat=flat)
    @click.option("--all", "everything", is_flag=True, help="Delete all properties.")
    @adds
    def delete(
        site: Site, place: Place, keys: list[str] | None, everything: bool, **query: Any
    ) -> Report:
        """Delete properties.

        A property that is not set is reported, but not an error. --all deletes all properties and
        requires confirmation."""
        if (keys is not None) == everything:
            raise RdctlError(
                Code.USAGE,
                "specify either KEY... or --all",
                hint=f"List the properties: rdctl oio {family} get-properties {place.words}",
            )
        return site.oio.properties.delete(family, place, keys, query)

    return get, set, delete


# Options of containers that are easily typed as properties.
_LIMITS = {"quota", "policy", "max-versions"}


def children(module: str) -> dict[str, tuple[str, str]]:
    """The lines of the three commands in their noun's group."""
    return {
        "get-properties": (f"{module}:get_properties", "Show properties."),
        "set-properties": (f"{module}:set_properties", "Set properties."),
        "del-properties": (f"{module}:del_properties", "Delete properties."),
    }
