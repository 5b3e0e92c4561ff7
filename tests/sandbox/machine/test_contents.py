"""Contents of volumes of the sandbox: files of the operator, and those of the machine."""

from __future__ import annotations

import os
import re
import signal
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.sandbox.machine.stored import StoredMachine
from rdctl.sandbox.store import Store
from tests.conftest import Program, Ran

Sandbox = Callable[..., Ran]


def run(sandbox: Sandbox, words: str) -> Ran:
    ran = sandbox("rapiddisk", *words.split(), "--yes")
    assert ran.code == 0, ran.err
    return ran


def test_a_file_typed_by_hand_is_one_of_the_operator(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rdctl.home)
    run(sandbox, "nvmet unexport rd0")
    run(sandbox, "save rd0 rd0.img")
    data = Path("rd0.img").read_bytes()
    assert data.startswith(b"scratch\n")
    assert len(data) == 32 << 20
    run(sandbox, "create 32M")
    run(sandbox, "load rd0.img rd1")
    run(sandbox, "save rd1 rd1.img")  # by another process, as it were
    assert Path("rd1.img").read_bytes() == data
    rows = sandbox("rapiddisk", "list", "rd0", "rd1", "--json").json["items"]
    assert [row["usage"] for row in rows] == [16384, 16384]
    assert sandbox("sandbox", "reboot", "--yes").code == 0
    assert sandbox("rapiddisk", "list", "--json").json["items"] == []
    run(sandbox, "create 32M")
    run(sandbox, "load rd0.img rd0")
    run(sandbox, "save rd0 again.img")
    assert Path("again.img").read_bytes() == data


def test_random_contents_last(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rdctl.home)
    data = os.urandom(3 << 20) + bytes(4 << 20) + os.urandom(1 << 20)
    Path("x.img").write_bytes(data)
    run(sandbox, "create 8M")
    run(sandbox, "load x.img rd1")
    run(sandbox, "save rd1 y.img")
    assert Path("y.img").read_bytes() == data
    run(sandbox, "flush rd1")
    run(sandbox, "save rd1 y.img --overwrite")
    assert Path("y.img").read_bytes() == bytes(8 << 20)


def test_files_of_the_machine_last(rdctl: Program, sandbox: Sandbox) -> None:
    assert sandbox("rapiddisk", "list").code == 0
    machine = StoredMachine(Store(rdctl.sandbox))
    path = machine.path("srv/images/rd0.img")
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(32 << 20)
        file.seek(5 << 20)
        file.write(b"data")
    path.chmod(0o600)
    machine.kept(str(path))
    other = StoredMachine(Store(rdctl.sandbox))
    there = other.path("srv/images/rd0.img")
    assert there.read_bytes() == path.read_bytes()
    assert there.stat().st_mode & 0o777 == 0o600
    other.kept(str(rdctl.home))  # no file of the machine
    other.reboot()
    assert StoredMachine(Store(rdctl.sandbox)).path("srv/images/rd0.img").exists()


def test_an_interrupted_end_of_a_load_leaves_the_volume_empty(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while the contents are saved, when the device is closed."""
    image = rdctl.home / "x.img"
    image.write_bytes(os.urandom(4 << 20))
    run(sandbox, "create 8M")
    real = zlib.compressobj

    def interrupted(level: int) -> object:
        monkeypatch.setattr(zlib, "compressobj", real)
        signal.raise_signal(signal.SIGINT)
        return real(level=level)

    monkeypatch.setattr(zlib, "compressobj", interrupted)
    ran = sandbox("rapiddisk", "load", str(image), "rd1")
    assert (ran.code, "interrupted; nothing was changed" in ran.err) == (130, True), ran.err
    assert sandbox("rapiddisk", "list", "rd1", "--json").json["items"][0]["usage"] == 0
    run(sandbox, f"load {image} rd1")


def test_a_process_that_is_killed_while_it_loads(rdctl: Program, sandbox: Sandbox) -> None:
    """What it wrote is not saved; the volume is known to be incomplete."""
    image = rdctl.home / "x.img"
    image.write_bytes(os.urandom(4 << 20))
    run(sandbox, "create 8M")
    child = os.fork()
    if child == 0:
        real, left = os.pread, 3

        def pread(descriptor: int, size: int, offset: int) -> bytes:
            """The image is read, then the volume, then the image once more."""
            nonlocal left
            left -= offset == 2 << 20
            if not left:
                os._exit(99)
            return real(descriptor, size, offset)

        os.pread = pread
        sandbox("rapiddisk", "load", str(image), "rd1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 99
    ran = sandbox("rapiddisk", "save", "rd1", str(rdctl.home / "y.img"))
    assert (ran.code, "rd1 is incomplete" in ran.err) == (4, True)
    run(sandbox, f"load {image} rd1")


# --- images and reboots ---------------------------------------------------------------------------

IMAGE = "/srv/rd1.img"
LOST = "in the sandbox, the contents of rd1 ({}) will be lost: they are not saved to its image"


@pytest.fixture
def kept(rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> StoredMachine:
    """rd1 with contents and an image in the state file; its units are active."""
    monkeypatch.setenv("RDCTL_CONFIG", str(rdctl.config))
    monkeypatch.chdir(rdctl.home)
    Path("x.img").write_bytes(os.urandom(1 << 20))
    run(sandbox, "nvmet unexport rd0")
    run(sandbox, "remove rd0")
    run(sandbox, "create 8M --number 1")
    run(sandbox, "load x.img rd1")
    machine = StoredMachine(Store(rdctl.sandbox))
    text = f'schema = "rdctl.rapiddisk.state/1"\n[volumes.rd1]\nsize = "8MiB"\nimage = "{IMAGE}"\n'
    machine.replace(str(machine.path("etc/rdctl/rapiddisk.toml")), text, 0o644)
    run(sandbox, "boot enable --now")
    return machine


def losses(sandbox: Sandbox) -> list[str]:
    """What a reboot asks for; none if it asks nothing."""
    ran = sandbox("sandbox", "reboot", "--dry-run", "--json")
    found: list[str] = ran.json["losses"]
    return found


def test_what_is_saved_is_not_lost(kept: StoredMachine, sandbox: Sandbox) -> None:
    assert losses(sandbox) == []
    assert sandbox("sandbox", "reboot").code == 0
    run(sandbox, "save rd1 y.img")
    assert Path("y.img").read_bytes()[: 1 << 20] == Path("x.img").read_bytes()
    assert losses(sandbox) == []
    assert sandbox("sandbox", "reboot").code == 0


def test_other_contents_than_those_of_the_image_are_lost(
    kept: StoredMachine, sandbox: Sandbox
) -> None:
    assert sandbox("sandbox", "reboot").code == 0
    Path("z.img").write_bytes(os.urandom(2 << 20))
    run(sandbox, "load z.img rd1")
    assert losses(sandbox) == [LOST.format("2.0 MiB")]
    ran = sandbox("sandbox", "reboot", "--json")
    assert (ran.code, ran.json["error"]["losses"]) == (2, [LOST.format("2.0 MiB")])


def test_without_its_unit_all_is_lost(kept: StoredMachine, sandbox: Sandbox) -> None:
    assert kept.run(["systemctl", "stop", "rdctl-images.service"])[0] == 0
    assert losses(sandbox) == [LOST.format("1.0 MiB")]


def test_what_is_in_use_is_lost(kept: StoredMachine, sandbox: Sandbox) -> None:
    run(sandbox, "nvmet export rd1 --port 1 --any-host")
    assert losses(sandbox) == [LOST.format("1.0 MiB")]


# --- images of the machine, named by hand ---------------------------------------------------------


def test_an_image_of_the_machine_is_meant_by_its_path(
    kept: StoredMachine, sandbox: Sandbox
) -> None:
    """It is named in the state file, and does not exist yet, nor does its directory."""
    ran = run(sandbox, f"save rd1 {IMAGE}")
    assert f"saved rd1 to {IMAGE}" in ran.out + ran.err
    machine = StoredMachine(kept._kept)
    saved_data = machine.path(IMAGE).read_bytes()
    assert saved_data[: 1 << 20] == Path("x.img").read_bytes()
    assert machine.path(f"{IMAGE}.sha256").exists()
    ran = sandbox("rapiddisk", "save", "rd1", IMAGE)
    assert (ran.code, f"{IMAGE}: already exists" in ran.err) == (4, True), ran.err
    run(sandbox, "flush rd1")
    run(sandbox, f"load {IMAGE} rd1")
    run(sandbox, "save rd1 y.img")
    assert Path("y.img").read_bytes() == saved_data


def test_what_a_message_says_about_an_image_can_be_done(
    kept: StoredMachine, sandbox: Sandbox
) -> None:
    assert sandbox("sandbox", "reboot").code == 0
    Path("z.img").write_bytes(os.urandom(2 << 20))
    ran = run(sandbox, "load z.img rd1")
    found = re.search(r"rdctl (-c sandbox )?rapiddisk (save rd1 \S+ --overwrite)", ran.err)
    assert found, ran.err
    run(sandbox, found[2])
    assert losses(sandbox) == []
    assert not os.path.lexists(IMAGE)


def test_other_paths_are_files_of_the_operator(
    kept: StoredMachine, rdctl: Program, sandbox: Sandbox
) -> None:
    run(sandbox, f"save rd1 {rdctl.home}/own.img")
    assert (rdctl.home / "own.img").exists()
    ran = sandbox("rapiddisk", "save", "rd1", "/srv/missing/other.img")
    assert "directory /srv/missing not found" in ran.err
