"""The files of a simulated machine, and which of them changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rdctl.effects.syscalls import Syscalls


class Files(Syscalls):
    """`root` is the directory of the tree. Every change of a file passes here, so that it can be
    saved: `made` are the paths that were created or changed, `gone` those that were removed, in
    their order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: set[str] = set()
        self.gone: list[str] = []

    def path(self, below: str) -> Path:
        return self.root / below.lstrip("/")

    def inside(self, path: str | Path) -> str:
        """The path of a file of the machine, by its path in the tree."""
        return os.path.relpath(path, self.root)

    def text(self, below: str) -> str:
        return self.path(below).read_text().rstrip("\n")

    def put(self, below: str, text: str) -> None:
        self._make_parent(below)
        self.path(below).write_text(text)
        self._note(below)

    def make_dir(self, below: str) -> None:
        """With its parents; it may exist."""
        path = self.path(below)
        if not path.is_dir():
            self._make_parent(below)
            path.mkdir()
            self._note(below)

    def delete(self, below: str) -> None:
        """A file, a link, or a directory with its contents."""
        path = self.path(below)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        below = below.strip("/")
        self.made -= {made for made in self.made if f"{made}/".startswith(f"{below}/")}
        self.gone.append(below)

    def store(self, below: str, data: bytes, offset: int) -> None:
        """Write at an offset of an existing file."""
        with open(self.path(below), "r+b") as file:
            file.seek(offset)
            file.write(data)
        self._note(below)

    def cut(self, below: str, size: int) -> None:
        """No longer than `size`."""
        path = self.path(below)
        os.truncate(path, min(size, path.stat().st_size))
        self._note(below)

    def _link(self, below: str, target: str) -> None:
        self._make_parent(below)
        self.path(below).symlink_to(target)
        self._note(below)

    def _make_parent(self, below: str) -> None:
        parent = os.path.dirname(below.strip("/"))
        if parent:
            self.make_dir(parent)
        else:
            self.root.mkdir(parents=True, exist_ok=True)

    def _note(self, below: str) -> None:
        self.made.add(below.strip("/"))
