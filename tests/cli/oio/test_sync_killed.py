"""content sync, put and get with a journal, killed at each of their requests: --resume sends
nothing twice that was finished, and nothing is missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.oio.test_repair_killed import after, amid, before, killed
from tests.cli.oio.transfers import Client, bytes_of
from tests.fakes.sds import Call

Near = Callable[..., Client]
Act = Callable[[Call], None]
FILES = {"a": bytes_of(5, 1), "d/b": b"", "d/e/c": bytes_of(2500, 3)}
SURPLUS = {"old/1": b"1", "old/2": b"22"}
JOURNAL = ("--journal", "../journal", "--parallel", "1", "--yes")
DELETE = ("--delete", "--max-delete", "2", *JOURNAL)
UP = {
    "sync": ("sync", "./folder", "docs", *DELETE),
    "put": ("put", "docs", "folder", "--recursive", *JOURNAL),
}
DOWN = {
    "sync": ("sync", "docs", "./folder", *DELETE),
    "get": ("get", "docs", "--recursive", "--to", "folder", *JOURNAL),
}


def namespace(near: Near, directory: Path) -> Client:
    client = near(rawx=2)
    if (directory / "folder").exists():
        for path in sorted((directory / "folder").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    (directory.parent / "journal").unlink(missing_ok=True)
    return client


def resumed(client: Client, *words: str) -> Counter[str]:
    """Continue the transfer; how often each request is sent for each object."""
    client.sds.calls.clear()
    client.ok(*words, "--resume")
    sent: Counter[str] = Counter()
    for call in client.sds.calls:
        name = call.query.get("path")
        if call.who != "proxy":
            owners = (
                n
                for n, all in client.sds.objects.items()
                for chunk in all[-1]["chunks"]
                if chunk["url"].endswith(call.chunk)
            )
            name = next(owners, call.chunk)
        sent[f"{call.method if call.who != 'proxy' else call.route} {name}"] += 1
    return sent


def kills(
    near: Near, directory: Path, act: Act, words: tuple[str, ...], arrange: Callable[[Client], None]
) -> Iterator[tuple[int, Client]]:
    """A client for each request at which the program was killed."""
    number, ended = 0, False
    while not ended:
        number += 1
        client = namespace(near, directory)
        arrange(client)
        ended = not killed(client, number, act, *words)
        yield number, client
        client.sds.__exit__(None, None, None)


def fill_folder(client: Client) -> None:
    for name, data in FILES.items():
        client.file(f"folder/{name}", data)
    for name, data in SURPLUS.items():
        client.sds.put(name, data)


def fill_container(client: Client) -> None:
    for name, data in FILES.items():
        client.sds.put(name, data)
    for name, data in SURPLUS.items():
        client.file(f"folder/{name}", data)


@pytest.mark.parametrize(
    ("verb", "act"), [("sync", before), ("sync", amid), ("sync", after), ("put", after)]
)
def test_to_a_container(near: Near, tmp_path: Path, verb: str, act: Act) -> None:
    words = UP[verb]
    kept = set() if verb == "sync" else set(SURPLUS)
    points = 0
    for number, client in kills(near, tmp_path / "here", act, words, fill_folder):
        finished = set(client.sds.objects) & set(FILES)
        versions = {name: client.sds.objects[name][-1]["meta"] for name in finished}
        sent = resumed(client, *words)
        assert set(client.sds.objects) == {*FILES, *kept}, number
        for name, data in FILES.items():
            assert client.sds.content(name) == data, number
            again = [
                key
                for key in sent
                if key.startswith(("PUT ", "content/")) and key.endswith(f" {name}")
            ]
            assert bool(again) == (name not in finished), (number, again)
            assert sent[f"content/create {name}"] == (name not in finished), number
        for name in finished:
            assert client.sds.objects[name][-1]["meta"] is versions[name]
        points += bool(finished)
        # A third time, nothing at all is to be done.
        assert set(resumed(client, *words)) <= LOOKS, number
    assert number > (4 if act is amid else 15)
    assert points > 2


LOOKS = {"container/show None", "container/list None", "conscience/info None"}


@pytest.mark.parametrize(("verb", "act"), [("sync", before), ("sync", after), ("get", after)])
def test_to_a_folder(near: Near, tmp_path: Path, verb: str, act: Act) -> None:
    words = DOWN[verb]
    kept = set() if verb == "sync" else set(SURPLUS)
    points = 0
    folder = tmp_path / "here" / "folder"
    for number, client in kills(near, tmp_path / "here", act, words, fill_container):
        finished = {name for name in FILES if (folder / name).exists()}
        inodes = {name: (folder / name).stat().st_ino for name in finished}
        sent = resumed(client, *words)
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert found == {*FILES, *kept}, number  # no part is left
        assert (folder / "old").exists() == bool(kept)
        for name, data in FILES.items():
            assert (folder / name).read_bytes() == data, number
            again = [key for key in sent if key.endswith(f" {name}")]
            assert bool(again) == (name not in finished), (number, again)
        for name in finished:
            assert (folder / name).stat().st_ino == inodes[name], number
        points += bool(finished)
        assert set(resumed(client, *words)) <= LOOKS, number
    assert number > 8
    assert points > 2
    assert os.listdir(tmp_path / "here") == ["folder"]
