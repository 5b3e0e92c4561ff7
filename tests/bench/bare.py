"""The bare loop that rdctl is held against: requests and nothing else, the same requests.

    python bare.py create|show URL THREADS < NAMES
    python bare.py list URL OBJECTS
    python bare.py raw URL TIMES
    python bare.py chunks URL COUNT FILE
    python bare.py encode FILE K M

It checks nothing and tells nothing: what is beyond it is what rdctl's care costs. `raw` does
without the library, too: what is left is what the server takes. `encode` sends nothing: it is the
codec alone.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

BATCH = 100
PAGE = 1000


class Bare:
    def __init__(self, url: str) -> None:
        import requests  # `raw` does without

        self._base = f"{url}/v3.0/OPENIO"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"

    def create(self, names: list[str]) -> list[Any]:
        body = {"containers": [{"name": name} for name in names]}
        reply = self._session.post(f"{self._base}/container/create_many?acct=ACCT", json=body)
        made: list[Any] = reply.json()["containers"]
        return made

    def show(self, name: str) -> dict[str, str]:
        reply = self._session.get(f"{self._base}/container/show?acct=ACCT&ref={quote(name)}")
        return {**reply.headers, **reply.json()["properties"]}

    def chunks(self, count: int, target: str) -> None:
        """Chunks of 1 MiB, one after the other, each with its MD5."""
        self._session.headers["Connection"] = "keep-alive"
        base = self._base.rpartition("/v3.0")[0]
        with open(target, "wb") as file:
            for number in range(count):
                reply = self._session.get(f"{base}/{1:016X}{number:016X}{1 << 20:032X}")
                digest = hashlib.md5(reply.content).hexdigest().upper()
                if digest != reply.headers["X-oio-chunk-meta-chunk-hash"]:
                    raise SystemExit(f"chunk {number}: wrong MD5")
                file.write(reply.content)

    def pages(self, name: str) -> None:
        marker = ""
        while True:
            reply = self._session.get(
                f"{self._base}/container/list?acct=ACCT&ref={name}&max={PAGE}{marker}"
            )
            for entry in reply.json()["objects"]:
                print(json.dumps(entry))
            if reply.headers["x-oio-list-truncated"] != "true":
                return
            marker = "&marker=" + reply.headers["x-oio-list-marker"]


def raw(url: str, times: int) -> None:
    host, _, target = url.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    request = f"GET /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    for _ in range(times):
        with socket.create_connection((address, int(port))) as connection:
            connection.sendall(request)
            while connection.recv(1 << 20):
                pass


def encode(path: str, k: int, m: int) -> None:
    from rdctl.oio.erasure.codec import Codec

    codec = Codec(k, m)
    with open(path, "rb") as file:
        while segment := file.read(1 << 20):
            codec.encode(segment)


def main() -> None:
    verb, url, number, *rest = sys.argv[1:]
    if verb == "encode":
        encode(url, int(number), int(rest[0]))
        return
    if verb == "raw":
        raw(url, int(number))
        return
    bare = Bare(url)
    if verb == "chunks":
        bare.chunks(int(number), *rest)
        return
    if verb == "list":
        bare.pages(number)
        return
    names = sys.stdin.read().split()
    with ThreadPoolExecutor(int(number)) as pool:
        if verb == "create":
            batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
            for made in pool.map(bare.create, batches):
                for item in made:
                    print(json.dumps(item))
        else:
            for shown in pool.map(bare.show, names):
                print(json.dumps(shown))


if __name__ == "__main__":
    main()
