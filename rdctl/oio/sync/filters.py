"""Which names a transfer takes: --include and --exclude, and the patterns of --glob."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rdctl.core.units import escape

# An escaped character, a wildcard, or any other text.
_TOKEN = re.compile(r"\\[*?\\]|\*\*/|\*\*|\*|\?|[^*?\\]+|\\", re.DOTALL)
_STARS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}


class Glob:
    """A pattern. `*` and `?` stay within one path component, `**` crosses. Without `/` it matches
    the last component at any depth, with one the whole name; `/` at its start does not count, and
    at its end it means all below. A backslash makes a wildcard literal."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        whole = "/" in pattern
        pattern = pattern.removeprefix("/")
        if not pattern or pattern.endswith("/"):
            pattern += "**"
        regex = _regex(_TOKEN.findall(pattern))
        self._matches = re.compile(regex if whole else f"(?:.*/)?{regex}", re.DOTALL).fullmatch

    def matches(self, name: str) -> bool:
        return self._matches(name) is not None


class Filters(NamedTuple):
    """A name is taken if it matches any of `include`, or none is given, and none of `exclude`."""

    include: Sequence[Glob] = ()
    exclude: Sequence[Glob] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str]) -> Filters:
        return cls(tuple(map(Glob, include)), tuple(map(Glob, exclude)))

    def takes(self, name: str) -> bool:
        """Whether a name, relative to the source, is taken."""
        if self.include and not any(glob.matches(name) for glob in self.include):
            return False
        return not self.excludes(name)

    def excludes(self, name: str) -> bool:
        return any(glob.matches(name) for glob in self.exclude)

    def __bool__(self) -> bool:
        """Whether any name may be left out."""
        return bool(self.include or self.exclude)


def warn_unmatched(filters: Filters, names: Sequence[str], warn: Callable[[str], None]) -> None:
    """Warn of patterns that match none of these names, which are all that there are."""
    for option, globs in ("--include", filters.include), ("--exclude", filters.exclude):
        for glob in globs:
            if not any(map(glob.matches, names)):
                warn(f'{option} "{escape(glob.pattern)}" matches nothing{_why(glob.pattern)}')


def _why(pattern: str) -> str:
    """A likely reason why a pattern matches nothing."""
    if pattern.startswith("./"):
        return '; names do not begin with "./"'
    return "; [...] is literal" if re.search(r"\[.*\]", pattern, re.DOTALL) else ""


def _regex(tokens: Sequence[str]) -> str:
    """The regular expression of a pattern. What is between two stars is looked for once: where it
    is found first, the second star matches the rest of any later place as well. So a name is not
    tried in all combinations of places."""
    stars = [place for place, token in enumerate(tokens) if token in _STARS]
    regex = "".join(map(_literal, tokens[: stars[0] if stars else None]))
    for place, following in zip(stars, [*stars[1:], None], strict=False):
        between = "".join(map(_literal, tokens[place + 1 : following]))
        once = tokens[place] == "*" and following is not None and tokens[following] != "**/"
        star = _STARS[tokens[place]]
        regex += f"(?>{star}?{between})" if once else star + between
    return regex


def _literal(token: str) -> str:
    if token == "?":
        return "[^/]"
    escaped = len(token) == 2 and token[0] == "\\"
    return re.escape(token[1:] if escaped else token)
