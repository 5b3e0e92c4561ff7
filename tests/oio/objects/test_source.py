"""Bytes of a file that can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.objects.source import Source


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
