"""RapidDisk: the machine, its volumes and its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from rdctl.api.call import Changing, Noun, Setup, words
from rdctl.api.checking import within
from rdctl.api.forcing import Discarding, Forcing, given, overrides_of
from rdctl.api.models import (
    Cache,
    Outcome,
    Resources,
    Status,
    Volume,
    VolumeDetail,
)
from rdctl.api.nvmet import Exports, Ports
from rdctl.api.state import MachineState
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, either, parse_growth, parse_mib

if TYPE_CHECKING:
    from rdctl.core.results import Report
    from rdctl.sites import Site

Rows = list  # in a class, `list` is its method


class RapidDisk(Noun):
    """The machine of a site: this one, or that of a rapiddiskd."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.volumes = Volumes(setup)
        self.caches = Caches(setup)
        self.exports = Exports(setup)
        self.ports = Ports(setup)
        self.state = MachineState(setup)

    def status(self) -> Status:
        """The version of the daemon, or the kernel modules."""
        return self._item(words("rapiddisk status"), lambda site: site.rapiddisk.status(), Status)

    def resources(self) -> Resources:
        """The memory, and the disks that can be cached."""
        what = words("rapiddisk resources")
        return self._item(what, lambda site: site.rapiddisk.resources(), Resources)

    def undo(self, id: str | None = None, **options: Unpack[Changing]) -> Outcome:
        """Undo the latest command, or the one of this ID in the history (local only)."""

        def act(site: Site) -> Report:
            undo = site.rapiddisk.undo(site.history.entries)
            return undo.undo(id, site.now(), site.user, site.warn)

        return self._change(words("rapiddisk undo", *([id] if id else [])), act, options)


class Volumes(Noun):
    """RAM disks."""

    def list(self, *names: str) -> list[Volume]:
        """All volumes, or those of these names."""
        return self._list(
            words("rapiddisk list", *names),
            lambda site: site.rapiddisk.volumes.list(list(names) if names else None, site.warn),
            Volume,
        )

    def show(self, name: str) -> VolumeDetail:
        """A volume with all its users."""
        return self._item(
            words("rapiddisk show", name),
            lambda site: site.rapiddisk.volumes.show(name, site.warn),
            VolumeDetail,
        )

    def create(
        self,
        size: int | str,
        *,
        count: int | None = None,
        number: int | None = None,
        overcommit: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Create a volume, or `count`: `outcome.targets` are their names. `size` is bytes, or text
        such as "64M"; `number` that in the name (local only)."""
        if count is not None and number is not None:
            raise TypeError("count and number are mutually exclusive")
        within("count", count, 1, 1024)
        within("number", number, 0, 1048575)
        what = words(
            "rapiddisk create", _shown(size), count=count, number=number, overcommit=overcommit
        )
        return self._change(
            what,
            lambda site: site.rapiddisk.volumes.create(
                _whole(size), 1 if count is None else count, number, overcommit
            ),
            options,
        )

    def resize(
        self,
        name: str,
        size: int | str,
        *,
        overcommit: bool = False,
        **options: Unpack[Discarding],
    ) -> Outcome:
        """Resize a volume to `size`: bytes, or text such as "128M" or "+64M". Shrinking loses data
        beyond the new end."""
        overrides = overrides_of(options)
        what = words(
            "rapiddisk resize",
            name,
            _shown(size),
            overcommit=overcommit,
            **given(overrides),
        )

        def act(site: Site) -> Report:
            bytes, added = _size(size)
            overrides = overrides_of(options)
            return site.rapiddisk.volumes.resize(name, bytes, added, overcommit, overrides)

        return self._change(what, act, options)

    def flush(
        self,
        *names: str,
        **options: Unpack[Discarding],
    ) -> Outcome:
        """ERASE volumes; all data are lost."""
        overrides = overrides_of(options)
        return self._change(
            words("rapiddisk flush", *names, **given(overrides)),
            lambda site: site.rapiddisk.volumes.flush(names, overrides),
            options,
        )

    def remove(
        self,
        *names: str,
        **options: Unpack[Discarding],
    ) -> Outcome:
        """Remove volumes with all their data."""
        overrides = overrides_of(options)
        return self._change(
            words("rapiddisk remove", *names, **given(overrides)),
            lambda site: site.rapiddisk.volumes.remove(names, overrides),
            options,
        )

    def lock(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Make volumes read-only."""
        return self._change(
            words("rapiddisk lock", *names),
            lambda site: site.rapiddisk.volumes.set_lock(names, True),
            options,
        )

    def unlock(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Make volumes writable again."""
        return self._change(
            words("rapiddisk unlock", *names),
            lambda site: site.rapiddisk.volumes.set_lock(names, False),
            options,
        )


class Caches(Noun):
    """Volumes in front of slower disks."""

    def list(self, *names: str) -> list[Cache]:
        """All caches, or those of these names."""
        return self._list(
            words("rapiddisk cache list", *names),
            lambda site: site.rapiddisk.caches.list(list(names) if names else None),
            Cache,
        )

    def show(self, name: str) -> Cache:
        """A cache with all that is known about it."""
        what = words("rapiddisk cache show", name)
        return self._one(what, lambda site: site.rapiddisk.caches.show([name], ()), Cache)

    def stats(self, *names: str) -> Rows[dict[str, Any]]:
        """The counters of all caches, or of these, under the keys of `rdctl.rapiddisk.cache-stats`;
        None: the policy or the kernel has no such counter."""
        from rdctl.output.schemas import SCHEMAS

        keys = [column.key for column in SCHEMAS["rdctl.rapiddisk.cache-stats/1"].columns]
        return self._list(
            words("rapiddisk cache stats", *names),
            lambda site: site.rapiddisk.caches.stats(list(names) if names else None, keys),
            dict,
        )

    def create(
        self,
        volume: str,
        source: str,
        *,
        policy: str = "write-through",
        name: str | None = None,
        max_age: int | None = None,
        **options: Unpack[Discarding],
    ) -> Outcome:
        """Cache a disk with a volume: `policy` is write-through, write-around or writeback. Use
        /dev/mapper/`outcome.target` from then on."""
        within("max_age", max_age, 1, 86400)
        overrides = overrides_of(options)
        what = words(
            "rapiddisk cache create",
            volume,
            source,
            policy=policy,
            name=name,
            max_age=max_age,
            **given(overrides),
        )
        return self._change(
            what,
            lambda site: site.rapiddisk.caches.create(
                volume, source, _policy(policy), overrides, name=name, max_age=max_age
            ),
            options,
        )

    def adopt(
        self,
        volume: str,
        source: str | None = None,
        *,
        name: str | None = None,
        max_age: int | None = None,
        **options: Unpack[Forcing],
    ) -> Outcome:
        """Re-attach a writeback cache to its disk without formatting it (local only)."""
        within("max_age", max_age, 1, 86400)
        overrides = overrides_of(options)
        what = words(
            "rapiddisk cache create",
            *([volume, source] if source else [volume]),
            adopt=True,
            name=name,
            max_age=max_age,
            **given(overrides),
        )
        return self._change(
            what,
            lambda site: site.rapiddisk.caches.adopt(
                volume, source, overrides, name=name, max_age=max_age
            ),
            options,
        )

    def remove(
        self,
        *names: str,
        **options: Unpack[Forcing],
    ) -> Outcome:
        """Remove caches from their disks; writeback caches are written back first."""
        overrides = overrides_of(options)
        return self._change(
            words("rapiddisk cache remove", *names, **given(overrides)),
            lambda site: site.rapiddisk.caches.remove(names, overrides),
            options,
        )

    def sync(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Write dirty blocks of writeback caches to disk (local only)."""
        return self._change(
            words("rapiddisk cache sync", *names),
            lambda site: site.rapiddisk.caches.sync(names),
            options,
        )


def _size(size: int | str) -> tuple[int, bool]:
    """Bytes, and whether they are added."""
    if isinstance(size, str):
        mib, added = parse_growth(size)
        return mib * MIB, added
    if size % MIB or size <= 0:
        hint = f'Sizes are bytes: {size} MiB is {size * MIB}, or "{size}M".' if size > 0 else None
        message = f"invalid size {size}: must be a whole number of MiB"
        raise RdctlError(Code.USAGE, message, hint=hint)
    return size, False


def _whole(size: int | str) -> int:
    """Bytes."""
    return parse_mib(size) * MIB if isinstance(size, str) else _size(size)[0]


def _shown(size: int | str) -> str:
    """As a command has it."""
    return size if isinstance(size, str) else f"{size}B"


def _policy(policy: str) -> str:
    from rdctl.rapiddisk.names import POLICIES

    if policy not in POLICIES:
        message = f'invalid policy "{policy}": must be {either(POLICIES)}'
        raise RdctlError(Code.USAGE, message)
    return policy
