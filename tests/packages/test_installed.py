"""What a package of a distribution has to install, and where."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import rdctl
from rdctl.rapiddisk.boot.units import units
from tests.cli.processes import Rdctl, process
from tests.completion.shells import SHELLS, prompt_of

__all__ = ["process"]

PROGRAM = os.environ["RDCTL_INSTALLED"]
# Those that `boot enable` looks for.
UNITS = Path("/usr/lib/systemd/system")


def test_the_program_is_the_installed_one(process: Rdctl) -> None:
    assert process.argv == (PROGRAM,)
    assert process("--version") == (0, f"rdctl {rdctl.__version__}\n", "")
    assert Path(rdctl.__file__).is_relative_to("/usr/lib")
    assert metadata.version("rdctl") == rdctl.__version__


def test_the_sandbox(process: Rdctl) -> None:
    code, out, err = process("-c", "sandbox", "rapiddisk", "list", "-o", "name")
    assert (code, out, err) == (0, "rd0\n", "")
    assert process("-c", "sandbox", "oio", "container", "list", "-o", "name")[0] == 0


def test_doctor_finds_no_fault_of_the_installation(process: Rdctl) -> None:
    code, out, err = process("-c", "sandbox", "doctor")
    assert (code, err) == (0, ""), out


@pytest.mark.parametrize("name", ["rdctl.1", "rdctl-config.5", "rdctl-rapiddisk.1", "rdctl-oio.1"])
def test_there_is_a_manual(name: str) -> None:
    page, section = name.split(".")
    shown = subprocess.run(
        ["man", "--warnings", section, page],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert shown.stdout.startswith(f"{page.upper()}({section})")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shells_complete(process: Rdctl, shell: str, tmp_path: Path) -> None:
    """Verbs, and live names, from the scripts that the shell finds by itself."""
    assert process("-c", "sandbox", "oio", "container", "list")[0] == 0
    environ = {"RDCTL_SANDBOX": process.env["RDCTL_SANDBOX"]}
    prompt = prompt_of(shell, tmp_path, environ, installed=True)
    assert prompt("rdctl -c sandbox rapiddisk resi")[0] == "rdctl -c sandbox rapiddisk resize "
    assert prompt("rdctl -c sandbox oio container show ph")[0].rstrip().endswith(" photos")
    prompt.close()


def test_the_units_are_those_that_boot_enable_would_write() -> None:
    there = {name: (UNITS / name).read_text("utf-8") for name in units()}
    assert there == units()


def test_nothing_is_enabled() -> None:
    links = Path("/etc/systemd/system").rglob("*rdctl*")
    assert list(links) == []


def test_metrics_for_node_exporter(process: Rdctl, tmp_path: Path) -> None:
    """The timer and its service are installed, with the alert rules; the service runs the program
    as installed."""
    assert (UNITS / "rdctl-metrics.timer").is_file()
    service = (UNITS / "rdctl-metrics.service").read_text("utf-8")
    assert f"ExecStart={PROGRAM} -q metrics --textfile /var/lib/prometheus/" in service
    assert Path("/usr/share/rdctl/rdctl.rules.yml").is_file()
    file = tmp_path / "rdctl.prom"
    assert process("-c", "sandbox", "-q", "metrics", "--textfile", str(file))[0] == 0
    assert 'rdctl_scrape_success{part="rapiddisk_inventory"} 1' in file.read_text("utf-8")
