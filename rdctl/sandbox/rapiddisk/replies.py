"""The daemon's replies and refusals."""

from __future__ import annotations

from typing import Any

Reply = dict[str, Any]


class Refusal(Exception):
    """The daemon does nothing and replies `Failed`: with 200 unless it is a bad request."""

    def __init__(self, message: str | None, *, bad_request: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = "400 Bad Request" if bad_request else "200 OK"


def failed(message: str | None) -> Reply:
    return {"status": "Failed"} if message is None else {"status": "Failed", "message": message}


def success(message: str) -> Reply:
    return {"status": "Success", "message": message}
