"""The chunks that a container's database lists for its objects, and their exchange for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.oio.client import Client
from rdctl.oio.model import Place

# A chunk as content/show lists it.
Chunk = Mapping[str, Any]


class Exchange(NamedTuple):
    """A chunk of the object with that ID, and the one that replaces it."""

    content_id: str | None
    old: Chunk
    new: Chunk


def exchange(
    proxy: Client,
    holder: Place,
    pairs: Sequence[Exchange],
    *,
    what: str,
    shows: str,
    destroys: str,
    step: bool,
    frozen: bool = False,
) -> None:
    """Replace chunks in one transaction, which fails if one of the old ones is not listed. The
    server checks nothing else. `frozen`: also in a frozen container."""
    proxy.change(
        "container.raw_update",
        holder,
        {"frozen": frozen},
        what=what,
        shows=shows,
        destroys=destroys,
        step=step,
        body={
            "old": [_bean(pair.content_id, pair.old) for pair in pairs],
            "new": [_bean(pair.content_id, pair.new) for pair in pairs],
        },
    )


def _bean(content_id: str | None, chunk: Chunk) -> dict[str, Any]:
    return {
        "type": "chunk",
        "id": chunk["url"],
        "content": content_id,
        "hash": chunk["hash"],
        "size": chunk["size"],
        "pos": chunk["pos"],
    }
