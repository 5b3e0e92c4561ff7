"""rdctl.pyz: rdctl and the pure-Python part of its libraries in one file, which Python runs.

The libraries have the versions and hashes of the lock file. The zip is imported from in place:
nothing is unpacked, so that no code is run from a directory that others may write to. It has the
sources, which any Python compiles at each start, and the bytecode for some versions of Python, each
in a directory of its own (`python3.11`), which start several times as fast.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from release import lock
from release.lock import Pin

# The first that a zip can have. Nothing compares it: bytecode is not checked against its source.
_TIME = (1980, 1, 1, 0, 0, 0)
_SHEBANG = b"#!/usr/bin/env python3\n"
# Libraries of the machine are left out: what is optional to ours (simplejson, brotli, chardet)
# would change how rdctl works from one machine to the next.
_MAIN = """\
import sys

sys.path[:] = [path for path in sys.path if not path.endswith(("site-packages", "dist-packages"))]
sys.path.insert(0, "%s/python%d.%d" % (sys.path[0], *sys.version_info[:2]))

from rdctl.__main__ import main

main()
"""
# Of what pip writes beside a library: what tells its version, and its license.
_METADATA = ("METADATA", "entry_points.txt")
# The list of authorities is large, and of what rich requires rdctl uses nothing.
_SOURCES_ONLY = ("certifi", "markdown_it", "mdurl", "pygments")


def make(tree: Path, wheel: Path, file: Path, pythons: Sequence[str]) -> None:
    """Join the wheel and the libraries of the tree's lock file into one file, with bytecode for
    these interpreters."""
    with tempfile.TemporaryDirectory() as place:
        joined = Path(place)
        install(joined, wheel, lock.runtime(tree))
        prune(joined)
        for python in pythons:
            compile_all(joined, python)
        write(joined, file)


def install(tree: Path, wheel: Path, pins: list[Pin]) -> None:
    """The libraries, and rdctl from its wheel."""
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    pip += ["--target", str(tree), "--no-deps", "--no-compile", "--no-warn-conflicts"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        for pin in pins:
            digests = " ".join(f"--hash=sha256:{digest}" for digest in pin.hashes)
            print(f"{pin.requirement} {digests}", file=listed)
        listed.flush()
        subprocess.run(
            [*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", listed.name],
            check=True,
        )
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)


def prune(tree: Path) -> None:
    """Leave what any Python on any platform imports, and what the licenses demand."""
    for name in ("bin", "share", "_yaml"):  # _yaml only names the compiled part of PyYAML
        shutil.rmtree(tree / name, ignore_errors=True)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not _kept(path):
            path.unlink()


def _kept(path: Path) -> bool:
    if path.suffix == ".so":
        return False
    if path.parent.name.endswith(".dist-info"):
        return path.name in _METADATA or path.name.upper().startswith(("LICENSE", "COPYING"))
    return True


def compile_all(tree: Path, python: str) -> None:
    """Add the bytecode for this interpreter, which is never compared with its source: it is as old
    as the zip."""
    tag = 'import sys; print("python%d.%d" % sys.version_info[:2])'
    name = subprocess.run([python, "-c", tag], check=True, stdout=subprocess.PIPE, text=True).stdout
    place = tree / name.strip()
    sources = [path for path in tree.iterdir() if (path / "__init__.py").is_file()]
    for package in sources:
        if package.name not in _SOURCES_ONLY:
            shutil.copytree(package, place / package.name)
    compiling = ["-I", "-m", "compileall", "-q", "-b", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([python, *compiling, "-s", str(place), str(place)], check=True)
    for source in place.rglob("*.py"):
        source.unlink()


def write(tree: Path, file: Path) -> None:
    """The same bytes for the same tree, whenever and wherever it is made."""
    with open(file, "wb") as out:
        out.write(_SHEBANG)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for name, data in [("__main__.py", _MAIN.encode()), *_files(tree)]:
                entry = zipfile.ZipInfo(name, _TIME)
                entry.external_attr = 0o100644 << 16
                packed.writestr(entry, data, zipfile.ZIP_DEFLATED)
    file.chmod(0o755)


def _files(tree: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(tree)), path.read_bytes()
