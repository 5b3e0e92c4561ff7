"""Device-mapper of a simulated machine."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from rdctl.sandbox.machine.counters import fresh_counters, work_on, writeback_head
from rdctl.sandbox.machine.objects import (
    DM_MAJOR,
    ENTRIES,
    FREE,
    MAGIC,
    MIB,
    PAGE,
    SECTOR,
    WORD,
    WRITECACHE,
    Mapping,
    fail,
)
from rdctl.sandbox.machine.volumes import Volumes

# The lines of the status of a cache.
_STATS = (
    ("reads", "writes"),
    ("cache_hits", "replacement", "write_replacement"),
    ("read_invalidates", "write_invalidates"),
    ("uncached_reads", "uncached_writes"),
    ("disk_reads", "disk_writes"),
    ("cache_reads", "cache_writes"),
)


class Mapper(Volumes):
    _HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7x")

    def _device_mapper(self, request: int, buffer: bytearray) -> None:
        size = self._HEADER.size
        if size != 312 or request >> 8 != 0xC138FD:
            fail(errno.ENOTTY)
        fields = list(self._HEADER.unpack_from(buffer))
        if fields[0] != 4 or fields[3] != len(buffer):
            fail(errno.EINVAL)
        name = fields[11].split(b"\0")[0].decode()
        data = bytes(buffer[fields[4] :])
        command = request & 0xFF
        if command in (2, 12):
            self._dm_answer(
                fields,
                buffer,
                *(self._dm_list() if command == 2 else self._dm_text(name, fields[7] & 1 << 4)),
            )
            return
        acts: dict[int, Callable[[], None]] = {
            3: lambda: self._dm_create(name),
            4: lambda: self._dm_remove(name),
            6: lambda: self._dm_resume(name),
            9: lambda: self._dm_load(name, data),
            14: lambda: self._dm_message(name, data[8:].split(b"\0")[0].decode()),
        }
        self._change(acts[command])

    def _dm_answer(self, fields: list[int], buffer: bytearray, count: int, answer: bytes) -> None:
        room = len(buffer) - self._HEADER.size
        fields[5] = count
        if len(answer) > room:
            fields[7] |= 1 << 8  # DM_BUFFER_FULL_FLAG
            answer = b""
        fields[3] = self._HEADER.size + len(answer)
        self._HEADER.pack_into(buffer, 0, *fields)
        buffer[self._HEADER.size : fields[3]] = answer

    def _dm_list(self) -> tuple[int, bytes]:
        if not self.maps:
            return 0, bytes(16)
        parts = []
        for mapping in self.maps.values():
            name = mapping.name.encode() + b"\0"
            length = 12 + len(name) + (-(12 + len(name)) % 8)
            number = DM_MAJOR << 8 | mapping.minor
            parts.append((number, length, name))
        answer = b""
        for index, (number, length, name) in enumerate(parts):
            following = length if index + 1 < len(parts) else 0
            answer += (struct.pack("=QI", number, following) + name).ljust(length, b"\0")
        return 0, answer

    def _dm_text(self, name: str, table: int) -> tuple[int, bytes]:
        mapping = self._mapping(name)
        if not mapping.live:
            return 0, b""
        words = self._table_of(mapping) if table else self.status_of(mapping)
        if mapping.is_cache and not table:
            self._looked_at(mapping)
        text = words.encode() + b"\0"
        head = struct.pack("=QQiI16s", 0, mapping.sectors, 0, 40 + len(text), mapping.kind.encode())
        return 1, head + text

    def _table_of(self, mapping: Mapping) -> str:
        """As the kernel prints it: by numbers, or in words that no table can be made of
        (docs/wire/rapiddisk-local.md#34-dmsetup-table-output)."""
        if mapping.kind == "writecache":
            return " ".join(["s", *mapping.numbers, *mapping.arguments[3:]])
        source, volume = mapping.arguments[:2]
        return f"conf:\n\tRapidDisk dev ({volume}), disk dev ({source}) mode (WRITETHROUGH)\n"

    def status_of(self, mapping: Mapping) -> str:
        """As the kernel prints it (docs/wire/rapiddisk-local.md)."""
        count = self.counters_of(mapping)
        if mapping.kind == "writecache":
            return " ".join(map(str, count.values())) + " "
        if mapping.kind != "rapiddisk-cache":
            return ""
        lines = [
            ", ".join(f"{name.replace('_', ' ')}({count[name]})" for name in names)
            for names in _STATS
        ]
        return "stats:\n" + "".join(f"\t{line}\n" for line in lines)

    def counters_of(self, mapping: Mapping) -> dict[str, int]:
        """In the order of the kernel."""
        if mapping.kind != "writecache":
            return mapping.counters
        free = mapping.counters["num_blocks"] - mapping.dirty
        return mapping.counters | {"errors": int(mapping.failed), "num_free_blocks": free}

    def _looked_at(self, mapping: Mapping) -> None:
        """The counters of a cache were read."""

    def write_through(self, mapping: Mapping, blocks: int) -> None:
        """An application writes through a write-back cache."""
        for name in ("num_write_req", "num_write_cache_alloc"):
            mapping.counters[name] += blocks
        mapping.dirty += blocks
        self.occupy(mapping)

    def work(self, mapping: Mapping) -> None:
        """An application uses a cache for a moment."""
        volume = self.volumes.get(int(mapping.volume[2:]))
        if volume is None:
            return
        counters = self.counters_of(mapping)
        work_on(mapping.name, counters, volume.size % WORD // PAGE)
        mapping.counters = counters
        if mapping.kind == "writecache":
            mapping.dirty = counters["num_blocks"] - counters["num_free_blocks"]
        self.occupy(mapping)

    def occupy(self, mapping: Mapping) -> None:
        """Account for the blocks of a cache in its volume."""
        volume = self.volume(mapping.volume)
        size = volume.size % WORD
        if mapping.kind == "writecache":
            used = written = writeback_head(mapping.counters["num_blocks"]) + mapping.dirty * PAGE
        else:
            used, written = mapping.counters["disk_reads"] * PAGE, size  # scattered blocks
        volume.used = max(volume.used, min(used, size))
        volume.high = max(volume.high, min(written, size, WORD // 2 - 1))
        self.show_volumes()

    def _mapping(self, name: str) -> Mapping:
        return self.maps[name] if name in self.maps else fail(errno.ENXIO)

    def _new_mapping(self, name: str) -> Mapping:
        taken = {mapping.minor for mapping in self.maps.values()}
        minor = next(number for number in range(len(taken) + 1) if number not in taken)
        mapping = self.maps[name] = Mapping(minor, name)
        return mapping

    def _dm_create(self, name: str) -> None:
        """Not in sysfs before it has a table."""
        if name in self.maps:
            fail(errno.EBUSY)
        self._new_mapping(name)

    def _dm_load(self, name: str, data: bytes) -> None:
        mapping = self._mapping(name)
        start, sectors, _, following, kind = struct.unpack_from("=QQiI16s", data)
        if start or following % 8 or len(data) != following:
            fail(errno.EINVAL)
        text = data[40:].split(b"\0")[0].decode()
        mapping.kind, mapping.sectors = kind.rstrip(b"\0").decode(), sectors
        mapping.arguments = text.split()
        if mapping.kind == "rapiddisk-cache":
            self._check_rapiddisk(mapping)
        elif mapping.kind == "writecache":
            self._check_writecache(mapping)
        else:
            fail(errno.EINVAL)
        if self._block(mapping.source) > (PAGE if mapping.kind == "writecache" else SECTOR):
            self._harm(f"{name} sends {mapping.source} less than its blocks")
        if sectors * SECTOR > self._size(mapping.source):
            self._harm(f"{name} is longer than {mapping.source}")
        for part in mapping.slaves:
            if self._mapped(part) or self._exported(part):
                self._harm(f"{part} was mapped while {self.is_used(part)}")
        if self.volume(mapping.volume).locked:
            self._harm(f"{mapping.volume} was mapped while locked")
        if mapping.source == mapping.volume:
            self._harm(f"{mapping.volume} caches itself")
        self._show_mapping(mapping)

    def _check_rapiddisk(self, mapping: Mapping) -> None:
        if len(mapping.arguments) < 2:
            fail(errno.EINVAL)
        source, cache, sectors, mode = mapping.arguments
        mapping.slaves = [self._kernel_name(source), self._kernel_name(cache)]
        if not self._has_node(source) or self._busy(mapping.source):
            fail(errno.EINVAL)
        if not cache.startswith("/dev/rd") or not self._has_node(cache):
            fail(errno.EINVAL)
        if self._busy(mapping.volume) or int(sectors) * SECTOR > self._size(mapping.volume):
            fail(errno.EINVAL)
        if int(sectors) * SECTOR < 2 * MIB:
            fail(errno.ENOMEM)
        if mode not in ("0", "1"):
            fail(errno.EINVAL)

    def _check_writecache(self, mapping: Mapping) -> None:
        ssd, source, cache, block, count, *options = mapping.arguments
        if ssd != "s" or len(options) != int(count) or options[::2] not in ([], ["max_age"]):
            fail(errno.EINVAL)
        mapping.slaves = [self._kernel_name(source), self._kernel_name(cache)]
        if not self._has_node(source) or self._busy(mapping.source):
            fail(errno.EBUSY)
        if not self._has_node(cache):
            fail(errno.ENODEV)
        if self._busy(mapping.volume):
            fail(errno.EBUSY)
        if mapping.sectors * SECTOR % PAGE:
            fail(errno.EINVAL)
        volume = self.volume(mapping.volume)
        mapping.counters = fresh_counters(mapping.name, volume.size)
        if volume.dirty_of is not None and block != str(PAGE):
            fail(errno.EINVAL)  # not that of the superblock
        if volume.dirty_of not in (None, self._identity(mapping.source)):
            self._harm(f"blocks of {volume.dirty_of} were written to {mapping.source}")
        elif volume.unwritten:
            mapping.dirty, volume.unwritten = volume.unwritten, 0
        elif any(self.stored(mapping.volume, 8)) and volume.dirty_of is None:
            fail(errno.EINVAL)  # no superblock, and not zero
        elif volume.dirty_of is None:
            self._format(mapping)

    def _has_node(self, path: str) -> bool:
        return self.path(path).exists()

    def _busy(self, kernel: str) -> bool:
        """Device-mapper shares its claims only with itself."""
        return bool(self._claimed(kernel)) and not self._mapped(kernel)

    def add_cache(self, name: str, volume: str, source: str, dirty: int = 0) -> Mapping:
        """A cache at once, as another tool makes it."""
        mapping = self._new_mapping(name)
        mapping.kind = "writecache" if name.startswith("rc-wb") else "rapiddisk-cache"
        mapping.slaves = [self._kernel_name(f"/dev/{source}"), volume]
        words = [f"/dev/{source}", f"/dev/{volume}"]
        cached = mapping.kind == "writecache"
        mapping.arguments = ["s", *words, str(PAGE), "0"] if cached else [*words, "0", "0"]
        mapping.sectors = self._size(mapping.source) // SECTOR
        mapping.dirty = dirty
        self._show_mapping(mapping)
        self._go_live(mapping)
        return mapping

    def _show_mapping(self, mapping: Mapping) -> None:
        mapping.numbers = [self._number(part) for part in mapping.slaves]
        kernel = mapping.kernel
        block = PAGE if mapping.kind == "writecache" else SECTOR
        self._show_block(kernel, f"{DM_MAJOR}:{mapping.minor}", 0, block)
        self.put(f"sys/block/{kernel}/dm/name", f"{mapping.name}\n")
        if mapping.is_cache:
            mapping.counters = fresh_counters(mapping.name, self.volume(mapping.volume).size)
        for part in dict.fromkeys(mapping.slaves):
            self._stack(kernel, part)

    def _stack(self, upper: str, lower: str) -> None:
        self._link(f"sys/block/{upper}/slaves/{lower}", f"../../{lower}")
        whole = next(self.path("sys/block").glob(f"*/{lower}/partition"), None)
        below = f"sys/block/{lower}" if whole is None else str(whole.parent.relative_to(self.root))
        self._link(f"{below}/holders/{upper}", f"../../{upper}")

    def _dm_resume(self, name: str) -> None:
        mapping = self._mapping(name)
        if not mapping.slaves:
            fail(errno.EINVAL)
        self._go_live(mapping)

    def _go_live(self, mapping: Mapping) -> None:
        mapping.live = True
        self.put(f"sys/block/{mapping.kernel}/size", f"{mapping.sectors}\n")
        if self.udev:
            self._link(f"dev/mapper/{mapping.name}", f"../{mapping.kernel}")
        if mapping.kind == "writecache" and self.volume(mapping.volume).dirty_of is None:
            self._format(mapping)
        elif mapping.kind == "rapiddisk-cache":
            self.occupy(mapping)
        self.show_volumes()

    def _format(self, mapping: Mapping) -> None:
        """A writecache writes its superblock when its table is loaded."""
        self.occupy(mapping)
        self._leave_blocks(mapping)
        self.volume(mapping.volume).unwritten = 0

    def _leave_blocks(self, mapping: Mapping) -> None:
        """What is not written back stays in the volume."""
        volume = self.volumes.get(int(mapping.volume[2:]))
        if mapping.kind != "writecache" or volume is None:
            return
        volume.unwritten = mapping.dirty
        volume.dirty_of = self._identity(mapping.source)
        # Behind them one that was written back: it keeps its sector.
        entries = [struct.pack("<QQ", number * 8, 1) for number in range(mapping.dirty)]
        entries.append(struct.pack("<Q", 800) + FREE[:8])
        entries += [FREE] * (ENTRIES - len(entries))
        header = WRITECACHE.pack(MAGIC, 1, PAGE, 0, ENTRIES, 2)
        self._store(mapping.volume, header + b"".join(entries), 0)

    def _identity(self, disk: str) -> str:
        return self.identities.get(disk, disk)

    def _dm_remove(self, name: str) -> None:
        mapping = self._mapping(name)
        if mapping.kernel in self.descriptors.values() or self.is_used(mapping.kernel):
            fail(errno.EBUSY)
        self.unmap(mapping)

    def unmap(self, mapping: Mapping) -> None:
        """What is not written back stays in the volume."""
        if mapping.armed and not mapping.failed:
            mapping.dirty = 0
        if mapping.slaves:
            self._leave_blocks(mapping)
        del self.maps[mapping.name]
        if not mapping.slaves:
            return
        for part in mapping.slaves:
            for holder in self.path("sys/block").glob(f"**/{part}/holders/{mapping.kernel}"):
                self.delete(self.inside(holder))
        if self.path(f"dev/mapper/{mapping.name}").is_symlink():
            self.delete(f"dev/mapper/{mapping.name}")
        self._hide_block(mapping.kernel, f"{DM_MAJOR}:{mapping.minor}")

    def _dm_message(self, name: str, text: str) -> None:
        mapping = self._mapping(name)
        if not mapping.live or mapping.kind != "writecache":
            fail(errno.EINVAL)
        if text == "flush_on_suspend":
            mapping.armed = True
            return
        if text != "flush":
            fail(errno.EINVAL)
        if mapping.failed:
            fail(errno.EIO)
        mapping.dirty = 0
