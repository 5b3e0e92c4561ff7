"""Sizes, natural order, and text that is safe to show."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import (
    CONTROL,
    MIB,
    MOST_BARE,
    MOST_MIB,
    defuse,
    escape,
    guess,
    human_size,
    natural,
    options_in,
    parse_mib,
    parse_size,
    without_password,
)

# Any text that Python can hold, lone surrogates too.
ANY_TEXT = st.text(st.characters())
BINARY = {"": MIB, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64", 64 * MIB),
        ("64M", 64 * MIB),
        ("64m", 64 * MIB),
        ("64MiB", 64 * MIB),
        ("64mib", 64 * MIB),
        ("64MB", 64_000_000),
        ("64Mi", 64 * MIB),
        ("2gi", 2 << 30),
        # As rdctl prints them.
        ("64 MiB", 64 * MIB),
        ("1.5 GiB", 3 << 29),
        ("512 B", 512),
        ("2g", 2 << 30),
        ("1GiB", 1 << 30),
        ("1.5G", 3 << 29),
        ("0.5k", 512),
        ("67108864B", 64 * MIB),
        ("67108864b", 64 * MIB),
        ("1p", 1 << 50),
        (" 64M\n", 64 * MIB),
        ("0", 0),
        (str(MOST_BARE), MOST_BARE * MIB),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "-1",
            "+8",
            "0x40",
            "1e3",
            "1_0",
            "64  M",
            "64\tM",
            "M",
            "64i",
            "64 i",
            "64MM",
            "64iB",
            "64Mib5",
            "64K1",
        ),
        *("1.", ".5", "1.5.0", "64abc", "٦٤", "64\u0131b", "64M\x00", "NaN", "inf"),
        *("0.1B", "0.0000000001M", "9" * 31, str(MOST_BARE + 1), "1" * 5000),
    ],
)
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(RdctlError) as caught:
        parse_size(text)
    assert caught.value.code is Code.USAGE


@settings(deadline=None)
@given(
    st.integers(0, 10**9), st.sampled_from(list(BINARY)), st.booleans(), st.sampled_from(["", "iB"])
)
def test_a_binary_size_is_its_number_times_its_unit(
    number: int, unit: str, upper: bool, suffix: str
) -> None:
    text = f"{number}{unit.upper() if upper else unit}{suffix if unit else ''}"
    if not unit and number > MOST_BARE:
        with pytest.raises(RdctlError, match="is read as MiB") as caught:
            parse_size(text)
        assert caught.value.hint == f"For bytes write {number}B."
    else:
        assert parse_size(text) == number * BINARY[unit]


@settings(deadline=None)
@given(st.integers(0, 2**64))
def test_bytes_are_taken_in_whole_mib_and_the_nearest_are_named(size: int) -> None:
    mib, rest = divmod(size, MIB)
    if not rest and 0 < mib <= MOST_MIB:
        assert parse_mib(f"{size}B") == mib
        return
    with pytest.raises(RdctlError) as caught:
        parse_mib(f"{size}B")
    assert caught.value.code is Code.USAGE
    named = [int(n) for n in re.findall(r"([0-9]+)M\b", caught.value.hint or caught.value.message)]
    if rest:
        assert named == [n for n in (mib, mib + 1) if n]
        assert all(parse_mib(f"{n}M") == n for n in named if n <= MOST_MIB)
    else:
        assert named == [MOST_MIB if mib else 1]


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    error = None
    try:
        assert 1 <= parse_mib(text) <= MOST_MIB
    except RdctlError as caught:
        error = caught
    if error is not None:
        assert error.code is Code.USAGE
        assert not CONTROL.search(error.message)


@settings(deadline=None)
@given(st.integers(0, 2**66))
def test_a_size_for_people_is_short_and_near(size: int) -> None:
    number, unit = human_size(size).split()
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert abs(float(number) * factor - size) <= 0.05 * factor * 1.01
    assert float(number) < 1024 or unit == "PiB"


@pytest.mark.parametrize(
    "names",
    [
        ["rd0", "rd1", "rd2", "rd10", "rd11", "rd100"],
        ["rc-wt_sda", "rc-wt_sda2", "rc-wt_sda10", "rc-wt_sdb"],
        ["", "0", "1", "1a", "1a2", "01b", "a", "a0", "a00", "a01", "a1", "b"],
        ["nvme0n1", "nvme0n1p1", "nvme0n2", "nvme1n1", "nvme10n1"],
        ["x" + "9" * 6000, "x1" + "0" * 6000],
    ],
)
def test_numbers_sort_by_their_value(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(backwards, key=natural) == names


@settings(deadline=None)
@given(st.lists(st.one_of(ANY_TEXT, st.from_regex(r"[a-c]{0,2}[0-9]{0,3}[a-c]?[0-9]?"))))
def test_natural_order_is_total_and_keeps_different_names_apart(names: list[str]) -> None:
    ordered, backwards = sorted(names, key=natural), names[::-1]
    assert sorted(backwards, key=natural) == ordered
    assert all(natural(a) < natural(b) for a, b in pairwise(ordered) if a != b)


def unescape(text: str) -> str:
    """The way back from `escape`."""
    short = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}

    def one(match: re.Match[str]) -> str:
        word = match[1]
        if word[0] == "x":
            value = int(word[1:], 16)
            return chr(value if value < 0x80 else value + 0xDC00)
        return chr(int(word[1:], 16)) if word[0] == "u" else short[word]

    return re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)", one, text)


@settings(deadline=None)
@given(st.one_of(ANY_TEXT, st.text("\\nxu019bdc\x1b\x9b\udc9b\u2028\n")))
def test_escaped_text_is_harmless_and_can_be_told_back(text: str) -> None:
    escaped = escape(text)
    assert not CONTROL.search(escaped)
    assert unescape(escaped) == text


@settings(deadline=None)
@given(ANY_TEXT)
def test_defused_text_has_no_controls_but_line_ends_and_tabs(text: str) -> None:
    assert not CONTROL.search(defuse(text).replace("\n", "").replace("\t", ""))
    if not CONTROL.search(text):
        assert defuse(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rd0", "rd0"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\\d", "a\\nb\\tc\\\\d"),
        ("\x9b1m", "\\u009b1m"),
        ("\udcff", "\\xff"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("ü€😀", "ü€😀"),
    ],
)
def test_what_could_harm_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


# Suggestions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("lst", ["list", "show"], "list"),
        ("Photos", ["photos", "music"], "photos"),
        ("exit", ["exit-codes", "output"], "exit-codes"),
        ("ex", ["exit-codes", "example"], None),  # both begin so
        ("rd9", ["rd0"], "rd0"),
        ("rd9", ["rd0", "rd1"], None),  # both as near
        ("rd11", ["rd0", "rd1", "rd10"], "rd1"),
        ("my photo", ["my photos\n"], "$'my photos\\n'"),
        ("it", ["it's"], "'it'\"'\"'s'"),
        ("xyz", ["list"], None),
        ("--jsn", ["--json", "--help"], "--json"),
        ("--ip", ["--help"], None),  # that both are options makes them no nearer
        ("", ["list"], None),
        ("list", [], None),
    ],
)
def test_the_word_that_was_probably_meant(word: str, words: list[str], meant: str | None) -> None:
    assert guess(word, words) == (f" Did you mean {meant}?" if meant else "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:1/x", "http://h:1/x"),
        ("http://me@h:1", "http://me@h:1"),
        ("http://me:secret@h:1", "http://me:***@h:1"),
        ("http://:secret@h", "http://:***@h"),
        ("me:sec:r@e/t@h", "me:***@h"),
        ("http://me:se://cret@h", "http://me:***@h"),
        ("me:se://cret@h", "me:***@h"),
        ("local", "local"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["-qo", "json", "x"], [("-q", None), ("-o", "json"), ("x", None)]),
        (["-0ojson", "-o"], [("-0", None), ("-o", "json"), ("-o", "")]),
        (
            ["--output=", "--output", "--", "-q"],
            [("--output", ""), ("--output", "--"), ("-q", None)],
        ),
        (["--json=x", "-qx", "-", "--", "-q"], [("--json=x", None), ("-qx", None)]),
    ],
)
def test_options_in_bare_words(words: list[str], found: list[tuple[str, str | None]]) -> None:
    assert list(options_in(words, "0q", ("-o", "--output"))) == found
