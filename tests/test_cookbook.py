"""The recipes work as they are written, one command after the other, in a new sandbox."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Program, Ran

TEXT = (Path(__file__).resolve().parent.parent / "docs/cookbook.md").read_text("utf-8")


def recipes() -> dict[str, list[str]]:
    """The commands of each recipe, by its title."""
    found = {}
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        found[title] = [line for block in blocks for line in block.splitlines()]
    return found


def tried(rdctl: Program, line: str) -> Ran:
    argv = shlex.split(line)
    assert argv[0] == "rdctl"
    return rdctl(*argv[1:], env={"RDCTL_CONTEXT": "sandbox"}, tty=True, stdin=b"y\n")


@pytest.mark.parametrize("title", recipes())
def test_a_recipe(rdctl: Program, title: str) -> None:
    lines = recipes()[title]
    assert len(lines) > 5
    for line in lines:
        ran = tried(rdctl, line)
        assert ran.code == 0, f"{line}\n{ran.err}"


def test_a_cached_disk_comes_back(rdctl: Program) -> None:
    """Under the same name and with its data on the disk, although its volume was lost."""
    lines = recipes()["Cache a disk for good"]
    reboot = lines.index("rdctl sandbox reboot")
    for line in lines[:reboot]:
        assert tried(rdctl, line).code == 0
    before = tried(rdctl, "rdctl rapiddisk cache show rc-wb_data --json").json["items"][0]
    assert tried(rdctl, lines[reboot]).code == 0
    (after,) = tried(rdctl, "rdctl rapiddisk cache show rc-wb_data --json").json["items"]
    for key in ("device", "volume", "source", "policy"):
        assert after[key] == before[key]
    assert tried(rdctl, "rdctl rapiddisk diff --exit-code").code == 0
