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
            f'unsupported method "{escape(value)}": must be GET, POST, PUT or DELETE',
            hint="Usage: rdctl oio api METHOD PATH",
        )
    return method


def _path(context: click.Context, param: click.Parameter, value: str) -> str:
    if "?" in value:
        raise RdctlError(
            Code.USAGE,
            f'invalid PATH "{escape(value)}": must not contain a query string',
            hint="Use --param KEY=VALUE for each parameter (not URL-encoded).",
        )
    return value


def _body(context: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    return None if value is None else read_bytes(context, value)


def _headers(context: click.Context, param: click.Parameter, value: Any) -> dict[str, str]:
    headers = {}
    for text in value:
        name, equals, content = text.partition("=")
        if not equals or not _HEADER.fullmatch(name) or not content.isprintable() or not content:
            raise RdctlError(Code.USAGE, f'invalid --header "{escape(text)}": must be NAME=VALUE')
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
@pairs_option("--param", "parameters", help="Query parameter (repeatable).")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="K=V",
    callback=_headers,
    help="Request header (repeatable).",
)
@click.option("--body", metavar="FILE", callback=_body, help="Request body; - reads stdin.")
@click.option("-i", "--include", is_flag=True, help="Show the status and headers.")
@click.option("--raw", is_flag=True, help="Do not escape control characters.")
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
    """Send a request to the proxy.

    PATH is a route below the namespace, such as container/show, or a full path if it begins with a
    slash. The body of the reply is printed unchanged, whatever the status. On a terminal, control
    characters are escaped unless --raw is given. The exit code reflects the status. Every method
    other than GET requires confirmation, except on read-only routes."""
    return site.oio.api(method, path, parameters, headers, body, include, raw)
