"""The files of a state: one, a directory, standard input, or those of this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

from rdctl.core.environment import Environment, read_in_time
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import natural, quoted
from rdctl.rapiddisk.state import document, nvmetcli
from rdctl.rapiddisk.state.model import DIRECTORY, FILE, State

_MOST = 16 << 20  # bytes of a file
_STDIN = "<stdin>"


class Source(NamedTuple):
    """A state with the name of its file, and what of it was ignored, in words. `text` is that of
    one file that was named, None of others."""

    name: str
    state: State
    ignored: Sequence[str] = ()
    text: str | None = None


def read(
    path: str | None,
    environment: Environment,
    root: str,
    seconds: float | None,
    *,
    foreign: bool = False,
) -> Source:
    """The state at a path; `-` is standard input, a directory all its `*.toml` and `*.json`; None:
    the files of the machine at `root`. `foreign`: they are of the tool nvmetcli."""
    if path is not None and environment.away is not None:
        texts = environment.away.texts(path)
    else:
        texts = texts_of(path, environment, root, seconds)
    if not foreign:
        states = [document.parse(name, text) for name, text in texts]
        text = texts[0][1] if path is not None and len(texts) == 1 else None
        return Source(path or f"/{FILE}", document.merge(states), text=text)
    found = [nvmetcli.parse(name, text) for name, text in texts]
    ignored = [words for _, ignored in found for words in ignored]
    return Source(path or f"/{FILE}", document.merge([state for state, _ in found]), ignored)


def texts_of(
    path: str | None, environment: Environment, root: str, seconds: float | None
) -> list[tuple[str, str]]:
    """The files of a state by name, with their text."""
    if path == "-":
        return [(_STDIN, _text(environment.stdin.read(_MOST + 1), _STDIN))]
    return [(name, _read(place, name, seconds)) for name, place in _places(path, root)]


def machine_state(root: str, seconds: float | None = None) -> State:
    """The state of the machine's own files. Raises `not-found` if it has none."""
    return document.merge(
        [document.parse(name, _read(place, name, seconds)) for name, place in _places(None, root)]
    )


def _places(path: str | None, root: str) -> list[tuple[str, str]]:
    """The files by name, each with the path to open."""
    if path is None:
        found = [(f"/{FILE}", os.path.join(root, FILE))]
        found = [one for one in found if os.path.lexists(one[1])]
        found += _within(f"/{DIRECTORY}", os.path.join(root, DIRECTORY), missing_ok=True)
        if not found:
            raise RdctlError(
                Code.NOT_FOUND,
                f"state file /{FILE} not found",
                hint="Write it: rdctl rapiddisk dump --save; or name another file.",
                target=f"/{FILE}",
            )
        return found
    if os.path.isdir(path):
        found = _within(path.rstrip("/") or "/", path)
        if not found:
            raise RdctlError(Code.NOT_FOUND, f"no *.toml or *.json in {path}", target=path)
        return found
    return [(path, path)]


def _within(name: str, directory: str, *, missing_ok: bool = False) -> list[tuple[str, str]]:
    try:
        names = sorted(os.listdir(directory), key=natural)
    except FileNotFoundError:
        if missing_ok:
            return []
        raise
    except OSError as error:
        raise _unreadable(name, error) from error
    chosen = [one for one in names if one.endswith((".toml", ".json")) and one[0] != "."]
    return [(f"{name}/{one}", os.path.join(directory, one)) for one in chosen]


def _read(path: str, name: str, seconds: float | None) -> str:
    try:
        return _text(read_in_time(path, seconds, _MOST + 1), name)
    except OSError as error:
        raise _unreadable(name, error) from error


def _text(data: bytes, name: str) -> str:
    if len(data) > _MOST:
        raise RdctlError(Code.CONFIG, f"{name} is larger than 16 MiB", target=name)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RdctlError(Code.CONFIG, f"{name} is not valid UTF-8", target=name) from error


def _unreadable(name: str, error: OSError) -> RdctlError:
    gone = error.errno == errno.ENOENT
    code = Code.NOT_FOUND if gone else Code.CONFIG
    if error.errno in (errno.EACCES, errno.EPERM):
        code = Code.DENIED
    why = "not found" if gone else f"cannot be read: {error.strerror}"
    return RdctlError(code, f"state file {quoted(name)} {why}", target=name)
