"""What the units run at shutdown: nothing that is only in RAM is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report, literal
from rdctl.core.units import escape
from rdctl.rapiddisk.changes import Changes, Dependencies
from rdctl.rapiddisk.contents import Contents
from rdctl.rapiddisk.files import FileTarget
from rdctl.rapiddisk.guards import Facts, upper_first
from rdctl.rapiddisk.images import Images, about, check_saving
from rdctl.rapiddisk.model import Cache, Subsystem, Volume
from rdctl.rapiddisk.state.model import ExportState, PortState, State

_IN_USE = (Code.IN_USE, Code.UNGUARDED)


class Stop(Changes):
    def __init__(self, means: Dependencies) -> None:
        super().__init__(means)
        self._contents = Contents(means)

    def stop(self, read: Callable[[], State], only: str | None) -> Report:
        """All of it, unless `only` one part. Exports come first: what is exported is in use."""
        self._backend.here("boot stop")
        self._ask_first(lambda: ["save images, write caches back and remove exports"])
        gone: list[tuple[str, str]] = []
        parts: dict[str, Callable[[], Report]] = {
            "exports": lambda: self._exports(read, gone),
            "images": lambda: self._images(read, gone),
            "caches": lambda: self._caches(gone),
        }
        if only is not None:
            return parts[only]()
        outcomes: list[Change | Failure] = []
        for part in parts.values():
            try:
                outcomes += part().outcomes
            except RdctlError as error:
                outcomes.append(Failure("stop", error))
        return Report(outcomes)

    def _state(self, permit: Callable[[], None], read: Callable[[], State]) -> State | None:
        """The state file; None without one, or without the module that it is about."""
        try:
            permit()
            return read()
        except RdctlError as error:
            if error.code in (Code.MODULE_MISSING, Code.NOT_FOUND):
                return None
            raise

    # --- images -------------------------------------------------------------------------------

    def _images(self, read: Callable[[], State], gone: Sequence[tuple[str, str]]) -> Report:
        """Save each volume that has an image in the state file, unless that could replace a good
        image. Nothing waits for one that is in use."""
        nothing = Report([Change("stop", "images", False, True, past="{}: nothing to save")])
        state = self._state(self._backend.permit, read)
        if state is None:
            return nothing
        with self._backend.claim([]):
            there = {one.device: one for one in self._backend.inventory().volumes}
            todo = {
                one.name: one.image
                for one in state.volumes
                if one.image is not None and one.name in there
            }
            if not todo:
                return nothing
            facts = self._facts(list(todo))

            def act(device: str) -> Change | None:
                path = todo[device]
                self._saved(facts, there[device], path, gone)
                return self._change(device, f"saved {{}} in {literal(escape(path))}")

            return self._in_turn("stop", list(todo), act, None, (), list(todo))

    def _saved(
        self, facts: Facts, volume: Volume, path: str, gone: Sequence[tuple[str, str]]
    ) -> None:
        name = volume.device
        check_saving(self._backend, name, path, Images(self._backend).of(name))
        with about(name, "saved"):
            facts.guard_reading(volume, gone)
            with nullcontext() if self._effects.dry_run else self._backend.claim([name]):
                place = self._backend.host().place(path)
                self._contents.write_image(name, FileTarget(place, path, replace=True))

    # --- caches -------------------------------------------------------------------------------

    def _caches(self, gone: list[tuple[str, str]]) -> Report:
        """Write all write-back caches back, then remove those that nothing uses. The others are set
        to write back once more when something removes them. Caches of other policies hold nothing
        that their sources lack."""
        self._backend.permit()
        with self._backend.claim([]):
            inventory = self._backend.inventory()
            caches = [cache for cache in inventory.caches if cache.policy == "writeback"]
            todo = {cache.device: cache for cache in upper_first(caches)}
            if not todo:
                return Report(
                    [Change("stop", "caches", False, True, past="{}: nothing to write back")]
                )
            written = self._in_turn("stop", list(todo), self._written, None, (), list(todo))
            failed = written.failures
            done = [name for name in todo if name not in {one.error.target for one in failed}]
            facts = self._facts([])

            def act(device: str) -> Change | None:
                return self._removed_or_armed(facts, todo[device], gone)

            return self._in_turn("stop", done, act, None, failed, list(todo))

    def _written(self, device: str) -> Change | None:
        """Raises for a cache that has failed: it would wait in the kernel forever."""
        left = self._backend.sync(device)
        if left:
            raise RdctlError(
                Code.FAILED,
                f"{device}: {left} blocks are still not written back",
                hint="Something is writing to it. Try again when it has stopped.",
                target=device,
                dirty=left,
            )
        return None if left is None else Change("stop", device, True, True)

    def _removed_or_armed(
        self, facts: Facts, cache: Cache, gone: list[tuple[str, str]]
    ) -> Change | None:
        try:
            facts.guard_cache(cache, gone)
            self._backend.unmap(cache.device, None)
            gone.append(("cache", cache.device))
            past = "wrote {} back and removed it"
        except RdctlError as error:
            if error.code not in _IN_USE:
                raise
            self._backend.arm(cache)
            past = f"wrote {{}} back and kept it: {literal(error.message)}"
        if self._effects.dry_run:
            return None
        return Change("stop", cache.device, True, True, past=past)

    # --- exports ------------------------------------------------------------------------------

    def _exports(self, read: Callable[[], State], gone: list[tuple[str, str]]) -> Report:
        """Remove the exports and ports of the state file; what differs from it is kept. `gone`
        gains the users that are removed, which a dry run still sees."""
        nothing = Report([Change("stop", "exports", False, True, past="{}: nothing to remove")])
        state = self._state(self._backend.permit_exports, read)
        if state is None:
            return nothing
        with self._backend.claim([]):
            there = {one.nqn: one for one in self._backend.described_subsystems()}
            todo = {one.nqn: there[one.nqn] for one in state.exports if self._is_of(one, there)}
            kept = [
                Change("stop", one.nqn, False, True, past="kept {}: it differs from the state file")
                for one in state.exports
                if one.nqn in there and one.nqn not in todo
            ]

            def act(nqn: str) -> Change | None:
                change = self._unexported(todo[nqn])
                gone.append(("export", nqn))
                return change

            exports = self._in_turn("stop", list(todo), act, None, kept, list(there))
            outcomes = list(exports.outcomes)
            ports = {str(port.number): port for port in self._free(state, list(todo))}
            removed = self._in_turn(
                "stop", list(ports), lambda name: self._port_removed(ports[name]), None, (), []
            )
            outcomes += removed.outcomes
        return Report(outcomes) if outcomes else nothing

    def _is_of(self, wanted: ExportState, there: dict[str, Subsystem]) -> bool:
        """Whether the export of that name is the one of the state file, and not another's."""
        found = there.get(wanted.nqn)
        if found is None or len(found.namespaces) != 1:
            return False
        (namespace,) = found.namespaces
        same_serial = wanted.serial is None or found.serial in (None, wanted.serial)
        return same_serial and self._backend.device_of(namespace.path) == wanted.device

    def _unexported(self, subsystem: Subsystem) -> Change | None:
        self._backend.change_export(subsystem.nqn, subsystem, None, None)
        return self._change(subsystem.nqn, "removed export {}")

    def _free(self, state: State, gone: Sequence[str]) -> Iterator[PortState]:
        """The ports of the state file that are as it has them, and that no export uses."""
        used = {
            port
            for subsystem in self._backend.subsystems()
            if subsystem.nqn not in gone
            for port in subsystem.ports
        }
        there = {port.port: port for port in self._backend.ports()}
        for wanted in state.ports:
            found = there.get(wanted.number)
            if found is None or wanted.number in used or found.transport != wanted.transport:
                continue
            # The address of an interface may be another one by now.
            if wanted.address in (None, found.address) and wanted.service in (None, found.service):
                yield wanted

    def _port_removed(self, port: PortState) -> Change | None:
        self._backend.remove_port(port.number, None)
        return self._change(str(port.number), "removed port {}")

    def _change(self, target: str, past: str) -> Change | None:
        return None if self._effects.dry_run else Change("stop", target, True, True, past=past)
