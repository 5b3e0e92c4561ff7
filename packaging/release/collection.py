"""The collection for Ansible, in the form of its installer, byte for byte the same everywhere.

A manifest names the list of files, and that the files, each with its digest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

from release.version import version_of

_DIGEST = {"chksum_type": "sha256", "format": 1}


def make(tree: Path, out: Path, epoch: int) -> Path:
    """Write the archive, and return it."""
    about = described(tree)
    files = contents(tree)
    listed = _json(
        {
            "files": [*map(_place, [".", *directories(files)]), *map(_entry, files.items())],
            "format": 1,
        }
    )
    manifest = _json(
        {
            "collection_info": about,
            "file_manifest_file": {"name": "FILES.json", "ftype": "file"} | _digest(listed),
            "format": 1,
        }
    )
    file = out / f"{about['namespace']}-{about['name']}-{about['version']}.tar.gz"
    with (
        open(file, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as written,
    ):
        for name in directories(files):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mtime, entry.mode = tarfile.DIRTYPE, epoch, 0o755
            written.addfile(entry)
        for name, data in {"MANIFEST.json": manifest, "FILES.json": listed, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), epoch, 0o644
            written.addfile(entry, io.BytesIO(data))
    return file


def described(tree: Path) -> dict[str, Any]:
    """What galaxy.yml says; ValueError if it is of another version than rdctl."""
    import yaml

    about: dict[str, Any] = yaml.safe_load((_source(tree) / "galaxy.yml").read_text("utf-8"))
    expected = semantic(version_of(tree))
    if about["version"] != expected:
        raise ValueError(f"packaging/ansible/galaxy.yml: version is not {expected}")
    unset = ("license_file", "repository", "documentation", "homepage", "issues")
    return {**dict.fromkeys(unset), **about}


def semantic(version: str) -> str:
    """As Ansible writes it: 1.0.0-rc.1."""
    return re.sub(r"rc", "-rc.", version)


def contents(tree: Path) -> dict[str, bytes]:
    """The files by their names, with the license of the project."""
    source = _source(tree)
    names = [
        path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    found = {str(path.relative_to(source)): path.read_bytes() for path in names}
    found.pop("galaxy.yml")
    return dict(sorted({**found, "LICENSE": (tree / "LICENSE").read_bytes()}.items()))


def _source(tree: Path) -> Path:
    return tree / "packaging" / "ansible"


def directories(files: dict[str, bytes]) -> list[str]:
    found = {str(parent) for name in files for parent in Path(name).parents}
    return sorted(found - {"."})


def _place(name: str) -> dict[str, Any]:
    nothing = {"chksum_type": None, "chksum_sha256": None, "format": 1}
    return {"name": name, "ftype": "dir", **nothing}


def _entry(file: tuple[str, bytes]) -> dict[str, Any]:
    return {"name": file[0], "ftype": "file", **_digest(file[1])}


def _digest(data: bytes) -> dict[str, Any]:
    return {**_DIGEST, "chksum_sha256": hashlib.sha256(data).hexdigest()}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
