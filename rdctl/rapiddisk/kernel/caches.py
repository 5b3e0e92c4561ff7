"""Caches as device-mapper has them: what they are, and single acts on them."""

from __future__ import annotations

import errno
import re
import time
from contextlib import suppress

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, human_size
from rdctl.rapiddisk.kernel.blockdev import PAGE
from rdctl.rapiddisk.kernel.claims import Claims, KernelPart
from rdctl.rapiddisk.kernel.means import KernelDependencies
from rdctl.rapiddisk.kernel.records import Records
from rdctl.rapiddisk.kernel.refusals import GONE, Refusals, incomplete, missing, volume_gone
from rdctl.rapiddisk.kernel.sources import Sources
from rdctl.rapiddisk.kernel.sysfs import SECTOR
from rdctl.rapiddisk.model import Cache, CacheCounters, Device, NewCache, Superblock, Volume
from rdctl.rapiddisk.names import policy_of

_NODE_SECONDS = 5.0
# A rapiddisk-cache works in sets of 512 blocks of 4 KiB.
_SMALLEST_CACHE = 2 * MIB
_COUNTER = re.compile(r"([a-z ]+)\(([0-9]+)\)")
_WRITECACHE = (
    "errors num_blocks num_free_blocks num_wb_blocks num_read_req num_read_cache_hits"
    " num_write_req num_write_uncommitted_blk_hits num_write_committed_blk_hits"
    " num_write_cache_bypass num_write_cache_alloc num_write_freelist_blocked num_flush_req"
    " num_discard_req"
).split()


class KernelCaches(KernelPart):
    def __init__(self, means: KernelDependencies, claims: Claims, refusals: Refusals) -> None:
        super().__init__(means, claims, refusals)
        self._sources = Sources(means)
        self._records = Records(means)

    # --- what they are ------------------------------------------------------------------------

    def _all_caches(self) -> list[Cache]:
        """The caches that have a table, each with its contents."""
        return [self._measured(cache) for cache in self._mapped()]

    def _mapped(self) -> list[Cache]:
        return self._sysfs.caches(self._source_by_table)

    def _source_by_table(self, mapping: str) -> str | None:
        """The kernel's name of a cache's source; None where the table cannot be read."""
        if not self._calls.privileged:
            return None
        with suppress(OSError):
            table = self._mapper.table(mapping)
            if table is not None and table.kind == "writecache":
                return self._sysfs.numbered(table.text.split()[1])
            found = re.search(r"disk dev \((\S+)\)", table.text if table else "")
            return self._known.at(found[1]) if found else None
        return None

    def _unfinished(self) -> list[Cache]:
        """Caches that have no table: only device-mapper itself shows them."""
        if not self._calls.privileged:
            return []
        shown = {mapping.name for mapping in self._sysfs.mappings()}
        try:
            names = self._mapper.names()
        except OSError:
            return []
        return [
            Cache(device=name, volume=None, source=None, policy=policy)
            for name in names
            if name not in shown and (policy := policy_of(name))
        ]

    def _measured(self, cache: Cache) -> Cache:
        """A write-back cache with what is not on its source yet; requires root."""
        if cache.policy != "writeback" or cache.volume is None or not self._calls.privileged:
            return cache
        with suppress(OSError, RdctlError):
            numbers = self.counters(cache.device).counters
            blocks = numbers["num_blocks"] - numbers["num_free_blocks"]
            dirty = blocks * self._block_size(cache.device)
            speed = self._speed(cache.source_kernel or "")
            record = self._records.of(cache.volume)
            return cache._replace(
                dirty=dirty,
                writeback_seconds=-(-dirty // speed) if speed else None,
                flush_on_suspend=record.sent if record and record.cache == cache.device else None,
            )
        return cache

    def _block_size(self, cache: str) -> int:
        """Of a write-back cache, by its table: `s SOURCE VOLUME BLOCK_SIZE ...`"""
        table = self._mapper.table(cache)
        words = table.text.split() if table is not None else []
        size = int(words[3]) if len(words) > 3 and words[3].isdigit() else 0
        return size or PAGE

    def _speed(self, kernel: str) -> int:
        """Bytes per second that a disk moved while it was busy, 0 if it never was. It is an
        estimate: /sys/class/block/NAME/stat"""
        numbers = (self._sysfs.text(f"sys/class/block/{kernel}/stat") or "").split()
        if len(numbers) < 10 or not all(number.isdigit() for number in numbers):
            return 0
        moved = int(numbers[2]) + int(numbers[6])
        milliseconds = int(numbers[9])
        return moved * SECTOR * 1000 // milliseconds if milliseconds else 0

    def source_speed(self, source: str) -> int | None:
        kernel = self._known.at(source)
        return self._speed(kernel) or None if kernel else None

    def counters(self, cache: str) -> CacheCounters:
        """The status of the mapping's target; requires root."""
        with self._refusals.worded(f"the counters of {cache} cannot be read", cache):
            status = self._mapper.status(cache)
        if status is None:
            raise incomplete(cache)
        if status.kind == "writecache":
            numbers = [int(word) for word in status.text.split()]
            return CacheCounters(cache, dict(zip(_WRITECACHE, numbers, strict=False)))
        found = _COUNTER.findall(status.text)
        return CacheCounters(
            cache, {name.strip().replace(" ", "_"): int(number) for name, number in found}
        )

    def _dirty(self, cache: str) -> int:
        """Blocks that are not on the disk; raises when they cannot currently be written there."""
        kernel = self._sysfs.kernel_of(cache)
        if self._sysfs.number(f"sys/block/{kernel}/dm/suspended"):
            raise RdctlError(
                Code.CONFLICT,
                f"{cache} is suspended",
                hint=f"Resume it first: dmsetup resume {cache}",
                target=cache,
            )
        found = next((one for one in self._mapped() if one.device == cache), None)
        if found is not None and (failure := self.failure(found)) is not None:
            raise failure
        counters = self.counters(cache).counters
        return counters["num_blocks"] - counters["num_free_blocks"]

    def failure(self, cache: Cache) -> RdctlError | None:
        """/sys/block/dm-N/slaves, /sys/block/rdN/holders, the status of the target"""
        if cache.policy != "writeback" or cache.volume is None:
            return None
        failed = bool(self.counters(cache.device).counters["errors"])
        if not self._sysfs.exists(f"sys/block/{cache.volume}/holders/{cache.kernel}"):
            return volume_gone(cache.device, cache.volume) if failed else None
        there = self._sysfs.leads_somewhere(f"sys/class/block/{cache.source_kernel}")
        if there and not failed:
            return None
        return self._source_failed(cache, "returned an I/O error" if there else "is gone")

    def _source_failed(self, cache: Cache, why: str) -> RdctlError:
        """The error for a failed source: the volume holds the only copy of its dirty blocks."""
        volume = str(cache.volume)
        # Not the superblock: while the cache is mapped, it lacks what is not committed yet.
        dirty = self._measured(cache).dirty
        size = f" ({human_size(dirty)})" if dirty is not None else ""
        return RdctlError(
            Code.CONFLICT,
            f"{cache.device} has failed: its source {cache.source} {why}; {volume} still holds"
            f" unwritten blocks{size}",
            hint="When the source is back, write them to it: rdctl rapiddisk cache create"
            f" {volume} SOURCE --policy writeback --adopt",
            target=cache.device,
        )

    def max_age_of(self, cache: str) -> int | None:
        """The table of the mapping, with the options that were given; requires root. A part of a
        second counts as a second."""
        with self._refusals.worded(f"the table of {cache} cannot be read", cache):
            table = self._mapper.table(cache)
        if table is None:
            raise incomplete(cache)
        options = table.text.split()[5:] if table.kind == "writecache" else []
        if "max_age" not in options[:-1]:
            return None
        return -(-int(options[options.index("max_age") + 1]) // 1000)

    @property
    def ages(self) -> bool:
        """Whether write-back caches support `max_age`: Linux 5.8"""
        release = self._sysfs.text("proc/sys/kernel/osrelease") or ""
        found = re.match(r"([0-9]+)\.([0-9]+)", release)
        return found is not None and (int(found[1]), int(found[2])) >= (5, 8)

    def source_recorded(self, volume: str) -> str | None:
        record = self._records.of(volume)
        return record.source if record else None

    def is_source_of(self, volume: str, source: Device) -> bool:
        record = self._records.of(volume)
        return record is not None and self._records.matches(record, source)

    # --- what the kernel is known to refuse ---------------------------------------------------

    def check_cache(self, volume: Volume, source: Device, policy: str) -> None:
        """Raise for what the kernel is known to refuse, before the question and the change."""
        if policy != "writeback":
            if not self._sysfs.module("rapiddisk-cache")[0]:
                raise missing("rapiddisk-cache")
            if volume.size is not None and volume.size < _SMALLEST_CACHE:
                raise RdctlError(
                    Code.CONFLICT,
                    f"{volume.device} has {human_size(volume.size)}, but a {policy} cache requires"
                    f" at least {human_size(_SMALLEST_CACHE)}",
                    target=volume.device,
                )
        if source.number is None:
            return  # a dry run would have created it
        if not self._sysfs.size(source.kernel):
            raise RdctlError(Code.CONFLICT, f"{source.name} has no size", target=source.name)
        self._sources.check(source, policy, volume.device)

    def check_adoption(self, volume: Volume, source: Device, left: Superblock) -> None:
        size = self._sysfs.size(source.kernel) or 0
        if size % left.block_size:
            raise RdctlError(
                Code.CONFLICT,
                f"{source.name} is not the source of the cache: its size, {size} bytes, is not a"
                f" multiple of the block size, {left.block_size} bytes",
                target=source.name,
            )
        if left.end > size:
            raise RdctlError(
                Code.CONFLICT,
                f"{source.name} is not the source of the cache: {volume.device} holds a block for"
                f" byte {left.end}, which is beyond its end ({human_size(size)})",
                target=source.name,
            )
        self._sources.check_writable(source)

    # --- acts ---------------------------------------------------------------------------------

    def map(self, cache: NewCache, destroys: str | None) -> None:
        """Create the mapping, all or nothing; the kernel then holds both devices itself."""
        volume, source, name = cache.volume, cache.source, cache.name
        with self._refusals.worded(f"{name} was not created", name):
            kind, arguments = self._table(cache)
        size = self._known.size(source.kernel) or 0
        # Device-mapper claims them itself, which our claim would prevent.
        self._claims.release([volume, source.kernel])
        # What the table wrote to the volume would be mistaken for contents.
        again = None if cache.adopt else self._devices.erase(volume, None, None)
        made = self._effects.transaction(f"create cache {name} ({volume} over {source.name})")
        act = self._acts.mapping(cache)
        with self._refusals.worded(f"{name} was not created", name), made:
            if cache.policy == "writeback":
                self._record_source(volume, name, source, None)
            self._mapper.create(name)
            self._mapper.load(name, size // SECTOR, kind, arguments, destroys, again)
            self._mapper.resume(name)
            if cache.policy == "writeback":
                # Nothing is then lost when something else removes the mapping: `dmsetup remove`, or
                # systemd at shutdown. The kernel does it once, and does not show whether it is set.
                self._mapper.message(name, "flush_on_suspend")
                self._record_source(volume, name, source, self._time())
            self._effects.acted(act())
        self._known.assume(name, size)
        if not self._effects.dry_run:
            self._await_node(name)

    def _table(self, new: NewCache) -> tuple[str, str]:
        """Type and arguments of the target. Both paths lead to the devices that were checked."""
        source = new.source
        if self._sysfs.dev(source.kernel) != source.number:
            raise OSError(errno.ENODEV, f"{source.name} is now another device", source.name)
        below, cache = self._known.node(source.kernel), self._known.node(new.volume)
        if new.policy != "writeback":
            size = (self._known.size(new.volume) or 0) // SECTOR
            mode = 0 if new.policy == "write-through" else 1
            return "rapiddisk-cache", f"{below} {cache} {size} {mode}"
        options = "0"
        if new.max_age is not None:
            options = f"2 max_age {new.max_age * 1000}"
        return "writecache", f"s {below} {cache} {new.block_size} {options}"

    def _record_source(self, volume: str, cache: str, source: Device, sent: str | None) -> None:
        """First when the creation begins, then when `flush_on_suspend` was sent: an interrupted one
        can be recognized."""
        try:
            self._records.keep(volume, cache, source, sent)
        except OSError as error:
            self._warn(f"the source of {cache} could not be recorded: {error.strerror}")

    def _time(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))

    def is_unarmed(self, cache: Cache) -> bool:
        record = self._records.of(cache.volume or "")
        return record is not None and record.cache == cache.device and record.sent is None

    def arm(self, cache: Cache) -> None:
        """The message flush_on_suspend, which the kernel does not show."""
        with self._refusals.worded(f"{cache.device} was not set to write back", cache.device):
            self._mapper.message(cache.device, "flush_on_suspend")
        # Also of a cache that rdctl did not create: `drop` must know that it would wait.
        source = self._known.device(cache.source_kernel or "")
        self._record_source(cache.volume or "", cache.device, source, self._time())

    def _await_node(self, name: str) -> None:
        """udev creates /dev/mapper/NAME a moment later."""
        node = f"dev/mapper/{name}"
        for _ in self._patience.attempts(_NODE_SECONDS):
            if self._sysfs.exists(node):
                return
        kernel = self._sysfs.kernel_of(name)
        self._warn(f"/{node} did not appear; is udev running? The device is /dev/{kernel}")

    def drop(self, cache: Cache, destroys: str | None) -> None:
        """Remove a mapping that can no longer write back. Its volume keeps its blocks.

        One that has to write back first, over a source that fails in parts, hangs in the kernel
        forever: seen on Linux 6.1, but not where the source is gone."""
        record = self._records.of(cache.volume or "")
        source = cache.source_kernel
        if record and record.sent and self._sysfs.leads_somewhere(f"sys/class/block/{source}"):
            raise RdctlError(
                Code.CONFLICT,
                f"{cache.device} cannot be removed: its source {cache.source} returned an I/O"
                " error, and removing the cache could hang in the kernel",
                hint=f"Detach the source first: echo 1 > /sys/block/{source}/device/delete; the"
                f" blocks stay in {cache.volume}",
                target=cache.device,
            )
        with self._refusals.worded(f"{cache.device} was not removed", cache.device):
            removal = self._mapper.removal(cache.device, destroys)
            self._claims.do_alone(removal, cache.device, self._unmapping(cache))

    def unmap(self, cache: str, destroys: str | None) -> None:
        """A write-back cache is written back first, and its volume wiped: mapped again, it would
        replay its old blocks onto any disk."""
        found = next((one for one in self._mapped() if one.device == cache), _tableless(cache))
        volume = found.volume
        writes_back = volume is not None and found.policy == "writeback"
        left = self.sync(cache) if writes_back else 0
        if left:
            raise RdctlError(
                Code.IN_USE,
                f"{cache} was not removed: {left} blocks are still not written back",
                hint="Something may be writing to it. Try again.",
                target=cache,
            )
        act = self._unmapping(found)
        with self._effects.unbroken():
            with self._refusals.worded(f"{cache} was not removed", cache):
                self._claims.do_alone(self._mapper.removal(cache, destroys), cache, act)
            if writes_back and volume is not None:
                self._wipe(volume, destroys)
                with suppress(OSError):
                    self._records.forget(volume)

    def _unmapping(self, cache: Cache) -> Act:
        age = None
        with suppress(RdctlError):
            age = self.max_age_of(cache.device) if cache.policy == "writeback" else None
        return self._acts.unmapping(cache, age)

    def _wipe(self, volume: str, destroys: str | None) -> None:
        try:
            self._claims.do_alone(self._devices.erase(volume, None, destroys), volume)
        except OSError as error:
            if error.errno in GONE:
                return
            raise RdctlError(
                Code.IN_USE,
                f"its cache was removed, but {volume} still holds old blocks, which it would write"
                f" to the next disk that it caches: {error.strerror}",
                hint=f"Erase it: rdctl rapiddisk flush {volume}",
                target=volume,
            ) from error

    def sync(self, cache: str) -> int | None:
        """Write all blocks back, however long it takes; the number of blocks that are still dirty,
        None in a dry run."""
        self._dirty(cache)
        try:
            self._mapper.message(cache, "flush")
        except OSError as error:
            self._dirty(cache)  # has the reason, if the source or the volume failed
            with self._refusals.worded(f"{cache} was not written back", cache):
                raise error
        return None if self._effects.dry_run else self._dirty(cache)


def _tableless(cache: str) -> Cache:
    """A cache of which nothing but the name is known."""
    return Cache(device=cache, volume=None, source=None, policy=policy_of(cache))
