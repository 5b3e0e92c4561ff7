"""OpenIO through the API, in the sandbox."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import rdctl
from rdctl.output.rows import as_data
from tests.conftest import Program

TEXT = b"alps: two drawings\nsea: two drawings\n"


def test_containers(site: rdctl.Site) -> None:
    containers = site.oio.containers
    made = containers.create("a", "b", properties={"team": "red"}, quota=10 << 30, max_versions=3)
    assert made.targets == ["a", "b"]
    assert containers.create("a").changed is False
    shown = containers.show("a")
    assert (shown.quota, shown.versioning, shown.properties) == (10 << 30, 3, {"team": "red"})
    with pytest.raises(rdctl.ConflictError) as caught:
        containers.create("a", properties={"team": "blue"})
    assert caught.value.code == "exists"
    containers.set_properties("a", {"color": "blue"})
    assert containers.get_properties("a") == {"team": "red", "color": "blue"}
    containers.del_properties("a", "team")
    assert containers.get_properties("a") == {"color": "blue"}
    assert containers.locate("a").cid == shown.cid
    assert [row.name for row in containers.list(prefix="pho")] == ["photos"]
    assert [row.name for row in containers.list(limit=1)] == ["a"]
    with pytest.raises(rdctl.ConsentError):
        containers.destroy("a")
    containers.destroy("a", "b", yes=True)
    assert (containers.exists("a"), containers.exists("photos")) == (False, True)
    with pytest.raises(rdctl.ConflictError, match="not empty"):
        containers.destroy("photos", yes=True)
    assert containers.touch("photos").changed


def test_objects_are_put_and_got(site: rdctl.Site) -> None:
    contents = site.oio.contents
    name = "a b/ü#?.txt"
    put = contents.put("photos", name, b"hello", properties={"k": "v"}, mime_type="text/x")
    assert put.changes[0].facts["hash"] == hashlib.md5(b"hello").hexdigest().upper()
    shown = contents.show("photos", name)
    assert (shown.size, shown.mime_type, shown.properties) == (5, "text/x", {"k": "v"})
    assert contents.get("photos", name) == b"hello"
    assert contents.get_properties("photos", name) == {"k": "v"}
    with pytest.raises(rdctl.ConflictError) as caught:
        contents.put("photos", name, b"other")
    assert caught.value.code == "exists"
    with pytest.raises(rdctl.ConsentError) as refused:
        contents.put("photos", name, b"other", overwrite=True)
    assert refused.value.losses == (f'object "{name}" in container "photos" will be replaced',)
    assert contents.get("photos", name) == b"hello"
    contents.put("photos", name, b"other", overwrite=True, yes=True)
    assert contents.get("photos", name) == b"other"
    contents.append("photos", name, b" more")
    assert contents.get("photos", name) == b"other more"
    contents.link("photos", name, "second")
    contents.delete("photos", name, yes=True)
    assert not contents.exists("photos", name)
    assert contents.get("photos", "second") == b"other more"
    contents.put("new", "a", b"", autocreate=True)
    assert contents.get("new", "a") == b""
    assert contents.get("new", "a", start=1) == b""


@pytest.mark.parametrize(
    ("start", "end"), [(0, 4), (5, None), (-5, None), (3, 5), (36, 99), (5, 5), (99, None), (0, -1)]
)
def test_a_part_is_that_of_a_slice(site: rdctl.Site, start: int, end: int | None) -> None:
    assert site.oio.contents.get("photos", "index.txt", start=start, end=end) == TEXT[start:end]


def test_listings(site: rdctl.Site, program: Program) -> None:
    contents = site.oio.contents
    assert [entry.name for entry in contents.list("photos", delimiter="/")] == [
        "alps/",
        "index.txt",
        "sea/",
    ]
    names = [entry.name for entry in contents.iterate("photos", prefix="alps/")]
    assert names == [entry.name for entry in contents.iterate("photos", limit=2)]
    assert [entry.name for entry in contents.list("photos", marker=names[-1], limit=1)] == [
        "index.txt"
    ]
    shown = program("-c", "sandbox", "oio", "content", "list", "photos", "--json").json["items"]
    assert as_data(contents.list("photos")) == shown
    with pytest.raises(rdctl.NotFoundError, match='container "nothing" not found'):
        contents.list("nothing")


def test_deletion_by_a_prefix(site: rdctl.Site) -> None:
    outcome = site.oio.contents.delete("photos", prefix="alps/", dry_run=True)
    assert len(outcome.losses) == 1
    site.oio.contents.delete("photos", prefix="alps/", yes=True)
    assert [entry.name for entry in site.oio.contents.list("photos", prefix="alps/")] == []
    with pytest.raises(TypeError):
        site.oio.contents.delete("photos")


def test_versions(site: rdctl.Site) -> None:
    contents = site.oio.contents
    site.oio.containers.create("kept", max_versions=-1)
    contents.put("kept", "a", b"one")
    first = contents.show("kept", "a").version
    contents.put("kept", "a", b"two", overwrite=True)  # nothing is lost
    assert contents.get("kept", "a", version=first) == b"one"
    assert contents.get("kept", "a") == b"two"
    contents.delete("kept", "a", yes=True)
    assert not contents.exists("kept", "a")
    contents.undelete("kept", "a")
    assert contents.get("kept", "a") == b"two"


# --- files ----------------------------------------------------------------------------------------


def test_files_are_uploaded_and_downloaded(site: rdctl.Site, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG")
    assert site.oio.contents.put_file("photos", file).target == "picture.png"
    assert site.oio.contents.show("photos", "picture.png").mime_type == "image/png"
    site.oio.contents.put_file("photos", file, "other.png")
    to = tmp_path / "got.png"
    outcome = site.oio.contents.get_file("photos", "other.png", to)
    assert (to.read_bytes(), outcome.changes[0].facts["file"]) == (b"\x89PNG", str(to))
    to.write_bytes(b"mine")
    with pytest.raises(rdctl.ConflictError):
        site.oio.contents.get_file("photos", "other.png", to)
    site.oio.contents.get_file("photos", "other.png", to, overwrite=True)
    assert to.read_bytes() == b"\x89PNG"
    with pytest.raises(rdctl.ConflictError, match="is a directory"):
        site.oio.contents.get_file("photos", "other.png", tmp_path)


def test_a_file_named_like_standard_input(
    site: rdctl.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(b"dash")
    site.oio.contents.put_file("photos", "-")
    assert site.oio.contents.get("photos", "-") == b"dash"


def _from_position(tmp_path: Path) -> BinaryIO:
    path = tmp_path / "f"
    path.write_bytes(b"skip data")
    file = path.open("rb")
    assert file.read(5) == b"skip "
    return file


def _written(tmp_path: Path) -> BinaryIO:
    file = (tmp_path / "f").open("w+b")
    file.write(b"data")
    file.seek(0)
    return file


def _compressed(tmp_path: Path) -> BinaryIO:
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"data"))
    return gzip.open(path, "rb")  # type: ignore[return-value]


def _pipe(tmp_path: Path) -> BinaryIO:
    reading, writing = os.pipe()
    os.write(writing, b"data")
    os.close(writing)
    return os.fdopen(reading, "rb")


STREAMS: list[Callable[[Path], BinaryIO]] = [_from_position, _written, _compressed, _pipe]


@pytest.mark.parametrize("opened", [*STREAMS, lambda _: io.BytesIO(b"data")])
def test_any_binary_file_is_uploaded(
    site: rdctl.Site, tmp_path: Path, opened: Callable[[Path], BinaryIO]
) -> None:
    with opened(tmp_path) as file:
        site.oio.contents.put("photos", "stream", file)
        assert not file.closed
    assert site.oio.contents.get("photos", "stream") == b"data"


@pytest.mark.parametrize("data", ["text", io.StringIO("text"), 7])
def test_only_bytes_are_uploaded(site: rdctl.Site, data: Any) -> None:
    with pytest.raises(TypeError, match="binary"):
        site.oio.contents.put("photos", "text", data)


# --- streams --------------------------------------------------------------------------------------


def test_an_object_is_read_as_a_file(site: rdctl.Site) -> None:
    with site.oio.contents.open("photos", "index.txt") as file:
        assert file.readline() == b"alps: two drawings\n"
        assert (file.tell(), file.seek(-4, os.SEEK_END)) == (19, 33)
        assert file.read() == TEXT[-4:]
        assert (file.read(), file.seek(6), file.read(3)) == (b"", 6, TEXT[6:9])
        with pytest.raises(ValueError, match="negative"):
            file.raw.seek(-1, os.SEEK_SET)
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with pytest.raises(rdctl.NotFoundError):
        site.oio.contents.open("photos", "nothing")
    with pytest.raises(ValueError, match="mode 'r'"):
        site.oio.contents.open("photos", "index.txt", "r")  # type: ignore[call-overload]


def test_an_object_that_is_replaced_is_not_read_on(site: rdctl.Site) -> None:
    site.oio.contents.put("photos", "a", b"one" * 10)
    with site.oio.contents.open("photos", "a", buffer_size=4) as file:
        assert file.read(3) == b"one"
        site.oio.contents.put("photos", "a", b"two" * 10, overwrite=True, yes=True)
        with pytest.raises(rdctl.NotFoundError):
            file.read()


def test_an_object_is_written_as_a_file(site: rdctl.Site) -> None:
    contents = site.oio.contents
    with contents.open("photos", "new", "xb", mime_type="text/x") as file:
        assert (file.write(b"one "), file.write(bytearray(b"two")), file.tell()) == (4, 3, 7)
        assert not contents.exists("photos", "new")
    assert file.outcome is not None
    assert file.outcome.target == "new"
    assert contents.get("photos", "new") == b"one two"
    assert contents.show("photos", "new").mime_type == "text/x"
    with contents.open("photos", "new", "ab") as file:
        file.write(b" three")
    assert contents.get("photos", "new") == b"one two three"
    with contents.open("photos", "newer", "ab") as file:
        file.write(b"made")
    assert contents.get("photos", "newer") == b"made"
    with pytest.raises(ValueError, match="closed"):
        file.write(b"")


def test_what_is_replaced_is_refused_when_opened(site: rdctl.Site) -> None:
    contents = site.oio.contents
    contents.put("photos", "a", b"old")
    with pytest.raises(rdctl.ConsentError) as caught:
        contents.open("photos", "a", "wb")
    assert caught.value.losses == ('object "a" in container "photos" will be replaced',)
    with pytest.raises(rdctl.ConflictError):
        contents.open("photos", "a", "xb")
    with pytest.raises(rdctl.NotFoundError):
        contents.open("nothing", "a", "wb")
    asked: list[Any] = []

    def ask(losses: Sequence[str]) -> bool:
        asked.append(losses)
        return True

    with contents.open("photos", "a", "wb", consent=ask) as file:
        file.write(b"new")
    assert asked == [caught.value.losses]
    assert contents.get("photos", "a") == b"new"


def test_what_appears_meanwhile_is_not_replaced(site: rdctl.Site) -> None:
    file = site.oio.contents.open("photos", "a", "wb")
    file.write(b"mine")
    site.oio.contents.put("photos", "a", b"theirs")
    with pytest.raises(rdctl.ConsentError):
        file.close()
    assert file.closed
    assert site.oio.contents.get("photos", "a") == b"theirs"


def test_a_body_that_fails_uploads_nothing(site: rdctl.Site) -> None:
    file = site.oio.contents.open("photos", "a", "wb")
    file.write(b"half")
    with pytest.raises(ZeroDivisionError), file:
        raise ZeroDivisionError
    assert (file.closed, file.outcome) == (True, None)
    assert not site.oio.contents.exists("photos", "a")


def test_a_writer_that_is_never_closed_uploads_nothing(site: rdctl.Site) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = site.oio.contents.open("photos", "a", "wb")
        file.write(b"half")
        del file
    assert [one.category for one in caught] == [ResourceWarning]
    assert not site.oio.contents.exists("photos", "a")


# --- the rest -------------------------------------------------------------------------------------


def test_references(site: rdctl.Site) -> None:
    references = site.oio.references
    references.create("user1", properties={"a": "b"})
    assert references.get_properties("user1") == {"a": "b"}
    references.link("user1", "rdir")
    assert [link.type for link in references.show("user1").services] == ["rdir"]
    references.unlink("user1", "rdir", yes=True)
    references.destroy("user1", yes=True)
    with pytest.raises(rdctl.NotFoundError):
        references.show("user1")


def test_accounts(site: rdctl.Site) -> None:
    accounts = site.oio.accounts
    accounts.create("lab")
    assert accounts.list() == ["lab", "sandbox"]
    accounts.set_properties("lab", {"owner": "ada"})
    assert accounts.show("lab").metadata == {"owner": "ada"}
    accounts.del_properties("lab", all=True, yes=True)
    accounts.delete("lab", yes=True)
    assert (accounts.list(), accounts.show().account) == (["sandbox"], "sandbox")


def test_the_conscience(site: rdctl.Site) -> None:
    conscience = site.oio.conscience
    assert conscience.info().namespace == "OPENIO"
    assert "rawx" in conscience.types()
    service, *_ = conscience.list("rawx")
    with pytest.raises(rdctl.ConsentError):
        conscience.lock("rawx", service.address)
    conscience.lock("rawx", service.address, yes=True)
    assert conscience.show("rawx", service.address).score == 0
    conscience.unlock("rawx", service.address)
    assert conscience.show("rawx", service.address).score


def test_a_dry_run_uploads_nothing(site: rdctl.Site) -> None:
    planned = site.oio.contents.put("photos", "a", b"data", dry_run=True)
    assert (planned.dry_run, planned.changed) == (True, True)
    assert not site.oio.contents.exists("photos", "a")
