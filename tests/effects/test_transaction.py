"""The system calls for real, and the transaction that takes them back."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, call, ioctl, link, make_dir, remove_dir, unlink, write
from tests.signals import signal_here

CALLS = Syscalls()


class Door(Effects):
    """Effects with what they tell."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self.traced: list[str] = []
        self.told: list[str] = []
        super().__init__(
            ask=self._never, trace=self.traced.append, tell=self.told.append, dry_run=dry_run
        )

    def _never(self, losses: Sequence[str]) -> None:
        raise AssertionError(losses)


def build(door: Effects, directory: Path) -> None:
    """A directory with a file's text and a link, each step with its undo."""
    (directory / "file").write_text("before")
    inner, file, symlink = (
        str(directory / "inner"),
        str(directory / "file"),
        str(directory / "link"),
    )
    door.do(make_dir(CALLS, inner), None, [remove_dir(CALLS, inner)])
    again = write(CALLS, file, "before", what="write")
    door.do(write(CALLS, file, "during", what="write"), None, [again])
    door.do(link(CALLS, inner, symlink), None, [unlink(CALLS, symlink)])


def failing(
    door: Effects,
    directory: Path,
    error: BaseException | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    with door.transaction("build"):
        build(door, directory)
        meanwhile()
        raise error or ValueError


def test_what_is_done_stays(tmp_path: Path) -> None:
    door = Door()
    with door.transaction("build"):
        build(door, tmp_path)
    assert (tmp_path / "link").resolve() == tmp_path / "inner"
    assert (tmp_path / "file").read_text() == "during"
    assert (door.done, door.undone, door.left) == (["build"], [], [])
    assert door.traced == [
        f"mkdir {tmp_path}/inner",
        f"echo during > {tmp_path}/file",
        f"ln -s {tmp_path}/inner {tmp_path}/link",
    ]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_on_any_failure_nothing_is_left(tmp_path: Path, error: BaseException) -> None:
    door = Door()
    with pytest.raises(type(error)):
        failing(door, tmp_path, error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "before"
    assert (door.done, door.undone, door.left) == ([], ["build"], [])
    assert door.traced[3:] == [
        f"rm {tmp_path}/link",
        f"echo before > {tmp_path}/file",
        f"rmdir {tmp_path}/inner",
    ]


def test_what_was_done_before_stays(tmp_path: Path) -> None:
    door = Door()
    door.do(make_dir(CALLS, str(tmp_path / "first")), None)
    with pytest.raises(ValueError):
        failing(door, tmp_path)
    assert door.done == [f"mkdir {tmp_path}/first"]
    assert (tmp_path / "first").is_dir()


def test_a_step_that_was_refused_is_not_undone(tmp_path: Path) -> None:
    """What stands there is of somebody else's making."""
    (tmp_path / "inner").mkdir()
    door = Door()
    with pytest.raises(FileExistsError), door.transaction("build"):
        build(door, tmp_path)
    assert (tmp_path / "inner").is_dir()
    assert door.undone == []


def test_undoing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    door = Door()

    def meanwhile() -> None:
        (tmp_path / "link").unlink()
        (tmp_path / "inner").rmdir()

    with pytest.raises(ValueError):
        failing(door, tmp_path, meanwhile=meanwhile)
    assert door.left == []


def test_what_cannot_be_undone_is_named_and_the_rest_is_undone(tmp_path: Path) -> None:
    door = Door()
    with pytest.raises(ValueError):
        failing(door, tmp_path, meanwhile=lambda: os.mkdir(tmp_path / "inner" / "more"))
    assert door.left == [f"rmdir {tmp_path}/inner (Directory not empty)"]
    assert not (tmp_path / "link").is_symlink()


def test_an_inner_transaction_belongs_to_the_outer(tmp_path: Path) -> None:
    door = Door()

    def both() -> None:
        with door.transaction("all"):
            with door.transaction("build"):
                build(door, tmp_path)
            raise ValueError

    with pytest.raises(ValueError):
        both()
    assert door.undone == ["all"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_dry_run_begins_nothing(tmp_path: Path) -> None:
    door = Door(dry_run=True)
    with door.transaction("build"):
        build(door, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert len(door.plan) == 3
    assert (door.done, door.traced, door.would) == ([], door.plan, ["build"])


def test_a_dry_run_names_a_transaction_or_each_effect(tmp_path: Path) -> None:
    door = Door(dry_run=True)
    with door.transaction("build"):
        build(door, tmp_path)
    assert door.would == ["build"]
    inner = str(tmp_path / "inner")
    with door.transaction("build", detailed=True):
        door.do(make_dir(CALLS, inner)._replace(shows="first\n\nlast\n"), None)
        door.do(write(CALLS, inner, "x", what="write it"), None)
    assert door.would[1:] == [f"mkdir {inner}", "write it"]
    assert door.texts == {f"mkdir {inner}": "first\n\nlast\n"}
    with door.transaction("again"):
        build(door, tmp_path)
    assert door.would[3:] == ["again"]


def test_a_signal_waits_until_the_step_is_over(tmp_path: Path) -> None:
    door = Door()

    class Interrupted(Syscalls):
        def mkdir(self, path: str) -> None:
            signal_here()
            os.mkdir(path)

    with pytest.raises(KeyboardInterrupt):
        door.do(make_dir(Interrupted(), str(tmp_path / "a")), None)
    assert (door.done, door.under_way) == ([f"mkdir {tmp_path}/a"], [])
    assert (tmp_path / "a").is_dir()


def test_one_signal_is_heard_and_more_are_answered(tmp_path: Path) -> None:
    door = Door()

    class Impatient(Syscalls):
        def rmdir(self, path: str) -> None:
            signal_here()
            os.rmdir(path)

    calls = Impatient()
    before = signal.getsignal(signal.SIGINT)

    def two() -> None:
        with door.transaction("two"):
            for name in ("a", "b"):
                path = str(tmp_path / name)
                door.do(make_dir(calls, path), None, [remove_dir(calls, path)])
            signal_here()

    with pytest.raises(KeyboardInterrupt):
        two()
    assert list(tmp_path.iterdir()) == []
    assert door.told == [
        "rolling back: 2 steps left",
        "rolling back: 1 steps left",
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_transaction_of_another_thread(tmp_path: Path) -> None:
    """Signals are the main thread's."""
    door, failed = Door(), []

    def work() -> None:
        try:
            failing(door, tmp_path)
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failed) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- the calls ----------------------------------------------------------------------------------


def test_an_ioctl_changes_its_buffer_in_place() -> None:
    inside, outside = socket.socketpair()
    with inside, outside:
        outside.send(b"12345")
        answer = bytearray(4)
        door = Door()
        door.look(ioctl(CALLS, inside.fileno(), 0x541B, answer, what="ask", line="# FIONREAD"))
    assert int.from_bytes(answer, sys.byteorder) == 5
    assert (door.traced, door.done) == (["# FIONREAD"], [])


def opened(path: str) -> int:
    """How many descriptors of this process lead to it."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link) == path for link in links if os.path.lexists(link))


def test_an_ioctl_that_is_refused_closes_the_device() -> None:
    before = opened("/dev/null")
    with pytest.raises(OSError, match="Inappropriate ioctl") as refused:
        Door().do(ioctl(CALLS, "/dev/null", 0x0531, what="erase", line="ioctl"), None)
    assert refused.value.errno == errno.ENOTTY
    assert opened("/dev/null") == before


def test_the_lock_is_held_against_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = CALLS.lock(str(path))
    assert descriptor is not None
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code = (
        "from rdctl.effects.syscalls import Syscalls;"
        f" print(Syscalls().lock({str(path)!r}) is None)"
    )
    held = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    CALLS.close(descriptor)
    free = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (held.stdout, free.stdout) == ("True\n", "False\n")


def test_a_lock_file_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("data")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        CALLS.lock(str(tmp_path / "lock"))
    assert (tmp_path / "victim").read_text() == "data"


def test_a_program_is_run_to_its_end() -> None:
    door = Door()
    words = [sys.executable, "-c", "import sys; print('said'); sys.exit(3)"]
    assert door.do(call(CALLS, words, None, what="run it"), (0, "")) == (3, "said\n")
    with pytest.raises(FileNotFoundError):
        CALLS.run(["/nosuch/program"])


def test_the_number_of_a_device(tmp_path: Path) -> None:
    assert CALLS.device_number("/dev/null") is None
    assert CALLS.device_number(str(tmp_path)) is None
    with pytest.raises(FileNotFoundError):
        CALLS.device_number("/dev/nosuch")
    for directory in Path("/sys/class/block").glob("*"):
        node = Path("/dev", directory.name)
        if node.is_block_device():
            assert CALLS.device_number(str(node)) == (directory / "dev").read_text().strip()


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("0.0.0.0", True), ("203.0.113.9", False)],
)
def test_whether_an_address_is_here(address: str, here: bool) -> None:
    assert CALLS.can_bind(address) is here


def test_whether_an_ipv6_address_is_here() -> None:
    assert CALLS.can_bind("2001:db8::9") is False


def test_a_signal_that_another_thread_takes_waits_too(tmp_path: Path) -> None:
    """A mask holds for one thread; the process has more of them in a fleet, or under a server."""
    door = Door()
    done: list[str] = []
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    taken, takes = socket.socketpair()
    taken.settimeout(60)
    takes.setblocking(False)

    def perform() -> None:
        assert other.ident is not None
        signal.pthread_kill(other.ident, signal.SIGINT)
        taken.recv(1)
        done.append("whole")

    with taken, takes:
        before = signal.set_wakeup_fd(takes.fileno())
        try:
            with pytest.raises(KeyboardInterrupt):
                door.do(Effect("act", "act", perform, brief=True), None)
        finally:
            signal.set_wakeup_fd(before)
            stop.set()
            other.join()
    assert done == ["whole"]
    assert door.done == ["act"]
