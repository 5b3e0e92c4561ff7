"""apply --boot consents to exactly one thing: a write-back map over a source that the file
identifies. Everything else that asks is skipped and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Program
from tests.fakes.kernel import MIB, PAGE, FakeKernel
from tests.rapiddisk.state.machines import (
    BY_ID,
    FILE,
    HOST,
    NQN,
    SCHEMA,
    WHOLE,
    applied,
    differences,
    machine,
    run,
)


def edit(kernel: FakeKernel, old: str, new: str) -> None:
    assert old in WHOLE
    kernel.put(FILE, WHOLE.replace(old, new))


def fewer_hosts(kernel: FakeKernel) -> None:
    edit(kernel, f'hosts = ["{HOST}"]', "hosts = []")


def any_host(kernel: FakeKernel) -> None:
    edit(kernel, f'hosts = ["{HOST}"]', "any_host = true")


def fewer_ports(kernel: FakeKernel) -> None:
    edit(kernel, "ports = [1]", "ports = []")


def adoption(kernel: FakeKernel) -> None:
    kernel.maps["rc-wb_data"].dirty = 7
    kernel.maps["rc-wb_data"].armed = False
    kernel.unmap_unsafely("rc-wb_data")


def unidentified(kernel: FakeKernel) -> None:
    kernel.unmap_unsafely("rc-wb_data")
    kernel.replace_volume(0, 64 * MIB)
    edit(kernel, BY_ID, "/dev/sdb")


ASKING = {
    "a host that loses access": (fewer_hosts, NQN, f"{HOST} may no longer connect"),
    "hosts that are replaced by any": (any_host, NQN, f"{HOST} may no longer connect"),
    "a port that is closed": (fewer_ports, NQN, "clients on port 1 will lose access"),
    "an adoption": (adoption, "rc-wb_data", "7 unwritten blocks (28.0 KiB) of rd0 will be written"),
    "a disk that only the kernel's name identifies": (
        unidentified,
        "rc-wb_data",
        "/dev/sdb: new writes stay in RAM until they are written back",
    ),
}


@pytest.mark.parametrize("name", ASKING)
def test_what_asks_is_skipped(rdctl: Program, name: str) -> None:
    arrange: Callable[[FakeKernel], None]
    arrange, target, loss = ASKING[name]
    kernel = applied(rdctl, rdctl.home / "root")
    arrange(kernel)
    before = kernel.snapshot()
    kernel.steps = 0
    ran = run(rdctl, "apply --boot --json")
    assert ran.code == 8, ran.err
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == (target, "consent-missing")
    assert f"{target}: skipped, since it requires confirmation: " in error["message"]
    assert loss in error["message"]
    assert (kernel.steps, kernel.snapshot(), kernel.harm) == (0, before, [])
    # With consent it is done: the boot plan skips it for no other reason.
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert differences(rdctl) == []


def test_a_writeback_map_over_an_identified_source_is_made(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    ran = run(rdctl, "apply --boot")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert kernel.maps["rc-wb_data"].armed
    assert differences(rdctl) == []


@pytest.mark.parametrize("option", ["--yes", "--prune", "--recreate"])
def test_boot_gives_no_other_consent(rdctl: Program, option: str) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    ran = run(rdctl, f"apply --boot {option}")
    assert (ran.code, kernel.steps) == (2, 0)
    assert f"--boot and {option} are mutually exclusive" in ran.err


def test_what_is_missing_stops_nothing_else(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.path(BY_ID).unlink()
    kernel.addresses.remove("10.0.2.15")
    ran = run(rdctl, "apply --boot --json")
    assert ran.code == 8
    assert sum(rdctl.slept) == pytest.approx(30)
    assert f"waiting for {BY_ID}, 10.0.2.15 (at most 30 s)" in ran.err
    errors = {error["target"]: error["message"] for error in ran.json["errors"]}
    assert errors == {
        "rc-wb_data": f'block device "{BY_ID}" not found',
        "1": "port 1: 10.0.2.15 is not an address of this machine",
        NQN: "port 1 was not created",
    }
    assert sorted(kernel.maps) == ["rc-wt_top"]
    assert sorted(kernel.volumes) == [0, 3, 5, 6]
    # Later, when the rest is there.
    kernel.link_node(BY_ID[1:], "../../sdb")
    kernel.addresses.append("10.0.2.15")
    assert run(rdctl, "apply --boot").code == 0
    assert differences(rdctl) == []


def test_a_volume_with_contents_is_left(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.add_volume(0, 64 * MIB)
    kernel.write_data("rd0", b"x" * PAGE)
    ran = run(rdctl, "apply --boot --json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["target"], error["code"]) == (8, "rc-wb_data", "not-empty")
    assert kernel.volumes[0].blocks == {0: b"x" * PAGE}
    assert sorted(kernel.maps) == ["rc-wt_top"]


def test_a_refused_step_stops_nothing_else(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.fail_at(1, 5)
    ran = run(rdctl, "apply --boot --json")
    assert ran.code == 8
    targets = [error["target"] for error in ran.json["errors"]]
    assert targets[0] == "rd0"
    assert sorted(kernel.volumes) == [3, 5, 6]
    assert "rc-wt_top" in kernel.maps


def test_a_boot_without_anything_to_do(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", SCHEMA)
    ran = run(rdctl, "apply --boot")
    assert (ran.code, ran.out, kernel.steps) == (0, f"/{FILE}: no changes\n", 0)


def test_a_locked_export_is_locked_when_it_is_exported(rdctl: Program) -> None:
    """The kernel exports no locked volume, and two units do the two parts."""
    text = WHOLE.replace("[volumes.rd3]\n", "[volumes.rd3]\nlocked = true\n")
    kernel = machine(rdctl, rdctl.home / "root", text)
    assert run(rdctl, "apply --boot --only caches").code == 0
    assert (kernel.volumes[3].locked, kernel.volumes[5].locked) == (False, True)
    ran = run(rdctl, "apply --boot --only exports")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert ran.out.splitlines()[-1] == "locked rd3"
    assert differences(rdctl) == []
    kernel.steps = 0
    assert run(rdctl, "apply --boot --only caches").code == 0
    assert run(rdctl, "apply --boot --only exports").code == 0
    assert kernel.steps == 0
