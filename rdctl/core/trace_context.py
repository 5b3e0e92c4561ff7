"""The trace that this process belongs to: W3C Trace Context, as an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Version, trace, parent, flags. An ID of zeros only is invalid.
_FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(environ: Mapping[str, str]) -> str | None:
    """The ID of the trace; None without one. An invalid value is ignored, as the standard says."""
    match = _FORMAT.fullmatch(environ.get("TRACEPARENT", ""))
    return None if match is None else match[1]
