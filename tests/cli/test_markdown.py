"""What a help topic makes of Markdown."""

from __future__ import annotations

import pytest

from rdctl.cli.blocks import Lines, Section, Terms
from rdctl.cli.markdown import sections

TEXT = """\
# Title

A paragraph, **strong
words** and *one*. `rack1-*` and `*` stay.

## Links and items

See [below](#items), [transfers](transfers.md#sync) and [README](../README.md).

- one,
  on two lines
- two

1. first
2. second

```sh
# no heading

| no | table |
```

    kept  as
      it is

## Tables

| word | meaning |
|---|---|
| `a b` | x \\| y |
| | again |

| word | small | large |
|---|--:|---|
| a | 1 | 2 |
| b | | 3 |
"""


def test_each_form_becomes_a_block() -> None:
    assert sections(TEXT, "docs") == [
        Section("Title", ["A paragraph, strong words and one. `rack1-*` and `*` stay."]),
        Section(
            "Links and items",
            [
                "See below, transfers (docs/transfers.md) and README (README.md).",
                Terms((("-", "one, on two lines"), ("-", "two"))),
                Terms((("1.", "first"), ("2.", "second"))),
                Lines(("# no heading", "", "| no | table |")),
                Lines(("kept  as", "  it is")),
            ],
        ),
        Section(
            "Tables",
            [
                Terms((("a b", "x | y"), ("", "again"))),
                Terms((("a", "Small: 1. Large: 2"), ("b", "Large: 3"))),
            ],
        ),
    ]


def test_a_row_without_all_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        sections("# A\n\n| a | b | c |\n|---|---|---|\n| 1 | 2 |\n", "docs")
