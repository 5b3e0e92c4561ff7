"""The workflows of the forge run what is there: targets of make, scripts, versions of Python."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def jobs(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))["jobs"]
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file).values() for step in job["steps"]]


def test_there_are_two() -> None:
    assert [file.name for file in FILES] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_they_run_exists(file: Path) -> None:
    lines = [line for step in steps(file) for line in step.get("run", "").splitlines()]
    made = [word for line in lines for word in re.findall(r"^(?:sudo )?make ([a-z-]+)", line)]
    assert made
    assert set(made) <= TARGETS
    scripts = [word for line in lines for word in re.findall(r"\bbash (\S+)", line)]
    assert all((ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_and_tokens_are_not_kept(file: Path) -> None:
    text = file.read_text("utf-8")
    used = re.findall(r"^ *(#.*)?\n.*uses: (\S+)", text, re.MULTILINE)
    assert len(used) == text.count("uses: ")
    for tag, action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"# v\d+\.\d+\.\d+", tag), action
    for step in steps(file):
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    # What others can write, such as the name of a branch, never becomes part of a script.
    assert not [step for step in steps(file) if "${{" in step.get("run", "")]


def test_the_matrix_has_every_version_that_is_promised() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    promised = re.findall(r":: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    matrix = jobs(ROOT / ".github/workflows/ci.yml")["python"]["strategy"]["matrix"]["python"]
    assert set(promised) <= set(matrix)
