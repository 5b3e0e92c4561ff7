"""The table of docs/openio.md: every command of OpenIO's own client, with lines of rdctl."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import walk

DOCUMENT = Path(__file__).parent.parent / "docs" / "openio.md"
# The entry points of 4.2.10 (setup.cfg), without those of services.
COMMANDS = {
    "account": "show create delete list set unset refresh flush",
    "cluster": ("show list local_list unlockall unlock lock flush resolve wait local_conf"),
    "container": (
        "create delete flush list locate purge refresh save set show snapshot touch unset"
    ),
    "directory": "bootstrap dump rebalance decommission warmup",
    "election": "debug leave ping status sync",
    "events": "exhume stats",
    "lifecycle": "apply get set",
    "object": "locate show create save drain delete touch list purge set unset link",
    "reference": ("locate show list create delete set unset link poll unlink force"),
    "volume": (
        "show assignation admin_incident admin_lock admin_unlock admin_show admin_clear"
        " admin_bootstrap"
    ),
}
# These change a whole namespace, or run for long: the table has the reason.
LEFT = {
    "cluster local conf",
    "directory bootstrap",
    "directory decommission",
    "directory rebalance",
    "events exhume",
    "lifecycle apply",
    "volume admin bootstrap",
}
NODES = {node.path: node for node in walk(root)}


def rows() -> list[tuple[str, str]]:
    section = DOCUMENT.read_text("utf-8").partition("## Coming from `openio`")[2]
    _header, *found = re.findall(r"^\| `([a-z ]+)` \| (.+) \|$", section, re.MULTILINE)
    return found


ROWS = dict(rows())


def test_every_command_is_in_the_table_once() -> None:
    commands = {
        f"{noun} {verb.replace('_', ' ')}"
        for noun, verbs in COMMANDS.items()
        for verb in verbs.split()
    }
    assert [command for command, _ in rows()] == sorted(ROWS)
    assert set(ROWS) == commands
    assert {command for command, line in ROWS.items() if line.startswith("left to")} == LEFT


@pytest.mark.parametrize("command", ROWS)
def test_the_lines_of_rdctl_exist(command: str) -> None:
    lines = re.findall(r"`(rdctl [^`]+)`", ROWS[command])
    assert lines or command in LEFT
    for line in lines:
        words = [word for word in line.split() if word != "-"]
        verb = " ".join(word for word in words if not word.startswith("-") and word != "name")
        node = NODES[verb]
        assert not node.children
        options = {spelling for param in node.command.params for spelling in param.opts}
        assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("command", sorted(LEFT))
def test_a_reason_is_given(command: str) -> None:
    assert len(ROWS[command].split()) > 8
