"""The exchanges that were recorded of real proxies, and what they must come out as
(docs/wire/README.md).

`oio-expected.jsonl` says for each recording (counted from 1) the row of the table that causes it,
`api` where none does, and what it must come out as: a value, or an error's word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from rdctl.core.units import defuse
from rdctl.oio.model import Place

WIRE = Path(__file__).parent.parent / "wire"
_PLACE = {"acct": "account", "ref": "reference", "content": "content_id"}


class Exchange(NamedTuple):
    line: int
    sent: dict[str, Any]
    route: str
    expect: dict[str, Any]

    @property
    def old(self) -> bool:
        return bool(self.sent["server"] == "oio-proxy 3.3.1")

    @property
    def body(self) -> bytes:
        """The recorded text is Latin-1 where the body was not UTF-8."""
        text = self.sent["body"] or ""
        length = int(self.sent["headers"].get("Content-Length", "0"))
        return bytes(text.encode("utf-8" if len(text.encode()) == length else "latin-1"))

    @property
    def reply(self) -> bytes:
        headers = {**self.sent["headers"], "Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.sent['status']} {self.sent['reason']}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    @property
    def said(self) -> str:
        """The server's own words, as they may reach a terminal."""
        if self.sent["server"].startswith("account"):
            return str(self.sent["body"])
        return defuse(str(json.loads(self.body)["message"]))

    @property
    def query(self) -> dict[str, str]:
        """Of repeated parameters the first counts."""
        pairs = parse_qsl(self.sent["path"].partition("?")[2], True, errors="surrogateescape")
        return dict(reversed(pairs))

    def parts(self) -> tuple[Place, dict[str, str]]:
        """What the query is about, and the rest of it."""
        query = self.query
        keys = ("acct", "ref", "cid", "path", "content", "version")
        found = {_PLACE.get(key, key): query.pop(key) for key in keys if key in query}
        return Place(**found), query

    def __str__(self) -> str:
        sent = self.sent
        return f"line {self.line}: {sent['server']} {sent['method']} {sent['path'][:80]}"


def exchanges() -> list[Exchange]:
    recorded = (WIRE / "oio-transcripts.jsonl").read_text("utf-8").splitlines()
    expected = (WIRE / "oio-expected.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in expected]
    return [
        Exchange(entry["line"], json.loads(recorded[entry["line"] - 1]), *list(entry.values())[1:])
        for entry in entries
    ]
