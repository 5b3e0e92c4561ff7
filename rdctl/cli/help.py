"""rdctl help"""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, cast

import click

from rdctl import __version__
from rdctl.cli.blocks import Lines, Section, Terms
from rdctl.cli.meanings import verb_meant
from rdctl.cli.options import HelpFormatter
from rdctl.cli.topics import TOPICS
from rdctl.cli.tree import LazyGroup, NoSuchVerb, root, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Item, Text
from rdctl.core.units import defuse, did_you_mean, nearest
from rdctl.effects.syscalls import Syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.cli.invocation import Invocation
    from rdctl.core.environment import Environment
    from rdctl.output.schemas import Schema


@verb(
    "help",
    on_site=False,
    examples=[
        "rdctl help",
        "rdctl help exit-codes",
        "rdctl help rapiddisk create",
        "rdctl help output rapiddisk.volume",
        "rdctl help concepts write-around",
    ],
)
@click.argument("topic", required=False)
@click.argument("words", metavar="[WORD...]", nargs=-1)
@click.option("--pager", is_flag=True, help="Show it with $PAGER (default: less).")
def show(on: Invocation, topic: str | None, words: tuple[str, ...], pager: bool) -> Text:
    """Show the help of a command, or of a topic.

    TOPIC is a command, such as `rapiddisk create`, or concepts, exit-codes, output, environment
    or config. WORD selects sections of such a topic, by their headings or else by their text; the
    first three letters of a word suffice.
    Without TOPIC, lists the topics."""
    width = min(on.environment.width, 100)
    if topic is None:
        text = as_text(_overview(), width)
    elif topic in TOPICS:
        text = as_text(_sections(topic, words), width)
    else:
        text = _help_of([topic, *words], click.get_current_context())
    return Text("" if pager and _paged(text, on.environment) else text)


def _paged(text: str, environment: Environment) -> bool:
    if not environment.stdout.tty:
        return False
    pager = environment.environ.get("PAGER") or "less"
    try:
        argv = shlex.split(pager)
    except ValueError as error:
        message = f'invalid PAGER "{defuse(pager)}": {error}'
        raise RdctlError(Code.CONFIG, message, hint="Unset it, or set it to a command.") from error
    return (environment.calls or Syscalls()).page(argv, text)


def _sections(topic: str, words: Sequence[str]) -> Sequence[Section]:
    """The sections of a topic, or those that have all of these words in their heading; if none has,
    those that have them in their text, in which single letters are not searched for."""
    sections = TOPICS[topic][1]()
    exact = [one for one in sections if one.heading.startswith(f"rdctl.{' '.join(words)}/")]
    found = [one for one in sections if _has(one.heading, words)]
    if not found and all(len(word) > 1 for word in words):
        found = [one for one in sections if _has(as_text([one], 100), words)]
    if not found:
        word, known = " ".join(words), [one.heading for one in sections]
        known = [heading for heading in known if heading.lower() != topic]  # its title
        meant = did_you_mean(nearest(word, known, 0.8))
        message = f'unknown section "{defuse(word)}" of {topic}{meant}'
        headings = "; ".join(known)
        raise RdctlError(Code.USAGE, message, hint=f"Existing sections: {headings}.")
    return exact or found


def _has(text: str, words: Sequence[str]) -> bool:
    """Whether all occur, each as a whole word, or as the beginning of one from three letters on."""

    def found(word: str) -> re.Match[str] | None:
        end = "" if len(word) > 2 else r"(?!\w)"
        return re.search(rf"(?<!\w){re.escape(word)}{end}", text, re.IGNORECASE)

    return all(found(word) for word in words)


@verb(
    "version",
    shows="rdctl.version/1",
    on_site=False,
    examples=["rdctl version", "rdctl version -o name"],
)
def version(on: Invocation) -> Item:
    """Show the version of rdctl, and of Python.

    The options -V and --version show the first on one line."""
    return Item({"version": __version__, "python": ".".join(map(str, sys.version_info[:3]))})


def _help_of(words: Sequence[str], context: click.Context) -> str:
    """The help of the command that these words name."""
    above = context.find_root()
    command, rest = above.command, list(words)
    while rest:
        if not isinstance(command, LazyGroup):
            message = f'unexpected argument "{defuse(rest[0])}" after "{above.command_path}"'
            raise RdctlError(Code.USAGE, message, hint=f"Run: {above.command_path} --help")
        try:
            name, child, rest = command.resolve_command(above, rest)
            # A synonym may stand for options, too.
            rest = [word for word in rest if not word.startswith("-")]
        except NoSuchVerb as error:
            if above.parent is not None:
                raise
            known = [*error.known, *TOPICS]
            meant = did_you_mean(verb_meant("rdctl", error.word, known))
            message = f'unknown command or help topic "{defuse(error.word)}"{meant}'
            raise RdctlError(Code.USAGE, message, hint="Run: rdctl help") from error
        command = cast("click.Command", child)
        above = click.Context(command, info_name=name, parent=above)
    return f"{command.get_help(above)}\n"


def _overview() -> list[Section]:
    topics = tuple((name, line) for name, (line, _) in TOPICS.items())
    commands = tuple((name, line) for name, (_, line) in root.children.items())
    more = "Use `rdctl help TOPIC` for a topic, or `rdctl help COMMAND` for a command."
    return [Section("Commands", [Terms(commands)]), Section("Topics", [Terms(topics), more])]


def columns_of(schema: Schema, width: int) -> str:
    """The columns of a listing, as `--columns help` shows them."""
    terms = tuple((column.key, column.doc) for column in schema.columns)
    return as_text([Section(f"Columns of {schema.noun}", [Terms(terms)])], min(width, 100))


def as_text(sections: Sequence[Section], width: int) -> str:
    """Sections, wrapped to that width."""
    formatter = HelpFormatter(width=width)
    for section in sections:
        with formatter.section(section.heading):
            for number, block in enumerate(section.blocks):
                if number:
                    formatter.write_paragraph()
                _write_block(formatter, block)
    return formatter.getvalue()


def _write_block(formatter: HelpFormatter, block: str | Terms | Lines) -> None:
    indent = " " * formatter.current_indent
    if isinstance(block, Terms):
        room = formatter.width - formatter.current_indent
        terms = [
            (formatter.wrapped(term, room, "", indent), meaning) for term, meaning in block.terms
        ]
        formatter.write_dl(terms, col_max=min(30, formatter.width // 3))
    elif isinstance(block, Lines):
        for line in block.lines:
            formatter.write(f"{indent}  {line}".rstrip() + "\n")
    else:
        formatter.write(formatter.wrapped(block, formatter.width, indent, indent) + "\n")
