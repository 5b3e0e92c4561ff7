"""Nothing is called done without its proof, whatever dies and whatever is answered, and nothing
hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.oio.transfers import (
    ROOT,
    Client,
    bytes_of,
    errors_of,
    lose_reply,
    refuse_507,
    reset_amid,
    wait_for,
)
from tests.cli.processes import SECONDS
from tests.clock import Stopwatch
from tests.fakes.sds import CHUNK, Call, md5, on

DATA = bytes_of(2500)
HTML = b"<html>Please sign in</html>"


@pytest.fixture
def client(near: Callable[..., Client]) -> Client:
    made = near()
    made.file("a", DATA)
    return made


def says(status: str, headers: dict[str, object] | None = None, body: bytes = b"") -> Any:
    """Take the request, keep nothing, and answer so."""

    def act(call: Call) -> None:
        call.body()
        call.reply(status, headers, body)

    return act


def raw(data: bytes, *, hang_up: bool = False) -> Any:
    def act(call: Call) -> None:
        call.body()
        call.send(data)
        if hang_up:
            call.hang_up()

    return act


def keeps(hash: str | None, size: int | None = None, status: str = "201 Created") -> Any:
    """Keep the chunk, and say that of it."""

    def act(call: Call) -> None:
        data = call.sds.chunks[call.chunk] = call.body()
        told: dict[str, object] = {}
        if hash is not None:
            told[f"{CHUNK}chunk-hash"] = hash or md5(data)
        if size is not None:
            told[f"{CHUNK}chunk-size"] = size
        call.reply(status, told)

    return act


MALFORMED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n"

# --- what is no proof of a chunk ------------------------------------------------------------------

NO_PROOF = {
    "200 and a page": says("200 OK", {"Content-Type": "text/html"}, HTML),
    "200 and nothing": says("200 OK"),
    "202": says("202 Accepted"),
    "204": says("204 No Content"),
    "206": says("206 Partial Content", {}, b"x"),
    "299": says("299 Whatever"),
    "201 without a hash, and no chunk": says("201 Created", {}, HTML),
    "201 and another hash": keeps("0" * 32),
    "201 and another size": keeps("", 7),
    "201, a hash of another kind, and no chunk": says("201 Created", {f"{CHUNK}chunk-hash": "AB"}),
    "200 and the right hash": keeps("", status="200 OK"),
    "301": says("301 Moved", {"Location": "http://127.0.0.1:1/"}),
    "no space": refuse_507,
    "malformed": raw(MALFORMED),
    "no HTTP": raw(b"hello\r\n\r\n", hang_up=True),
    "cut headers": raw(b"HTTP/1.1 201 Created\r\nX-A: b", hang_up=True),
    "nothing at all": lose_reply,
    "a reset": reset_amid,
}


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("what", NO_PROOF)
def test_a_chunk_without_a_proof_is_not_stored(
    near: Callable[..., Client], what: str, copies: int
) -> None:
    client = near(copies=copies)
    client.file("a", DATA)
    client.sds.faults.append(on("PUT", NO_PROOF[what]))
    ran = client("put", "docs", "a", "--json")
    assert ran.code in (1, 6, 9), ran.err
    assert "internal error" not in ran.err
    assert "content/create" not in client.sds.routes()
    assert (client.sds.objects, client.sds.chunks) == ({}, {})


@pytest.mark.parametrize("what", NO_PROOF)
def test_a_copy_without_a_proof_is_done_without(near: Callable[..., Client], what: str) -> None:
    client = near(copies=3, rawx=3)
    client.file("a", DATA)
    client.sds.faults.append(on("PUT", NO_PROOF[what], who=1))
    ran = client.ok("put", "docs", "a", "--json")
    (result,) = ran.json["results"]
    assert (result["copies"], result["wanted"], result["verified"]) == (2, 3, True)
    assert len(result["failed_copies"]) == 3
    assert client.sds.content("a") == DATA
    assert client.sds.orphans() == set()


def shows(hash: str | None, size: int | None, id: str | None = None, found: str = "200 OK") -> Any:
    """The answer to HEAD; `` stands for the truth."""

    def act(call: Call) -> None:
        data = call.sds.chunks[call.chunk]
        told: dict[str, object] = {}
        if hash is not None:
            told[f"{CHUNK}chunk-hash"] = hash or md5(data)
        if id is not None:
            told[f"{CHUNK}chunk-id"] = id or call.chunk
        length = len(data) if size is None else size
        call.reply(found, told, length=length)

    return act


ASKED_AGAIN = [
    # PUT says of the hash and the size, HEAD says, verified (False: not stored)
    (None, None, shows("", None), True),
    (None, None, shows("0" * 32, None), False),
    (None, None, shows("", 5), False),
    (None, None, shows("AF13" * 16, None), None),
    (None, None, shows(None, None, ""), None),
    (None, None, shows(None, None), False),
    (None, None, shows(None, None, "AB"), False),
    (None, None, shows("", None, found="404 Not Found"), False),
    (None, None, shows("", None, found="405 Not Allowed"), False),
    ("AF13" * 16, None, shows("", None), True),
    ("AF13" * 16, None, shows("AF13" * 16, 5), False),
]


@pytest.mark.parametrize("number", range(len(ASKED_AGAIN)))
def test_a_chunk_without_a_hash_is_asked_for_it(client: Client, number: int) -> None:
    hash, size, act, verified = ASKED_AGAIN[number]
    client.sds.faults += [on("PUT", keeps(hash, size)), on("HEAD", act)]
    ran = client("put", "docs", "a", "--json")
    if verified is False:
        assert ran.code != 0
        assert (client.sds.objects, client.sds.chunks) == ({}, {})
    else:
        assert ran.json["results"][0]["verified"] is verified
        assert client.sds.content("a") == DATA
        assert len(client.sds.asked("HEAD")) == 3


def test_a_hash_of_another_kind_is_never_wrong(client: Client) -> None:
    def store(call: Call) -> None:
        data = call.sds.chunks[call.chunk] = call.body()
        told = {f"{CHUNK}chunk-hash": "af13" * 16, f"{CHUNK}chunk-size": len(data)}
        call.reply("201 Created", told)

    client.sds.faults.append(on("PUT", store))
    (result,) = client.ok("put", "docs", "a", "--json").json["results"]
    assert (result["changed"], result["verified"]) == (True, None)
    assert client.sds.asked("HEAD") == []
    assert "not verified" in client.ok("put", "docs", "a", "--path", "b").out


# --- who dies -------------------------------------------------------------------------------------

MEMORY = "raise MemoryError"
# A socket over which the request was sent.
_REPLY = """
import socket
send, receive = socket.socket.send, socket.socket.recv_into
asked = set()
def noted(self, data, *flags):
    if b" /" in bytes(data[:8]):
        (asked.add if bytes(data[:8]).startswith(b"METHOD ") else asked.discard)(self.fileno())
    return send(self, data, *flags)
def dies(self, *buffer):
    if self.fileno() in asked:
"""
_DIES = """
    return receive(self, *buffer)
socket.socket.send, socket.socket.recv_into = noted, dies
"""
DEATHS = {
    "no thread starts": """
import threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
""",
    "memory, as a request is sent": """
import socket
send = socket.socket.send
def dies(self, data, *flags):
    if bytes(data[:8]).startswith(b"METHOD "):
        raise MemoryError
    return send(self, data, *flags)
socket.socket.send = dies
""",
    "memory, as a reply comes": _REPLY + "        raise MemoryError\n" + _DIES,
    "what nobody thought of, as a reply comes": (
        _REPLY + "        raise AssertionError('oops')\n" + _DIES
    ),
    "memory, in a checksum": """
import hashlib
md5 = hashlib.md5
class Dies:
    def __init__(self, data=b"", **options):
        if len(data) > 100:
            raise MemoryError
        self._digest = md5(data, **options)
    def update(self, data):
        raise MemoryError
    def hexdigest(self):
        return self._digest.hexdigest()
hashlib.md5 = Dies
""",
}


def dying(client: Client, death: str, method: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The program, in which something dies; ended when it hangs."""
    directory = client.directory / "dies"
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(DEATHS[death].replace("METHOD", method))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(client.rdctl.home),
        "RDCTL_HISTORY": str(client.rdctl.home / "history.ndjson"),
        "PYTHONPATH": f"{directory}:{ROOT}",
    }
    argv = [sys.executable, "-m", "rdctl", *client.where, "oio", *words]
    return subprocess.run(
        argv, check=False, env=environ, capture_output=True, text=True, timeout=SECONDS
    )


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("size", [500, 2500])
@pytest.mark.parametrize("death", DEATHS)
def test_what_dies_stores_nothing(
    near: Callable[..., Client], death: str, size: int, copies: int
) -> None:
    client = near(copies=copies)
    path = client.file("a", bytes_of(size))
    ran = dying(client, death, "PUT", "content", "put", "docs", path)
    assert ran.returncode not in (0, 8), ran.stdout
    assert client.sds.objects == {}
    assert client.sds.orphans() == set() or "could not be deleted" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_chunk_that_is_whole_before_its_upload_is_given_up_is_deleted(
    near: Callable[..., Client],
) -> None:
    """Its last byte has left, but its rawx is slow to store it."""
    client = near(copies=3)

    arrived, stored = [], []

    def slow(call: Call) -> None:
        data = call.body()
        arrived.append(call.chunk)
        time.sleep(1.0)
        call.sds.chunks[call.chunk] = data
        stored.append(call.chunk)
        call.reply("201 Created", {f"{CHUNK}chunk-hash": md5(data)})

    client.sds.faults.append(on("PUT", slow))
    path = client.file("a", bytes_of(500))
    ran = dying(client, "memory, in a checksum", "PUT", "content", "put", "docs", path)
    assert ran.returncode not in (0, 8), ran.stdout
    wait_for(lambda: len(stored) == len(arrived))
    assert client.sds.orphans() == set() or "could not be deleted" in ran.stderr


@pytest.mark.parametrize("death", [one for one in DEATHS if one != "no thread starts"])
def test_what_dies_amid_a_large_part(near: Callable[..., Client], death: str) -> None:
    client = near(chunk_size=8 << 20)
    path = client.file("a", bytes_of(5 << 20))
    ran = dying(client, death, "PUT", "content", "put", "docs", path)
    assert ran.returncode != 0, ran.stdout
    assert client.sds.objects == {}
    assert client.sds.orphans() == set() or "could not be deleted" in ran.stderr


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("death", DEATHS)
def test_what_dies_receives_nothing(near: Callable[..., Client], death: str, hashes: bool) -> None:
    client, data = near(chunk_size=3 << 20, hashes=hashes), bytes_of(7 << 20)
    client.sds.put("a", data)
    ran = dying(
        client, death, "GET", "content", "get", "docs", "a", "--to", str(client.directory / "back")
    )
    assert ran.returncode != 0 or (client.directory / "back").read_bytes() == data
    assert ran.returncode == 0 or not (client.directory / "back").exists()
    assert "Traceback" not in ran.stderr


REPLY_DEATHS = [one for one in DEATHS if "reply" in one]


@pytest.mark.parametrize("death", REPLY_DEATHS)
def test_a_change_whose_reply_is_never_read_is_unknown(client: Client, death: str) -> None:
    ran = dying(client, death, "POST", "container", "create", "new", "--json")
    assert ran.returncode == 10, ran.stderr
    assert '"fate": "unknown"' in ran.stdout


# --- what the proxy may answer --------------------------------------------------------------------

NO_ANSWER: dict[str, Any] = {
    "an error inside a 200": lambda call: call.refuse(503, "200 OK"),
    "200 and a page": says("200 OK", {"Content-Type": "text/html"}, HTML),
    "201 and a page": says("201 Created", {"Content-Type": "text/html"}, HTML),
    "200 and a list": says("200 OK", {}, b"[]"),
    "202": says("202 Accepted"),
    "206": says("206 Partial Content"),
    "299": says("299 Whatever", {}, b"{}"),
    "malformed": raw(MALFORMED),
    "nothing at all": lambda call: call.hang_up(),
}
# What is asked, and the step that is answered so.
STEPS = {
    "content/create": ["content", "put", "docs", "a"],
    "content/prepare": ["content", "put", "docs", "a"],
    "content/delete": ["content", "delete", "docs", "o", "--yes"],
    "content/delete_many": ["content", "delete", "docs", "o", "p", "--yes"],
    "content/set_properties": ["content", "set-properties", "docs", "o", "a=b"],
    "content/truncate": ["content", "truncate", "docs", "o", "--size", "0", "--yes"],
    "container/create": ["container", "create", "new"],
    "container/create_many": ["container", "create", "new", "newer"],
    "container/destroy": ["container", "destroy", "docs", "--yes"],
    "container/flush": ["container", "flush", "docs", "--yes"],
    "container/set_properties": ["container", "set-properties", "docs", "a=b"],
    "container/touch": ["container", "touch", "docs"],
    "reference/create": ["reference", "create", "new"],
    "reference/destroy": ["reference", "destroy", "docs", "--force", "--yes"],
    "reference/unlink": ["reference", "unlink", "docs", "meta2", "--yes"],
    "admin/freeze": ["admin", "freeze", "docs", "--yes"],
}


def others(call: Call) -> bool:
    """Whatever else the step's command asks, a small namespace may not know."""
    answers: dict[str, tuple[Any, dict[str, str]]] = {
        "content/get_properties": ({"properties": {}}, {}),
        "container/get_properties": ({"properties": {}, "system": {}}, {}),
        "reference/show": (
            {"srv": [{"seq": 1, "type": "meta2", "host": "127.0.0.1:1", "args": ""}], "dir": []},
            {},
        ),
    }
    if call.who != "proxy" or call.route not in answers:
        return False
    call.body()
    value, headers = answers[call.route]
    call.json(value, headers=headers)
    return True


# To which it is an answer: what exists already.
AN_ANSWER = [("reference/create", "202")]


@pytest.mark.parametrize(
    ("step", "what"),
    [(step, what) for step in STEPS for what in NO_ANSWER if (step, what) not in AN_ANSWER],
)
def test_nothing_is_done_without_its_proof(client: Client, step: str, what: str) -> None:
    for name in "op":
        client.sds.put(name, b"12345")
    client.sds.faults += [on(step, NO_ANSWER[what]), others]
    words = [*client.where, "--retries", "0", "oio", *STEPS[step], "--json"]
    ran = client.rdctl(*words)
    assert step in client.sds.routes()
    prepared = step == "content/prepare"  # nothing is made by it
    assert ran.code in ((6, 9) if prepared else (10,)), ran.out
    for one in ran.json.get("results", []):
        assert one["changed"] is not True, one
    if step != "content/create":
        assert client.sds.orphans() == set()


# --- how many copies are enough -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copies", "dead", "stored"), [(1, 1, False), (2, 1, True), (2, 2, False), (3, 1, True)]
)
def test_half_of_the_copies_are_enough(
    near: Callable[..., Client], copies: int, dead: int, stored: bool
) -> None:
    client = near(copies=copies, rawx=copies)
    for number in range(dead):
        client.sds.stop(number)
    client.file("a", b"x")
    ran = client("put", "docs", "a", "--json")
    assert (ran.code == 0) is stored
    if stored:
        (result,) = ran.json["results"]
        assert (result["copies"], result["wanted"]) == (copies - dead, copies)
        assert f"only {copies - dead} of {copies} copies of some chunks were stored" in ran.err
    else:
        assert (ran.code, client.sds.objects) == (6, {})


def test_more_copies_may_be_asked_for(near: Callable[..., Client]) -> None:
    client = near(copies=3, rawx=3)
    client.sds.stop(1)
    client.file("a", DATA)
    client.ok("put", "docs", "a", "--min-copies", "2")
    ran = client("put", "docs", "a", "--path", "b", "--min-copies", "3", "--json")
    assert ran.code == 6
    assert "2 of 3 copies" in ran.err
    assert list(client.sds.objects) == ["a"]
    assert client.sds.orphans() == set()
    sent = len(client.sds.asked("PUT"))
    ran = client("put", "docs", "a", "--path", "c", "--min-copies", "4")
    assert (ran.code, len(client.sds.asked("PUT"))) == (2, sent)
    assert "--min-copies 4" in ran.err


# --- who is slow ----------------------------------------------------------------------------------


def silent(call: Call) -> None:
    """Take nothing, and say nothing, until the client leaves or all is over."""
    call.sds.wait(SECONDS)
    call.hang_up()


def mute(call: Call) -> None:
    """Take all, and say nothing."""
    call.body()
    silent(call)


@pytest.mark.parametrize("fault", [silent, mute])
@pytest.mark.parametrize("size", [2500, 30 << 20])
def test_one_that_is_stuck_does_not_defeat_the_others(
    near: Callable[..., Client], fault: Any, size: int
) -> None:
    client = near(copies=3, rawx=3, chunk_size=1000 if size < 9999 else 16 << 20)
    client.sds.faults.append(on("PUT", fault, who=1))
    client.file("a", data := bytes_of(size))
    watch = Stopwatch()
    ran = client.ok("put", "docs", "a", "--json", "--timeout", "12")
    assert watch.quiet < 12
    (result,) = ran.json["results"]
    assert (result["copies"], result["wanted"]) == (2, 3)
    assert f"store chunk http://{client.sds.addresses[1]}/" in ran.err
    assert client.sds.content("a") == data


def test_who_used_up_the_time_is_named(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.faults.append(on("PUT", mute, who=0))
    client.file("a", DATA)
    watch = Stopwatch()
    ran = client("put", "docs", "a", "--json", "--timeout", "4")
    assert watch.quiet < 4.5
    assert ran.code == 7
    (error,) = errors_of(ran)
    assert f"store chunk http://{client.sds.addresses[0]}/" in error["message"]
    assert client.sds.objects == {}
    assert client.sds.chunks == {}


def test_cleaning_up_is_inside_the_timeout(near: Callable[..., Client]) -> None:
    """Of four services all store, one refuses, and none deletes."""
    client = near(rawx=4)
    held = threading.Event()

    def stuck(call: Call) -> None:
        held.set()
        silent(call)

    client.sds.faults += [on("PUT", refuse_507, pos=3), on("DELETE", stuck)]
    client.file("a", bytes_of(3500))
    watch = Stopwatch()
    ran = client("put", "docs", "a", "--json", "--timeout", "4", "--parallel", "1")
    assert watch.quiet < 5
    assert held.is_set()
    (error,) = errors_of(ran)
    assert {url[-64:] for url in error["chunks"]} >= set(client.sds.chunks)


# --- the last step --------------------------------------------------------------------------------


# At the last chunk, and at the look before the object is made.
@pytest.mark.parametrize("when", [4, 5])
def test_a_proxy_that_comes_back_gets_the_object(client: Client, when: int) -> None:
    """One that takes no connection was sent nothing: what was uploaded is not thrown away."""
    looks: list[Call] = []

    def goes(call: Call) -> bool:
        if call.who == "proxy" and call.route != "content/show":
            return False
        looks.append(call)
        if len(looks) == when:
            client.sds.stop(-1)
            threading.Timer(2.5, client.sds.start, [-1]).start()
        return False

    client.sds.faults.append(goes)
    client.ok("put", "docs", "a")
    assert client.sds.content("a") == DATA
    assert client.sds.routes().count("content/create") == 1


def test_a_proxy_that_stays_away_gets_nothing(client: Client) -> None:
    def goes(call: Call) -> bool:
        if call.route == "content/show" and client.sds.chunks:
            client.sds.stop(-1)
        return False

    client.sds.faults.append(goes)
    watch = Stopwatch()
    ran = client("put", "docs", "a", "--timeout", "4")
    assert watch.quiet < 4.5
    assert ran.code == 6
    assert (client.sds.objects, client.sds.chunks) == ({}, {})


def test_a_name_that_was_taken_meanwhile_is_left(client: Client) -> None:
    def other(call: Call) -> None:
        call.sds.put("a", b"of another")
        refused.remove(other_first)

    def other_first(call: Call) -> bool:
        if call.who != "proxy" and call.method == "PUT":
            other(call)
        return False

    refused = client.sds.faults
    refused.append(other_first)
    ran = client("put", "docs", "a", "--json")
    assert ran.code == 4
    assert errors_of(ran)[0]["code"] == "exists"
    assert client.sds.content("a") == b"of another"
    assert client.sds.orphans() == set()
    assert "content/create" not in client.sds.routes()


# --- what a file says of its size -----------------------------------------------------------------


def test_files_that_the_kernel_makes_up(client: Client) -> None:
    """Their size is 0 or a page, whatever is in them."""
    for path in ("/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"):
        want = Path(path).read_bytes()
        client.ok("put", "docs", path, "--path", "v", "--overwrite", "--yes")
        assert client.sds.content("v") == want
        with (
            open(path, "rb") as file,
            client.start(
                "put", "docs", "-", "--path", "v", "--overwrite", "--yes", stdin=file
            ) as process,
        ):
            assert process.wait(SECONDS) == 0
        assert client.sds.content("v") == want


def test_an_empty_file_and_one_of_holes(client: Client) -> None:
    client.file("empty", b"")
    with open(client.directory / "holes", "wb") as file:
        file.truncate(1500)
    client.ok("put", "docs", "empty", "holes")
    assert client.sds.content("empty") == b""
    assert client.sds.content("holes") == bytes(1500)


def test_a_file_that_grows_is_not_taken_for_whole(client: Client) -> None:
    path = client.directory / "a"

    def grow(call: Call) -> bool:
        if call.route == "content/prepare":
            times = os.stat(path)
            with open(path, "ab") as file:
                file.write(b"more")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return False

    client.sds.faults.append(grow)
    ran = client("put", "docs", "a")
    assert ran.code == 4
    assert (client.sds.objects, client.sds.chunks) == ({}, {})


def test_standard_input_that_does_not_block(client: Client) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    fed = threading.Event()

    def feed() -> None:
        for _ in range(3):
            os.write(writer, b"x" * 1000)
            fed.wait(0.3)
        os.close(writer)

    threading.Thread(target=feed, daemon=True).start()
    with client.start("put", "docs", "-", "--path", "p", stdin=reader) as process:
        assert process.wait(SECONDS) == 0
    os.close(reader)
    assert client.sds.content("p") == b"x" * 3000


def test_names_from_an_input_that_does_not_block_stay_whole(client: Client) -> None:
    for name in ("long-name", "long"):
        client.sds.put(name, b"x")
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def feed() -> None:
        os.write(writer, b"long")
        threading.Event().wait(0.5)
        os.write(writer, b"-name\n")
        os.close(writer)

    threading.Thread(target=feed, daemon=True).start()
    with client.start("delete", "docs", "-", "--yes", stdin=reader) as process:
        assert process.wait(SECONDS) == 0
    os.close(reader)
    assert list(client.sds.objects) == ["long"]


def test_a_closed_standard_input_is_an_error(client: Client) -> None:
    for words in ("put docs - --path p", "delete docs - --yes"):
        argv = [sys.executable, "-m", "rdctl", *client.where, "oio", "content", *words.split()]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        environ["HOME"] = str(client.rdctl.home)
        ran = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *argv],
            check=False,
            env=environ,
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "standard input is closed" in ran.stderr
        assert client.sds.objects == {}


def test_a_terminal_as_input_can_be_interrupted(client: Client) -> None:
    """Ctrl-C amid the typing: nothing is stored."""
    import pty
    import signal

    master, slave = pty.openpty()
    with client.start("put", "docs", "-", "--path", "p", stdin=slave) as process:
        os.write(master, b"some\n")
        wait_for(lambda: "content/show" in client.sds.routes())
        process.send_signal(signal.SIGINT)
        watch = Stopwatch()
        assert process.wait(SECONDS) == 130
    assert watch.quiet < 5
    os.close(master)
    os.close(slave)
    assert client.sds.objects == {}


@pytest.fixture
def small_directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount here")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_temporary_directory_is_named(client: Client, small_directory: Path) -> None:
    argv = [sys.executable, "-m", "rdctl", *client.where, "oio", "content", "put", "docs", "-"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(small_directory)}
    environ["HOME"] = str(client.rdctl.home)
    ran = subprocess.run(
        [*argv, "--path", "p"],
        check=False,
        input=bytes(3_000_000),
        env=environ,
        capture_output=True,
    )
    assert ran.returncode == 1
    assert (
        f"cannot be buffered in {small_directory}: No space left on device" in ran.stderr.decode()
    )
    assert b"TMPDIR" in ran.stderr
    assert (client.sds.objects, client.sds.asked("PUT")) == ({}, [])


def test_an_endless_input_ends_at_the_quota(client: Client) -> None:
    def limited(call: Call) -> None:
        told = {
            "name": "0" * 64 + ".1",
            "user-name": "docs",
            "account": "ACCT",
            "m2-quota": "5000000",
        }
        headers = {f"x-oio-container-meta-sys-{key}": value for key, value in told.items()}
        call.json({"properties": {}}, headers=headers)

    client.sds.faults.append(on("container/show", limited))
    ran = client("put", "docs", "/dev/zero", "--path", "p")
    assert ran.code == 4
    assert "/dev/zero: larger than the container's quota (5000000 bytes)" in ran.err
    assert client.sds.objects == {}


def test_a_link_put_in_place_of_a_file_is_not_followed(client: Client) -> None:
    """It is put there between the listing of the directory and the opening of the file."""
    client.file("secret", b"secret")
    inner = client.directory / "d" / "e"
    inner.mkdir(parents=True)
    for name in ("x", "y", "z"):
        (inner / name).write_bytes(b"plain")

    def swap(call: Call) -> bool:
        if call.route == "container/show":
            (inner / "y").unlink()
            (inner / "y").symlink_to(client.directory / "secret")
            (inner / "z").unlink()
            os.mkfifo(inner / "z")
        return False

    client.sds.faults.append(swap)
    ran = client("put", "docs", "d", "--recursive")
    assert ran.code == 8
    assert set(client.sds.objects) == {"e/x"}
    assert "e/y" in ran.err
    assert "symbolic link" in ran.err


# --- what a checksum covers -----------------------------------------------------------------------

COVERED = [
    # range, verified
    ("0-999", True),
    ("1000-2499", True),
    ("1000-", True),
    ("0-998", None),
    ("500-1500", None),
    ("-1", None),
]


@pytest.mark.parametrize(("wanted", "verified"), COVERED)
def test_a_range_says_whether_it_was_verified(
    client: Client, wanted: str, verified: bool | None
) -> None:
    client.sds.put("a", DATA)
    ran = client.ok("get", "docs", "a", "--range", wanted, "--to", "back", "--json")
    assert ran.json["results"][0]["verified"] is verified
    said = "could not be verified: checksums cover whole chunks only"
    assert (said in ran.err) is (verified is None)
    ran = client.ok("get", "docs", "a", "--range", wanted, "--to", "-")
    assert (said in ran.err) is (verified is None)
    assert ran.stdout == (client.directory / "back").read_bytes()


@pytest.mark.parametrize("to", ["-", "back"])
def test_a_damaged_chunk_within_a_range_is_seen(client: Client, to: str) -> None:
    client.sds.put("a", DATA)
    (chunk,) = [id for id, pos in client.sds.placed.items() if pos == 1]
    client.sds.chunks[chunk] = bytes(1000)
    ran = client("get", "docs", "a", "--range", "1000-2499", "--to", to)
    assert ran.code == 9
    assert not (client.directory / "back").exists()
    client.ok("get", "docs", "a", "--range", "0-999", "--to", to)


def test_an_object_is_not_read_into_a_closed_output(client: Client) -> None:
    client.sds.put("o", DATA)
    argv = [sys.executable, "-m", "rdctl", *client.where, "oio", "content", "get", "docs", "o"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(client.rdctl.home)}
    words = ["sh", "-c", 'exec "$@" --to - >&-', "sh", *argv]
    ran = subprocess.run(words, check=False, env=environ, capture_output=True, text=True)
    assert (ran.returncode, client.sds.asked("GET")) == (2, [])
    assert "standard output is closed" in ran.stderr


# --- what a rawx has already ----------------------------------------------------------------------


def named(change: Callable[[list[dict[str, Any]]], object]) -> Any:
    """The proxy's answer to prepare, changed."""

    def act(call: Call) -> None:
        answer = call.json

        def json(chunks: Any, **options: Any) -> None:
            change(chunks)
            answer(chunks, **options)

        call.json = json  # type: ignore[method-assign, assignment]
        call.body()
        call.sds._content_prepare(call)

    return on("content/prepare", act)


def test_a_chunk_of_another_object_is_never_deleted(near: Callable[..., Client]) -> None:
    client = near(copies=2)
    client.file("a", b"x")
    client.sds.put("other", b"precious")
    taken = client.sds.objects["other"][0]["chunks"][0]["url"]
    client.sds.faults.append(named(lambda chunks: chunks[0].update(url=taken, real_url=taken)))
    (result,) = client.ok("put", "docs", "a", "--json").json["results"]
    assert result["copies"] == 1
    assert client("put", "docs", "a", "--path", "b", "--min-copies", "2").code == 1
    assert client.sds.content("other") == b"precious"
    assert taken[-64:] not in {call.chunk for call in client.sds.asked("DELETE")}


def same_chunk(chunks: list[dict[str, Any]]) -> None:
    for chunk in chunks[1:]:
        chunk.update(url=chunks[0]["url"], real_url=chunks[0]["url"])


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("change", [same_chunk, list.clear], ids=["the same chunk", "no chunk"])
def test_chunks_that_cannot_be_are_refused(
    near: Callable[..., Client], change: Any, copies: int
) -> None:
    client = near(copies=copies)
    client.file("a", b"" if change is list.clear else DATA)
    client.sds.faults.append(named(change))
    ran = client("put", "docs", "a")
    assert (ran.code, client.sds.asked("PUT"), client.sds.objects) == (9, [], {})


def test_a_policy_that_keeps_no_copy_stores_nothing(near: Callable[..., Client]) -> None:
    client = near(method="plain/nb_copy=0")
    client.file("a", b"x")
    ran = client("put", "docs", "a")
    assert (ran.code, client.sds.objects) == (9, {})
    assert 'plain/nb_copy=0" keeps no copy' in ran.err


def test_an_answer_that_drips_is_not_waited_for_without_end(
    near: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdctl.oio.objects.chunk_upload.READ_SECONDS", 1.0)
    client = near()
    client.file("a", b"x")

    def drip(call: Call) -> None:
        call.body()
        for byte in b"HTTP/1.1 201 Created\r\nX-Slow: " + b"x" * 1000:
            call.send(bytes([byte]))
            if call.sds.wait(0.1):
                return

    client.sds.faults.append(on("PUT", drip))
    watch = Stopwatch()
    ran = client("put", "docs", "a")
    assert watch.quiet < 20
    assert (ran.code, client.sds.objects) == (7, {})


# --- pipes ----------------------------------------------------------------------------------------


def test_a_pipe_without_another_end_is_not_waited_for_beyond_the_deadline(client: Client) -> None:
    client.sds.put("o", DATA)
    os.mkfifo(client.directory / "pipe")
    for words in (["put", "docs", "pipe", "--path", "p"], ["get", "docs", "o", "--to", "pipe"]):
        watch = Stopwatch()
        ran = client(*words, "--timeout", "1")
        assert watch.quiet < 3
        assert ran.code == 7
    assert list(client.sds.objects) == ["o"]


def test_pipes_with_another_end(client: Client) -> None:
    os.mkfifo(client.directory / "pipe")
    data = bytes_of(200_000)
    with client.start("put", "docs", "pipe", "--path", "p") as process:
        with open(client.directory / "pipe", "wb") as pipe:
            pipe.write(data)
        assert process.wait(SECONDS) == 0
    assert client.sds.content("p") == data
    with client.start("get", "docs", "p", "--to", "pipe") as process:
        with open(client.directory / "pipe", "rb") as pipe:
            assert pipe.read() == data
        assert process.wait(SECONDS) == 0
