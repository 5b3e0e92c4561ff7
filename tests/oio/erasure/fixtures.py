"""Objects and their fragments as liberasurecode wrote them (docs/wire/README.md)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

EC = Path(__file__).parents[2] / "wire" / "ec"


class Recorded(NamedTuple):
    name: str
    k: int
    m: int
    data: bytes
    # What each chunk file is known by, in the order of its index.
    files: list[dict[str, object]]

    @property
    def fragments(self) -> list[bytes]:
        """The chunk files of an object of one segment."""
        return [(EC / str(file["file"])).read_bytes() for file in self.files]


def data(size: int) -> bytes:
    """What the recorded objects hold."""
    return bytes((i * i * 7 + i * 13 + (i >> 8)) % 251 for i in range(size))


@cache
def recorded() -> list[Recorded]:
    found = []
    for one in json.loads((EC / "index.json").read_text()):
        k, m = (6, 3) if one["object"].startswith("EC-") else (4, 2)
        files = sorted(one["fragments"], key=lambda file: str(file["pos"]))
        found.append(Recorded(one["object"], k, m, data(one["length"]), files))
    return found
