"""What was seen only in part is not taken for the whole: changes of several requests, listings and
looks with rows that cannot be read, markers that go in circles."""

from __future__ import annotations

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
    with FaultServer([look, *rounds, cause]) as server:
        ran = at(oio, server)(*words.split(), "--yes", "--json")
    assert ran.code == 10, ran.out
    said = "docs: some of its contents are deleted already; then: "
    assert ran.err.count(said) == 1 or ran.out.count(said) == 1
    assert " oio container list docs" in ran.out + ran.err


def test_a_destroy_that_is_refused_a_connection_after_the_flush(oio: Oio) -> None:
    def last(connection: Any) -> None:
        server.refuse()
        faults.reply(204, headers={"x-oio-truncated": "false"})(connection)

    with FaultServer([told({}, SHOWN), last]) as server:
        ran = at(oio, server)("container", "destroy", "docs", "--flush", "--yes")
    assert ran.code == 10
    assert "the contents of docs are deleted already; then: " in ran.err


def test_a_first_flush_that_is_refused_changes_nothing(oio: Oio) -> None:
    with FaultServer([objects("a"), faults.json({"status": 436, "message": "no"}, 503)]) as server:
        ran = at(oio, server)("container", "flush", "docs", "--yes")
    assert ran.code == 4
    assert "deleted" not in ran.err


@pytest.mark.parametrize("look", [objects("a"), objects()], ids=["same", "empty"])
def test_a_flush_that_never_ends_is_ended(oio: Oio, look: Behaviour) -> None:
    with FaultServer([objects("a"), MORE, *[MORE, look] * 50]) as server:
        ran = at(oio, server)("container", "flush", "docs", "--yes")
    assert (ran.code, len(server.requests) < 20) == (10, True)
    assert "the proxy does not get on with emptying docs" in ran.err


def test_a_flush_that_gets_on_goes_to_its_end(oio: Oio) -> None:
    rounds = [one for number in range(20) for one in (MORE, objects(f"{number:02}"))]
    with FaultServer([objects("a"), MORE, *rounds, faults.reply(204)]) as server:
        assert at(oio, server)("container", "flush", "docs", "--yes").code == 0
    assert len(server.requests) == 43
