"""rdctl oio content put, against rawx services that fail in every way."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.oio.transfers import (
    REFUSED,
    WRITE_FAULTS,
    Client,
    away,
    bytes_of,
    contradiction,
    errors_of,
    gateway,
    lost,
    once_there,
    refuse_507,
    rubbish,
    unsure,
)
from tests.cli.processes import SECONDS
from tests.fakes.sds import CID, Call, Sds, on

# What is refused ----------------------------------------------------------------------------------


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


def test_taken_names_share_a_hint(near: Callable[..., Client]) -> None:
    client = near()
    for name in "abc":
        client.sds.put(name, b"old")
        client.file(name, b"new")
    ran = client("put", "docs", "a", "b", "c")
    hint = "Use --overwrite to replace existing objects, or --update to replace what differs."
    taken = 'rdctl: error: object "{}" already exists in container "docs"\n'
    assert ran.err == "".join(map(taken.format, "abc")) + f"hint: {hint}\n"
    ran = client("put", "docs", "a", "b", "c", "--json")
    assert [error["hint"] for error in errors_of(ran)] == [hint] * 3
    ran = client("put", "docs", "-", "--path", "a", stdin=b"new")
    assert "hint: Use --overwrite to replace it.\n" in ran.err  # it cannot be compared


def test_overwriting_asks_unless_versions_are_kept(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"old")
    client.file("a", b"new")
    ran = client("put", "docs", "a", "--overwrite")
    assert ran.code == 2
    assert '"a" in container "docs" will be replaced' in ran.err
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


def test_a_container_is_made_where_prepare_does_not_create_it(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.prepare_creates = False
    client.file("a", b"x")
    client.file("b", b"x")
    client.ok("put", "new", "a", "b", "--autocreate")
    assert set(client.sds.objects) == {"a", "b"}
    assert all(sent["x-oio-chunk-meta-container-id"] == CID for sent in client.sds.sent.values())
    assert client.sds.routes().count("container/create") == 1
    assert client.sds.containers == {"docs", "new"}


@pytest.mark.parametrize("method", ["ec/algo=isa_l_rs_vand,k=6,m=3", "backblaze"])
def test_other_codes_and_storage_are_unsupported(near: Callable[..., Client], method: str) -> None:
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
    assert os.listdir(client.directory) == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("put docs nothing", "No such file"),
        ("put docs directory", "--recursive"),
        ("put docs - ", "--path"),
        ("put docs a b --path x", "several files"),
        ("put docs a directory/a --recursive", 'several files would become object "a"'),
        ("put docs a --path x --prefix y", "mutually exclusive"),
        ("put docs", "missing argument FILE"),
        ("get docs", "missing argument PATH"),
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
    client.file("directory/a", b"x")
    ran = client(*words.split())
    assert ran.code in (2, 3, 4), ran.err
    assert said in ran.err
    assert client.sds.asked("PUT") == []


# Writing when something fails ---------------------------------------------------------------------


def test_a_proxy_that_lists_fewer_services_than_copies(near: Callable[..., Client]) -> None:
    client = near(copies=2, rawx=3)
    client.sds.prepared = {"chunk-method": "plain/nb_copy=3"}
    client.file("a", b"data")
    ran = client.ok("put", "docs", "a", "--json")
    (result,) = ran.json["results"]
    assert (result["copies"], result["wanted"]) == (2, 3)
    fewer = "only 2 of 3 copies of some chunks were stored: the proxy listed too few services"
    assert f"warning: a: {fewer}" in ran.err


def test_a_dead_replica_is_done_without_and_told_of(near: Callable[..., Client]) -> None:
    client, data = near(copies=3, rawx=3), bytes_of(2500)
    client.sds.stop(1)
    client.file("a", data)
    ran = client.ok("put", "docs", "a", "--json")
    (result,) = ran.json["results"]
    assert result["copies"] == 2
    assert len(result["failed_copies"]) == 3
    assert "warning: a: only 2 of 3 copies of some chunks were stored" in ran.err
    assert len(client.sds.objects["a"][0]["chunks"]) == 6
    assert client.sds.content("a") == data


def test_a_proxy_that_names_too_few_services(near: Callable[..., Client]) -> None:
    client = near(copies=1, method="plain/nb_copy=3")
    client.file("a", b"x")
    ran = client("put", "docs", "a")
    assert ran.code == 6
    assert "2 of 3 copies" in ran.err
    assert client.sds.asked("PUT") == []


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
        assert "a: changed while it was being read" in ran.err
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
    untried = [one for one in errors_of(ran) if "skipped" in one["message"]]
    assert len(untried) >= 30 - 2 * parallel
    assert ran.json["results"] == []
    left = {url[-64:] for one in errors_of(ran) for url in one.get("chunks", [])}
    assert left == set(client.sds.chunks)


# Standard input and directories -------------------------------------------------------------------


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


def test_a_directory_with_all_below_it(near: Callable[..., Client]) -> None:
    client = near()
    names = [".hidden", "a", "sub/b", "sub/deep/c d", "z"]
    for name in names:
        client.file(f"tree/{name}", name.encode())
    os.symlink("a", client.directory / "tree" / "link")
    os.symlink("sub", client.directory / "tree" / "linked")
    os.mkfifo(client.directory / "tree" / "pipe")
    ran = client.ok("put", "docs", "tree/", "--recursive", "--prefix", "backup/", "--json")
    assert [one["target"] for one in ran.json["results"]] == [f"backup/{name}" for name in names]
    assert "tree/link: skipped: symbolic link" in ran.err
    assert "tree/linked: skipped: symbolic link" in ran.err
    assert "tree/pipe: skipped: special file" in ran.err
    client.ok("get", "docs", "backup/", "--recursive", "--to", "back")
    for name in names:
        assert (client.directory / "back" / name).read_text() == name
    client.ok("get", "docs", "--recursive", "--to", "all")
    assert (client.directory / "all/backup/sub/deep/c d").read_text() == "sub/deep/c d"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_fails_alone(near: Callable[..., Client]) -> None:
    client = near()
    client.file("tree/a", b"a")
    os.chmod(client.file("tree/b", b"b"), 0)
    ran = client("put", "docs", "tree", "--recursive", "--json")
    assert ran.code == 8
    assert [one["code"] for one in errors_of(ran)] == ["denied"]


@pytest.mark.parametrize(
    "named",
    [
        {"id": ""},
        {"id": "\xfc"},
        {"policy": "\xfc"},
        {"mime-type": "a\tb"},
        {"chunk-method": "plain/nb_copy=1000000000"},
        {"chunk-method": "plain/nb_copy=two"},
    ],
    ids=str,
)
def test_what_cannot_be_sent_on_is_refused_before_a_byte_leaves(
    near: Callable[..., Client], named: dict[str, str]
) -> None:
    client = near()
    client.sds.prepared = named
    client.file("a", b"x")
    ran = client("put", "docs", "a", "--json")
    assert ran.code == 9
    assert errors_of(ran)[0]["code"] == "bad-reply"
    assert client.sds.asked("PUT") == []


def test_a_rawx_that_answers_at_length_is_cut_short(near: Callable[..., Client]) -> None:
    client = near()

    def at_length(call: Call) -> None:
        call.body()
        call.reply("201 Created", body=b"z" * (5 << 20))

    client.sds.faults.append(on("PUT", at_length))
    client.file("a", b"x")
    ran = client("put", "docs", "a", "--json")
    assert ran.code != 0
    assert "its body is larger than 1 MiB" in ran.err


def test_a_container_that_is_a_local_path_was_typed_in_the_wrong_place(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.file("photo", b"x")
    client.file("docs", b"x")
    ran = client("put", "photo", "docs")
    assert (ran.code, client.sds.asked("PUT")) == (3, [])
    assert "hint: Specify the container first: rdctl " in ran.err
