"""rdctl help"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click
from click.formatting import wrap_text

from rdctl.cli.topics import TOPICS, Lines, Section, Terms
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Text
from rdctl.core.units import defuse, did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.cli.invocation import Invocation


class _Topic(click.Choice):  # type: ignore[type-arg]
    """A topic; an unknown word gets a suggestion."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in TOPICS:
            _no_topic(value)
        return value


def _no_topic(word: str) -> NoReturn:
    from rdctl.cli.tree import root

    if word in root.children:
        meant, hint = "", f"Run: rdctl {word} --help"
    else:
        meant, hint = nearest(word, TOPICS), f"Existing topics: {', '.join(TOPICS)}."
    message = f'unknown help topic "{defuse(word)}"{did_you_mean(meant)}'
    raise RdctlError(Code.USAGE, message, hint=hint)


@verb("help", on_site=False, examples=["rdctl help", "rdctl help exit-codes", "rdctl help output"])
@click.argument("topic", type=_Topic(list(TOPICS)), required=False)
def show(on: Invocation, topic: str | None) -> Text:
    """Explain exit-codes, output, environment or config.

    Without TOPIC, lists the topics. For the help of a command, use --help."""
    sections = TOPICS[topic][1]() if topic else _overview()
    return Text(as_text(sections, min(on.environment.width, 100)))


def _overview() -> list[Section]:
    topics = tuple((name, line) for name, (line, _) in TOPICS.items())
    more = "Use `rdctl help TOPIC` for a topic, or --help for the help of a command."
    return [Section("Topics", [Terms(topics), more])]


def as_text(sections: Sequence[Section], width: int) -> str:
    """Sections, wrapped to that width."""
    formatter = click.HelpFormatter(width=width)
    for section in sections:
        with formatter.section(section.heading):
            for number, block in enumerate(section.blocks):
                if number:
                    formatter.write_paragraph()
                _write_block(formatter, block)
    return formatter.getvalue()


def _write_block(formatter: click.HelpFormatter, block: str | Terms | Lines) -> None:
    indent = " " * formatter.current_indent
    if isinstance(block, Terms):
        formatter.write_dl(list(block.terms), col_max=min(30, formatter.width // 3))
    elif isinstance(block, Lines):
        for line in block.lines:
            formatter.write(f"{indent}  {line}".rstrip() + "\n")
    else:
        formatter.write(wrap_text(block, formatter.width, indent, indent) + "\n")
