"""Bytes of a file that can be read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.objects.source import BLOCK, Source


def test_a_source_begins_where_the_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    source = Source(path.open("rb"), "a", 3)
    assert source.size == 7
    assert b"".join(source.blocks(1, 4)) == b"4567"
    assert source.shell(0, 7) == "tail -c +4 a | head -c 7"
    source.check()
    path.write_bytes(b"x")
    for act in (source.check, lambda: list(source.blocks(0, 7))):
        with pytest.raises(RdctlError) as caught:
            act()
        assert caught.value.code is Code.CONFLICT
    source.close()


def test_blocks_are_full_also_where_reads_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system in user space may give less than is asked for."""
    path, data = tmp_path / "a", bytes(range(256)) * 9000
    path.write_bytes(data)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: read(file, min(size, 300_000), at))
    source = Source(path.open("rb"), "a")
    blocks = list(source.blocks(0, len(data)))
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, len(data) - 2 * BLOCK]
    assert b"".join(blocks) == data
    source.close()
