"""Restoring at boot: its units enabled, disabled and examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Item, Report
from rdctl.core.units import quoted
from rdctl.rapiddisk.boot import units, warnings
from rdctl.rapiddisk.boot.files import (
    ASSUMED_SPEED,
    EDITED,
    NOT_NEEDED,
    PATHS,
    TARGETS,
    UNITS,
    UP_TO_DATE,
    BootFile,
    boot_files,
)
from rdctl.rapiddisk.boot.model import (
    BootStatus,
    BootUnit,
    BootWarning,
    Dirty,
    FileState,
    UnitState,
)
from rdctl.rapiddisk.changes import Changes, unproven
from rdctl.rapiddisk.images import Images, check_saving
from rdctl.rapiddisk.kernel.host import Host
from rdctl.rapiddisk.model import Inventory
from rdctl.rapiddisk.state.model import State

_PROPERTIES = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,JobTimeoutUSec"

Properties = Mapping[str, Mapping[str, str]]


class Boot(Changes):
    # --- enabling, disabling ------------------------------------------------------------------

    def enable(
        self,
        read: Callable[[], State],
        program: Sequence[str],
        warn: Callable[[str], None],
        *,
        now: bool,
    ) -> Report:
        """Restore what the state file has at each boot; with `now` the units are started, too.
        `program` are the words that run rdctl."""
        host = self._host("boot enable")
        state = read()
        if doubted := warnings.program(program, host.mount_point):
            warn(doubted.message)

        def differing() -> tuple[Properties, dict[str, str | None], list[str]]:
            known = _properties(host)
            files = boot_files(host, state, program, self._backend.source_speed)
            _refuse_edited(files)
            changed = {file.path: file.text for file in files if file.state != UP_TO_DATE}
            return known, changed, [unit for unit in UNITS if not _enabled(known, unit)]

        what = "enable restoring at boot"
        self._ask_first(lambda: [what] if any(differing()[1:]) else [])
        with self._backend.claim([]):
            known, changed, off = differing()
            with self._effects.transaction(what, detailed=True):
                self._put(host, changed, known)
                _each(host, "enable", "disable", off)
            report = self._report("enable", host, changed, off)
        # Without the claim, which the units need themselves.
        idle = [unit for unit in UNITS if not _active(known, unit)]
        if now:
            return Report([*report.outcomes, *self._started(host, idle)])
        if idle and not report.failures:
            command = self._aimed("rdctl rapiddisk boot enable --now")
            warn(
                f"{', '.join(idle)} will be active after the next boot; to have caches written back"
                f" and images saved at the next shutdown, too, start them: {command}"
            )
        return report

    def _started(self, host: Host, idle: Iterable[str]) -> Iterator[Change | Failure]:
        """Their start applies the state file, which changes nothing where nothing differs."""
        for unit in UNITS:
            if unit not in idle:
                yield Change("start", unit, False, True)
                continue
            try:
                host.systemd.act("start", [unit])
                known = {} if self._effects.dry_run else _properties(host)
                yield self._outcome("start", unit, not known or _active(known, unit))
            except RdctlError as error:
                yield Failure("start", error)

    def disable(self, warn: Callable[[str], None]) -> Report:
        """Undo `enable`; nothing is changed now. Files that were edited are kept."""
        host = self._host("boot disable")

        def found() -> tuple[Properties, dict[str, str], dict[str, None], list[str]]:
            known = _properties(host)
            texts = {path: host.text(path) or "" for path in PATHS}
            ours = {path: text for path, text in texts.items() if units.is_ours(text)}
            removed = {path: None for path, text in ours.items() if units.is_untouched(text)}
            return known, ours, removed, [unit for unit in UNITS if _enabled(known, unit)]

        what = "disable restoring at boot"
        self._ask_first(lambda: [what] if any(found()[2:]) else [])
        with self._backend.claim([]):
            known, ours, removed, on = found()
            with self._effects.transaction(what, detailed=True):
                _each(host, "disable", "enable", on)
                self._put(host, removed, known)
            report = self._report("disable", host, removed, on)
        # Those of a package still have what runs at the next shutdown.
        active = {unit for unit in UNITS if _active(known, unit)}
        stops = {unit for unit in active if not any(path.endswith(unit) for path in removed)}
        risks = []
        if on and units.CACHES not in stops:
            risks.append(warnings.unprepared(units.CACHES in active, self._dirty()))
        if on and units.IMAGES not in stops:
            risks.append(warnings.forgotten(self._with_images()))
        for risk in filter(None, risks):
            warn(self._aimed(risk))
        kept = [Failure("disable", _edited(path)) for path in ours if path not in removed]
        return Report([*report.outcomes, *kept])

    def _host(self, what: str) -> Host:
        self._backend.here(what)
        host = self._backend.host()
        host.permit()
        return host

    def _put(self, host: Host, files: Mapping[str, str | None], known: Properties) -> None:
        """Write the files. After an interrupted run they may be there, but not read by systemd."""
        if files:
            host.put(files)
        elif any(values.get("NeedDaemonReload") == "yes" for values in known.values()):
            host.systemd.act("daemon-reload", ())

    def _report(
        self, action: str, host: Host, files: Mapping[str, str | None], acted: Iterable[str]
    ) -> Report:
        """A line for each file that was changed, and for each unit."""
        outcomes: list[Change | Failure] = []
        for path, text in files.items():
            is_so = self._effects.dry_run or host.text(path) == text
            verb, past = ("write", "wrote {}") if text is not None else ("remove", "removed {}")
            outcomes.append(self._outcome(verb, path, is_so, past))
        known = {} if self._effects.dry_run else _properties(host)
        for unit in UNITS:
            if unit in acted:
                is_so = not known or _enabled(known, unit) == (action == "enable")
                outcomes.append(self._outcome(action, unit, is_so))
            else:
                outcomes.append(Change(action, unit, False, True))
        return Report(outcomes)

    def _outcome(
        self, action: str, target: str, is_so: bool, past: str | None = None
    ) -> Change | Failure:
        if not is_so:
            return Failure(action, unproven(target, "its state did not change"))
        done = None if self._effects.dry_run else True
        return Change(action, target, done, done, past=past)

    # --- looking ------------------------------------------------------------------------------

    def status(self, read: Callable[[], State], program: Sequence[str]) -> Item:
        return Item(self.examine(read, program))

    def states(self) -> list[UnitState]:
        """The units alone, which is quicker than all of `examine`."""
        self._backend.here("boot status")
        host = self._backend.host()
        known = {unit: host.systemd.properties(unit, _PROPERTIES) for unit in UNITS}
        return [UnitState(unit, _enabled(known, unit), _active(known, unit)) for unit in UNITS]

    def examine(self, read: Callable[[], State], program: Sequence[str]) -> BootStatus:
        self._backend.here("boot status")
        host = self._backend.host()
        state, error = None, None
        try:
            state = read()
        except RdctlError as problem:
            error = problem.message
        known = _properties(host)
        files = boot_files(host, state, program, self._backend.source_speed)
        current = {file.path.rpartition("/")[2]: file.state for file in files}
        shown = [
            BootUnit(
                unit=unit,
                installed=known[unit].get("LoadState") == "loaded",
                enabled=_enabled(known, unit),
                active=_active(known, unit),
                up_to_date=current.get(unit, UP_TO_DATE) in (UP_TO_DATE, NOT_NEEDED),
            )
            for unit in UNITS
        ]
        caches = self._dirty()
        total, limit = _writeback_seconds(caches), _stop_limit(known)
        return BootStatus(
            status=_status(shown, files),
            units=shown,
            state_error=error,
            files=[FileState(file.path, file.state) for file in files],
            caches=caches,
            writeback_seconds=total,
            stop_limit=limit,
            warnings=[
                one._replace(mend=one.mend and self._aimed(one.mend))
                for one in (
                    warnings.program(program, host.mount_point) if _any_enabled(shown) else None,
                    *warnings.idle(shown, state, caches),
                    warnings.not_kept(shown, state),
                    *warnings.keyless(state),
                    *self._outgrown(state),
                    *self._unsaved(host, shown, state),
                    warnings.too_short(caches, total, limit),
                )
                if one is not None
            ],
        )

    def _unsaved(
        self, host: Host, shown: Sequence[BootUnit], state: State | None
    ) -> Iterator[BootWarning]:
        """The images that the next shutdown would not replace. Only root knows."""
        wanted = {one.name: one.image for one in state.volumes if one.image} if state else {}
        if not wanted or not host.privileged or not _any_enabled(shown):
            return
        images = Images(self._backend)
        for volume in self._inventory().volumes:
            name = volume.device
            if path := wanted.get(name):
                try:
                    check_saving(self._backend, name, path, images.of(name))
                    free = host.free(path)
                    if free is not None and free < (volume.usage or 0):
                        yield warnings.no_room(volume, path, free)
                except RdctlError as error:
                    found = warnings.unsaved(error)
                    yield found._replace(why=self._aimed(found.why))

    def _outgrown(self, state: State | None) -> Iterator[BootWarning]:
        sizes = {one.name: one.size for one in state.volumes if one.image} if state else {}
        for volume in self._inventory().volumes if sizes else ():
            size = sizes.get(volume.device)
            if size is not None and size < (volume.size or 0):
                yield warnings.outgrown(volume, size)

    def _with_images(self) -> list[str]:
        images = Images(self._backend)
        names = [volume.device for volume in self._inventory().volumes]
        return [name for name in names if images.of(name).image]

    def _dirty(self) -> list[Dirty]:
        return [
            Dirty(cache.device, cache.dirty, cache.writeback_seconds)
            for cache in self._inventory().caches
            if cache.policy == "writeback"
        ]

    def _inventory(self) -> Inventory:
        """Empty without the module."""
        try:
            return self._backend.inventory(strict=False)
        except RdctlError as error:
            if error.code is not Code.MODULE_MISSING:
                raise
            return Inventory([], [])


def _each(host: Host, verb: str, revert: str, names: Iterable[str]) -> None:
    """One at a time: what fails in the middle of several cannot be reverted."""
    for unit in names:
        host.systemd.act(verb, [unit], undo=[host.systemd.reverting(revert, [unit])])


def _properties(host: Host) -> Properties:
    """What systemd knows of the units, and of the targets that have drop-ins."""
    return {unit: host.systemd.properties(unit, _PROPERTIES) for unit in (*UNITS, *TARGETS)}


def _enabled(known: Properties, unit: str) -> bool:
    return known[unit].get("UnitFileState", "").startswith("enabled")


def _active(known: Properties, unit: str) -> bool:
    return known[unit].get("ActiveState") == "active"


def _any_enabled(shown: Iterable[BootUnit]) -> bool:
    return any(unit.enabled for unit in shown)


def _status(shown: Sequence[BootUnit], files: Sequence[BootFile]) -> str:
    if all(unit.enabled for unit in shown) and all(file.state == UP_TO_DATE for file in files):
        return "enabled"
    if _any_enabled(shown) or any(file.there is not None for file in files):
        return "incomplete"
    return "disabled"


def _stop_limit(known: Properties) -> int | None:
    """The shortest time after which systemd forces a shutdown; None: it does not."""
    limits = (units.seconds_of(known[target].get("JobTimeoutUSec", "")) for target in TARGETS)
    return min((limit for limit in limits if limit), default=None)


def _writeback_seconds(caches: Sequence[Dirty]) -> int | None:
    """For all of them, one after the other; None if it is not known what they hold."""
    total = 0
    for cache in caches:
        if cache.dirty is None:
            return None
        assumed = -(-cache.dirty // ASSUMED_SPEED)
        total += assumed if cache.writeback_seconds is None else cache.writeback_seconds
    return total


def _refuse_edited(files: Iterable[BootFile]) -> None:
    for file in files:
        if file.state == EDITED:
            raise _edited(file.path)


def _edited(path: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{path} was edited by hand",
        hint=f"If it is not needed, remove it: rm {quoted(path)}"
        + ("; use a drop-in instead: systemctl edit UNIT" if path.endswith(".service") else ""),
        target=path,
    )
