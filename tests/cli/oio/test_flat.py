"""--auto: the container follows from the name of the object."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.oio.conftest import Oio

# Of the sandbox, with 17 bits.
CONTAINER = "52AA0"


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


CHUNK = {"url": "http://127.0.0.1:16013/" + "A" * 64, "pos": "0", "size": 0, "hash": "0" * 32}


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


def test_each_name_has_a_container_of_its_own(flat: Oio) -> None:
    ran = flat("content", "show", "--auto", "index.txt", "a", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert error["message"].startswith('object "a" not found in container "CA978"')


def test_what_cannot_be_combined(flat: Oio) -> None:
    for words in ("show --auto x --content-version 1", "get --auto x --recursive", "show --auto"):
        assert flat("content", *words.split()).code == 2
    assert flat.sent == []
