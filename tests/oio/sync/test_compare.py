"""When a file and an object are the same."""

from __future__ import annotations

from typing import Any

import pytest

from rdctl.oio.sync.compare import (
    comparable,
    downloaded,
    file_time,
    same_bytes,
    same_time,
    uploaded,
)
from rdctl.oio.sync.model import Local, Remote

SECOND = 10**9
NOON = 1_700_000_000 * SECOND + 123_456_789
MD5 = "9E107D9D372BB6826BD81D3542A419D6"


def local(**facts: Any) -> Local:
    return Local(**{"name": "a", "path": "d/a", "size": 3, "mtime_ns": NOON, **facts})


def remote(**facts: Any) -> Remote:
    given = {"modified": 1_700_000_000, "mtime_ns": None, "hash": MD5, "version": 1}
    return Remote(**{"name": "a", "size": 3, "content_id": "AB", **given, **facts})


def test_with_the_property_only_an_equal_time_counts() -> None:
    """Not even a file that is older, or an object that is newer."""
    for same in (uploaded, downloaded):
        assert same(local(), remote(mtime_ns=NOON))
        assert same(local(), remote(mtime_ns=NOON, modified=None))
        for other in (NOON - 1, NOON + 1, NOON + SECOND, 0, -SECOND):
            assert not same(local(), remote(mtime_ns=other))


@pytest.mark.parametrize("time", [-1, -SECOND, -SECOND - 1, 0, 4 * 10**9 * SECOND])
def test_any_time_is_equal_to_itself(time: int) -> None:
    for same in (uploaded, downloaded):
        assert same(local(mtime_ns=time), remote(mtime_ns=time))
        assert not same(local(mtime_ns=time), remote(mtime_ns=time - 1))


def test_without_the_property_the_file_must_not_be_newer_than_what_was_put() -> None:
    made, time = remote(modified=1_700_000_000), 1_700_000_000 * SECOND
    assert uploaded(local(mtime_ns=time), made)
    assert uploaded(local(mtime_ns=0), made)
    assert not uploaded(local(mtime_ns=time + 1), made)
    assert not uploaded(local(mtime_ns=0), remote(modified=None))


def test_without_the_property_the_file_must_not_be_older_than_what_is_got() -> None:
    made, time = remote(modified=1_700_000_000), 1_700_000_000 * SECOND
    assert downloaded(local(mtime_ns=time), made)
    assert downloaded(local(mtime_ns=time + 1), made)
    assert not downloaded(local(mtime_ns=time - 1), made)
    assert not downloaded(local(mtime_ns=time), remote(modified=None))


def test_another_or_unknown_size_is_another_object() -> None:
    for same in (uploaded, downloaded):
        for size in (2, 0, None):
            assert not same(local(), remote(size=size, mtime_ns=NOON))


@pytest.mark.parametrize("step", [100, 1000, 10**6, 10**7, SECOND, 2 * SECOND])
def test_a_file_system_that_keeps_times_in_steps_is_no_difference(step: int) -> None:
    kept = NOON // step * step
    assert same_time(kept, NOON)
    assert same_time(-NOON // step * step, -NOON)
    assert not same_time(kept - step, NOON)
    assert not same_time(kept + step, NOON)
    assert downloaded(local(mtime_ns=kept), remote(mtime_ns=NOON))


def test_an_exact_time_is_not_taken_for_a_coarse_one() -> None:
    assert not same_time(NOON, NOON // SECOND * SECOND)
    assert not same_time(NOON - 1, NOON)


def test_the_time_of_a_file_is_the_property_or_that_of_the_object() -> None:
    assert file_time(remote(mtime_ns=-5)) == -5
    assert file_time(remote(mtime_ns=0)) == 0
    assert file_time(remote()) == 1_700_000_000 * SECOND
    assert file_time(remote(modified=None)) is None


def test_a_hash_that_is_not_an_md5_is_not_comparable() -> None:
    assert comparable(remote())
    for hash in (None, "", "x" * 32, MD5[1:], MD5 * 2):
        assert not comparable(remote(hash=hash))


def test_bytes_are_the_same_by_size_and_md5() -> None:
    assert same_bytes(3, MD5.lower(), remote())
    assert same_bytes(3, MD5, remote(hash=MD5.lower()))
    assert not same_bytes(4, MD5, remote())
    assert not same_bytes(3, "0" * 32, remote())
