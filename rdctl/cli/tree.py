"""The tree of commands. A noun imports a child only when it is used, for a fast start. A verb only
calls one operation and returns its result; `pipeline` does the rest."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from rdctl import __version__
from rdctl.cli.options import (
    SYNONYM,
    WORDS,
    WithGlobals,
    remote_file_option,
    watch_option,
    written_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rdctl.core.environment import Environment

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
# A verb that supports --watch on the machine itself, but not through a daemon.
HERE = "here"


# --- nouns ------------------------------------------------------------------------------------


class NoSuchVerb(click.UsageError):
    """An unknown word after a noun."""

    def __init__(self, word: str, known: Iterable[str], ctx: click.Context) -> None:
        super().__init__(f'unknown command "{word}" for "{ctx.command_path}"', ctx)
        self.noun = ctx.command_path
        self.word = word
        self.known = list(known)


class NoVerb(click.UsageError):
    """A noun alone. click has an exception for it from 8.2 on; before, it writes the help."""

    def __init__(self, ctx: click.Context) -> None:
        super().__init__("Missing command.", ctx)


class LazyGroup(WithGlobals, click.Group):
    """`children` maps a name to `module:attribute` and to the line that help shows for it;
    `internal` has those that only programs use."""

    def __init__(
        self,
        *args: Any,
        children: Mapping[str, tuple[str, str]],
        internal: Mapping[str, str] = MappingProxyType({}),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.children = children
        self.internal = internal

    def synonyms(self, path: str) -> Mapping[str, str]:
        """The hidden words of the noun at this path, and the words that they mean."""
        from rdctl.cli.meanings import SYNONYMS

        return SYNONYMS.get(path, {})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise NoVerb(ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.children)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = self.internal.get(cmd_name) or self.children.get(cmd_name, ("",))[0]
        if not where:
            return None
        module, _, attribute = where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.children.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.children and args[0] not in self.internal:
            args = self._in_other_words(ctx, args)
        return super().resolve_command(ctx, args)

    def _in_other_words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words that these mean: `help [VERB]` is `[VERB] --help`, `rm` may be `remove`."""
        word, *rest = args
        if word == "help":
            if rest and rest[0] not in ("help", *ctx.help_option_names):
                return [*self.known(ctx, rest), "--help"]
            ctx.obj.stdout.write(f"{ctx.get_help()}\n")
            ctx.exit()
        return self.known(ctx, args)

    def known(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words, with the first one as it is known here."""
        from rdctl.cli.meanings import DESTRUCTIVE

        if args[0] in self.children:
            return args
        words = self.synonyms(ctx.command_path).get(args[0], "").split()
        if not words:
            raise NoSuchVerb(args[0], self.children, ctx)
        if words[-1] in DESTRUCTIVE:
            ctx.meta[SYNONYM] = args[0]
        return [*words, *args[1:]]


# --- verbs ------------------------------------------------------------------------------------


class Command(WithGlobals):
    """A verb. `shows` is the schema of its output, `shows_bare` that without a target, if another;
    a verb without one makes changes and reports them. `local_only`: it works only for RapidDisk
    on this machine. `watch`: it only reads, so it supports --watch; HERE: not through a daemon,
    which it could crash. `fleet`: it supports several contexts. `files` are its parameters that
    name files, each with what is done with them (see remote/files.py).
    `remote`: it needs no site, but for a context over SSH rdctl there runs it."""

    def __init__(
        self,
        *args: Any,
        shows: str | None = None,
        shows_bare: str | None = None,
        on_site: bool = True,
        local_only: bool = False,
        watch: bool | str = False,
        fleet: bool = True,
        files: Mapping[str, str] = MappingProxyType({}),
        remote: bool = False,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        if watch:
            self.params.append(watch_option())
        if files:
            self.params.append(remote_file_option())
        self.shows = shows
        self.shows_bare = shows_bare
        self.on_site = on_site
        self.local_only = local_only
        self.watch = watch
        self.fleet = fleet
        self.files = files
        self.remote = remote
        self.examples = examples

    def shown(self, params: Mapping[str, Any]) -> str | None:
        """The schema of its output with these parameters."""
        bare = self.shows_bare and not (params.get("words") or params.get("cid"))
        return self.shows_bare if bare else self.shows

    @property
    def work(self) -> Callable[..., Any]:
        """The function of the verb."""
        if self.callback is None:
            raise TypeError(f"{self.name} has no callback")
        return self.callback

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.watch:
            args = written_out(args, self.get_params(ctx))
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")
        with formatter.indentation():
            formatter.write("\nGlobal options: rdctl --help\n")

    def invoke(self, ctx: click.Context) -> click.Context:
        """Only return the context: `pipeline` runs the verb."""
        return ctx


def verb(name: str, **options: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command with these options of `Command`. The first line of its docstring is
    its line in the group's help; its first argument is the Site, or the Invocation if the command
    needs no site."""
    return click.command(name, cls=Command, **options)


# --- the root ---------------------------------------------------------------------------------


def _version(context: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        context.obj.stdout.write(f"rdctl {__version__}\n")
        context.exit()


root = LazyGroup(
    "rdctl",
    help="""Manage RapidDisk and OpenIO SDS.

    RapidDisk provides RAM disks, caches and NVMe-oF targets; OpenIO SDS is an object store. To try
    rdctl without either: rdctl -c sandbox rapiddisk list

    Destructive commands require confirmation and show what will be lost. Without a terminal they
    require --yes. --dry-run shows the steps without executing them; --trace shows them while they
    are executed.

    The options below can be given anywhere on the command line.""",
    children={
        "rapiddisk": (
            "rdctl.cli.rapiddisk:group",
            "Manage RAM disks (volumes), caches and NVMe-oF targets.",
        ),
        "oio": ("rdctl.cli.oio:group", "Manage OpenIO SDS object storage through its oio-proxy."),
        "doctor": ("rdctl.cli.doctor:doctor", "Diagnose problems and show how to fix them."),
        "metrics": ("rdctl.cli.metrics:metrics", "Print metrics in the text format of Prometheus."),
        "check": ("rdctl.cli.check:check", "Check thresholds, as a plugin of a monitoring system."),
        "history": ("rdctl.cli.history:history", "Show which commands changed something."),
        "context": (
            "rdctl.cli.context:group",
            "Manage contexts: named sets of connection settings.",
        ),
        "sandbox": ("rdctl.cli.sandbox:group", "Manage the sandbox: both systems, simulated."),
        "completion": (
            "rdctl.cli.completion:completion",
            "Print or install a shell completion script.",
        ),
        "help": ("rdctl.cli.help:show", "Show the help of a command, or of a topic."),
        "version": ("rdctl.cli.help:version", "Show the version of rdctl, and of Python."),
    },
    internal={"__agent": "rdctl.cli.agent:agent"},
    params=[
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Show the version.",
        )
    ],
)


def typed(argv: Sequence[str], environment: Environment) -> click.Context:
    """The verb that these words name, with its arguments and options."""
    context = root.make_context(
        "rdctl", list(argv), obj=environment, terminal_width=min(environment.width, 100)
    )
    with context:
        found: click.Context = root.invoke(context)
    return found
