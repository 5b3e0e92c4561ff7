"""Options that were renamed: one option has one meaning; the former spelling works, unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest

from rdctl.cli.renamed import Renamed
from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from tests import generate
from tests.cli.oio.cases import BEANS, CHUNKS
from tests.cli.oio.conftest import Oio

# The command, the former option, the option, and the value that both take.
RENAMED = {
    ("content put", "--prefix", "--name-prefix"): "new/",
    ("content put", "--id", "--content-id"): "AB",
    ("content create", "--chunks", "--body"): "-",
    ("content create", "--length", "--size"): "10",
    ("container raw-insert", "--force", "--overwrite"): None,
}
WORDS: dict[str, tuple[list[str], Any]] = {
    "content put": (["photos", "-", "--path", "n"], None),
    "content create": (["photos", "n", "--content-id", "AB"], CHUNKS),
    "container raw-insert": (["photos", "--body", "-"], BEANS),
}
NEEDED = {"content create": {"--body": "-", "--size": "10"}}


def renamed() -> Iterator[tuple[str, str, str]]:
    for node in walk(root):
        for param in node.command.params:
            if isinstance(param, Renamed) and param.formerly:
                yield node.path.removeprefix("rdctl oio "), param.formerly, param.opts[0]


def test_all_that_are_renamed_are_here() -> None:
    assert set(renamed()) == set(RENAMED)


@pytest.mark.parametrize("case", RENAMED, ids=" ".join)
def test_both_spellings_do_the_same(oio: Oio, case: tuple[str, str, str]) -> None:
    verb, former, option = case
    words, body = WORDS[verb]
    if verb == "content put":
        words = ["photos", __file__]
    value = RENAMED[case]
    others = {k: v for k, v in NEEDED.get(verb, {}).items() if k != option}
    plans = []
    for spelling in (former, option):
        given = [spelling, *([] if value is None else [value])]
        more = [word for pair in others.items() for word in pair]
        id = ("--request-id", "0" * 32)
        ran = oio.ok(*verb.split(), *words, *given, *more, "--dry-run", "--json", *id, body=body)
        plans.append(ran.json["plan"])
    assert plans[0] == plans[1]
    assert plans[0]


@pytest.mark.parametrize("case", RENAMED, ids=" ".join)
def test_the_former_spelling_is_not_shown(oio: Oio, case: tuple[str, str, str]) -> None:
    verb, former, option = case
    shown = oio.ok(*verb.split(), "--help").out
    assert option in shown
    assert f"  {former}" not in shown
    node = next(node for node in walk(root) if node.path == f"rdctl oio {verb}")
    for param in node.options:
        assert former not in param.opts
    assert json.dumps(former) not in json.dumps(generate.files()["man/rdctl-oio.1"])


# What an option means wherever it is one of rdctl oio: as in the help, which may be worded for its
# noun. A new spelling, or a new meaning, gets its line here.
def options() -> Iterator[tuple[str, click.Option]]:
    for node in walk(root):
        if node.path.startswith("rdctl oio"):
            for option in node.options:
                for spelling in option.opts:
                    yield spelling, option


@pytest.mark.parametrize("spelling", ["--prefix", "--size", "--body", "--overwrite", "--policy"])
def test_one_option_has_one_kind_of_value(spelling: str) -> None:
    found = [option for name, option in options() if name == spelling]
    assert len(found) > 1
    assert len({(option.is_flag, option.metavar) for option in found}) == 1
