"""Check a bill of materials with the schema of CycloneDX.

    python -m release.bill FILE...

This runs in an environment of its own, as the only one of these modules: what is built is built
with the libraries of the lock file alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found]
from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found]


def main(*files: str) -> None:
    for file in files:
        text = Path(file).read_text("utf-8")
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        if fault is not None:
            sys.exit(f"not ready for release: {file} is not valid CycloneDX 1.6: {fault}")


if __name__ == "__main__":
    main(*sys.argv[1:])
