"""`--cid` and `--content-id`: each verb that takes them, by what it sends."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple
from urllib.parse import quote

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from rdctl.sandbox.oio.state import container_id
from tests.cli.oio.cases import BEANS, CHUNKS, LATER, META2, chunk, verb_of
from tests.cli.oio.conftest import Oio
from tests.cli.test_help import RULES
from tests.conftest import Program, Ran
from tests.fakes.faults import FaultServer, reply
from tests.fakes.faults import json as answer

NAMES = "acct=sandbox&ref=photos"
OWNER = "container/show?cid={cid}"
TITLE = f"content/show?{NAMES}&content={{id}}&properties=0"
PATH = f"content/show?{NAMES}&path=index.txt&properties=0"
BASE = "type=meta2"
CURRENT = f"container/list?{NAMES}&prefix=index.txt&max=1&deleted=1"
BOTH = (
    f"container/list?{NAMES}&marker=index.txs%F4%8F%BF%BF&max=2&deleted=1",
    f"container/list?{NAMES}&prefix=sea%2Fstorm.svg&max=1&deleted=1",
)
# Whether what is deleted can be restored.
KEEPS = ("config", f"container/show?{NAMES}")
VERSIONS = f"container/list?{NAMES}&prefix=index.txt&all=1&max=1000"
KEPT_BY_CONTENT = f"content/get_properties?{NAMES}&path=index.txt"


class By(NamedTuple):
    """How a verb is typed, the requests that it takes, and what a change names as its target;
    `code` where this server refuses, `release` where an earlier one has no such route."""

    words: str
    sends: tuple[str, ...]
    target: str | None = None
    body: object = None
    code: int = 0
    release: str = ""


def _container(
    action: str, words: str = "", query: str = "", looks: tuple[str, ...] = (), **more: object
) -> By:
    """A change of a container: one question for its names, and a look at what is so already."""
    sent = (OWNER, *looks, f"container/{action.replace('-', '_')}?{NAMES}{query}")
    return By(f"container {action} --cid {{cid}} {words}", sent, "photos", **more)  # type: ignore[arg-type]


def _reference(action: str, words: str, query: str, *looks: str) -> By:
    sent = (OWNER, *looks, f"reference/{action}?{NAMES}{query}")
    return By(f"reference {action.replace('_', '-')} --cid {{cid}} {words}", sent, "photos")


def _base(
    action: str,
    words: str = "",
    target: str | None = None,
    looks: tuple[str, ...] = (),
    query: str = "",
) -> By:
    sent = (OWNER, *looks, f"admin/{action.replace('-', '_')}?{NAMES}&{BASE}{query}")
    return By(f"admin {action} --cid {{cid}} {words}", sent, target)


HELD = (f"container/list?{NAMES}&max=1&all=1",)
KEPT = (f"container/get_properties?{NAMES}",)
KEPT_BY_BASE = (f"admin/get_properties?{NAMES}&{BASE}",)
# Twice, before the prompt and after it; then whether the copy is removed.
_HAS = f"admin/has?{NAMES}&{BASE}"
_HAS_HERE = f"{_HAS}&service_id={quote(META2)}"
REMOVABLE = (
    *2 * (f"reference/show?{NAMES}", _HAS, _HAS_HERE, f"admin/status?{NAMES}&{BASE}"),
    _HAS_HERE,
)


LOST = {"notin": [], "broken": [chunk("lost")]}
CASES = (
    # What only reads goes by the id.
    By("container show --cid {cid}", (OWNER,)),
    By("container list --cid {cid}", ("container/list?cid={cid}&max=1000",)),
    By("content list --cid {cid}", ("container/list?cid={cid}&max=1000",)),
    By("content ranges --cid {cid} --shards 2", ("container/list?cid={cid}&max=1000",)),
    By("container get-properties --cid {cid}", ("container/get_properties?cid={cid}",)),
    By("container locate --cid {cid}", (OWNER, "reference/show?cid={cid}")),
    By("lifecycle get --cid {cid}", ("container/get_properties?cid={cid}",)),
    By("reference show --cid {cid}", ("reference/show?cid={cid}",)),
    By("reference get-properties --cid {cid}", ("reference/get_properties?cid={cid}",)),
    By("admin status --cid {cid}", (f"admin/status?cid={{cid}}&{BASE}",)),
    *(
        By(f"admin {action} --cid {{cid}}", (f"admin/{action}?cid={{cid}}&{BASE}",))
        for action in ("debug", "has", "info")
    ),
    By("admin get-properties --cid {cid}", (f"admin/get_properties?cid={{cid}}&{BASE}",)),
    *(
        By(
            f"content show {words}",
            (f"content/show?{query}&properties=0", f"content/get_properties?{query}"),
        )
        for words, query in (
            ("--cid {cid} index.txt", "cid={cid}&path=index.txt"),
            ("--cid {cid} --content-id {id}", "cid={cid}&content={id}"),
            ("photos --content-id {id}", f"{NAMES}&content={{id}}"),
        )
    ),
    By(
        "content get-properties --cid {cid} index.txt",
        ("content/get_properties?cid={cid}&path=index.txt",),
    ),
    By(
        "content get-properties --cid {cid} --content-id {id}",
        ("content/get_properties?cid={cid}&content={id}",),
    ),
    By(
        "content get --cid {cid} index.txt --to -",
        ("content/show?cid={cid}&path=index.txt&properties=0",),
        code=6,  # no rawx listens
    ),
    By(
        "content get --cid {cid} --content-id {id} --to -",
        ("content/show?cid={cid}&content={id}&properties=0",),
        code=6,
    ),
    # No rawx listens, which is a finding: the object is looked at again.
    By(
        "content check --cid {cid} index.txt",
        ("content/show?cid={cid}&path=index.txt&properties=0",) * 2,
        code=12,
    ),
    By(
        "content check --cid {cid} --content-id {id}",
        ("content/show?cid={cid}&content={id}&properties=0",) * 2,
        code=12,
    ),
    # Nor can any service be examined here: nothing is repaired.
    By(
        "content repair --cid {cid} index.txt",
        ("content/show?cid={cid}&path=index.txt&properties=0",),
        code=6,
    ),
    By(
        "content repair --cid {cid} --content-id {id}",
        ("content/show?cid={cid}&content={id}&properties=0",),
        code=6,
    ),
    By(
        "container check --cid {cid}",
        (OWNER, "container/list?cid={cid}&max=1000&all=1", OWNER),
    ),
    # What changes a container is told by its name, and so is sent.
    _container("destroy", "--force", "&force=1", (f"container/show?{NAMES}",) * 2),
    _container("flush", looks=(*HELD, f"container/show?{NAMES}")),
    _container("touch"),
    By(
        "container refresh --cid {cid}",
        (
            OWNER,
            "lb/choose?type=account",
            "v1.0/account/containers?id=sandbox&prefix=photos&limit=1",
            "v1.0/account/container/reset?id=sandbox",
            f"container/touch?{NAMES}",
        ),
        "photos",
    ),
    By(
        "lifecycle set --cid {cid} -",
        (OWNER, *KEPT, f"container/set_properties?{NAMES}"),
        "photos",
        RULES.encode(),
    ),
    _container("dedup"),
    _container("purge", looks=HELD),
    _container("set-properties", "a=b", looks=KEPT),
    _container("del-properties", "owner", looks=KEPT),
    _container("raw-insert", "--body -", body=BEANS),
    _container("raw-update", "--body -", body=LATER, code=3),
    _container("raw-delete", "--body -", body=BEANS),
    _reference("destroy", "--force", "&force=1", f"reference/show?{NAMES}"),
    _reference("link", "sqlx", "&type=sqlx", f"reference/show?{NAMES}&type=sqlx"),
    _reference("renew", "meta2", "&type=meta2", f"reference/show?{NAMES}&type=meta2"),
    _reference("unlink", "meta2", "&type=meta2", f"reference/show?{NAMES}&type=meta2"),
    By(  # it is linked to all that there are
        f"reference relink --cid {{cid}} meta2 --from {META2}",
        (OWNER, f"reference/show?{NAMES}&type=meta2", *2 * ("lb/poll?pool=meta2",)),
        code=6,
    ),
    _reference("force", "sqlx 127.0.0.1:7000", "&type=sqlx"),
    _reference("set_properties", "a=b", "", f"reference/get_properties?{NAMES}"),
    By(  # it has none
        "reference del-properties --cid {cid} a",
        (OWNER, f"reference/get_properties?{NAMES}"),
        "photos",
    ),
    *(_base(action) for action in ("ping", "sync", "drop-cache")),
    _base("leave", "--all"),
    _base("remove", f"--service {META2}", META2, REMOVABLE, f"&service_id={quote(META2)}"),
    By("admin vacuum --cid {cid}", (OWNER, f"admin/vacuum?{NAMES}&{BASE}"), code=11),
    _base("copy", "--to 127.0.0.1:16011", target="photos"),
    *(_base(action, target="photos") for action in ("freeze", "disable")),
    _base("enable", target="photos", looks=(f"container/show?{NAMES}",)),
    _base("set-properties", "a=b", "photos", KEPT_BY_BASE),
    _base("del-properties", "owner", "photos", KEPT_BY_BASE),
    # A content's id is sent, with its path for people, but where it is refused.
    By(
        "content delete --cid {cid} index.txt",
        (OWNER, *KEEPS, CURRENT, CURRENT, f"content/delete?{NAMES}&path=index.txt"),
        "index.txt",
    ),
    By(
        "content delete --cid {cid} index.txt sea/storm.svg",
        (OWNER, *KEEPS, *2 * BOTH, f"content/delete_many?{NAMES}"),
        "index.txt",
    ),
    By(
        "content delete --cid {cid} --content-id {id}",
        (OWNER, TITLE, PATH, *KEEPS, CURRENT, CURRENT, f"content/delete?{NAMES}&content={{id}}"),
        "index.txt",
    ),
    By(
        "content undelete --cid {cid} --content-id {id}",
        (OWNER, TITLE, PATH, VERSIONS),
        "index.txt",
    ),
    By(
        "content purge --cid {cid} --content-id {id} --max-versions 1",
        (OWNER, TITLE, PATH, VERSIONS),
        "index.txt",
    ),
    By(
        "content drain --cid {cid} --content-id {id}",
        (OWNER, TITLE, PATH, TITLE, f"content/drain?{NAMES}&content={{id}}"),
        "index.txt",
    ),
    By(
        "content link --cid {cid} --content-id {id} index.txt",
        (OWNER, TITLE, PATH, PATH, KEPT_BY_CONTENT, f"container/show?{NAMES}", PATH),
        code=4,
    ),
    By(
        "content locate --cid {cid} --content-id {id}",
        ("content/show?cid={cid}&content={id}&properties=0", "conscience/list?type=rawx"),
    ),
    By(
        "container sharding show --cid {cid}",
        ("container/sharding/show?cid={cid}&max=1000",),
        release="2025",
    ),
    By(
        "container checkpoint --cid {cid}",
        (OWNER, f"container/checkpoint?{NAMES}"),
        "photos",
        release="2025",
    ),
    By(
        "content transition --cid {cid} index.txt --policy EC42",
        (OWNER, "conscience/info", f"content/transition?{NAMES}&path=index.txt"),
        "index.txt",
        release="2025",
    ),
    By(
        "content transition --cid {cid} --content-id {id} --policy EC42",
        (OWNER, TITLE, "conscience/info", f"content/transition?{NAMES}&content={{id}}"),
        "index.txt",
        release="2025",
    ),
    By("container snapshot --cid {cid} photos", (OWNER, *2 * (f"container/show?{NAMES}",)), code=4),
    By(
        "content touch --cid {cid} index.txt",
        (OWNER, f"content/touch?{NAMES}&path=index.txt"),
        "index.txt",
    ),
    By(
        "content touch --cid {cid} index.txt sea/storm.svg",
        (
            OWNER,
            f"content/touch?{NAMES}&path=index.txt",
            f"content/touch?{NAMES}&path=sea%2Fstorm.svg",
        ),
        "index.txt",
    ),
    By(
        "content touch photos --content-id {id}",
        (TITLE, f"content/touch?{NAMES}&content={{id}}"),
        "index.txt",
    ),
    By(
        "content set-properties --cid {cid} --content-id {id} a=b",
        (
            OWNER,
            TITLE,
            PATH,
            f"content/get_properties?{NAMES}&path=index.txt",
            f"content/set_properties?{NAMES}&path=index.txt",
        ),
        "index.txt",
    ),
    By(  # it has none
        "content del-properties --cid {cid} --content-id {id} a",
        (OWNER, TITLE, f"content/get_properties?{NAMES}&content={{id}}"),
        "index.txt",
    ),
    By("content copy --cid {cid} --content-id {id} other", (OWNER, TITLE, PATH), code=11),
    By(
        "content truncate --cid {cid} --content-id {id} --size 0",
        (OWNER, TITLE, TITLE, f"content/truncate?{NAMES}&content={{id}}&size=0"),
        "index.txt",
        code=2,  # only where a chunk ends
    ),
    By(
        "content spare --cid {cid} --content-id {id} --policy SINGLE --body -",
        (OWNER, TITLE, f"content/spare?{NAMES}&content={{id}}&stgpol=SINGLE"),
        body=LOST,
    ),
    By("content prepare --cid {cid} new --size 1", (OWNER, f"content/prepare?{NAMES}&path=new")),
    By(
        "content create --cid {cid} new --chunks - --length 10B --content-id AB",
        (
            OWNER,
            f"content/show?{NAMES}&path=new&properties=0",
            f"content/create?{NAMES}&path=new",
        ),
        "new",
        CHUNKS,
    ),
    By(
        "content put --cid {cid} - --path new",
        (
            OWNER,
            f"container/show?{NAMES}",
            f"content/show?{NAMES}&path=new&properties=0",
            f"content/prepare?{NAMES}&path=new",
        ),
        body=0,
        code=6,
    ),
    By(  # that of the new object
        "content put photos - --path new --content-id AB",
        (
            f"container/show?{NAMES}",
            f"content/show?{NAMES}&path=new&properties=0",
            f"content/prepare?{NAMES}&path=new&content=AB",
        ),
        body=0,
        code=6,
    ),
    By(
        "content append --cid {cid} index.txt -",
        (OWNER, f"container/show?{NAMES}", PATH, f"content/prepare?{NAMES}&path=index.txt"),
        body=0,
        code=6,
    ),
    By(
        "content append --cid {cid} --content-id {id} -",
        (
            OWNER,
            TITLE,
            PATH,
            f"container/show?{NAMES}",
            PATH,
            f"content/prepare?{NAMES}&path=index.txt",
        ),
        body=0,
        code=6,
    ),
)


# Here --cid selects what is listed, in place of nothing.
SELECTS = {"volume chunks"}


def taking(option: str) -> set[str]:
    verbs = {
        node.path.removeprefix("rdctl oio ")
        for node in walk(root)
        for param in node.command.params
        if option in param.opts
    }
    return verbs - SELECTS


def tried(option: str) -> set[str]:
    return {verb_of(case.words) for case in CASES if option in case.words.split()}


@pytest.mark.parametrize("option", ["--cid", "--content-id"])
def test_every_verb_is_tried(option: str) -> None:
    assert tried(option) == taking(option)


@pytest.fixture
def ids(wire: Oio) -> dict[str, str]:
    """Those of the container and the content in the table, which is not in the way of others."""
    container = wire.ok("container", "show", "photos", "--json").json["items"][0]
    content = wire.ok("content", "show", "photos", "index.txt", "--json").json["items"][0]
    # Then it is not the master, from which a base is not removed.
    wire.ok("admin", "leave", "photos", "--service", META2, "--yes")
    wire.sent.clear()
    return {"cid": container["cid"], "id": content["content_id"]}


def run(oio: Oio, case: By, *options: str, **ids: str) -> Ran:
    if case.release:
        assert oio.rdctl("sandbox", "release", case.release).code == 0
    given = {"stdin" if isinstance(case.body, bytes) else "body": case.body}
    return oio(*shlex.split(case.words.format(**ids)), *options, **given)


def asked(oio: Oio) -> list[str]:
    """The requests to the proxy, but for what tells its version."""
    sent = (f"{one.route}?{one.query}" if one.query else one.route for one in oio.sent)
    return [line for line in sent if not line.startswith(("/", "status"))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_what_is_sent(wire: Oio, ids: dict[str, str], case: By) -> None:
    ran = run(wire, case, "--yes", "--json", **ids)
    assert ran.code == case.code, ran.err
    sent, wanted = asked(wire), [line.format(**ids) for line in case.sends]
    assert (sent[:1], sorted(sent)) == (wanted[:1], sorted(wanted))
    if case.target and not case.code:
        assert ran.json["results"][0]["target"] == case.target
        assert ids["cid"] not in ran.out


@pytest.mark.parametrize("case", [case for case in CASES if case.target], ids=lambda c: c.words)
def test_people_are_asked_by_names(wire: Oio, ids: dict[str, str], case: By) -> None:
    ran = run(wire, case, "--dry-run", **ids)
    assert ran.code == 0, ran.err
    assert ids["cid"] not in ran.out
    assert wire.changes == []


NOWHERE = "0123456789abcdef" * 4


# Unsupported is all that this proxy says of a base that may be that of a reference.
NAMED = [case for case in CASES if "{cid}" in case.words and "vacuum" not in case.words]


@pytest.mark.parametrize("case", NAMED, ids=lambda case: case.words)
def test_a_container_that_is_not_there(wire: Oio, case: By) -> None:
    words = shlex.split(case.words)
    ran = run(wire, case, "--yes", "--json", cid=NOWHERE, id="AB")
    assert ran.code == 3, ran.err
    assert f'container with ID "{NOWHERE}" not found' in ran.err
    assert [one for one in wire.changes if "container/show" not in one.route] == wire.changes
    if words[0] in ("container", "content"):
        assert wire.changes == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if "{id}" in case.words], ids=lambda case: case.words
)
def test_a_content_that_is_not_there(wire: Oio, ids: dict[str, str], case: By) -> None:
    words = shlex.split(case.words)
    ran = run(wire, case, "--yes", "--json", cid=ids["cid"], id="ABCD")
    assert ran.code == 3, ran.err
    where = "photos" if "photos" in words or case.target or case.body or case.code else ids["cid"]
    if (
        words[1] not in ("get", "check", "repair")
        and "show" not in words[1]
        and "get-" not in words[1]
    ):
        assert f'object with ID "ABCD" not found in container "{where}"' in ran.err
    assert 'object with ID "ABCD" not found in container ' in ran.err
    assert wire.changes == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("container show --cid AB", 'invalid --cid "AB": must be 64 hexadecimal digits\n'),
        ("container show --cid {cid}0", "must be 64 hexadecimal digits\n"),
        ("container show --cid {cid}.x", "must be 64 hexadecimal digits\n"),
        ("container show --cid \u0661{cid}", "must be 64 hexadecimal digits\n"),
        ("container show --cid ''", "--cid"),
        ("reference show --cid AB12", "must be 64 hexadecimal digits\n"),
        ("admin status --cid ABCDE", "64 hexadecimal digits, or a prefix of up to 4\n"),
        ("content show photos --content-id ABC", 'invalid --content-id "ABC": must be 2 to 64'),
        ("content show photos --content-id XY", "must be 2 to 64 hexadecimal digits, in pairs\n"),
        ("content show photos --content-id " + "AB" * 33, "must be 2 to 64 hexadecimal digits"),
        ("content create photos a --chunks - --length 0 --content-id A", "must be 2 to 64"),
        ("container show --cid {cid} photos", '"photos"; --cid replaces the name'),
        ("container purge --cid {cid} photos", '"photos"; --cid replaces the name'),
        ("reference link --cid {cid} photos rdir", '"rdir"; --cid replaces the name'),
        ("admin freeze --cid {cid} photos", '"photos"; --cid replaces the name'),
        ("content truncate --cid {cid} photos a --size 0", '"a"; --cid replaces'),
        (
            "content show photos index.txt --content-id AB",
            '"index.txt"; --content-id replaces PATH',
        ),
        ("content delete --cid {cid}", "missing argument PATH"),
    ],
)
def test_what_is_no_id_is_not_sent(wire: Oio, ids: dict[str, str], words: str, says: str) -> None:
    ran = wire(*shlex.split(words.format(**ids)), "--yes", stdin=json.dumps(CHUNKS).encode())
    assert (ran.code, wire.sent) == (2, [])
    assert says in ran.err


def test_the_name_of_a_base(wire: Oio, ids: dict[str, str]) -> None:
    """As services log it: the id and a number, which 3.3 does not take."""
    cid = ids["cid"]
    for words in ("container show", "admin status", "reference show"):
        wire.ok(*words.split(), "--cid", f"{cid}.1")
    assert all(f"cid={cid}" in line and ".1" not in line for line in asked(wire))


def test_bases_of_the_directory_have_only_a_prefix(wire: Oio) -> None:
    wire.ok("admin", "status", "--cid", "0000", "--type", "meta0")
    wire.ok("admin", "status", "--cid", "0A", "--type", "meta1")
    wire.ok("admin", "ping", "--cid", "0A", "--type", "meta1")
    assert asked(wire)[-1] == "admin/ping?cid=0A&type=meta1"


def test_a_reference_without_a_container_keeps_its_id(wire: Oio) -> None:
    wire.ok("reference", "create", "user1")
    cid = container_id("sandbox", "user1")
    wire.sent.clear()
    ran = wire.ok("reference", "set-properties", "--cid", cid, "a=b", "--json")
    assert ran.json["results"][0]["target"] == cid
    assert asked(wire) == [
        f"container/show?cid={cid}",
        f"reference/get_properties?cid={cid}",
        f"reference/set_properties?cid={cid}",
    ]


def versions(wire: Oio) -> list[int]:
    """Those of the content `a` of `v`, with the ids AA and BB."""
    wire.ok("container", "create", "v", "--system", "sys.m2.policy.version=-1", "--yes")
    made = []
    for id, length, chunks in (("AA", "5B", [chunk("one")]), ("BB", "10B", CHUNKS)):
        words = ("content", "create", "v", "a", "--chunks", "-", "--length", length)
        wire.ok(*words, "--content-id", id, body=chunks)
        shown = wire.ok("content", "show", "v", "--content-id", id, "--json").json["items"][0]
        made.append(shown["version"])
    wire.sent.clear()
    return made


def test_an_older_version_by_its_id(wire: Oio) -> None:
    """The latest is named by its path alone, any other with its version."""
    old, _ = versions(wire)
    wire.ok("content", "set-properties", "v", "--content-id", "AA", "k=old")
    wire.ok("content", "set-properties", "v", "--content-id", "BB", "k=new")
    a = "acct=sandbox&ref=v&path=a"
    sent = [line for line in asked(wire) if "set_properties" in line]
    assert sent == [
        f"content/set_properties?{a}&version={old}",
        f"content/set_properties?{a}",
    ]
    for id, value in (("AA", "old"), ("BB", "new")):
        found = wire.ok("content", "get-properties", "v", "--content-id", id, "--json").json
        assert found["item"]["properties"] == {"k": value}
    ran = wire("content", "copy", "v", "--content-id", "AA", "b")
    assert ran.code == 11
    assert "only the latest version can be copied" in ran.err


def test_an_older_version_is_deleted_by_its_id(wire: Oio) -> None:
    """For good, and the latest stays; the latest gets a delete marker as by its name."""
    old, new = versions(wire)
    wire.ok("content", "delete", "v", "--content-id", "AA", "--yes")
    sent = [line for line in asked(wire) if "content/delete" in line]
    assert sent == [f"content/delete?acct=sandbox&ref=v&path=a&version={old}"]
    listed = ("container", "list", "v", "--all-versions", "--json")
    assert [row["version"] for row in wire.ok(*listed).json["items"]] == [new]
    wire.ok("content", "delete", "v", "--content-id", "BB", "--yes")
    assert [row["deleted"] for row in wire.ok(*listed).json["items"]] == [True, False]
    # A second run leaves the version below the marker, as with its name.
    again = wire.ok("content", "delete", "v", "--content-id", "BB", "--yes", "--json")
    assert again.json["results"][0]["changed"] is False
    assert [row["deleted"] for row in wire.ok(*listed).json["items"]] == [True, False]
    # With its version, it is deleted, and the prompt says that it is a version.
    words = ("content", "delete", "v", "--content-id", "BB", "--content-version", str(new))
    said = f'version {new} of object "a" in container "v"'
    ran = wire(*words)
    assert (ran.code, f"{said} will be deleted" in ran.err) == (2, True)
    assert f"would delete {said}" in wire.ok(*words, "--dry-run").out
    wire.ok(*words, "--yes")
    assert [row["deleted"] for row in wire.ok(*listed).json["items"]] == [True]


def test_an_older_version_below_a_marker_is_deleted_by_its_id(wire: Oio) -> None:
    _, new = versions(wire)
    wire.ok("content", "delete", "v", "a", "--yes")
    wire.ok("content", "delete", "v", "--content-id", "AA", "--yes")
    rows = wire.ok("container", "list", "v", "--all-versions", "--json").json["items"]
    assert [row["version"] for row in rows if not row["deleted"]] == [new]


def test_a_drained_content_is_deleted_by_its_id(wire: Oio, ids: dict[str, str]) -> None:
    """content/show refuses it; its id is then all that is told of it."""
    drain = ("api", "POST", "content/drain", "--param", "acct=sandbox", "--param", "ref=photos")
    wire.ok(*drain, "--param", "path=index.txt", "--yes")
    ran = wire.ok("content", "delete", "photos", "--content-id", ids["id"], "--yes", "--json")
    assert ran.json["results"][0]["target"] == ids["id"]
    assert wire("content", "show", "photos", "index.txt").code == 3


CID = "9006CE70B59E5777D6BB410C57944812EB05FCDB5BA85D520A14B3051D1D094F"
SHOWN = {
    "Server": "oio-proxy/3.3.1/3.0",
    "x-oio-container-meta-sys-account": "ACCT",
    "x-oio-container-meta-sys-name": f"{CID}.1",
    "x-oio-container-meta-sys-user-name": "JFS",
}
TITLED = {
    "Server": "oio-proxy/3.3.1/3.0",
    "x-oio-content-meta-id": "ABCD",
    "x-oio-content-meta-name": "magic",
    "x-oio-content-meta-version": "1510000000",
    "x-oio-content-meta-length": "0",
}


def test_a_copy_by_ids_names_its_source_and_its_target(rdctl: Program) -> None:
    """3.3 alone copies, by path, into the container that its header names."""
    showing = [
        answer({"properties": {}}, headers=SHOWN),
        answer([], headers=TITLED),
        answer([], headers=TITLED),
        reply(204),
    ]
    with FaultServer(showing) as server:
        where = ("--oio-url", server.url, "--namespace", "OPENIO")
        words = ("content", "copy", "--cid", CID, "--content-id", "ABCD", "other")
        ran = rdctl(*where, "oio", *words)
    assert ran.code == 0, ran.err
    names = "acct=ACCT&ref=JFS"
    assert [request.path.removeprefix("/v3.0/OPENIO/") for request in server.requests] == [
        f"container/show?cid={CID}",
        f"content/show?{names}&content=ABCD&properties=0",
        f"content/show?{names}&path=magic&properties=0",
        f"content/copy?{names}&path=magic",
    ]
    assert server.requests[-1].headers["Destination"] == "OPENIO/ACCT/JFS//other"


def test_a_server_that_does_not_report_the_account(rdctl: Program) -> None:
    nameless = {name: value for name, value in SHOWN.items() if "account" not in name}
    with FaultServer([answer({"properties": {}}, headers=nameless)]) as server:
        where = ("--oio-url", server.url, "--namespace", "OPENIO")
        ran = rdctl(*where, "oio", "container", "flush", "--cid", CID, "--yes")
    assert (ran.code, len(server.requests)) == (9, 1)


def test_several_contexts(rdctl: Program) -> None:
    """Each of them is asked what the id stands for there."""
    found = [answer({"properties": {}}, headers=SHOWN), reply(204)]
    missing = [answer({"status": 406, "message": "Directory error: no such user"}, status=404)]
    with FaultServer(found) as a, FaultServer(missing) as b:
        contexts = "".join(
            f'[contexts.{name}]\noio = "{server.url}"\nnamespace = "OPENIO"\n'
            for name, server in (("a", a), ("b", b))
        )
        rdctl.config.write_text(contexts)
        ran = rdctl("-c", "a,b", "oio", "container", "touch", "--cid", CID, "-y", "--json")
    assert ran.code == 8, ran.err
    (done,), (failed,) = ran.json["results"], ran.json["errors"]
    assert (done["context"], done["target"]) == ("a", "JFS")
    assert (failed["context"], failed["code"]) == ("b", "not-found")
    assert [request.path.rpartition("/")[2] for request in a.requests] == [
        f"show?cid={CID}",
        "touch?acct=ACCT&ref=JFS",
    ]
    assert len(b.requests) == 1
