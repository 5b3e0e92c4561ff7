"""The patterns of --include, --exclude and --glob."""

from __future__ import annotations

from itertools import product

import pytest

from rdctl.oio.sync.filters import Filters, Glob

# pattern: names that match, names that do not
GLOBS = {
    "*.jpg": (["a.jpg", ".jpg", "2024/a.jpg", "2024/06/a.jpg", "a\nb.jpg"], ["a.JPG", "a.jpg/b"]),
    "a?c": (["abc", "x/abc", "a\udcffc", "a\nc"], ["ac", "abbc", "a/c"]),
    "2024/*.jpg": (["2024/a.jpg"], ["a.jpg", "2024/06/a.jpg", "x/2024/a.jpg"]),
    "2024/**": (["2024/a", "2024/06/a"], ["2024", "x/2024/a"]),
    "**/raw/*": (["raw/a", "x/raw/a", "x/y/raw/a"], ["raw", "raw/a/b", "xraw/a"]),
    "a/**/b": (["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
    "a**b": (["ab", "axb", "x/ab"], ["ba"]),
    "/top": (["top"], ["x/top"]),
    "/": (["a", "x/a"], []),
    "cache/": (["cache/a", "cache/x/a"], ["cache", "x/cache/a"]),
    "[ab].c": (["[ab].c", "x/[ab].c"], ["a.c"]),
    "a.b+(c)": (["a.b+(c)"], ["axb+(c)"]),
    r"what\?": (["what?"], ["whats"]),
    r"a\*b": (["a*b"], ["axb"]),
    r"a\b": (["a\\b"], ["ab"]),
    "a\\": (["a\\"], ["a"]),
    r"a\\*": (["a\\", "a\\x"], ["a*"]),
    "name with space": (["name with space"], ["name"]),
    "*": (["a", "a/b", ""], []),
    "***": (["a", "a/b"], []),
}


@pytest.mark.parametrize("pattern", GLOBS)
def test_a_pattern_matches_as_the_help_says(pattern: str) -> None:
    matching, others = GLOBS[pattern]
    assert [name for name in matching if not Glob(pattern).matches(name)] == []
    assert [name for name in others if Glob(pattern).matches(name)] == []


def test_a_name_has_to_be_included_and_not_excluded() -> None:
    names = ["a.jpg", "a.raw", "x/b.jpg", "x/c.txt"]

    def taken(include: list[str], exclude: list[str]) -> list[str]:
        return [name for name in names if Filters.of(include, exclude).takes(name)]

    assert taken([], []) == names
    assert taken(["*.jpg"], []) == ["a.jpg", "x/b.jpg"]
    assert taken(["*.jpg", "*.raw"], []) == ["a.jpg", "a.raw", "x/b.jpg"]
    assert taken([], ["x/**"]) == ["a.jpg", "a.raw"]
    assert taken(["*.jpg"], ["x/**"]) == ["a.jpg"]
    assert taken(["nothing"], []) == []


def test_filters_know_whether_they_leave_anything_out() -> None:
    assert not Filters()
    assert Filters.of(["a"], [])
    assert Filters.of([], ["a"])


def test_many_stars_do_not_try_all_combinations() -> None:
    assert not Glob("*a" * 12 + "b").matches("a" * 60)


def test_a_pattern_matches_what_a_search_of_all_combinations_finds() -> None:
    """Every short pattern and name of few characters, against a plain definition."""

    def plain(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern.startswith("**/"):
            starts = [0, *(at + 1 for at, char in enumerate(name) if char == "/")]
            return any(plain(pattern[3:], name[at:]) for at in starts)
        if pattern.startswith("**"):
            return any(plain(pattern[2:], name[at:]) for at in range(len(name) + 1))
        if pattern[0] == "*":
            end = name.find("/") if "/" in name else len(name)
            return any(plain(pattern[1:], name[at:]) for at in range(end + 1))
        same = name[:1] == pattern[0] or (pattern[0] == "?" and name[:1] not in ("", "/"))
        return same and plain(pattern[1:], name[1:])

    names = ["".join(letters) for size in range(5) for letters in product("ab/", repeat=size)]
    patterns = map("".join, product(("a", "/", "*", "?", "**", "**/"), repeat=4))
    for pattern in patterns:
        if "/" not in pattern or pattern[0] == "/" or pattern[-1] == "/":
            continue
        glob = Glob(pattern)
        wrong = [name for name in names if glob.matches(name) != plain(pattern, name)]
        assert not wrong, pattern
