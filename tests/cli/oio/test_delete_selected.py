"""content delete --prefix, --glob, --recursive: nothing but what the whole listing has, as it was
confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.transfers import Client, errors_of
from tests.fakes.sds import Call

ALL = [
    "alps/ridge.svg",
    "alps/valley at dusk.svg",
    "index.txt",
    "sea/harbour.svg",
    "sea/storm.svg",
]


def left(oio: Oio) -> list[str]:
    return [item["name"] for item in oio.ok("content", "list", "photos", "--json").json["items"]]


@pytest.mark.parametrize(
    ("words", "gone", "asks"),
    [
        ("--prefix s", ALL[3:], '2 objects (362 B) with prefix "s" in container "photos"'),
        ("--prefix alps/r", ALL[:1], '1 object (167 B) with prefix "alps/r" in'),
        ("--glob *.svg", ALL[:2] + ALL[3:], '4 objects (696 B) that match "*.svg" in'),
        ("--glob *", ALL, "5 objects (733 B)"),
        ("--glob sea/*", ALL[3:], "2 objects"),
        ("--glob */s*", ALL[4:], ' that matches "*/s*" in container'),
        ("--prefix sea/ --glob *o*", ALL[3:], 'with prefix "sea/" that match "*o*"'),
        ("sea --recursive", ALL[3:], 'with prefix "sea/"'),
        ("sea/ --recursive", ALL[3:], 'with prefix "sea/"'),
        ("--recursive", ALL, '5 objects (733 B) in container "photos" will be deleted permanently'),
    ],
)
def test_what_is_selected(oio: Oio, words: str, gone: list[str], asks: str) -> None:
    before = oio.state
    declined = oio("content", "delete", "photos", *words.split(), tty=True, stdin=b"n\n")
    assert declined.code == 1
    assert asks in declined.err
    refused = oio("content", "delete", "photos", *words.split())
    assert refused.code == 2
    assert oio.state == before
    ran = oio.ok("content", "delete", "photos", *words.split(), "--yes", "--json")
    assert [result["target"] for result in ran.json["results"]] == gone
    assert left(oio) == [name for name in ALL if name not in gone]


def test_a_path_is_never_a_pattern(oio: Oio) -> None:
    for path in ("*", "sea/*", "sea", "sea/"):
        assert oio("content", "delete", "photos", path, "--yes").code == 3
    assert left(oio) == ALL


@pytest.mark.parametrize(
    "words",
    [
        "--prefix=",
        "--glob=",
        "--prefix= --glob *",
        "index.txt --prefix sea/",
        "index.txt --glob *",
        "sea alps --recursive",
        "sea --recursive --prefix a",
        "--recursive --glob *",
        "--prefix a --content-version 1",
        "--recursive --content-version 1",
        "- --recursive",
    ],
)
def test_what_contradicts_itself_is_refused(oio: Oio, words: str) -> None:
    ran = oio("content", "delete", "photos", *words.split(), "--yes")
    assert ran.code == 2, ran.out
    assert left(oio) == ALL


def test_a_synonym_deletes_one_object(oio: Oio) -> None:
    for words in ("--recursive", "--prefix a", "--glob *"):
        assert oio("content", "rm", "photos", *words.split(), "--yes").code == 2
    assert left(oio) == ALL


@pytest.mark.parametrize("words", ["--prefix nope", "--glob nope*", "nope --recursive"])
def test_nothing_is_selected(oio: Oio, words: str) -> None:
    ran = oio("content", "delete", "photos", *words.split(), "--yes")
    assert ran.code == 3
    assert "not found in container" in ran.err


def test_all_of_nothing(oio: Oio) -> None:
    oio.ok("container", "create", "new")
    assert oio.ok("content", "delete", "new", "--recursive", "--json").json["results"] == []
    assert oio("content", "delete", "nope", "--recursive").code == 3


def test_a_frozen_container_is_refused_before_the_question(oio: Oio) -> None:
    oio.ok("admin", "freeze", "photos", "--yes")
    ran = oio("content", "delete", "photos", "--recursive", tty=True, stdin=b"y\n")
    assert ran.code == 4
    assert "Continue?" not in ran.err


def test_versions_stay(oio: Oio) -> None:
    oio.ok("container", "create", "kept", "--max-versions", "-1")
    for _ in range(2):
        oio.ok("content", "put", "kept", "-", "--path", "a", "--overwrite", stdin=b"x")
    oio.ok("content", "delete", "kept", "--recursive", "--yes")
    words = ("content", "list", "kept", "--json", "--all-versions")
    assert [item["deleted"] for item in oio.ok(*words).json["items"]] == [True, False, False]
    # A second time there is nothing to delete, and nothing comes back.
    oio.ok("content", "delete", "kept", "--recursive", "--yes")
    assert [item["deleted"] for item in oio.ok(*words).json["items"]] == [True, False, False]


def test_many_are_deleted_in_batches(wire: Oio) -> None:
    wire.ok("container", "create", "many")
    header = {"type": "header", "id": "AA", "hash": "0" * 32, "size": 5, "ctime": 1, "mtime": 1}
    header |= {"policy": "SINGLE", "chunk-method": "plain", "mime-type": "text/plain"}
    names = [f"{number:04}" for number in range(1234)]
    alias = {"type": "alias", "version": 1, "ctime": 1, "mtime": 1, "deleted": False}
    beans = [header, *({**alias, "name": name, "header": "AA"} for name in names)]
    wire.ok("container", "raw-insert", "many", "--body", "-", "--yes", body=beans)
    wire.sent.clear()
    ran = wire.ok("content", "delete", "many", "--prefix", "0", "--yes", "--json")
    assert [result["target"] for result in ran.json["results"]] == names[:1000]
    sent = [one.route for one in wire.sent]
    assert sent.count("content/delete_many") == 10
    # The listing, and each batch once more.
    assert sent.count("container/list") <= 1 + 2 * 10
    assert {len(one.body["contents"]) for one in wire.changes} == {100}


# --- broken listings ------------------------------------------------------------------------------


def full(near: Callable[..., Client], count: int = 5) -> Client:
    client = near()
    for number in range(count):
        client.sds.put(f"a/{number:04}", b"x")
    client.sds.put("b", b"x")
    return client


def listing(objects: list[dict[str, object]], more: bool = False) -> Callable[[Call], bool]:
    def fault(call: Call) -> bool:
        if call.route != "container/list":
            return False
        headers = {"x-oio-list-truncated": str(more).lower()}
        if more:
            headers["x-oio-list-marker"] = "a%2F0000"
        call.json({"objects": objects, "prefixes": []}, headers=headers)
        return True

    return fault


def nothing_deleted(client: Client, ran_code: int, code: int) -> None:
    assert ran_code == code
    assert len(client.sds.objects) == 6
    assert not any("delete" in call.path for call in client.sds.calls)


@pytest.mark.parametrize("words", ["--recursive", "--prefix a/", "--glob *", "a --recursive"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (listing([{"name": "a/0001", "size": 1}, {"name": 3, "size": 1}]), 9),
        (listing([{"name": "a/0001", "size": 1}, {"size": 1}]), 9),
        (listing([{"name": "a/0000", "size": 1}], more=True), 9),  # it does not advance
    ],
    ids=["a name that is no text", "no name", "no progress"],
)
def test_a_broken_listing(
    near: Callable[..., Client], words: str, fault: Callable[[Call], bool], code: int
) -> None:
    client = full(near)
    client.sds.faults.append(fault)
    ran = client("delete", "docs", *words.split(), "--yes", "--json")
    nothing_deleted(client, ran.code, code)


def test_a_listing_that_ends_early(near: Callable[..., Client]) -> None:
    client = full(near)
    pages = 0

    def fault(call: Call) -> bool:
        nonlocal pages
        if call.route == "container/list":
            pages += 1
            if pages > 1:
                call.refuse(500)
                return True
            call.query["max"] = "2"
        return False

    client.sds.faults.append(fault)
    ran = client("delete", "docs", "--recursive", "--yes", "--json")
    assert pages > 1
    nothing_deleted(client, ran.code, 1)
    assert "incomplete listing" in ran.err


def test_objects_that_were_not_requested(near: Callable[..., Client]) -> None:
    """A proxy that ignores the prefix."""
    client = full(near)

    def fault(call: Call) -> bool:
        call.query.pop("prefix", None)
        return False

    client.sds.faults.append(fault)
    ran = client("delete", "docs", "--prefix", "b", "--yes")
    nothing_deleted(client, ran.code, 9)


# --- after the question ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 30])
def test_what_changed_since_it_was_listed_stays(near: Callable[..., Client], count: int) -> None:
    client = full(near, count)
    looks = 0

    def fault(call: Call) -> bool:
        nonlocal looks
        if call.route == "container/list":
            looks += 1
            if looks == 2:
                client.sds.put("a/0001", b"new")
                del client.sds.objects["a/0000"]
                client.sds.put("a/z", b"later")
        return False

    client.sds.faults.append(fault)
    ran = client("delete", "docs", "--prefix", "a/", "--yes", "--json")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["a/0001"]
    assert "changed since it was listed" in ran.err
    changed = {one["target"]: one["changed"] for one in ran.json["results"]}
    assert changed.pop("a/0000") is False
    assert list(changed.values()) == [True] * (count - 2)
    assert sorted(client.sds.objects) == ["a/0001", "a/z", "b"]
    deleted = [json.loads(call.received) for call in client.sds.calls if "delete" in call.path]
    named = [one["name"] for body in deleted for one in body["contents"]]
    assert sorted(named) == [f"a/{number:04}" for number in range(2, count)]


def test_the_second_look_fails(near: Callable[..., Client]) -> None:
    client = full(near)
    looks = 0

    def fault(call: Call) -> bool:
        nonlocal looks
        looks += call.route == "container/list"
        if call.route == "container/list" and looks > 1:
            call.refuse(500)
            return True
        return False

    client.sds.faults.append(fault)
    ran = client("delete", "docs", "--recursive", "--yes", "--json")
    nothing_deleted(client, ran.code, 1)
