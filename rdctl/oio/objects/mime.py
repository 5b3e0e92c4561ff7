"""The MIME type of an object, guessed from its name."""

from __future__ import annotations

import os

# Of compressed data, whatever is in it.
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}


def guessed(name: str) -> str | None:
    """The type that the suffix of the name stands for, here or on this machine (mime.types); None:
    unknown."""
    suffix = os.path.splitext(name)[1]
    if not suffix.isascii():
        return None
    import mimetypes

    # Only the suffix: a whole name may look like a URL, such as data:image/png,x.
    kind, encoding = mimetypes.guess_type("x" + suffix)
    return kind if encoding is None else _COMPRESSED.get(encoding)
