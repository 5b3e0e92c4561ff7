"""Times as people write them: ages, days, times of the day."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

_AGE = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_EXAMPLES = (
    "30s, 15m, 2h30m, 7d, 2w, today, yesterday, 22:00, 2026-11-29, 2026-11-29T14:30,"
    " 2026-11-29T14:30:00Z"
)


def past(text: str, now: float) -> float:
    """The time that is meant, in seconds since 1970. Raises `usage`."""
    try:
        return _past(text, now)
    except (ValueError, OverflowError, OSError) as error:
        raise RdctlError(
            Code.USAGE, f'invalid time "{defuse(text)}"', hint=f"Examples: {_EXAMPLES}."
        ) from error


def _past(text: str, now: float) -> float:
    if _AGE.fullmatch(text):
        parts = re.findall("([0-9]+)([a-z])", text)
        return now - sum(int(count) * _SECONDS[unit] for count, unit in parts)
    today = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    if text == "today":
        return today.timestamp()
    if text == "yesterday":
        return (today - day).timestamp()
    if _CLOCK.fullmatch(text):
        hour, minute, second = map(int, [*text.split(":"), "0"][:3])
        time = today.replace(hour=hour, minute=minute, second=second)
        return (time if time.timestamp() <= now else time - day).timestamp()
    return datetime.fromisoformat(text).timestamp()
