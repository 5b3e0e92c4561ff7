"""rdctl oio content get of erasure-coded objects, with what real servers answered OpenIO's own
client (tests/wire/ec/reads.jsonl): other fragments than the data alone, byte by byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.oio.transfers import Client
from tests.fakes.sds import Call
from tests.oio.erasure.fixtures import EC, data

READS: dict[str, list[dict[str, Any]]] = {}
for _line in (EC / "reads.jsonl").read_text().splitlines():
    READS.setdefault(json.loads(_line)["label"], []).append(json.loads(_line))


def answering(client: Client, exchanges: list[dict[str, Any]]) -> Callable[[Call], bool]:
    """The recorded answers; each recorded port is that of a rawx here."""
    locate, *chunks = exchanges
    ports = sorted({chunk["url"].split("/")[2] for chunk in json.loads(locate["response_body"])})
    listed = locate["response_body"]
    for port, address in zip(ports, client.sds.addresses, strict=False):
        listed = listed.replace(port, address)
    known = {chunk["request_head"].split()[1].lstrip("/"): chunk for chunk in chunks}

    def answer(call: Call) -> bool:
        if call.who == "proxy":
            lines = locate["response_head"].split("\r\n")[1:]
            headers = dict(line.split(": ", 1) for line in lines if "content-meta" in line)
            call.reply("200 OK", headers, listed.encode())
        elif call.chunk in known:
            head, body = known[call.chunk]["response_head"], known[call.chunk]["response_body_b64"]
            call.send(f"{head}\r\n\r\n".encode() + base64.b64decode(body))
        else:
            call.reply("404 Not Found", body=b"<html>")
        return True

    return answer


@pytest.mark.parametrize("label", READS)
@pytest.mark.parametrize("words", [(), ("--range", "0-0")], ids=["whole", "range"])
def test_a_recorded_read(near: Callable[..., Client], label: str, words: tuple[str, ...]) -> None:
    client, size = near(rawx=9), int(label.split()[2])
    client.sds.faults.append(answering(client, READS[label]))
    ran = client.ok("get", "docs", "a", "--to", "-", *words)
    assert ran.stdout == (data(size)[:1] if words else data(size))
    # OpenIO's client read k fragments; of the data, some were not among them.
    assert "chunk not found" in ran.err
    assert "could not be verified" not in ran.err
