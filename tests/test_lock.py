"""The lock file holds what setup.cfg asks for, pinned and with hashes, and nothing of a machine."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.lock import pins

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements-dev.lock").read_text("utf-8")
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg", "utf-8")
PYTHONS = re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
# How it names those who ask for a package, below its hashes.
OURS = "rdctl (setup.cfg)"


def required() -> list[Requirement]:
    """What runs rdctl, what its tests need, and what installs it without fetching anything."""
    options, extras = SETUP["options"], SETUP["options.extras_require"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    lines = [*options["install_requires"].split("\n"), *extras["dev"].split("\n")]
    return [Requirement(line) for line in [*filter(None, lines), *build["requires"]]]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned(python: str) -> None:
    pinned = {pin.name: pin.version for pin in pins(LOCK) if pin.holds_for(python)}
    lacking = [
        f"{requirement} (locked: {version})"
        for requirement in required()
        for version in [pinned.get(canonicalize_name(requirement.name))]
        if version is None or version not in requirement.specifier
    ]
    assert lacking == [], "run make lock"


def test_nothing_is_pinned_that_is_no_longer_required() -> None:
    ours = {pin.name for pin in pins(LOCK) if OURS in pin.askers}
    assert ours == {canonicalize_name(requirement.name) for requirement in required()}
    names = {pin.name for pin in pins(LOCK)}
    for pin in pins(LOCK):
        assert pin.askers, pin.name
        assert {*pin.askers} - {OURS} <= names, pin.name


def test_every_pin_is_one_version_with_hashes() -> None:
    assert len(pins(LOCK)) > 30
    for pin in pins(LOCK):
        (specifier,) = pin.requirement.specifier
        assert specifier.operator == "==", pin.name
        assert not specifier.version.endswith("*"), pin.name
        assert pin.hashes, pin.name
        assert len(pin.hashes) == len(set(pin.hashes)), pin.name


def test_nothing_of_a_machine_is_in_it() -> None:
    """No index, no address, no path, no option but the hashes: pip's own settings decide those."""
    assert not any(pin.requirement.url for pin in pins(LOCK))
    assert not re.search(r"://|(^|[\s=@])[~./]|(^|\s)-(?!-hash=)", LOCK, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    ["--find-links wheels", "-e .", "rich", "rich>=13 \\", "rich @ file:///tmp/rich.whl", "./rich"],
)
def test_other_lines_would_be_seen(line: str) -> None:
    with pytest.raises(ValueError, match="not that of a lock file"):
        pins(f"{LOCK}{line}\n")
