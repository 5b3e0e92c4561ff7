"""A rapiddiskd of any dialect over HTTP, small and obedient: for the policy that stands above it.

    with Daemon("8.2.0", volumes={"rd0": Volume(64)}) as daemon:
        rdctl("--rapiddisk-url", daemon.url, "rapiddisk", "remove", "rd0", "--yes")
    assert daemon.changes == ["removeRapidDisk/rd0"]

It speaks as the recordings of 7.2.1, 8.2.0, Debian's 9.0.0 ("9.0.0-deb") and 9.2.0 do
(docs/wire/rapiddisk-rest.md), and refuses only what it does not have: no guard of the daemon stands
in for one of ours. What it is to do otherwise stands in `instead`, by route: a behaviour, or a list
of them, of which each request takes the next and the last stays; None is the proper answer,
`After(behaviour)` does the act first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from tests.fakes.faults import Behaviour, Connection, FaultServer, Request, head

MIB = 1 << 20
DIALECTS = ("7.2.1", "8.2.0", "9.0.0-deb", "9.2.0")
_POLICY_PREFIX = {"write-through": "rc-wt_", "write-around": "rc-wa_", "writeback": "rc-wb_"}
_WRITEBACK = {"7": None, "8": "writeback", "9": "write-back"}


@dataclass
class Volume:
    """`size` in MiB, `usage` in bytes; `status` where it is neither locked nor unlocked."""

    size: int
    usage: int = 0
    locked: bool = False
    status: str | None = None


@dataclass
class Cache:
    volume: str
    source: str


@dataclass
class Target:
    nqn: str
    device: str
    ports: list[int] = field(default_factory=list)


@dataclass
class After:
    """Do as asked, then behave so."""

    behaviour: Behaviour


Step = Behaviour | After | None
Answer = tuple[int, str]


class Received(Connection):
    """A connection whose request was read, for a behaviour that begins with reading it."""

    def __init__(self, connection: Connection) -> None:
        self.__dict__.update(connection.__dict__)

    def receive(self) -> Request:
        return self._requests[-1]


class Daemon:
    """`requests` are "METHOD route/arguments" as they came, `changes` those that were POSTed."""

    def __init__(
        self,
        dialect: str = "9.2.0",
        *,
        volumes: Mapping[str, Volume] | None = None,
        caches: Mapping[str, Cache] | None = None,
        targets: Sequence[Target] | None = (),
        memory: int = 4 << 30,
        newer_module: bool = False,
    ) -> None:
        self.version = dialect.partition("-")[0]
        self.debian = dialect.endswith("-deb")
        self.major = dialect[0]
        self.volumes = dict(volumes or {})
        self.caches = dict(caches or {})
        # None: the kernel's nvmet is not loaded.
        self.targets = targets
        self.memory = memory
        # A module of 9 or later takes the KiB that a daemon below sends for a number.
        self.newer_module = newer_module
        self.instead: dict[str, Step | list[Step]] = {}
        self._server = FaultServer([self._serve])

    def __enter__(self) -> Daemon:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def requests(self) -> list[str]:
        return [f"{r.method} {r.path.removeprefix('/v1/')}" for r in self._server.requests]

    @property
    def changes(self) -> list[str]:
        return [line.removeprefix("POST ") for line in self.requests if line.startswith("POST ")]

    def _serve(self, connection: Connection) -> None:
        connection.receive()
        request = self._server.requests[-1]
        route, *arguments = map(unquote, request.path.removeprefix("/v1/").split("/"))
        step = self._step(route)
        if step is None or isinstance(step, After):
            status, text = self._answer(request.method, route, arguments)
            reply = head(status, {"Content-Length": len(text.encode())}) + text.encode()
        if step is None:
            connection.send(reply)
        else:
            behaviour = step.behaviour if isinstance(step, After) else step
            behaviour(Received(connection))

    def _step(self, route: str) -> Step:
        steps = self.instead.get(route)
        if not isinstance(steps, list):
            return steps
        return steps.pop(0) if len(steps) > 1 else steps[0]

    # --- how it speaks ------------------------------------------------------------------------

    def _text(self, value: Any) -> str:
        return json.dumps(value) + ("" if self.major == "9" else "\n")

    def _done(self, message: str) -> Answer:
        return self._verdict("Success", message)

    def _failed(self, message: str) -> Answer:
        return self._verdict("Failed", message)

    def _verdict(self, word: str, message: str) -> Answer:
        key = "return_status" if self.major == "7" else "status"
        more = {"message": message} if self.major == "9" else {}
        return 200, self._text({key: word, **more})

    def _unknown(self) -> Answer:
        if self.major == "9":
            return 400, self._text({"status": "Failed", "message": "Unsupported."})
        return (200, "") if self.major == "7" else (400, self._text({"status": "Unsupported"}))

    def _answer(self, method: str, route: str, arguments: list[str]) -> Answer:
        acts: dict[str, Callable[..., Answer]] = {
            "createRapidDisk": self._create,
            "resizeRapidDisk": self._resize,
            "flushRapidDisk": self._flush,
            "removeRapidDisk": self._remove,
            "lockRapidDisk": self._lock,
            "unlockRapidDisk": self._unlock,
            "createRapidDiskCache": self._map,
            "removeRapidDiskCache": self._unmap,
        }
        facts: dict[str, Callable[[], Any]] = {
            "checkServiceStatus": lambda: {"status": "OK", "version": self.version},
            "listAllResources": self._resources,
            "listRapidDiskVolumes": self._list,
            "listAllNVMeTargets": self._targets,
        }
        if method == "POST" and route in acts:
            return acts[route](*arguments)
        if method == "GET" and route in facts:
            value = facts[route]()
            return value if isinstance(value, tuple) else (200, self._text(value))
        return self._unknown()

    # --- facts --------------------------------------------------------------------------------

    def _resources(self) -> Any:
        memory = {"mem_total": self.memory, "mem_free": self.memory // 2}
        return {"resources": [{"memory": [memory]}, {"volumes": []}]}

    def _list(self) -> Any:
        """In no order, as directories are."""
        volumes, caches = [], []
        for name, volume in reversed(self.volumes.items()):
            entry: dict[str, Any] = {"device": name}
            entry["size"] = 0 if self.debian else volume.size * MIB
            if self.major == "9":
                status = volume.status or ("locked" if volume.locked else "unlocked")
                entry |= {"usage": volume.usage, "status": status}
            volumes.append(entry)
        for name, cache in reversed(self.caches.items()):
            mode = next((p for p, start in _POLICY_PREFIX.items() if name.startswith(start)), None)
            slaves = {"cache": cache.volume, "source": cache.source}
            if self.debian:
                slaves = dict.fromkeys(slaves, "")
            caches.append({"device": name, **slaves, "mode": mode or "write-around"})
        return {"volumes": [{"rapiddisk": volumes}, {"rapiddisk_cache": caches}]}

    def _targets(self) -> Any:
        if self.major == "7":
            return 200, ""
        if self.targets is None and self.major == "9":
            return self._failed("The NVMe Target subsystem is not loaded. Please load ...")
        targets, ports = [], []
        for target in self.targets or ():
            entry = {"nqn": target.nqn, "namespace": 1, "device": target.device, "enabled": "true"}
            if self.debian:
                entry |= {"device": "", "enabled": "false"}
            at = [
                {"port": port, "address": "10.0.2.15", "protocol": "tcp"} for port in target.ports
            ]
            if self.version == "9.2.0":
                entry |= {"allowed_hosts": [], "assigned_ports": at}
            ports += [{**port, "nqn": target.nqn} for port in at]
            targets.append(entry)
        if self.version == "9.2.0":
            return {"targets": [{"nvmet_targets": targets}]}
        return {"targets": [{"nvmet_targets": targets}, {"nvmet_ports": ports}]}

    # --- acts ---------------------------------------------------------------------------------

    def _create(self, mib: str) -> Answer:
        number = next(n for n in range(1024) if f"rd{n}" not in self.volumes)
        if self.newer_module:
            self.volumes[f"rd{int(mib) * 1024}"] = Volume(0)
        else:
            self.volumes[f"rd{number}"] = Volume(int(mib))
        return self._done(f"Attached device rd{number} of size {mib} Mbytes.")

    def _missing(self, name: str) -> Answer:
        return self._failed(f"Error. Device {name} does not exist.")

    def _resize(self, name: str, mib: str) -> Answer:
        if name not in self.volumes:
            return self._missing(name)
        self.volumes[name].size = int(mib)
        return self._done(f"Resized device {name} to {mib} Mbytes.")

    def _flush(self, name: str) -> Answer:
        if name not in self.volumes:
            return self._missing(name)
        self.volumes[name].usage = 0
        return self._done(f"Flushed all data from device {name}.")

    def _remove(self, name: str) -> Answer:
        if self.volumes.pop(name, None) is None:
            return self._missing(name)
        return self._done(f"Detached device {name}.")

    def _lock(self, name: str, locked: bool = True) -> Answer:
        if self.major != "9":
            return self._unknown()
        if name not in self.volumes:
            return self._missing(name)
        self.volumes[name].locked = locked
        word = "read-only" if locked else "read-write"
        return self._done(f"Device {name} is now set to {word}")

    def _unlock(self, name: str) -> Answer:
        return self._lock(name, False)

    def _map(self, volume: str, source: str, word: str) -> Answer:
        policy = "writeback" if word == _WRITEBACK[self.major] else word
        if policy not in _POLICY_PREFIX or (policy == word == "writeback" and self.major != "8"):
            if self.major != "9":
                return 400, ""
            return 400, self._failed("Invalid cache mode in URL.")[1]
        if volume not in self.volumes:
            return self._missing(volume)
        device = _POLICY_PREFIX[policy] + source
        self.caches[device] = Cache(volume, source)
        return self._done(f"Command to map {device} with {volume} and /dev/{source} has been sent.")

    def _unmap(self, name: str) -> Answer:
        if self.caches.pop(name, None) is None:
            return self._failed(f"Error. Cache target {name} does not exist.")
        return self._done(f"Command to unmap {name} has been sent.")
