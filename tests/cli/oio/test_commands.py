"""Every command of rdctl oio, done and refused, in every format."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import Any

import pytest
import yaml

from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from rdctl.output.schemas import SCHEMAS
from tests.cli.oio.cases import BEANS, CASES, META2, OTHERS, RAWX, Case
from tests.cli.oio.conftest import Oio

VERBS = {
    node.path.removeprefix("rdctl oio ")
    for node in walk(root)
    if node.path.startswith("rdctl oio ") and not node.children
}

# What is shown: the schema, and whether it is a listing.
SHOWN = {
    "overview": "overview",
    "conscience info": "namespace",
    "conscience types": "type",
    "conscience list": "service",
    "conscience list rawx meta2 --full": "service",
    f"conscience show rawx {RAWX} 127.0.0.1:16014": "service",
    "local list": "service",
    "reference show photos": "reference",
    "reference show photos --type meta2": "reference",
    "reference get-properties photos": "properties",
    "container show photos": "container",
    "container get-properties photos owner": "properties",
    "container locate photos": "location",
    "container list": "account-container",
    "container list photos": "entry",
    "container list photos --delimiter / --properties": "entry",
    "content locate photos index.txt": "chunk",
    "content ranges photos --shards 2": "range",
    "content list photos --prefix alps/ --all-versions --deleted": "entry",
    "content show photos index.txt sea/storm.svg": "content",
    "content get-properties photos sea/storm.svg": "properties",
    "content prepare photos new --size 10": "content",
    "account list": "account-name",
    "account show": "account",
    "account show sandbox": "account",
    "account containers --prefix p": "account-container",
    f"volume show {RAWX} 127.0.0.1:16014": "volume",
    f"volume chunks {OTHERS} {RAWX}": "indexed-chunk",
    "volume assignation": "assignment",
    f"volume admin show {RAWX}": "volume-state",
    "directory dump --prefix 8F5": "mapped-prefix",
    "events stats --tube oio": "counter",
    f"service stats {META2}": "counter",
    f"service stats {RAWX}": "counter",
    f"service version {RAWX}": "service-reply",
    f"service ping {META2}": "service-reply",
    f"service version {META2}": "service-reply",
    "admin status photos": "replica",
    "admin ping photos": "replica",
    "admin sync photos --seq 1": "replica",
    "admin debug photos": "election",
    "admin has photos": "replica",
    "admin info photos": "replica",
    "conscience resolve rawx 127.0.0.1:16013": "service-id",
    "conscience wait rdir account": "service",
    "lb choose account": "choice",
    "lb poll --pool account": "choice",
    "cache show": "service-id",
    "cache status": "cache",
    "service config get proxy": "variable",
    "admin get-properties photos": "properties",
}
# What is refused: exit code, error code, part of the message, part of the hint.
NO_PHOTOS = 'container "nope" not found in account "sandbox"'
NO_USER = 'reference "nope" not found in account "sandbox"'
NO_OBJECT = 'object "nope" not found in container "photos"'
NO_TYPE = 'service type "nope" not found in the conscience'
NO_RDIR = "volume 127.0.0.1:7: no rdir assigned"
AWAY = "127.0.0.1:7: [errno=111] Connection refused"
SINCE = "Available in oio-proxy 2025.28 and later."
REFUSED: dict[str, tuple[int, str, str, str]] = {
    "overview --namespace OTHER": (3, "not-found", "Invalid parameter 'namespace'", "--na"),
    "conscience info --namespace OTHER": (3, "not-found", "Invalid parameter 'namespace'", "--na"),
    "conscience types --namespace OTHER": (3, "not-found", "namespace", "--namespace"),
    "conscience list nope": (3, "not-found", NO_TYPE, "Existing types: "),
    "conscience register nope 127.0.0.1:7": (3, "not-found", NO_TYPE, "Existing types: "),
    "conscience register rawx here": (2, "usage", 'invalid service address "here"', ""),
    "conscience lock rawx 127.0.0.1:7": (
        3,
        "not-found",
        "rawx service 127.0.0.1:7 not found",
        RAWX,
    ),
    "conscience unlock rawx 127.0.0.1:7": (
        3,
        "not-found",
        "rawx service 127.0.0.1:7 not found",
        RAWX,
    ),
    "conscience unlock rawx": (2, "usage", "specify either TYPE ADDRESS... or --all", ""),
    "conscience show nope 127.0.0.1:7": (3, "not-found", NO_TYPE, "Existing types: "),
    f"conscience show rawx {META2}": (3, "not-found", f"rawx service {META2} not found", RAWX),
    "conscience show rawx": (2, "usage", "missing argument ADDRESS", "--help"),
    "conscience show rawx here": (2, "usage", 'invalid service address "here"', ""),
    "conscience flush nope": (3, "not-found", NO_TYPE, "Existing types: "),
    "conscience deregister nope": (3, "not-found", NO_TYPE, "Existing types: "),
    "content show docs ''": (2, "usage", "CONTAINER and PATH must not be empty", ""),
    "reference create ''": (2, "usage", "REFERENCE must not be empty", ""),
    "reference show nope": (3, "not-found", NO_USER, ""),
    "reference destroy nope": (3, "not-found", NO_USER, ""),
    "reference destroy photos": (4, "in-use", "still linked to services", "--force"),
    "reference link nope rawx": (3, "not-found", NO_USER, ""),
    "reference link photos nope": (2, "usage", NO_TYPE, "Existing types: "),
    "reference unlink nope rawx": (3, "not-found", NO_USER, ""),
    "reference renew nope rawx": (3, "not-found", NO_USER, ""),
    f"reference force photos meta2 {META2}": (4, "exists", "photos: ", "--replace"),
    "reference force photos meta2 here": (2, "usage", 'invalid service address "here"', ""),
    "reference get-properties nope": (3, "not-found", NO_USER, ""),
    "reference set-properties nope a=b": (3, "not-found", NO_USER, ""),
    "reference set-properties photos": (2, "usage", "missing argument KEY=VALUE", "--help"),
    "reference set-properties photos a": (
        2,
        "usage",
        'invalid argument "a": must be KEY=VALUE',
        "KEY=",
    ),
    "reference set-properties photos a=b a=c": (2, "usage", 'key "a" is given twice', ""),
    "reference del-properties photos": (2, "usage", "or --all", "get-properties photos"),
    "reference del-properties nope a": (3, "not-found", NO_USER, ""),
    "container create --cid AB": (2, "usage", 'unknown option "--cid"', ""),
    f"container create {'x' * 256}": (3, "not-found", "no such user", "at most 255 bytes"),
    "container create c --quota 10X": (2, "usage", 'invalid size "10X"', "Examples"),
    "container create c --quota 9000P": (2, "usage", "sys.m2.quota: invalid value", "8 EiB"),
    "container create c --max-versions -2": (2, "usage", "--max-versions", ""),
    "container create c --policy SINGEL": (2, "usage", '"SINGEL"', "Did you mean SINGLE?"),
    "container set-properties photos --policy NONE": (2, "usage", '"NONE"', "THREECOPIES"),
    "container set-properties photos --quota 1B --system sys.m2.quota=1": (
        2,
        "usage",
        "--quota and --system sys.m2.quota are mutually exclusive",
        "",
    ),
    "container show nope": (3, "not-found", NO_PHOTOS, ""),
    "container list nope": (3, "not-found", NO_PHOTOS, ""),
    "container list photos --delimiter ab": (2, "usage", "a single byte", ""),
    "container list photos --limit 0": (2, "usage", "--limit", "container list --help"),
    "container destroy nope": (3, "not-found", NO_PHOTOS, ""),
    "container destroy photos": (4, "not-empty", 'container "photos" is not empty', "Use --flush"),
    "container flush nope": (3, "not-found", NO_PHOTOS, ""),
    "container touch nope": (3, "not-found", NO_PHOTOS, ""),
    "container dedup nope": (3, "not-found", NO_PHOTOS, ""),
    "container purge nope": (3, "not-found", NO_PHOTOS, ""),
    "container get-properties nope": (3, "not-found", NO_PHOTOS, ""),
    "container set-properties nope a=b": (3, "not-found", NO_PHOTOS, ""),
    "container set-properties photos --system a=b": (2, "usage", "a is not a system", "sys."),
    "container del-properties nope --all": (3, "not-found", NO_PHOTOS, ""),
    "container raw-insert nope --body -": (3, "not-found", NO_PHOTOS, ""),
    "container raw-delete nope --body -": (3, "not-found", NO_PHOTOS, ""),
    "container raw-update nope --body -": (2, "usage", "standard input: must be an object", ""),
    "content ranges nope --shards 2": (3, "not-found", NO_PHOTOS, ""),
    "content list nope": (3, "not-found", NO_PHOTOS, ""),
    "content show photos nope": (3, "not-found", NO_OBJECT, ""),
    "content show nope index.txt": (3, "not-found", NO_PHOTOS, ""),
    "content show photos": (2, "usage", "missing argument PATH", "content show --help"),
    "content delete photos nope": (3, "not-found", NO_OBJECT, ""),
    "content delete nope a b": (3, "not-found", NO_PHOTOS, ""),
    "content undelete photos nope": (3, "not-found", NO_OBJECT, "Without versioning"),
    "content purge photos nope": (3, "not-found", NO_OBJECT, ""),
    "content drain photos nope": (3, "not-found", NO_OBJECT, ""),
    "content link photos nope new": (3, "not-found", NO_OBJECT, ""),
    "content locate photos nope": (3, "not-found", NO_OBJECT, ""),
    "container snapshot nope": (3, "not-found", NO_PHOTOS, ""),
    "content touch photos nope": (3, "not-found", NO_OBJECT, ""),
    "content prepare nope a --size 1": (3, "not-found", NO_PHOTOS, ""),
    "content prepare photos a --size 1 --policy NONE": (2, "usage", "", "conscience info"),
    "content prepare photos a --size 1 --policy 17COPIES": (6, "unavailable", "", "list rawx"),
    "content prepare photos a --size 1.5": (2, "usage", "1.5", ""),
    "content create photos a --chunks - --length 1": (2, "usage", "chunk 0: url", ""),
    "content spare photos a --policy SINGLE --body -": (2, "usage", '{"notin"', ""),
    "content copy photos index.txt other": (
        11,
        "unsupported",
        "(4.2 or later) does not support content/copy",
        "",
    ),
    "content truncate photos nope --size 0": (3, "not-found", NO_OBJECT, ""),
    "content truncate photos index.txt --size 5B": (2, "usage", "nearest metachunk boundary", ""),
    "content get-properties photos nope": (3, "not-found", NO_OBJECT, ""),
    "content set-properties photos nope a=b": (3, "not-found", NO_OBJECT, ""),
    "content del-properties photos nope a": (3, "not-found", NO_OBJECT, ""),
    "account list --timeout 0": (2, "usage", "timeout", ""),
    **{
        f"account {words}": (3, "not-found", 'account "nope" not found', "")
        for words in (
            *("delete nope", "flush nope", "refresh nope"),
            *("set-properties nope a=b", "del-properties nope a"),
        )
    },
    "container locate nope": (3, "not-found", NO_PHOTOS, ""),
    "container refresh nope": (3, "not-found", NO_PHOTOS, ""),
    "account show nope": (3, "not-found", 'account "nope" not found', ""),
    "account containers --account nope": (3, "not-found", 'account "nope" not found', ""),
    **{
        f"volume {verb} 127.0.0.1:7": (3, "not-found", NO_RDIR, "volume assignation")
        for verb in (
            *("show", "chunks", "admin show", "admin incident"),
            *("admin lock --owner me", "admin unlock", "admin clear"),
        )
    },
    f"volume chunks {RAWX} --to-rebuild": (4, "conflict", "has no incident", "admin incident"),
    "volume assignation --namespace OTHER": (3, "not-found", "namespace", "--namespace"),
    f"volume admin lock {RAWX} --owner admin_clear": (2, "usage", "release that lock", ""),
    f"volume admin incident {RAWX} --date 2999-01-01": (2, "usage", "must be in the past", ""),
    "directory dump --prefix 8F541": (2, "usage", "up to 4 hexadecimal digits", ""),
    "directory dump --service here": (2, "usage", 'invalid service address "here"', ""),
    "events stats --tube nope": (3, "not-found", 'tube "nope" not found', ""),
    "events stats --tube 'a b'": (2, "usage", 'invalid tube "a b"', ""),
    "events stats --address 127.0.0.1": (2, "usage", "must be HOST:PORT", ""),
    "events stats --address 127.0.0.1:5": (6, "unreachable", "Connection refused", "its address"),
    "directory warmup --digits 5": (2, "usage", "--digits", ""),
    "service stats 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    "service stats here": (2, "usage", 'invalid service address "here"', ""),
    "service ping 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    f"service ping {RAWX} --type meta2": (7, "timeout", "Timeout", "addresses of the services"),
    f"service lean-glib {RAWX}": (11, "unsupported", "a rawx service does not support", ""),
    f"service handlers {RAWX}": (11, "unsupported", "a rawx service does not support", ""),
    "service version 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    f"service handlers {META2}": (
        11,
        "unsupported",
        "(4.2 or later) does not support forward/handlers",
        "",
    ),
    "service lean-glib 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    "service lean-sqlx 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    "service flush 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    "service reload 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    f"service kill {META2}": (5, "denied", "abort disabled", ""),
    "admin status nope": (3, "not-found", NO_PHOTOS, ""),
    "admin status photos --type sqlx": (3, "not-found", "photos", "reference show photos"),
    "admin ping nope": (3, "not-found", NO_PHOTOS, ""),
    "admin sync nope": (3, "not-found", NO_PHOTOS, ""),
    "admin debug nope": (3, "not-found", NO_PHOTOS, ""),
    "admin drop-cache nope": (3, "not-found", NO_PHOTOS, ""),
    "admin leave nope --all": (3, "not-found", NO_PHOTOS, ""),
    "admin leave photos": (2, "usage", "specify either --service ADDRESS or --all", ""),
    "admin copy nope --to 127.0.0.1:16011": (3, "not-found", NO_PHOTOS, ""),
    "admin copy photos --to 127.0.0.1:7": (6, "unavailable", AWAY, ""),
    "admin has nope": (3, "not-found", NO_PHOTOS, ""),
    "admin info nope": (3, "not-found", NO_PHOTOS, ""),
    "container checkpoint photos": (11, "unsupported", "not support container/checkpoint", SINCE),
    "container sharding show photos": (11, "unsupported", "container/sharding/show", SINCE),
    "content transition photos index.txt --policy SINGLE": (
        *(11, "unsupported", "does not support content/transition", SINCE),
    ),
    "admin vacuum photos": (11, "unsupported", "(4.2 or later) does not support admin/vacuum", ""),
    f"admin remove nope --service {META2}": (3, "not-found", NO_USER, ""),
    "admin remove photos": (2, "usage", "--service", ""),
    "conscience resolve nope 127.0.0.1:7": (3, "not-found", NO_TYPE, "Existing types: "),
    "conscience wait nope": (3, "not-found", NO_TYPE, "Existing types: "),
    "local list nope": (3, "not-found", NO_TYPE, "Existing types: "),
    "lb choose nope": (3, "not-found", "Invalid TYPE", "Existing types: "),
    "lb poll --pool nope": (3, "not-found", 'service pool "nope" not found', "rawx2"),
    "cache flush nope": (2, "usage", "nope", ""),
    f"reference relink nope rdir --from {RAWX}": (3, "not-found", NO_USER, ""),
    "reference relink photos rdir --from here": (2, "usage", "invalid service address", ""),
    "service config get 127.0.0.1:7": (6, "unavailable", AWAY, "conscience list"),
    f"service config get {RAWX}": (7, "timeout", "Timeout", "addresses of the services"),
    "service config get here": (2, "usage", 'invalid service address "here"', ""),
    f"service config set {META2} nope=1": (3, "not-found", 'variable "nope"', "config get"),
    "admin freeze nope": (3, "not-found", NO_PHOTOS, ""),
    "admin disable nope": (3, "not-found", NO_PHOTOS, ""),
    "admin enable nope": (3, "not-found", NO_PHOTOS, ""),
    "admin get-properties nope": (3, "not-found", NO_PHOTOS, ""),
    "admin set-properties nope a=b": (3, "not-found", NO_PHOTOS, ""),
    "admin del-properties nope a": (3, "not-found", NO_PHOTOS, ""),
}
# Of what needs a body, one that the command takes as JSON.
BODY = BEANS


def schema_of(words: str) -> Any:
    (schema,) = [SCHEMAS[name] for name in SCHEMAS if name.startswith(f"rdctl.oio.{SHOWN[words]}/")]
    return schema


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = document["items"] if "items" in document else [document["item"]]
    return rows


def test_every_command_is_here() -> None:
    done = {case.verb for case in CASES} | {verb_of(words) for words in SHOWN}
    # Only a proxy 3.3 can do these; there they are tested at the end.
    done |= {"service handlers", "content copy", "api"}
    # These have test_put.py and test_get.py.
    done |= {"content put", "content get"}
    # These have test_link.py and test_snapshot.py.
    done |= {"content link", "container snapshot"}
    # This has test_sync.py.
    done |= {"content sync"}
    # These have test_check.py and test_repair.py.
    done |= {"content check", "container check", "content repair"}
    # It has test_append.py.
    done |= {"content append"}
    # These have test_lifecycle.py.
    done |= {"lifecycle get", "lifecycle set"}
    done |= {"admin vacuum"}  # only a later proxy: test_bases.py
    # Only a proxy of 2025 can do these: test_later.py.
    done |= {"container checkpoint", "container sharding show", "content transition"}
    assert done - {"api POST"} == VERBS
    # No more can fail in them than in any: no proxy, or none that answers. `api` has its own file.
    never = {"api", "content put", "content get", "content check", "container check"}
    never |= {"content repair", "lifecycle get", "lifecycle set", "account create"}
    never |= {"cache show", "cache status"}
    never |= {"content append"}
    never |= {"content sync"}
    assert {verb_of(words) for words in REFUSED} == VERBS - never


def verb_of(words: str) -> str:
    """The verb, with the noun that it is in, if any."""
    parts = words.split()
    found = (" ".join(parts[:count]) for count in (3, 2, 1))
    return next(verb for verb in found if verb in VERBS)


# Done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_a_change_says_what_was_done(oio: Oio, case: Case) -> None:
    case.prepare(oio)
    ran = oio(*case.argv, "--yes", body=case.body)
    assert ran.code == case.code, ran.err
    assert case.says in ran.out
    if case.code == 0:
        assert ran.err == "[sandbox]\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_a_change_in_json(oio: Oio, case: Case) -> None:
    case.prepare(oio)
    ran = oio(*case.argv, "--yes", "--json", body=case.body)
    if case.words.startswith("api"):
        return  # bytes as they came
    if case.code:
        assert (ran.json["status"], len(ran.json["errors"])) == ("error", 1)
        return
    if ran.json["schema"] != "rdctl.change/1":
        keys = [column.key for column in SCHEMAS[ran.json["schema"]].columns]
        assert [list(row) for row in rows_of(ran.json)] == [keys] * len(rows_of(ran.json))
        return
    assert list(ran.json) == ["schema", "status", "results", "errors"]
    assert (ran.json["status"], ran.json["errors"]) == ("success", [])
    for row in ran.json["results"]:
        assert list(row)[:4] == ["action", "target", "changed", "verified"]
        assert row["action"] == case.verb.split()[-1]
        of_others = ("conscience unlock rdir", "directory warmup")
        assert row["target"] in case.words or case.words.startswith(of_others)


@pytest.mark.parametrize("words", SHOWN)
def test_what_is_shown_has_the_keys_of_its_schema(oio: Oio, words: str) -> None:
    keys = [column.key for column in schema_of(words).columns]
    ran = oio.ok(*words.split(), "--json")
    assert ran.json["schema"] == schema_of(words).name
    assert ran.json.get("complete", True) is True
    rows = rows_of(ran.json)
    assert rows
    assert [list(row) for row in rows] == [keys] * len(rows)


# What differs from one run to the next.
CHANCE = ("content prepare", "admin debug")


@pytest.mark.parametrize("words", SHOWN)
def test_every_format_tells_the_same(oio: Oio, words: str) -> None:
    rows = rows_of(oio.ok(*words.split(), "--json").json)
    shown = {form: oio.ok(*words.split(), "-o", form).out for form in FORMATS}
    keys = [column.key for column in schema_of(words).columns]
    named = [str(row[schema_of(words).named_by]) for row in rows]
    read = list(csv.reader(io.StringIO(shown["csv"])))
    assert read[0] == shown["tsv"].split("\n")[0].split("\t") == keys
    assert len(read) == len(shown["tsv"].splitlines()) == len(rows) + 1
    assert shown["name"].splitlines() == named
    if not words.startswith(CHANCE):
        assert rows_of(yaml.safe_load(shown["yaml"])) == rows
        assert [json.loads(line) for line in shown["ndjson"].splitlines()] == rows


FORMATS = ("yaml", "ndjson", "csv", "tsv", "name")
# Chunk addresses and container ids are longer than some terminals are wide, and not parted.
WIDE = ("entry", "service", "type", "account-name", "account-container", "counter", "replica")


@pytest.mark.parametrize("words", SHOWN)
def test_tables_for_people(oio: Oio, words: str) -> None:
    schema = schema_of(words)
    rows = rows_of(oio.ok(*words.split(), "--json").json)
    for width in (40, 80, 200):
        pipe, terminal = (oio.ok(*words.split(), width=width, tty=tty) for tty in (False, True))
        assert "\x1b" not in pipe.out
        for ran in (pipe, terminal):
            assert all(line == line.rstrip() for line in ran.out.splitlines())
        if SHOWN[words] in WIDE and not words.startswith("conscience show"):
            plain = oio.ok(*words.split(), width=width, tty=True, env={"NO_COLOR": "1"}).out
            assert max(map(len, plain.splitlines())) <= width
        for row in rows:
            assert str(row[schema.named_by]) in pipe.out
    assert pipe.out == oio.ok(*words.split(), width=40).out or words.startswith(CHANCE)


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_says_why(oio: Oio, words: str) -> None:
    code, word, message, hint = REFUSED[words]
    body = BODY if words.endswith(" -") or "- " in words else None
    before = oio.state
    ran = oio(*shlex.split(words), "--yes", "--json", body=body)
    assert ran.code == code, ran.err
    document = ran.json
    error = document["error"] if "error" in document else document["errors"][0]
    assert error["code"] == word
    assert message in error["message"]
    assert hint in (error["hint"] or "")
    assert error["message"] in ran.err
    assert all(f"hint: {line}\n" in ran.err for line in (error["hint"] or "").split("\n") if line)
    if "remote_status" in error:
        assert len(error["request_id"]) == 32
        assert f"request id: {error['request_id']}" in ran.err
    assert oio.state == before
    assert "Traceback" not in ran.err
