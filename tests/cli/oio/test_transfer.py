"""rdctl oio content put and get, against rawx services that fail in every way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rdctl.sandbox import OIO_HOST, apps
from tests.cli.oio.conftest import Oio
from tests.cli.processes import SECONDS
from tests.clock import Stopwatch
from tests.conftest import Program, Ran
from tests.fakes.sds import CID, Call, Sds, md5, on, slowly
from tests.sandbox.test_serve import serving

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def bytes_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Client:
    """rdctl in a folder of its own, talking to a small namespace."""

    def __init__(self, rdctl: Program, sds: Sds, folder: Path) -> None:
        self.rdctl, self.sds, self.folder = rdctl, sds, folder
        self.where = ["--oio-url", sds.url, "--namespace", "OPENIO", "--account", "ACCT"]

    def __call__(self, *words: str, **options: Any) -> Ran:
        ran = self.rdctl(*self.where, "oio", "content", *words, **options)
        assert "Traceback" not in ran.err
        return ran

    def ok(self, *words: str, **options: Any) -> Ran:
        ran = self(*words, **options)
        assert ran.code == 0, ran.err
        return ran

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    @contextmanager
    def start(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """The program as a process, which is over at the end."""
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.rdctl.home),
            "RDCTL_DEBUG": "1",
        }
        argv = [sys.executable, "-m", "rdctl", *self.where, "oio", "content", *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
        given = {**streams, **options}
        with subprocess.Popen(argv, env=environ, cwd=self.folder, **given) as process:
            yield process


@pytest.fixture
def near(
    rdctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Client]]:
    """`near(chunk_size=..., copies=...)`: a client and its namespace."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    opened: list[Sds] = []

    def make(**options: Any) -> Client:
        sds = Sds(**options)
        sds.__enter__()
        opened.append(sds)
        return Client(rdctl, sds, folder)

    yield make
    for sds in opened:
        sds.__exit__(None, None, None)


def wait_for(met: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < until
        time.sleep(0.01)


def errors_of(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ran.json["errors"]
    return found


# There and back --------------------------------------------------------------------------------


SIZES = (0, 1, 999, 1000, 1001, 2000, 2001, 12345)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_an_object_comes_back_as_it_went(
    near: Callable[..., Client], size: int, copies: int
) -> None:
    client, data = near(copies=copies), bytes_of(size)
    client.file("a", data)
    ran = client.ok("put", "docs", "a", "--json")
    facts = {
        "size": size,
        "hash": md5(data),
        "policy": "SINGLE",
        "copies": copies,
        "wanted": copies,
    }
    assert ran.json["results"] == [
        {
            "action": "put",
            "target": "a",
            "changed": True,
            "verified": True,
            **facts,
            "failed_copies": None,
        }
    ]
    sds = client.sds
    assert sds.content("a") == data
    stored = sds.objects["a"][0]
    assert len(stored["chunks"]) == copies * max(1, -(-size // 1000))
    assert stored["meta"]["hash"] == md5(data)
    assert stored["meta"]["chunk-method"] == sds.method
    assert all(chunk["hash"] == md5(sds.chunks[chunk["url"][-64:]]) for chunk in stored["chunks"])
    looks = ["container/show", "content/show"]
    assert sds.routes() == [*looks, "content/prepare", "content/show", "content/create"]
    ran = client.ok("get", "docs", "a", "--to", "back", "--json")
    assert (client.folder / "back").read_bytes() == data
    ((result),) = ran.json["results"]
    assert (result["target"], result["file"], result["size"]) == ("a", "back", size)
    assert result["verified"] is True
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    assert sorted(os.listdir(client.folder)) == ["a", "back"]


def test_long_chunks_go_in_pieces(near: Callable[..., Client]) -> None:
    client, data = near(chunk_size=7 << 20, copies=2), bytes_of((15 << 20) + 1)
    client.file("a", data)
    client.ok("put", "docs", "a")
    assert client.sds.content("a") == data
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.folder / "b").read_bytes() == data
    assert len(client.sds.asked("GET")) == 2 * (4 + 4 + 1)


def test_no_byte_too_many_is_asked_for(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", bytes_of(2500))
    client.ok("get", "docs", "a", "--to", "b")
    client.ok("get", "docs", "a", "--range", "990-1009", "--to", "c")
    asked = sorted(call.headers["range"] for call in client.sds.asked("GET"))
    assert asked == ["bytes=0-499", "bytes=0-9", "bytes=0-999", "bytes=0-999", "bytes=990-999"]


def test_connections_to_a_rawx_are_kept(near: Callable[..., Client]) -> None:
    client, data = near(rawx=1), bytes_of(20_500)
    client.file("a", data)
    client.ok("put", "docs", "a", "--parallel", "1")
    assert (len(client.sds.asked("PUT")), client.sds.connections) == (21, 1)
    client.ok("get", "docs", "a", "--to", "b", "--parallel", "1")
    assert (len(client.sds.asked("GET")), client.sds.connections) == (21, 2)


def test_a_rawx_is_told_what_its_chunk_belongs_to(near: Callable[..., Client]) -> None:
    client = near()
    name = "a b/c#%?é\udcff\n"
    client.file("a", b"x" * 1500)
    client.ok("put", "docs", "a", "--path", name)
    (_, second) = sorted(
        client.sds.sent.values(), key=lambda sent: sent["x-oio-chunk-meta-chunk-pos"]
    )
    meta = client.sds.objects[name][0]["meta"]
    encoded = "a%20b{}c%23%25%3F%C3%A9%FF%0A"
    full = f"ACCT/docs/{encoded.format('%2F')}/{meta['version']}/{meta['id']}"
    sent = {key[17:]: value for key, value in second.items() if key.startswith("x-oio-chunk-meta-")}
    chunk_id = sent.pop("chunk-id")
    assert client.sds.placed[chunk_id] == 1
    assert sent == {
        "container-id": CID,
        "content-id": meta["id"],
        "content-path": encoded.format("/"),
        "content-version": meta["version"],
        "content-storage-policy": "SINGLE",
        "content-chunk-method": "plain/nb_copy=1",
        "full-path": full,
        "oio-version": "4.2",
        "chunk-pos": "1",
    }
    assert second["content-length"] == "500"
    assert client.ok("get", "docs", name, "--to", "-").stdout == b"x" * 1500


def test_what_else_is_said_of_an_object(near: Callable[..., Client]) -> None:
    client = near()
    client.file("a", b"x")
    client.ok("put", "docs", "a", "-p", "k=v", "--mime-type", "text/plain", "--policy", "SINGLE")
    stored = client.sds.objects["a"][0]
    assert (stored["properties"], stored["meta"]["mime-type"]) == ({"k": "v"}, "text/plain")
    (prepared,) = [call for call in client.sds.calls if call.route == "content/prepare"]
    assert json.loads(prepared.received) == {"size": 1, "policy": "SINGLE"}


# What is refused -------------------------------------------------------------------------------


def test_a_name_that_is_taken_is_refused_before_a_byte_is_sent(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("b", b"old")
    for name in "abc":
        client.file(name, b"new")
    ran = client("put", "docs", "b")
    assert ran.code == 4
    assert "--overwrite" in ran.err
    assert client.sds.asked("PUT") == []
    ran = client("put", "docs", "a", "b", "c", "--json")
    assert ran.code == 8
    assert [one["target"] for one in ran.json["results"]] == ["a", "c"]
    (error,) = errors_of(ran)
    assert (error["code"], error["target"]) == ("exists", "b")
    assert client.sds.content("b") == b"old"


def test_overwriting_asks_unless_versions_are_kept(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"old")
    client.file("a", b"new")
    ran = client("put", "docs", "a", "--overwrite")
    assert ran.code == 2
    assert "a in docs is replaced" in ran.err
    assert client.sds.asked("PUT") == []
    assert client("put", "docs", "a", "--overwrite", tty=True, stdin=b"n\n").code == 1
    assert client.sds.content("a") == b"old"
    client.ok("put", "docs", "a", "--overwrite", "--yes")
    assert client.sds.content("a") == b"new"
    for kept in ("-1", "2"):
        client = near(versions=kept)
        client.sds.put("a", b"old")
        client.ok("put", "docs", "a", "--overwrite")
        assert len(client.sds.objects["a"]) == 2
    for none in ("0", "1"):
        client = near(versions=none)
        client.sds.put("a", b"old")
        assert client("put", "docs", "a", "--overwrite").code == 2
        assert client.sds.asked("PUT") == []


def test_a_container_is_made_only_when_that_is_said(near: Callable[..., Client]) -> None:
    client = near()
    client.file("a", b"x")
    client.file("b", b"x")
    ran = client("put", "new", "a")
    assert ran.code == 3
    assert "--autocreate" in ran.err
    assert "new" not in client.sds.containers
    client.ok("put", "new", "a", "b", "--autocreate")
    assert set(client.sds.objects) == {"a", "b"}
    assert all(sent["x-oio-chunk-meta-container-id"] == CID for sent in client.sds.sent.values())


@pytest.mark.parametrize("method", ["ec/algo=liberasurecode_rs_vand,k=6,m=3", "backblaze"])
def test_what_is_not_plain_is_unsupported(near: Callable[..., Client], method: str) -> None:
    client = near(method=method)
    client.sds.put("old", b"x")
    client.file("a", b"x")
    for words in (
        ("put", "docs", "a"),
        ("get", "docs", "old"),
        ("get", "docs", "old", "--to", "-"),
    ):
        assert client(*words).code == 11
    assert client.sds.asked("PUT") + client.sds.asked("GET") == []
    assert os.listdir(client.folder) == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("put docs nothing", "No such file"),
        ("put docs folder", "--recursive"),
        ("put docs - ", "--path"),
        ("put docs a b --path x", "several files"),
        ("put docs a folder/a --recursive", "several files would become a"),
        ("put docs a --path x --prefix y", "mutually exclusive"),
        ("put docs", "Missing argument 'FILE...'"),
        ("get docs", "Missing argument 'PATH'"),
        ("get docs a --range 5-3", "must be FIRST-LAST"),
        ("get docs a --range -", "must be FIRST-LAST"),
        ("get docs a --range x", "must be FIRST-LAST"),
        ("get docs a --to - --continue", "cannot be used with"),
        ("get docs a b --recursive", "one PATH"),
        ("get docs a b --to a", "not a directory"),
    ],
)
def test_what_cannot_be_meant(near: Callable[..., Client], words: str, said: str) -> None:
    client = near()
    client.file("a", b"x")
    client.file("b", b"x")
    client.file("folder/a", b"x")
    ran = client(*words.split())
    assert ran.code in (2, 3, 4), ran.err
    assert said in ran.err
    assert client.sds.asked("PUT") == []


# Writing when something fails --------------------------------------------------------------------


def test_a_dead_replica_is_done_without_and_told_of(near: Callable[..., Client]) -> None:
    client, data = near(copies=3, rawx=3), bytes_of(2500)
    client.sds.stop(1)
    client.file("a", data)
    ran = client.ok("put", "docs", "a", "--json")
    (result,) = ran.json["results"]
    assert result["copies"] == 2
    assert len(result["failed_copies"]) == 3
    assert "warning: a: of 3 copies only 2 could be written" in ran.err
    assert len(client.sds.objects["a"][0]["chunks"]) == 6
    assert client.sds.content("a") == data


def test_a_proxy_that_names_too_few_services(near: Callable[..., Client]) -> None:
    client = near(copies=1, method="plain/nb_copy=3")
    client.file("a", b"x")
    ran = client("put", "docs", "a")
    assert ran.code == 6
    assert "2 of 3 copies" in ran.err
    assert client.sds.asked("PUT") == []


# What a rawx may do instead of storing a chunk.
def refuse_507(call: Call) -> None:
    call.body()
    call.reply("507 Insufficient Storage", body=b"<html>")


def wrong_hash(call: Call) -> None:
    call.sds.chunks[call.chunk] = call.body()
    call.reply("201 Created", {"x-oio-chunk-meta-chunk-hash": "0" * 32})


def lose_reply(call: Call) -> None:
    call.sds.chunks[call.chunk] = call.body()
    call.hang_up()


def reset_amid(call: Call) -> None:
    call.body(100)
    call.reset()


def conflict(call: Call) -> None:
    call.body()
    call.reply("409 Conflict")


def once_there(act: Callable[[Call], None], others: int) -> Callable[[Call], None]:
    """The fault, when so many other chunks are stored."""

    def late(call: Call) -> None:
        wait_for(lambda: len(call.sds.chunks) == others)
        act(call)

    return late


WRITE_FAULTS = (refuse_507, wrong_hash, lose_reply, reset_amid, conflict)


@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_replica_that_fails_is_passed_over(near: Callable[..., Client], fault: Any) -> None:
    client, data = near(copies=3, rawx=3), bytes_of(2500)
    client.sds.faults.append(on("PUT", fault, pos=1, who=1))
    client.file("a", data)
    ran = client.ok("put", "docs", "a", "--json")
    assert ran.json["results"][0]["copies"] == 2
    assert client.sds.content("a") == data
    assert client.sds.orphans() == set()


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_too_few_replicas_and_nothing_is_left(
    near: Callable[..., Client], fault: Any, copies: int
) -> None:
    client = near(copies=copies)
    failing = copies - (copies + 1) // 2 + 1
    client.sds.faults += [on("PUT", fault, pos=2, times=failing)]
    client.file("a", bytes_of(5500))
    ran = client("put", "docs", "a", "--json")
    assert ran.code in (1, 6, 9), ran.err
    assert (client.sds.objects, client.sds.chunks) == ({}, {})
    assert "chunks" not in errors_of(ran)[0]


def test_a_chunk_whose_last_byte_left_is_waited_for(near: Callable[..., Client]) -> None:
    """It may be stored at any time from then on, and cannot be deleted before it is."""
    client = near()
    taken, refused, over = threading.Event(), threading.Event(), threading.Event()

    def refuse(call: Call) -> None:
        assert taken.wait(SECONDS)
        refuse_507(call)
        refused.set()

    def store_slowly(call: Call) -> None:
        data = call.body()
        taken.set()
        call.send(b"HTTP/1.1 201 Created\r\n")
        assert refused.wait(SECONDS)
        time.sleep(0.1)
        call.send(b"X-Slow: yes\r\n")
        time.sleep(0.1)
        call.sds.chunks[call.chunk] = data
        over.set()
        call.send(b"Content-Length: 0\r\n\r\n")

    client.sds.faults += [on("PUT", refuse, pos=2), on("PUT", store_slowly, pos=0)]
    client.file("a", bytes_of(2500))
    ran = client("put", "docs", "a", "--json")
    assert over.wait(SECONDS)
    assert (ran.code, client.sds.chunks) == (6, {})
    assert "chunks" not in errors_of(ran)[0]


def test_what_could_not_be_deleted_is_named(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.faults += [
        on("PUT", once_there(refuse_507, 2), pos=2),
        on("DELETE", lambda call: call.reply("500 Internal error"), who=0),
    ]
    client.file("a", bytes_of(2500))
    ran = client("put", "docs", "a", "--json")
    assert ran.code == 6
    (error,) = errors_of(ran)
    (left,) = client.sds.chunks
    assert [url[-64:] for url in error["chunks"]] == [left]
    assert error["chunks"][0] in ran.err


def test_a_chunk_of_which_no_byte_left_is_not_named(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.stop(1)
    client.file("a", bytes_of(2500))
    ran = client("put", "docs", "a", "--json")
    assert ran.code == 6
    (error,) = errors_of(ran)
    assert "chunks" not in error
    assert "deleted" not in ran.err
    assert client.sds.chunks == {}


REFUSED: dict[str, tuple[int, Any]] = {
    "424": (4, lambda call: call.refuse(424, "409 Conflict")),
    "a page with 404": (9, lambda call: call.reply("404 Not Found", body=b"<html>")),
    "a redirect": (9, lambda call: call.reply("302 Found", {"Location": "http://x/"})),
    "429": (6, lambda call: call.reply("429 Too Many Requests", body=b"slow down")),
    "403": (5, lambda call: call.reply("403 Forbidden", body=b"<html>")),
    "no such route": (
        11,
        lambda call: call.refuse(404, "404 No handler found", "No handler found"),
    ),
    "no election": (6, lambda call: call.refuse(503, message="Election failed [AB.1][meta2]")),
    "too busy": (6, lambda call: call.refuse(509)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_create_that_is_refused_leaves_nothing(near: Callable[..., Client], what: str) -> None:
    code, refuse = REFUSED[what]

    def fault(call: Call) -> None:
        call.body()
        refuse(call)

    client = near()
    client.sds.faults.append(on("content/create", fault))
    client.file("a", bytes_of(2500))
    ran = client("put", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["fate"]) == (code, "not done")
    assert client.sds.chunks == {}


def lost(call: Call) -> None:
    call.body()
    call.hang_up()


def unsure(call: Call) -> None:
    call.body()
    call.refuse(503, "503 Service unavailable", "No service replied")


def gateway(call: Call) -> None:
    call.body()
    call.reply("502 Bad Gateway", body=b"<html>")


def rubbish(call: Call) -> None:
    call.body()
    call.reply("500 Internal error", body=b"oops")


def away(call: Call) -> None:
    call.body()
    call.reply("503 Service Unavailable", body=b"<html>")


def contradiction(call: Call) -> None:
    call.body()
    call.refuse(200)


@pytest.mark.parametrize("fault", [lost, unsure, gateway, rubbish, away, contradiction])
def test_a_create_whose_fate_is_not_known_deletes_nothing(
    near: Callable[..., Client], fault: Any
) -> None:
    client = near()
    client.sds.faults.append(on("content/create", fault))
    client.file("a", bytes_of(2500))
    ran = client("put", "docs", "a", "--json")
    assert ran.code == 10
    (error,) = errors_of(ran)
    assert (error["code"], error["fate"]) == ("unknown", "unknown")
    assert {url[-64:] for url in error["chunks"]} == set(client.sds.chunks)
    assert len(error["chunks"]) == 3
    assert " oio content show docs a" in error["hint"]
    assert client.sds.asked("DELETE") == []
    assert client.sds.routes().count("content/create") == 1


def test_one_failure_does_not_end_the_others(near: Callable[..., Client]) -> None:
    client = near()
    for number in range(20):
        client.file(f"f{number:02}", bytes_of(100, number))

    def refuse_f07(call: Call) -> bool | None:
        if call.route == "content/prepare" and call.query["path"] == "f07":
            call.body()
            call.refuse(481)
            return True
        return None

    client.sds.faults.append(refuse_f07)
    files = [f"f{number:02}" for number in range(20)]
    ran = client("put", "docs", *files, "--json")
    assert ran.code == 8
    assert [one["target"] for one in ran.json["results"]] == [f for f in files if f != "f07"]
    assert [one["target"] for one in errors_of(ran)] == ["f07"]


def test_a_file_that_changes_while_it_is_read(near: Callable[..., Client]) -> None:
    client = near()
    path = client.file("a", bytes_of(5500))
    for change in (lambda: os.truncate(path, 100), lambda: client.file("a", bytes_of(9000))):
        client.file("a", bytes_of(5500))
        client.sds.faults = [on("PUT", lambda call, change=change: change(), times=1)]  # type: ignore[misc]
        client.sds.faults[0] = _then(client.sds.faults[0], client.sds)
        ran = client("put", "docs", "a")
        assert ran.code == 4
        assert "a was changed while it was read" in ran.err
        assert (client.sds.objects, client.sds.chunks) == ({}, {})


def _then(fault: Any, sds: Sds) -> Any:
    """After the fault the request is answered all the same."""

    def both(call: Call) -> bool:
        fault(call)
        return False

    return both


def test_the_proxy_that_went_away_is_not_asked_for_each(near: Callable[..., Client]) -> None:
    client = near()
    files = [f"f{number:02}" for number in range(30)]
    for name in files:
        client.file(name, b"x")

    def die(call: Call) -> bool | None:
        if call.route == "content/prepare":
            client.sds.stop(-1)
            call.reset()
        return None

    client.sds.faults.append(die)
    ran = client("put", "docs", *files, "--parallel", "2", "--json")
    assert ran.code in (6, 10)
    assert len(errors_of(ran)) == 30
    assert len(client.sds.asked("PUT")) == 0


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_lost_create_ends_the_rest(near: Callable[..., Client], parallel: int) -> None:
    client = near()
    client.sds.faults.append(on("content/create", lost))
    files = [f"f{number:02}" for number in range(30)]
    for name in files:
        client.file(name, b"x")
    ran = client("put", "docs", *files, "--parallel", str(parallel), "--json")
    assert ran.code == 10
    assert client.sds.routes().count("content/create") <= parallel
    assert client.sds.routes().count("content/prepare") <= 2 * parallel
    untried = [one for one in errors_of(ran) if "not tried" in one["message"]]
    assert len(untried) >= 30 - 2 * parallel
    assert ran.json["results"] == []
    left = {url[-64:] for one in errors_of(ran) for url in one.get("chunks", [])}
    assert left == set(client.sds.chunks)


# Standard input and folders ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_standard_input(near: Callable[..., Client], size: int) -> None:
    client, data = near(), bytes_of(size)
    client.ok("put", "docs", "-", "--path", "a", stdin=data)
    assert client.sds.content("a") == data
    with open(client.file("in", b"skipped" + data), "rb") as file:
        file.seek(7)
        with client.start("put", "docs", "-", "--path", "b", stdin=file) as process:
            assert process.wait(20) == 0
    assert client.sds.content("b") == data
    with client.start("put", "docs", "-", "--path", "c") as process:
        process.communicate(data, timeout=SECONDS)
        assert process.returncode == 0
    assert client.sds.content("c") == data


def test_a_folder_with_all_below_it(near: Callable[..., Client]) -> None:
    client = near()
    names = [".hidden", "a", "sub/b", "sub/deep/c d", "z"]
    for name in names:
        client.file(f"tree/{name}", name.encode())
    os.symlink("a", client.folder / "tree" / "link")
    os.symlink("sub", client.folder / "tree" / "linked")
    os.mkfifo(client.folder / "tree" / "pipe")
    ran = client.ok("put", "docs", "tree/", "--recursive", "--prefix", "backup/", "--json")
    assert [one["target"] for one in ran.json["results"]] == [f"backup/{name}" for name in names]
    assert "tree/link is a symbolic link, and left out" in ran.err
    assert "tree/linked is a symbolic link" in ran.err
    assert "tree/pipe is a special file" in ran.err
    client.ok("get", "docs", "backup/", "--recursive", "--to", "back")
    for name in names:
        assert (client.folder / "back" / name).read_text() == name
    client.ok("get", "docs", "--recursive", "--to", "all")
    assert (client.folder / "all/backup/sub/deep/c d").read_text() == "sub/deep/c d"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_fails_alone(near: Callable[..., Client]) -> None:
    client = near()
    client.file("tree/a", b"a")
    os.chmod(client.file("tree/b", b"b"), 0)
    ran = client("put", "docs", "tree", "--recursive", "--json")
    assert ran.code == 8
    assert [one["code"] for one in errors_of(ran)] == ["denied"]


# Lists of files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_the_files_of_a_list(near: Callable[..., Client], separator: str) -> None:
    """They keep their paths, which a list of `find` has."""
    client = near()
    given = ["./sub/b", "a b", str(client.folder / "c"), "sub//../sub/deep/\udcff", "-"]
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
    assert (client.folder / "rest").read_bytes() == b"./f0\n./f1\n./f2\n./f3\n"
    assert client.sds.objects == {}


@pytest.mark.parametrize(
    ("listed", "words", "said"),
    [
        (b"a\nfolder\n", "--files-from -", "standard input, line 2: folder is a folder"),
        (b"a\n\n../a\n", "--files-from -", 'line 3: invalid path "../a": cannot be an object name'),
        (b'{"name": "a\\u0000b"}\n', "--files-from - --ndjson", 'line 1: invalid path "a\\x00b"'),
        (b"a\n./a\n", "--files-from -", 'line 1: duplicate object name "a": a and ./a'),
        (b"a\npipe\n", "--files-from -", "line 2: pipe has no name of its own"),
        (b"a\n", "--files-from - a", "cannot be used with FILE"),
        (b"a\n", "--files-from - --path x", "cannot be used with FILE"),
        (b"a\n", "--files-from - --recursive", "cannot be used with FILE"),
        (b"a\n", "--files-from - --ndjson", "standard input, line 1: no JSON"),
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
    client.file("folder/a", b"x")
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


# Reading when something fails --------------------------------------------------------------------


def flipped(call: Call) -> None:
    """The right number of wrong bytes."""
    first, last = map(int, call.headers["range"][6:].split("-"))
    part = call.sds.chunks[call.chunk][first : last + 1]
    call.reply("206 Partial Content", {}, part[:-1] + bytes([part[-1] ^ 1]))


def short(call: Call) -> None:
    call.reply("206 Partial Content", {}, b"x" * 5)


def die_amid(call: Call) -> None:
    call.reply("206 Partial Content", {}, b"x" * 5, length=900)
    call.reset()


def not_found(call: Call) -> None:
    call.reply("404 Not Found", body=b"<html>")


def out_of_range(call: Call) -> None:
    call.reply("416 Requested Range Not Satisfiable", body=b"<html>")


def whole_page(call: Call) -> None:
    call.reply("200 OK", body=b"<html>")


READ_FAULTS = (flipped, short, die_amid, not_found, out_of_range, whole_page)


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("fault", READ_FAULTS)
def test_another_replica_is_read(near: Callable[..., Client], fault: Any, hashes: bool) -> None:
    client, data = near(copies=3, rawx=3, hashes=hashes), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", fault, who=1))
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.folder / "b").read_bytes() == data
    assert (
        client.ok("get", "docs", "a", "--to", "-", "--range", "500-4999").stdout == data[500:5000]
    )
    assert os.listdir(client.folder) == ["b"]


def test_a_dead_rawx_is_passed_over(near: Callable[..., Client]) -> None:
    client, data = near(copies=2, rawx=2), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.stop(0)
    ran = client.ok("get", "docs", "a", "--to", "b")
    assert (client.folder / "b").read_bytes() == data
    assert "another replica is read" in ran.err


def test_a_rawx_that_does_not_answer_is_asked_once(near: Callable[..., Client]) -> None:
    client, data = near(copies=2, rawx=2), bytes_of(20_500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", lambda call: call.reset(), who=0))
    ran = client.ok("get", "docs", "a", "--to", "-", "--parallel", "1")
    assert ran.stdout == data
    assert len([call for call in client.sds.asked("GET") if call.who == 0]) == 1
    assert ran.err.count("another replica is read") == 1


@pytest.mark.parametrize("fault", READ_FAULTS)
def test_an_only_replica_that_fails(near: Callable[..., Client], fault: Any) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", fault, pos=3))
    ran = client("get", "docs", "a", "--to", "-")
    assert ran.code in (1, 6, 9), ran.err
    # Not a byte of a wrong chunk.
    assert data.startswith(ran.stdout)
    assert len(ran.stdout) <= 3000
    ran = client("get", "docs", "a", "--to", "b", "--json")
    assert ran.code in (1, 6, 9)
    assert not (client.folder / "b").exists()
    (error,) = errors_of(ran)
    assert (error["code"] == "bad-reply") >= (fault is flipped)
    # What is kept was proven part by part.
    assert "--to b --continue" in error["hint"]
    (part,) = client.folder.iterdir()
    assert data.startswith(part.read_bytes())


def test_wrong_bytes_of_a_long_chunk(near: Callable[..., Client]) -> None:
    client, data = near(chunk_size=5 << 20, copies=2, rawx=2), bytes_of(11 << 20)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", flipped, who=1, pos=1))
    ran = client("get", "docs", "a", "--to", "-")
    assert ran.code == 9
    assert "part 1 has not the MD5" in ran.err
    client.ok("get", "docs", "a", "--to", "b")
    assert (client.folder / "b").read_bytes() == data
    client.ok("get", "docs", "a", "--to", "c", "--range", "1-")
    assert (client.folder / "c").read_bytes() == data[1:]


def test_an_object_whose_own_hash_is_wrong(near: Callable[..., Client]) -> None:
    client, data = near(chunk_size=5 << 20), bytes_of(11 << 20)
    client.sds.put("a", data)
    client.sds.objects["a"][0]["meta"]["hash"] = "0" * 32
    assert client("get", "docs", "a", "--to", "-").code == 9
    ran = client("get", "docs", "a")
    assert ran.code == 9
    assert os.listdir(client.folder) == []


def test_parts_with_an_md5_each_prove_the_whole(near: Callable[..., Client]) -> None:
    """Side by side, where the MD5 of the whole would be worked out one after the other."""
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.objects["a"][0]["meta"]["hash"] = "0" * 32
    (change,) = client.ok("get", "docs", "a", "--json").json["results"]
    assert change["verified"] is True
    assert (client.folder / "a").read_bytes() == data


@pytest.mark.parametrize(
    "lie",
    [
        lambda chunks: chunks.pop(),
        lambda chunks: chunks[1].update(pos="7"),
        lambda chunks: chunks[1].update(size=5),
        lambda chunks: chunks[1].update(url="nowhere"),
        lambda chunks: chunks[1].update(url="https://x/y"),
    ],
    ids=["missing", "gap", "size", "no url", "https"],
)
def test_a_list_of_chunks_that_cannot_be(near: Callable[..., Client], lie: Any) -> None:
    client = near()
    client.sds.put("a", bytes_of(2500))
    lie(client.sds.objects["a"][0]["chunks"])
    assert client("get", "docs", "a").code == 9
    assert client.sds.asked("GET") == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_no_wrong_bytes_are_taken_for_good(
    near: Callable[..., Client], seed: int
) -> None:
    chance = random.Random(seed)
    size, copies = chance.randrange(0, 9000), chance.randrange(1, 4)
    client = near(chunk_size=chance.randrange(300, 3000), copies=copies, hashes=seed % 3 != 0)
    data = bytes_of(size, seed)
    client.sds.put("a", data)

    def fault(call: Call) -> bool | None:
        if call.method != "GET" or call.who == "proxy" or chance.random() > 0.25:
            return None
        # A part of a chunk cannot be held against the MD5 of the whole chunk.
        chance.choice(READ_FAULTS[1:] if first else READ_FAULTS)(call)
        return True

    first = chance.randrange(size) if size and seed % 4 == 0 else 0
    client.sds.faults.append(fault)
    words = ("--range", f"{first}-") if first else ()
    ran = client("get", "docs", "a", "--to", "-", *words)
    assert data[first:].startswith(ran.stdout)
    assert (ran.code == 0) == (ran.stdout == data[first:])
    for _ in range(6):
        ran = client("get", "docs", "a", "--to", "b", "--continue", *words)
        if ran.code == 0:
            break
        assert not (client.folder / "b").exists()
    client.sds.faults = []
    if ran.code:
        client.ok("get", "docs", "a", "--to", "b", "--continue", *words)
    assert (client.folder / "b").read_bytes() == data[first:]
    assert os.listdir(client.folder) == ["b"]


# Ranges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("0-0", 0, 1),
        ("0-99", 0, 100),
        ("999-1000", 999, 1001),
        ("1000-1999", 1000, 2000),
        ("500-4321", 500, 4322),
        ("5400-9999", 5400, 5500),
        ("100-", 100, 5500),
        ("5499-", 5499, 5500),
        ("-50", 5450, 5500),
        ("-99999", 0, 5500),
    ],
)
def test_ranges(near: Callable[..., Client], wanted: str, start: int, end: int) -> None:
    client, data = near(copies=2), bytes_of(5500)
    client.sds.put("a", data)
    assert client.ok("get", "docs", "a", "--to", "-", "--range", wanted).stdout == data[start:end]
    ran = client.ok("get", "docs", "a", "--to", "b", "--range", wanted, "--json")
    assert (client.folder / "b").read_bytes() == data[start:end]
    assert ran.json["results"][0]["size"] == end - start


@pytest.mark.parametrize("wanted", ["5500-", "9999-99999", "-0"])
def test_a_range_that_is_not_there(near: Callable[..., Client], wanted: str) -> None:
    client = near()
    client.sds.put("a", bytes_of(5500))
    ran = client("get", "docs", "a", "--range", wanted)
    assert ran.code == 2
    assert "5500 bytes" in ran.err


# Files -------------------------------------------------------------------------------------------


def test_a_name_that_is_too_long_is_refused_before_a_byte_comes(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.file("a", b"x")
    name = "n" * 300
    client.ok("put", "docs", "a", "--path", name)
    ran = client("get", "docs", name, "--to", "new/")
    assert (ran.code, "File name too long" in ran.err) == (1, True)
    assert client.sds.asked("GET") == []
    assert not (client.folder / "new").exists()


def test_a_file_that_exists_is_not_touched(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"new")
    client.sds.put("b", b"new")
    client.file("a", b"old")
    ran = client("get", "docs", "a", "b", "--json")
    assert ran.code == 8
    assert [one["code"] for one in errors_of(ran)] == ["exists"]
    assert (client.folder / "a").read_bytes() == b"old"
    assert (client.folder / "b").read_bytes() == b"new"
    client.ok("get", "docs", "a", "--overwrite")
    assert (client.folder / "a").read_bytes() == b"new"


def test_permissions_are_as_the_umask_says(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("d/a", b"x")
    before = os.umask(0o027)
    try:
        client.ok("get", "docs", "d/a")
    finally:
        os.umask(before)
    assert (client.folder / "d/a").stat().st_mode & 0o777 == 0o640
    assert (client.folder / "d").stat().st_mode & 0o777 == 0o750


HOSTILE = (
    "/../out",
    "../out",
    "..//../out",
    "a/../../out",
    "a/..",
    "a//../../out",
    "../",
    "./a",
    "link/",
    ".",
    "..",
    "link/out",
    "inner/link/out",
)


def test_names_that_stand_for_folders(near: Callable[..., Client]) -> None:
    """As aws and rclone have it: an empty object whose name ends with a slash is a folder, and
    empty parts count for nothing."""
    client = near()
    empty = ("dir/", "empty/", "deep/er/", "//", "sl//ash/")
    full = {"dir/a": "dir/a", "x//y": "x/y", "/lead": "lead", "/etc/passwd": "etc/passwd"}
    full |= {"file/": "file", "deep/er/f": "deep/er/f"}
    for name in empty:
        client.sds.put(name, b"")
    for name in full:
        client.sds.put(name, name.encode())
    ran = client.ok("get", "docs", "--recursive", "--to", "out", "--json")
    for name, path in full.items():
        assert (client.folder / "out" / path).read_bytes() == name.encode()
    for name in empty:
        assert (client.folder / "out" / name.strip("/")).is_dir()
    assert {one["target"] for one in ran.json["results"]} == {*empty, *full}
    assert sorted(os.listdir(client.folder)) == ["out"]
    # One alone, and what is there already.
    client.ok("get", "docs", "dir/", "--to", "alone/")
    assert os.listdir(client.folder / "alone") == ["dir"]
    again = client.ok("get", "docs", "dir/", "--to", "alone", "--json")
    assert [one["changed"] for one in again.json["results"]] == [False]
    client.ok("get", "docs", "dir/", "--to", "alone", "--recursive", "--dry-run")
    client.ok("get", "docs", "dir/", "--to", "stripped", "--recursive")
    assert os.listdir(client.folder / "stripped") == ["a"]


@pytest.mark.parametrize(
    ("names", "kept", "skipped"),
    [
        (("a/b", "a//b"), "a/b", "a//b"),
        (("//a", "/a", "a"), "a", "//a /a"),
        (("d/", "d/x"), "d/x", "d/"),
        (("d/", "d"), "d", "d/"),
    ],
)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_cannot_be_a_file_of_its_own_is_told(
    near: Callable[..., Client],
    names: tuple[str, ...],
    kept: str,
    skipped: str,
    overwrite: tuple[str, ...],
) -> None:
    client = near()
    for name in names:
        client.sds.put(name, name.encode())
    ran = client("get", "docs", "--recursive", "--to", "out", "--json", *overwrite)
    assert ran.code == 8
    assert [one["target"] for one in errors_of(ran)] == skipped.split()
    assert {one["code"] for one in errors_of(ran)} == {"conflict"}
    assert all("skipped: " in one["message"] for one in errors_of(ran))
    assert (client.folder / "out" / kept).read_bytes() == kept.encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_leads_out_of_the_folder(near: Callable[..., Client], name: str) -> None:
    client = near()
    client.sds.put(name, b"" if name.endswith("/") else b"evil")
    client.sds.put("good", b"good")
    outside = client.folder.parent / "outside"
    outside.mkdir()
    (client.folder / "to/inner").mkdir(parents=True)
    for link in ("to/link", "to/inner/link"):
        os.symlink(outside, client.folder / link)
    ran = client("get", "docs", "--recursive", "--to", "to", "--json")
    assert ran.code == 8
    assert [one["target"] for one in errors_of(ran)] == [name]
    assert (client.folder / "to/good").read_bytes() == b"good"
    assert not (client.folder.parent / "out").exists()
    assert os.listdir(outside) == []
    # Into a file that is named itself any object may go.
    client.ok("get", "docs", "--to", "file", "--", name)
    assert (client.folder / "file").read_bytes() == (b"" if name.endswith("/") else b"evil")


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("a", b"new")
    outside = client.folder.parent / "outside"
    outside.write_bytes(b"old")
    os.symlink(outside, client.folder / "a")
    assert client("get", "docs", "a").code == 4
    client.ok("get", "docs", "a", "--overwrite")
    assert outside.read_bytes() == b"old"
    assert (client.folder / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", ["a b", "two\nlines", "\x1b[2J", "é\udcff", "-x", "x" * 255, "😀", "a\\b", "*?"]
)
def test_names_of_any_bytes(near: Callable[..., Client], name: str) -> None:
    client = near()
    client.file("a", b"x" * 1500)
    client.ok("put", "docs", "--path", name, "--", "a")
    client.ok("get", "docs", "--to", "to", "--recursive")
    assert os.listdir(os.fsencode(client.folder / "to")) == [os.fsencode(name)]
    assert b"\x1b" not in client.ok("get", "docs", "--to", "t2/", "--", name).stdout


def test_a_folder_stands_where_the_file_should(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"x")
    client.sds.put("b/c", b"x")
    (client.folder / "a").mkdir()
    client.file("b", b"file")
    ran = client("get", "docs", "a", "b/c", "--overwrite", "--json")
    assert [one["code"] for one in errors_of(ran)] == ["conflict", "conflict"]
    assert (client.folder / "b").read_bytes() == b"file"


def test_nothing_below_a_prefix(near: Callable[..., Client]) -> None:
    client = near()
    ran = client("get", "docs", "nope/", "--recursive")
    assert ran.code == 3
    assert "nothing in docs begins with nope/" in ran.err
    assert client.ok("get", "docs", "--recursive").out == ""


def test_a_device_is_written_to_and_not_replaced(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.ok("get", "docs", "a", "--to", "/dev/null")
    assert Path("/dev/null").is_char_device()
    os.mkfifo(client.folder / "pipe")
    with client.start("get", "docs", "a", "--to", "pipe") as process:
        assert (client.folder / "pipe").read_bytes() == data
        assert process.wait(SECONDS) == 0


def test_a_pipe_among_the_files_is_not_replaced(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a", "b"):
        client.sds.put(name, b"data")
    os.mkfifo(client.folder / "a")
    for words in (["a", "b"], ["--recursive"]):
        ran = client("get", "docs", *words, "--overwrite")
        assert ran.code == 8
        assert "a is not a regular file" in ran.err
        assert (client.folder / "a").is_fifo()
    ran = client("get", "docs", "a", "--to", "./", "--continue")
    assert (ran.code, (client.folder / "a").is_fifo()) == (4, True)


def test_a_terminal_gets_text_only(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("text", "grün\n".encode())
    client.sds.put("binary", b"\x1b[2J")
    assert client.ok("get", "docs", "text", "--to", "-", tty=True).out == "grün\n"
    ran = client("get", "docs", "binary", "--to", "-", tty=True)
    assert (ran.code, ran.stdout) == (2, b"")
    assert "--to FILE" in ran.err


# Broken off, and gone on with --------------------------------------------------------------------


def part_of(client: Client) -> Path:
    (part,) = client.folder.rglob(".*.part")
    return part


@pytest.mark.parametrize("hashes", [True, False])
def test_a_broken_download_is_gone_on_with(near: Callable[..., Client], hashes: bool) -> None:
    client, data = near(hashes=hashes), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", not_found, pos=3)]
    ran = client("get", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert error["received"] == 3000
    assert part_of(client).stat().st_size == 3000
    client.sds.faults = []
    client.sds.calls.clear()
    words = error["hint"].split(" oio content ")[1].split()
    ran = client.ok(*words, "--json")
    assert (client.folder / "a").read_bytes() == data
    assert ran.json["results"][0]["resumed_at"] == 3000
    assert {call.pos for call in client.sds.asked("GET")} == {3, 4, 5}
    assert os.listdir(client.folder) == ["a"]


@pytest.mark.parametrize(("wanted", "first"), [("500-5200", 500), ("1000-4999", 1000)])
def test_a_broken_range_is_gone_on_with(
    near: Callable[..., Client], wanted: str, first: int
) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", not_found, pos=3)]
    ran = client("get", "docs", "a", "--range", wanted, "--json")
    (error,) = errors_of(ran)
    client.sds.faults = []
    words = error["hint"].split(" oio content ")[1].split()
    ran = client.ok(*words, "--json")
    assert (client.folder / "a").read_bytes() == data[first : int(wanted[-4:]) + 1]
    assert ran.json["results"][0]["resumed_at"] == 3000 - first
    assert os.listdir(client.folder) == ["a"]


def test_a_part_of_something_else_is_not_gone_on_with(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", bytes_of(5500))
    client.sds.faults = [on("GET", not_found, pos=3)]
    client("get", "docs", "a")
    client.sds.faults = []
    data = bytes_of(4000, 2)
    client.sds.put("a", data)
    ran = client.ok("get", "docs", "a", "--continue")
    assert (client.folder / "a").read_bytes() == data
    assert "received anew" in ran.err


def test_a_part_that_was_spoilt_is_mended(near: Callable[..., Client]) -> None:
    for hashes in (True, False):
        client, data = near(hashes=hashes), bytes_of(5500)
        client.sds.put("a", data)
        client.sds.faults = [on("GET", not_found, pos=3)]
        client("get", "docs", "a", "--to", f"f{hashes}")
        client.sds.faults = []
        with open(part_of(client), "r+b") as file:
            file.seek(1500)
            file.write(b"spoilt")
        client.ok("get", "docs", "a", "--to", f"f{hashes}", "--continue")
        assert (client.folder / f"f{hashes}").read_bytes() == data


def test_what_is_complete_is_left_as_it_is(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"same")
    client.sds.put("b", b"new")
    client.sds.put("c", b"missing")
    client.file("a", b"same")
    client.file("b", b"old")
    ran = client("get", "docs", "--recursive", "--continue", "--json")
    assert ran.code == 8
    assert [(one["target"], one["changed"]) for one in ran.json["results"]] == [
        ("a", False),
        ("c", True),
    ]
    assert [one["target"] for one in errors_of(ran)] == ["b"]


def test_two_at_once_do_not_spoil_one_part(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(900)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", slowly, times=1)]
    with client.start("get", "docs", "a") as process:
        wait_for(lambda: client.sds.asked("GET"))
        ran = client("get", "docs", "a", "--json")
        assert [one["code"] for one in errors_of(ran)] == ["in-use"]
        assert process.wait(SECONDS) == 0
    assert (client.folder / "a").read_bytes() == data


# Signals -----------------------------------------------------------------------------------------


def hold(call: Call) -> None:
    """Take a byte, and the rest when the client has had enough."""
    call.body(1)
    call.sds.wait(5)
    call.body()
    call.sds._put_chunk(call)


def test_ctrl_c_while_sending_leaves_nothing(near: Callable[..., Client]) -> None:
    # More than the sockets take in while nobody reads.
    client = near(chunk_size=24 << 20)
    client.sds.faults.append(on("PUT", hold, pos=1))
    client.file("a", bytes_of(48 << 20))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: any(call.pos == 1 for call in client.sds.asked("PUT")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert b"begun and undone: put a" in err
    assert (client.sds.objects, client.sds.chunks) == ({}, {})
    assert "content/create" not in client.sds.routes()


def test_ctrl_c_and_what_cannot_be_deleted(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.faults += [
        on("PUT", hold, pos=5),
        on("DELETE", lambda call: call.reply("500 Internal error")),
    ]
    client.file("a", bytes_of(5500))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: len(client.sds.asked("PUT")) == 6 and len(client.sds.chunks) == 5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert b"left behind" in err
    assert client.sds.chunks
    assert all(id.encode() in err for id in client.sds.chunks)


def test_a_second_ctrl_c_waits_for_nothing_and_names_what_is_left(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.faults.append(on("PUT", lambda call: call.sds.wait(20), pos=5))
    client.file("a", bytes_of(5500))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: len(client.sds.asked("PUT")) == 6)
        watch = Stopwatch()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"once more waits no longer" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert watch.quiet < 5
    assert process.returncode == 130
    assert all(id.encode() in err for id in client.sds.chunks)
    assert client.sds.objects == {}


def test_ctrl_c_while_a_rawx_says_nothing(near: Callable[..., Client]) -> None:
    """Its bytes have all left: it may store them yet, so that it is not there proves nothing."""
    client, taken = near(), threading.Event()

    def say_nothing(call: Call) -> None:
        call.body()
        taken.set()
        call.sds.wait(20)

    client.sds.faults.append(on("PUT", say_nothing, pos=5))
    client.file("a", bytes_of(5500))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: taken.is_set() and len(client.sds.chunks) == 5)
        watch = Stopwatch()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert watch.quiet < 15
    assert process.returncode == 130
    assert client.sds.chunks == {}
    (left,) = (id for id, pos in client.sds.placed.items() if pos == 5)
    assert b"1 chunks could not be deleted" in err
    assert left.encode() in err


def test_ctrl_c_waits_for_no_bytes_that_do_not_come(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults.append(on("GET", lambda call: call.sds.wait(20), pos=4))
    with client.start("get", "docs", "a", "--parallel", "1") as process:
        wait_for(lambda: any(call.pos == 4 for call in client.sds.asked("GET")))
        watch = Stopwatch()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert watch.quiet < 10
    assert process.returncode == 130
    assert b"--to a --continue" in err


def test_kill_9_while_sending_makes_no_object(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.faults.append(on("PUT", hold, pos=5))
    client.file("a", bytes_of(5500))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: any(call.pos == 5 for call in client.sds.asked("PUT")))
        process.kill()
    assert client.sds.objects == {}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_while_receiving_and_gone_on_with(
    near: Callable[..., Client], ending: signal.Signals
) -> None:
    client, data = near(), bytes_of(5500)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", slowly, pos=4)]
    with client.start("get", "docs", "a", "--parallel", "1") as process:
        wait_for(lambda: any(call.pos == 4 for call in client.sds.asked("GET")))
        process.send_signal(ending)
        _, err = process.communicate(timeout=SECONDS)
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert process.returncode == codes[ending], err
    assert not (client.folder / "a").exists()
    assert part_of(client).stat().st_size == 4000
    assert ending == signal.SIGKILL or b"--to a --continue" in err
    client.sds.faults = []
    client.sds.calls.clear()
    client.ok("get", "docs", "a", "--continue")
    assert (client.folder / "a").read_bytes() == data
    assert {call.pos for call in client.sds.asked("GET")} <= {4, 5}


# Time --------------------------------------------------------------------------------------------


def test_the_deadline_holds_amid_a_transfer(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", bytes_of(1000))
    client.sds.faults = [on("GET", slowly)]
    watch = Stopwatch()
    assert client("get", "docs", "a", "--timeout", "0.4").code == 7
    client.sds.faults = [on("PUT", lambda call: call.sds.wait(3))]
    client.file("b", b"x" * 2500)
    ran = client("put", "docs", "b", "--timeout", "0.4")
    assert ran.code == 7, ran.err
    assert watch.quiet < 2.5
    wait_for(lambda: not client.sds.busy)


def test_only_silence_is_bounded(
    near: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer may take longer than a request may be silent."""
    from rdctl.net import transport
    from rdctl.net.transport import Transport

    client, data = near(), bytes_of(1000)
    client.sds.put("a", data)
    client.sds.faults = [on("GET", lambda call: slowly(call, 125, 0.4))]
    defaults = Transport.read.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", 2.0)
    assert transport.READ_SECONDS == 35
    started = time.monotonic()
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    assert time.monotonic() - started > 2.5


# Dry runs ----------------------------------------------------------------------------------------


def test_a_dry_run_of_put_shows_what_the_real_run_sends(near: Callable[..., Client]) -> None:
    client = near(copies=2)
    client.file("a", bytes_of(2500))
    request_id = ("--request-id", "0" * 32)
    dry = client.ok("put", "docs", "a", *request_id, "--dry-run", "--json").json["plan"]
    assert client.sds.asked("PUT") == []
    assert "content/prepare" not in client.sds.routes()
    assert [line.split(" | ")[0].split()[0] for line in dry] == ["curl", *["tail"] * 6, "curl"]
    assert all(f"<chunk {number}>" in dry[number + 1] for number in range(6))
    real = client.ok("put", "docs", "a", *request_id, "--trace").err.splitlines()
    traced = [line for line in real if "curl" in line and not line.startswith("#")]
    changes = [line for line in traced if "-X GET" not in line]
    assert [line.split("-H")[0] for line in changes] == [line.split("-H")[0] for line in dry]

    def names(line: str) -> list[str]:
        return [word.partition(":")[0] for word in line.split("-H ") if "-version:" not in word]

    # The version is the only thing that a plan says nothing of.
    assert [names(line)[1:] for line in changes][1:7] == [names(line)[1:] for line in dry][1:7]


def test_a_dry_run_of_get_shows_the_files(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a b", b"x")
    client.sds.put("c/d", b"x")
    plan = client.ok("get", "docs", "--recursive", "--to", "to", "--dry-run", "--json").json["plan"]
    assert plan == ["write 'to/a b'", "write to/c/d"]
    assert os.listdir(client.folder) == []
    trace = client.ok("get", "docs", "--recursive", "--to", "to", "--trace").err.splitlines()
    assert [line for line in trace if line.startswith("write")] == plan
    assert client("get", "docs", "nothing", "--dry-run").code == 3


def test_the_trace_of_a_chunk_can_be_pasted(near: Callable[..., Client]) -> None:
    client, data = near(), bytes_of(2500)
    client.file("it's a", data)
    lines = client.ok("put", "docs", "it's a", "--trace").err.splitlines()
    lines = [line for line in lines if "-X PUT" in line]
    assert len(lines) == 3
    before = dict(client.sds.chunks)
    client.sds.chunks.clear()
    for line in lines:
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
    assert client.sds.chunks == before


# The sandbox, memory, numbers --------------------------------------------------------------------


def test_a_put_that_fails_leaves_nothing_in_the_sandbox(oio: Oio, tmp_path: Path) -> None:
    path, over = tmp_path / "grows", threading.Event()
    path.write_bytes(bytes(6_000_000))
    oio.ok("container", "create", "c")

    def grow() -> None:
        while not over.wait(0.001):
            with path.open("ab") as file:
                file.write(b"x")

    before = oio.state["oio_rawx"]
    growing = threading.Thread(target=grow)
    growing.start()
    ran = oio("content", "put", "c", str(path))
    over.set()
    growing.join()
    assert (ran.code, oio.state["oio_rawx"]) == (4, before)


def test_in_the_sandbox(oio: Oio, tmp_path: Path) -> None:
    data = bytes_of((3 << 20) + 5)
    (tmp_path / "a").write_bytes(data)
    oio.ok("content", "put", "photos", str(tmp_path / "a"), "--policy", "TWOCOPIES")
    assert oio.ok("content", "get", "photos", "a", "--to", "-").stdout == data
    ran = oio.ok("content", "get", "photos", "sea/", "--recursive", "--to", str(tmp_path / "s"))
    assert sorted(os.listdir(tmp_path / "s")) == ["harbour.svg", "storm.svg"]
    assert (
        oio("content", "put", "photos", str(tmp_path / "a"), "--path", "x", "--policy", "NO").code
        == 2
    )
    assert ran.out.count("received") == 2


def test_in_the_sandbox_over_http(oio: Oio, tmp_path: Path) -> None:
    real: dict[str, str] = {}
    served = apps(oio.rdctl.sandbox, real)
    with serving(*served.values()) as urls:
        at = dict(zip(served, urls, strict=True))
        real |= {name: url.removeprefix("http://") for name, url in at.items() if ":" in name}
        where = ("--oio-url", at[OIO_HOST], "--namespace", "OPENIO", "--account", "sandbox")
        client = Oio(oio.rdctl, *where)
        data = bytes_of((3 << 20) + 5)
        (tmp_path / "a").write_bytes(data)
        client.ok("content", "put", "photos", str(tmp_path / "a"))
        client.ok("content", "get", "photos", "a", "--to", str(tmp_path / "b"))
        assert (tmp_path / "b").read_bytes() == data
    assert oio.ok("content", "get", "photos", "a", "--to", "-").stdout == data


def test_parallel_is_bounded(near: Callable[..., Client]) -> None:
    client = near(copies=2)
    for number in range(20):
        client.file(f"t/f{number:02}", bytes_of(8000, number))
    client.sds.faults.append(lambda call: call.sds.wait(0.005))
    client.ok("put", "docs", "t", "--recursive", "--parallel", "3")
    # The service is done with a request a little after its client.
    assert client.sds.most_busy <= 3 * 2 + 3
    client.sds.most_busy = 0
    client.ok("get", "docs", "--recursive", "--to", "u", "--parallel", "3")
    assert client.sds.most_busy <= 3 + 3
    client.sds.most_busy = 0
    client.ok("get", "docs", "f00", "--to", "v")
    assert 2 <= client.sds.most_busy <= 8 + 8


MEMORY = """
import sys
from rdctl.cli.run import main
from rdctl.core.environment import real
try:
    main(sys.argv[1:], real())
finally:
    # Not getrusage, which counts what the parent had.
    (peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(int(peak.split()[1]) // 1024, file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_object(near: Callable[..., Client]) -> None:
    client = near(chunk_size=64 << 20, copies=2)
    block = bytes_of(1 << 20)
    path = client.folder / "big"
    with path.open("wb") as file:
        for _ in range(150):
            file.write(block)
    argv = [sys.executable, "-c", MEMORY, *client.where, "oio", "content"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(client.rdctl.home)}
    for words in (["put", "docs", "big"], ["get", "docs", "big", "--to", "/dev/null"]):
        done = subprocess.run(
            [*argv, *words],
            env=environ,
            cwd=client.folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stderr.split()[-1]) < 100
