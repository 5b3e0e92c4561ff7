"""An ordinary shutdown of a machine without any unit of rdctl."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reboot.machine import MIB, Machine


@pytest.fixture(scope="module")
def off(machine: Machine) -> dict[str, Any]:
    """What the machine saw last. Both file systems were mounted until its shutdown."""
    return machine.boot("unarmed")["unarmed"]


def test_what_was_written_was_only_in_memory(off: dict[str, Any]) -> None:
    blocks = {name: cache["dirty"] for name, cache in off["caches"].items()}
    assert blocks["rc-wb_beta"] * 4096 >= 16 * MIB
    assert blocks["rc-wb_alpha"] * 4096 >= 4 * MIB


def test_flush_on_suspend_alone_makes_the_source_whole(
    off: dict[str, Any], machine: Machine
) -> None:
    assert machine.source("beta") == (True, off["digest"])


def test_without_it_the_source_is_not_even_a_file_system(
    off: dict[str, Any], machine: Machine
) -> None:
    assert not machine.source("alpha").clean
