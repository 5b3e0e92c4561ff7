"""What a release consists of, from the last commit: byte for byte the same wherever it is built.

    python -m release.build DIRECTORY [sdist|wheel|pyz|sbom|ansible ...]

PYTHONS has the interpreters whose bytecode rdctl.pyz gets (default: the running one).
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from release import collection, pyz, sbom
from release.version import version_of

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("sdist", "wheel", "pyz", "sbom", "ansible")


def main(directory: str, *kinds: str) -> None:
    with committed(ROOT) as tree:
        for path in build(tree, Path(directory), epoch_of(ROOT), kinds or KINDS):
            print(path)


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(tree), *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.rstrip("\n")


def epoch_of(tree: Path) -> int:
    """The time of the last commit, which all files of the release get."""
    return int(git(tree, "log", "-1", "--format=%ct"))


@contextmanager
def committed(tree: Path) -> Iterator[Path]:
    """The last commit in a directory of its own: what is not committed is not released."""
    with tempfile.TemporaryDirectory() as place:
        packed, copy = Path(place, "tree.tar"), Path(place, "tree")
        git(tree, "archive", "--output", str(packed), "HEAD")
        copy.mkdir()
        with tarfile.open(packed) as archive:
            archive.extractall(copy, filter="tar")
        packed.unlink()
        yield copy


def build(tree: Path, out: Path, epoch: int, kinds: tuple[str, ...] = KINDS) -> list[Path]:
    """Build these kinds from a tree, and return the files."""
    version = version_of(tree)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        _setuptools(tree, Path(place), epoch)
        sdist, wheel = Path(place, f"rdctl-{version}.tar.gz"), next(Path(place).glob("*.whl"))
        made = []
        for kind in kinds:
            match kind:
                case "sdist":
                    made.append(out / sdist.name)
                    normalize(sdist, made[-1], epoch)
                case "wheel":
                    made.append(out / wheel.name)
                    shutil.copyfile(wheel, made[-1])
                case "pyz":
                    made.append(out / "rdctl.pyz")
                    pyz.make(tree, wheel, made[-1], _pythons())
                case "sbom":
                    made.append(out / f"rdctl-{version}.cdx.json")
                    made[-1].write_text(sbom.document(tree, epoch), "utf-8")
                case "ansible":
                    made.append(collection.make(tree, out, epoch))
                case _:
                    raise SystemExit(f"unknown kind of file: {kind}")
    return made


def _pythons() -> list[str]:
    return os.environ.get("PYTHONS", "").split() or [sys.executable]


def _setuptools(tree: Path, out: Path, epoch: int) -> None:
    """The sdist, and the wheel that is built from it. Modes of new files go into the wheel, so they
    must not be those of the caller."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    for directory, _, names in os.walk(tree):
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)],
        env=environ,
        umask=0o022,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)


def normalize(sdist: Path, file: Path, epoch: int) -> None:
    """Write it again without what differs from one build to the next: setuptools keeps the times
    and owners of files, and gzip the time and its file's name."""
    with (
        tarfile.open(sdist) as given,
        open(file, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as written,
    ):
        for entry in sorted(given, key=lambda entry: entry.name):
            plain = tarfile.TarInfo(entry.name)
            plain.type, plain.size, plain.mtime = entry.type, entry.size, epoch
            plain.linkname = entry.linkname
            plain.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            written.addfile(plain, given.extractfile(entry) if entry.isfile() else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
