"""--prune removes only what an earlier apply of this boot made; a name alone proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program
from tests.fakes.kernel import MIB, PAGE, FakeKernel
from tests.rapiddisk.state.machines import (
    FILE,
    NQN,
    SCHEMA,
    WHOLE,
    applied,
    differences,
    machine,
    run,
)

UNLOCKED = WHOLE.replace("locked = true", "")


def test_what_apply_made_is_removed(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.maps["rc-wb_data"].dirty = 77
    kernel.put(FILE, SCHEMA)
    asked = run(rdctl, "apply --prune --json").json["error"]["losses"]
    assert asked == [
        f"{NQN}: its clients will lose access",
        "port 1 will be removed; it has no exports",
        "cache rc-wb_data will be written back and removed; sdb will be uncached",
        "cache rc-wt_top will be removed; sda will be uncached",
        "volume rd0 (64.0 MiB, 256.0 KiB used) will be removed",
        "volume rd3 (16.0 MiB, empty) will be removed",
        "volume rd5 (8.0 MiB, empty) will be removed",
        "volume rd6 (32.0 MiB, 1.0 MiB used) will be removed",
    ]
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert (kernel.volumes, kernel.maps) == ({}, {})
    assert differences(rdctl) == []
    assert run(rdctl, "apply --prune").out == f"/{FILE}: no changes\n"


def test_without_prune_it_stays(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, SCHEMA)
    assert run(rdctl, "apply").out == f"/{FILE}: no changes\n"
    assert kernel.steps == 0
    assert {row[2] for row in differences(rdctl)} == {"extra"}


def replaced_volume(kernel: FakeKernel) -> str:
    kernel.replace_volume(3, 16 * MIB)
    return "rd3"


def replaced_cache(kernel: FakeKernel) -> str:
    kernel.unmap_unsafely("rc-wt_top")
    kernel.map_cache("rc-wt_top", "rd6", "sda")
    return "rc-wt_top"


def other_boot(kernel: FakeKernel) -> str:
    kernel.put("proc/sys/kernel/random/boot_id", "another\n")
    return "rd3"


def other_serial(kernel: FakeKernel) -> str:
    kernel.put(f"sys/kernel/config/nvmet/subsystems/{NQN}/attr_serial", "foreign\n")
    return NQN


@pytest.mark.parametrize("replace", [replaced_volume, replaced_cache, other_boot, other_serial])
def test_a_name_proves_nothing(rdctl: Program, replace: Callable[[FakeKernel], str]) -> None:
    text = UNLOCKED.replace("[exports", "[exports_").split("[exports_")[0]
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED if replace is other_serial else text)
    name = replace(kernel)
    kernel.put(FILE, SCHEMA)
    notes = {row["name"]: row["note"] for row in run(rdctl, "diff --json").json["items"]}
    assert notes[name] == "not created by apply; left alone"
    run(rdctl, "apply --prune --yes")
    assert name in {row[1] for row in differences(rdctl)}
    assert kernel.harm == []


def test_what_others_made_is_shown_and_left(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", SCHEMA)
    kernel.add_volume(0)
    kernel.add_port(1)
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, ran.out, kernel.steps) == (0, f"/{FILE}: no changes\n", 0)
    left = "port 1, rc-wt_vdb, rd0"
    assert f"warning: left alone, since apply did not create them: {left}\n" in ran.err
    notes = {row["note"] for row in run(rdctl, "diff --json").json["items"]}
    assert notes == {"not created by apply; left alone"}


def test_what_is_in_use_is_not_removed(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.mount("/dev/rd5", "/mnt")
    kernel.put(FILE, SCHEMA)
    kernel.steps = 0
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "rd5 is in use: mounted on /mnt" in ran.err


def test_a_renamed_cache(rdctl: Program) -> None:
    """The old one is written back and removed first, so that its volume and its disk are free."""
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.maps["rc-wb_data"].dirty = 5
    kernel.put(FILE, WHOLE.replace("rc-wb_data", "rc-wb_new"))
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert ran.out == "removed rc-wb_data\ncreated rc-wb_new\n"
    assert differences(rdctl) == []


def test_only_copies_are_never_pruned(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.maps["rc-wb_data"].dirty = 9
    kernel.maps["rc-wb_data"].armed = False
    kernel.unmap_unsafely("rc-wb_data")
    kernel.put(FILE, SCHEMA)
    kernel.steps = 0
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "the only copy" in ran.err


def test_data_of_a_pruned_volume_is_named(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", SCHEMA + '[volumes.rd1]\nsize = "8MiB"\n')
    kernel.write_data("rd1", b"x" * PAGE)
    kernel.put(FILE, SCHEMA)
    asked = run(rdctl, "apply --prune --json").json["error"]["losses"]
    assert asked == ["volume rd1 (8.0 MiB, 4.0 KiB used) will be removed"]


@pytest.mark.parametrize("words", ["apply --boot", "apply --yes"])
def test_what_was_made_before_an_interrupt_is_known(rdctl: Program, words: str) -> None:
    """At every step: what is there afterwards was made by apply, and --prune removes it."""
    count = applied_steps(rdctl, words)
    with signals():
        for step in range(1, count + 1):
            kernel = machine(rdctl, rdctl.home / f"root{step}", UNLOCKED)
            kernel.interrupt_at(step)
            assert run(rdctl, words).code == 130
            kernel.put(FILE, SCHEMA)
            notes = {row["note"] for row in run(rdctl, "diff --json").json["items"]}
            assert notes <= {"created by apply; apply --prune removes it"}, step
            assert run(rdctl, "apply --prune --yes").code == 0
            assert (differences(rdctl), kernel.harm) == ([], [])


def applied_steps(rdctl: Program, words: str) -> int:
    kernel = machine(rdctl, rdctl.home / "counted", UNLOCKED)
    assert run(rdctl, words).code == 0
    return kernel.steps


def test_a_dry_run_of_a_rename(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.put(FILE, UNLOCKED.replace("rc-wb_data", "rc-wb_new"))
    dry = run(rdctl, "apply --prune --dry-run --json")
    assert dry.code == 0, dry.err
    ran = run(rdctl, "apply --prune --yes --trace")
    assert ran.code == 0, ran.err
    assert [line for line in ran.err.splitlines() if not line.startswith("# ")] == dry.json["plan"]
    kernel.put(FILE, SCHEMA)
    assert run(rdctl, "apply --prune --dry-run").code == 0


def test_a_port_and_an_export_that_are_renamed(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = WHOLE.replace("[ports.1]", "[ports.9]").replace("ports = [1]", "ports = [9]")
    kernel.put(FILE, text.replace(NQN, f"{NQN}-new"))
    ran = run(rdctl, "apply --prune --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert differences(rdctl) == []


def test_a_replaced_port_is_still_known(rdctl: Program) -> None:
    text = SCHEMA + '[ports.1]\ntransport = "tcp"\naddress = "10.0.2.15"\nservice = "4420"\n'
    kernel = applied(rdctl, rdctl.home / "root", text)
    kernel.put(FILE, text.replace("4420", "4421"))
    assert run(rdctl, "apply").code == 0
    kernel.put(FILE, SCHEMA)
    assert run(rdctl, "apply --prune --yes").out == "removed port 1\n"


def test_what_was_made_again_by_hand_is_left(rdctl: Program) -> None:
    text = WHOLE.split("[caches")[0] + "[ports" + WHOLE.partition("[ports")[2]
    kernel = applied(rdctl, rdctl.home / "root", text)
    host = "nqn.2014-08.org.nvmexpress:uuid:1"
    for words in (
        "nvmet unexport rd3 --yes",
        "nvmet port remove 1 --yes",
        "nvmet port add 1 --transport tcp --address 10.0.2.15",
        "remove rd3 --yes",
        "create 16M --number 3",
        f"nvmet export rd3 --port 1 --host {host} --serial store-7"
        " --uuid d592cdf3-5d1c-44e0-8412-3fcf7d99df27",
    ):
        assert run(rdctl, words).code == 0, words
    kernel.put(FILE, SCHEMA)
    notes = {row["name"]: row["note"] for row in run(rdctl, "diff --json").json["items"]}
    for name in (NQN, "1", "rd3"):
        assert notes[name] == "not created by apply; left alone"


def test_removals_are_named_when_the_rest_fails(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.put(FILE, UNLOCKED.replace("rc-wb_data", "rc-wb_new"))
    kernel.fail_at(5, 5)
    ran = run(rdctl, "apply --prune --yes")
    assert ran.code == 8
    assert "all steps after the removals were rolled back" in ran.err
    assert "removed rc-wb_data" in ran.out
