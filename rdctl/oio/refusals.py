"""The meaning of the status numbers in error bodies, and what to do next, depending on the
request."""

from __future__ import annotations

import re
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted, raw_bytes
from rdctl.oio.model import Place

CODES: dict[int, Code] = {
    2: Code.UNAVAILABLE,
    7: Code.TIMEOUT,
    19: Code.CONFLICT,
    400: Code.USAGE,
    403: Code.DENIED,
    404: Code.NOT_FOUND,
    406: Code.NOT_FOUND,
    407: Code.IN_USE,
    408: Code.EXISTS,
    409: Code.NOT_FOUND,
    413: Code.USAGE,
    418: Code.NOT_FOUND,
    420: Code.NOT_FOUND,
    421: Code.EXISTS,
    422: Code.CONFLICT,
    423: Code.CONFLICT,
    424: Code.CONFLICT,
    425: Code.CONFLICT,
    426: Code.NOT_FOUND,
    427: Code.CONFLICT,
    430: Code.CONFLICT,
    431: Code.NOT_FOUND,
    432: Code.CONFLICT,
    433: Code.EXISTS,
    434: Code.LOCKED,
    435: Code.IN_USE,
    436: Code.FROZEN,
    437: Code.FROZEN,
    438: Code.NOT_EMPTY,
    439: Code.CONFLICT,
    445: Code.CONFLICT,
    446: Code.CONFLICT,
    450: Code.NOT_FOUND,
    453: Code.NOT_FOUND,
    454: Code.NOT_FOUND,
    455: Code.EXISTS,
    460: Code.NOT_FOUND,
    461: Code.NOT_FOUND,
    480: Code.USAGE,
    481: Code.UNAVAILABLE,
    501: Code.UNSUPPORTED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.TIMEOUT,
    509: Code.UNAVAILABLE,
}

_SERVICES = "See which services are up: rdctl oio conscience list"
_VERSIONS = "See its versions: rdctl oio container list {name} --prefix {path} --all-versions"
_ENABLE = "Enable it: rdctl oio admin enable {base}"
_TYPES = "See the types: rdctl oio conscience types"
_REFERENCE = "Its reference may exist: rdctl oio reference show {name}"

# By number, and by how the names of the routes begin: the first that fits. {name} is the container
# or reference on a command line, {base} that with the type of the database, {path} a content's
# name, {type} that of a service. A hint that lacks one of them is left out.
HINTS: dict[int, tuple[tuple[str, str | None], ...]] = {
    2: (("", _SERVICES),),
    7: (
        ("service.", "See the addresses of the services: rdctl oio conscience list"),
        ("", "A service behind the proxy may be stuck. " + _SERVICES),
    ),
    19: (
        ("content.", "A chunk with that id is already in use."),
        ("container.raw_insert", "A bean with that key already exists; --force replaces it."),
    ),
    403: (("service.kill", "Enable it in the settings of the service."),),
    407: (
        (
            "reference.destroy",
            "Unlink its services first: rdctl oio reference unlink {name} TYPE\n"
            "To drop its links too, which leaves their data unreachable:"
            " rdctl oio reference destroy --force {name}",
        ),
        ("reference.", "See its links: rdctl oio reference show {name}"),
    ),
    418: (("", "The proxy serves another namespace; see --namespace."),),
    420: (("content.", "{versions}"),),
    421: (
        (
            "content.create",
            "See the content with that id or version: rdctl oio content show {content}",
        ),
    ),
    424: (("content.", _VERSIONS),),
    425: (("content.", "The sizes of the chunks do not add up to the length."),),
    426: (
        (
            "content.",
            f"Its latest version is a delete marker; older ones may exist.\n{_VERSIONS}",
        ),
    ),
    427: (("content.", "Its data were drained; only its name and properties are left."),),
    431: (
        ("admin.", "See its links: rdctl oio reference show {name}"),
        ("", _REFERENCE),
    ),
    436: (("", _ENABLE),),
    437: (("", _ENABLE),),
    445: (
        (
            "",
            "The container's quota is reached; see sys.m2.quota.\n"
            "Raise it: rdctl oio container set-properties {name} --system sys.m2.quota=BYTES",
        ),
    ),
    453: (("", _TYPES),),
    455: (
        ("reference.force", "To replace the linked service, add --replace."),
        ("reference.", "See its links: rdctl oio reference show {name}"),
    ),
    480: (("", "See the storage policies: rdctl oio conscience info"),),
    481: (
        ("content.", "Too few rawx services are up: rdctl oio conscience list rawx"),
        ("container.", "Too few meta2 services are up: rdctl oio conscience list meta2"),
        ("", "Too few {type} services are up: rdctl oio conscience list {type}"),
    ),
    502: (("", _SERVICES),),
    503: (
        ("lb.choose", "See whether one is up: rdctl oio conscience list {type}"),
        ("conscience.", "Is the conscience running? It cannot be asked through the proxy."),
        ("", _SERVICES),
    ),
    509: (("", "Try again in a moment."),),
}
# Names beyond these lengths get misleading answers from 4.2.
_LONGEST = {"acct": 63, "ref": 255, "path": 1023}


# Numbers outside 3xx and 4xx that mean a refusal: a database constraint, an unknown route,
# overload. All others mean unavailable, or failed while working.
_REFUSALS = (19, 501, 509)
# Messages of such a service if it did not start.
_NOT_BEGUN = re.compile(
    r"(\w+ error: )?(The current META0 service is not ready yet|Election failed"
    r"|Too many pending events|client creation|Replication not configured)"
)
_NOT_CONNECTED = "Connection refused"


class Asked(NamedTuple):
    """The request: the name of the route, its target, and the type of a service."""

    route: str = ""
    place: Place | None = None
    type: str | None = None


def refusal(status: int | None, message: str, asked: Asked, target: str | None) -> RdctlError:
    """The error of a status number of the server; None: unreadable."""
    unread = "unreadable status"
    said = escape(message or (unread if status is None else ""))
    place = asked.place
    name = target or (place.name if place else None)
    code = Code.BAD_REPLY if status is None else CODES.get(status, Code.FAILED)
    words, advice = _message(status, said, asked, name), _hint(status or 0, asked)
    if place is not None and advice is None and (long := _long(place)):
        words, advice = f"{escape(str(name))}: {said}", long
    if "'namespace'" in said:
        code, advice = Code.NOT_FOUND, "The proxy serves another namespace; see --namespace."
    return RdctlError(code, words, hint=advice, target=name, remote_status=status)


def leaves_open(error: RdctlError, *, direct: bool = False) -> bool:
    """Whether the outcome of a change is unknown after this error. It is known if the request was
    never sent, or if the responsible service refused it. Errors about an unavailable or failed
    service, and errors of a gateway, prove nothing. `direct`: the proxy queried one service,
    once."""
    if error.code is Code.UNKNOWN:
        return False  # already reported
    status = error.facts.get("remote_status")
    if status is None:
        return not 300 <= error.facts.get("http_status", 400) < 500
    if 300 <= status < 500 or status in _REFUSALS:
        return False
    said = error.message.removeprefix(f"{escape(error.target or '')}: ")
    if status in (2, 502):
        return not direct or _NOT_CONNECTED not in said
    return status not in (500, 503) or _NOT_BEGUN.match(said) is None


def _hint(status: int, asked: Asked) -> str | None:
    template = next(
        (hint for start, hint in HINTS.get(status, ()) if asked.route.startswith(start)), None
    )
    try:
        return template and template.format_map(_words(asked))
    except KeyError:
        return None


def _words(asked: Asked) -> dict[str, str]:
    """The values of the names in a hint, as far as known."""
    words, place, type = {}, asked.place, asked.type
    if type:
        words["type"] = quoted(type)
    if place is not None:
        words["name"] = words["base"] = place.holder.words
        if asked.route.startswith("admin.") and type not in (None, "meta2"):
            words["base"] += f" --type {quoted(str(type))}"
        if place.path or place.content_id:
            words["content"] = place._replace(version=None).words
        if place.path:
            words["path"] = quoted(place.path)
            if place.version:
                words["versions"] = _VERSIONS.format_map(words)
    return words


def _message(status: int | None, said: str, asked: Asked, name: str | None) -> str:
    """The server's message, reworded if it is too vague."""
    place = asked.place
    if place is not None:
        holder = place.holder.shown
        account = f' in account "{escape(place.account)}"' if place.account else ""
        if status == 431 and asked.route.startswith("admin."):
            return f"{holder} has no database of type {escape(asked.type or 'meta2')} ({said})"
        if status in (406, 431) and place.reference is None:
            return f'container with id "{holder}" not found ({said})'
        if status in (406, 431):
            noun = "reference" if asked.route.startswith("reference.") else "container"
            return f'{noun} "{holder}" not found{account} ({said})'
        if status == 420 and place.content_id and not place.path:
            return f'object with id "{place.shown}" not found in container "{holder}" ({said})'
        if status == 420 and place.version:
            version = escape(place.version)
            return (
                f'version {version} of "{place.shown}" not found in container "{holder}" ({said})'
            )
        if status in (420, 426) and place != place.holder:
            return f'object "{place.shown}" not found in container "{holder}" ({said})'
        if status in (436, 437):
            return f"{holder}: {'disabled' if status == 437 else 'frozen or disabled'} ({said})"
    if asked.route == "lb.choose" and status in (481, 503):
        return f"no {escape(asked.type or '')} service available ({said})"
    if name is None or said.startswith(escape(name)):
        return said
    return f"{escape(name)}: {said}"


def _long(place: Place) -> str | None:
    for key, value in place.query().items():
        most = _LONGEST.get(key)
        if most is not None and len(raw_bytes(value)) > most:
            return f"An oio-proxy 4.2 accepts at most {most} bytes for {key}."
    return None


def is_direct(route: str) -> bool:
    """Whether a single service is queried, once: if it refuses the connection, nothing was sent. A
    base is copied from one service to another."""
    return route.startswith("service.") or route == "admin.copy"
