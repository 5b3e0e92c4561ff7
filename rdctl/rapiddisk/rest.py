"""The backend `remote`: RapidDisk through the REST API of rapiddiskd, 7.0 to 9.2."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import quote

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, defuse, escape, human_size, natural
from rdctl.core.unread import MISSHAPEN, Unread
from rdctl.net.messages import Reply, TooMuch
from rdctl.net.transport import READ_SECONDS, Transport
from rdctl.rapiddisk import replies
from rdctl.rapiddisk.backend import LocalOnly, here_only
from rdctl.rapiddisk.model import (
    OLDER_DAEMON,
    CacheCounters,
    Device,
    Inventory,
    NewCache,
    Port,
    Resources,
    Status,
    Superblock,
    Survey,
    Target,
    Volume,
    misread,
)
from rdctl.rapiddisk.names import policy_of

_SOURCE = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"
# It was observed to attach `rd-1`, which no kernel does.
_ATTACHED = r"Attached device (rd-?[0-9]+) of size"
_ASSUMED = Reply(200, "OK", {}, b'{"status": "Success"}')
_ALL = "rdctl rapiddisk list"


class Rest(LocalOnly):
    """The backend `remote`. `warn` is called once when the daemon is below 9."""

    reports_all = False
    grows_in_use = False
    ages = False
    users_seen: Sequence[str] = ("cache", "export")

    def __init__(
        self,
        transport: Transport,
        warn: Callable[[str], None],
        unread: Unread | None = None,
    ) -> None:
        self._transport = transport
        self._warn = warn
        # Values that cannot be read.
        self._unread = unread or Unread()
        self._version: str | None = None
        self._misread = False

    # --- facts --------------------------------------------------------------------------------

    def status(self) -> Status:
        """GET /v1/checkServiceStatus"""
        body = self._read("/v1/checkServiceStatus")
        with self._shape():
            version, status = replies.status(body)
        if self._version is None:
            self._version = version
            if replies.major(version) < 9:
                self._warn(
                    f"rapiddiskd {escape(version)} passes requests to a root shell, and supports"
                    " neither locks nor usage; upgrade to 9.1 or later"
                )
        return Status(status=status, version=version, mode="remote", endpoint=self._transport.url)

    def resources(self) -> Resources:
        """GET /v1/listAllResources"""
        body = self._read("/v1/listAllResources")
        with self._shape():
            return replies.resources(body)

    memory = resources

    def inventory(self, strict: bool = True) -> Inventory:
        """GET /v1/listRapidDiskVolumes"""
        body = self._read("/v1/listRapidDiskVolumes")
        with self._shape(strict):
            volumes, caches = replies.inventory(body, strict)
        if volumes and all(volume.size == 0 for volume in volumes) and self._is_debian():
            volumes = [volume._replace(size=None) for volume in volumes]
        if (wrong := misread(volumes)) and not self._misread:
            self._misread = True
            self._warn(f"{', '.join(wrong)} of 0 bytes: {OLDER_DAEMON}")
        volumes.sort(key=lambda volume: natural(volume.device))
        caches.sort(key=lambda cache: natural(cache.device))
        return Inventory(volumes, caches)

    def counters(self, cache: str) -> CacheCounters:
        """GET /v1/showRapidDiskCacheStats/@volume"""
        body = self._read(f"/v1/showRapidDiskCacheStats/{quote(cache, safe='')}", nothing=cache)
        with self._shape():
            return replies.counters(body)

    def targets(self, strict: bool = False) -> list[Target]:
        """GET /v1/listAllNVMeTargets: fragile, a long device path crashes 9.2.0; sent once."""
        body = self._read("/v1/listAllNVMeTargets", repeatable=False)
        with self._shape(strict):
            targets = replies.targets(body, strict)
        return sorted(targets, key=lambda target: (natural(target.nqn), target.namespace))

    def guarded_targets(self) -> list[Target] | None:
        """None from a daemon that has no such request, or reports that it cannot list exports."""
        try:
            return self.targets(strict=True)
        except RdctlError as error:
            if error.code is Code.MODULE_MISSING:
                return None
            if error.code is Code.UNSUPPORTED and self._is_before(8):
                return None
            raise

    def _is_before(self, major: int) -> bool:
        """Whether the daemon is proven to be older, by another reply."""
        try:
            self.status()
        except RdctlError:
            return False
        return replies.major(self._version or "") < major

    def is_path_of(self, path: str | None, device: str) -> bool:
        if path is None:
            return False
        plain = posixpath.normpath(path)
        names = (f"/dev/{device}", f"/dev/mapper/{device}", f"/dev/disk/by-id/dm-name-{device}")
        return plain in names

    def ports(self) -> list[Port]:
        """GET /v1/listAllNVMePorts"""
        body = self._read("/v1/listAllNVMePorts")
        with self._shape():
            ports = replies.ports(body)
        return sorted(ports, key=lambda port: port.port)

    def high_water(self, volume: str) -> int | None:
        return None

    def server_time(self) -> float | None:
        """GET /v1/checkServiceStatus"""
        return self._transport.read("/v1/checkServiceStatus").date

    def superblock(self, volume: str) -> Superblock | None:
        return None

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        return None

    def survey(self, devices: Sequence[str]) -> Survey:
        return Survey({}, {})

    def listed_users(self) -> Survey:
        """None: asking for the exports can crash a 9.2."""
        return Survey({}, {"exports": "not listed"})

    def led_by_contents(self, text: str) -> bool:
        return False

    def source(self, text: str) -> Device:
        name = text.removeprefix("/dev/")
        if not re.fullmatch(_SOURCE, name):
            raise RdctlError(
                Code.USAGE,
                f'invalid source "{escape(text)}": rapiddiskd accepts only names below /dev',
                hint="Use a name directly below /dev, such as sdb or dm-0.",
                target=text,
            )
        return Device(name, None, name)

    # --- acts ---------------------------------------------------------------------------------

    def permit(self) -> None:
        """Nothing: the daemon itself refuses."""

    def check_cache(self, volume: Volume, source: Device, policy: str) -> None:
        """The daemon itself refuses the rest, but only after the volume is erased."""
        if policy == "writeback":
            self._writeback_word()

    def claim(self, devices: Sequence[str]) -> AbstractContextManager[bool]:
        """Nothing: the daemon has one thread, and its API has no lock."""
        return nullcontext(False)

    def create(self, size: int, number: int | None) -> str | None:
        """POST /v1/createRapidDisk/@size"""
        if number is not None:
            here_only("--number")
        what = f"create a volume of {human_size(size)}"
        message = self._act(f"createRapidDisk/{size // MIB}", what)
        found = re.match(_ATTACHED, message or "")
        return found[1] if found else None

    def resize(self, volume: str, size: int, destroys: str | None) -> None:
        """POST /v1/resizeRapidDisk/@volume/@size"""
        self._act(
            f"resizeRapidDisk/{volume}/{size // MIB}",
            f"resize {volume} to {human_size(size)}",
            destroys=destroys,
        )

    def erase(self, volume: str, destroys: str) -> None:
        """POST /v1/flushRapidDisk/@volume"""
        self._act(f"flushRapidDisk/{volume}", f"erase {volume}", destroys=destroys)

    def remove(self, volume: str, destroys: str) -> None:
        """POST /v1/removeRapidDisk/@volume"""
        self._act(f"removeRapidDisk/{volume}", f"remove {volume}", destroys=destroys)

    def set_lock(self, volume: str, locked: bool) -> None:
        """POST /v1/lockRapidDisk/@volume, POST /v1/unlockRapidDisk/@volume"""
        verb = "lock" if locked else "unlock"
        self._act(f"{verb}RapidDisk/{volume}", f"{verb} {volume}")

    def map(self, cache: NewCache, destroys: str | None) -> None:
        """POST /v1/createRapidDiskCache/@volume/@source/@policy"""
        word = self._writeback_word() if cache.policy == "writeback" else cache.policy
        source = cache.source.name
        self._act(
            f"createRapidDiskCache/{cache.volume}/{quote(source, safe='')}/{word}",
            f"create cache {cache.name} ({cache.volume} over {source})",
            shows="rdctl rapiddisk cache list",
            destroys=destroys,
        )

    def unmap(self, cache: str, destroys: str | None) -> None:
        """POST /v1/removeRapidDiskCache/@volume: a write-back cache writes back first, however
        long that takes."""
        writes_back = policy_of(cache) == "writeback"
        self._act(
            f"removeRapidDiskCache/{quote(cache, safe='')}",
            f"remove cache {cache}",
            shows="rdctl rapiddisk cache list",
            destroys=destroys,
            seconds=None if writes_back else READ_SECONDS,
        )

    # --- the wire -----------------------------------------------------------------------------

    def _read(self, path: str, *, repeatable: bool = True, nothing: str | None = None) -> Any:
        """The JSON object of a read. An empty reply to a request for one thing (`nothing`) is how
        7.x and 8.x report that it does not exist."""
        reply = self._transport.read(path, repeatable=repeatable)
        if not reply.body.strip() and reply.status == 200 and nothing is not None:
            raise RdctlError(Code.NOT_FOUND, f"cache {nothing} not found", target=nothing)
        if not reply.body and reply.status == 200:
            raise replies.refused("Unsupported.", reply)
        body = self._object(reply)
        if replies.verdict(body) in ("Failed", "Unsupported"):
            raise replies.refused(str(body.get("message") or replies.verdict(body)), reply)
        # Only daemons below 9 end their lines: asking for their version gives the warning.
        if reply.body.endswith(b"\n") and "version" not in body:
            self._known_version()
        return body

    def _act(
        self,
        path: str,
        what: str,
        *,
        shows: str = _ALL,
        destroys: str | None = None,
        seconds: float | None = READ_SECONDS,
    ) -> str | None:
        """Send a change; the daemon's message."""
        reply = self._transport.change(
            f"/v1/{path}",
            what=what,
            shows=shows,
            destroys=destroys,
            seconds=seconds,
            assume=_ASSUMED,
            did=replies.did,
        )
        if replies.did(reply):
            return str(replies.object_of(reply).get("message") or "") or None
        text, no = reply.text.strip(), 400 <= reply.status < 500
        if (not text and no) or text.startswith("Error"):
            raise replies.refused(text, reply)
        try:
            body = self._object(reply)
            verdict = replies.verdict(body)
            if verdict not in ("Failed", "Unsupported"):
                raise self._strange(f'its status is "{defuse(str(verdict)[:60])}"', reply)
        except RdctlError as strange:
            # An HTTP error is a refusal; any other unreadable reply may mean success.
            if no:
                raise
            raise self._transport.fate_unknown(what, shows, strange) from strange
        raise replies.refused(str(body.get("message") or verdict), reply)

    def _object(self, reply: Reply) -> dict[str, Any]:
        try:
            body = reply.json()
        except TooMuch as error:
            raise self._strange(str(error), reply) from None
        except ValueError:
            start = defuse(reply.text[:60]).strip() or "nothing"
            raise self._strange(f'not JSON: "{start}"', reply) from None
        if not isinstance(body, dict):
            raise self._strange("not a JSON object", reply)
        return body

    def _strange(self, what: str, reply: Reply | None = None) -> RdctlError:
        facts: dict[str, Any] = {} if reply is None else {"http_status": reply.status}
        return RdctlError(
            Code.BAD_REPLY,
            f"unexpected reply from {self._transport.url}: {what}",
            hint="Check that this is the port of rapiddiskd (9118).",
            **facts,
        )

    @contextmanager
    def _shape(self, strict: bool = False) -> Iterator[None]:
        """What is read within must have the shape of the reply; `strict`: every value of it, since
        a guard uses them."""
        unread = Unread()
        try:
            with unread.collecting():
                yield
        except MISSHAPEN as error:
            lacks = f"incomplete or malformed JSON ({escape(str(error)[:60])})"
            raise self._strange(lacks) from error
        if strict and unread.names:
            url = self._transport.url
            message = f"{url}: unreadable value in its reply: {unread.names}"
            raise RdctlError(Code.BAD_REPLY, message)
        self._unread.take(unread)

    def _known_version(self) -> str:
        if self._version is None:
            self.status()
        return self._version or ""

    def _is_debian(self) -> bool:
        """Whether this is Debian's 9.0.0, whose listings lack everything that comes from sysfs."""
        return self._known_version() == "9.0.0"

    def _writeback_word(self) -> str:
        version = self._known_version()
        if replies.major(version) < 8:
            raise RdctlError(
                Code.UNSUPPORTED,
                f"rapiddiskd {version} does not support write-back caches",
                hint="Use --policy write-through or write-around.",
            )
        return "write-back" if replies.major(version) >= 9 else "writeback"
