"""`make release-check`: what a release needs, from a clean committed tree. Nothing is published.

    python -m release.check [TAG]

Without a tag, that of the version must not exist yet. With a tag, as in the hosted workflow, it
must be an annotated one of the last commit. The files are in dist/, with SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from release.build import ROOT, git
from release.version import packaged, tag_of, version_of

# Two makers of a release have little in common; what they build has to be the same.
_UNLIKE = (
    (0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}),
    (0o077, {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7"}),
)
# What setuptools adds to a source archive.
_MADE = ("PKG-INFO", "rdctl.egg-info/")


class Refused(Exception):
    """Why this is not released."""


def main(tag: str | None = None) -> None:
    try:
        version = version_of(ROOT)
        clean(ROOT)
        tags(ROOT, version, tag)
        changelog(ROOT, version)
        packages(ROOT, version)
        security(ROOT)
        dist = ROOT / "dist"
        files = reproducible(dist)
        whole(ROOT, dist / f"rdctl-{version}.tar.gz")
        files += [Path(shutil.copy(package, dist)) for package in debian(ROOT)]
        sums(dist, files)
    except (Refused, ValueError, OSError) as error:
        sys.exit(f"not ready for release: {error}")


def clean(tree: Path) -> None:
    if changed := git(tree, "status", "--porcelain"):
        raise Refused(f"not committed:\n{changed}")


def tags(tree: Path, version: str, tag: str | None = None) -> None:
    expected = tag_of(version)
    if tag is None:
        if git(tree, "tag", "--list", expected):
            raise Refused(f"the tag {expected} already exists: raise the version")
    elif tag != expected:
        raise Refused(f"the tag is {tag}, but the version needs {expected}")
    elif not (kind := git(tree, "tag", "--list", "--format=%(objecttype)", tag)):
        raise Refused(f"the tag {tag} does not exist")
    elif kind != "tag":
        raise Refused(f"{tag} is not an annotated tag: make it with git tag -s")
    elif git(tree, "rev-parse", f"{tag}^{{commit}}") != git(tree, "rev-parse", "HEAD"):
        raise Refused(f"{tag} is not the tag of the last commit")


def changelog(tree: Path, version: str) -> None:
    """Its top section is that of the version, and nothing waits above it."""
    text = (tree / "CHANGELOG.md").read_text("utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)[1:]
    sections = list(zip(parts[::2], parts[1::2], strict=True))
    if sections and sections[0][0] == "[Unreleased]":
        if sections.pop(0)[1].strip():
            raise Refused("CHANGELOG.md has unreleased changes: python -m release.cut")
    top, body = sections[0] if sections else ("nothing", "")
    found = re.fullmatch(r"\[(.*)\] - (\d{4}-\d{2}-\d{2})", top)
    if not found or found[1] != version:
        raise Refused(f'CHANGELOG.md begins with "{top}", not with "[{version}] - DATE"')
    if date.fromisoformat(found[2]) > datetime.now(UTC).date():
        raise Refused(f"CHANGELOG.md: {found[2]} is in the future")
    headings = re.findall(r"^### (.*)$", body, re.MULTILINE)
    if not headings or len(headings) != len(set(headings)):
        raise Refused(f"CHANGELOG.md: [{version}] has no headings, or has one of them twice")


def packages(tree: Path, version: str) -> None:
    """The spec of the RPM has the version, and no Debian package of another one, or of another
    commit, is there to be released."""
    expected = packaged(version)
    for spec in sorted((tree / "packaging").rglob("*.spec")):
        found = re.search(r"^Version:\s*(\S+)$", spec.read_text("utf-8"), re.MULTILINE)
        if not found or found[1] != expected:
            raise Refused(f"{spec.relative_to(tree)}: Version is not {expected}")
    for package in debian(tree):
        if not package.name.startswith(f"rdctl_{expected}-"):
            raise Refused(f"{package.relative_to(tree)} is not of {expected}: make deb")
        source = package.with_name(f"rdctl_{expected}.orig.tar.gz")
        if commit_of(source) != git(tree, "rev-parse", "HEAD"):
            raise Refused("the package in build/deb is not of the last commit: make deb")


def commit_of(archive: Path) -> str | None:
    """The commit that `git archive` made it of, which it writes into it."""
    with tarfile.open(archive) as opened:
        return opened.pax_headers.get("comment")


def debian(tree: Path) -> list[Path]:
    """The package, if it was made."""
    return sorted((tree / "build" / "deb").glob("*.deb"))


def security(tree: Path) -> None:
    """A reporter has to reach someone: the placeholder of the address is filled in."""
    text = (tree / "SECURITY.md").read_text("utf-8")
    if found := re.search(r"<[A-Z][A-Z -]+>", text):
        raise Refused(f"SECURITY.md: replace {found[0]} by the address for reports")


def reproducible(dist: Path) -> list[Path]:
    """Build everything twice, and keep it if both are the same."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        for place, (umask, variables) in zip((one, other), _UNLIKE, strict=True):
            _build(Path(place), umask, variables)
        same(Path(one, "dist"), Path(other, "dist"))
        emptied(dist)
        kept = []
        for file in sorted(Path(one, "dist").iterdir()):
            kept.append(dist / file.name)
            kept[-1].write_bytes(file.read_bytes())
            kept[-1].chmod(0o755 if file.suffix == ".pyz" else 0o644)
    return kept


def emptied(directory: Path) -> None:
    """What is in dist/ afterwards is the release: files of an earlier one are not."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()


def _build(place: Path, umask: int, variables: dict[str, str]) -> None:
    (place / "tmp").mkdir()
    subprocess.run(
        [sys.executable, "-m", "release.build", str(place / "dist")],
        cwd=ROOT,
        env={**os.environ, **variables, "PYTHONPATH": "packaging", "TMPDIR": str(place / "tmp")},
        umask=umask,
        check=True,
    )


def same(one: Path, other: Path) -> None:
    names = {file.name for file in one.iterdir()}
    if names != {file.name for file in other.iterdir()}:
        raise Refused("two builds made different files")
    for name in sorted(names):
        if (one / name).read_bytes() != (other / name).read_bytes():
            raise Refused(f"{name} is not reproducible: two builds differ")


def whole(tree: Path, sdist: Path) -> None:
    """The source archive has what is committed, and nothing else."""
    with tarfile.open(sdist) as archive:
        names = {entry.name.partition("/")[2] for entry in archive if not entry.isdir()}
    known = set(git(tree, "ls-files").split("\n"))
    if lacking := known - names:
        raise Refused(f"{sdist.name} lacks {', '.join(sorted(lacking))}: see MANIFEST.in")
    if extra := {name for name in names - known if not name.startswith(_MADE)}:
        raise Refused(f"{sdist.name} has {', '.join(sorted(extra))}, which is not committed")


def sums(dist: Path, files: list[Path]) -> None:
    """As sha256sum writes and checks it."""
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (dist / "SHA256SUMS").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
