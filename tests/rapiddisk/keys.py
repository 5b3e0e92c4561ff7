"""Keys for DH-HMAC-CHAP, as `nvme gen-dhchap-key` makes them, and their files."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

# How many bytes a key of each form has.
BYTES = {"00": 32, "01": 32, "02": 48, "03": 64}


def key(seed: int, form: str = "00", size: int | None = None) -> str:
    secret = bytes([seed]) * (size or BYTES[form])
    checksum = zlib.crc32(secret).to_bytes(4, "little")
    return f"DHHC-1:{form}:{base64.b64encode(secret + checksum).decode()}:"


ONE_KEY, TWO_KEY, CTRL_KEY = key(1), key(2, "02"), key(3, "03")
ALL_KEYS = (ONE_KEY, TWO_KEY, CTRL_KEY)


def key_file(directory: Path, name: str, text: str, mode: int = 0o600) -> str:
    path = directory / name
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return str(path)


def written_in(directory: Path, but: tuple[Path, ...] = ()) -> list[str]:
    """The files below a directory that have a key, or a part of one."""
    parts = [text.split(":")[2].encode() for text in ALL_KEYS]
    found = []
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink() and not {path, *path.parents} & {*but}:
            data = path.read_bytes()
            if any(part in data for part in parts):
                found.append(str(path))
    return found
