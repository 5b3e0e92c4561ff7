"""The files of the history, read as another program would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import Program

MACHINE = "var/log/rdctl/history.ndjson"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def of_sandbox(rdctl: Program) -> list[dict[str, Any]]:
    return lines(rdctl.home / "sandbox.db-history.ndjson")


def of_machine(rdctl: Program) -> list[dict[str, Any]]:
    return lines(rdctl.root / MACHINE)


def pairs(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each first line with its last; fails if one of them is missing or there twice."""
    ends = {line["id"]: line for line in found if "end" in line}
    begun = [line for line in found if "begin" in line]
    assert len(found) == 2 * len(begun) == 2 * len(ends)
    return [(line, ends[line["id"]]) for line in begun]
