"""Tables on a terminal: those that rdctl draws by itself look as rich draws them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rdctl.output.formats import drawing
from rdctl.output.formats.drawing import Cells, Head, draw

TEXTS = some.text("ab é-日\u0301👩\u200d \t\x85", max_size=8) | some.text("ab 1-", max_size=8)
STYLES = some.sampled_from(list(drawing._CODES))


@some.composite
def tables(draw_: Any) -> tuple[Sequence[Head], Sequence[Cells]]:
    """Heads and rows of one to five columns."""
    count = draw_(some.integers(1, 5))

    def each(one: Any) -> Any:
        return draw_(some.lists(one, min_size=count, max_size=count))

    heads = each(some.builds(Head, TEXTS, some.booleans(), some.booleans()))
    rows = [
        Cells(
            each(TEXTS),
            each(STYLES),
            draw_(some.lists(TEXTS.map("be {}low".format), max_size=2)),
            # No schema has commands below a column that is right-aligned.
            0 if heads[-1].right else draw_(some.integers(0, 1)),
        )
        for _ in range(draw_(some.integers(0, 4)))
    ]
    return heads, rows


def stripped(lines: Any) -> list[str]:
    return [line.rstrip() for line in lines]


@given(tables(), some.booleans(), some.booleans(), some.integers(15, 100))
def test_a_table_looks_as_rich_draws_it(
    table: tuple[Sequence[Head], Sequence[Cells]], headers: bool, color: bool, width: int
) -> None:
    drawn = draw(*table, headers, color, width)
    assert stripped(drawn) == stripped(drawing._folded(*table, headers, color, width))


SCRIPT = """
import sys
from rdctl.output.formats.drawing import Cells, Head, draw
row = Cells(["café"], ["green"], ["note"], 0)
print(*draw([Head("NAME", False, False)], [row], True, True, WIDTH))
print("rich" in sys.modules)
"""


@pytest.mark.parametrize(("width", "imported"), [(80, "False"), (3, "True")])
def test_rich_is_imported_only_to_fold_columns(width: int, imported: str) -> None:
    script = SCRIPT.replace("WIDTH", str(width))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == imported
