"""The FILE of a command over SSH: a file of the machine on which the command is typed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.remote.packs import FULL, packs, unpacked
from rdctl.sandbox.machine.stored import StoredMachine
from rdctl.sandbox.store import Store
from tests.conftest import Program, Ran

MIB = 1 << 20
PAGE = 4096
Call = Callable[..., Ran]


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory here."""
    directory = tmp_path / "images"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def run(far: Call) -> Call:
    assert far("rapiddisk", "create", "8M", "--number", "7").code == 0
    return lambda words, *more, **options: far("rapiddisk", *words.split(), *more, **options)


def done(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    return ran.out


def made(name: str = "a.img", size: int = 4 * MIB) -> bytes:
    """An image with holes, and with its digest."""
    data = bytearray(size)
    for at, count in ((0, 100), (MIB - PAGE, 2 * PAGE), (2 * MIB, MIB), (size - 512, 512)):
        data[at : at + count] = os.urandom(count)
    Path(name).write_bytes(data)
    Path(f"{name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    return bytes(data)


def record(rdctl: Program) -> Any:
    """What the machine there has recorded of images."""
    machine = StoredMachine(Store(str(rdctl.sandbox), lambda: None))
    machine.refresh()
    path = machine.path("run/rdctl/images.json")
    return json.loads(path.read_text()) if path.exists() else {}


def test_an_image_goes_there_and_comes_back(run: Call) -> None:
    data = made()
    (row,) = run("load a.img rd7 --json").json["results"]
    # 100 bytes, two pages, 1 MiB and 512 bytes.
    used = MIB + 4 * PAGE
    assert (row["size"], row["used"], row["file"], row["verified"]) == (
        *(4 * MIB, used, "a.img", True),
    )
    assert run("list", "--json").json["items"][-1]["usage"] == used
    out = done(run("save rd7 b.img --units human"))
    assert re.fullmatch(r"saved rd7 to b\.img \(8\.0 MiB, 1\.[0-9] MiB on disk\)\n", out)
    assert Path("b.img").read_bytes() == data.ljust(8 * MIB, b"\0")
    status = os.stat("b.img")
    assert (status.st_mode & 0o777, status.st_blocks * 512 < 2 * MIB) == (0o600, True)
    digest = hashlib.sha256(Path("b.img").read_bytes()).hexdigest()
    assert Path("b.img.sha256").read_text() == f"{digest}  b.img\n"
    assert sorted(os.listdir()) == ["a.img", "a.img.sha256", "b.img", "b.img.sha256"]


def test_the_records_there_have_no_path_of_this_machine(run: Call, rdctl: Program) -> None:
    """A shutdown there would take it for a file of its own."""
    made()
    done(run("load --remote-file", str(Path("a.img").resolve()), "rd7"))
    assert record(rdctl)["rd7"]["files"][0][0] == str(Path("a.img").resolve())
    done(run("load a.img rd7 --yes"))
    done(run("save rd7 b.img"))
    found = record(rdctl)["rd7"]
    assert (found["image"], found["files"], found["whole"]) == (None, [], True)


def test_the_steps_of_a_save_are_those_of_two_machines(run: Call) -> None:
    ran = run("save rd7 b.img --trace")
    assert ran.err.splitlines()[-3:] == [
        "ssh node7 dd if=/dev/rd7 bs=1M | dd of=.b.img.image.part bs=1M iflag=fullblock"
        " conv=sparse,fsync",
        "mv .b.img.image.part b.img  # and write b.img.sha256",
        "[sandbox]",
    ]


def test_a_dry_run_writes_nothing(run: Call) -> None:
    made()
    assert done(run("save rd7 b.img --dry-run")) == "would save rd7 to b.img\n"
    assert done(run("load a.img rd7 --dry-run")) == "would load rd7 from a.img\n"
    assert sorted(os.listdir()) == ["a.img", "a.img.sha256"]
    assert run("list", "--json").json["items"][-1]["usage"] == 0


REFUSED = {
    "an existing file": (
        "save rd7 a.img",
        4,
        "a.img: already exists\n"
        "hint: To replace it: rdctl -c far rapiddisk save rd7 a.img --overwrite",
    ),
    "a missing directory": ("save rd7 none/a.img", 3, "directory none not found"),
    "a directory": ("save rd7 .", 4, ".: is a directory"),
    "a stream": ("save rd7 -", 2, "standard input and output cannot hold an image"),
    "no file": ("load b.img rd7", 3, "b.img: No such file or directory"),
    "a damaged image": ("load bad.img rd7", 4, "bad.img: its SHA-256 is "),
    "a large image": ("load large.img rd7", 4, "large.img (9.0 MiB) is larger than rd7 (8.0 MiB)"),
    "a volume in use": ("save rd0 b.img", 4, "rd0 is in use: exported over NVMe-oF"),
    "no state": ("apply none.toml", 3, "state file none.toml not found"),
    "a state with a fault": ("diff bad.toml", 2, 'bad.toml, line 3: unknown key "x"'),
    "an empty directory": ("apply empty", 3, "no *.toml or *.json in empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_is_named_as_it_was_typed(run: Call, case: str) -> None:
    words, code, message = REFUSED[case]
    made()
    made("bad.img")
    Path("bad.img").write_bytes(bytes(512))
    made("large.img", 9 * MIB)
    os.mkdir("empty")
    Path("bad.toml").write_text('schema = "rdctl.rapiddisk.state/1"\n\nx = 3\n')
    before = sorted(os.listdir())
    ran = run(words)
    assert f"rdctl: error: {message}" in ran.err
    assert (ran.code, ran.out) == (code, "")
    assert sorted(os.listdir()) == before


STATE = 'schema = "rdctl.rapiddisk.state/1"\n\n[volumes.rd8]\nsize = "16MiB"\n'


def test_a_state_is_read_here_and_applied_there(run: Call) -> None:
    Path("a b.toml").write_text(STATE)
    found = done(run("diff", "a b.toml", "-o", "csv", "--columns", "name,state"))
    assert "rd8,missing" in found.splitlines()
    assert "created rd8" in done(run("apply", "a b.toml"))
    assert done(run("apply", "a b.toml")) == "a b.toml: no changes\n"
    assert done(run("apply", "-", stdin=STATE.encode())) == "-: no changes\n"


def test_a_directory_is_read_here(run: Call) -> None:
    os.mkdir("d")
    Path("d/1.toml").write_text(STATE)
    Path("d/2.toml").write_text(STATE.replace("rd8", "rd9"))
    out = done(run("apply d"))
    assert "created rd8" in out
    assert "created rd9" in out
    Path("d/2.toml").write_text(f"{STATE}x = 1\n")
    assert run("apply d").err.startswith("rdctl: error: d/2.toml, line 5: volume rd8: ")


def test_a_state_becomes_that_of_the_machine_there(run: Call, sandbox: Call) -> None:
    Path("s.toml").write_text(f"# of the operator\n{STATE}")
    done(run("apply s.toml --save --yes"))
    assert sandbox("rapiddisk", "diff", "--exit-code").code in (0, 12)
    assert done(run("apply")) == "/etc/rdctl/rapiddisk.toml: no changes\n"


def test_the_file_of_the_other_side(run: Call, tmp_path: Path) -> None:
    """Here, both sides have one file system."""
    made()
    done(run("load --remote-file", str(Path("a.img").resolve()), "rd7"))
    done(run("save rd7 --remote-file", str(tmp_path / "there.img")))
    assert (tmp_path / "there.img").stat().st_size == 8 * MIB


@pytest.mark.parametrize("words", ["diff s.toml", "apply s.toml", "save rd0 a", "load a rd0"])
def test_the_other_side_needs_ssh(sandbox: Call, words: str) -> None:
    ran = sandbox("rapiddisk", *words.split(), "--remote-file")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("rdctl: error: --remote-file requires a context over SSH\n")


# --- packs ----------------------------------------------------------------------------------------


def sent(data: bytes, piece: int) -> tuple[bytes, int]:
    """What arrives of contents, and how many bytes went over the pipe."""
    start, found, count = 0, bytearray(), 0
    for pack, end in packs(data[at : at + piece] for at in range(0, len(data), piece)):
        assert len(pack.data) <= FULL + piece
        for at, part, zero in unpacked(pack.runs, bytes(pack.data), start, end):
            assert at == len(found)
            assert not zero or not any(part)
            found += part
        start, count = end, count + len(pack.data)
    return bytes(found), count


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 1, 3 * MIB + 512])
def test_packs_have_what_is_not_zero(size: int) -> None:
    assert sent(bytes(size), MIB) == (bytes(size), 0)
    full = b"x" * size
    assert sent(full, MIB) == (full, size)
    if size > PAGE:
        mixed = bytes(PAGE) + b"x" * (size - PAGE)
        assert sent(mixed, MIB) == (mixed, size - PAGE)


@pytest.mark.parametrize(
    ("runs", "data"),
    [
        ([[0, 5]], b"abc"),
        ([[0, 2]], b"abc"),
        ([[8, 3]], b"abc"),
        ([[2, 1], [0, 2]], b"abc"),
        ([[-1, 3]], b"abc"),
        ([["0", 3]], b"abc"),
        ([[0, 0], [0, 3]], b"abc"),
    ],
)
def test_a_pack_that_cannot_be_is_refused(runs: list[list[int]], data: bytes) -> None:
    with pytest.raises(ValueError, match="run"):
        list(unpacked(runs, data, 0, 10))
