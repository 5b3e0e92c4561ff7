"""The version of a tree, and the forms that it takes."""

from __future__ import annotations

import re
from pathlib import Path


def version_of(tree: Path) -> str:
    """The one that is written in the package; ValueError if a release cannot have it."""
    text = (tree / "rdctl" / "__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]*)"$', text, re.MULTILINE)
    if not found:
        raise ValueError("rdctl/__init__.py has no line __version__ =")
    if not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", found[1]):
        raise ValueError(f'rdctl/__init__.py: "{found[1]}" is not X.Y.Z or X.Y.ZrcN')
    return found[1]


def tag_of(version: str) -> str:
    return f"v{version}"


def packaged(version: str) -> str:
    """As Debian and RPM write it: there, a tilde sorts before the end."""
    return version.replace("rc", "~rc")
