"""Doctor, live completion and watching, on a real kernel."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import rdctl.doctor.examination
from rdctl.cli.run import run
from tests.kernel import machine
from tests.kernel.conftest import Program, _ran
from tests.kernel.machine import MIB


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under emulation everything takes ten times as long."""
    monkeypatch.setattr(rdctl.doctor.examination, "SECONDS", 60.0)


def findings(program: Program, *severities: str) -> list[dict[str, Any]]:
    """What doctor finds of RapidDisk on this machine, but of the version of its module."""
    return [one for one in _all_findings(program, *severities) if not _of_the_version(one)]


def _all_findings(program: Program, *severities: str) -> list[dict[str, Any]]:
    environment = program.environment()
    code = run(["--json", "--local", "doctor"], environment)
    items = _ran(code, environment).json["items"]
    checks = {"modules", "configfs", "devices", "root", "caches", "exports"}
    return [one for one in items if one["check"] in checks and one["severity"] in severities]


def _of_the_version(finding: dict[str, Any]) -> bool:
    return "rapiddisk 9.0.0 can crash programs" in finding["message"]


def test_a_sound_machine(rdctl: Program) -> None:
    rdctl.ok("create", "16M")
    assert findings(rdctl, "warning", "error") == []
    assert {one["check"] for one in findings(rdctl, "ok")} >= {"modules", "configfs", "root"}
    warned = [one["severity"] for one in _all_findings(rdctl, "warning", "error")]
    version = Path("/sys/module/rapiddisk/version").read_text()
    assert warned == (["warning"] if version == "9.0.0\n" else [])


def test_what_waits_in_a_write_back_cache(rdctl: Program, disk: str) -> None:
    rdctl.ok("create", "16M")
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    (found,) = findings(rdctl, "warning", "error")
    assert found["check"] == "caches"
    assert found["subject"] == f"rc-wb_{disk}"
    assert found["mend"].endswith(f"rapiddisk cache sync rc-wb_{disk}")


def test_the_mend_of_a_half_made_export_mends_it(rdctl: Program) -> None:
    rdctl.ok("create", "16M")
    nqn = machine.export("nqn.2021-06.com.rapiddisk:half", "/dev/rd0", enable=False)
    (found,) = findings(rdctl, "warning", "error")
    assert (found["check"], found["subject"]) == ("exports", nqn)
    words = shlex.split(found["mend"])
    rdctl.ok(*words[words.index("rapiddisk") + 1 :], options=("--json", "--yes", "--local"))
    assert findings(rdctl, "warning", "error") == []
    assert machine.nvmet()["subsystems"] == []


def test_names_are_completed(rdctl: Program) -> None:
    rdctl.ok("create", "16M")
    rdctl.ok("create", "32M")
    rdctl.ok("lock", "rd1")
    before = machine.volumes()
    environ = {"HOME": str(rdctl.home), "PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    shown = machine.tool(
        "env", "-i", *(f"{key}={value}" for key, value in environ.items()),
        sys.executable, "-c", _PATIENT,
        "__complete", "bash", "volume", "", "", "", "0", "rdctl", "--local", "rapiddisk", "show",
    )  # fmt: skip
    assert shown.split() == ["rd0", "rd1"]
    assert machine.volumes() == before


# The budget is for machines of flesh and blood.
_PATIENT = """
import sys
from rdctl.completion import answer
answer.BUDGET = 60.0
from rdctl.__main__ import main
main()
"""


def test_a_volume_that_fills_up_is_watched(rdctl: Program, tmp_path: Path) -> None:
    rdctl.ok("create", "16M")
    environment = rdctl.environment()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            machine.fill("/dev/rd0", MIB)
        elif len(slept) == 3:
            raise KeyboardInterrupt

    environment.sleep = sleep
    assert run(["--local", "rapiddisk", "list", "--watch", "1"], environment) == 130
    rows = [json.loads(line) for line in _ran(130, environment).out.splitlines()]
    assert [row["usage"] for row in rows] == [0, MIB]
