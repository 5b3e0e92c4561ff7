"""What the tests of content repair have in common: namespaces, damage, and what must hold after."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.oio.transfers import Client, bytes_of
from tests.fakes.listening import Fault
from tests.fakes.sds import Call, Sds, fragments

Near = Callable[..., Client]
DATA = bytes_of(2500)
EC42 = "ec/algo=liberasurecode_rs_vand,k=4,m=2"
# By kind: three parts of three copies on six services, two metachunks of 4+2 fragments on nine.
KINDS: dict[str, dict[str, Any]] = {
    "copies": {"copies": 3, "rawx": 6},
    "fragments": {"method": EC42, "rawx": 9, "chunk_size": 500},
}


def namespace(near: Near, kind: str) -> Client:
    """A client, and an object of that kind."""
    made = near(**KINDS[kind])
    made.sds.put("a", DATA)
    return made


def damaged(near: Near, kind: str) -> Client:
    """A client, and an object of that kind of which one chunk is cut."""
    made = namespace(near, kind)
    made.sds.truncate(made.sds.held("a")[0], 5)
    return made


def chunks_of(sds: Sds) -> list[dict[str, Any]]:
    """The list of chunks, as it is now."""
    listed: list[dict[str, Any]] = copy.deepcopy(sds.objects["a"][-1]["chunks"])
    return listed


def late(before: list[dict[str, Any]]) -> Fault:
    """An answer with the list of before, as from a database that is late."""

    def old(call: Call) -> None:
        object = call.sds.objects["a"][-1]
        now, object["chunks"] = object["chunks"], before
        before_reply(call, lambda: object.update(chunks=now))
        call.sds._answer(call)

    return old


def before_reply(call: Call, act: Callable[[], object]) -> None:
    """Act when the call is carried out, before the client hears of it and asks on."""
    reply = call.reply

    def later(*words: Any, **named: Any) -> None:
        act()
        reply(*words, **named)

    call.reply = later  # type: ignore[method-assign]


def journal_line(client: Client, **values: Any) -> str:
    """A repair that is not finished, of a chunk that does not exist."""
    value = {
        "id": "1",
        "state": "begun",
        "time": 1.7e9,
        "namespace": "OPENIO",
        "account": "ACCT",
        "container": "docs",
        "cid": None,
        "path": "a",
        "content_id": client.sds.objects["a"][-1]["meta"]["id"],
        "version": None,
        "chunks": [],
    }
    return json.dumps(value | values) + "\n"


def expected(sds: Sds, data: bytes = DATA) -> dict[str, bytes]:
    """The bytes of the chunks of an object, by their positions."""
    step = sds.chunk_size * (sds.k or 1)
    parts = [data[first : first + step] for first in range(0, max(1, len(data)), step)]
    if not sds.k:
        return {str(number): part for number, part in enumerate(parts)}
    coded = [fragments(part, sds.k, sds.chunks_a_part - sds.k) for part in parts]
    return {f"{n}.{index}": one for n, files in enumerate(coded) for index, one in enumerate(files)}


def healthy(sds: Sds, path: str = "a", data: bytes = DATA) -> None:
    """Every chunk that is listed is what it should be, on a service of its own; none is left that
    is not listed, and the laws of the servers were kept."""
    object = sds.objects[path][-1]
    hosts: dict[str, list[str]] = {}
    found = []
    right = expected(sds, data)
    for chunk in object["chunks"]:
        id, pos = chunk["url"][-64:], str(chunk["pos"])
        assert sds.chunks[id] == right[pos]
        meta = {name: sds.meta[id][name] for name in ("content-id", "chunk-id", "chunk-pos")}
        own = {"content-id": object["meta"]["id"], "chunk-id": id, "chunk-pos": pos}
        assert meta == own
        assert sds.meta[id].get("metachunk-hash") == (chunk["hash"] if sds.k else None)
        assert sds.meta[id]["full-path"].endswith(object["meta"]["id"])
        hosts.setdefault(pos.partition(".")[0], []).append(chunk["url"].split("/")[2])
        found.append(pos)
    assert sorted(found) == sorted(list(right) * (1 if sds.k else sds.chunks_a_part))
    assert all(len(set(some)) == len(some) for some in hosts.values()), hosts
    lawful(sds)
    assert sds.orphans() == set()


def lawful(sds: Sds) -> None:
    assert sds.killer is None
    banned = {"content/update", "container/raw_insert", "container/raw_delete", "content/create"}
    assert not banned & set(sds.routes())


def readable(sds: Sds, path: str = "a") -> dict[str, int]:
    """How many different good chunks each part has in the list."""
    right = expected(sds)
    good: dict[str, set[str]] = {pos.partition(".")[0]: set() for pos in right}
    for chunk in sds.objects[path][-1]["chunks"]:
        id, pos = chunk["url"][-64:], str(chunk["pos"])
        if sds.chunks.get(id) == right[pos]:
            good[pos.partition(".")[0]].add(pos if sds.k else id)
    return {part: len(some) for part, some in good.items()}


def journal(client: Client) -> Path:
    (found,) = client.rdctl.home.rglob("repairs.ndjson")
    return found


def closed(client: Client) -> bool:
    lines = [json.loads(line) for line in journal(client).read_bytes().splitlines()]
    begun = {line["id"] for line in lines if line["state"] == "begun"}
    return begun == {line["id"] for line in lines if line["state"] == "done"}


def changes(sds: Sds) -> list[str]:
    """What was asked that may change something, in order."""
    routes = {"content/spare", "container/raw_update"}
    return [
        call.route if call.who == "proxy" else call.method
        for call in sds.calls
        if call.route in routes or call.method in ("PUT", "DELETE")
    ]


# --- damage -------------------------------------------------------------------------------------


def lost(sds: Sds, id: str) -> None:
    sds.lose(id)


def truncated(sds: Sds, id: str) -> None:
    sds.truncate(id, 100)


def emptied(sds: Sds, id: str) -> None:
    sds.truncate(id, 0)


def grown(sds: Sds, id: str) -> None:
    sds.chunks[id] += b"x"


def forgotten(sds: Sds, id: str) -> None:
    sds.forget(id)


def flipped(sds: Sds, id: str) -> None:
    sds.flip(id)


def lying(sds: Sds, id: str) -> None:
    """Wrong data, which its metadata confirm."""
    sds.lie(id, sds.chunks[id][:-1] + b"\0")
