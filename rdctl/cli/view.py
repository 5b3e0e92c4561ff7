"""How a result is shown: the format, the colors, and other display options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, either, options_in
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.core.environment import Environment
    from rdctl.output.view import View


def view_of(flags: dict[str, Any], environment: Environment) -> View:
    """The view that these options and variables select."""
    from rdctl.output.view import View

    form = output_format(flags, environment)
    terminal = environment.stdout.tty and form == "table"
    columns = flags.get("columns")
    return View(
        format=form,
        columns=[key.strip() for key in columns.split(",")] if columns else None,
        sort_by=flags.get("sort_by"),
        query=flags.get("query"),
        headers=not flags.get("no_headers"),
        nul=bool(flags.get("nul")),
        table_style=flags.get("table_style") if form == "table" else None,
        terminal=terminal,
        color=use_color(flags, environment, terminal),
        width=environment.width,
        quiet=bool(flags.get("quiet")),
        units=_units(flags, terminal),
    )


def _units(flags: dict[str, Any], terminal: bool) -> str:
    """How sizes are shown: as requested, else for people on a terminal and in bytes elsewhere."""
    units: str = flags.get("units") or "auto"
    return ("human" if terminal else "bytes") if units == "auto" else units


def output_format(flags: dict[str, Any], environment: Environment) -> str:
    """The format from the innermost option, else from RDCTL_OUTPUT, else table."""
    if flags.get("output") or flags.get("json"):
        if flags.get("json") and flags.get("output") not in (None, "json"):
            raise RdctlError(Code.USAGE, f"--json and -o {flags['output']} are mutually exclusive")
        form: str = flags.get("output") or "json"
    elif flags.get("nul"):
        form = "name"
    else:
        form = environment.environ.get("RDCTL_OUTPUT") or "table"
        if form not in FORMATS:
            raise RdctlError(
                Code.CONFIG,
                f'invalid RDCTL_OUTPUT "{defuse(form)}": must be {either(FORMATS)}',
            )
    if flags.get("nul") and form != "name":
        raise RdctlError(Code.USAGE, f"-0 cannot be used with -o {form}")
    return form


def use_color(flags: dict[str, Any], environment: Environment, terminal: bool) -> bool:
    """Whether to use colors: by option or variable, else on a capable terminal without NO_COLOR."""
    choice = flags.get("color") or environment.environ.get("RDCTL_COLOR") or "auto"
    if choice not in ("auto", "always", "never"):
        raise RdctlError(
            Code.CONFIG,
            f'invalid RDCTL_COLOR "{defuse(choice)}": must be auto, always or never',
        )
    if choice != "auto":
        return bool(choice == "always")
    plain = environment.environ.get("NO_COLOR") or environment.environ.get("TERM") == "dumb"
    return terminal and not plain


def requested_format(argv: Sequence[str], environment: Environment) -> str:
    """The format, found in the unparsed arguments, which may be wrong otherwise."""
    form = environment.environ.get("RDCTL_OUTPUT") or "table"
    for option, value in options_in(argv, "0Vhqy", ("-o", "--output")):
        if option == "--json":
            return "json"
        if option == "-0":
            form = "name"
        elif value is not None:
            form = value
    return form
