"""Ports of test servers."""

from __future__ import annotations

import socket


def reserved_port() -> socket.socket:
    """A free port, which no other process gets while no server listens at it."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("127.0.0.1", 0))
    return port


def listener_at(port: socket.socket, backlog: int) -> socket.socket:
    return socket.create_server(port.getsockname(), backlog=backlog)
