"""Delete markers: deleting twice never restores; what is deleted is restored on request only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.oio.conftest import Oio, Server
from tests.conftest import Ran

Rows = list[dict[str, Any]]


@pytest.fixture
def kept(wire: Oio) -> Oio:
    """All versions are kept; `index.txt` is deleted."""
    wire.ok("container", "set-properties", "photos", "--max-versions", "-1", "--yes")
    wire.ok("content", "delete", "photos", "index.txt", "--yes")
    wire.sent.clear()
    return wire


def rows(oio: Oio, *options: str) -> Rows:
    found: Rows = oio.ok("content", "list", "photos", *options, "--json").json["items"]
    return found


def marker(oio: Oio) -> str:
    (row,) = [row for row in rows(oio, "--deleted") if row["deleted"]]
    return str(row["version"])


def changed(ran: Ran) -> dict[str, bool]:
    return {row["target"]: row["changed"] for row in ran.json["results"]}


def test_deleting_twice_sends_nothing(kept: Oio) -> None:
    before = rows(kept, "--all-versions")
    ran = kept.ok("content", "delete", "photos", "index.txt", "--json")  # and asks nothing
    assert changed(ran) == {"index.txt": False}
    assert (kept.changes, rows(kept, "--all-versions")) == ([], before)
    assert kept.ok("content", "delete", "photos", "index.txt").out == (
        "index.txt is already deleted\n"
    )


def test_in_a_batch_the_others_are_deleted(kept: Oio) -> None:
    names = [row["name"] for row in rows(kept, "--deleted")]
    ran = kept("content", "delete", "photos", *names, "nope", "--yes", "--json")
    assert ran.code == 8  # one does not exist
    assert changed(ran) == {name: name != "index.txt" for name in names}
    (sent,) = kept.changes
    assert sent.route == "content/delete_many"
    sent_names = {one["name"] for one in sent.body["contents"]}
    assert sent_names == {*names, "nope"} - {"index.txt"}
    assert rows(kept) == []


def test_one_that_is_deleted_while_the_prompt_is_open_stays_so(kept: Oio, server: Server) -> None:
    """Another client deletes it before the second look."""
    app, looks = server.app, []

    def between(environ: Any, start_response: Any) -> Any:
        if "prefix=sea" in environ["QUERY_STRING"]:
            looks.append(environ)
            if len(looks) == 2:
                Oio(kept.rdctl).ok("content", "delete", "photos", "sea/storm.svg", "--yes")
        return app(environ, start_response)

    server.app = between
    ran = kept.ok("content", "delete", "photos", "sea/storm.svg", "--yes", "--json")
    server.app = app
    assert (changed(ran), kept.changes) == ({"sea/storm.svg": False}, [])
    assert "sea/storm.svg" not in {row["name"] for row in rows(kept)}


RESTORABLE = "will be deleted (`content undelete` restores it)"


@pytest.mark.parametrize(
    ("kept", "words", "said"),
    [
        ("-1", ("index.txt",), RESTORABLE),
        ("3", ("index.txt", "sea/storm.svg"), RESTORABLE),
        ("-1", ("--recursive",), RESTORABLE),
        ("1", ("index.txt",), "will be deleted permanently"),
        ("0", ("--recursive",), "will be deleted permanently"),
        (None, ("index.txt", "sea/storm.svg"), "will be deleted permanently"),
    ],
)
def test_the_prompt_says_whether_it_can_be_restored(
    wire: Oio, kept: str | None, words: tuple[str, ...], said: str
) -> None:
    if kept is not None:
        wire.ok("container", "set-properties", "photos", "--max-versions", kept, "--yes")
    wire.sent.clear()
    ran = wire("content", "delete", "photos", *words)
    assert (ran.code, said in ran.err) == (2, True)
    assert [sent.route for sent in wire.sent].count("container/show") == 1
    assert said in wire.ok("content", "delete", "photos", *words, "--dry-run").out


def test_purge_takes_no_version(kept: Oio) -> None:
    ran = kept("content", "purge", "photos", "index.txt", "--content-version", "1")
    assert (ran.code, "unknown option" in ran.err) == (2, True)


def test_the_version_of_a_marker_is_refused(kept: Oio) -> None:
    version = marker(kept)
    words = ("content", "delete", "photos", "index.txt", "--content-version", version)
    ran = kept(*words, "--yes", "--json")
    assert (ran.code, kept.changes) == (4, [])
    assert "is a delete marker; deleting it could restore the object" in ran.err
    assert f"content undelete --content-version {version} photos index.txt" in ran.err


def test_undelete_removes_the_marker_by_its_version(kept: Oio) -> None:
    version = marker(kept)
    kept.ok("content", "undelete", "photos", "index.txt")
    (sent,) = kept.changes
    assert sent.route == "content/delete"
    assert sent.query.endswith(f"path=index.txt&version={version}")
    assert "index.txt" in {row["name"] for row in rows(kept)}
    assert kept.ok("content", "undelete", "photos", "index.txt").out == (
        "index.txt is not deleted\n"
    )
    assert len(kept.changes) == 1


def test_undelete_of_a_version(kept: Oio) -> None:
    """It has to be the current marker; an older version is linked instead."""
    version = marker(kept)
    data = str(int(version) - 1)
    words = ("content", "undelete", "photos", "index.txt", "--content-version")
    ran = kept(*words, data)
    assert (ran.code, kept.changes) == (4, [])
    assert f"content link --overwrite --content-version {data} photos index.txt" in ran.err
    assert kept(*words, "12").code == 3
    kept.ok(*words, version)
    assert len(kept.changes) == 1


def test_nothing_is_restored_if_no_version_is_left(kept: Oio) -> None:
    data = str(int(marker(kept)) - 1)
    kept.ok("content", "delete", "photos", "index.txt", "--content-version", data, "--yes")
    kept.sent.clear()
    ran = kept("content", "undelete", "photos", "index.txt")
    assert (ran.code, kept.changes) == (3, [])
    assert "no version is left" in ran.err


def test_purge_deletes_what_it_names_and_keeps_the_marker(kept: Oio) -> None:
    kept.ok("content", "undelete", "photos", "index.txt")
    (old,) = rows(kept, "--prefix", "index.txt")
    kept.ok(
        *("content", "create", "photos", "index.txt", "--chunks", "-", "--length", "0"),
        *("--content-id", "AB"),
        body=[{"url": f"http://127.0.0.1:16013/{'AB' * 32}", "pos": "0", "size": 0,
               "hash": "0" * 32}],
    )  # fmt: skip
    kept.ok("content", "delete", "photos", "index.txt", "--yes")
    kept.sent.clear()
    words = ("content", "purge", "photos", "index.txt")
    assert kept.ok(*words).out == "index.txt has nothing to purge\n"  # the container keeps all
    ran = kept(*words, "--max-versions", "1")
    assert (ran.code, kept.changes) == (2, [])
    assert f'version {old["version"]} (37 B) of object "index.txt"' in ran.err
    kept.ok(*words, "--max-versions", "1", "--yes")
    left = rows(kept, "--all-versions", "--prefix", "index.txt")
    assert [row["deleted"] for row in left] == [True, False]
    # As recorded, the proxy's own purge does not count markers either.
    kept.ok("container", "purge", "photos", "--max-versions", "1", "--yes")
    assert rows(kept, "--all-versions", "--prefix", "index.txt") == left
    assert old["version"] not in [row["version"] for row in left]


def test_drain_of_a_deleted_object_is_refused(kept: Oio) -> None:
    """A server accepts it, without an effect."""
    ran = kept("content", "drain", "photos", "index.txt", "--yes")
    assert (ran.code, kept.changes) == (3, [])
    kept.ok("content", "drain", "photos", "sea/storm.svg", "--yes")
    assert kept("content", "get", "photos", "sea/storm.svg", "--to", "-").code == 4
    assert "sea/storm.svg" in {row["name"] for row in rows(kept)}
