"""Names of any bytes go in and come out, in every format, and harm no terminal."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdctl.core.units import CONTROL, escape, quoted
from tests.cli.oio.cases import ALIAS, chunk
from tests.cli.oio.conftest import Oio
from tests.output.showing import unescape

NAMES = [
    "a b",
    " blanks ",
    "two\nlines",
    "two\r\nlines\n",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m\x7f",
    '"quoted"',
    "it's",
    "back\\slash\\n",
    "tab\tand, comma;",
    "😀 ☃ e\u0301",
    "\u202eevil\u2066",
    "..",
    "../../etc/passwd",
    "/absolute//double/",
    "%2F%00",
    "a+b&c=d?e#f",
    "-lead",
    "--yes",
    "$(reboot) `reboot`",
    "x" * 255,
    "é" * 127,
]
each_name = pytest.mark.parametrize("name", NAMES, ids=ascii)


def plain(ran: Any) -> bool:
    """Nothing on either stream that a terminal would take for more than text."""
    return not CONTROL.search((ran.out + ran.err).replace("\n", "").replace("\t", ""))


@each_name
def test_a_container_of_any_name(oio: Oio, name: str) -> None:
    created = oio.ok("container", "create", "--json", "--", name)
    assert created.json["results"][0]["target"] == name
    shown = oio.ok("container", "show", "--json", "--", name)
    assert shown.json["items"][0]["container"] == name
    assert name.encode() + b"\0" in oio.ok("account", "containers", "-0").stdout
    assert oio.ok("reference", "show", "--json", "--", name).json["items"][0]["reference"] == name
    listed = oio.ok("container", "create", "-", "-0", stdin=name.encode() + b"\0")
    assert listed.stdout == name.encode() + b"\0"
    for words in (["show"], ["destroy", "--yes"], ["destroy", "--yes"]):
        ran = oio("container", *words, "--", name, tty=True, env={"NO_COLOR": "1"})
        assert plain(ran)
        assert all(
            line.startswith(("rdctl: ", "hint: ", "  ", "[sandbox]"))
            for line in ran.err.splitlines()
        )
    assert ran.code == 3


@each_name
def test_a_content_of_any_name(oio: Oio, name: str) -> None:
    words = ("--chunks", "-", "--length", "5", "--content-id", "AB", "--json")
    created = oio.ok("content", "create", *words, "--", "photos", name, body=[chunk("new")])
    assert created.json["results"][0]["target"] == name
    shown = oio.ok("content", "show", "--json", "--", "photos", name).json["items"][0]
    assert (shown["path"], shown["size"]) == (name, 5)
    key = name.replace("=", "")
    oio.ok("content", "set-properties", "--", "photos", name, f"{key}={name}")
    found = oio.ok("content", "get-properties", "--json", "--", "photos", name).json["item"]
    assert found == {"target": name, "properties": {key: name}, "system": {}}
    oio.ok("content", "del-properties", "--", "photos", name, key)

    whole = ("container", "list", "photos", "--prefix", name)
    rows = oio.ok(*whole, "--json").json["items"]
    assert [row["name"] for row in rows] == [name]
    assert yaml.safe_load(oio.ok(*whole, "-o", "yaml").out)["items"] == rows
    assert [json.loads(line) for line in oio.ok(*whole, "-o", "ndjson").out.splitlines()] == rows
    assert unescape(next(csv.reader([line_of(oio, name, "csv")]))[0]) == name
    assert unescape(line_of(oio, name, "tsv").split("\t")[0]) == name
    assert oio.ok(*whole, "-0").stdout == name.encode() + b"\0"
    if CONTROL.search(name):
        ran = oio(*whole, "-o", "name")
        assert (ran.code, ran.out) == (9, "")
        assert "not printed" in ran.err
        assert plain(ran)
    else:
        assert oio.ok(*whole, "-o", "name").out == f"{name}\n"
    for tty in (False, True):
        assert plain(oio.ok(*whole, tty=tty, env={"NO_COLOR": "1"}))
    assert oio.ok("content", "delete", "--yes", "--", "photos", name).code == 0
    assert oio(*whole, "--json").json["items"] == []


def line_of(oio: Oio, name: str, form: str) -> str:
    """The one line of a listing in a format of lines."""
    words = ("container", "list", "photos", "--prefix", name, "-o", form, "--no-headers")
    (line,) = oio.ok(*words).out.splitlines()
    return line


def aliases(names: list[str]) -> list[dict[str, Any]]:
    return [{**ALIAS, "name": name} for name in names]


NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(NAME, min_size=1, unique=True))
def test_whatever_is_put_in_is_listed(oio: Oio, names: list[str]) -> None:
    """In the order of the bytes, each exactly once, page by page too."""
    oio.ok("container", "create", "heap")
    oio.ok("container", "flush", "heap", "--yes")
    oio.ok("container", "raw-insert", "heap", "--body", "-", "--yes", body=aliases(names))
    wanted = sorted(name.encode() for name in names)
    assert oio.ok("container", "list", "heap", "-0").stdout == b"\0".join([*wanted, b""])
    rows = oio.ok("container", "list", "heap", "--json").json["items"]
    assert [row["name"].encode() for row in rows] == wanted
    table = oio.ok("container", "list", "heap", "--columns", "name", "--no-headers").out
    # Blanks at the end of a line cannot be seen.
    assert table.split("\n")[:-1] == [escape(name.decode()).rstrip() for name in wanted]
    after = oio.ok("container", "list", "heap", "--marker", names[0], "--limit", "2", "-0").stdout
    assert after.split(b"\0")[:-1] == [name for name in wanted if name > names[0].encode()][:2]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_name_in_a_hint_can_be_pasted(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    names = [*NAMES, "", "\udcff\udc80", "\U0010ffff", "\u200e1", "\x011"]
    script = "printf '%s\\0' " + " ".join(map(quoted, names))
    assert not CONTROL.search(script)
    environ = {"LC_ALL": "C.UTF-8"}
    done = subprocess.run([shell, "-c", script], check=True, capture_output=True, env=environ)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == names


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            ["container", "destroy", "my docs"],
            "rdctl -c sandbox oio container list 'my docs'\n",
        ),
        (
            ["container", "destroy", "--", "-d"],
            "rdctl -c sandbox oio container list -- -d\n",
        ),
        (
            ["container", "destroy", "two\nlines"],
            "rdctl -c sandbox oio container list $'two\\nlines'\n",
        ),
        (
            ["container", "dedup", "frozen it's"],
            """rdctl -c sandbox oio admin enable 'frozen it'"'"'s'\n""",
        ),
        (
            ["reference", "del-properties", "a b"],
            "rdctl -c sandbox oio reference get-properties 'a b'\n",
        ),
    ],
)
def test_hints_are_commands(oio: Oio, words: list[str], hint: str) -> None:
    name = words[-1]
    oio.ok("container", "create", "--", name)
    oio.ok("container", "raw-insert", "--body", "-", "--yes", "--", name, body=aliases(["x"]))
    if "frozen" in name:
        oio.ok("admin", "freeze", "--yes", "--", name)
    ran = oio(*words[:2], "--yes", *words[2:])
    assert ran.code in (2, 4)
    assert hint in ran.err


def test_a_name_by_id(oio: Oio) -> None:
    """Logs print ids; what is said of them must be an id again."""
    container = oio.ok("container", "show", "photos", "--json").json["items"][0]
    cid = container["cid"]
    assert oio.ok("container", "show", "--cid", cid, "--json").json["items"] == [container]
    content = oio.ok("content", "show", "photos", "index.txt", "--json").json["items"][0]
    by_id = ("content", "show", "--cid", cid, "--content-id", content["content_id"])
    shown = oio.ok(*by_id, "--json").json["items"][0]
    assert shown == {**content, "container": cid}
    ran = oio("container", "destroy", "--cid", cid, "--yes")
    assert ran.code == 4
    assert f"rdctl -c sandbox oio container list --cid {cid}\n" in ran.err
    assert oio("container", "show", "--cid", "xyz").code == 2
    assert oio("container", "show", "--cid", cid, "photos").code == 2
    lost = Oio(oio.rdctl, "--oio-url", "http://127.0.0.1:1", "--namespace", "NS", "--retries", "0")
    assert lost("container", "show", "photos").code == 2  # no account
    assert lost("container", "show", "--cid", cid).code == 6


def test_names_that_the_server_does_not_take(oio: Oio) -> None:
    for words in (
        ["container", "create", "\udcff"],
        ["container", "show", "bytes\udc80"],
        ["content", "show", "photos", "\udcfe"],
    ):
        ran = oio(*words)
        assert ran.code == 2
        assert "not UTF-8" in ran.err
        assert "\\x" in ran.err
    assert oio("container", "create", "nul\0").code == 2
    ran = oio("content", "show", "photos", "x" * 1024)
    assert ran.code == 2
    assert "An oio-proxy 4.2 accepts at most 1023 bytes for path." in ran.err


def test_one_of_several_that_the_server_does_not_take(oio: Oio) -> None:
    """Its container names are UTF-8; the others are made all the same."""
    ran = oio("container", "create", "a", "b\udcff", "c", "--json")
    assert (ran.code, [row["target"] for row in ran.json["results"]]) == (8, ["a", "c"])
    (error,) = ran.json["errors"]
    assert (error["code"], error["target"]) == ("usage", "b\udcff")
    assert "not UTF-8" in error["message"]


def test_bytes_that_are_no_text_are_no_fault_of_rdctl(oio: Oio) -> None:
    """In a namespace and in a type of services, which servers do not have."""
    for words in (
        "--namespace \udcff conscience types",
        "reference renew photos \udcff",
        "reference unlink photos \udcff --yes",
        "conscience list \udcff",
    ):
        ran = oio(*words.split())
        assert "internal error" not in ran.err
        assert "Traceback" not in ran.err
