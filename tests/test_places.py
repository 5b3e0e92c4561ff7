"""Where files are written: what others put there is not followed, and what is made belongs to whom
it should."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl import effects
from rdctl.effects import make_file, write_file
from tests.cli.processes import Rdctl
from tests.conftest import Program

OTHER = 1001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else as well")


def write(path: Path, text: str = "new\n") -> None:
    write_file(str(path), text, what="write it").perform()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder like /tmp, that everybody can write to."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def plant(link: Path, target: Path) -> None:
    """A link of another user."""
    link.symlink_to(target)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)


@as_root
@pytest.mark.parametrize("below", ["", "folder"], ids=["the file", "a folder"])
def test_a_planted_link_is_not_followed(rdctl: Program, shared: Path, below: str) -> None:
    victim = shared.parent / "victim"
    (victim if below else shared.parent).mkdir(exist_ok=True)
    precious = victim / "failed" if below else victim
    precious.write_text("precious")
    plant(shared / (below or "failed"), victim)
    file = shared / below / "failed"
    ran = rdctl("-c", "sandbox", "rapiddisk", "lock", "rd7", "--failed", str(file))
    assert ran.code == 2
    assert "a symbolic link of another user, which is not followed" in ran.err
    assert precious.read_text() == "precious"
    with pytest.raises(OSError, match="another user"):
        write(file)
    got = rdctl("-c", "sandbox", "oio", "content", "get", "photos", "index.txt", "--to", str(file))
    assert got.code != 0
    assert precious.read_text() == "precious"


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


# --- parts of downloads ---------------------------------------------------------------------------


def download(folder: Path) -> None:
    target = effects.Target(str(folder), (), "name", ".name.part")

    def fill(part: effects.Part) -> None:
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
