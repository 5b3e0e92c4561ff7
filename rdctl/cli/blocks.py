"""What topics of help and man pages are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Lines(NamedTuple):
    """Lines that are shown verbatim."""

    lines: tuple[str, ...]


class Terms(NamedTuple):
    """Words, each with its explanation."""

    terms: tuple[tuple[str, str], ...]


class Section(NamedTuple):
    """Blocks below a heading; a bare string is a paragraph."""

    heading: str
    blocks: Sequence[str | Terms | Lines]
