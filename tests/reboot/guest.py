#!/usr/bin/python3
"""What happens inside the machine: a stage in each boot, as the kernel's command line names them.
After the last the machine is off. What a stage sees are facts, JSON lines on the second serial
line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

MIB = 1 << 20
NVMET = Path("/sys/kernel/config/nvmet")
UNITS = ("rdctl-caches.service", "rdctl-images.service", "rdctl-exports.service")
DATA = Path("/data")
FSTAB = (
    f"/dev/mapper/rc-wb_beta {DATA} ext4 nofail,"
    "x-systemd.requires=rdctl-caches.service,x-systemd.device-timeout=60 0 2\n"
)
# The image of rd0 is on the root file system, that of rd1 on a disk of its own.
IMAGES = {"rd0": Path("/var/lib/rdctl/rd0.img"), "rd1": Path("/images/a disk 100%/rd1.img")}
MOUNTS = {"rd0": Path("/scratch"), "rd1": Path("/other")}
NEEDED = "nofail,x-systemd.requires=rdctl-images.service,x-systemd.after=rdctl-images.service"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """A command that may fail."""
    return subprocess.run(argv, check=False, text=True, capture_output=True)


def tool(*argv: str) -> str:
    """What a command that must not fail prints."""
    ran = run(*argv)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def rapiddisk(*argv: str) -> Any:
    return json.loads(tool("rdctl", "--json", "--yes", "rapiddisk", *argv) or "null")


def read(path: Path) -> str:
    return path.read_text().strip()


# --- what there is, read past rdctl ---------------------------------------------------------------


def system() -> dict[str, Any]:
    """How the boot went. It is over when systemd has nothing left to start."""
    running = run("systemctl", "is-system-running", "--wait").stdout.strip()
    (seconds,) = re.findall(r"([\w. ]+) \(userspace\)", tool("systemd-analyze"))
    return {
        "boot": read(Path("/proc/sys/kernel/random/boot_id")),
        "running": running,
        "failed": tool("systemctl", "--failed", "--plain", "--no-legend").split("\n")[:-1],
        "seconds": seconds,
    }


def disks() -> dict[str, str]:
    """The kernel's name of each disk, by its serial."""
    serials = Path("/sys/block").glob("vd*/serial")
    return {read(serial): serial.parent.name for serial in serials}


def volumes() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for block in Path("/sys/block").iterdir():
        if re.fullmatch(r"rd\d+", block.name):
            size = int(read(block / "size")) * 512
            found[block.name] = {"size": size, "locked": read(block / "ro") == "1"}
    return found


def caches() -> dict[str, dict[str, object]]:
    """Each cache with the kernel's target, its volume, the serial of its source, and the blocks
    that are not written back."""
    names = {name: serial for serial, name in disks().items()}
    found: dict[str, dict[str, object]] = {}
    for name in (read(path) for path in Path("/sys/block").glob("dm-*/dm/name")):
        block = Path("/dev/mapper", name).resolve().name
        slaves = sorted(path.name for path in Path("/sys/block", block, "slaves").iterdir())
        status = tool("dmsetup", "status", name).split()
        target = status[2]
        dirty = int(status[4]) - int(status[5]) if target == "writecache" else 0
        parts = [names.get(slave, slave) for slave in slaves]
        found[name] = {"target": target, "parts": sorted(parts), "dirty": dirty}
    return found


def mounted(directory: Path) -> str | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        device, where, *_ = line.split()
        if where == str(directory):
            return device
    return None


def digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def exports() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for subsystem in NVMET.glob("subsystems/*"):
        namespace = subsystem / "namespaces/1"
        found[subsystem.name] = {
            "device": read(namespace / "device_path"),
            "enabled": read(namespace / "enable"),
            "serial": read(subsystem / "attr_serial"),
            "uuid": read(namespace / "device_uuid"),
            "nguid": read(namespace / "device_nguid"),
            "ports": [path.parent.parent.name for path in NVMET.glob("ports/*/subsystems/*")],
        }
    return found


def client() -> dict[str, object]:
    """The exported disk, as a host that connects to it sees it."""
    (nqn,) = exports()
    tool("modprobe", "nvme-tcp")
    tool("nvme", "connect", "-t", "tcp", "-a", "127.0.0.1", "-s", "4420", "-n", nqn)
    tool("udevadm", "settle")
    # A path to it, such as nvme0c0n1, is no disk.
    (block,) = (path for path in Path("/sys/block").glob("nvme*") if "c" not in path.name)
    links = Path("/dev/disk/by-id").glob("nvme-*")
    return {
        "serial": read(block / "device/serial"),
        "wwid": read(block / "wwid"),
        "size": int(read(block / "size")) * 512,
        "links": sorted(link.name for link in links if link.resolve().name == block.name),
    }


def ext4() -> list[str]:
    """What the kernel has said about the file system of a cache."""
    return [line for line in tool("dmesg").splitlines() if "EXT4-fs (dm-" in line]


def journal(unit: str, boot: int) -> str:
    """What it has about a unit in this boot, 0, or in the one before, -1."""
    return tool("journalctl", "-b", str(boot), "-o", "cat", "-u", unit)


def units() -> dict[str, dict[str, str]]:
    found = {}
    for name in UNITS:
        shown = tool("systemctl", "show", "-p", "ActiveState,Result,ExecMainStatus", name)
        found[name] = dict(line.split("=", 1) for line in shown.splitlines())
        found[name]["journal"] = journal(name, 0)
    return found


def diff() -> dict[str, object]:
    ran = run("rdctl", "rapiddisk", "diff", "--exit-code")
    return {"code": ran.returncode, "text": ran.stdout + ran.stderr}


def everything() -> dict[str, object]:
    return {
        **system(),
        "disks": disks(),
        "volumes": volumes(),
        "caches": caches(),
        "mounted": mounted(DATA),
        "digest": digest(DATA / "file"),
        "exports": exports(),
        "ext4": ext4(),
        "units": units(),
        "diff": diff(),
    }


# --- stages ---------------------------------------------------------------------------------------


def modules() -> None:
    tool("modprobe", "-a", "rapiddisk", "rapiddisk-cache", "dm-writecache", "nvmet", "nvmet-tcp")


def file_system(device: str, directory: Path) -> None:
    """With the blocks that a write-back cache needs."""
    tool("mke2fs", "-q", "-t", "ext4", "-b", "4096", device)
    directory.mkdir()
    tool("mount", device, str(directory))


def write(directory: Path, mib: int) -> dict[str, object]:
    """A file that its program has safely on disk, or so it believes."""
    file = directory / "file"
    with open(file, "wb") as stream:
        stream.write(os.urandom(mib * MIB))
        os.fsync(stream.fileno())
    return {"digest": digest(file), "caches": caches()}


def unarmed() -> dict[str, object]:
    """Two write-back caches, one of them made past rdctl; no unit knows of either."""
    modules()
    rapiddisk("create", "64M", "--number", "0")
    rapiddisk("create", "64M", "--number", "1")
    beta = "/dev/disk/by-id/virtio-beta"
    rapiddisk("cache", "create", "rd0", beta, "--policy", "writeback", "--name", "rc-wb_beta")
    alpha = Path("/dev/disk/by-id/virtio-alpha").resolve()
    sectors = read(Path("/sys/block", alpha.name, "size"))
    table = f"0 {sectors} writecache s {alpha} /dev/rd1 4096 0"
    tool("dmsetup", "create", "rc-wb_alpha", "--table", table)
    tool("udevadm", "settle")
    file_system("/dev/mapper/rc-wb_beta", DATA)
    file_system("/dev/mapper/rc-wb_alpha", Path("/plain"))
    write(Path("/plain"), 4)
    return {**write(DATA, 16), **system()}


def made() -> dict[str, object]:
    """From the empty machine to its first reboot, as an operator does it."""
    modules()
    for number, size in enumerate(("64M", "16M", "64M", "8M")):
        rapiddisk("create", size, "--number", str(number))
    rapiddisk("lock", "rd3")
    alpha, beta = "/dev/disk/by-id/virtio-alpha", "/dev/disk/by-id/virtio-beta"
    rapiddisk("cache", "create", "rd1", alpha, "--name", "rc-wt_alpha")
    writeback = ("--policy", "writeback", "--max-age", "86400", "--name", "rc-wb_beta")
    rapiddisk("cache", "create", "rd2", beta, *writeback)
    file_system("/dev/mapper/rc-wb_beta", DATA)
    with open("/etc/fstab", "a") as fstab:
        fstab.write(FSTAB)
    rapiddisk("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1")
    rapiddisk("nvmet", "export", "rd0", "--port", "1", "--any-host")
    rapiddisk("dump", "--save")
    rapiddisk("boot", "enable")
    tool("systemctl", "daemon-reload")
    seen = {**everything(), "client": client()}
    return {**seen, **write(DATA, 20)}


def incomplete() -> dict[str, object]:
    """As the machine came up by itself."""
    before = {unit: journal(unit, -1) for unit in UNITS}
    return {**everything(), "client": client(), "before": before}


def rebooted() -> dict[str, object]:
    """The same; then a file that only memory holds."""
    return {**incomplete(), "next": write(DATA, 20)}


# --- contents that last ---------------------------------------------------------------------------


def images() -> dict[str, object]:
    """What is mounted, and the digests of the files there and of their images."""
    return {
        **system(),
        "volumes": volumes(),
        "mounted": {name: mounted(place) for name, place in MOUNTS.items()},
        "files": {name: digest(place / "file") for name, place in MOUNTS.items()},
        "images": {name: digest(path) for name, path in IMAGES.items()},
        "disk": mounted(Path("/images")),
        "units": units(),
        "before": journal("rdctl-images.service", -1),
        "diff": diff(),
    }


def written() -> dict[str, object]:
    return {name: write(place, 4)["digest"] for name, place in MOUNTS.items()}


def kept() -> dict[str, object]:
    """Two volumes with file systems, as an operator has their contents kept."""
    modules()
    tool("mke2fs", "-q", "-t", "ext4", "/dev/disk/by-id/virtio-beta")
    Path("/images").mkdir()
    lines = "/dev/disk/by-id/virtio-beta /images ext4 nofail,x-systemd.device-timeout=60 0 0\n"
    for number, (name, place) in enumerate(MOUNTS.items()):
        rapiddisk("create", "32M", "--number", str(number))
        file_system(f"/dev/{name}", place)
        lines += f"/dev/{name} {place} ext4 {NEEDED},x-systemd.device-timeout=60 0 0\n"
    with open("/etc/fstab", "a") as fstab:
        fstab.write(lines)
    tool("systemctl", "daemon-reload")
    tool("mount", "/images")
    IMAGES["rd1"].parent.mkdir()
    text = tool("rdctl", "rapiddisk", "dump")
    for name, path in IMAGES.items():
        text = text.replace(f"[volumes.{name}]\n", f'[volumes.{name}]\nimage = "{path}"\n')
    state = Path("/root/state.toml")
    state.write_text(text)
    rapiddisk("apply", str(state), "--save")
    rapiddisk("boot", "enable", "--now")
    warnings = rapiddisk("boot", "status")["item"]["warnings"]
    return {"next": written(), "diff": diff(), "warnings": warnings}


def loaded() -> dict[str, object]:
    """As the machine came up by itself; then files that only memory holds."""
    return {**images(), "next": written()}


def damage() -> dict[str, object]:
    """Saved by hand, then one bit of an image becomes another, which no shutdown mends."""
    seen = images()
    for place in MOUNTS.values():
        tool("umount", str(place))
    tool("systemctl", "stop", "rdctl-images.service")
    with open(IMAGES["rd0"], "r+b") as file:
        file.seek(MIB)
        byte = file.read(1)[0]
        file.seek(MIB)
        file.write(bytes([byte ^ 1]))
    os.sync()
    return {**seen, "damaged": digest(IMAGES["rd0"])}


STAGES: dict[str, Callable[[], dict[str, object]]] = {
    "unarmed": unarmed,
    "made": made,
    "rebooted": rebooted,
    "swapped": rebooted,
    "incomplete": incomplete,
    "kept": kept,
    "loaded": loaded,
    "powered": damage,
    "damaged": images,
    "again": images,
    "missing": images,
}


def main() -> None:
    facts: TextIO = open("/dev/ttyS1", "w")  # noqa: SIM115
    (names,) = re.findall(r"\bstages=(\S+)", Path("/proc/cmdline").read_text())
    stages = names.split(",")
    done = Path("/var/lib", names)
    past = len(done.read_text()) if done.exists() else 0
    try:
        seen = STAGES[stages[past]]()
    except Exception:
        seen = {"error": traceback.format_exc()}
    print(json.dumps({stages[past]: seen}), file=facts, flush=True)
    done.write_text("." * (past + 1))
    last = "error" in seen or past + 1 == len(stages)
    sys.exit(subprocess.call(["systemctl", "poweroff" if last else "reboot"]))


if __name__ == "__main__":
    main()
