"""Whether a file and an object are the same, without a request and without reading more than that
takes."""

from __future__ import annotations

import re

from rdctl.oio.sync.model import Local, Remote

_BILLION = 10**9
# In which steps file systems keep times, in nanoseconds: NTFS, microseconds, milliseconds, exFAT,
# whole seconds, FAT.
_STEPS = (100, 1000, 10**6, 10**7, _BILLION, 2 * _BILLION)
_MD5 = re.compile("[0-9A-Fa-f]{32}")


def uploaded(local: Local, remote: Remote) -> bool:
    """Whether the object is the file, by size and time. Without the property, the file must not be
    newer than the object."""
    time = file_time(remote)
    if remote.size != local.size or time is None:
        return False
    older = remote.mtime_ns is None and local.mtime_ns < time
    return older or same_time(local.mtime_ns, time)


def downloaded(local: Local, remote: Remote) -> bool:
    """Whether the file is the object, by size and time. Without the property, the file must not be
    older than the object."""
    time = file_time(remote)
    if remote.size != local.size or time is None:
        return False
    newer = remote.mtime_ns is None and local.mtime_ns > time
    return newer or same_time(local.mtime_ns, time)


def file_time(remote: Remote) -> int | None:
    """The modification time that a file made of the object gets, in nanoseconds."""
    if remote.mtime_ns is None:
        return object_time(remote.modified, remote.version)
    return remote.mtime_ns


def object_time(modified: int | None, version: int | None) -> int | None:
    """The time of an object itself, in nanoseconds. A version is a time in microseconds: one in
    that second tells apart objects that replaced each other within it."""
    if modified is None:
        return None
    exact = version is not None and version // 10**6 == modified
    return version * 1000 if exact and version is not None else modified * _BILLION


def is_newer(local: Local, remote: Remote) -> bool:
    """Whether the file has changed since the time that the object has stored, or its own."""
    times = (remote.mtime_ns, object_time(remote.modified, remote.version))
    return any(time is not None and local.mtime_ns > time for time in times)


def is_upload(local: Local, remote: Remote) -> bool:
    """Whether the object was made of the file, as it is now, by a transfer that keeps times."""
    same = remote.size == local.size and remote.mtime_ns is not None
    return same and same_time(local.mtime_ns, remote.mtime_ns or 0)


def is_download(local: Local, remote: Remote) -> bool:
    """Whether the file was made of the object, as it is now."""
    time = file_time(remote)
    return remote.size == local.size and time is not None and same_time(local.mtime_ns, time)


def is_unchanged(now: Remote, listed: Remote) -> bool:
    """Whether an object is what it was when it was listed. Appending keeps the version and the ID,
    but neither the size nor the hash."""
    return (now.version, now.content_id, now.size, now.hash) == (
        listed.version,
        listed.content_id,
        listed.size,
        listed.hash,
    )


def same_time(kept: int, exact: int) -> bool:
    """Whether the time of a file is this time, as far as its file system can keep it."""
    if kept == exact:
        return True
    return any(kept % step == 0 and exact // step == kept // step for step in _STEPS)


def comparable(remote: Remote) -> bool:
    """Whether the object has the MD5 of all its bytes: one that was appended to has none, and later
    servers may have another hash."""
    return remote.hash is not None and _MD5.fullmatch(remote.hash) is not None


def same_bytes(size: int, md5: str, remote: Remote) -> bool:
    """Whether bytes of that size and MD5 are those of the object, which is `comparable`."""
    return size == remote.size and md5.upper() == str(remote.hash).upper()
