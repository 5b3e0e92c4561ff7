"""What services report about themselves."""

from __future__ import annotations

from rdctl.net.messages import Reply
from rdctl.oio.model import Counter
from rdctl.oio.replies.plain import lines
from rdctl.oio.replies.values import or_null, whole


def counter(line: str) -> Counter:
    """`counter NAME VALUE` or `gauge NAME = VALUE`"""
    kind, _, rest = line.partition(" ")
    name, _, value = rest.replace(" = ", " ").rpartition(" ")
    digits = value.isascii() and value.isdigit()
    return Counter(name, kind, int(value) if digits else value)


def counters(reply: Reply) -> list[Counter]:
    """/stat of a rawx."""
    return [counter(line) for line in lines(reply)]


def gauges(reply: Reply) -> list[Counter]:
    """/status of an account service or a rdir: numbers by their names."""
    counters = reply.json()
    found = [
        Counter(name, "gauge", or_null(whole, value, "counter", name))
        for name, value in counters.items()
    ]
    if found and all(counter.value is None for counter in found):
        raise ValueError("no readable counter")
    return found


def rawx_info(reply: Reply) -> str | None:
    """/info of a rawx: `NAME VALUE` by line; the version, if any."""
    facts = {name: value.strip() for name, _, value in (li.partition(" ") for li in lines(reply))}
    facts["namespace"]
    return facts.get("version") or None
