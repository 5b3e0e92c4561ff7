"""Contents that last: one machine through a reboot, a power-off, a damaged image, and a boot
without the disk that has an image."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reboot.machine import Machine

Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def life(machine: Machine) -> Seen:
    seen = machine.boot("kept", "loaded")  # off after the last
    seen |= machine.boot("powered", "damaged", "again")
    seen |= machine.boot("missing", disks=("alpha",))
    return seen


def test_the_machine_is_as_its_state_file_says(life: Seen) -> None:
    for stage in ("kept", "loaded", "powered"):
        assert life[stage]["diff"]["code"] == 0, life[stage]["diff"]["text"]


def test_nothing_keeps_them_from_being_saved(life: Seen) -> None:
    assert life["kept"]["warnings"] == []


@pytest.mark.parametrize(("stage", "before"), [("loaded", "kept"), ("powered", "loaded")])
def test_files_survive_a_reboot_and_a_power_off(life: Seen, stage: str, before: str) -> None:
    seen = life[stage]
    assert (seen["running"], seen["failed"]) == ("running", [])
    assert seen["mounted"] == {"rd0": "/dev/rd0", "rd1": "/dev/rd1"}
    assert seen["files"] == life[before]["next"]
    assert None not in seen["files"].values()
    assert [unit["ActiveState"] for unit in seen["units"].values()] == ["active"] * 3


def test_they_were_saved_after_they_were_unmounted(life: Seen) -> None:
    for stage in ("loaded", "powered"):
        before = life[stage]["before"]
        assert "saved rd0 in /var/lib/rdctl/rd0.img" in before
        assert "saved rd1 in /images/a disk 100%/rd1.img" in before
        assert "in use" not in before
        assert "timed out" not in before


def test_each_boot_had_other_files(life: Seen) -> None:
    assert len({life[stage]["next"]["rd0"] for stage in ("kept", "loaded")}) == 2


def test_a_damaged_image_is_not_loaded(life: Seen) -> None:
    seen = life["damaged"]
    # An empty volume has no file system to mount; the boot goes on without it.
    assert [line.split()[0] for line in seen["failed"]] == ["scratch.mount"]
    unit = seen["units"]["rdctl-images.service"]
    assert (unit["ActiveState"], unit["ExecMainStatus"]) == ("active", "8")
    assert "rd0 was not loaded: /var/lib/rdctl/rd0.img: its SHA-256 is" in unit["journal"]
    assert seen["mounted"] == {"rd0": None, "rd1": "/dev/rd1"}
    assert seen["files"]["rd1"] == life["powered"]["files"]["rd1"]


def test_no_shutdown_overwrites_it(life: Seen) -> None:
    seen = life["again"]
    assert life["damaged"]["images"]["rd0"] == life["powered"]["damaged"]
    assert seen["images"]["rd0"] == life["powered"]["damaged"]
    assert "rd0 and its image /var/lib/rdctl/rd0.img differ" in seen["before"]
    assert "saved rd1" in seen["before"]
    assert seen["files"]["rd1"] == life["powered"]["files"]["rd1"]


def test_nothing_is_loaded_while_the_file_system_of_an_image_is_missing(life: Seen) -> None:
    seen = life["missing"]
    assert seen["disk"] is None
    assert seen["units"]["rdctl-images.service"]["ActiveState"] == "inactive"
    assert seen["mounted"] == {"rd0": None, "rd1": None}
    assert seen["volumes"].keys() == {"rd0", "rd1"}
    assert seen["images"] == {"rd0": life["powered"]["damaged"], "rd1": None}
