"""How replies of the oio-proxy are read, in every shape that the servers use. The ways in `routes`
name these readers. A value that cannot be read is null, and noted (see `core.unread`); a reply
that is none of its route raises one of `MISSHAPEN`, of which `proxy` makes a `bad-reply`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from rdctl.core.units import raw_bytes
from rdctl.core.unread import MISSHAPEN, Misread, needed, note, rows, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import (
    UNREADABLE,
    Account,
    AccountContainer,
    AccountPage,
    Container,
    Content,
    Counter,
    Entry,
    Link,
    Namespace,
    Outcome,
    Page,
    Place,
    Properties,
    Service,
)
from rdctl.oio.properties import is_system

T = TypeVar("T")

_CONTAINER = "x-oio-container-meta-"
_CONTENT = "x-oio-content-meta-"
# sys.status is 0, -1 or -2, mostly written without a sign.
_STATUS = {
    "0": "enabled",
    "4294967295": "frozen",
    "4294967294": "disabled",
    "-1": "frozen",
    "-2": "disabled",
}
# What may stand in a query as it is.
_ESCAPED = re.compile(r"[!\"$%'-~]+")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}")
# What 3.3 tells of a service, and what is in a body that tells a status.
_OF_SERVICE = {"ns", "type", "addr", "score", "tags"}
_STATUS_ONLY = {"status", "message"}
# Python reads more as a number: "1_0", " 5", "nan".
_WHOLE, _DECIMAL = re.compile("-?[0-9]+"), re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Above this a time is in microseconds, as 4.2 has it; 3.3 has seconds.
_MICROSECONDS = 10**12
_YEAR_10000 = 253_402_300_800
# No counter or size is larger.
_LARGEST = 1 << 64


def json(reply: Reply) -> Any:
    return reply.json() if reply.body.strip() else None


def nothing(reply: Reply) -> None:
    """A change that was done, of which 204 is the proof (201 of what is new): no other 2xx is."""
    if _of_empty(reply) not in (201, 204):
        raise ValueError("204 was expected")


def stored(reply: Reply) -> None:
    """content/create: 204 alone, by all servers and by the reference."""
    if _of_empty(reply) != 204:
        raise ValueError("204 was expected")


def done(reply: Reply) -> None:
    """The same where servers also answer 200, with nothing in an object (`admin` and properties),
    or an OK of each replica (the reference)."""
    if reply.status != 200:
        nothing(reply)
    elif any(outcome.status != 200 for outcome in _replicas(reply.json())):
        raise ValueError("a replica does not say OK")


def registered(reply: Reply) -> None:
    """The same where 3.3 answers 200 and the service as it is known now."""
    if reply.status != 200:
        nothing(reply)
        return
    body = reply.json()
    _address(body)
    if not body.keys() <= _OF_SERVICE:
        raise ValueError("a service was expected")


def flushed_type(reply: Reply) -> None:
    """The same where servers answer 200 and that number once more."""
    if reply.status != 200:
        nothing(reply)
        return
    body = reply.json()
    if type(body["status"]) is not int or body["status"] != 200 or not body.keys() <= _STATUS_ONLY:
        raise ValueError("status 200 was expected")


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


def counter(line: str) -> Counter:
    """`counter NAME VALUE` or `gauge NAME = VALUE`"""
    kind, _, rest = line.partition(" ")
    name, _, value = rest.replace(" = ", " ").rpartition(" ")
    digits = value.isascii() and value.isdigit()
    return Counter(name, kind, int(value) if digits else value)


def counters(reply: Reply) -> list[Counter]:
    """/stat of a rawx."""
    return [counter(line) for line in lines(reply)]


def gauges(reply: Reply) -> list[Counter]:
    """/status of an account service or a rdir: numbers by their names."""
    told = reply.json()
    found = [
        Counter(name, "gauge", _or_null(whole, value, "counter", name))
        for name, value in told.items()
    ]
    if found and all(counter.value is None for counter in found):
        raise ValueError("not one counter can be read")
    return found


def rawx_info(reply: Reply) -> str | None:
    """/info of a rawx: `NAME VALUE` by line; the version, where there is one."""
    facts = {name: value.strip() for name, _, value in (li.partition(" ") for li in lines(reply))}
    facts["namespace"]
    return facts.get("version") or None


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
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("a time was expected")
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


def _true_or_false(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def whole(value: Any) -> int:
    """A whole number, which some servers write as a text."""
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError("a whole number was expected")
        value = int(value)
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return value
    raise TypeError("a whole number was expected")


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


def _properties(value: Any) -> dict[str, Any]:
    """Texts by their keys; one that is no text is null."""
    found = _object(value)
    odd = [key for key, entry in found.items() if not isinstance(entry, str)]
    for key in odd:
        note("value", f"property {key}")
    return {**found, **dict.fromkeys(odd)}


# --- conscience ---------------------------------------------------------------------------------


def namespace(reply: Reply) -> Namespace:
    return spared(_namespace, reply.json(), "namespace", "ns")


def _namespace(body: Any) -> Namespace:
    return Namespace(
        _text(body["ns"]),
        _number(body.get("chunksize")),
        _object(body.get("storage_policy")),
        _object(body.get("data_security")),
        _object(body.get("service_pools")),
        _object(body.get("options")),
    )


def names(reply: Reply) -> list[str]:
    return sorted(rows(_text, _array(reply.json()), "name"))


def services(reply: Reply) -> list[Service]:
    """Services with score and tags. Their type is in the reply only where all types are listed."""
    return rows(_service, _array(reply.json()), "service", "addr")


def _service(entry: Any) -> Service:
    score = _number(entry.get("score"))
    return Service(
        _text_or_none(entry.get("type")) or "",
        _text(entry["addr"]),
        score,
        _state(score),
        _object(entry.get("tags")),
    )


def _state(score: int | None) -> str | None:
    if score is None:
        return None
    if score > 0:
        return "up"
    return {0: "down-or-locked", -1: "unscored"}.get(score, "unset")


def addresses(reply: Reply) -> list[str]:
    return rows(_address, _array(reply.json()), "service")


def _address(entry: Any) -> str:
    """IP:PORT, to which requests go."""
    address = _text(entry["addr"])
    if not _ADDRESS.fullmatch(address):
        raise ValueError("IP:PORT was expected")
    return address


# --- references ---------------------------------------------------------------------------------


def links(reply: Reply) -> list[Link]:
    """reference/link and renew: the services that it is linked to by now, one at least."""
    found = _links(reply.json())
    if not found:
        raise ValueError("a link was expected")
    return found


def _links(entries: Any) -> list[Link]:
    found = rows(_link, _array(entries), "link", "type", "host")
    # 4.2 lists them in random order.
    return sorted(found, key=lambda link: (link.type, link.seq or 0, link.address))


def _link(entry: Any) -> Link:
    return Link(
        _number(entry.get("seq")),
        _text(entry["type"]),
        _text(entry["host"]),
        _text_or_none(entry.get("args")) or "",
    )


def reference(reply: Reply) -> tuple[list[Link], list[Link] | None]:
    """The linked services, and the directory's own."""
    body = reply.json()
    directory = body.get("dir")
    return (
        _links(body["srv"]),
        None if directory is None else _or_null(_links, directory, "reference", "dir"),
    )


# --- properties ---------------------------------------------------------------------------------


def properties(reply: Reply) -> Properties:
    """User and system properties, apart: 4.2 sends them so, 3.3 sends the user's with a prefix
    in some routes, the reference shows one flat object."""
    return _apart(reply.json() if reply.body.strip() else {})


def _apart(body: Any) -> Properties:
    if "properties" in body or "system" in body:
        user = _properties(body.get("properties"))
        system = _or_null(_properties, body.get("system"), "value", "system")
        return Properties("", user, system)
    return Properties("", *_split(_properties(body)))


def _split(flat: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    user, system = {}, {}
    for key, value in flat.items():
        if key.startswith("user."):
            user[key.removeprefix("user.")] = value
        elif is_system(key):
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
    found = spared(_container, system, "container", "sys.user.name")
    body = reply.json() if reply.body.strip() else {}
    user = spared(_apart, body, "container")
    return found._replace(properties=user.properties, system=system)


def _container(system: dict[str, Any]) -> Container:
    # The name of the base is the container's id and a number.
    cid = (system.get("sys.name") or "").partition(".")[0] or None
    return Container(
        _text(system["sys.user.name"]),
        system.get("sys.account"),
        cid,
        _number(system.get("sys.m2.usage")),
        _number(system.get("sys.m2.objects")),
        _number(system.get("sys.m2.quota")),
        system.get("sys.m2.policy.storage"),
        _number(system.get("sys.m2.policy.version")),
        _status_of(system.get("sys.status")),
        date(system.get("sys.m2.ctime")),
        {},
        {},
    )


def _status_of(value: Any) -> str | None:
    """What `sys.status` says; where there is none, it was never set. None cannot be read, and never
    means that a container may be written to."""
    found = _STATUS.get("0" if value in (None, "") else str(value))
    if found is None:
        note("container", "sys.status")
    return found


def page(reply: Reply) -> Page:
    """container/list: objects and prefixes, in the order of their names' bytes."""
    body = reply.json()
    objects, prefixes = _array(body["objects"]), _array(body["prefixes"])
    entries = rows(_entry, objects, "object", "name") + rows(_prefix, prefixes, "prefix")
    skipped = len(objects) + len(prefixes) - len(entries)
    entries.sort(key=lambda entry: raw_bytes(entry.name))
    told = reply.headers["x-oio-list-truncated"]
    if not needed("x-oio-list-truncated", _true_or_false, told):
        return Page(entries, None, _page_status(body), skipped)
    marker = reply.headers.get("x-oio-list-marker")
    following = needed("x-oio-list-marker", _marker, marker)
    return Page(entries, following, _page_status(body), skipped)


def _page_status(body: Any) -> str | None:
    """That of the container; 3.3 has the system properties among the user's."""
    for part in (body.get("system"), body.get("properties")):
        if isinstance(part, dict) and "sys.status" in part:
            return _status_of(part["sys.status"]) or UNREADABLE
    return None


def _marker(value: str | None) -> str:
    if value is None or not _ESCAPED.fullmatch(value):
        raise ValueError("an escaped marker was expected")
    return value


def _prefix(name: Any) -> Entry:
    return Entry(_text(name), "prefix", *(None,) * 10)


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
    return rows(_outcome, _array(body[key]), "outcome", "name")


def _outcome(entry: Any) -> Outcome:
    message = _text_or_none(entry.get("message")) or ""
    return Outcome(_text(entry["name"]), _number(entry.get("status")), message, None)


def containers(reply: Reply) -> list[Outcome]:
    return batch("containers", reply.json())


def contents(reply: Reply) -> list[Outcome]:
    return batch("contents", reply.json())


# --- contents -----------------------------------------------------------------------------------


# What describes a content beside its length, in headers.
_DESCRIBED = (
    *("name", "id", "version", "hash", "policy", "mime-type"),
    *("chunk-method", "ctime", "mtime", "deleted"),
)


def content(reply: Reply) -> Content:
    """content/show: chunks in the body, the rest in headers. Who receives data looks for himself
    whether the length is known, and which chunks are whole."""
    length = reply.headers[_CONTENT + "length"]
    chunks = rows(_chunk, _array(reply.json()), "chunk")
    if chunks and not any(chunk["url"] for chunk in chunks):
        raise Misread("url of a chunk")
    return _described(reply, chunks)._replace(size=_or_null(whole, length, "object", "length"))


def _described(reply: Reply, chunks: list[dict[str, Any]]) -> Content:
    told = {name: header(reply, _CONTENT + name) for name in _DESCRIBED}
    told["chunk-size"] = header(reply, "x-oio-ns-chunk-size")
    # Positions come in any order, and replicas too.
    chunks.sort(key=lambda chunk: (_position(chunk["pos"] or "0"), chunk["url"] or ""))
    return spared(_content, told, "object")._replace(chunks=chunks)


def _content(told: dict[str, Any]) -> Content:
    deleted = told.get("deleted")
    return Content(
        container="",
        path=told.get("name") or "",
        content_id=told.get("id"),
        version=_number(told.get("version")),
        size=None,
        hash=told.get("hash") or None,
        policy=told.get("policy"),
        mime_type=told.get("mime-type"),
        chunk_method=told.get("chunk-method"),
        chunk_size=_number(told.get("chunk-size")),
        created=date(told.get("ctime")),
        modified=date(told.get("mtime")),
        deleted=None if deleted is None else _true_or_false(deleted),
        properties=None,
        chunks=[],
    )


def prepared(reply: Reply) -> Content:
    """content/prepare: the same, of a content whose chunks will bear its version. Data will go to
    each of them."""
    needed("version", _number, header(reply, f"{_CONTENT}version"))
    length = needed("length", whole, reply.headers[_CONTENT + "length"])
    told = _array(reply.json())
    for chunk in told:
        for key, read in _CHUNK.items():
            needed(f"{key} of a chunk", read, _object(chunk).get(key))
    return _described(reply, [_chunk(chunk) for chunk in told])._replace(size=length)


def _chunk(chunk: Any) -> dict[str, Any]:
    """A chunk as the server has it, but for what cannot be read."""
    if not isinstance(chunk, dict):
        raise TypeError("a chunk was expected")
    found = dict(chunk)
    for key, read in {**_CHUNK, "score": _number}.items():
        if found.get(key) is None or _or_null(read, found[key], "chunk", key) is None:
            found[key] = None
    return found


def _or_null(read: Callable[[Any], T], value: Any, noun: str, key: str) -> T | None:
    """`read(value)`; null, and noted, where that fails."""
    try:
        return read(value)
    except MISSHAPEN:
        note(noun, key)
        return None


def _position(text: str) -> tuple[int, ...]:
    return tuple(whole(part) for part in text.split("."))


_CHUNK: dict[str, Callable[[Any], object]] = {
    "url": _text,
    "pos": _position,
    "hash": _text,
    "size": whole,
}


def spare(reply: Reply) -> list[str]:
    return [_text(chunk["id"]) for chunk in _array(reply.json()["chunks"])]


# --- databases ----------------------------------------------------------------------------------


def replicas(reply: Reply) -> list[Outcome]:
    """admin/*: one outcome a service, from 4.2's and 3.3's `{"status": {...}, "body": ...}` and
    from the reference's `"OK"` or `{"code": .., "msg": ..}`. An empty object means that there was
    nothing to say."""
    return _replicas(reply.json())


def _replicas(body: Any, *, texts: bool = False) -> list[Outcome]:
    """`texts`: the reference has a text of any kind in place of `"OK"`."""
    found = [_replica(address, value, texts) for address, value in sorted(body.items())]
    if found and all(outcome.status is None for outcome in found):
        raise ValueError("not one replica can be read")
    return found


def _replica(address: str, value: Any, texts: bool) -> Outcome:
    try:
        return _answer(address, value, texts)
    except MISSHAPEN:
        note("replica", "status")
        return Outcome(address, None, "", None)


def _answer(address: str, value: Any, texts: bool) -> Outcome:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("IP:PORT was expected")
    if isinstance(value, str):
        if value != "OK" and not texts:
            raise ValueError("OK was expected")
        return Outcome(address, 200, "OK", None if value == "OK" else value)
    if "code" in value:
        return Outcome(address, whole(value["code"]), _text_or_none(value.get("msg")) or "", None)
    status, message = spared(_status, value["status"], "replica", "status")
    return Outcome(address, status, message, value.get("body") or None)


def _status(told: Any) -> tuple[int, str]:
    return whole(told["status"]), _text_or_none(told.get("message")) or ""


def sqlite(reply: Reply) -> list[Outcome]:
    """admin/info, in whose JSON 3.3 puts bare text: the whole of it then."""
    try:
        body = reply.json()
    except ValueError:
        if not reply.text.lstrip().startswith("{"):
            raise
        return [Outcome("", 200, "OK", reply.text)]
    return _replicas(body, texts=True)


def elections(reply: Reply) -> list[Outcome]:
    """admin/debug: what a replica tells of its election is an object in 4.2, a text of many lines
    in the reference."""
    return [_election(outcome) for outcome in _replicas(reply.json(strict=False), texts=True)]


def _election(outcome: Outcome) -> Outcome:
    """The outcome, without a body that tells of no election."""
    body = outcome.body
    try:
        if not isinstance(body, str):
            _text_or_none(_object(_object(body).get("local")).get("state"))
            _text_or_none(_object(_object(body).get("master")).get("url"))
            for key in ("peers", "log"):
                [_text(line) for line in _array(_object(body).get(key, []))]
    except MISSHAPEN:
        note("replica", "election")
        return outcome._replace(body=None)
    return outcome


# --- accounts -----------------------------------------------------------------------------------


def account(reply: Reply) -> Account:
    body = reply.json()
    found = spared(_account, body, "account", "id")
    metadata = spared(lambda told: _properties(told.get("metadata")), body, "account")
    return found._replace(metadata=metadata)


def _account(body: Any) -> Account:
    return Account(
        _text(body["id"]),
        _number(body.get("containers")),
        _number(body.get("objects")),
        _number(body.get("bytes")),
        date(body.get("ctime")),
        {},
    )


def account_containers(reply: Reply) -> AccountPage:
    listing = [_listed(row) for row in _array(reply.json()["listing"])]
    return AccountPage(rows(_account_container, listing, "container", "name"), len(listing))


_LISTED = ("name", "objects", "bytes", "is_prefix", "mtime")


def _listed(row: Any) -> Any:
    """A row by the names of its columns; what is no row as it is."""
    sound = isinstance(row, list) and len(row) == len(_LISTED)
    return dict(zip(_LISTED, row, strict=True)) if sound else row


def _account_container(row: Any) -> AccountContainer:
    return AccountContainer(
        _text(row["name"]),
        "prefix" if _number(row.get("is_prefix")) else "container",
        _number(row.get("objects")),
        _number(row.get("bytes")),
        date(row.get("mtime")),
    )


def about(place: Place, value: Content) -> Content:
    """The content with the names under which it was asked for."""
    return value._replace(container=place.container, path=value.path or place.path or "")
