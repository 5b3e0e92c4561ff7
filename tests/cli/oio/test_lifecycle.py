"""lifecycle get and set."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdctl.oio.lifecycle import KEY
from tests.cli.oio.conftest import Oio
from tests.cli.test_help import RULES

SET = ("lifecycle", "set", "photos")


@pytest.fixture(autouse=True)
def here(wire: Oio, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(wire.rdctl.home)
    Path("rules.xml").write_text(RULES + "\n")
    return wire.rdctl.home


def test_nothing_set(wire: Oio) -> None:
    ran = wire.ok("lifecycle", "get", "photos")
    assert (ran.out, ran.err) == ("", "")
    ran = wire.ok("lifecycle", "get", "photos", tty=True)
    assert "No lifecycle configuration." in ran.err
    assert ran.out == ""
    assert wire.ok("lifecycle", "get", "photos", "--json").json == {
        "schema": "rdctl.oio.lifecycle/1",
        "container": "photos",
        "configuration": None,
    }
    assert wire("lifecycle", "get", "nope").code == 3


def test_set_and_get(wire: Oio) -> None:
    wire.ok(*SET, "rules.xml")
    (sent,) = wire.changes
    assert sent.route == "container/set_properties"
    assert sent.body == {"properties": {KEY: RULES}}
    assert wire.ok("lifecycle", "get", "photos").out == RULES + "\n"
    # The same again is not sent, and needs no consent.
    ran = wire.ok(*SET, "-", stdin=RULES.encode())
    assert ran.out == "photos has that lifecycle configuration already\n"
    assert len(wire.changes) == 1


def test_another_one_replaces_it_with_consent(wire: Oio) -> None:
    wire.ok(*SET, "rules.xml")
    other = RULES.replace("tmp/", "old/").encode()
    ran = wire(*SET, "-", stdin=other)
    assert (ran.code, len(wire.changes)) == (2, 1)
    assert 'the lifecycle configuration of container "photos" will be replaced' in ran.err
    wire.ok(*SET, "-", "--yes", stdin=other)
    assert wire.ok("lifecycle", "get", "photos").out == other.decode() + "\n"


def test_warnings(wire: Oio) -> None:
    text = RULES.replace("Enabled", "Disabled")
    ran = wire.ok(*SET, "-", stdin=text.encode())
    assert "warning: rule 1 is Disabled, but `openio lifecycle apply` applies it" in ran.err
    count = "<NoncurrentVersionExpiration><NoncurrentCount>1</NoncurrentCount>"
    count += "</NoncurrentVersionExpiration></Rule>"
    text = RULES.replace("</Rule>", count)
    ran = wire.ok(*SET, "-", "--yes", stdin=text.encode())
    assert "warning: photos may keep no versions" in ran.err
    wire.ok("container", "set-properties", "photos", "--max-versions", "-1", "--yes")
    text = text.replace("tmp/", "t/")
    assert "warning" not in wire.ok(*SET, "-", "--yes", stdin=text.encode()).err


@pytest.mark.parametrize("body", [b"notxml", b"\xff", b"", b"<!DOCTYPE x><x/>"])
def test_what_is_refused_is_not_sent(wire: Oio, body: bytes) -> None:
    ran = wire(*SET, "-", "--json", stdin=body)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert wire.sent == []


def test_a_file_that_cannot_be_read(wire: Oio) -> None:
    assert wire(*SET, "nope.xml").code == 2
    assert wire("lifecycle", "set", "nope", "rules.xml").code == 3


def test_a_document_of_another_client(wire: Oio) -> None:
    """It is shown as it is, whatever it is."""
    wire.ok("container", "set-properties", "photos", f"{KEY}=notxml")
    assert wire.ok("lifecycle", "get", "photos").out == "notxml\n"
