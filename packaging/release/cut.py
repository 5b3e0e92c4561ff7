"""Cut the changelog: what is unreleased becomes the section of the version, and every name that the
program has by now becomes promised.

    python -m release.cut [DATE]
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from release import promises
from release.build import ROOT
from release.version import version_of

_UNRELEASED = "## [Unreleased]\n"


def main(day: str | None = None) -> None:
    cut(ROOT, day or datetime.now(UTC).date().isoformat())
    promises.write(ROOT)


def cut(tree: Path, day: str) -> None:
    file = tree / "CHANGELOG.md"
    text, version = file.read_text("utf-8"), version_of(tree)
    head, found, rest = text.partition(_UNRELEASED)
    if not found or not rest.partition("\n## ")[0].strip():
        sys.exit("CHANGELOG.md has nothing unreleased")
    if f"## [{version}]" in rest:
        sys.exit(f"CHANGELOG.md already has [{version}]: raise the version first")
    file.write_text(f"{head}{_UNRELEASED}\n## [{version}] - {day}\n{rest}", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
