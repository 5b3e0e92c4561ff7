"""rdctl oio content put --files-from: lists of files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.oio.transfers import (
    Client,
    errors_of,
    hold,
    wait_for,
)
from tests.cli.processes import SECONDS
from tests.fakes.sds import on


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_the_files_of_a_list(near: Callable[..., Client], separator: str) -> None:
    """They keep their paths, which a list of `find` has."""
    client = near()
    given = ["./sub/b", "a b", str(client.directory / "c"), "sub//../sub/deep/\udcff", "-"]
    names = ["sub/b", "a b", given[2][1:], "sub/deep/\udcff", "-"]
    for word in (*given, "not listed"):
        client.file(word, os.fsencode(word))
    listed = os.fsencode(separator.join((*given, "a b", "")))
    ran = client.ok("put", "docs", "--files-from", "-", "--prefix", "x/", "--json", stdin=listed)
    assert [one["line"] for one in ran.json["results"]] == [1, 2, 3, 4, 5]
    for word, name in zip(given, names, strict=True):
        assert client.sds.content(f"x/{name}") == os.fsencode(word)
    assert len(client.sds.objects) == len(given)
    client.file("list", listed)
    client.ok("put", "docs", "--files-from", "list")
    assert client.sds.content("sub/b") == b"./sub/b"


def test_a_list_with_properties(near: Callable[..., Client]) -> None:
    client = near()
    client.file("a", b"x")
    client.file("sub/b", b"x")
    rows = [{"name": "./a", "properties": {"k": "own", "l": "2"}}, {"path": "sub/b"}]
    listed = "".join(json.dumps(row) + "\n" for row in rows).encode()
    client.ok("put", "docs", "--files-from", "-", "--ndjson", "-p", "k=all", stdin=listed)
    stored = {name: versions[0]["properties"] for name, versions in client.sds.objects.items()}
    assert stored == {"a": {"k": "own", "l": "2"}, "sub/b": {"k": "all"}}


@pytest.mark.parametrize("ndjson", [False, True])
def test_what_failed_of_a_list_is_the_next(near: Callable[..., Client], ndjson: bool) -> None:
    client = near()
    given = ["./a", "sub/b", "sub/c", "d"]
    for word in given:
        client.file(word, word.encode())
    os.rename("sub/c", "sub/away")
    client.ok("put", "docs", "a")
    lines = [json.dumps({"name": word, "properties": {"k": word}}) for word in given]
    lines = [f"{line}\n" for line in (lines if ndjson else given)]
    options = ["--failed", "rest", *(["--ndjson"] if ndjson else [])]
    listed = "".join(lines).encode()
    ran = client("put", "docs", "--files-from", "-", *options, "--json", stdin=listed)
    assert ran.code == 8
    assert [(one["target"], one["line"], one["code"]) for one in errors_of(ran)] == [
        ("a", 1, "exists"),
        ("sub/c", 3, "not-found"),
    ]
    assert Path("rest").read_text() == lines[0] + lines[2]
    os.rename("sub/away", "sub/c")
    client.ok("put", "docs", "--files-from", "rest", "--overwrite", "--yes", *options)
    assert [client.sds.content(word.removeprefix("./")) for word in given] == [
        word.encode() for word in given
    ]
    assert client.sds.objects["sub/c"][0]["properties"] == ({"k": "sub/c"} if ndjson else {})


def test_ctrl_c_amid_a_list(near: Callable[..., Client]) -> None:
    """What was not begun is among what is to be done."""
    client = near()
    client.sds.faults.append(on("PUT", hold, pos=0))
    for number in range(4):
        client.file(f"f{number}", b"x")
    client.file("list", b"./f0\n./f1\n./f2\n./f3\n")
    words = ("--files-from", "list", "--failed", "rest", "--parallel", "1")
    with client.start("put", "docs", *words) as process:
        wait_for(lambda: client.sds.asked("PUT"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert (client.directory / "rest").read_bytes() == b"./f0\n./f1\n./f2\n./f3\n"
    assert client.sds.objects == {}


@pytest.mark.parametrize(
    ("listed", "words", "said"),
    [
        (b"a\ndirectory\n", "--files-from -", "standard input, line 2: directory: is a directory"),
        (b"a\n\n../a\n", "--files-from -", 'line 3: invalid path "../a": cannot be an object name'),
        (b'{"name": "a\\u0000b"}\n', "--files-from - --ndjson", 'line 1: invalid path "a\\x00b"'),
        (b"a\n./a\n", "--files-from -", 'line 1: duplicate object name "a": a and ./a'),
        (b"a\npipe\n", "--files-from -", "line 2: pipe needs an object name"),
        (b"a\n", "--files-from - a", "cannot be used with FILE"),
        (b"a\n", "--files-from - --path x", "cannot be used with FILE"),
        (b"a\n", "--files-from - --recursive", "cannot be used with FILE"),
        (b"a\n", "--files-from - --ndjson", "standard input, line 1: invalid JSON"),
        (b"a\n", "--files-from nowhere", "nowhere cannot be read: No such file"),
        (b"a\n", "a --failed rest", "require --files-from"),
        (b"a\n", "a --ndjson", "require --files-from"),
    ],
)
def test_lists_that_cannot_be(
    near: Callable[..., Client], listed: bytes, words: str, said: str
) -> None:
    client = near()
    client.file("a", b"x")
    client.file("directory/a", b"x")
    os.mkfifo("pipe")
    ran = client("put", "docs", *words.split(), stdin=listed)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert client.sds.asked("PUT") == []
    assert not os.path.exists("rest")


def test_an_empty_list(near: Callable[..., Client]) -> None:
    client = near()
    ran = client.ok("put", "docs", "--files-from", "-", "--json", stdin=b"")
    assert (ran.json["results"], ran.json["errors"]) == ([], [])
    assert client.sds.asked("PUT") == []
