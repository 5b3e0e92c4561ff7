"""What was seen only in part is not taken for the whole: changes of several requests, listings and
looks with rows that cannot be read, markers that go in circles."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_unread import PAGE, SHOWN, at, told
from tests.fakes import faults
from tests.fakes.faults import Behaviour, FaultServer

MORE = faults.reply(204, headers={"x-oio-truncated": "true"})
AWAY = {"status": 503, "message": "No service replied"}


def objects(*names: str, marker: str | None = None) -> Behaviour:
    more = {"x-oio-list-truncated": "true", "x-oio-list-marker": marker} if marker else PAGE
    return told({"objects": [{"name": name} for name in names], "prefixes": []}, more)


# --- changes of several requests ------------------------------------------------------------------

FLUSH = ("container flush docs", objects("a"))
DESTROY = ("container destroy docs --flush", told({}, SHOWN))


@pytest.mark.parametrize(("words", "look"), [FLUSH, DESTROY], ids=["flush", "destroy"])
@pytest.mark.parametrize(
    "cause",
    [faults.json(AWAY, 503), faults.http_error(503), faults.close()],
    ids=["away", "page", "closed"],
)
@pytest.mark.parametrize("after", [1, 2])
def test_a_flush_that_fails_after_a_part_is_not_nothing(
    oio: Oio, words: str, look: Behaviour, cause: Behaviour, after: int
) -> None:
    rounds = [MORE, *[MORE, objects("b")] * (after - 1)]
    with FaultServer([look, told({}, SHOWN), *rounds, cause]) as server:
        ran = at(oio, server)(*words.split(), "--yes", "--json")
    assert ran.code == 10, ran.out
    said = "docs: some of its objects are already deleted; then: "
    assert ran.err.count(said) == 1 or ran.out.count(said) == 1
    assert " oio container list docs" in ran.out + ran.err


def test_a_destroy_that_is_refused_a_connection_after_the_flush(oio: Oio) -> None:
    def last(connection: Any) -> None:
        server.refuse()
        faults.reply(204, headers={"x-oio-truncated": "false"})(connection)

    with FaultServer([told({}, SHOWN), told({}, SHOWN), last]) as server:
        ran = at(oio, server)("container", "destroy", "docs", "--flush", "--yes")
    assert ran.code == 10
    assert "docs: its objects are already deleted; then: " in ran.err


def test_a_first_flush_that_is_refused_changes_nothing(oio: Oio) -> None:
    with FaultServer([objects("a"), faults.json({"status": 436, "message": "no"}, 503)]) as server:
        ran = at(oio, server)("container", "flush", "docs", "--yes")
    assert ran.code == 4
    assert "deleted" not in ran.err


@pytest.mark.parametrize("look", [objects("a"), objects()], ids=["same", "empty"])
def test_a_flush_that_never_ends_is_ended(oio: Oio, look: Behaviour) -> None:
    with FaultServer([objects("a"), told({}, SHOWN), MORE, *[MORE, look] * 50]) as server:
        ran = at(oio, server)("container", "flush", "docs", "--yes")
    assert (ran.code, len(server.requests) < 20) == (10, True)
    assert "docs: flush makes no progress" in ran.err


def test_a_flush_that_gets_on_goes_to_its_end(oio: Oio) -> None:
    rounds = [one for number in range(20) for one in (MORE, objects(f"{number:02}"))]
    with FaultServer([objects("a"), told({}, SHOWN), MORE, *rounds, faults.reply(204)]) as server:
        assert at(oio, server)("container", "flush", "docs", "--yes").code == 0
    assert len(server.requests) == 44


# --- listings with rows that cannot be read -------------------------------------------------------


def account_service(*pages: Any) -> FaultServer:
    """A proxy, and behind it at the same port an account service with these pages."""
    script = [faults.close()]
    server = FaultServer(script)
    found = told([{"addr": server.url.removeprefix("http://"), "id": "x"}])
    server._next = chain([found], [told({"listing": page}) for page in pages], repeat(script[0]))
    return server


def containers(start: int, end: int, *bad: int) -> list[Any]:
    return [7 if n in bad else [f"c{n:04}", 1, 1, 0, 1.5] for n in range(start, end)]


@pytest.mark.parametrize(
    ("words", "pages", "names", "marker"),
    [
        ("", [containers(0, 1000, 500), containers(1000, 1003)], 1002, None),
        ("--limit 10", [containers(0, 11, 3)], 10, "c0010"),
        ("--limit 10", [containers(0, 11, 10)], 10, "c0009"),
        ("--limit 10", [containers(0, 11, 3, 5), containers(11, 13)], 10, "c0011"),
        ("--limit 10", [containers(0, 9, 3)], 8, None),
    ],
)
def test_a_row_that_cannot_be_read_ends_no_listing(
    oio: Oio, words: str, pages: list[Any], names: int, marker: str | None
) -> None:
    with account_service(*pages) as server:
        ran = at(oio, server)("account", "containers", *words.split(), "--json")
    assert (ran.code, len(ran.json["items"])) == (0, names), ran.err
    assert (ran.json["complete"], ran.json.get("marker")) == (False, marker)
    assert "skipped: " in ran.err


def test_a_listing_with_skipped_rows_is_not_complete(oio: Oio) -> None:
    bad = told({"objects": [{"name": "a"}, {"size": 1}], "prefixes": []}, PAGE)
    with FaultServer([bad]) as server:
        ran = at(oio, server)("container", "list", "docs", "--json")
    assert (ran.code, ran.json["complete"]) == (0, False)
    with FaultServer([objects("a")]) as server:
        assert at(oio, server)("container", "list", "docs", "--json").json["complete"] is True


def test_an_object_without_a_name_was_not_received(near: Any) -> None:
    client = near()
    client.sds.put("d/a", b"1234")

    def nameless(call: Any) -> bool | None:
        if call.route != "container/list":
            return None
        listed = {"objects": [{"name": "d/a", "size": 4}, {"size": 4}], "prefixes": []}
        call.json(listed, headers=PAGE)
        return True

    client.sds.faults.append(nameless)
    directory = str(client.directory / "back")
    ran = client("get", "docs", "d/", "--recursive", "--to", directory, "--json")
    assert ran.code == 8, ran.err
    assert [row["target"] for row in ran.json["results"]] == ["d/a"]
    (error,) = ran.json["errors"]
    assert (error["code"], error["target"]) == ("bad-reply", "docs")
    ran = client("get", "docs", "d/", "--recursive", "--to", "-")
    assert (ran.code, ran.out) == (9, "")
    assert "docs: 1 object not downloaded" in ran.err


@pytest.mark.parametrize(
    "markers", [["b", "d", "b", "d"], ["b", "b"], ["b", "a"], ["%c3%a9", "e", "%c3%a9"]]
)
@pytest.mark.parametrize("words", ["container list docs", "content get docs a --recursive"])
def test_markers_that_go_back_end_a_listing(oio: Oio, markers: list[str], words: str) -> None:
    script = [objects("a" + marker, marker=marker) for marker in markers]
    with FaultServer([*script, *script, objects()]) as server:
        ran = at(oio, server)(*words.split())
    assert ran.code == 9
    assert "docs: the listing does not advance past " in ran.err
    # What was listed before is still requested by get.
    assert len([one for one in server.requests if "container/list" in one.path]) <= 3


def test_containers_of_an_account_that_come_in_circles(oio: Oio) -> None:
    pages = [containers(0, 1000), containers(1000, 2000)] * 3
    with account_service(*pages) as server:
        ran = at(oio, server)("account", "containers")
    assert (ran.code, len(server.requests)) == (9, 4)


# --- looks that decide ----------------------------------------------------------------------------

BAD_LINK = {"srv": [{"seq": 1, "type": "rdir"}, {"type": "x", "host": "127.0.0.1:9"}], "dir": []}
BAD_SERVICE = [{"addr": 7, "score": 1}, {"addr": "127.0.0.1:9", "score": 1, "tags": {}}]


@pytest.mark.parametrize(
    ("words", "look"),
    [
        ("reference unlink docs rdir", BAD_LINK),
        ("reference link docs rdir", BAD_LINK),
        ("reference force docs rdir 127.0.0.1:8 --replace", BAD_LINK),
        ("conscience flush rawx", BAD_SERVICE),
        ("conscience lock rawx 127.0.0.1:8", BAD_SERVICE),
        ("conscience unlock rawx --all", BAD_SERVICE),
        ("conscience register rawx 127.0.0.1:8", BAD_SERVICE),
    ],
)
def test_a_look_that_decides_sees_all_or_nothing(oio: Oio, words: str, look: Any) -> None:
    with FaultServer([told(look)]) as server:
        ran = at(oio, server)(*words.split(), "--yes")
    assert (ran.code, ran.out, len(server.requests)) == (9, "", 1)
    assert "unreadable value in its reply: 1 unreadable " in ran.err


STATUS = [("-1", 4, 'container "docs" is frozen'), ("-2", 4, 'container "docs" is disabled')]
UNSEEN = [
    (word, 4, 'container "docs": sys.status cannot be read') for word in ("garbage", "1", "-3")
]


@pytest.mark.parametrize(("status", "code", "said"), [*STATUS, *UNSEEN])
@pytest.mark.parametrize("verb", ["destroy", "flush", "purge"])
def test_a_guard_that_cannot_see_refuses(
    oio: Oio, verb: str, status: str, code: int, said: str
) -> None:
    page = {"objects": [{"name": "a"}], "prefixes": [], "system": {"sys.status": status}}
    shown = {**SHOWN, "x-oio-container-meta-sys-status": status, **PAGE}
    with FaultServer([told(page, shown)]) as server:
        ran = at(oio, server)("container", verb, "docs", "--yes")
    assert (ran.code, len(server.requests)) == (code, 1)
    assert said in ran.err


def test_a_status_that_cannot_be_read_is_told(oio: Oio) -> None:
    shown = {**SHOWN, "x-oio-container-meta-sys-status": "garbage"}
    with FaultServer([told({}, shown)]) as server:
        ran = at(oio, server)("container", "show", "docs", "--json")
    assert ran.json["items"][0]["status"] is None
    assert "shown as null: sys.status (1 container)" in ran.err


# --- outcomes and numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [(201, 503), (503, 201), (201, None), (201, 433)])
def test_an_item_with_two_outcomes_is_unproven(oio: Oio, statuses: tuple[Any, Any]) -> None:
    items = [{"name": "a", "status": status} for status in statuses]
    with FaultServer([told({"containers": [*items, {"name": "b", "status": 201}]})]) as server:
        ran = at(oio, server)("container", "create", "a", "b", "--json")
    assert [row["target"] for row in ran.json["results"]] == ["b"]
    assert [(row["target"], row["code"]) for row in ran.json["errors"]] == [("a", "unproven")]


@pytest.mark.parametrize("number", ["1_0", " 5", "5 ", "+5", "٣"])
def test_what_only_python_reads_as_a_number_is_none(oio: Oio, number: str) -> None:
    entry = {"name": "a", "size": number, "mtime": number, "version": 5}
    with FaultServer([told({"objects": [entry], "prefixes": []}, PAGE)]) as server:
        (row,) = at(oio, server)("container", "list", "docs", "--json").json["items"]
    assert (row["size"], row["modified"], row["version"]) == (None, None, 5)
