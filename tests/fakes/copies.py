"""Hard links of chunks and snapshots of a small OpenIO SDS."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import unquote

from tests.fakes.beans import Beans
from tests.fakes.listening import CHUNK, Call

FROZEN = "4294967295"


class Copies(Beans):
    """`others` are the objects of containers beside `docs`, by name; `frozen` are the containers
    that cannot be written; `user` their properties."""

    def __init__(self, rawx: int, method: str, copies: int) -> None:
        super().__init__(rawx, method, copies)
        self.containers = {"docs"}
        self.others: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.frozen: set[str] = set()
        self.user: dict[str, dict[str, str]] = {}

    def _handled(self, call: Call, handler: Any) -> None:
        """The handlers know one container: let it be the one of the request."""
        name = call.query.get("ref", "")
        own = self.objects
        self.objects = self.others.get(name, own)
        try:
            handler(call)
        finally:
            self.objects = own

    def _refuses(self, call: Call) -> bool:
        """Whether the container of a change is frozen."""
        if call.query["ref"] not in self.frozen:
            return False
        call.refuse(436, "503 Service unavailable", "Invalid status")
        return True

    # --- a rawx -------------------------------------------------------------------------------

    def _copy_chunk(self, call: Call) -> None:
        id = call.headers.get("destination", "").rpartition("/")[2]
        owner = call.headers.get(f"{CHUNK}full-path", "")
        names = owner.split("/")
        if len(id) != 64 or len(names) != 5:
            call.reply("400 Bad Request", body=b"<html>")
        elif call.chunk not in self.chunks:
            call.reply("404 Not Found", body=b"<html>")
        elif id == call.chunk:
            call.reply("403 Forbidden", body=b"<html>")
        elif id in self.chunks:
            call.reply("409 Conflict", body=b"<html>")
        elif id[:4] != call.chunk[:4]:  # its directory does not exist
            call.reply("500 Internal Server Error", body=b"<html>")
        else:
            self.link(call.chunk, id, owner)
            call.reply("201 Created", body=b"<html>")

    def link(self, old: str, new: str, owner: str) -> None:
        _, _, path, version, content = owner.split("/")
        about = {"full-path": owner, "content-path": path, "content-id": content}
        about |= {"content-version": version, "chunk-id": new}
        self.chunks[new] = self.chunks[old]
        self.meta[new] = {**self.meta[old], **about}
        self.spots[new] = self.spots[old]

    # --- the proxy ----------------------------------------------------------------------------

    def _admin_freeze(self, call: Call) -> None:
        if call.query["ref"] in self.frozen:
            call.refuse(436, "503 Service unavailable", "Container frozen")
        else:
            self.frozen.add(call.query["ref"])
            call.json({})

    def _admin_enable(self, call: Call) -> None:
        if call.query["ref"] in self.frozen:
            self.frozen.remove(call.query["ref"])
            call.json({})
        else:
            call.refuse(439, message="Already enabled")

    def _container_snapshot(self, call: Call) -> None:
        name = json.loads(call.body())["container"]
        if name in self.containers:
            call.refuse(400, "400 Bad request", "Container already exists")
            return
        self.snapshot(name)
        call.reply("204 No Content")

    def snapshot(self, name: str) -> None:
        self.others[name] = copy.deepcopy(self.objects)
        self.user[name] = dict(self.user.get("docs", {}))
        self.containers.add(name)
        self.frozen.add(name)

    def _container_destroy(self, call: Call) -> None:
        """By force, all chunks stay where they are. A refusal enables a frozen container."""
        name = call.query["ref"]
        if self.objects and "force" not in call.query:
            self.frozen.discard(name)
            call.refuse(438, "409 Conflict", "Container not empty")
        else:
            self.frozen.discard(name)
            self.others.pop(name, None)
            self.containers.remove(name)
            call.reply("204 No Content")

    def _container_set_properties(self, call: Call) -> None:
        given = json.loads(call.body())
        self.user.setdefault(call.query["ref"], {}).update(given.get("properties", {}))
        call.json({})

    def _container_del_properties(self, call: Call) -> None:
        for key in json.loads(call.body()):
            self.user.get(call.query["ref"], {}).pop(key, None)
        call.json({})

    def _container_raw_update(self, call: Call) -> None:
        if "frozen" in call.query or not self._refuses(call):
            super()._container_raw_update(call)

    # --- what tests look at -------------------------------------------------------------------

    def urls_of(self, name: str) -> dict[str, set[str]]:
        """The chunks that a container lists, by its objects and their versions."""
        objects = self.others.get(name, self.objects)
        return {
            f"{path} {one['meta']['version']}": {chunk["url"] for chunk in one["chunks"]}
            for path, versions in objects.items()
            for one in versions
        }

    def unlisted(self) -> set[str]:
        """The ids of chunks that no container lists."""
        every = [self.urls_of("docs"), *map(self.urls_of, self.others)]
        listed = {url[-64:] for one in every for urls in one.values() for url in urls}
        return set(self.chunks) - listed

    def owner_of(self, id: str) -> list[str]:
        """The account, container, path, version and ID that a chunk names."""
        return [unquote(part) for part in self.meta[id]["full-path"].split("/")]
