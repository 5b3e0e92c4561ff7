"""Bodies from files and standard input are checked before anything is sent."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.cli.oio.cases import ALIAS, BEANS, CHUNKS, chunk
from tests.cli.oio.conftest import Oio

INSERT = "container raw-insert photos --body"
UPDATE = "container raw-update photos --body"
DELETE = "container raw-delete photos --body"
CREATE = "content create photos new --length 10 --content-id AB --chunks"
SPARE = "content spare photos index.txt --policy SINGLE --body"
EVERY = (INSERT, UPDATE, DELETE, CREATE, SPARE)

# Invalid JSON, and the message for it.
TEXTS = [
    ("", "invalid JSON at line 1, column 1: Expecting value"),
    ("[\n  1,\n  oops]", "invalid JSON at line 3, column 3: Expecting value"),
    ('{"a": 1,}', f"invalid JSON at line 1, column {8 if sys.version_info >= (3, 13) else 9}"),
    ("[] []", "invalid JSON at line 1, column 4: Extra data"),
    ("[NaN]", "invalid JSON: NaN"),
    ("[-Infinity]", "invalid JSON: -Infinity"),
    ("[" * 100_000, "nested too deeply"),
    ("\ufeff[]", "invalid JSON at line 1, column 1"),
]
CHUNKLIST = "must be a non-empty array of chunks"
BEANLIST = "must be a non-empty array of beans"
PAIR = 'must be an object {"old": [...], "new": [...]}'
SPARES = 'must be an object {"notin": [...], "broken": [...]}'
NOTHING: list[Any] = [[], {}, None, 7, "x"]
HALVES: list[Any] = [*NOTHING, {"old": [ALIAS]}, {"old": 1, "x": 2}]
ITEMS: list[Any] = [*NOTHING, {"item": 1}, {"item": {}}, {"item": [1]}, {"chunks": []}]
VALUES: list[tuple[str, Any, str]] = [
    *((words, value, BEANLIST) for words in (INSERT, DELETE) for value in NOTHING),
    (INSERT, [ALIAS, {"type": "dog"}], "bean 1: type must be alias, header, chunk or"),
    (INSERT, [[]], "bean 0: type must be"),
    *((UPDATE, value, PAIR) for value in HALVES),
    (UPDATE, {"old": [ALIAS], "new": []}, BEANLIST),
    (UPDATE, {"old": [ALIAS], "new": BEANS}, "old and new must have the same length"),
    *((CREATE, value, CHUNKLIST) for value in ITEMS),
    (CREATE, [1], "chunk 0: must be an object"),
    (CREATE, [{}], "chunk 0: url must be a string"),
    (CREATE, [chunk("a"), {**chunk("b"), "pos": 0}], "chunk 1: pos must be a string"),
    (CREATE, [{**chunk("a"), "size": "5"}], "chunk 0: size must be an integer"),
    (CREATE, [{**chunk("a"), "size": True}], "chunk 0: size must be an integer"),
    (CREATE, [{**chunk("a"), "hash": None}], "chunk 0: hash must be a string"),
    *((SPARE, value, SPARES) for value in (*NOTHING, {"notin": []})),
    (SPARE, {"notin": {}, "broken": []}, "notin and broken must be arrays of chunks"),
    (SPARE, {"notin": [], "broken": []}, "notin and broken are both empty"),
]


@pytest.mark.parametrize("words", EVERY)
@pytest.mark.parametrize(("text", "message"), TEXTS, ids=lambda text: text[:12])
def test_what_is_no_json(wire: Oio, words: str, text: str, message: str) -> None:
    path = wire.rdctl.home / "bo dy.json"
    path.write_bytes(text.encode())
    for name, shown, given in (("-", "standard input", text.encode()), (str(path), str(path), b"")):
        ran = wire(*words.split(), name, "--yes", "--json", stdin=given)
        assert ran.code == 2
        assert ran.json["error"]["code"] == "usage"
        assert ran.json["error"]["message"].startswith(f"{shown}: {message}")
    assert wire.sent == []


@pytest.mark.parametrize(("words", "value", "message"), VALUES)
def test_what_has_another_shape(wire: Oio, words: str, value: Any, message: str) -> None:
    ran = wire(*words.split(), "-", "--yes", body=value, stdin=json.dumps(value).encode())
    assert (ran.code, wire.sent) == (2, [])
    assert f"rdctl: error: standard input: {message}" in ran.err


@pytest.mark.parametrize("words", EVERY)
def test_a_file_that_cannot_be_read(wire: Oio, words: str) -> None:
    for path, reason in (("nowhere.json", "No such file"), (str(wire.rdctl.home), "Is a dir")):
        ran = wire(*words.split(), path, "--yes")
        assert (ran.code, wire.sent) == (2, [])
        assert f"{path} cannot be read: {reason}" in ran.err
    assert wire(*words.split()[:-1], "--yes").code == 2


def test_a_body_keeps_its_very_bytes(wire: Oio) -> None:
    beans = [{**ALIAS, "name": 'snow ☃ "\n\x1b \ud83d\ude00'}]
    path = wire.rdctl.home / "beans.json"
    path.write_text(json.dumps(beans))
    wire.ok("container", "raw-insert", "photos", "--body", str(path), "--yes")
    (sent,) = wire.changes
    assert sent.body == [{**ALIAS, "name": 'snow ☃ "\n\x1b 😀'}]


def test_chunks_in_every_form(wire: Oio) -> None:
    for body in (CHUNKS, {"chunks": CHUNKS}, {"item": {"chunks": CHUNKS, "policy": "SINGLE"}}):
        wire.ok(*CREATE.split(), "-", "--dry-run", body=body)
        # A container has one object of an ID.
        number = len(wire.changes)
        real = [*CREATE.replace("new", f"new{number}").replace("AB", f"AB{number}0").split(), "-"]
        wire.ok(*real, body=[dict(each, more="x") for each in CHUNKS] if body is CHUNKS else body)
        assert wire.changes[-1].body == CHUNKS
