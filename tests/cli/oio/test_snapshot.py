"""container snapshot: every version its own chunks, and the source always as it was."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.repairs import DATA, KINDS, Near
from tests.cli.oio.test_link import break_off, lose_link, nth, refuse_link
from tests.cli.oio.transfers import Client, errors_of, lost, unsure, wait_for
from tests.conftest import Ran
from tests.fakes.sds import Call, Sds, on

MARK = "rdctl.incomplete-snapshot"
SHARED = "ACCT/copy shares chunks with ACCT/docs"


class Container:
    """`snapshot("docs", "copy")` at a small OpenIO."""

    def __init__(self, client: Client) -> None:
        self.client, self.sds = client, client.sds
        self.where = [*client.where, "oio", "container"]

    def __call__(self, *words: str) -> Ran:
        ran = self.client.rdctl(*self.where, *words, "--yes", "--json")
        assert "Traceback" not in ran.err
        return ran

    def snapshot(self) -> Ran:
        return self("snapshot", "docs", "copy")


@pytest.fixture(params=KINDS)
def container(near: Near, request: pytest.FixtureRequest) -> Container:
    client = near(**KINDS[request.param], versions="-1")
    for data in (DATA, DATA[::-1]):
        client.sds.put("a", data)
    client.sds.put("b", b"b" * 700)
    client.sds.put("empty", b"")
    return Container(client)


def untouched(sds: Sds, before: dict[str, set[str]]) -> None:
    """The source is whole and enabled, and nothing is left of the snapshot."""
    assert sds.frozen == set()
    assert sds.containers == {"docs"}
    assert MARK not in sds.user.get("docs", {})
    assert sds.urls_of("docs") == before
    assert sds.unlisted() == set()
    assert all(url[-64:] in sds.chunks for urls in before.values() for url in urls)


def apart(sds: Sds) -> None:
    """Source and snapshot share no chunk."""
    source, copy = sds.urls_of("docs"), sds.urls_of("copy")
    assert source.keys() == copy.keys()
    for version in source:
        assert source[version].isdisjoint(copy[version])
        assert len(source[version]) == len(copy[version])


def test_every_version_has_its_own_chunks(container: Container) -> None:
    sds = container.sds
    before = sds.urls_of("docs")
    (result,) = container.snapshot().json["results"]
    assert (result["to"], result["versions"]) == ("copy", 4)
    assert result["chunks"] == sum(map(len, before.values()))
    apart(sds)
    assert (sds.urls_of("docs"), sds.frozen, sds.unlisted()) == (before, {"copy"}, set())
    assert (MARK in sds.user["copy"], MARK in sds.user["docs"]) == (False, False)
    for urls in sds.urls_of("copy").values():
        assert {sds.owner_of(url[-64:])[1] for url in urls} == {"copy"}
    for urls in before.values():  # all of the source is deleted
        for url in urls:
            sds.lose(url[-64:])
    ran = container.client.ok("get", "copy", "a", "--to", "-")
    assert ran.stdout == DATA[::-1]


def test_the_copy_is_said_to_be_read_only(near: Near) -> None:
    client = near()
    ran = client.rdctl(*client.where, "oio", "container", "snapshot", "docs", "copy", "--yes")
    said = "created snapshot of docs; the copy is read-only until `admin enable` (to copy,"
    assert ran.out.startswith(said)


def test_all_pages_and_versions_that_a_page_cuts(near: Near) -> None:
    """A page that ends among the versions of a name continues after that name."""
    client = near(versions="-1")
    for number in range(620):
        client.sds.put(f"n{number:03}", b"x")
    for _ in range(700):
        client.sds.put("n500", b"y")
    container = Container(client)
    (result,) = container.snapshot().json["results"]
    assert result["versions"] == 1320
    apart(client.sds)
    updates = [call for call in client.sds.calls if call.path.endswith("raw_update")]
    assert len(updates) == 14


def test_a_name_with_more_versions_than_a_page_is_refused(near: Near) -> None:
    client = near(versions="-1")
    for _ in range(1001):
        client.sds.put("a", b"y")
    client.sds.put("b", b"y")
    before = client.sds.urls_of("docs")
    ran = Container(client).snapshot()
    assert ran.code == 9
    assert 'some versions of "a" are missing' in ran.err
    untouched(client.sds, before)


ROUTES = ("container/raw_update", "content/show", "container/list", "container/set_properties")


@pytest.mark.parametrize("route", ROUTES)
def test_a_refusal_in_the_middle_leaves_the_source_as_it_was(
    container: Container, route: str
) -> None:
    sds = container.sds
    before = sds.urls_of("docs")
    sds.faults.append(on(route, lambda call: call.refuse(500, message="disk I/O error")))
    ran = container.snapshot()
    assert ran.code != 0
    assert "disk I/O error" in ran.err
    untouched(sds, before)


@pytest.mark.parametrize("act", [lost, unsure])
def test_a_lost_reply_of_the_registration_is_looked_up(
    container: Container, act: Callable[[Call], None]
) -> None:
    sds = container.sds
    before = sds.urls_of("docs")
    sds.faults.append(on("container/raw_update", act, times=1))
    assert container.snapshot().code == 10  # it was not done: all is undone
    untouched(sds, before)

    def done(call: Call) -> None:
        class Quiet(Call):
            def reply(self, *words: object, **more: object) -> None:
                pass

        call.__class__ = Quiet
        call.sds._handled(call, call.sds._container_raw_update)
        call.__class__ = Call
        call.hang_up()

    sds.faults[:] = [on("container/raw_update", done, times=1)]
    assert container.snapshot().code == 0
    apart(sds)


def test_a_lost_reply_of_the_creation_removes_nothing(container: Container) -> None:
    """What exists now may be the container of another client."""

    def done(call: Call) -> None:
        call.body()
        call.sds.snapshot("copy")
        call.hang_up()

    sds = container.sds
    sds.faults.append(on("container/snapshot", done))
    ran = container.snapshot()
    assert ran.code == 10
    assert "container destroy --force copy" in ran.err
    assert (sds.frozen, "container/destroy" in sds.routes()) == ({"copy"}, False)
    # It may be carried out later: then it copies the mark.
    assert (sds.user["docs"][MARK], sds.user["copy"][MARK]) == (SHARED, SHARED)


@pytest.mark.parametrize("act", [lost, unsure])
def test_after_a_lost_reply_of_the_freeze_the_source_is_enabled(
    container: Container, act: Callable[[Call], None]
) -> None:
    sds = container.sds
    before = sds.urls_of("docs")

    def done(call: Call) -> None:
        call.sds.frozen.add("docs")
        act(call)

    sds.faults.append(on("admin/freeze", done))
    assert container.snapshot().code == 10
    untouched(sds, before)


def test_a_source_that_cannot_be_enabled_is_named(container: Container) -> None:
    container.sds.faults.append(on("admin/enable", lost))
    ran = container.snapshot()
    assert ran.code == 10
    assert 'container "docs" may still be read-only' in ran.err
    assert re.search("Enable it: rdctl .* oio admin enable docs", ran.err)
    assert container.sds.routes().count("admin/enable") == 3


def test_a_frozen_source_stays_frozen(container: Container) -> None:
    container.sds.frozen.add("docs")
    assert container.snapshot().code == 0
    assert container.sds.frozen == {"docs", "copy"}
    assert not {"admin/freeze", "admin/enable"} & set(container.sds.routes())
    apart(container.sds)


def test_one_that_is_frozen_just_now_is_not_enabled(container: Container) -> None:
    def other(call: Call) -> None:
        call.sds.frozen.add("docs")
        call.sds._admin_freeze(call)

    container.sds.faults.append(on("admin/freeze", other))
    assert container.snapshot().code == 4
    assert (container.sds.frozen, container.sds.others) == ({"docs"}, {})
    assert "admin/enable" not in container.sds.routes()


@pytest.mark.parametrize("act", [refuse_link, break_off])
def test_a_chunk_that_cannot_be_linked_is_named_and_not_shared(
    container: Container, act: Callable[[Call], None]
) -> None:
    container.sds.faults.append(nth(2, act))
    ran = container.snapshot()
    if act is break_off and ran.code == 6:
        # A service that gives no answer is not asked again. It has a chunk of every version.
        assert "copy" not in container.sds.others
        return
    assert ran.code == 8
    named = {f"{error['target']} {error['version']}" for error in errors_of(ran)}
    for error in errors_of(ran):
        assert "is damaged in snapshot" in error["message"]
        assert "oio content check copy" in error["hint"]
    apart(container.sds)
    assert container.sds.frozen == {"copy"}
    damaged = {
        version
        for version, urls in container.sds.urls_of("copy").items()
        if not {url[-64:] for url in urls} <= container.sds.chunks.keys()
    }
    assert named == damaged


def test_a_lost_reply_of_a_link_is_looked_up(container: Container) -> None:
    container.sds.faults.append(nth(2, lose_link))
    assert container.snapshot().code == 0
    apart(container.sds)


def test_if_no_version_can_be_linked_nothing_is_left(container: Container) -> None:
    before = container.sds.urls_of("docs")
    container.sds.faults.append(on("COPY", refuse_link))
    assert container.snapshot().code != 0
    untouched(container.sds, before)


def test_a_snapshot_that_cannot_be_removed_is_named(container: Container) -> None:
    sds = container.sds
    sds.faults.append(on("container/raw_update", lambda call: call.refuse(500)))
    sds.faults.append(on("container/destroy", lambda call: call.refuse(500)))
    ran = container.snapshot()
    assert ran.code != 0
    assert "it shares chunks with its source" in ran.err
    assert "container destroy --force copy" in ran.err
    assert "docs" not in sds.frozen
    assert MARK in sds.user["copy"]
    # Nothing is deleted that may be registered, and its objects cannot be deleted by mistake.
    assert sds.asked("DELETE") == []
    for verb in (("flush", "copy"), ("destroy", "copy", "--flush")):
        ran = container(*verb)
        assert (ran.code, "is an incomplete snapshot" in ran.err) == (4, True)
    sds.faults.clear()
    assert container("destroy", "copy", "--force").code == 0
    assert "copy" not in sds.containers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle(container: Container, number: int) -> None:
    sds = container.sds
    before = sds.urls_of("docs")
    heard = threading.Event()

    def slow(call: Call) -> None:
        heard.wait(10)
        call.sds._copy_chunk(call)

    sds.faults.append(nth(3, slow))
    words = ("snapshot", "docs", "copy", "--yes", "--parallel", "1")
    with container.client.start(*words, noun="container") as process:
        wait_for(lambda: len(sds.asked("COPY")) >= 3)
        process.send_signal(number)
        heard.set()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    untouched(sds, before)


def test_a_killed_snapshot_loses_nothing(container: Container) -> None:
    """The source is read-only; the snapshot is marked, and can be removed without its chunks."""
    sds = container.sds
    before = sds.urls_of("docs")
    killed = threading.Event()

    def hold(call: Call) -> None:
        killed.wait(10)
        call.hang_up()

    sds.faults.append(on("container/raw_update", hold))
    with container.client.start("snapshot", "docs", "copy", "--yes", noun="container") as process:
        wait_for(lambda: "container/raw_update" in sds.routes())
        process.kill()
        process.wait()
        killed.set()
    assert sds.frozen == {"docs", "copy"}
    assert sds.user["copy"][MARK] == SHARED
    assert sds.urls_of("docs") == before
    sds.faults.clear()
    ran = container.snapshot()
    assert (ran.code, "It is an incomplete snapshot" in ran.err) == (4, True)
    # Enabled, it could be changed: each change would delete chunks of the source.
    ran = container.client.rdctl(*container.where[:-1], "admin", "enable", "copy")
    assert (ran.code, SHARED in ran.err) == (4, True)
    assert "container destroy --force copy" in ran.err
    assert sds.frozen == {"docs", "copy"}
    ran = container("destroy", "copy", "--flush")
    assert (ran.code, "is an incomplete snapshot" in ran.err) == (4, True)
    assert container("destroy", "copy", "--force").code == 0
    assert container.client.rdctl(*container.where[:-1], "admin", "enable", "docs").code == 0
    assert all(url[-64:] in sds.chunks for urls in before.values() for url in urls)
    assert container.snapshot().code == 0
    apart(sds)


def test_one_that_is_killed_when_it_has_just_created_the_snapshot(container: Container) -> None:
    """The snapshot has the mark from the start; the source, which has it too, is not refused."""
    sds = container.sds
    before = sds.urls_of("docs")
    killed = threading.Event()

    def hold(call: Call) -> None:
        call.body()
        call.sds.snapshot("copy")
        killed.wait(10)
        call.hang_up()

    sds.faults.append(on("container/snapshot", hold))
    with container.client.start("snapshot", "docs", "copy", "--yes", noun="container") as process:
        wait_for(lambda: "copy" in sds.containers)
        process.kill()
        process.wait()
        killed.set()
    sds.faults.clear()
    assert (sds.user["copy"], sds.frozen) == ({MARK: SHARED}, {"docs", "copy"})
    admin = [*container.where[:-1], "admin", "enable"]
    assert (container.client.rdctl(*admin, "copy").code, "copy" in sds.frozen) == (4, True)
    assert container.client.rdctl(*admin, "docs").code == 0
    for verb in (("flush", "copy"), ("snapshot", "copy", "another")):
        ran = container(*verb)
        assert (ran.code, "is an incomplete snapshot" in ran.err) == (4, True)
        assert "container destroy --force copy" in ran.err
        assert "admin enable" not in ran.err
    ran = container("destroy", "copy", "--force", "--dry-run")
    assert "an incomplete snapshot, will be destroyed; its source keeps all chunks" in ran.out
    assert container("destroy", "copy", "--force").code == 0
    assert sds.urls_of("docs") == before
    assert container.snapshot().code == 0
    apart(sds)
    assert (MARK in sds.user["copy"], MARK in sds.user["docs"]) == (False, False)


def test_the_source_of_a_killed_snapshot_can_be_deleted(container: Container) -> None:
    sds = container.sds
    sds.user["docs"] = {MARK: SHARED}
    ran = container("destroy", "docs", "--flush", "--dry-run")
    assert ran.code == 0, ran.err


def test_a_snapshot_that_failed_is_removed_frozen(container: Container) -> None:
    """Enabled, another client could delete the chunks of its source."""
    sds = container.sds
    before = sds.urls_of("docs")
    sds.faults.append(on("container/raw_update", lambda call: call.refuse(500)))
    assert container.snapshot().code != 0
    untouched(sds, before)
    enabled = [call.query["ref"] for call in sds.calls if call.route == "admin/enable"]
    assert enabled == ["docs"]


def test_a_mark_that_stays_on_the_source_is_named(container: Container) -> None:
    def refuse(call: Call) -> None:
        if call.query["ref"] == "docs":
            call.refuse(500, message="disk I/O error")
        else:
            call.sds._handled(call, call.sds._container_del_properties)

    container.sds.faults.append(on("container/del_properties", refuse))
    ran = container.snapshot()
    assert ran.code == 0
    assert f"docs: property {MARK} not deleted (harmless)" in ran.err
    assert container.sds.frozen == {"copy"}


def test_an_existing_name_is_refused_before_the_freeze(container: Container) -> None:
    container.sds.containers.add("copy")
    assert container.snapshot().code == 4
    assert "admin/freeze" not in container.sds.routes()


def test_the_reference_of_a_destroyed_container_is_named(container: Container) -> None:
    """A real 7.3.0 refuses its name."""
    before = container.sds.urls_of("docs")
    refuse = on(
        "container/snapshot", lambda call: call.refuse(400, message="Container already exists")
    )
    container.sds.faults.append(refuse)
    ran = container.snapshot()
    assert (ran.code, "oio reference destroy copy" in ran.err) == (4, True)
    untouched(container.sds, before)


# --- in the sandbox -----------------------------------------------------------------------------


def test_what_is_deleted_in_one_stays_in_the_other(oio: Oio) -> None:
    oio.ok("container", "set-properties", "photos", "--max-versions", "-1", "--yes")
    first = oio.ok("content", "get", "photos", "index.txt", "--to", "-").stdout
    oio.ok("content", "put", "photos", "-", "--path", "index.txt", "--overwrite", stdin=b"new")
    oio.ok("content", "delete", "photos", "sea/storm.svg", "--yes")
    listed = oio.ok("content", "list", "photos", "--all-versions", "--json").json["items"]
    oio.ok("container", "snapshot", "photos", "before", "--yes")
    assert oio.ok("content", "list", "before", "--all-versions", "--json").json["items"] == listed
    oio.ok("container", "flush", "photos", "--yes")
    (old,) = [row for row in listed if row["name"] == "index.txt"][1:]
    version = ("--content-version", str(old["version"]))
    assert oio.ok("content", "get", "before", "index.txt", *version, "--to", "-").stdout == first
    assert oio.ok("content", "check", "before", "--all-versions").code == 0
    ran = oio("content", "delete", "before", "index.txt", "--yes")
    assert (ran.code, "frozen" in ran.err) == (4, True)


def test_the_default_name_is_that_of_the_source_and_the_time(oio: Oio) -> None:
    ran = oio.ok("container", "snapshot", "photos", "--yes", "--json")
    (result,) = ran.json["results"]
    name, _, time = result["to"].rpartition("-")
    assert (name, float(time) > 1e9) == ("photos", True)
    assert oio.ok("container", "show", result["to"], "--json").json["items"][0]["status"] == (
        "frozen"
    )
