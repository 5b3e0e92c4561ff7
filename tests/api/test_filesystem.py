"""oio:// for fsspec, pandas and pyarrow, in the sandbox."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import rdctl
from rdctl.api.filesystem import OioFileSystem
from tests.fakes import faults
from tests.fakes.faults import FaultServer

HERE = {"context": "sandbox"}
NAMES = [
    "photos/alps/ridge.svg",
    "photos/alps/valley at dusk.svg",
    "photos/index.txt",
    "photos/sea/harbour.svg",
    "photos/sea/storm.svg",
]
TEXT = b"alps: two drawings\nsea: two drawings\n"


@pytest.fixture
def fs(home: Path) -> OioFileSystem:
    """That of a URL, as its entry point gives it."""
    found = fsspec.filesystem("oio", skip_instance_cache=True, **HERE)
    assert isinstance(found, OioFileSystem)
    return found


def test_directories_are_parts_of_names(fs: OioFileSystem) -> None:
    assert fs.ls("oio://", detail=False) == ["photos"]
    assert fs.ls("photos", detail=False) == ["photos/alps", "photos/index.txt", "photos/sea"]
    assert fs.ls("oio://photos/alps/", detail=False) == NAMES[:2]
    assert fs.ls("photos/index.txt", detail=False) == ["photos/index.txt"]
    assert [one["type"] for one in fs.ls("photos")] == ["directory", "file", "directory"]
    assert fs.find("photos") == NAMES
    assert fs.find("photos/sea") == NAMES[3:]
    assert fs.find("photos/index.txt") == ["photos/index.txt"]
    assert fs.find("photos", withdirs=True, maxdepth=1) == [
        "photos",
        "photos/alps",
        "photos/index.txt",
        "photos/sea",
    ]
    assert fs.find("") == NAMES
    assert fs.find("photos/nothing") == []
    assert fs.glob("photos/*/s*.svg") == ["photos/sea/storm.svg"]
    assert fs.glob("oio://photos/**/*.svg") == [NAMES[0], NAMES[1], *NAMES[3:]]
    assert [root for root, _, _ in fs.walk("photos")] == ["photos", "photos/alps", "photos/sea"]
    assert (fs.isdir("photos"), fs.isdir("photos/sea"), fs.isfile("photos/sea")) == (1, 1, 0)
    assert (fs.exists("photos/index.txt"), fs.exists("photos/se"), fs.exists("no")) == (1, 0, 0)
    assert fs.du("photos") == sum(fs.info(name)["size"] for name in NAMES)


def test_what_is_known_of_an_object(fs: OioFileSystem, site: rdctl.Site) -> None:
    shown = site.oio.contents.show("photos", "index.txt")
    info = fs.info("oio://photos/index.txt")
    assert (info["name"], info["size"], info["type"]) == ("photos/index.txt", 37, "file")
    assert (info["hash"], info["content_id"]) == (shown.hash, shown.content_id)
    assert info == next(one for one in fs.ls("photos") if one["name"] == "photos/index.txt")
    assert fs.checksum("photos/index.txt") == int(str(shown.hash), 16)
    created = fs.created("photos/index.txt")
    assert created is not None
    assert created.strftime("%Y-%m-%dT%H:%M:%SZ") == shown.created
    assert fs.modified("photos/index.txt") == created
    before = fs.ukey("photos/index.txt")
    fs.pipe("photos/index.txt", TEXT)
    assert fs.ukey("photos/index.txt") != before


def test_bytes_and_ranges(fs: OioFileSystem) -> None:
    assert fs.cat("photos/index.txt") == TEXT
    assert fs.cat_file("photos/index.txt", 3, 9) == TEXT[3:9]
    assert fs.cat_file("photos/index.txt", start=-4) == TEXT[-4:]
    assert fs.cat_ranges(["photos/index.txt"] * 2, [0, 30], [4, 99]) == [TEXT[:4], TEXT[30:]]
    assert (fs.head("photos/index.txt", 4), fs.tail("photos/index.txt", 4)) == (TEXT[:4], b"ngs\n")
    with fs.open("photos/index.txt", block_size=8) as file:
        assert (file.read(4), file.seek(-4, 2), file.read()) == (TEXT[:4], 33, TEXT[-4:])
        assert file.seek(0) == 0
        assert file.readlines() == TEXT.splitlines(keepends=True)
    with fs.open("photos/index.txt", "r") as file:
        assert file.readline() == "alps: two drawings\n"


def test_an_object_that_is_replaced_is_not_mixed(fs: OioFileSystem) -> None:
    fs.pipe("photos/a", b"1" * 64)
    with fs.open("photos/a", block_size=8, cache_type="none") as file:
        assert file.read(8) == b"1" * 8
        fs.pipe("photos/a", b"2" * 64)
        with pytest.raises(FileNotFoundError):
            file.read(8)


@pytest.mark.parametrize("name", ["a b", "ü#?&%20+", "x=1/y=2", "semi;colon", "q'\"q", "a//b"])
def test_names_are_literal(fs: OioFileSystem, site: rdctl.Site, name: str) -> None:
    fs.pipe(f"oio://photos/s/{name}", b"data")
    assert site.oio.contents.get("photos", f"s/{name}") == b"data"
    with fsspec.open(f"oio://photos/s/{name}", **HERE) as file:
        assert file.read() == b"data"
    assert fs.find("photos/s") == [f"photos/s/{name}"]


def test_objects_are_written(fs: OioFileSystem) -> None:
    with fs.open("photos/w", "wb") as file:
        assert (file.write(b"one"), file.tell()) == (3, 3)
        assert not fs.exists("photos/w")
    assert fs.cat("photos/w") == b"one"
    with fs.open("photos/w", "ab") as file:
        file.write(b" two")
    with pytest.raises(FileExistsError):
        fs.open("photos/w", "xb")
    with pytest.raises(FileExistsError):
        fs.pipe_file("photos/w", b"", mode="create")
    assert fs.cat("photos/w") == b"one two"
    with fs.open("photos/w", "w", encoding="utf-8") as file:
        file.write("ü")
    assert fs.cat("photos/w") == "ü".encode()
    fs.touch("photos/empty")
    assert fs.info("photos/empty")["size"] == 0


def _through_the_file_system(fs: OioFileSystem, mode: str) -> Any:
    return fs.open("photos/half", mode)


def _through_a_url(fs: OioFileSystem, mode: str) -> Any:
    return fsspec.open("oio://photos/half", mode, **HERE)


@pytest.mark.parametrize("mode", ["wb", "w", "xb"])
@pytest.mark.parametrize("opened", [_through_the_file_system, _through_a_url])
def test_a_body_that_fails_leaves_no_object(
    fs: OioFileSystem, opened: Callable[[OioFileSystem, str], Any], mode: str
) -> None:
    with pytest.raises(ZeroDivisionError), opened(fs, mode) as file:
        file.write("half" if mode == "w" else b"half") / 0
    assert not fs.exists("photos/half")


def test_a_file_that_is_written_while_an_error_is_handled(
    fs: OioFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        with fs.open("photos/report", "wb") as file:
            file.write(b"it failed")
    assert fs.cat("photos/report") == b"it failed"
    assert caplog.records == []


def test_what_is_never_closed_is_not_written(fs: OioFileSystem) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = fs.open("photos/half", "wb")
        file.write(b"half")
        del file
        gc.collect()
    assert ResourceWarning in [one.category for one in caught]
    assert not fs.exists("photos/half")


def test_transactions(fs: OioFileSystem) -> None:
    with fs.transaction:
        for name in ("photos/t/1", "photos/t/2"):
            with fs.open(name, "wb") as file:
                file.write(name.encode())
        assert fs.find("photos/t") == []
    assert fs.find("photos/t") == ["photos/t/1", "photos/t/2"]

    def failing() -> None:
        with fs.transaction:
            with fs.open("photos/t/3", "wb") as file:
                file.write(b"3")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert not fs.exists("photos/t/3")


def test_files_and_copies(fs: OioFileSystem, tmp_path: Path) -> None:
    (tmp_path / "up/sub").mkdir(parents=True)
    (tmp_path / "up/a").write_bytes(b"a")
    (tmp_path / "up/sub/b").write_bytes(b"b")
    fs.put(f"{tmp_path}/up/", "photos/up/", recursive=True)
    assert fs.find("photos/up") == ["photos/up/a", "photos/up/sub/b"]
    fs.get("photos/up/", f"{tmp_path}/down/", recursive=True)
    assert (tmp_path / "down/sub/b").read_bytes() == b"b"
    fs.get_file("photos/up/a", str(tmp_path / "down/sub/b"))
    assert (tmp_path / "down/sub/b").read_bytes() == b"a"
    fs.copy("photos/up/a", "photos/copy")
    fs.mkdir("other")
    fs.mv("photos/copy", "other/moved")
    assert (fs.cat("other/moved"), fs.exists("photos/copy")) == (b"a", False)
    fs.cp("photos/up", "photos/up2", recursive=True)
    assert fs.find("photos/up2") == ["photos/up2/a", "photos/up2/sub/b"]


def test_what_is_removed(fs: OioFileSystem) -> None:
    fs.rm("photos/index.txt")
    with pytest.raises(FileNotFoundError):
        fs.rm("photos/index.txt")
    fs.pipe({"photos/alps": b"an object", "photos/alps/": b"", "photos/alpsee": b""})
    fs.rm("photos/alps", recursive=True)
    assert fs.find("photos") == ["photos/alpsee", *NAMES[3:]]
    fs.rm(["photos/alpsee", "photos/sea/s*"])
    assert fs.find("photos") == [NAMES[3]]
    with pytest.raises(PermissionError):
        fs.rm("", recursive=True)
    with pytest.raises(IsADirectoryError):
        fs.rm("photos")
    fs.rm("photos", recursive=True)
    assert not fs.exists("photos")


def test_containers(fs: OioFileSystem) -> None:
    fs.mkdir("new")
    with pytest.raises(FileExistsError):
        fs.mkdir("new")
    with pytest.raises(FileExistsError):
        fs.makedirs("new")
    fs.makedirs("new", exist_ok=True)
    fs.makedirs("newer/a/b")
    assert (fs.isdir("newer"), fs.ls("newer")) == (True, [])
    with pytest.raises(FileNotFoundError):
        fs.mkdir("newest/a", create_parents=False)
    fs.rmdir("new")
    assert not fs.exists("new")
    with pytest.raises(OSError, match="not empty") as caught:
        fs.rmdir("photos")
    assert caught.value.errno == 39  # ENOTEMPTY


MISSING: dict[str, Callable[[OioFileSystem], Any]] = {
    "info": lambda fs: fs.info("photos/no"),
    "ls": lambda fs: fs.ls("photos/no"),
    "ls of a container": lambda fs: fs.ls("no"),
    "cat": lambda fs: fs.cat_file("photos/no"),
    "open": lambda fs: fs.open("photos/no"),
    "write": lambda fs: fs.open("no/a", "wb"),
    "copy": lambda fs: fs.cp_file("photos/no", "photos/yes"),
    "rm": lambda fs: fs.rm("photos/no", recursive=True),
    "rmdir": lambda fs: fs.rmdir("no"),
}


@pytest.mark.parametrize("act", MISSING.values(), ids=MISSING)
def test_what_is_missing(fs: OioFileSystem, act: Callable[[OioFileSystem], Any]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        act(fs)
    assert isinstance(caught.value.__cause__, rdctl.NotFoundError | None)
    assert caught.value.filename


def test_consent_can_be_required(home: Path, fs: OioFileSystem) -> None:
    careful = OioFileSystem("sandbox", yes=False)
    for act in (
        lambda: careful.open("photos/index.txt", "wb"),
        lambda: careful.pipe_file("photos/index.txt", b""),
        lambda: careful.rm("photos/index.txt"),
        lambda: careful.rm("photos", recursive=True),
    ):
        with pytest.raises(PermissionError, match=r"will be (replaced|deleted)"):
            act()
    careful.pipe("photos/new", b"nothing is lost")
    assert fs.cat("photos/index.txt") == TEXT


def test_other_errors(home: Path) -> None:
    with FaultServer([faults.silent()]) as server:
        slow = OioFileSystem(oio_url=server.url, namespace="N", account="a", timeout=0.2, retries=0)
        with pytest.raises(TimeoutError):
            slow.info("c/a")
    down = OioFileSystem(oio_url="http://127.0.0.1:1", namespace="N", account="a", retries=0)
    with pytest.raises(ConnectionError):
        down.info("c/a")
    with pytest.raises(ValueError, match='context "nowhere" not found'):
        OioFileSystem("nowhere")  # no file is missing
    with pytest.raises(ValueError, match="several contexts"):
        OioFileSystem("sandbox,sandbox")


def test_workers_get_it_pickled(fs: OioFileSystem) -> None:
    copied = pickle.loads(pickle.dumps(fs))
    assert copied.cat("photos/index.txt") == TEXT
    with fsspec.open("oio://photos/index.txt", **HERE) as file:
        assert pickle.loads(pickle.dumps(file)).read() == TEXT
    assert fsspec.filesystem("oio", **HERE) is fsspec.filesystem("oio", **HERE)


# --- pandas and pyarrow ---------------------------------------------------------------------------


def test_pandas(home: Path, fs: OioFileSystem) -> None:
    pandas: Any = (
        pytest.importorskip("pandas") if not os.environ.get("CI") else __import__("pandas")
    )
    frame = pandas.DataFrame({"name": ["ada", "bob"], "size": [1, 2]})
    url = "oio://photos/data set/a#1.csv"
    frame.to_csv(url, index=False, storage_options=HERE)
    assert fs.cat("photos/data set/a#1.csv") == b"name,size\nada,1\nbob,2\n"
    assert pandas.read_csv(url, storage_options=HERE).equals(frame)
    for _ in range(2):  # the second time it is replaced
        frame.to_parquet("oio://photos/a.parquet", storage_options=HERE)
    assert pandas.read_parquet("oio://photos/a.parquet", storage_options=HERE).equals(frame)
    columns = pandas.read_parquet("oio://photos/a.parquet", columns=["size"], storage_options=HERE)
    assert list(columns["size"]) == [1, 2]
    with pytest.raises(FileNotFoundError):
        pandas.read_csv("oio://photos/no.csv", storage_options=HERE)


def test_a_frame_that_cannot_be_written_leaves_no_object(home: Path, fs: OioFileSystem) -> None:
    pandas: Any = (
        pytest.importorskip("pandas") if not os.environ.get("CI") else __import__("pandas")
    )

    class Failing:
        def __str__(self) -> str:
            raise ZeroDivisionError

    frame = pandas.DataFrame({"a": ["x"] * 9 + [Failing()]}, dtype=object)
    with pytest.raises(ZeroDivisionError):
        frame.to_csv("oio://photos/half.csv", storage_options=HERE, chunksize=2)
    assert not fs.exists("photos/half.csv")


def test_pyarrow(fs: OioFileSystem) -> None:
    pa: Any = pytest.importorskip("pyarrow") if not os.environ.get("CI") else __import__("pyarrow")
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    table = pa.table({"year": [2024, 2024, 2025], "size": [1.0, 2.0, 3.0]})
    ds.write_dataset(
        table, "photos/ds", filesystem=fs, format="parquet", partitioning=["year"],
        partitioning_flavor="hive", existing_data_behavior="delete_matching",
    )  # fmt: skip
    assert fs.ls("photos/ds", detail=False) == ["photos/ds/year=2024", "photos/ds/year=2025"]
    found = ds.dataset("photos/ds", filesystem=fs, partitioning="hive")
    assert found.to_table(filter=ds.field("year") == 2025).to_pydict() == {
        "size": [3.0],
        "year": [2025],
    }
    pq.write_table(table, "photos/t.parquet", filesystem=fs)
    assert pq.read_table("photos/t.parquet", filesystem=fs).equals(table)
    assert pq.read_metadata("photos/t.parquet", filesystem=fs).num_rows == 3


def test_nothing_is_logged(fs: OioFileSystem, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rdctl"):
        fs.pipe("photos/a", b"x" * 100)
        with fs.open("photos/a", block_size=7) as file:
            assert len(file.read()) == 100
    assert caplog.records == []


def test_an_error_is_not_taken_for_a_missing_file(home: Path) -> None:
    """A program would write what is there already."""
    down = OioFileSystem(oio_url="http://127.0.0.1:1", namespace="N", account="a", retries=0)
    for look in (down.exists, down.isfile, down.isdir):
        with pytest.raises(ConnectionError):
            look("photos/index.txt")


def test_questions_about_what_is_there(fs: OioFileSystem) -> None:
    paths = ("", "photos", "photos/alps", "photos/index.txt", "nothing", "photos/nothing")
    assert [fs.exists(path) for path in paths] == [True] * 4 + [False] * 2
    assert [fs.isdir(path) for path in paths] == [True] * 3 + [False] * 3
    assert [fs.isfile(path) for path in paths] == [False] * 3 + [True] + [False] * 2


def test_an_object_that_stands_for_an_empty_directory(fs: OioFileSystem, site: rdctl.Site) -> None:
    """As other tools make one."""
    site.oio.contents.put("photos", "empty/", b"")
    assert (fs.isdir("photos/empty"), fs.ls("photos/empty")) == (True, [])
    assert "photos/empty" in fs.ls("photos", detail=False)
    fs.rm("photos/empty", recursive=True)
    assert not site.oio.contents.exists("photos", "empty/")
