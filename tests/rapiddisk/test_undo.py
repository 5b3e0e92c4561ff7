"""undo, end to end on a simulated kernel: what each command made is taken back, and what is refused
is refused by name before anything is changed."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from rdctl.cli.run import signals
from tests.completion.conftest import Completion
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel, Killed
from tests.rapiddisk.state.machines import (
    BY_ID,
    FILE,
    HOST,
    NQN,
    SCHEMA,
    WHOLE,
    applied,
    machine,
    run,
)

OWN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
EXPORT = f"nvmet export rd0 --port 1 --host {HOST} --serial mine"
# Without a cache that leaves copies of its source in its volume, which count as contents.
PLAIN = SCHEMA + "".join(
    f"\n{part}" for part in WHOLE.removeprefix(SCHEMA).split("\n\n") if "rc-wt_top" not in part
)
# A locked volume is not removed.
UNLOCKED = PLAIN.replace("locked = true\n", "")


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


@pytest.fixture
def kernel(rdctl: Program) -> Iterator[FakeKernel]:
    """Two volumes with nothing in them, and two ports; others made all that."""
    kernel = machine(rdctl, rdctl.home / "root", None)
    kernel.add_volume(0)
    kernel.add_volume(1)
    kernel.add_port(1)
    kernel.add_port(2, service="4421")
    yield kernel
    assert kernel.harm == []
    kernel.close_all()


def done(rdctl: Program, *commands: str) -> None:
    for words in commands:
        ran = run(rdctl, words)
        assert ran.code == 0, ran.err


def history(rdctl: Program) -> list[dict[str, Any]]:
    """The commands, each with its first and its last line as one."""
    found: dict[str, dict[str, Any]] = {}
    path = rdctl.root / "var/log/rdctl/history.ndjson"
    for line in path.read_text().splitlines():
        data = json.loads(line)
        found.setdefault(data["id"], {}).update(data)
    return list(found.values())


def last(rdctl: Program) -> str:
    return str(history(rdctl)[-1]["id"])


def refused(rdctl: Program, kernel: FakeKernel, words: str, *reasons: str) -> Ran:
    """It is refused for these reasons, and nothing is done."""
    before, count = kernel.snapshot(), len(history(rdctl))
    ran = run(rdctl, words, "--yes")
    assert ran.code == 4, ran.err
    for reason in reasons:
        assert reason in ran.err
    assert kernel.snapshot() == before
    assert len(history(rdctl)) == count
    return ran


# --- one command ------------------------------------------------------------------------------

# A command, what undoes it in the trace, and what is there before.
BACK = {
    "create": ("create 8M --number 7", ["rapiddisk detach 7"]),
    "create three": ("create 8M --count 3", [f"rapiddisk detach {n}" for n in (4, 3, 2)]),
    "grow": ("resize rd0 128M", [f"rapiddisk resize 0 {64 * MIB}"]),
    "shrink": ("resize rd0 8M --yes", [f"rapiddisk resize 0 {64 * MIB}"]),
    "lock": ("lock rd0 rd1", ["blockdev --setrw", "blockdev --setrw"]),
    "remove": ("remove rd1 --yes", [f"rapiddisk attach 1 {64 * MIB}"]),
    "map": ("cache create rd0 vdb", ["dmsetup remove rc-wt_vdb"]),
    "map writeback": (
        "cache create rd0 sdb --policy writeback --max-age 60 --yes",
        ["dmsetup message rc-wb_sdb 0 flush", "dmsetup remove rc-wb_sdb"],
    ),
    "export": (EXPORT, []),
    "add a port": ("nvmet port add 3 --transport tcp --address 127.0.0.1", []),
    "remove a port": ("nvmet port remove 2 --yes", []),
}


@pytest.mark.parametrize("name", BACK)
def test_undo_takes_one_command_back(rdctl: Program, kernel: FakeKernel, name: str) -> None:
    words, lines = BACK[name]
    before = kernel.snapshot()
    done(rdctl, words)
    id = last(rdctl)
    ran = run(rdctl, "undo --yes --trace --json")
    assert ran.code == 0, ran.err
    assert f"undoing {id}: rdctl --local rapiddisk {words.split()[0]}" in ran.err
    assert all(row["undoes"] == id and row["verified"] for row in ran.json["results"])
    trace = "\n".join(line for line in ran.err.splitlines() if not line.startswith("#"))
    assert [trace.count(line) for line in lines] == [lines.count(line) for line in lines]
    if name == "map":  # copies of the blocks of its source remain
        kernel.wipe("rd0")
    assert _comparable(kernel.snapshot()) == _comparable(before)
    entry = history(rdctl)[-1]
    assert (entry["undoes"], entry["result"]) == (id, "done")
    ran = run(rdctl, "undo --yes")
    assert (ran.code, "nothing to undo" in ran.err) == (3, True)
    ran = run(rdctl, f"undo {id} --yes")
    assert (ran.code, ran.out) == (0, f"{id} is already undone\n")


def _comparable(snapshot: dict[str, str]) -> dict[str, str]:
    """Without what is new each time."""
    return {
        path: text
        for path, text in snapshot.items()
        if not path.endswith(("/diskseq", "/mgmt")) and "dm-" not in path and "/hosts/" not in path
    }


UNDONE_AGAIN = [name for name in BACK if not name.startswith("map")]


@pytest.mark.parametrize("name", UNDONE_AGAIN)
def test_an_undo_can_be_undone(rdctl: Program, kernel: FakeKernel, name: str) -> None:
    done(rdctl, BACK[name][0])
    after = kernel.snapshot()
    done(rdctl, "undo --yes")
    done(rdctl, f"undo {last(rdctl)} --yes")
    assert _comparable(kernel.snapshot()) == _comparable(after)
    # The same things, although they were created anew.
    done(rdctl, "undo --yes")


def test_a_cache_is_mapped_again_as_it_was(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "cache create rd0 sdb --policy writeback --name rc-wb_data --max-age 60 --yes")
    arguments = kernel.maps["rc-wb_data"].arguments
    done(rdctl, "cache remove rc-wb_data --yes", "undo --yes")
    assert kernel.maps["rc-wb_data"].arguments == arguments
    assert history(rdctl)[-2]["acts"][0]["before"]["source"] == BY_ID
    # It is another mapping, but the one that the first command is about.
    done(rdctl, "undo --yes")
    assert kernel.maps == {}


@pytest.mark.parametrize("policy", ["write-through", "write-around"])
def test_a_cache_is_mapped_again_over_copies(
    rdctl: Program, kernel: FakeKernel, policy: str
) -> None:
    done(rdctl, f"cache create rd0 vdb --policy {policy}")
    before = dict(kernel.maps)
    (name,) = before
    kernel.write_data("rd0", b"x" * 3 * PAGE)
    done(rdctl, f"cache remove {name} --yes")
    ran = run(rdctl, "undo")
    assert (ran.code, "volume rd0: all data on it will be erased" in ran.err) == (2, True)
    assert kernel.maps == {}
    done(rdctl, "undo --yes")
    assert list(kernel.maps) == [name]
    done(rdctl, "undo --yes")
    assert kernel.maps == {}


def test_ports_and_hosts_change_in_place(rdctl: Program, kernel: FakeKernel) -> None:
    """An attribute that others set does not re-create the export."""
    done(rdctl, EXPORT)
    kernel.put(f"sys/kernel/config/nvmet/subsystems/{OWN}/attr_qid_max", "16\n")
    before = kernel.snapshot()
    done(rdctl, f"nvmet export rd0 --port 2 --host {HOST}:2")
    ran = run(rdctl, "undo --yes --trace")
    assert (ran.code, kernel.snapshot()) == (0, before), ran.err
    assert "/namespaces/" not in ran.err
    done(rdctl, f"nvmet unexport rd0 --host {HOST} --port 2 --yes")
    ran = run(rdctl, "undo --yes --trace")
    assert (ran.code, kernel.snapshot()) == (0, before), ran.err
    assert "/namespaces/" not in ran.err


def test_a_redo_is_named_by_what_is_done_again(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0", "undo")
    lock, undo = (entry["id"] for entry in history(rdctl))
    ran = run(rdctl, f"undo {undo}")
    assert f"redoing {lock}: rdctl --local rapiddisk lock rd0 (just now)" in ran.err


def test_another_user_is_named(rdctl: Program, kernel: FakeKernel) -> None:
    anna = {"SUDO_USER": "anna"}
    assert run(rdctl, "lock rd0", env=anna).code == 0
    shown = f"undoing {last(rdctl)}: rdctl --local rapiddisk lock rd0"
    assert f"{shown} (by anna, just now)" in run(rdctl, "undo --dry-run").err
    assert f"{shown} (just now)" in run(rdctl, "undo --dry-run", env=anna).err


def test_an_export_is_created_again_with_its_identity(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, EXPORT)
    before = kernel.snapshot()
    done(rdctl, "nvmet unexport rd0 --yes", "undo")
    assert kernel.snapshot() == before


def test_former_hosts_and_ports_are_restored(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, EXPORT)
    before = kernel.snapshot()
    done(rdctl, f"nvmet export rd0 --port 1 --port 2 --host {HOST}:2")
    ran = run(rdctl, "undo --dry-run")
    assert f"{OWN}: clients on port 2 will lose access; {HOST}:2 may no longer connect" in ran.out
    done(rdctl, "undo --yes")
    assert kernel.snapshot() == before
    done(rdctl, "nvmet unexport rd0 --port 1 --host " + HOST + " --yes", "undo --yes")
    assert kernel.snapshot() == before


def test_a_former_identity_is_restored(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, EXPORT)
    before = kernel.snapshot()
    done(rdctl, f"{EXPORT}2 --recreate --yes")
    ran = run(rdctl, "undo --dry-run")
    assert f"export {OWN} will be re-created, which disconnects 1 host" in ran.out
    done(rdctl, "undo --yes")
    assert kernel.snapshot() == before


def test_repeated_undo_walks_back(rdctl: Program, kernel: FakeKernel) -> None:
    before = kernel.snapshot()
    done(rdctl, "create 8M", "resize rd2 16M", "lock rd2", "unlock rd2", "remove rd2 --yes")
    for _ in range(5):
        done(rdctl, "undo --yes")
    assert _comparable(kernel.snapshot()) == _comparable(before)
    assert run(rdctl, "undo").code == 3


def test_a_load_into_an_empty_volume_is_erased(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.write_data("rd1", b"x" * 2 * PAGE)
    image = rdctl.home / "a.img"
    done(rdctl, f"save rd1 {image}", f"load {image} rd0")
    assert kernel.volume("rd0").used
    done(rdctl, "undo --yes")
    assert not kernel.volume("rd0").used
    done(rdctl, f"load {image} rd1 --discard-contents --yes")
    refused(rdctl, kernel, "undo", "rd1: its contents (8.0 KiB) were lost when it was erased")


def test_a_loaded_volume_that_is_removed_is_named_once(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.write_data("rd1", b"x" * 2 * PAGE)
    image = rdctl.root / "a.img"
    done(rdctl, f"save rd1 {image}")
    kernel.put(FILE, f'{SCHEMA}[volumes.rd7]\nsize = "64MiB"\nimage = "/a.img"\n')
    done(rdctl, "apply --yes")
    assert [act["verb"] for act in history(rdctl)[-1]["acts"]] == ["create", "load"]
    ran = run(rdctl, "undo --dry-run")
    assert ran.out == (
        "would remove rd7\nconfirmation required:\n"
        "  volume rd7 (64.0 MiB, 8.0 KiB used) will be removed\n"
    )
    done(rdctl, "undo --yes")
    assert 7 not in kernel.volumes
    assert (
        f"{history(rdctl)[-2]['id']} is already undone"
        in run(rdctl, f"undo {history(rdctl)[-2]['id']}").out
    )


# --- asking -----------------------------------------------------------------------------------


def test_a_question_names_all_losses_and_declined_nothing_is_done(
    rdctl: Program, kernel: FakeKernel
) -> None:
    done(rdctl, "create 8M --count 2")
    before = kernel.snapshot()
    ran = run(rdctl, "undo", tty=True, stdin=b"n\n")
    assert ran.code == 1
    assert "volume rd3 (8.0 MiB, empty) will be removed" in ran.err
    assert "volume rd2 (8.0 MiB, empty) will be removed" in ran.err
    assert ran.err.count("Continue?") == 1
    assert kernel.snapshot() == before
    ran = run(rdctl, "undo")
    assert (ran.code, kernel.snapshot()) == (2, before)
    ran = run(rdctl, "undo", tty=True, stdin=b"y\n")
    assert (ran.code, ran.err.count("Continue?")) == (0, 1)


def test_what_loses_nothing_asks_nothing(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0", "undo")
    assert not kernel.volume("rd0").locked


def test_a_dry_run_is_the_trace(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", PLAIN)
    before = kernel.snapshot()
    planned = run(rdctl, "undo --dry-run --json").json
    assert kernel.snapshot() == before
    assert len(planned["losses"]) == 7
    ran = run(rdctl, "undo --yes --trace")
    assert ran.code == 0, ran.err
    trace = [line for line in ran.err.splitlines() if line in planned["plan"]]
    assert trace == planned["plan"]
    assert kernel.harm == []


# --- several at once --------------------------------------------------------------------------


def test_all_of_apply_is_undone_and_done_again(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", PLAIN)
    before = kernel.snapshot()
    done(rdctl, "apply --yes")
    assert NQN in kernel.snapshot().get("", NQN)
    ran = run(rdctl, "undo --yes --json")
    assert ran.code == 0, ran.err
    assert [row["action"] for row in ran.json["results"]] == [
        *("unlock", "unexport", "remove", "remove"),
        *["remove"] * 4,
    ]
    assert _comparable(kernel.snapshot()) == _comparable(before)
    undo = last(rdctl)
    planned = run(rdctl, f"undo {undo} --dry-run")
    assert planned.code == 0, planned.err
    assert "would create cache rc-wb_data (rd0 over sdb)" in planned.out
    done(rdctl, f"undo {undo} --yes")
    assert run(rdctl, "diff --exit-code").code == 0
    assert kernel.harm == []
    done(rdctl, "undo --yes")
    assert _comparable(kernel.snapshot()) == _comparable(before)


def test_what_prune_removed_is_created_again(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", UNLOCKED)
    kernel.put(FILE, SCHEMA)
    done(rdctl, "apply --prune --yes", "undo --yes")
    kernel.put(FILE, UNLOCKED)
    ran = run(rdctl, "diff --exit-code")
    assert (ran.code, kernel.harm) == (0, []), ran.out


def test_a_failed_step_ends_it_and_the_next_undo_continues(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", PLAIN)
    before = kernel.snapshot()
    done(rdctl, "apply --yes")
    apply = last(rdctl)
    kernel.steps = 0
    kernel.fail_at(2, errno.EIO)  # of the export
    ran = run(rdctl, "undo --yes --json")
    assert ran.code == 8
    assert [row["action"] for row in ran.json["results"]] == ["unlock"]
    assert [error["target"] for error in ran.json["errors"]] == [
        NQN,
        *("1", "rc-wb_data", "rd6", "rd5", "rd3", "rd0"),
    ]
    assert "rd0: not started: an earlier step failed" in ran.err
    ran = run(rdctl, "undo --yes --json")
    assert ran.code == 0, ran.err
    assert all(row["undoes"] == apply for row in ran.json["results"])
    assert _comparable(kernel.snapshot()) == _comparable(before)


# --- refused ----------------------------------------------------------------------------------


def test_lost_contents_cannot_be_restored(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.write_data("rd0", b"x" * 3 * PAGE)
    kernel.write_data("rd1", b"x" * PAGE)
    done(rdctl, "remove rd0 --yes", "flush rd1 --yes")
    ids = [entry["id"] for entry in history(rdctl)]
    refused(
        rdctl,
        kernel,
        f"undo {ids[0]}",
        "rd0: its contents (12.0 KiB) were lost when it was removed; cannot be restored",
    )
    refused(rdctl, kernel, "undo", "rd1: its contents (4.0 KiB) were lost when it was erased")


def test_all_reasons_are_named(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.write_data("rd0", b"x" * PAGE)
    kernel.write_data("rd1", b"x" * PAGE)
    done(rdctl, "remove rd0 rd1 --yes")
    ran = refused(rdctl, kernel, "undo", "rd0: its contents", "rd1: its contents")
    assert ran.err.count(f"{last(rdctl)} cannot be undone: ") == 2


def test_what_was_created_since(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "remove rd1 --yes")
    kernel.add_volume(1)
    ran = refused(rdctl, kernel, "undo", "rd1 was created again later")
    assert "If it is not needed, remove it: rdctl --local rapiddisk remove rd1" in ran.err


def test_a_volume_of_the_same_number_is_another_one(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "create 8M")
    kernel.replace_volume(2, 8 * MIB)
    refused(rdctl, kernel, "undo", "rd2 is not the same volume: it was removed and created again")
    kernel.detach(2)
    refused(rdctl, kernel, "undo", "rd2 no longer exists")


@pytest.mark.parametrize("words", ["resize rd0 128M", "lock rd0", "cache create rd0 vdb", EXPORT])
def test_a_thing_of_another_identity_is_left_alone(
    rdctl: Program, kernel: FakeKernel, words: str
) -> None:
    done(rdctl, words)
    if kernel.maps:
        kernel.unmap_unsafely("rc-wt_vdb")
        kernel.map_cache("rc-wt_vdb", "rd0", "vdb")
    elif words == EXPORT:
        done(rdctl, "nvmet unexport rd0 --yes", f"{EXPORT}2")
    else:
        kernel.volume("rd0").locked = False
        kernel.replace_volume(0, 128 * MIB)
    id = history(rdctl)[0]["id"]
    refused(rdctl, kernel, f"undo {id}", ": it was removed and created again")


def test_a_source_that_is_another_disk(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "cache create rd0 vdb", "cache remove rc-wt_vdb --yes")
    kernel.take_disk("vdb")
    refused(rdctl, kernel, "undo", "vdb no longer exists")
    kernel.add_disk("vdb", 512 * MIB, "254:16")
    refused(rdctl, kernel, "undo", "vdb is not the same disk")


def test_what_others_changed_since(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "resize rd0 128M")
    kernel.resize_volume(0, 256 * MIB)
    refused(rdctl, kernel, "undo", "rd0 is 256.0 MiB, no longer 128.0 MiB")
    done(rdctl, f"nvmet export rd1 --port 1 --host {HOST}")
    kernel.offer(OWN.replace("rd0", "rd1"), 2)
    refused(rdctl, kernel, "undo", "was changed since, not by rdctl")


def test_a_command_before_a_restart(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "create 8M")
    kernel.put("proc/sys/kernel/random/boot_id", "another\n")
    refused(rdctl, kernel, f"undo {last(rdctl)}", "this machine was restarted since")
    ran = run(rdctl, "undo")
    assert (ran.code, "nothing to undo" in ran.err) == (3, True)


def test_a_later_command_is_named(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "create 8M", "create 8M", "lock rd2")
    first, _, lock = (entry["id"] for entry in history(rdctl))
    ran = refused(
        rdctl,
        kernel,
        f"undo {first}",
        f"a later command changed or uses rd2: {lock} (rdctl --local rapiddisk lock rd2)",
    )
    assert f"hint: Undo that first: rdctl --local rapiddisk undo {lock}" in ran.err
    # What is undone does not count, nor does its undo.
    done(rdctl, f"undo {lock}", f"undo {first} --yes")


def test_a_later_cache_uses_a_volume(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "resize rd0 128M", "cache create rd0 vdb")
    refused(rdctl, kernel, f"undo {history(rdctl)[0]['id']}", "a later command changed or uses rd0")


def test_a_later_command_of_unknown_outcome(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0")
    lock = last(rdctl)
    assert killed(rdctl, kernel, "lock rd1", 1)
    cut = last(rdctl)
    assert cut != lock
    # It was about another volume, by its words.
    done(rdctl, "undo")
    assert not kernel.volume("rd0").locked
    ran = refused(rdctl, kernel, f"undo {cut}", "its outcome is unknown: it was killed")
    assert "rdctl --local rapiddisk overview" in ran.err


@pytest.mark.parametrize("words", ["lock /dev/rd0", "apply --prune"])
def test_an_unknown_outcome_that_may_concern_it(
    rdctl: Program, kernel: FakeKernel, words: str
) -> None:
    done(rdctl, "lock rd0", "lock rd1")
    kernel.put(FILE, f'{SCHEMA}[volumes.rd7]\nsize = "8MiB"\n')
    assert killed(rdctl, kernel, words.replace("lock", "unlock"), 1)
    cut = last(rdctl)
    first, second = (entry["id"] for entry in history(rdctl)[:2])
    why = f"the outcome of a later command is unknown: {cut}"
    ran = refused(rdctl, kernel, f"undo {first}", why)
    assert "Check the machine, and continue by hand: rdctl --local rapiddisk overview" in ran.err
    if words.startswith("apply"):
        ran = refused(rdctl, kernel, "undo", why)
        assert "can be undone:" not in ran.err
    else:
        done(rdctl, f"undo {second}")


def test_a_killed_create_prevents_nothing(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0")
    assert killed(rdctl, kernel, "create 8M --number 7", 1)
    done(rdctl, "undo")


def test_a_killed_undo_is_to_be_completed(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0", "lock rd1")
    assert killed(rdctl, kernel, f"undo {last(rdctl)}", 1)
    done(rdctl, "undo", "undo")
    assert not kernel.volume("rd0").locked
    assert not kernel.volume("rd1").locked


def test_the_latest_one_that_can_be_undone_is_named(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.write_data("rd1", b"x" * PAGE)
    done(rdctl, "lock rd0", "remove rd1 --yes")
    lock = history(rdctl)[0]["id"]
    ran = refused(rdctl, kernel, "undo", "rd1: its contents (4.0 KiB) were lost")
    named = f"hint: The latest one that can be undone: rdctl --local rapiddisk undo {lock}"
    assert ran.err.count(named) == 1
    done(rdctl, f"undo {lock}")
    ran = refused(rdctl, kernel, "undo", "rd1: its contents (4.0 KiB) were lost")
    assert "can be undone:" not in ran.err


def test_of_several_later_commands_the_newest_comes_first(
    rdctl: Program, kernel: FakeKernel
) -> None:
    done(rdctl, "create 8M", "resize rd2 16M", "lock rd2")
    first, resize, lock = (entry["id"] for entry in history(rdctl))
    ran = refused(rdctl, kernel, f"undo {first}", resize, lock)
    assert ran.err.count("Undo that first:") == 1
    assert f"hint: Undo that first: rdctl --local rapiddisk undo {lock}" in ran.err
    assert ran.err.index(f": {lock} (") < ran.err.index(f": {resize} (")
    # It would not help where the thing is not the same one.
    kernel.volume("rd2").locked = False
    kernel.replace_volume(2, 16 * MIB)
    ran = refused(rdctl, kernel, f"undo {first}", "rd2 is not the same volume", lock)
    assert "Undo that first:" not in ran.err


def test_what_was_reverted_by_hand_is_passed_over(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0", "lock rd1")
    kernel.set_lock("rd1", False)
    done(rdctl, "undo")
    assert not kernel.volume("rd0").locked
    assert run(rdctl, "undo").code == 3


@pytest.mark.parametrize("options", ["apply --boot --only caches", "boot stop --only caches --yes"])
def test_what_the_units_did_is_undone_by_its_id_only(rdctl: Program, options: str) -> None:
    furnish = applied if options.startswith("boot") else machine
    kernel = furnish(rdctl, rdctl.home / "root", PLAIN)
    kernel.add_volume(20)
    done(rdctl, "lock rd20")
    lock = last(rdctl)
    assert run(rdctl, options).code == 0
    id = last(rdctl)
    assert history(rdctl)[-1]["acts"]
    assert f"undoing {lock}: " in run(rdctl, "undo").err
    assert f"undoing {id}: " in run(rdctl, f"undo {id} --dry-run").err


def test_candidates_are_not_prevented(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "create 8M", "lock rd2", "lock rd0", "lock rd1")
    _, lock, of_rd0, _ = (entry["id"] for entry in history(rdctl))
    kernel.set_lock("rd1", False)
    complete = Completion(rdctl)
    del complete.environ["RDCTL_HISTORY"]
    assert complete("undoable", where=("--local",)) == [of_rd0, lock]


def test_a_failed_command_that_left_something(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.steps = 0
    kernel.interrupt_at(2)
    kernel.fail_at(3, errno.EBUSY)
    assert run(rdctl, EXPORT).code == 130
    refused(rdctl, kernel, f"undo {last(rdctl)}", "it failed, and left behind: rmdir ")


@pytest.mark.parametrize(
    ("arrange", "why"),
    [
        (lambda kernel: kernel.mount("/dev/rd2", "/mnt"), "rd2 is in use: mounted on /mnt"),
        (lambda kernel: kernel.swap_on("/dev/rd3"), "rd3 is in use: used as swap space"),
    ],
)
def test_the_guards_of_the_inverse_hold(
    rdctl: Program, kernel: FakeKernel, arrange: Callable[[FakeKernel], None], why: str
) -> None:
    done(rdctl, "create 8M --count 2")
    arrange(kernel)
    refused(rdctl, kernel, "undo", why)


def test_a_grown_volume_with_data_does_not_shrink(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "resize rd0 128M")
    kernel.write_data("rd0", b"x" * PAGE, 100 * MIB)
    refused(rdctl, kernel, "undo", "rd0 has data up to 100.0 MiB")


def test_an_adopted_cache(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "cache create rd0 vdb --policy writeback --yes")
    kernel.maps["rc-wb_vdb"].dirty = 5
    kernel.maps["rc-wb_vdb"].armed = False
    kernel.unmap_unsafely("rc-wb_vdb")
    done(rdctl, "cache create rd0 --adopt --yes")
    refused(rdctl, kernel, "undo", "rc-wb_vdb was adopted: its blocks may be written back by now")


# --- IDs --------------------------------------------------------------------------------------


def test_an_id_may_be_shortened(rdctl: Program, kernel: FakeKernel) -> None:
    done(rdctl, "lock rd0")
    assert run(rdctl, f"undo {last(rdctl)[:5]}").code == 0
    ran = run(rdctl, "undo zzzz --json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")
    assert "rdctl --local rapiddisk" not in ran.json["error"]["message"]


INSTEAD = {
    "daemon start": "rdctl --local rapiddisk daemon stop",
    "dump --save --yes": "The former state file was replaced: restore it from a backup.",
    "boot enable": "rdctl --local rapiddisk boot disable",
}


@pytest.mark.parametrize("words", INSTEAD)
def test_what_has_no_inverse(rdctl: Program, kernel: FakeKernel, words: str) -> None:
    kernel.put(FILE, SCHEMA)
    done(rdctl, words)
    ran = run(rdctl, f"undo {last(rdctl)}")
    assert (ran.code, INSTEAD[words] in ran.err) == (11, True), ran.err
    kernel.put("proc/sys/kernel/random/boot_id", "another\n")
    ran = run(rdctl, f"undo {last(rdctl)}")
    assert (ran.code, INSTEAD[words] in ran.err) == (11, True), ran.err


def test_a_state_file_that_was_saved_is_warned_of(rdctl: Program) -> None:
    machine(rdctl, rdctl.home / "root", None)
    file = rdctl.home / "state.toml"
    file.write_text(PLAIN)
    ran = run(rdctl, f"apply {file} --save", "--yes")
    assert ran.code == 0, ran.err
    ran = run(rdctl, "undo --dry-run")
    assert "the next boot applies it" in ran.err
    assert "rdctl --local rapiddisk dump --save" in ran.err


def test_a_remote_command(rdctl: Program, kernel: FakeKernel, served: Callable[..., Ran]) -> None:
    assert served("rapiddisk", "create", "8M").code == 0
    ran = run(rdctl, f"undo {last(rdctl)}")
    assert (ran.code, "did not change RapidDisk on this machine" in ran.err) == (11, True)
    assert run(rdctl, "undo").code == 3
    ran = served("rapiddisk", "undo")
    assert (ran.code, "cannot undo changes through it" in ran.err) == (11, True)
    assert "Use the inverse command, such as remove for create" in ran.err


# --- killed -----------------------------------------------------------------------------------


def killed(rdctl: Program, kernel: FakeKernel, words: str, step: int) -> bool:
    """Kill it before a step; whether it came so far."""
    kernel.steps = 0
    kernel.kill_at(step)
    with suppress(Killed):
        run(rdctl, words, "--yes")
    was = kernel.dead
    kernel.revive()
    return was


KILLED = {
    "apply": (PLAIN, "apply"),
    "prune": (SCHEMA, "apply --prune"),
}


@pytest.mark.parametrize("step", range(1, 40))
@pytest.mark.parametrize("name", KILLED)
def test_undo_after_a_kill_completes_it(rdctl: Program, name: str, step: int) -> None:
    """At each step of the undo: what it did is found on the machine."""
    text, words = KILLED[name]
    root = rdctl.home / "root"
    kernel = applied(rdctl, root, UNLOCKED) if name == "prune" else machine(rdctl, root, PLAIN)
    kernel.put(FILE, text)
    before = kernel.snapshot()
    done(rdctl, f"{words} --yes")
    id = last(rdctl)
    if not killed(rdctl, kernel, "undo", step):
        return
    ran = run(rdctl, f"undo {id} --yes")
    if ran.code != 0:  # it names what was left half made, and the command that repairs it
        (hint,) = [line for line in ran.err.splitlines() if "rapiddisk cache remove" in line] or [
            line for line in ran.err.splitlines() if "rapiddisk nvmet port remove" in line
        ]
        repair = hint.split("rdctl --local rapiddisk ")[-1].rstrip(".")
        done(rdctl, f"{repair} --yes")
        ran = run(rdctl, f"undo {id} --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    if name == "apply":
        assert _comparable(kernel.snapshot()) == _comparable(before)
    else:
        kernel.put(FILE, UNLOCKED)
        ran = run(rdctl, "diff --exit-code")
        assert ran.code == 0, ran.out


# --- the sandbox ------------------------------------------------------------------------------


def test_the_sandbox_has_its_own_history(sandbox: Callable[..., Ran]) -> None:
    before = sandbox("rapiddisk", "list", "--json").json["items"]
    assert sandbox("rapiddisk", "create", "8M").code == 0
    ran = sandbox("rapiddisk", "undo", "--yes")
    assert ran.code == 0, ran.err
    assert "undoing " in ran.err
    assert sandbox("rapiddisk", "list", "--json").json["items"] == before
    assert sandbox("rapiddisk", "undo").code == 3
