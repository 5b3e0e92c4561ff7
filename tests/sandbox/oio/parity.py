"""What OpenIO's own client does, as recorded (docs/wire/oio-parity.md), for replay."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.sandbox.oio.replay import Replay, Step
from tests.sandbox.oio.wire import Servers

WIRE = Path(__file__).parent.parent.parent / "wire" / "parity-recordings.jsonl"
RECORDINGS: list[dict[str, Any]] = [json.loads(row) for row in WIRE.read_text("utf-8").splitlines()]
_META2 = {17008: 16009, 17009: 16010, 17010: 16011}
_META0_AND_META1 = {17006: 16006, 17007: 16007}
_SQLX = {17011: 16012}
_RAWX = dict(zip(range(17012, 17024), (*range(16013, 16017), *range(16020, 16028)), strict=True))
_OTHERS = {17024: 16017, 17025: 16018, 17026: 16019}
_PORTS = {**_META0_AND_META1, **_META2, **_SQLX, **_RAWX, **_OTHERS}


def ours(text: str) -> str:
    """The text, with the addresses of the sandbox."""

    def address(match: re.Match[str]) -> str:
        return f"127.0.0.1{match[1]}{_PORTS.get(int(match[2]), int(match[2]))}"

    text = text.replace("/sds/data/", "/sds/")
    return re.sub(r"127\.0\.0\.1(:|%3A)(170\d\d)\b", address, text)


def replay(path: Path) -> Replay:
    """Over a new store."""
    return Replay(Servers(path), ours, "127.0.0.1:17000")


def faults(over: Replay, numbers: list[int], arranged: dict[int, list[Step]]) -> list[str]:
    """The differences of a run of recordings; `arranged` has what happened before one."""
    found = []
    for number in numbers:
        for step in arranged.get(number, []):
            over.arrange(step)
        found += [f"#{number} {fault}" for fault in over.differences(RECORDINGS[number])]
    return found
