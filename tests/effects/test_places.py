"""Where files are written: what others put there is not followed, and what is made belongs to whom
it should."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.effects.files import Destination, Part, make_file
from rdctl.effects.places import write_file
from tests.cli.processes import Rdctl
from tests.conftest import Program

OTHER = 1001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else as well")


def write(path: Path, text: str = "new\n") -> None:
    write_file(str(path), text, what="write it").perform()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory like /tmp, that everybody can write to."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


def plant(link: Path, target: Path) -> None:
    """A link of another user."""
    link.symlink_to(target)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)


@as_root
@pytest.mark.parametrize("below", ["", "directory"], ids=["the file", "a directory"])
def test_a_planted_link_is_not_followed(rdctl: Program, shared: Path, below: str) -> None:
    victim = shared.parent / "victim"
    (victim if below else shared.parent).mkdir(exist_ok=True)
    precious = victim / "failed" if below else victim
    precious.write_text("precious")
    plant(shared / (below or "failed"), victim)
    file = shared / below / "failed"
    ran = rdctl("-c", "sandbox", "rapiddisk", "lock", "rd7", "--failed", str(file))
    assert ran.code == 2
    assert "symbolic link of another user, which is not followed" in ran.err
    assert precious.read_text() == "precious"
    with pytest.raises(OSError, match="another user"):
        write(file)
    got = rdctl("-c", "sandbox", "oio", "content", "get", "photos", "index.txt", "--to", str(file))
    assert got.code != 0
    assert precious.read_text() == "precious"


@as_root
@pytest.mark.parametrize("words", ["rapiddisk list", "rapiddisk create 1M"])
def test_a_sandbox_behind_a_planted_link_is_not_made(
    rdctl: Program, shared: Path, words: str
) -> None:
    (shared.parent / "victim").mkdir()
    plant(shared / "sandbox.db", shared.parent / "victim" / "db")
    ran = rdctl("-c", "sandbox", *words.split(), env={"RDCTL_SANDBOX": str(shared / "sandbox.db")})
    assert ran.code == 5
    assert "symbolic link of another user, which is not followed" in ran.err
    assert list((shared.parent / "victim").iterdir()) == []


def test_a_link_of_ones_own_is_followed_and_stays(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config.toml"
    real.parent.mkdir()
    link = tmp_path / "config.toml"
    link.symlink_to("dotfiles/config.toml")
    write(link)
    write(link, "newer\n")
    assert link.is_symlink()
    assert real.read_text() == "newer\n"
    assert sorted(path.name for path in real.parent.iterdir()) == ["config.toml"]


def test_links_without_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        write(tmp_path / "a")


@pytest.mark.parametrize("fail", ["fsync", "rename"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fail, full)
    with pytest.raises(OSError, match="No space"):
        write(path)
    monkeypatch.undo()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


@as_root
def test_a_file_that_is_mounted_by_itself_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("old and longer")
    (tmp_path / "config.toml").write_text("")
    rdctl = Rdctl(tmp_path)
    script = (
        f"mount --bind {tmp_path}/outside {tmp_path}/config.toml &&"
        ' "$@" context set lab rapiddisk=local'
    )
    (tmp_path / "outside").write_text(
        '# a comment that is longer\n[contexts.old]\noio="http://x"\n'
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *rdctl.argv],
        env=rdctl.env,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'rapiddisk = "local"' in (tmp_path / "outside").read_text()
    assert (tmp_path / "config.toml").read_text() == ""


@as_root
def test_what_root_makes_in_another_home_belongs_to_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    rdctl = Rdctl(home)
    env = {"RDCTL_CONFIG": "", "RDCTL_SANDBOX": ""}
    for words in (
        "context set lab rapiddisk=local",
        "context set lab account=me",
        "-c sandbox rapiddisk list",
        "-c sandbox rapiddisk create 1M",
        "completion bash --install",
        f"-c sandbox rapiddisk lock rd77 --failed {home}/new/failed",
    ):
        rdctl(*words.split(), env=env)
    made = [path for path in home.rglob("*") if "cache" not in path.parts]
    assert {"config.toml", "sandbox.db", "rdctl", "failed"} <= {path.name for path in made}
    assert {path.lstat().st_uid for path in made} == {OTHER}


def test_a_directory_in_the_place_of_a_part_is_named(rdctl: Program, tmp_path: Path) -> None:
    get = ("-c", "sandbox", "oio", "content", "get", "photos", "index.txt", "--to", f"{tmp_path}/a")
    rdctl(*get)
    (tmp_path / "a").unlink()
    names: list[str] = []
    real = os.link

    def noted(part: str, *rest: Any, **more: Any) -> None:
        names.append(part)
        real(part, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", noted)
        rdctl(*get)
    (tmp_path / "a").unlink()
    (tmp_path / names[0]).mkdir()
    ran = rdctl(*get)
    assert ran.code != 0
    assert f"{tmp_path / names[0]}: Is a directory" in ran.err


@as_root
def test_downloads_of_root_in_another_home_belong_to_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    (home / "of root").mkdir()
    rdctl = Rdctl(home)
    get = ("-c", "sandbox", "oio", "content", "get", "photos")
    for to in ("dl/new/", "of root/", "../outside", "dl/../of root/../again"):
        rdctl(*get, "index.txt", "--to", f"{home}/{to}")
    rdctl(*get, "--recursive", "--to", f"{home}/all")
    given = {path: path.lstat().st_uid for path in home.rglob("*") if "cache" not in path.parts}
    assert given.pop(home / "of root") == 0
    assert given.pop(home / "of root" / "index.txt") == 0
    assert given[home / "dl" / "new" / "index.txt"] == given[home / "again"] == OTHER
    assert len(given) > 8
    assert set(given.values()) == {OTHER}
    assert (tmp_path / "outside").lstat().st_uid == 0


@as_root
def test_a_download_of_root_in_another_home_goes_on(tmp_path: Path) -> None:
    os.chown(tmp_path, OTHER, OTHER)
    target = Destination(str(tmp_path), (), "name", ".name.part")

    def fill(part: Part) -> int:
        had = part.size
        part.write(b"whole", 0)
        if not had:
            raise InterruptedError
        return had

    for attempt in range(2):
        filling = make_file(
            target, fill, what="get it", replace=False, resume=True, home=str(tmp_path)
        )
        if attempt:
            assert filling.perform() == len(b"whole")
        else:
            with pytest.raises(InterruptedError):
                filling.perform()
    assert (tmp_path / "name").lstat().st_uid == OTHER


@as_root
def test_a_directory_that_was_moved_there_is_not_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    of_root = home / "of root"
    of_root.mkdir()
    (of_root / "secret").touch()
    real = os.mkdir

    def exchanged(*given: Any, **more: Any) -> None:
        real(*given, **more)
        (home / "new").rmdir()
        of_root.rename(home / "new")

    monkeypatch.setattr(os, "mkdir", exchanged)
    write_file(str(home / "new" / "file"), "text", what="write it", home=str(home)).perform()
    assert (home / "new").lstat().st_uid == 0


# --- what is replaced -----------------------------------------------------------------------------


def access(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644], ids=oct)
def test_a_file_keeps_its_owner_and_mode(tmp_path: Path, mode: int) -> None:
    """One that a whole group, or everybody, reads is still read by them."""
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(mode)
    os.chown(path, OTHER, OTHER + 1)
    write(path)
    assert (access(path), path.read_text()) == ((OTHER, OTHER + 1, mode), "new\n")


@as_root
def test_nothing_is_kept_of_a_file_that_others_may_have_put_there(shared: Path) -> None:
    path = shared / "failed"
    path.write_text("theirs")
    path.chmod(0o660)
    os.chown(path, OTHER, OTHER)
    write(path)
    assert access(path) == (0, os.getegid(), 0o600)


@as_root
def test_an_access_list_is_kept(tmp_path: Path) -> None:
    """Without it the group could do what is meant for one user of the list."""
    path = tmp_path / "config.toml"
    path.write_text("old")
    nobody = 0xFFFFFFFF
    rows = [(1, 6, nobody), (2, 4, OTHER), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody)]
    rules = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    try:
        os.setxattr(path, "system.posix_acl_access", rules)
    except OSError as error:
        pytest.skip(f"no access lists in {tmp_path}: {error.strerror}")
    write(path)
    assert os.getxattr(path, "system.posix_acl_access") == rules


def test_parts_of_killed_runs_are_removed(tmp_path: Path) -> None:
    old, young = f".file.{'a' * 16}.part", f".file.{'b' * 16}.part"
    others = (f".files.{'a' * 16}.part", ".file.old.part", ".file.part")
    for name in (old, young, *others):
        (tmp_path / name).touch()
        if name != young:
            os.utime(tmp_path / name, (0, 0))
    write(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"file", young, *others}


def test_a_file_system_without_locks(
    rdctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert rdctl("context", "set", "a", "account=me").code == 0
    assert "account" in rdctl.config.read_text()


# --- parts of downloads ---------------------------------------------------------------------------


def download(directory: Path) -> None:
    target = Destination(str(directory), (), "name", ".name.part")

    def fill(part: Part) -> None:
        part.write(b"whole", 0)

    make_file(target, fill, what="get it", replace=True, resume=False).perform()


@as_root
@pytest.mark.parametrize("kind", ["file", "link", "pipe", "hard link"])
def test_what_another_put_in_the_place_of_a_part(shared: Path, kind: str) -> None:
    victim = shared.parent / "victim"
    victim.write_text("precious")
    part = shared / ".name.part"
    put: dict[str, Callable[[], object]] = {
        "file": lambda: part.write_text("theirs"),
        "link": lambda: part.symlink_to(victim),
        "pipe": lambda: os.mkfifo(part),
        "hard link": lambda: part.hardlink_to(victim),
    }
    put[kind]()
    if kind != "hard link":
        os.chown(part, OTHER, OTHER, follow_symlinks=False)
    download(shared)
    status = (shared / "name").lstat()
    assert (status.st_uid, stat.S_ISREG(status.st_mode)) == (0, True)
    assert (shared / "name").read_text() == "whole"
    assert victim.read_text() == "precious"
    assert not os.path.lexists(part)


# --- other ways out -------------------------------------------------------------------------------


@as_root
def test_a_pipe_behind_a_planted_link_gets_nothing(rdctl: Program, shared: Path) -> None:
    pipe = shared.parent / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    plant(shared / "out", pipe)
    words = ("oio", "content", "get", "photos", "index.txt", "--to", str(shared / "out"))
    ran = rdctl("-c", "sandbox", *words)
    assert ran.code != 0
    assert "symbolic links are not followed" in ran.err
    assert os.read(reader, 1) == b""
    os.close(reader)


@as_root
def test_no_directory_is_made_behind_a_planted_link(rdctl: Program, shared: Path) -> None:
    victim = shared.parent / "victim"
    victim.mkdir()
    plant(shared / "out", victim)
    words = ("oio", "content", "get", "photos", "index.txt", "--to", f"{shared}/out/new/")
    assert rdctl("-c", "sandbox", *words).code != 0
    assert list(victim.iterdir()) == []


def test_a_pipe_of_ones_own_is_written_to(rdctl: Program, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    words = ("oio", "content", "get", "photos", "index.txt", "--to", str(tmp_path / "link"))
    assert rdctl("-c", "sandbox", *words).code == 0
    assert os.read(reader, 100)
    os.close(reader)


@as_root
def test_a_file_of_another_user_is_not_written_in_place(shared: Path) -> None:
    """In a directory like /tmp it cannot be replaced by others than root, and stays theirs."""
    path = shared / "failed"
    path.write_text("theirs")
    os.chown(path, OTHER, OTHER)
    write(path)
    assert (path.lstat().st_uid, path.read_text()) == (0, "new\n")


@as_root
def test_a_mounted_file_on_a_full_disk_stays_as_it_was(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "config.toml").write_text("")
    rdctl = Rdctl(tmp_path)
    before = "[contexts.old]\n" + "# a comment\n" * 300
    script = (
        f"mount -t tmpfs -o size=8k none {disk} && cp {tmp_path}/before {disk}/file &&"
        f" head -c 20000 /dev/zero > {disk}/fill;"
        f" mount --bind {disk}/file {tmp_path}/config.toml &&"
        f' {{ "$@" context set lab account={"a" * 3000}; echo $?; cat {disk}/file; }}'
    )
    (tmp_path / "before").write_text(before)
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *rdctl.argv],
        env=rdctl.env,
        capture_output=True,
        text=True,
        check=False,
    )
    code, _, text = done.stdout.partition("\n")
    assert (code != "0", text) == (True, before), done.stderr
    assert f"{tmp_path}/config.toml cannot be written: No space left on device" in done.stderr


def test_every_way_to_a_file_has_the_same_lock(rdctl: Program, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("")
    (tmp_path / "link.toml").symlink_to(real)
    words = ("context", "set", "a", "account=me")
    assert rdctl(*words, env={"RDCTL_CONFIG": str(tmp_path / "link.toml")}).code == 0
    locks = [path.name for path in tmp_path.glob("*.lock")]
    assert locks == ["real.toml.lock"]


def test_beside_a_device_no_lock_is_left(rdctl: Program, tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to("/dev/null")
    ran = rdctl("context", "set", "a", "account=me")
    assert ran.code != 0
    assert not Path("/dev/null.lock").exists()
