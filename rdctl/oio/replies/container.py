"""Containers, and their listings."""

from __future__ import annotations

import re
from typing import Any

from rdctl.core.units import raw_bytes
from rdctl.core.unread import needed, note, rows, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import (
    UNREADABLE,
    Container,
    Entry,
    Listed,
    Outcome,
    Page,
    PageOf,
    Shard,
    ShardPage,
)
from rdctl.oio.replies.properties import apart
from rdctl.oio.replies.values import (
    as_array,
    as_text,
    as_texts,
    date,
    header,
    seconds,
    text_or_none,
    true_or_false,
    whole_or_none,
)
from rdctl.oio.sync.model import MTIME, Remote, mtime_of

_CONTAINER = "x-oio-container-meta-"
# sys.status is 0, -1 or -2, mostly written without a sign.
_STATUS = {
    "0": "enabled",
    "4294967295": "frozen",
    "4294967294": "disabled",
    "-1": "frozen",
    "-2": "disabled",
}
# What may be in a query unescaped.
_ESCAPED = re.compile(r"[!\"$%'-~]+")


def shown(reply: Reply) -> Container:
    """container/show: system properties in headers, user properties in the body (3.3 and 4.2)."""
    system: dict[str, str] = {}
    for name in reply.headers:
        if name.lower().startswith(_CONTAINER + "sys-"):
            key = name.lower().removeprefix(_CONTAINER).replace("-", ".")
            system[key] = header(reply, name) or ""
    found = spared(_container, system, "container", "sys.user.name")
    body = reply.json() if reply.body.strip() else {}
    user = spared(apart, body, "container")
    return found._replace(properties=user.properties, system=system)


def _container(system: dict[str, Any]) -> Container:
    # The name of the base is the container's id and a number.
    cid = (system.get("sys.name") or "").partition(".")[0] or None
    return Container(
        container=as_text(system["sys.user.name"]),
        account=system.get("sys.account"),
        cid=cid,
        objects=whole_or_none(system.get("sys.m2.objects")),
        bytes=whole_or_none(system.get("sys.m2.usage")),
        quota=whole_or_none(system.get("sys.m2.quota")),
        policy=system.get("sys.m2.policy.storage"),
        versioning=whole_or_none(system.get("sys.m2.policy.version")),
        status=_status_of(system.get("sys.status")),
        created=date(system.get("sys.m2.ctime")),
        properties={},
        system={},
    )


def _status_of(value: Any) -> str | None:
    """What `sys.status` says; if absent, it was never set. None: unreadable, which never means that
    a container is writable."""
    found = _STATUS.get("0" if value in (None, "") else str(value))
    if found is None:
        note("container", "sys.status")
    return found


def page(reply: Reply) -> Page:
    """container/list: objects and prefixes, in the order of their names' bytes."""
    body = reply.json()
    objects, prefixes = as_array(body["objects"]), as_array(body["prefixes"])
    entries = rows(_entry, objects, "object", "name") + rows(_prefix, prefixes, "prefix")
    entries.sort(key=lambda entry: raw_bytes(entry.name))
    return _page(reply, body, entries, len(objects) + len(prefixes) - len(entries))


def compared(reply: Reply) -> PageOf[Remote]:
    """container/list with properties: of the objects only what is compared with files."""
    body = reply.json()
    objects = as_array(body["objects"])
    remotes = rows(_remote, objects, "object", "name")
    return _page(reply, body, remotes, len(objects) - len(remotes))


def _page(reply: Reply, body: Any, entries: list[Listed], skipped: int) -> PageOf[Listed]:
    truncated = reply.headers["x-oio-list-truncated"]
    if not needed("x-oio-list-truncated", true_or_false, truncated):
        return PageOf(entries, None, _page_status(body), skipped)
    marker = reply.headers.get("x-oio-list-marker")
    following = needed("x-oio-list-marker", _marker, marker)
    version = needed(
        "x-oio-list-version-marker", whole_or_none, reply.headers.get("x-oio-list-version-marker")
    )
    return PageOf(entries, following, _page_status(body), skipped, version_marker=version)


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
    return Entry(name=as_text(name), kind="prefix")


def _entry(entry: Any) -> Entry:
    deleted, user = entry.get("deleted"), entry.get("properties")
    if deleted is not None and not isinstance(deleted, bool):
        raise TypeError("true or false was expected")
    return Entry(
        name=as_text(entry["name"]),
        kind="object",
        size=whole_or_none(entry.get("size")),
        hash=text_or_none(entry.get("hash")) or None,
        policy=text_or_none(entry.get("policy")),
        mime_type=text_or_none(entry.get("mime-type")),
        content_id=text_or_none(entry.get("content")),
        version=whole_or_none(entry.get("version", entry.get("ver"))),
        deleted=deleted,
        created=date(entry.get("ctime")),
        modified=date(entry.get("mtime")),
        properties=None if user is None else as_texts(user),
    )


def _remote(entry: Any) -> Remote:
    user = entry.get("properties")
    return Remote(
        name=as_text(entry["name"]),
        size=whole_or_none(entry.get("size")),
        modified=seconds(entry.get("mtime") or entry.get("ctime")),
        mtime_ns=mtime_of(user.get(MTIME)) if user else None,
        hash=text_or_none(entry.get("hash")) or None,
        version=whole_or_none(entry.get("version", entry.get("ver"))),
        content_id=text_or_none(entry.get("content")),
    )


def shards(reply: Reply) -> ShardPage:
    """container/sharding/show, in the order of their names' bytes."""
    body = reply.json()
    listed = rows(_shard, as_array(body["shard_ranges"]), "shard", "cid")
    truncated = reply.headers["x-oio-list-truncated"]
    following = None
    if needed("x-oio-list-truncated", true_or_false, truncated):
        following = needed("x-oio-list-marker", _marker, reply.headers.get("x-oio-list-marker"))
    return ShardPage(listed, following)


def _shard(entry: Any) -> Shard:
    metadata = entry.get("metadata")
    count = metadata.get("count") if isinstance(metadata, dict) else None
    return Shard(
        cid=as_text(entry["cid"]),
        lower=as_text(entry["lower"]),
        upper=as_text(entry["upper"]),
        objects=whole_or_none(count),
    )


def batch(key: str, body: Any) -> list[Outcome]:
    return rows(_outcome, as_array(body[key]), "outcome", "name")


def _outcome(entry: Any) -> Outcome:
    message = text_or_none(entry.get("message")) or ""
    return Outcome(as_text(entry["name"]), whole_or_none(entry.get("status")), message, None)


def containers(reply: Reply) -> list[Outcome]:
    return batch("containers", reply.json())


def contents(reply: Reply) -> list[Outcome]:
    return batch("contents", reply.json())
