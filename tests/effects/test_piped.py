"""A program behind pipes."""

from __future__ import annotations

import os
import signal

import pytest

from rdctl.effects.piped import Piped


def test_what_is_closed_never_reads_from_the_next_pipe_of_its_number() -> None:
    """The next program gets the numbers of the pipes that were closed; a thread that still reads
    must not take what is for another one."""
    first = Piped(["sh", "-c", "exec sleep 60"], os.environ)
    number = first.read.fileno()
    first.close()
    second = Piped(["sh", "-c", "echo for the second; read _"], os.environ)
    assert second.read.fileno() == number
    first.patience = 10
    assert first.read.read1() == b""
    assert second.read.readline() == b"for the second\n"
    second.close()


def test_what_a_second_ctrl_c_does_not_wait_for_is_killed() -> None:
    """The first one has closed it."""
    script = 'trap "" TERM; cat; kill -INT $PPID; exec sleep 60'
    program = Piped(["sh", "-c", script], os.environ)
    with pytest.raises(KeyboardInterrupt):
        program.close(60)
    assert program.wait(60) == -signal.SIGKILL
    program.close()
