"""The cache of names: for how long, where, and whose."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.completion.cache import FRESH
from rdctl.completion.request import Candidate
from tests.completion.conftest import SANDBOX, Completion, Served
from tests.fakes.faults import FaultServer, json


def files(complete: Completion) -> list[Path]:
    return list(complete.cache.iterdir())


def test_an_answer_is_good_for_some_seconds(complete: Completion, served: Served) -> None:
    assert complete("volume", where=served.where) == ["rd0"]
    sent = len(served.sent)
    assert complete("volume", text="rd", where=served.where) == ["rd0"]
    assert len(served.sent) == sent
    assert complete("volume", "rd1", where=served.where) == ["rd0"]
    assert len(served.sent) == sent
    # Others ask for themselves.
    complete("cache", where=served.where)
    complete("volume", where=SANDBOX)
    assert len(served.sent) == sent + 1
    now = complete.rdctl.now
    complete.rdctl.now = lambda: now() + FRESH
    assert complete("volume", where=served.where) == ["rd0"]
    assert len(served.sent) == sent + 2
    # What was too old by then has gone.
    assert len(files(complete)) == 1


def test_a_failure_is_kept_as_well(complete: Completion) -> None:
    with FaultServer([json({"status": 500, "message": "x"})]) as server:
        where = ("--oio-url", server.url, "--namespace", "N", "--account", "a")
        assert complete("container", where=where) == []
        assert len(server.requests) > 0
        asked = len(server.requests)
        assert complete("container", where=where) == []
        assert len(server.requests) == asked
    assert [path.read_bytes() for path in files(complete)] == [b""]


def test_the_cache_is_ours_alone(complete: Completion) -> None:
    old = os.umask(0)
    try:
        complete("container")
    finally:
        os.umask(old)
    (path,) = files(complete)
    assert stat.S_IMODE(complete.cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_cache_goes_where_it_belongs(complete: Completion, tmp_path: Path) -> None:
    complete.environ["XDG_CACHE_HOME"] = str(tmp_path / "else" / "where")
    complete("container")
    assert len(list((tmp_path / "else" / "where" / "rdctl").iterdir())) == 1
    complete.environ["XDG_CACHE_HOME"] = "relative"
    complete("container")
    assert len(files(complete)) == 1
    assert not Path("relative").exists()


def spoil_mode(path: Path) -> None:
    path.chmod(0o620)


def spoil_owner(path: Path) -> None:
    os.chown(path, 12345, -1)


def spoil_directory_mode(path: Path) -> None:
    path.parent.chmod(0o770)


def spoil_directory_owner(path: Path) -> None:
    os.chown(path.parent, 12345, -1)


def spoil_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def spoil_directory_by_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def spoil_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoil_future(path: Path) -> None:
    later = path.stat().st_mtime + 3600
    os.utime(path, (later, later))


def spoil_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_mode,
        spoil_owner,
        spoil_directory_mode,
        spoil_directory_owner,
        spoil_by_link,
        spoil_directory_by_link,
        spoil_kind,
        spoil_future,
        spoil_text,
    ],
)
def test_no_cache_of_others_is_believed(
    complete: Completion, spoil: Callable[[Path], None]
) -> None:
    if "owner" in spoil.__name__ and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    complete("container")
    (path,) = files(complete)
    path.write_text("evil\t\n")
    spoil(path)
    assert complete("container") == ["photos"]


def test_our_own_fresh_cache_is_believed(complete: Completion) -> None:
    """So the test above shows something."""
    complete("container")
    (path,) = files(complete)
    path.write_text("kept\tthere\n")
    assert complete.about("container") == [Candidate("kept", "there")]


def test_root_leaves_nothing_in_the_home_of_another(complete: Completion) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can")
    os.chown(complete.rdctl.home, 12345, -1)
    assert complete("container") == ["photos"]
    assert not (complete.rdctl.home / ".cache").exists()


def test_without_a_cache_it_works_as_well(complete: Completion) -> None:
    (complete.rdctl.home / ".cache").write_text("a file")
    assert complete("container") == ["photos"]
    assert complete("container") == ["photos"]


def test_it_never_grows(complete: Completion) -> None:
    complete("container")
    now = complete.rdctl.now
    for number in range(5):
        (complete.cache / f"names-{number}.part").touch()
    (complete.cache / "other").touch()
    complete.rdctl.now = lambda: now() + FRESH + 1
    complete("policy")
    assert len(files(complete)) == 2
    assert (complete.cache / "other").exists()
