"""Each test that takes `engine_to` or `reach` runs with both engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rdctl.net.engine import Engine
from rdctl.net.messages import Access
from rdctl.net.plain import plain_engine
from rdctl.net.requests_engine import RequestsEngine
from tests.net.client import Client


def _plain(url: str) -> Engine:
    engine = plain_engine(url)
    assert engine is not None
    return engine


@pytest.fixture(params=["plain", "requests"])
def engine_to(request: pytest.FixtureRequest) -> Callable[[str], Engine]:
    """An engine that sends to the server at a URL."""
    return _plain if request.param == "plain" else lambda url: RequestsEngine(Access())


@pytest.fixture
def reach(engine_to: Callable[[str], Engine]) -> Callable[..., Client]:
    """A client of the server at a URL."""

    def client(url: str, **options: Any) -> Client:
        return Client(url, engine=engine_to(url), **options)

    return client
