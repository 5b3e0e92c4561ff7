"""Applying a state file: what it does, what it asks, what it refuses."""

from __future__ import annotations

import errno

import pytest

from tests.conftest import Program
from tests.fakes.kernel import MIB, PAGE, FakeKernel
from tests.rapiddisk.state.machines import (
    BY_ID,
    EXPORT,
    FILE,
    HOST,
    NQN,
    PORT,
    SCHEMA,
    UUID,
    VOLUMES,
    WHOLE,
    WRITEBACK,
    applied,
    differences,
    machine,
    run,
)


def attribute(kernel: FakeKernel, below: str) -> str:
    """The kernel pads a serial with spaces."""
    return kernel.text(f"sys/kernel/config/nvmet/subsystems/{NQN}/{below}").rstrip()


def test_an_empty_machine_becomes_as_written(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    assert differences(rdctl) == []
    assert {n: v.size // MIB for n, v in kernel.volumes.items()} == {0: 64, 3: 16, 5: 8, 6: 32}
    assert kernel.volumes[5].locked
    assert sorted(kernel.maps) == ["rc-wb_data", "rc-wt_top"]
    assert kernel.maps["rc-wb_data"].armed
    assert kernel.maps["rc-wb_data"].arguments[-2:] == ["max_age", "60000"]
    assert attribute(kernel, "attr_serial") == "store-7"
    assert attribute(kernel, "namespaces/1/device_uuid") == UUID


def test_the_second_time_writes_nothing(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    before = {path: path.stat().st_mtime_ns for path in kernel.root.rglob("*") if path.is_file()}
    ran = run(rdctl, "apply")
    assert (ran.code, ran.out) == (0, f"/{FILE}: no changes\n")
    assert kernel.steps == 0
    after = {path: path.stat().st_mtime_ns for path in kernel.root.rglob("*") if path.is_file()}
    assert after == before


def test_a_dump_of_a_machine_changes_nothing_there(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = run(rdctl, "dump").out
    for words, given in (("apply -", text), ("apply -", run(rdctl, "dump -o json").out)):
        ran = run(rdctl, words, stdin=given.encode())
        assert (ran.code, ran.out, kernel.steps) == (0, "-: no changes\n", 0), ran.err
    kernel.put(FILE, text)
    assert differences(rdctl) == []


def test_a_dry_run_shows_the_steps(rdctl: Program) -> None:
    machine(rdctl, rdctl.home / "dry")
    dry = run(rdctl, "apply --dry-run --json").json
    assert dry["summary"][:2] == [
        "would create volume rd0 (64.0 MiB)",
        "would create volume rd3 (16.0 MiB)",
    ]
    assert dry["losses"] == [
        f"{BY_ID}: new writes stay in RAM until they are written back; a crash or a power failure"
        " loses them"
    ]
    kernel = machine(rdctl, rdctl.home / "root")
    traced = run(rdctl, "apply --yes --trace").err.splitlines()
    here = [line for line in traced if not line.startswith("# ")]
    dry_steps = [line.replace(f"{rdctl.home}/dry", str(kernel.root)) for line in dry["plan"]]
    assert here == dry_steps


def test_a_question_without_a_terminal(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    ran = run(rdctl, "apply --json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "consent-missing")
    assert kernel.steps == 0


# --- the smallest change --------------------------------------------------------------------------


def edited(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


EDITS = {
    "grow": ('size = "16MiB"', 'size = "24MiB"', "apply", 2, ["resized rd3 (25165824 bytes)"]),
    "unlock": ("locked = true", "locked = false", "apply", 1, ["unlocked rd5"]),
    "another host": (
        f'hosts = ["{HOST}"]',
        f'hosts = ["{HOST}", "{HOST}2"]',
        "apply",
        2,
        [f"updated {NQN} (ports 1, hosts {HOST}, {HOST}2)"],
    ),
    "fewer hosts": (
        f'hosts = ["{HOST}"]',
        "hosts = []",
        "apply --yes",
        2,
        [f"updated {NQN} (ports 1)"],
    ),
    "any host": (
        f'hosts = ["{HOST}"]',
        "any_host = true",
        "apply --yes",
        3,
        [f"updated {NQN} (ports 1)"],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_the_smallest_change(rdctl: Program, name: str) -> None:
    old, new, words, steps, lines = EDITS[name]
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, edited(old, new))
    ran = run(rdctl, words)
    assert (ran.code, ran.out.splitlines(), kernel.steps, kernel.harm) == (0, lines, steps, [])
    assert differences(rdctl) == []


def test_losing_access_is_asked(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, edited(f'hosts = ["{HOST}"]', "hosts = []"))
    ran = run(rdctl, "apply --json")
    assert ran.json["error"]["losses"] == [
        f"{NQN}: {HOST} may no longer connect; no host may connect"
    ]
    assert kernel.steps == 0


def test_an_unused_port_is_replaced(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root", SCHEMA + PORT)
    kernel.put(FILE, SCHEMA + PORT.replace("4420", "4421"))
    ran = run(rdctl, "apply")
    assert (ran.code, ran.out) == (0, "replaced port 1\n")
    assert differences(rdctl) == []


STACKED = f"""{SCHEMA}{VOLUMES}
[caches."rc-wb_top"]
volume = "rd0"
source = "/dev/mapper/rc-wt_low"
source_size = "512MiB"
policy = "writeback"

[caches."rc-wt_low"]
volume = "rd6"
source = "/dev/disk/by-path/pci-1"
source_size = "512MiB"
policy = "write-through"
"""


def test_stacked_caches_are_created_from_the_bottom_up(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", STACKED)
    dry = run(rdctl, "apply --dry-run --json").json["plan"]
    ran = run(rdctl, "apply --yes --trace")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert [line for line in ran.err.splitlines() if not line.startswith("# ")] == dry
    assert differences(rdctl) == []


def test_an_impossible_stack_leaves_nothing(rdctl: Program) -> None:
    """A write-back cache has blocks of 4 KiB, which a write-through cache does not support."""
    upper = STACKED.replace("rc-wt_low", "rc-wb_low").replace('"write-through"', '"writeback"')
    upper = upper.replace("rc-wb_top", "rc-wt_top").replace('"writeback"', '"write-through"', 1)
    kernel = machine(rdctl, rdctl.home / "root", upper)
    before = kernel.snapshot()
    assert run(rdctl, "apply --dry-run").code == 4
    ran = run(rdctl, "apply --yes")
    assert ran.code == 4
    assert "logical blocks of 4096 bytes" in ran.err
    assert (kernel.snapshot(), kernel.harm) == (before, [])


def test_a_lost_mapping_is_adopted_by_its_record(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.maps["rc-wb_data"].dirty = 77
    kernel.maps["rc-wb_data"].armed = False
    kernel.unmap_unsafely("rc-wb_data")
    ran = run(rdctl, "apply --json")
    assert ran.json["error"]["losses"] == [
        f"{BY_ID}: 77 unwritten blocks (308.0 KiB) of rd0 will be written to it"
    ]
    ran = run(rdctl, "apply --yes")
    assert (ran.code, ran.out, kernel.harm) == (0, "created rc-wb_data\n", []), ran.err
    assert kernel.maps["rc-wb_data"].dirty == 77


def test_nothing_is_adopted_without_a_record(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.maps["rc-wb_data"].dirty = 77
    kernel.maps["rc-wb_data"].armed = False
    kernel.unmap_unsafely("rc-wb_data")
    kernel.path("run/rdctl/rd0.json").unlink()
    kernel.steps = 0
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert (
        "rd0 holds 77 unwritten blocks (308.0 KiB) of a write-back cache, the only copy" in ran.err
    )


# --- refused --------------------------------------------------------------------------------------


def smaller(kernel: FakeKernel) -> None:
    kernel.add_volume(3, 32 * MIB)


def used(kernel: FakeKernel) -> None:
    kernel.mount("/dev/sdb", "/mnt")


def full(kernel: FakeKernel) -> None:
    kernel.add_volume(0, 64 * MIB)
    kernel.write_data("rd0", b"x" * PAGE)


def readonly(kernel: FakeKernel) -> None:
    kernel.put("sys/block/sdb/ro", "1\n")


def renamed(kernel: FakeKernel) -> None:
    kernel.path(BY_ID).unlink()
    kernel.link_node(BY_ID[1:], "../../vdb")


def absent(kernel: FakeKernel) -> None:
    kernel.path(BY_ID).unlink()


def other_cache(kernel: FakeKernel) -> None:
    kernel.add_volume(9)
    kernel.map_cache("rc-wb_data", "rd9", "vdb")


def other_export(kernel: FakeKernel) -> None:
    kernel.add_volume(3, 16 * MIB)
    kernel.add_port(1)
    kernel.foreign_subsystem(NQN, "/dev/rd3")
    kernel.offer(NQN, 1)


def taken(kernel: FakeKernel) -> None:
    kernel.add_port(7)


REFUSED = {
    "smaller": (
        smaller,
        4,
        "rd3 is larger (32.0 MiB) than in the file (16.0 MiB): apply never shrinks a volume",
    ),
    "mounted": (used, 4, "rc-wb_data: sdb is in use: mounted on /mnt"),
    "holds data": (full, 4, "rd0 holds 4.0 KiB of data, which a cache overwrites"),
    "read-only": (readonly, 4, "cannot cache sdb: it is read-only"),
    "another size": (
        renamed,
        4,
        f'{BY_ID} has a size of "512MiB", but "1GiB" in the file: it may be another disk',
    ),
    "absent": (absent, 3, f'block device "{BY_ID}" not found'),
    "another cache": (
        other_cache,
        4,
        "rc-wb_data differs from the file in volume, source, source_size, max_age, which cannot be"
        " changed in place",
    ),
    "another identity": (
        other_export,
        4,
        f"{NQN} differs from the file in serial, uuid, and needs re-creation, which disconnects 0"
        " hosts",
    ),
    "address in use": (taken, 4, "port 1: port 7 already uses tcp 10.0.2.15 4420"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(rdctl: Program, name: str) -> None:
    arrange, code, message = REFUSED[name]
    kernel = machine(rdctl, rdctl.home / "root")
    arrange(kernel)
    kernel.steps = 0
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.steps, kernel.harm) == (code, 0, []), ran.err
    assert message in ran.err


def test_every_refusal_is_named(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    smaller(kernel)
    absent(kernel)
    kernel.steps = 0
    ran = run(rdctl, "apply --yes --json")
    assert [error["target"] for error in ran.json["errors"]] == ["rd3", "rc-wb_data"]
    assert kernel.steps == 0


def test_another_identity_is_recreated_on_request(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    other_export(kernel)
    kernel.steps = 0
    ran = run(rdctl, "apply --recreate --json")
    assert f"{NQN}: it will be re-created, which disconnects 0 hosts" in ran.json["error"]["losses"]
    ran = run(rdctl, "apply --recreate --yes")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert attribute(kernel, "attr_serial") == "store-7"
    assert differences(rdctl) == []


def test_a_name_of_contents_is_refused(rdctl: Program) -> None:
    text = WHOLE.replace(BY_ID, "/dev/disk/by-uuid/0815")
    kernel = machine(rdctl, rdctl.home / "root", text)
    kernel.link_node("dev/disk/by-uuid/0815", "../../sdb")
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "names a file system, which the cache itself shows" in ran.err


def test_memory_must_suffice(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.set_memory(100 * MIB)
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "but only 100.0 MiB of memory is available" in ran.err
    assert run(rdctl, "apply --yes --overcommit").code == 0


def test_a_change_between_question_and_claim(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.when_locked = lambda: kernel.take_number(3)
    ran = run(rdctl, "apply --yes")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "the machine changed meanwhile; nothing was done" in ran.err


def test_requires_root(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    kernel.root_user = False
    assert run(rdctl, "apply --yes").code == 5


def test_parts_of_the_file(rdctl: Program) -> None:
    machine(rdctl, rdctl.home / "root")
    assert run(rdctl, "apply --only exports --yes").code == 3
    assert run(rdctl, "apply --only caches --yes").code == 0
    assert {kind for kind, *_ in differences(rdctl)} == {"port", "export"}
    assert differences(rdctl, "diff --only caches") == []
    assert run(rdctl, "apply --only exports").code == 0
    assert differences(rdctl) == []


def test_missing_devices_are_waited_for(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    absent(kernel)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            kernel.link_node(BY_ID[1:], "../../sdb")

    rdctl.sleep = sleep
    assert run(rdctl, "apply --yes --wait 5").code == 0
    assert len(slept) == 3


def test_a_failed_step_undoes_the_others(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    before = kernel.snapshot()
    kernel.fail_at(3, errno.EIO)
    ran = run(rdctl, "apply --yes")
    assert ran.code != 0
    assert "all steps of apply were rolled back" in ran.err
    assert kernel.snapshot() == before


def test_refusals_name_the_line_of_the_file(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    smaller(kernel)
    absent(kernel)
    kernel.addresses.remove("10.0.2.15")
    lines = [
        WHOLE[: WHOLE.index(f"[{entry}]")].count("\n") + 1
        for entry in ("volumes.rd3", 'caches."rc-wb_data"', "ports.1")
    ]
    ran = run(rdctl, "apply --yes --json")
    assert [error["hint"].splitlines()[-1] for error in ran.json["errors"]] == [
        f"See /{FILE}, line {line}." for line in lines
    ]


def test_a_port_that_exists_nowhere(rdctl: Program) -> None:
    text = WHOLE.replace("ports = [1]", "ports = [9]")
    machine(rdctl, rdctl.home / "root", text).add_port(7, address="10.0.2.16")
    (error,) = run(rdctl, "apply --yes --json").json["errors"]
    assert error["message"].startswith("port 9 not found: it is neither")
    line = text[: text.index("[exports")].count("\n") + 1
    assert error["hint"] == f"Known ports: 1, 7.\nSee /{FILE}, line {line}."


@pytest.mark.parametrize("option", ["", "--recreate"])
def test_a_device_of_an_existing_export_that_exists_nowhere(rdctl: Program, option: str) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, WHOLE.replace('device = "rd3"', 'device = "rc-wb_dta"'))
    (error,) = run(rdctl, f"apply --yes --json {option}").json["errors"]
    assert (kernel.steps, error["target"]) == (0, NQN)
    assert error["message"].startswith("cache rc-wb_dta not found")
    assert error["hint"].startswith("Known caches: rc-wb_data, rc-wt_top.")


def test_export_only_files(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", SCHEMA + WRITEBACK + EXPORT)
    ran = run(rdctl, "apply --yes --json")
    assert {error["message"] for error in ran.json["errors"]} == {
        "volume rd0 not found: it is neither on this machine nor in the file",
        "port 1 not found: it is neither on this machine nor in the file",
    }
    assert kernel.steps == 0


def test_a_cache_without_an_age(rdctl: Program) -> None:
    text = SCHEMA + VOLUMES + WRITEBACK.replace('"60s"', '"never"')
    kernel = applied(rdctl, rdctl.home / "root", text)
    assert kernel.maps["rc-wb_data"].arguments[4:] == ["0"]
    assert 'max_age = "never"' in run(rdctl, "dump").out
    assert differences(rdctl) == []


def test_the_age_of_a_new_cache_is_the_default(rdctl: Program) -> None:
    text = SCHEMA + VOLUMES + WRITEBACK.replace('max_age = "60s"', "")
    kernel = applied(rdctl, rdctl.home / "root", text)
    assert kernel.maps["rc-wb_data"].arguments[-2:] == ["max_age", "300000"]
    assert differences(rdctl) == []


def test_hosts_by_any_name_come_back(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.allow_host(NQN, "hostnqn")
    kernel.put(FILE, run(rdctl, "dump").out)
    assert differences(rdctl) == []


def test_what_cannot_be_undone_is_named(rdctl: Program) -> None:
    """The volume that grew is exported: a client may have written beyond its old end."""
    kernel = applied(rdctl, rdctl.home / "root")
    text = edited('size = "16MiB"', 'size = "24MiB"') + '[volumes.rd9]\nsize = "8MiB"\n'
    kernel.put(FILE, text)
    kernel.fail_at(3, errno.EIO)
    ran = run(rdctl, "apply")
    assert ran.code == 1
    assert "the other steps of apply were rolled back" in ran.err
    assert "Could not be undone: echo 'rapiddisk resize 3 16777216'" in ran.err
    assert kernel.harm == []


def test_nvmetcli(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = run(rdctl, "dump --nvmetcli").out
    kernel = machine(rdctl, rdctl.home / "other", text)
    kernel.add_volume(3, 16 * MIB)
    ran = run(rdctl, "apply - --nvmetcli", stdin=text.encode())
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert attribute(kernel, "attr_serial") == "store-7"
    assert run(rdctl, "dump --nvmetcli").out == text
    ran = run(rdctl, "diff - --nvmetcli --only exports --exit-code", stdin=text.encode())
    assert ran.code == 0


def test_saving(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, "# mine\n")
    ran = run(rdctl, "dump --save --json")
    assert ran.json["error"]["losses"] == [f"/{FILE} will be replaced"]
    assert run(rdctl, "dump --save --yes").out == f"saved /{FILE}\n"
    assert run(rdctl, "dump --save").out == f"/{FILE} is up to date\n"
    kernel.put("etc/rdctl/rapiddisk.d/a.toml", SCHEMA)
    ran = run(rdctl, "dump --save")
    assert (ran.code, "/etc/rdctl/rapiddisk.d/a.toml exists" in ran.err) == (4, True)


def test_files_of_a_machine_are_merged(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", SCHEMA + VOLUMES)
    kernel.put("etc/rdctl/rapiddisk.d/10-exports.toml", SCHEMA + PORT + EXPORT)
    kernel.put("etc/rdctl/rapiddisk.d/notes.txt", "not read")
    assert run(rdctl, "apply --yes").code == 0
    assert differences(rdctl) == []
    kernel.put("etc/rdctl/rapiddisk.d/20.toml", SCHEMA + '[volumes.rd0]\nsize = "8MiB"\n')
    ran = run(rdctl, "apply --yes")
    assert ran.code == 2
    assert (
        "volume rd0 is in /etc/rdctl/rapiddisk.toml, line 3 and in"
        " /etc/rdctl/rapiddisk.d/20.toml, line 2"
    ) in ran.err
    directory = kernel.path("etc/rdctl/rapiddisk.d/20.toml").parent
    assert differences(rdctl, f"diff {directory}")[0][2] == "differs"


@pytest.mark.parametrize(
    ("words", "stdin", "code", "message"),
    [
        ("apply missing.toml", b"", 3, "state file missing.toml not found"),
        ("apply -", b"\xff", 2, "<stdin> is not valid UTF-8"),
        ("apply -", b"", 2, '<stdin>, line 1: key "schema" missing'),
        ("diff --nvmetcli -", b"{", 2, "<stdin>, line 1"),
        ("dump --save --nvmetcli", b"", 2, "--save and --nvmetcli are mutually exclusive"),
    ],
)
def test_wrong_input(rdctl: Program, words: str, stdin: bytes, code: int, message: str) -> None:
    kernel = machine(rdctl, rdctl.home / "root", None)
    ran = run(rdctl, words, stdin=stdin)
    assert (ran.code, kernel.steps) == (code, 0)
    assert message in ran.err


def test_a_file_is_saved_with_what_it_did(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = edited("locked = true", "locked = false  # not now")
    ran = run(rdctl, "apply -", stdin=text.encode())
    assert (ran.code, kernel.text(FILE)) == (0, WHOLE.rstrip())
    assert "warning: not saved: the next boot applies /etc/rdctl/rapiddisk.toml as it is" in ran.err
    ran = run(rdctl, "apply - --save --json", stdin=text.encode())
    assert ran.json["error"]["losses"] == [f"/{FILE} will be replaced"]
    ran = run(rdctl, "apply - --save --yes", stdin=text.encode())
    assert (ran.code, ran.out, ran.err) == (0, f"saved /{FILE}\n", "")
    assert kernel.text(FILE) == text.rstrip()
    again = run(rdctl, "apply - --save", stdin=text.encode())
    assert again.out == "-: no changes\n"


def test_a_file_that_fails_is_not_saved(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = edited("locked = true", "locked = false")
    kernel.fail_at(1, errno.EIO)
    assert run(rdctl, "apply - --save --yes", stdin=text.encode()).code == 1
    kernel.fail_at(kernel.steps + 2, errno.EROFS)
    assert run(rdctl, "apply - --save --yes", stdin=text.encode()).code == 5
    assert kernel.text(FILE) == WHOLE.rstrip()
    assert kernel.volumes[5].locked


@pytest.mark.parametrize("other", ["--boot", "--only caches", "--nvmetcli", ""])
def test_what_cannot_be_saved(rdctl: Program, other: str) -> None:
    kernel = machine(rdctl, rdctl.home / "root")
    ran = run(rdctl, f"apply {'-' if other else ''} --save {other}")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "--save" in ran.err


def test_the_plan_comes_before_the_question(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    text = edited(f'hosts = ["{HOST}"]', "hosts = []").replace("locked = true", "")
    kernel.put(FILE, text)
    ran = rdctl("--local", "rapiddisk", "apply", tty=True, stdin=b"n\n")
    assert ran.code == 1
    before = ran.err.replace("\r", "").partition("Continue?")[0]
    assert "This would be done:\n  unlock volume rd5\n" in before
    assert kernel.steps == 0


def test_a_hint_frees_the_port(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, edited('service = "4420"', 'service = "4421"'))
    ran = run(rdctl, "apply")
    hint = f"rdctl --local rapiddisk nvmet unexport --nqn {NQN} --port 1"
    assert (ran.code, hint in ran.err) == (4, True)
    assert run(rdctl, hint.partition("rapiddisk ")[2], "--yes").code == 0
    assert run(rdctl, "apply").code == 0
    assert differences(rdctl) == []


def test_a_hint_empties_the_volume(rdctl: Program) -> None:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.put(FILE, WHOLE.replace("rc-wt_top", "rc-wt_new"))
    ran = run(rdctl, "apply --prune --yes")
    assert ran.code == 4
    words = "cache remove rc-wt_top", "flush rd6"
    assert all(f"rdctl --local rapiddisk {one}" in ran.err for one in words)
    assert all(run(rdctl, one, "--yes").code == 0 for one in words)
    assert run(rdctl, "apply").code == 0
    assert differences(rdctl) == []


# --- what a stranger found ------------------------------------------------------------------------


def lost_mapping(rdctl: Program) -> FakeKernel:
    kernel = applied(rdctl, rdctl.home / "root")
    kernel.maps["rc-wb_data"].dirty = 77
    kernel.maps["rc-wb_data"].armed = False
    kernel.unmap_unsafely("rc-wb_data")
    kernel.steps = 0
    return kernel


@pytest.mark.parametrize("words", ["apply", "cache create rd0 --adopt"])
def test_a_name_that_was_moved_to_another_disk(rdctl: Program, words: str) -> None:
    """The disk of the record is still there: the blocks are not for the new one."""
    kernel = lost_mapping(rdctl)
    kernel.add_disk("sdz", 1024 * MIB, "65:144")
    kernel.path(BY_ID).unlink()
    kernel.link_node(BY_ID[1:], "../../sdz")
    if words == "apply":
        ran = run(rdctl, "apply --yes")
        assert (ran.code, kernel.steps) == (4, 0)
        assert "the only copy" in ran.err
    else:
        asked = run(rdctl, words, "--json").json["error"]["losses"]
        assert "rdctl cannot verify that they belong there" in asked[0]
    assert kernel.harm == []


@pytest.mark.parametrize("words", ["apply --boot --wait 0", "apply --yes"])
def test_a_disk_whose_blocks_are_in_another_volume(rdctl: Program, words: str) -> None:
    kernel = lost_mapping(rdctl)
    text = edited('volume = "rd0"', 'volume = "rd9"') + '[volumes.rd9]\nsize = "64MiB"\n'
    kernel.put(FILE, text)
    ran = run(rdctl, words)
    assert ran.code in (4, 8)
    assert "sdb is incomplete: rd0 holds 77 unwritten blocks (308.0 KiB) for it" in ran.err
    assert "rc-wb_data" not in kernel.maps
    ran = run(rdctl, "cache create rd3 sdb --policy writeback --yes")
    assert (ran.code, "is incomplete" in ran.err) == (4, False)  # rd3 is exported
    assert kernel.harm == []


def test_no_cache_over_a_disk_whose_blocks_are_elsewhere(rdctl: Program) -> None:
    kernel = lost_mapping(rdctl)
    kernel.add_volume(9)
    for policy in ("writeback", "write-through"):
        ran = run(rdctl, f"cache create rd9 sdb --policy {policy} --yes")
        assert ran.code == 4
        assert "sdb is incomplete: rd0 holds 77 unwritten blocks" in ran.err
    hint = "cache create rd0 --policy writeback --adopt"
    assert f"rdctl --local rapiddisk {hint}" in ran.err
    assert run(rdctl, hint, "--yes").code == 0
    assert kernel.harm == []


def test_a_cache_over_a_volume_of_the_file(rdctl: Program) -> None:
    text = f"""{SCHEMA}[volumes.rd1]
size = "64MiB"
[volumes.rd2]
size = "32MiB"
[caches.rc-wt_rd1]
volume = "rd2"
source = "/dev/rd1"
source_size = "64MiB"
policy = "write-through"
"""
    kernel = machine(rdctl, rdctl.home / "root", text)
    dry = run(rdctl, "apply --dry-run --json").json["plan"]
    ran = run(rdctl, "apply --trace")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert [line for line in ran.err.splitlines() if not line.startswith("# ")] == dry
    assert differences(rdctl) == []


def test_two_ports_with_one_address(rdctl: Program) -> None:
    other = '[ports.2]\ntransport = "tcp"\ninterface = "eth0"\nservice = "4420"\n'
    kernel = machine(rdctl, rdctl.home / "root", SCHEMA + PORT + other)
    ran = run(rdctl, "apply --dry-run")
    assert (ran.code, kernel.steps) == (4, 0)
    assert "port 1 already uses tcp 10.0.2.15 4420" in ran.err


def test_no_number_of_seconds(rdctl: Program) -> None:
    machine(rdctl, rdctl.home / "root")
    assert run(rdctl, "apply --wait nan").code == 2


def test_keys_of_very_many_parts(rdctl: Program) -> None:
    machine(rdctl, rdctl.home / "root", None)
    text = SCHEMA + "[" + "a." * 100_000 + "a]\n"
    ran = run(rdctl, "apply -", stdin=text.encode())
    assert (ran.code, "line 2: invalid TOML: key too long" in ran.err) == (2, True)


def test_one_identity_for_two_disks(rdctl: Program) -> None:
    second = EXPORT.replace("rd3", "rd6").replace(NQN, f"{NQN}-2")
    machine(rdctl, rdctl.home / "root", SCHEMA + VOLUMES + PORT + EXPORT + second)
    ran = run(rdctl, "apply --yes")
    assert ran.code == 2
    assert f"uuid {UUID} of export" in ran.err
