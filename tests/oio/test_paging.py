"""Listings over several pages: every name once and in order, whatever it is made of."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import pytest

from rdctl.cli.run import run
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.core.errors import Code, RdctlError
from rdctl.net.engine import Calling
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from rdctl.sandbox import OIO_HOST, apps
from rdctl.sandbox.adapter import WsgiAdapter
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import Connection, FaultServer
from tests.oio.wire import NS, OLD, Answer, Answering, Sent, answer, proxy_to, refusal

PLACE = Place("acct", "a b/c")
TEXTS = [
    *("a", "a/", "a/1", "a/b/1", "a/b/2", "a//", "b", "b/x", "b/y", "z"),
    *(" ", "  leading", "a b", "a+b", "a%2Fb", "a%b", "%", "+", "a&b=c", "a;b", "#", "?"),
    *("..", "../..", ".", "-x", "--", "'", '"q"', "a\\b", "a\nb", "\n", "a\tb", "a\rb", "\x7f"),
    *("café", "cafe\u0301", "日本", "☃", "😀", "\u2028", "\ufeff", "\ufffd", "x" * 1023),
]
NAMES = sorted({text.encode() for text in TEXTS})
BYTES = sorted({*NAMES, b"\xff\xfe", b"caf\xe9", b"\x80", b"a/\xff", b"a\xc3", b"\xed\xa0\xbd"})


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def folded(name: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """The name, or its prefix up to the delimiter."""
    head, found, _ = name[len(prefix) :].partition(delimiter or b"\0")
    return prefix + head + found if found else name


def whole(names: list[bytes], prefix: bytes = b"", delimiter: bytes = b"") -> list[bytes]:
    """What a whole listing must show: names, and prefixes up to the delimiter."""
    return sorted({folded(name, prefix, delimiter) for name in names if name.startswith(prefix)})


class Lister:
    """A proxy 3.3 with one container. As recorded, its marker is the last name that a page used
    up, which may lie within a prefix; it is escaped in a way of its own
    (docs/wire/oio-proxy.md#containerlist)."""

    def __init__(self, names: list[bytes]) -> None:
        self.names = names
        self.told: list[str] = []
        self.asked: list[dict[str, str]] = []

    def __call__(self, sent: Sent) -> Answer:
        path, _, query = sent.target.partition("?")
        raw = dict(part.split("=") for part in query.split("&"))
        assert (path, unquote_to_bytes(raw.pop("ref"))) == (f"{NS}/container/list", b"a b/c")
        self.asked.append(raw)
        wanted = {key: unquote_to_bytes(value) for key, value in raw.items()}
        delimiter, prefix = wanted.get("delimiter", b"")[:1], wanted.get("prefix", b"")
        most, end = int(wanted["max"]), wanted.get("end_marker")
        left = [
            name
            for name in self.names
            if name > wanted.get("marker", b"") or "marker" not in wanted
            if name.startswith(prefix) and (end is None or name < end)
        ]
        used = 0
        while used < len(left) and len(whole(left[: used + 1], prefix, delimiter)) <= most:
            used += 1
            if len(whole(left[:used], prefix, delimiter)) == most:
                break
        shown = whole(left[:used], prefix, delimiter)
        objects = [name for name in shown if delimiter not in name[len(prefix) :] or not delimiter]
        return self.page(objects, left[:used], left[used:], shown)

    def page(
        self, objects: list[bytes], used: list[bytes], left: list[bytes], shown: list[bytes]
    ) -> Answer:
        def quoted(names: list[bytes], pattern: str) -> str:
            texts = [json.dumps(text(name), ensure_ascii=False) for name in names]
            return ", ".join(pattern % name for name in texts)

        prefixes = [name for name in shown if name not in objects]
        body = '{"prefixes": [%s], "objects": [%s]}'
        body %= quoted(prefixes, "%s"), quoted(objects, '{"name": %s}')
        headers = {**OLD, "x-oio-list-truncated": "true" if left else "false"}
        if left:
            marker = "".join(f"%{byte:02x}" for byte in used[-1])
            self.told.append(marker)
            headers["x-oio-list-marker"] = marker
        return Answer(200, body.encode("utf-8", "surrogateescape"), headers)


def listed(proxy: Client, **query: Any) -> list[bytes]:
    return [
        entry.name.encode("utf-8", "surrogateescape")
        for page in proxy.pages(PLACE, query)
        for entry in page.entries
    ]


FILTERS: list[dict[str, bytes]] = [
    {},
    {"prefix": b"a"},
    {"prefix": b"a/"},
    {"delimiter": b"/"},
    {"prefix": b"a/", "delimiter": b"/"},
    {"prefix": b"../", "delimiter": b"/"},
    {"delimiter": b"a"},
    {"delimiter": b"%"},
    {"prefix": b"nothing"},
]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("filters", FILTERS)
def test_every_name_once_and_in_order(filters: dict[str, bytes], most: int) -> None:
    lister = Lister(BYTES)
    query = {key: text(value) for key, value in filters.items()}
    assert listed(proxy_to(Answering(lister)), **query, max=most) == whole(BYTES, **filters)
    # The marker is used exactly as it was received.
    assert [asked["marker"] for asked in lister.asked[1:]] == lister.told
    assert "marker" not in lister.asked[0]


@pytest.mark.parametrize("end", [b"a", b"a/b/1", b"caf\xe9", b"\xff\xfe"])
def test_end_marker_is_not_shown(end: bytes) -> None:
    shown = listed(proxy_to(Answering(Lister(BYTES))), end_marker=text(end), max=2)
    assert shown == [name for name in BYTES if name < end]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The sandbox, which is a proxy 4.2, with a container of all these names."""
    path: Path = tmp_path_factory.mktemp("sandbox") / "store"
    proxy = proxy_to(Calling(WsgiAdapter(apps(path)[OIO_HOST]).call))
    proxy.change("container.create", PLACE, what="", shows="")
    for number, name in enumerate(NAMES, 1):
        chunk = {"url": f"http://1:1/{number:064X}", "pos": "0", "size": 1, "hash": "0" * 32}
        proxy.change(
            "content.create",
            PLACE._replace(path=text(name)),
            what="",
            shows="",
            length=1,
            chunks=[chunk],
            content_id=f"{number:032X}",
        )
    return proxy


@pytest.mark.parametrize("most", [1, 2, 7, 1000])
@pytest.mark.parametrize("filters", FILTERS)
def test_in_the_sandbox(filled: Client, filters: dict[str, bytes], most: int) -> None:
    query = {key: text(value) for key, value in filters.items()}
    assert listed(filled, **query, max=most) == whole(NAMES, **filters)


def test_names_of_a_page_are_those_that_were_made(filled: Client) -> None:
    """Each is found again by the very name that the listing shows."""
    for page in filled.pages(PLACE, {"max": 5}):
        for entry in page.entries:
            found = filled.read("content.show", PLACE._replace(path=entry.name))
            assert (found.path, found.content_id) == (entry.name, entry.content_id)


# --- servers that do not keep to it ---------------------------------------------------------------


def page(*names: str, marker: str | None = None) -> Answer:
    headers = {"x-oio-list-truncated": "false"}
    if marker is not None:
        headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": marker}
    return answer({"prefixes": [], "objects": [{"name": name} for name in names]}, 200, headers)


def test_a_marker_that_comes_again_ends_the_listing() -> None:
    """As an error: what is behind it was not seen."""
    server = Answering([page("a", "b", marker="b")] * 3)
    names = []
    with pytest.raises(RdctlError) as caught:
        names += listed(proxy_to(server), max=2)
    assert caught.value.code is Code.BAD_REPLY
    assert len(server.sent) == 2


def test_an_empty_page_is_not_the_end() -> None:
    server = Answering([page(marker="m"), page("n", marker="n"), page()])
    assert listed(proxy_to(server), max=1) == [b"n"]


def test_own_filters_are_kept_on_every_page() -> None:
    server = Answering([page("a", marker="a"), page("b")])
    listed(proxy_to(server), prefix="p q", delimiter="/", marker="0", max=1, deleted=True)
    first, second = (dict(parse_qsl(sent.target.partition("?")[2])) for sent in server.sent)
    assert second == {**first, "marker": "a"}
    own = {"prefix": "p q", "delimiter": "/", "marker": "0", "max": "1", "deleted": "1"}
    assert first == {"acct": "acct", "ref": "a b/c", **own}


def test_a_page_is_asked_for_when_the_one_before_was_taken() -> None:
    server = Answering([page("a", marker="a"), page("b")])
    pages = proxy_to(server).pages(PLACE, {"max": 1})
    next(pages)
    assert len(server.sent) == 1
    next(pages)
    assert len(server.sent) == 2


# --- the command ----------------------------------------------------------------------------------


def serving(serve: Callable[[Sent], Answer]) -> faults.Behaviour:
    """A function of the request as the behaviour of a server."""

    def behave(connection: Connection) -> None:
        connection.receive()
        request = connection._requests[-1]
        reply = serve(Sent(request.method, request.path, dict(request.headers), request.body))
        head = {"Content-Length": len(reply.body), **reply.headers}
        connection.send(faults.head(reply.status, head) + reply.body)

    return behave


WHERE = ("--namespace", "OPENIO", "--account", "acct", "oio")


def list_at(rdctl: Program, server: FaultServer, *words: str, env: Any = None) -> Ran:
    return rdctl("--oio-url", server.url, *WHERE, "container", "list", "a b/c", *words, env=env)


@pytest.mark.parametrize("delimiter", [(), ("--delimiter", "/")])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limit_tells_where_to_go_on(rdctl: Program, limit: int, delimiter: tuple[str, ...]) -> None:
    """Going on with the marker that is told shows each name once, and no more."""
    seen: list[str] = []
    marker: list[str] = []
    names = [name for name in NAMES if not name.startswith(b"\xff")]
    with FaultServer([serving(Lister(names))]) as server:
        while True:
            more = ("--limit", str(limit), *delimiter, *marker)
            ran = list_at(rdctl, server, *more, "--json")
            assert (ran.code, ran.err.startswith("More results")) == (0, "marker" in ran.json)
            seen += [item["name"] for item in ran.json["items"]]
            assert ran.json["complete"] is ("marker" not in ran.json)
            if ran.json["complete"]:
                break
            assert len(ran.json["items"]) == limit
            marker = [f"--marker={ran.json['marker']}"]
    assert seen == [text(name) for name in whole(names, delimiter=b"/" if delimiter else b"")]


def test_all_bytes_in_every_format(rdctl: Program) -> None:
    with FaultServer([serving(Lister(BYTES))]) as server:
        raw = list_at(rdctl, server, "-0")
        rows = list_at(rdctl, server, "-o", "ndjson")
        table = list_at(rdctl, server)
    assert raw.stdout == b"".join(name + b"\0" for name in BYTES)
    items = [json.loads(line) for line in rows.stdout.splitlines()]
    assert [
        bytes.fromhex(item["name_hex"]) if "name_hex" in item else item["name"].encode()
        for item in items
    ] == BYTES
    assert len(table.out.splitlines()) == len(BYTES) + 1
    assert not {chr(code) for code in (*range(10), *range(11, 32), 127)} & set(table.out)


def test_the_first_row_is_out_before_the_second_page_is_asked_for(rdctl: Program) -> None:
    out, seen = io.BytesIO(), []

    def serve(sent: Sent) -> Answer:
        seen.append(out.getvalue().decode())
        return page("b") if "marker=a" in sent.target else page("a", marker="a")

    with FaultServer([serving(serve)]) as server:
        environment = Environment(
            stdin=io.BytesIO(),
            stdout=Stream(out, tty=False),
            stderr=Messages(io.BytesIO(), tty=False),
            environ={"HOME": str(rdctl.home)},
            root=str(rdctl.home),
        )
        words = ("--oio-url", server.url, *WHERE, "container", "list", "a b/c", "-o", "ndjson")
        assert run(words, environment) == 0
    assert (seen[0], json.loads(seen[1])["name"]) == ("", "a")


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "name", "table"])
def test_an_error_on_the_second_page(rdctl: Program, form: str) -> None:
    """The rows stay, JSON is closed, and the exit code tells it."""

    def serve(sent: Sent) -> Answer:
        away = refusal(503, "No service replied", 503)
        return away if "marker=" in sent.target else page("a", "b", marker="b")

    with FaultServer([serving(serve)]) as server:
        ran = list_at(rdctl, server, "-o", form, "--retries", "1")
    assert (ran.code, "No service replied" in ran.err) == (6, True)
    assert len(server.requests) == 3
    if form == "json":
        assert [item["name"] for item in ran.json["items"]] == ["a", "b"]
        assert ran.json["complete"] is False
        assert ran.json["error"]["remote_status"] == 503
    else:
        assert [line for line in ran.out.splitlines() if "a" in line or "b" in line]


def test_an_error_on_the_first_page_is_a_plain_error(rdctl: Program) -> None:
    with FaultServer(
        [faults.json({"status": 431, "message": "No service located"}, 404)]
    ) as server:
        ran = list_at(rdctl, server, "--json")
    assert (ran.code, ran.json["schema"]) == (3, "rdctl.error/1")


class Nothing(io.RawIOBase):
    """A reader who keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


def peak(home: Path, pages: int) -> int:
    """Bytes that listing so many pages of 1000 needs at most."""
    body = answer(
        {"prefixes": [], "objects": [{"name": f"{n:04}" + "x" * 60} for n in range(1000)]}
    )
    left = iter(range(pages - 1, -1, -1))

    def serve(sent: Sent) -> Answer:
        number = next(left)
        truncated: Mapping[str, str] = {"x-oio-list-truncated": "true" if number else "false"}
        return body._replace(headers={**truncated, "x-oio-list-marker": str(9 - number)})

    with FaultServer([serving(serve)]) as server:
        environment = Environment(
            stdin=io.BytesIO(),
            stdout=Stream(Nothing(), tty=False),  # type: ignore[arg-type]
            stderr=Messages(io.BytesIO(), tty=False),
            environ={"HOME": str(home)},
            root=str(home),
        )
        words = ("--oio-url", server.url, *WHERE, "container", "list", "a b/c", "-o", "ndjson")
        server.requests = []
        tracemalloc.start()
        assert run(words, environment) == 0
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_listing(tmp_path: Path) -> None:
    peak(tmp_path, 1)
    few, many = peak(tmp_path, 2), peak(tmp_path, 8)
    assert many < few + 1_000_000


# --- the account service --------------------------------------------------------------------------


def accounts(names: list[str], *, deaf: bool = False) -> Callable[[Sent], Answer]:
    """An account service of these containers; a deaf one does not heed the marker."""

    def serve(sent: Sent) -> Answer:
        if "lb/choose" in sent.target:
            return answer([{"addr": sent.headers["Host"], "id": "x"}])
        wanted = dict(parse_qsl(sent.target.partition("?")[2]))
        after = "" if deaf else wanted.get("marker", "")
        rest = [
            name for name in names if name > after and name.startswith(wanted.get("prefix", ""))
        ]
        rows = [[name, 1, 2, 0, 1.5] for name in rest[: int(wanted["limit"])]]
        return answer({"listing": rows, "id": wanted["id"]})

    return serve


def containers_at(rdctl: Program, server: FaultServer, *words: str) -> Ran:
    return rdctl("--oio-url", server.url, *WHERE, "account", "containers", *words)


@pytest.mark.parametrize("limit", [None, 1, 999, 1000, 1001, 2500])
def test_containers_of_an_account(rdctl: Program, limit: int | None) -> None:
    names = sorted(f"c {number:04}/é" for number in range(2001))
    with FaultServer([serving(accounts(names))]) as server:
        words = () if limit is None else ("--limit", str(limit))
        ran = containers_at(rdctl, server, *words, "--json")
    assert [item["name"] for item in ran.json["items"]] == names[:limit]
    complete = limit is None or limit > 2001
    assert (ran.code, ran.json["complete"]) == (0, complete)
    assert complete or ran.json["marker"] == names[limit - 1 if limit else -1]


def test_an_account_service_that_goes_in_circles(rdctl: Program) -> None:
    names = [f"c{number:04}" for number in range(1000)]
    with FaultServer([serving(accounts(names, deaf=True))]) as server:
        ran = containers_at(rdctl, server, "--json")
    assert (ran.code, ran.json["complete"]) == (9, False)
    assert len(server.requests) == 3


def test_prefix_of_containers_is_escaped(rdctl: Program) -> None:
    names = ["a", "p +%/1", "p +%/2"]
    with FaultServer([serving(accounts(names))]) as server:
        ran = containers_at(rdctl, server, "--prefix", "p +%/", "--json")
    assert [item["name"] for item in ran.json["items"]] == names[1:]
    assert f"prefix={quote('p +%/', safe='')}" in server.requests[1].path


def test_a_page_without_entries_is_not_an_empty_container() -> None:
    """As a 2025 may list: what follows the marker decides."""
    pages: list[tuple[list[object], str]] = [([], "a"), ([], "b"), ([{"name": "c"}], "c")]

    def reply(sent: Sent) -> Answer:
        objects, marker = pages[len(answering.sent) - 1]
        headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": marker}
        return answer({"objects": objects, "prefixes": []}, headers=headers)

    answering = Answering(reply)
    page = proxy_to(answering).begun(PLACE, {"max": 1, "all": True})
    assert [entry.name for entry in page.entries] == ["c"]
    asked = [dict(parse_qsl(one.target)).get("marker") for one in answering.sent]
    assert asked == [None, "a", "b"]


def test_pages_without_entries_that_do_not_advance() -> None:
    headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "a"}
    answering = Answering(lambda sent: answer({"objects": [], "prefixes": []}, headers=headers))
    with pytest.raises(RdctlError, match="does not advance past"):
        proxy_to(answering).begun(PLACE, {"max": 1, "all": True})
    assert len(answering.sent) == 2
