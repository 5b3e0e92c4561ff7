"""A site of the API, in a sandbox of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import rdctl
from tests.conftest import Program


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of this process, with the configuration and the sandbox of `Program`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RDCTL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RDCTL_SANDBOX", str(tmp_path / "sandbox.db"))
    for name in ("RDCTL_CONTEXT", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def site(home: Path) -> rdctl.Site:
    return rdctl.connect("sandbox")


@pytest.fixture
def program(home: Path) -> Program:
    """The command line, in the same sandbox."""
    return Program(home)
