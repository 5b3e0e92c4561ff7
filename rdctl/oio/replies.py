"""How replies of the oio-proxy are read, in every shape that the servers use. The ways in `routes`
name these readers; what lacks its shape raises one of `MISSHAPEN`, of which `proxy` makes a
`bad-reply`."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import unquote_to_bytes

from rdctl.oio.model import (
    Account,
    AccountContainer,
    Container,
    Content,
    Entry,
    Link,
    Namespace,
    Outcome,
    Page,
    Place,
    Properties,
    Service,
)
from rdctl.transport import Reply
from rdctl.units import raw_bytes

MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError)

_CONTAINER = "x-oio-container-meta-"
_CONTENT = "x-oio-content-meta-"
# sys.status is 0, -1 or -2, written without a sign.
_STATUS = {"0": "enabled", "4294967295": "frozen", "4294967294": "disabled"}
# What may stand in a query as it is.
_ESCAPED = re.compile(r"[!\"$%'-~]+")
# Above this a time is in microseconds, as 4.2 has it; 3.3 has seconds.
_MICROSECONDS = 10**12
_YEAR_10000 = 253_402_300_800


def json(reply: Reply) -> Any:
    return reply.json() if reply.body.strip() else None


def nothing(reply: Reply) -> None:
    """A change that was done, of which 204 is the proof (201 of what is new): no other 2xx is."""
    if _of_empty(reply) not in (201, 204):
        raise ValueError("204 was expected")


def done(reply: Reply) -> None:
    """The same where servers also answer 200 and an object, whatever is in it."""
    if reply.status == 200:
        _object(reply.json())
    else:
        nothing(reply)


def pong(reply: Reply) -> None:
    """forward/ping: 4.2 says OK, 3.3 nothing."""
    if reply.text.strip() not in ("", "OK"):
        raise ValueError("OK was expected")


def created_by_201(reply: Reply) -> bool:
    """True when it is new, False when it was there."""
    return {201: True, 204: False}[_of_empty(reply)]


def created_by_204(reply: Reply) -> bool:
    return {204: True, 201: False}[_of_empty(reply)]


def accepted(reply: Reply) -> bool:
    """As created_by_201, for references."""
    return {201: True, 202: False}[_of_empty(reply)]


def _of_empty(reply: Reply) -> int:
    """The status of a reply that has nothing else to say."""
    if reply.body.strip():
        raise ValueError("an empty reply was expected")
    return reply.status


def text(reply: Reply) -> str:
    return reply.text


def lines(reply: Reply) -> list[str]:
    return [line for line in reply.text.splitlines() if line.strip()]


# --- headers and times --------------------------------------------------------------------------


def header(reply: Reply, name: str) -> str | None:
    """A header's value, unescaped to its very bytes."""
    value = reply.headers.get(name)
    if value is None:
        return None
    return unquote_to_bytes(value.encode("latin-1")).decode("utf-8", "surrogateescape")


def date(value: Any) -> str | None:
    """`2026-11-21T20:44:52Z` of seconds or microseconds since 1970, however they are written."""
    if value in (None, "", 0, "0"):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("a time was expected")
    number = float(value)
    if number > _MICROSECONDS:
        number /= 1e6
    if abs(number) >= _YEAR_10000:
        raise ValueError("a time was expected")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(number)))


# --- the parts of a JSON value ------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def whole(value: Any) -> int:
    """A whole number, which some servers write as a text."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("a whole number was expected")
    return int(value)


def _number(value: Any) -> int | None:
    return None if value in (None, "") else whole(value)


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("an array was expected")
    return value


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {key: _text(entry) for key, entry in _object(value).items()}


# --- conscience ---------------------------------------------------------------------------------


def namespace(reply: Reply) -> Namespace:
    body = reply.json()
    return Namespace(
        _text(body["ns"]),
        _number(body.get("chunksize")),
        _object(body.get("storage_policy")),
        _object(body.get("data_security")),
        _object(body.get("service_pools")),
        _object(body.get("options")),
    )


def names(reply: Reply) -> list[str]:
    return sorted(_text(entry) for entry in _array(reply.json()))


def services(reply: Reply) -> list[Service]:
    """Services with score and tags. Their type is in the reply only where all types are listed."""
    return [
        Service(
            _text(entry.get("type", "")),
            _text(entry["addr"]),
            whole(entry["score"]),
            _state(whole(entry["score"])),
            _object(entry.get("tags")),
        )
        for entry in _array(reply.json())
    ]


def _state(score: int) -> str:
    if score > 0:
        return "up"
    return {0: "down-or-locked", -1: "unscored"}.get(score, "unset")


def addresses(reply: Reply) -> list[str]:
    return [_text(entry["addr"]) for entry in _array(reply.json())]


# --- references ---------------------------------------------------------------------------------


def links(reply: Reply) -> list[Link]:
    return _links(reply.json())


def _links(entries: Any) -> list[Link]:
    found = [
        Link(
            whole(entry["seq"]),
            _text(entry["type"]),
            _text(entry["host"]),
            _text(entry.get("args", "")),
        )
        for entry in _array(entries)
    ]
    # 4.2 lists them in random order.
    return sorted(found, key=lambda link: (link.type, link.seq, link.address))


def reference(reply: Reply) -> tuple[list[Link], list[Link]]:
    """The linked services, and the directory's own."""
    body = reply.json()
    return _links(body["srv"]), _links(body["dir"])


# --- properties ---------------------------------------------------------------------------------


def properties(reply: Reply) -> Properties:
    """User and system properties, apart: 4.2 sends them so, 3.3 sends the user's with a prefix
    in some routes, the reference shows one flat object."""
    body = reply.json() if reply.body.strip() else {}
    if "properties" in body or "system" in body:
        user, system = _texts(body.get("properties")), _texts(body.get("system"))
    else:
        user, system = _split(_texts(body))
    return Properties("", user, system)


def _split(flat: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    user, system = {}, {}
    for key, value in flat.items():
        if key.startswith("user."):
            user[key.removeprefix("user.")] = value
        elif key.startswith(("sys.", "version:")) or key == "schema_version":
            system[key] = value
        else:
            user[key] = value
    return user, system


# --- containers ---------------------------------------------------------------------------------


def container(reply: Reply) -> Container:
    """container/show: system properties in headers, user properties in the body (3.3 and 4.2)."""
    system: dict[str, str] = {}
    for name in reply.headers:
        if name.lower().startswith(_CONTAINER + "sys-"):
            key = name.lower().removeprefix(_CONTAINER).replace("-", ".")
            system[key] = header(reply, name) or ""
    user = properties(reply).properties
    # The name of the base is the container's id and a number.
    cid = system.get("sys.name", "").partition(".")[0] or None
    return Container(
        system["sys.user.name"],
        system.get("sys.account"),
        cid,
        _number(system.get("sys.m2.usage")),
        _number(system.get("sys.m2.objects")),
        _number(system.get("sys.m2.quota")),
        system.get("sys.m2.policy.storage"),
        _number(system.get("sys.m2.policy.version")),
        _STATUS.get(system.get("sys.status", "0")),
        date(system.get("sys.m2.ctime")),
        user,
        system,
    )


def page(reply: Reply) -> Page:
    """container/list: objects and prefixes, in the order of their names' bytes."""
    body = reply.json()
    entries = [_entry(entry) for entry in _array(body["objects"])]
    empty = (None,) * 10
    entries += [Entry(_text(prefix), "prefix", *empty) for prefix in _array(body["prefixes"])]
    entries.sort(key=lambda entry: raw_bytes(entry.name))
    truncated = {"true": True, "false": False}[reply.headers["x-oio-list-truncated"].lower()]
    marker = reply.headers["x-oio-list-marker"] if truncated else None
    if marker is not None and not _ESCAPED.fullmatch(marker):
        raise ValueError("an escaped marker was expected")
    return Page(entries, marker)


def _entry(entry: Any) -> Entry:
    deleted, user = entry.get("deleted"), entry.get("properties")
    if deleted is not None and not isinstance(deleted, bool):
        raise TypeError("true or false was expected")
    return Entry(
        _text(entry["name"]),
        "object",
        _number(entry.get("size")),
        _text_or_none(entry.get("hash")) or None,
        _text_or_none(entry.get("policy")),
        _text_or_none(entry.get("mime-type")),
        _text_or_none(entry.get("content")),
        _number(entry.get("version", entry.get("ver"))),
        deleted,
        date(entry.get("ctime")),
        date(entry.get("mtime")),
        None if user is None else _texts(user),
    )


def flushed(reply: Reply) -> bool:
    """Whether nothing is left: a large container is emptied in several requests."""
    nothing(reply)
    return reply.headers.get("x-oio-truncated", "false").lower() != "true"


def batch(key: str, body: Any) -> list[Outcome]:
    return [
        Outcome(_text(entry["name"]), whole(entry["status"]), _text(entry.get("message", "")), None)
        for entry in _array(body[key])
    ]


def containers(reply: Reply) -> list[Outcome]:
    return batch("containers", reply.json())


def contents(reply: Reply) -> list[Outcome]:
    return batch("contents", reply.json())


# --- contents -----------------------------------------------------------------------------------


def content(reply: Reply) -> Content:
    """content/show and content/prepare: chunks in the body, the rest in headers."""

    def meta(name: str) -> str | None:
        return header(reply, _CONTENT + name)

    deleted = meta("deleted")
    chunks = [_chunk(chunk) for chunk in _array(reply.json())]
    # Positions come in any order, and replicas too.
    chunks.sort(key=lambda chunk: (_position(chunk["pos"]), chunk["url"]))
    return Content(
        "",
        meta("name") or "",
        meta("id"),
        _number(meta("version")),
        int(reply.headers[_CONTENT + "length"]),
        meta("hash") or None,
        meta("policy"),
        meta("mime-type"),
        meta("chunk-method"),
        _number(header(reply, "x-oio-ns-chunk-size")),
        date(meta("ctime")),
        date(meta("mtime")),
        None if deleted is None else {"true": True, "false": False}[deleted.lower()],
        None,
        chunks,
    )


def _chunk(chunk: Any) -> dict[str, Any]:
    """A chunk as the server has it, once it is known to be one."""
    for key in ("url", "pos", "hash"):
        _text(chunk[key])
    whole(chunk["size"])
    return _object(chunk)


def _position(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def spare(reply: Reply) -> list[str]:
    return [_text(chunk["id"]) for chunk in _array(reply.json()["chunks"])]


# --- databases ----------------------------------------------------------------------------------


def replicas(reply: Reply) -> list[Outcome]:
    """admin/*: one outcome a service, from 4.2's and 3.3's `{"status": {...}, "body": ...}` and
    from the reference's `"OK"`, `{"code": .., "msg": ..}` or plain text. An empty object means
    that there was nothing to say."""
    return _replicas(reply.json())


def _replicas(body: Any) -> list[Outcome]:
    return [_replica(address, value) for address, value in sorted(body.items())]


def _replica(address: str, value: Any) -> Outcome:
    if isinstance(value, str):
        return Outcome(address, 200, "OK", None if value == "OK" else value)
    if "code" in value:
        return Outcome(address, whole(value["code"]), _text(value.get("msg", "")), None)
    status = value["status"]
    return Outcome(
        address,
        whole(status["status"]),
        _text(status.get("message", "")),
        value.get("body") or None,
    )


def sqlite(reply: Reply) -> list[Outcome]:
    """admin/info, in whose JSON 3.3 puts bare text: the whole of it then."""
    try:
        return replicas(reply)
    except ValueError:
        return [Outcome("", 200, "OK", reply.text)]


def elections(reply: Reply) -> list[Outcome]:
    """admin/debug: what a replica tells of its election is an object in 4.2, a text of many lines
    in the reference."""
    found = _replicas(reply.json(strict=False))
    for outcome in found:
        if not isinstance(outcome.body, str):
            body = _object(outcome.body)
            _text_or_none(_object(body.get("local")).get("state"))
            _text_or_none(_object(body.get("master")).get("url"))
            for key in ("peers", "log"):
                [_text(line) for line in _array(body.get(key, []))]
    return found


# --- accounts -----------------------------------------------------------------------------------


def account(reply: Reply) -> Account:
    body = reply.json()
    return Account(
        _text(body["id"]),
        whole(body["containers"]),
        whole(body["objects"]),
        whole(body["bytes"]),
        date(body.get("ctime")),
        _texts(body.get("metadata")),
    )


def account_containers(reply: Reply) -> list[AccountContainer]:
    return [
        AccountContainer(
            _text(name),
            "prefix" if whole(is_prefix) else "container",
            whole(objects),
            whole(size),
            date(modified),
        )
        for name, objects, size, is_prefix, modified in map(_array, _array(reply.json()["listing"]))
    ]


def about(place: Place, value: Content) -> Content:
    """The content with the names under which it was asked for."""
    return value._replace(container=place.container, path=value.path or place.path or "")
