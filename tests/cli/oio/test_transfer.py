"""rdctl oio content put and get: there and back, when they end early, and in the sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rdctl.sandbox import OIO_HOST, apps
from tests.cli.oio.conftest import Oio
from tests.cli.oio.transfers import (
    ROOT,
    Client,
    bytes_of,
    hold,
    part_of,
    wait_for,
)
from tests.cli.processes import SECONDS
from tests.clock import Stopwatch
from tests.fakes.sds import CID, Call, md5, on, slowly
from tests.fakes.served import serving

# There and back -----------------------------------------------------------------------------------

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
        "chunk_method": f"plain/nb_copy={copies}",
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
    assert (client.directory / "back").read_bytes() == data
    ((result),) = ran.json["results"]
    assert (result["target"], result["file"], result["size"]) == ("a", "back", size)
    assert result["verified"] is True
    assert client.ok("get", "docs", "a", "--to", "-").stdout == data
    assert sorted(os.listdir(client.directory)) == ["a", "back"]


@pytest.mark.parametrize(("options", "requests"), [(("--parallel", "1"), 4 + 4 + 1), ((), 3)])
def test_long_chunks_go_in_pieces_or_whole(
    options: Sequence[str], requests: int, near: Callable[..., Client]
) -> None:
    client, data = near(chunk_size=7 << 20, copies=2), bytes_of((15 << 20) + 1)
    client.file("a", data)
    client.ok("put", "docs", "a")
    assert client.sds.content("a") == data
    assert client.ok("get", "docs", "a", "--to", "-", *options).stdout == data
    client.ok("get", "docs", "a", "--to", "b", *options)
    assert (client.directory / "b").read_bytes() == data
    assert len(client.sds.asked("GET")) == 2 * requests


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"),
        ("UP.TXT", "text/plain"),
        ("backup.tar.gz", "application/gzip"),
        ("data:image/png,x", "application/octet-stream"),
        ("sea.png/none", "application/octet-stream"),
        ("s.é", "application/octet-stream"),
    ],
)
def test_the_mime_type_is_guessed_from_the_name(
    near: Callable[..., Client], name: str, kind: str
) -> None:
    client = near()
    client.file("a", b"x")
    ran = client.ok("put", "docs", "a", "--path", name, "--trace")
    assert client.sds.objects[name][0]["meta"]["mime-type"] == kind
    assert f"x-oio-content-meta-mime-type: {kind}" in ran.err


def test_a_given_mime_type_is_not_guessed(near: Callable[..., Client]) -> None:
    client = near()
    client.file("a.png", b"x")
    client.ok("put", "docs", "a.png", "--mime-type", "text/plain")
    assert client.sds.objects["a.png"][0]["meta"]["mime-type"] == "text/plain"
    dry = client.ok("put", "docs", "a.png", "--overwrite", "--dry-run", "--json").json
    assert any("x-oio-content-meta-mime-type: image/png" in line for line in dry["plan"])


# Signals ------------------------------------------------------------------------------------------


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
    assert b"rolled back: put a" in err
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
    assert b"could not be rolled back: " in err
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
        assert b"Press Ctrl-C again to stop now" in process.stderr.readline()
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
    assert not (client.directory / "a").exists()
    assert part_of(client).stat().st_size == 4000
    assert ending == signal.SIGKILL or b"--to a --continue" in err
    client.sds.faults = []
    client.sds.calls.clear()
    client.ok("get", "docs", "a", "--continue")
    assert (client.directory / "a").read_bytes() == data
    assert {call.pos for call in client.sds.asked("GET")} <= {4, 5}


# Time ---------------------------------------------------------------------------------------------


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


# Dry runs -----------------------------------------------------------------------------------------


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
    assert os.listdir(client.directory) == []
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


# The sandbox, memory, numbers ---------------------------------------------------------------------


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
    assert ran.out.count("downloaded") == 2


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
    path = client.directory / "big"
    with path.open("wb") as file:
        for _ in range(150):
            file.write(block)
    argv = [sys.executable, "-c", MEMORY, *client.where, "oio", "content"]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(client.rdctl.home),
        "RDCTL_HISTORY": str(client.rdctl.home / "history.ndjson"),
    }
    for words in (["put", "docs", "big"], ["get", "docs", "big", "--to", "/dev/null"]):
        done = subprocess.run(
            [*argv, *words],
            env=environ,
            cwd=client.directory,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stderr.split()[-1]) < 100
