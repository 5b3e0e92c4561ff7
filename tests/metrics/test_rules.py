"""The alert rules and the units in packaging/prometheus."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdctl.metrics.model import METRICS
from tests.conftest import Program
from tests.doctor.conftest import Run, healthy
from tests.fakes.kernel import FakeKernel
from tests.metrics.exposition import parse
from tests.metrics.test_check import MISSING

__all__ = ["healthy"]  # the fixture

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGING = ROOT / "packaging" / "prometheus"
RULES = PACKAGING / "rdctl.rules.yml"
TESTS = Path(__file__).with_name("rules.test.yml")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def named(expression: str) -> set[str]:
    """The metrics in an expression."""
    without_labels = re.sub(
        r"\{[^}]*\}|\[[^]]*\]|\b(ignoring|without|on|by) \([^)]*\)", "", expression
    )
    return set(re.findall(r"\b(?:rdctl|rapiddisk|oio)_\w+", without_labels))


@pytest.fixture
def promtool() -> str:
    """Debian's package `prometheus` has it."""
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed: apt-get install prometheus")
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return program


def run(promtool: str, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [promtool, *words], input=stdin, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_rules_are_valid(promtool: str) -> None:
    assert f"{len(rules())} rules found" in run(promtool, "check", "rules", str(RULES))


def test_each_alert_comes_and_stays_away(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", str(TESTS))


def test_no_alert_is_left_out() -> None:
    wrong, right = yaml.safe_load(TESTS.read_text("utf-8"))["tests"]
    expected = {
        re.findall('"(.*)"', sample["labels"])[0]
        for sample in wrong["promql_expr_test"][0]["exp_samples"]
    }
    assert expected == {rule["alert"] for rule in rules() if "alert" in rule}
    # `up` is of Prometheus itself.
    metrics = {re.split(r"[{]", one["series"])[0] for one in right["input_series"]} - {"up"}
    used = set().union(*(named(rule["expr"]) for rule in rules() if "alert" in rule))
    assert metrics == used


def test_the_output_passes_the_linter_of_prometheus(promtool: str, sandbox: Run) -> None:
    sandbox("rapiddisk", "create", "64M")
    sandbox("rapiddisk", "cache", "create", "rd1", "sdb", "--policy", "writeback", "--yes")
    sandbox("rapiddisk", "dump", "--save", "--yes")
    assert run(promtool, "check", "metrics", stdin=sandbox("metrics").out) == ""


def test_all_metrics_of_the_rules_are_in_the_output(
    rdctl: Program, healthy: Run, kernel: FakeKernel
) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=512)
    kernel.put("sys/block/sdb/stat", "1 0 2048 1 1 0 2048 1 0 100 2\n")
    kernel.put("etc/rdctl/rapiddisk.toml", MISSING)
    there = set(parse(healthy("metrics").out)) | set(parse(rdctl("-c", "sandbox", "metrics").out))
    used = set().union(*(named(rule["expr"]) for rule in rules()))
    assert len(used) > 10
    assert used <= there
    # No metric is described that nothing has.
    assert set(METRICS) - there <= {"rapiddisk_daemon_info"}


def test_what_the_rules_advise_can_be_typed(rdctl: Program) -> None:
    for rule in rules():
        advice = rule.get("annotations", {}).get("description", "")
        for verb in re.findall(r"rdctl ((?:rapiddisk |oio )?[a-z]+(?: [a-z]+)?)", advice):
            assert rdctl(*verb.split(), "--help").code == 0, verb


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "rdctl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in PACKAGING.glob("rdctl-metrics.*"):
        text = unit.read_text("utf-8").replace("/usr/bin/rdctl", str(program))
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / f"rdctl-metrics.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_can_open_devices_and_read_keys() -> None:
    """On older systemd ProtectClock denies all devices but clocks, and the files that ssh uses,
    and those that a state file names, may be in /root."""
    lines = (PACKAGING / "rdctl-metrics.service").read_text("utf-8").splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert not names & {"ProtectClock", "PrivateDevices", "DevicePolicy", "DeviceAllow"}
    assert "ProtectHome=read-only" in lines
    # Without these the clock is not protected.
    (capabilities,) = [line for line in lines if line.startswith("CapabilityBoundingSet=")]
    assert "CAP_SYS_TIME" not in capabilities
    assert "SystemCallFilter=@system-service" in lines


def test_the_unit_runs_what_can_be_typed(sandbox: Run, tmp_path: Path) -> None:
    text = (PACKAGING / "rdctl-metrics.service").read_text("utf-8")
    found = re.search(r"^ExecStart=/usr/bin/rdctl (.*) (/var/lib/.*)$", text, re.M)
    assert found is not None
    folder, name = found[2].rsplit("/", 1)
    assert f"ReadWritePaths=-{folder}\n" in text
    ran = sandbox(*found[1].split(), str(tmp_path / name))
    assert (ran.code, ran.err) == (0, "")
