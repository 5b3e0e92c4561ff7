"""Contents of volumes, to image files and back: what is there afterwards, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel, Killed
from tests.signals import signal_here

ZEROS = bytes(PAGE)
# Pages at the begin, at the end of a piece, across pieces and at the end; many holes.
PATTERN = {0: 1, MIB - PAGE: 2, 3 * MIB: 300, 7 * MIB + 5 * PAGE: 1, 8 * MIB - PAGE: 1}
SIZE = 8 * MIB


def contents(kernel: FakeKernel, name: str = "rd0") -> bytes:
    return kernel.stored(name, SIZE * 2).ljust(kernel.volume(name).size, b"\0")


def fill(kernel: FakeKernel, name: str = "rd0", seed: int = 1) -> bytes:
    for offset, pages in PATTERN.items():
        page = bytes([seed]) * 100 + b"." * (PAGE - 100)
        kernel.write_data(name, page * pages, offset)
    return contents(kernel, name)


@pytest.fixture
def machine(rdctl: Program, kernel: FakeKernel) -> FakeKernel:
    kernel.add_volume(0, SIZE)
    kernel.add_volume(1, SIZE)
    return kernel


@pytest.fixture
def run(rdctl: Program, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`rdctl rapiddisk ...` in the directory of the images."""
    images = rdctl.home / "images"
    images.mkdir()
    monkeypatch.chdir(images)

    def call(words: str, *more: str, **options: Any) -> Ran:
        return rdctl("--local", "rapiddisk", *words.split(), *more, **options)

    return call


Run = Callable[..., Ran]


def done(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    return ran.out


def record(kernel: FakeKernel, name: str = "rd0") -> dict[str, Any]:
    path = kernel.path("run/rdctl/images.json")
    found: dict[str, Any] = json.loads(path.read_text())[name] if path.exists() else {}
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_checked(directory: str = ".", name: str = "rd0.img") -> bool:
    """As any other tool checks it."""
    words = ["sha256sum", "-c", "--strict", f"{name}.sha256"]
    return subprocess.run(words, cwd=directory, capture_output=True, check=False).returncode == 0


# --- save -----------------------------------------------------------------------------------------


def test_a_saved_image_is_the_volume_with_holes(machine: FakeKernel, run: Run) -> None:
    data = fill(machine)
    out = done(run("save rd0 rd0.img --units human"))
    assert re.fullmatch(r"saved rd0 to rd0\.img \(8\.0 MiB, 1\.[0-9] MiB on disk\)\n", out)
    status = os.stat("rd0.img")
    assert Path("rd0.img").read_bytes() == data
    assert status.st_mode & 0o777 == 0o600
    # So many pages have contents.
    assert 305 * PAGE <= status.st_blocks * 512 < 321 * PAGE
    assert Path("rd0.img.sha256").read_text() == f"{digest(data)}  rd0.img\n"
    assert is_checked()
    assert sorted(os.listdir()) == ["rd0.img", "rd0.img.sha256"]
    assert machine.steps == 0  # it only reads the machine


def test_what_a_script_gets(machine: FakeKernel, run: Run) -> None:
    data = fill(machine)
    (row,) = run("save rd0 rd0.img --json").json["results"]
    assert row == {
        "action": "save",
        "target": "rd0",
        "changed": True,
        "verified": True,
        "size": SIZE,
        "stored": os.stat("rd0.img").st_blocks * 512,
        "file": "rd0.img",
        "sha256": digest(data),
    }
    (row,) = run("load rd0.img rd1 --json").json["results"]
    assert row == {
        "action": "load",
        "target": "rd1",
        "changed": True,
        "verified": True,
        "size": SIZE,
        "used": 305 * PAGE,
        "file": "rd0.img",
        "sha256": digest(data),
    }


def test_an_empty_volume_takes_no_space(machine: FakeKernel, run: Run) -> None:
    done(run("save rd0 rd0.img"))
    assert (os.stat("rd0.img").st_size, os.stat("rd0.img").st_blocks) == (SIZE, 0)
    assert is_checked()
    done(run("load rd0.img rd1"))
    assert machine.volume("rd1").used == 0


def test_a_full_volume(machine: FakeKernel, run: Run) -> None:
    machine.write_data("rd0", os.urandom(SIZE))
    done(run("save rd0 rd0.img"))
    done(run("load rd0.img rd1"))
    assert contents(machine, "rd1") == contents(machine, "rd0")
    assert machine.volume("rd1").used == SIZE


@pytest.mark.parametrize(
    "name", ["a b.img", "-x.img", "a'b", "a{}b.img", "back\\slash", "new\nline", "\udcff.img"]
)
def test_any_name(machine: FakeKernel, run: Run, name: str) -> None:
    data = fill(machine)
    done(run("save -- rd0", name))
    assert Path(name).read_bytes() == data
    assert (
        is_checked(name=name)
        or subprocess.run(["sha256sum", "-c", "--", f"{name}.sha256"], check=False).returncode == 0
    )
    ran = run("load --", name, "rd1")
    assert "not verified" not in ran.err
    done(ran)
    assert contents(machine, "rd1") == data


def test_a_missing_directory_is_not_created(machine: FakeKernel, run: Run) -> None:
    """It may be that of a disk that is not mounted."""
    os.symlink("away/rd0.img", "link")
    for words, directory in (("save rd0 a/b/rd0.img", "a/b"), ("save rd0 link --overwrite", None)):
        for options in ((), ("--dry-run",)):
            ran = run(words, "--json", *options)
            assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")
            directory = directory or f"{os.getcwd()}/away"
            assert ran.json["error"]["message"] == f"directory {directory} not found"
            assert ran.json["error"]["hint"].endswith(f"To create it: mkdir -p {directory}")
    assert os.listdir() == ["link"]
    subprocess.run("mkdir -p a/b", shell=True, check=True)
    done(run("save rd0 a/b/rd0.img"))
    assert is_checked("a/b")


def test_a_link_is_followed(machine: FakeKernel, run: Run) -> None:
    data = fill(machine)
    os.mkdir("real")
    Path("real/rd0.img").write_bytes(b"former")
    os.symlink("real/rd0.img", "link")
    assert run("save rd0 link").code == 4
    done(run("save rd0 link --overwrite"))
    assert os.path.islink("link")
    assert Path("real/rd0.img").read_bytes() == data
    assert is_checked("real")
    assert sorted(os.listdir()) == ["link", "real"]
    ran = run("load link rd1")
    assert (ran.code, "not verified" in ran.err) == (0, False)
    Path("real/rd0.img").write_bytes(bytes(SIZE))
    assert "rd0.img.sha256 has" in run("load link rd1 --yes").err
    os.symlink("/dev/null", "null")
    assert "null: not a regular file" in run("save rd0 null --overwrite").err


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_belongs_to_another_file_is_not_replaced(
    machine: FakeKernel, run: Run, overwrite: bool
) -> None:
    """A file may be named as the digest of an image, or as its part was once."""
    options = ["--overwrite"] if overwrite else []
    done(run("save rd1 a.sha256"))
    Path(".a.part").write_text("mine")
    ran = run("save rd0 a --json", *options)
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict" if overwrite else "exists")
    assert ran.json["error"]["message"].startswith("a.sha256: ")
    assert ran.json["error"]["target"] == "a.sha256"
    assert Path("a.sha256").read_bytes() == contents(machine, "rd1")
    if not overwrite:
        Path("a.sha256").write_text(f"{'1' * 64}  a.iso\n")
        assert run("save rd0 a").code == 4
    os.unlink("a.sha256")
    done(run("save rd0 a"))
    assert is_checked(name="a")
    assert Path(".a.part").read_text() == "mine"


def test_the_digest_of_another_name_does_not_count(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    wrong, right = digest(b"x"), digest(data)
    for text, code in (
        (f"{wrong}  other\n{right}  ./rd0.img\n", 0),
        (f"{right}  other\n{wrong}  rd0.img\n", 4),
        (f"{right}  other\n{right}  third\n", 4),
        (f"{right}  renamed.img\n", 0),
    ):
        Path("rd0.img.sha256").write_text(text)
        assert run("load rd0.img rd0 --yes").code == code, text


class Clock:
    """Each look at it takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("words", ["save rd0 new.img", "load rd0.img rd0 --yes"])
def test_the_time_limit_ends_it_before_a_change(
    rdctl: Program, machine: FakeKernel, run: Run, words: str
) -> None:
    data = saved(machine, run)
    before = machine.snapshot()
    rdctl.clock = Clock(1.0)
    ran = run(words, "--timeout=4", "--json")
    assert ran.json["error"]["code"] == "timeout"
    assert ran.json["error"]["message"].endswith(".img timed out")
    assert ran.json["error"]["hint"] == "Use a longer --timeout. Nothing was changed."
    assert (machine.snapshot(), contents(machine)) == (before, data)
    assert sorted(os.listdir()) == ["rd0.img", "rd0.img.sha256"]
    done(run(words, "--timeout=4000"))


def test_the_time_limit_does_not_end_a_load_that_has_begun(
    rdctl: Program, machine: FakeKernel, run: Run
) -> None:
    data = saved(machine, run)
    clock = Clock(0.0)
    rdctl.clock = clock

    def late() -> None:
        clock.now = 1000.0

    machine.steps = 0
    machine.before[1] = late
    done(run("load rd0.img rd1 --timeout=4"))
    assert contents(machine, "rd1") == data


def test_an_existing_file_is_refused(machine: FakeKernel, run: Run) -> None:
    Path("rd0.img").write_text("mine")
    ran = run("save rd0 rd0.img --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "exists")
    assert ran.json["error"]["message"] == "rd0.img: already exists"
    hint = ran.json["error"]["hint"]
    assert hint == "To replace it: rdctl --local rapiddisk save rd0 rd0.img --overwrite"
    assert os.listdir() == ["rd0.img"]
    data = fill(machine)
    done(run("save rd0 rd0.img --overwrite"))
    assert Path("rd0.img").read_bytes() == data
    assert is_checked()


@pytest.mark.parametrize("verb", ["save rd0 {}", "load {} rd0"])
@pytest.mark.parametrize(
    ("path", "words", "code"),
    [
        ("-", "FILE must be a regular file", 2),
        ("/dev/null", "/dev/null: not a regular file", 4),
        (".", ".: is a directory", 4),
        ("inner/", "inner/: is a directory", 4),
        ("pipe", "pipe: not a regular file", 4),
    ],
)
def test_what_is_no_file_is_refused(
    machine: FakeKernel, run: Run, verb: str, path: str, words: str, code: int
) -> None:
    os.mkdir("inner")
    os.mkfifo("pipe")
    ran = run(verb.format(path), "--overwrite" if verb.startswith("save") else "--yes")
    assert (ran.code, words in ran.err) == (code, True), ran.err
    assert sorted(os.listdir()) == ["inner", "pipe"]


def test_a_directory_that_cannot_be_written(machine: FakeKernel, run: Run) -> None:
    ran = run("save rd0 /proc/1/rd0.img --json")
    assert ran.code in (3, 5)
    assert "/proc/1/rd0.img: " in ran.json["error"]["message"]


def test_links_of_other_users_are_not_followed(machine: FakeKernel, run: Run) -> None:
    os.mkdir("theirs")
    os.symlink("theirs", "link")
    try:
        os.lchown("link", 12345, 12345)
    except PermissionError:
        pytest.skip("requires root to give a link away")
    Path("theirs/rd0.img").write_bytes(bytes(512))
    for words in ("save rd0 link/rd1.img", "load link/rd0.img rd0"):
        ran = run(words, "--json")
        assert ran.code == 4
        assert "symbolic link of another user" in ran.json["error"]["message"]
    assert os.listdir("theirs") == ["rd0.img"]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("old", [False, True])
def test_no_space_loses_nothing(machine: FakeKernel, run: Run, old: bool) -> None:
    """As of a full disk: a write fails in the middle."""
    former = fill(machine)
    if old:
        done(run("save rd0 rd0.img"))
    names = sorted(os.listdir())
    fill(machine, seed=2)
    with no_file_larger_than(5 * MIB):
        ran = run("save rd0 rd0.img --overwrite --json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "failed")
    assert ran.json["error"]["message"] == "rd0.img: File too large"
    assert "Nothing was changed." in ran.json["error"]["hint"]
    assert sorted(os.listdir()) == names
    if old:
        assert Path("rd0.img").read_bytes() == former
        assert is_checked()


IN_USE: dict[str, Callable[[FakeKernel], None]] = {
    "mounted on /mnt": lambda kernel: kernel.mount("/dev/rd0", "/mnt"),
    "swap": lambda kernel: kernel.swap_on("/dev/rd0"),
    "rc-wt_vdb": lambda kernel: kernel.map_cache("rc-wt_vdb", "rd0", "vdb"),
    "exported": lambda kernel: kernel.foreign_subsystem("nqn.x:1", "/dev/rd0"),
    "loop7": lambda kernel: kernel.loop(7, "/dev/rd0"),
    "dd": lambda kernel: kernel.open_by(4711, "dd", "/dev/rd0"),
}


@pytest.mark.parametrize("use", IN_USE)
def test_a_volume_in_use_is_refused(machine: FakeKernel, run: Run, use: str) -> None:
    fill(machine)
    done(run("save rd0 old.img"))
    IN_USE[use](machine)
    before = machine.snapshot()
    for words in ("save rd0 rd0.img", "load old.img rd0 --yes"):
        ran = run(words, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (4, "in-use")
        assert use in ran.json["error"]["message"]
    assert machine.snapshot() == before
    assert not os.path.exists("rd0.img")


def test_what_cannot_be_checked_is_refused(machine: FakeKernel, run: Run) -> None:
    fill(machine)
    machine.unmount_configfs()
    machine.hidden = 1
    ran = run("save rd0 rd0.img --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "unguarded")
    look = re.findall("--unseen ([a-z]+)", ran.json["error"]["hint"])
    assert look
    words = "save rd0 rd0.img --unseen exports --unseen opens --unseen caches"
    done(run(words))


def test_a_locked_volume_can_be_saved_and_not_loaded(machine: FakeKernel, run: Run) -> None:
    data = fill(machine)
    done(run("lock rd0"))
    done(run("save rd0 rd0.img"))
    assert Path("rd0.img").read_bytes() == data
    ran = run("load rd0.img rd0 --yes --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "locked")


def test_unwritten_blocks_can_be_saved_and_are_not_loaded_over(
    machine: FakeKernel, run: Run
) -> None:
    machine.map_cache("rc-wb_vdb", "rd0", "vdb", dirty=77)
    machine.unmap_unsafely("rc-wb_vdb")
    data = contents(machine)
    done(run("save rd0 rd0.img"))
    assert Path("rd0.img").read_bytes() == data
    assert any(data)
    ran = run("load rd0.img rd0 --yes --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "not-empty")
    assert "77 unwritten blocks" in ran.json["error"]["message"]
    ran = run("load rd0.img rd0 --discard-contents --dry-run")
    assert "the only copy, will be lost" in ran.out
    ran = run("load rd0.img rd0 --discard-contents --yes")
    done(ran)
    assert machine.harm == ["77 unwritten blocks of rd0 were lost"]
    machine.harm.clear()
    assert contents(machine) == data


def test_where_a_volume_was_saved_is_recorded(machine: FakeKernel, run: Run) -> None:
    done(run("save rd0 a.img"))
    done(run("save rd0 b.img"))
    done(run("save rd0 a.img --overwrite"))
    here = os.getcwd()
    digest = hashlib.sha256(contents(machine, "rd0")).hexdigest()
    files = [[f"{here}/{name}", digest] for name in ("a.img", "b.img")]
    assert record(machine)["files"] == files
    done(run("load b.img rd0"))
    assert record(machine)["files"] == files[1:]
    assert record(machine)["whole"] is True


# --- load -----------------------------------------------------------------------------------------


def saved(machine: FakeKernel, run: Run) -> bytes:
    """rd0 in rd0.img"""
    data = fill(machine)
    done(run("save rd0 rd0.img"))
    return data


def test_load_writes_what_is_not_zero(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    machine.steps = 0
    out = done(run("load rd0.img rd1 --units human"))
    assert out == "loaded rd1 from rd0.img (8.0 MiB, 1.2 MiB used)\n"
    assert contents(machine, "rd1") == data
    assert machine.volume("rd1").used == 305 * PAGE
    assert machine.steps == len(PATTERN) + 2  # two runs reach into the next piece


def test_load_over_contents_asks(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    fill(machine, "rd1", seed=9)
    other = contents(machine, "rd1")
    ran = run("load rd0.img rd1", tty=True, stdin=b"n\n")
    assert ran.code == 1
    question = "volume rd1 (8.0 MiB, 1.2 MiB used) will be ERASED and loaded from rd0.img. Continue"
    assert question in ran.err
    assert (contents(machine, "rd1"), record(machine, "rd0")["whole"]) == (other, True)
    ran = run("load rd0.img rd1 --json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "consent-missing")
    assert contents(machine, "rd1") == other
    done(run("load rd0.img rd1 --yes"))
    assert contents(machine, "rd1") == data
    assert machine.volume("rd1").used == 305 * PAGE


def test_the_second_time_it_asks_again(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    done(run("load rd0.img rd1"))
    assert run("load rd0.img rd1").code == 2
    done(run("load rd0.img rd1 --yes"))
    assert contents(machine, "rd1") == data


def test_a_smaller_image_and_the_rest_is_zero(machine: FakeKernel, run: Run) -> None:
    data = os.urandom(MIB + 512 * 3)
    Path("small.img").write_bytes(data)
    fill(machine)
    ran = run("load small.img rd0 --yes")
    assert "warning: small.img was not verified: it has no small.img.sha256" in ran.err
    done(ran)
    assert contents(machine) == data.ljust(SIZE, b"\0")


def test_a_larger_image_is_refused_with_what_helps(machine: FakeKernel, run: Run) -> None:
    with open("large.img", "wb") as file:
        file.truncate(9 * MIB)
    ran = run("load large.img rd0 --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert ran.json["error"]["message"] == "large.img (9.0 MiB) is larger than rd0 (8.0 MiB)"
    hint = "Resize the volume first: rdctl --local rapiddisk resize rd0 9M"
    assert ran.json["error"]["hint"] == hint
    done(run("resize rd0 9M"))
    done(run("load large.img rd0"))


@pytest.mark.parametrize("size", [1, 511, 513, MIB + 1])
def test_an_odd_size_is_refused(machine: FakeKernel, run: Run, size: int) -> None:
    Path("odd.img").write_bytes(b"x" * size)
    ran = run("load odd.img rd0 --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert f"its size, {size} bytes, is not a multiple of 512" in ran.json["error"]["message"]
    assert machine.steps == 0


@pytest.mark.parametrize("path", ["none.img", "/proc/version"])
def test_an_image_of_no_bytes(machine: FakeKernel, run: Run, path: str) -> None:
    Path("none.img").touch()
    fill(machine)
    machine.steps = 0
    ran = run(f"load {path} rd0 --yes --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert ran.json["error"]["message"] == f"{path} is empty: not the image of a disk"
    assert machine.steps == 0


def test_a_missing_image(machine: FakeKernel, run: Run) -> None:
    ran = run("load no.img rd0 --json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")
    assert ran.json["error"]["message"].startswith("no.img: ")


def test_a_damaged_image_changes_nothing(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    before = contents(machine)
    with open("rd0.img", "r+b") as file:
        file.seek(3 * MIB + 77)
        file.write(b"!")
    machine.steps = 0
    ran = run("load rd0.img rd0 --yes --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    found = digest(Path("rd0.img").read_bytes())
    assert ran.json["error"]["message"] == (
        f"rd0.img: its SHA-256 is {found}, but rd0.img.sha256 has {digest(data)}"
    )
    assert (machine.steps, contents(machine)) == (0, before)
    command = ran.json["error"]["hint"].split(": ")[-1]
    assert command == "sha256sum rd0.img > rd0.img.sha256"
    subprocess.run(command, shell=True, check=True)
    done(run("load rd0.img rd0 --yes"))


@pytest.mark.parametrize("text", ["", "nonsense\n", "0123  rd0.img\n", "z" * 64 + "  rd0.img\n"])
def test_a_malformed_digest(machine: FakeKernel, run: Run, text: str) -> None:
    saved(machine, run)
    Path("rd0.img.sha256").write_text(text)
    ran = run("load rd0.img rd1 --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert ran.json["error"]["message"] == "rd0.img.sha256: contains no SHA-256 of the image"
    # It may be any file, which a save would replace.
    ran = run("save rd0 rd0.img --overwrite --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert Path("rd0.img.sha256").read_text() == text
    command = ran.json["error"]["hint"].split(": ")[-1]
    subprocess.run(command, shell=True, check=True)
    done(run("save rd0 rd0.img --overwrite"))
    assert is_checked()


def test_digests_as_other_tools_write_them(machine: FakeKernel, run: Run) -> None:
    data = saved(machine, run)
    for text in (
        f"{digest(data).upper()} *rd0.img\n",
        f"# made by hand\n{digest(data)}  /elsewhere/rd0.img\r\n",
        f"{'0' * 64}  rd0.img\n# {digest(data)}  rd0.img\n",
    ):
        Path("rd0.img.sha256").write_text(text)
        ran = run("load rd0.img rd1 --yes")
        assert "not verified" not in ran.err
        done(ran)


def test_an_image_that_memory_cannot_hold(machine: FakeKernel, run: Run) -> None:
    machine.write_data("rd0", os.urandom(4 * MIB))
    done(run("save rd0 rd0.img"))
    machine.set_memory(3 * MIB)
    ran = run("load rd0.img rd1 --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    message = "the contents of rd1 would take 4.0 MiB, but only 3.0 MiB of memory is available"
    assert ran.json["error"]["message"] == message
    assert machine.volume("rd1").used == 0
    done(run("load rd0.img rd0 --yes"))  # what it has is freed before
    done(run("load rd0.img rd1 --overcommit"))


def test_counters_that_lie_are_not_believed(machine: FakeKernel, run: Run) -> None:
    """A refused erase, of some other tool, sets them to 0 and keeps the data."""
    saved(machine, run)
    machine.write_data("rd1", b"precious")
    machine.volume("rd1").used = machine.volume("rd1").high = 0
    machine.show_volumes()
    ran = run("load rd0.img rd1 --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "not-empty")
    assert contents(machine, "rd1").startswith(b"precious")
    done(run("flush rd1 --yes"))
    done(run("load rd0.img rd1"))


def test_elsewhere_it_is_unsupported(served: Callable[..., Ran]) -> None:
    for words in ("save rd0 rd0.img", "load rd0.img rd0"):
        ran = served("rapiddisk", *words.split(), "--json")
        assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")


def test_a_dry_run_reads_and_changes_nothing(machine: FakeKernel, run: Run) -> None:
    saved(machine, run)
    fill(machine, "rd1", seed=3)
    before, names = machine.snapshot(), sorted(os.listdir())
    out = done(run("save rd1 rd1.img --dry-run"))
    assert out == "would save rd1 to rd1.img\n"
    out = done(run("save rd1 rd0.img --overwrite --dry-run"))
    assert out == "would save rd1 to rd0.img, which is replaced\n"
    out = done(run("load rd0.img rd1 --dry-run"))
    assert out.splitlines() == [
        "would load rd1 from rd0.img",
        "confirmation required:",
        "  volume rd1 (8.0 MiB, 1.2 MiB used) will be ERASED and loaded from rd0.img",
    ]
    assert (machine.snapshot(), sorted(os.listdir())) == (before, names)
    Path("rd0.img").write_bytes(bytes(512))
    assert run("load rd0.img rd1 --dry-run").code == 4


# --- what ends in the middle ----------------------------------------------------------------------


@pytest.fixture
def _unwinding() -> Iterator[None]:
    with signals():
        yield


LOADS = {"empty": ("load rd0.img rd1", 7), "full": ("load rd0.img rd1 --yes", 8)}
STEPS = [(name, step) for name, (_, steps) in LOADS.items() for step in range(1, steps + 1)]


def before_load(machine: FakeKernel, run: Run, name: str) -> tuple[bytes, bytes]:
    """What rd1 has before and after."""
    data = saved(machine, run)
    if name == "full":
        fill(machine, "rd1", seed=5)
    machine.steps = 0
    return contents(machine, "rd1"), data


@pytest.mark.parametrize("name", LOADS)
def test_the_number_of_steps(machine: FakeKernel, run: Run, name: str) -> None:
    _, data = before_load(machine, run, name)
    done(run(LOADS[name][0]))
    assert (machine.steps, contents(machine, "rd1")) == (LOADS[name][1], data)


@pytest.mark.usefixtures("_unwinding")
@pytest.mark.parametrize(("name", "step"), STEPS)
def test_an_interrupt_while_loading(machine: FakeKernel, run: Run, name: str, step: int) -> None:
    before_load(machine, run, name)
    machine.interrupt_at(step)
    ran = run(LOADS[name][0])
    assert ran.code == 130
    assert contents(machine, "rd1") == bytes(SIZE)
    assert machine.volume("rd1").used == 0
    assert "outcome unknown" not in ran.err
    assert ("the contents of rd1, which is now empty" in ran.err) == (name == "full")
    assert run("save rd1 rd1.img").code == 4  # it must not replace a good image
    done(run("flush rd1 --yes"))
    done(run("save rd1 rd1.img"))


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_refusal_while_loading(machine: FakeKernel, run: Run, name: str, step: int) -> None:
    former, _ = before_load(machine, run, name)
    machine.fail_at(step, errno.EIO)
    ran = run(LOADS[name][0], "--json")
    assert ran.code == 1
    if name == "full" and step == 1:  # the erase itself
        assert contents(machine, "rd1") == former
        assert "empty" not in ran.json["error"]["message"]
        done(run("save rd1 rd1.img"))
        return
    assert contents(machine, "rd1") == bytes(SIZE)
    words = "rd1 was not loaded: Input/output error"
    assert ran.json["error"]["message"] == words + ("; rd1 is now empty" * (name == "full"))
    assert "Left behind" not in ran.err
    done(run("load rd0.img rd1"))


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_kill_while_loading(machine: FakeKernel, run: Run, name: str, step: int) -> None:
    """The volume is the old one, or known to be incomplete."""
    former, data = before_load(machine, run, name)
    machine.kill_at(step)
    with pytest.raises(Killed):
        run(LOADS[name][0])
    machine.revive()
    ran = run("save rd1 rd1.img --json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "conflict")
    assert ran.json["error"]["message"] == "rd1 is incomplete: loading was interrupted"
    if step == 1:
        assert contents(machine, "rd1") == former
    # Both ways out work.
    if step % 2:
        done(run("load rd0.img rd1 --yes"))
        assert contents(machine, "rd1") == data
    else:
        done(run("flush rd1 --yes"))
        assert contents(machine, "rd1") == bytes(SIZE)
    done(run("save rd1 rd1.img"))


def test_an_image_that_changes_while_it_is_loaded(machine: FakeKernel, run: Run) -> None:
    saved(machine, run)
    fill(machine, "rd1", seed=5)

    def change() -> None:
        with open("rd0.img", "r+b") as file:
            file.seek(7 * MIB)
            file.write(b"other")

    machine.steps = 0
    machine.before[2] = change
    ran = run("load rd0.img rd1 --yes --json")
    assert (ran.code, contents(machine, "rd1")) == (4, bytes(SIZE))
    message = "rd0.img was changed while it was loaded; rd1 is now empty"
    assert ran.json["error"]["message"] == message


def test_an_image_that_becomes_smaller_while_it_is_loaded(machine: FakeKernel, run: Run) -> None:
    saved(machine, run)
    machine.before[machine.steps + 1] = lambda: os.truncate("rd0.img", MIB)
    ran = run("load rd0.img rd1 --json")
    assert (ran.code, contents(machine, "rd1")) == (1, bytes(SIZE))
    assert "rd0.img: it became smaller meanwhile" in ran.json["error"]["message"]


# --- a kill while saving --------------------------------------------------------------------------

# All that changes files.
CALLS = "open mkdir write pwrite ftruncate fsync fchmod fchown rename link unlink".split()


def killed_at(number: int, work: Callable[[], Ran]) -> bool:
    """Work in another process, which ends at the system call of this number, counted from the first
    one that speaks of the image. False when it needs fewer."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            left, begun, opens = number, False, os.open

            def count(call: Callable[..., Any]) -> Callable[..., Any]:
                def counted(*args: Any, **options: Any) -> Any:
                    nonlocal left, begun
                    begun = begun or str(args[0]).lstrip(".").startswith("rd0.img")
                    reads = call is opens and not args[1] & (os.O_CREAT | os.O_TRUNC)
                    left -= begun and not reads
                    if left == 0:
                        os._exit(99)
                    return call(*args, **options)

                return counted

            for name in CALLS:
                setattr(os, name, count(getattr(os, name)))
            os._exit(work().code)
        os._exit(98)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 99)
    return code == 99


@pytest.mark.parametrize("old", ["none", "with its digest", "without", "of a killed save"])
def test_a_kill_at_any_system_call_of_save(
    rdctl: Program, machine: FakeKernel, run: Run, old: str
) -> None:
    # Small ones, as they are saved hundreds of times: a hole between two pieces.
    former, new = (bytes([seed]) * PAGE + bytes(MIB) + bytes([seed]) * PAGE for seed in b"ab")
    for number, data in ((2, former), (3, new)):
        machine.add_volume(number, len(data))
        machine.write_data(f"rd{number}", data)
    if old != "none":
        done(run("save rd2 rd0.img"))
    text = f"{digest(former)}  rd0.img\n"
    if old == "without":
        os.unlink("rd0.img.sha256")
    elif old == "of a killed save":
        Path("rd0.img.sha256").write_text(f"{'1' * 64}  rd0.img\n# {text}")
        Path(".rd0.img.image.part").write_bytes(b"left over" * MIB)
    shutil.copytree(".", rdctl.home / "before")
    number, seen = 0, set()
    while True:
        number += 1
        shutil.rmtree(rdctl.home / "images")
        shutil.copytree(rdctl.home / "before", rdctl.home / "images")
        os.chdir(rdctl.home / "images")
        killed = killed_at(number, lambda: run("save rd3 rd0.img --overwrite"))
        there = Path("rd0.img").read_bytes() if os.path.exists("rd0.img") else None
        seen.add(there)
        assert there in (new, None if old == "none" else former), number
        if there is not None:
            ran = run("load rd0.img rd2 --dry-run")
            assert ran.code == 0, (number, ran.err)
            unverified = old == "without" and not os.path.exists("rd0.img.sha256")
            assert ("not verified" in ran.err) == unverified, number
        if not killed:
            break
    assert number > 20
    assert seen == {new, None if old == "none" else former}
    assert is_checked()
    assert sorted(os.listdir()) == ["rd0.img", "rd0.img.sha256"]


def test_the_save_after_a_kill_replaces_its_part(machine: FakeKernel, run: Run) -> None:
    data = fill(machine)
    number = 0
    while ".rd0.img.image.part" not in os.listdir():
        number += 1
        assert killed_at(number, lambda: run("save rd0 rd0.img"))
    done(run("save rd0 rd0.img"))
    assert Path("rd0.img").read_bytes() == data
    assert sorted(os.listdir()) == ["rd0.img", "rd0.img.sha256"]


@pytest.mark.usefixtures("_unwinding")
@pytest.mark.parametrize("call", ["pwrite", "fsync", "rename"])
def test_an_interrupt_while_saving(
    machine: FakeKernel, run: Run, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It leaves nothing, unless the image is complete."""
    fill(machine)
    real = getattr(os, call)

    def interrupted(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(os, call, real)
        signal_here()
        return real(*args, **options)

    monkeypatch.setattr(os, call, interrupted)
    ran = run("save rd0 rd0.img")
    assert ran.code == 130
    if call == "rename":
        assert "completed: save rd0 to rd0.img" in ran.err
        assert is_checked()
    else:
        assert "interrupted; nothing was changed" in ran.err
        assert os.listdir() == []


def test_two_saves_to_one_file(machine: FakeKernel, run: Run) -> None:
    import fcntl

    descriptor = os.open(".rd0.img.image.part", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        ran = run("save rd0 rd0.img --json")
        assert (ran.code, ran.json["error"]["code"]) == (4, "in-use")
        assert ran.json["error"]["message"] == "rd0.img: another process is saving to it"
        assert os.listdir() == [".rd0.img.image.part"]
    finally:
        os.close(descriptor)
