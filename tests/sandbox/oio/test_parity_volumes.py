"""What OpenIO's client asks rdir services, meta0 and beanstalkd, replayed (see test_replay.py)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rdctl.sandbox.oio.beanstalkd import Beanstalkd
from rdctl.sandbox.store import Store
from tests.sandbox.oio.parity import RECORDINGS, faults, ours, replay
from tests.sandbox.oio.replay import Step, post

RDIR = "127.0.0.1:17025"
VOLUME = "127.0.0.9:6000"
CREATED = [Step("POST", RDIR, f"/v1/rdir/create?vol={VOLUME}", "", {})]


def pushed(cid: str, content: str, chunk: str, mtime: int | None) -> Step:
    entry = {"container_id": cid, "content_id": content, "chunk_id": chunk}
    body = json.dumps(entry if mtime is None else {**entry, "mtime": mtime})
    return Step("POST", RDIR, f"/v1/rdir/push?vol={VOLUME}", body, {})


# Pushes and unlocks were not recorded.
ENTRIES = [
    pushed("0" * 64, "1" * 32, "B" * 64, 1_700_000_001),
    pushed("0" * 64, "2" * 32, "C" * 64, 1_700_000_002),
    pushed("1" * 64, "3" * 32, "D" * 64, 1_700_000_003),
    pushed("1" * 64, "4" * 32, "E" * 64, 1_700_000_004),
]
LINKED = [
    *post("reference/create?acct=_RDIR&ref=" + VOLUME),
    *post(
        f"reference/force?acct=_RDIR&ref={VOLUME}&type=rdir",
        {"host": RDIR, "type": "rdir", "seq": 1, "args": ""},
    ),
]
UNLOCKED = [Step("POST", RDIR, f"/v1/rdir/admin/unlock?vol={VOLUME}", "", {})]
ARRANGED = {
    383: [*ENTRIES, pushed("zz", "yy", "xx", None)],
    404: UNLOCKED,
    423: UNLOCKED,
    367: LINKED,
    417: CREATED,
}
CHAPTERS = {
    "the rdir of a volume": [367, 368],
    "an index": [*range(370, 415)],
    "volume admin": [367, *range(417, 427)],
    "the directory": [555, 556, 557, 582],
}
LEFT_OUT = {
    "the address is escaped, and is not replaced": [297],
    "messages of a proxy without a cache": [300, 319, 427],
    "counts of another store: opened bases, chunks": [298, 369],
    "lists of services, as in test_replay.py": [428, 429],
    "the reference of another volume, before the run": [301],
    "bootstrap, which is left to OpenIO's client": [*range(324, 345), *range(430, 446)],
    "maps of 65,536 prefixes, of which most is cut": [554, 558, 559, 560, 561, 562, 563, 564, 565],
    "the same request for 15 other prefixes": [*range(566, 582)],
    "jobs of other clients: the sandbox has no put": [500, 502, 504, 506, 507, 508, 509, 511],
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_recordings(chapter: str, tmp_path: Path) -> None:
    found = faults(replay(tmp_path / "store"), CHAPTERS[chapter], ARRANGED)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("number", [501, 503, 505, 510, 512, 513])
def test_beanstalkd(number: int, tmp_path: Path) -> None:
    """Its replies have the recorded form: the same words, in the same order."""
    service = Beanstalkd(Store(tmp_path / "store"))
    recording = RECORDINGS[number]
    commands = recording["request_body"].splitlines()
    if number == 513:
        commands.remove("stats")
        start, end = "OK 986\r\n", "NOT_FOUND\r\nNOT_FOUND"
        body = recording["body"]
        recorded = body[: body.index(start)] + body[body.rindex(end) :]
    else:
        recorded = recording["body"]
    replies = [service.answer(f"{command}\r\n".encode()) for command in commands]
    text = b"".join(reply or b"" for reply in replies).decode()

    def form(text: str) -> list[str]:
        return [re.sub(r"\b[0-9]+\b", "N", line) for line in text.split()]

    assert form(text) == form(recorded)
    assert ours(text) == text
