"""Replies that only confirm a change."""

from __future__ import annotations

from rdctl.net.messages import Reply
from rdctl.oio.replies.admin import replicas_of
from rdctl.oio.replies.values import as_address

# The keys of a service in 3.3, and of a body with a status.
_OF_SERVICE = {"ns", "type", "addr", "score", "tags"}
_STATUS_ONLY = {"status", "message"}


def nothing(reply: Reply) -> None:
    """A change that was done: proven by 204 (201 if new), by no other 2xx."""
    if _of_empty(reply) not in (201, 204):
        raise ValueError("204 was expected")


def stored(reply: Reply) -> None:
    """content/create: 204 alone, by all servers and by the reference."""
    if _of_empty(reply) != 204:
        raise ValueError("204 was expected")


def done(reply: Reply) -> None:
    """The same if servers also return 200, with an empty object (`admin` and properties), or an OK
    of each replica (the reference)."""
    if reply.status != 200:
        nothing(reply)
    elif any(outcome.status != 200 for outcome in replicas_of(reply.json())):
        raise ValueError("a replica does not say OK")


def registered(reply: Reply) -> None:
    """The same if 3.3 returns 200 and the service as now registered."""
    if reply.status != 200:
        nothing(reply)
        return
    body = reply.json()
    as_address(body)
    if not body.keys() <= _OF_SERVICE:
        raise ValueError("a service was expected")


def flushed_type(reply: Reply) -> None:
    """The same if servers return 200 and that number in the body as well."""
    if reply.status != 200:
        nothing(reply)
        return
    body = reply.json()
    if type(body["status"]) is not int or body["status"] != 200 or not body.keys() <= _STATUS_ONLY:
        raise ValueError("status 200 was expected")


def configured(reply: Reply) -> None:
    """Variables that were sent: 4.2 replies nothing, 7.x whether each is known. Neither proves that
    a value was taken: it has to be read afterwards."""
    if reply.status != 200:
        nothing(reply)
    elif not all(type(known) is bool for known in reply.json().values()):
        raise ValueError("true or false was expected")


def pong(reply: Reply) -> None:
    """forward/ping: 4.2 says OK, 3.3 nothing."""
    if reply.text.strip() not in ("", "OK"):
        raise ValueError("OK was expected")


def created_by_201(reply: Reply) -> bool:
    """True if it is new, False if it existed."""
    return {201: True, 204: False}[_of_empty(reply)]


def created_by_204(reply: Reply) -> bool:
    return {204: True, 201: False}[_of_empty(reply)]


def accepted(reply: Reply) -> bool:
    """As created_by_201, for references."""
    return {201: True, 202: False}[_of_empty(reply)]


def _of_empty(reply: Reply) -> int:
    """The status of an otherwise empty reply."""
    if reply.body.strip():
        raise ValueError("an empty reply was expected")
    return reply.status


def flushed(reply: Reply) -> bool:
    """Whether nothing is left: a large container is emptied in several requests."""
    nothing(reply)
    return reply.headers.get("x-oio-truncated", "false").lower() != "true"
