"""What a sync deletes: objects without a file, or files without an object, and how many."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure
from rdctl.core.units import escape, human_size
from rdctl.effects.door import Effects
from rdctl.effects.files import Destination, remove_directory, remove_file
from rdctl.oio.objects.files import file_fault
from rdctl.oio.sync.model import Local, Remote

# More than this part of the destination is deleted only with --max-delete.
_PART = 4


class Limit(NamedTuple):
    """How many of what is at the destination may be deleted; `most` None: a quarter of it."""

    most: int | None

    def check(self, count: int, total: int, noun: str, where: str) -> None:
        """Refuse to delete `count` of `total`, also if that is confirmed."""
        if self.most is None and count * _PART <= total:
            return
        if self.most is not None and count <= self.most:
            return
        limit = "a quarter" if self.most is None else f"--max-delete {self.most}"
        raise RdctlError(
            Code.CONFLICT,
            f"{count} of {total} {noun} {where} would be deleted: more than {limit}",
            hint=f"Nothing was changed. If this is correct, use --max-delete {count}.",
        )


def is_at(folder: str, name: str) -> bool:
    """Whether anything is at the path that an object of this name would have, or cannot be
    looked up there. It may be a link, or may have been created since the folder was listed."""
    if {".", ".."} & set(name.split("/")):
        return True  # such an object was never a file
    try:
        os.lstat(os.path.join(folder, name.lstrip("/")))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def without_file(
    remotes: Sequence[Remote], folder: str, prefix: str, names: Collection[str]
) -> list[Remote]:
    """The objects of which no file is in the folder; `names` are those of files and objects."""
    return [
        remote
        for remote in remotes
        if remote.name not in names and not is_at(folder, remote.name.removeprefix(prefix))
    ]


class Surplus(NamedTuple):
    """Files without an object, and directories that are empty without them, the innermost
    first."""

    files: list[Local]
    directories: list[str]

    @property
    def shown(self) -> str:
        """`2 files (3.1 KiB)`"""
        noun = "file" if len(self.files) == 1 else "files"
        return f"{len(self.files)} {noun} ({human_size(sum(one.size for one in self.files))})"


def without_object(folder: str, found: Sequence[Local], taken: Collection[str]) -> Surplus:
    """What is surplus of the files in a folder; `taken` are the paths of objects in it."""
    files = [local for local in found if local.name not in taken]
    gone = {local.name for local in files}
    above = {name for local in files for name in _parents(local.name)}
    needed = {name for path in taken for name in _parents(path)}
    directories = []
    for name in sorted(above - needed, key=lambda name: (-name.count("/"), name)):
        try:
            inside = os.listdir(os.path.join(folder, name))
        except OSError:
            continue
        if all(f"{name}/{one}" in gone for one in inside):
            directories.append(name)
            gone.add(name)
    return Surplus(files, directories)


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def removed(folder: str, surplus: Surplus, effects: Effects) -> Iterator[Change | Failure]:
    """Remove surplus files after confirmation. Those that changed since they were listed stay."""
    for local in surplus.files:
        target = _target(folder, local.name)
        act = remove_file(
            target,
            local.size,
            local.mtime_ns,
            what=f"delete {escape(target.path)}",
            destroys=target.path,
        )
        try:
            if effects.do(act, True):
                facts = {"size": local.size, "file": target.path}
                proof = None if effects.dry_run else True
                yield Change("delete", local.name, proof, proof, facts)
                continue
            message = f"{escape(target.path)}: changed since it was listed; not deleted"
            fault = RdctlError(Code.CONFLICT, message, target=local.name)
        except OSError as error:
            fault = file_fault(error, target.path)
            fault.target = local.name
        yield Failure("delete", fault)
    for name in surplus.directories:
        target = _target(folder, name)
        try:
            effects.do(remove_directory(target, what=f"remove {escape(target.path)}"), True)
        except OSError as error:
            fault = file_fault(error, target.path)
            fault.target = name
            yield Failure("delete", fault)


def _target(folder: str, name: str) -> Destination:
    *directories, last = name.split("/")
    return Destination(folder, tuple(directories), last, "")
