"""A file gets its name when it is whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.files import Destination, Part, make_file


def filled(directory: Path, data: bytes = b"new", **options: bool) -> None:
    def fill(part: Part) -> None:
        part.cut(0)
        part.write(data, 0)

    target = Destination(str(directory), ("a", "b"), "name", ".name.part")
    given: dict[str, Any] = {"replace": False, "resume": False, **options}
    make_file(target, fill, what="make it", **given).perform()


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    filled(tmp_path)
    assert (tmp_path / "a/b/name").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a/b") == ["name"]
    with pytest.raises(FileExistsError):
        filled(tmp_path, b"newer")
    assert (tmp_path / "a/b/name").read_bytes() == b"new"
    filled(tmp_path, b"newest", replace=True)
    assert (tmp_path / "a/b/name").read_bytes() == b"newest"


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    filled(tmp_path)
    with pytest.raises(FileExistsError):
        filled(tmp_path, b"newer")
    assert (tmp_path / "a/b/name").read_bytes() == b"new"


@pytest.mark.parametrize(("keep", "data"), [(True, b"x"), (True, b""), (False, b"x")])
def test_a_part_is_kept_if_it_is_of_use(tmp_path: Path, keep: bool, data: bytes) -> None:
    def fill(part: Part) -> None:
        part.write(data, 0)
        part.keep = keep
        raise RdctlError(Code.UNREACHABLE, "gone")

    target = Destination(str(tmp_path), (), "name", "part")
    with pytest.raises(RdctlError):
        make_file(target, fill, what="make it", replace=False, resume=True).perform()
    assert os.listdir(tmp_path) == (["part"] if keep and data else [])


def test_no_directory_on_the_way_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    os.symlink("../out", tmp_path / "in/a")
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        filled(tmp_path / "in")
    assert os.listdir(tmp_path / "out") == []
