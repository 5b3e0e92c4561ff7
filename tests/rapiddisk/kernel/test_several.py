"""Exports and ports by several names at once: each by itself, one question for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Ran
from tests.fakes.kernel import NVMET, FakeKernel

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd"


@pytest.fixture
def nvmet(kernel: FakeKernel, local: Local) -> Local:
    """Three volumes and three ports; rd0 and rd1 are exported on port 1."""
    kernel.add_volumes(3)
    for number in (1, 2, 3):
        kernel.add_port(number, service=str(4420 + number))

    def call(words: str, *more: str, **options: object) -> Ran:
        return local("rapiddisk", "nvmet", *words.split(), *more, **options)

    assert call("export rd0 rd1 --port 1 --any-host").code == 0
    return call


def names(kernel: FakeKernel, what: str) -> list[str]:
    return sorted(path.name for path in kernel.path(f"{NVMET}/{what}").iterdir())


def targets(ran: Ran) -> list[tuple[str, bool]]:
    return [(row["target"], row["changed"]) for row in ran.json["results"]]


def test_export_several(kernel: FakeKernel, nvmet: Local) -> None:
    assert names(kernel, "subsystems") == [f"{NQN}0", f"{NQN}1"]
    ran = nvmet("export rd0 rd9 rd2 --port 1 --any-host --json")
    assert (ran.code, ran.json["status"]) == (8, "partial")
    assert targets(ran) == [("rd0", False), ("rd2", True)]
    assert [error["target"] for error in ran.json["errors"]] == ["rd9"]


def test_unexport_several(kernel: FakeKernel, nvmet: Local) -> None:
    ran = nvmet("unexport rd0 rd1")
    assert ran.code == 2
    for number in (0, 1):
        assert f"{NQN}{number}: its clients will lose access" in ran.err
    ran = nvmet("unexport rd1 rd9 rd0 --yes --json")
    assert (ran.code, targets(ran)) == (8, [("rd1", True), ("rd0", True)])
    assert names(kernel, "subsystems") == []


def test_unexport_by_several_nqns(kernel: FakeKernel, nvmet: Local) -> None:
    ran = nvmet(f"unexport --nqn {NQN}1 --nqn {NQN}0 --nqn {NQN}1 --yes --json")
    assert (ran.code, targets(ran)) == (0, [(f"{NQN}1", True), (f"{NQN}0", True)])


def test_two_names_of_one_export(kernel: FakeKernel, nvmet: Local) -> None:
    kernel.foreign_namespace(f"{NQN}0", 2, "/dev/rd2", enabled=True)
    ran = nvmet("unexport rd0 rd2 --yes --json")
    assert (ran.code, targets(ran)) == (0, [("rd0", True)])


def test_unexport_from_a_port(kernel: FakeKernel, nvmet: Local) -> None:
    assert nvmet("export rd0 --port 2 --any-host").code == 0
    ran = nvmet("unexport rd0 rd1 --port 2 --yes --json")
    assert targets(ran) == [("rd0", True), ("rd1", False)]
    assert names(kernel, "subsystems") == [f"{NQN}0", f"{NQN}1"]


def test_a_dry_run_of_several(kernel: FakeKernel, nvmet: Local) -> None:
    before = kernel.snapshot()
    for words in ("unexport rd0 rd1", "port remove 2 3", "export rd1 rd2 --port 2 --any-host"):
        ran = nvmet(words, "--dry-run", "--json")
        assert (ran.code, len(ran.json["results"])) == (0, 2), ran.err
        assert ran.json["plan"]
    assert kernel.snapshot() == before


def test_an_export_that_fails_leaves_the_others(kernel: FakeKernel, nvmet: Local) -> None:
    kernel.steps = 0
    kernel.fail_at(1, 5)
    ran = nvmet("unexport rd0 rd1 --yes --json")
    assert (ran.code, targets(ran)) == (8, [("rd1", True)])
    assert names(kernel, "subsystems") == [f"{NQN}0"]


def test_remove_several_ports(kernel: FakeKernel, nvmet: Local) -> None:
    ran = nvmet("port remove 3 1 9 2 --yes --json")
    assert (ran.code, targets(ran)) == (8, [("3", True), ("2", True)])
    errors = [(error["target"], error["code"]) for error in ran.json["errors"]]
    assert errors == [("1", "in-use"), ("9", "not-found")]
    assert names(kernel, "ports") == ["1"]
    assert nvmet("port remove x --yes").code == 2


def test_revalidate_several(kernel: FakeKernel, nvmet: Local) -> None:
    kernel.resize_volume(0, 128 << 20)
    kernel.resize_volume(1, 128 << 20)
    ran = nvmet("revalidate rd0 rd1 rd2 --json")
    assert (ran.code, targets(ran)) == (8, [("rd0", True), ("rd1", True)])
    assert kernel.namespace_sizes[f"{NQN}0", 1] == kernel.namespace_sizes[f"{NQN}1", 1] == 128 << 20


def test_names_from_standard_input(kernel: FakeKernel, nvmet: Local) -> None:
    assert nvmet("unexport -", "--yes", stdin=b"rd0\nrd1\n").code == 0
    assert nvmet("port remove - --yes", stdin=b"1\n2\n3\n").code == 0
    assert names(kernel, "ports") == []


@pytest.mark.parametrize("name", ["rd0", "/dev/rd0", f"{NQN}0"])
def test_show_an_export(nvmet: Local, name: str) -> None:
    ran = nvmet(f"show {name}")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"NQN       {NQN}0\nNS        1\nDevice    /dev/rd0\n")
    assert "Any host  yes\nHosts     any\n" in ran.out


def test_show_what_is_incomplete(kernel: FakeKernel, nvmet: Local) -> None:
    kernel.foreign_subsystem("nqn.x:empty", None)
    assert nvmet("list nqn.x:empty").code == 3
    assert nvmet("list nqn.x:empty --all").code == 0
    assert nvmet("show nqn.x:empty").code == 0


def test_the_export_of_a_cache(kernel: FakeKernel, nvmet: Local, local: Local) -> None:
    kernel.map_cache("rc-wt_vdb", "rd2", "vdb")
    assert nvmet("export rc-wt_vdb --port 1 --any-host").code == 0
    for name in ("rc-wt_vdb", "/dev/mapper/rc-wt_vdb"):
        (row,) = nvmet(f"list {name} --json").json["items"]
        assert row["nqn"].endswith("rc-wt_vdb")
    ran = local("rapiddisk", "cache", "show", "rc-wt_vdb")
    assert "Source kernel" in ran.out
