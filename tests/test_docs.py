"""The documents lead somewhere: every link, every citation and every path that they name exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = Path("README.md")
GUIDES = ("docs/architecture.md", "CONTRIBUTING.md", "docs/decisions/*.md")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CITATION = re.compile(r"docs/[\w/-]+\.md(?:#[\w-]+)?")
_PATH = re.compile(r"`((?:rdctl|tests|docs)/[\w./-]+)`")
_DIRECTORY = re.compile(r"\*\*`(rdctl/[\w/]*/)`\*\*")
_BELOW = re.compile(r"`(\w+(?:\.py|/))`")


def files(*globs: str) -> list[Path]:
    return sorted(file.relative_to(ROOT) for glob in globs for file in ROOT.glob(glob))


def prose(text: str) -> str:
    """The text without its fenced blocks and without code in its lines."""
    return re.sub(r"`[^`\n]*`", "", without_fences(text))


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, made as forges make them."""
    text = without_fences((ROOT / document).read_text("utf-8"))
    made: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE):
        anchor = anchor_of(heading)
        number = 0
        unique = anchor
        while unique in made:
            number += 1
            unique = f"{anchor}-{number}"
        made.add(unique)
    return made


def fault_of(target: str, document: Path) -> str | None:
    """What is wrong with a link in a document; None when it leads to a file and heading."""
    path, _, anchor = target.partition("#")
    file = (ROOT / document.parent / path).resolve() if path else ROOT / document
    if not file.is_relative_to(ROOT) or not file.exists():
        return f"{target}: no such file"
    if anchor and anchor not in anchors(file):
        return f"{target}: no such heading"
    return None


def links(text: str) -> Iterator[str]:
    for target in _LINK.findall(prose(text)):
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("document", files(*DOCUMENTS), ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    found = (fault_of(target, document) for target in links((ROOT / document).read_text("utf-8")))
    assert [fault for fault in found if fault] == []


@pytest.mark.parametrize("directory", ["rdctl", "tests"])
def test_citations_lead_somewhere(directory: str) -> None:
    faults = [
        f"{source.relative_to(ROOT)}: {fault}"
        for source in sorted((ROOT / directory).rglob("*.py"))
        if source != Path(__file__).resolve()
        for target in _CITATION.findall(source.read_text("utf-8"))
        if (fault := fault_of(target, README))
    ]
    assert faults == []


def paths(text: str) -> Iterator[str]:
    """The paths that a text names, also those that a paragraph names below its **`directory/`**."""
    yield from _PATH.findall(text)
    for paragraph in text.split("\n\n"):
        _, *parts = _DIRECTORY.split(paragraph)
        for directory, about in zip(parts[::2], parts[1::2], strict=True):
            yield from (directory + name for name in _BELOW.findall(about))


@pytest.mark.parametrize("document", files(*GUIDES), ids=str)
def test_named_paths_exist(document: Path) -> None:
    named = set(paths((ROOT / document).read_text("utf-8")))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_decision_and_wire_page_is_in_its_index() -> None:
    for directory in ("docs/decisions", "docs/wire"):
        index = set(links((ROOT / directory / "README.md").read_text("utf-8")))
        pages = {path.name for path in (ROOT / directory).glob("*.md")} - {"README.md"}
        assert pages - index == set()


def test_wrong_links_are_caught() -> None:
    assert list(links("[a](x.md) `[b](y.md)` [c](https://h/) ![d](z.svg#e)")) == ["x.md", "z.svg#e"]
    assert fault_of("none.md", README) == "none.md: no such file"
    assert fault_of("README.md#none", README) == "README.md#none: no such heading"
    assert fault_of("README.md#install", README) is None
    assert list(paths("`rdctl/a.py`, rdctl/b.py\n\n**`rdctl/c/`** has `d.py` and `e/`.")) == [
        "rdctl/a.py",
        "rdctl/c/",
        "rdctl/c/d.py",
        "rdctl/c/e/",
    ]
