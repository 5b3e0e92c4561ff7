"""The text of the units and of the files around them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.rapiddisk.boot import units
from rdctl.rapiddisk.boot.files import boot_files, stop_limit
from rdctl.rapiddisk.boot.program import doubt
from rdctl.rapiddisk.kernel.host import Host
from rdctl.rapiddisk.state.model import CacheState, ExportState, PortState, State, VolumeState

PACKAGED = Path(__file__).resolve().parents[3] / "packaging/systemd"
GIB = 1 << 30


def values(text: str, key: str) -> list[str]:
    """All values of a setting."""
    found = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]
    return [word for value in found for word in value.split(" ")]


def test_those_of_the_packages_are_these() -> None:
    found = {path.name: path.read_text() for path in PACKAGED.iterdir()}
    assert found == units.units()
    assert all(map(units.is_untouched, found.values()))


def test_caches_come_before_all_mounts_and_go_after_them() -> None:
    """Local mounts are After=local-fs-pre.target, which only orders what is in the transaction: it
    has to be wanted, and to stop at shutdown, as the unit itself."""
    text = units.units()[units.CACHES]
    assert {"local-fs-pre.target", "shutdown.target"} == set(values(text, "Before"))
    assert values(text, "Wants") == ["local-fs-pre.target"]
    assert values(text, "Conflicts") == ["shutdown.target"]
    assert values(text, "DefaultDependencies") == ["no"]
    assert values(text, "RemainAfterExit") == ["yes"]
    assert values(text, "TimeoutStopSec") == ["infinity"]
    assert values(text, "SuccessExitStatus") == ["8"]
    assert "settle" not in text


def test_exports_go_before_the_caches() -> None:
    text = units.units()[units.EXPORTS]
    assert units.CACHES in values(text, "After")
    assert "network-online.target" in values(text, "After")
    assert "DefaultDependencies" not in text


@pytest.mark.parametrize("name", [units.CACHES, units.EXPORTS])
def test_no_unit_confirms_anything(name: str) -> None:
    text = units.units()[name]
    (start,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert " apply --boot " in start
    assert "--yes" not in text


def test_systemd_understands_them(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    programs = [tmp_path / "with space and 100%", tmp_path / 'with "quote"']
    for program in programs:
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for words in ((sys.executable, "-m", "rdctl"), *((str(program),) for program in programs)):
        for name, text in units.units(words).items():
            (tmp_path / name).write_text(text)
        paths = [str(tmp_path / name) for name in units.units(words)]
        ran = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *paths],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (["/usr/bin/rdctl"], "/usr/bin/rdctl"),
        (["/opt/my tools/rdctl"], '"/opt/my tools/rdctl"'),
        (["/opt/50%/rdctl"], "/opt/50%%/rdctl"),
        (['/opt/a"b\\c/rdctl'], '/usr/bin/env "/opt/a\\"b\\\\c/rdctl"'),
        (["/usr/bin/python3", "-m", "rdctl"], "/usr/bin/python3 -m rdctl"),
        (["/usr/bin/python3", "$HOME"], "/usr/bin/python3 $$HOME"),
    ],
)
def test_the_program_as_systemd_reads_it(program: list[str], line: str) -> None:
    text = units.units(program)[units.CACHES]
    assert f"ExecStart={line} --local rapiddisk apply " in text


def test_a_file_shows_whether_it_was_edited() -> None:
    text = units.modules_load(["rapiddisk"])
    assert text.endswith("\nrapiddisk\n")
    assert units.is_ours(text)
    assert units.is_untouched(text)
    edited = text.replace("rapiddisk\n", "other\n")
    assert units.is_ours(edited)
    assert not units.is_untouched(edited)
    assert not units.is_ours("rapiddisk\n")


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("30min", 1800),
        ("1800", 1800),
        ("1h 30min", 5400),
        ("1d 2h 3min 4s", 93784),
        ("1w", 604800),
        ("90s 500ms", 90),
        ("infinity", 0),
        ("", 0),
    ],
)
def test_a_time_of_systemd(span: str, seconds: int) -> None:
    assert units.seconds_of(span) == seconds


# --- the files around them ----------------------------------------------------------------------


def cache(number: int, size: int, source_size: int | None = None) -> CacheState:
    return CacheState(
        f"rc-wb_sd{number}",
        f"rd{number}",
        f"/dev/sd{number}",
        source_size or 99 * size,
        "writeback",
    )


@pytest.mark.parametrize(
    ("gib", "speed", "seconds"),
    [
        ((1,), None, 1800),
        ((64,), 100_000_000, 1800),  # 2 x 687 s
        ((64, 64), 100_000_000, 3600),
        ((256,), None, 14400),  # 2 x 5498 s at 50 MB/s
        ((), None, 1800),
    ],
)
def test_the_limit_follows_from_the_capacity(
    gib: tuple[int, ...], speed: int | None, seconds: int
) -> None:
    volumes = tuple(VolumeState(f"rd{n}", size * GIB) for n, size in enumerate(gib))
    caches = tuple(cache(n, size * GIB) for n, size in enumerate(gib))
    assert stop_limit(State(volumes, caches), lambda source: speed) == seconds


def test_no_cache_holds_more_than_its_source() -> None:
    state = State((VolumeState("rd0", 1 << 40),), (cache(0, 1 << 40, GIB),))
    assert stop_limit(state, lambda source: None) == 1800


class NoHost(Host):
    """A machine without any file."""

    def __init__(self) -> None:
        """Nothing is needed."""

    def text(self, path: str) -> str | None:
        return None


def loaded(state: State) -> list[str]:
    """The modules that are loaded at boot."""
    files = {file.path: file.text for file in boot_files(NoHost(), state, ["/x"], lambda s: None)}
    text = files["/etc/modules-load.d/rdctl.conf"] or ""
    return text.splitlines()[1:]


def test_only_modules_that_are_needed_are_loaded() -> None:
    through = CacheState("rc-wt_sda", "rd0", "/dev/sda", GIB, "write-through")
    ports = tuple(PortState(n, t) for n, t in enumerate(("tcp", "rdma", "tcp", "loop")))
    export = ExportState("nqn.2021-06.org.rapiddisk:x-rd0", "rd0")
    assert loaded(State()) == ["rapiddisk"]
    assert loaded(State(caches=(through,))) == ["rapiddisk", "rapiddisk-cache"]
    assert loaded(State(caches=(cache(0, 1),))) == ["rapiddisk", "dm-writecache"]
    assert loaded(State(exports=(export,))) == ["rapiddisk", "nvmet"]
    assert loaded(State(ports=ports)) == [
        *("rapiddisk", "nvmet", "nvmet-tcp", "nvmet-rdma", "nvme-loop")
    ]


@pytest.mark.parametrize(
    ("path", "mounted", "why"),
    [
        ("/usr/bin/rdctl", "/", None),
        ("/usr/bin/rdctl", "/usr", None),
        (
            "/usr/local/bin/rdctl",
            "/usr/local",
            "is on /usr/local, which is mounted only after caches are created",
        ),
        ("/home/ann/.venv/bin/rdctl", "/", "is in a home directory"),
        (
            "/home/ann/.venv/bin/rdctl",
            "/home",
            "is on /home, which is mounted only after caches are created",
        ),
        ("/tmp/venv/bin/rdctl", "/tmp", "is in a directory that is cleared at boot"),
    ],
)
def test_a_program_that_may_be_missing_at_boot(path: str, mounted: str, why: str | None) -> None:
    found = doubt([path], lambda program: mounted)
    assert found == why if why is None else why in str(found)


def test_a_program_that_leads_elsewhere(tmp_path: Path) -> None:
    link = tmp_path / "rdctl"
    link.symlink_to("/opt/rdctl/bin/rdctl")

    def mount_point(path: str) -> str:
        return "/opt" if path.startswith("/opt/") else "/"

    assert "/opt/rdctl/bin/rdctl is on /opt" in str(_doubt_of(link, mount_point))


def test_a_zip_that_may_be_missing_at_boot_though_python_is_not() -> None:
    words = ["/usr/bin/python3", "/tmp/rdctl.pyz"]
    assert "/tmp/rdctl.pyz is in a directory that is cleared" in str(doubt(words, lambda path: "/"))
    assert doubt(["/usr/bin/python3", "-m", "rdctl"], lambda path: "/") is None


def _doubt_of(link: Path, mount_point: Callable[[str], str]) -> str | None:
    """Of a link that is itself at a place that is always there."""
    return doubt([os.path.relpath(link)], mount_point)
