"""The wheel holds the program and what travels with it, and runs once installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

from rdctl import __version__

ROOT = Path(__file__).resolve().parent.parent
INFO = f"rdctl-{__version__}.dist-info"
DATA = f"rdctl-{__version__}.data/data/"
# Where each kind of generated file is found by man and the shells.
TRAVELS = {
    "man/rdctl.1": "share/man/man1/rdctl.1",
    "man/rdctl-config.5": "share/man/man5/rdctl-config.5",
    "man/rdctl-concepts.7": "share/man/man7/rdctl-concepts.7",
    "completions/rdctl.bash": "share/bash-completion/completions/rdctl.bash",
    "completions/rdctl.fish": "share/fish/vendor_completions.d/rdctl.fish",
    "completions/_rdctl": "share/zsh/site-functions/_rdctl",
}


def run(*command: str | Path, cwd: Path) -> str:
    """Its output; nothing of this checkout or of the environment's Python settings reaches it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree, where a build leaves its own files, with one of each travelling file."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("rdctl", "tests", "completions", "man"):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.jsonl")
            )
    for name in TRAVELS:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the setuptools of the environment: nothing is fetched."""
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, cwd=tree)
    (built,) = dist.iterdir()
    assert built.name == f"rdctl-{__version__}-py3-none-any.whl"
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    text = zipfile.ZipFile(wheel).read(f"{INFO}/METADATA").decode()
    return HeaderParser().parsestr(text)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds rdctl and nothing else."""
    prefix = tmp_path_factory.mktemp("env")
    run(sys.executable, "-m", "venv", "--without-pip", prefix, cwd=prefix)
    run(
        *(sys.executable, "-m", "pip", "--python", prefix / "bin" / "python"),
        *("install", "--no-deps", "--no-index", wheel),
        cwd=prefix,
    )
    return prefix


def test_every_module_is_in_the_wheel_and_nothing_else(tree: Path, names: set[str]) -> None:
    modules = {str(path.relative_to(tree)) for path in (tree / "rdctl").rglob("*.py")}
    code = {name for name in names if not name.startswith((f"{INFO}/", DATA))}
    assert code == modules | {"rdctl/py.typed", "rdctl/documents/concepts.md"}


def test_man_pages_and_completions_travel(tree: Path, names: set[str]) -> None:
    data = {name.removeprefix(DATA) for name in names if name.startswith(DATA)}
    assert set(TRAVELS.values()) <= data
    files = [path for name in ("man", "completions") for path in (tree / name).iterdir()]
    assert sorted(path.name for path in files) == sorted(Path(name).name for name in data)


def test_the_licence_travels(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"{INFO}/licenses/LICENSE").decode()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "rdctl"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")
    required = [str(line) for line in metadata.get_all("Requires-Dist", [])]
    assert {line.split(">=")[0] for line in required if "extra ==" not in line} == {
        "click",
        "rich",
        "requests",
        "tabulate",
        "urllib3",
        "PyYAML",
        "jmespath",
    }


@pytest.mark.parametrize("command", [["bin/rdctl"], ["bin/python", "-m", "rdctl"]], ids=" ".join)
def test_the_installed_program_runs(installed: Path, command: list[str], tmp_path: Path) -> None:
    """Even without its dependencies: the version is told before any is imported."""
    program, *words = command
    assert run(installed / program, *words, "--version", cwd=tmp_path) == f"rdctl {__version__}\n"


def test_installed_files_lie_where_shells_and_man_look(installed: Path) -> None:
    for place in TRAVELS.values():
        assert (installed / place).is_file(), place


def test_the_concepts_are_shown_from_a_wheel_and_from_a_zip(wheel: Path, tmp_path: Path) -> None:
    """A wheel is a zip, and Python imports from it as from one."""
    script = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import rdctl.__main__ as program;"
        f" assert program.__file__.startswith({str(wheel)!r});"
        " sys.argv = ['rdctl', 'help', 'concepts', 'election']; sys.exit(program.main())"
    )
    shown = run(sys.executable, "-c", script, cwd=tmp_path)
    assert shown.startswith("Election:")
    assert "master" in shown
