"""The exit code that follows from several outcomes."""

from __future__ import annotations

import pytest

from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report

DONE = Change("create", "a", True, True)


def failed(*codes: Code) -> list[Failure]:
    return [Failure("create", RdctlError(code, code.word)) for code in codes]


@pytest.mark.parametrize(
    ("codes", "exit"),
    [
        ([], Exit.OK),
        ([Code.NOT_FOUND], Exit.NOT_FOUND),
        ([Code.NOT_FOUND, Code.NOT_FOUND], Exit.NOT_FOUND),
        ([Code.EXISTS, Code.IN_USE], Exit.CONFLICT),
        ([Code.NOT_FOUND, Code.IN_USE], Exit.FAILED),
        # Who tries again must look first.
        ([Code.UNKNOWN, Code.NOT_FOUND], Exit.UNKNOWN),
        ([Code.NOT_FOUND, Code.TIMEOUT, Code.UNKNOWN], Exit.UNKNOWN),
    ],
)
def test_the_exit_code_of_failures(codes: list[Code], exit: Exit) -> None:
    assert Report(failed(*codes)).exit is exit
    listing = Listing([])
    listing.failures = failed(*codes)
    assert list(listing) == []
    assert listing.exit is exit


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.UNKNOWN])
def test_some_that_are_done_make_it_partial(code: Code) -> None:
    report = Report([DONE, *failed(code)])
    assert (report.exit, report.status) == (Exit.PARTIAL, "partial")
    assert Report([DONE]).exit is Exit.OK
