"""The conscience: the namespace, and services."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import rows, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import Choice, Namespace, Service, ServiceId
from rdctl.oio.replies.values import (
    as_address,
    as_array,
    as_object,
    as_text,
    text_or_none,
    whole_or_none,
)


def namespace(reply: Reply) -> Namespace:
    return spared(_namespace, reply.json(), "namespace", "ns")


def _namespace(body: Any) -> Namespace:
    return Namespace(
        namespace=as_text(body["ns"]),
        chunk_size=whole_or_none(body.get("chunksize")),
        storage_policies=as_object(body.get("storage_policy")),
        data_security=as_object(body.get("data_security")),
        service_pools=as_object(body.get("service_pools")),
        options=as_object(body.get("options")),
    )


def services(reply: Reply) -> list[Service]:
    """Services with score and tags. Their type is in the reply only where all types are listed."""
    return rows(_service, as_array(reply.json()), "service", "addr")


def _service(entry: Any) -> Service:
    score, tags = whole_or_none(entry.get("score")), as_object(entry.get("tags"))
    scores = as_object(entry.get("scores"))
    locked = _locked(tags)
    return Service(
        type=text_or_none(entry.get("type")) or "",
        address=as_text(entry["addr"]),
        score=score,
        state=_state(score, locked),
        tags=tags,
        get_score=whole_or_none(scores.get("score.get")),
        locked=locked,
    )


def _locked(tags: dict[str, Any]) -> str | None:
    """From 4.5 on, locks are reported; those of 2025 have one for each direction."""
    put, get = (tags.get(f"tag.{name}lock", tags.get("tag.lock")) for name in ("put", "get"))
    if not isinstance(put, bool) or not isinstance(get, bool):
        return None
    return {(True, True): "both", (True, False): "put", (False, True): "get"}.get((put, get), "no")


def _state(score: int | None, locked: str | None) -> str | None:
    if score is None:
        return None
    if score > 0:
        return "up"
    if score == 0 and locked is not None:
        return "locked" if locked in ("both", "put") else "down"
    return {0: "down-or-locked", -1: "unscored"}.get(score, "unset")


def address(reply: Reply) -> str:
    return as_address(reply.json())


def choice(reply: Reply) -> Choice:
    return Choice(services_by_id(reply), reply.headers.get("x-oio-lb-flawed") == "1")


def services_by_id(reply: Reply) -> list[ServiceId]:
    return rows(_service_id, as_array(reply.json()), "service")


def _service_id(entry: Any) -> ServiceId:
    id = text_or_none(entry.get("id"))
    parts = (id or "").split("|")
    return ServiceId(parts[1] if parts[2:] else None, as_address(entry), id)
