"""The tables of docs/coming-from.md: lines of other tools, and of rdctl that do the same."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from rdctl.sandbox.rapiddisk.daemon import ROUTES
from tests.documents import ROOT, Reader, Step, reading, sections

TEXT = (ROOT / "docs/coming-from.md").read_text("utf-8")
SECTIONS = {section.title: section for section in sections(TEXT)}
RAPIDDISK = "From `rapiddisk`"
APIS = ("From the API of rapiddiskd", "From the API of oio-proxy")
# What `rapiddisk` 9.0.0 and 9.2.0 give to getopt, without `?` and the undocumented -V.
OPTIONS = "a:b:c:d:ef:gH:hi:jL:lm:NnP:p:qRr:s:t:U:u:vXx"

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


def part(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def pairs(title: str) -> list[tuple[str, str]]:
    """The rows of a section with a line of its tool and one of rdctl."""
    found = re.findall(r"^\| `([^`]+)` \| `(rdctl [^`]+)` \|$", part(title), re.MULTILINE)
    return [(old.replace("\\|", "|"), new) for old, new in found]


def typed(reader: Reader, command: str) -> str:
    code, output = reader.types(Step(command, None))
    assert code == 0, f"{command}\n{output}"
    return output


# --- the command rapiddisk ------------------------------------------------------------------------


def test_every_option_of_rapiddisk_is_there() -> None:
    lines = [old.split() for old, _ in pairs(RAPIDDISK)]
    assert {line[0] for line in lines} == {"rapiddisk"}
    values = {f"-{letter}": colon for letter, colon in re.findall(r"(\w)(:?)", OPTIONS)}
    seen = set()
    for line in lines:
        words = line[1:]
        while words:
            option = words.pop(0)
            seen.add(option)
            if values[option]:
                assert not words.pop(0).startswith("-"), line
    assert seen == set(values)


def test_the_lines_of_rdctl_for_rapiddisk_work(tmp_path: Path) -> None:
    """One after the other, as those of rapiddisk would."""
    with reading(tmp_path, "") as reader:
        reader.agrees = True
        reader.exported["RDCTL_CONTEXT"] = "sandbox"
        for _, new in pairs(RAPIDDISK):
            typed(reader, new)


# --- the APIs -------------------------------------------------------------------------------------


def test_every_route_of_rapiddiskd_is_there() -> None:
    told = re.findall(r"http://lab:9118(/v1/\w+)", part(APIS[0]))
    assert set(told) == {route.path for route in ROUTES}


@pytest.mark.parametrize("title", APIS)
def test_curl_and_rdctl_do_the_same(tmp_path: Path, title: str) -> None:
    """Each on machines of its own: after the same changes they read the same."""
    for name in ("curl", "jq"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with reading(tmp_path / "old", TEXT) as old, reading(tmp_path / "new", TEXT) as new:
        new.agrees = True
        for step in SECTIONS[title].blocks[0].steps:
            typed(new, step.command)
        for curl, rdctl in pairs(title):
            printed = typed(old, curl), typed(new, rdctl)
            if "-X POST" in curl and "get_properties" not in curl:
                assert printed[0] in ("Success", "{}", ""), curl
            else:
                # Servers list in any order. YAML has plain values behind dashes.
                values = re.sub(r"^- ", "", printed[1], flags=re.MULTILINE)
                assert sorted(printed[0].split()) == sorted(values.split()), curl


# --- openio ---------------------------------------------------------------------------------------


def rows() -> list[tuple[str, str]]:
    _header, *found = re.findall(
        r"^\| `([a-z ]+)` \| (.+) \|$", part("From `openio`"), re.MULTILINE
    )
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
