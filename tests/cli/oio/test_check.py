"""rdctl oio content check, container check: damage at rawx services, and in lists and counters."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rdctl.oio.integrity import check, inspect
from tests.cli.oio.conftest import Oio
from tests.cli.oio.transfers import Client, bytes_of
from tests.conftest import Ran
from tests.fakes.sds import Call, Sds, on

Near = Callable[..., Client]
EC42 = "ec/algo=liberasurecode_rs_vand,k=4,m=2"


def filled(near: Near, names: str = "abc", size: int = 2500, **options: Any) -> Client:
    """Objects of three chunks in three copies each."""
    client = near(**{"copies": 3, **options})
    for name in names:
        client.sds.put(name, bytes_of(size, ord(name)))
    return client


def checked(client: Client, *words: str, code: int = 12) -> list[dict[str, Any]]:
    ran = client("check", "docs", *words, "--json")
    assert ran.code == code, ran.err
    items: list[dict[str, Any]] = ran.json["items"]
    return items


def words_of(found: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(one["finding"], one["object"], one["position"]) for one in found]


# --- all is well ----------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_a_healthy_container(near: Near, deep: bool) -> None:
    client = filled(near)
    words = ["--deep"] if deep else []
    ran = client("check", "docs", *words)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "No findings.\nchecked 3 objects, 27 chunks (7.3 KiB)\n"
    routes = client.sds.routes()
    assert (routes.count("content/show"), routes.count("container/list")) == (3, 1)
    assert routes[:1] == ["container/show"]  # for the progress bar
    assert len(routes) == 5
    assert len(client.sds.asked("HEAD")) == 27
    assert len(client.sds.asked("GET")) == (27 if deep else 0)
    assert len(client.sds.calls) == (59 if deep else 32)
    quiet = client("check", "docs", "-q", *words)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert checked(client, *words, code=0) == []


def test_an_object_of_one_chunk_costs_two_requests(near: Near) -> None:
    client = filled(near, size=10, copies=1)
    checked(client, code=0)
    assert len(client.sds.calls) == 2 + 2 * 3


def test_an_empty_container_and_empty_objects(near: Near) -> None:
    client = near(copies=3)
    assert checked(client, "--deep", code=0) == []
    client.sds.put("empty", b"")
    assert checked(client, "--deep", code=0) == []
    assert len(client.sds.asked("HEAD")) == 3


# --- findings -------------------------------------------------------------------------------------


def truncated(sds: Sds, id: str) -> None:
    sds.truncate(id, 10)


def emptied(sds: Sds, id: str) -> None:
    sds.truncate(id, 0)


def of_other_data(sds: Sds, id: str) -> None:
    sds.lie(id, bytes(1000))


def of_another(sds: Sds, id: str) -> None:
    sds.swap(id, sds.held("c")[0])


def unreadable(sds: Sds, id: str) -> None:
    sds.forget(id)
    forbid = on("GET", lambda call: call.reply("403 Forbidden", body=b"<html>"))
    sds.faults.append(lambda call: call.who != "proxy" and call.chunk == id and forbid(call))


DAMAGE: list[tuple[Callable[[Sds, str], object], str, str]] = [
    (Sds.lose, "missing", "missing"),
    (truncated, "short", "short"),
    (emptied, "short", "short"),
    (Sds.flip, "", "wrong-hash"),
    (Sds.forget, "no-metadata", "no-metadata"),
    (of_another, "foreign", "foreign"),
    (of_other_data, "wrong-hash", "wrong-hash"),
    (unreadable, "no-metadata", "unreadable"),
]


@pytest.mark.parametrize(("damage", "quick", "deep"), DAMAGE)
def test_a_damaged_copy(
    near: Near, damage: Callable[[Sds, str], object], quick: str, deep: str
) -> None:
    client = filled(near)
    id = client.sds.held("b")[4]
    damage(client.sds, id)
    expected = [(quick, "b", "1")] if quick else []
    repair = shlex.join(["rdctl", *client.where, "oio", "content", "repair"])
    seen = checked(client, code=12 if quick else 0)
    assert words_of(seen) == expected
    assert [one["mend"] for one in seen] == [f"{repair} docs b"] * len(expected)
    (found,) = checked(client, "--deep")
    assert words_of([found]) == [(deep, "b", "1")]
    assert found["severity"] == "error"
    assert found["container"] == "docs"
    assert found["url"].endswith(id)
    assert found["content_id"] == client.sds.objects["b"][-1]["meta"]["id"]
    assert found["mend"] == f"{repair} --deep docs b"


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (Sds.lose, "missing"),
        (truncated, "short"),
        (Sds.forget, "no-metadata"),
        (of_another, "foreign"),
    ],
)
def test_a_damaged_fragment(near: Near, damage: Callable[[Sds, str], object], state: str) -> None:
    client = filled(near, method=EC42, rawx=7)
    damage(client.sds, client.sds.held("b")[3])
    assert words_of(checked(client)) == [(state, "b", "0.3")]


def test_what_cannot_be_repaired_is_lost(near: Near) -> None:
    client = filled(near)
    for id in client.sds.held("b")[3:6]:
        client.sds.lose(id)
    found = checked(client)
    assert words_of(found) == [("lost", "b", "1"), *[("missing", "b", "1")] * 3]
    assert [one["mend"] for one in found] == [None] * 4
    assert found[0]["message"] == "no good copy of position 1"


def test_too_few_fragments_are_lost(near: Near) -> None:
    client = filled(near, method=EC42, rawx=7)
    for id in client.sds.held("a")[:3]:
        client.sds.lose(id)
    found = checked(client, "a")
    assert words_of(found)[0] == ("lost", "a", "0")
    assert found[0]["message"] == "3 good fragments of position 0, 4 required"


def test_a_list_without_chunks(near: Near) -> None:
    client = filled(near)
    client.sds.objects["a"][-1]["chunks"] = []
    assert words_of(checked(client, "a")) == [("lost", "a", None)]


def test_a_table(near: Near) -> None:
    client = filled(near)
    client.sds.lose(client.sds.held("b")[0])
    ran = client("check", "docs")
    assert ran.code == 12
    address = client.sds.addresses[client.sds.rawx_of(client.sds.held("b")[0])]
    lines = ran.out.splitlines()
    assert lines[0].split() == ["SEVERITY", "FINDING", "CONTAINER", "OBJECT", "DETAILS"]
    assert lines[1].split(None, 4)[:4] == ["error", "missing", "docs", "b"]
    assert lines[1].endswith(f"chunk 0: not found on {address}")
    assert "content repair docs b" in "".join(lines[2:])
    assert ran.err == "checked 3 objects, 27 chunks (7.3 KiB): 1 finding (1 missing)\n"
    names = client("check", "docs", "-o", "name")
    assert names.out == "b\n"


def test_a_mend_can_be_pasted(near: Near) -> None:
    client = near(copies=3)
    name = "-o dd; ü'"
    client.sds.put(name, b"x")
    client.sds.lose(client.sds.held(name)[0])
    (found,) = checked(client, "--deep")
    assert shlex.split(found["mend"])[-5:] == ["repair", "--deep", "--", "docs", name]


# --- fragments, by their data ---------------------------------------------------------------------


def coded(near: Near, size: int = 5000, **options: Any) -> Client:
    """An object of 2 metachunks in 4+2 fragments, and a smaller one."""
    client = near(**{"method": EC42, "rawx": 7, **options})
    client.sds.put("a", bytes_of(size))
    client.sds.put("b", bytes_of(100))
    return client


def test_healthy_fragments_are_read_once(near: Near) -> None:
    client = coded(near)
    assert checked(client, "--deep", code=0) == []
    assert len(client.sds.asked("HEAD")) == len(client.sds.asked("GET")) == 18


def no_hash(sds: Sds, id: str) -> None:
    del sds.meta[id]["chunk-hash"]


def bare_and_flipped(sds: Sds, id: str) -> None:
    sds.forget(id)
    sds.flip(id)


def lying(sds: Sds, id: str) -> None:
    """The fragment that upstream's rebuilder writes from a damaged one."""
    sds.lie(id, sds.chunks[id][:-9] + bytes([1]) * 9)


def bad_header(sds: Sds, id: str) -> None:
    data = bytearray(sds.chunks[id])
    data[0] ^= 1
    sds.lie(id, bytes(data))


FRAGMENTS: list[tuple[Callable[[Sds, str], object], str]] = [
    (Sds.flip, "wrong-hash"),
    (lying, "wrong-hash"),
    (bad_header, "wrong-hash"),
    (bare_and_flipped, "wrong-hash"),
    (Sds.forget, "no-metadata"),
    (unreadable, "unreadable"),
    (Sds.lose, "missing"),
    (no_hash, ""),
]


@pytest.mark.parametrize("index", [0, 3, 4, 5])
@pytest.mark.parametrize(("damage", "state"), FRAGMENTS)
def test_a_wrong_fragment(
    near: Near, damage: Callable[[Sds, str], object], state: str, index: int
) -> None:
    client = coded(near)
    damage(client.sds, client.sds.held("a")[index])
    expected = [(state, "a", f"0.{index}")] if state else []
    assert words_of(checked(client, "--deep", code=12 if state else 0)) == expected


@pytest.mark.parametrize(
    ("first", "second"), [(Sds.flip, Sds.flip), (Sds.flip, lying), (Sds.lose, Sds.flip)]
)
def test_two_wrong_fragments(
    near: Near, first: Callable[[Sds, str], object], second: Callable[[Sds, str], object]
) -> None:
    client = coded(near)
    first(client.sds, client.sds.held("a")[7])
    second(client.sds, client.sds.held("a")[10])
    found = checked(client, "--deep")
    assert [one["position"] for one in found] == ["1.1", "1.4"]
    assert all(one["mend"].endswith("content repair --deep docs a") for one in found)


def test_fragments_of_which_too_many_are_wrong(near: Near) -> None:
    client = coded(near)
    for id in client.sds.held("a")[:3]:
        client.sds.flip(id)
    found = checked(client, "--deep")
    assert words_of(found)[0] == ("lost", "a", "0")
    assert words_of(found)[1:] == [("wrong-hash", "a", f"0.{index}") for index in range(3)]


def test_fragments_that_do_not_decode_to_their_hash(near: Near) -> None:
    """Each is right by itself, and nothing shows which are wrong."""
    client = coded(near)
    for id in client.sds.held("a")[:3]:
        lying(client.sds, id)
    found = checked(client, "--deep")
    assert words_of(found)[0] == ("lost", "a", "0")


def test_fragments_of_an_object_without_md5(near: Near) -> None:
    client = coded(near)
    for chunk in client.sds.objects["a"][-1]["chunks"]:
        chunk["hash"] = "AB" * 32
    assert checked(client, "--deep", code=0) == []
    lying(client.sds, client.sds.held("a")[0])
    # Which one of them is wrong cannot be known.
    found = checked(client, "--deep")
    assert words_of(found) == [("not-comparable", "a", f"0.{index}") for index in range(6)]
    assert {one["severity"] for one in found} == {"warning"}


# --- the exit code --------------------------------------------------------------------------------


def twice_on_one_service(sds: Sds, path: str) -> None:
    chunks = sds.objects[path][-1]["chunks"]
    first, second = chunks[:2]
    address = first["url"].split("/")[2]
    second["url"] = f"http://{address}/{second['url'][-64:]}"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 12),
        (["--fail-on", "warning"], 12),
        (["--fail-on", "error"], 0),
        (["--fail-on", "never"], 0),
    ],
)
def test_a_warning(near: Near, words: list[str], code: int) -> None:
    client = filled(near)
    twice_on_one_service(client.sds, "a")
    (found,) = checked(client, *words, code=code)
    assert (found["finding"], found["severity"], found["mend"]) == ("misplaced", "warning", None)


@pytest.mark.parametrize(
    ("words", "damaged", "code"),
    [
        (["a", "nope"], True, 12),
        (["a", "nope", "--fail-on", "never"], True, 8),
        (["a", "nope"], False, 8),
        (["nope"], False, 3),
        (["a"], True, 12),
        (["a", "--fail-on", "error"], True, 12),
        (["a", "--fail-on", "never"], True, 0),
    ],
)
def test_findings_outweigh_what_could_not_be_checked(
    near: Near, words: list[str], damaged: bool, code: int
) -> None:
    client = filled(near)
    if damaged:
        client.sds.lose(client.sds.held("a")[0])
    ran = client("check", "docs", *words)
    assert ran.code == code
    assert ('object "nope" not found' in ran.err) == ("nope" in words)


def test_a_container_that_does_not_exist(near: Near) -> None:
    ran = near()("check", "nope")
    assert ran.code == 3
    assert ran.err.startswith('rdctl: error: container "nope" not found in account "ACCT"')


@pytest.mark.parametrize(
    "words",
    [
        ["docs", "a", "--prefix", "x"],
        ["docs", "a", "--all-versions"],
        ["docs", "--content-version", "5"],
        [],
    ],
)
def test_usage(near: Near, words: list[str]) -> None:
    client = filled(near)
    assert client("check", *words).code == 2
    assert not client.sds.calls


# --- which objects --------------------------------------------------------------------------------


def test_a_prefix(near: Near) -> None:
    client = filled(near)
    client.sds.put("b2", b"x")
    ran = client("check", "docs", "--prefix", "b")
    assert ran.err.endswith("checked 2 objects, 12 chunks (2.4 KiB)\n")


def test_old_versions(near: Near) -> None:
    client = filled(near, versions="3")
    client.sds.lose(client.sds.held("a")[0])
    client.sds.put("a", b"new")
    old, new = client.sds.objects["a"]
    assert checked(client, code=0) == []
    (found,) = checked(client, "--all-versions")
    assert str(found["version"]) == old["meta"]["version"] != new["meta"]["version"]
    assert found["mend"].endswith(f"content repair --content-id {old['meta']['id']} docs")
    assert words_of(checked(client, "--content-id", old["meta"]["id"])) == [("missing", "a", "0")]


def test_names_on_standard_input(near: Near) -> None:
    client = filled(near)
    client.sds.lose(client.sds.held("b")[0])
    ran = client("check", "docs", "-", "--json", stdin=b"a\nb\n")
    assert words_of(ran.json["items"]) == [("missing", "b", "0")]
    nothing = client("check", "docs", "-", stdin=b"")
    assert (nothing.code, nothing.out) == (0, "")


def test_pages(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PAGE", 2)
    client = filled(near, "abcde")
    client.sds.lose(client.sds.held("e")[0])
    assert words_of(checked(client)) == [("missing", "e", "0")]
    assert client.sds.routes().count("container/list") == 3


def test_a_listing_that_breaks_off(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before counts; without a finding, that not all was checked does."""
    monkeypatch.setattr(check, "PAGE", 2)
    client = filled(near, "abcde")
    client.sds.faults.append(refusing(lambda call: "marker" in call.query, 500))
    ran = client("check", "docs")
    assert ran.code == 8
    assert ran.err.count("rdctl: error: ") == 1
    assert "checked 2 objects" in ran.err
    client.sds.lose(client.sds.held("a")[0])
    assert words_of(checked(client)) == [("missing", "a", "0")]


# --- objects that change meanwhile ----------------------------------------------------------------


GONE = (420, "404 Not found", "Content not found")
DRAINED = (427, "410 Gone", "The content is drained")


def refusing(which: Callable[[Call], bool], *refusal: Any) -> Callable[[Call], bool]:
    """The proxy refuses some requests."""

    def fault(call: Call) -> bool:
        if call.who != "proxy" or not which(call):
            return False
        call.refuse(*refusal)
        return True

    return fault


def once(act: Callable[[], object], route: str) -> Callable[[Call], bool]:
    """`act` before the first such request is answered."""
    left = iter([act])

    def fault(call: Call) -> bool:
        if call.who == "proxy" and call.route == route:
            next(left, lambda: None)()
        return False

    return fault


def test_an_object_deleted_since_it_was_listed(near: Near) -> None:
    client = filled(near)
    client.sds.faults.append(once(lambda: client.sds.objects.pop("b"), "content/show"))
    ran = client("check", "docs", "--parallel", "1")
    assert ran.code == 0
    assert "checked 2 objects" in ran.err


def test_an_object_that_is_listed_but_not_shown(near: Near) -> None:
    client = filled(near)
    client.sds.faults.append(
        refusing(
            lambda call: call.query.get("path") == "b", 420, "404 Not found", "Content not found"
        )
    )
    ran = client("check", "docs")
    assert ran.code == 8
    assert 'object "b" not found' in ran.err


def test_a_drained_object(near: Near) -> None:
    client = filled(near)
    client.sds.faults.append(
        refusing(
            lambda call: call.query.get("path") == "b", 427, "410 Gone", "The content is drained"
        )
    )
    assert checked(client, code=0) == []
    assert client("check", "docs", "b").code not in (0, 12)


def test_an_object_replaced_while_it_is_looked_at(near: Near) -> None:
    client = filled(near)

    def replace() -> None:
        for id in client.sds.held("b"):
            client.sds.lose(id)
        client.sds.put("b", bytes_of(2500, 9))

    left = iter([replace])

    def fault(call: Call) -> bool:
        if call.who != "proxy" and call.chunk in client.sds.held("b"):
            next(left, lambda: None)()
        return False

    client.sds.faults.append(fault)
    assert checked(client, "--parallel", "1", code=0) == []
    assert client.sds.routes().count("content/show") == 4


def test_an_object_that_is_replaced_all_the_time(near: Near) -> None:
    client = filled(near)

    def fault(call: Call) -> bool:
        if call.who == "proxy" and call.route == "content/show" and call.query["path"] == "b":
            client.sds.put("b", b"x")
            client.sds.lose(client.sds.held("b")[0])
        return False

    client.sds.faults.append(fault)
    ran = client("check", "docs")
    assert ran.code == 8
    assert "b: changed while it was checked" in ran.err


# --- services that do not answer ------------------------------------------------------------------


def test_a_dead_rawx_is_unknown(near: Near) -> None:
    client = filled(near, "abcdefgh", copies=2)
    client.sds.stop(1)
    found = checked(client, "--retries", "0")
    assert {one["finding"] for one in found} == {"unreachable"}
    assert {one["severity"] for one in found} == {"warning"}
    ids = [id for name in "abcdefgh" for id in client.sds.held(name)]
    assert len(found) == sum(client.sds.rawx_of(id) == 1 for id in ids)
    again = checked(client, "--retries", "0", "--fail-on", "error", code=0)
    assert words_of(again) == words_of(found)


def test_a_single_copy_that_is_unreachable_is_not_lost(near: Near) -> None:
    client = filled(near, "a", copies=1, size=10)
    client.sds.stop(client.sds.rawx_of(client.sds.held("a")[0]))
    found = checked(client, "--retries", "0")
    assert [(one["finding"], one["severity"]) for one in found] == [
        ("unavailable", "error"),
        ("unreachable", "warning"),
    ]
    assert "no copy of position 0 can be reached" in found[0]["message"]
    assert found[0]["mend"] is None
    # It cannot be read now, which a download would show.
    checked(client, "--retries", "0", "--fail-on", "error", code=12)
    assert client("get", "docs", "a", "--to", "-", "--retries", "0").code == 6


def test_too_few_fragments_can_be_reached(near: Near) -> None:
    client = near(method=EC42, rawx=9, chunk_size=500)
    client.sds.put("a", bytes_of(1000))
    held = client.sds.held("a")
    for id in held[:2]:
        client.sds.stop(client.sds.rawx_of(id))
    words = ("--retries", "0", "--fail-on", "error")
    assert {one["finding"] for one in checked(client, *words, code=0)} == {"unreachable"}
    client.sds.lose(held[2])
    found = checked(client, *words)
    assert [one["finding"] for one in found] == ["unavailable", *2 * ["unreachable"], "missing"]
    assert "3 of 4 needed fragments of position 0 can be reached" in found[0]["message"]


def test_a_hung_rawx_is_waited_for_once(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "HEAD_SECONDS", 0.2)
    client = filled(near, "abcdefgh")
    client.sds.faults.append(on("HEAD", lambda call: call.sds.wait(20), who=1))
    found = checked(client, "--parallel", "2")
    assert {one["finding"] for one in found} == {"unreachable"}
    # Each of the two threads may be there before the other has waited.
    assert 1 <= sum(call.who == 1 for call in client.sds.asked("HEAD")) <= 2


def test_a_proxy_that_dies_amid(near: Near) -> None:
    client = filled(near, "abcdefgh")
    dead = threading.Event()

    def fault(call: Call) -> bool:
        if call.who == "proxy" and call.query.get("path") == "c":
            dead.set()
        if dead.is_set() and call.who == "proxy":
            call.hang_up()
        return False

    client.sds.faults.append(fault)
    ran = client("check", "docs", "--parallel", "1", "--retries", "0")
    assert ran.code == 8
    assert "checked 2 objects" in ran.err
    # The others are not tried.
    assert client.sds.routes().count("content/show") == 3


# --- streaming ------------------------------------------------------------------------------------


def test_findings_appear_as_they_are_found(near: Near) -> None:
    client = filled(near, "abcdefghijklmnopqrstuvwxyz", size=10)
    client.sds.lose(client.sds.held("a")[0])
    seen = threading.Event()

    def fault(call: Call) -> bool:
        if call.who == "proxy" and call.query.get("path") == "z":
            assert seen.wait(20)
        return False

    client.sds.faults.append(fault)
    with client.start("check", "docs", "-o", "ndjson") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["object"] == "a"
        seen.set()
        assert process.wait(20) == 12


# --- counters -------------------------------------------------------------------------------------


def counting(near: Near, **options: Any) -> Client:
    """A container that reports its counters."""
    client = filled(near, **options)
    client.sds.counted = True
    return client


def counted(client: Client, *words: str, code: int) -> Ran:
    ran = client.rdctl(*client.where, "oio", "container", "check", *words)
    assert ran.code == code, ran.err
    return ran


def test_right_counters(near: Near) -> None:
    client = counting(near, versions="2")
    client.sds.put("a", b"new")
    ran = counted(client, "docs", code=0)
    assert ran.out == ""
    assert ran.err == "No findings.\nchecked 1 container, 4 objects (7.3 KiB)\n"


@pytest.mark.parametrize(
    "wrong", [{"sys.m2.usage": "1"}, {"sys.m2.objects": "99"}, {"sys.m2.usage": "0"}]
)
def test_wrong_counters(near: Near, wrong: dict[str, str]) -> None:
    client = counting(near)
    client.sds.system.update(wrong)
    (found,) = counted(client, "docs", "--json", code=12).json["items"]
    assert (found["finding"], found["severity"]) == ("counters-off", "warning")
    assert found["object"] is None
    assert "3 objects and 7500 bytes listed" in found["message"]
    # Looked at twice.
    assert client.sds.routes() == ["container/show", "container/list", "container/show"] * 2


def test_the_mend_of_wrong_counters(oio: Oio) -> None:
    oio.ok("container", "check", "photos")
    wrong = ["--system", "sys.m2.usage=1", "--system", "sys.m2.objects=99"]
    oio.ok("container", "set-properties", "photos", *wrong, "--yes")
    ran = oio("container", "check", "photos", "--json")
    assert ran.code == 12
    (found,) = ran.json["items"]
    assert found["message"] == "99 objects and 1 byte counted, 5 objects and 733 bytes listed"
    for command in found["mend"].split(" && "):
        assert oio.rdctl(*shlex.split(command)[1:], "--yes").code == 0
    assert oio.ok("container", "check", "photos", "--json").json["items"] == []
    shown = oio.ok("container", "show", "photos", "--json").json["items"][0]
    assert (shown["objects"], shown["bytes"]) == (5, 733)


def test_counters_that_change_meanwhile(near: Near) -> None:
    """The listing has what the counters did not have yet."""
    client = counting(near)
    client.sds.faults.append(
        once(lambda: client.sds.put("new", b"1"), "container/list"),
    )
    counted(client, "docs", code=0)


def test_counters_that_change_all_the_time(near: Near) -> None:
    client = counting(near)
    number = iter(range(100))

    def fault(call: Call) -> bool:
        if call.who == "proxy" and call.route == "container/show":
            client.sds.system["sys.m2.usage"] = str(next(number))
        return False

    client.sds.faults.append(fault)
    ran = counted(client, "docs", code=4)
    assert "docs: changed while it was checked" in ran.err


def test_several_containers(near: Near) -> None:
    client = counting(near)
    ran = counted(client, "docs", "nope", code=8)
    assert 'container "nope" not found' in ran.err
    client.sds.system["sys.m2.objects"] = "1"
    counted(client, "docs", "nope", code=12)


def test_an_unreadable_counter(near: Near) -> None:
    client = counting(near)
    client.sds.system["sys.m2.objects"] = "many"
    ran = counted(client, "docs", code=9)
    assert "counters are not reported, or cannot be read" in ran.err


# --- in the sandbox -------------------------------------------------------------------------------

SANDBOX = {
    "missing": "missing",
    "short": "short",
    "long": "long",
    "corrupt": "wrong-hash",
    "foreign": "foreign",
    "unlabeled": "no-metadata",
}


@pytest.mark.parametrize("policy", ["THREECOPIES", "EC42"])
def test_damage_in_the_sandbox_and_its_mend(oio: Oio, policy: str) -> None:
    """What a finding says to run makes it go away."""
    put = ("content", "put", "photos", "-", "--path", "new", "--policy", policy)
    oio.ok(*put, stdin=bytes_of(5000))
    for how, state in SANDBOX.items():
        damage = ("sandbox", "damage", "photos", "new", "--how", how, "--yes")
        assert oio.rdctl(*damage).code == 0
        ran = oio("content", "check", "photos", "--deep", "--json")
        assert ran.code == 12, ran.err
        (found,) = ran.json["items"]
        assert (found["object"], found["finding"]) == ("new", state)
        mended = oio.rdctl(*shlex.split(found["mend"])[1:], "--yes")
        assert mended.code == 0, mended.err
        assert oio.ok("content", "check", "photos", "--deep", "--json").json["items"] == []


# --- interrupted, and in several contexts ---------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["a"]])
def test_interrupted(near: Near, words: list[str]) -> None:
    """What was found before is shown; nothing waits for what hangs."""
    client = filled(near, size=20_000)
    client.sds.lose(client.sds.held("a")[0])
    hanging = client.sds.held("b" if not words else "a")[-1]
    begun = threading.Event()

    def fault(call: Call) -> bool:
        if call.who != "proxy" and call.chunk == hanging:
            begun.set()
            call.sds.wait(20)
        return False

    client.sds.faults.append(fault)
    with client.start("check", "docs", *words, "-o", "ndjson") as process:
        assert begun.wait(20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_several_contexts(near: Near) -> None:
    one, other = filled(near), filled(near)
    other.sds.lose(other.sds.held("c")[0])
    (one.rdctl.home / "config.toml").write_text(
        "".join(
            f'[contexts.{name}]\noio = "{client.sds.url}"\nnamespace = "OPENIO"\naccount = "ACCT"\n'
            for name, client in (("a", one), ("b", other))
        )
    )
    where = ("-c", "a,b", "oio", "content", "check", "docs")
    env = {"RDCTL_CONFIG": str(one.rdctl.home / "config.toml")}
    ran = one.rdctl(*where, "--json", env=env)
    assert ran.code == 12, ran.err
    (found,) = ran.json["items"]
    assert (found["context"], found["finding"]) == ("b", "missing")
    assert found["mend"] == "rdctl -c b oio content repair docs c"
    assert "a: checked 3 objects" in ran.err
    assert "b: checked 3 objects" in ran.err
