"""Names from standard input, many at a time: what is sent, what is told, what is left to do."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.crowd import Crowd, crowd
from tests.cli.processes import SECONDS, Rdctl, process, wait_until
from tests.cli.replies import failed, inventory, success, targets
from tests.conftest import Program, Ran
from tests.fakes.faults import Connection, FaultServer

__all__ = ["crowd", "process"]

MANY = [f"c{number:04}" for number in range(3000)]
Call = Callable[..., Ran]


def lines(names: Sequence[str], end: str = "\n") -> bytes:
    return "".join(name + end for name in names).encode("utf-8", "surrogateescape")


@pytest.fixture
def call(rdctl: Program, crowd: Crowd) -> Call:
    """`call("container touch -", stdin=b"a")`, of a server that is asked for many names."""

    def call(words: str, *more: str, **options: Any) -> Ran:
        return rdctl(*crowd.where, "oio", *words.split(), *more, **options)

    return call


def told(ran: Ran) -> list[tuple[str, int]]:
    """Each name with its line, of a document without errors or of errors alone."""
    rows = ran.json["results"] or ran.json["errors"]
    return [(row["target"], row["line"]) for row in rows]


def outcomes(document: Any) -> dict[str, str]:
    """Each name: `done`, or the word of its error and its fate."""
    done = {row["target"]: "done" for row in document["results"]}
    return done | {row["target"]: f"{row['code']}, {row['fate']}" for row in document["errors"]}


# What is sent, and in which order it is told ------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_thousands_of_names(call: Call, crowd: Crowd, end: str) -> None:
    ran = call("container create - --json", stdin=lines(MANY, end))
    assert (ran.code, ran.err) == (0, "")
    assert told(ran) == [(name, number) for number, name in enumerate(MANY, 1)]
    assert sorted(crowd.names) == MANY
    assert {len(names) for names in crowd.requests} == {100}


@pytest.mark.parametrize("words", ["container touch -", "container show -", "content delete c -"])
def test_the_order_is_that_of_the_names(call: Call, crowd: Crowd, words: str) -> None:
    """Whichever answer comes first: one half of them is late."""
    late = threading.Event()
    crowd.before = lambda names: names[0] < "c2850" and late.wait(0.005)
    crowd.objects = MANY
    names = MANY[::-1][-300:]
    ran = call(words, "-y", "-o", "ndjson", stdin=lines(names))
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, [row.get("target", row.get("container")) for row in rows]) == (0, names)


@pytest.mark.parametrize("parallel", [1, 3, 8])
def test_so_many_are_under_way(call: Call, crowd: Crowd, parallel: int) -> None:
    """They wait for each other, and none more is seen."""
    barrier = threading.Barrier(parallel, timeout=SECONDS)
    crowd.before = lambda names: barrier.wait()
    ran = call("container touch - --parallel", str(parallel), stdin=lines(MANY[: 4 * parallel]))
    assert (ran.code, crowd.most) == (0, parallel)


def test_one_at_a_time_goes_in_order(call: Call, crowd: Crowd) -> None:
    call("container touch - --parallel 1", stdin=lines(MANY[:50]))
    assert (crowd.names, crowd.most) == (MANY[:50], 1)


def test_several_are_under_way_by_default(call: Call, crowd: Crowd) -> None:
    barrier = threading.Barrier(8, timeout=SECONDS)
    crowd.before = lambda names: barrier.wait()
    assert call("container touch -", stdin=lines(MANY[:16])).code == 0
    assert crowd.most == 8


@pytest.mark.parametrize("flag", ["--dry-run", "--trace"])
def test_lines_of_a_run_stand_in_order(call: Call, crowd: Crowd, flag: str) -> None:
    ran = call("container touch -", flag, "--trace", stdin=lines(MANY[:40]))
    shown = ran.err.splitlines()
    assert [line.partition("ref=")[2][:5] for line in shown if "ref=" in line] == MANY[:40]
    assert crowd.names == ([] if flag == "--dry-run" else MANY[:40])


def test_a_name_twice(call: Call, crowd: Crowd) -> None:
    ran = call("container touch - b -", "--json", stdin=b"a\nb\n\na\nc\n")
    assert [(row["target"], row.get("line")) for row in ran.json["results"]] == [
        ("a", 1),
        ("b", 2),
        ("c", 5),
    ]
    assert sorted(crowd.names) == ["a", "b", "c"]


def test_nothing_on_standard_input(process: Rdctl, crowd: Crowd) -> None:
    words = (*crowd.where, "oio", "container", "create", "-", "--json")
    code, out, err = process.shell('"$@" </dev/null', *words)
    assert (code, json.loads(out)["results"], err) == (0, [], "")
    for redirection in ("0>/dev/null", "<&-"):
        code, out, err = process.shell(f'"$@" {redirection}', *words)
        assert (code, json.loads(out)["error"]["code"]) == (2, "usage")
    assert crowd.requests == []


# Lines of JSON -----------------------------------------------------------------------------------


def test_properties_of_each(call: Call, crowd: Crowd) -> None:
    given = [{"name": "a", "properties": {"team": "red"}}, {"name": "b"}, {"container": "c"}]
    stdin = "\n".join(map(json.dumps, given)).encode()
    ran = call("container create - --ndjson -p site=x -p team=blue --json", stdin=stdin)
    assert told(ran) == [("a", 1), ("b", 2), ("c", 3)]
    assert crowd.properties == {
        "a": {"site": "x", "team": "red"},
        "b": {"site": "x", "team": "blue"},
        "c": {"site": "x", "team": "blue"},
    }


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"a",
        b"[]",
        b"{}",
        b'{"name": 3}',
        b'{"name": ""}',
        b'{"name": null, "path": null}',
        b'{"name": "x", "properties": []}',
        b'{"name": "x", "context": 3}',
        b'{"name": "x", "properties": {"a": 1}}',
        b'{"name": "x", "name_hex": "6"}',
        b'{"name": "x", "name_hex": "xx"}',
        b'\xff{"name": "x"}',
        b'{"name": "caf\xe9"}',
        b"[" * 100_000,
    ],
)
def test_a_bad_line_refuses_all(call: Call, crowd: Crowd, bad: bytes) -> None:
    stdin = b'{"name": "good"}\n' + bad + b'\n{"name": "better"}\n'
    ran = call("container create - --ndjson --json", stdin=stdin)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert "standard input, line 2: " in ran.json["error"]["message"]
    assert crowd.requests == []


def test_bytes_that_are_no_text(call: Call, crowd: Crowd) -> None:
    """As a listing writes them."""
    stdin = b'{"name": "caf\\udce9", "name_hex": "636166e9"}\n{"name": "a\\nb"}\n'
    ran = call("container touch - --ndjson --json", stdin=stdin)
    assert (ran.code, sorted(crowd.names)) == (0, ["a\nb", "caf\udce9"])


def test_a_listing_is_the_input_of_the_next(sandbox: Call) -> None:
    listed = sandbox("oio", "content", "list", "photos", "-o", "ndjson")
    assert len(listed.out.splitlines()) > 3
    words = ("oio", "content", "delete", "photos", "-", "--ndjson", "-y", "-o", "name")
    deleted = sandbox(*words, stdin=listed.stdout)
    assert (deleted.code, deleted.out.splitlines()) == (
        0,
        [json.loads(line)["name"] for line in listed.out.splitlines()],
    )
    assert sandbox("oio", "content", "list", "photos", "-o", "ndjson").out == ""


@pytest.mark.parametrize(
    ("listing", "change"),
    [
        ("oio account containers", "oio container touch -"),
        ("oio container show photos", "oio container touch -"),
        ("oio content show photos index.txt", "oio content touch photos -"),
        ("oio conscience list rawx", "oio conscience unlock rawx -"),
        ("rapiddisk list", "rapiddisk lock -"),
        ("rapiddisk show rd0", "rapiddisk lock -"),
        ("oio container touch photos", "oio container touch -"),
        ("oio conscience types", "oio conscience list -"),
    ],
)
def test_every_listing_is(sandbox: Call, listing: str, change: str) -> None:
    """Its lines name what it lists."""
    listed = sandbox(*listing.split(), "-o", "ndjson")
    names = sandbox(*listing.split(), "-o", "name").out.split()
    ran = sandbox(*change.split(), "--ndjson", "--json", stdin=listed.stdout)
    assert (ran.code, names != []) == (0, True), ran.err
    if "results" in ran.json:
        assert [row["target"] for row in ran.json["results"]] == names


# What failed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "refused"),
    [("container create -", ["c0007", "c0140"]), ("container touch -", ["c0000", "c0249"])],
)
def test_some_are_refused(call: Call, crowd: Crowd, words: str, refused: list[str]) -> None:
    crowd.refused = dict.fromkeys(refused, (403, "Not yours"))
    names = MANY[:250]
    ran = call(words, "--json", stdin=lines(names))
    assert (ran.code, ran.json["status"]) == (8, "partial")
    assert [(row["target"], row["line"], row["code"]) for row in ran.json["errors"]] == [
        (name, names.index(name) + 1, "denied") for name in refused
    ]
    assert [row["target"] for row in ran.json["results"]] == [n for n in names if n not in refused]
    for name in refused:
        assert f"rdctl: error: line {names.index(name) + 1}: {name}: Not yours\n" in ran.err


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_the_failed_stand_among_the_others(call: Call, crowd: Crowd, format: str) -> None:
    crowd.refused = {"b": (403, "Not yours")}
    ran = call("container touch - -o", format, stdin=b"a\nb\n\nc\n")
    if format == "ndjson":
        rows = [json.loads(line) for line in ran.out.splitlines()]
        rows = [row.get("error", row) for row in rows]
    else:
        rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert ran.code == 8
    assert [(row["target"], str(row["line"])) for row in rows] == [
        ("a", "1"),
        ("b", "2"),
        ("c", "4"),
    ]


def test_what_could_not_be_shown_has_its_line(call: Call, crowd: Crowd) -> None:
    crowd.refused = {"b": (431, "No")}
    ran = call("container show x - --json", stdin=b"a\nb\n")
    assert (ran.code, [row["container"] for row in ran.json["items"]]) == (8, ["x", "a"])
    assert [(row["target"], row["line"]) for row in ran.json["errors"]] == [("b", 2)]
    assert ran.err.startswith("rdctl: error: line 2: ")


def test_typed_names_have_no_line(call: Call, crowd: Crowd) -> None:
    """Also when the same fault is told of all."""
    crowd.server.refuse()
    ran = call("container touch x - y z --parallel 1 --json", stdin=b"a\nb\n")
    assert ran.code == 6
    assert [(row["target"], row.get("line")) for row in ran.json["errors"]] == [
        ("x", None),
        ("a", 1),
        ("b", 2),
        ("y", None),
        ("z", None),
    ]


def test_a_server_that_dies(call: Call, crowd: Crowd) -> None:
    """The rest is not tried: not even a connection. What was under way has no reply, and so its
    fate is not known."""

    def before(names: Sequence[str]) -> bytes | None:
        if names[0] == "c0010":
            crowd.server.refuse()
            return b""
        return None

    crowd.before = before
    ran = call("container touch - --parallel 1 --json --trace", stdin=lines(MANY))
    found = outcomes(ran.json)
    assert (ran.code, list(found)) == (8, MANY)
    assert sum(line.startswith("curl ") for line in ran.err.splitlines()) == 11
    assert [found[name] for name in MANY[:12]] == [
        *["done"] * 10,
        "unknown, unknown",
        "unreachable, not done",
    ]
    assert set(list(found.values())[11:]) == {"unreachable, not done"}
    assert len(crowd.requests) == 11
    assert ran.err.count("skipped: no reply to an earlier request") == 1


def test_one_batch_is_lost(call: Call, crowd: Crowd, tmp_path: Path) -> None:
    """Nothing more is sent to a server whose state is not known."""
    crowd.before = lambda names: b"" if "c0150" in names else None
    failed = tmp_path / "failed"
    words = "container create - --parallel 1 --json --failed"
    ran = call(words, str(failed), stdin=lines(MANY[:400]))
    found = outcomes(ran.json)
    assert (ran.code, found) == (
        8,
        dict.fromkeys(MANY[:100], "done")
        | dict.fromkeys(MANY[100:200], "unknown, unknown")
        | dict.fromkeys(MANY[200:400], "unreachable, not done"),
    )
    assert len(crowd.requests) == 2
    assert failed.read_bytes() == lines(MANY[100:400])
    crowd.before = lambda names: b""
    assert call(words, str(failed), stdin=failed.read_bytes()).code == 10


def test_one_batch_is_refused_whole(call: Call, crowd: Crowd) -> None:
    from tests.cli.crowd import answer

    refusal = answer(403, {"status": 403, "message": "Not these"})
    crowd.before = lambda names: refusal if "c0150" in names else None
    crowd.objects = MANY[:300]
    ran = call("content delete c - --json -y", stdin=lines(MANY[:300]))
    assert (ran.code, outcomes(ran.json)) == (
        8,
        dict.fromkeys(MANY[:100] + MANY[200:300], "done")
        | dict.fromkeys(MANY[100:200], "denied, not done"),
    )


# The failed names of a run are the next one's ----------------------------------------------------


@pytest.mark.parametrize(
    ("stdin", "flags", "left"),
    [
        (b"a\nbad1\nb\nbad2", "", b"bad1\nbad2\n"),
        (b"a\0bad1\0b\0bad2\0", "", b"bad1\0bad2\0"),
        (
            b'{"name":"a"}\n{"properties": {"k": "v"}, "name": "bad1"}\n{"name":"bad2"}\n',
            "--ndjson",
            b'{"properties": {"k": "v"}, "name": "bad1"}\n{"name":"bad2"}\n',
        ),
    ],
)
def test_the_failed_are_given_to_the_next(
    call: Call, crowd: Crowd, tmp_path: Path, stdin: bytes, flags: str, left: bytes
) -> None:
    failed = tmp_path / "failed"
    words = f"container create - {flags} --json --failed {failed}"
    crowd.refused = {"bad1": (403, "No"), "bad2": (403, "No")}
    assert call(words, stdin=stdin).code == 8
    assert failed.read_bytes() == left
    crowd.refused = {"bad2": (403, "No")}
    again = call(words, stdin=left)
    assert (again.code, outcomes(again.json)) == (8, {"bad1": "done", "bad2": "denied, not done"})
    crowd.refused = {}
    last = call(words, stdin=failed.read_bytes())
    assert (last.code, outcomes(last.json)) == (0, {"bad2": "done"})
    assert failed.read_bytes() == b""
    if flags:
        assert crowd.properties["bad1"] == {"k": "v"}


@pytest.mark.parametrize("flags", ["", "--ndjson"])
@pytest.mark.parametrize("name", ["plain", "caf\udce9", "a\nb", "-x", '"', "\\", "é"])
def test_a_typed_name_too(call: Call, crowd: Crowd, tmp_path: Path, name: str, flags: str) -> None:
    """Beside others from standard input, in a way that the next run understands."""
    failed = tmp_path / "failed"
    crowd.refused = {name: (403, "No"), "bad": (403, "No")}
    stdin = b'{"name": "bad"}\n' if flags else b"bad\n"
    words = ["--failed", str(failed), *flags.split(), "--", "-", name]
    assert call("container touch", *words, stdin=stdin).code == 1 + 4
    crowd.requests.clear()
    again = call("container touch - --json", *flags.split(), stdin=failed.read_bytes())
    assert sorted(crowd.names) == sorted([name, "bad"])
    assert again.code == 5


def test_failed_of_names_that_were_only_typed(call: Call, crowd: Crowd, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    crowd.refused = {"b": (403, "No")}
    assert call("container touch a b --failed", str(failed)).code == 8
    assert failed.read_bytes() == b"b\n"


def test_what_could_not_be_shown_too(call: Call, crowd: Crowd, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    crowd.refused = {"b": (431, "No")}
    assert call("container show - -o csv --failed", str(failed), stdin=b"a\nb\nc\n").code == 8
    assert failed.read_bytes() == b"b\n"


@pytest.mark.parametrize("where", ["none/there/failed", ""])
def test_a_file_that_cannot_be_written(
    call: Call, crowd: Crowd, tmp_path: Path, where: str
) -> None:
    """It is known before anything is sent."""
    (tmp_path / "none").write_text("a file")
    ran = call("container touch - --json --failed", str(tmp_path / where), stdin=b"a\nb\n")
    assert ran.code == 1 + 1
    assert ran.json["error"]["target"] == str(tmp_path / where)
    assert crowd.requests == []


@pytest.mark.parametrize("words", ["-y", ""])
def test_all_failed_where_the_run_did_as_a_whole(
    rdctl: Program, crowd: Crowd, tmp_path: Path, words: str
) -> None:
    """A file of an earlier run does not stay as if it were of this one."""
    failed = tmp_path / "failed"
    failed.write_text("old\n")
    crowd.server.refuse()
    argv = ("--rapiddisk-url", crowd.server.url, "rapiddisk", "remove", "-", "--retries", "0")
    ran = rdctl(*argv, *words.split(), "--failed", str(failed), stdin=b"rd0\nrd1\n")
    assert (ran.code, failed.read_bytes()) == (6, b"rd0\nrd1\n")
    asked = rdctl(*crowd.where, "oio", "admin", "freeze", "-", stdin=b"x\n")
    assert asked.code == 2
    # What is already deleted is looked up before the prompt.
    looked_up = rdctl(*crowd.where, "oio", "content", "delete", "c", "-", stdin=b"x\n")
    assert looked_up.code == 6
    failed.write_text("old\n")
    ran = rdctl(*argv, "--ndjson", "--failed", str(failed), stdin=b'{"name": "rd0"}\n{\n')
    assert (ran.code, failed.read_text()) == (2, "old\n")


def test_all_that_were_typed_failed_too(rdctl: Program, crowd: Crowd, tmp_path: Path) -> None:
    """Else a file of an earlier run would be taken for what failed in this one."""
    failed = tmp_path / "failed"
    failed.write_text("rd7\n")
    crowd.server.refuse()
    argv = ("--rapiddisk-url", crowd.server.url, "rapiddisk", "remove", "rd0", "-", "rd1", "-y")
    ran = rdctl(*argv, "--retries", "0", "--failed", str(failed), stdin=b"rd2\n")
    assert (ran.code, failed.read_bytes()) == (6, b"rd0\nrd2\nrd1\n")
    ran = rdctl(*argv[:4], "rd3", "-y", "--retries", "0", "--failed", str(failed))
    assert (ran.code, failed.read_bytes()) == (6, b"rd3\n")


def test_a_dry_run_writes_no_file(call: Call, crowd: Crowd, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    crowd.server.refuse()
    call("container touch - --dry-run --failed", str(failed), stdin=b"a\nb\n")
    assert not failed.exists()


# Other kinds of names ----------------------------------------------------------------------------


def test_volumes(rdctl: Program, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    script = [
        inventory(["rd0", "rd1", "rd2"]),
        targets(),
        success(),
        success(),
        inventory(["rd1", "rd2"]),
    ]
    with FaultServer(script) as server:
        where = ("--rapiddisk-url", server.url)
        words = ("rapiddisk", "remove", "-", "-y", "--json", "--failed", str(failed))
        ran = rdctl(*where, *words, stdin=b"rd0\nrd7\nrd1\n")
    assert (ran.code, [(row["target"], row["line"]) for row in ran.json["results"]]) == (
        8,
        [("rd0", 1)],
    )
    assert [(row["target"], row["line"]) for row in ran.json["errors"]] == [("rd7", 2), ("rd1", 3)]
    assert failed.read_bytes() == b"rd7\nrd1\n"


@pytest.mark.parametrize(
    "words",
    ["rapiddisk remove -", "rapiddisk cache remove -", "oio conscience lock rawx -"],
)
def test_a_name_that_cannot_be(rdctl: Program, crowd: Crowd, words: str) -> None:
    """Nothing is done, and the line is told."""
    with FaultServer([inventory()]) as server:
        where = (*crowd.where, "--rapiddisk-url", server.url)
        good = {"rapiddisk remove -": "rd0", "rapiddisk cache remove -": "rc-wt_a"}
        stdin = f"{good.get(words, '127.0.0.1:6013')}\n\n; reboot\n".encode()
        ran = rdctl(*where, *words.split(), "-y", "--json", stdin=stdin)
        assert server.requests == []
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert ran.json["error"]["message"].startswith("standard input, line 3: ")
    assert ran.json["error"]["line"] == 3
    assert crowd.requests == []


# Signals, in a real process ----------------------------------------------------------------------

ENDS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hang-up"),
]
every_signal = pytest.mark.parametrize(("number", "code", "word"), ENDS)


class Stopped:
    """A run of many names that waits at the server from the 31st request on (`first` counts them
    from 0), and is ended there."""

    def __init__(
        self, process: Rdctl, crowd: Crowd, words: str, names: Sequence[str], first: int
    ) -> None:
        self._first = first
        self.crowd = crowd
        self.gate = threading.Event()
        self.failed = process.home / "failed"
        self._positions = {name: at for at, name in enumerate(names)}
        self._asked = 0
        self._lock = threading.Lock()
        self.waiting: list[str] = []
        crowd.before = self._before
        (process.home / "names").write_bytes(lines(names))
        argv = [*crowd.where, "oio", *words.split(), "--parallel", "4"]
        with open(process.home / "names", "rb") as stdin:
            self.running = process.start(*argv, "--failed", str(self.failed), stdin=stdin)

    def _before(self, names: Sequence[str]) -> bytes | None:
        # By their place, not by their arrival: one that is late would hold up those behind it.
        waits = self._positions[names[0]] // len(names) >= self._first
        with self._lock:
            self._asked += 1
            if waits:
                self.waiting += names
        if waits:
            self.gate.wait(SECONDS)
        return None

    def end(self, *numbers: int) -> None:
        wait_until(lambda: self._asked == 34 or self.running.poll() is not None)
        assert self.running.stderr is not None
        for at, number in enumerate(numbers):
            self.running.send_signal(number)
            if at == 0:
                assert b"Press Ctrl-C again to stop now" in self.running.stderr.readline()

    def rest(self) -> tuple[int, str, str]:
        out, err = self.running.communicate(timeout=SECONDS)
        return self.running.returncode, out.decode(), err.decode()

    def over(self) -> None:
        self.gate.set()
        self.running.kill()
        self.running.communicate()


Begin = Callable[..., Stopped]


@pytest.fixture
def begin(process: Rdctl, crowd: Crowd) -> Iterator[Begin]:
    """`begin("container touch -", names)`; none of them outlives its test."""
    begun: list[Stopped] = []

    def begin(words: str, names: Sequence[str], first: int = 30) -> Stopped:
        begun.append(Stopped(process, crowd, words, names, first))
        return begun[-1]

    yield begin
    for run in begun:
        run.over()


@every_signal
@pytest.mark.parametrize("words", ["container touch -", "container create -"])
def test_a_signal_in_the_middle(
    begin: Begin, crowd: Crowd, words: str, number: int, code: int, word: str
) -> None:
    names = [f"n{number:05}" for number in range(8000)]
    run = begin(f"{words} --json", names)
    run.end(number)
    run.gate.set()
    done, out, err = run.rest()
    document = json.loads(out)
    sent = set(crowd.names)
    assert done == code
    assert len(crowd.requests) == 34
    assert document["status"] == "partial"
    found = outcomes(document)
    assert list(found) == names
    assert {name for name in names if found[name] == "done"} == sent
    assert {found[name] for name in names if name not in sent} == {f"{word}, not done"}
    assert run.failed.read_bytes() == lines([name for name in names if name not in sent])
    assert f"rdctl: error: {word}; completed: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("format", ["ndjson", "csv", "name", "table"])
def test_a_signal_in_the_middle_of_lines(begin: Begin, crowd: Crowd, format: str) -> None:
    run = begin(f"container touch - -o {format}", MANY)
    run.end(signal.SIGINT)
    run.gate.set()
    done, out, err = run.rest()
    sent = [name for name in MANY if name in set(crowd.names)]
    left = [name for name in MANY if name not in set(crowd.names)]
    assert (done, run.failed.read_bytes()) == (130, lines(left))
    rows = out.splitlines()
    if format == "ndjson":
        rows = [row["target"] for row in map(json.loads, rows) if "target" in row]
    elif format == "csv":
        rows = [row["target"] for row in csv.DictReader(rows) if not row["error"]]
    assert [row.split()[-1] for row in rows] == sent
    assert f"{left[0]} and {len(left) - 1} more: not started (interrupted)" in err


@every_signal
def test_a_second_signal_waits_no_longer(
    begin: Begin, crowd: Crowd, number: int, code: int, word: str
) -> None:
    """What is under way then may be done or not: nobody is told that it was not."""
    run = begin("container touch - --json", MANY)
    run.end(signal.SIGTERM, number)
    done, out, err = run.rest()
    run.gate.set()
    found = outcomes(json.loads(out))
    assert (done, sorted(found)) == (code, MANY)
    assert len(run.waiting) == 4
    assert {found[name] for name in run.waiting} == {"unknown, unknown"}
    answered = set(crowd.names) - set(run.waiting)
    assert {name for name in MANY if found[name] == "done"} == answered
    rest = [name for name in MANY if name not in crowd.names]
    assert {found[name] for name in rest} == {f"{word}, not done"}
    assert set(run.failed.read_bytes().decode().split()) == {*rest, *run.waiting}
    assert "in progress, outcome unknown: touch " in err


def test_a_signal_in_the_middle_of_showing(begin: Begin, crowd: Crowd) -> None:
    """One valid document of those that were shown."""
    run = begin("container show - --json", MANY)
    run.end(signal.SIGINT)
    run.gate.set()
    done, out, _ = run.rest()
    document = json.loads(out)
    assert (done, document["complete"]) == (130, False)
    assert document["error"]["code"] == "interrupted"
    shown = [row["container"] for row in document["items"]]
    assert shown == [name for name in MANY if name in set(crowd.names)]


@every_signal
def test_a_single_batch_is_finished(
    begin: Begin, crowd: Crowd, number: int, code: int, word: str
) -> None:
    """Fewer names than fit into one request are no other case."""
    run = begin("container create - --json", MANY[:50], first=0)
    wait_until(lambda: run.waiting)
    run.running.send_signal(number)
    assert run.running.stderr is not None
    assert b"Press Ctrl-C again to stop now" in run.running.stderr.readline()
    run.gate.set()
    done, out, _ = run.rest()
    assert (done, outcomes(json.loads(out))) == (code, dict.fromkeys(MANY[:50], "done"))
    assert run.failed.read_bytes() == b""


class Volumes:
    """A run over rd0 to rd3, of which the first is refused; the third request for a change waits
    for the gate."""

    def __init__(self, process: Rdctl, *words: str) -> None:
        self.names = ["rd0", "rd1", "rd2", "rd3"]
        self._begun, self.gate = threading.Event(), threading.Event()
        self.failed = process.home / "failed"
        done = success()

        def slow(connection: Connection) -> None:
            self._begun.set()
            self.gate.wait(SECONDS)
            done(connection)

        look, again = inventory(self.names), inventory(["rd0", "rd3"])
        self._script = [look, targets(), failed("Error. Busy."), done, slow, again]
        (process.home / "names").write_bytes(lines(self.names))
        self._process, self._words = process, words

    def __enter__(self) -> Volumes:
        self._server = FaultServer(self._script)
        url = self._server.__enter__().url
        words = ("--rapiddisk-url", url, "rapiddisk", *self._words, "--failed", str(self.failed))
        with open(self._process.home / "names", "rb") as stdin:
            self.running = self._process.start(*words, stdin=stdin)
        assert self._begun.wait(SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self.gate.set()
        if self.running.poll() is None:
            self.running.kill()
            self.running.wait()
        self._server.__exit__(None, None, None)

    def rest(self) -> tuple[int, str, str]:
        out, err = self.running.communicate(timeout=SECONDS)
        return self.running.returncode, out.decode(), err.decode()


@every_signal
def test_volumes_that_a_signal_left(process: Rdctl, number: int, code: int, word: str) -> None:
    """What is under way is finished and looked at; the rest is not begun."""
    with Volumes(process, "remove", "-", "-y", "--json") as run:
        run.running.send_signal(number)
        assert run.running.stderr is not None
        assert b"Press Ctrl-C again to stop now" in run.running.stderr.readline()
        run.gate.set()
        done, out, err = run.rest()
    found = outcomes(json.loads(out))
    assert done == code
    assert found == {
        "rd0": "failed, not done",
        "rd1": "done",
        "rd2": "done",
        "rd3": f"{word}, not done",
    }
    assert run.failed.read_bytes() == lines(["rd0", "rd3"])
    assert "rdctl: error: line 1: " in err
    assert f"rdctl: error: {word}; completed: remove rd1, remove rd2\n" in err


def test_volumes_that_a_second_signal_left(process: Rdctl) -> None:
    with Volumes(process, "remove", "-", "-y") as run:
        run.running.send_signal(signal.SIGINT)
        assert run.running.stderr is not None
        assert b"Press Ctrl-C again to stop now" in run.running.stderr.readline()
        run.running.send_signal(signal.SIGINT)
        done, _, err = run.rest()
    assert (done, run.failed.read_bytes()) == (130, lines(run.names))
    assert "completed: remove rd1; in progress, outcome unknown: remove rd2\n" in err


def test_what_was_refused_was_not_done(begin: Begin, crowd: Crowd) -> None:
    crowd.refused = dict.fromkeys(MANY[1:], (406, "Not today"))
    run = begin("container touch -", MANY)
    run.end(signal.SIGINT)
    run.gate.set()
    _, _, err = run.rest()
    assert f"rdctl: error: interrupted; completed: touch {MANY[0]}\n" in err


# Who reads, and who watches ----------------------------------------------------------------------


@pytest.mark.parametrize("format", ["ndjson", "csv", "tsv", "name", "table", "json"])
def test_a_change_goes_on_when_its_reader_leaves(process: Rdctl, crowd: Crowd, format: str) -> None:
    crowd.refused = {MANY[-1]: (403, "No")}
    failed = process.home / "failed"
    (process.home / "names").write_bytes(lines(MANY[:800] + MANY[-1:]))
    script = f'"$@" --failed {failed} <{process.home}/names | head -1; exit ${{PIPESTATUS[0]}}'
    words = (*crowd.where, "oio", "container", "touch", "-", "-o", format)
    code, out, err = process.shell(script, *words)
    assert (code, len(crowd.names)) == (8, 801)
    assert out.count("\n") == 1
    assert failed.read_bytes() == lines(MANY[-1:])
    assert "Not yours" not in err
    assert "No" in err


class Screen:
    """What a run shows on a terminal as stderr, and what it writes to a pipe."""

    def __init__(self, process: Rdctl, *words: str, stdin: bytes, both: bool = False) -> None:
        terminal, side = pty.openpty()
        (process.home / "names").write_bytes(stdin)
        with open(process.home / "names", "rb") as names:
            running = process.start(
                *words,
                stdin=names,
                stderr=side,
                stdout=side if both else subprocess.PIPE,
                env={"TERM": "xterm"},
            )
        os.close(side)
        self.shown = b""
        self.out = b""
        streams = [terminal]
        if running.stdout is not None:
            streams.append(running.stdout.fileno())
        while streams:
            for stream in select.select(streams, [], [], SECONDS)[0]:
                try:
                    data = os.read(stream, 65536)
                except OSError:
                    data = b""
                if not data:
                    streams.remove(stream)
                elif stream == terminal:
                    self.shown += data
                else:
                    self.out += data
        os.close(terminal)
        self.code = running.wait(SECONDS)
        if running.stdout is not None:
            running.stdout.close()


@pytest.fixture
def slow(crowd: Crowd) -> Crowd:
    """As slow as a bar needs to be drawn."""
    pause = threading.Event()
    crowd.before = lambda names: pause.wait(0.03)
    return crowd


BAR = "━".encode()
TOUCH = ("oio", "container", "touch", "-", "--parallel", "1")


def test_a_bar_on_a_terminal(process: Rdctl, slow: Crowd) -> None:
    screen = Screen(process, *slow.where, *TOUCH, stdin=lines(MANY[:30]))
    assert screen.code == 0
    assert BAR in screen.shown
    assert b"30/30" in screen.shown
    assert screen.out == b"".join(b"touched %s\n" % name.encode() for name in MANY[:30])
    # What is drawn is taken back: nothing stays behind the last erasure.
    assert BAR not in screen.shown.rpartition(b"\x1b[2K")[2]


def test_a_bar_over_volumes(process: Rdctl) -> None:
    done = success()

    def slow(connection: Connection) -> None:
        time.sleep(0.3)
        done(connection)

    volumes = [f"rd{number}" for number in range(4)]
    script = [inventory(volumes), targets(), *[slow] * len(volumes), inventory([])]
    with FaultServer(script) as server:
        words = ("--rapiddisk-url", server.url, "rapiddisk", "remove", "-", "-y")
        screen = Screen(process, *words, stdin=lines(volumes))
    assert screen.code == 0
    assert b"4/4" in screen.shown
    assert b"devices" in screen.shown
    assert BAR not in screen.shown.rpartition(b"\x1b[2K")[2]
    assert screen.out == b"".join(b"removed %s\n" % name.encode() for name in volumes)


@pytest.mark.parametrize("flag", ["-q", "--trace", "--dry-run"])
def test_no_bar_where_lines_are_wanted(process: Rdctl, slow: Crowd, flag: str) -> None:
    screen = Screen(process, *slow.where, *TOUCH, flag, stdin=lines(MANY[:30]))
    assert screen.code == 0
    assert BAR not in screen.shown


def test_no_bar_in_a_pipe(process: Rdctl, slow: Crowd) -> None:
    script = '"$@" 2>&1'
    (process.home / "names").write_bytes(lines(MANY[:30]))
    code, out, _ = process.shell(f"{script} <{process.home}/names", *slow.where, *TOUCH)
    assert (code, out) == (0, "".join(f"touched {name}\n" for name in MANY[:30]))


@pytest.mark.parametrize(("seconds", "drawn"), [(0.5, False), (0.6, True)])
def test_what_is_soon_done_has_no_bar(
    rdctl: Program, crowd: Crowd, seconds: float, drawn: bool
) -> None:
    now = 0.0
    rdctl.clock = lambda: now

    def pass_time(names: Sequence[str]) -> None:
        nonlocal now
        now = seconds

    crowd.before = pass_time
    ran = rdctl(*crowd.where, *TOUCH, stdin=lines(MANY[:30]), tty=True)
    assert ran.code == 0
    assert (BAR in ran.stderr) is drawn


def drawn(data: bytes) -> list[str]:
    """The lines that stand on a terminal in the end."""
    rows, row, column = [""], 0, 0
    text = data.decode()
    while text:
        if text.startswith("\x1b["):
            end = next(at for at, char in enumerate(text[2:], 2) if char.isalpha())
            count, kind = text[2:end], text[end]
            if kind == "A":
                row = max(0, row - int(count or 1))
            elif kind == "K":
                rows[row] = "" if count == "2" else rows[row][:column]
            text = text[end + 1 :]
            continue
        char, text = text[0], text[1:]
        if char == "\n":
            row += 1
            if row == len(rows):
                rows.append("")
        elif char == "\r":
            column = 0
        else:
            rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows]


@pytest.mark.parametrize(
    "words",
    [
        "container touch -",
        "container touch - -o ndjson",
        "container show - -o ndjson",
        "container show - -o csv --sort-by -container",
        "container show - --json",
    ],
)
def test_rows_and_bar_on_one_terminal(process: Rdctl, slow: Crowd, words: str) -> None:
    """Rows are shown as they come, more than a buffer holds."""
    names = lines(["c" * 300 + name for name in MANY[:25]])
    argv = (*slow.where, "oio", *words.split(), "--parallel", "1")
    screen = Screen(process, *argv, stdin=names, both=True)
    assert screen.code == 0
    slow.before = lambda names: None
    with process.start(*argv) as running:
        wanted, _ = running.communicate(names, SECONDS)
    assert [line for line in drawn(screen.shown) if line] == wanted.decode().splitlines()


def test_a_signal_takes_the_bar_away(process: Rdctl, crowd: Crowd) -> None:
    """What is told then stands on a line of its own."""
    gate = threading.Event()
    count = iter(range(1000))

    def before(names: Sequence[str]) -> None:
        if next(count) < 10:
            threading.Event().wait(0.08)
        else:
            running.send_signal(signal.SIGINT)
            gate.wait(0.3)

    terminal, side = pty.openpty()
    (process.home / "names").write_bytes(lines(MANY[:30]))
    argv = (*crowd.where, "oio", "container", "touch", "-", "--parallel", "1", "-o", "name")
    with open(process.home / "names", "rb") as names:
        running = process.start(*argv, stdin=names, stderr=side, env={"TERM": "xterm"})
        crowd.before = before
    os.close(side)
    screen = b""
    while True:
        try:
            screen += os.read(terminal, 65536)
        except OSError:
            break
    os.close(terminal)
    out, _ = running.communicate(timeout=SECONDS)
    assert (running.returncode, out.decode().split()) == (130, MANY[:11])
    assert BAR in screen
    shown = [line for line in drawn(screen) if line]
    assert (
        shown[0] == "Interrupted: finishing operations in progress. Press Ctrl-C again to stop now."
    )
    assert BAR.decode() not in "".join(shown)
