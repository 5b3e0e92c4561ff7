"""Listings that are still being filled: rows leave as they come, and every end is told."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from rdctl.core.environment import Stream
from rdctl.core.errors import Code, Ended, RdctlError
from rdctl.core.results import Listing
from rdctl.output.formats.table import MOST_DRAWN, Table
from rdctl.output.render import render
from rdctl.output.view import View
from tests.output.showing import VOLUME, show, shown_before_error, volume

LINE_FORMATS = ["table", "ndjson", "csv", "tsv", "name"]
ENDS = {
    "error": (RdctlError(Code.UNREACHABLE, "gone"), "unreachable"),
    "Ctrl-C": (KeyboardInterrupt(), "interrupted"),
    "SIGTERM": (Ended(Code.TERMINATED), "terminated"),
    "SIGHUP": (Ended(Code.HANGUP), "hang-up"),
    "fault": (ZeroDivisionError(), "internal"),
}
every_end = pytest.mark.parametrize(("error", "code"), ENDS.values(), ids=ENDS)


def ending(count: int, error: BaseException) -> Listing:
    """`count` rows, then the error."""

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield volume(f"rd{number}")
        raise error

    return Listing(rows())


@every_end
@pytest.mark.parametrize("count", [1, 3])
def test_json_is_closed_whatever_ends_it(error: BaseException, code: str, count: int) -> None:
    shown = shown_before_error(ending(count, error), VOLUME, "json")
    document = json.loads(shown.removesuffix(type(error).__name__))
    assert [row["device"] for row in document["items"]] == [f"rd{n}" for n in range(count)]
    assert list(document) == ["schema", "items", "complete", "error"]
    assert document["complete"] is False
    assert document["error"]["code"] == code


@every_end
def test_json_is_not_opened_before_the_first_row(error: BaseException, code: str) -> None:
    assert shown_before_error(ending(0, error), VOLUME, "json") == type(error).__name__


@every_end
@pytest.mark.parametrize("format", LINE_FORMATS)
@pytest.mark.parametrize("view", [{}, {"terminal": True}])
def test_rows_stop_where_the_error_is(
    error: BaseException, code: str, format: str, view: dict[str, Any]
) -> None:
    """The rows before it are there in full."""
    shown = shown_before_error(ending(3, error), VOLUME, format, **view)
    shown = shown.removesuffix(type(error).__name__)
    whole = show(Listing(volume(f"rd{n}") for n in range(3)), VOLUME, format, **view)
    assert shown == whole


@pytest.mark.parametrize("view", [{"format": "yaml"}, {"sort_by": "size"}, {"query": "[]"}])
def test_what_collects_first_shows_nothing_then(view: dict[str, Any]) -> None:
    error = RdctlError(Code.UNREACHABLE, "gone")
    assert (
        shown_before_error(ending(3, error), VOLUME, **{"format": "json", **view}) == "RdctlError"
    )


def test_an_interrupted_table_does_not_draw_the_rest() -> None:
    """An iterator that is not over after the exception is asked no more."""

    class Rows:
        count = 0

        def __iter__(self) -> Rows:
            return self

        def __next__(self) -> dict[str, Any]:
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt
            return volume(f"rd{self.count}")

    rows = Rows()
    with pytest.raises(KeyboardInterrupt):
        Table(View(), Stream(io.BytesIO(), tty=False), lambda message: None).rows(
            rows, VOLUME.columns
        )
    assert rows.count == 3


class Watched(io.RawIOBase):
    """Keeps how many bytes were written, and the first of them."""

    def __init__(self) -> None:
        self.size = 0
        self.start = b""

    def write(self, data: Any) -> int:
        self.start += bytes(data)[: max(0, 100 - len(self.start))]
        self.size += len(data)
        return len(data)


@pytest.mark.parametrize("format", ["json", *LINE_FORMATS])
@pytest.mark.parametrize("terminal", [False, True])
def test_a_long_listing_takes_no_memory_and_is_not_waited_for(format: str, terminal: bool) -> None:
    out = Watched()
    written_at: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(4000):
            if number in (1, MOST_DRAWN, MOST_DRAWN + 1):
                written_at.append(out.size)
            if number == 1000:
                tracemalloc.start()
            yield volume(f"rd{number}")

    try:
        view = View(format=format, terminal=terminal)
        stream = Stream(out, tty=terminal)  # type: ignore[arg-type]
        render(Listing(rows()), VOLUME, view, stream, lambda message: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    if format == "table":
        # The first page tells the widths; the second is not waited for.
        assert written_at[:2] == [0, 0]
        assert written_at[2] > 0
    else:
        assert written_at[0] > 0
