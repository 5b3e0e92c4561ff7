"""The pictures in docs/ show what the program does today."""

from __future__ import annotations

import html
import re

import pytest

from tests.pictures.__main__ import PICTURES, ROOT, play, svg


def text_of(picture: str) -> str:
    """What can be read in it; how it is drawn is a matter of rich's version."""
    words = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    text = re.sub(r"\s+", "", html.unescape("".join(words)))
    # Of the Python and the libraries that it was run with.
    return re.sub(r"okpythonPython.*?(?=okconfig)", "", text)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_up_to_date(name: str) -> None:
    committed = (ROOT / "docs" / f"{name}.svg").read_text("utf-8")
    assert text_of(committed) == text_of(svg(name, play(*PICTURES[name]))), "make generate"


def test_every_picture_is_in_a_document() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts = [document.read_text("utf-8") for document in documents]
    shown = [name for text in texts for name in re.findall(r"\((?:docs/)?(\w+)\.svg\)", text)]
    assert sorted(shown) == sorted(PICTURES)
