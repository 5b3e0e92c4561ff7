"""The command that mends a library, for each kind of installation."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest

from rdctl.core.floors import FLOORS
from rdctl.core.libraries import Fault, Place, command
from rdctl.core.units import quoted

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = quoted(sys.executable)
DEBIAN = "/usr/lib/python3/dist-packages"
LOCAL = "/usr/local/lib/python3.11/dist-packages"
USER = "/home/me/.local/lib/python3.11/site-packages"
SYSTEM = Place(DEBIAN, "/usr", venv=False, managed=True, user=USER, root=True)

MISSING = Fault("PyYAML", "PyYAML is not installed")
OLD = Fault("click", "click 8.0 is too old", LOCAL)
BROKEN = Fault("requests", "requests 2.28 is broken", DEBIAN, broken=True)


def test_the_floors_are_those_of_setup_cfg() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split()
    assert lines == [f"{name}>={least}" for name, least in FLOORS.items()]
    assert setup["options"]["python_requires"] == ">=3.11"


@pytest.mark.parametrize(
    ("place", "wrong", "expected"),
    [
        (SYSTEM._replace(root=False), [MISSING], "sudo apt-get install --reinstall python3-yaml"),
        (SYSTEM, [BROKEN, MISSING], "apt-get install --reinstall python3-requests python3-yaml"),
        # A library of pip hides that of the system.
        (SYSTEM, [OLD], f"{PYTHON} -m pip uninstall --yes --break-system-packages click"),
        # The tree alone, with the system's Python.
        (SYSTEM._replace(rdctl="/src"), [MISSING], "apt-get install --reinstall python3-yaml"),
        (
            SYSTEM._replace(rdctl="/src", managed=False),
            [MISSING],
            f"{PYTHON} -m pip install --upgrade 'PyYAML>=6'",
        ),
        (
            SYSTEM._replace(rdctl=USER),
            [MISSING],
            f"{PYTHON} -m pip install --user --break-system-packages --upgrade 'PyYAML>=6'",
        ),
        (
            SYSTEM._replace(rdctl=USER, managed=False),
            [OLD, BROKEN],
            f"{PYTHON} -m pip install --user --force-reinstall 'click>=8.1.3' 'requests>=2.28'",
        ),
        (
            SYSTEM._replace(rdctl=LOCAL),
            [OLD],
            f"{PYTHON} -m pip install --break-system-packages --upgrade 'click>=8.1.3'",
        ),
        (
            SYSTEM._replace(prefix="/opt/venv", venv=True),
            [OLD],
            f"{PYTHON} -m pip install --upgrade 'click>=8.1.3'",
        ),
        (SYSTEM._replace(paths=[LOCAL]), [OLD], "unset PYTHONPATH"),
    ],
)
def test_the_command(place: Place, wrong: list[Fault], expected: str) -> None:
    assert command(wrong, place) == expected


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "rdctl.pyz"
    file.touch()
    assert command([MISSING], SYSTEM._replace(rdctl=str(file))) is None
