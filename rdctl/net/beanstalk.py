"""Queries to a beanstalkd, the queue of events: a command is a line of text, and so is its reply,
which may announce a document."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, quoted
from rdctl.effects.door import Effect, Effects
from rdctl.net.deadline import Deadline, current
from rdctl.net.faults import CONNECT_SECONDS
from rdctl.net.sockets import query

SECONDS = 35.0
_LONGEST_LINE = 1024
_MOST = 1 << 20  # bytes of a document
_TUBE = re.compile(r"[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]{0,199}")
_OK = re.compile(rb"OK ([0-9]{1,9})\r\n")
_LINE = re.compile(rb"([A-Z_]+)( [^\r\n]*)?\r\n")
_VALUE = re.compile(r"([A-Za-z0-9-]+):(?: (.*))?")

# Sends a command, and returns its reply; the deadline is that of the current request.
Ask = Callable[[bytes], AbstractContextManager[BinaryIO]]


class Beanstalkd:
    """One beanstalkd, at an address (HOST:PORT)."""

    def __init__(
        self, address: str, effects: Effects, deadline: Deadline, ask: Ask | None = None
    ) -> None:
        self._url = f"beanstalk://{address}"
        self._address = address
        self._effects = effects
        self._deadline = deadline
        self._ask = ask or self._over_tcp

    def stats(self, tube: str) -> dict[str, str]:
        """stats-tube: what it counts about a tube."""
        if not _TUBE.fullmatch(tube):
            message = (
                f'invalid tube "{defuse(tube)}": must be up to 200 letters, digits and -+/;.$_()'
            )
            raise RdctlError(Code.USAGE, message)
        line = f"stats-tube {tube}"
        shown = f"printf '{line}\\r\\nquit\\r\\n' | nc {self._address.replace(':', ' ')}"
        effect = Effect(line, shown, lambda: self._asked(line.encode() + b"\r\n"))
        document = self._effects.look(effect)
        if document is None:
            message = f'tube "{tube}" not found on {self._url}'
            raise RdctlError(Code.NOT_FOUND, message, target=tube)
        return dict(self._values(document))

    def _asked(self, command: bytes) -> bytes | None:
        """The document of a reply; None: not found."""
        deadline = self._deadline.within(SECONDS)
        before, current.deadline = current.deadline, deadline
        started = time.perf_counter()
        try:
            with self._ask(command) as reply:
                return self._document(reply)
        except TimeoutError as error:
            raise RdctlError(Code.TIMEOUT, f"{self._url}: timed out") from error
        except ConnectionRefusedError as error:
            raise self._unreachable("Connection refused") from error
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error
        finally:
            current.deadline = before
            self._deadline.spent(time.perf_counter() - started, self._url)

    def _document(self, reply: BinaryIO) -> bytes | None:
        line = reply.readline(_LONGEST_LINE)
        announced = _OK.fullmatch(line)
        if announced is None:
            self._refused(line)
            return None
        size = int(announced[1])
        if size > _MOST:
            raise RdctlError(Code.BAD_REPLY, f"{self._url}: the reply is too large: {size} bytes")
        document = reply.read(size + 2)
        if document[size:] != b"\r\n":
            raise RdctlError(Code.BAD_REPLY, f"{self._url} sent an incomplete reply")
        return document[:size]

    def _refused(self, line: bytes) -> None:
        """Raise what the reply means, unless it is NOT_FOUND."""
        if not line:
            raise self._unreachable("closed the connection without a reply")
        words = _LINE.fullmatch(line)
        if words is None or words[1] in (b"HTTP", b"OK"):
            raise self._strange(line)
        if words[1] != b"NOT_FOUND":
            message = f"{self._url}: {words[0].decode('latin-1').strip()}"
            code = Code.UNSUPPORTED if words[1] == b"UNKNOWN_COMMAND" else Code.FAILED
            raise RdctlError(code, defuse(message))

    def _values(self, document: bytes) -> Iterator[tuple[str, str]]:
        """The lines `NAME: VALUE` after `---`: all the YAML that a beanstalkd writes."""
        first, *lines = document.decode("latin-1").split("\n")
        if first != "---":
            raise self._strange(document)
        for line in filter(None, lines):
            found = _VALUE.fullmatch(line)
            if found is None:
                raise self._strange(line.encode("latin-1"))
            yield found[1], found[2] or ""

    def _strange(self, data: bytes) -> RdctlError:
        start = defuse(data[:60].decode("latin-1")).strip()
        return RdctlError(
            Code.BAD_REPLY,
            f'{self._url} does not answer like a beanstalkd: "{start}"',
            hint="Is this the port of the beanstalkd (6014 or 11300)?",
        )

    def _unreachable(self, reason: str) -> RdctlError:
        return RdctlError(
            Code.UNREACHABLE,
            f"no connection to {self._url}: {reason}",
            hint="Check that the beanstalkd is running, and its address:"
            f" rdctl oio events stats --address {quoted(self._address)}",
        )

    def _over_tcp(self, command: bytes) -> AbstractContextManager[BinaryIO]:
        host, _, port = self._address.rpartition(":")
        return query(host.strip("[]"), int(port), command, CONNECT_SECONDS)
