"""Listings of any length: shown as they come, in the same memory however long they are."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.processes import SECONDS, Rdctl, process
from tests.conftest import Program
from tests.fakes.faults import Connection, FaultServer, head

__all__ = ["process"]

PAGE = 1000
STREAMS = ("ndjson", "csv", "tsv", "name", "table", "json")
OBJECT = (
    '{"name":"%09d","hash":"0123456789ABCDEF0123456789ABCDEF","size":1024,"ver":1447250996000001,'
    '"content":"0123456789ABCDEF0123456789ABCDEF","policy":"SINGLE","ctime":1447250996,'
    '"mime_type":"application/octet-stream","chunk_method":"plain"}'
)


class Pages(FaultServer):
    """A proxy with one container of `count` contents. `before` is called with the number of each
    page before it is answered, and may wait."""

    def __init__(self, count: int, before: Callable[[int], object] = lambda page: None) -> None:
        super().__init__([self._answer])
        self._count = count
        self._before = before

    @property
    def where(self) -> tuple[str, ...]:
        return ("--oio-url", self.url, "--namespace", "NS", "--account", "me")

    def _answer(self, connection: Connection) -> None:
        query = parse_qs(urlsplit(connection.receive().path).query)
        start = int(query.get("marker", ["-1"])[0]) + 1
        end = min(start + int(query["max"][0]), self._count)
        self._before(start // PAGE)
        objects = ",".join(OBJECT % number for number in range(start, end))
        body = f'{{"prefixes":[],"objects":[{objects}]}}'.encode()
        headers = {"Content-Length": len(body), "x-oio-list-truncated": "false"}
        if end < self._count:
            marker = {"x-oio-list-truncated": "true", "x-oio-list-marker": f"{end - 1:09}"}
            headers = {**headers, **marker}
        connection.send(head(200, headers) + body)


CONTENTS = ("oio", "container", "list", "c")


# Memory ------------------------------------------------------------------------------------------


# A process begins with the size of the one that starts it, so that must be a small one.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10, file=sys.stderr)
"""


def peak(process: Rdctl, *words: str) -> tuple[int, int]:
    """The most memory of a run, in MiB, and its lines."""
    shown = process.home / "shown"
    argv = [sys.executable, "-c", MEASURE, *process.argv, *words]
    with open(shown, "wb") as out:
        done = subprocess.run(
            argv, env=process.env, stdout=out, stderr=subprocess.PIPE, timeout=60, check=True
        )
    code, megabytes = map(int, done.stderr.split())
    assert code == 0
    with open(shown, "rb") as rows:
        return megabytes, sum(1 for _ in rows)


def of(process: Rdctl, count: int, *words: str) -> int:
    with Pages(count) as server:
        megabytes, lines = peak(process, *server.where, *CONTENTS, *words)
    assert 0 <= lines - count <= 2
    return megabytes


MOST_MORE = 8
MANY = 20_000


@pytest.mark.parametrize("format", STREAMS)
def test_the_memory_does_not_grow(process: Rdctl, format: str) -> None:
    few = of(process, PAGE, "-o", format)
    assert of(process, MANY, "-o", format) - few < MOST_MORE


def test_it_grows_where_all_is_needed(process: Rdctl) -> None:
    """So what is measured here would be seen."""
    few = of(process, PAGE, "-o", "csv", "--sort-by", "-name")
    assert of(process, MANY, "-o", "csv", "--sort-by", "-name") - few > MOST_MORE


def test_a_long_listing(process: Rdctl) -> None:
    few = of(process, PAGE, "-o", "ndjson")
    assert of(process, 200_000, "-o", "ndjson") - few < MOST_MORE


def test_the_memory_of_several_contexts(process: Rdctl) -> None:
    """Rows of one wait for those of the one before it, but not all of them."""

    def together(count: int) -> int:
        with Pages(count) as a, Pages(count) as b:
            (process.home / "config.toml").write_text(
                "".join(
                    f'[contexts.{name}]\noio = "{one.url}"\nnamespace = "NS"\naccount = "me"\n'
                    for name, one in (("a", a), ("b", b))
                )
            )
            megabytes, lines = peak(process, "-c", "a,b", *CONTENTS, "-o", "ndjson")
        assert lines == 2 * count
        return megabytes

    assert together(MANY) - together(PAGE) < MOST_MORE


# The first row -----------------------------------------------------------------------------------


@contextmanager
def waiting(**options: int) -> Iterator[tuple[Pages, threading.Event]]:
    """A server whose second page waits for the event."""
    gate = threading.Event()
    with Pages(3 * PAGE, lambda page: page and gate.wait(SECONDS)) as server:
        yield server, gate
        gate.set()


@pytest.mark.parametrize("format", STREAMS)
def test_the_first_row_waits_for_no_second_page(process: Rdctl, format: str) -> None:
    with waiting() as (server, gate):
        running = process.start(*server.where, *CONTENTS, "-o", format)
        assert running.stdout is not None
        first = running.stdout.readline()
        first += running.stdout.readline()
        assert b"000000000" in first
        assert len(server.requests) <= 2
        gate.set()
        rest = running.stdout.read()
        running.communicate(timeout=SECONDS)
    assert b"000002999" in rest
    assert running.returncode == 0
    if format == "json":
        assert len(json.loads(first + rest)["items"]) == 3 * PAGE


def test_the_first_row_waits_for_no_other_context(process: Rdctl) -> None:
    gate = threading.Event()
    with Pages(2 * PAGE) as a, Pages(PAGE, lambda page: gate.wait(SECONDS)) as b:
        (process.home / "config.toml").write_text(
            "".join(
                f'[contexts.{name}]\noio = "{one.url}"\nnamespace = "NS"\naccount = "me"\n'
                for name, one in (("a", a), ("b", b))
            )
        )
        running = process.start("-c", "a,b", *CONTENTS, "-o", "csv", "--columns", "name")
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(PAGE)]
        gate.set()
        rest = running.stdout.read().splitlines()
        running.communicate(timeout=SECONDS)
    assert lines[:2] == [b"context,name\n", b"a,000000000\n"]
    assert (running.returncode, rest[-1], len(rest)) == (0, b"b,000000999", 2 * PAGE + 1)


@pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 2500])
def test_no_more_is_asked_for_than_the_limit(rdctl: Program, limit: int) -> None:
    with Pages(5 * PAGE) as server:
        ran = rdctl(*server.where, *CONTENTS, "--limit", str(limit), "--json")
        pages = len(server.requests)
    assert (ran.code, len(ran.json["items"]), ran.json["complete"]) == (0, limit, False)
    assert ran.json["marker"] == f"{limit - 1:09}"
    assert pages == -(-limit // PAGE)


def test_who_reads_only_the_first_rows_ends_the_listing(process: Rdctl) -> None:
    with Pages(100 * PAGE) as server:
        code, out, err = process.shell(
            'set -o pipefail; "$@" | head -2', *server.where, *CONTENTS, "-o", "name"
        )
        assert len(server.requests) < 20
    assert (code, out, err) == (141, "000000000\n000000001\n", "")


# What needs all says so --------------------------------------------------------------------------


def test_what_needs_all_says_so(rdctl: Program) -> None:
    assert "buffers the whole listing" in " ".join(rdctl("--help").out.split())
    topic = " ".join(rdctl("help", "output").out.split())
    assert "yaml, --sort-by, --query and --table-style buffer the whole listing" in topic


@pytest.mark.parametrize("flags", ["--sort-by -name", "--query [0]", "-o yaml"])
def test_all_of_it_is_there_then(rdctl: Program, flags: str, tmp_path: Path) -> None:
    with Pages(2 * PAGE) as server:
        ran = rdctl(*server.where, *CONTENTS, *flags.split())
        assert len(server.requests) == 2
    assert ran.code == 0


@pytest.mark.parametrize(
    ("limit", "names", "complete"),
    [
        (3, ["000001999", "000001998", "000001997"], False),
        (2 * PAGE, [f"{number:09}" for number in reversed(range(2 * PAGE))], True),
    ],
)
def test_a_limit_takes_the_first_of_what_is_sorted(
    rdctl: Program, limit: int, names: list[str], complete: bool
) -> None:
    """Not the first that come, sorted: they would pass for the largest of all."""
    words = (*CONTENTS, "--sort-by", "-name", "--limit", str(limit))
    with Pages(2 * PAGE) as server:
        ran = rdctl(*server.where, *words, "--json")
        lines = rdctl(*server.where, *words, "-o", "name")
        last = rdctl(*server.where, *words, "--query", "[-1].name", "-o", "name")
    assert [item["name"] for item in ran.json["items"]] == names
    assert (ran.json["complete"], "marker" in ran.json) == (complete, False)
    assert (lines.out.split(), lines.err) == (names, "")
    assert last.out.split() == names[-1:]


def test_a_limit_of_what_is_sorted_holds_for_several_contexts_together(rdctl: Program) -> None:
    with Pages(5) as a, Pages(7) as b:
        rdctl.config.write_text(
            "".join(
                f'[contexts.{name}]\noio = "{one.url}"\nnamespace = "NS"\naccount = "me"\n'
                for name, one in (("a", a), ("b", b))
            )
        )
        ran = rdctl("-c", "a,b", *CONTENTS, "--sort-by", "-name", "--limit", "3", "-o", "name")
    assert ran.out == "b\t000000006\nb\t000000005\na\t000000004\n"
