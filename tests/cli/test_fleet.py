"""One command in several contexts: what is asked, what is shown, what is left when one is down."""

from __future__ import annotations

import csv
import io
import json
import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.cli.crowd import Crowd, serving
from tests.cli.processes import SECONDS, Rdctl, process, wait_until
from tests.cli.replies import inventory, resources, success, targets
from tests.conftest import Program, Ran
from tests.fakes.faults import Behaviour, FaultServer, close, reply
from tests.fakes.kernel import FakeKernel

__all__ = ["process"]

Daemons = Callable[..., dict[str, FaultServer]]


def configure(config: Path, contexts: Mapping[str, Mapping[str, Any]], more: str = "") -> None:
    lines = [more]
    for name, settings in contexts.items():
        lines.append(f"[contexts.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    config.write_text("\n".join(lines) + "\n")


@pytest.fixture
def daemons(rdctl: Program) -> Iterator[Daemons]:
    """`daemons(a=[...], b=[...])`: contexts, each with a rapiddiskd that answers so."""
    with ExitStack() as stack:

        def start(
            settings: Mapping[str, Any] | None = None, **scripts: Sequence[Behaviour]
        ) -> dict[str, FaultServer]:
            servers = {
                name.replace("_", "-"): stack.enter_context(FaultServer(script))
                for name, script in scripts.items()
            }
            contexts = {name: {"rapiddisk": server.url} for name, server in servers.items()}
            for name, more in (settings or {}).items():
                contexts.setdefault(name, {}).update(more)
            configure(rdctl.config, contexts)
            return servers

        yield start


def gone() -> str:
    """The address of a server that is not there."""
    with FaultServer([close()]) as server:
        return server.url


@pytest.fixture
def two(daemons: Daemons) -> dict[str, FaultServer]:
    return daemons(a=[inventory(["rd0", "rd1"])], b=[inventory(["rd5"])])


@pytest.fixture
def crowds(rdctl: Program) -> Iterator[dict[str, Crowd]]:
    """Contexts a, b and c, each with a proxy of its own."""
    with serving() as a, serving() as b, serving() as c:
        servers = {"a": a, "b": b, "c": c}
        configure(
            rdctl.config,
            {
                name: {"oio": one.server.url, "namespace": "NS", "account": "me"}
                for name, one in servers.items()
            },
        )
        yield servers


LIST = ("rapiddisk", "list")


# Which contexts ----------------------------------------------------------------------------------

RACKS = {name: {"rapiddisk": "local"} for name in ("rack1-b", "rack1-a", "rack1-a10", "rack1-a2")}


def shown(ran: Ran) -> list[str]:
    return list(dict.fromkeys(row["context"] for row in ran.json["items"] + ran.json["errors"]))


@pytest.mark.parametrize(
    ("words", "env", "wanted"),
    [
        (("-c", "rack1-b,rack1-a"), "", ["rack1-b", "rack1-a"]),
        (("-c", "rack1-b", "-c", "rack1-a"), "", ["rack1-b", "rack1-a"]),
        (("-c", "rack1-*"), "", ["rack1-a", "rack1-a2", "rack1-a10", "rack1-b"]),
        (("-c", "rack1-a[0-9]"), "", ["rack1-a2"]),
        (("-c", "rack?-b"), "", ["rack1-b"]),
        (("-c", "*"), "", ["rack1-a", "rack1-a2", "rack1-a10", "rack1-b"]),
        (("-c", "rack1-b,rack1-*,rack1-b"), "", ["rack1-b", "rack1-a", "rack1-a2", "rack1-a10"]),
        (("-c", "rack1-b,"), "", ["rack1-b"]),
        ((), "rack1-a*", ["rack1-a", "rack1-a2", "rack1-a10"]),
        (("-c", "rack1-b,rack1-a"), "rack1-*", ["rack1-b", "rack1-a"]),
    ],
)
def test_contexts_by_name_and_by_pattern(
    rdctl: Program, words: Sequence[str], env: str, wanted: list[str]
) -> None:
    """In the order of the names; of a pattern, in the order that people count in."""
    url = gone()
    configure(rdctl.config, {name: {"rapiddisk": url} for name in RACKS})
    ran = rdctl(*words, *LIST, "--json", "--retries", "0", env={"RDCTL_CONTEXT": env})
    assert (ran.code, shown(ran)) == (6, wanted)
    assert ran.json["complete"] is False


@pytest.mark.parametrize(
    ("words", "env", "code"),
    [
        (("-c", "nothing-*"), "", 3),
        (("-c", "a,nothing"), "", 3),
        (("-c", "a,nothing-*"), "", 3),
        (("-c", "sand*"), "", 3),
        (("-c", ","), "", 2),
        (("-c", " ,a"), "", 3),
        ((), "nothing-*", 3),
        ((), ",", 2),
        (("-c", "a,b", "--local"), "", 2),
        (("-c", "a,b", "--rapiddisk-url", "http://h:1"), "", 2),
        (("-c", "*", "--oio-url", "http://h:1"), "", 2),
    ],
)
def test_contexts_that_cannot_be(
    rdctl: Program, two: dict[str, FaultServer], words: Sequence[str], env: str, code: int
) -> None:
    ran = rdctl(*words, *LIST, "--json", env={"RDCTL_CONTEXT": env})
    assert (ran.code, list(ran.json)) == (code, ["schema", "error"])
    assert two["a"].requests == two["b"].requests == []


def test_a_pattern_where_only_the_sandbox_is(rdctl: Program) -> None:
    """It is no system, and nothing is no success."""
    ran = rdctl("-c", "*", *LIST, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")


def test_the_sandbox_by_its_name(rdctl: Program, two: dict[str, FaultServer]) -> None:
    ran = rdctl("-c", "b,sandbox", *LIST, "-o", "csv", "--columns", "device")
    assert ran.out == "context,device\nb,rd5\nsandbox,rd0\n"
    ran = rdctl("-c", "sandbox,sandbox", "rapiddisk", "create", "1M", "-y")
    assert (ran.out, ran.err) == ("sandbox: created rd1 (1048576 bytes)\n", "[sandbox]\n")


def test_one_is_a_fleet_too(rdctl: Program, two: dict[str, FaultServer]) -> None:
    """A script need not know how many a pattern matches."""
    assert rdctl("-c", "b*", *LIST, "--json").json["items"][0]["context"] == "b"


@pytest.mark.parametrize("words", ["context list", "sandbox path", "help output", "context show"])
def test_what_needs_no_context(rdctl: Program, two: dict[str, FaultServer], words: str) -> None:
    alone = rdctl(*words.split(), "-c", "a")
    assert (alone.code, alone.out != "") == (0, True)
    if words != "context show":
        assert rdctl(*words.split(), "-c", "a,b") == alone


def test_what_is_for_one_context(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    ran = rdctl("-c", "a,b", "oio", "api", "GET", "container/show", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert "does not support several contexts" in ran.json["error"]["message"]
    assert [one.requests for one in crowds.values()] == [[], [], []]


# What is shown -----------------------------------------------------------------------------------

ROWS = [("a", "rd0"), ("a", "rd1"), ("b", "rd5")]


@pytest.mark.parametrize(
    ("flags", "out"),
    [
        (
            "",
            "CONTEXT  DEVICE      SIZE  USAGE  LOCKED  USED BY\n"
            "a        rd0     67108864      0  no      -\n"
            "a        rd1     67108864      0  no      -\n"
            "b        rd5     67108864      0  no      -\n",
        ),
        ("--columns device", "CONTEXT  DEVICE\na        rd0\na        rd1\nb        rd5\n"),
        ("--columns device,context", "DEVICE  CONTEXT\nrd0     a\nrd1     a\nrd5     b\n"),
        ("-o csv --columns device", "context,device\na,rd0\na,rd1\nb,rd5\n"),
        ("-o tsv --no-headers --columns device", "a\trd0\na\trd1\nb\trd5\n"),
        ("-o name", "a\trd0\na\trd1\nb\trd5\n"),
        ("-0", "a\trd0\0a\trd1\0b\trd5\0"),
        ("-o name --sort-by device", "a\trd0\na\trd1\nb\trd5\n"),
        ("-o name --sort-by -device", "b\trd5\na\trd1\na\trd0\n"),
        ("-o name --sort-by -context", "b\trd5\na\trd0\na\trd1\n"),
        ("-o csv --query [].[context,device]", "a,rd0\na,rd1\nb,rd5\n"),
        ("-o csv --query [?device=='rd5'].context", "b\n"),
        ("--table-style plain --columns device", None),
        (
            "-o ndjson --columns device",
            '{"context": "a", "device": "rd0"}\n{"context": "a", "device": "rd1"}\n'
            '{"context": "b", "device": "rd5"}\n',
        ),
    ],
)
def test_every_row_has_its_context(
    rdctl: Program, two: dict[str, FaultServer], flags: str, out: str | None
) -> None:
    ran = rdctl("-c", "a,b", *LIST, *flags.split())
    assert (ran.code, ran.err) == (0, "")
    if out is None:
        assert [line.split() for line in ran.out.splitlines()[1:]] == [list(row) for row in ROWS]
    else:
        assert ran.out == out


def test_every_row_of_a_document_has_its_context(
    rdctl: Program, two: dict[str, FaultServer]
) -> None:
    import yaml

    document = rdctl("-c", "a,b", *LIST, "--json").json
    assert [(row["context"], row["device"]) for row in document["items"]] == ROWS
    assert list(document["items"][0]) == [
        "context",
        "device",
        "size",
        "usage",
        "locked",
        "unwritten",
        "used_by",
    ]
    assert (document["schema"], document["complete"]) == ("rdctl.rapiddisk.volume/1", True)
    assert yaml.safe_load(rdctl("-c", "a,b", *LIST, "-o", "yaml").out) == document


def test_a_terminal(rdctl: Program, two: dict[str, FaultServer]) -> None:
    out = rdctl("-c", "a,b", *LIST, tty=True, env={"NO_COLOR": "1"}).out
    assert out.split()[:2] == ["CONTEXT", "DEVICE"]
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [list(row) for row in ROWS]


def test_an_item_becomes_a_row(rdctl: Program, daemons: Daemons) -> None:
    script = [inventory(["rd0"]), targets()]
    daemons(a=script, b=script)
    document = rdctl("-c", "b,a", "rapiddisk", "show", "rd0", "--json").json
    assert [(row["context"], row["device"]) for row in document["items"]] == [
        ("b", "rd0"),
        ("a", "rd0"),
    ]
    assert document["complete"] is True


def test_an_item_at_length_names_its_context(rdctl: Program, daemons: Daemons) -> None:
    script = [inventory(["rd0"]), targets()]
    daemons(a=script, b=script)
    shown = rdctl("-c", "a,b", "rapiddisk", "show", "rd0").out
    first, second = shown.split("\n\n")
    assert first.split()[:2] == ["Context", "a"]
    assert first.lower().count("context") == 1
    assert second.split()[:2] == ["Context", "b"]


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_the_keys_are_the_same_where_there_is_nothing(
    rdctl: Program, daemons: Daemons, format: str
) -> None:
    daemons(a=[inventory([])], b=[inventory([])])
    ran = rdctl("-c", "a,b", *LIST, "-o", format)
    assert (ran.code, ran.out.replace("\t", ",")) == (
        0,
        "context,device,size,usage,locked,unwritten,used_by\n",
    )
    assert rdctl("-c", "a,b", *LIST).err == "No volumes.\n"


def test_markers(rdctl: Program) -> None:
    page = reply(
        200,
        json.dumps({"prefixes": [], "objects": [{"name": "x"}, {"name": "y z"}]}).encode(),
        {"x-oio-list-truncated": "false"},
    )
    with FaultServer([page]) as a, FaultServer([page]) as b:
        configure(
            rdctl.config,
            {
                name: {"oio": one.url, "namespace": "NS", "account": "me"}
                for name, one in (("a", a), ("b", b))
            },
        )
        ran = rdctl("-c", "a,b", "oio", "container", "list", "c", "--limit", "1", "--json")
    assert [(row["context"], row["name"]) for row in ran.json["items"]] == [("a", "x"), ("b", "x")]
    assert (ran.code, ran.json["complete"]) == (0, False)
    assert ran.json["markers"] == {"a": "x", "b": "x"}
    assert "More results: -c a --marker x\n" in ran.err


def test_what_the_doctor_finds_anywhere_counts(rdctl: Program) -> None:
    configure(rdctl.config, {"bad": {"rapiddisk": gone()}})
    one = rdctl("-c", "bad", "doctor", "--retries", "0")
    several = rdctl("-c", "sandbox,bad", "doctor", "--retries", "0")
    assert (one.code, several.code) == (1, 1)


# When one is down --------------------------------------------------------------------------------


def test_one_is_down(rdctl: Program, daemons: Daemons) -> None:
    daemons({"b": {"rapiddisk": gone()}}, a=[inventory(["rd1"])], c=[inventory(["rd3"])])
    ran = rdctl("-c", "a,b,c", *LIST, "--json", "--retries", "0")
    assert (ran.code, ran.json["complete"]) == (8, False)
    assert [(row["context"], row["device"]) for row in ran.json["items"]] == [
        ("a", "rd1"),
        ("c", "rd3"),
    ]
    (error,) = ran.json["errors"]
    assert (error["context"], error["code"]) == ("b", "unreachable")
    assert ran.err.startswith("rdctl: error: b: no connection to ")
    lines = rdctl("-c", "a,b,c", *LIST, "-o", "name", "--retries", "0")
    assert (lines.code, lines.out) == (8, "a\trd1\nc\trd3\n")


def test_all_are_down(rdctl: Program) -> None:
    configure(rdctl.config, {name: {"rapiddisk": gone()} for name in "ab"})
    ran = rdctl("-c", "a,b", *LIST, "--json", "--retries", "0")
    assert (ran.code, ran.json["items"], shown(ran)) == (6, [], ["a", "b"])
    ran = rdctl("-c", "a,b", "rapiddisk", "remove", "rd1", "-y", "--json", "--retries", "0")
    assert (ran.code, ran.json["status"]) == (6, "error")
    assert [error["context"] for error in ran.json["errors"]] == ["a", "b"]


def test_nothing_there_is_an_answer_too(rdctl: Program, daemons: Daemons) -> None:
    daemons({"b": {"rapiddisk": gone()}}, a=[inventory([])])
    assert rdctl("-c", "a,b", *LIST, "--json", "--retries", "0").code == 8


def test_a_context_without_such_a_system(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    with rdctl.config.open("a") as config:
        config.write('[contexts.r]\nrapiddisk = "http://127.0.0.1:1"\n')
    ran = rdctl("-c", "a,r", "oio", "container", "touch", "x", "-y", "--json")
    assert ran.code == 8
    assert [(row["context"], row["target"]) for row in ran.json["results"]] == [("a", "x")]
    assert [(row["context"], row["code"]) for row in ran.json["errors"]] == [("r", "config")]


def test_a_listing_that_breaks(rdctl: Program) -> None:
    """Its rows are shown as far as they came, and the others whole."""
    first = reply(
        200,
        json.dumps({"prefixes": [], "objects": [{"name": "x"}]}).encode(),
        {"x-oio-list-truncated": "true", "x-oio-list-marker": "x"},
    )
    with FaultServer([first, close()]) as a, FaultServer([first, first, close()]) as b:
        configure(
            rdctl.config,
            {
                name: {"oio": one.url, "namespace": "NS", "account": "me"}
                for name, one in (("a", a), ("b", b))
            },
        )
        ran = rdctl("-c", "a,b", "oio", "container", "list", "c", "--json", "--retries", "0")
    assert [row["context"] for row in ran.json["items"]][:2] == ["a", "b"]
    assert {error["context"] for error in ran.json["errors"]} == {"a", "b"}
    assert ran.code == 8


def test_the_slowest_holds_up_nobody_else(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    """All are asked at the same time."""
    meeting = threading.Barrier(3, timeout=SECONDS)
    for crowd in crowds.values():
        crowd.before = lambda names: meeting.wait()
    ran = rdctl("-c", "a,b,c", "oio", "container", "show", "x", "-o", "csv", "--columns", "context")
    assert (ran.code, ran.out) == (0, "context\na\nb\nc\n")


# Changes -----------------------------------------------------------------------------------------

TOUCH = ("oio", "container", "touch", "x", "y")


def test_a_change_names_all_contexts(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    """Also one that would lose nothing in one context."""
    ran = rdctl("-c", "c,a", *TOUCH, tty=True, stdin=b"n\n")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "The following will happen on contexts c, a:\n"
        "  c: touch x\n  c: touch y\n  a: touch x\n  a: touch y\n"
        "Continue? [y/N] Aborted.\n"
    )
    assert [one.requests for one in crowds.values()] == [[], [], []]
    ran = rdctl("-c", "c,a", *TOUCH, tty=True, stdin=b"y\n")
    assert (ran.code, ran.out) == (
        0,
        "c: touched x\nc: touched y\na: touched x\na: touched y\n",
    )
    assert ran.err.count("Continue?") == 1
    assert [sorted(one.names) for one in crowds.values()] == [["x", "y"], [], ["x", "y"]]


OF_TWO = b'{"context": "a", "name": "x"}\n{"context": "b", "name": "y"}\n'


@pytest.mark.parametrize("words", ["oio container destroy -", "rapiddisk remove -"])
@pytest.mark.parametrize(
    ("where", "rows", "line"),
    [
        ("a", OF_TWO, 2),
        ("b", OF_TWO, 1),
        ("a,c", OF_TWO, 2),
        ("c", OF_TWO, 1),
        ("a,b", OF_TWO + b'{"context": "none", "name": "x"}', 3),
    ],
)
def test_rows_of_one_context_reach_no_other(
    rdctl: Program, crowds: dict[str, Crowd], words: str, where: str, rows: bytes, line: int
) -> None:
    """A listing of several contexts says of each row where it is."""
    ran = rdctl("-c", where, *words.split(), "--ndjson", "--yes", "--json", stdin=rows)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert f"standard input, line {line}: " in ran.err
    assert f"-c a,b{',none' if b'none' in rows else ''}\n" in ran.err
    assert [one.requests for one in crowds.values()] == [[], [], []]


def test_rows_of_a_context_go_back_to_it(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    words = "oio container destroy - --ndjson --yes --json"
    ran = rdctl("-c", "a", *words.split(), stdin=OF_TWO.splitlines()[0])
    assert (ran.code, ran.json["results"][0]["line"]) == (0, 1)
    # Looked at before and after the prompt, and destroyed.
    assert [one.names for one in crowds.values()] == [["x", "x", "x"], [], []]


def test_rows_of_several_contexts_go_each_to_its_own(
    rdctl: Program, crowds: dict[str, Crowd]
) -> None:
    """Those that say none go to all; of one name each context has properties of its own."""
    rows = [
        {"context": "a", "name": "x", "properties": {"k": "a"}},
        {"context": "b", "name": "x", "properties": {"k": "b"}},
        {"name": "z"},
        {"context": "b", "name": "y"},
    ]
    stdin = "".join(json.dumps(row) + "\n" for row in rows).encode()
    words = "oio container create - typed --ndjson --yes --json"
    ran = rdctl("-c", "a,b,c", *words.split(), stdin=stdin)
    assert [one.names for one in crowds.values()] == [
        ["x", "z", "typed"],
        ["x", "z", "y", "typed"],
        ["z", "typed"],
    ]
    assert [one.properties["x"] for one in list(crowds.values())[:2]] == [{"k": "a"}, {"k": "b"}]
    found = [(row["context"], row["target"], row.get("line")) for row in ran.json["results"]]
    assert found == [
        ("a", "x", 1),
        ("a", "z", 3),
        ("a", "typed", None),
        ("b", "x", 2),
        ("b", "z", 3),
        ("b", "y", 4),
        ("b", "typed", None),
        ("c", "z", 3),
        ("c", "typed", None),
    ]


def test_what_is_lost_is_asked_of_each_as_its_rows_say(
    rdctl: Program, crowds: dict[str, Crowd]
) -> None:
    ran = rdctl("-c", "a,b,c", *"oio container destroy - --ndjson".split(), stdin=OF_TWO)
    assert ran.code == 2
    assert (
        "stdin is not a terminal; this would happen on contexts a, b:\n"
        '  a: container "x" will be destroyed\n  b: container "y" will be destroyed\n'
    ) in ran.err


def test_volumes_of_several_machines(rdctl: Program, daemons: Daemons) -> None:
    """What a listing of them shows, picked by hand, is removed where it is, and nowhere else."""
    a, b = (
        [inventory(["rd0", "rd1"]), inventory(["rd0", "rd1"]), targets(), success(), inventory([])]
        for _ in "ab"
    )
    servers = daemons({"d": {"rapiddisk": gone()}}, a=a, b=b, c=[inventory(["rd0", "rd1"])])
    listed = rdctl("-c", "*", "rapiddisk", "list", "-o", "ndjson").out.splitlines()
    picked = "\n".join((listed[0], listed[3])).encode()
    ran = rdctl("-c", "*", "rapiddisk", "remove", "-", "--ndjson", "-y", "--json", stdin=picked)
    assert ran.code == 0, "one that is down, and has no rows, does not matter"
    assert [(row["context"], row["target"]) for row in ran.json["results"]] == [
        ("a", "rd0"),
        ("b", "rd1"),
    ]
    posts = {
        name: [request.path for request in server.requests if request.method == "POST"]
        for name, server in servers.items()
    }
    assert posts == {
        "a": ["/v1/removeRapidDisk/rd0"],
        "b": ["/v1/removeRapidDisk/rd1"],
        "c": [],
    }
    assert len(servers["c"].requests) == 1


def test_many_names_are_asked_for_once(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    """As a whole, not by the batch that comes first."""
    names = "".join(f"n{number}\n" for number in range(500)).encode()
    argv = ("-c", "a,b", "oio", "container", "create", "-")
    asked = rdctl(*argv, stdin=names)
    assert (asked.code, "and 980 more\n" in asked.err) == (2, True)
    assert crowds["a"].requests == []
    done = rdctl(*argv, "-y", "--json", stdin=names)
    assert (done.code, len(done.json["results"])) == (0, 1000)
    lines = [(row["context"], row["line"]) for row in done.json["results"]]
    assert lines == [(name, line) for name in "ab" for line in range(1, 501)]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("lock rd0 rd1", "  a: lock rd0\n  a: lock rd1\n  b: lock rd0\n  b: lock rd1\n"),
        (
            "create 64M --count 3",
            "  a: create 3 volumes of 64.0 MiB\n  b: create 3 volumes of 64.0 MiB\n",
        ),
    ],
)
def test_a_change_of_volumes_is_told_as_a_whole(
    rdctl: Program, daemons: Daemons, words: str, asked: str
) -> None:
    script = [inventory(["rd0", "rd1"]), resources(), success()]
    servers = daemons(a=script, b=script)
    ran = rdctl("-c", "a,b", "rapiddisk", *words.split(), tty=True, stdin=b"\n")
    assert ran.code == 1
    assert f"on contexts a, b:\n{asked}Continue?" in ran.err
    for server in servers.values():
        assert {request.method for request in server.requests} == {"GET"}


def test_nobody_to_ask(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    ran = rdctl("-c", "a,b", *TOUCH, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "consent-missing")
    assert "on contexts a, b" in ran.json["error"]["message"]
    assert crowds["a"].requests == crowds["b"].requests == []


def test_ctrl_c_at_the_question(
    rdctl: Program, crowds: dict[str, Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no Yes."""

    class Person(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.conftest.io.BytesIO", lambda data=b"": Person(data))
    ran = rdctl("-c", "a,b", *TOUCH, tty=True)
    assert ran.code == 130
    assert "interrupted; nothing was changed" in ran.err
    threading.Event().wait(0.1)
    assert crowds["a"].requests == crowds["b"].requests == []


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ("-c p* -y", False),
        ("-c a,p* -y", False),
        ("-c a,prod -y", True),
        ("-c p*,prod -y", True),
        ("-c prod,p* -y", True),
    ],
)
def test_a_protected_context_is_named_itself(
    rdctl: Program, crowds: dict[str, Crowd], words: str, done: bool
) -> None:
    with rdctl.config.open("a") as config:
        config.write(
            f'[contexts.prod]\noio = "{crowds["b"].server.url}"\nnamespace = "NS"\n'
            'account = "me"\nprotected = true\n'
        )
    ran = rdctl(*words.split(), *TOUCH, "--json")
    assert ran.code == (0 if done else 2)
    assert (crowds["b"].requests != []) == done
    if not done:
        assert crowds["a"].requests == []
        assert "Select it by name: -c prod" in ran.json["error"]["hint"]


def test_a_protected_context_of_a_variable(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    text = rdctl.config.read_text().replace("[contexts.b]", "[contexts.b]\nprotected = true")
    rdctl.config.write_text(text)
    assert rdctl(*TOUCH, "-y", env={"RDCTL_CONTEXT": "a,b"}).code == 2
    assert crowds["a"].requests == []


def test_a_dry_run_of_each(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    ran = rdctl("-c", "b,a", *TOUCH, "--dry-run")
    lines = [f"{context}: would touch {name}\n" for context in "ba" for name in "xy"]
    asked = "".join(f"  {context}: touch {name}\n" for context in "ba" for name in "xy")
    assert (ran.code, ran.out) == (0, f"{''.join(lines)}confirmation required:\n{asked}")
    document = rdctl("-c", "b,a", *TOUCH, "--dry-run", "--json").json
    assert list(document["contexts"]) == ["b", "a"]
    for name, plan in document["contexts"].items():
        assert [crowds[name].server.url in line for line in plan] == [True, True]
    assert [row["context"] for row in document["results"]] == ["b", "b", "a", "a"]
    assert crowds["a"].requests == crowds["b"].requests == []


def test_who_says_yes_knows_where_it_failed(rdctl: Program, daemons: Daemons) -> None:
    """A context that cannot be read does not hold up the others, nor is it left out silently."""
    script = [inventory(["rd0"]), targets(), success(), inventory([])]
    daemons({"b": {"rapiddisk": gone()}}, a=script, c=[inventory(["rd1"]), targets()])
    argv = ("-c", "a,b,c", "rapiddisk", "remove", "rd0", "--retries", "0")
    ran = rdctl(*argv, tty=True, stdin=b"y\n")
    question, _, rest = ran.err.partition("Continue?")
    assert "on context a" in question
    assert "  volume rd0 (64.0 MiB, empty) will be removed\n" in question
    assert "  not on b: no connection to" in question
    assert "  not on c: volume rd0 not found\n" in question
    assert (ran.code, ran.out) == (8, "a: removed rd0\n")
    assert "rdctl: error: b: no connection to" in rest


def test_a_name_that_failed_in_one_context(
    rdctl: Program, crowds: dict[str, Crowd], tmp_path: Path
) -> None:
    left = tmp_path / "failed"
    crowds["b"].refused = {"y": (403, "No")}
    argv = ("-c", "a,b", "oio", "container", "touch", "-", "-y", "--failed", str(left))
    assert rdctl(*argv, stdin=b"x\ny\nz\n").code == 8
    assert left.read_bytes() == b"y\n"
    crowds["b"].refused = {}
    with rdctl.config.open("a") as config:
        config.write('[contexts.r]\nrapiddisk = "http://127.0.0.1:1"\n')
    ran = rdctl(*argv[:1], "a,r", *argv[2:], stdin=b"x\ny\nz\n")
    assert (ran.code, left.read_bytes()) == (8, b"x\ny\nz\n")


def test_rows_that_failed_say_in_which_context(
    rdctl: Program, crowds: dict[str, Crowd], tmp_path: Path
) -> None:
    """The next run does there what is left to do, and nothing in the others."""
    left = tmp_path / "failed"
    crowds["b"].refused = {"y": (403, "No"), "t\udcff": (403, "No")}
    argv = ("-c", "a,b", "oio", "container", "touch", "-", "-y", "--ndjson", "--failed", str(left))
    stdin = b'{"name": "x"}\n{"name": "y", "more": 1}\n'
    assert rdctl(*argv, "t\udcff", stdin=stdin).code == 8
    assert [json.loads(line) for line in left.read_bytes().splitlines()] == [
        {"name": "y", "more": 1, "context": "b"},
        {"name": "t\udcff", "name_hex": "74ff", "context": "b"},
    ]
    for crowd in crowds.values():
        crowd.requests.clear()
    assert rdctl(*argv, stdin=left.read_bytes()).code == 5
    assert [sorted(one.names) for one in crowds.values()] == [[], ["t\udcff", "y"], []]
    crowds["b"].refused = {}
    assert rdctl(*argv, stdin=left.read_bytes()).code == 0
    assert left.read_bytes() == b""


def test_what_was_typed_and_failed_says_in_which_context(
    rdctl: Program, crowds: dict[str, Crowd], tmp_path: Path
) -> None:
    left = tmp_path / "failed"
    crowds["b"].refused = {"x": (403, "No")}
    argv = ("-c", "a,b", "oio", "container", "touch", "x", "-y", "--ndjson", "--failed", str(left))
    assert rdctl(*argv).code == 8
    assert json.loads(left.read_bytes()) == {"name": "x", "name_hex": "78", "context": "b"}


def test_all_rows_of_a_context_that_failed_as_a_whole(
    rdctl: Program, crowds: dict[str, Crowd], tmp_path: Path
) -> None:
    left = tmp_path / "failed"
    with rdctl.config.open("a") as config:
        config.write('[contexts.r]\nrapiddisk = "http://127.0.0.1:1"\n')
    argv = ("-c", "a,r", "oio", "container", "touch", "-", "-y", "--ndjson", "--failed", str(left))
    rows = b'{"context": "a", "name": "x"}\n{"context": "r", "name": "y"}\n{"name": "z"}\n'
    assert rdctl(*argv, stdin=rows).code == 8
    assert left.read_bytes() == b'{"context": "r", "name": "y"}\n{"name": "z", "context": "r"}\n'


def test_formats_of_a_change(rdctl: Program, crowds: dict[str, Crowd]) -> None:
    crowds["b"].refused = {"y": (403, "No")}
    argv = ("-c", "a,b", *TOUCH, "-y")
    rows = list(csv.DictReader(io.StringIO(rdctl(*argv, "-o", "csv").out)))
    assert [(row["context"], row["target"], row["error"]) for row in rows] == [
        ("a", "x", ""),
        ("a", "y", ""),
        ("b", "x", ""),
        ("b", "y", "denied"),
    ]
    assert rdctl(*argv, "-o", "name").out == "a\tx\na\ty\nb\tx\n"
    lines = [json.loads(line) for line in rdctl(*argv, "-o", "ndjson").out.splitlines()]
    assert [line.get("error", line)["context"] for line in lines] == ["a", "a", "b", "b"]
    ran = rdctl(*argv)
    assert (ran.code, ran.out) == (8, "a: touched x\na: touched y\nb: touched x\n")
    assert ran.err.startswith("rdctl: error: b: y: No\n")


# A machine among them ----------------------------------------------------------------------------


def test_this_machine_and_another(rdctl: Program, kernel: FakeKernel, daemons: Daemons) -> None:
    """Kernel calls and transactions go on in a thread, where no handler of a signal can be set."""
    script = [inventory([]), resources(), success(), success(), inventory(["rd0", "rd1"])]
    daemons({"here": {"rapiddisk": "local"}}, there=script)
    argv = ("-c", "here,there", "rapiddisk", "create", "64M", "--count", "2", "-y", "--json")
    ran = rdctl(*argv)
    assert [(row["context"], row["target"]) for row in ran.json["results"]] == [
        ("here", "rd0"),
        ("here", "rd1"),
        ("there", "rd0"),
        ("there", "rd1"),
    ]
    assert ran.code == 0


def test_a_transaction_is_undone_in_a_thread(
    rdctl: Program, kernel: FakeKernel, daemons: Daemons
) -> None:
    daemons({"here": {"rapiddisk": "local"}}, there=[inventory(["rd0"]), targets()])
    assert rdctl("--local", "rapiddisk", "create", "64M").code == 0
    configured = rdctl.root / "sys/kernel/config/nvmet"
    before = sorted(str(path) for path in configured.rglob("*")) if configured.exists() else []
    argv = ("rapiddisk", "nvmet", "export", "rd0", "--port", "77", "--any-host", "-y", "--json")
    ran = rdctl("-c", "here,there", *argv)
    alone = rdctl("--local", *argv)
    assert ran.code != 0
    assert alone.code != 0
    (error,) = [one for one in ran.json["errors"] if one["context"] == "here"]
    assert error["code"] == alone.json["errors"][0]["code"]
    after = sorted(str(path) for path in configured.rglob("*")) if configured.exists() else []
    assert after == before


# Every command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("content list", "missing argument CONTAINER"),
        ("container show", "missing argument CONTAINER"),
        ("container touch -o ndjson", "missing argument CONTAINER"),
        ("content show c", "missing argument PATH"),
        ("container list a b", 'unexpected argument "b"'),
        ("container set-properties c --json", "missing argument KEY=VALUE"),
    ],
)
def test_words_that_are_wrong_are_wrong_once(
    rdctl: Program, crowds: dict[str, Crowd], words: str, said: str
) -> None:
    ran = rdctl("-c", "a,b", "oio", *words.split(), "-y")
    alone = rdctl("-c", "a", "oio", *words.split(), "-y")
    assert (ran.code, ran.out, ran.err) == (2, alone.out, alone.err)
    assert said in ran.err
    assert [one.requests for one in crowds.values()] == [[], [], []]


EXAMPLES = [
    (node.command, example)
    for node in walk(root)
    if isinstance(node.command, Command) and node.command.on_site
    for example in node.command.examples
    if "-c sandbox" in example and not set("|<>") & set(example)
]


def test_every_command(rdctl: Program) -> None:
    """It does in several contexts what it does in one, or says that it does not."""
    different = []
    for command, example in EXAMPLES:
        words = shlex.split(example)[1:]
        words += [] if command.shows else ["--dry-run"]
        alone = rdctl(*words, "-y")
        words[words.index("sandbox")] = "sandbox,"
        together = rdctl(*words, "-y")
        assert "internal error" not in together.err, example
        if together.code != alone.code:
            different.append((command.name, together.code))
    assert set(different) == {
        *(("api", 2), ("get", 2), ("put", 2), ("repair", 2), ("dump", 2), ("undo", 2)),
        *(("append", 2), ("checkpoint", 2), ("link", 2), ("snapshot", 2), ("sync", 2)),
    }


NOUNS = [
    (node.command, node.path.split()[1:])
    for node in walk(root)
    if isinstance(node.command, Command) and node.command.on_site
]


@pytest.mark.parametrize("words", ["", "-", "x", "x -", "x y", "x y -", "x y z"])
def test_any_words_of_every_command(rdctl: Program, words: str) -> None:
    """What is wrong in one context is wrong in several, and in no other way."""
    for command, path in NOUNS:
        if not command.fleet:
            continue
        more = [*words.split(), "-y", *([] if command.shows else ["--dry-run"])]
        alone = rdctl("-c", "sandbox", *path, *more)
        together = rdctl("-c", "sandbox,", *path, *more)
        assert "internal error" not in alone.err + together.err, path
        assert (together.code, path) == (alone.code, path), alone.err + together.err


# Signals, in a real process ----------------------------------------------------------------------

ENDS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hang-up"),
]


@pytest.mark.parametrize(("number", "code", "word"), ENDS)
def test_a_signal_in_the_middle(
    process: Rdctl, crowds: dict[str, Crowd], number: int, code: int, word: str
) -> None:
    """Every context finishes what it has under way, and says what it did not come to."""
    gate = threading.Event()
    arrived = threading.Semaphore(0)

    def before(names: Sequence[str]) -> None:
        # Not by their number: later ones may overtake one that is slow to arrive, and wait for it.
        if names[0] >= "n005":
            arrived.release()
            gate.wait(SECONDS)

    for context in "ab":
        crowds[context].before = before
    names = [f"n{number:03}" for number in range(300)]
    (process.home / "names").write_text("".join(name + "\n" for name in names))
    words = ("-c", "a,b", "oio", "container", "touch", "-", "-y", "--json", "--parallel", "2")
    left = process.home / "failed"
    with open(process.home / "names", "rb") as stdin:
        running = process.start(*words, "--failed", str(left), stdin=stdin)
    for _ in range(4):
        assert arrived.acquire(timeout=SECONDS)
    running.send_signal(number)
    assert running.stderr is not None
    assert b"Press Ctrl-C again to stop now" in running.stderr.readline()
    gate.set()
    out, err = running.communicate(timeout=SECONDS)
    document = json.loads(out)
    assert running.returncode == code
    for context in "ab":
        done = [row["target"] for row in document["results"] if row["context"] == context]
        rest = [row for row in document["errors"] if row["context"] == context]
        assert done == sorted(crowds[context].names)
        assert 7 <= len(done) <= 9
        assert done + [row["target"] for row in rest] == names
        assert {(row["code"], row["fate"]) for row in rest} == {(word, "not done")}
    assert f"rdctl: error: {word}; completed: ".encode() in err
    kept = left.read_text().split()
    assert set(kept) == {row["target"] for row in document["errors"]}
    assert len(kept) == len(set(kept))


def test_a_signal_stops_every_machine(process: Rdctl) -> None:
    """Volumes that a context did not come to are not removed behind its back."""
    gate = threading.Event()
    devices = [f"rd{number}" for number in range(5)]
    first = threading.Event()

    def slow() -> Behaviour:
        inner = success()

        def behave(connection: Any) -> None:
            first.set()
            gate.wait(SECONDS)
            inner(connection)

        return behave

    script = [inventory(devices), targets(), slow(), inventory(devices[1:])]
    with FaultServer(script) as a, FaultServer([inventory([]), targets()]) as b:
        contexts = {"a": {"rapiddisk": a.url}, "b": {"rapiddisk": b.url}}
        configure(process.home / "config.toml", contexts)
        running = process.start("-c", "a,b", "rapiddisk", "remove", *devices, "-y", "--json")
        assert first.wait(SECONDS)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        assert b"Press Ctrl-C again to stop now" in running.stderr.readline()
        gate.set()
        out, err = running.communicate(timeout=SECONDS)
        sent = [request.method for request in a.requests]
    assert running.returncode == 130
    assert sent.count("POST") == 1
    document = json.loads(out)
    assert [row["target"] for row in document["results"]] == ["rd0"]
    errors = [one for one in document["errors"] if one["context"] == "a"]
    assert [error["target"] for error in errors] == devices[1:]
    told = {(error["code"], error["message"]) for error in errors}
    assert told == {("interrupted", "not started (interrupted)")}
    assert b"rdctl: error: interrupted; completed: remove rd0" in err


def test_a_context_that_is_done_when_the_signal_comes(process: Rdctl) -> None:
    """What was done is told as done, although another context still waits."""
    gate = threading.Event()
    removed = [inventory(["rd0"]), targets(), success(), inventory([])]

    def slow(connection: Any) -> None:
        gate.wait(SECONDS)
        success()(connection)

    with FaultServer(removed) as b, FaultServer([*removed[:2], slow, inventory([])]) as a:
        contexts = {"a": {"rapiddisk": a.url}, "b": {"rapiddisk": b.url}}
        configure(process.home / "config.toml", contexts)
        running = process.start("-c", "a,b", "rapiddisk", "remove", "rd0", "-y", "--json")
        wait_until(lambda: len(b.requests) == 4 and len(a.requests) >= 2)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        assert b"Press Ctrl-C again to stop now" in running.stderr.readline()
        gate.set()
        out, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert [(row["context"], row["target"]) for row in json.loads(out)["results"]] == [
        ("a", "rd0"),
        ("b", "rd0"),
    ]


# What to do next ----------------------------------------------------------------------------------


def test_a_command_in_a_hint_reaches_the_same_context(
    rdctl: Program, two: dict[str, FaultServer]
) -> None:
    ran = rdctl("-c", "a,b", "rapiddisk", "remove", "nothing", "--yes", "--json")
    hints = {one["context"]: one["hint"] for one in ran.json["errors"]}
    assert "List them: rdctl -c a rapiddisk list" in hints["a"]
    assert "List them: rdctl -c b rapiddisk list" in hints["b"]
