"""Changes in words."""

from __future__ import annotations

import pytest

from rdctl.core.results import Change, Report
from tests.output.showing import (
    show,
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("remove", "rd1", True, True), "removed rd1"),
        (Change("flush", "rd1", True, True), "erased rd1"),
        (Change("lock", "rd1", False, True), "rd1 is already locked"),
        (Change("set", "lab", True, True, past='Context "{}" set.'), 'Context "lab" set.'),
        (
            Change("unlock", "rd1", True, None),
            "unlocked rd1 (reported, not verified)",
        ),
    ],
)
def test_a_change_in_words(change: Change, words: str) -> None:
    assert show(Report([change]), None) == f"{words}\n"
