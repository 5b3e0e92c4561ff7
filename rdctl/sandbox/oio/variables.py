"""The variables of the proxy (config) and of other services (forward/config)."""

from __future__ import annotations

import re
import sqlite3

from rdctl.sandbox.oio.replies import answer, bad_request, empty, object_argument
from rdctl.sandbox.oio.state import SETTINGS, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, raw

_TRUE, _FALSE = ("on", "yes", "true", "1"), ("off", "no", "false", "0")
# Where the names begin: the least and the greatest value.
_RANGES = {"proxy.bulk.max.": (0, 10_000), "core.sds.timeout.": (0.1, 86_400.0)}


def show(connection: sqlite3.Connection, service: str = "") -> HttpReply:
    return answer({name: setting(connection, name, service) for name in SETTINGS})


def change(connection: sqlite3.Connection, request: HttpRequest, service: str = "") -> HttpReply:
    """Unknown variables are ignored, and an invalid value resets a variable to its default."""
    values = object_argument(request)
    if not values:
        raise bad_request("Empty object argument")
    for name, value in values.items():
        if name in SETTINGS:
            key = f"{service} {name}" if service else name
            parsed = _parsed(name, value if isinstance(value, str) else str(value).lower())
            connection.execute(
                "INSERT OR REPLACE INTO oio_settings VALUES (?, ?)", (key, raw(parsed))
            )
    return empty()


def _parsed(name: str, value: str) -> str:
    default = SETTINGS[name]
    if default in ("on", "off"):
        return {**dict.fromkeys(_TRUE, "on"), **dict.fromkeys(_FALSE, "off")}.get(value, default)
    if re.fullmatch(r"[0-9]+\.[0-9]{6}", default):
        number = re.match(r"-?[0-9]+(\.[0-9]+)?", value)
        return f"{_in_range(name, float(number[0]) if number else 0.0):.6f}"
    if default.isdigit():
        return str(_in_range(name, int(value))) if re.fullmatch("[0-9]+", value) else default
    return value


def _in_range(name: str, number: float) -> float:
    for start, (least, most) in _RANGES.items():
        if name.startswith(start):
            return min(max(number, least), most)
    return number
