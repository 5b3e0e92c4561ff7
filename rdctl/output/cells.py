"""One value as the text of a table's cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.units import escape, size_in

if TYPE_CHECKING:
    from rdctl.output.schemas import Column

NOTHING = "-"


def text(value: Any) -> str:
    """Any value on one line, harmless to a terminal."""
    if isinstance(value, str):
        return escape(value)
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return yes_no(value)
    if isinstance(value, Mapping):
        if not value:
            return NOTHING
        return ", ".join(f"{escape(str(key))}={text(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return words(value)
    return escape(str(value))


def size(value: int | None, units: str = "bytes") -> str:
    """A number of bytes, in one of `units.UNITS`."""
    return NOTHING if value is None else size_in(units, value)


def yes_no(value: bool | None) -> str:
    return NOTHING if value is None else "yes" if value else "no"


def mark(value: bool | None) -> str:
    return "*" if value else ""


def state(value: str | None) -> str:
    """One of a few words: a table on a terminal may color it."""
    return text(value)


def outcome(row: Mapping[str, Any]) -> str:
    """How a command ended, and what undid it; nothing is known of one that was killed."""
    parts = [row["result"] or "begun, outcome unknown"]
    parts += [f"undoes {row['undoes']}"] if row["undoes"] else []
    parts += [f"undone by {row['undone_by']}"] if row["undone_by"] else []
    return ", ".join(parts)


def local_time(value: str | None) -> str:
    """A time in UTC as local time: `2026-11-29 14:30:00`."""
    if value is None:
        return NOTHING
    from datetime import datetime

    return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M:%S}"


def lines(value: Any) -> str:
    """Texts that are lines, which details show one below the other."""
    return sentences(value)


def command(value: str | None) -> str:
    """A command, marked as such."""
    return NOTHING if value is None else f"$ {text(value)}"


def tags(value: Any) -> str:
    """Tags of a service without those that all services share."""
    shown = {k.removeprefix("tag."): v for k, v in (value or {}).items() if k != "tag.up"}
    return text(shown)


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value * 100:.1f}%"


def words(value: Any) -> str:
    return " ".join(text(entry) for entry in value) if value else NOTHING


def sentences(value: Any) -> str:
    return "; ".join(map(text, value)) if value else NOTHING


def uses(value: Any) -> str:
    """What uses a thing, with short names of exports."""
    return ", ".join(text(_NQN.sub("", word)) for word in value) if value else NOTHING


# The beginning of an NQN, which names its authority.
_NQN = re.compile(r"\bnqn\.[0-9]{4}-[0-9]{2}\.[^: ]+:(?=.)")


def short_nqns(value: Any) -> str:
    """One NQN or several, without their authorities."""
    return _NQN.sub("", text(value))


def part(value: Any) -> str:
    """A part of an overview that has no rows."""
    return NOTHING if value is None else "none"


def ports(value: Any) -> str:
    """`1 tcp 10.0.2.15:4420` for each port."""
    return ", ".join(map(_port, value)) if value else NOTHING


def _port(port: Mapping[str, Any]) -> str:
    place, service = port["address"], port["service"]
    if place is not None and service is not None:
        place = f"[{place}]:{service}" if ":" in place else f"{place}:{service}"
    known = (part for part in (port["port"], port["transport"], place) if part is not None)
    return " ".join(map(text, known))


# --- what only the whole row shows --------------------------------------------------------------


def hosts_of(row: Mapping[str, Any]) -> Any:
    """The hosts that may connect; `any` or `none` if an empty list would be ambiguous."""
    hosts = row["hosts"]
    if row["any_host"]:
        return "any"
    return "none" if hosts == [] and row["any_host"] is False else hosts or None


def warnings_of(row: Mapping[str, Any]) -> list[str]:
    """Warnings, each with the command that mends it."""
    return [": ".join(filter(None, (one["message"], one["mend"]))) for one in row["warnings"]]


class Bytes(int):
    """A size in a column that also has other values."""


def difference(key: str) -> Callable[[Mapping[str, Any]], Any]:
    """The value of a difference on that side; of lists, what only that side has."""
    other = {"file": "machine", "machine": "file"}[key]

    def value_of(row: Mapping[str, Any]) -> Any:
        value, against = row[key], row[other]
        if isinstance(value, list) and isinstance(against, list):
            return [entry for entry in value if entry not in against]
        if value is not None and row["key"] in ("size", "source_size"):
            return Bytes(value)
        if value is not None and row["key"] == "max_age":
            return f"{value}s" if value else "never"
        return value

    return value_of


# --- what changed since an earlier row ----------------------------------------------------------


def count_since(before: Mapping[str, Any], row: Mapping[str, Any], key: str) -> str:
    """`+12`, `+1.25M`; empty if nothing changed or a value is not known."""
    change = _change(before, row, key)
    if abs(change) < 100_000:
        return f"{change:+d}" if change else ""
    power = (len(str(abs(change))) - 1) // 3
    return f"{change / 1000**power:+.3g}{' kMGTPE'[min(power, 6)]}"


def bytes_since(
    before: Mapping[str, Any], row: Mapping[str, Any], key: str, units: str = "human"
) -> str:
    """`+16.0 KiB`"""
    change = _change(before, row, key)
    return f"{'+' if change > 0 else '-'}{size_in(units, abs(change))}" if change else ""


def hit_rate_since(before: Mapping[str, Any], row: Mapping[str, Any], key: str) -> str:
    """`97.5%`: the rate of the reads since; empty without reads, or if the counters were reset."""
    reads, hits = (_change(before, row, counter) for counter in ("reads", "cache_hits"))
    return percent(hits / reads) if reads > 0 and 0 <= hits <= reads else ""


def _change(before: Mapping[str, Any], row: Mapping[str, Any], key: str) -> int:
    values = before.get(key), row.get(key)
    if not all(isinstance(value, int) for value in values):
        return 0
    return int(row[key]) - int(before[key])


# --- of a row -----------------------------------------------------------------------------------


def of(row: Mapping[str, Any], column: Column, units: str) -> str:
    """The text of a row in that column."""
    value = column.value(row)
    if column.cell is size or isinstance(value, Bytes):
        return size(value, units)
    return column.cell(value)


def texts(row: Mapping[str, Any], columns: Sequence[Column], units: str) -> list[str]:
    """The texts of a row."""
    return [of(row, column, units) for column in columns]


class Seen(NamedTuple):
    """A cell compared with an earlier one: the value, what was added since, and whether it changed
    in another way."""

    text: str
    since: str = ""
    changed: bool = False


def seen(row: Mapping[str, Any], was: Mapping[str, Any], column: Column, units: str) -> Seen:
    """A row in that column, compared with the earlier row."""
    if column.since is bytes_since:
        since = bytes_since(was, row, column.key, units)
    else:
        since = column.since(was, row, column.key) if column.since else ""
    changed = not since and column.value(row) != column.value(was)
    return Seen(of(row, column, units), since, changed)
