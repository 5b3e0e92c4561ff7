"""The lock file as data, and the part of it that runs rdctl."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]
    askers: list[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    def holds_for(self, python: str) -> bool:
        environment = {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "sys_platform": "linux",
            "os_name": "posix",
        }
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def pins(text: str) -> list[Pin]:
    """Every line is a pin, a hash, or a comment; ValueError for any other."""
    found: list[Pin] = []
    for number, line in enumerate(text.splitlines(), 1):
        if pin := re.fullmatch(r"(\S.*==\S+(?: ; .+)?) \\", line):
            found.append(Pin(Requirement(pin[1]), [], []))
        elif digest := re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line):
            found[-1].hashes.append(digest[1])
        elif asker := re.fullmatch(r"    #   (?:via )?(\S.*)|    # via (\S.*)", line):
            found[-1].askers.append(asker[1] or asker[2])
        elif not re.fullmatch(r"#.*|    # via", line):
            raise ValueError(f"line {number} is not that of a lock file: {line}")
    return found


def required(tree: Path) -> set[str]:
    """The names of the libraries that rdctl itself requires."""
    setup = ConfigParser()
    setup.read(tree / "setup.cfg", "utf-8")
    lines = setup["options"]["install_requires"].split("\n")
    return {canonicalize_name(Requirement(line).name) for line in filter(None, lines)}


def runtime(tree: Path) -> list[Pin]:
    """The pins of what runs rdctl: what it requires, and what that requires in turn."""
    every = pins((tree / "requirements-dev.lock").read_text("utf-8"))
    names, size = required(tree), 0
    while size < len(names):
        size = len(names)
        names |= {pin.name for pin in every if names.intersection(pin.askers)}
    found = [pin for pin in every if pin.name in names]
    if missing := names - {pin.name for pin in found}:
        raise ValueError(f"not in the lock file (run make lock): {', '.join(sorted(missing))}")
    return found
