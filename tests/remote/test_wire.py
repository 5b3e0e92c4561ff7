"""The messages: what comes before the first one, what is refused, and what they become."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import pytest

from rdctl import __version__
from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Change, Data, Failure, Raw, Result, Text
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.remote import wire
from rdctl.remote.launch import Target
from rdctl.remote.near import Call, Near, Request
from rdctl.remote.session import Far
from rdctl.remote.wire import Incoming, Lost, Message, Outgoing
from rdctl.workers import Workers

HELLO = b'{"kind":"hello","protocol":1,"version":"1.0.0"}\n'


def arriving(*pieces: bytes) -> Incoming:
    """What arrives in these pieces, then the end."""
    coming = filter(None, pieces)
    return Incoming(lambda most: next(coming, b""))


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"Welcome to node7\nLast login: today\n",
        b"no end of a line: ",
        b"\xff\xfe\r\n\n",
        b'{"kind":"other"}\n',
        b"motd\n" * 13000,
    ],
)
def test_what_a_shell_prints_before_is_skipped(before: bytes) -> None:
    incoming = arriving(before[:100], before[100:] + HELLO[:9], HELLO[9:] + b'{"kind":"x"}\n')
    assert incoming.hello()["version"] == "1.0.0"
    assert incoming.next() == {"kind": "x"}


@pytest.mark.parametrize("text", [b"\n  yes\x1b[2J\n" + b"y\n" * 40000, b"y" * 70000])
def test_too_much_before_is_refused_with_its_first_line(text: bytes) -> None:
    with pytest.raises(RdctlError) as caught:
        arriving(text, HELLO).hello()
    assert caught.value.code is Code.BAD_REPLY
    assert 'does not start rdctl: it writes "y' in caught.value.message
    assert "\x1b" not in caught.value.message


def test_an_end_before_has_what_came_instead() -> None:
    with pytest.raises(EOFError, match=r"^sudo: a password is required$"):
        arriving(b"sudo: a password is required\n").hello()


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"kind":1}\n',
        b"[" * 100000 + b"\n",
        b"\xff\n",
        b'{"kind":"data","bytes":-1}\n',
        b'{"kind":"data","bytes":"4"}\n',
        b'{"kind":"data","bytes":99999999999}\n',
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(RdctlError, match="invalid message over SSH"):
        arriving(line).next()


def test_a_message_that_is_cut_is_a_lost_connection() -> None:
    for text in (b'{"kind":"x"', b'{"kind":"data","bytes":5}\nabc'):
        with pytest.raises(Lost, match="connection closed"):
            arriving(text).next()


@pytest.mark.parametrize(
    ("hello", "works"),
    [
        ({"protocol": 1, "version": __version__}, True),
        ({"protocol": 1, "version": f"{__version__.split('.')[0]}.99.0"}, True),
        ({"protocol": 1, "version": "99.0.0"}, False),
        ({"protocol": 2, "version": __version__}, False),
        ({"protocol": 1}, False),
    ],
)
def test_another_major_version_is_refused_with_both(hello: dict[str, object], works: bool) -> None:
    fault = wire.mismatch(hello, "node7")
    assert (fault is None) is works
    if fault is not None:
        assert f"{hello.get('version')} on node7" in fault
        assert fault.endswith(f"rdctl {__version__}")


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    source, sink = os.pipe()
    with open(source, "rb", 0) as read, open(sink, "wb", 0) as write:
        yield read, write


def writing(file: BinaryIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]

    return write


def test_names_of_any_bytes_and_contents_arrive_unchanged(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    read, write = pipe
    out, incoming = Outgoing(writing(write)), Incoming(read.read)
    name, data = "a\udcff\n\x1b\u2028é", bytes(range(256)) * 3
    out.tell("rows", rows=[{"name": name, "size": 1 << 60, "none": None}])
    out.tell("data", data, number=7)
    out.tell("end")
    assert incoming.next()["rows"] == [{"name": name, "size": 1 << 60, "none": None}]
    message = incoming.next()
    assert (message["number"], bytes(message["data"])) == (7, data)
    assert incoming.next() == {"kind": "end"}
    out.close(5)


def test_a_side_with_nothing_to_say_sends_a_beat(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    read, write = pipe
    out = Outgoing(writing(write), beat=0.01)
    assert Incoming(read.read).next() == {"kind": "beat"}
    out.close(5)


def test_after_the_loss_of_the_other_side_messages_are_dropped() -> None:
    def refuse(data: bytes) -> None:
        raise BrokenPipeError

    out = Outgoing(refuse)
    out.tell("x")
    assert out.lost.wait(5)
    for _ in range(100):
        out.tell_much("rows", rows=[])  # does not wait
    out.close(5)


class Pipes(NamedTuple):
    """A Connection whose other side is played by the test."""

    read: BinaryIO
    write: BinaryIO
    target: Target = Target("node7", None, None, ("rdctl",), "node7")

    def ended(self) -> RdctlError:
        return RdctlError(Code.UNREACHABLE, "ssh has ended")

    def close(self) -> None:
        self.write.close()


@pytest.fixture
def answered(pipe: tuple[BinaryIO, BinaryIO]) -> Iterator[Callable[[list[Message]], Result]]:
    """The result of a command that the other side answers with these messages."""
    read, write = pipe
    there = Outgoing(writing(write))
    with open(os.devnull, "r+b", 0) as nowhere:
        far = Far(Pipes(read, nowhere), {"version": "1.0.0"}, Incoming(read.read))  # type: ignore[arg-type]
        far.start("ada@laptop")

        def result(messages: list[Message]) -> Result:
            for message in messages:
                there.tell(message.pop("kind"), message.pop("data", b""), **message)
            effects = Effects(ask=lambda losses: None)
            near = Near(
                *(effects, print, print, Workers(), Unread(), []),
                place="-c node7",
                asks_always=False,
                left=lambda: None,
            )
            request = Request(["oio", "x"], [], {}, {}, shows=True)
            return Call(far, request, near).result()

        yield result
        far.close()
        there.close(5)


END: Message = {
    "kind": "end",
    "error": None,
    "signal": False,
    "exit": 0,
    "account": {},
    "unread": [],
    "next_steps": [],
    "listing": None,
}


def test_results_that_are_no_rows_come_as_they_are(
    answered: Callable[[list[Message]], Result],
) -> None:
    result = {"kind": "result"}
    raw = {**result, "type": "raw", "data": b"\0\xff", "error": None, "untouched": True}
    assert answered([raw, dict(END)]) == Raw(b"\0\xff", None, True)
    assert answered([{**result, "type": "text", "text": "a"}, dict(END)]) == Text("a")
    blocks = [{"kind": "data", "data": bytes(5)}, {"kind": "data", "data": b"x"}]
    data = answered([{**result, "type": "data"}, *blocks, dict(END)])
    assert isinstance(data, Data)
    assert b"".join(data.blocks) == bytes(5) + b"x"


def test_a_message_of_a_later_version_is_passed_over(
    answered: Callable[[list[Message]], Result],
) -> None:
    text = {"kind": "result", "type": "text", "text": "a"}
    assert answered([{"kind": "weather", "sun": True}, text, dict(END)]) == Text("a")


def test_outcomes_and_errors_are_what_they_were() -> None:
    error = RdctlError(
        Code.IN_USE, "rd1 is in use", hint="Free it.", target="rd1", losses=["a"], line=3
    )
    failure = wire.outcome_of(wire.outcome_data(Failure("remove", error, whole=True)))
    assert isinstance(failure, Failure)
    assert (failure.action, failure.whole, vars(failure.error)) == ("remove", True, vars(error))
    change = Change("create", "rd1", True, None, {"size": 5, "users": ["x"]}, past="made {}")
    assert wire.outcome_of(wire.outcome_data(change)) == change


def test_an_error_of_a_later_version_keeps_its_exit_code() -> None:
    data = wire.error_data(RdctlError(Code.IN_USE, "x")) | {"code": "held-by-quota"}
    assert wire.error_of(data).exit is Exit.CONFLICT
    assert wire.error_of({**data, "exit": 77}).code is Code.FAILED
