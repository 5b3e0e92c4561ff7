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


def verb_of(line: str) -> str:
    words = line.split()
    groups = (["service", "config"], ["volume", "admin"], ["container", "sharding"])
    nested = words[:2] in groups
    return " ".join(words[: 3 if nested else 2])


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
        return verb_of(self.words)

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.words)

    @property
    def stdin(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()

    def prepare(self, oio: Oio) -> None:
        """In process, where all services can be reached."""
        sandbox = Oio(oio.rdctl)
        if self.words.startswith("volume"):
            oio.show_rdir()
        for line in self.setup:
            words, _, body = line.partition(" < ")
            sandbox.ok(*shlex.split(words), "--yes", stdin=body.encode())


REFERENCE = ("reference create user1 -p color=blue -p size=1",)
LINKED = (*REFERENCE, "reference force user1 sqlx 127.0.0.1:16012")
DOCS = ("container create docs",)
ECHO = ("conscience register echo 127.0.0.1:7999",)
LONG = (
    "content create photos long --chunks - --length 10 --content-id AB < " + json.dumps(CHUNKS),
)
VERSIONS = (
    "container set-properties photos --max-versions -1",
    *(
        f"content create photos v --chunks - --length 10 --content-id {id} --content-version {id}"
        f" < {json.dumps([chunk(f'{id}one'), chunk(f'{id}two', pos=1)])}"
        for id in ("10", "20")
    ),
)
DELETED = (*VERSIONS, "content delete photos v")
BY_HAND = ("container raw-insert photos --body - < " + json.dumps(BEANS),)
FROZEN = ("admin freeze photos",)
INCIDENT = (f"volume admin incident {RAWX} --date 1750000000",)
LOCKED = (f"volume admin lock {RAWX} --owner me",)
OTHERS = " ".join(f"127.0.0.1:{port}" for port in (*range(16014, 16017), *range(16020, 16028)))
# A chunk that only one rawx can take.
INDEXED = (
    f"conscience lock rawx {OTHERS}",
    "content put photos - --path new --policy SINGLE < new",
)

CASES = (
    Case(
        "conscience register echo 127.0.0.1:7999 --tag tag.x=1",
        "registered 127.0.0.1:7999 (score -1, state unscored)",
    ),
    Case(
        f"conscience lock rawx {RAWX}",
        f"locked {RAWX} (score 0, state down-or-locked)",
        asks=f"rawx {RAWX}: score will be locked at 0 (gets no new data)",
    ),
    Case(
        f"conscience lock rawx {RAWX} 127.0.0.1:16014 --score 40",
        f"locked {RAWX} (score 40, state up)\nlocked 127.0.0.1:16014 (score 40, state up)",
        asks="rawx 127.0.0.1:16014: score will be locked at 40",
    ),
    Case(
        f"conscience unlock rawx {RAWX}",
        f"unlocked {RAWX} (score 93, state up)",
        setup=(f"conscience lock rawx {RAWX}",),
    ),
    Case(
        "conscience unlock rdir --all",
        "unlocked 127.0.0.1:16018 (score 97, state up)\n"
        "unlocked 127.0.0.1:16019 (score 96, state up)",
    ),
    Case(
        "conscience lock rawx 127.0.0.1:16099 --unregistered",
        "locked 127.0.0.1:16099 (score 0, state down-or-locked)",
        asks="rawx 127.0.0.1:16099: not registered in the conscience; its score will be locked at 0"
        " (gets no new data), and it will be listed",
    ),
    Case(
        "conscience wait rdir --unlock",
        "rdir  127.0.0.1:16018     97  up",
        setup=("conscience lock rdir 127.0.0.1:16018",),
    ),
    Case("cache flush low high", "flushed low\nflushed high"),
    Case(
        "cache flush local", "flushed local", asks="the proxy will know no services until it asks"
    ),
    Case(
        "service config set proxy proxy.bulk.max.create_many=50 proxy.cache.enabled=true",
        "set proxy.bulk.max.create_many (value 50)\nproxy.cache.enabled is up to date (value on)",
    ),
    Case(f"service config set {META2} ns.worm=on", "set ns.worm (value on)"),
    Case(
        "reference relink user1 rdir --from 127.0.0.1:16018",
        "relinked user1 (services 127.0.0.1:16019)",
        setup=(*REFERENCE, "reference force user1 rdir 127.0.0.1:16018"),
        asks='reference "user1" will be unlinked from rdir 127.0.0.1:16018: its data there become',
    ),
    Case(
        "reference relink user1 meta2 --from 127.0.0.1:16009",
        "relinked user1 (services 127.0.0.1:16011, 127.0.0.1:16010)",
        setup=(
            *REFERENCE,
            "reference force user1 meta2 127.0.0.1:16009",
            "reference force user1 meta2 127.0.0.1:16010 --seq 2",
        ),
        asks='reference "user1" will be unlinked from meta2 127.0.0.1:16009: its data there become',
    ),
    Case(
        "admin remove photos --service 127.0.0.1:16012 --service 127.0.0.1:16020",
        'removed container "photos" from 127.0.0.1:16012\n'
        'container "photos" is not on 127.0.0.1:16020\n',
        setup=("admin copy photos --to 127.0.0.1:16012",),
        asks='the copy of container "photos" on 127.0.0.1:16012 will be deleted',
    ),
    Case(
        "conscience flush echo",
        "flushed echo (services 127.0.0.1:7999)",
        setup=ECHO,
        asks="echo 127.0.0.1:7999 will be removed from the conscience",
    ),
    Case(
        "conscience deregister meta1",
        "deregistered meta1 (services 127.0.0.1:16007, 127.0.0.1:16008)",
        asks="meta1 127.0.0.1:16008 will be removed from the conscience",
    ),
    Case("reference create user1 -p color=blue", "created user1"),
    Case(
        "reference destroy user1",
        "destroyed user1",
        setup=REFERENCE,
        asks='reference "user1" will be destroyed',
    ),
    Case(
        "reference destroy user1 --force",
        "destroyed user1",
        setup=LINKED,
        asks='reference "user1" will be destroyed and unlinked from 1 service',
    ),
    Case("reference create user1 user2 -p a=b", "created user1\ncreated user2"),
    Case(
        "reference destroy user1 user2",
        "destroyed user1\ndestroyed user2",
        setup=(*REFERENCE, "reference create user2"),
        asks='reference "user2" will be destroyed',
    ),
    Case("reference link user1 sqlx", "linked user1 (services 127.0.0.1:16012)", setup=REFERENCE),
    Case(
        "reference renew user1 sqlx",
        "user1 is up to date (services 127.0.0.1:16012)",
        setup=LINKED,
    ),
    Case(
        "reference unlink user1 sqlx",
        "unlinked user1",
        setup=LINKED,
        asks='reference "user1" will be unlinked from its sqlx services',
    ),
    Case("reference force user1 sqlx 127.0.0.1:16012", "linked user1", setup=REFERENCE),
    Case(
        "reference force user1 sqlx 127.0.0.1:7000 --replace --seq 2",
        "linked user1",
        setup=LINKED,
        asks='127.0.0.1:7000 will replace the sqlx service of reference "user1"',
    ),
    Case("container create docs -p team=red", "created docs"),
    Case(
        "container create a b photos",
        "created a\ncreated b\nphotos already exists",
    ),
    Case(
        "container create docs --system sys.m2.quota=5",
        "created docs",
        asks='container "docs" will be created with system properties sys.m2.quota',
    ),
    Case("container create docs --quota 1G --policy SINGLE --max-versions -1", "created docs"),
    Case(
        "container set-properties photos --quota 1G --policy SINGLE color=red",
        "photos: properties updated (color, sys.m2.quota, sys.m2.policy.storage)",
        asks="photos: the quota will be 1.0 GiB; uploads to a full container fail",
    ),
    Case(
        "container destroy docs",
        "destroyed docs",
        setup=DOCS,
        asks='container "docs" will be destroyed',
    ),
    Case(
        "container destroy photos --flush",
        "destroyed photos",
        asks='container "photos" and its 5 objects (733 B) will be deleted',
    ),
    Case(
        "container destroy photos --force",
        "destroyed photos",
        asks='container "photos" will be destroyed; the chunks of its 5 objects (733 B) will be',
    ),
    Case(
        "container flush photos",
        "emptied photos",
        asks='5 objects (733 B) in container "photos" will be deleted',
    ),
    Case(
        "container flush docs photos",
        "docs is already empty\nemptied photos",
        setup=DOCS,
        asks='5 objects (733 B) in container "photos" will be deleted',
    ),
    Case("container touch photos", "touched photos"),
    Case("container dedup photos", "deduped photos"),
    Case("container dedup photos docs", "deduped photos\ndeduped docs", setup=DOCS),
    Case(
        "container purge photos docs",
        "purged photos\ndocs has nothing to purge",
        setup=DOCS,
        asks='all versions of objects in container "photos" except those that its policy keeps',
    ),
    Case(
        "container purge photos --max-versions 2",
        "purged photos",
        asks='all versions of objects in container "photos" except the latest 2 will be deleted',
    ),
    Case(
        "container raw-insert photos --body -",
        "photos: raw-insert done",
        body=BEANS,
        asks='beans in the database of container "photos" will be edited (raw-insert)',
    ),
    Case(
        "container raw-update photos --body -",
        "photos: raw-update done",
        setup=BY_HAND,
        body=LATER,
        asks='beans in the database of container "photos" will be edited (raw-update)',
    ),
    Case(
        "container raw-delete photos --body -",
        "photos: raw-delete done",
        setup=BY_HAND,
        body=[ALIAS],
        asks='beans in the database of container "photos" will be edited (raw-delete)',
    ),
    Case(
        "content delete photos index.txt",
        "deleted index.txt",
        asks='object "index.txt" in container "photos" will be deleted',
    ),
    Case(
        "content delete photos index.txt sea/storm.svg",
        "deleted index.txt\ndeleted sea/storm.svg",
        asks='object "sea/storm.svg" in container "photos" will be deleted',
    ),
    Case(
        "content delete photos index.txt v",
        "deleted index.txt\nv is already deleted",
        setup=DELETED,
        asks='object "index.txt" in container "photos" will be deleted',
    ),
    Case("content undelete photos v", "restored v", setup=DELETED),
    Case(
        "content purge photos v --max-versions 1",
        "purged v",
        setup=VERSIONS,
        asks='version 10 (10 B) of object "v" in container "photos" will be deleted',
    ),
    Case(
        "content drain photos index.txt",
        "drained index.txt",
        asks='the data of object "index.txt" in container "photos" (37 B) will be deleted',
    ),
    Case("content touch photos index.txt", "touched index.txt"),
    Case("content prepare photos new --size 10", "Container     photos\nPath          new\n"),
    Case("content prepare docs new --size 0 --autocreate", "Container     docs\n"),
    Case(
        "content create photos new --chunks - --length 10B --content-id AB -p k=v",
        "created new (10 bytes)",
        body=CHUNKS,
    ),
    Case(
        "content create photos index.txt --chunks - --length 10B --content-id AB",
        "created index.txt (10 bytes)",
        body=CHUNKS,
        asks='object "index.txt" in container "photos" will be replaced',
    ),
    Case(
        "content spare photos index.txt --policy SINGLE --body -",
        "URL\nhttp://127.0.0.1:16",
        body={"notin": [], "broken": [chunk("lost")]},
    ),
    Case(
        "content truncate photos long --size 5B",
        "truncated long",
        setup=LONG,
        asks='object "long" in container "photos" will be truncated from 10 B to 5 B',
    ),
    Case("account create t1 sandbox", "created t1\nsandbox already exists"),
    Case(
        "account delete t1",
        "deleted t1",
        setup=("account create t1",),
        asks='account "t1" will be deleted',
    ),
    Case("account set-properties sandbox a=b", "sandbox: properties updated (a)"),
    Case(
        "account set-properties sandbox a=b --replace-all",
        "sandbox: properties updated (a)",
        setup=("account set-properties sandbox c=d",),
        asks="sandbox: all other properties will be deleted",
    ),
    Case(
        "account del-properties sandbox a z",
        "sandbox: properties deleted (a; not set: z)",
        setup=("account set-properties sandbox a=b",),
    ),
    Case(
        "account del-properties sandbox --all",
        "sandbox: properties deleted (a)",
        setup=("account set-properties sandbox a=b",),
        asks="sandbox: all properties will be deleted: a",
    ),
    Case("account refresh sandbox", "refreshed sandbox (containers 1)"),
    Case(
        "account flush sandbox",
        "flushed the listing of sandbox",
        asks='account "sandbox": the service will forget its 1 container',
    ),
    Case("container refresh photos docs", "refreshed photos\nrefreshed docs", setup=DOCS),
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
        "copied photos",
        asks='the copy of container "photos" on 127.0.0.1:16011 will be overwritten',
    ),
    Case(
        "admin freeze photos",
        "frozen photos",
        asks='container "photos" will be read-only until it is enabled',
    ),
    Case(
        "admin disable photos",
        "disabled photos",
        asks='container "photos" cannot be read or written until it is enabled',
    ),
    Case(
        "admin freeze photos docs",
        "frozen photos (read-only until it is enabled)\nfrozen docs (",
        setup=DOCS,
        asks='container "docs" will be read-only until it is enabled',
    ),
    Case(
        "admin enable photos docs",
        "enabled photos\ndocs is already enabled",
        setup=(*DOCS, *FROZEN),
    ),
    Case("admin enable photos", "enabled photos", setup=FROZEN),
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
                f"{name}: properties updated (color, shape)",
                setup=setup,
            ),
            Case(
                target.format("set-properties") + " color=blue --replace-all",
                f"{name}: properties updated (color)",
                setup=setup,
                asks=f"{name}: all other properties will be deleted",
            ),
            Case(
                target.format("del-properties") + " color nothing",
                f"{name}: properties deleted (color; not set: nothing)",
                setup=setup,
            ),
            Case(
                target.format("del-properties") + " --all",
                f"{name}: properties deleted (color",
                setup=setup,
                asks=f"{name}: all properties will be deleted: color",
            ),
        )
    ),
    *(
        Case(
            f"{noun} set-properties photos --system sys.m2.policy.version=3",
            "photos: properties updated (sys.m2.policy.version)",
            asks="photos: 3 versions of each object will be kept; older ones can be deleted",
        )
        for noun in ("container", "admin")
    ),
    *(
        Case(f"service {action} {META2}", f"{META2}: {action} done")
        for action in ("lean-glib", "lean-sqlx")
    ),
    Case(
        f"volume admin incident {RAWX} --date 1750000000",
        f"set the incident of {RAWX} (incident 2025-06-15T15:06:40Z)",
    ),
    Case(
        f"volume admin incident {RAWX} 127.0.0.1:16014 --date 1750000001",
        f"set the incident of {RAWX} (",
        setup=INCIDENT,
        asks=f"volume {RAWX}: incident of 2025-06-15T15:06:40Z will be replaced",
    ),
    Case(f"volume admin lock {RAWX} --owner me", f"locked {RAWX} (owner me)"),
    Case(f"volume admin unlock {RAWX} --owner me", f"unlocked {RAWX}", setup=LOCKED),
    Case(
        f"volume admin unlock {RAWX} --force",
        f"unlocked {RAWX}",
        setup=LOCKED,
        asks=f'volume {RAWX}: lock of "me" will be released',
    ),
    Case(
        f"volume admin clear {RAWX}",
        f"cleared {RAWX} (removed 0, repaired 0, errors 0)",
        setup=INCIDENT,
        asks=f"volume {RAWX}: incident of 2025-06-15T15:06:40Z will be removed",
    ),
    Case(
        f"volume admin clear {RAWX} --repair",
        f"cleared {RAWX} (removed 0, repaired ",
        setup=INDEXED,
        asks=f"volume {RAWX}: all entries of its index will be rewritten",
    ),
    Case(
        f"volume admin clear {RAWX} --all",
        f"cleared {RAWX} (removed ",
        setup=INDEXED,
        asks=f"volume {RAWX}: ",
    ),
    Case("directory warmup --prefix 8F54", "warmed up OPENIO (bases 1)"),
    Case(f"service flush {META2}", f"flushed {META2}"),
    Case(
        f"service flush {META2} 127.0.0.1:16011",
        f"flushed {META2}\nflushed 127.0.0.1:16011",
    ),
    Case(f"service reload {META2}", f"reloaded {META2}"),
    Case(f"service kill {META2}", "", asks=f"service {META2} will be aborted", code=5),
    Case(
        "api POST container/touch --param acct=sandbox --param ref=photos",
        "",
        asks="POST container/touch: Refresh counters.",
    ),
    Case("api POST forward/nothing", "", asks="POST forward/nothing", code=11),
)
ASKING = tuple(case for case in CASES if case.asks)
