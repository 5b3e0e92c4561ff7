"""A client of one server, and servers behind TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import RdctlError
from rdctl.effects.door import Effects
from rdctl.net.messages import Reply
from rdctl.net.transport import Transport
from tests.fakes.faults import Behaviour, FaultServer

PEM = Path(__file__).parent.parent / "fakes" / "tls.pem"


class Client:
    """A transport with what it waited and traced. Destruction is agreed to."""

    def __init__(self, url: str, **options: Any) -> None:
        self.slept: list[float] = []
        self.trace: list[str] = []
        self.effects = Effects(ask=lambda losses: None, trace=self.trace.append)
        options = {"sleep": self.slept.append, "jitter": lambda: 0.5, **options}
        self.transport = Transport(url, self.effects, **options)

    def read(self, path: str = "/v1/x", **options: Any) -> Reply:
        return self.transport.read(path, **options)

    def change(self, path: str = "/v1/x", **options: Any) -> Reply:
        options = {"what": "create it", "shows": "rdctl rapiddisk list", **options}
        return self.transport.change(path, **options)


def fails(act: Callable[[], object]) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        act()
    error = caught.value
    assert "\n" not in error.message
    assert len(error.message) < 500
    return error


class TlsServer(FaultServer):
    """The same behind TLS, with a certificate that nobody trusts by default."""

    client_certificate = False

    def __enter__(self) -> TlsServer:
        super().__enter__()
        return self

    def _serve(self, sock: socket.socket, behave: Behaviour) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        if self.client_certificate:
            context.load_verify_locations(PEM)
            context.verify_mode = ssl.CERT_REQUIRED
        with suppress(OSError):
            behind = context.wrap_socket(sock, server_side=True)
            with self._lock:
                self._open.add(behind)  # the other one is detached
            super()._serve(behind, behave)

    @property
    def https(self) -> str:
        return self.url.replace("http:", "https:")
