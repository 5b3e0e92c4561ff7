"""Interpret a reply: the value of its route, an error, or not a reply of an OpenIO server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, escape
from rdctl.core.unread import MISSHAPEN, Misread, Unread
from rdctl.net.messages import Reply, TooMuch

NO_HANDLER = "No handler found"
# The meaning of HTTP statuses of services that use HTTP themselves.
_SERVICE_ERRORS = {
    404: Code.NOT_FOUND,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.TIMEOUT,
}
# Bytes; anything longer is not an error.
_LONGEST_ERROR = 1 << 16
_LASTING = re.compile(r"Election failed|Service ID \[.*\] not found")


class Reading:
    """The values of good replies: those of the proxy at `url`, unless another is named. `unread`
    collects the values that cannot be read."""

    def __init__(self, url: str, request_id: str, unread: Unread) -> None:
        self._url = url
        self._request_id = request_id
        self._unread = unread

    def value(
        self,
        reply: Reply,
        reader: Callable[[Reply], Any],
        url: str | None = None,
        kind: str = "an oio-proxy",
        *,
        strict: bool = False,
    ) -> Any:
        """The value of a good reply, from the reader."""
        unread = Unread()
        try:
            with unread.collecting():
                value = reader(no_page(reply))
            if strict and unread.skipped:
                raise Misread(unread.skipped)
        except Misread as error:
            raise RdctlError(
                Code.BAD_REPLY,
                f"{url or self._url}: unreadable value in its reply: {error}",
                http_status=reply.status,
                request_id=self._request_id,
            ) from error
        except TooMuch as error:
            raise RdctlError(
                Code.BAD_REPLY,
                f"{url or self._url}: the reply is too large: {error}",
                request_id=self._request_id,
            ) from error
        except MISSHAPEN as error:
            raise self.strange(reply, url, kind) from error
        self._unread.take(unread)
        return value

    def of_service(self, reply: Reply, reader: Callable[[Reply], Any], url: str, kind: str) -> Any:
        """The value of a reply of a service that speaks HTTP itself, or its error: plain text."""
        if reply.status < 300:
            return self.value(reply, reader, url, kind)
        if is_page(reply):
            raise self.strange(reply, url, kind)
        raise RdctlError(
            _SERVICE_ERRORS.get(reply.status, Code.FAILED),
            escape(reply.text.strip() or reply.reason),
            http_status=reply.status,
            request_id=self._request_id,
        )

    def strange(
        self, reply: Reply, url: str | None = None, kind: str = "an oio-proxy"
    ) -> RdctlError:
        start = defuse(reply.text[:60]).strip() or "nothing"
        return RdctlError(
            Code.BAD_REPLY,
            f'{url or self._url} does not answer like {kind}: "{start}"',
            hint=None if url else "Is this the port of the oio-proxy (6002 or 6000)?",
            http_status=reply.status,
            request_id=self._request_id,
        )


def no_page(reply: Reply) -> Reply:
    """The reply; ValueError for an HTML page, which no route returns."""
    if is_page(reply):
        raise ValueError("a page")
    return reply


def is_page(reply: Reply) -> bool:
    return reply.body.lstrip()[:1] == b"<"


def is_unknown_route(reply: Reply) -> bool:
    if reply.status != 404 or reply.reason == NO_HANDLER:
        return reply.status == 404
    try:
        return bool(reply.json()["message"] == NO_HANDLER)
    except MISSHAPEN:
        return False


def is_error(reply: Reply) -> bool:
    """Whether the body is an error although the HTTP status is not."""
    if len(reply.body) > _LONGEST_ERROR or b'"status"' not in reply.body:
        return False
    try:
        body = reply.json()
    except ValueError:
        return False
    if not isinstance(body, dict) or not body.keys() <= {"status", "message"}:
        return False
    # A property of that name is a string.
    status = body.get("status")
    return type(status) is int and status not in range(200, 300)


def come_again(reply: Reply) -> bool:
    """503 in the body means temporarily unavailable; a failed election does not recover soon, and a
    service ID that is not known does not appear."""
    if reply.status < 500:
        return False
    try:
        body = reply.json()
        return body["status"] == 503 and not _LASTING.search(body["message"])
    except MISSHAPEN:
        return False
