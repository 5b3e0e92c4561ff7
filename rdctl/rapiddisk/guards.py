"""What has to be checked before something is destroyed. Neither the daemon nor the kernel protects
a device that is in use.

A guard has three answers: free, in use, unknown. `Unknown` is a check that the backend can make,
but that failed, was cut off or was denied: it refuses. What a backend never shows does not refuse;
`Facts.seen` and the question before a change name what was checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size, operand
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.model import Cache, Device, Superblock, Target, User, Volume
from rdctl.rapiddisk.names import is_rapiddisk, source_in

_DOUBTS = {
    "exports": "cannot tell whether it is exported",
    "caches": "cannot tell what is mapped over it",
    "locks": "cannot tell whether it is locked",
    "opens": "cannot tell whether it is open",
}
# The checks that can fail.
LOOKS = tuple(_DOUBTS)
# The names of the kinds of user that were not checked.
_NEVER_SHOWN = {
    "export": "exports",
    "mount": "mounts",
    "swap": "swap",
    "loop": "loop devices",
    "open": "open files",
}


class Overrides(NamedTuple):
    """What an operator accepts: `force` that a daemon does not report something, `unseen` the LOOKS
    that failed, `discard` that the contents of a volume are lost."""

    force: bool = False
    unseen: Collection[str] = ()
    discard: bool = False


NO_OVERRIDES = Overrides()


class Facts:
    """What the guards know: everything that a backend shows, read once before a change."""

    def __init__(self, backend: Backend, devices: Sequence[str], overrides: Overrides) -> None:
        """Read now; of `devices` also whether the kernel itself holds them."""
        self._backend = backend
        self._overrides = overrides
        self.inventory = backend.inventory()
        self._users, unseen = backend.survey(devices)
        self._unseen = dict(unseen)
        # Why the exports could not be listed.
        self.lost: RdctlError | None = None
        targets = None
        try:
            targets = backend.guarded_targets()
        except RdctlError as error:
            self.lost = error
            self._unseen.setdefault("exports", error.message)
        self._targets = targets or []
        self.seen = [kind for kind in backend.users_seen if kind != "export" or targets is not None]

    @property
    def never_shown(self) -> str | None:
        """What was not checked because the backend never shows it, in words; None if nothing."""
        missing = [words for kind, words in _NEVER_SHOWN.items() if kind not in self.seen]
        if not missing:
            return None
        where = "" if self._backend.reports_all else " over REST"
        *others, last = missing
        words = f"{', '.join(others)} and {last}" if others else last
        return f"Not checked{where}: {words}."

    # --- users ----------------------------------------------------------------------------------

    def users(self, device: str) -> list[User]:
        """The users of a volume, a source or a cache, each by its key; processes that have it open
        come last."""
        users = list(self._users.get(device, ()))
        for cache in self.inventory.caches:
            if is_over(cache, device):
                freed_by = f"rdctl rapiddisk cache remove {operand(cache.device)}"
                users.append(User("cache", cache.device, freed_by))
        users += [User("export", target.nqn, None) for target in self.exports_of(device)]
        # The same user may be found in two ways; the first has more details.
        found: dict[tuple[str, str], User] = {}
        for user in users:
            found.setdefault((user.kind, user.name), user)
        return sorted(found.values(), key=lambda user: user.kind == "open")

    def exports_of(self, device: str) -> list[Target]:
        return [t for t in self._targets if self._backend.is_path_of(t.device, device)]

    # --- guards ---------------------------------------------------------------------------------

    def guard(
        self, volume: Volume, *, free: bool = True, but: Collection[tuple[str, str]] = ()
    ) -> None:
        """Raise when the volume is locked or, where it has to be `free`, has users other than
        `but`."""
        name = volume.device
        with self._unless_gone("volume", name):
            if free:
                self.guard_users(name, name, but)
            if volume.locked:
                raise RdctlError(
                    Code.LOCKED,
                    f"{name} is locked",
                    hint=f"Unlock it first: rdctl rapiddisk unlock {operand(name)}",
                    target=name,
                )
            # A daemon below 9 reports neither locks nor usage.
            if volume.locked is None and volume.usage is not None and not self._waived("locks"):
                raise self._unknown_lock(name)
            self._guard_unreported(name)
            if free:
                self._guard_unseen(name, LOOKS)

    def guard_reading(self, volume: Volume, but: Collection[tuple[str, str]] = ()) -> None:
        """Raise when something other than the users `but` may write to the volume while it is read.
        A lock does no harm."""
        name = volume.device
        with self._unless_gone("volume", name):
            self.guard_users(name, name, but)
            self._guard_unseen(name, ("exports", "caches", "opens"))

    def guard_source(
        self,
        source: Device,
        but: Collection[tuple[str, str]] = (),
        adopted: str | None = None,
    ) -> None:
        """Raise when the device to be cached, which may be a volume, has users other than `but`, or
        lacks blocks that another volume than the `adopted` one holds for it."""
        for volume in self.inventory.volumes:
            if volume.device == source.kernel:
                self.guard(volume, but=but)
                self.guard_contents(volume, may_go=False)
        self.guard_users(source.kernel, source.name, but)
        self._guard_unseen(source.name, ("exports", "caches"))
        self._guard_incomplete(source, adopted)

    def _guard_incomplete(self, source: Device, adopted: str | None) -> None:
        """Newer writes would later be overwritten by the older blocks."""
        for volume in self.inventory.volumes if self._backend.reports_all else ():
            name, left = volume.device, self.unwritten(volume)
            if left is None or name == adopted or not self._backend.is_source_of(name, source):
                continue
            raise RdctlError(
                Code.CONFLICT,
                f"{source.name} is incomplete: {name} holds {blocks(left)} for it",
                hint=f"Write them back first: rdctl rapiddisk cache create {operand(name)}"
                " --policy writeback --adopt",
                target=source.name,
            )

    def guard_cache(self, cache: Cache, but: Collection[tuple[str, str]] = ()) -> None:
        """Raise when the cache has users other than `but`, which are removed first."""
        self.guard_users(cache.key, cache.device, but)
        with self._unless_gone("cache", cache.device):
            self._guard_unreported(cache.device, caches=False)
            self._guard_unseen(cache.device, ("exports", "caches"))

    def guard_users(self, device: str, name: str, but: Collection[tuple[str, str]] = ()) -> None:
        """Raise when the device has users other than those of this kind and name."""
        users = [user for user in self.users(device) if (user.kind, user.name) not in but]
        if not users:
            return
        user = users[0]
        more = f" (and {len(users) - 1} more)" if len(users) > 1 else ""
        hint = user.advice
        if user.kind == "export" and not self._backend.reports_all and is_rapiddisk(name):
            unexport = f"rdctl --local rapiddisk nvmet unexport {operand(name)}"
            hint = f"On the RapidDisk machine, unexport it first: {unexport}"
        raise RdctlError(Code.IN_USE, f"{name} is in use: {user.use}{more}", hint=hint, target=name)

    @contextmanager
    def _unless_gone(self, kind: str, name: str) -> Iterator[None]:
        """A volume or cache that cannot be checked because it was removed meanwhile is not
        found."""
        try:
            yield
        except RdctlError as error:
            if error.code is Code.UNGUARDED and self._is_gone(name):
                message = f"{kind} {name} not found: it was removed meanwhile"
                raise RdctlError(Code.NOT_FOUND, message, target=name) from error
            raise

    def _is_gone(self, name: str) -> bool:
        """Only where a listing is free of charge: on the machine itself."""
        if not self._backend.reports_all:
            return False
        now = self._backend.inventory(strict=False)
        volumes = {volume.device for volume in now.volumes}
        return name not in volumes | {cache.device for cache in now.caches}

    def guard_exported(
        self, device: str, key: str, but: str | None, going: Collection[tuple[str, str]] = ()
    ) -> None:
        """Raise when the device cannot be exported: it has users other than the export `but` and
        those that are `going`."""
        self.guard_users(key, device, {("export", str(but)), *going})
        self._guard_unseen(device, ("caches", "opens") if but is None else ("caches",))

    def guard_contents(self, volume: Volume, *, may_go: bool = True) -> None:
        """Raise when the volume holds the only copy of blocks that a write-back cache has not
        written to its source. Where it `may_go`, --discard-contents allows that."""
        if self._overrides.discard and may_go:
            return
        name, mapped = volume.device, self._is_mapped(volume)
        if volume.unwritten is None and self._backend.reports_all and not mapped:
            with self._unless_gone("volume", name):
                raise RdctlError(
                    Code.UNGUARDED,
                    f"{name}: cannot tell whether it holds unwritten blocks of a write-back cache:"
                    " it cannot be read",
                    hint="If its contents are not needed, use --discard-contents.",
                    target=name,
                )
        left = self.unwritten(volume)
        if left is None:
            return
        raise RdctlError(
            Code.NOT_EMPTY,
            f"{name} holds {blocks(left)} of a write-back cache, the only copy",
            hint="Write them to their source: rdctl rapiddisk cache create"
            f" {name} SOURCE --policy writeback --adopt"
            + (". To discard them, use --discard-contents." if may_go else ""),
            target=name,
        )

    def unwritten(self, volume: Volume) -> Superblock | None:
        """What a former write-back cache left in a volume that is not mapped; None: nothing."""
        if not volume.unwritten or self._is_mapped(volume):
            return None
        left = self._backend.superblock(volume.device)
        return left if left is not None and left.blocks else None

    def only_copies(self, volumes: Sequence[Volume]) -> list[str]:
        """What is lost of write-back caches with these volumes."""
        return [
            f"{volume.device}: {blocks(left)} of a write-back cache, the only copy, will be lost"
            for volume in volumes
            if (left := self.unwritten(volume)) is not None
        ]

    def _is_mapped(self, volume: Volume) -> bool:
        return any(cache.volume == volume.device for cache in self.inventory.caches)

    def _unknown_lock(self, device: str) -> RdctlError:
        """The error for a lock that an old daemon does not report, or that cannot be read here."""
        if not self._backend.reports_all:
            return unreported(device, "whether it is locked", "locks")
        return RdctlError(
            Code.UNGUARDED,
            f"{device}: {_DOUBTS['locks']}: /sys/block/{device}/ro cannot be read",
            hint="If you are sure that it is not locked, use --unseen locks.",
            target=device,
        )

    def _waived(self, look: str) -> bool:
        return self._overrides.force or look in self._overrides.unseen

    def _guard_unreported(self, device: str, caches: bool = True) -> None:
        """Debian's 9.0.0 lists mappings and exports without their devices."""
        if self._backend.reports_all:
            return
        reported = [cache.volume is not None for cache in self.inventory.caches]
        if caches and not all(reported) and not self._waived("caches"):
            raise unreported(device, "which volumes its caches use", "caches")
        dark = any(target.device is None and target.enabled is None for target in self._targets)
        if dark and not self._waived("exports"):
            raise unreported(device, "which devices it exports", "exports")

    def _guard_unseen(self, device: str, looks: Collection[str]) -> None:
        for look in looks:
            reason = self._unseen.get(look)
            if reason is not None and look not in self._overrides.unseen:
                raise RdctlError(
                    Code.UNGUARDED,
                    f"{device}: {_DOUBTS[look]}: {reason}",
                    hint=f"If you are sure that it is not in use, use --unseen {look}.",
                    target=device,
                )

    @property
    def doubts(self) -> list[str]:
        """What could not be checked, and why."""
        return [f"{_DOUBTS[look]}: {reason}" for look, reason in self._unseen.items()]


def blocks(left: Superblock) -> str:
    """`12 unwritten blocks (48.0 KiB)`"""
    noun = "block" if left.blocks == 1 else "blocks"
    return f"{left.blocks} unwritten {noun} ({human_size(left.unwritten)})"


def is_over(cache: Cache, device: str) -> bool:
    """Whether the cache uses the device. A daemon reports a cache below another as `dm-N`, which
    only the name of the upper one links to it."""
    if cache.of(device):
        return True
    below = cache.source or ""
    return cache.kernel is None and below.startswith("dm-") and source_in(cache.device) == device


def upper_first(caches: Sequence[Cache]) -> list[Cache]:
    """Each before the caches below it."""
    left, ordered = list(caches), list[Cache]()
    while left:
        tops = [cache for cache in left if not any(is_over(other, cache.key) for other in left)]
        ordered += tops or left
        left = [cache for cache in left if cache not in ordered]
    return ordered


def unreported(device: str, what: str, look: str | None = None) -> RdctlError:
    """The error for what an old daemon does not report; --force overrides it, and --unseen where
    it is one of LOOKS."""
    override = f"--force or --unseen {look}" if look else "--force"
    return RdctlError(
        Code.UNGUARDED,
        f"{device}: this rapiddiskd does not report {what}",
        hint=f"Check it on that machine. If no data can be lost, use {override}.",
        target=device,
    )
