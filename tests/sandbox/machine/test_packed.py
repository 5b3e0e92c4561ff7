"""Large files in the sandbox's file: the same afterwards, and small when they are mostly zeros."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdctl.sandbox.machine.packed import pack, unpack

CASES = {
    "empty": b"",
    "zeros": bytes(1 << 20),
    "a byte at the end": bytes(300_000) + b"x",
    "a byte at the begin": b"x" + bytes(300_000),
    "across pieces": bytes(65_530) + b"0123456789" * 3 + bytes(100_000),
    "random": os.urandom(200_001),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_packed_comes_back(tmp_path: Path, name: str) -> None:
    path, back = tmp_path / "a", tmp_path / "b"
    path.write_bytes(CASES[name])
    with open(path, "rb") as file:
        packed = pack(file)
    with open(back, "wb") as file:
        unpack(packed, file)
    assert back.read_bytes() == CASES[name]


def test_zeros_cost_nothing(tmp_path: Path) -> None:
    path, back = tmp_path / "a", tmp_path / "b"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
        file.seek(10 << 20)
        file.write(b"data")
    with open(path, "rb") as file:
        packed = pack(file)
    assert len(packed) < 1000
    with open(back, "wb") as file:
        unpack(packed, file)
    assert back.stat().st_size == 64 << 20
    assert back.stat().st_blocks * 512 <= 128 << 10
