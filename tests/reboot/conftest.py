"""Tests of what lasts: machines that really reboot. `make test-kernel` runs them, from outside;
elsewhere they are not collected."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.reboot.machine import Machine

if "RDCTL_ACCELERATOR" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


def dependencies(name: str) -> set[Path]:
    """The files and directories of all packages that one needs, as they are in this environment."""
    found: set[Path] = set()
    todo = [name]
    done: set[str] = set()
    while todo:
        distribution = metadata.distribution(todo.pop())
        done.add(distribution.name)
        if distribution.name != name:
            files = [file for file in distribution.files or () if ".." not in file.parts]
            found |= {Path(str(distribution.locate_file(file.parts[0]))) for file in files}
        needs = map(Requirement, distribution.requires or ())
        todo += [
            need.name
            for need in needs
            if need.name not in done and (need.marker is None or need.marker.evaluate())
        ]
    return found


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    make = ["bash", "tests/reboot/image", os.environ["RDCTL_KERNEL"], str(folder)]
    paths = "\n".join(map(str, dependencies("rdctl")))
    made = subprocess.run(
        [*as_root, *make], check=False, input=paths, capture_output=True, text=True, timeout=600
    )
    if made.returncode:
        pytest.fail(f"no image of a machine:\n{made.stdout}{made.stderr}", pytrace=False)
    return folder


@pytest.fixture(scope="module")
def machine(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine.new(image, tmp_path_factory.mktemp("machine"))
