"""Nothing that the last release promised is gone, and docs/stability.md speaks of what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rdctl.core.errors import Exit
from rdctl.output import FORMATS
from release import promises

ROOT = Path(__file__).resolve().parents[2]
STABILITY = (ROOT / "docs" / "stability.md").read_text("utf-8")


def test_every_promised_name_exists() -> None:
    promised = promises.promised(ROOT)
    assert len(promised) > 1000
    assert sorted(promised - promises.inventory()) == []


@pytest.mark.parametrize(
    "name",
    [
        "command rdctl rapiddisk create",
        "option rdctl rapiddisk create --overcommit",
        "option --context",
        "format ndjson",
        "key rdctl.rapiddisk.volume/1 used_by",
        "exit 10 unknown",
        "word in-use 4",
        "setting protected",
        "variable OIO_NS",
        "metric gauge rapiddisk_export_authenticated",
        "check exposed-exports",
    ],
)
def test_every_kind_is_in_the_list(name: str) -> None:
    kind = name.split()[0]
    found = {line for line in promises.inventory() if line.startswith(f"{kind} ")}
    assert name in found, sorted(found)[:5]
    assert name in promises.promised(ROOT)


def test_the_document_names_each_exit_code_and_format() -> None:
    named = re.search(r"all of 0 to (\d+), ([\d, and]+), and their meanings", STABILITY)
    assert named
    codes = {*range(int(named[1]) + 1), *map(int, re.findall(r"\d+", named[2]))}
    assert codes == {code.value for code in Exit}
    (formats,) = re.findall(r"^\| formats \| (.*?) \|", STABILITY, re.MULTILINE)
    assert set(re.findall(r"`(?:-o )?(\w+)`", formats)) == set(FORMATS) - {"table"}
