"""An empty value is mostly a script's variable that is not set: it is refused where it means
nothing."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from rdctl.cli.blocks import Terms
from rdctl.cli.options import EMPTY, GLOBALS
from rdctl.cli.topics import environment
from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from tests.cli.oio.conftest import Oio, Server, oio, seeded, server, wire
from tests.conftest import Program

__all__ = ["Server", "oio", "seeded", "server", "wire"]

NODES = walk(root)
# What stands before an argument, so that it is the empty one that is refused.
BEFORE = {"SIZE": "1M", "ID": "1", "METHOD": "GET", "ADDRESS": "127.0.0.1:1"}


def options() -> Iterator[tuple[str, list[str]]]:
    """Every option that takes a value, in each command that has it."""
    for node in NODES:
        own = [p for p in node.command.params if isinstance(p, click.Option) and not p.is_flag]
        spellings = [param.opts[-1] for param in own]
        spellings += [entry.spellings[-1] for entry in GLOBALS if entry.value is not None]
        for spelling in dict.fromkeys(spellings):
            yield spelling, [*node.path.split()[1:], f"{spelling}="]


def arguments() -> Iterator[tuple[str, list[str]]]:
    """Every argument, in each command that has it."""
    for node in NODES:
        before: list[str] = []
        for param in node.command.params:
            if isinstance(param, click.Argument):
                name = str(param.metavar or param.name).strip("[]").upper()
                yield name, [*node.path.split()[1:], *before, ""]
                before.append(BEFORE.get(name, "x"))


def test_every_option_that_may_be_empty_is_one() -> None:
    assert EMPTY.keys() < {option for option, _ in options()}


@pytest.mark.parametrize(
    ("name", "words"),
    [*((o, w) for o, w in options() if o not in EMPTY), *arguments()],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_is_done_with_an_empty_word(rdctl: Program, name: str, words: list[str]) -> None:
    where = [] if "--context=" in words else ["-c", "sandbox"]
    ran = rdctl(*where, *words)
    plugin = words[0] == "check"  # has exit codes of its own, and its message is its one line
    assert ran.code == (3 if plugin else 2), ran.err
    if plugin:
        assert ran.out.startswith("RDCTL UNKNOWN - ")
        return
    if name.startswith("--"):
        assert name in ran.err
    else:  # a type with choices says what they are
        assert any(text in ran.err for text in ("must not be empty", "''", '""'))
    assert not rdctl.sandbox.exists()


def test_a_listing_from_its_start(wire: Oio) -> None:
    """`--prefix "$p"` and `--marker "$m"` of a script that has none yet."""
    words = ("container", "list", "photos", "--json")
    whole = wire.ok(*words).json["items"]
    empty = ("--prefix", "", "--marker=", "--end-marker=")
    assert wire.ok(*words, *empty).json["items"] == whole


def test_a_listing_of_containers_from_its_start(oio: Oio) -> None:
    words = ("container", "list", "--json")
    whole = oio.ok(*words).json["items"]
    assert oio.ok(*words, "--prefix", "", "--marker=", "--end-marker=").json["items"] == whole


def test_no_arguments_of_a_link(wire: Oio) -> None:
    wire.ok("reference", "create", "user1")
    wire.ok("reference", "force", "user1", "sqlx", "127.0.0.1:7000", "--args", "")
    assert wire.changes[-1].body["args"] == ""


VARIABLES = [
    word
    for section in environment()
    for part in section.blocks
    if isinstance(part, Terms)
    for word, _ in part.terms
]


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_is_as_one_that_is_not_set(rdctl: Program, variable: str) -> None:
    for words in ("context list", "-c sandbox rapiddisk list", "rapiddisk list --account a"):
        unset = rdctl(*words.split(), env={"TERM": "xterm"}, tty=True)
        empty = rdctl(*words.split(), env={"TERM": "xterm", variable: ""}, tty=True)
        assert empty == unset
