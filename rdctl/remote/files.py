"""The FILE of a command that runs on another machine. It is a file of the machine on which the
command was typed: that side reads and writes it, and its contents go over the pipe.

The other side names files only as they were typed, and does with each what its verb does with it:
it can neither read nor write another file.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rdctl.core.units import escape
from rdctl.effects.images import Made
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.files import Copy, FileTarget, Writer, guard_target, out_of_time
from rdctl.rapiddisk.imagefile import ImageFile, checked, fault, image_pieces
from rdctl.remote.packs import FULL, Pack, packs, unpacked
from rdctl.remote.wire import Abandoned, Message, garbled

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.effects.door import Effects
    from rdctl.workers import Workers

# What the verbs do with their FILE, and what may be requested of it: nothing else is done.
STATE, IMAGE, TARGET = "state", "image", "target"
_REQUESTS = {
    STATE: ("texts", "piece"),
    IMAGE: ("image", "piece"),
    TARGET: ("target", "save"),
}
# Packs that are requested in advance: a distant machine is not waited for after each.
_AHEAD = 16


# --- there: where the command runs ----------------------------------------------------------------


class Link(Protocol):
    """The connection to the side on which the command was typed."""

    def request(self, kind: str, **message: Any) -> int:
        """Ask it something; returns the number of the answer."""

    def answer(self, number: int) -> Message:
        """Wait for the answer; raises its error."""

    def has_answer(self, number: int) -> bool: ...

    def tell_piece(self, data: bytes | bytearray = b"", **message: Any) -> None:
        """Send a piece of contents, when not too many are waiting."""


class FilesAway:
    """The files of the command, on the machine on which it was typed."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def texts(self, path: str) -> list[tuple[str, str]]:
        files = self._ask("texts", path)["files"]
        data, at, found = b"".join(self._pieces(path)), 0, []
        for name, count in files:
            found.append((name, data[at : at + count].decode()))
            at += count
        return found

    def image(
        self, path: str, room: int, volume: str, begin: Callable[[int], Callable[[int], None]]
    ) -> ImageFile:
        """It is read there, which shows its own progress."""
        image = self._ask("image", path, room=room, volume=volume)
        return ImageFile(
            image["name"],
            image["name"],
            image["size"],
            image["used"],
            image["digest"],
            image["verified"],
            lambda: self._pieces(path),
        )

    def target(self, volume: str, path: str, *, replace: bool, home: str | None) -> TargetAway:
        self._ask("target", path, volume=volume)
        return TargetAway(self._link, path)

    def _ask(self, what: str, path: str, **message: Any) -> Message:
        return self._link.answer(self._link.request("file", do=what, path=path, **message))

    def _pieces(self, path: str) -> Iterator[bytes]:
        """The contents of the file that was asked about last."""
        asked: deque[int] = deque()
        at, last = 0, False
        while not last:
            while len(asked) < _AHEAD:
                asked.append(self._link.request("file", do="piece", path=path))
            pack = self._link.answer(asked.popleft())
            at, start, last = pack["end"], at, pack["last"]
            for _, part, _ in unpacked(pack["runs"], pack.get("data", b""), start, at):
                yield bytes(part)


class TargetAway(NamedTuple):
    """A file on the other side, which is not in the records of this machine."""

    link: Link
    name: str
    recorded: str | None = None

    def take(self, copy: Copy, effects: Effects, calls: Syscalls) -> Made:
        """The other side writes the file: that is its change, and this side only reads."""
        node = calls.shown(copy.node)
        number = self.link.request("file", do="save", path=self.name, volume=copy.volume, node=node)
        if not effects.dry_run:
            try:
                sender = _Sender(self.link, number)
                sender.end(copy.fill(sender))
            except _Refused:
                pass  # the answer has the reason
            except BaseException:
                self.link.tell_piece(abandoned=True)
                raise
        made = self.link.answer(number)
        return Made(made["digest"], made["stored"])


class _Refused(Exception):
    """The other side has answered before it had all."""


class _Sender:
    """A Writer that sends the contents."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number
        self._pack = Pack()

    def write(self, data: bytes | memoryview, at: int) -> None:
        self._pack.add(data, at)
        if self._pack.is_full(at + len(data)):
            self._flush(at + len(data))

    def cut(self, size: int) -> None:
        self._flush(size)

    def end(self, digest: str) -> None:
        self._link.tell_piece(digest=digest)

    def _flush(self, end: int) -> None:
        if self._link.has_answer(self._number):
            raise _Refused
        self._link.tell_piece(self._pack.data, runs=self._pack.runs, end=end)
        self._pack = Pack(end)


# --- here: where the command was typed ------------------------------------------------------------


class Offered:
    """The files of one command, by their paths as they were typed, each with what the verb does
    with it. `through` is the command that reaches the other machine."""

    def __init__(
        self,
        files: Mapping[str, str],
        *,
        replace: bool,
        home: str,
        through: str,
        environment: Environment,
        effects: Effects,
        workers: Callable[[], Workers],
        left: Callable[[], float | None],
    ) -> None:
        self._files = files
        self._replace = replace
        self._home = home
        self._through = through
        self._environment = environment
        self._effects = effects
        self._workers = workers
        self._left = left
        self._packs: Iterator[tuple[Pack, int]] = iter(())
        self._next: tuple[Pack, int] | None = None

    def take(
        self, message: Message, piece: Callable[[], Message]
    ) -> tuple[Message, bytes | bytearray]:
        """Do what the other side requests, and what to answer. `piece` waits for contents that it
        sends."""
        what, path = message.get("do"), message.get("path")
        if what not in _REQUESTS.get(self._files.get(str(path), ""), ()):
            raise garbled("another file than that of the command")
        path = str(path)
        if what == "piece":
            return self._piece()
        if what == "texts":
            return self._texts(path), b""
        if what == "image":
            return self._image(path, int(message["room"]), str(message["volume"])), b""
        target, volume = FileTarget(path, path, self._replace, self._home), str(message["volume"])
        if what == "target":
            guard_target(volume, target)
            return {}, b""
        return self._save(target, volume, str(message["node"]), piece), b""

    def _texts(self, path: str) -> Message:
        from rdctl.rapiddisk.state.files import texts_of

        found = texts_of(path, self._environment, "/", self._left())
        texts = [(name, text.encode()) for name, text in found]
        self._offer(packs(block for _, text in texts for block in _blocks(text)))
        return {"files": [(name, len(text)) for name, text in texts]}

    def _image(self, path: str, room: int, volume: str) -> Message:
        image = checked(path, path, room, volume, partial(self._begun, path))
        self._offer(packs(image_pieces(image)))
        return {
            "name": image.name,
            "size": image.size,
            "used": image.used,
            "digest": image.digest,
            "verified": image.verified,
        }

    def _offer(self, packs: Iterator[tuple[Pack, int]]) -> None:
        self._packs = packs
        self._next = next(packs)

    def _piece(self) -> tuple[Message, bytes | bytearray]:
        """One after the end has nothing: the other side requests some in advance."""
        if self._next is None:
            return {"runs": [], "end": 0, "last": True}, b""
        pack, end = self._next
        self._next = next(self._packs, None)
        return {"runs": pack.runs, "end": end, "last": self._next is None}, pack.data

    # --- save -----------------------------------------------------------------------------

    def _save(
        self, target: FileTarget, volume: str, node: str, piece: Callable[[], Message]
    ) -> Message:
        def fill(writer: Writer) -> str:
            digest, end = hashlib.sha256(), 0
            while "digest" not in (message := piece()):
                if message.get("abandoned"):
                    raise Abandoned
                start, end = end, int(message["end"])
                for at, part, zero in unpacked(
                    message["runs"], message.get("data", b""), start, end
                ):
                    if not zero:
                        writer.write(part, at)
                    digest.update(part)
            if digest.hexdigest() != message["digest"]:
                raise garbled("the contents differ from what was sent")
            writer.cut(end)
            return digest.hexdigest()

        copy = Copy(volume, node, fill, self._workers().check, self._through)
        try:
            made = target.take(copy, self._effects, Syscalls())
        except OSError as error:
            raise fault(error, target.name) from error
        return {"digest": made.digest, "stored": made.stored}

    def _begun(self, path: str, size: int) -> Callable[[int], None]:
        workers = self._workers()
        workers.progress.begin(size, "bytes")

        def step(count: int) -> None:
            workers.check()
            if self._left() == 0.0:
                raise out_of_time(f"reading {escape(path)}")
            workers.progress.advance(count)

        return step


def _blocks(text: bytes) -> Iterator[bytes]:
    for at in range(0, len(text), FULL):
        yield text[at : at + FULL]
