"""Machines that several files begin with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Ran
from tests.fakes.kernel import FakeKernel

Local = Callable[..., Ran]


@pytest.fixture
def ports(kernel: FakeKernel, local: Local) -> Local:
    """Two volumes, and two TCP ports."""
    kernel.add_volume(0)
    kernel.add_volume(1)
    kernel.add_port(1)
    kernel.add_port(2, service="4421")
    return local
