"""Each part of `make release-check` refuses a tree that is broken in its way, and no other."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from release import build, check, cut
from release.check import Refused
from release.version import packaged, tag_of, version_of

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.0.0rc1] - 2026-01-02\n\n### Added\n\n- a\n"
FILES = {
    "rdctl/__init__.py": '__version__ = "1.0.0rc1"\n',
    "CHANGELOG.md": CHANGELOG,
    ".gitignore": "build/\n",
    "packaging/rpm/rdctl.spec": "Name: rdctl\nVersion:        1.0.0~rc1\n",
    "SECURITY.md": "Report it privately.\n",
}


def git(tree: Path, *words: str) -> None:
    name = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", "-C", tree, *name, *words], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A committed tree that is ready for release."""
    tree = tmp_path / "tree"
    for name, text in FILES.items():
        write(tree, name, text)
    git(tree.parent, "init", "--quiet", str(tree))
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "All")
    return tree


def write(tree: Path, name: str, text: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text, "utf-8")


def checked(tree: Path, tag: str | None = None) -> None:
    """Everything that needs no build."""
    version = version_of(tree)
    check.clean(tree)
    check.tags(tree, version, tag)
    check.changelog(tree, version)
    check.packages(tree, version)
    check.security(tree)


def test_a_tree_that_is_ready(tree: Path) -> None:
    checked(tree)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("rdctl/__init__.py", '__version__ = "1.0.0.dev1"\n', '"1.0.0.dev1" is not X.Y.Z'),
        ("rdctl/__init__.py", "", "has no line __version__"),
        ("rdctl/__init__.py", '__version__ = "1.0.0"\n', 'begins with "[1.0.0rc1] - 2026-01-02"'),
        ("CHANGELOG.md", "# Changelog\n", 'begins with "nothing"'),
        (
            "CHANGELOG.md",
            CHANGELOG.replace("2026-01-02", "2999-01-02"),
            "in the future",
        ),
        ("CHANGELOG.md", CHANGELOG.replace("2026-01-02", "soon"), "not with"),
        ("CHANGELOG.md", CHANGELOG.replace("2026-01-02", "2026-13-02"), "month"),
        (
            "CHANGELOG.md",
            CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n### Added\n\n- b\n"),
            "unreleased changes",
        ),
        ("CHANGELOG.md", CHANGELOG + "\n### Added\n\n- b\n", "one of them twice"),
        ("packaging/rpm/rdctl.spec", "Version: 1.0.0\n", "rdctl.spec: Version is not 1.0.0~rc1"),
        ("SECURITY.md", "Write to <SECURITY ADDRESS>.\n", "replace <SECURITY ADDRESS>"),
    ],
)
def test_files_that_disagree(tree: Path, name: str, text: str, why: str) -> None:
    write(tree, name, text)
    git(tree, "commit", "--all", "--quiet", "--message", "Break it")
    with pytest.raises((Refused, ValueError)) as refused:
        checked(tree)
    assert why in str(refused.value)


def package(tree: Path) -> None:
    """What `make deb` leaves."""
    write(tree, "build/deb/rdctl_1.0.0~rc1-1_all.deb", "")
    source = "build/deb/rdctl_1.0.0~rc1.orig.tar.gz"
    git(tree, "archive", "--format=tar.gz", "--output", source, "HEAD")


def test_a_debian_package_of_another_commit(tree: Path) -> None:
    package(tree)
    git(tree, "commit", "--allow-empty", "--quiet", "--message", "Later")
    with pytest.raises(Refused, match="in build/deb is not of the last commit: make deb"):
        checked(tree)


def test_a_debian_package_of_another_version(tree: Path) -> None:
    package(tree)
    checked(tree)
    write(tree, "build/deb/rdctl_0.9.0-1_all.deb", "")
    with pytest.raises(Refused, match=r"build/deb/rdctl_0\.9\.0-1_all\.deb is not of 1\.0\.0~rc1"):
        checked(tree)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_what_is_not_committed(tree: Path, name: str) -> None:
    write(tree, name, "x")
    with pytest.raises(Refused, match=name):
        check.clean(tree)


def test_a_tag_that_exists(tree: Path) -> None:
    git(tree, "tag", "v1.0.0rc1")
    with pytest.raises(Refused, match=r"the tag v1\.0\.0rc1 already exists"):
        checked(tree)


def test_the_tag_of_a_hosted_release(tree: Path) -> None:
    git(tree, "tag", "--annotate", "--message", "rdctl 1.0.0rc1", "v1.0.0rc1")
    checked(tree, "v1.0.0rc1")
    with pytest.raises(Refused, match=r"the tag is 1\.0\.0rc1, but the version needs v1\.0\.0rc1"):
        checked(tree, "1.0.0rc1")
    git(tree, "commit", "--allow-empty", "--quiet", "--message", "Later")
    with pytest.raises(Refused, match="not the tag of the last commit"):
        checked(tree, "v1.0.0rc1")


def test_a_tag_that_is_missing(tree: Path) -> None:
    with pytest.raises(Refused, match=r"the tag v1\.0\.0rc1 does not exist"):
        checked(tree, "v1.0.0rc1")


def test_a_tag_that_names_nobody(tree: Path) -> None:
    git(tree, "tag", "v1.0.0rc1")
    with pytest.raises(Refused, match="not an annotated tag"):
        checked(tree, "v1.0.0rc1")


def test_forms_of_a_version() -> None:
    assert tag_of("1.0.0rc1") == "v1.0.0rc1"
    assert [packaged(version) for version in ("1.0.0rc1", "1.2.3")] == ["1.0.0~rc1", "1.2.3"]
    assert version_of(ROOT)


# The archives -----------------------------------------------------------------------------------


def pack(file: Path, files: dict[str, str], **more: int) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"rdctl-1/{name}")
            entry.size = len(text)
            for key, value in more.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file


def test_a_source_archive_is_normalized(tmp_path: Path) -> None:
    """Order, times, owners and modes of two builds differ; what the files hold does not."""
    one = pack(tmp_path / "1.tar.gz", {"a": "1", "b": "2"}, mtime=5, uid=1000, mode=0o600)
    other = pack(tmp_path / "2.tar.gz", {"b": "2", "a": "1"}, mtime=7, gid=7, mode=0o664)
    build.normalize(one, tmp_path / "one", 1_700_000_000)
    build.normalize(other, tmp_path / "other", 1_700_000_000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        entries = {entry.name: entry for entry in archive}
        assert list(entries) == ["rdctl-1/a", "rdctl-1/b"]
        assert {(entry.mtime, entry.uid, entry.mode) for entry in entries.values()} == {
            (1_700_000_000, 0, 0o644)
        }
        found = archive.extractfile("rdctl-1/b")
        assert found is not None
        assert found.read() == b"2"


def test_a_source_archive_that_is_not_what_is_committed(tree: Path, tmp_path: Path) -> None:
    file, own = tmp_path / "rdctl-1.tar.gz", {"PKG-INFO": "", "rdctl.egg-info/SOURCES.txt": ""}
    check.whole(tree, pack(file, {**FILES, **own}))
    with pytest.raises(Refused, match=r"has secret\.txt, which is not committed"):
        check.whole(tree, pack(file, {**FILES, **own, "secret.txt": ""}))
    lacking = {name: text for name, text in FILES.items() if name != "SECURITY.md"}
    with pytest.raises(Refused, match=r"lacks SECURITY\.md"):
        check.whole(tree, pack(file, {**lacking, **own}))


def test_only_this_release_is_left(tmp_path: Path) -> None:
    """The hosted workflow publishes all that is there."""
    write(tmp_path, "rdctl-0.9.0.tar.gz", "")
    write(tmp_path, "SHA256SUMS", "")
    check.emptied(tmp_path)
    assert list(tmp_path.iterdir()) == []
    check.emptied(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


def test_builds_that_differ(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        write(place, "a.whl", "same")
    check.same(one, other)
    write(other, "a.whl", "Same")
    with pytest.raises(Refused, match=r"a\.whl is not reproducible"):
        check.same(one, other)
    write(one, "b.pyz", "")
    with pytest.raises(Refused, match="different files"):
        check.same(one, other)


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    for name in ("rdctl-1.tar.gz", "rdctl.pyz"):
        write(tmp_path, name, name)
    check.sums(tmp_path, sorted(tmp_path.iterdir()))
    assert sha256sum(tmp_path) == 0
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 2
    write(tmp_path, "rdctl.pyz", "another")
    assert sha256sum(tmp_path) == 1


def sha256sum(place: Path) -> int:
    words = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    return subprocess.run(words, cwd=place, check=False, capture_output=True).returncode


def test_only_what_is_committed_is_built(tree: Path) -> None:
    write(tree, "new.txt", "x")
    write(tree, "SECURITY.md", "changed")
    with build.committed(tree) as copy:
        assert not (copy / "new.txt").exists()
        assert (copy / "SECURITY.md").read_text() == FILES["SECURITY.md"]


# The cut ----------------------------------------------------------------------------------------


def test_the_changelog_is_cut(tree: Path) -> None:
    write(tree, "CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a\n")
    cut.cut(tree, "2026-01-02")
    assert (tree / "CHANGELOG.md").read_text() == CHANGELOG
    check.changelog(tree, "1.0.0rc1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CHANGELOG, "nothing unreleased"),
        ("# Changelog\n", "nothing unreleased"),
        (
            CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n### Added\n"),
            r"already has \[1\.0\.0rc1\]",
        ),
    ],
)
def test_a_changelog_that_cannot_be_cut(tree: Path, text: str, why: str) -> None:
    write(tree, "CHANGELOG.md", text)
    with pytest.raises(SystemExit, match=why):
        cut.cut(tree, "2026-01-02")
    assert (tree / "CHANGELOG.md").read_text() == text
