"""PyECLib, which is used only if it is there and right.

The real one is not among the development dependencies: it has wheels for one kind of machine. What
must not happen when it is missing, broken or another is tried with modules of that name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.fragments import SEGMENT
from tests.oio.erasure.fixtures import data, recorded

ONE = next(one for one in recorded() if one.name == "EC-1000")
# Modules in place of pyeclib.ec_iface, and whether what they write may be used.
DRIVER = """
class ECDriver:
    def __init__(self, k, m, ec_type):
        self.k, self.m = k, m
    def encode(self, data):
"""
BROKEN = {
    "not importable": "import no_such_library",
    "without its library": "raise OSError('liberasurecode.so.1: cannot open')",
    "of another interface": "",
    "without the backend": "def ECDriver(**_):\n    raise ValueError",
    "failing": DRIVER + "        raise RuntimeError",
    "with another code": DRIVER + "        return [bytes(80 + len(data) // self.k)] * 9",
    "with too few fragments": DRIVER + "        return []",
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    def install(source: str) -> None:
        package = tmp_path / "pyeclib"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "ec_iface.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyeclib"]:
            monkeypatch.delitem(sys.modules, name)

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyeclib"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", BROKEN)
def test_one_that_cannot_be_used_changes_nothing(kind: str, install: object) -> None:
    install(BROKEN[kind])  # type: ignore[operator]
    codec = Codec(ONE.k, ONE.m)
    assert codec.encode(ONE.data) == ONE.fragments
    assert codec._library is None


def test_one_that_fails_later_changes_nothing(install: object) -> None:
    """It is asked for each segment, and may fail at any."""
    known = [fragment.hex() for fragment in Codec(ONE.k, ONE.m).encode(bytes(range(1, 256)) * 6)]
    source = (
        f"KNOWN = {known!r}\n{DRIVER}"
        "        if len(data) != 1530:\n"
        "            raise MemoryError\n"
        "        return [bytes.fromhex(one) for one in KNOWN]"
    )
    install(source)  # type: ignore[operator]
    codec = Codec(ONE.k, ONE.m)
    assert codec._library is not None
    assert codec.encode(ONE.data) == ONE.fragments


def test_the_real_one_writes_the_same_bytes() -> None:
    pytest.importorskip("pyeclib.ec_iface", reason="PyECLib is not installed: pip install .[ec]")
    for k, m in [(6, 3), (4, 2), (2, 1), (1, 1), (10, 4)]:
        codec, pure = Codec(k, m), Codec(k, m)
        pure.__dict__["_library"] = None
        for size in (1, 1000, SEGMENT - 1, SEGMENT):
            segment = (data(70_001) * 15)[:size]
            assert codec.encode(segment) == pure.encode(segment), (k, m, size)
        assert codec._library is not None
