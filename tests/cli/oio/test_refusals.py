"""What to do next depends on what was asked, not on the server's number alone."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from rdctl.oio.refusals import CODES, HINTS
from tests.cli.oio.conftest import Oio, Server

CID = "AB" * 32
UP = "See which services are up: rdctl oio conscience list"
VERSIONS = "See its versions: rdctl oio container list photos --prefix index.txt --all-versions"
ENABLE = "Enable it: rdctl oio admin enable photos"
RAWX = "Too few rawx services are up: rdctl oio conscience list rawx"
META2 = "Too few meta2 services are up: rdctl oio conscience list meta2"
TYPES = "See the types: rdctl oio conscience types"
LINKED = "See its links: rdctl oio reference show photos"
UNLINK = (
    "Unlink its services first: rdctl oio reference unlink photos TYPE",
    "Or destroy it with its links (their data become unreachable):"
    " rdctl oio reference destroy --force photos",
)
NOT_EMPTY = (
    "See its objects: rdctl oio container list photos",
    "Use --flush to delete them first, or --force to leave their chunks as orphans.",
)
POLICIES = "See the storage policies: rdctl oio conscience info"
QUOTA = (
    "The quota of the container (sys.m2.quota) is reached.",
    "Raise it: rdctl oio container set-properties photos --quota SIZE",
)
CONSCIENCE = "Check that the conscience is running: the proxy cannot reach it."
STUCK = "A service behind the proxy may be stuck. " + UP
NAMESPACE = "The proxy serves another namespace: select it with --namespace."
SHARDS = (
    "The container is sharded. Use --cid with one of its shards:"
    " rdctl oio container sharding show photos"
)
SUFFIX = "Use another --suffix, or none."
WAIT = "Wait until it is finished, then try again."
PREPARE = "content prepare photos new --size 1"
CREATE = "content create photos new --length 1 --content-id AB --chunks -"
FORCE = "reference force photos meta2 127.0.0.1:9"

# The number, the route that answers with it, the command, its exit, its hints.
REFUSED: list[tuple[int, str, str, int, tuple[str, ...]]] = [
    (2, "forward/lean-glib", "service lean-glib 127.0.0.1:16010", 10, (UP,)),
    (2, "admin/status", "admin status photos", 6, (UP,)),
    (7, "admin/status", "admin status photos", 7, (STUCK,)),
    (
        7,
        "forward/stats",
        "service stats 127.0.0.1:16010",
        7,
        ("See the addresses of the services: rdctl oio conscience list",),
    ),
    (9, "admin/status", "admin status photos", 6, (UP,)),
    (10, "admin/status", "admin status photos", 6, (UP,)),
    (19, "content/create", CREATE, 4, ("A chunk with that ID is already in use.",)),
    (
        19,
        "container/raw_insert",
        "container raw-insert photos --body -",
        4,
        ("Use --overwrite to replace existing beans.",),
    ),
    (19, "reference/force", FORCE, 4, ()),
    (308, "admin/sync", "admin sync photos", 4, (SHARDS,)),
    (400, "container/show", "container show photos", 2, ()),
    (
        403,
        "forward/kill",
        "service kill 127.0.0.1:16010",
        5,
        ("Enable it in the configuration of the service.",),
    ),
    (403, "container/touch", "container touch photos", 5, ()),
    (406, "container/show", "container show photos", 3, ()),
    (406, "reference/show", "reference show photos", 3, ()),
    (407, "reference/destroy", "reference destroy photos --force", 4, UNLINK),
    (407, "reference/renew", "reference renew photos meta2", 4, (LINKED,)),
    (407, "container/destroy", "container destroy photos --force", 4, ()),
    (438, "container/destroy", "container destroy photos --force", 4, NOT_EMPTY),
    (418, "conscience/info", "conscience info", 3, (NAMESPACE,)),
    (418, "container/show", "container show photos", 3, (NAMESPACE,)),
    (420, "content/show", "content show photos index.txt", 3, ()),
    (420, "content/show", "content show photos index.txt --content-version 5", 3, (VERSIONS,)),
    # A version is looked up before it is deleted.
    (420, "content/show", "content delete photos index.txt --content-version 5", 3, (VERSIONS,)),
    (420, "content/delete", "content delete photos index.txt", 3, ()),
    (420, "container/raw_update", "container raw-update photos --body -", 3, ()),
    (
        421,
        "content/create",
        CREATE,
        4,
        ("See the object with that ID or version: rdctl oio content show photos new",),
    ),
    (424, "content/create", CREATE, 4, (VERSIONS.replace("index.txt", "new"),)),
    (425, "content/create", CREATE, 4, ("The sizes of the chunks must add up to --length.",)),
    (
        426,
        "content/show",
        "content show photos index.txt",
        3,
        ("Its latest version is a delete marker; older ones may exist.", VERSIONS),
    ),
    (
        427,
        "content/show",
        "content show photos index.txt",
        4,
        ("Its data were drained: only its name and properties are left.",),
    ),
    (
        431,
        "container/show",
        "container show photos",
        3,
        ("Its reference may exist: rdctl oio reference show photos",),
    ),
    (431, "admin/status", "admin status photos --type sqlx", 3, (LINKED,)),
    (433, "container/checkpoint", "container checkpoint photos", 4, (SUFFIX,)),
    (436, "container/touch", "container touch photos", 4, (ENABLE,)),
    (436, "content/delete", "content delete photos index.txt", 4, (ENABLE,)),
    (436, "admin/sync", "admin sync photos --type sqlx", 4, (f"{ENABLE} --type sqlx",)),
    (437, "container/flush", "container flush photos", 4, (ENABLE,)),
    (439, "container/touch", "container touch photos", 4, ()),
    (440, "content/prepare", PREPARE, 4, (WAIT,)),
    (441, "content/prepare", PREPARE, 4, (WAIT,)),
    (445, "content/prepare", PREPARE, 4, QUOTA),
    (446, "content/prepare", PREPARE, 4, ()),
    (453, "conscience/list", "conscience list rawx", 3, (TYPES,)),
    (453, "local/list", "local list", 3, (TYPES,)),
    (453, "reference/link", "reference link photos rawx", 3, (TYPES,)),
    (
        455,
        "reference/force",
        FORCE,
        4,
        ("Use --replace to replace the linked service.",),
    ),
    (455, "reference/link", "reference link photos sqlx", 4, (LINKED,)),
    (480, "content/prepare", PREPARE, 2, (POLICIES,)),
    (
        480,
        "container/create",
        "container create c --system sys.m2.policy.storage=X",
        2,
        (POLICIES,),
    ),
    (481, "content/prepare", PREPARE, 6, (RAWX,)),
    (481, "content/spare", "content spare photos index.txt --policy P --body -", 6, (RAWX,)),
    (481, "container/create", "container create c", 6, (META2,)),
    (
        481,
        "reference/link",
        "reference link photos sqlx",
        6,
        ("Too few sqlx services are up: rdctl oio conscience list sqlx",),
    ),
    (
        481,
        "lb/choose",
        "account list",
        6,
        ("Too few account services are up: rdctl oio conscience list account",),
    ),
    (500, "container/purge", "container purge photos", 10, ()),
    (501, "container/touch", "container touch photos", 11, ()),
    (502, "admin/copy", "admin copy photos --to 127.0.0.1:16011", 10, (UP,)),
    (503, "container/show", "container show photos", 6, (UP,)),
    (503, "conscience/list", "conscience list rawx", 6, (CONSCIENCE,)),
    (
        503,
        "lb/choose",
        "account list",
        6,
        ("See whether one is up: rdctl oio conscience list account",),
    ),
    (509, "container/show", "container show photos", 6, ("Try again in a moment.",)),
]
# Statuses of proxies 2025.
LATER = {308, 433, 440, 441}
BODIES = {
    "raw-insert": [{"type": "alias", "name": "n", "version": 1}],
    "raw-update": {"old": [{"type": "alias"}], "new": [{"type": "alias"}]},
    "create": [{"url": "http://127.0.0.1:16013/AB", "pos": "0", "size": 1, "hash": "0" * 32}],
    "spare": {"notin": [], "broken": [{"id": "http://127.0.0.1:16013/AB"}]},
}


def refusing(server: Server, route: str, status: int, message: str = "as it said") -> None:
    app = server.app

    def refuse(environ: Any, start_response: Any) -> Any:
        if not environ["PATH_INFO"].endswith("/" + route):
            return app(environ, start_response)
        start_response("500 Internal error", [("Content-Type", "application/json")])
        return [json.dumps({"status": status, "message": message}).encode()]

    server.app = refuse


@pytest.mark.parametrize(("status", "route", "words", "exit", "hints"), REFUSED)
def test_hints_follow_the_noun_and_the_step(
    wire: Oio, server: Server, status: int, route: str, words: str, exit: int, hints: Any
) -> None:
    if status in LATER:
        assert wire.rdctl("sandbox", "release", "2025").code == 0
    refusing(server, route, status)
    body = BODIES.get(words.split()[1]) if words.endswith(" -") else None
    ran = wire(*shlex.split(words), "--yes", "--json", "--retries", "0", body=body)
    document = ran.json
    error = document.get("error") or document["errors"][0]
    assert (ran.code, error["remote_status"]) == (exit, status), ran.err
    assert "as it said" in error["message"]
    where = f"rdctl {shlex.join(wire.where)} oio"
    told = tuple(line.replace("rdctl oio", where) for line in hints)
    lines = (error["hint"] or "").splitlines()
    if exit == 10:
        assert lines.pop(0).startswith("It is not retried. Check the outcome: rdctl ")
    assert tuple(lines) == told
    # Each on a line of its own, as it can be pasted.
    assert [f"hint: {line}" in ran.err.splitlines() for line in told] == [True] * len(told)


def test_every_number_with_a_hint_is_tried() -> None:
    assert set(HINTS) <= {status for status, *_ in REFUSED} <= set(CODES) | {500}


def test_a_version_that_is_not_there_is_named(wire: Oio) -> None:
    ran = wire("content", "show", "photos", "index.txt", "--content-version", "5")
    assert 'version 5 of object "index.txt" not found in container "photos"' in ran.err


def test_a_raw_request_is_told_the_same(wire: Oio, server: Server) -> None:
    refusing(server, "container/touch", 436)
    ran = wire("api", "POST", "container/touch", "--param", "ref=photos", "--yes")
    assert ran.code == 4
    assert "Enable it: rdctl " in ran.err
    assert "oio admin enable photos" in ran.err
