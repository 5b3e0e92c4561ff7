"""Users that no path leads to, each really there: they are found by number, or the kernel's count
of opens tells that somebody is missing."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB
from tests.kernel.processes import Child

TARGETS = Path("/sys/kernel/config/target/core")
_NEW_MOUNTS = 0x00020000
# It makes nothing of less.
BTRFS_MIB = 128

Begin = Callable[[str], object]


def in_namespace_of_mounts(job: Callable[[], Ran]) -> Ran:
    """Run where mounts are this process's own."""

    def apart() -> Ran:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(_NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
        machine.tool("mount", "--make-rprivate", "/")
        return job()

    ran = Child(apart).result()
    assert isinstance(ran, Ran)
    return ran


def code_of(ran: Ran) -> str:
    document = ran.json
    errors = document["errors"] if "errors" in document else [document["error"]]
    return str(errors[0]["code"]) if errors else ""


# --- looks that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("flush", "rd0"), ("resize", "rd0", "8M"), ("remove", "rd0")], ids=lambda w: w[0]
)
def test_configfs_that_is_not_mounted(rdctl: Program, words: tuple[str, ...]) -> None:
    """nvmet is loaded and exports the volume, and this process cannot see it."""
    machine.attach(0)
    machine.export("nqn.test:hidden", "/dev/rd0")

    def unseen(*more: str) -> Callable[[], Ran]:
        def job() -> Ran:
            machine.tool("umount", "/sys/kernel/config")
            return rdctl(*words, *more)

        return job

    ran = in_namespace_of_mounts(unseen())
    assert (ran.code, code_of(ran)) == (4, "unguarded"), ran
    assert "configfs is not mounted" in ran.err
    assert "--unseen exports" in ran.err
    assert in_namespace_of_mounts(unseen("--force")).code == 4
    # The open of the namespace is in the count, which another word goes on without.
    ran = in_namespace_of_mounts(unseen("--unseen", "exports"))
    assert (ran.code, code_of(ran)) == (4, "unguarded"), ran
    assert "1 open of RapidDisk volumes unaccounted for" in ran.err
    assert machine.names() == ["rd0"]


def test_a_descriptor_on_its_way_over_a_socket(rdctl: Program) -> None:
    machine.attach(0)
    machine.attach(1)
    one, other = socket.socketpair()
    with one, other:
        descriptor = os.open("/dev/rd1", os.O_RDONLY)
        socket.send_fds(one, [b"x"], [descriptor])
        os.close(descriptor)
        for words in (("remove", "rd0"), ("flush", "rd1"), ("resize", "rd0", "8M")):
            ran = rdctl(*words)
            assert (ran.code, code_of(ran)) == (4, "unguarded"), ran
            assert "1 open of RapidDisk volumes unaccounted for" in ran.err
        assert "unaccounted for" in rdctl("show", "rd0").err
        rdctl.ok("remove", "rd0", "--unseen", "opens")
    rdctl.ok("remove", "rd1")


def test_in_a_pid_namespace_of_its_own(rdctl: Program) -> None:
    """Where the processes of the machine are not seen, and that is said."""
    machine.attach(0)
    with machine.opened("/dev/rd0"):
        apart = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "rdctl"]
        for words, code in ((["show", "rd0"], 0), (["remove", "rd0"], 4)):
            done = subprocess.run(
                [*apart, "--json", "--yes", "rapiddisk", *words],
                check=False,
                capture_output=True,
                env={**os.environ, "RDCTL_CONFIG": str(rdctl.home / "none")},
            )
            ran = Ran(done.returncode, done.stdout, done.stderr)
            assert ran.code == code, ran
            assert "unaccounted for" in ran.err
        assert "rd0" in machine.names()


# --- users by number ----------------------------------------------------------------------------


@pytest.fixture
def others(tmp_path: Path, loop: Callable[..., str]) -> Iterator[dict[str, Begin]]:
    """Ways to use a volume given by its path that its path does not show."""
    with ExitStack() as stack:

        def child(job: Callable[[], object]) -> None:
            """In a process of its own, until the test ends."""
            read, write = os.pipe()
            ready, told = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(write)
                kept = job()
                os.write(told, b"x")
                os.read(read, 1)
                os._exit(kept is None)
            os.close(read)
            assert os.read(ready, 1) == b"x"

            def end() -> None:
                for descriptor in (write, ready, told):
                    os.close(descriptor)
                os.waitpid(pid, 0)

            stack.callback(end)

        def mapped(path: str) -> None:
            def job() -> object:
                descriptor = os.open(path, os.O_RDWR)
                memory = mmap.mmap(descriptor, machine.PAGE)
                os.close(descriptor)
                # mmap keeps a descriptor of its own.
                for name in os.listdir("/proc/self/fd"):
                    try:
                        if os.path.samestat(os.fstat(int(name)), os.stat(path)):
                            os.close(int(name))
                    except OSError:
                        continue
                return memory

            child(job)

        def elsewhere(path: str) -> None:
            node = tmp_path / "disk"
            os.mknod(node, 0o600 | 0o060000, os.stat(path).st_rdev)
            child(lambda: os.open(node, os.O_RDONLY))

        def loop_apart(path: str) -> None:
            def job() -> Ran:
                machine.tool("mount", "-t", "tmpfs", "none", tmp_path)
                os.mknod(tmp_path / "hidden", 0o600 | 0o060000, os.stat(path).st_rdev)
                machine.tool("losetup", "--find", tmp_path / "hidden")
                return Ran(0, b"", b"")

            in_namespace_of_mounts(job)

        def target(kind: str, control: str) -> Begin:
            def begin(path: str) -> None:
                machine.tool("modprobe", "-a", "target_core_mod", f"target_core_{kind}")
                host = TARGETS / {"iblock": "iblock_0", "file": "fileio_0"}[kind]
                host.mkdir(exist_ok=True)
                (host / "lun").mkdir()
                stack.callback((host / "lun").rmdir)
                (host / "lun/control").write_text(control.format(path))
                (host / "lun/enable").write_text("1")

            return begin

        def zram(path: str) -> None:
            machine.tool("modprobe", "zram")
            Path("/sys/block/zram0/backing_dev").write_text(path)
            stack.callback(lambda: Path("/sys/block/zram0/reset").write_text("1"))

        def journal(path: str) -> None:
            machine.tool("mke2fs", "-q", "-F", "-b", "1024", "-O", "journal_dev", path)
            machine.tool("mke2fs", "-q", "-F", "-b", "1024", "-J", f"device={path}", "/dev/vdc")
            mount("/dev/vdc")

        def mount(path: str, *options: str) -> Path:
            directory = tmp_path / "mount"
            directory.mkdir(exist_ok=True)
            machine.tool("mount", *options, path, directory)
            return directory

        def second_of_btrfs(path: str) -> None:
            machine.tool("modprobe", "btrfs")
            machine.until(Path("/dev/btrfs-control").exists, "the node that scanning takes")
            first = f"/dev/{machine.attach(9, BTRFS_MIB)}"
            machine.tool("mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", first, path)
            machine.tool("btrfs", "device", "scan")
            mount(first)

        def lazily(path: str) -> None:
            machine.tool("mke2fs", "-q", "-F", path)
            kept = os.open(mount(path), os.O_RDONLY)
            stack.callback(os.close, kept)
            machine.tool("umount", "--lazy", tmp_path / "mount")

        def pinned(path: str) -> None:
            """A mount namespace without a process, kept by a file."""
            machine.tool("mke2fs", "-q", "-F", path)
            directory = tmp_path / "pins"
            directory.mkdir()
            machine.tool("mount", "-t", "tmpfs", "none", directory)
            machine.tool("mount", "--make-private", directory)
            (directory / "ns").touch()
            machine.tool("unshare", f"--mount={directory}/ns", "mount", path, "/mnt")

            def unpin() -> None:
                machine.tool("umount", directory / "ns")
                machine.tool("umount", directory)

            stack.callback(unpin)

        def inactive(path: str) -> None:
            machine.tool("dmsetup", "create", "lin", "--notable")
            machine.tool("dmsetup", "load", "lin", "--table", f"0 8192 linear {path} 0")

        def suspended(path: str) -> None:
            machine.tool("dmsetup", "create", "lin", "--table", f"0 8192 linear {path} 0")
            machine.tool("dmsetup", "suspend", "lin")
            stack.callback(machine.tool, "dmsetup", "resume", "lin")

        def file_on_it(path: str) -> None:
            machine.tool("mke2fs", "-q", "-F", path)
            directory = mount(path)
            (directory / "image").write_bytes(bytes(MIB))
            loop(0, directory / "image")
            machine.tool("umount", "--lazy", directory)

        def swap(path: str) -> None:
            machine.tool("mkswap", path)
            machine.tool("swapon", path)

        def exported(path: str) -> None:
            machine.export("nqn.test:somebody", path)

        def dup(path: str) -> None:
            """One open file in two processes, twice in each."""
            other = subprocess.Popen(
                ["sh", "-c", f"exec 7<>{path} 8<&7; sleep 1000 & echo $!; wait"],
                stdout=subprocess.PIPE,
            )
            assert other.stdout is not None
            inner = int(other.stdout.readline())

            def end() -> None:
                os.kill(inner, 15)
                other.wait()
                assert other.stdout is not None
                other.stdout.close()

            stack.callback(end)

        yield {
            "mmap": mapped,
            "node elsewhere": elsewhere,
            "loop of another mount namespace": loop_apart,
            "loop": lambda path: loop(0, path),
            "file on it": file_on_it,
            "fileio": target("file", "fd_dev_name={},fd_dev_size=16777216"),
            "iblock": target("iblock", "udev_path={}"),
            "zram": zram,
            "journal": journal,
            "btrfs": second_of_btrfs,
            "lazy umount": lazily,
            "pinned namespace": pinned,
            "inactive table": inactive,
            "suspended mapping": suspended,
            "swap": swap,
            "export": exported,
            "inherited descriptors": dup,
        }


NAMED = {
    "mmap": "open in process",
    "node elsewhere": "open in process",
    "loop of another mount namespace": "/dev/loop",
    "loop": "/dev/loop",
    "file on it": "/dev/loop",
    "fileio": "fileio/lun",
    "iblock": "block/lun",
    "zram": "zram0",
    "journal": "as the journal of an ext4 file system",
    "btrfs": "mounted on",
    "lazy umount": "held exclusively by the kernel, for a mount (ext4)",
    "pinned namespace": "held exclusively by the kernel, for a mount (ext4)",
    "inactive table": "lin",
    "suspended mapping": "lin",
    "swap": "swap",
    "export": "nqn.test:somebody",
    "inherited descriptors": "open in process",
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_user_that_no_path_leads_to(rdctl: Program, others: dict[str, Begin], kind: str) -> None:
    """It is named, and what it has open is accounted for, so that others are not in the way of
    volumes that nobody uses (the weights in docs/guards.md)."""
    machine.attach(0, BTRFS_MIB if kind == "btrfs" else 16)
    machine.attach(1)
    others[kind]("/dev/rd0")
    machine.tool("udevadm", "settle")
    for words in (("remove", "rd0"), ("flush", "rd0"), ("cache", "create", "rd0", "vda")):
        ran = rdctl(*words, *(("--discard-contents",) if "cache" in words else ()))
        assert (ran.code, code_of(ran)) == (4, "in-use"), ran
        assert NAMED[kind] in ran.err, ran
    users = rdctl.ok("show", "rd0")["item"]["users"]
    assert users, "show names it, too"
    rdctl.ok("remove", "rd1")
    assert "rd1" not in machine.names()
    assert "rd0" in machine.names()
