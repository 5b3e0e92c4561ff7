"""Properties that a server would not read as they are meant are refused before anything is sent, or
converted."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.cli.oio.cases import CHUNKS
from tests.cli.oio.conftest import Oio

QUOTA = "sys.m2.quota"
HERE = "rdctl -c sandbox oio"
CONTAINER = f"Only containers have it: {HERE} container set-properties --system {QUOTA}=5"
# The words, a part of the message, the hint.
MISREAD = {
    f"container create docs -p {QUOTA}=5": (
        f"{QUOTA} is a system property",
        f"Use --system: {HERE} container create --system {QUOTA}=5 docs",
    ),
    f"container set-properties photos a=b {QUOTA}=5": (
        f"{QUOTA} is a system property",
        f"Use --system: {HERE} container set-properties --system {QUOTA}=5 photos",
    ),
    f"admin set-properties photos {QUOTA}=5": (
        f"{QUOTA} is a system property",
        f"Use --system: {HERE} admin set-properties --system {QUOTA}=5 photos",
    ),
    f"reference create docs -p {QUOTA}=5": (f"{QUOTA} is a system", f"{CONTAINER} docs"),
    f"reference set-properties user1 {QUOTA}=5": (f"{QUOTA} is a system", f"{CONTAINER} user1"),
    f"content set-properties photos index.txt {QUOTA}=5": (f"{QUOTA} is a", f"{CONTAINER} photos"),
    f"content create photos a --chunks - --length 10 -p {QUOTA}=5": (
        f"{QUOTA} is a system",
        f"{CONTAINER} photos",
    ),
    f"content put photos - --path a -p {QUOTA}=5": (f"{QUOTA} is a", f"{CONTAINER} photos"),
    "container set-properties photos version:main.admin=1": (
        "version:main.admin is a system property",
        "Only the server sets it.",
    ),
    "container set-properties photos schema_version=1": ("schema_version is a", "Only the server"),
    **{
        f"{noun} del-properties photos a {QUOTA}": (
            f"{QUOTA} is a system property",
            f"Unset it: {HERE} {noun} set-properties --system {QUOTA}= photos",
        )
        for noun in ("container", "admin")
    },
    "content del-properties photos index.txt sys.x": ("sys.x is a system", "Only containers have"),
    "reference del-properties user1 sys.x": ("sys.x is a system", "Only containers have"),
    "container create docs --system color=red": (
        "color is not a system property",
        "begin with sys.",
    ),
    "admin set-properties photos --system user.a=b": ("user.a is not a system", "begin with sys."),
    # Without a value.
    "container set-properties photos a=1 color=": (
        "color: a container cannot have empty properties",
        f"Delete it: {HERE} container del-properties photos color",
    ),
    "admin set-properties photos color=": (
        "color: a database cannot have empty properties",
        f"Delete it: {HERE} admin del-properties photos color",
    ),
    "content set-properties photos index.txt 'a b='": (
        "a b: an object cannot have empty properties",
        f"Delete it: {HERE} content del-properties photos index.txt 'a b'",
    ),
    "container create docs -p color=": ("a container cannot have empty properties", "Omit it."),
    f"container create docs --system {QUOTA}=": (f"{QUOTA}: empty value", "Omit it."),
    "content put photos - --path a -p color=": (
        "an object cannot have empty properties",
        "Omit it.",
    ),
    "content create photos a --chunks - --length 10 -p color=": (
        "cannot have empty properties",
        "Omit it",
    ),
    # With a value that is none to the server.
    **{
        f"container {verb} --system {key}={value}": (f"{key}: ", hint)
        for verb in ("create docs", "set-properties photos")
        for key, value, hint in (
            (QUOTA, "ten", "Examples: 64M"),
            (QUOTA, "-1", "Examples: 64M"),
            (QUOTA, "1.5", ""),
            (QUOTA, "8Ei", "Examples: 64M"),
            (QUOTA, "8388608T", "The maximum is 8 EiB"),
            ("sys.m2.policy.version", "1.5", "Use 1 (no versioning)"),
            ("sys.m2.policy.version", "ten", "Use 1 (no versioning)"),
            ("sys.m2.policy.version", "-2", "Use 1 (no versioning)"),
            ("sys.m2.policy.version", "٣", "Use 1 (no versioning)"),
            ("sys.status", "frozen", "oio admin freeze"),
            ("sys.m2.usage", "1k", "Use a whole number."),
            ("sys.m2.objects", "-1", "Use a whole number."),
        )
    },
}


@pytest.mark.parametrize("words", MISREAD)
def test_what_would_be_misread_is_refused_before_anything_is_sent(wire: Oio, words: str) -> None:
    message, hint = MISREAD[words]
    wire.ok("reference", "create", "user1")
    wire.sent.clear()
    ran = wire(*shlex.split(words), "--yes", "--json", body=CHUNKS)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert message in ran.json["error"]["message"]
    where = f"rdctl --oio-url {wire.where[1]} --namespace OPENIO --account sandbox oio"
    assert hint.replace(HERE, where) in (ran.json["error"]["hint"] or "")
    assert wire.changes == []
    # Only to tell what is set, it is asked which properties are.
    assert len(wire.sent) == ("del-properties" in words)


@pytest.mark.parametrize("row", [{QUOTA: "5"}, {"color": ""}])
def test_a_row_that_would_be_misread_refuses_all_and_is_named(wire: Oio, row: Any) -> None:
    rows = [{"name": "a"}, {"name": "b", "properties": row}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    ran = wire("container", "create", "-", "--ndjson", "--json", stdin=lines)
    assert (ran.code, ran.json["error"]["line"], ran.json["error"]["target"]) == (2, 2, "b")
    assert wire.sent == []


@pytest.mark.parametrize(
    ("key", "given", "stored"),
    [
        (QUOTA, "1M", "1048576"),
        (QUOTA, "1MiB", "1048576"),
        (QUOTA, "10G", str(10 << 30)),
        (QUOTA, "1MB", "1000000"),
        (QUOTA, "1048576", "1048576"),
        (QUOTA, "0", "0"),
        ("sys.m2.policy.version", "-1", "-1"),
        ("sys.m2.policy.version", "0", "0"),
        ("sys.m2.policy.version", "3", "3"),
        ("sys.status", "0", "0"),
        ("sys.m2.usage", "17", "17"),
        ("sys.other", "1M", "1M"),
    ],
)
def test_system_values_as_the_server_reads_them(
    wire: Oio, key: str, given: str, stored: str
) -> None:
    wire.ok("container", "create", "docs")
    for words in (
        "container create new",
        "container set-properties docs",
        "admin set-properties b",
    ):
        if words.endswith(" b"):
            wire.ok("container", "create", "b")
        wire.sent.clear()
        wire.ok(*words.split(), "--system", f"{key}={given}", "--yes")
        assert [sent.body["system"] for sent in wire.changes] in ([{key: stored}], [])
        name = words.split()[-1]
        shown = wire.ok("container", "get-properties", name, "--json").json["item"]
        assert shown["system"][key] == stored


def test_a_system_property_is_unset_by_an_empty_value(wire: Oio) -> None:
    words = ("container", "set-properties", "photos", "--system")
    wire.ok(*words, f"{QUOTA}=5", "--yes")
    for change in (True, False):
        ran = wire.ok(*words, f"{QUOTA}=", "--yes", "--json")
        assert ran.json["results"][0]["changed"] is change
    assert [sent.body for sent in wire.changes[1:]] == [{"system": {QUOTA: ""}}]
    item = wire.ok("container", "get-properties", "photos", "--json").json["item"]
    assert QUOTA not in item["system"]


def test_a_user_property_with_a_system_name_can_be_deleted(wire: Oio) -> None:
    """Who set one by mistake, with an older rdctl or another client, gets rid of it."""
    body = {"properties": {QUOTA: "5"}}
    query = ("--param", "acct=sandbox", "--param", "ref=photos")
    route = ("api", "POST", "container/set_properties", *query, "--body", "-", "--yes")
    assert wire(*route, body=body).code == 0
    wire.ok("container", "del-properties", "photos", QUOTA)
    item = wire.ok("container", "get-properties", "photos", "--json").json["item"]
    assert item["properties"] == {"owner": "ada"}
