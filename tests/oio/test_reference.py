"""The examples of the published reference, request and reply, in the dialect `reference`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from rdctl.oio.routes import ROUTES
from rdctl.output.rows import as_data
from tests.conftest import Program
from tests.fakes import faults
from tests.fakes.faults import FaultServer
from tests.oio.test_routes import own_headers
from tests.oio.wire import NS, Answer, Answering, Sent, proxy_to

JFS = Place("ACCT", "JFS")
MAGIC = JFS._replace(path="magic")
PREPARED = Place("myaccount", "x", path="1")
BASE = {"type": "meta2", "seq": 1}
AT = "acct=ACCT&ref=JFS"
AUTO = {"x-oio-action-mode": "autocreate"}
SERVER = {"Server": "oio-proxy/master-1.0"}
SYS = {
    "X-oio-container-meta-sys-account": "ACCT",
    "X-oio-container-meta-sys-m2-ctime": "1447250949",
    "X-oio-container-meta-sys-m2-init": "1",
    "X-oio-container-meta-sys-m2-usage": "1552",
    "X-oio-container-meta-sys-m2-version": "1",
    "X-oio-container-meta-sys-name": (
        "9006CE70B59E5777D6BB410C57944812EB05FCDB5BA85D520A14B3051D1D094F.1"
    ),
    "X-oio-container-meta-sys-ns": "NS",
    "X-oio-container-meta-sys-type": "meta2",
    "X-oio-container-meta-sys-user-name": "JFS",
}
META = {
    "X-oio-content-meta-chunk-method": "plain/bytes",
    "X-oio-content-meta-ctime": "1456269061",
    "X-oio-content-meta-deleted": "False",
    "X-oio-content-meta-hash": "272913026300E7AE9B5E2D51F138E674",
    "X-oio-content-meta-hash-method": "md5",
    "X-oio-content-meta-id": "A2201810782C05003F78AF88791C9BDB",
    "X-oio-content-meta-length": "111",
    "X-oio-content-meta-mime-type": "application/octet-stream",
    "X-oio-content-meta-name": "magic",
    "X-oio-content-meta-policy": "SINGLE",
    "X-oio-content-meta-version": "1456269061267626",
}
ZEROS = "0" * 32
CHUNKS = [
    {"hash": ZEROS, "pos": "0", "size": 1, "url": f"http://127.0.0.1:{port}/{chunk}"}
    for port, chunk in (
        (6013, "44FA14E39265F5A477DB5D62276A389F9257447BABFDB280C47BDC02CD13F3F6"),
        (6014, "78737CD3B8EAC35B49F1269C7DA38C3BEBEEAE4011708CE975F56D56E124DBC3"),
        (6015, "C388143441E5FAA105F1125A0FC0AE07D4057874815F9DC0EE87AD35F24F2CBD"),
    )
]
SHOWN = """[
    {
        "hash": "272913026300E7AE9B5E2D51F138E674",
        "pos": "0",
        "score": 92,
        "size": 111,
        "url": "http://127.0.0.1:6011/5F3391ABBC8DB3E1D2988987AD5FDB10371A4B4BFBC2BF3BB7AA3E9C84FC8DB3"
    }
]"""
DEBUG = """{
	"127.0.0.1:6009":"LEADER [3/3/(null)] 13/0/0/0 [20076305601BD6CF] [9006CE70B59E5777.1.meta2]
        P: 127.0.0.1:6009|127.0.0.1:6008|127.0.0.1:6010
        PRELEAD:VER_OK:LEADER
        LO",
	"127.0.0.1:6008":"LOST [5/3/127.0.0.1:6009] 14/0/0/0 [20076305601B] [9006CE70B59E.1.meta2]
        P: 127.0.0.1:6008|127.0.0.1:6010|127.0.0.1:6009
        PRELOST:VER_OK:LOST
        LEADER:USE:LEAD"
}"""
DONE = '{"127.0.0.1:6008":"OK"}'


class Example(NamedTuple):
    """What is called, what is sent (method, target below the namespace, body, headers), what the
    reference answers, and a part of what that means."""

    route: str
    sent: tuple[str, str, Any, Mapping[str, str]]
    reply: Answer
    means: Any
    place: Place | None = None
    query: Mapping[str, Any] = {}
    arguments: Mapping[str, Any] = {}


def ok(text: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(200, text.encode(), {**SERVER, **(headers or {})})


def empty(headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(204, b"", {**SERVER, **(headers or {})}, "No Content")


def outcome(name: str, status: int = 200, message: str = "OK") -> dict[str, Any]:
    return {"name": name, "status": status, "message": message, "body": None}


EXAMPLES = [
    Example(
        "conscience.info",
        ("GET", "conscience/info", None, {}),
        ok(
            """{
    "chunksize": "1048576",
    "data_security": {"DUPONETWO": "DUP:distance=1|nb_copy=2"},
    "data_treatments": {},
    "ns": "OPENIO",
    "options": {"WORM": "false", "meta2_max_versions": "1", "ns_status": "MASTER"},
    "storage_class": {"REASONABLYSLOW": "NONE"},
    "storage_policy": {"TWOCOPIES": "NONE:DUPONETWO:NONE"}
}"""
        ),
        {
            "namespace": "OPENIO",
            "chunk_size": 1048576,
            "data_security": {"DUPONETWO": "DUP:distance=1|nb_copy=2"},
            "storage_policies": {"TWOCOPIES": "NONE:DUPONETWO:NONE"},
            "service_pools": {},
            "options": {"WORM": "false", "meta2_max_versions": "1", "ns_status": "MASTER"},
        },
    ),
    Example(
        "conscience.types",
        ("GET", "conscience/info?what=types", None, {}),
        ok('[\n\t"sqlx",\n\t"oiofs",\n\t"echo"\n]'),
        ["echo", "oiofs", "sqlx"],
        query={"what": "types"},
    ),
    Example(
        "conscience.list",
        ("GET", "conscience/list?type=rawx", None, {}),
        ok(
            '[{"addr": "127.0.0.1:6009", "score": 64, "tags": {"tag.up": true}},'
            ' {"addr": "127.0.0.1:6008", "score": 93, "tags": {"tag.up": true}}]'
        ),
        [
            {"address": "127.0.0.1:6009", "score": 64, "state": "up", "tags": {"tag.up": True}},
            {"address": "127.0.0.1:6008", "score": 93, "state": "up", "tags": {"tag.up": True}},
        ],
        query={"type": "rawx"},
    ),
    Example(
        "container.create",
        ("POST", "container/create?acct=ACCT&ref=JFS0", None, AUTO),
        empty(),
        True,
        Place("ACCT", "JFS0"),
    ),
    Example(
        "container.show",
        ("GET", f"container/show?{AT}", None, {}),
        empty(SYS),
        {
            "container": "JFS",
            "account": "ACCT",
            "cid": "9006CE70B59E5777D6BB410C57944812EB05FCDB5BA85D520A14B3051D1D094F",
            "bytes": 1552,
            "objects": None,
            "quota": None,
            "status": "enabled",
            "created": "2015-11-11T14:09:09Z",
            "properties": {},
        },
        JFS,
    ),
    Example(
        "container.list",
        ("GET", f"container/list?{AT}", None, {}),
        ok(
            """{
    "objects": [
        {
            "ctime": 1447250996,
            "deleted": false,
            "hash": "8C87E533B7CFBD8B8DAA54B518DB9E3B",
            "name": "passwd",
            "policy": "none",
            "size": 1552,
            "ver": 0
        }
    ],
    "prefixes": []
}""",
            {**SYS, "X-oio-list-truncated": "false"},
        ),
        {
            "entries": [
                {
                    "name": "passwd",
                    "kind": "object",
                    "size": 1552,
                    "hash": "8C87E533B7CFBD8B8DAA54B518DB9E3B",
                    "policy": "none",
                    "mime_type": None,
                    "content_id": None,
                    "version": 0,
                    "deleted": False,
                    "created": "2015-11-11T14:09:56Z",
                    "modified": None,
                    "properties": None,
                }
            ],
            "marker": None,
        },
        JFS,
    ),
    Example("container.destroy", ("POST", f"container/destroy?{AT}", None, {}), empty(), None, JFS),
    Example(
        "container.destroy",
        ("POST", f"container/destroy?{AT}&force=1&flush=1", None, {}),
        empty(),
        None,
        JFS,
        {"force": True, "flush": True},
    ),
    Example(
        "container.get_properties",
        ("POST", f"container/get_properties?{AT}", None, {}),
        ok('{"schema_version": "1.8", "sys.account": "ACCT", "version:main.admin": "5:0"}'),
        {
            "properties": {},
            "system": {
                "schema_version": "1.8",
                "sys.account": "ACCT",
                "version:main.admin": "5:0",
            },
        },
        JFS,
    ),
    Example(
        "container.set_properties",
        ("POST", f"container/set_properties?{AT}", {"user.key": "value"}, {}),
        ok(DONE),
        None,
        JFS,
        arguments={"properties": {"key": "value"}},
    ),
    Example(
        "container.del_properties",
        ("POST", f"container/del_properties?{AT}", ["k"], {}),
        ok(DONE),
        None,
        JFS,
        arguments={"keys": ["k"]},
    ),
    Example("container.touch", ("POST", f"container/touch?{AT}", None, {}), empty(), None, JFS),
    Example(
        "content.create",
        (
            "POST",
            "content/create?acct=myaccount&ref=x&path=1",
            CHUNKS,
            {
                "x-oio-content-meta-length": "1",
                "x-oio-content-meta-hash": ZEROS,
                "x-oio-content-type": "octet/stream",
            },
        ),
        empty(),
        None,
        PREPARED,
        arguments={"chunks": CHUNKS, "length": 1, "hash": ZEROS, "mime_type": "octet/stream"},
    ),
    Example(
        "content.show",
        ("GET", f"content/show?{AT}&path=magic", None, {}),
        ok(SHOWN, {**META, "X-oio-content-meta-x-k": "v"}),
        {
            "path": "magic",
            "content_id": "A2201810782C05003F78AF88791C9BDB",
            "version": 1456269061267626,
            "size": 111,
            "hash": "272913026300E7AE9B5E2D51F138E674",
            "policy": "SINGLE",
            "mime_type": "application/octet-stream",
            "chunk_method": "plain/bytes",
            "created": "2016-02-23T23:11:01Z",
            "modified": None,
            "deleted": False,
            "chunks": json.loads(SHOWN),
        },
        MAGIC,
    ),
    Example(
        "content.prepare",
        ("POST", "content/prepare?acct=myaccount&ref=x&path=1", {"size": "1"}, AUTO),
        ok(
            json.dumps([{**chunk, "size": 1048576} for chunk in CHUNKS]),
            {
                "X-oio-content-meta-chunk-method": "chunk-size",
                "X-oio-content-meta-ctime": "1446125920",
                "X-oio-content-meta-deleted": "False",
                "X-oio-content-meta-hash": "",
                "X-oio-content-meta-length": "1",
                "X-oio-content-meta-mime-type": "octet/stream",
                "X-oio-content-meta-name": "1",
                "X-oio-content-meta-policy": "THREECOPIES",
                "X-oio-content-meta-version": "0",
                "X-oio-ns-chunk-size": "1048576",
            },
        ),
        {
            "path": "1",
            "content_id": None,
            "version": 0,
            "size": 1,
            "hash": None,
            "policy": "THREECOPIES",
            "chunk_size": 1048576,
            "chunks": [{**chunk, "size": 1048576} for chunk in CHUNKS],
        },
        PREPARED,
        arguments={"size": 1, "autocreate": True},
    ),
    Example(
        "content.get_properties",
        ("POST", f"content/get_properties?{AT}&path=magic", None, {}),
        ok("{}", META),
        {"properties": {}, "system": {}},
        MAGIC,
    ),
    Example(
        "content.set_properties",
        ("POST", f"content/set_properties?{AT}&path=magic", {"k": "v"}, {}),
        empty(),
        None,
        MAGIC,
        arguments={"properties": {"k": "v"}},
    ),
    Example(
        "content.del_properties",
        ("POST", f"content/del_properties?{AT}&path=magic", ["k"], {}),
        ok("{}", META),
        None,
        MAGIC,
        arguments={"keys": ["k"]},
    ),
    Example(
        "admin.ping",
        ("POST", f"admin/ping?{AT}&type=meta2&seq=1", None, {}),
        ok('{\n\t"127.0.0.1:6010":"OK",\n\t"127.0.0.1:6009":"OK",\n\t"127.0.0.1:6008":"OK"\n}'),
        [outcome("127.0.0.1:6008"), outcome("127.0.0.1:6009"), outcome("127.0.0.1:6010")],
        JFS,
        BASE,
    ),
    Example(
        "admin.status",
        ("POST", f"admin/status?{AT}&type=meta2&seq=1", None, {}),
        ok(
            '{"127.0.0.1:6009":{"code":"303","msg":"127.0.0.1:6008"},'
            '"127.0.0.1:6010":{"code":"303","msg":"127.0.0.1:6008"},"127.0.0.1:6008":"OK"}'
        ),
        [
            outcome("127.0.0.1:6008"),
            outcome("127.0.0.1:6009", 303, "127.0.0.1:6008"),
            outcome("127.0.0.1:6010", 303, "127.0.0.1:6008"),
        ],
        JFS,
        BASE,
    ),
    Example(
        "admin.sync",
        ("POST", f"admin/sync?{AT}&type=meta2&seq=1", None, {}),
        ok(
            '{"127.0.0.1:6010":"OK",'
            '"127.0.0.1:6008":{"code":"301","msg":"Request error: not SLAVE"}}'
        ),
        [
            outcome("127.0.0.1:6008", 301, "Request error: not SLAVE"),
            outcome("127.0.0.1:6010"),
        ],
        JFS,
        BASE,
    ),
    Example(
        "admin.leave",
        ("POST", f"admin/leave?{AT}&type=meta2&seq=1", None, {}),
        ok(DONE),
        [outcome("127.0.0.1:6008")],
        JFS,
        BASE,
    ),
    # The texts have line ends that JSON would escape.
    Example(
        "admin.debug",
        ("POST", f"admin/debug?{AT}&type=meta2&seq=1", None, {}),
        ok(DEBUG),
        [
            {**outcome(name), "body": text}
            for name, text in sorted(json.loads(DEBUG, strict=False).items())
        ],
        JFS,
        BASE,
    ),
    Example(
        "admin.copy",
        ("POST", f"admin/copy?{AT}&type=meta2&seq=1", "127.0.0.1:5999", {}),
        ok(DONE),
        [outcome("127.0.0.1:6008")],
        JFS,
        BASE,
        {"to": "127.0.0.1:5999"},
    ),
    Example(
        "local.list",
        ("GET", "local/list", None, {}),
        ok(
            '[{"addr": "127.0.0.1:6007", "ns": "OPENIO", "score": 92,'
            ' "tags": {"stat.cpu": 96.287129, "tag.up": true}, "type": "meta1"}]'
        ),
        [
            {
                "type": "meta1",
                "address": "127.0.0.1:6007",
                "score": 92,
                "state": "up",
                "tags": {"stat.cpu": 96.287129, "tag.up": True},
            }
        ],
    ),
]


def call(proxy: Client, example: Example) -> Any:
    if ROUTES[example.route].effect == "read":
        return proxy.read(example.route, example.place, example.query, **example.arguments)
    return proxy.change(
        example.route,
        example.place,
        example.query,
        what="act",
        shows="rdctl",
        destroys="data",
        **example.arguments,
    )


def part_of(value: Any, expected: Any) -> Any:
    """Of objects only the keys that are expected."""
    if isinstance(expected, dict):
        return {key: part_of(value[key], entry) for key, entry in expected.items()}
    if isinstance(expected, list):
        return [part_of(*pair) for pair in zip(value, expected, strict=True)]
    return value


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number: int) -> None:
    example = EXAMPLES[number]
    server = Answering([example.reply])
    value = as_data(call(proxy_to(server, dialect="reference"), example))
    assert part_of(value, example.means) == example.means
    (sent,) = server.sent
    method, target, body, headers = example.sent
    assert (sent.method, sent.target) == (method, f"{NS}/{target}")
    assert (None if sent.body is None else json.loads(sent.body)) == body
    assert own_headers(sent) == headers


def create_many(reply: str) -> tuple[Any, Sent]:
    server = Answering([ok(reply)])
    proxy = proxy_to(server, dialect="reference")
    value = proxy.change(
        "container.create_many",
        None,
        {"acct": "account1"},
        what="act",
        shows="rdctl",
        names=["container1", "container2"],
        properties={"key1": "value1"},
        system={"sys.m2.quota": "1048576"},
    )
    return as_data(value), server.sent[0]


CREATED = '{"containers": [{"name":"container1","status":201,"message":"Created"}%s]}'


def test_create_many() -> None:
    """The quota goes as a text: the reference's number is refused by every real server
    (docs/wire/oio-proxy.md#5-container)."""
    value, sent = create_many(CREATED % "")
    assert value == [outcome("container1", 201, "Created")]
    more = {"properties": {"key1": "value1"}, "system": {"sys.m2.quota": "1048576"}}
    assert json.loads(sent.body or b"") == {
        "containers": [{"name": "container1", **more}, {"name": "container2", **more}]
    }
    assert own_headers(sent) == AUTO
    assert sent.target == f"{NS}/container/create_many?acct=account1"


def test_a_comma_too_many_is_no_json() -> None:
    """The reference prints one at the end of this reply, as no server was seen to do
    (docs/wire/oio-proxy.md#5-container)."""
    with pytest.raises(RdctlError) as caught:
        create_many(CREATED % ",")
    assert caught.value.code is Code.UNKNOWN


def test_error() -> None:
    said = "M2 error: HOOK error: Request error: 1 elements still in container"
    body = json.dumps({"message": said, "status": 438}).encode()
    server = Answering([Answer(409, body, SERVER, "Conflict")])
    with pytest.raises(RdctlError) as caught:
        proxy_to(server, dialect="reference").change(
            "container.destroy", JFS, what="", shows="", destroys="data"
        )
    assert caught.value.code is Code.NOT_EMPTY
    assert said in caught.value.message


def test_the_dialect_is_a_key_of_the_context(rdctl: Program) -> None:
    """A command in it sends what the reference shows, though the server says who it is."""
    answers = [
        faults.reply(204, b"", SYS | SERVER),
        faults.reply(200, b'{"user.key": "old", "sys.m2.init": "1"}'),
        faults.reply(200, DONE.encode()),
    ]
    with FaultServer(answers) as at:
        rdctl.config.write_text(
            f'[contexts.old]\noio = "{at.url}"\nnamespace = "NS"\naccount = "ACCT"\n'
            'dialect = "reference"\n'
        )
        shown = rdctl("-c", "old", "oio", "container", "show", "JFS", "--json")
        done = rdctl("-c", "old", "oio", "container", "set-properties", "JFS", "key=value")
    assert (shown.code, done.code) == (0, 0)
    assert shown.json["items"][0]["bytes"] == 1552
    assert [(request.method, request.path) for request in at.requests] == [
        ("GET", f"/v3.0/NS/container/show?{AT}"),
        ("POST", f"/v3.0/NS/container/get_properties?{AT}"),
        ("POST", f"/v3.0/NS/container/set_properties?{AT}"),
    ]
    assert json.loads(at.requests[2].body) == {"user.key": "value"}
