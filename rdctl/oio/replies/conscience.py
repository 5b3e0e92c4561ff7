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
    score = whole_or_none(entry.get("score"))
    return Service(
        type=text_or_none(entry.get("type")) or "",
        address=as_text(entry["addr"]),
        score=score,
        state=_state(score),
        tags=as_object(entry.get("tags")),
    )


def _state(score: int | None) -> str | None:
    if score is None:
        return None
    if score > 0:
        return "up"
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
