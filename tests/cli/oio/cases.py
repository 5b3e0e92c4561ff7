"""Every changing command of rdctl oio: how it is typed, and what it says when it is done."""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple

from tests.cli.oio.conftest import Oio

META2 = "127.0.0.1:16010"
RAWX = "127.0.0.1:16013"


def chunk(name: str, pos: int = 0, size: int = 5) -> dict[str, Any]:
    url = f"http://{RAWX}/{name.encode().hex():0>64}".upper().replace("HTTP", "http")
    return {"url": url, "pos": str(pos), "size": size, "hash": "0" * 32}


CHUNKS = [chunk("one"), chunk("two", pos=1)]
HEADER = {
    "type": "header",
    "id": "AABBCC",
    "hash": "0" * 32,
    "size": 5,
    "ctime": 1447250996,
    "mtime": 1447250996,
    "policy": "SINGLE",
    "chunk-method": "plain",
    "mime-type": "text/plain",
}
ALIAS = {
    "type": "alias",
    "name": "by hand",
    "version": 1447250996000001,
    "ctime": 1447250996,
    "mtime": 1447250996,
    "deleted": False,
    "header": "AABBCC",
}
BEANS = [ALIAS, HEADER]
LATER = {"old": [HEADER], "new": [{**HEADER, "size": 7}]}


class Case(NamedTuple):
    """`says` is part of stdout; `setup` are commands before it (` < ` and their standard input),
    `body` is a JSON value on its standard input; `asks`: what the question says is lost, if any."""

    words: str
    says: str
    setup: tuple[str, ...] = ()
    body: Any = None
    asks: str = ""
    code: int = 0

    @property
    def verb(self) -> str:
        return " ".join(self.words.split()[:2])

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.words)

    @property
    def stdin(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()

    def prepare(self, oio: Oio) -> None:
        for line in self.setup:
            words, _, body = line.partition(" < ")
            oio.ok(*shlex.split(words), "--yes", stdin=body.encode())


REFERENCE = ("reference create user1 -p color=blue -p size=1",)
LINKED = (*REFERENCE, "reference force user1 sqlx 127.0.0.1:16012")
DOCS = ("container create docs",)
ECHO = ("conscience register echo 127.0.0.1:7999",)
LONG = (
    "content create photos long --chunks - --length 10 --content-id AB < " + json.dumps(CHUNKS),
)
BY_HAND = ("container raw-insert photos --body - < " + json.dumps(BEANS),)
FROZEN = ("admin freeze photos",)

CASES = (
    Case(
        "conscience register echo 127.0.0.1:7999 --tag tag.x=1",
        "127.0.0.1:7999 registered (score -1, state unscored)",
    ),
    Case(
        f"conscience lock rawx {RAWX}",
        f"{RAWX} locked (score 0, state down-or-locked)",
        asks=f"rawx {RAWX}: score will be pinned to 0; it will get no new requests",
    ),
    Case(
        f"conscience lock rawx {RAWX} 127.0.0.1:16014 --score 40",
        f"{RAWX} locked (score 40, state up)\n127.0.0.1:16014 locked (score 40, state up)",
        asks="rawx 127.0.0.1:16014: score will be pinned to 40",
    ),
    Case(
        f"conscience unlock rawx {RAWX}",
        f"{RAWX} unlocked (score 93, state up)",
        setup=(f"conscience lock rawx {RAWX}",),
    ),
    Case(
        "conscience unlock rdir --all",
        "127.0.0.1:16018 unlocked (score 97, state up)\n"
        "127.0.0.1:16019 unlocked (score 96, state up)",
    ),
    Case(
        "conscience flush echo",
        "echo flushed (services 127.0.0.1:7999)",
        setup=ECHO,
        asks="echo 127.0.0.1:7999 will be removed from the conscience",
    ),
    Case(
        "conscience deregister meta1",
        "meta1 deregistered (services 127.0.0.1:16007 127.0.0.1:16008)",
        asks="meta1 127.0.0.1:16008 will be removed from the conscience",
    ),
    Case("reference create user1 -p color=blue", "user1 created"),
    Case(
        "reference destroy user1",
        "user1 destroyed",
        setup=REFERENCE,
        asks='reference "user1" will be destroyed',
    ),
    Case(
        "reference destroy user1 --force",
        "user1 destroyed",
        setup=LINKED,
        asks='reference "user1" will be destroyed and its services unlinked',
    ),
    Case("reference link user1 sqlx", "user1 linked (services 127.0.0.1:16012)", setup=REFERENCE),
    Case(
        "reference renew user1 sqlx",
        "user1 is up to date (services 127.0.0.1:16012)",
        setup=LINKED,
    ),
    Case(
        "reference unlink user1 sqlx",
        "user1 unlinked",
        setup=LINKED,
        asks="user1: its sqlx services will be unlinked",
    ),
    Case("reference force user1 sqlx 127.0.0.1:16012", "user1 linked", setup=REFERENCE),
    Case(
        "reference force user1 sqlx 127.0.0.1:7000 --replace --seq 2",
        "user1 linked",
        setup=LINKED,
        asks="user1: 127.0.0.1:7000 will replace its sqlx service",
    ),
    Case("container create docs -p team=red", "docs created"),
    Case(
        "container create a b photos",
        "a created\nb created\nphotos already exists",
    ),
    Case(
        "container create docs --system sys.m2.quota=5",
        "docs created",
        asks="docs: will be created with system properties sys.m2.quota",
    ),
    Case(
        "container destroy docs",
        "docs destroyed",
        setup=DOCS,
        asks='container "docs" will be destroyed',
    ),
    Case(
        "container destroy photos --flush",
        "photos destroyed",
        asks='container "photos" will be destroyed after all its contents are deleted',
    ),
    Case(
        "container destroy photos --force",
        "photos destroyed",
        asks='container "photos" will be destroyed even if it is not empty; its chunks will',
    ),
    Case(
        "container flush photos",
        "photos emptied",
        asks='all contents of container "photos" will be deleted',
    ),
    Case("container touch photos", "photos touched"),
    Case("container dedup photos", "photos deduped"),
    Case(
        "container purge photos --max-versions 2",
        "photos purged",
        asks="photos: all versions but the latest 2 will be deleted",
    ),
    Case(
        "container raw-insert photos --body -",
        "photos: raw-insert done",
        body=BEANS,
        asks="photos: beans of its base will be edited directly (raw insert)",
    ),
    Case(
        "container raw-update photos --body -",
        "photos: raw-update done",
        setup=BY_HAND,
        body=LATER,
        asks="photos: beans of its base will be edited directly (raw update)",
    ),
    Case(
        "container raw-delete photos --body -",
        "photos: raw-delete done",
        setup=BY_HAND,
        body=[ALIAS],
        asks="photos: beans of its base will be edited directly (raw delete)",
    ),
    Case(
        "content delete photos index.txt",
        "index.txt deleted",
        asks='"index.txt" in container "photos" will be deleted',
    ),
    Case(
        "content delete photos index.txt sea/storm.svg",
        "index.txt deleted\nsea/storm.svg deleted",
        asks='"sea/storm.svg" in container "photos" will be deleted',
    ),
    Case("content touch photos index.txt", "index.txt touched"),
    Case("content prepare photos new --size 10", "Container     photos\nPath          new\n"),
    Case("content prepare docs new --size 0 --autocreate", "Container     docs\n"),
    Case(
        "content create photos new --chunks - --length 10B --content-id AB -p k=v",
        "new created (10)",
        body=CHUNKS,
    ),
    Case(
        "content create photos index.txt --chunks - --length 10B --content-id AB",
        "index.txt created (10)",
        body=CHUNKS,
        asks='"index.txt" in container "photos" will be replaced',
    ),
    Case(
        "content spare photos index.txt --policy SINGLE --body -",
        "URL\nhttp://127.0.0.1:16",
        body={"notin": [], "broken": [chunk("lost")]},
    ),
    Case(
        "content truncate photos long --size 5B",
        "long truncated",
        setup=LONG,
        asks='"long" in container "photos" will be cut to 5 B',
    ),
    Case("admin ping photos", "SERVICE          ROLE  MASTER  STATUS  MESSAGE\n127.0.0.1:16009"),
    Case("admin sync photos", "-     -          301  not SLAVE\n"),
    Case(
        "admin drop-cache photos",
        "127.0.0.1:16011  -     -          200  OK\n",
        asks="photos: all replicas will close the database; requests in progress will fail",
    ),
    Case(
        f"admin leave photos --service {META2}",
        f"SERVICE          ROLE  MASTER  STATUS  MESSAGE\n{META2}  -     -          200  OK\n",
        asks=f"photos: {META2} will leave the election",
    ),
    Case(
        "admin leave photos --all",
        "127.0.0.1:16011  -     -          200  OK\n",
        asks="photos: all replicas will leave the election",
    ),
    Case(
        "admin copy photos --to 127.0.0.1:16011",
        "photos copied",
        asks='127.0.0.1:16011: its copy of base "photos" will be overwritten',
    ),
    Case(
        "admin freeze photos",
        "photos frozen",
        asks="photos: will be read-only until it is enabled",
    ),
    Case(
        "admin disable photos",
        "photos disabled",
        asks="photos: will be unusable until it is enabled",
    ),
    Case("admin enable photos", "photos enabled", setup=FROZEN),
    *(
        case
        for target, setup in (
            ("reference {} user1", REFERENCE),
            ("container {} photos", ("container set-properties photos color=red",)),
            ("content {} photos index.txt", ("content set-properties photos index.txt color=red",)),
            ("admin {} photos", ("admin set-properties photos color=red",)),
        )
        for name in (target.split()[-1],)
        for case in (
            Case(
                target.format("set-properties") + " color=green shape=round",
                f"{name}: properties updated (color shape)",
                setup=setup,
            ),
            Case(
                target.format("set-properties") + " color=blue --replace-all",
                f"{name}: properties updated (color)",
                setup=setup,
                asks=f"{name}: all its other properties will be deleted",
            ),
            Case(
                target.format("del-properties") + " color nothing",
                f"{name}: properties deleted (color, not set: nothing)",
                setup=setup,
            ),
            Case(
                target.format("del-properties") + " --all",
                f"{name}: properties deleted (color",
                setup=setup,
                asks=f"{name}: all its properties will be deleted: color",
            ),
        )
    ),
    *(
        Case(
            f"{noun} set-properties photos --system sys.m2.policy.version=3",
            "photos: properties updated (sys.m2.policy.version)",
            asks="photos: set system properties sys.m2.policy.version",
        )
        for noun in ("container", "admin")
    ),
    *(
        Case(f"service {action} {META2}", f"{META2}: {action} done")
        for action in ("lean-glib", "lean-sqlx")
    ),
    Case(f"service flush {META2}", f"{META2} flushed"),
    Case(f"service reload {META2}", f"{META2} reloaded"),
    Case(f"service kill {META2}", "", asks=f"{META2} will be aborted", code=5),
    Case(
        "api POST container/touch --param acct=sandbox --param ref=photos",
        "",
        asks="POST container/touch: Refresh counters.",
    ),
    Case("api POST forward/nothing", "", asks="POST forward/nothing", code=11),
)
ASKING = tuple(case for case in CASES if case.asks)
