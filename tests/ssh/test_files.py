"""The FILE of a command through the real ssh."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran


def test_an_image_goes_there_and_comes_back(
    over: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = bytes(1 << 20) + os.urandom(3 << 20)
    Path("a.img").write_bytes(data)
    Path("a.img.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  a.img\n")
    for words in ("create 4M --number 7", "load a.img rd7", "save rd7 b.img"):
        ran = over("rapiddisk", *words.split())
        assert ran.code == 0, ran.err
    assert Path("b.img").read_bytes() == data
