"""The meaning of the status numbers in error bodies, and what to do next, depending on the
request."""

from __future__ import annotations

import re
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted, raw_bytes
from rdctl.oio.model import Place
from rdctl.oio.routes import READ, ROUTES

CODES: dict[int, Code] = {
    2: Code.UNAVAILABLE,
    7: Code.TIMEOUT,
    9: Code.UNAVAILABLE,
    10: Code.UNAVAILABLE,
    19: Code.CONFLICT,
    308: Code.CONFLICT,
    400: Code.USAGE,
    403: Code.DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNSUPPORTED,
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
    440: Code.IN_USE,
    441: Code.IN_USE,
    445: Code.CONFLICT,
    446: Code.CONFLICT,
    450: Code.NOT_FOUND,
    453: Code.NOT_FOUND,
    454: Code.NOT_FOUND,
    455: Code.EXISTS,
    460: Code.NOT_FOUND,
    461: Code.NOT_FOUND,
    465: Code.NOT_FOUND,
    466: Code.EXISTS,
    472: Code.CONFLICT,
    473: Code.CONFLICT,
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
_NAMESPACE = "The proxy serves another namespace: select it with --namespace."
# The container holds no objects itself; proxies 2025 follow a redirect, except for databases.
_SHARDS = (
    "The container is sharded. Use --cid with one of its shards:"
    " rdctl oio container sharding show {name}"
)
_WAIT = "Wait until it is finished, then try again."
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
        ("content.", "A chunk with that ID is already in use."),
        ("container.raw_insert", "Use --overwrite to replace existing beans."),
    ),
    9: (("", _SERVICES),),
    10: (("", _SERVICES),),
    308: (("", _SHARDS),),
    403: (("service.kill", "Enable it in the configuration of the service."),),
    407: (
        (
            "reference.destroy",
            "Unlink its services first: rdctl oio reference unlink {name} TYPE\n"
            "Or destroy it with its links (their data become unreachable):"
            " rdctl oio reference destroy --force {name}",
        ),
        ("reference.", "See its links: rdctl oio reference show {name}"),
    ),
    418: (("", _NAMESPACE),),
    420: (("content.", "{versions}"),),
    421: (
        (
            "content.create",
            "See the object with that ID or version: rdctl oio content show {content}",
        ),
    ),
    424: (("content.", _VERSIONS),),
    425: (("content.", "The sizes of the chunks must add up to --length."),),
    426: (
        (
            "content.",
            f"Its latest version is a delete marker; older ones may exist.\n{_VERSIONS}",
        ),
    ),
    427: (("content.", "Its data were drained: only its name and properties are left."),),
    431: (
        ("admin.", "See its links: rdctl oio reference show {name}"),
        ("", _REFERENCE),
    ),
    436: (("", _ENABLE),),
    437: (("", _ENABLE),),
    438: (
        (
            "container.destroy",
            "See its objects: rdctl oio container list {name}\n"
            "Use --flush to delete them first, or --force to leave their chunks as orphans.",
        ),
    ),
    433: (("container.checkpoint", "Use another --suffix, or none."),),
    440: (("", _WAIT),),
    441: (("", _WAIT),),
    445: (
        (
            "",
            "The quota of the container (sys.m2.quota) is reached.\n"
            "Raise it: rdctl oio container set-properties {name} --quota SIZE",
        ),
    ),
    453: (("", _TYPES),),
    455: (
        ("reference.force", "Use --replace to replace the linked service."),
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
        ("conscience.", "Check that the conscience is running: the proxy cannot reach it."),
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
# Messages that only repeat the meaning of their status.
SAYS_NO_MORE = re.compile(
    r"(\w+ error: )*(|no|not found|no such user|no service located|alias deleted"
    r"|(account|alias|content) not found|container not empty"
    r"|container not found( : \(2\) No such file or directory)?"
    r"|invalid status|(container )?frozen|(container )?disabled|unexpected service type"
    r"|user still linked to services)",
    re.IGNORECASE,
)
FROZEN = "frozen (read-only)"


class Asked(NamedTuple):
    """The request: the name of the route, its target, and the type of a service."""

    route: str = ""
    place: Place | None = None
    type: str | None = None


def refusal(status: int | None, message: str, asked: Asked, target: str | None) -> RdctlError:
    """The error of a status number of the server; None: unreadable."""
    reported = escape(message or ("unreadable status" if status is None else ""))
    place = asked.place
    name = target or (place.name if place else None)
    code = Code.BAD_REPLY if status is None else CODES.get(status, Code.FAILED)
    words, advice = _message(status, reported, asked, name), _hint(status or 0, asked)
    if place is not None and advice is None and (long := _long(place)):
        words, advice = f"{escape(str(name))}: {reported}", long
    if "'namespace'" in reported:
        code, advice = Code.NOT_FOUND, _NAMESPACE
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
    reported = error.message.removeprefix(f"{escape(error.target or '')}: ")
    if status in (2, 502):
        return not direct or _NOT_CONNECTED not in reported
    return status not in (500, 503) or _NOT_BEGUN.match(reported) is None


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


def _message(status: int | None, reported: str, asked: Asked, name: str | None) -> str:
    """The meaning of the status, with the server's own message where that says more."""
    meaning = _meaning(status, asked, reported)
    if meaning is not None:
        return meaning if SAYS_NO_MORE.fullmatch(reported) else f"{meaning} ({reported})"
    if name is None or reported.startswith(escape(name)):
        return reported
    return f"{escape(name)}: {reported}"


def _meaning(status: int | None, asked: Asked, reported: str) -> str | None:
    place, type = asked.place, escape(asked.type or "")
    if asked.route == "lb.choose" and status in (481, 503):
        return f"no {type} service available"
    if asked.route.startswith("conscience.") and status == 453 and type:
        return f'service type "{type}" not found in the conscience'
    if place is None:
        return None
    if status == 407 and asked.route == "reference.destroy":
        return f'reference "{place.shown}" is still linked to services'
    if status == 308:
        return f'container "{place.holder.shown}" is sharded'
    if status in (440, 441):
        doing = "drained" if status == 440 else "emptied"
        return f'container "{place.holder.shown}" is being {doing}'
    if status == 438:
        return f"{database(place, None)} is not empty"
    if status in (436, 437):
        return f"{database(place.holder, asked.type)} is {_state(status, asked, reported)}"
    return _not_found(status, place, asked)


def _state(status: int, asked: Asked, reported: str) -> str:
    """A frozen database can be read; 4.2 refuses writes to a disabled one with the same status."""
    route = ROUTES.get(asked.route)
    if status == 437 or (route is not None and route.effect == READ):
        return "disabled"
    return FROZEN if "frozen" in reported.lower() else "frozen or disabled"


def _not_found(status: int | None, place: Place, asked: Asked) -> str | None:
    holder = place.holder.shown
    if status == 431 and asked.route.startswith("admin."):
        return f'{escape(asked.type or "meta2")} database of "{holder}" not found'
    if status in (406, 431) and place.reference is None:
        return f'container with ID "{holder}" not found'
    if status in (406, 431):
        noun = "reference" if asked.route.startswith("reference.") else "container"
        account = f' in account "{escape(place.account)}"' if place.account else ""
        return f'{noun} "{holder}" not found{account}'
    if status not in (420, 426) or place == place.holder:
        return None
    what = f'object "{place.shown}"'
    if status == 420 and place.content_id and not place.path:
        what = f'object with ID "{place.shown}"'
    elif status == 420 and place.version:
        what = f'version {escape(place.version)} of object "{place.shown}"'
    return f'{what} not found in container "{holder}"'


def database(place: Place, type: str | None) -> str:
    """A database, for users: that of type meta2 is a container."""
    if type not in (None, "meta2"):
        return f'{escape(type)} database of "{place.shown}"'
    return f'container "{place.shown}"'


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
