"""rdctl oio api"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import pairs_option, read_bytes
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape

if TYPE_CHECKING:
    from rdctl.core.results import Raw
    from rdctl.sites import Site

_HEADER = re.compile(r"[A-Za-z0-9-]+")


def _method(context: click.Context, param: click.Parameter, value: str) -> str:
    method = value.upper()
    if method not in ("GET", "POST", "PUT", "DELETE"):
        raise RdctlError(
            Code.USAGE,
            f"the method '{escape(value)}' is not sent",
            hint="GET, POST, PUT and DELETE are; HEAD would confuse the proxy.",
        )
    return method


def _path(context: click.Context, param: click.Parameter, value: str) -> str:
    if "?" in value:
        raise RdctlError(
            Code.USAGE,
            f"PATH holds a query: {escape(value)}",
            hint="Say each of its parameters, not escaped, as --param KEY=VALUE.",
        )
    return value


def _body(context: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    return None if value is None else read_bytes(context, value)


def _headers(context: click.Context, param: click.Parameter, value: Any) -> dict[str, str]:
    headers = {}
    for text in value:
        name, equals, content = text.partition("=")
        if not equals or not _HEADER.fullmatch(name) or not content.isprintable() or not content:
            raise RdctlError(Code.USAGE, f"--header: '{escape(text)}' is not NAME=VALUE")
        headers[name] = content
    return headers


@verb(
    "api",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio api GET conscience/info",
        "rdctl -c sandbox oio api GET /v3.0/status",
        "rdctl -c sandbox oio api POST container/touch --param acct=sandbox --param ref=photos"
        " --dry-run",
        "rdctl -c sandbox oio api GET container/show --param acct=sandbox --param ref=photos -i",
    ],
)
@click.argument("method", callback=_method)
@click.argument("path", callback=_path)
@pairs_option("--param", "parameters", help="A parameter of the query; repeat as needed.")
@click.option(
    "--header", "headers", multiple=True, metavar="K=V", callback=_headers, help="A header."
)
@click.option("--body", metavar="FILE", callback=_body, help="A file to send. - is stdin.")
@click.option("-i", "--include", is_flag=True, help="Show the status and the headers too.")
@click.option("--raw", is_flag=True, help="On a terminal, too, control characters as they are.")
def api(
    site: Site,
    method: str,
    path: str,
    parameters: dict[str, str],
    headers: dict[str, str],
    body: bytes | None,
    include: bool,
    raw: bool,
) -> Raw:
    """Send any request to the proxy.

    PATH is a route such as container/show, below the namespace, or the whole path when it begins
    with a slash. The reply's body is shown as it came, whatever the status; on a terminal its
    control characters are escaped, unless --raw is given. The exit code tells what the status
    means. All but GET and routes that only read asks first."""
    return site.oio.api(method, path, parameters, headers, body, include, raw)
