"""The one door: what is performed, listed, traced, agreed to, and taken back."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.places import write_file
from tests.signals import signal_here


class Door:
    """Effects, with what they were asked, what they said and what was really performed."""

    def __init__(self, *, dry_run: bool = False, answer: RdctlError | None = None) -> None:
        self.asked: list[Sequence[str]] = []
        self.trace: list[str] = []
        self.performed: list[str] = []
        self.answer = answer
        self.effects = Effects(ask=self._ask, trace=self.trace.append, dry_run=dry_run)

    def _ask(self, losses: Sequence[str]) -> None:
        self.asked.append(losses)
        if self.answer is not None:
            raise self.answer

    def effect(
        self, name: str, *, destroys: str | None = None, fails: BaseException | None = None
    ) -> Effect[str]:
        def perform() -> str:
            if fails is not None:
                raise fails
            self.performed.append(name)
            return f"result of {name}"

        return Effect(f"do {name}", f"line {name}", perform, destroys)


def test_a_change_is_traced_performed_and_accounted_for() -> None:
    door = Door()
    assert door.effects.do(door.effect("a"), "assumed") == "result of a"
    assert (door.performed, door.trace) == (["a"], ["line a"])
    assert (door.effects.plan, door.effects.done) == ([], ["do a"])
    assert door.effects.under_way == []


def test_a_dry_run_looks_but_changes_nothing() -> None:
    door = Door(dry_run=True)
    assert door.effects.look(door.effect("read")) == "result of read"
    door.effects.consent(["all of it"])
    assert door.effects.do(door.effect("a", destroys="all of it"), "assumed") == "assumed"
    assert (door.performed, door.trace) == (["read"], ["line read", "line a"])
    assert (door.effects.plan, door.effects.done) == (["line a"], [])
    assert (door.effects.would, door.effects.losses) == (["do a"], ["all of it"])
    assert door.asked == []


def test_what_destroys_is_not_done_unasked() -> None:
    door = Door()
    with pytest.raises(RdctlError) as caught:
        door.effects.do(door.effect("a", destroys="rd0"), "")
    assert caught.value.code is Code.INTERNAL
    assert (door.performed, door.trace, door.effects.plan) == ([], [], [])


def test_one_question_for_all_losses_of_an_operation() -> None:
    door = Door()
    door.effects.consent(["rd0", "rd1"])
    for name in ("rd0", "rd1"):
        door.effects.do(door.effect(name, destroys=name), "")
    assert door.asked == [["rd0", "rd1"]]
    assert door.performed == ["rd0", "rd1"]


def test_no_loss_no_question() -> None:
    door = Door()
    door.effects.consent([])
    assert door.asked == []


def test_a_no_is_a_no() -> None:
    door = Door(answer=RdctlError(Code.DECLINED, "aborted"))
    with pytest.raises(RdctlError, match="aborted"):
        door.effects.consent(["rd0"])
    with pytest.raises(RdctlError, match="without confirmation"):
        door.effects.do(door.effect("a", destroys="rd0"), "")
    assert door.performed == []


@pytest.mark.parametrize(
    ("error", "under_way"),
    [
        (RdctlError(Code.FAILED, "no"), []),
        (OSError(5, "no"), []),
        (KeyboardInterrupt(), ["do a"]),
    ],
)
def test_a_failure_is_over_but_an_interruption_leaves_something_under_way(
    error: BaseException, under_way: list[str]
) -> None:
    door = Door()
    with pytest.raises(type(error)):
        door.effects.do(door.effect("a", fails=error), "")
    assert (door.effects.under_way, door.effects.done) == (under_way, [])


# --- transactions --------------------------------------------------------------------------------


def change(door: Door, name: str, *, fails: BaseException | None = None) -> None:
    effect = door.effect(name, fails=fails)
    door.effects.do(effect, "", undo=[door.effect(f"undo {name}")])


def transaction(door: Door, *steps: Callable[[], object]) -> None:
    with door.effects.transaction("the whole"):
        for step in steps:
            step()


def throws(error: BaseException) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


@pytest.mark.parametrize("error", [RdctlError(Code.FAILED, "no"), KeyboardInterrupt()])
def test_a_transaction_that_fails_is_undone_in_reverse(error: BaseException) -> None:
    door = Door()
    with pytest.raises(type(error)):
        transaction(door, lambda: change(door, "a"), lambda: change(door, "b"), throws(error))
    assert door.performed == ["a", "b", "undo b", "undo a"]
    assert (door.effects.done, door.effects.undone, door.effects.left) == ([], ["the whole"], [])


def test_a_step_that_was_refused_is_not_undone() -> None:
    door = Door()
    refused = OSError(17, "it is there already")
    with pytest.raises(OSError):
        transaction(door, lambda: change(door, "a"), lambda: change(door, "b", fails=refused))
    assert door.performed == ["a", "undo a"]


def test_a_transaction_that_succeeds_counts_as_one() -> None:
    door = Door()
    change(door, "before")
    with door.effects.transaction("outer"), door.effects.transaction("inner"):
        change(door, "a")
        change(door, "b")
    assert door.performed == ["before", "a", "b"]
    assert door.effects.done == ["do before", "outer"]


def test_what_cannot_be_undone_is_named() -> None:
    door = Door()
    undone = [
        door.effect("undo a", fails=FileNotFoundError(2, "gone")),
        door.effect("undo b", fails=OSError(16, "Device or resource busy")),
    ]
    with pytest.raises(RdctlError):
        transaction(
            door,
            lambda: door.effects.do(door.effect("a"), "assumed", undo=undone),
            throws(RdctlError(Code.FAILED, "no")),
        )
    assert door.effects.left == ["line undo b (Device or resource busy)"]


def test_signals_wait_for_a_brief_effect() -> None:
    seen: list[str] = []

    def perform() -> None:
        signal_here()
        seen.append("performed")

    door = Door()
    with pytest.raises(KeyboardInterrupt):
        door.effects.do(Effect("a", "a", perform, brief=True), None)
    assert seen == ["performed"]
    assert door.effects.done == ["a"]


# --- files ----------------------------------------------------------------------------------------


def written(path: Path, text: str) -> None:
    Effects(ask=lambda losses: None).do(write_file(str(path), text, what="write it"), None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_and_so_is_its_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "rdctl" / "config.toml"
    before = os.umask(0)
    try:
        written(path, "ü = 1\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"\xc3\xbc = 1\n"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert os.listdir(path.parent) == ["config.toml"]


def test_what_others_may_do_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o644)
    # Left by a process that died, with a number that came again.
    part = tmp_path / f"config.toml.{os.getpid()}.part"
    part.write_text("half of something longer")
    part.chmod(0o644)
    written(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o644)


def test_a_symlink_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config.toml"
    real.parent.mkdir()
    real.write_text("old")
    link = tmp_path / "config.toml"
    link.symlink_to("dotfiles/config.toml")
    written(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_write_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        written(path, "new")
    assert os.listdir(tmp_path) == ["config.toml"]
    assert path.is_dir()


@pytest.mark.parametrize("kind", ["device", "pipe", "socket", "link to a pipe"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str, dry_run: bool) -> None:
    path = tmp_path / "config.toml"
    if kind == "device":
        try:
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    before = sorted(os.listdir(tmp_path)), os.lstat(path), os.stat(path)
    effects = Effects(ask=lambda losses: None, dry_run=dry_run)
    with pytest.raises(OSError, match="not a regular file"):
        effects.do(write_file(str(path), "new", what="write it"), None)
    assert (sorted(os.listdir(tmp_path)), os.lstat(path), os.stat(path)) == before


def test_a_name_of_any_bytes_is_written_as_it_is(tmp_path: Path) -> None:
    written(tmp_path / "names", "a\udcff\n")
    assert (tmp_path / "names").read_bytes() == b"a\xff\n"
