"""The chunk lists of a small OpenIO SDS: requests of repairs, and those that crash its meta2."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fakes.listening import Call
from tests.fakes.volumes import Volumes

POLICIES = {(2, 3): "EC21", (4, 6): "EC42", (6, 9): "EC"}
_FIELDS = {"type": str, "id": str, "hash": str, "size": int, "content": str}
_BAD = "400 Bad request"


class Beans(Volumes):
    """`objects[path]` are the versions of an object, the latest last. `killer` is the request that
    broke the rules of content/spare: the meta2 crashed, and stays down."""

    def __init__(self, rawx: int, method: str, copies: int) -> None:
        super().__init__(rawx)
        self.method = method
        coded = re.search(r"k=(\d+),m=(\d+)", method)
        self.k = int(coded[1]) if coded else 0
        self.chunks_a_part = self.k + int(coded[2]) if coded else copies
        self.policy = POLICIES.get((self.k, self.chunks_a_part), "SINGLE")
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.killer: Call | None = None
        self._serial = 0

    def fresh(self, number: int) -> str:
        """The url of a chunk that does not exist yet, at this rawx."""
        self._serial += 1
        return f"http://{self.addresses[number % (len(self.addresses) - 1)]}/{self._serial:064X}"

    def _alive(self, number: int) -> bool:
        return bool(self._listeners[number].fileno() != -1)

    def _listed(self) -> list[dict[str, Any]]:
        return [
            chunk
            for versions in self.objects.values()
            for object in versions
            for chunk in object["chunks"]
        ]

    def _content_spare(self, call: Call) -> None:
        body = json.loads(call.body() or b"[]")
        if not isinstance(body, dict):
            call.refuse(400, _BAD, "Body is not a valid JSON object")
            return
        for key in ("notin", "broken"):
            if key not in body:
                call.refuse(400, _BAD, f"'{key}' field missing")
                return
        for field in ("url", "pos", "size"):
            if any(field not in chunk for chunk in [*body["notin"], *body["broken"]]):
                call.refuse(400, _BAD, f"Missing field [{field}]")
                return
        if not (body["notin"] or body["broken"]):
            call.refuse(400, _BAD, "Empty beans sets")
            return
        policy = call.query.get("stgpol")
        if policy not in (None, self.policy):
            call.refuse(480, message=f"Invalid policy [{policy}]")
            return
        missing = self.chunks_a_part - len(body["notin"])
        if policy is None or missing < 1:
            self.killer = call
            self._dead(call)
            return
        self._give_spares(call, body, missing)

    def _give_spares(self, call: Call, body: dict[str, Any], missing: int) -> None:
        # Without `notin` a real meta2 does not honor `broken`.
        avoided = [*body["notin"], *(body["broken"] if body["notin"] else [])]
        hosts = {chunk["url"].split("/")[2] for chunk in avoided}
        rawx = range(len(self.addresses) - 1)
        free = [n for n in rawx if self.addresses[n] not in hosts and self._alive(n)]
        if len(free) < missing:
            polled = f"{self.chunks_a_part - missing}/{self.chunks_a_part} services polled"
            message = (
                "found only 0 services matching the criteria: no service polled from [rawx], "
                f"{polled}, {len(rawx)} services in slot"
            )
            call.refuse(481, message=message)
            return
        found = [
            {"id": self.fresh(number), "pos": "", "hash": "", "size": 0}
            for number in free[:missing]
        ]
        call.json({"aliases": [], "headers": [], "chunks": found})

    def _dead(self, call: Call) -> None:
        call.refuse(503, "503 Service unavailable", "No service replied")

    def _container_raw_update(self, call: Call) -> None:
        body = json.loads(call.body())
        old, new = body["old"], body["new"]
        refused = next(filter(None, map(_refused, [*old, *new])), None)
        if not old or refused or len(old) != len(new):
            message = refused or ("Length mismatch for bean sets" if old else "No bean to update")
            call.refuse(400, _BAD, message)
            return
        listed = {chunk["url"]: chunk for chunk in self._listed()}
        if not all(bean["id"] in listed for bean in old):
            call.refuse(420, "404 Not found", "bean not found")
            return
        left = set(listed) - {bean["id"] for bean in old}
        fresh = [bean["id"] for bean in new]
        if left & set(fresh) or len(set(fresh)) < len(fresh):
            text = "Step error: (19) UNIQUE constraint failed: chunks.id"
            call.refuse(19, message=text)
            return
        for before, after in zip(old, new, strict=True):
            self._unlist(before["id"])
            self._list(after)
        call.reply("204 No Content")

    def _container_raw_insert(self, call: Call) -> None:
        beans = json.loads(call.body())
        if not beans:
            call.refuse(400, _BAD, "Empty beans list")
            return
        listed = {chunk["url"] for chunk in self._listed()}
        for bean in beans:
            if bean["id"] not in listed:
                self._list(bean)
        call.reply("204 No Content")

    def _container_raw_delete(self, call: Call) -> None:
        for bean in json.loads(call.body()):
            self._unlist(bean["id"])
        call.reply("204 No Content")

    def _list(self, bean: dict[str, Any]) -> None:
        """A chunk belongs to the object that its bean names, if that exists."""
        entry = {name: bean[name] for name in ("pos", "size", "hash")}
        for versions in self.objects.values():
            for object in versions:
                if object["meta"].get("id") == bean["content"]:
                    object["chunks"] = [*object["chunks"], {"url": bean["id"], **entry}]

    def _unlist(self, url: str) -> None:
        for versions in self.objects.values():
            for object in versions:
                object["chunks"] = [one for one in object["chunks"] if one["url"] != url]

    # --- what tests inspect --------------------------------------------------------------------

    def held(self, path: str) -> list[str]:
        """The ids of the chunks of the latest version of an object, by position."""
        chunks = self.objects[path][-1]["chunks"]
        order = sorted(chunks, key=lambda one: [int(n) for n in str(one["pos"]).split(".")])
        return [chunk["url"][-64:] for chunk in order]

    def rawx_of(self, id: str) -> int:
        """The number of the rawx that a chunk is listed at."""
        (url,) = [one["url"] for one in self._listed() if one["url"].endswith(id)]
        return self.addresses.index(url.split("/")[2])

    def orphans(self) -> set[str]:
        """Chunks that belong to no object."""
        return set(self.chunks) - {chunk["url"][-64:] for chunk in self._listed()}


def _refused(bean: dict[str, Any]) -> str | None:
    if "type" not in bean:
        return "Missing 'type' field"
    for name, kind in _FIELDS.items():
        if name not in bean:
            return f"Missing field [{name}]"
        if not isinstance(bean[name], kind):
            return f"Invalid type for field [{name}]"
    return None
