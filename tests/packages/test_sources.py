"""What the packages of distributions need, against setup.cfg and the program."""

from __future__ import annotations

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from rdctl import __version__
from rdctl.rapiddisk.boot.files import PATHS, UNITS

ROOT = Path(__file__).resolve().parent.parent.parent
DEBIAN = ROOT / "packaging" / "debian"
SPEC = ROOT / "packaging" / "rpm" / "rdctl.spec"
_FLOOR = re.compile(r"^ *([\w-]+)>=([\d.]+)$", re.M)

Floors = dict[str, str]


def floors(key: str, section: str = "options") -> Floors:
    """The requirements in setup.cfg: names in lower case, and lowest releases."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return {name.lower(): floor for name, floor in _FLOOR.findall(setup[section][key])}


def python() -> str:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options"]["python_requires"].removeprefix(">=")


def in_control(field: str) -> Floors:
    """Debian's names, and lowest releases."""
    text = (DEBIAN / "control").read_text("utf-8")
    found = re.search(rf"^{field}:((?:\n [^\n]*)+)", text, re.M)
    assert found is not None
    return dict(re.findall(r"^ ([\w-]+)(?::any)? \(>= ([\d.]+)\),$", found[1], re.M))


def in_debian(requirements: Floors) -> Floors:
    return {f"python3-{name.removeprefix('py')}": floor for name, floor in requirements.items()}


def test_debian_has_the_floors_of_setup_cfg() -> None:
    expected = in_debian(floors("install_requires"))
    assert len(expected) >= 7
    assert in_control("Depends") == {"python3": python(), **expected}


def test_debian_suggests_what_encodes_faster_and_what_pandas_uses() -> None:
    suggested = {}
    for extra in ("ec", "fsspec"):
        name, floor = next(iter(floors(extra, "options.extras_require").items()))
        suggested[f"python3-{name}"] = floor
    assert in_control("Suggests") == suggested


def test_rpm_has_the_floors_and_the_version() -> None:
    text = SPEC.read_text("utf-8")
    assert re.findall(r"^Version: +(.*)$", text, re.M) == [re.sub(r"(a|b|rc)", r"~\1", __version__)]
    assert re.findall(r"^BuildRequires: +python3-devel >= (.*)$", text, re.M) == [python()]
    # The macros read all others from the metadata of the wheel.
    assert not re.search(r"^Requires:", text, re.M)


# Removal -----------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """All files that `boot enable` and root's commands write, and the image of a volume."""
    wants = f"{Path(PATHS[0]).parent}/local-fs.target.wants"
    others = ["/etc/rdctl/rapiddisk.toml", "/var/log/rdctl/history.ndjson"]
    others += ["/var/lib/rdctl/repairs.ndjson", "/var/lib/rdctl/rd0.img"]
    others += ["/etc/modprobe.d/own.conf"]
    others += ["/etc/systemd/system/timers.target.wants/rdctl-metrics.timer"]
    for path in (*PATHS, *others, *(f"{wants}/{unit}" for unit in UNITS)):
        if path.rpartition("/")[2] not in UNITS or path.startswith(wants):
            (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path[1:]).touch()
    return tmp_path


def postrm(action: str, root: Path) -> None:
    script = ["sh", str(DEBIAN / "postrm"), action]
    subprocess.run(script, env={"DPKG_ROOT": str(root), "PATH": "/usr/bin:/bin"}, check=True)


def files(root: Path) -> set[str]:
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}


def test_a_purge_removes_everything_but_data(machine: Path) -> None:
    postrm("purge", machine)
    assert files(machine) == {"/var/lib/rdctl/rd0.img", "/etc/modprobe.d/own.conf"}
    assert not (machine / "etc/rdctl").exists()
    assert not (machine / "etc/systemd/system/reboot.target.d").exists()


def test_a_purge_of_what_was_never_used(tmp_path: Path) -> None:
    postrm("purge", tmp_path)
    assert files(tmp_path) == set()


def test_a_removal_keeps_what_an_installation_later_needs(machine: Path) -> None:
    before = files(machine)
    postrm("remove", machine)
    assert files(machine) == before


def test_a_purge_leaves_alone_what_another_installation_uses(machine: Path) -> None:
    """Units below /etc run another program than that of the package."""
    (machine / PATHS[0][1:]).touch()
    before = files(machine)
    postrm("purge", machine)
    assert files(machine) == before


def test_a_candidate_is_older_than_its_release() -> None:
    """As the build writes it."""
    rule = re.search(r"sed '(s/.*/)'", (ROOT / "packaging" / "deb").read_text("utf-8"))
    assert rule is not None
    for version, expected in (("1.0.0rc1", "1.0.0~rc1"), ("1.0.0", "1.0.0"), ("1.1b2", "1.1~b2")):
        done = subprocess.run(
            ["sed", rule[1]], input=version, capture_output=True, text=True, check=True
        )
        assert done.stdout == expected
