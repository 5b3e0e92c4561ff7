"""The device that was meant: names of mappings may be those of other devices, links may lead to
a cache, nodes may be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.fakes.kernel import MIB, FakeKernel

Local = Callable[..., Ran]


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    kernel.add_volume(0)
    kernel.add_volume(1)
    return local


def table_of(kernel: FakeKernel, name: str) -> list[str]:
    return kernel.maps[name].arguments


def caches(volumes: Local) -> list[dict[str, object]]:
    items: list[dict[str, object]] = volumes("rapiddisk", "cache", "list", "--json").json["items"]
    return items


@pytest.mark.parametrize("policy", ["write-through", "write-around", "writeback"])
def test_a_mapping_that_bears_the_name_of_a_disk(
    kernel: FakeKernel, volumes: Local, policy: str
) -> None:
    """`cryptsetup open /dev/vdc vdb`: the mapping is cached, not the disk vdb."""
    kernel.map_linear("vdb", "vdc")
    prefix = {"write-through": "rc-wt_", "write-around": "rc-wa_", "writeback": "rc-wb_"}[policy]
    words = ("cache", "create", "rd0", "/dev/mapper/vdb", "--policy", policy, "--yes")
    assert volumes("rapiddisk", *words).code == 0
    assert "/dev/mapper/vdb" in table_of(kernel, f"{prefix}vdb")
    assert kernel.maps[f"{prefix}vdb"].slaves == ["dm-0", "rd0"]
    (row,) = caches(volumes)
    assert (row["source"], row["source_kernel"]) == ("mapper/vdb", "dm-0")
    # Again, by what it is shown as.
    again = volumes(
        "rapiddisk", "cache", "create", "rd0", "mapper/vdb", "--policy", policy, "--json"
    )
    assert (again.code, again.json["results"][0]["changed"]) == (0, False)


def test_the_disk_itself_is_cached_beside_it(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_linear("vdb", "vdc")
    assert volumes("rapiddisk", "cache", "create", "rd0", "/dev/mapper/vdb").code == 0
    ran = volumes("rapiddisk", "cache", "create", "rd1", "vdb", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "exists")
    assert "rc-wt_vdb already exists, over mapper/vdb" in ran.err
    assert "--name rc-wt_vdb-2" in ran.err
    words = ("cache", "create", "rd1", "vdb", "--name", "rc-wt_vdb-2")
    assert volumes("rapiddisk", *words).code == 0
    assert table_of(kernel, "rc-wt_vdb-2")[0] == "/dev/vdb"
    again = volumes("rapiddisk", *words, "--json")
    assert again.json["results"][0]["changed"] is False
    assert {row["device"]: row["source"] for row in caches(volumes)} == {
        "rc-wt_vdb": "mapper/vdb",
        "rc-wt_vdb-2": "vdb",
    }


def test_users_of_the_mapping_are_not_those_of_the_disk(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_linear("vdb", "vdc")
    kernel.mount("/dev/mapper/vdb", "/secret")
    ran = volumes("rapiddisk", "cache", "create", "rd0", "/dev/mapper/vdb")
    assert ran.code == 4
    assert "mapper/vdb is in use: mounted on /secret" in ran.err
    assert volumes("rapiddisk", "cache", "create", "rd0", "vdb").code == 0


def test_a_mapping_that_bears_the_name_of_a_volume(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_linear("rd0", "vdc")
    kernel.add_port(1)
    for words in (
        ("remove", "/dev/mapper/rd0", "--yes"),
        ("show", "/dev/mapper/rd0"),
        ("nvmet", "export", "/dev/mapper/rd0", "--port", "1", "--any-host"),
    ):
        assert volumes("rapiddisk", *words).code == 2, words
    assert volumes("rapiddisk", "show", "rd0", "--json").json["item"]["users"] == []
    assert volumes("rapiddisk", "cache", "create", "rd1", "/dev/mapper/rd0").code == 0
    assert kernel.maps["rc-wt_rd0"].slaves == ["dm-0", "rd1"]
    (row,) = caches(volumes)
    assert (row["volume"], row["source"]) == ("rd1", "mapper/rd0")
    assert volumes("rapiddisk", "remove", "rd0", "--yes").code == 0


@pytest.mark.parametrize("name", ["rc-wb_x", "wt_x", "rc-wt_", "rc-wt_a/b", "rc-wt_" + "a" * 101])
def test_a_name_that_no_cache_can_have(volumes: Local, name: str) -> None:
    assert volumes("rapiddisk", "cache", "create", "rd0", "vdb", "--name", name).code == 2


def test_the_node_of_another_device(kernel: FakeKernel, volumes: Local) -> None:
    """What stands in /dev is checked against the number."""
    kernel.path("dev/rd0").unlink()
    kernel.link_node("dev/rd0", "vdc")
    for words in (
        ("cache", "create", "rd0", "vdb"),
        ("flush", "rd0", "--yes"),
        ("lock", "rd0"),
    ):
        ran = volumes("rapiddisk", *words)
        assert ran.code == 4, (words, ran)
    assert kernel.steps == 0


def test_a_path_below_the_working_directory(
    kernel: FakeKernel, volumes: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./vdb` is not /dev/vdb."""
    monkeypatch.chdir(tmp_path)
    below = str(tmp_path).lstrip("/")
    ran = volumes("rapiddisk", "cache", "create", "rd0", "./vdb")
    assert (ran.code, '"./vdb" not found' in ran.err) == (3, True)
    kernel.path(below).mkdir(parents=True)
    kernel.link_node(f"{below}/vdb", os.path.relpath(kernel.path("dev/vdc"), kernel.path(below)))
    assert volumes("rapiddisk", "cache", "create", "rd0", "./vdb").code == 0
    assert kernel.maps["rc-wt_vdc"].slaves == ["vdc", "rd0"]


def test_a_link_that_leads_to_the_cache_by_now(kernel: FakeKernel, volumes: Local) -> None:
    """The cache shows the file system of its source, so the link of that leads to the cache."""
    kernel.link_node("dev/disk/by-uuid/5c1b", "../../vdb")
    words = ("cache", "create", "rd0", "/dev/disk/by-uuid/5c1b")
    assert volumes("rapiddisk", *words).code == 0
    kernel.path("dev/disk/by-uuid/5c1b").unlink()
    kernel.link_node("dev/disk/by-uuid/5c1b", "../../dm-0")
    steps = kernel.steps
    again = volumes("rapiddisk", *words, "--json")
    assert (again.code, again.json["results"][0]["changed"]) == (0, False)
    by_name = volumes("rapiddisk", "cache", "create", "rd0", "disk/by-uuid/5c1b", "--json")
    assert (by_name.code, by_name.json["results"][0]["changed"]) == (0, False)
    # Another volume, another policy: never a second cache on the first without a word.
    for more in (("rd1",), ("rd1", "--policy", "writeback"), ("rd0", "--policy", "write-around")):
        volume, *policy = more
        ran = volumes(
            "rapiddisk", "cache", "create", volume, "/dev/disk/by-uuid/5c1b", *policy, "--yes"
        )
        assert ran.code == 4, ran
        assert "leads to the cache rc-wt_vdb itself" in ran.err
    assert kernel.steps == steps
    assert volumes("rapiddisk", "cache", "create", "rd1", "/dev/mapper/rc-wt_vdb").code == 0


@pytest.mark.parametrize(
    "order", [("rc-wb_rc-wt_vdb", "rc-wt_vdb"), ("rc-wt_vdb", "rc-wb_rc-wt_vdb")]
)
def test_stacked_caches_go_in_one_command(
    kernel: FakeKernel, volumes: Local, order: tuple[str, str]
) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.map_cache("rc-wb_rc-wt_vdb", "rd1", "mapper/rc-wt_vdb", dirty=3)
    ran = volumes("rapiddisk", "cache", "remove", *order, "--yes", "--json")
    assert ran.code == 0, ran
    assert [result["target"] for result in ran.json["results"]] == list(order)
    assert kernel.maps == {}


def test_a_lower_cache_stays_when_the_upper_one_does(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.map_cache("rc-wb_rc-wt_vdb", "rd1", "mapper/rc-wt_vdb", dirty=3)
    kernel.mount("/dev/mapper/rc-wb_rc-wt_vdb", "/mnt")
    words = ("cache", "remove", "rc-wt_vdb", "rc-wb_rc-wt_vdb", "--yes", "--json")
    ran = volumes("rapiddisk", *words)
    assert (ran.code, len(ran.json["errors"])) == (4, 2)
    assert sorted(kernel.maps) == ["rc-wb_rc-wt_vdb", "rc-wt_vdb"]


def test_a_number_that_is_there(kernel: FakeKernel, volumes: Local) -> None:
    same = volumes("rapiddisk", "create", "64M", "--number", "0", "--json")
    assert (same.code, same.json["results"][0]["changed"]) == (0, False)
    other = volumes("rapiddisk", "create", "8M", "--number", "0", "--json")
    assert (other.code, other.json["errors"][0]["code"]) == (4, "exists")
    assert (kernel.steps, kernel.volumes[0].size) == (0, 64 * MIB)


@pytest.mark.parametrize("policy", ["write-through", "writeback"])
def test_a_name_does_not_tell_which_volume_is_the_source(
    kernel: FakeKernel, volumes: Local, policy: str
) -> None:
    """The table does: a volume that is the source must not be erased in place of the cache."""
    kernel.write_data("rd0", b"PRECIOUS", 8192)
    prefix = {"write-through": "rc-wt_", "writeback": "rc-wb_"}[policy]
    for name in (f"{prefix}foo", f"{prefix}rd1"):
        words = ("cache", "create", "rd1", "rd0", "--policy", policy, "--name", name, "--yes")
        assert volumes("rapiddisk", *words, "--discard-contents").code == 0
        (row,) = caches(volumes)
        assert (row["volume"], row["source"]) == ("rd1", "rd0")
        assert volumes("rapiddisk", "cache", "remove", name, "--yes").code == 0
        assert kernel.volumes[0].blocks == {8192: b"PRECIOUS"}


def test_a_cache_that_bears_the_name_of_its_volume(kernel: FakeKernel, volumes: Local) -> None:
    words = ("cache", "create", "rd0", "vdb", "--name", "rc-wb_rd0", "--policy", "writeback")
    assert volumes("rapiddisk", *words, "--yes").code == 0
    (row,) = caches(volumes)
    assert (row["volume"], row["source"]) == ("rd0", "vdb")
    assert volumes("rapiddisk", "cache", "remove", "rc-wb_rd0", "--yes").code == 0


@pytest.mark.parametrize(
    "spelling",
    [
        "//dev/disk/by-uuid/5c1b",
        "/dev/./disk/by-uuid/5c1b",
        "/dev/disk/../disk/by-uuid/5c1b",
        "disk/by-uuid/5c1b",
        "/dev/my-link",
    ],
)
def test_no_spelling_of_a_link_stacks_a_cache(
    kernel: FakeKernel, volumes: Local, spelling: str
) -> None:
    kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    kernel.link_node("dev/disk/by-uuid/5c1b", "../../dm-0")
    kernel.link_node("dev/my-link", "disk/by-uuid/5c1b")
    ran = volumes("rapiddisk", "cache", "create", "rd1", spelling, "--yes")
    assert (ran.code, "leads to the cache rc-wt_vdb itself" in ran.err) == (4, True)
    assert kernel.steps == 0


def test_an_export_of_a_mapping_that_is_gone(kernel: FakeKernel, volumes: Local) -> None:
    """It is no export of the volume whose name the mapping had."""
    kernel.foreign_subsystem("nqn.a", "/dev/mapper/rd1")
    assert volumes("rapiddisk", "show", "rd1", "--json").json["item"]["users"] == []


def test_a_working_directory_that_is_gone(
    volumes: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    monkeypatch.chdir(directory)
    directory.rmdir()
    assert volumes("rapiddisk", "cache", "create", "rd0", "./vdb").code == 3
