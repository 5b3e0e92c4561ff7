"""Who uses a block device: mounts, swap, loop devices, what is stacked on it, NVMe namespaces, SCSI
targets, open descriptors and memory maps. Devices are known by number; a path may lead
elsewhere here than where it was opened.

Other users are found by asking the kernel: by an exclusive open, and by the count of all opens of
the module's volumes (`Users.unaccounted`).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rdctl.core.units import operand, quoted
from rdctl.effects.syscalls import ioctl
from rdctl.rapiddisk.kernel.means import KernelDependencies, Part
from rdctl.rapiddisk.kernel.processes import Processes
from rdctl.rapiddisk.model import Subsystem, Survey, User
from rdctl.rapiddisk.names import is_rapiddisk, policy_of

SEEN = ("cache", "export", "target", "mount", "swap", "loop", "mapping", "raid", "other")
SEEN_BY_ROOT = (*SEEN, "held")
SEEN_IN_PROCESSES = (*SEEN_BY_ROOT, "open")
REFERENCES = "sys/module/rapiddisk/refcnt"
_TARGETS = "sys/kernel/config/target/core"
# Never stacked on another device.
_SIMPLE = re.compile(r"(rd|ram|loop|sd|vd|nvme|sr)[0-9a-z]")
_OCTAL = re.compile(r"\\([0-7]{3})")
_FILE = re.compile(r"\bFile: (\S+)")
_LOOP_STATUS = 0x4C05
# struct loop_info64: the file system or device of the backing file, its inode, and its own number
# where it is a device. All of it has 232 bytes.
_LOOP_INFO = struct.Struct("=QQQ")
_LOOP_INFO_SIZE = 232
# The kinds of user that prevent an exclusive open. Each opens the device once.
_EXCLUSIVE = ("mount", "swap", "cache", "mapping", "raid", "other", "target", "held")
# Opens of a device by one user, if not one: measured, see docs/guards.md.
_SWAP_OPENS, _ZRAM_OPENS = 2, 2
# File systems with a number of their own; their source is the device.
_NUMBERED_APART = ("btrfs", "bcachefs")
_FILE_SYSTEMS = ("ext4", "xfs", "f2fs", "erofs", "bcachefs", "nilfs2")


class Found(NamedTuple):
    """A user of a device, and how many opens of the device are certainly its own."""

    kernel: str
    user: User
    opens: int = 0


class Users(Part):
    def __init__(self, means: KernelDependencies) -> None:
        super().__init__(means)
        self._processes = Processes(means.sysfs, means.calls)

    @property
    def seen(self) -> Sequence[str]:
        """The kinds of user that can be detected from here."""
        if not self._calls.privileged:
            return SEEN
        return SEEN_IN_PROCESSES if self._processes.all_seen else SEEN_BY_ROOT

    def look(
        self,
        subsystems: Callable[[], Sequence[Subsystem]],
        probed: Iterable[str],
        ours: Mapping[str, int],
        processes: str,
    ) -> tuple[list[Found], dict[str, str]]:
        """All users that can be found, and the checks that failed, by kind, with the reason.
        `probed` are devices of which an exclusive open is tried; `ours` are those that this process
        holds, with its descriptors, which do not count as users. `processes`: check none of them
        (`none`), their open files (`files`), or their memory maps too (`all`)."""
        looks: list[tuple[str, str, Callable[[], Iterable[Found]]]] = [
            ("caches", "the mappings", self._stacked),
            ("exports", "the NVMe exports", lambda: self._namespaces(subsystems())),
            ("exports", "the SCSI targets", self._scsi_targets),
            ("opens", "the mounts", lambda: self._mounts("self")),
            ("opens", "the swap areas", self._swaps),
            ("opens", "the loop devices", self._loops),
        ]
        if self._calls.privileged and processes != "none":
            maps = processes == "all"
            looks.append(("opens", "the processes", lambda: self._opened(ours.values(), maps)))
        found: list[Found] = []
        unseen: dict[str, str] = {}
        for kind, what, look in looks:
            _try(look, kind, what, found, unseen)
        if self._calls.privileged:
            others = [kernel for kernel in probed if kernel not in ours]
            _try(lambda: self._holders(others, found), "opens", "exclusive holders", found, unseen)
        if processes != "none" and "opens" not in unseen and (missed := self._processes.missed):
            unseen["opens"] = missed
        return found, unseen

    def listed(
        self, subsystems: Callable[[], Sequence[Subsystem]]
    ) -> tuple[list[Found], dict[str, str]]:
        """As `look`, only what a listing shows: that requires neither root nor patience."""
        found: list[Found] = []
        unseen: dict[str, str] = {}
        exports = "the NVMe exports"
        _try(lambda: self._namespaces(subsystems()), "exports", exports, found, unseen)
        _try(lambda: self._mounts("self"), "opens", "the mounts", found, unseen)
        _try(self._swaps, "opens", "the swap areas", found, unseen)
        return found, unseen

    def survey(self, found: Sequence[Found], unseen: Mapping[str, str]) -> Survey:
        """What was found, by device. A user of a partition uses the disk, and vice versa."""
        direct: dict[str, list[User]] = {}
        for kernel, user, _ in found:
            there = direct.setdefault(kernel, [])
            if user not in there:
                there.append(user)
        users = {kernel: list(there) for kernel, there in direct.items()}
        for kernel, there in direct.items():
            whole = self._sysfs.whole(kernel)
            for other in [whole] if whole else self._sysfs.partitions(kernel):
                users.setdefault(other, []).extend(there)
        return Survey(users, unseen)

    def passing(self, found: Iterable[Found]) -> bool:
        """Whether udev, which closes the device in a moment, is among these."""
        return any(one.user.freed_by == Processes.SETTLED for one in found)

    # --- opens without a known user -------------------------------------------------------------

    def references(self) -> int:
        """The opens of all volumes, as the module counts them: /sys/module/rapiddisk/refcnt.
        OSError when it cannot be read."""
        return self._calls.references(self._sysfs.path(REFERENCES))

    def unaccounted(self, found: list[Found], references: int, ours: Collection[str]) -> int:
        """How many opens of volumes have no user that was found. Each kind of holder counts as
        measured (docs/guards.md), at its minimum: what is in doubt is not accounted for.
        `ours` are the devices that this process holds."""
        volumes = {volume.device for volume in self._sysfs.volumes()}
        left = references - len(volumes.intersection(ours)) - _opens(found, volumes)
        if left > 0:
            held = {one.kernel for one in found if _holds(one.user)}
            unseen = sorted(volumes - held - set(ours))
            more = list(self._holders(unseen, found))
            found += more
            left -= _opens(more, volumes)
        return left

    def _holders(self, kernels: Iterable[str], found: Sequence[Found]) -> Iterator[Found]:
        """Devices that are held exclusively by other users than those found."""
        known = {one.kernel for one in found if _holds(one.user) or one.user.kind == "open"}
        for kernel in kernels:
            # A holder of a partition blocks the disk, and vice versa.
            whole = self._sysfs.whole(kernel)
            related = [kernel, *([whole] if whole else self._sysfs.partitions(kernel))]
            if not known.isdisjoint(related) or self._sysfs.dev(kernel) is None:
                continue
            try:
                path = self._sysfs.path(self._known.node(kernel))
                self._calls.close(self._calls.open_device(path, exclusive=True))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                owner = self._owner(kernel)
                yield Found(kernel, owner, _ZRAM_OPENS if owner.name.startswith("zram") else 1)

    def _owner(self, kernel: str) -> User:
        """The owner of a device in the kernel, if /sys or /proc names it."""
        sysfs = self._sysfs
        for zram in sysfs.names("sys/block"):
            if zram.startswith("zram"):
                backing = sysfs.text(f"sys/block/{zram}/backing_dev")
                if self._known.at(backing) == kernel:
                    return User("other", zram, f"zramctl --reset /dev/{zram}")
        if sysfs.exists(f"sys/block/{kernel}/bcache"):
            return User("other", "bcache", f"echo 1 > /sys/block/{kernel}/bcache/set/stop")
        for uuid in sysfs.names("sys/fs/btrfs"):
            if sysfs.exists(f"sys/fs/btrfs/{uuid}/devices/{kernel}"):
                return self._btrfs(uuid)
        if sysfs.exists(f"proc/fs/jbd2/{kernel}"):
            return User("held", "the kernel, as the journal of an ext4 file system", None)
        for kind in _FILE_SYSTEMS:
            if sysfs.exists(f"sys/fs/{kind}/{kernel}"):
                return User("held", f"the kernel, for a mount ({kind}) not visible here", None)
        return User("held", "the kernel", None)

    def _btrfs(self, uuid: str) -> User:
        """The mount of a file system on several devices, of which mountinfo shows one."""
        parts = self._sysfs.names(f"sys/fs/btrfs/{uuid}/devices")
        for found in self._mounts("self"):
            if found.kernel in parts:
                return found.user
        return User("held", f"the kernel, for a mount (btrfs {uuid}) not visible here", None)

    # --- stacked devices ------------------------------------------------------------------------

    def _stacked(self) -> Iterator[Found]:
        if not self._sysfs.exists("sys/block"):
            raise OSError(errno.ENOENT, "/sys is not mounted")
        for kernel in self._sysfs.listed("sys/block"):
            if not _SIMPLE.match(kernel):
                for slave in self._sysfs.listed(f"sys/block/{kernel}/slaves"):
                    yield Found(slave, self._stack(kernel), 1)

    def _stack(self, kernel: str) -> User:
        name = self._sysfs.shown(kernel)
        if not kernel.startswith("dm-"):
            raid = kernel.startswith("md")
            freed_by = f"mdadm --stop /dev/{kernel}" if raid else None
            return User("raid" if raid else "other", name, freed_by)
        if policy_of(name):
            return User("cache", name, f"rdctl rapiddisk cache remove {operand(name)}")
        return User("mapping", name, self._unmapped_by(kernel))

    def _unmapped_by(self, kernel: str) -> str:
        """The command that removes a mapping without loss, by the tool that created it."""
        name = self._sysfs.text(f"sys/block/{kernel}/dm/name") or kernel
        maker = (self._sysfs.text(f"sys/block/{kernel}/dm/uuid") or "").partition("-")[0]
        word = shlex.quote(name)
        if maker == "LVM":
            group, _, volume = name.replace("--", "\0").partition("-")
            path = f"{group}/{volume}".replace("\0", "-")
            return f"lvchange -an {shlex.quote(path)}"
        if maker == "CRYPT":
            return f"cryptsetup close {word}"
        if maker == "mpath":
            return f"multipath -f {word}"
        if self._mapper.kind(name) == "writecache":
            return f"dmsetup message {word} 0 flush && dmsetup remove {word}"
        return f"dmsetup remove {word}"

    # --- exports --------------------------------------------------------------------------------

    def _namespaces(self, subsystems: Iterable[Subsystem]) -> Iterator[Found]:
        """An export by a link does not count as an open: the link may have led elsewhere when it
        was enabled."""
        lost = None
        for subsystem in subsystems:
            for namespace in subsystem.namespaces:
                path = namespace.path
                kernel = self._known.at(path, gone=True)
                if kernel is not None:
                    user = _export(subsystem, self._sysfs.shown(kernel))
                    direct = path in (f"/dev/{kernel}", f"/dev/mapper/{self._sysfs.shown(kernel)}")
                    yield Found(kernel, user, int(namespace.enabled and direct))
                elif path and namespace.enabled and not self._sysfs.leads_somewhere(path):
                    lost = f"{subsystem.nqn} exports {path}, which leads to no device here"
        if lost is not None:
            raise OSError(errno.ENOENT, lost)

    def _scsi_targets(self) -> Iterator[Found]:
        """LIO: a block device (iblock) or a file that is a device (fileio)."""
        if not self._sysfs.exists("sys/module/target_core_mod"):
            return
        if not self._sysfs.exists(_TARGETS):
            raise OSError(errno.ENOENT, "configfs is not mounted")
        lost = None
        for host in self._sysfs.listed(_TARGETS):
            for name in self._sysfs.listed(f"{_TARGETS}/{host}"):
                directory = f"{_TARGETS}/{host}/{name}"
                info = self._sysfs.read(f"{directory}/info") or ""
                kernel = self._behind(info) or self._known.at(
                    self._sysfs.text(f"{directory}/udev_path")
                )
                if kernel is not None:
                    kind = "block" if host.startswith("iblock") else "fileio"
                    freed_by = f"targetcli /backstores/{kind} delete {shlex.quote(name)}"
                    enabled = self._sysfs.read(f"{directory}/enable") == "1"
                    user = User("target", f"{kind}/{name}", freed_by)
                    yield Found(kernel, user, int(enabled))
                elif (file := _FILE.search(info)) and not self._sysfs.leads_somewhere(file[1]):
                    lost = f"{host}/{name} exports {file[1]}, which leads to no device here"
        if lost is not None:
            raise OSError(errno.ENOENT, lost)

    def _behind(self, info: str) -> str | None:
        """The device that a target reports."""
        number = re.search(r"\bMajor: ([0-9]+) +Minor: ([0-9]+)", info)
        if number:
            return self._sysfs.numbered(f"{number[1]}:{number[2]}")
        file = _FILE.search(info)
        return self._known.at(file[1]) if file else None

    # --- mounts, swap, loop devices -------------------------------------------------------------

    def _mounts(self, process: str) -> Iterator[Found]:
        text = self._sysfs.read(f"proc/{process}/mountinfo")
        if text is None and process == "self":
            raise OSError(errno.ENOENT, "/proc is not mounted")
        for line in (text or "").splitlines():
            for kernel in self._devices_of_mount(line):
                place = _plain(line.split(" ")[4])
                freed_by = f"umount {shlex.quote(place)}"
                if process == "self":
                    yield Found(kernel, User("mount", place, freed_by))
                else:
                    name = f"{place} (of process {process})"
                    freed_by = f"nsenter -t {process} -m {freed_by}"
                    yield Found(kernel, User("mount", name, freed_by))

    def _devices_of_mount(self, line: str) -> Iterator[str]:
        """The devices of a line of mountinfo: that of the file system, and those that hold its log
        or its real-time data (XFS)."""
        fields, _, more = line.partition(" - ")
        kernel = self._sysfs.numbered(fields.split(" ")[2])
        kind = more.split(" ")
        if kernel is None and len(kind) > 1 and kind[0] in _NUMBERED_APART:
            kernel = self._known.at(_plain(kind[1]))
        if kernel is not None:
            yield kernel
        for option in kind[2].split(",") if len(kind) > 2 else ():
            key, _, path = option.partition("=")
            if key in ("logdev", "rtdev") and (other := self._known.at(_plain(path))):
                yield other

    def _swaps(self) -> Iterator[Found]:
        for line in (self._sysfs.read("proc/swaps") or "").splitlines()[1:]:
            path = _plain(line.split()[0])
            kernel = self._known.at(path)
            if kernel is not None:
                yield Found(kernel, User("swap", path, f"swapoff {path}"), _SWAP_OPENS)

    def _loops(self) -> Iterator[Found]:
        for loop in self._sysfs.listed("sys/block"):
            if loop.startswith("loop") and self._sysfs.exists(f"sys/block/{loop}/loop"):
                kernel, opens = self._backing(loop)
                if kernel is not None:
                    user = User("loop", f"/dev/{loop}", f"losetup -d /dev/{loop}")
                    yield Found(kernel, user, opens)

    def _backing(self, loop: str) -> tuple[str | None, int]:
        """What a loop device is set up on, or the device that its file lies on: by number, since
        its path is that of the mount namespace in which it was set up."""
        if not self._calls.privileged:
            path = self._sysfs.text(f"sys/block/{loop}/loop/backing_file")
            return self._known.at(path), 0
        node, answer = self._sysfs.path(f"/dev/{loop}"), bytearray(_LOOP_INFO_SIZE)
        line = f"# ioctl {node} {_LOOP_STATUS:#06x}: what it is set up on"
        try:
            self._effects.look(
                ioctl(self._calls, node, _LOOP_STATUS, answer, what=f"query {loop}", line=line)
            )
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None, 0  # no longer set up
            raise
        below, _, itself = _LOOP_INFO.unpack_from(answer)
        device = itself or below
        number = f"{os.major(device)}:{os.minor(device)}"
        return self._sysfs.numbered(number), int(bool(itself))

    # --- processes ------------------------------------------------------------------------------

    def _opened(self, ours: Collection[int], maps: bool) -> Iterator[Found]:
        """Open descriptors and memory maps, and mounts that only another process sees."""
        volumes = {volume.device for volume in self._sysfs.volumes()}
        seen = self._processes.look(ours, maps)
        for process in seen.apart:
            yield from self._mounts(process)
        counted = Counter[str]()
        for process, kernel, descriptor in seen.descriptors:
            opens = 0
            if kernel in volumes and self._processes.is_new(process, descriptor, kernel):
                opens = 1
            counted[kernel] += 1
            yield Found(kernel, self._processes.user(process), opens)
        for process, kernel in seen.maps:
            # One open file may have a map and a descriptor, or several maps.
            yield Found(kernel, self._processes.user(process), int(not counted[kernel]))
            counted[kernel] += 1


def _try(
    look: Callable[[], Iterable[Found]],
    kind: str,
    what: str,
    found: list[Found],
    unseen: dict[str, str],
) -> None:
    """Record what a look finds or, if it fails, why."""
    try:
        for one in look():
            found.append(one)
    except OSError as error:
        at = f" ({error.filename})" if error.filename else ""
        reason = f"{what} cannot be read: {error.strerror or error}{at}"
        unseen.setdefault(kind, reason)


def _holds(user: User) -> bool:
    return user.kind in _EXCLUSIVE


def _opens(found: Iterable[Found], volumes: Collection[str]) -> int:
    """How many opens of volumes these have. A file system opens its device once, however many
    mounts it has."""
    of_volumes = [one for one in found if one.kernel in volumes]
    mounted = {one.kernel for one in of_volumes if one.user.kind == "mount" and not one.opens}
    return sum(one.opens for one in of_volumes) + len(mounted)


def _export(subsystem: Subsystem, device: str) -> User:
    ours = is_rapiddisk(device) and len(subsystem.namespaces) == 1
    freed_by = f"rdctl rapiddisk nvmet unexport --nqn {quoted(subsystem.nqn)}" if ours else None
    return User("export", subsystem.nqn, freed_by)


def _plain(text: str) -> str:
    r"""A path as /proc escapes it: `\040` is a blank."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
