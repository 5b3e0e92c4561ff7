"""The global options: in three places, the innermost wins; what cannot be is said before anything
is done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import click
import pytest

from rdctl.cli.options import GLOBALS, WithGlobals, flags_of
from rdctl.cli.tree import LazyGroup
from tests.conftest import Program, Ran

Sandbox = Callable[..., Ran]
HEAD = "device,size,usage,locked,unwritten,used_by\n"
USED_BY = '"[""export nqn.2021-06.org.rapiddisk:sandbox-rd0""]"'
VOLUME = f"rd0,33554432,16384,false,0,{USED_BY}\n"


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (["-o", "csv"], HEAD + VOLUME),
        (["-ocsv"], HEAD + VOLUME),
        (["--output", "csv"], HEAD + VOLUME),
        (["--output=csv"], HEAD + VOLUME),
        (["-qocsv"], HEAD + VOLUME),
        (["-0"], "rd0\0"),
        (["-o", "name"], "rd0\n"),
        (["-o", "csv", "--no-headers"], VOLUME),
        (["--columns", "size", "-otsv"], "size\n33554432\n"),
        (["--columns=size, device", "-otsv"], "size\tdevice\n33554432\trd0\n"),
        (["--query", "[0].size"], "33554432\n"),
        (["--json", "--query", "[0].size"], "33554432\n"),
        (["--json", "-o", "json", "--query", "[0].size"], "33554432\n"),
    ],
)
def test_an_option_stands_anywhere(
    sandbox: Sandbox, place: int, option: list[str], shown: str
) -> None:
    words = ["rapiddisk", "list"]
    ran = sandbox(*words[:place], *option, *words[place:])
    assert (ran.code, ran.out, ran.err) == (0, shown, "")


@pytest.mark.parametrize(
    ("outer", "middle", "inner"), list(itertools.permutations(["csv", "tsv", "name"]))
)
def test_the_innermost_wins(sandbox: Sandbox, outer: str, middle: str, inner: str) -> None:
    innermost = sandbox("rapiddisk", "list", "-o", inner).out
    assert sandbox("-o", outer, "rapiddisk", "-o", middle, "list", "-o", inner).out == innermost
    assert sandbox("-o", outer, "rapiddisk", "-o", inner, "list").out == innermost
    assert sandbox("-o", outer, "-o", inner, "rapiddisk", "list").out == innermost


def test_a_context_of_the_innermost(rdctl: Program) -> None:
    assert rdctl("-c", "nowhere", "rapiddisk", "list", "-c", "sandbox").code == 0
    assert rdctl("-c", "sandbox", "rapiddisk", "list", "-c", "nowhere").code == 3


def test_an_option_between_the_arguments(sandbox: Sandbox) -> None:
    assert sandbox("rapiddisk", "lock", "--json", "rd0", "--yes").json["status"] == "success"


def test_after_two_dashes_nothing_is_an_option(sandbox: Sandbox) -> None:
    for words in (["--", "--json"], ["--json", "--", "-o"], ["--", "-ojson"]):
        ran = sandbox("rapiddisk", "show", *words)
        assert ran.code == 2
        assert "invalid volume name" in ran.err
        assert (ran.out != "") == (words[0] == "--json")


# Every global option ----------------------------------------------------------------------------

# What each needs to be seen at all; those that the tests above and the transport's show are named.
VALUES = {
    "context": "sandbox",
    "rapiddisk_url": "http://127.0.0.1:1",
    "oio_url": "http://127.0.0.1:1",
    "namespace": "NS",
    "account": "me",
    "output": "csv",
    "columns": "key",
    "sort_by": "key",
    "query": "[]",
    "table_style": "grid",
    "units": "human",
    "timeout": "5",
    "retries": "1",
    "parallel": "2",
    "request_id": "A" * 32,
    "color": "never",
}


@pytest.mark.parametrize("entry", GLOBALS, ids=lambda entry: entry.name)
def test_every_global_option_is_known_everywhere(rdctl: Program, entry: Any) -> None:
    for spelling in entry.spellings:
        option = [spelling] if entry.value is None else [spelling, VALUES[entry.name]]
        for place in range(3):
            words = ["context", "show"]
            ran = rdctl(*words[:place], *option, *words[place:])
            assert ran.code == 0, ran.err


def test_they_are_shown_once(rdctl: Program) -> None:
    shown = rdctl("--help").out
    for entry in GLOBALS:
        assert all(spelling in shown for spelling in entry.spellings)
    for words in (["rapiddisk", "--help"], ["rapiddisk", "list", "--help"]):
        assert "--table-style" not in rdctl(*words).out
    assert "Global options: rdctl --help" in rdctl("rapiddisk", "list", "--help").out


@pytest.mark.parametrize(
    ("flag", "key"),
    [
        ("--rapiddisk-url", "rapiddisk"),
        ("--oio-url", "oio"),
        ("--namespace", "namespace"),
        ("--account", "account"),
        ("--timeout", "timeout"),
    ],
)
def test_a_setting_that_was_typed(rdctl: Program, flag: str, key: str) -> None:
    value = VALUES[flag.strip("-").replace("-", "_")]
    rows = rdctl("context", "show", flag, value, "--json").json["items"]
    (row,) = [row for row in rows if row["key"] == key]
    assert row["origin"] == flag
    assert row["value"] == (5.0 if key == "timeout" else value)


@click.command("verb", cls=WithGlobals)
@click.option("--account")
@click.pass_context
def clashing(context: click.Context, account: str | None) -> None:
    """A command with an option of its own that is called like a global one."""
    context.obj.update(own=account, flags=flags_of(context))


def test_an_option_of_a_command_wins_a_clash() -> None:
    """The other global options of that command are still global."""
    seen: dict[str, Any] = {}
    group = LazyGroup("noun", children={"verb": (f"{__name__}:clashing", "")})
    argv = ["--account", "outer", "verb", "--account", "own", "--namespace", "NS"]
    with group.make_context("noun", argv, obj=seen) as context:
        group.invoke(context)
    assert seen == {"own": "own", "flags": {"account": "outer", "namespace": "NS"}}


# What cannot be ---------------------------------------------------------------------------------

WRONG: list[tuple[list[str], str]] = [
    (["rapidisk", "list"], 'did you mean "rapiddisk"?\nhint: Run: rdctl --help'),
    (["rapiddisk", "lst"], 'unknown command "lst" for "rdctl rapiddisk"; did you mean "list"?'),
    (["rapiddisk", "xyz"], 'unknown command "xyz" for "rdctl rapiddisk"\n'),
    (["rapiddisk", "list", "--jsn"], 'unknown option "--jsn"; did you mean "--json"?'),
    (
        ["rapiddisk", "list", "--colums", "x"],
        'unknown option "--colums"; did you mean "--columns"?',
    ),
    (["rapiddisk", "list", "-o", "jsn"], 'invalid value "jsn" for --output; did you mean "json"?'),
    (["rapiddisk", "create", "1M", "--count", "0"], '"0" for --count: must be a whole number'),
    (["rapiddisk", "create"], "missing argument SIZE"),
    (["rapiddisk", "create", "1", "2"], 'unexpected argument "2"'),
    (["rapiddisk", "remove"], "missing argument VOLUME\nhint: Run:"),
    (
        ["oio", "volume", "show"],
        "missing argument VOLUME\nhint: Run: rdctl oio volume show --help\n"
        "hint: List the volumes: rdctl oio volume assignation\n",
    ),
    (["rapiddisk", "list", "--timeout", "x"], 'invalid value "x" for --timeout: must be a number'),
    (["rapiddisk", "list", "--timeout", "0"], "--timeout: must be a positive number of seconds"),
    (["rapiddisk", "list", "--timeout", "nan"], "--timeout: must be a positive number of seconds"),
    (["rapiddisk", "list", "--retries", "-1"], '"-1" for --retries: must be a whole number from 0'),
    (["rapiddisk", "list", "--json", "-o", "csv"], "--json and -o csv are mutually exclusive"),
    (["--json", "rapiddisk", "list", "-o", "csv"], "--json and -o csv are mutually exclusive"),
    (["rapiddisk", "list", "-0", "--json"], "-0 cannot be used with -o json"),
    (["rapiddisk", "list", "--local", "--rapiddisk-url", "http://a"], "are mutually exclusive"),
    (
        ["rapiddisk", "list", "--rapiddisk-url", "ftp://a"],
        "must begin with http://, https:// or ssh://",
    ),
    (["rapiddisk", "list", "--columns", "device,sise"], 'unknown column "sise"'),
    (["rapiddisk", "list", "--sort-by", "sise"], 'unknown column "sise"'),
    (["rapiddisk", "list", "--query", "[?"], "--query: "),
    (
        ["rapiddisk", "list", "--color", "yes"],
        "for --color: must be auto, always or never",
    ),
    (["rapiddisk", "create", "1M", "--query", "foo(@)"], "--query: unknown function: foo()"),
    (["rapiddisk", "create", "1M", "--columns", "size"], 'unknown column "size"'),
]


CONFLICTS = [
    ({"RDCTL_CONTEXT": "sandbox"}, ["--local"], "--local", "RDCTL_CONTEXT", "Unset RDCTL_CONTEXT"),
    ({}, ["-c", "sandbox", "--oio-url", "http://h"], "--oio-url", "-c", "Omit -c sandbox"),
]


@pytest.mark.parametrize(("env", "words", "option", "how", "omit"), CONFLICTS)
def test_an_endpoint_in_the_sandbox(
    rdctl: Program, env: dict[str, str], words: list[str], option: str, how: str, omit: str
) -> None:
    ran = rdctl(*words, "rapiddisk", "list", env=env)
    assert ran.code == 2
    assert f"{option} cannot be used with context sandbox ({how}): it has its own" in ran.err
    assert f"hint: {omit}, or omit {option}.\n" in ran.err


@pytest.mark.parametrize("words", ["rapiddisk list", "rapiddisk list rd0", "oio container show a"])
def test_ndjson_without_names_is_not_ignored(sandbox: Sandbox, words: str) -> None:
    ran = sandbox(*words.split(), "--ndjson")
    assert (ran.code, ran.out) == (2, "")
    assert "--ndjson requires names on standard input (-), or --failed\n" in ran.err
    assert "-o ndjson" in ran.err


# With --json these would mean something else.
WRONG_IN_TABLES: list[tuple[list[str], str]] = [
    (["rapiddisk", "list", "-o"], "option -o requires a value"),
    (["rapiddisk", "list", "--table-style", "gird"], 'unknown table style "gird"'),
]


@pytest.mark.parametrize(("words", "message"), [*WRONG, *WRONG_IN_TABLES])
def test_a_usage_error(rdctl: Program, words: list[str], message: str) -> None:
    ran = rdctl(*words)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.startswith("rdctl: ")
    assert (ran.out != "") == ("--json" in words)


@pytest.mark.parametrize(("words", "message"), WRONG)
@pytest.mark.parametrize("first", [True, False])
def test_a_usage_error_in_json(rdctl: Program, words: list[str], message: str, first: bool) -> None:
    ran = rdctl("--json", *words) if first else rdctl(*words, "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "usage"
    assert ran.json["error"]["message"] in ran.err


@pytest.mark.parametrize(
    ("words", "load"),
    [
        (["-o", "json"], True),
        (["-ojson"], True),
        (["-qojson"], True),
        (["-yo", "json"], True),
        (["--output=json"], True),
        (["--output", "ndjson"], True),
        (["-o", "csv", "-o", "json"], True),
        (["-o", "json", "-o", "csv"], False),
        (["-o", "csv"], False),
        (["--", "--json"], False),
        ([], False),
    ],
)
def test_the_format_of_an_error_is_found_in_bare_words(
    rdctl: Program, words: list[str], load: bool
) -> None:
    ran = rdctl("rapiddisk", "list", "--wrong", *words)
    assert ran.code == 2
    assert (ran.out != "") == load
    if load:
        assert json.loads(ran.out)["schema"] == "rdctl.error/1"


def test_a_noun_without_a_verb_shows_its_help(rdctl: Program) -> None:
    for words in ([], ["rapiddisk"], ["rapiddisk", "cache"]):
        ran = rdctl(*words)
        assert (ran.code, ran.err) == (0, "")
        assert "Commands:" in ran.out
        ran = rdctl(*words, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "usage")


def test_help_is_data(rdctl: Program) -> None:
    for words in (["--help"], ["rapiddisk", "-h"], ["rapiddisk", "list", "--help"]):
        ran = rdctl(*words)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("Usage: rdctl")
    assert rdctl("--version").out.startswith("rdctl ")


# Variables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "words", "start"),
    [
        ({"RDCTL_OUTPUT": "csv"}, [], "device,"),
        ({"RDCTL_OUTPUT": "csv"}, ["-o", "tsv"], "device\t"),
        ({"RDCTL_OUTPUT": "csv"}, ["--json"], "{"),
        ({"RDCTL_OUTPUT": "json"}, ["-0"], "rd0\0"),
        ({"RDCTL_OUTPUT": ""}, [], "DEVICE"),
    ],
)
def test_the_format_of_a_variable(
    sandbox: Sandbox, env: dict[str, str], words: list[str], start: str
) -> None:
    assert sandbox("rapiddisk", "list", *words, env=env).out.startswith(start)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"RDCTL_OUTPUT": "jsn"}, 'invalid RDCTL_OUTPUT "jsn"'),
        ({"RDCTL_COLOR": "pink"}, 'invalid RDCTL_COLOR "pink"'),
        ({"RDCTL_RETRIES": "-1"}, 'invalid RDCTL_RETRIES "-1"'),
        ({"RDCTL_TIMEOUT": "soon"}, "RDCTL_TIMEOUT: must be a positive number of seconds"),
    ],
)
def test_a_variable_that_cannot_be(sandbox: Sandbox, env: dict[str, str], message: str) -> None:
    ran = sandbox("rapiddisk", "list", env=env)
    assert ran.code == 2
    assert message in ran.err


def test_an_error_in_the_format_of_a_variable(sandbox: Sandbox) -> None:
    env = {"RDCTL_OUTPUT": "json"}
    assert sandbox("rapiddisk", "show", "rd9", env=env).json["error"]["code"] == "not-found"
    assert sandbox("rapiddisk", "show", "rd9", "-0", env=env).out == ""


# The terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "env", "tty", "colored"),
    [
        ([], {}, True, True),
        ([], {}, False, False),
        ([], {"NO_COLOR": "1"}, True, False),
        ([], {"NO_COLOR": ""}, True, True),
        ([], {"TERM": "dumb"}, True, False),
        ([], {"RDCTL_COLOR": "never"}, True, False),
        (["--color", "never"], {}, True, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True, True),
        (["--color", "auto"], {"RDCTL_COLOR": "never"}, True, True),
        (["--color", "always", "--json"], {}, True, False),
        (["-o", "csv"], {}, True, False),
    ],
)
@pytest.mark.parametrize("verb", [["list"], ["show", "rd0"]])
def test_colors(
    sandbox: Sandbox,
    words: list[str],
    env: dict[str, str],
    tty: bool,
    colored: bool,
    verb: list[str],
) -> None:
    ran = sandbox("rapiddisk", *verb, *words, env=env, tty=tty)
    assert ran.code == 0
    assert ("\x1b[" in ran.out) == colored


@pytest.mark.parametrize("format", ["json", "ndjson", "yaml", "csv", "tsv", "name"])
def test_formats_never_change_with_the_terminal(sandbox: Sandbox, format: str) -> None:
    for verb in (["list"], ["show", "rd0"]):
        shown = {sandbox("rapiddisk", *verb, "-o", format, tty=tty).out for tty in (True, False)}
        assert len(shown) == 1


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_terminal_of_any_width(sandbox: Sandbox, width: int) -> None:
    shown = sandbox("rapiddisk", "nvmet", "list", tty=True, width=width, env={"NO_COLOR": "1"}).out
    assert max(map(len, shown.splitlines())) <= width
    assert "nqn.2021-06.org.rapiddisk:sandbox-rd0"[:2] in shown
