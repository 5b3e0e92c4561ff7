"""The store: made once, changed by one at a time, refused when it is not ours."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.sandbox.store import VERSION, Store
from tests.cli.processes import Rdctl

SEEDED = ["rd0"]
# The nodes of volumes, as what a store holds.
NODES = "machine_files WHERE path GLOB 'dev/rd*'"
ADDING = "INSERT INTO machine_files VALUES (?, 'file', 0, '', 0)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state" / "sandbox.db")
    yield store
    store.close()


def names(store: Store) -> list[str]:
    with store.look() as connection:
        rows = connection.execute(f"SELECT path FROM {NODES} ORDER BY path")
        return [row["path"].removeprefix("dev/") for row in rows]


def add(store: Store, name: str) -> None:
    with store.change() as connection:
        connection.execute(ADDING, (f"dev/{name}",))


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_nothing_is_made_before_the_first_use(store: Store, tmp_path: Path) -> None:
    assert os.listdir(tmp_path) == []
    assert names(store) == SEEDED
    assert mode(tmp_path / "state") == 0o700
    for name in os.listdir(tmp_path / "state"):
        assert mode(tmp_path / "state" / name) == 0o600


def test_the_mode_does_not_hang_on_the_umask(store: Store) -> None:
    before = os.umask(0)
    try:
        names(store)
    finally:
        os.umask(before)
    assert mode(store.path) == 0o600


def test_a_path_without_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("sandbox.db")
    assert names(store) == SEEDED
    store.close()


def test_a_change_is_kept_for_the_next_process(store: Store) -> None:
    add(store, "rd7")
    other = Store(store.path)
    assert names(other) == ["rd0", "rd7"]
    other.close()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_change_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    def fail() -> None:
        with store.change() as connection:
            connection.execute(f"DELETE FROM {NODES}")
            raise error

    with pytest.raises(error):
        fail()
    assert names(store) == SEEDED
    add(store, "rd1")  # nothing is left locked
    assert names(store) == ["rd0", "rd1"]


def test_a_look_is_of_one_moment(store: Store) -> None:
    count = f"SELECT count(*) FROM {NODES}"
    with store.look() as connection:
        assert connection.execute(count).fetchone()[0] == 1
        add(store, "rd1")
        assert connection.execute(count).fetchone()[0] == 1
    assert names(store) == ["rd0", "rd1"]


def test_a_fault_in_sql_is_not_taken_for_one_of_the_file(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), store.look() as connection:
        connection.execute("SELECT * FROM nowhere")
    assert names(store) == SEEDED


def test_what_a_system_raises_is_passed_on(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.look():
        raise FileNotFoundError
    assert names(store) == SEEDED


def test_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> None:
        for step in range(10):
            add(store, f"rd{number}{step}")
            names(store)

    threads = [Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 81


STARTER = """
import sys
from rdctl.sandbox.store import Store
sys.stdin.readline()
store = Store(sys.argv[1])
with store.change() as connection:
    connection.execute(sys.argv[3], (f"dev/{sys.argv[2]}",))
store.close()
"""


def test_processes_that_start_at_once_make_one_store(store: Store) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, store.path, f"rd{number}", ADDING],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(1, 9)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert names(store) == [f"rd{number}" for number in range(9)]


@pytest.mark.parametrize("use", [lambda store: add(store, "rd1"), Store.reset])
def test_who_waits_too_long_is_told(store: Store, use: Callable[[Store], None]) -> None:
    names(store)
    left = [10.0]
    hasty = Store(store.path, lambda: left[0])
    names(hasty)  # a connection that is used again waits as long as it may then
    left[0] = 0.05
    with store.change(), pytest.raises(RdctlError, match="locked") as caught:
        use(hasty)
    assert caught.value.code is Code.TIMEOUT
    assert "a longer --timeout" in (caught.value.hint or "")
    hasty.close()


def test_who_turns_the_log_on_waits_as_long_as_may_be(store: Store) -> None:
    os.makedirs(os.path.dirname(store.path))
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RdctlError, match="locked") as caught:
            names(Store(store.path, lambda: 0.05))
    assert caught.value.code is Code.TIMEOUT


def test_reset_brings_the_seed_back(store: Store) -> None:
    add(store, "rd1")
    store.reset()
    assert names(store) == SEEDED
    add(store, "rd2")
    assert names(store) == ["rd0", "rd2"]


def test_reset_of_a_store_that_is_not_there_makes_it(store: Store) -> None:
    store.reset()
    assert names(store) == SEEDED


def test_reset_while_others_look(store: Store) -> None:
    add(store, "rd1")
    other = Store(store.path)
    assert names(other) == ["rd0", "rd1"]
    with other.look() as connection:
        count = f"SELECT count(*) FROM {NODES}"
        assert connection.execute(count).fetchone()[0] == 2
        store.reset()
        assert connection.execute(count).fetchone()[0] == 2
    assert names(other) == SEEDED
    add(other, "rd3")
    assert names(store) == ["rd0", "rd3"]
    other.close()


def change_version(path: str, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE gone_today (x)")
    connection.execute("CREATE VIEW all_of_it AS SELECT * FROM gone_today")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", [VERSION + 1, VERSION - 1, 999])
def test_a_store_of_another_version_is_refused_until_reset(store: Store, version: int) -> None:
    names(store)
    store.close()
    change_version(store.path, version)
    with pytest.raises(RdctlError) as caught, store.look():
        pass
    assert caught.value.code is Code.CONFIG
    assert caught.value.hint == "Reset it: rdctl sandbox reset"
    store.reset()
    assert names(store) == SEEDED
    with store.look() as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%o%'")
        assert {row["name"] for row in found}.isdisjoint({"gone_today", "all_of_it"})


def test_somebody_elses_database_is_left_alone(store: Store) -> None:
    os.makedirs(os.path.dirname(store.path))
    connection = sqlite3.connect(store.path)
    connection.execute("CREATE TABLE precious (x)")
    connection.commit()
    connection.close()
    content = Path(store.path).read_bytes()
    for attempt in (lambda: names(store), store.reset):
        with pytest.raises(RdctlError, match="not an rdctl sandbox") as caught:
            attempt()
        assert caught.value.code is Code.CONFIG
    assert Path(store.path).read_bytes() == content


def test_an_empty_file_becomes_a_store(store: Store) -> None:
    os.makedirs(os.path.dirname(store.path))
    Path(store.path).touch()
    assert names(store) == SEEDED


def test_a_file_that_is_no_database(store: Store) -> None:
    os.makedirs(os.path.dirname(store.path))
    text = "the notes of somebody\n" * 100
    Path(store.path).write_text(text)
    for attempt in (lambda: names(store), store.reset):
        with pytest.raises(RdctlError, match="not a database") as caught:
            attempt()
        assert caught.value.code is Code.CONFIG
        assert caught.value.target == store.path
    assert Path(store.path).read_text() == text


def test_the_hint_moves_a_file_away_that_is_not_ours(tmp_path: Path) -> None:
    store = Store(tmp_path / "my notes.db")
    Path(store.path).write_text("the notes of somebody\n" * 100)
    with pytest.raises(RdctlError) as caught:
        store.reset()
    _, _, command = (caught.value.hint or "").partition(": ")
    subprocess.run(["sh", "-c", command], check=True)
    assert names(store) == SEEDED
    assert Path(f"{store.path}.old").read_text().startswith("the notes")
    store.close()


def overwrite(at: int, data: bytes) -> Callable[[str], None]:
    def damage(path: str) -> None:
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data)

    return damage


def cut(size: int) -> Callable[[str], None]:
    return lambda path: os.truncate(path, size)


DAMAGES = {
    "tables": overwrite(100, b"\xff" * 8000),
    "all": overwrite(100, b"\xff" * 200_000),
    "second page": cut(5000),
    "first page": cut(4096),
    "head": cut(100),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_refused_until_reset(
    store: Store, damage: Callable[[str], None]
) -> None:
    names(store)
    store.close()
    damage(store.path)
    with pytest.raises(RdctlError, match="malformed") as caught:
        names(store)
    assert caught.value.code is Code.CONFIG
    assert caught.value.hint == "Reset it: rdctl sandbox reset"
    store.reset()
    assert names(store) == SEEDED
    with store.look() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_reset_of_a_damaged_store_that_others_hold(store: Store) -> None:
    other = Store(store.path)
    add(other, "rd1")
    with other.look() as connection:
        connection.execute("PRAGMA wal_checkpoint")
    overwrite(4096, b"\xff" * 100_000)(store.path)
    store.reset()
    assert names(other) == SEEDED
    other.close()


@pytest.mark.parametrize("damage", [DAMAGES["tables"], cut(50)])
def test_a_damaged_database_without_our_mark_is_left_alone(
    store: Store, damage: Callable[[str], None]
) -> None:
    os.makedirs(os.path.dirname(store.path))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("CREATE TABLE precious (x)")
    damage(store.path)
    content = Path(store.path).read_bytes()
    for attempt in (lambda: names(store), store.reset):
        with pytest.raises(RdctlError, match="malformed") as caught:
            attempt()
        assert caught.value.code is Code.CONFIG
        assert "mv -n" in (caught.value.hint or "")
    assert Path(store.path).read_bytes() == content


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (sqlite3.SQLITE_FULL, Code.FAILED, "Free space"),
        (sqlite3.SQLITE_IOERR_WRITE, Code.FAILED, "Free space"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, Code.FAILED, "Free space"),
        (sqlite3.SQLITE_IOERR_READ, Code.FAILED, "dmesg"),
        (sqlite3.SQLITE_IOERR_FSYNC, Code.FAILED, "dmesg"),
        (sqlite3.SQLITE_PROTOCOL, Code.TIMEOUT, "Try again"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Code.DENIED, "RDCTL_SANDBOX="),
    ],
)
def test_what_sqlite_says_of_the_file(store: Store, number: int, code: Code, hint: str) -> None:
    fault = sqlite3.OperationalError("it is so")
    fault.sqlite_errorcode = number
    with (
        pytest.raises(RdctlError, match=r"cannot use sandbox .*: it is so") as caught,
        store.change(),
    ):
        raise fault
    assert caught.value.code is code
    assert hint in (caught.value.hint or "")
    assert ("Free space" in (caught.value.hint or "")) == (hint == "Free space")
    assert names(store) == SEEDED


@pytest.mark.parametrize(
    ("may_write", "inodes", "code", "hint"),
    [
        (False, 9, Code.DENIED, "Choose a writable file"),
        (True, 0, Code.FAILED, "Free space"),
        (True, 9, Code.CONFIG, "Choose another file"),
    ],
)
def test_why_sqlite_cannot_open_it(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    may_write: bool,
    inodes: int,
    code: Code,
    hint: str,
) -> None:
    names(store)
    store.close()
    os.mkdir(f"{store.path}-wal")  # where SQLite needs a file
    room = os.statvfs_result((4096, 4096, 9, 9, 9, 9, inodes, inodes, 0, 255))
    monkeypatch.setattr(os, "access", lambda *_: may_write)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    with pytest.raises(RdctlError, match="unable to open") as caught:
        names(store)
    assert caught.value.code is code
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (errno.ENOSPC, Code.FAILED, "Free space in"),
        (errno.EDQUOT, Code.FAILED, "Free space in"),
        (errno.EROFS, Code.DENIED, "RDCTL_SANDBOX="),
        (errno.EACCES, Code.DENIED, "RDCTL_SANDBOX="),
        (errno.EIO, Code.FAILED, "dmesg"),
    ],
)
def test_what_the_system_says_of_a_file_to_be_made(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, code: Code, hint: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "makedirs", refuse)
        with pytest.raises(RdctlError) as caught:
            names(store)
    assert os.strerror(number) in caught.value.message
    assert caught.value.code is code
    assert hint in (caught.value.hint or "")


def test_a_path_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(RdctlError, match="directory") as caught:
        names(Store(tmp_path))
    assert caught.value.code is Code.CONFIG


def test_a_path_that_is_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    os.mkfifo(path)
    for use in (names, Store.reset):
        with pytest.raises(RdctlError, match="not a regular file") as caught:
            use(Store(path))
        assert caught.value.code is Code.CONFIG
    assert (os.listdir(tmp_path), path.is_fifo()) == ([path.name], True)


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RdctlError, match="cannot use sandbox") as caught:
        names(Store(tmp_path / "file" / "directory" / "sandbox.db"))
    assert caught.value.code is Code.CONFIG


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RdctlError, match="Permission denied") as caught:
        names(Store(tmp_path / "sandbox.db"))
    assert caught.value.code is Code.DENIED


def locks(path: Path) -> int:
    """The POSIX locks that this process holds on the file."""
    found = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    here = str(os.getpid()), f":{path.stat().st_ino}"
    return sum(words[-4] == here[0] and words[-3].endswith(here[1]) for words in found)


def test_a_second_connection_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops the locks of the whole process."""
    path = tmp_path / "sandbox.db"
    store = Store(path)
    with store.change():
        pass
    with store.look():
        held = locks(path)
        assert held
        with store.look():
            pass
        assert locks(path) == held
        Store(path).reset()
        assert locks(path) == held
    store.close()


def test_the_file_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    store = Store(path)
    with store.change() as connection:
        connection.execute("CREATE TABLE much (data BLOB)")
        connection.execute("INSERT INTO much VALUES (zeroblob(20000000))")
    with store.change() as connection:
        connection.execute("DELETE FROM much")
    store.close()
    assert path.stat().st_size < 1_000_000
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk(tmp_path: Path) -> None:
    """It is told as such, nothing of it is kept, and the sandbox stays sound."""
    rdctl = Rdctl(tmp_path)
    assert rdctl("-c", "sandbox", "rapiddisk", "list")[0] == 0

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    code, _, err = rdctl("-c", "sandbox", "rapiddisk", "create", "1M", preexec_fn=limit)
    assert code == 1
    assert f"rdctl: error: cannot use sandbox {tmp_path / 'sandbox.db'}: " in err
    assert f"Free space in {tmp_path}, then try again." in err
    assert rdctl("-c", "sandbox", "rapiddisk", "create", "1M")[0] == 0
