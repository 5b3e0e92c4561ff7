"""--auto: the container follows from the name of the object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rdctl.workers import PARALLEL
from tests.cli.oio.conftest import Oio, Server
from tests.conftest import Ran

# Of the sandbox, with 17 bits.
CONTAINER = "52AA0"
CHUNK = {"url": "http://127.0.0.1:16013/" + "A" * 64, "pos": "0", "size": 0, "hash": "0" * 32}
# The flat containers of objects that the tests upload, in the order of a listing.
FOUND = {"d": "18AC0", "f": "252F0", "c": "2E7D0", "b": "3E238", "e": "3F798", "a": "CA978"}


@pytest.fixture
def flat(wire: Oio, monkeypatch: pytest.MonkeyPatch) -> Oio:
    monkeypatch.chdir(wire.rdctl.home)
    Path("index.txt").write_text("data\n")
    Path("a").write_text("other\n")
    wire.ok("container", "create", CONTAINER, "CA978")
    wire.ok("content", "create", CONTAINER, "index.txt", "--body", "-", "--size", "0",
            "--content-id", "AB", body=[CHUNK])  # fmt: skip
    wire.sent.clear()
    return wire


@pytest.fixture
def here(oio: Oio, monkeypatch: pytest.MonkeyPatch) -> Oio:
    """The sandbox, with files to upload."""
    monkeypatch.chdir(oio.rdctl.home)
    for name in FOUND:
        Path(name).write_text(f"data of {name}\n")
    return oio


@pytest.fixture
def filled(here: Oio) -> Oio:
    here.ok("content", "put", "--auto", "--autocreate", *FOUND)
    return here


def listed(oio: Oio, *words: str) -> list[str]:
    return oio.ok("content", "list", "--auto", *words, "-o", "name").out.splitlines()


# --- one object -----------------------------------------------------------------------------------


def test_show_and_touch(flat: Oio) -> None:
    (shown,) = flat.ok("content", "show", "--auto", "index.txt", "--json").json["items"]
    assert (shown["container"], shown["content_id"]) == (CONTAINER, "AB")
    assert [one.route for one in flat.sent if "ref=" in one.query] == [
        "content/show",
        "content/get_properties",
    ]
    flat.ok("content", "touch", "--auto", "index.txt")
    (touch,) = flat.changes
    assert f"ref={CONTAINER}&path=index.txt" in touch.query


@pytest.mark.parametrize(
    ("words", "route"),
    [
        ("set-properties --auto index.txt a=b", "content/set_properties"),
        ("drain --auto index.txt --yes", "content/drain"),
        ("delete --auto index.txt --yes", "content/delete"),
    ],
)
def test_changes_of_an_object(flat: Oio, words: str, route: str) -> None:
    flat.ok("content", *words.split())
    (change,) = flat.changes
    assert change.route == route
    assert f"ref={CONTAINER}&path=index.txt" in change.query


def test_properties_locations_and_versions(flat: Oio) -> None:
    flat.ok("container", "set-properties", CONTAINER, "--max-versions", "-1", "--yes")
    flat.ok("content", "set-properties", "--auto", "index.txt", "color=blue", "a=b")
    flat.ok("content", "del-properties", "--auto", "index.txt", "a")
    found = flat.ok("content", "get-properties", "--auto", "index.txt", "--json").json["item"]
    assert found["properties"] == {"color": "blue"}
    (chunk,) = flat.ok("content", "locate", "--auto", "index.txt", "--json").json["items"]
    assert chunk["url"] == CHUNK["url"]
    (kept,) = flat.ok("content", "purge", "--auto", "index.txt", "--json").json["results"]
    assert kept["changed"] is False
    flat.ok("content", "delete", "--auto", "index.txt", "--yes")
    flat.ok("content", "undelete", "--auto", "index.txt")
    (shown,) = flat.ok("content", "show", "--auto", "index.txt", "--json").json["items"]
    version = str(shown["version"])
    words = ("content", "show", "--auto", "index.txt", "--content-version")
    assert flat.ok(*words, version).code == 0
    assert flat(*words, "12").code == 3


def test_each_name_has_a_container_of_its_own(flat: Oio) -> None:
    ran = flat("content", "show", "--auto", "index.txt", "a", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert error["message"].startswith('object "a" not found in container "CA978"')


def test_other_bits(flat: Oio) -> None:
    flat("content", "show", "--auto", "--flat-bits", "9", "index.txt")
    assert [one.query for one in flat.sent if "ref=" in one.query] == [
        "acct=sandbox&ref=528&path=index.txt&properties=0"
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("show --auto x --cid " + "A" * 64, "--auto cannot be used with --cid"),
        ("show --auto --content-id AB", "--auto cannot be used with --content-id"),
        ("delete --auto --prefix x", "--auto cannot be used with --prefix"),
        ("delete --auto --glob x", "--auto cannot be used with --glob"),
        ("delete --auto x --recursive", "--auto cannot be used with --recursive"),
        ("get --auto x --recursive", "--auto cannot be used with --recursive"),
        ("list --auto --delimiter /", "--auto cannot be used with --delimiter"),
        ("list --auto --cid " + "A" * 64, "--auto cannot be used with --cid"),
        ("put --auto x --cid " + "A" * 64, "--auto cannot be used with --cid"),
        ("put --auto", "missing argument FILE"),
        ("show --auto", "missing argument PATH"),
        ("get --auto", "missing argument PATH"),
        ("link --auto x", "missing argument TARGET"),
        ("set-properties --auto x", "missing argument KEY=VALUE"),
        ("locate --auto photos x", "--auto replaces CONTAINER"),
        ("show photos x --flat-bits 9", "--flat-bits requires --auto"),
        ("list photos --flat-bits 9", "--flat-bits requires --auto"),
        ("show --auto x --flat-bits 0", "--flat-bits"),
        ("show --auto x --flat-bits 256", "--flat-bits"),
    ],
)
def test_what_cannot_be_combined(flat: Oio, words: str, why: str) -> None:
    ran = flat("content", *words.split())
    assert ran.code == 2
    assert why in ran.err
    of_the_verb = words in (
        *("put --auto", "link --auto x", "list --auto --delimiter /", "set-properties --auto x"),
    )
    assert [one.route for one in flat.sent] == (["conscience/info"] if of_the_verb else [])


# --- put and get ----------------------------------------------------------------------------------


def containers_of(oio: Oio, names: dict[str, str]) -> dict[str, list[str]]:
    return {
        container: oio.ok("content", "list", container, "-o", "name").out.splitlines()
        for container in names.values()
    }


def test_each_file_becomes_an_object_of_its_own_container(filled: Oio) -> None:
    assert containers_of(filled, FOUND) == {container: [n] for n, container in FOUND.items()}
    filled.ok("content", "get", "--auto", "a", "b", "--to", "out")
    assert Path("out/a").read_text() + Path("out/b").read_text() == "data of a\ndata of b\n"


def test_containers_are_only_created_by_autocreate(here: Oio) -> None:
    here.ok("container", "create", FOUND["b"])
    ran = here("content", "put", "--auto", "a", "b", "c", "--json")
    assert ran.code == 8
    assert [one["target"] for one in ran.json["results"]] == ["b"]
    errors = ran.json["errors"]
    assert [(one["target"], one["code"]) for one in errors] == [
        ("a", "not-found"),
        ("c", "not-found"),
    ]
    assert "--autocreate" in errors[0]["hint"]
    ran = here("content", "put", "--auto", "a", "c", "--json")
    assert (ran.code, len(ran.json["errors"])) == (3, 2)


def test_two_files_may_need_the_same_new_container(here: Oio) -> None:
    here.ok("content", "put", "--auto", "--flat-bits", "1", "--autocreate", *"abcdef")
    found = containers_of(here, {"": "0", "a": "8"})
    assert found == {"0": ["b", "c", "d", "e", "f"], "8": ["a"]}


def test_a_name_that_is_taken_is_refused(filled: Oio) -> None:
    ran = filled("content", "put", "--auto", "a", "b", "--json")
    assert ran.code == 4
    assert [one["target"] for one in ran.json["errors"]] == ["a", "b"]
    ran = filled("content", "put", "--auto", "a", "--overwrite")
    assert ran.code == 2
    assert f'object "a" in container "{FOUND["a"]}" will be replaced' in ran.err
    filled.ok("container", "set-properties", FOUND["a"], "--max-versions", "-1", "--yes")
    ran = filled("content", "put", "--auto", "a", "b", "--overwrite", "--dry-run", "--json")
    (loss,) = ran.json["losses"]
    assert loss == f'object "b" in container "{FOUND["b"]}" will be replaced'


def test_what_differs_is_found_in_all_containers(here: Oio) -> None:
    for number in range(25):
        path = Path(f"tree/{number}")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}")
    words = ("content", "put", "--auto", "tree", "--recursive", "--update", "--json")
    first = here.ok(*words, "--autocreate").json["summary"]
    assert (first["sent"], first["skipped"]) == (25, 0)
    second = here.ok(*words).json["summary"]
    assert (second["sent"], second["skipped"]) == (0, 25)
    for number in range(25):
        Path(f"tree/{number}").write_text(f"{number} changed")
    ran = here(*words)
    assert ran.code == 2
    assert "25 objects (40 B) in 25 containers will be replaced" in ran.err


def test_lists_of_files_and_journals(here: Oio) -> None:
    words = ("content", "put", "--auto", "--autocreate", "--files-from", "-", "--journal", "j")
    names = b"a\nb\n"
    here.ok(*words, stdin=names)
    assert containers_of(here, {"a": "CA978", "b": "3E238"}) == {"CA978": ["a"], "3E238": ["b"]}
    again = here.ok(*words, "--resume", "--json", stdin=names).json["summary"]
    assert (again["sent"], again["skipped"]) == (0, 2)
    ran = here(*words, "--resume", "--flat-bits", "9", stdin=names)
    assert ran.code == 4


def test_a_dry_run_uploads_nothing(flat: Oio) -> None:
    ran = flat.ok("content", "put", "--auto", "--autocreate", "a", "--dry-run")
    assert 'object "a" in container "CA978"' in ran.out
    ran = flat.ok("content", "put", "--auto", "--flat-bits", "9", "--autocreate", "a", "--dry-run")
    assert 'object "a" in container "CA8"' in ran.out
    assert flat.changes == []


# --- delete ---------------------------------------------------------------------------------------


def put_empty(oio: Oio, container: str, *names: str) -> None:
    oio("container", "create", container)
    for name in names:
        oio.ok("content", "create", container, name, "--body", "-", "--size", "0",
               "--content-id", "AB" + name.encode().hex()[:8], body=[CHUNK])  # fmt: skip


def deleted(ran: Ran) -> list[tuple[str, Any]]:
    return [(one["target"], one["changed"]) for one in ran.json["results"]]


def test_deletions_are_sent_by_container(flat: Oio) -> None:
    put_empty(flat, "0", "b", "c", "d")
    put_empty(flat, "8", "a")
    flat.sent.clear()
    words = ("content", "delete", "--auto", "--flat-bits", "1", "--json", "--yes")
    ran = flat.ok(*words, "b", "a", "c", "d")
    assert deleted(ran) == [("b", True), ("c", True), ("d", True), ("a", True)]
    assert sorted((one.route, one.query, len(one.body["contents"])) for one in flat.changes) == [
        ("content/delete_many", "acct=sandbox&ref=0", 3),
        ("content/delete_many", "acct=sandbox&ref=8", 1),
    ]


def test_a_missing_container_keeps_no_other_from_being_deleted(filled: Oio) -> None:
    ran = filled("content", "delete", "--auto", "a", "nothere", "b", "--yes", "--json")
    assert ran.code == 8
    assert deleted(ran) == [("a", True), ("b", True)]
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == ("nothere", "not-found")
    assert listed(filled) == ["d", "f", "c", "e"]


def test_a_deletion_never_restores(flat: Oio) -> None:
    for container in ("0", "8"):
        flat("container", "create", container, "--max-versions", "-1")
    put_empty(flat, "0", "b", "c")
    put_empty(flat, "8", "a")
    words = ("content", "delete", "--auto", "--flat-bits", "1", "--json", "--yes")
    assert deleted(flat.ok(*words, "a", "b")) == [("a", True), ("b", True)]
    flat.sent.clear()
    assert deleted(flat.ok(*words, "a", "b", "c")) == [("a", False), ("b", False), ("c", True)]
    (change,) = flat.changes
    assert "ref=0" in change.query


def test_each_loss_is_that_of_its_container(flat: Oio) -> None:
    flat("container", "create", "0", "--max-versions", "-1")
    put_empty(flat, "0", "b")
    put_empty(flat, "8", "a")
    ran = flat("content", "delete", "--auto", "--flat-bits", "1", "a", "b", "--dry-run", "--json")
    assert ran.json["losses"] == [
        'object "a" in container "8" will be deleted permanently',
        'object "b" in container "0" will be deleted (`content undelete` restores it)',
    ]


# --- link -----------------------------------------------------------------------------------------


def test_a_link_is_in_the_container_of_its_own_name(filled: Oio) -> None:
    ran = filled("content", "link", "--auto", "a", "other")
    assert ran.code == 3
    assert "--autocreate" in ran.err
    filled.ok("content", "link", "--auto", "a", "other", "--autocreate")
    assert filled.ok("content", "get", "--auto", "other", "--to", "-").out == "data of a\n"
    filled.ok("content", "link", "--auto", "a", "--to-container", "photos")
    assert filled.ok("content", "get", "photos", "a", "--to", "-").out == "data of a\n"


# --- list -----------------------------------------------------------------------------------------


def test_all_flat_containers_are_listed(filled: Oio) -> None:
    assert listed(filled) == list(FOUND)
    assert listed(filled, "--flat-bits", "9") == []
    assert listed(filled, "--prefix", "b") == ["b"]
    # Of the names of containers only one is flat, but for other bits.
    filled.ok("container", "create", "52AA4", "52AA")
    filled.ok("content", "put", "52AA4", "a")
    filled.ok("content", "put", "52AA", "a")
    assert listed(filled) == list(FOUND)


def test_a_listing_is_continued_by_a_marker(filled: Oio) -> None:
    for limit in (1, 2, 4, 6):
        names: list[str] = []
        marker: list[str] = []
        while True:
            ran = filled.ok("content", "list", "--auto", "--limit", str(limit), "--json", *marker)
            names += [one["name"] for one in ran.json["items"]]
            if ran.json["complete"]:
                break
            marker = ["--marker", ran.json["marker"]]
        assert names == list(FOUND)
    assert listed(filled, "--marker", "c") == ["b", "e", "a"]
    assert listed(filled, "--marker", "nothere") == ["a"]  # of container 8A318


def test_only_some_containers_are_listed_ahead(flat: Oio) -> None:
    put_empty(flat, FOUND["d"], "d")
    flat.ok("container", "create", *(f"{number:05X}" for number in range(0xD0000, 0xD0320, 8)))
    flat.sent.clear()
    assert listed(flat, "--limit", "1") == ["d"]
    begun = [one for one in flat.sent if one.route == "container/list"]
    assert 2 <= len(begun) <= 2 + 2 * PARALLEL
    assert listed(flat) == ["d", "index.txt"]
    assert len({one.query for one in flat.sent if "max=1000" in one.query}) == 103


def test_objects_that_auto_does_not_find_are_counted(filled: Oio) -> None:
    filled.ok("content", "put", FOUND["a"], "b", "c")
    ran = filled.ok("content", "list", "--auto")
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == list(FOUND)
    assert "2 objects were left out" in ran.err


def test_a_container_that_cannot_be_listed_is_a_failure(flat: Oio) -> None:
    put_empty(flat, FOUND["d"], "d")
    put_empty(flat, FOUND["b"], "b")
    flat.ok("admin", "disable", FOUND["d"], "--yes")
    ran = flat("content", "list", "--auto", "--json")
    assert [one["name"] for one in ran.json["items"]] == ["b", "index.txt"]
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert error["target"] == FOUND["d"]


def test_a_container_that_was_destroyed_has_no_objects(flat: Oio, server: Server) -> None:
    """The account service lists it for a while."""
    put_empty(flat, FOUND["d"], "d")
    app = server.app

    def gone(environ: Any, start_response: Any) -> Any:
        if "container/list" in environ["PATH_INFO"] and "ref=18AC0" in environ["QUERY_STRING"]:
            environ["QUERY_STRING"] = environ["QUERY_STRING"].replace("18AC0", "18AC8")
        return app(environ, start_response)

    server.app = gone
    assert listed(flat) == ["index.txt"]
