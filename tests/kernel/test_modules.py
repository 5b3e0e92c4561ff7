"""Modules that are not loaded, and file systems that are not mounted: said, with what helps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program

NVMET_MODULES = ("nvmet_tcp", "nvmet")
RAPIDDISK_MODULES = ("rapiddisk_cache", "rapiddisk")


@pytest.fixture
def unloaded() -> Iterator[None]:
    """A machine after its start: none of the modules."""
    machine.tool("rmmod", *RAPIDDISK_MODULES)
    machine.tool("modprobe", "-r", *NVMET_MODULES)
    yield
    machine.tool("modprobe", "-a", "rapiddisk", "rapiddisk-cache", "nvmet")


@pytest.mark.usefixtures("unloaded")
def test_without_the_modules(rdctl: Program, disk: str) -> None:
    volumes: list[tuple[str, ...]] = [
        ("list",),
        ("create", "1M"),
        ("remove", "rd0"),
        ("cache", "create", "rd0", disk),
    ]
    for command in volumes:
        message = rdctl.refused(*command, code="module-missing", exit=6)
        assert "modprobe rapiddisk" in message
    exports: list[tuple[str, ...]] = [
        ("nvmet", "list"),
        ("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1"),
    ]
    for command in exports:
        assert "modprobe nvmet" in rdctl.refused(*command, code="module-missing", exit=6)
    # What is missing is what `status` is asked for.
    ran = rdctl("status", options=())
    assert "modprobe" in ran.out + ran.err
    assert rdctl("resources").code == 0


def test_without_the_module_for_caches(rdctl: Program, disk: str) -> None:
    """Write-back needs none of RapidDisk's own."""
    machine.tool("rmmod", "rapiddisk_cache")
    try:
        machine.attach(0)
        message = rdctl.refused("cache", "create", "rd0", disk, code="module-missing", exit=6)
        assert "modprobe rapiddisk-cache" in message
        assert machine.mappings() == {}
        rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
        rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    finally:
        machine.tool("modprobe", "rapiddisk-cache")


def test_without_configfs(rdctl: Program) -> None:
    """Exports are there all the same, and cannot be seen."""
    machine.tool("umount", "/sys/kernel/config")
    try:
        machine.attach(0)
        message = rdctl.refused("remove", "rd0", code="unguarded")
        assert "configfs is not mounted" in message
        rdctl.ok("remove", "rd0", "--unseen", "exports")
        ran = rdctl("nvmet", "list")
        assert ran.code == 6, ran
        assert "configfs" in ran.err
    finally:
        machine.tool("mount", "-t", "configfs", "none", "/sys/kernel/config")


def test_without_systemd(rdctl: Program) -> None:
    """The daemon's unit is systemd's; this machine runs without."""
    for verb in ("status", "start", "stop"):
        ran = rdctl("daemon", verb)
        assert ran.code != 0
        assert "systemd" in ran.err or "systemctl" in ran.err
