"""The machine as dump, diff and apply see it: what identifies it and its devices, and the records
of what rdctl did with them."""

from __future__ import annotations

from collections.abc import Callable

from rdctl.effects.syscalls import remove_file, replace_file
from rdctl.rapiddisk.kernel.claims import KernelPart
from rdctl.rapiddisk.kernel.records import DIRECTORY as RECORDS
from rdctl.rapiddisk.state.model import DIRECTORY, FILE

_PARAMETERS = ("rd_max_nr", "max_sectors", "nr_requests")


class KernelMachine(KernelPart):
    def boot_id(self) -> str | None:
        """/proc/sys/kernel/random/boot_id"""
        return self._sysfs.text("proc/sys/kernel/random/boot_id")

    def diskseq(self, device: str) -> str | None:
        """/sys/class/block/NAME/diskseq"""
        return self._sysfs.text(f"sys/class/block/{device}/diskseq")

    def kernel_of(self, path: str | None) -> str | None:
        return self._known.at(path)

    def size_of(self, device: str) -> int | None:
        """/sys/class/block/NAME/size"""
        return self._known.size(device)

    def module_parameters(self) -> dict[str, int]:
        """/sys/module/rapiddisk/parameters"""
        directory = "sys/module/rapiddisk/parameters"
        found = {name: self._sysfs.number(f"{directory}/{name}") for name in _PARAMETERS}
        return {name: value for name, value in found.items() if value is not None}

    def wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        return any(is_so() for _ in self._patience.attempts(seconds))

    def record(self, name: str) -> str | None:
        """/run/rdctl/NAME.json"""
        return self._sysfs.text(f"{RECORDS}/{name}.json")

    def keep_record(
        self, name: str, text: str, what: str, *, required: bool, lasting: bool = False
    ) -> None:
        path, former = self._sysfs.path(f"{RECORDS}/{name}.json"), self.record(name)
        writing = replace_file(self._calls, path, text, what=what)
        undo = remove_file(self._calls, path)
        if former is not None:
            undo = replace_file(self._calls, path, f"{former}\n", what=what)
        try:
            self._effects.do(writing._replace(step=True), None, [] if lasting else [undo])
        except OSError as error:
            if required:
                with self._refusals.worded(f"{self._calls.shown(path)} cannot be written"):
                    raise
            self._warn(f"cannot {what}: {error.strerror}")

    def state_text(self) -> str | None:
        """/etc/rdctl/rapiddisk.toml"""
        text = self._sysfs.text(FILE)
        return None if text is None else f"{text}\n"

    def state_files(self) -> list[str]:
        """/etc/rdctl/rapiddisk.d"""
        names = self._sysfs.names(DIRECTORY)
        return [f"/{DIRECTORY}/{name}" for name in names if name.endswith((".toml", ".json"))]

    def keep_state(self, text: str) -> None:
        path, former = self._sysfs.path(FILE), self.state_text()
        what = f"save the state in /{FILE}"
        undo = remove_file(self._calls, path)
        if former is not None:
            undo = replace_file(self._calls, path, former, what=what, mode=0o644)
        writing = replace_file(self._calls, path, text, what=what, mode=0o644)
        with self._refusals.worded(f"/{FILE} cannot be written"):
            self._effects.do(writing, None, [undo])
