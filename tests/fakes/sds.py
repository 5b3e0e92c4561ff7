"""A small OpenIO SDS over real sockets: a proxy and some rawx services that misbehave on demand.

    with Sds(chunk_size=1000, copies=3) as sds:
        sds.faults.append(fault)        # fault(call) -> True: it has dealt with the request
        ... sds.url, sds.objects, sds.chunks, sds.calls

What is put is kept; a rawx keeps connections alive, the proxy closes them, as real ones do. Nothing
here is taken from the client under test: shapes are those of recordings (docs/wire/oio-upload.md).
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, quote

META = "x-oio-content-meta-"
CHUNK = "x-oio-chunk-meta-"
CID = "0123456789ABCDEF" * 4


class Left(Exception):
    """The client closed the connection."""


class Call:
    """One request. `who` is `proxy` or the number of a rawx; the body of a PUT to a rawx is there
    once `body()` was called."""

    def __init__(self, sds: Sds, who: str | int, sock: socket.socket, stream: Any) -> None:
        self.sds, self.who, self._sock, self._stream = sds, who, sock, stream
        line = stream.readline().decode("latin-1")
        if not line:
            raise Left
        words: list[str] = line.split()
        self.method, self.target, _ = words
        self.headers: dict[str, str] = {}
        while (line := stream.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        self.path, _, query = self.target.partition("?")
        self.query = dict(parse_qsl(query, errors="surrogateescape", keep_blank_values=True))
        self._missing = int(self.headers.get("content-length", "0"))
        self.received = b""

    def __repr__(self) -> str:
        return f"{self.who} {self.method} {self.path}"

    @property
    def route(self) -> str:
        return self.path.removeprefix("/v3.0/OPENIO/")

    @property
    def chunk(self) -> str:
        return self.path.removeprefix("/")

    @property
    def pos(self) -> int:
        """The position of the chunk that a rawx is asked for."""
        return self.sds.placed[self.chunk]

    def body(self, most: int | None = None) -> bytes:
        """All of it, or so much of it; Left when the client goes before."""
        wanted = self._missing if most is None else min(most, self._missing)
        data = self._stream.read(wanted)
        self._missing -= len(data)
        self.received += data
        if len(data) < wanted:
            raise Left
        return self.received

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def reply(
        self,
        status: str,
        headers: Mapping[str, object] | None = None,
        body: bytes = b"",
        *,
        length: int | None = None,
    ) -> None:
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body) if length is None else length}"]
        lines += ["Connection: close"] if self.who == "proxy" else []
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def json(self, value: Any, status: str = "200 OK", headers: Any = None) -> None:
        self.reply(status, headers, json.dumps(value).encode())

    def refuse(self, status: int, http: str = "500 Internal error", message: str = "no") -> None:
        self.json({"status": status, "message": message}, http)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The file that reads from it keeps it open, so RST leaves with that.
        self._sock.shutdown(socket.SHUT_RD)
        self.hang_up()

    def hang_up(self) -> None:
        raise Left


Fault = Callable[[Call], bool | None]


class Sds:
    """`chunks[id]` are bytes, `objects[path]` the versions of an object, the latest last; `calls`
    are all requests in the order of their arrival. `down` are rawx services that take no more
    connections."""

    def __init__(
        self,
        *,
        chunk_size: int = 1000,
        copies: int = 1,
        rawx: int = 4,
        method: str | None = None,
        versions: str | None = None,
        hashes: bool = True,
    ) -> None:
        self.chunk_size, self.copies, self.versions, self.hashes = (
            chunk_size,
            copies,
            versions,
            hashes,
        )
        self.method = method or f"plain/nb_copy={copies}"
        self.containers = {"docs"}
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.chunks: dict[str, bytes] = {}
        self.sent: dict[str, dict[str, str]] = {}
        self.placed: dict[str, int] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.busy = self.most_busy = 0
        self.connections = 0
        # What prepare says otherwise, by the names of its headers.
        self.prepared: dict[str, str] = {}
        self._serial = 0
        self._lock = threading.Lock()
        self._listeners = [
            socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(rawx + 1)
        ]
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        self.addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in self._listeners]
        self.url = f"http://{self.addresses[-1]}"

    # --- the server ---------------------------------------------------------------------------

    def __enter__(self) -> Sds:
        for number, listener in enumerate(self._listeners):
            who = number if listener is not self._listeners[-1] else "proxy"
            threading.Thread(target=self._accept, args=(who, listener), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        with self._lock:
            doomed = [*self._listeners, *self._open]
        for sock in doomed:
            _shut(sock)

    def stop(self, number: int) -> None:
        """One rawx (-1: the proxy) dies."""
        _shut(self._listeners[number])

    def start(self, number: int) -> None:
        """One that died is there again, at the same address."""
        host, _, port = self.addresses[number].partition(":")
        self._listeners[number] = listener = socket.create_server((host, int(port)), backlog=64)
        who = "proxy" if listener is self._listeners[-1] else number
        threading.Thread(target=self._accept, args=(who, listener), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """True when it ends meanwhile."""
        return self._stopping.wait(seconds)

    def _accept(self, who: str | int, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
                self.connections += who != "proxy"
            threading.Thread(target=self._serve, args=(who, sock), daemon=True).start()

    def _serve(self, who: str | int, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = sock.makefile("rb")
        except OSError:
            return  # it ended before this began
        with suppress(Left, OSError, ValueError):
            while True:
                call = Call(self, who, sock, stream)
                with self._lock:
                    self.calls.append(call)
                    self.busy += 1
                    self.most_busy = max(self.busy, self.most_busy)
                try:
                    if not any(fault(call) for fault in list(self.faults)):
                        self._answer(call)
                finally:
                    with self._lock:
                        self.busy -= 1
                if who == "proxy":
                    break
        with self._lock:
            self._open.discard(sock)
        with suppress(OSError):
            stream.close()
            sock.close()

    def _answer(self, call: Call) -> None:
        if call.who != "proxy":
            getattr(self, f"_{call.method.lower()}_chunk")(call)
            return
        call.body()
        handler = getattr(self, "_" + call.route.replace("/", "_"), None)
        if handler is None:
            call.refuse(404, "404 No handler found", "No handler found")
        elif call.query.get("ref") in self.containers or call.route in _ANYWHERE:
            with self._lock:
                handler(call)
        else:
            call.refuse(406, "404 Not found", "User not found")

    # --- the proxy ----------------------------------------------------------------------------

    def _conscience_info(self, call: Call) -> None:
        security = {"DATA": self.method}
        policy = {"storage_policy": {"SINGLE": "NONE:DATA"}, "data_security": security}
        call.json({"ns": "OPENIO", "chunksize": self.chunk_size, "options": {}, **policy})

    def _container_show(self, call: Call) -> None:
        system = {"name": f"{CID}.1", "user-name": call.query["ref"], "account": "ACCT"}
        if self.versions is not None:
            system["m2-policy-version"] = self.versions
        headers = {f"x-oio-container-meta-sys-{key}": value for key, value in system.items()}
        call.json({"properties": {}, "system": {}}, headers=headers)

    def _container_list(self, call: Call) -> None:
        prefix, marker = call.query.get("prefix", ""), call.query.get("marker", "")
        names = sorted(n for n in self.objects if n.startswith(prefix) and n > marker)
        most = int(call.query.get("max", "1000"))
        headers = {"x-oio-list-truncated": str(len(names) > most).lower()}
        if len(names) > most:
            headers["x-oio-list-marker"] = quote(names[most - 1], safe="")
        listed = [{"name": n, "size": self.objects[n][-1]["size"], "deleted": False} for n in names]
        call.json({"objects": listed[:most], "prefixes": []}, headers=headers)

    def _content_prepare(self, call: Call) -> None:
        if "autocreate" in call.headers.get("x-oio-action-mode", ""):
            self.containers.add(call.query["ref"])
        elif call.query["ref"] not in self.containers:
            call.refuse(406, "404 Not found", "User not found")
            return
        size = int(json.loads(call.body())["size"])
        chunks = []
        for position in range(max(1, -(-size // self.chunk_size))):
            for copy in range(self.copies):
                self._serial += 1
                id = f"{self._serial:064X}"
                self.placed[id] = position
                address = self.addresses[(position + copy) % (len(self.addresses) - 1)]
                url = f"http://{address}/{id}"
                zero = {"size": self.chunk_size, "hash": "0" * 32, "score": 50 + copy}
                chunks.append({"url": url, "real_url": url, "pos": str(position), **zero})
        headers = {
            "id": f"{self._serial:032X}",
            "name": quote(call.query["path"], errors="surrogateescape", safe=""),
            "version": str(1_700_000_000_000_000 + self._serial),
            "length": str(size),
            "policy": "SINGLE",
            "chunk-method": self.method,
            "mime-type": "application/octet-stream",
            **self.prepared,
        }
        told: dict[str, object] = {META + key: value for key, value in headers.items()}
        # Positions come in any order.
        call.json(chunks[::-1], headers={**told, "x-oio-ns-chunk-size": self.chunk_size})

    def _content_create(self, call: Call) -> None:
        body = json.loads(call.body())
        chunks = body["chunks"] if isinstance(body, dict) else body
        meta = {n.removeprefix(META): v for n, v in call.headers.items() if n.startswith(META)}
        size = int(meta["length"])
        if sum({c["pos"]: c["size"] for c in chunks}.values()) != size:
            call.refuse(425)
            return
        properties = body.get("properties", {}) if isinstance(body, dict) else {}
        kept = {"size": size, "chunks": chunks, "meta": meta, "properties": properties}
        versions = self.objects.setdefault(call.query["path"], [])
        versions[:] = [*(versions if self.versions not in (None, "1") else []), kept]
        call.reply("204 No Content")

    def _content_show(self, call: Call) -> None:
        found = self.objects.get(call.query["path"])
        if not found:
            call.refuse(420, "404 Not found", "Content not found")
            return
        object = found[-1]
        headers = {META + key: value for key, value in object["meta"].items()}
        headers[META + "name"] = quote(call.query["path"], errors="surrogateescape", safe="")
        if not self.hashes:
            headers[META + "hash"] = ""
        chunks = [
            {**chunk, "real_url": chunk["url"], "score": 100 - number % self.copies}
            for number, chunk in enumerate(object["chunks"])
        ]
        call.json(chunks[::-1], headers=headers)

    def _content_delete(self, call: Call) -> None:
        """The name alone: its chunks go later, by events."""
        if self.objects.pop(call.query["path"], None) is None:
            call.refuse(420, "404 Not found", "Content not found")
        else:
            call.reply("204 No Content")

    # --- a rawx -------------------------------------------------------------------------------

    def _put_chunk(self, call: Call) -> None:
        data = call.body()
        if call.chunk in self.chunks:
            call.reply("409 Conflict", body=b"<html>")
            return
        self.chunks[call.chunk] = data
        self.sent[call.chunk] = call.headers
        call.reply("201 Created", {f"{CHUNK}chunk-hash": md5(data)}, b"<html>")

    def _get_chunk(self, call: Call) -> None:
        data = self.chunks.get(call.chunk)
        if data is None:
            call.reply("404 Not Found", body=b"<html>")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", call.headers.get("range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, len(data))
        call.reply("206 Partial Content", {}, data[first : last + 1])

    def _head_chunk(self, call: Call) -> None:
        data = self.chunks.get(call.chunk)
        if data is None:
            call.reply("404 Not Found")
        else:
            call.reply("200 OK", {f"{CHUNK}chunk-hash": md5(data)}, length=len(data))

    def _delete_chunk(self, call: Call) -> None:
        gone = self.chunks.pop(call.chunk, None)
        call.reply("404 Not Found" if gone is None else "204 No Content")

    # --- what tests look at -------------------------------------------------------------------

    def asked(self, method: str) -> list[Call]:
        """What the rawx services were asked."""
        return [call for call in self.calls if call.who != "proxy" and call.method == method]

    def routes(self) -> list[str]:
        return [call.route for call in self.calls if call.who == "proxy"]

    def put(self, path: str, data: bytes) -> None:
        """An object, put by hand."""
        chunks = []
        for position in range(max(1, -(-len(data) // self.chunk_size))):
            part = data[position * self.chunk_size : (position + 1) * self.chunk_size]
            for copy in range(self.copies):
                self._serial += 1
                id = f"{self._serial:064X}"
                self.placed[id] = position
                self.chunks[id] = part
                address = self.addresses[(position + copy) % (len(self.addresses) - 1)]
                url, hash = f"http://{address}/{id}", md5(part)
                entry = {"url": url, "pos": str(position), "size": len(part), "hash": hash}
                chunks.append(entry)
        meta = {
            "id": f"{self._serial:032X}",
            "version": str(self._serial),
            "length": str(len(data)),
            "hash": md5(data),
            "policy": "SINGLE",
            "chunk-method": self.method,
        }
        self.objects[path] = [{"size": len(data), "chunks": chunks, "meta": meta}]

    def content(self, path: str) -> bytes:
        """An object, put together from one copy of each position, whichever."""
        parts = {
            int(c["pos"]): self.chunks[c["url"][-64:]] for c in self.objects[path][-1]["chunks"]
        }
        return b"".join(parts[number] for number in sorted(parts))

    def orphans(self) -> set[str]:
        """Chunks that belong to no object."""
        used = {
            chunk["url"][-64:]
            for versions in self.objects.values()
            for object in versions
            for chunk in object["chunks"]
        }
        return set(self.chunks) - used


_ANYWHERE = ("conscience/info", "content/prepare")


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest().upper()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()


# --- faults ---------------------------------------------------------------------------------------


def on(
    method: str,
    act: Callable[[Call], object],
    *,
    who: Any = None,
    pos: int | None = None,
    times: int = 10**9,
) -> Fault:
    """`act` in place of an answer to these requests: `PUT`, `GET`, `DELETE` of a chunk, or a route
    of the proxy; of one rawx, of one position, so many times."""
    left = iter(range(times))

    def fault(call: Call) -> bool:
        matches = call.route == method if call.who == "proxy" else call.method == method
        if not matches or (who is not None and call.who != who):
            return False
        if (pos is not None and call.pos != pos) or next(left, None) is None:
            return False
        act(call)
        return True

    return fault


def slowly(call: Call, size: int = 10, pause: float = 0.01) -> None:
    """A chunk, in small pieces."""
    data = call.sds.chunks[call.chunk]
    first, last = map(int, call.headers["range"][6:].split("-"))
    part = data[first : last + 1]
    call.reply("206 Partial Content", {}, length=len(part))
    for start in range(0, len(part), size):
        call.send(part[start : start + size])
        time.sleep(pause)


__all__ = ["Call", "Fault", "Sds", "md5", "on", "slowly"]
