"""Kinds of arguments that several nouns share."""

from __future__ import annotations

import os
from contextlib import nullcontext
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import BULK, parsed
from rdctl.errors import Code, RdctlError
from rdctl.units import defuse, escape, parse_mib, quoted, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rdctl.effects import Effects
    from rdctl.result import Failure, Listing
    from rdctl.world import World

# More than this from standard input is no list of names.
MOST_NAMES = 64 << 20


# A size in whole MiB.
MIB = parsed("size", parse_mib)

FORCE = click.option(
    "--force",
    is_flag=True,
    help="Go on although the daemon (Debian's 9.0.0) does not show whether it is in use.",
)


def names(kind: str, *, required: bool = True) -> Callable[[Any], Any]:
    """The argument `KIND...`; `-` stands for names on standard input. None when nothing was typed,
    which is not the same as none on standard input."""
    metavar = f"{kind.upper()}..." if required else f"[{kind.upper()}...]"

    def decorate(function: Any) -> Any:
        argument = click.argument(
            f"{kind}s", metavar=metavar, nargs=-1, required=required, callback=_given
        )
        return argument(bulk_options(function))

    return decorate


def _given(
    context: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> list[str] | None:
    return expanded(context, value) if value else None


# --- names from standard input ------------------------------------------------------------------


class Bulk:
    """What is known of the names of a run beyond the names themselves.

    `lines` has the line of each name on standard input or in a list, from 1 and of the first that
    has it; `properties` those of the names that are given with some; `contexts` the contexts that
    rows are said to be of, with the name of the first.
    """

    def __init__(self) -> None:
        self.ndjson = False
        self.failed: str | None = None
        self.lines: dict[str, int] = {}
        self.properties: dict[str, dict[str, str]] = {}
        self.contexts: dict[str, str] = {}
        self._rows: list[bytes] = []
        self._separator = b"\n"
        self._names: list[str] | None = None
        self._given: dict[str, str] = {}
        self._where = "standard input"

    def names(self, world: World, source: str = "-") -> list[str]:
        """The names on standard input, or in the file `source`; it is read once."""
        if self._names is None:
            if source != "-":
                self._where = escape(source)
            self._names = self._read(world, source)
        return self._names

    def call(self, given: dict[str, str]) -> None:
        """The targets of this run have other names than those that were read: `given` has the one
        that was read for each."""
        self._given, self._names = given, list(given)
        self.lines = {name: self.lines[word] for name, word in given.items()}
        self.properties = {
            name: self.properties[word] for name, word in given.items() if word in self.properties
        }

    def _read(self, world: World, source: str) -> list[str]:
        try:
            with nullcontext(world.stdin) if source == "-" else open(source, "rb") as stream:
                data = stream.read(MOST_NAMES + 1)
        except OSError as error:
            message = f"{self._where} cannot be read: {error.strerror}"
            raise RdctlError(Code.USAGE, message) from error
        if len(data) > MOST_NAMES:
            raise RdctlError(Code.USAGE, f"{self._where} holds more than a list of names")
        self._separator = b"\0" if b"\0" in data else b"\n"
        given: Iterable[str] = _name(data).split(_name(self._separator))
        if self.ndjson:
            self._rows = data.split(self._separator)
            given = map(self._recorded, self._rows, count(1))
        names = []
        for line, name in enumerate(given, 1):
            if name:
                self.lines.setdefault(name, line)
                names.append(name)
        return names

    def _recorded(self, raw: bytes, line: int) -> str:
        """The name that a line of JSON has; the properties of the first of that name hold."""
        if not raw:
            return ""
        name, properties, context = _record(raw, f"{self._where}, line {line}")
        if context is not None:
            self.contexts.setdefault(context, name)
        if properties and name not in self.lines:
            self.properties[name] = properties
        return name

    def stay_in(self, context: str | None) -> None:
        """Raise where a row is of another context than that; None: there are several. It would be
        taken for what has the same name there."""
        for other, name in self.contexts.items():
            if other != context:
                message = f"{escape(name)} is of the context {escape(other)} alone"
                hint = f"Give the rows of each context to a run of its own: -c {quoted(other)}"
                raise self.located(RdctlError(Code.USAGE, message, hint=hint, target=name))

    def numbering(self, listing: Listing, items: Iterable[Any]) -> Iterator[Any]:
        """The items; at their end the failures have their lines."""
        yield from items
        listing.failures = [self.numbered(failure) for failure in listing.failures]

    def numbered(self, failure: Failure) -> Failure:
        """The failure, with the line that its name came from."""
        line = self.lines.get(failure.error.target or "")
        if line is None:
            return failure
        return failure._replace(error=failure.error.with_facts(line=line))

    def located(self, error: RdctlError) -> RdctlError:
        """What refuses all names, with the line of the one that it is about."""
        line = self.lines.get(error.target or "")
        if line is None or "line" in error.facts:
            return error
        error.message = f"{self._where}, line {line}: {error.message}"
        return error.with_facts(line=line)

    def keep_failed(self, failures: Sequence[Failure], effects: Effects) -> None:
        """Write the names that failed, each once, as they were given."""
        from rdctl.effects import write_file

        targets = [failure.error.target or "" for failure in failures if not failure.whole]
        if len(targets) < len(failures):
            targets = self._names or targets  # all of them, as far as they are known
            if not targets:
                return
        lines = [self._line(target) for target in dict.fromkeys(targets)]
        separator = b"\0" if any(b"\n" in line for line in lines) else self._separator
        path = str(self.failed)
        text = b"".join(line + separator for line in lines)
        what = f"write {path}"
        try:
            written = write_file(path, text.decode("utf-8", "surrogateescape"), what=what)
            effects.do(written._replace(step=True), None)
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}"
            raise RdctlError(Code.FAILED, message, target=path) from error

    def _line(self, target: str) -> bytes:
        """A name as it was given; one that was typed, as it would have been."""
        if not self.ndjson:
            return raw_bytes(self._given.get(target, target))
        if target in self.lines:
            return self._rows[self.lines[target] - 1]
        import json

        return json.dumps({"name": target, "name_hex": raw_bytes(target).hex()}).encode()


def bulk_of(context: click.Context) -> Bulk:
    """That of this run."""
    bulk: Bulk = context.meta.setdefault(BULK, Bulk())
    return bulk


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# Where a line of JSON has its name: as written by hand, and as rdctl's own listings have it.
_NAMED_BY = ("name", "path", "container", "reference", "device", "address", "type", "target")


def _record(raw: bytes, where: str) -> tuple[str, dict[str, str], str | None]:
    """A line of JSON: its name, its properties, and the context that it is of."""
    import json

    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RdctlError(Code.USAGE, f"{where}: no JSON: {error}") from error
    found = value if isinstance(value, dict) else {}
    name = next((found[key] for key in _NAMED_BY if isinstance(found.get(key), str)), None)
    if isinstance(found.get("name_hex"), str):
        try:
            name = _name(bytes.fromhex(found["name_hex"]))
        except ValueError as error:
            raise RdctlError(Code.USAGE, f"{where}: name_hex is not hexadecimal") from error
    if not name:
        raise RdctlError(
            Code.USAGE,
            f"{where}: no object with a name",
            hint='A line looks like {"name": "photos", "properties": {"team": "red"}}.',
        )
    properties = found.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict) or not all(
        isinstance(entry, str) for entry in properties.values()
    ):
        raise RdctlError(Code.USAGE, f"{where}: properties are texts by their names")
    context = found.get("context")
    return name, properties, context if isinstance(context, str) else None


def _keep(context: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(bulk_of(context), str(param.name), value)


def _keep_file(context: click.Context, param: click.Parameter, value: str | None) -> None:
    """What cannot be written is known before anything is done. A device would be replaced."""
    if value is None:
        return
    path = os.path.realpath(value)
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    there = os.path.isfile(path) or not os.path.lexists(path)
    if not (there and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise RdctlError(
            Code.USAGE, f"--failed: {defuse(value)} is no file that can be written", target=value
        )
    _keep(context, param, value)


def bulk_options(function: Any) -> Any:
    """How names come from standard input, and where those go that failed."""
    ndjson = click.option(
        "--ndjson",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_keep,
        help='Names on standard input are objects, one a line: {"name": ...}.',
    )
    failed = click.option(
        "--failed",
        metavar="FILE",
        expose_value=False,
        callback=_keep_file,
        help="Write the names that failed to FILE, as they were given: input for the next run.",
    )
    return ndjson(failed(function))


def expanded(context: click.Context, words: Iterable[str]) -> list[str]:
    """The words, with the names on standard input in place of a `-`."""
    given: list[str] = []
    for word in words:
        given += bulk_of(context).names(context.obj) if word == "-" else [word]
    return given
