"""The options with which hosts get keys. A key is only ever named by its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.names_input import bulk_of
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.rapiddisk.auth import Settings

_HASHES = ("sha256", "sha384", "sha512")
_DHGROUPS = ("null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")


def _noted(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A key on standard input must not be read as names."""
    if value == "-":
        bulk_of(context).reserved = param.opts[0]
    return value


_OPTIONS = (
    click.option(
        "--auth-key-file",
        metavar="FILE",
        callback=_noted,
        help="Key that the host must prove to have.",
    ),
    click.option(
        "--ctrl-key-file",
        metavar="FILE",
        callback=_noted,
        help="Key that this machine proves to have.",
    ),
    click.option("--hash", type=click.Choice(_HASHES), help="Hash function (default: sha256)."),
    click.option(
        "--dhgroup", type=click.Choice(_DHGROUPS), help="Diffie-Hellman group (default: null)."
    ),
)


def auth_options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settings_of(
    auth_key_file: str | None, ctrl_key_file: str | None, hash: str | None, dhgroup: str | None
) -> Callable[[], Settings]:
    """Reads the files when it is known that they are needed."""
    from rdctl.cli.options import seconds_of
    from rdctl.rapiddisk.auth import Key, Settings, read_key

    if auth_key_file == ctrl_key_file == "-":
        raise RdctlError(Code.USAGE, "only one of --auth-key-file and --ctrl-key-file can be -")
    context = click.get_current_context()

    def key(path: str | None) -> Key | None:
        if path is None:
            return None
        return read_key(path, context.obj, seconds_of(context))

    return lambda: Settings(key(auth_key_file), key(ctrl_key_file), hash, dhgroup)
