"""Parts of images: what is left out of them, their digests, and what a failure leaves."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from rdctl.effects.blocks import PIECE, runs
from rdctl.effects.door import Effects
from rdctl.effects.files import Destination, Part
from rdctl.effects.images import Made, NewImage, digests_in
from rdctl.effects.syscalls import Syscalls

A, B = "a" * 64, "b" * 64
ZEROS = bytes(4096)
FULL = b"\0" * 4095 + b"x"


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (b"", []),
        (bytes(PIECE), []),
        (bytes(512), []),
        (ZEROS + bytes(100), []),
        (b"x", [(0, 1)]),
        (bytes(511) + b"x", [(0, 512)]),
        (ZEROS + FULL + FULL + ZEROS + FULL, [(4096, 12288), (16384, 20480)]),
        (FULL + ZEROS + b"\0x", [(0, 4096), (8192, 8194)]),
        (b"x" * PIECE, [(0, PIECE)]),
        (bytes(PIECE - 1) + b"x", [(PIECE - 4096, PIECE)]),
    ],
)
def test_runs(piece: bytes, expected: list[tuple[int, int]]) -> None:
    assert list(runs(piece)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (f"{A}  x\n".encode(), [A]),
        (f"{A.upper()} *x".encode(), [A]),
        (f"{A}  x\n# {B}  x\n".encode(), [A, B]),
        (f"{A}  y\n{B}  a/x\n".encode(), [B]),
        (f"{A}  y\n{B}  z\n".encode(), []),
        (f"{A}  y\n".encode(), [A]),
        (f"# a comment\n{A}  x\n".encode(), [A]),
        (f"{A[1:]}  x\n{A}0  x\n {A}  x\n".encode(), []),
    ],
)
def test_digests(text: bytes, expected: list[str]) -> None:
    assert digests_in(text, "x") == expected


def test_digests_of_an_unusual_name() -> None:
    text = f"\\{A}  a\\nb\n# \\{B}  a\\nb\n{A}  a\\nb\n\\{B}  a\\\\nb\n"
    assert digests_in(text.encode(), "a\nb") == [A, B]
    assert digests_in(text.encode(), "a\\nb") == [A, B]


def image(replace: bool) -> NewImage:
    target = Destination(".", (), "x.img", ".x.img.part")
    return NewImage(Syscalls(), target, replace=replace, check=lambda: None)


def fill(part: Part) -> str:
    part.write(b"new", 0)
    part.cut(4096)
    return A


def effects() -> Effects:
    return Effects(ask=lambda losses: None)


def save(door: Effects, new: NewImage) -> Made:
    with new:
        door.do(new.written(fill, of="/dev/rd0", what="save rd0"), None)
        return door.do(new.placed(what="save rd0"), Made("", 0))


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_image_that_was_saved_meanwhile_is_not_replaced() -> None:
    """The one that was there first keeps its digest."""
    new = image(replace=False)
    with new:
        door = effects()
        door.do(new.written(fill, of="/dev/rd0", what="save"), None)
        Path("x.img").write_text("theirs")
        Path("x.img.sha256").write_text("their digest")
        with pytest.raises(FileExistsError):
            door.do(new.placed(what="save"), Made("", 0))
    assert sorted(os.listdir()) == ["x.img", "x.img.sha256"]
    assert Path("x.img").read_text() == "theirs"
    assert Path("x.img.sha256").read_text() == "their digest"


@pytest.mark.parametrize("call", ["rename", "fsync", "fchmod", "ftruncate"])
@pytest.mark.parametrize("number", range(1, 5))
def test_a_call_that_fails_leaves_the_old_image_or_the_new_one(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    Path("x.img").write_text("old")
    Path("x.img.sha256").write_text(f"{B}  x.img\n")
    real, left = getattr(os, call), number

    def failing(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **options)

    monkeypatch.setattr(os, call, failing)
    failed = False
    try:
        save(effects(), image(replace=True))
    except OSError:
        failed = True
    assert sorted(os.listdir()) == ["x.img", "x.img.sha256"]
    is_new = Path("x.img").read_bytes() == b"new".ljust(4096, b"\0")
    assert is_new or Path("x.img").read_text() == "old"
    digests = digests_in(Path("x.img.sha256").read_bytes(), "x.img")
    assert (A if is_new else B) in digests
    if not failed:
        assert is_new
    elif not is_new:
        assert digests == [B]


def test_a_dry_run_opens_nothing() -> None:
    door = Effects(ask=lambda losses: None, dry_run=True)
    save(door, image(replace=True))
    assert os.listdir() == []
    assert door.plan == [
        "dd if=/dev/rd0 of=.x.img.part bs=1M conv=sparse,fsync",
        "mv .x.img.part x.img  # and write x.img.sha256",
    ]
    assert door.would == ["save rd0"]
