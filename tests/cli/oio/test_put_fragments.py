"""rdctl oio content put of erasure-coded objects, against rawx services that fail in every way.

What is promised: k+1 fragments of each metachunk are proven to be stored, or nothing is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.oio.erasure.codec import Codec
from tests.cli.oio.test_proof import DEATHS, dying, keeps, mute, says, shows, silent
from tests.cli.oio.test_transfer import MEMORY
from tests.cli.oio.transfers import (
    ROOT,
    Client,
    bytes_of,
    errors_of,
    hold,
    lose_reply,
    refuse_507,
    reset_amid,
    wait_for,
    wrong_hash,
)
from tests.cli.processes import SECONDS
from tests.fakes.sds import CHUNK, Call, fragments, md5, on
from tests.oio.erasure.test_stripes import helpers

CODED = "ec/algo=liberasurecode_rs_vand"
# k and m.
SCHEMES = [(4, 2), (6, 3), (2, 1)]
HTML = b"<html>Please sign in</html>"

Near = Callable[..., Client]


def coded(near: Near, k: int, m: int, **options: Any) -> Client:
    return near(method=f"{CODED},k={k},m={m}", **{"rawx": k + m, **options})


def registered(client: Client, path: str) -> dict[int, dict[int, dict[str, Any]]]:
    """The chunks of an object, by metachunk and fragment."""
    found: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
    for chunk in client.sds.objects[path][-1]["chunks"]:
        number, index = map(int, chunk["pos"].split("."))
        assert index not in found[number]
        found[number][index] = chunk
    return found


def content(client: Client, path: str, k: int, m: int) -> bytes:
    """An object of metachunks of one segment, decoded from the last k fragments of each."""
    data = b""
    for _, chunks in sorted(registered(client, path).items()):
        some = sorted(chunks)[-k:]
        size = chunks[some[0]]["size"]
        files = {index: client.sds.chunks[chunks[index]["url"][-64:]] for index in some}
        data += Codec(k, m).decode(files, size) if size else b""
    return data


# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk_size", "size"),
    [
        (1 << 20, 0),
        (1 << 20, 1),
        (1 << 20, 1000),
        (1 << 20, (1 << 20) - 1),
        (1 << 20, 1 << 20),
        (1 << 20, (1 << 20) + 1),
        (1 << 20, 4 << 20),
        (1 << 20, (4 << 20) + 1),
        (1000, 4000),
        (1000, 9001),
        ((1 << 20) + 12345, (9 << 20) + 7),
    ],
)
def test_what_is_stored_and_registered(near: Near, chunk_size: int, size: int) -> None:
    client, data = coded(near, 4, 2, chunk_size=chunk_size), bytes_of(size)
    client.file("a", data)
    (result,) = client.ok("put", "docs", "a", "--json").json["results"]
    assert (result["copies"], result["wanted"], result["failed_copies"]) == (6, 6, None)
    assert (result["size"], result["hash"], result["verified"]) == (size, md5(data), True)
    (version,) = client.sds.objects["a"]
    assert (version["meta"]["hash"], version["meta"]["length"]) == (md5(data), str(size))
    metachunks = registered(client, "a")
    step = 4 * chunk_size
    assert sorted(metachunks) == list(range(max(1, -(-size // step))))
    for number, chunks in metachunks.items():
        part = data[number * step : (number + 1) * step]
        assert sorted(chunks) == list(range(6))
        files = fragments(part, 4, 2) or [b""] * 6
        for index, chunk in chunks.items():
            assert (chunk["size"], chunk["hash"]) == (len(part), md5(part))
            id = chunk["url"][-64:]
            assert client.sds.chunks[id] == (files[index] if part else b"")
            sent = client.sds.sent[id]
            assert sent[f"{CHUNK}chunk-pos"] == f"{number}.{index}"
            assert sent[f"{CHUNK}metachunk-size"] == str(len(part))
            assert sent[f"{CHUNK}metachunk-hash"] == md5(part).lower()
            assert sent[f"{CHUNK}chunk-hash"] == md5(client.sds.chunks[id]).lower()
            assert sent["trailer"].split(", ") == list(sent)[-3:]


def test_what_the_success_says(near: Near) -> None:
    client = coded(near, 4, 2)
    client.file("a", b"x")
    assert "policy EC42, fragments 6/6)" in client.ok("put", "docs", "a").out
    client.sds.stop(0)
    ran = client.ok("put", "docs", "a", "--path", "b")
    assert "fragments 5/6, failed copies http://" in ran.out


def test_standard_input(near: Near) -> None:
    client, data = coded(near, 2, 1), bytes_of(5500)
    client.ok("put", "docs", "-", "--path", "a", stdin=data)
    assert client.sds.content("a") == data


def test_fragments_of_a_metachunk_are_sent_at_the_same_time(near: Near) -> None:
    client = coded(near, 6, 3)
    all_there = set[int]()

    def together(call: Call) -> bool:
        if call.method == "PUT":
            all_there.add(int(call.spot.partition(".")[2]))
            wait_for(lambda: len(all_there) == 9)
        return False

    client.sds.faults.append(together)
    client.file("a", bytes_of(5000))
    client.ok("put", "docs", "a", "--parallel", "1")


# --- the fault table ------------------------------------------------------------------------------


def stop(call: Call) -> None:
    """It takes the beginning of a body, and nothing after it."""
    call.body(100)
    silent(call)


def full_at_once(call: Call) -> None:
    call.reply("507 Insufficient Storage", body=b"<html>")
    call.hang_up()


# By what a rawx does, and at which stage.
FAULTS: dict[str, Callable[[Call], None]] = {
    "dead, during the body": reset_amid,
    "dead, at the answer": lose_reply,
    "lying, another hash": wrong_hash,
    "lying, another size": keeps("", 7),
    "lying, a page": says("200 OK", {"Content-Type": "text/html"}, HTML),
    "lying, 201 and nothing": says("201 Created", {}, HTML),
    "full, at the answer": refuse_507,
    "full, at once": full_at_once,
    "corrupted in transit": says("422 Unprocessable Entity", {}, HTML),
    "stuck, at once": silent,
    "stuck, during the body": stop,
    "stuck, at the answer": mute,
}
DEAD = "dead, at once"


def failing(client: Client, kind: str, count: int) -> None:
    """Let this many rawx services fail."""
    for number in range(count):
        if kind == DEAD:
            client.sds.stop(number)
        else:
            client.sds.faults.append(on("PUT", FAULTS[kind], who=number))


def counts(k: int, m: int, kind: str) -> list[int]:
    """How many fail: of those that take their time, only around the border."""
    return [max(1, m - 1), m, m + 1] if kind.startswith("stuck") else list(range(1, m + 2))


TABLE = [
    pytest.param(k, m, kind, count, id=f"{k}+{m}, {count} {kind}")
    for k, m in SCHEMES
    for kind in (DEAD, *FAULTS)
    for count in sorted(set(counts(k, m, kind)))
    if (k, m) == (4, 2) or kind in (DEAD, "lying, another hash", "stuck, at the answer")
]


@pytest.mark.parametrize(("k", "m", "kind", "count"), TABLE)
def test_what_fails_is_done_without_or_nothing_is_stored(
    near: Near, k: int, m: int, kind: str, count: int
) -> None:
    client, data = coded(near, k, m), bytes_of(2 * k * 1000 + 700)
    failing(client, kind, count)
    client.file("a", data)
    patience = ["--timeout", "6"] if kind.startswith("stuck") else []
    ran = client("put", "docs", "a", "--json", *patience)
    good = k + m - count
    if good >= k + 1:
        check_stored(client, ran, k, m, count)
        assert content(client, "a", k, m) == data
    else:
        assert ran.code in (1, 6, 7, 9), ran.err
        (error,) = errors_of(ran)
        assert f" of {k + m} fragments of metachunk " in error["message"]
        assert f"{k + 1} required: " in error["message"]
        assert "content/create" not in client.sds.routes()
        assert client.sds.objects == {}
        assert client.sds.chunks == {} or set(client.sds.chunks) <= {
            url[-64:] for url in error["chunks"]
        }


def check_stored(client: Client, ran: Any, k: int, m: int, count: int) -> None:
    assert ran.code == 0, ran.err
    (result,) = ran.json["results"]
    assert (result["copies"], result["wanted"], result["verified"]) == (k + m - count, k + m, True)
    assert f"only {k + m - count} of {k + m} fragments of some metachunks were stored" in ran.err
    failed = {client.sds.addresses[number] for number in range(count)}
    assert {url.split("/")[2] for url in result["failed_copies"]} == failed
    assert len(result["failed_copies"]) == 3 * count
    # Exactly what is proven is registered, and nothing else is left.
    hosts = [
        {chunk["url"].split("/")[2] for chunk in chunks.values()}
        for chunks in registered(client, "a").values()
    ]
    assert hosts == [set(client.sds.addresses[:-1]) - failed] * 3
    assert client.sds.orphans() == set()


def test_different_fragments_of_each_metachunk_may_fail(near: Near) -> None:
    client, data = coded(near, 4, 2), bytes_of(9000)
    client.sds.faults += [
        on("PUT", refuse_507, pos="0.0"),
        on("PUT", wrong_hash, pos="1.5"),
        on("PUT", reset_amid, pos="2.3"),
    ]
    client.file("a", data)
    (result,) = client.ok("put", "docs", "a", "--json").json["results"]
    assert (result["copies"], len(result["failed_copies"])) == (5, 3)
    assert content(client, "a", 4, 2) == data
    assert client.sds.orphans() == set()


def test_one_metachunk_with_too_few_fragments_stores_nothing(near: Near) -> None:
    client = coded(near, 4, 2)
    client.sds.faults += [on("PUT", refuse_507, pos="1.0"), on("PUT", wrong_hash, pos="1.4")]
    client.file("a", bytes_of(9000))
    ran = client("put", "docs", "a", "--json")
    assert "4 of 6 fragments of metachunk 1 stored, 5 required" in errors_of(ran)[0]["message"]
    assert (client.sds.objects, client.sds.chunks) == ({}, {})


@pytest.mark.parametrize(("hash", "stored"), [("", True), ("0" * 32, False)])
def test_a_fragment_without_a_hash_is_asked_for_it(near: Near, hash: str, stored: bool) -> None:
    """That of its chunk file, with the headers."""
    client = coded(near, 2, 1)
    client.sds.faults += [on("PUT", keeps(None)), on("HEAD", shows(hash, None))]
    client.file("a", bytes_of(5000))
    ran = client("put", "docs", "a", "--json")
    if stored:
        assert ran.json["results"][0]["verified"] is True
        assert len(client.sds.asked("HEAD")) == 9
    else:
        assert ran.code == 9
        assert (client.sds.objects, client.sds.chunks) == ({}, {})


@pytest.mark.parametrize("death", DEATHS)
def test_what_dies_stores_nothing(near: Near, death: str) -> None:
    client = coded(near, 4, 2)
    path = client.file("a", bytes_of(9000))
    ran = dying(client, death, "PUT", "content", "put", "docs", path)
    assert ran.returncode not in (0, 8), ran.stdout
    assert "Traceback" not in ran.stderr
    assert client.sds.objects == {}
    assert client.sds.orphans() == set() or "could not be deleted" in ran.stderr


def test_all_fragments_may_be_required(near: Near) -> None:
    client = coded(near, 4, 2)
    client.sds.stop(3)
    client.file("a", b"x")
    client.ok("put", "docs", "a", "--min-copies", "3")
    ran = client("put", "docs", "a", "--path", "b", "--min-copies", "6", "--json")
    assert ran.code == 6
    assert "5 of 6 fragments of metachunk 0 stored, 6 required" in ran.err
    ran = client("put", "docs", "a", "--path", "c", "--min-copies", "7")
    assert ran.code == 2
    assert "policy EC42 keeps only 6 fragments: --min-copies 7 is too high" in ran.err
    assert list(client.sds.objects) == ["a"]
    assert client.sds.orphans() == set()


# --- what the proxy lists -------------------------------------------------------------------------


def listing(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Call], bool]:
    """The proxy's list of chunks, changed."""

    def act(call: Call) -> bool:
        if call.who != "proxy" or call.route != "content/prepare":
            return False
        reply = call.json

        def json(value: Any, *rest: Any, **more: Any) -> None:
            change(value)
            reply(value, *rest, **more)

        call.json = json  # type: ignore[method-assign]
        return False

    return act


def one_fragment_twice(chunks: list[dict[str, Any]]) -> None:
    chunks[0]["pos"] = chunks[1]["pos"]


def a_fragment_too_many(chunks: list[dict[str, Any]]) -> None:
    chunks[0]["pos"] = "0.6"


def a_plain_chunk(chunks: list[dict[str, Any]]) -> None:
    chunks[0]["pos"] = "0"


@pytest.mark.parametrize("change", [one_fragment_twice, a_fragment_too_many, a_plain_chunk])
def test_fragments_that_cannot_be_are_refused(near: Near, change: Any) -> None:
    client = coded(near, 4, 2)
    client.sds.faults.append(listing(change))
    client.file("a", b"x")
    ran = client("put", "docs", "a")
    assert (ran.code, client.sds.asked("PUT"), client.sds.objects) == (9, [], {})


@pytest.mark.parametrize(("listed", "code"), [(5, 0), (4, 6)])
def test_a_proxy_that_lists_fewer_fragments(near: Near, listed: int, code: int) -> None:
    client = coded(near, 4, 2)
    client.sds.faults.append(listing(lambda chunks: chunks.__delitem__(slice(listed, None))))
    client.file("a", b"data")
    ran = client("put", "docs", "a", "--json")
    assert ran.code == code
    if code:
        message = "the proxy lists 4 services, but 5 of 6 fragments are required"
        assert message in errors_of(ran)[0]["message"]
        assert client.sds.asked("PUT") == []
    else:
        assert content(client, "a", 4, 2) == b"data"
        fewer = "only 5 of 6 fragments of some metachunks were stored"
        assert f"warning: a: {fewer}: the proxy listed too few services" in ran.err
        assert ran.json["results"][0].get("failed_copies") is None


@pytest.mark.parametrize("algorithm", ["isa_l_rs_vand", "jerasure_rs_cauchy", "shss"])
def test_other_algorithms_are_refused_before_anything_is_sent(near: Near, algorithm: str) -> None:
    client = near(method=f"ec/algo={algorithm},k=4,m=2", rawx=6)
    client.file("a", b"x")
    ran = client("put", "docs", "a")
    assert (ran.code, client.sds.asked("PUT"), client.sds.objects) == (11, [], {})
    assert "not supported" in ran.err


# --- dry run, trace, signals, memory --------------------------------------------------------------


def test_a_dry_run_shows_what_the_real_run_sends(near: Near) -> None:
    client = coded(near, 4, 2)
    client.file("a", bytes_of(4700))
    words = "put", "docs", "a", "--policy", "EC42"
    dry = client.ok(*words, "--dry-run", "--json").json["plan"]
    assert client.sds.asked("PUT") == []
    real = client.ok(*words, "--trace").err.splitlines()
    puts = [[line for line in lines if " -X PUT " in line] for lines in (dry, real)]

    def sent(line: str) -> tuple[Any, ...]:
        """All but the names of chunks, the version and the id of the request."""
        known = "(?:chunk-pos|content-policy|chunk-method|metachunk-[a-z]+|chunk-hash): [^']*"
        return (*re.findall(known, line), line.partition("  # ")[2])

    assert sorted(map(sent, puts[0])) == sorted(map(sent, puts[1]))
    assert len(puts[0]) == 12
    assert "# 1080 bytes on stdin" in puts[0][0]
    assert "Transfer-Encoding" not in puts[0][0]


def test_the_trace_of_a_fragment_is_a_request_that_a_rawx_accepts(near: Near) -> None:
    """With the bytes of the fragment, and the hashes that are known after them."""
    client, data = coded(near, 4, 2), bytes_of(3000)
    client.file("a", data)
    lines = client.ok("put", "docs", "a", "--trace").err.splitlines()
    before = dict(client.sds.chunks)
    client.sds.chunks.clear()
    for line in (line for line in lines if " -X PUT " in line):
        (id,) = re.findall("chunk-id: ([0-9A-F]{64})", line)
        known = {
            "metachunk-size": str(len(data)),
            "metachunk-hash": md5(data),
            "chunk-hash": md5(before[id]),
        }
        for name, value in known.items():
            line = line.replace(f"{CHUNK}{name}: <known after the data>", f"{CHUNK}{name}: {value}")
        done = subprocess.run(
            ["sh", "-c", line],
            input=before[id],
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
    assert client.sds.chunks == before


def test_ctrl_c_leaves_nothing(near: Near) -> None:
    # More than the sockets take in while they are not read.
    client = coded(near, 2, 1, chunk_size=12 << 20)
    client.sds.faults.append(on("PUT", hold, pos="1.1"))
    client.file("a", bytes_of(48 << 20))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: any(call.spot == "1.1" for call in client.sds.asked("PUT")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert b"rolled back: put a" in err
    assert (client.sds.objects, client.sds.chunks) == ({}, {})
    assert "content/create" not in client.sds.routes()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: no helper")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_helper_ends_with_rdctl(near: Near, end: signal.Signals) -> None:
    client = coded(near, 2, 1, chunk_size=12 << 20)
    client.sds.faults.append(on("PUT", hold, pos="1.1"))
    client.file("a", bytes_of(48 << 20))
    with client.start("put", "docs", "a") as process:
        wait_for(lambda: any(call.spot == "1.1" for call in client.sds.asked("PUT")))
        (helper,) = helpers(process.pid)
        process.send_signal(end)
        _, err = process.communicate(timeout=SECONDS)
    wait_for(lambda: not is_running(helper))
    assert b"Traceback" not in err


def is_running(process: int) -> bool:
    """Not a zombie, which the parent of orphans has to collect."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_memory_does_not_grow_with_the_object(near: Near) -> None:
    client = coded(near, 6, 3, chunk_size=8 << 20)
    block = bytes_of(1 << 20)
    with (client.directory / "big").open("wb") as file:
        for _ in range(150):
            file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *client.where, "oio", "content", "put", "docs", "big"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(client.rdctl.home)},
        cwd=client.directory,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < 120
