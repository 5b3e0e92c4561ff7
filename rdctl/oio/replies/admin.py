"""Databases: one outcome per replica."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import MISSHAPEN, note, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import Outcome
from rdctl.oio.replies.values import ADDRESS, as_array, as_object, as_text, text_or_none, whole


def replicas(reply: Reply) -> list[Outcome]:
    """admin/*: one outcome per service, from 4.2's and 3.3's `{"status": {...}, "body": ...}` and
    from the reference's `"OK"` or `{"code": .., "msg": ..}`. An empty object means that there is
    nothing to report."""
    return replicas_of(reply.json())


def replicas_of(body: Any, *, texts: bool = False) -> list[Outcome]:
    """`texts`: the reference has any string in place of `"OK"`."""
    found = [_replica(address, value, texts) for address, value in sorted(body.items())]
    if found and all(outcome.status is None for outcome in found):
        raise ValueError("no readable replica")
    return found


def _replica(address: str, value: Any, texts: bool) -> Outcome:
    try:
        return _answer(address, value, texts)
    except MISSHAPEN:
        note("replica", "status")
        return Outcome(address, None, "", None)


def _answer(address: str, value: Any, texts: bool) -> Outcome:
    if not ADDRESS.fullmatch(address):
        raise ValueError("IP:PORT was expected")
    if isinstance(value, str):
        if value != "OK" and not texts:
            raise ValueError("OK was expected")
        return Outcome(address, 200, "OK", None if value == "OK" else value)
    if "code" in value:
        return Outcome(address, whole(value["code"]), text_or_none(value.get("msg")) or "", None)
    status, message = spared(_status, value["status"], "replica", "status")
    return Outcome(address, status, message, value.get("body") or None)


def _status(body: Any) -> tuple[int, str]:
    return whole(body["status"]), text_or_none(body.get("message")) or ""


def sqlite(reply: Reply) -> list[Outcome]:
    """admin/info, where 3.3 puts plain text into the JSON: then all of it."""
    try:
        body = reply.json()
    except ValueError:
        if not reply.text.lstrip().startswith("{"):
            raise
        return [Outcome("", 200, "OK", reply.text)]
    return replicas_of(body, texts=True)


def elections(reply: Reply) -> list[Outcome]:
    """admin/debug: the election of a replica is an object in 4.2, a string of many lines in the
    reference."""
    return [_election(outcome) for outcome in replicas_of(reply.json(strict=False), texts=True)]


def _election(outcome: Outcome) -> Outcome:
    """The outcome; the body is null without an election."""
    body = outcome.body
    try:
        if not isinstance(body, str):
            text_or_none(as_object(as_object(body).get("local")).get("state"))
            text_or_none(as_object(as_object(body).get("master")).get("url"))
            for key in ("peers", "log"):
                [as_text(line) for line in as_array(as_object(body).get(key, []))]
    except MISSHAPEN:
        note("replica", "election")
        return outcome._replace(body=None)
    return outcome
