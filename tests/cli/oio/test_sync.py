"""content sync: what is sent, in both directions, and above all what is not deleted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.transfers import Client, bytes_of, errors_of, hold, wait_for
from tests.cli.processes import SECONDS
from tests.conftest import Ran
from tests.fakes.sds import Call, on

Near = Callable[..., Client]
NOON = 1_700_000_000_123_456_789
FILES = {"a": b"1", "d/b": b"22", "d/e/c": bytes_of(2500)}
UP = ("sync", "./folder", "docs")
DOWN = ("sync", "docs", "./folder")


def folder(client: Client, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = client.file(f"folder/{name}", data)
        os.utime(path, ns=(NOON, NOON))
    return client.directory / "folder"


def objects(client: Client, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        client.sds.put(name, data)


def there(client: Client) -> set[str]:
    below = client.directory / "folder"
    return {str(path.relative_to(below)) for path in below.rglob("*") if _is_entry(path)}


def _is_entry(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def summary(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = ran.json["summary"]
    return {key: value for key, value in found.items() if key not in ("seconds", "bytes")}


def counts(sent: int = 0, skipped: int = 0, deleted: int = 0, failed: int = 0) -> dict[str, int]:
    return {"sent": sent, "skipped": skipped, "deleted": deleted, "failed": failed}


def changes(client: Client) -> list[str]:
    """What was attempted that changes anything at the server."""
    asked = [call.route if call.who == "proxy" else call.method for call in client.sds.calls]
    reading = ("show", "choose", "list", "info", "properties", "GET", "HEAD")
    return [word for word in asked if not word.endswith(reading)]


# --- which is which -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("folder", "docs", "both are containers"),
        ("docs", "folder", "both are containers"),
        ("docs", "docs/x", "both are containers"),
        ("~/folder", "docs", "both are containers"),
        (".hidden", "docs", "both are containers"),
        ("...", "docs", "both are containers"),
        ("./folder", "./docs", "both are folders"),
        ("/", ".", "both are folders"),
        ("..", "../docs", "both are folders"),
    ],
)
def test_a_word_says_itself_what_it_is(near: Near, source: str, target: str, says: str) -> None:
    client = near()
    folder(client, FILES)
    (client.directory / "docs").mkdir()
    ran = client("sync", source, target, "--delete", "--yes")
    assert ran.code == 2
    assert says in ran.err
    assert client.sds.calls == []
    assert there(client) == set(FILES)


@pytest.mark.parametrize("word", [".", "./", "./folder/", "ABSOLUTE"])
def test_words_that_are_folders(near: Near, word: str) -> None:
    client = near()
    below = folder(client, FILES)
    given = word.replace("ABSOLUTE", str(below))
    client.ok("sync", given, "docs")
    above = "folder/" if word in (".", "./") else ""
    assert set(client.sds.objects) == {above + name for name in FILES}


def test_the_name_of_a_folder_is_enough_for_an_upload(near: Near) -> None:
    client = near()
    folder(client, FILES)
    client.ok("sync", "folder", "docs/x")
    assert set(client.sds.objects) == {f"x/{name}" for name in FILES}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("folder", "docs", "--delete", "--yes"), "a guess never deletes"),
        (("folder", "other"), "both may be folders"),
        (("docs", "folder"), "a missing folder must not turn an upload into a download"),
        (("folder/a", "docs"), "a file is not a folder"),
    ],
)
def test_the_name_alone_is_not_enough(near: Near, words: tuple[str, ...], why: str) -> None:
    client = near()
    folder(client, FILES)
    client.file("other/x", b"1")
    ran = client("sync", *words)
    assert ran.code == 2, why
    assert "both are containers" in ran.err
    assert client.sds.calls == []


@pytest.mark.parametrize("word", ["docs/", "docs//"])
def test_an_empty_prefix_deletes_nothing(near: Near, word: str) -> None:
    """Such as that of a variable that is not set."""
    client = near()
    folder(client, FILES)
    objects(client, MANY)
    for words in (("./folder", word), (word, "./folder")):
        ran = client("sync", *words, "--delete", "--max-delete", "9", "--yes")
        assert ran.code == 2
    assert client.sds.calls == []
    if word == "docs/":
        assert "without the slash: docs\n" in ran.err
        client.ok("sync", "./folder", word)
        assert set(client.sds.objects) == {*FILES, *MANY}


@pytest.mark.parametrize(
    "prefix", ["..", ".", "./pre", "../x", "a/../b", "/pre", "a//b", "a/.", "/"]
)
def test_no_name_has_such_a_prefix(near: Near, prefix: str) -> None:
    client = near()
    folder(client, FILES)
    for words in (("./folder", f"docs/{prefix}"), (f"docs/{prefix}", "./folder")):
        ran = client("sync", *words)
        assert ran.code == 2
        assert "invalid prefix" in ran.err
    assert client.sds.calls == []


@pytest.mark.parametrize("container", ["docs/x", "docs/x/", "docs/x//"])
def test_a_part_of_a_container(near: Near, container: str) -> None:
    client = near()
    folder(client, FILES)
    objects(client, {"xy": b"1", "x": b"2", "a": b"3"})
    client.ok("sync", "./folder", container, "--delete", "--yes")
    assert set(client.sds.objects) == {"xy", "x", "a", *(f"x/{name}" for name in FILES)}
    client.ok("sync", container, "./copy")
    assert (client.directory / "copy/d/e/c").read_bytes() == FILES["d/e/c"]
    assert not (client.directory / "copy/x").exists()


@pytest.mark.parametrize(
    "words", [("./nope", "docs"), ("./folder/a", "docs"), ("docs", "./no"), ("docs", "./no/a")]
)
def test_what_is_no_folder(near: Near, words: tuple[str, str]) -> None:
    client = near()
    folder(client, FILES)
    client.file("no", b"a file")
    objects(client, {"x": b"1"})
    ran = client("sync", *words, "--delete", "--yes")
    assert ran.code in (3, 4)
    assert changes(client) == []


# --- what is sent ---------------------------------------------------------------------------------


def test_up_and_down_again(near: Near) -> None:
    client = near()
    below = folder(client, FILES)
    assert summary(client.ok(*UP, "--json")) == counts(sent=3)
    assert {name: client.sds.content(name) for name in FILES} == FILES
    client.sds.calls.clear()
    assert summary(client.ok(*UP, "--json")) == counts(skipped=3)
    assert client.sds.routes() == ["container/list", "container/show"]
    assert summary(client.ok("sync", "docs", "./other", "--json")) == counts(sent=3)
    for name, data in FILES.items():
        other = client.directory / "other" / name
        assert other.read_bytes() == data
        assert other.stat().st_mtime_ns == (below / name).stat().st_mtime_ns == NOON
    client.sds.calls.clear()
    assert summary(client.ok("sync", "docs", "./other", "--json")) == counts(skipped=3)
    assert client.sds.routes() == ["container/list"]
    (below / "a").write_bytes(b"9")
    ran = client.ok(*UP, "--json", "--yes")
    assert summary(ran) == counts(sent=1, skipped=2)
    assert client.sds.content("a") == b"9"


def test_by_checksum(near: Near) -> None:
    client = near()
    below = folder(client, FILES)
    objects(client, {**FILES, "d/b": b"33"})
    ran = client.ok(*UP, "--checksum", "--json", "--yes")
    assert summary(ran) == counts(sent=1, skipped=2)
    os.utime(below / "a")
    (below / "d/b").write_bytes(b"44")
    assert client(*DOWN, "--checksum").code == 2  # the files are newer
    ran = client.ok(*DOWN, "--checksum", "--json", "--yes")
    assert summary(ran) == counts(sent=1, skipped=2)
    assert (below / "d/b").read_bytes() == b"22"


def test_a_missing_container(near: Near) -> None:
    client = near()
    folder(client, FILES)
    ran = client("sync", "./folder", "new/x")
    assert ran.code == 3
    assert "--autocreate" in ran.err
    assert changes(client) == []
    client.ok("sync", "./folder", "new/x", "--autocreate", "--delete")
    assert set(client.sds.objects) == {f"x/{name}" for name in FILES}
    assert client("sync", "none", "./other").code == 3
    assert client(*DOWN, "--autocreate").code == 2


def test_filters_hold_for_deletions_too(near: Near) -> None:
    client = near()
    folder(client, {"a.txt": b"1", "b.bin": b"2", "k/c.txt": b"3"})
    objects(client, {"a.txt": b"old", "x.txt": b"", "x.bin": b"", "k/y.txt": b"", "z/c.txt": b""})
    words = ("--include", "*.txt", "--exclude", "k/**", "--delete", "--max-delete", "2", "--yes")
    assert summary(client.ok(*UP, *words, "--json")) == counts(sent=1, deleted=2)
    assert set(client.sds.objects) == {"a.txt", "x.bin", "k/y.txt"}
    client.sds.objects.clear()
    objects(client, {"n.txt": b"5", "n.bin": b"6", "b.bin": b"7"})
    assert summary(client.ok(*DOWN, *words, "--json")) == counts(sent=1, deleted=1)
    assert there(client) == {"n.txt", "b.bin", "k/c.txt"}


# --- what is deleted ------------------------------------------------------------------------------

MANY = {f"m/{number}": b"x" for number in range(8)}
REST = {name: MANY[name] for name in list(MANY)[2:]}


def both_ways(client: Client, up: bool, source: dict[str, bytes], at: dict[str, bytes]) -> None:
    """A source and a target with these names; what both have is the same."""
    (folder if up else objects)(client, source)
    (objects if up else folder)(client, at)
    for name in set(source) & set(at):
        times = client.directory / "folder" / name
        version = int(client.sds.objects[name][-1]["meta"]["version"])
        os.utime(times, ns=(NOON, version // 10**6 * 10**9))


def left(client: Client, up: bool) -> set[str]:
    return set(client.sds.objects) if up else there(client)


def words_of(up: bool) -> tuple[str, ...]:
    return (*(UP if up else DOWN), "--delete", "--json")


ways = pytest.mark.parametrize("up", [True, False], ids=["up", "down"])


@ways
def test_what_only_the_target_has(near: Near, up: bool) -> None:
    client = near()
    both_ways(client, up, REST, MANY)
    ran = client.ok(*words_of(up), "--yes")
    assert summary(ran) == counts(skipped=6, deleted=2)
    assert left(client, up) == set(REST)
    assert client.ok(*words_of(up)).json["results"][0]["changed"] is False


@ways
def test_without_delete_all_stays(near: Near, up: bool) -> None:
    client = near()
    both_ways(client, up, REST, MANY)
    client.ok(*(UP if up else DOWN))
    assert left(client, up) == set(MANY)


@ways
def test_it_is_confirmed_with_counts(near: Near, up: bool) -> None:
    client = near()
    both_ways(client, up, REST, MANY)
    client.sds.calls.clear()
    assert client(*words_of(up)).code == 2
    ran = client(*words_of(up), tty=True, stdin=b"n\n")
    assert ran.code == 1
    asked = {
        True: '2 objects (2 B) in container "docs" without a file in ./folder will be deleted',
        False: '2 files (2 B) in ./folder without an object in container "docs" will be deleted',
    }
    assert asked[up] in ran.err
    dry = client.ok(*words_of(up)[:-1], "--dry-run")
    assert asked[up] in dry.out
    assert changes(client) == []
    assert left(client, up) == set(MANY)
    client.ok(*words_of(up)[:-1], tty=True, stdin=b"y\n")
    assert left(client, up) == set(REST)


@ways
@pytest.mark.parametrize(
    ("gone", "words", "code"),
    [
        (2, "", 0),  # a quarter
        (3, "", 4),
        (3, "--max-delete 2", 4),
        (3, "--max-delete 3", 0),
        (2, "--max-delete 1", 4),  # not even a quarter
        (1, "--max-delete 0", 4),
        (0, "--max-delete 0", 0),
        (7, "--max-delete 7", 0),
        (8, "--max-delete 8", 4),  # nothing is left of the source
    ],
)
def test_how_much_is_deleted(near: Near, up: bool, gone: int, words: str, code: int) -> None:
    client = near()
    source = dict(list(MANY.items())[gone:])
    if not up and not source:
        client.sds.put("other/z", b"")
        client.sds.objects.clear()
    both_ways(client, up, {**source, **({"new": b"n"} if source else {})}, MANY)
    if up:
        (client.directory / "folder").mkdir(exist_ok=True)
    ran = client(*words_of(up), *words.split(), "--yes")
    assert ran.code == code, ran.err
    kept = {*source, "new"} if code == 0 else set(MANY)
    assert left(client, up) == kept  # and what is refused sends nothing either
    if code:
        assert changes(client) == []
        assert "Nothing was changed." in ran.err


def test_max_delete_needs_delete(near: Near) -> None:
    assert near()(*UP, "--max-delete", "3").code == 2


@ways
def test_nothing_is_deleted_if_a_transfer_fails(near: Near, up: bool) -> None:
    client = near()
    both_ways(client, up, {**REST, "bad": b"b", "good": b"g"}, MANY)

    def fail(call: Call) -> bool:
        if call.query.get("path") == "bad" and call.route in ("content/prepare", "content/show"):
            call.refuse(500)
            return True
        return False

    client.sds.faults.append(fail)
    ran = client(*words_of(up), "--yes")
    assert ran.code == 8
    assert summary(ran) == counts(sent=1, skipped=6, failed=1)
    assert "nothing was deleted" in ran.err
    assert "warning: " in ran.err
    assert ran.err.count("warning: ") == 1
    assert left(client, up) == {*MANY, "good"}


@ways
@pytest.mark.parametrize("fault", ["page", "name"])
def test_nothing_is_deleted_after_an_incomplete_listing(near: Near, up: bool, fault: str) -> None:
    client = near()
    both_ways(client, up, REST, MANY)

    def broken(call: Call) -> bool:
        if call.route != "container/list":
            return False
        if fault == "name":
            listed = [{"name": "m/3", "size": 1}, {"name": 7, "size": 1}]
            call.json({"objects": listed, "prefixes": []}, headers=LAST)
            return True
        if "marker" in call.query:
            call.refuse(500)
            return True
        call.query["max"] = "4"
        return False

    client.sds.faults.append(broken)
    ran = client(*words_of(up), "--yes")
    assert ran.code in (1, 8, 9)
    assert ran.err.count("will be deleted") + ran.err.count("was deleted") <= 1
    assert left(client, up) == set(MANY)
    assert not any("delete" in word for word in changes(client))


LAST = {"x-oio-list-truncated": "false"}


def test_what_changed_in_the_container_stays(near: Near) -> None:
    client = near()
    both_ways(client, True, {**REST, "new": b"n"}, MANY)

    def late(call: Call) -> None:
        client.sds.fresh(0)  # not the ID that was prepared
        client.sds.put("m/0", b"changed")
        client.sds._content_create(call)

    client.sds.faults.append(on("content/create", late, times=1))
    ran = client(*words_of(True), "--yes")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["m/0"]
    assert set(client.sds.objects) == {*REST, "new", "m/0"}


def test_what_was_appended_to_stays(near: Near) -> None:
    """Appending keeps the version and the ID of an object."""
    client = near()
    both_ways(client, True, {**REST, "new": b"n"}, MANY)

    def late(call: Call) -> None:
        client.sds.objects["m/0"][-1]["meta"] |= {"size": "9", "hash": ""}
        client.sds._content_create(call)

    client.sds.faults.append(on("content/create", late, times=1))
    ran = client(*words_of(True), "--yes")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["m/0"]
    assert set(client.sds.objects) == {*REST, "new", "m/0"}


def test_what_changed_in_the_folder_stays(near: Near) -> None:
    client = near()
    both_ways(client, False, {**REST, "new": b"n"}, MANY)
    below = client.directory / "folder"

    def late(call: Call) -> bool:
        if call.method == "GET" and call.who != "proxy":
            (below / "m/0").write_bytes(b"y")
            (below / "m/1").unlink()
            (below / "m/1").symlink_to("/etc/passwd")
        return False

    client.sds.faults.append(late)
    ran = client(*words_of(False), "--yes")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["m/0", "m/1"]
    assert there(client) == {*MANY, "new"}


@ways
def test_what_the_source_got_meanwhile_is_not_deleted(near: Near, up: bool) -> None:
    client = near()
    both_ways(client, up, {**REST, "new": b"n"}, MANY)
    came = False

    def late(call: Call) -> bool:
        nonlocal came
        if not came and call.query.get("path") == "new":
            came = True
            (folder if up else objects)(client, {"m/0": b"later"})
        return False

    client.sds.faults.append(late)
    ran = client.ok(*words_of(up), "--yes")
    assert summary(ran) == counts(sent=1, skipped=6, deleted=1)
    assert left(client, up) == {*REST, "new", "m/0"}


def test_links_and_special_files(near: Near, tmp_path: Path) -> None:
    """They are no files; but nothing is deleted because of that."""
    client = near()
    below = folder(client, {"a": b"1", "m/x": b"2"})
    outside = tmp_path / "outside"
    (outside / "in").mkdir(parents=True)
    (outside / "in/file").write_bytes(b"precious")
    (below / "link").symlink_to(outside / "in/file")
    (below / "broken").symlink_to("nowhere")
    (below / "dir").symlink_to(outside)
    os.mkfifo(below / "pipe")
    objects(client, dict.fromkeys(("link", "broken", "dir/in/file", "pipe", "gone"), b""))
    client.ok(*UP, "--delete", "--yes", "--max-delete", "1")
    assert set(client.sds.objects) == {"a", "m/x", "link", "broken", "dir/in/file", "pipe"}
    client.sds.objects.clear()
    objects(client, {"z": b"9"})
    client.ok(*DOWN, "--delete", "--yes", "--max-delete", "2")
    assert there(client) == {"z", "link", "broken", "dir", "pipe"}
    assert not (below / "m").exists()
    assert (outside / "in/file").read_bytes() == b"precious"


def test_directories_that_are_empty_then(near: Near) -> None:
    client = near()
    names = ("k/l/1", "k/l/2", "p/q/1", "p/keep", "s/1", "o/r/1")
    below = folder(client, dict.fromkeys(names, b""))
    (below / "empty/inner").mkdir(parents=True)
    (below / "s/hollow").mkdir()
    objects(client, {"p/keep": b"", "o/new": b"", "z": b""})
    client.ok(*DOWN, "--delete", "--yes", "--max-delete", "5")
    found = {str(path.relative_to(below)) for path in below.rglob("*")}
    assert found == {"p", "p/keep", "o", "o/new", "z", "empty", "empty/inner", "s", "s/hollow"}


def test_odd_names_are_deleted_as_they_are(near: Near) -> None:
    client = near()
    odd = ("two\nlines", "-rf", "*", "\udcff", "a b/c d", "$(x)")
    folder(client, dict.fromkeys(odd, b""))
    objects(client, dict.fromkeys(("keep", "k2"), b""))
    client.ok(*DOWN, "--delete", "--yes", "--max-delete", "6")
    assert there(client) == {"keep", "k2"}
    objects(client, dict.fromkeys(odd, b""))
    client.ok(*UP, "--delete", "--yes", "--max-delete", "6")
    assert set(client.sds.objects) == {"keep", "k2"}


def test_objects_that_no_file_can_be(near: Near) -> None:
    """No sync has made them, so none deletes them."""
    client = near()
    folder(client, FILES)
    objects(client, {"../x": b"", "d/../y": b"", "./z": b"", "d//b": b"", "d/": b"", "u/": b""})
    client.ok(*UP, "--delete", "--yes", "--max-delete", "1")
    assert set(client.sds.objects) == {*FILES, "../x", "d/../y", "./z", "d//b", "d/"}


def test_parts_of_downloads_are_no_files(near: Near) -> None:
    client = near()
    part = ".a.0123456789abcdef.part"
    folder(client, {"a": b"1", f"d/{part}": b"2", ".part": b"3"})
    ran = client.ok(*UP)
    assert ran.err.count("named like an incomplete download") == 1
    assert f"folder/d/{part}: skipped" in ran.err
    assert "skipped" not in client.ok(*UP, "--exclude", ".*.part").err
    assert set(client.sds.objects) == {"a", ".part"}
    client.sds.objects.pop(".part")
    client.ok(*DOWN, "--delete", "--yes", "--max-delete", "1")
    assert there(client) == {"a", f"d/{part}"}


def test_one_question_for_all_that_is_lost(near: Near) -> None:
    client = near()
    both_ways(client, True, {**REST, "m/7": b"changed"}, MANY)
    ran = client(*UP, "--delete", tty=True, stdin=b"y\n")
    assert ran.code == 0, ran.err
    assert ran.err.count("Continue?") == 1
    assert 'object "m/7" in container "docs" will be replaced' in ran.err
    assert "2 objects (2 B)" in ran.err
    assert client.sds.content("m/7") == b"changed"


def test_files_that_are_newer_are_replaced_after_a_question(near: Near) -> None:
    client = near()
    below = folder(client, {**FILES, "same": b"s", "own": b"o", "old": b"12"})
    client.ok(*UP)
    for name in ("a", "d/b", "own", "old"):
        (below / name).write_bytes(b"edited")
        os.utime(below / name, ns=(NOON, NOON + 1))
    objects(client, {"own": b"12", "d/b": b"12"})  # without a stored time
    for name in ("own", "old"):
        os.utime(below / name, ns=(NOON, NOON - 10**9))
    client.sds.calls.clear()
    assert client(*DOWN, "--json").code == 2
    assert client(*DOWN, tty=True, stdin=b"n\n").code == 1
    dry = client.ok(*DOWN, "--dry-run")
    assert client.sds.asked("GET") == []
    assert (below / "a").read_bytes() == b"edited"
    file = below / "surplus"
    file.write_bytes(b"1")
    ran = client(*DOWN, "--delete", tty=True, stdin=b"y\n")
    assert ran.code == 0, ran.err
    assert ran.err.count("Continue?") == 1
    for shown in (dry.out, ran.err):
        for name in ("a", "d/b"):
            assert f"./folder/{name}, newer than its object, will be replaced" in shown
        assert shown.count("newer than") == 2
    assert "1 file (1 B) in ./folder without an object" in ran.err
    assert ((below / "a").read_bytes(), (below / "d/b").read_bytes()) == (b"1", b"12")
    assert client.ok(*DOWN, "--json").json["summary"]["sent"] == 0


def test_many_newer_files_are_counted_and_get_asks_nothing(near: Near) -> None:
    client = near()
    names = [f"f{number:02}" for number in range(21)]
    folder(client, dict.fromkeys(names, b"old"))
    client.ok(*UP)
    for name in names:
        client.file(f"folder/{name}", b"newer")
    ran = client(*DOWN)
    assert ran.code == 2
    assert "21 files (105 B) in ./folder, newer than their objects, will be replaced" in ran.err
    ran = client.ok("get", "docs", "--recursive", "--update", "--to", "folder")
    assert ran.out.splitlines()[-1].startswith("downloaded 21 (63 bytes), skipped 0 in ")


@ways
@pytest.mark.parametrize("journal", [True, False])
def test_after_an_interruption_the_hint_is_the_same_sync(
    near: Near, up: bool, journal: bool
) -> None:
    client = near(chunk_size=1 << 20)
    (folder if up else objects)(client, {"a b": bytes_of(5000)})
    (client.directory / "folder").mkdir(exist_ok=True)

    def wait(call: Call) -> bool:
        if call.who == "proxy":
            return False
        hold(call) if up else call.sds.wait(5)
        return True

    client.sds.faults.append(wait)
    words = (*(UP if up else DOWN), "--exclude", "*.x y", "--yes")
    kept = ("--journal", "j") if journal else ()
    with client.start(*words, *kept) as process:
        wait_for(lambda: client.sds.asked("PUT" if up else "GET"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    ends = "./folder docs" if up else "docs ./folder"
    resume = " --journal j --resume" if journal else ""
    assert f"oio content sync {ends} --exclude '*.x y'{resume}\n" in err.decode()
    assert b"content get" not in err


def test_versions_stay(oio: Oio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a").write_bytes(b"1")
    oio.ok("container", "create", "kept", "--max-versions", "-1")
    oio.ok("content", "put", "kept", "-", "--path", "b", stdin=b"x")
    oio.ok("content", "sync", "./f", "kept", "--delete", "--max-delete", "1", "--yes")
    listed = oio.ok("content", "list", "kept", "--all-versions", "--json").json["items"]
    assert [(one["name"], one["deleted"]) for one in listed] == [
        ("a", False),
        ("b", True),
        ("b", False),
    ]


# --- journals -------------------------------------------------------------------------------------


def test_a_journal_of_another_transfer(near: Near) -> None:
    client = near()
    folder(client, FILES)
    (client.directory / "other").mkdir()
    client.ok(*UP, "--journal", "j")
    text = (client.directory / "j").read_bytes()
    client.sds.calls.clear()
    again = client(*UP, "--journal", "j")
    assert again.code == 4
    assert "--resume" in again.err
    others = [
        ("sync", "./folder", "docs/x"),
        ("sync", "docs", "./folder"),
        ("sync", "./other", "docs"),
        (*UP, "--checksum"),
        (*UP, "--include", "*"),
        (*UP, "--policy", "X"),
        ("put", "docs", "folder", "--recursive"),
        ("get", "docs", "--recursive", "--to", "folder"),
    ]
    for words in others:
        ran = client(*words, "--journal", "j", "--resume", "--yes")
        assert ran.code == 4, words
        assert "another transfer" in ran.err
    assert changes(client) == []
    assert (client.directory / "j").read_bytes() == text


@pytest.mark.parametrize("journal", ["./folder/j", "folder/d/j", "./link/j"])
@ways
def test_a_journal_in_the_folder(near: Near, up: bool, journal: str) -> None:
    client = near()
    folder(client, FILES)
    objects(client, FILES)
    (client.directory / "link").symlink_to("folder/d")
    ran = client(*(UP if up else DOWN), "--journal", journal)
    assert ran.code == 2
    assert there(client) == set(FILES)


@pytest.mark.parametrize(
    "words", [(*UP,), (*DOWN,), ("put", "docs", "folder/a"), ("get", "docs", "a")]
)
def test_resume_needs_a_journal(near: Near, words: tuple[str, ...]) -> None:
    client = near()
    folder(client, FILES)
    assert client(*words, "--resume").code == 2
    assert changes(client) == []


def test_checksums_of_what_is_finished_are_not_read_again(near: Near) -> None:
    client = near()
    below = folder(client, FILES)
    client.ok(*UP, "--checksum", "--journal", "j")
    data = (below / "a").read_bytes()
    (below / "a").write_bytes(b"7")  # the same size and time: only its bytes could tell
    os.utime(below / "a", ns=(NOON, NOON))
    ran = client.ok(*UP, "--checksum", "--journal", "j", "--resume", "--json")
    assert summary(ran) == counts(skipped=3)
    assert client.sds.content("a") == data


@pytest.mark.parametrize("words", ["--to -", "--range 0-3"])
def test_a_journal_is_of_files(near: Near, words: str) -> None:
    client = near()
    objects(client, FILES)
    ran = client("get", "docs", "a", *words.split(), "--journal", "j")
    assert ran.code == 2
    assert "--journal" in ran.err
    assert not (client.directory / "j").exists()
