"""The text format of Prometheus, read strictly: what it forbids is an error here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABEL})(?:,{_LABEL})*)\}})? (-?[0-9.e+-]+)")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Family(NamedTuple):
    kind: str
    help: str
    samples: dict[tuple[tuple[str, str], ...], float]


def parse(text: str) -> dict[str, Family]:
    """All metrics by name, in their order."""
    found: dict[str, Family] = {}
    assert text.endswith("\n")
    help = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            name, _, help = line.removeprefix("# HELP ").partition(" ")
            assert name not in found, f"{name} has two blocks"
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            found[name] = Family(kind, help, {})
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == name, line
            labels = tuple(_labels(match[2] or ""))
            samples = found[name].samples
            assert labels not in samples, f"{line} is there twice"
            samples[labels] = float(match[7])
    return found


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in re.findall(_LABEL, text):
        yield name, re.sub(r'\\[\\"n]', lambda found: _ESCAPES[found[0]], value)


def value(families: dict[str, Family], metric: str, **labels: str) -> float | None:
    """The value of the one sample with these labels among others; None without one."""
    if metric not in families:
        return None
    samples = families[metric].samples.items()
    found = [number for known, number in samples if labels.items() <= dict(known).items()]
    assert len(found) <= 1, found
    return found[0] if found else None
