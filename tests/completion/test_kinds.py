"""The table of what completes a value covers the whole tree, and nothing beside it."""

from __future__ import annotations

import click
import pytest
import tabulate

from rdctl.cli.topics import TOPICS
from rdctl.cli.tree import root
from rdctl.completion import kinds, names
from rdctl.completion.kinds import CONTAINER_OR_FILE, FILE, KEY_LIST, SORT_KEY, VALUES, value_of
from rdctl.completion.nodes import choices, label, walk
from rdctl.completion.request import _OPTIONS, options_of

# Every value of the tree that is none of a few words: the command, the parameter, the word that
# its metavar has for it.
WANTED = [
    (node.path, param, word.strip("[]").removesuffix("...").partition("|")[0])
    for node in walk(root)
    for param in node.command.get_params(node.context)
    if not (isinstance(param, click.Option) and param.is_flag) and not choices(param)
    for word in label(param).split()
]
BY_SHELL = {FILE, CONTAINER_OR_FILE, KEY_LIST, SORT_KEY}
BY_NAMES = {"context", "contexts", *names.KINDS}


def test_every_value_is_known_to_the_table() -> None:
    missing = []
    for path, param, word in WANTED:
        try:
            value_of(path, word, param.opts if isinstance(param, click.Option) else ())
        except KeyError as error:
            missing.append(error.args[0])
    assert not missing, "add to rdctl/completion/kinds.py: " + "; ".join(sorted(set(missing)))


def test_every_row_of_the_table_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    used = set()

    class Noting(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            used.add(key)
            return super().__getitem__(key)

    monkeypatch.setattr(kinds, "VALUES", Noting(VALUES))
    for path, param, word in WANTED:
        value_of(path, word, param.opts if isinstance(param, click.Option) else ())
    assert VALUES.keys() - used == set()


def test_every_kind_has_who_knows_its_names() -> None:
    values = [value for value in VALUES.values() if isinstance(value, str)]
    wanted = {value.partition(":")[0] for value in values} - BY_SHELL
    assert wanted == BY_NAMES


def test_styles_are_those_of_tabulate() -> None:
    styles = VALUES["STYLE"]
    assert isinstance(styles, tuple)
    assert set(styles) <= set(tabulate.tabulate_formats)


@pytest.mark.parametrize(
    ("path", "word", "spellings", "value"),
    [
        ("rdctl rapiddisk show", "VOLUME", (), "volume"),
        ("rdctl rapiddisk cache create", "NAME", ("--name",), None),
        ("rdctl rapiddisk nvmet export", "DEVICE", (), "device"),
        ("rdctl rapiddisk nvmet unexport", "DEVICE", (), "export"),
        ("rdctl rapiddisk nvmet list", "EXPORT", (), "target"),
        ("rdctl rapiddisk nvmet port add", "ID", (), None),
        ("rdctl rapiddisk nvmet port remove", "ID", (), "port"),
        ("rdctl oio container create", "CONTAINER", (), None),
        ("rdctl oio container show", "CONTAINER", (), "container"),
        ("rdctl oio content del-properties", "KEY", (), "key:content"),
        ("rdctl oio admin set-properties", "KEY=VALUE", (), "assignment:admin"),
        ("rdctl oio content create", "TYPE", ("--mime-type",), None),
        ("rdctl oio admin ping", "TYPE", ("--type",), "type"),
        ("rdctl oio admin copy", "ADDRESS", ("--to",), "replica"),
        ("rdctl sandbox serve", "ADDRESS", ("--host",), "ip"),
        ("", "NAME", ("-c", "--context"), "contexts"),
    ],
)
def test_the_nearest_row_holds(
    path: str, word: str, spellings: tuple[str, ...], value: str | None
) -> None:
    assert value_of(path, word, spellings) == value


def test_the_options_that_matter_are_those_of_the_tree() -> None:
    options = [
        option
        for node in walk(root)
        for option in node.command.get_params(node.context)
        if isinstance(option, click.Option)
    ]
    valued = {word for option in options if not option.is_flag for word in option.opts}
    assert set(_OPTIONS) < valued
    flags = {word for option in options if option.is_flag for word in option.opts}
    for flag in (word for word in flags if len(word) == 2):
        assert options_of([f"{flag}c", "lab"]) == {"context": "lab"}
        assert options_of([f"{flag}clab"]) == {"context": "lab"}
    for word in valued - {"-c"}:
        assert "context" not in options_of([f"{word}clab"])


def test_help_is_offered_for_each_topic_and_noun() -> None:
    assert value_of("rdctl help", "TOPIC") == (*TOPICS, *root.children)
