"""The replies of the proxy: JSON or text, and faults with OpenIO's own status numbers."""

from __future__ import annotations

from typing import Any

from rdctl.sandbox.oio.wsgi import Answered, HttpReply, HttpRequest, dumps, loads

_REASONS = {
    200: "OK",
    201: "Created",
    202: "Already Accepted",
    204: "No Content",
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    410: "Gone",
    413: "Payload too large",
    500: "Internal error",
    501: "Not implemented",
    503: "Service unavailable",
    504: "Gateway timeout",
}

# The HTTP status that goes with a status number of OpenIO; 500 for the others.
_HTTP = {
    2: 503,
    7: 504,
    400: 400,
    403: 403,
    404: 404,
    406: 404,
    407: 403,
    413: 413,
    420: 404,
    421: 409,
    424: 409,
    426: 404,
    427: 410,
    431: 404,
    436: 503,
    438: 409,
    453: 404,
    455: 403,
    501: 501,
    503: 503,
}

USER_NOT_FOUND = 406
ALIAS_NOT_FOUND = 420
CONTAINER_NOT_FOUND = 431
CONTAINER_FROZEN = 436
CONTAINER_DISABLED = 437
SERVICE_NOT_MANAGED = 453
UNSATISFIABLE = 481
UNAVAILABLE = 503


class ApiFault(Answered):
    """A refusal; `http` where its HTTP status is not the usual one of its number."""

    def __init__(
        self, status: int, message: str, *, http: int | None = None, reason: str | None = None
    ) -> None:
        self.status = status
        self.message = message
        http = http or _HTTP.get(status, 500)
        headers = [("Content-Type", "application/json")]
        if status in (CONTAINER_FROZEN, UNAVAILABLE):
            headers.append(("Retry-After", "1"))
        body = dumps(status_of(status, message))
        super().__init__(HttpReply(http, reason or _REASONS[http], headers, body))


def bad_request(message: str) -> ApiFault:
    return ApiFault(400, message)


def no_handler() -> ApiFault:
    return ApiFault(404, "No handler found", reason="No handler found")


def status_of(status: int, message: str) -> dict[str, Any]:
    return {"status": status, "message": message}


def empty(status: int = 204, headers: list[tuple[str, str]] | None = None) -> HttpReply:
    return HttpReply(status, _REASONS[status], headers or [])


def answer(value: Any, headers: list[tuple[str, str]] | None = None) -> HttpReply:
    return content(dumps(value), headers)


def content(body: bytes, headers: list[tuple[str, str]] | None = None) -> HttpReply:
    """A body that is JSON by its Content-Type, as all bodies of the proxy are, text included."""
    return HttpReply(200, "OK", [("Content-Type", "application/json"), *(headers or [])], body)


def argument(request: HttpRequest) -> Any:
    """The JSON body, None if there is none; a chunked one is ignored."""
    if "transfer-encoding" in request.headers:
        return None
    try:
        return loads(request.body)
    except ValueError as error:
        raise bad_request("Invalid JSON") from error


def object_argument(request: HttpRequest) -> dict[str, Any]:
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Object argument expected")
    return value


def strings(values: dict[str, Any]) -> dict[str, str]:
    for key, value in values.items():
        if not isinstance(value, str):
            raise bad_request(f"Invalid property '{key}'")
    return values


def field(values: dict[str, Any], name: str, kind: type) -> Any:
    """A required field; `true` is not an integer, nor is a value of more than 64 bits."""
    value = values.get(name)
    if value is None:
        raise bad_request(f"Missing field [{name}]")
    if type(value) is not kind or (isinstance(value, int) and abs(value) >= 1 << 63):
        raise bad_request(f"Invalid type for field [{name}]")
    return value
