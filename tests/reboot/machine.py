"""A virtual machine with systemd as its init, which `tests/reboot/image` made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MIB = 1 << 20
DISK_SIZE = 192 * MIB
# For a boot, its stage and the shutdown. It is minutes under emulation on a busy machine.
BOOT_SECONDS = 300

Facts = dict[str, dict[str, Any]]


class Source(NamedTuple):
    """Whether the file system of a disk is clean, and the digest of its `file`."""

    clean: bool
    digest: str


class Machine(NamedTuple):
    """A root of its own and two disks, `alpha` and `beta`, whose serials are these words."""

    folder: Path
    kernel: str
    accelerator: str

    @classmethod
    def new(cls, image: Path, folder: Path) -> Machine:
        subprocess.run(["cp", "--sparse=always", image / "root", folder], check=True)
        shutil.copy(image / "initramfs", folder)
        machine = cls(folder, os.environ["RDCTL_KERNEL"], os.environ["RDCTL_ACCELERATOR"])
        for name in ("alpha", "beta"):
            with open(machine.disk(name), "wb") as file:
                file.truncate(DISK_SIZE)
        return machine

    def disk(self, name: str) -> Path:
        return self.folder / name

    def boot(
        self, *stages: str, disks: tuple[str, ...] = ("alpha", "beta"), slow: int = 0
    ) -> Facts:
        """What the stages of tests/reboot/guest.py saw, each in a boot of its own, until the
        machine is off. `disks` in the order in which it finds them; `slow` is how many bytes each
        takes in a second."""
        console, facts = self.folder / "console", self.folder / "facts"
        limit = f",throttling.bps-write={slow}" if slow else ""
        argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", self.accelerator, "-cpu", "max"]
        argv += ["-smp", "2", "-m", "1G", "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-kernel", f"/boot/vmlinuz-{self.kernel}", "-initrd", str(self.disk("initramfs"))]
        argv += ["-append", f"console=ttyS0 quiet stages={','.join(stages)}"]
        argv += ["-serial", f"file:{console}", "-serial", f"file:{facts}"]
        argv += self._drive("root")
        for name in disks:
            argv += self._drive(name, limit)
        try:
            subprocess.run(argv, check=True, timeout=BOOT_SECONDS * len(stages))
        except subprocess.SubprocessError as error:
            self._fail(str(error))
        seen: Facts = {}
        for line in facts.read_text().splitlines():
            seen.update(json.loads(line))
        for stage in stages:
            if stage not in seen:
                self._fail(f"the stage {stage} was not reached")
            if "error" in seen[stage]:
                self._fail(f"the stage {stage} failed:\n{seen[stage]['error']}")
        return seen

    def source(self, name: str) -> Source:
        """What the disk holds, now that the machine is off."""
        disk = self.disk(name)
        check = _tool("e2fsck", "-f", "-n", disk)
        recovery = b"needs_recovery" in _tool("dumpe2fs", "-h", disk).stdout
        content = _tool("debugfs", "-R", "cat /file", disk).stdout
        return Source(check.returncode == 0 and not recovery, hashlib.sha256(content).hexdigest())

    def _drive(self, name: str, limit: str = "") -> list[str]:
        drive = f"if=none,id={name},file={self.disk(name)},format=raw,cache=unsafe{limit}"
        return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]

    def _fail(self, why: str) -> None:
        console = (self.folder / "console").read_text(errors="replace").splitlines()
        pytest.fail("\n".join([why, "its console ends with:", *console[-60:]]), pytrace=False)


def _tool(*argv: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, check=False, capture_output=True)
