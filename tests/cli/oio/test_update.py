"""rdctl oio content put and get, repeated: what is sent, skipped, replaced and refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.results import Summary
from rdctl.oio.sync.model import MTIME, mtime_of
from tests.cli.oio.transfers import Client, bytes_of, errors_of, hold, wait_for
from tests.cli.processes import SECONDS
from tests.conftest import Program
from tests.fakes.sds import Call, md5, on

NOON = 1_700_000_000_123_456_789
UP = ("put", "docs", "d", "--recursive")
DOWN = ("get", "docs", "--recursive", "--to", "out")


def touched(client: Client, name: str, data: bytes, mtime_ns: int = NOON) -> str:
    path = client.file(name, data)
    os.utime(path, ns=(NOON, mtime_ns))
    return path


def names_sent(client: Client) -> list[str]:
    """The objects that were created since this was asked last."""
    made = [call.query["path"] for call in client.sds.calls if call.route == "content/create"]
    client.sds.calls.clear()
    return sorted(made)


def chunks_read(client: Client) -> int:
    count = len(client.sds.asked("GET"))
    client.sds.calls.clear()
    return count


def stored_time(client: Client, name: str) -> int | None:
    return mtime_of(client.sds.objects[name][-1].get("properties", {}).get(MTIME))


def wait_for_end(call: Call) -> bool:
    """Do not answer as long as the client waits."""
    hold(call)
    return True


def summary(ran: Any) -> dict[str, Any]:
    found: dict[str, Any] = ran.json["summary"]
    return found


# Uploads ------------------------------------------------------------------------------------------


def test_a_second_upload_sends_only_what_changed(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("d/a", "d/x/b", "d/x/c"):
        touched(client, name, b"12345")
    ran = client.ok(*UP, "--update")
    assert ran.out.splitlines()[-1].startswith("sent 3 (15 bytes), skipped 0 in ")
    assert names_sent(client) == ["a", "x/b", "x/c"]
    assert stored_time(client, "x/b") == NOON
    ran = client.ok(*UP, "--update")
    assert ran.out.startswith("sent 0, skipped 3 in ")
    assert ran.out.count("\n") == 1
    # Few are looked up one by one.
    assert client.sds.routes() == ["container/show", *["container/list"] * 3]
    client.sds.calls.clear()
    touched(client, "d/x/b", b"54321", NOON + 1)  # the same size
    touched(client, "d/x/c", b"123456")  # the same time
    ran = client.ok(*UP, "--update", "--yes")
    assert names_sent(client) == ["x/b", "x/c"]
    assert client.sds.content("x/b") == b"54321"
    assert stored_time(client, "x/b") == NOON + 1
    assert ran.out.splitlines()[-1].startswith("sent 2 (11 bytes), skipped 1 in ")


def test_the_summary_in_json_and_ndjson(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"12345")
    touched(client, "d/b", b"12345")
    client.ok("put", "docs", "d/a", "--update")
    ran = client.ok(*UP, "--update", "--json")
    seconds = summary(ran).pop("seconds")
    assert seconds >= 0
    assert {**summary(ran), "seconds": 0} == {
        "sent": 1,
        "skipped": 1,
        "deleted": 0,
        "failed": 0,
        "bytes": 5,
        "seconds": 0,
    }
    found = {one["target"]: one["changed"] for one in ran.json["results"]}
    assert found == {"a": False, "b": True}
    lines = [
        json.loads(line) for line in client.ok(*UP, "--update", "-o", "ndjson").out.split("\n")[:-1]
    ]
    assert [line.get("target") for line in lines] == ["a", "b", None]
    assert lines[-1]["summary"]["skipped"] == 2
    assert client.ok(*UP, "--update", "-q").out == ""
    assert "summary" not in client.ok("put", "docs", "d/a", "--path", "z", "--json").json


def test_a_plain_upload_stores_no_time(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    client.ok(*UP)
    assert stored_time(client, "a") is None
    assert "sent" not in client.ok(*UP, "--overwrite", "--yes").out


def test_without_a_stored_time_a_file_that_is_not_newer_is_skipped(
    near: Callable[..., Client],
) -> None:
    client = near()
    for name in ("old", "new"):
        client.sds.put(name, b"12345")
    touched(client, "d/old", b"54321", 1_600_000_000 * 10**9)
    touched(client, "d/new", b"54321", 1_800_000_000 * 10**9)  # in the future, too
    client.ok(*UP, "--update", "--yes")
    assert names_sent(client) == ["new"]
    client.ok(*UP, "--update")
    assert names_sent(client) == []


@pytest.mark.parametrize("time", [-1, -86400 * 10**9 - 5, 0, 1, 9_000_000_000 * 10**9 + 7])
def test_any_time_survives_the_way_there_and_back(near: Callable[..., Client], time: int) -> None:
    client = near()
    path = touched(client, "d/a", b"x", time)
    kept = os.stat(path).st_mtime_ns
    client.ok(*UP, "--update")
    assert stored_time(client, "a") == kept
    client.ok(*DOWN)
    assert (client.directory / "out/a").stat().st_mtime_ns == kept
    assert names_sent(client) == ["a"]
    client.ok(*UP, "--update")
    client.ok(*DOWN, "--update")
    assert (names_sent(client), chunks_read(client)) == ([], 0)


def test_names_of_any_bytes_are_recognized(near: Callable[..., Client]) -> None:
    client = near()
    names = ["a b", "a\nb", "caf\udce9", "日本", "-x", "%41", "a+b", "d/.hidden", "[x]*?"]
    for name in names:
        touched(client, f"d/{name}", b"x")
    client.ok(*UP, "--update")
    assert names_sent(client) == sorted(names)
    client.ok(*UP, "--update")
    assert names_sent(client) == []
    client.ok(*DOWN, "--update")
    assert chunks_read(client) == len(names)
    client.ok(*DOWN, "--update")
    assert chunks_read(client) == 0


def test_checksum_compares_the_bytes_and_not_the_times(near: Callable[..., Client]) -> None:
    client = near()
    for name in "abc":
        client.sds.put(name, b"12345")
    touched(client, "d/a", b"12345", 5)
    touched(client, "d/b", b"54321", 5)
    touched(client, "d/c", b"1234", 5)
    touched(client, "d/e", b"", 5)
    client.ok(*UP, "--checksum", "--yes")
    assert names_sent(client) == ["b", "c", "e"]
    client.ok(*UP, "--checksum", "--update")
    assert names_sent(client) == []


def test_an_object_without_md5_is_not_comparable_and_sent(near: Callable[..., Client]) -> None:
    client = near(hashes=False)
    for number in range(5):
        client.sds.put(f"a{number}", b"x")
        touched(client, f"d/a{number}", b"x")
    ran = client.ok(*UP, "--checksum", "--yes")
    assert "a0, a1, a2 and 2 more: not comparable: the listing has no MD5" in ran.err
    assert len(names_sent(client)) == 5
    client.ok(*UP, "--update")
    assert names_sent(client) == []


def test_what_differs_is_replaced_after_one_question(near: Callable[..., Client]) -> None:
    client = near()
    for number in range(25):
        client.sds.put(f"a{number:02}", b"old")
        touched(client, f"d/a{number:02}", b"newer")
    ran = client(*UP, "--update")
    assert ran.code == 2
    assert '25 objects (75 B) in container "docs" will be replaced' in ran.err
    assert client(*UP, "--update", tty=True, stdin=b"n\n").code == 1
    assert names_sent(client) == []
    client.ok(*UP, "--update", "--exclude", "a[!0]*", "--include", "a00", "--yes")
    assert names_sent(client) == ["a00"]
    client.ok(*UP, "--update", tty=True, stdin=b"y\n")
    assert len(names_sent(client)) == 24


def test_an_object_that_another_client_created_meanwhile_is_kept(
    near: Callable[..., Client],
) -> None:
    client = near()
    touched(client, "d/a", b"mine")

    def create_too(call: Call) -> bool:
        client.sds.put("a", b"theirs")
        return False

    client.sds.faults.append(lambda call: call.method == "PUT" and create_too(call))
    ran = client(*UP, "--update")
    assert ran.code == 4
    assert 'object "a" already exists' in ran.err
    assert client.sds.content("a") == b"theirs"


def test_an_object_that_another_client_replaced_meanwhile_is_kept(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("a", b"old")
    client.sds.put("b", b"old")
    touched(client, "d/a", b"mine")
    touched(client, "d/b", b"mine")
    came = False

    def replace_too(call: Call) -> bool:
        nonlocal came
        if call.method == "PUT" and not came:
            came = True
            client.sds.fresh(0)  # not the ID that was prepared
            client.sds.put("a", b"theirs")
        return False

    client.sds.faults.append(replace_too)
    ran = client(*UP, "--update", "--yes", "--json", "--parallel", "1")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["a"]
    assert "a: changed since it was listed; not replaced" in ran.err
    assert client.sds.content("a") == b"theirs"
    assert client.sds.content("b") == b"mine"
    assert names_sent(client) == ["b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_directory_that_cannot_be_read_is_an_error_and_no_loss(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("x/", b"theirs")
    touched(client, "d/x/a", b"mine")
    (client.directory / "d/x").chmod(0)
    try:
        ran = client(*UP, "--update")
    finally:
        (client.directory / "d/x").chmod(0o700)
    assert ran.code == 5
    assert "will be replaced" not in ran.err


def test_a_versioned_container_needs_no_consent(near: Callable[..., Client]) -> None:
    client = near(versions="-1")
    client.sds.put("a", b"old")
    touched(client, "d/a", b"newer")
    client.ok(*UP, "--update")
    assert len(client.sds.objects["a"]) == 2
    client.ok(*UP, "--update")
    assert len(client.sds.objects["a"]) == 2


def test_a_dry_run_says_what_would_be_sent_and_skipped(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    client.ok(*UP, "--update")
    touched(client, "d/a2", b"12345")
    touched(client, "d/a", b"12")
    client.sds.calls.clear()
    ran = client.ok(*UP, "--update", "--dry-run")
    assert 'would put object "a2"' in ran.out
    assert "would send 2 (7 bytes), skip 0\n" in ran.out
    assert 'object "a" in container "docs" will be replaced' in ran.out
    plan = client.ok(*UP, "--update", "--dry-run", "--json").json
    assert plan["summary"][-1] == "would send 2 (7 bytes), skip 0"
    assert names_sent(client) == []
    assert client.sds.asked("PUT") == []


@pytest.mark.parametrize(
    ("pattern", "warning"),
    [
        ("*.nef", '"*.nef" matches nothing\n'),
        ("./a.jpg", '"./a.jpg" matches nothing; names do not begin with "./"\n'),
        ("[ab].jpg", '"[ab].jpg" matches nothing; [...] is literal\n'),
        ("a.*", ""),
    ],
)
def test_a_pattern_that_matches_nothing(
    near: Callable[..., Client], pattern: str, warning: str
) -> None:
    client = near()
    for name in ("d/a.jpg", "d/x/b.jpg"):
        touched(client, name, b"x")
    client.ok(*UP, "--name-prefix", "p/")
    commands = (
        (*UP, "--name-prefix", "q/", "--update"),
        ("put", "docs", "d/a.jpg", "--path", "z", "--update") if pattern != "a.*" else UP[:0],
        ("get", "docs", "p/", "--recursive", "--to", "out"),
        ("sync", "./d", "docs/r"),
        ("sync", "docs/p", "./other"),
    )
    for words in filter(None, commands):
        for option in ("--include", "--exclude"):
            err = client.ok(*words, option, pattern).err
            assert (f"{option} {warning}" in err) if warning else "matches" not in err


def test_a_pattern_that_matches_at_the_target_only(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    client.sds.put("b.raw", b"x")
    assert "matches" not in client.ok("sync", "./d", "docs", "--exclude", "*.raw").err
    touched(client, "d/c.tmp", b"x")
    assert "matches" not in client.ok("sync", "docs", "./d", "--exclude", "*.tmp").err


def test_of_an_incomplete_listing_no_pattern_is_doubted(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"x")

    def nameless(call: Call) -> None:
        listed = [{"name": "a", "size": 1}, {"name": 7, "size": 1}]
        call.json({"objects": listed, "prefixes": []}, headers={"x-oio-list-truncated": "false"})

    client.sds.faults.append(on("container/list", nameless))
    touched(client, "d/b", b"x")
    for words in (DOWN, ("sync", "docs", "./d"), ("sync", "./d", "docs")):
        assert "matches nothing" not in client(*words, "--exclude", "zz", "--yes").err


def test_what_is_skipped_is_verified_only_by_checksum(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    client.ok(*UP, "--update")
    client.ok(*DOWN)
    for words in (UP, DOWN):
        for option, verified in (("--update", None), ("--checksum", True)):
            (found,) = client.ok(*words, option, "--json").json["results"]
            assert (found["changed"], found["verified"]) == (False, verified)
    touched(client, "d/a", b"y")
    for words in (UP, DOWN):
        kept = (*words, "--checksum", "--journal", f"{words[0]}.journal", "--yes")
        client.ok(*kept)
        (found,) = client.ok(*kept, "--resume", "--json").json["results"]
        assert (found["changed"], found["verified"]) == (False, None)  # not read again


def test_an_object_replaced_within_the_second_is_noticed(near: Callable[..., Client]) -> None:
    """Without a stored time, files get the microseconds of the version."""
    client = near()
    client.sds.put("a", b"12345")
    for words in (("get", "docs", "a", "--to", "out/"), (*DOWN, "--update")):
        client.sds.put("a", b"abcde")
        client.ok(*words, *(() if "--update" in words else ("--overwrite",)))
        client.sds.put("a", b"54321")
        one, other = (client.ok(*DOWN, "--update", "--json").json["summary"] for _ in range(2))
        assert (one["sent"], other["sent"], other["skipped"]) == (1, 0, 1)
        assert (client.directory / "out/a").read_bytes() == b"54321"
    client.sds.calls.clear()
    client.ok("put", "docs", "out", "--recursive", "--update")
    assert names_sent(client) == []  # what was downloaded is not newer


def test_filters_choose_by_the_name_below_the_folder(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a.jpg", "a.raw", "x/b.jpg", "x/tmp/c.jpg"):
        touched(client, f"d/{name}", b"x")
    ran = client.ok(*UP, "--include", "*.jpg", "--exclude", "x/tmp/", "--name-prefix", "2024/")
    assert names_sent(client) == ["2024/a.jpg", "2024/x/b.jpg"]
    assert "sent 2 (2 bytes), skipped 0" in ran.out
    assert client.ok(*UP, "--include", "nothing").out.startswith("sent 0, skipped 0 in ")
    client.ok("put", "docs", "d/a.jpg", "d/a.raw", "--exclude", "*.raw", "--update")
    assert names_sent(client) == ["a.jpg"]


def test_a_list_of_files_is_compared_by_one_listing(near: Callable[..., Client]) -> None:
    client = near()
    paths = [f"d/{number:02}" for number in range(12)]
    for path in paths:
        touched(client, path, b"x")
    listed = "\n".join(paths).encode()
    client.ok("put", "docs", "--files-from", "-", "--update", stdin=listed)
    assert len(names_sent(client)) == 12
    os.utime(client.directory / "d/05")
    client.ok("put", "docs", "--files-from", "-", "--update", "--yes", stdin=listed)
    routes = client.sds.routes()
    assert routes[: routes.index("content/prepare")].count("container/list") == 1
    assert routes.count("container/list") == 2  # and once what is about to be replaced
    assert names_sent(client) == ["d/05"]


def test_standard_input_is_always_sent(near: Callable[..., Client]) -> None:
    client = near()
    for _ in range(2):
        client.ok("put", "docs", "-", "--path", "a", "--update", "--yes", stdin=b"x")
        assert names_sent(client) == ["a"]
        assert stored_time(client, "a") is None


def test_a_container_is_created_for_the_first_update(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    ran = client("put", "new", "d", "--recursive", "--update")
    assert ran.code == 3
    assert "--autocreate" in ran.err
    client.ok("put", "new", "d", "--recursive", "--update", "--autocreate")
    assert names_sent(client) == ["a"]
    client.ok("put", "new", "d", "--recursive", "--update", "--autocreate")
    assert names_sent(client) == []


def test_an_empty_folder_is_nothing_to_send(near: Callable[..., Client]) -> None:
    client = near()
    (client.directory / "d").mkdir()
    assert client.ok(*UP, "--update").out.startswith("sent 0, skipped 0 in ")


def test_links_are_not_followed_below_a_folder(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"x")
    (client.directory / "d/link").symlink_to("a")
    ran = client.ok(*UP, "--update")
    assert "d/link: skipped: symbolic link" in ran.err
    assert names_sent(client) == ["a"]


def test_a_file_that_changes_while_it_is_sent_is_not_taken_for_sent(
    near: Callable[..., Client],
) -> None:
    client = near()
    path = touched(client, "d/a", bytes_of(3000))

    def write_too(call: Call) -> bool:
        Path(path).write_bytes(bytes_of(3000, seed=2))
        return False

    client.sds.faults.append(lambda call: call.method == "PUT" and write_too(call))
    ran = client(*UP, "--update")
    assert ran.code == 4
    assert "changed while it was being read" in ran.err
    assert "a" not in client.sds.objects
    client.sds.faults.clear()
    client.ok(*UP, "--update")
    assert client.sds.content("a") == bytes_of(3000, seed=2)


def test_a_listing_that_fails_sends_nothing(near: Callable[..., Client]) -> None:
    """What cannot be compared might be replaced without consent."""
    client = near()
    touched(client, "d/a", b"x")
    client.sds.faults.append(on("container/list", lambda call: call.refuse(500, message="broken")))
    ran = client(*UP, "--update")
    assert ran.code != 0
    assert names_sent(client) == []


def test_what_a_journal_has_is_sent_again_if_the_object_is_gone(
    near: Callable[..., Client],
) -> None:
    client = near()
    for name in ("a", "b", "c"):
        touched(client, f"d/{name}", b"x")
    client.ok(*UP, "--journal", "j")
    assert names_sent(client) == ["a", "b", "c"]
    client.ok(*UP, "--journal", "j", "--resume")
    assert names_sent(client) == []
    del client.sds.objects["b"]
    ran = client.ok(*UP, "--journal", "j", "--resume", "--json")
    assert (summary(ran)["sent"], summary(ran)["skipped"]) == (1, 2)
    assert names_sent(client) == ["b"]
    client.sds.put("c", b"other")
    ran = client(*UP, "--journal", "j", "--resume")
    assert ran.code == 8
    assert 'object "c" already exists' in ran.err
    assert client.sds.content("c") == b"other"


def test_an_interrupted_upload_goes_on_where_it_was(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a", "b", "c"):
        touched(client, f"d/{name}", b"x" * 500)
    client.sds.faults.append(
        lambda call: call.method == "PUT" and "a" in call.sds.objects and wait_for_end(call)
    )
    with client.start(*UP, "--update", "--parallel", "1") as process:
        wait_for(lambda: len(client.sds.asked("PUT")) == 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert b"uploaded a" in out
    assert list(client.sds.objects) == ["a"]
    client.sds.faults.clear()
    client.sds.calls.clear()
    client.ok(*UP, "--update")
    assert names_sent(client) == ["b", "c"]


# Downloads ----------------------------------------------------------------------------------------


def test_a_second_download_gets_only_what_changed(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a", "x/b"):
        client.sds.put(name, b"12345")
    client.ok(*DOWN, "--update")
    assert chunks_read(client) == 2
    ran = client.ok(*DOWN, "--update")
    assert ran.out.startswith("downloaded 0, skipped 2 in ")
    assert client.sds.routes() == ["container/list"]
    client.sds.put("x/b", b"54321")
    client.sds.objects["x/b"][-1]["meta"]["mtime"] = str(1_700_000_100_000_000)
    client.sds.calls.clear()
    ran = client.ok(*DOWN, "--update", "--json")
    assert chunks_read(client) == 1
    assert (client.directory / "out/x/b").read_bytes() == b"54321"
    skipped, sent = ran.json["results"]
    assert (skipped["changed"], skipped["file"], skipped["size"]) == (False, "out/a", 5)
    assert (sent["target"], summary(ran)["bytes"]) == ("x/b", 5)


def test_a_file_gets_the_time_that_was_stored_or_that_of_the_object(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("plain", b"x")
    touched(client, "d/a", b"x")
    client.ok(*UP, "--update")
    for words in (DOWN, ("get", "docs", "a", "plain", "--to", "few")):
        (client.directory / "few").mkdir(exist_ok=True)
        client.ok(*words)
    client.ok("get", "docs", "a", "--to", "one")
    for name, time in (("out/a", NOON), ("few/a", NOON), ("one", NOON)):
        assert (client.directory / name).stat().st_mtime_ns == time
    for name in ("out/plain", "few/plain"):
        assert (client.directory / name).stat().st_mtime_ns == 1_700_000_000 * 10**9


def test_properties_that_cannot_be_read_do_not_prevent_a_download(
    near: Callable[..., Client],
) -> None:
    client = near()
    client.sds.put("a", b"x")
    broken = on("content/get_properties", lambda call: call.refuse(500, message="broken"))
    client.sds.faults.append(broken)
    ran = client.ok("get", "docs", "a", "--to", "b")
    assert "a: its stored modification time is unknown: " in ran.err
    assert (client.directory / "b").stat().st_mtime_ns == 1_700_000_000 * 10**9


def test_a_range_has_no_time_of_a_whole_file(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"12345")
    client.ok("get", "docs", "a", "--to", "b", "--range", "0-1")
    assert (client.directory / "b").stat().st_mtime_ns > 1_700_001_000 * 10**9


def test_a_stored_time_alone_decides(near: Callable[..., Client]) -> None:
    client = near()
    touched(client, "d/a", b"12345")
    client.ok(*UP, "--update")
    touched(client, "out/a", b"abcde", NOON + 10**12)  # newer, and yet replaced
    client.ok(*DOWN, "--update")
    assert (client.directory / "out/a").read_bytes() == b"12345"
    touched(client, "out/a", b"abcde")  # the same size and time: not read
    client.ok(*DOWN, "--update")
    assert (client.directory / "out/a").read_bytes() == b"abcde"
    client.ok(*DOWN, "--checksum")
    assert (client.directory / "out/a").read_bytes() == b"12345"


def test_a_newer_file_of_an_object_without_a_time_is_kept(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"12345")
    touched(client, "out/a", b"abcde", 1_700_000_001 * 10**9)
    client.ok(*DOWN, "--update")
    assert (client.directory / "out/a").read_bytes() == b"abcde"
    touched(client, "out/a", b"abcde", 1_699_999_999 * 10**9)
    client.ok(*DOWN, "--update")
    assert (client.directory / "out/a").read_bytes() == b"12345"


def test_given_paths_are_compared_too(near: Callable[..., Client]) -> None:
    client = near()
    names = [f"n{number:02}" for number in range(12)]
    for name in names:
        client.sds.put(name, b"x")
    (client.directory / "out").mkdir()
    for count in (12, 0):
        client.ok("get", "docs", *names, "--to", "out", "--update")
        assert client.sds.routes().count("container/list") == 1
        assert chunks_read(client) == count
    client.ok("get", "docs", "n00", "--to", "one", "--update")
    client.sds.calls.clear()
    client.ok("get", "docs", "n00", "--to", "one", "--update")
    assert chunks_read(client) == 0
    ran = client("get", "docs", "n00", "missing", "--to", "out", "--update")
    assert ran.code == 8
    assert 'object "missing" not found' in ran.err


def test_filters_choose_by_the_name_below_the_prefix(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("2024/a.jpg", "2024/a.raw", "2024/x/b.jpg", "a.jpg"):
        client.sds.put(name, b"x")
    client.ok("get", "docs", "2024/", "--recursive", "--to", "out", "--include", "/*.jpg")
    found = [path for path in (client.directory / "out").rglob("*") if path.is_file()]
    assert found == [client.directory / "out/a.jpg"]


def test_a_listing_that_breaks_off_gets_what_it_has_and_fails(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("0000", b"x")
    pages: list[Call] = []

    def second(call: Call) -> bool:
        pages.append(call)
        if len(pages) == 1:
            found = {"name": "0000", "size": 1, "content": "AB", "version": 1}
            headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "0000"}
            call.json({"objects": [found], "prefixes": []}, headers=headers)
        else:
            call.refuse(500, message="broken")
        return True

    client.sds.faults.append(lambda call: call.route == "container/list" and second(call))
    for more in ([], ["--update", "--overwrite"]):
        pages.clear()
        ran = client(*DOWN, *more, "--json")
        assert ran.code == 8
        assert "broken" in errors_of(ran)[0]["message"]
        assert (client.directory / "out/0000").read_bytes() == b"x"
        (client.directory / "out/0000").unlink()


def test_links_and_folders_in_the_way_are_as_without_update(near: Callable[..., Client]) -> None:
    client = near()
    for name in ("a", "b", "c/", "e"):
        client.sds.put(name, b"" if name == "c/" else b"12345")
    touched(client, "elsewhere", b"12345", 1_700_000_000 * 10**9)
    out = client.directory / "out"
    (out / "b").mkdir(parents=True)
    (out / "a").symlink_to("../elsewhere")
    ran = client(*DOWN, "--update")
    assert ran.code == 8
    assert "out/b: is a directory" in ran.err
    assert not (out / "a").is_symlink()
    assert (out / "c").is_dir()
    assert (client.directory / "elsewhere").read_bytes() == b"12345"
    client.sds.calls.clear()
    client(*DOWN, "--update")
    assert [call.query["path"] for call in client.sds.calls if call.route == "content/show"] == []


def test_what_leaves_no_file_cannot_be_compared(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("a", b"12345")
    for option in ("--update", "--checksum"):
        for more in (("--to", "-"), ("--to", "b", "--range", "0-1")):
            ran = client("get", "docs", "a", *more, option)
            assert ran.code == 2
            assert "cannot be used with --update or --checksum" in ran.err
    assert client.sds.calls == []


def test_an_empty_container_is_nothing_to_get(near: Callable[..., Client]) -> None:
    client = near()
    assert client.ok(*DOWN, "--update").out.startswith("downloaded 0, skipped 0 in ")


@pytest.mark.parametrize("words", [(), ("--update",)])
def test_a_file_where_others_need_a_directory_is_refused(
    near: Callable[..., Client], words: tuple[str, ...]
) -> None:
    """Whichever would come first, and nothing is left of it."""
    client = near()
    client.sds.put("f", b"a file")
    client.sds.put("f/g", b"below it")
    ran = client(*DOWN, *words, "--json")
    assert ran.code == 8
    assert [error["target"] for error in errors_of(ran)] == ["f"]
    assert "f: skipped: other objects are below it" in ran.err
    found = [str(path.relative_to(client.directory)) for path in client.directory.rglob("*")]
    assert sorted(name for name in found if name.startswith("out/")) == ["out/f", "out/f/g"]


def test_names_that_lead_to_the_same_file_are_still_refused(near: Callable[..., Client]) -> None:
    client = near()
    client.sds.put("x/a", b"12345")
    client.sds.put("x//a", b"54321")
    for _ in range(2):
        ran = client(*DOWN, "--update")
        assert ran.code == 8
        assert 'object "x/a" has the same path' in ran.err
        assert (client.directory / "out/x/a").read_bytes() == b"12345"


def test_erasure_coded_objects_are_compared_as_others(near: Callable[..., Client]) -> None:
    client = near(method="ec/algo=liberasurecode_rs_vand,k=2,m=1", rawx=5)
    touched(client, "d/a", bytes_of(5000))
    for option in ("--update", "--checksum"):
        client.ok(*UP, option)
        assert names_sent(client) == (["a"] if option == "--update" else [])
        client.ok(*DOWN, option)
    assert (client.directory / "out/a").read_bytes() == bytes_of(5000)
    assert md5(bytes_of(5000)) == client.sds.objects["a"][-1]["meta"]["hash"]


def test_the_summary_is_in_the_help_of_the_output(rdctl: Program) -> None:
    text = rdctl("help", "output").out
    assert all(f"\n  {key}" in text or f" {key} " in text for key in Summary._fields)
