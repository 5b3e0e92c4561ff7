"""What `boot enable` brings back, and what it writes back: one machine through four boots."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.reboot.machine import MIB, Machine, Source

# Writing 20 MiB back takes longer than the 15 seconds after which systemd kills what stops.
SLOW = 1_000_000
UP = ("rebooted", "swapped")


class Life(NamedTuple):
    """What was seen in each boot, and on the disk beta after each time that it was off."""

    seen: dict[str, dict[str, Any]]
    sources: dict[str, Source]


@pytest.fixture(scope="module")
def life(machine: Machine) -> Life:
    """A real reboot; then off, and the disks change places; then off, and one disk is gone."""
    seen = machine.boot("made", "rebooted")
    sources = {"rebooted": machine.source("beta")}
    seen |= machine.boot("swapped", disks=("beta", "alpha"), slow=SLOW)
    sources["swapped"] = machine.source("beta")
    seen |= machine.boot("incomplete", disks=("alpha",))
    for stage, facts in seen.items():
        print(f"{stage}: {facts['seconds']} from systemd's start to the end of the boot")
    return Life(seen, sources)


@pytest.fixture(scope="module", params=UP)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def before(life: Life) -> dict[str, Any]:
    return life.seen["made"]


@pytest.fixture
def after(life: Life, stage: str) -> dict[str, Any]:
    return life.seen[stage]


def test_each_stage_had_a_kernel_of_its_own(life: Life) -> None:
    assert len({facts["boot"] for facts in life.seen.values()}) == 4


def test_the_disks_changed_places(life: Life) -> None:
    before, after = life.seen["rebooted"]["disks"], life.seen["swapped"]["disks"]
    assert (after["alpha"], after["beta"]) == (before["beta"], before["alpha"])


def test_nothing_failed_at_boot(after: dict[str, Any]) -> None:
    assert (after["running"], after["failed"]) == ("running", [])
    assert [unit["ActiveState"] for unit in after["units"].values()] == ["active"] * 3


def test_volumes_have_their_numbers_and_sizes(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    sizes = {name: volume["size"] for name, volume in after["volumes"].items()}
    assert sizes == {"rd0": 64 * MIB, "rd1": 16 * MIB, "rd2": 64 * MIB, "rd3": 8 * MIB}
    assert after["volumes"] == before["volumes"]
    assert after["volumes"]["rd3"]["locked"]


def test_caches_have_their_names_and_sources(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert {name: (cache["target"], cache["parts"]) for name, cache in after["caches"].items()} == {
        "rc-wt_alpha": ("rapiddisk-cache", ["alpha", "rd1"]),
        "rc-wb_beta": ("writecache", ["beta", "rd2"]),
    }


def test_what_was_written_was_only_in_memory(life: Life) -> None:
    written = [life.seen["made"], *(life.seen[stage]["next"] for stage in UP)]
    assert all(seen["caches"]["rc-wb_beta"]["dirty"] * 4096 >= 20 * MIB for seen in written)


def test_the_file_system_is_mounted_without_recovery(after: dict[str, Any]) -> None:
    assert after["mounted"] == "/dev/mapper/rc-wb_beta"
    (line,) = after["ext4"]
    assert "mounted filesystem" in line


def test_the_file_is_as_it_was_written(life: Life) -> None:
    written = {
        "rebooted": life.seen["made"]["digest"],
        "swapped": life.seen["rebooted"]["next"]["digest"],
    }
    assert {stage: life.seen[stage]["digest"] for stage in UP} == written
    assert len(set(written.values())) == 2


def test_the_source_is_whole_when_the_machine_is_off(life: Life, stage: str) -> None:
    assert life.sources[stage] == (True, life.seen[stage]["next"]["digest"])


@pytest.mark.parametrize("next_stage", ["swapped", "incomplete"])
def test_the_units_wrote_back_and_had_the_time_for_it(life: Life, next_stage: str) -> None:
    """Not at the first reboot: `boot enable` starts nothing, and flush_on_suspend does it."""
    journal = life.seen[next_stage]["before"]["rdctl-caches.service"]
    assert "wrote rc-wb_beta back and removed it" in journal
    assert "timed out" not in journal


def test_the_export_has_its_identity(before: dict[str, Any], after: dict[str, Any]) -> None:
    (export,) = after["exports"].values()
    assert (export["device"], export["enabled"], export["ports"]) == ("/dev/rd0", "1", ["1"])
    assert after["exports"] == before["exports"]


def test_its_client_sees_the_disk_of_before(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["client"]["links"]
    assert after["client"] == before["client"]


def test_the_machine_is_as_its_state_file_says(after: dict[str, Any]) -> None:
    assert after["diff"]["code"] == 0, after["diff"]["text"]


def test_a_missing_disk_is_named_and_the_rest_is_there(life: Life) -> None:
    before, after = life.seen["made"], life.seen["incomplete"]
    assert after["running"] == "running", after["failed"]
    caches = after["units"]["rdctl-caches.service"]
    assert (caches["ActiveState"], caches["ExecMainStatus"]) == ("active", "8")
    assert "virtio-beta" in caches["journal"]
    assert after["volumes"] == before["volumes"]
    assert list(after["caches"]) == ["rc-wt_alpha"]
    assert after["mounted"] is None
    assert (after["exports"], after["client"]) == (before["exports"], before["client"])
    assert after["diff"]["code"] == 12
