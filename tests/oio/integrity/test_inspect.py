"""The state of each chunk, by what recorded rawx services answer about it (repair-recordings)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.net.deadline import Deadline
from rdctl.net.transport import Transport
from rdctl.oio.integrity.inspect import Inspection
from rdctl.oio.integrity.model import ObjectState
from rdctl.oio.model import Content
from rdctl.oio.rawx import Rawx
from rdctl.oio.silence import ASK_AGAIN_SECONDS, Silence
from rdctl.workers import Workers
from tests.oio.objects.chunks import chunk, content
from tests.oio.wire import Answer, Answering, Sent

DATA = bytes(range(256)) * 4
ID = "25D5100E5C61060089F13A2A944CA5DA"
META = "X-oio-chunk-meta-"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest().upper()


class Stored:
    """A chunk as a rawx of 4.2 has it: `file` are its bytes now, `meta` what was stored with it."""

    def __init__(self, id: str, pos: str, data: bytes) -> None:
        self.file = data
        self.meta = {
            "container-id": "BB284B860B23039649BBFAF399FED391E6F0C3A44691354805A34607A3F4C679",
            "content-path": "t3",
            "content-id": ID,
            "content-version": "1795897861133615",
            "content-storage-policy": "THREECOPIES",
            "content-chunk-method": "plain/nb_copy=3",
            "chunk-id": id,
            "chunk-size": str(len(data)),
            "chunk-hash": md5(data),
            "chunk-pos": pos,
            "oio-version": "4.2",
            "full-path": f"repair/rp/t3/1795897861133615/{ID}",
        }
        self.head = self.get = 200
        self.dead = False

    def answer(self, sent: Sent) -> Answer:
        if self.dead:
            raise ConnectionError("Connection refused")
        status = self.head if sent.method == "HEAD" else self.get
        if status >= 300:
            return Answer(status, b"" if sent.method == "HEAD" else b"<!DOCTYPE HTML")
        headers = {META + name: value for name, value in self.meta.items()}
        if sent.method == "HEAD":
            # Apache leaves out the length of an empty file.
            length = {"Content-Length": str(len(self.file))} if self.file else {}
            return Answer(200, b"", {**headers, **length})
        first, last = map(int, sent.headers["Range"].removeprefix("bytes=").split("-"))
        if first >= len(self.file):
            return Answer(416, b"<!DOCTYPE HTML")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(self.file)}"
        return Answer(206, self.file[first : last + 1], headers)


class Lab:
    """An object of some positions, on rawx services 10.0.0.1, 10.0.0.2, ...; one replica each."""

    def __init__(self, data: list[bytes], copies: int = 3, **known: Any) -> None:
        self.stored: dict[str, Stored] = {}
        chunks = []
        for number, part in enumerate(data):
            for copy in range(copies):
                id = f"{16 * number + copy:064X}"
                self.stored[id] = Stored(id, str(number), part)
                url = f"http://10.0.0.{copy + 1}:6201/{id}"
                chunks.append(chunk(number, url, size=len(part), hash=md5(part)))
        known = {"chunk_method": f"plain/nb_copy={copies}", "content_id": ID, **known}
        size = sum(map(len, data))
        self.content: Content = content(**{"size": size, "chunks": chunks, **known})
        self.engine = Answering(lambda sent: self.stored[sent.target.lstrip("/")].answer(sent))

    @property
    def first(self) -> Stored:
        return next(iter(self.stored.values()))

    def inspection(self, deep: bool = False) -> Inspection:
        effects = Effects(ask=lambda losses: None)

        def reach(address: str) -> Transport:
            return Transport(f"http://{address}", effects, engine=self.engine, retries=0)

        return Inspection(Rawx(reach), Workers(2), Deadline(None), deep=deep)

    def inspect(self, deep: bool = False) -> ObjectState:
        return self.inspection(deep).inspect(self.content)

    def states(self, deep: bool = False) -> list[str]:
        return [one.state for one in self.inspect(deep).chunks]


def nothing(stored: Stored) -> None:
    """It is good."""


def gone(stored: Stored) -> None:
    stored.head = stored.get = 404


def truncated(stored: Stored) -> None:
    stored.file = stored.file[:100]


def emptied(stored: Stored) -> None:
    stored.file = b""


def grown(stored: Stored) -> None:
    stored.file += b"xyz"


def flipped(stored: Stored) -> None:
    stored.file = stored.file[:-1] + b"\0"


def bare(stored: Stored) -> None:
    stored.meta = {}


def bare_and_flipped(stored: Stored) -> None:
    bare(stored)
    flipped(stored)


def no_hash(stored: Stored) -> None:
    del stored.meta["chunk-hash"]


def mode_0(stored: Stored) -> None:
    bare(stored)
    stored.get = 403


def of_another(stored: Stored) -> None:
    stored.meta["content-id"] = "F" * 32


def of_another_by_path(stored: Stored) -> None:
    del stored.meta["content-id"]
    stored.meta["full-path"] = f"repair/rp/other/1795897861133615/{'F' * 32}"


def linked(stored: Stored) -> None:
    """A name is nothing to go by."""
    stored.meta["content-path"] = "old"
    stored.meta["full-path"] = f"repair/rp/old/1795897861133615/{ID}"


def moved(stored: Stored) -> None:
    stored.meta["chunk-pos"] = "7"


def of_other_data(stored: Stored) -> None:
    stored.file = DATA[::-1]
    stored.meta["chunk-hash"] = md5(stored.file)


def wrong_size_header(stored: Stored) -> None:
    """A rawx stores any chunk-size: the file and the proxy's list decide."""
    stored.meta["chunk-size"] = "12"


def blake3(stored: Stored) -> None:
    stored.meta["chunk-hash"] = "AB" * 32


def dead(stored: Stored) -> None:
    stored.dead = True


def bad_id(stored: Stored) -> None:
    stored.head = stored.get = 400


STATES: list[tuple[Callable[[Stored], None], str, str]] = [
    (nothing, "good", "good"),
    (gone, "missing", "missing"),
    (truncated, "short", "short"),
    (emptied, "short", "short"),
    (grown, "long", "long"),
    (flipped, "good", "wrong-hash"),
    (bare, "no-metadata", "no-metadata"),
    (bare_and_flipped, "no-metadata", "wrong-hash"),
    (no_hash, "good", "good"),
    (mode_0, "no-metadata", "unreadable"),
    (of_another, "foreign", "foreign"),
    (of_another_by_path, "foreign", "foreign"),
    (linked, "good", "good"),
    (moved, "wrong-position", "wrong-position"),
    (of_other_data, "wrong-hash", "wrong-hash"),
    (wrong_size_header, "good", "good"),
    (blake3, "good", "good"),
    (dead, "unreachable", "unreachable"),
    (bad_id, "unreadable", "unreadable"),
]


@pytest.mark.parametrize(
    ("damage", "quick", "deep"), STATES, ids=lambda one: getattr(one, "__name__", one)
)
def test_states(damage: Callable[[Stored], None], quick: str, deep: str) -> None:
    for is_deep, expected in ((False, quick), (True, deep)):
        lab = Lab([DATA])
        damage(lab.first)
        assert lab.states(is_deep) == [expected, "good", "good"]
        heads = [sent for sent in lab.engine.sent if sent.method == "HEAD"]
        assert len(heads) == 3
        assert is_deep or len(lab.engine.sent) == 3
        (message, *fine) = [one.message for one in lab.inspect(is_deep).chunks]
        assert (message == "") == (expected == "good")
        assert fine == ["", ""]


def test_a_hash_of_another_algorithm_is_not_compared() -> None:
    lab = Lab([DATA])
    for entry in lab.content.chunks:
        entry["hash"] = "CD" * 32
    assert lab.states() == ["good"] * 3
    # The rawx has an MD5 of its own.
    assert lab.states(deep=True) == ["good"] * 3
    for stored in lab.stored.values():
        blake3(stored)
    state = lab.inspect(deep=True)
    assert [one.state for one in state.chunks] == ["not-comparable"] * 3
    assert not state.positions[0].lost
    assert not state.problems


def test_an_empty_object() -> None:
    lab = Lab([b""])
    state = lab.inspect(deep=True)
    assert state.healthy
    assert len(lab.engine.sent) == 3


def test_a_chunk_is_read_in_pieces() -> None:
    data = DATA * 2500
    lab = Lab([data], copies=1)
    assert lab.inspect(deep=True).healthy
    ranges = [sent.headers["Range"] for sent in lab.engine.sent if sent.method == "GET"]
    assert ranges == [
        "bytes=0-1048575",
        "bytes=1048576-2097151",
        f"bytes=2097152-{len(data) - 1}",
    ]


def problems(lab: Lab) -> list[tuple[str, str | None]]:
    return [(one.finding, one.position) for one in lab.inspect().problems]


def test_too_few_copies() -> None:
    lab = Lab([DATA, DATA])
    del lab.content.chunks[4]
    assert problems(lab) == [("too-few-copies", "1")]
    assert lab.inspect().positions[1].lacking == ("1",)


def test_a_surplus_copy() -> None:
    lab = Lab([DATA], copies=3, chunk_method="plain/nb_copy=2")
    assert problems(lab) == [("surplus", "0")]
    assert lab.inspect().positions[0].surplus == 1


def test_two_copies_on_one_service() -> None:
    lab = Lab([DATA])
    third = lab.content.chunks[2]
    third["url"] = third["url"].replace("10.0.0.3", "10.0.0.1")
    assert problems(lab) == [("misplaced", "0")]
    (one,) = lab.inspect().positions[0].together
    assert one.copy.url == third["url"]


def test_a_hole() -> None:
    lab = Lab([DATA] * 6)
    del lab.content.chunks[3:9]
    assert problems(lab) == [("lost", "1"), ("inconsistent", None)]
    assert "positions 1 to 2" in lab.inspect().problems[0].message


def test_positions_are_missing_at_the_end() -> None:
    lab = Lab([DATA] * 2)
    del lab.content.chunks[3:]
    assert problems(lab) == [("inconsistent", None)]


def test_no_chunks_at_all() -> None:
    lab = Lab([], size=5)
    assert problems(lab) == [("lost", None)]
    assert not problems(Lab([], size=0))


def test_copies_that_disagree() -> None:
    lab = Lab([DATA])
    lab.content.chunks[1]["hash"] = "0" * 32
    assert ("inconsistent", "0") in problems(lab)


def test_an_invalid_position() -> None:
    lab = Lab([DATA])
    lab.content.chunks[1]["pos"] = "0.1"
    assert problems(lab) == [("inconsistent", "0.1"), ("too-few-copies", "0")]


@pytest.mark.parametrize(
    ("damages", "lost"),
    [
        ([gone, gone, gone], True),
        ([gone, gone, dead], False),
        ([gone, truncated, of_another], True),
        ([gone, gone, nothing], False),
        ([gone, gone, bare], False),
        ([flipped, flipped, mode_0], True),
    ],
)
def test_what_is_lost(damages: list[Callable[[Stored], None]], lost: bool) -> None:
    lab = Lab([DATA])
    for damage, stored in zip(damages, lab.stored.values(), strict=True):
        damage(stored)
    state = lab.inspect(deep=True)
    assert state.positions[0].lost == lost
    assert ("lost" in [one.finding for one in state.problems]) == lost


def test_what_cannot_be_read_of_the_description() -> None:
    lab = Lab([DATA])
    lab.content.chunks[1]["url"] = None
    with pytest.raises(RdctlError) as caught:
        lab.inspect()
    assert caught.value.code is Code.BAD_REPLY


def test_many_chunks_are_looked_at_in_parallel() -> None:
    lab = Lab([DATA] * 8)
    both = threading.Barrier(2)
    waiting = [stored for number, stored in enumerate(lab.stored.values()) if number < 2]
    for stored in waiting:
        answer = stored.answer

        def meet(sent: Sent, answer: Callable[[Sent], Answer] = answer) -> Answer:
            both.wait(10)
            return answer(sent)

        stored.answer = meet  # type: ignore[method-assign]
    assert lab.inspection().inspect(lab.content, 2).healthy


def test_a_service_that_does_not_answer_is_asked_once() -> None:
    lab = Lab([DATA] * 5)
    for stored in lab.stored.values():
        stored.dead = int(stored.meta["chunk-id"], 16) % 16 == 1
    inspection = lab.inspection()
    states = [one.state for one in inspection.inspect(lab.content).chunks]
    assert states == ["good", "unreachable", "good"] * 5
    asked = [sent for sent in lab.engine.sent if int(sent.target[1:], 16) % 16 == 1]
    assert len(asked) == 1


def test_silence_is_tried_again_once_in_a_while() -> None:
    now = [0.0]
    silence = Silence(lambda: now[0])
    assert not silence.holds("a")
    silence.begin("a")
    assert silence.holds("a")
    assert not silence.holds("b")
    now[0] += ASK_AGAIN_SECONDS
    assert not silence.holds("a")  # this one asks
    assert silence.holds("a")  # the others do not wait for it
    silence.end("a")
    assert not silence.holds("a")


def test_the_end_of_the_time_is_no_finding() -> None:
    lab = Lab([DATA])
    dead(lab.first)
    inspection = lab.inspection()
    inspection._deadline = Deadline(0)
    with pytest.raises(RdctlError):
        inspection.inspect(lab.content)


# --- erasure coding: what headers and single fragments show ---------------------------------------

EC = "ec/algo=liberasurecode_rs_vand,k=2,m=1"


def fragments(size: int = 1000) -> Lab:
    """One metachunk; what is in its fragments does not matter here."""
    whole = bytes(size)
    lab = Lab([bytes([number]) * 580 for number in range(3)], copies=1, chunk_method=EC, size=size)
    for number, (entry, stored) in enumerate(
        zip(lab.content.chunks, lab.stored.values(), strict=True)
    ):
        entry |= {"pos": f"0.{number}", "size": size, "hash": md5(whole)}
        entry["url"] = entry["url"].replace("10.0.0.1", f"10.0.0.{number + 1}")
        stored.meta |= {
            "chunk-pos": f"0.{number}",
            "metachunk-size": str(size),
            "metachunk-hash": md5(whole),
        }
    return lab


def other_metachunk(stored: Stored) -> None:
    stored.meta["metachunk-hash"] = "0" * 32


def other_size(stored: Stored) -> None:
    stored.meta["metachunk-size"] = "999"


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (nothing, "good"),
        (gone, "missing"),
        (truncated, "short"),
        (emptied, "short"),
        (grown, "long"),
        (bare, "no-metadata"),
        (of_another, "foreign"),
        (moved, "wrong-position"),
        (other_metachunk, "wrong-hash"),
        (other_size, "wrong-hash"),
        (dead, "unreachable"),
    ],
)
def test_states_of_fragments(damage: Callable[[Stored], None], state: str) -> None:
    lab = fragments()
    damage(lab.first)
    assert lab.states() == [state, "good", "good"]


def test_fragments_that_are_not_listed() -> None:
    lab = fragments()
    del lab.content.chunks[0]
    assert problems(lab) == [("too-few-fragments", "0")]
    assert lab.inspect().positions[0].lacking == ("0.0",)
    del lab.content.chunks[0]
    assert problems(lab) == [("lost", "0"), ("too-few-fragments", "0")]


def test_two_fragments_of_one_index_count_once() -> None:
    lab = fragments()
    lab.content.chunks[1]["pos"] = "0.0"
    list(lab.stored.values())[1].meta["chunk-pos"] = "0.0"
    assert problems(lab) == [("too-few-fragments", "0"), ("surplus", "0")]
    gone(list(lab.stored.values())[2])
    assert ("lost", "0") in problems(lab)
