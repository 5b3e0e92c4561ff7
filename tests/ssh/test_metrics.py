"""metrics and check of a machine over SSH."""

from __future__ import annotations

from tests.metrics.exposition import parse, value
from tests.ssh.conftest import Over


def test_metrics_are_those_of_the_machine(over: Over) -> None:
    assert over("rapiddisk", "create", "8M").code == 0
    ran, there = over("metrics"), over.there("metrics", "rapiddisk")
    assert (ran.code, ran.err) == (0, "")
    families, expected = parse(ran.out), parse(there.out)
    for name, family in expected.items():
        if name.startswith("rapiddisk_"):
            assert families[name] == family
    assert families["rdctl_scrape_success"] == expected["rdctl_scrape_success"]
    assert value(families, "rapiddisk_exports") == 1
    assert value(families, "rapiddisk_boot_unit_enabled", unit="rdctl-caches.service") == 0


def test_a_part_that_fails_there(over: Over) -> None:
    over.context("bare", command="env RDCTL_HISTORY= rdctl")
    ran = over("-c", "bare", "metrics")
    families = parse(ran.out)
    assert ran.code == 8
    assert value(families, "rdctl_scrape_success", part="rapiddisk_inventory") == 0
    assert value(families, "rdctl_scrape_success", part="rapiddisk_memory") == 1
    assert "the kernel module rapiddisk is not loaded" in ran.err


def test_a_machine_that_cannot_be_reached(over: Over) -> None:
    over.context("gone", url="ssh://127.0.0.1:1")
    file = over.rdctl.home / "rdctl.prom"
    ran = over("-c", "gone", "metrics", "--textfile", str(file))
    assert ran.code == 6
    assert value(parse(file.read_text()), "rdctl_scrape_success", part="rapiddisk") == 0
    ran = over("-c", "gone", "check")
    assert (ran.code, ran.out.startswith("RDCTL UNKNOWN - rapiddisk: ")) == (3, True)


def test_check_of_several_machines(over: Over) -> None:
    over.context("other")
    ran = over("-c", "node,other", "check", "--warning", "volumes=0")
    assert ran.code == 1
    assert ran.out.startswith("RDCTL WARNING - node: volumes 1, other: volumes 1 | ")
