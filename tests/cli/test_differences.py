"""What a change changes: `before` and `after` of its outcome, the same in its dry run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Program

MIB = 1024 * 1024
HOST = "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"
EXPORT = {
    "nqn": "nqn.2021-06.org.rapiddisk:sandbox-rd0",
    "ports": [1],
    "hosts": [HOST],
    "any_host": False,
}
PORT = {"transport": "tcp", "address": "127.0.0.1", "service": "4421"}
CACHE = {"volume": "rd1", "source": "sdb", "policy": "write-around"}
# For each command what has to be done before it.
CASES: list[tuple[str, str, Any, Any]] = [
    ("", "rapiddisk resize rd0 64M", {"size": 32 * MIB}, {"size": 64 * MIB}),
    ("", "rapiddisk unlock rd0", {"locked": False}, {"locked": False}),
    ("", "rapiddisk nvmet unexport rd0 --yes", EXPORT, None),
    ("", "rapiddisk nvmet unexport rd0 --port 2 --yes", EXPORT, EXPORT),
    (
        "",
        "rapiddisk nvmet export rd0 --port 2 --host nqn.x:1",
        EXPORT,
        {**EXPORT, "ports": [1, 2], "hosts": [HOST, "nqn.x:1"]},
    ),
    (
        "",
        "rapiddisk nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4421",
        None,
        PORT,
    ),
    (
        "",
        "rapiddisk nvmet port remove 2 --yes",
        {"transport": "loop", "address": None, "service": None},
        None,
    ),
    ("rapiddisk create 64M", "rapiddisk cache create rd1 sdb --policy write-around", None, CACHE),
    (
        "rapiddisk create 64M; rapiddisk cache create rd1 sdb --policy write-around",
        "rapiddisk cache remove rc-wa_sdb --yes",
        CACHE,
        None,
    ),
    (
        "",
        "oio container set-properties photos a=1 b=2",
        {"properties": {"a": None, "b": None}},
        {"properties": {"a": "1", "b": "2"}},
    ),
    (
        "oio container set-properties photos a=1 b=2",
        "oio container set-properties photos b=3 --replace-all --yes",
        {"properties": {"owner": "ada", "a": "1", "b": "2"}},
        {"properties": {"b": "3"}},
    ),
    (
        "oio container set-properties photos a=1",
        "oio container del-properties photos a zz",
        {"properties": {"a": "1"}},
        {"properties": {"a": None}},
    ),
    (
        "",
        "oio account set-properties sandbox team=red",
        {"properties": {"team": None}},
        {"properties": {"team": "red"}},
    ),
    ("", "context set lab oio=http://127.0.0.1:1", None, {"oio": "http://127.0.0.1:1"}),
    (
        "context set lab oio=http://127.0.0.1:1 timeout=5",
        "context set lab timeout= http_proxy=http://me:secret@127.0.0.1:2",
        {"timeout": 5.0, "http_proxy": None},
        {"timeout": None, "http_proxy": "http://me:***@127.0.0.1:2"},
    ),
    (
        "context set lab oio=http://127.0.0.1:1",
        "context remove lab",
        {"oio": "http://127.0.0.1:1"},
        None,
    ),
    ("", "context use sandbox", {"current": None}, {"current": "sandbox"}),
]


@pytest.mark.parametrize(("first", "words", "before", "after"), CASES)
def test_before_and_after(rdctl: Program, first: str, words: str, before: Any, after: Any) -> None:
    where = () if words.startswith("context") else ("-c", "sandbox")
    for command in filter(None, first.split("; ")):
        assert rdctl(*where, *command.split(), "--yes").code == 0
    for dry in (["--dry-run"], []):
        ran = rdctl(*where, *words.split(), "--json", *dry)
        assert ran.code == 0, ran.err
        (result,) = ran.json["results"]
        assert (result["before"], result["after"]) == (before, after)


def test_what_a_new_container_gets(rdctl: Program) -> None:
    words = "-c sandbox oio container create docs -p team=red --json"
    (planned,) = rdctl(*words.split(), "--dry-run").json["results"]
    assert not {"before", "after"} & {*planned}  # only the reply says whether it is new
    (result,) = rdctl(*words.split()).json["results"]
    assert (result["before"], result["after"]) == (None, {"properties": {"team": "red"}})


def test_rows_have_both(rdctl: Program) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "resize", "rd0", "64M", "-o", "csv")
    assert ran.out.splitlines() == [
        "action,target,changed,verified,error,line,before,after",
        'resize,rd0,true,true,,,"{""size"": 33554432}","{""size"": 67108864}"',
    ]


def test_sentences_have_neither(rdctl: Program) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "create", "64M", "--units", "human")
    assert ran.out == "created rd1 (64.0 MiB)\n"
