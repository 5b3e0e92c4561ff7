"""Tables in the styles of tabulate."""

from __future__ import annotations

import pytest
import tabulate

from rdctl.core.results import Listing
from rdctl.output.schemas import SCHEMAS
from tests.output.showing import (
    EXAMPLES,
    SHOWN,
    result_of,
    rows_of,
    show,
    volume,
)


@pytest.mark.parametrize("style", tabulate.tabulate_formats)
def test_every_style_of_tabulate(style: str) -> None:
    for name in SHOWN:
        shown = show(result_of(EXAMPLES[name]), SCHEMAS[name], table_style=style)
        assert shown.endswith("\n")
        for row in rows_of(EXAMPLES[name]):
            assert str(SCHEMAS[name].name_in(row))[:3] in shown


def test_a_style_of_tabulate_in_full() -> None:
    listing = Listing([volume("rd0"), volume("rd1", size=None)])
    assert show(listing, table_style="github").splitlines() == [
        "| DEVICE   |     SIZE |   USAGE | LOCKED   | USED BY   |",
        "|----------|----------|---------|----------|-----------|",
        "| rd0      | 67108864 |    4096 | no       | -         |",
        "| rd1      |        - |    4096 | no       | -         |",
    ]
