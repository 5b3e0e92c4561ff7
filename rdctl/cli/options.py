"""The global options: one list, understood before the noun, after it, and after the verb; and the
option --watch."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Where click's context keeps what was typed.
_KEPT = "rdctl.flags"


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
        "The context to work in; several: a,b or 'rack1-*'.",
        several=True,
    ),
    Global("local", ("--local",), None, "RapidDisk on this machine, through the kernel."),
    Global("rapiddisk_url", ("--rapiddisk-url",), "URL", "The rapiddiskd: http://HOST:9118."),
    Global("oio_url", ("--oio-url",), "URL", "The oio-proxy: http://HOST:6002."),
    Global("namespace", ("--namespace",), "NS", "The namespace of OpenIO SDS."),
    Global("account", ("--account",), "ACCOUNT", "The account of OpenIO SDS."),
    Global("output", ("-o", "--output"), tuple(FORMATS), "The format of what is shown."),
    Global("json", ("--json",), None, "The same as -o json."),
    Global("columns", ("--columns",), "KEY,KEY", "Only these keys, in this order."),
    Global(
        "sort_by",
        ("--sort-by",),
        "[-]KEY",
        "Sort a listing, which needs all of it; - means descending.",
    ),
    Global("no_headers", ("--no-headers",), None, "No line of headings."),
    Global("nul", ("-0",), None, "Names as they are, each ended by NUL; implies -o name."),
    Global("query", ("--query",), "JMESPATH", "An expression applied to the items."),
    Global("table_style", ("--table-style",), "STYLE", "A style of tabulate: github, grid, ..."),
    Global("yes", ("-y", "--yes"), None, "Agree to what will be lost."),
    Global("dry_run", ("--dry-run",), None, "Show what would be done, and do nothing."),
    Global("timeout", ("--timeout",), "S", "Seconds for the whole command.", click.FLOAT),
    Global("retries", ("--retries",), "N", "Further attempts of a read.", click.IntRange(0, 100)),
    Global(
        "parallel",
        ("--parallel",),
        "N",
        "So many names, or chunks, at a time.",
        click.IntRange(1, 256),
    ),
    Global("request_id", ("--request-id",), "ID", "The id that OpenIO's services log."),
    Global("trace", ("--trace",), None, "Show each step as a line for a shell, on stderr."),
    Global("quiet", ("-q", "--quiet"), None, "Only data, and errors."),
    Global("color", ("--color",), ("auto", "always", "never"), "Colors on a terminal."),
)


def flags_of(context: click.Context) -> dict[str, Any]:
    """The global options that were typed; where one stands twice, the innermost holds."""
    flags: dict[str, Any] = context.meta.setdefault(_KEPT, {})
    return flags


def seconds_of(context: click.Context) -> float | None:
    """How long the whole command may take, before its site is there."""
    from rdctl.config.contexts import Config
    from rdctl.config.resolve import resolve

    typed: float | None = flags_of(context).get("timeout")
    if typed is None:
        world = context.obj
        with suppress(RdctlError):  # which is raised where the site is made
            settings = resolve(Config(world.environ, world.root, world.home()), flags_of(context))
            typed = settings.get("timeout")
    return typed


class _Filled(click.ParamType):  # type: ignore[type-arg]
    """A type of words with something in them. An empty one is mostly a script's variable that is
    not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class _Text(_Filled, click.types.StringParamType):
    """Any text but an empty one."""


class _Parsed(_Filled, click.types.FuncParamType):  # type: ignore[type-arg]
    """What a function makes of a word."""


def parsed(name: str, parse: Callable[[str], Any]) -> click.ParamType[Any]:
    """The type of words of which `parse` makes values; `name` is what help calls one of them."""
    made = _Parsed(parse)
    made.name = name
    return made


_TEXT = _Text()
# Options for which an empty text has a meaning, and which. Types other than texts have none.
EMPTY = {
    "--prefix": "all names begin with nothing",
    "--marker": "all names come after nothing, as at the start of a loop",
    "--args": "a link without arguments, which is the default",
}


def _filled(params: list[click.Parameter]) -> list[click.Parameter]:
    """The parameters; those that take a text want one that is not empty."""
    for param in params:
        if param.type is click.STRING and not EMPTY.keys() & set(param.opts):
            param.type = _TEXT
    return params


def _keep(context: click.Context, param: click.Parameter, value: Any) -> None:
    # What was not typed is one of these, in each version of click.
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
        # Options that read standard input do so within it.
        is_eager=entry.name == "timeout",
        multiple=entry.several,
        **kind,
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
            f"{WATCH}: '{defuse(text)}' is no number of seconds from {LEAST:g} to {MOST:g}",
            hint=f"Every half a second is {WATCH}=0.5; {WATCH} alone is every {SECONDS:g} s.",
        )
    return seconds


def watch_option() -> click.Option:
    """The option --watch [SECONDS] of a verb that only reads: its value may be left out. It is kept
    where the global options are: in `flags_of(context)["watch"]`."""
    return click.Option(
        ["watch", WATCH],
        metavar="[SECONDS]",
        type=parsed("seconds", interval),
        expose_value=False,
        callback=_keep,
        help=f"Show it again and again, every {SECONDS:g} s or SECONDS.",
    )


def written_out(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """The words with the value of --watch written out: the next word if that is a number, else the
    default. click itself would take any next word for it, also the name of a volume."""
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


class _Formatter(click.HelpFormatter):
    """Help in which no word is parted at a hyphen: who looks for `--dry-run` has to find it."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _WHOLE_HYPHEN))

    def write_dl(self, rows: Any, *args: Any, **kwargs: Any) -> None:
        whole = [(term, meaning.replace("-", _WHOLE_HYPHEN)) for term, meaning in rows]
        super().write_dl(whole, *args, **kwargs)

    def getvalue(self) -> str:
        return super().getvalue().replace(_WHOLE_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class WithGlobals(click.Command):
    """A command that understands the global options beside its own, which win a clash. They are
    shown once, in the help of the root."""

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

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        # click 8.2 has them in any order.
        return sorted(super().get_help_option_names(ctx), key=len)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(context: click.Context, param: click.Parameter, value: bool) -> None:
    """Help is data that was asked for: it goes to the world's stdout."""
    if value and not context.resilient_parsing:
        context.obj.stdout.write(context.get_help() + "\n")
        context.exit()
