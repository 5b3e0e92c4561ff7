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
        (Change("remove", "rd1", True, True), "rd1 removed"),
        (Change("flush", "rd1", True, True), "rd1 erased"),
        (Change("lock", "rd1", False, True), "rd1 is already locked"),
        (Change("use", "lab", True, True), 'Switched to context "lab".'),
        (Change("set", "lab", True, True), "lab set"),
        (
            Change("unlock", "rd1", True, None),
            "rd1 unlocked (reported, not verified)",
        ),
    ],
)
def test_a_change_in_words(change: Change, words: str) -> None:
    assert show(Report([change]), None) == f"{words}\n"
