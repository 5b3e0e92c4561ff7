"""The global options: one list, accepted anywhere on the command line."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.formatting import wrap_text

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import UNITS, defuse
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Keys in click's context: the flags given, and names from standard input.
_KEPT = "rdctl.flags"
# Key of the typed synonym of a verb that destroys, in click's context.
SYNONYM = "rdctl.synonym"
# Key of the words of the verb as they were typed, in click's context.
WORDS = "rdctl.words"


class Global(NamedTuple):
    """A global option. `value` is None for a flag, else the word or the choices for its value."""

    name: str
    spellings: tuple[str, ...]
    value: str | tuple[str, ...] | None
    help: str
    type: Any = None
    several: bool = False


GLOBALS = (
    Global(
        "context",
        ("-c", "--context"),
        "NAME",
        "Context to use; several: a,b or 'rack1-*'.",
        several=True,
    ),
    Global("local", ("--local",), None, "Manage RapidDisk on this machine through the kernel."),
    Global("rapiddisk_url", ("--rapiddisk-url",), "URL", "URL of rapiddiskd: http://HOST:9118."),
    Global("oio_url", ("--oio-url",), "URL", "URL of the oio-proxy: http://HOST:6002."),
    Global("namespace", ("--namespace",), "NS", "OpenIO SDS namespace."),
    Global("account", ("--account",), "ACCOUNT", "OpenIO SDS account."),
    Global("output", ("-o", "--output"), tuple(FORMATS), "Output format."),
    Global("json", ("--json",), None, "Same as -o json."),
    Global("columns", ("--columns",), "KEY,KEY", "Show only these columns, in this order."),
    Global(
        "sort_by",
        ("--sort-by",),
        "[-]KEY",
        "Sort by a column (- for descending); buffers the whole listing.",
    ),
    Global("no_headers", ("--no-headers",), None, "Omit the header line."),
    Global("nul", ("-0",), None, "Print raw names, terminated by NUL; implies -o name."),
    Global("query", ("--query",), "JMESPATH", "Filter the items with a JMESPath expression."),
    Global(
        "table_style", ("--table-style",), "STYLE", "Table style of tabulate: github, grid, ..."
    ),
    Global(
        "units",
        ("--units",),
        ("auto", *UNITS),
        "Units of sizes in table, csv and tsv: human, bytes, or KiB, MiB, GiB;"
        " auto: human on a terminal, else bytes.",
    ),
    Global("yes", ("-y", "--yes"), None, "Skip confirmation prompts."),
    Global("dry_run", ("--dry-run",), None, "Show what would be done, without doing it."),
    Global(
        "timeout", ("--timeout",), "S", "Time limit for the whole command, in seconds.", click.FLOAT
    ),
    Global(
        "retries",
        ("--retries",),
        "N",
        "Retries for read requests (default: 2).",
        click.IntRange(0, 100),
    ),
    Global(
        "parallel",
        ("--parallel",),
        "N",
        "Number of parallel operations (default: 8).",
        click.IntRange(1, 256),
    ),
    Global("request_id", ("--request-id",), "ID", "Request ID for the logs of OpenIO services."),
    Global("trace", ("--trace",), None, "Print each step as a shell command on stderr."),
    Global("quiet", ("-q", "--quiet"), None, "Suppress informational messages."),
    Global("color", ("--color",), ("auto", "always", "never"), "When to use colors."),
)


def flags_of(context: click.Context) -> dict[str, Any]:
    """The global options given; if one is repeated, the innermost takes precedence."""
    flags: dict[str, Any] = context.meta.setdefault(_KEPT, {})
    return flags


def seconds_of(context: click.Context) -> float | None:
    """How long the whole command may take, before its site is there."""
    from rdctl.config.contexts import Config
    from rdctl.config.resolve import resolve

    typed: float | None = flags_of(context).get("timeout")
    if typed is None:
        environment = context.obj
        with suppress(RdctlError):  # which is raised where the site is made
            settings = resolve(
                Config(environment.environ, environment.root, environment.home()), flags_of(context)
            )
            typed = settings.get("timeout")
    return typed


class _Filled(click.ParamType):  # type: ignore[type-arg]
    """A type of non-empty words. An empty word is usually an unset variable of a script."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class _Text(_Filled, click.types.StringParamType):
    """Any non-empty text."""


class _Parsed(_Filled, click.types.FuncParamType):  # type: ignore[type-arg]
    """A word converted by a function."""


def parsed(name: str, parse: Callable[[str], Any]) -> click.ParamType[Any]:
    """The type of words that `parse` converts; `name` is its name in help."""
    made = _Parsed(parse)
    made.name = name
    return made


_TEXT = _Text()
# Options that accept an empty text, and what it means.
EMPTY = {
    "--prefix": "all names begin with nothing",
    "--name-prefix": "names stay as they are",
    "--marker": "all names come after nothing, as at the start of a loop",
    "--end-marker": "no name is the end, as of the last range of a container",
    "--args": "a link without arguments, which is the default",
}


def _filled(params: list[click.Parameter]) -> list[click.Parameter]:
    """The parameters, changed to refuse an empty text."""
    for param in params:
        if param.type is click.STRING and not EMPTY.keys() & set(param.opts):
            param.type = _TEXT
    return params


def _keep(context: click.Context, param: click.Parameter, value: Any) -> None:
    # The value of an option that is not given, depending on the version of click.
    if not (value is None or value is False or value == ()):
        kept = ",".join(value) if isinstance(value, tuple) else value
        flags_of(context)[str(param.name).removeprefix("global_")] = kept


def _option(entry: Global, hidden: bool) -> click.Option:
    kind: dict[str, Any] = {"is_flag": True}
    if isinstance(entry.value, tuple):
        kind = {"type": click.Choice(entry.value)}
    elif entry.value is not None:
        kind = {"metavar": entry.value, "type": entry.type or click.STRING}
    return click.Option(
        [f"global_{entry.name}", *entry.spellings],
        help=entry.help,
        expose_value=False,
        callback=_keep,
        hidden=hidden,
        # It also limits options that read standard input.
        is_eager=entry.name == "timeout",
        multiple=entry.several,
        **kind,
    )


# --- --remote-file ---------------------------------------------------------------------------


def remote_file_option() -> click.Option:
    """The option --remote-file of a verb that names files, kept with the global options."""
    return click.Option(
        ["remote_file", "--remote-file"],
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Over SSH: the file is on the remote machine.",
    )


# --- --watch ----------------------------------------------------------------------------------

WATCH = "--watch"
SECONDS = 2.0
LEAST = 0.1
MOST = 86400.0

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


def interval(text: str) -> float:
    """Seconds between two samples."""
    seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not LEAST <= seconds <= MOST:
        raise RdctlError(
            Code.USAGE,
            f'invalid {WATCH} "{defuse(text)}": must be from {LEAST:g} to {MOST:g} seconds',
            hint=f"For every half second use {WATCH}=0.5; {WATCH} alone is every {SECONDS:g} s.",
        )
    return seconds


def watch_option() -> click.Option:
    """The option --watch [SECONDS] of a verb that only reads, with an optional value. It is stored
    with the global options, in `flags_of(context)["watch"]`."""
    return click.Option(
        ["watch", WATCH],
        metavar="[SECONDS]",
        type=parsed("seconds", interval),
        expose_value=False,
        callback=_keep,
        help=f"Repeat every SECONDS (default: {SECONDS:g}).",
    )


def written_out(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """The words with an explicit value of --watch: the next word if it is a number, else the
    default. click would take any next word as the value, even the name of a volume."""
    options = [param for param in params if isinstance(param, click.Option) and not param.is_flag]
    valued = {spelling for option in options for spelling in option.opts}
    words, written = deque(args), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*written, word, *words]
        if word == WATCH:
            given = words.popleft() if words and _NUMBER.fullmatch(words[0]) else f"{SECONDS:g}"
            written.append(f"{WATCH}={given}")
            continue
        written.append(word)
        if word in valued and words:
            written.append(words.popleft())
    return written


# --- help -------------------------------------------------------------------------------------

_WHOLE_HYPHEN = "\u2011"
# As click wraps at the least.
_NARROWEST = 11


class HelpFormatter(click.HelpFormatter):
    """Help without line breaks at hyphens, so that a search for `--dry-run` finds it."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _WHOLE_HYPHEN))

    def write_dl(self, rows: Any, *args: Any, **kwargs: Any) -> None:
        whole = [(term, meaning.replace("-", _WHOLE_HYPHEN)) for term, meaning in rows]
        super().write_dl(whole, *args, **kwargs)

    def wrapped(self, text: str, width: int, first: str, rest: str) -> str:
        return wrap_text(text.replace("-", _WHOLE_HYPHEN), max(width, _NARROWEST), first, rest)

    def getvalue(self) -> str:
        return super().getvalue().replace(_WHOLE_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = HelpFormatter


class WithGlobals(click.Command):
    """A command that also accepts the global options; its own take precedence. The global options
    are shown once, in the help of the root."""

    context_class = _Context
    _all_params: list[click.Parameter] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._all_params is None:
            own = super().get_params(ctx)
            taken = {spelling for param in own for spelling in param.opts}
            self._all_params = _filled(
                [
                    *own,
                    *(
                        _option(entry, hidden=ctx.parent is not None)
                        for entry in GLOBALS
                        if not taken.intersection(entry.spellings)
                    ),
                ]
            )
        return self._all_params

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:  # click leaves the command out of some
            error.ctx = error.ctx or ctx
            raise

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        # Their order is random in click 8.2.
        return sorted(super().get_help_option_names(ctx), key=len)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(context: click.Context, param: click.Parameter, value: bool) -> None:
    """Write the help to stdout, as it is data requested by the user."""
    if value and not context.resilient_parsing:
        context.obj.stdout.write(context.get_help() + "\n")
        context.exit()
