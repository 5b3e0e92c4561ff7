"""Every example of docs/python.md, in its own sandbox; the block below is what it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "docs/python.md").read_text("utf-8")
_BLOCK = re.compile(r"```python\n(.*?)```(?:\n+(?:It prints:\n+)?```text\n(.*?)```)?", re.DOTALL)
EXAMPLES = [(match[1], match[2]) for match in _BLOCK.finditer(TEXT)]


def _title(number: int) -> str:
    before = TEXT[: [match.start() for match in _BLOCK.finditer(TEXT)][number]]
    return before.rpartition("\n## ")[2].partition("\n")[0]


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=_title)
def test_an_example(number: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown = EXAMPLES[number]
    assert shown is not None, "an example without its output"
    monkeypatch.chdir(home)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, f"docs/python.md: {_title(number)}", "exec"), {})
    assert printed.getvalue() == shown
