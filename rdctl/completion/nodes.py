"""The tree of commands for completion scripts: each command with its path, its options and their
values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import click

from rdctl.completion.kinds import value_of

if TYPE_CHECKING:
    from rdctl.output.schemas import Column


class Node(NamedTuple):
    """A command in the tree; `path` is the typed command: `rdctl rapiddisk list`."""

    path: str
    command: click.Command
    context: click.Context

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return (self.command.help or "").partition("\n")[0]

    @property
    def children(self) -> list[Node]:
        """The nouns and verbs that may follow."""
        group = self.command
        if not isinstance(group, click.Group):
            return []
        names = group.list_commands(self.context)
        found = (group.get_command(self.context, name) for name in names)
        return [_node(command, self) for command in found if command is not None]

    @property
    def options(self) -> list[click.Option]:
        """Its own options, as shown in its help; for the root, also those accepted anywhere."""
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Option) and not param.hidden]

    @property
    def arguments(self) -> list[click.Argument]:
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Argument)]

    @property
    def keys(self) -> list[str]:
        """The keys of its output."""
        return [column.key for column in self.columns]

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of its output."""
        from rdctl.output.schemas import CHANGE, SCHEMAS

        if isinstance(self.command, click.Group):
            return ()
        names = [getattr(self.command, key, None) for key in ("shows", "shows_bare")]
        schemas = [SCHEMAS[name] for name in names if name] or [CHANGE]
        columns = {column.key: column for schema in schemas for column in schema.columns}
        return tuple(columns.values())


def _node(command: click.Command, above: Node | None) -> Node:
    name = str(command.name)
    parent = above.context if above else None
    context = click.Context(command, parent, name, **command.context_settings)
    return Node(f"{above.path} {name}" if above else name, command, context)


def walk(root: click.Command) -> list[Node]:
    """Every noun and verb, from the root down."""
    return list(_walk(_node(root, None)))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def choices(param: click.Parameter) -> list[str]:
    """The choices of a value, if any."""
    return [str(choice) for choice in getattr(param.type, "choices", ())]


def label(param: click.Parameter) -> str:
    """The name of a value: `SIZE`."""
    by_type = isinstance(param, click.Option) and not choices(param)
    name = param.type.name if by_type else str(param.name).removeprefix("global_")
    return param.metavar or name.upper()


class Slot(NamedTuple):
    """One value on the command line: its label and its completions: words, a kind of `kinds`, or
    none. `repeated`: any number of values."""

    label: str
    words: tuple[str, ...]
    kind: str
    repeated: bool


def slots(path: str, param: click.Parameter) -> list[Slot]:
    """The values of an option or an argument, which may be several: `CONTAINER PATH`."""
    if words := choices(param):
        return [Slot(label(param), tuple(words), "", param.nargs == -1)]
    spellings = param.opts if isinstance(param, click.Option) else ()
    return [_slot(path, text, spellings) for text in label(param).split()]


def _slot(path: str, text: str, spellings: Sequence[str]) -> Slot:
    word, repeated = text.strip("[]").removesuffix("..."), "..." in text
    value: str | tuple[str, ...] | None = None
    with suppress(KeyError):
        value = value_of(path, word.partition("|")[0], spellings)
    words = value if isinstance(value, tuple) else ()
    return Slot(word, words, value if isinstance(value, str) else "", repeated)


def may_lack_value(option: click.Option) -> bool:
    """Whether its value is optional: `--watch [SECONDS]`."""
    return bool(re.fullmatch(r"\[[A-Z]+\]", label(option)))


def spellings(options: list[click.Option], valued: bool = False) -> list[str]:
    """All spellings of options; with `valued`, only of those whose value is the next word."""
    return [word for o in options if not valued or is_valued(o) for word in o.opts]


def is_valued(option: click.Option) -> bool:
    return not option.is_flag and not may_lack_value(option)


def letters(options: Iterable[click.Option]) -> str:
    """The letters of short options."""
    return "".join(sorted({word[1] for o in options for word in o.opts if len(word) == 2}))


def parted(root: click.Command) -> tuple[list[click.Option], dict[Node, list[click.Option]]]:
    """The options accepted anywhere, and the nodes, each with its other options."""
    top, *rest = walk(root)
    below = {option.name for option in rest[0].command.get_params(rest[0].context)}
    anywhere = [option for option in top.options if option.name in below]
    names = {option.name for option in anywhere}
    nodes = {node: [o for o in node.options if o.name not in names] for node in (top, *rest)}
    return anywhere, nodes


def synonyms(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """The paths that synonyms lead to, with the typed ones: `rdctl rapiddisk remove`."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        words = getattr(node.command, "synonyms", None)
        for word, meant in words(node.path).items() if words else ():
            verb = meant.partition(" -")[0]
            found.setdefault(f"{node.path} {verb}", []).append(f"{node.path} {word}")
    return found
