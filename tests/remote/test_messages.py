"""What ssh writes: shown at once to a person who may have to act, or a part of the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Program, Ran
from tests.remote.nursery import Fault, Nursery

Call = Callable[..., Ran]
LIST = ("rapiddisk", "list", "-o", "name")
BANNER = "Authorized users only.\n\n  Disconnect now.\n"
DENIED = "root@node7: Permission denied (publickey).\n"
AGAIN = "Permission denied, please try again.\n"
UNKNOWN = "a new kind of failure\n"


@pytest.fixture
def ssh(nursery: Nursery, tmp_path: Path) -> Callable[[str, str], None]:
    """Let the stand-in write this first, and then do that."""

    def write(text: str, then: str) -> None:
        ssh = tmp_path / "first" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}END\n{then}\n")
        ssh.chmod(0o755)
        nursery.path = f"{ssh.parent}:{nursery.path}"

    return write


@pytest.fixture
def login(nursery: Nursery, tmp_path: Path) -> str:
    return f'exec {tmp_path}/bin/ssh "$@"'


@pytest.mark.parametrize(
    ("text", "tty", "shown"),
    [
        (BANNER, True, BANNER),
        (BANNER, False, ""),
        # Without a failure it is of no interest: the next key was accepted.
        (DENIED + BANNER, True, BANNER),
        # The prompt of ssh comes again.
        (AGAIN, True, ""),
        ("\x1b[2Jcleared\n", True, "\\x1b[2Jcleared\n"),
    ],
)
def test_a_person_sees_what_ssh_writes_before_rdctl_answers(
    far: Call, ssh: Callable[[str, str], None], login: str, text: str, tty: bool, shown: str
) -> None:
    ssh(text, login)
    done = far(*LIST, tty=tty)
    assert (done.code, done.out, done.err) == (0, "rd0\n", shown)


@pytest.mark.parametrize(
    ("text", "tty", "message"),
    [
        (BANNER + DENIED, True, f"ssh://node7: permission denied: {DENIED}"),
        (BANNER + DENIED, False, f"ssh://node7: permission denied: {DENIED}"),
        (BANNER + UNKNOWN, True, "no connection to ssh://node7: ssh failed\n"),
        (BANNER + UNKNOWN, False, f"no connection to ssh://node7: {UNKNOWN}"),
    ],
)
def test_a_failure_is_shown_once(
    far: Call, ssh: Callable[[str, str], None], text: str, tty: bool, message: str
) -> None:
    ssh(text, "exit 255")
    done = far(*LIST, tty=tty)
    shown, _, error = done.err.partition("rdctl: error: ")
    assert (done.code, error[: len(message)]) == (5 if DENIED in text else 6, message)
    assert shown == (text.replace(DENIED, "") if tty else "")


def test_what_came_before_is_not_why_a_connection_is_lost(
    far: Call, ssh: Callable[[str, str], None], login: str
) -> None:
    ssh(BANNER, login)
    done = far(*LIST, fault=Fault(number=2, do="drop"))
    assert (done.code, done.out) == (6, "")
    assert done.err.startswith("rdctl: error: connection to node7 lost\n")


def test_several_contexts_show_nothing(
    rdctl: Program, far: Call, nursery: Nursery, ssh: Callable[[str, str], None], login: str
) -> None:
    """ssh asks for nothing there, and their lines would mix."""
    more = rdctl.config.read_text()
    rdctl.config.write_text(more + more.replace("far]", "near]").replace("node7", "node8"))
    ssh(BANNER, login)
    done = rdctl("-c", "far,near", *LIST, tty=True, env={"PATH": nursery.path})
    assert (done.code, done.err) == (0, "")
