"""The local time of a file as a property of its object."""

from __future__ import annotations

import pytest

from rdctl.oio.sync.model import mtime_of, mtime_text

TEXTS = {
    "rclone's example": (1354040105_123456789, "1354040105.123456789"),
    "whole seconds": (1354040105_000000000, "1354040105"),
    "trailing zeros": (1354040105_120000000, "1354040105.12"),
    "leading zeros": (1_000000001, "1.000000001"),
    "1970": (0, "0"),
    "before 1970": (-1_500000000, "-1.5"),
    "just before 1970": (-1, "-0.000000001"),
    "long ago": (-11644473600_000000000, "-11644473600"),
    "far ahead": (253402300800_000000001, "253402300800.000000001"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_time_is_the_same_after_being_stored(name: str) -> None:
    number, text = TEXTS[name]
    assert mtime_text(number) == text
    assert mtime_of(text) == number


def test_more_decimals_than_nanoseconds_are_cut() -> None:
    assert mtime_of("1.0000000019") == 1_000000001


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "1.", ".5", "1e9", "+1", " 1", "1\n", "٣", "nan", "1" * 13]
)
def test_what_is_not_a_time_is_no_time(text: str | None) -> None:
    assert mtime_of(text) is None
