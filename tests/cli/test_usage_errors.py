"""The errors of click, in the words of rdctl, with any version of click."""

from __future__ import annotations

from typing import Any

import click
import pytest

from rdctl.cli.meanings import DESTRUCTIVE, MEANINGS, verb_meant
from rdctl.cli.tree import NoSuchVerb, root
from rdctl.cli.usage_errors import usage_error
from rdctl.completion.nodes import walk
from rdctl.core.errors import Code

NODES = {node.path: node.command for node in walk(root)}


@click.command("copy")
@click.argument("source", metavar="FILE...", nargs=-1, required=True)
@click.argument("pair", nargs=2)
@click.option("--level", type=click.IntRange(1, 9), required=True)
@click.option("--least", type=click.IntRange(min=3))
@click.option("-n", "--number", type=click.INT)
@click.option("--ratio", type=click.FLOAT)
@click.option("--how", type=click.Choice(["fast", "safe"]))
@click.option("--two", nargs=2)
@click.option("--all", is_flag=True)
def copy(**options: Any) -> None:
    pass


GOOD = "a b c --level 3"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--level 3", "missing argument FILE"),
        ("a b c", "missing option --level"),
        ("a b c --level", "option --level requires a value"),
        ("a b c --level 0", 'invalid value "0" for --level: must be a whole number from 1 to 9'),
        ("a b c --level x", 'invalid value "x" for --level: must be a whole number from 1 to 9'),
        (f"{GOOD} --least 2", 'invalid value "2" for --least: must be a whole number, at least 3'),
        (f"{GOOD} -n 1.5", 'invalid value "1.5" for --number: must be a whole number'),
        (f"{GOOD} --ratio it's", 'invalid value "it\'s" for --ratio: must be a number'),
        (f"{GOOD} --how well", 'invalid value "well" for --how: must be fast or safe'),
        (f"{GOOD} --how fats", 'invalid value "fats" for --how; did you mean "fast"?'),
        (f"{GOOD} --two 1", "option --two requires 2 values"),
        (f"{GOOD} --all=1", "option --all does not take a value"),
        (f"{GOOD} --al", 'unknown option "--al"; did you mean "--all"?'),
        (f"{GOOD} --nothing", 'unknown option "--nothing"'),
        (f"{GOOD} --ndjson", 'unknown option "--ndjson"; did you mean "-o ndjson"?'),
        (f"{GOOD} -z", 'unknown option "-z"'),
    ],
)
def test_an_error_of_click(words: str, message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        copy.make_context("copy", words.split())
    error = usage_error(raised.value)
    assert (error.code, error.message) == (Code.USAGE, message)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Missing argument 'KEY=VALUE...'.", "missing argument KEY=VALUE"),
        ("Missing command.", "missing command"),
        ("Got unexpected extra argument (x)", 'unexpected argument "x"'),
        (
            "Got unexpected extra argument (x); --cid replaces the name",
            'unexpected argument "x"; --cid replaces the name',
        ),
        ("Got unexpected extra arguments (x y)", "unexpected arguments: x y"),
        ("Argument 'pair' takes 2 values.", "argument pair requires 2 values"),
    ],
)
def test_a_text_of_click(theirs: str, ours: str) -> None:
    error = usage_error(click.UsageError(theirs, click.Context(copy, info_name="copy")))
    assert (error.message, error.hint) == (ours, "Run: copy --help")


# --- verbs meant --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "word", "verb"),
    [
        ("rapiddisk", "lst", "list"),
        ("rapiddisk", "rename", ""),
        ("rapiddisk", "move", ""),
        ("rapiddisk", "remov", "remove"),
        ("oio container", "des", ""),
        ("oio container", "raw-ins", ""),
        ("oio content", "PUSH", "put"),
        ("oio content", "fetch", "get"),
        ("rapiddisk", "wipe", "flush"),
        ("oio container", "rb", "destroy"),
        ("sandbox", "restart", "reboot"),
    ],
)
def test_a_verb_meant(noun: str, word: str, verb: str) -> None:
    group: Any = NODES[f"rdctl {noun}"]
    with pytest.raises(NoSuchVerb) as raised:
        group.resolve_command(click.Context(group, info_name=f"rdctl {noun}"), [word])
    suggested = f'; did you mean "{verb}"?' if verb else ""
    message = f'unknown command "{word}" for "rdctl {noun}"{suggested}'
    assert usage_error(raised.value).message == message


# Words for something that destroys, as the verbs they may lead to.
HARSH = set(
    "rm rb rmdir del delete destroy drop remove erase wipe empty unmap detach unshare unexport"
    " unregister unset unset-properties delete-properties remove-properties del-property kill"
    " down unlink".split()
)


def test_the_words_are_not_verbs_and_what_they_mean_is() -> None:
    for noun, meanings in MEANINGS.items():
        group: Any = NODES[noun]
        words = [word for several in meanings.values() for word in several.split()]
        assert len(words) == len(set(words)), noun
        assert not set(words) & set(group.children), noun
        for verb in meanings:
            assert f"{noun} {verb}" in NODES


def test_no_word_leads_to_what_destroys_more() -> None:
    for noun, meanings in MEANINGS.items():
        for verb, words in meanings.items():
            assert not verb.startswith("raw-")
            if verb.split()[-1] in DESTRUCTIVE:
                assert set(words.split()) <= HARSH, (noun, verb)
    for noun in MEANINGS:
        for word in ("delete", "rm", "remove", "destroy"):
            if word not in NODES[noun].children:  # type: ignore[attr-defined]
                meant = verb_meant(noun, word, NODES[noun].children)  # type: ignore[attr-defined]
                assert meant not in ("flush", "purge", "truncate", "del-properties"), noun


def test_what_destroys_is_in_the_tree() -> None:
    assert {path.split()[-1] for path in NODES} >= DESTRUCTIVE
