"""A document in Markdown as the sections of a help topic: of Markdown, what our documents use."""

from __future__ import annotations

import re
from posixpath import join, normpath

from rdctl.cli.blocks import Lines, Section, Terms

# The text of a fence, or lines up to an empty one.
_BLOCK = re.compile(r"^```[^\n]*\n(.*?)\n```$|((?:^(?!```)[^\n]+\n?)+)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^(-|\d+\.) +", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^()\s]+)\)")
_EMPHASIS = re.compile(r"(?<![\w*`])\*{1,2}([^*`]+)\*{1,2}(?!\w)")
_CELL = re.compile(r"(?<!\\)\|")


def sections(text: str, directory: str) -> list[Section]:
    """The sections of a document in that directory of the tree; the first one has its title."""
    found: list[tuple[str, list[str | Terms | Lines]]] = []
    for match in _BLOCK.finditer(text):
        fenced, block = match.groups()
        if block is None:
            found[-1][1].append(Lines(tuple(fenced.split("\n"))))
        elif block.startswith("#"):
            found.append((block.lstrip("#").strip(), []))
        else:
            found[-1][1].append(_block(block.rstrip("\n"), directory))
    return [Section(heading, blocks) for heading, blocks in found]


def _block(text: str, directory: str) -> str | Terms | Lines:
    if text.startswith("    "):
        return Lines(tuple(line[4:] for line in text.split("\n")))
    if text.startswith("|"):
        return _table(text, directory)
    if _ITEM.match(text):
        _, *parts = _ITEM.split(text)
        items = zip(parts[::2], parts[1::2], strict=True)
        return Terms(tuple((mark, _plain(item, directory)) for mark, item in items))
    return _plain(text, directory)


def _table(text: str, directory: str) -> Terms:
    """Each row, with its first cell as the term. The others follow their headings if there are
    several."""
    head, _, *rows = [_cells(line, directory) for line in text.split("\n")]
    names = [f"{name[:1].upper()}{name[1:]}: " if len(head) > 2 else "" for name in head[1:]]

    def meaning(cells: list[str]) -> str:
        return ". ".join(name + cell for name, cell in zip(names, cells, strict=True) if cell)

    return Terms(tuple((term.replace("`", ""), meaning(cells)) for term, *cells in rows))


def _cells(line: str, directory: str) -> list[str]:
    return [_plain(cell, directory).replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]


def _plain(text: str, directory: str) -> str:
    """Running text on one line. Code keeps its marks, emphasis does not; a link to another document
    names it."""

    def linked(match: re.Match[str]) -> str:
        path = match[2].partition("#")[0]
        return f"{match[1]} ({normpath(join(directory, path))})" if path else match[1]

    return _EMPHASIS.sub(r"\1", _LINK.sub(linked, " ".join(text.split())))
