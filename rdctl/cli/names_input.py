"""The names of a run: typed, or read from a file or standard input; names that failed are saved."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rdctl.cli.options import SYNONYM, seconds_of
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, escape, quoted, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from rdctl.core.environment import Environment
    from rdctl.core.results import Failure, Listing, Report
    from rdctl.effects.door import Effects
    from rdctl.sites import Site

# Key of the names in click's context.
_KEPT = "rdctl.names"
# Maximum number of bytes of a list of names.
MOST_NAMES = 64 << 20


def names(
    kind: str, *, required: bool = True, check: Callable[[str], object] | None = None
) -> Callable[[Any], Any]:
    """Add the argument `KIND...`; each name must pass `check`, and `-` reads names from standard
    input. The function gets the site, then the names, or None if none were typed. If standard input
    is empty, the function is not called."""
    metavar = f"{kind.upper()}..." if required else f"[{kind.upper()}...]"

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def with_names(site: Site, words: tuple[str, ...], **options: Any) -> Any:
            context = click.get_current_context()
            given = expanded(context, site, words) if words else None
            if given == []:
                return _nothing(context)
            if check is not None:
                for name in given or ():
                    check(name)
            return function(site, given, **options)

        argument = click.argument("words", metavar=metavar, nargs=-1, required=required)
        return argument(bulk_options(with_names))

    return decorate


def _nothing(context: click.Context) -> Listing | Report:
    """The result of a verb without any names."""
    from rdctl.core.results import Listing, Report

    return Listing(()) if getattr(context.command, "shows", None) else Report(())


# --- names from standard input ------------------------------------------------------------------


class _Row(NamedTuple):
    """A line of JSON: a name, its properties, and its context; None: any context."""

    line: int
    name: str
    properties: dict[str, str]
    context: str | None


class Bulk:
    """What is known about the names of a run.

    `lines` maps names to their first lines in the input, counted from 1; `properties` maps names to
    the properties given with them; `targets` are all names known so far, including those typed.
    """

    def __init__(self) -> None:
        self.ndjson = False
        self.failed: str | None = None
        # Whether `-` is a name like any other: another rdctl has read the names.
        self.literal = False
        # The option that reads standard input instead.
        self.reserved: str | None = None
        self.lines: dict[str, int] = {}
        self.properties: dict[str, dict[str, str]] = {}
        self.targets: list[str] = []
        self._raw: list[bytes] = []
        self._rows: list[_Row] = []
        self._separator = b"\n"
        self._names: list[str] | None = None
        self._given: dict[str, str] = {}
        self._where = "standard input"
        # In a run on several contexts: the context of this object, and one object for each.
        self._context: str | None = None
        self._shares: dict[str, Bulk] = {}

    def check(self, words: Sequence[str]) -> None:
        """Refuse --ndjson if no names are read or saved: output was meant. Refuse names where an
        option reads standard input."""
        if self.reserved and not self.literal and "-" in words:
            message = f"only one of DEVICE and {self.reserved} can be -"
            raise RdctlError(Code.USAGE, message)
        if self.ndjson and not self.failed and "-" not in words:
            raise RdctlError(
                Code.USAGE,
                "--ndjson requires names on standard input (-), or --failed",
                hint="For output, one JSON object per line, use -o ndjson.",
            )

    def names(
        self,
        environment: Environment,
        context: str | None,
        seconds: float | None,
        source: str = "-",
    ) -> list[str]:
        """The names on standard input or in the file `source`, for a run on that context."""
        self.read(environment, seconds, source)
        self._stay_in((context,))
        return self._names or []

    def share(self, contexts: Collection[str]) -> None:
        """Share the rows that were read among these contexts: each gets its own rows, and those
        without a context."""
        self._stay_in(contexts)
        if not self.ndjson:
            return
        for context in contexts:
            share = self._shares[context] = Bulk()
            share.ndjson, share._context, share._raw = True, context, self._raw
            share._names = share._taken(row for row in self._rows if row.context in (None, context))
            share.targets = share._names

    def of(self, context: str | None) -> Bulk:
        """The share of that context."""
        return self._shares.get(context or "", self)

    def call(self, given: dict[str, str]) -> None:
        """Rename the targets of this run: `given` maps each target to the name that was read."""
        self._given, self.targets = given, list(given)
        self.lines = {name: self.lines[word] for name, word in given.items()}
        self.properties = {
            name: self.properties[word] for name, word in given.items() if word in self.properties
        }

    def read(self, environment: Environment, seconds: float | None, source: str = "-") -> None:
        """Read the names from standard input or the file `source` within so many seconds, unless
        already read."""
        if self._names is None:
            if source != "-":
                self._where = escape(source)
            self._names = self.targets = self._read(environment, source, seconds)

    def _read(self, environment: Environment, source: str, seconds: float | None) -> list[str]:
        if source == "-" and environment.stdin_tty:
            environment.stderr.write("Reading names from standard input; Ctrl-D ends them.\n")
        try:
            data = environment.read(source, seconds, MOST_NAMES)
        except OSError as error:
            message = f"{self._where} cannot be read: {error.strerror}"
            raise RdctlError(Code.USAGE, message) from error
        self._separator = b"\0" if b"\0" in data else b"\n"
        if self.ndjson:
            self._raw = data.split(self._separator)
            where = self._where
            self._rows = [_row(raw, n, where) for n, raw in enumerate(self._raw, 1) if raw]
            return self._taken(self._rows)
        names = []
        for line, name in enumerate(_name(data).split(_name(self._separator)), 1):
            if name:
                self.lines.setdefault(name, line)
                names.append(name)
        return names

    def _taken(self, rows: Iterable[_Row]) -> list[str]:
        """The names of these rows; the first row of a name defines its properties."""
        names = []
        for row in rows:
            if row.name not in self.lines:
                self.lines[row.name] = row.line
                if row.properties:
                    self.properties[row.name] = row.properties
            names.append(row.name)
        return names

    def _stay_in(self, contexts: Collection[str | None]) -> None:
        """Refuse rows of other contexts: their names would be taken for those of other things."""
        for row in self._rows:
            if row.context is not None and row.context not in contexts:
                message = f'{escape(row.name)} belongs to context "{escape(row.context)}"'
                named = dict.fromkeys(one.context for one in self._rows if one.context)
                raise RdctlError(
                    Code.USAGE,
                    f"{self._where}, line {row.line}: {message}",
                    hint=f"Select all contexts of the rows: -c {quoted(','.join(named))}",
                    target=row.name,
                    line=row.line,
                )

    def numbering(self, listing: Listing, items: Iterable[Any]) -> Iterator[Any]:
        """The items; at their end the failures get their input lines."""
        yield from items
        listing.failures = [self.numbered(failure) for failure in listing.failures]

    def numbered(self, failure: Failure) -> Failure:
        """The failure, with the input line of its name."""
        line = self.of(failure.context).lines.get(failure.error.target or "")
        if line is None:
            return failure
        return failure._replace(error=failure.error.with_facts(line=line))

    def located(self, error: RdctlError) -> RdctlError:
        """An error about one of the names, with its input line."""
        line = self.lines.get(error.target or "")
        if line is None or "line" in error.facts:
            return error
        error.message = f"{self._where}, line {line}: {error.message}"
        return error.with_facts(line=line)

    def keep_failed(self, failures: Sequence[Failure], effects: Effects, home: str) -> None:
        """Write the names that failed, each once, unchanged."""
        from rdctl.effects.places import write_file

        lines = dict.fromkeys(
            line for failure in failures for line in self.of(failure.context)._lines_of(failure)
        )
        if not lines and failures:
            return  # the failed names are not known
        separator = b"\0" if any(b"\n" in line for line in lines) else self._separator
        path = str(self.failed)
        text = b"".join(line + separator for line in lines)
        what = f"write {path}"
        try:
            lines_of = text.decode("utf-8", "surrogateescape")
            written = write_file(path, lines_of, what=what, home=home)
            effects.do(written._replace(step=True), None)
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}"
            raise RdctlError(Code.FAILED, message, target=path) from error

    def _lines_of(self, failure: Failure) -> Iterator[bytes]:
        """The input lines of the failed target, or of all targets."""
        return map(self._line, self.targets if failure.whole else [failure.error.target or ""])

    def _line(self, target: str) -> bytes:
        """The input line of a name; for a typed one, the equivalent line."""
        if not self.ndjson:
            return raw_bytes(self._given.get(target, target))
        import json

        if target in self.lines:
            raw = self._raw[self.lines[target] - 1]
        else:
            raw = json.dumps({"name": target, "name_hex": raw_bytes(target).hex()}).encode()
        if self._context is None or (row := json.loads(raw)).get("context") is not None:
            return raw
        return json.dumps({**row, "context": self._context}).encode()


def bulk_of(context: click.Context) -> Bulk:
    """The Bulk of this run."""
    bulk: Bulk = context.meta.setdefault(_KEPT, Bulk())
    return bulk


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# Keys of the name in a line of JSON: as written by hand, and as in rdctl's listings.
_NAMED_BY = ("name", "path", "container", "reference", "device", "address", "type", "target")


def _row(raw: bytes, line: int, where: str) -> _Row:
    """Parse a line of JSON."""
    import json

    where = f"{where}, line {line}"
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RdctlError(Code.USAGE, f"{where}: invalid JSON: {error}") from error
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
            f"{where}: must be an object with a name",
            hint='Example: {"name": "photos", "properties": {"team": "red"}}',
        )
    properties = found.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict) or not all(
        isinstance(entry, str) for entry in properties.values()
    ):
        raise RdctlError(Code.USAGE, f"{where}: properties must map names to strings")
    context = found.get("context")
    if not isinstance(context, str | None):
        raise RdctlError(Code.USAGE, f"{where}: context must be a string")
    return _Row(line, name, properties, context)


def _keep(context: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(bulk_of(context), str(param.name), value)


def _keep_file(context: click.Context, param: click.Parameter, value: str | None) -> None:
    """Check that the file is writable before anything is done. A device would be replaced."""
    if value is None:
        return
    from rdctl.effects.places import refuse_planted

    try:
        refuse_planted(value)
    except OSError as error:
        message = f"--failed: {defuse(value)} cannot be written: {error.strerror}"
        raise RdctlError(Code.USAGE, message, target=value) from error
    if not _can_be_written(value):
        raise RdctlError(
            Code.USAGE, f"--failed: {defuse(value)} is not a writable file", target=value
        )
    _keep(context, param, value)


def _can_be_written(file: str) -> bool:
    try:
        path = os.path.realpath(file)
    except (OSError, ValueError):  # the working directory was removed
        return False
    directory = os.path.dirname(path)
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    there = os.path.isfile(path) or not os.path.lexists(path)
    return there and os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def bulk_options(function: Any) -> Any:
    """Add the options --ndjson and --failed."""
    ndjson = click.option(
        "--ndjson",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_keep,
        help='Read names from stdin as JSON objects, one per line: {"name": ...}.',
    )
    failed = click.option(
        "--failed",
        metavar="FILE",
        expose_value=False,
        callback=_keep_file,
        help="Write the names that failed to FILE, unchanged, for another run.",
    )
    return ndjson(failed(function))


def check_single(context: click.Context, typed: str, several: bool) -> None:
    """Refuse a synonym of a verb that destroys for several targets."""
    if several:
        hint = f"For several: {context.command_path} ..."
        raise RdctlError(Code.USAGE, f'"{typed}" takes one name, on one context', hint=hint)


def expanded(context: click.Context, site: Site, words: Iterable[str]) -> list[str]:
    """The arguments, with `-` replaced by the names on standard input."""
    words = list(words)
    if typed := context.meta.get(SYNONYM):
        check_single(context, typed, len(words) > 1 or "-" in words)
    where = site.settings.context
    bulk = bulk_of(context).of(where)
    given: list[str] = []
    for word in words:
        if word == "-" and not bulk.literal:
            given += bulk.names(context.obj, where, seconds_of(context))
        else:
            given.append(word)
    bulk.targets = given
    return given
