"""Simulated servers over HTTP, in threads of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from rdctl.sandbox.serve import serve

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@contextmanager
def serving(*apps: WSGIApplication, host: str = "127.0.0.1") -> Iterator[list[str]]:
    urls: list[str] = []
    listening, stop = Event(), Event()

    def ready(found: list[str]) -> None:
        urls.extend(found)
        listening.set()

    thread = Thread(target=serve, args=([(app, host, 0) for app in apps], ready, stop))
    thread.start()
    assert listening.wait(10)
    try:
        yield urls
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
