"""The recipes work as they are written, one command after the other, in a new sandbox."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Program, Ran

TEXT = (Path(__file__).resolve().parent.parent / "docs/cookbook.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recipes() -> dict[str, list[str]]:
    """The commands of each recipe, by its title."""
    found = {}
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        found[title] = [line for block in blocks for line in block.splitlines()]
    return found


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a recipe has the reader write."""
    for kind, name in (("toml", "state.toml"), ("xml", "rules.xml")):
        (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


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


def test_what_asks_is_announced(rdctl: Program) -> None:
    """By its name, in the paragraph before the block: pasted as a whole, it would get the next
    line as its answer."""
    parts = [part.split("```\n") for part in TEXT.split("```sh\n")]
    before = [part[-1].strip().rpartition("\n\n")[2] for part in parts]
    blocks = zip(before, (part[0] for part in parts[1:]), strict=False)
    asking = 0
    for paragraph, commands in blocks:
        for line in commands.splitlines():
            if "[y/N]" not in tried(rdctl, line).err:
                continue
            words = re.match(r"rdctl (?:rapiddisk )?((?:[a-z]+ )*(?:[a-z]+|--save))", line)
            assert words
            names = [words[1].rsplit(" ", count)[0] for count in range(3)]
            assert "for confirmation" in paragraph, line
            assert any(f"`{name}`" in paragraph for name in names), (names, paragraph)
            asking += 1
    assert asking == 15


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
