"""What every command must have, held in one place: its help, examples, man page, completion, and
where it changes something its row in the table of dry runs.

That the pages and the completions are those of the tree is held by test_generated.py, that the
examples work as printed by test_help.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import Node, parted, walk
from tests import generate
from tests.cli.test_dry_run import NO_CHANGE, in_the_table

FILES = generate.files()
NODES = walk(root)
OWN = {node.path: options for node, options in parted(root)[1].items()}
WIDTH = 80


def faults(node: Node, above: Node | None, own: list[click.Option]) -> list[str]:
    checks: tuple[Callable[[Node, Node | None, list[click.Option]], Iterator[str]], ...]
    checks = (of_help, of_options, of_page, of_completion)
    if isinstance(node.command, Command):
        checks += (of_examples, of_dry_run)
    return [fault for check in checks for fault in check(node, above, own)]


def of_help(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    """A line for the list of commands, which has no heading, and for a verb more than that."""
    summary, _, more = (node.command.help or "").partition("\n")
    if not re.fullmatch(r"[A-Z].*\.", summary):
        yield "no line that says what it does"
    if isinstance(node.command, Command) and len(more.split()) < 5:
        yield "no paragraph that says what happens"
    if above is not None:
        names = [str(child.command.name) for child in above.children]
        indent = 2 + max(map(len, [*names, str(node.command.name)])) + 2
        if indent + len(summary) > WIDTH:
            yield f"its line is wider than {WIDTH} columns in the list of commands"


def of_options(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    for option in own:
        if not re.fullmatch(r"(?s)[A-Z-].*[.]", option.help or ""):
            yield f"no sentence about {option.opts[0]}"


def of_examples(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    assert isinstance(node.command, Command)
    examples = node.command.examples
    if len(set(examples)) < 2 or len(set(examples)) < len(examples):
        yield "no two examples"
    for example in examples:
        plain = re.sub(r"rdctl (-c sandbox|--oio-url \S+) ", "rdctl ", f"{example} ")
        if f"{node.path} " not in plain:
            yield f"an example of another command: {example}"
        if re.search(r" (--yes|-y)\b", example):
            yield f"an example that agrees to a loss: {example}"


def of_page(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    noun = "-".join(node.path.split()[:2])
    page = FILES.get(f"man/{noun}.1", FILES["man/rdctl.1"])
    title = node.path.replace("-", r"\-")
    if isinstance(node.command, Command) and f"\n.SS {title}\n" not in page:
        yield "no section in a man page"
    elif title not in page:
        yield "not in a man page"


def of_completion(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    name = re.escape(str(node.command.name))
    bash, zsh = FILES["completions/rdctl.bash"], FILES["completions/_rdctl"]
    if above and not re.search(rf"'{above.path}'\) .*verbs='([^']* )?{name}[ ']", bash):
        yield "bash does not complete it"
    if f"\n_{node.path.replace(' ', '_')}() {{" not in zsh:
        yield "zsh does not complete it"
    fish = FILES["completions/rdctl.fish"]
    if above and not re.search(rf"case '{above.path}'\n +set verbs (.* )?{name}\\t'", fish):
        yield "fish does not complete it"
    for option in own:
        for spelling in option.opts:
            if not re.search(
                rf"case '{node.path}'\n(.*\n)?? +set options (.* )?{spelling}\\t", fish
            ):
                yield f"fish does not complete {spelling}"
            if not re.search(rf"'{node.path}'\) .*options='([^']* )?{spelling}[ ']", bash):
                yield f"bash does not complete {spelling}"


def of_dry_run(node: Node, above: Node | None, own: list[click.Option]) -> Iterator[str]:
    assert isinstance(node.command, Command)
    if node.command.shows is None and node.path not in NO_CHANGE | in_the_table():
        yield "it changes something, and is not in the table of tests/cli/test_dry_run.py"


def above_of(node: Node) -> Node | None:
    path = node.path.rpartition(" ")[0]
    return next((other for other in NODES if other.path == path), None)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.path)
def test_a_command_has_all_that_it_must_have(node: Node) -> None:
    assert faults(node, above_of(node), OWN[node.path]) == []


def test_what_a_new_command_lacks_is_found() -> None:
    option = click.Option(["--what"])
    bare = Command("new", params=[option], examples=["rdctl x --yes"])
    above = next(node for node in NODES if node.path == "rdctl rapiddisk")
    node = Node("rdctl rapiddisk new", bare, click.Context(bare, above.context, "new"))
    assert faults(node, above, [option]) == [
        "no line that says what it does",
        "no paragraph that says what happens",
        "no sentence about --what",
        "no section in a man page",
        "bash does not complete it",
        "zsh does not complete it",
        "fish does not complete it",
        "fish does not complete --what",
        "bash does not complete --what",
        "no two examples",
        "an example of another command: rdctl x --yes",
        "an example that agrees to a loss: rdctl x --yes",
        "it changes something, and is not in the table of tests/cli/test_dry_run.py",
    ]
    wide = Command("new", help="Make " + "very " * 15 + "new.\n\nOne two three four five.")
    (fault,) = of_help(node._replace(command=wide), above, [])
    assert "wider than 80 columns" in fault
