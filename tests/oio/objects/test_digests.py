"""An MD5 beside what its user does."""

from __future__ import annotations

import threading

from rdctl.oio.objects.digests import Digest, md5


def test_a_digest_in_a_thread_of_its_own() -> None:
    before = set(threading.enumerate())
    with Digest() as digest:
        for _ in range(20):
            digest.update(b"x" * 1000)
        assert digest.hexdigest() == md5_of(b"x" * 20_000)
    with Digest() as digest:
        digest.update(b"left")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before


def md5_of(data: bytes) -> str:
    digest = md5()
    digest.update(data)
    return str(digest.hexdigest()).upper()
