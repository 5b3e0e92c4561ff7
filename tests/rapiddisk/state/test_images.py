"""Images of volumes in the state file: loaded into what is empty, else only recorded; a volume with
data is never overwritten, and an image never replaced."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdctl.cli.run import signals
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel, Killed
from tests.rapiddisk.state.machines import FILE, HOST, NQN, SCHEMA, differences, machine, run

IMAGE = "/srv/rd0.img"
VOLUME = f'[volumes.rd0]\nsize = "8MiB"\nimage = "{IMAGE}"\n'
TEXT = SCHEMA + VOLUME
LOCKED = TEXT + "locked = true\n"
EXPORTED = (
    LOCKED
    + f"""
[ports.1]
transport = "tcp"
address = "10.0.2.15"

[exports."{NQN}"]
device = "rd0"
ports = [1]
hosts = ["{HOST}"]
"""
)
PIECES = {0: b"a" * PAGE, 3 * MIB: b"b" * 2 * PAGE, 8 * MIB - PAGE: b"c" * PAGE}
LOAD = f"would load volume rd0 from {IMAGE} (8.0 MiB)"
KEEP = f"would record {IMAGE} as the image of volume rd0"


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


@pytest.fixture
def kernel(rdctl: Program) -> FakeKernel:
    return machine(rdctl, rdctl.home / "root", TEXT)


def whole(size: int = 8 * MIB) -> bytes:
    data = bytearray(size)
    for at, piece in PIECES.items():
        data[at : at + len(piece)] = piece
    return bytes(data)


def put_image(kernel: FakeKernel, data: bytes = whole(), digest: bytes | None = None) -> Path:
    kernel.make_dir("srv")
    path = kernel.path(IMAGE)
    path.write_bytes(data)
    found = hashlib.sha256(data if digest is None else digest).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{found}  {path.name}\n")
    return path


def contents(kernel: FakeKernel, name: str = "rd0") -> bytes:
    found = kernel.path(f"dev/{name}").read_bytes()
    return found.ljust(8 * MIB, b"\0")


def plan(rdctl: Program, words: str = "apply") -> list[str]:
    return run(rdctl, f"{words} --dry-run").out.splitlines()


def refusal(rdctl: Program, kernel: FakeKernel) -> dict[str, str]:
    """The only error of an apply that changes nothing."""
    steps = kernel.steps
    ran = run(rdctl, "apply --yes --json")
    assert ran.code not in (0, 8), ran.out
    errors = ran.json.get("errors") or [ran.json["error"]]
    assert (len(errors), kernel.steps) == (1, steps)
    found: dict[str, str] = errors[0]
    return found


def dumped(rdctl: Program) -> str | None:
    found: str | None = run(rdctl, "dump -o json").json["volumes"]["rd0"].get("image")
    return found


# --- what is loaded -----------------------------------------------------------------------------


def is_loaded(rdctl: Program, kernel: FakeKernel) -> None:
    assert contents(kernel) == whole()
    assert (differences(rdctl), kernel.harm, dumped(rdctl)) == ([], [], IMAGE)
    steps = kernel.steps
    assert run(rdctl, "apply").code == 0
    assert kernel.steps == steps


def test_a_new_volume_is_loaded(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    assert plan(rdctl) == ["would create volume rd0 (8.0 MiB)", LOAD]
    ran = run(rdctl, "apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == ["created rd0 (8388608 bytes)", f"loaded rd0 from {IMAGE}"]
    is_loaded(rdctl, kernel)
    assert kernel.volumes[0].used == 4 * PAGE


def test_an_empty_volume_is_loaded(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    assert differences(rdctl) == [("volume", "rd0", "differs", "image")]
    assert plan(rdctl) == [LOAD]
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)


def test_a_volume_that_grows_is_loaded_then(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.add_volume(0, 4 * MIB)
    ran = run(rdctl, "apply")
    assert ran.code == 0, ran.err
    is_loaded(rdctl, kernel)


def test_a_locked_volume_is_locked_afterwards(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.put(FILE, LOCKED)
    assert plan(rdctl)[1:] == [LOAD, "would lock volume rd0"]
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)
    assert kernel.volumes[0].locked


def test_a_volume_that_is_to_be_unlocked_is_unlocked_before(
    rdctl: Program, kernel: FakeKernel
) -> None:
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    assert run(rdctl, "lock rd0").code == 0
    assert plan(rdctl) == ["would unlock volume rd0", LOAD]
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)


def test_an_image_without_a_checksum_is_loaded(rdctl: Program, kernel: FakeKernel) -> None:
    path = put_image(kernel)
    path.with_name(f"{path.name}.sha256").unlink()
    ran = run(rdctl, "apply")
    assert ran.code == 0
    assert f"{IMAGE} was not verified: it has no {IMAGE}.sha256" in ran.err
    is_loaded(rdctl, kernel)


# --- what is only recorded ----------------------------------------------------------------------


def test_a_missing_image_is_recorded(rdctl: Program, kernel: FakeKernel) -> None:
    assert plan(rdctl) == ["would create volume rd0 (8.0 MiB)", KEEP]
    ran = run(rdctl, "apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "created rd0 (8388608 bytes)",
        f"recorded {IMAGE} as the image of rd0",
    ]
    assert (differences(rdctl), dumped(rdctl)) == ([], IMAGE)


def test_an_image_that_appears_later_is_loaded(rdctl: Program, kernel: FakeKernel) -> None:
    assert run(rdctl, "apply").code == 0
    put_image(kernel)
    assert differences(rdctl) == [("volume", "rd0", "differs", "image")]
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)


def test_a_volume_that_was_saved_there_is_recorded(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"x" * PAGE)
    kernel.make_dir("srv")
    assert run(rdctl, "apply").code == 0
    assert run(rdctl, "boot stop --only images").code == 0
    kernel.put(FILE, SCHEMA + VOLUME.replace(f'image = "{IMAGE}"\n', ""))
    assert plan(rdctl) == [f"would no longer keep the contents of volume rd0 in {IMAGE}"]
    assert run(rdctl, "apply").out == "contents of rd0 are no longer kept\n"
    assert (differences(rdctl), dumped(rdctl)) == ([], None)
    kernel.put(FILE, TEXT)
    assert plan(rdctl) == [KEEP]
    assert run(rdctl, "apply").code == 0
    assert (differences(rdctl), dumped(rdctl)) == ([], IMAGE)
    assert contents(kernel)[:PAGE] == b"x" * PAGE


def test_what_was_erased_gets_its_image_again(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    assert run(rdctl, "apply").code == 0
    assert run(rdctl, "flush rd0 --yes").code == 0
    assert differences(rdctl) == [("volume", "rd0", "differs", "image")]
    assert run(rdctl, "boot stop --only images").code == 4
    assert kernel.path(IMAGE).read_bytes() == whole()
    assert plan(rdctl) == [LOAD]
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)
    # Saved by hand, the empty volume is what its image has.
    assert run(rdctl, "flush rd0 --yes").code == 0
    assert run(rdctl, f"save rd0 {kernel.path(IMAGE)} --overwrite").code == 0
    assert kernel.path(IMAGE).read_bytes() == bytes(8 * MIB)


def test_a_part_that_no_rollback_erased_does_not_replace_the_image(
    rdctl: Program, tmp_path: Path
) -> None:
    parts = 0
    for step in range(1, steps_of(rdctl, tmp_path / "whole") + 1):
        kernel = machine(rdctl, tmp_path / str(step), TEXT)
        path = put_image(kernel)
        kernel.add_volume(0, 8 * MIB)
        kernel.fail_at(step, errno.EIO)
        for later in range(step + 1, step + 9):  # among them the erase
            kernel.fail_at(later, errno.EIO)
        run(rdctl, "apply")
        kernel.before.clear()
        parts += contents(kernel) not in (bytes(8 * MIB), whole())
        run(rdctl, "boot stop --only images")
        assert path.read_bytes() == whole(), step
    assert parts


def test_the_record_is_of_that_volume_only(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    assert run(rdctl, "apply").code == 0
    kernel.replace_volume(0, 8 * MIB)
    assert dumped(rdctl) is None
    assert run(rdctl, "apply").code == 0
    is_loaded(rdctl, kernel)


# --- what is refused ----------------------------------------------------------------------------


def test_data_and_an_image_that_have_nothing_in_common(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"x" * PAGE)
    error = refusal(rdctl, kernel)
    assert (error["target"], error["code"]) == ("rd0", "conflict")
    assert f"rdctl --local rapiddisk load {IMAGE} rd0" in error["hint"]
    assert f"rdctl --local rapiddisk save rd0 {IMAGE} --overwrite" in error["hint"]
    assert contents(kernel)[:PAGE] == b"x" * PAGE


def damaged(kernel: FakeKernel) -> str:
    put_image(kernel, digest=b"another")
    return f"rd0 was not loaded: {IMAGE}: its SHA-256 is "


def too_large(kernel: FakeKernel) -> str:
    put_image(kernel, whole() + bytes(PAGE))
    return f"rd0 was not loaded: {IMAGE} (8392704 bytes) is larger than rd0 (8388608 bytes)"


def not_mounted(kernel: FakeKernel) -> str:
    put_image(kernel)
    kernel.put("etc/fstab", "/dev/sda1 / ext4 rw\nLABEL=srv /srv xfs rw 0 0\n")
    return "rd0: /srv, which has its image, is not mounted"


def in_memory(kernel: FakeKernel) -> str:
    put_image(kernel)
    mounts = kernel.text("proc/self/mountinfo")
    kernel.put("proc/self/mountinfo", f"{mounts}\n80 22 0:50 / /srv rw - tmpfs tmpfs rw\n")
    return f"rd0: its image {IMAGE} is in RAM: a reboot loses it"


def on_a_volume(kernel: FakeKernel) -> str:
    put_image(kernel)
    kernel.add_volume(7)
    kernel.mount("/dev/rd7", "/srv")
    return f"rd0: its image {IMAGE} is in RAM: a reboot loses it"


def in_use(kernel: FakeKernel) -> str:
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    kernel.mount("/dev/rd0", "/mnt")
    return "rd0 is in use: mounted on /mnt"


def open_elsewhere(kernel: FakeKernel) -> str:
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    kernel.open_by(4711, "dd", "/dev/rd0")
    return "rd0 is in use: open"


def locked(kernel: FakeKernel) -> str:
    put_image(kernel)
    kernel.put(FILE, LOCKED)
    kernel.add_volume(0, 8 * MIB)
    kernel.set_lock("rd0", True)
    return "rd0 is locked"


def miscounted(kernel: FakeKernel) -> str:
    """A refused erase has set the kernel's counter to 0."""
    put_image(kernel)
    kernel.add_volume(0, 8 * MIB)
    kernel.write_data("rd0", b"x" * PAGE)
    kernel.volumes[0].used = 0
    kernel.show_volumes()
    return f"rd0 and its image {IMAGE} differ: the volume was not loaded from it"


REFUSED = [
    *(damaged, too_large, not_mounted, in_memory, on_a_volume),
    *(in_use, open_elsewhere, locked, miscounted),
]


@pytest.mark.parametrize("arrange", REFUSED)
def test_what_is_not_loaded(
    rdctl: Program, kernel: FakeKernel, arrange: Callable[[FakeKernel], str]
) -> None:
    message = arrange(kernel)
    before = kernel.snapshot()
    error = refusal(rdctl, kernel)
    assert error["message"].startswith(message), error["message"]
    assert error["target"] == "rd0"
    assert f"See /{FILE}, line 2." in error["hint"]
    assert (kernel.snapshot(), kernel.harm) == (before, [])


def test_the_image_changes_while_it_is_confirmed(rdctl: Program, kernel: FakeKernel) -> None:
    """Its digest was checked before; it is not checked again."""
    path = put_image(kernel)
    before = kernel.snapshot()

    def change() -> None:
        with open(path, "r+b") as file:
            file.write(b"z")

    kernel.when_locked = change
    ran = run(rdctl, "apply --json")
    assert ran.code == 4, ran.out
    assert f"{IMAGE} was changed while it was loaded" in ran.json["errors"][0]["message"]
    assert (kernel.snapshot(), kernel.harm) == (before, [])


# --- the units ----------------------------------------------------------------------------------


def boot(rdctl: Program, only: str, *more: str) -> Ran:
    return run(rdctl, f"apply --boot --only {only}", *more)


def test_three_units_do_the_three_parts(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.put(FILE, EXPORTED)
    ran = boot(rdctl, "caches")
    assert (ran.code, ran.out) == (0, "created rd0 (8388608 bytes)\n")
    assert contents(kernel) == bytes(8 * MIB)
    ran = boot(rdctl, "images")
    assert (ran.code, ran.out) == (0, f"loaded rd0 from {IMAGE}\n")
    assert not kernel.volumes[0].locked  # it cannot be exported then
    ran = boot(rdctl, "exports")
    assert (ran.code, kernel.harm) == (0, []), ran.err
    assert ran.out.splitlines()[-1] == "locked rd0"
    is_loaded(rdctl, kernel)
    steps = kernel.steps
    for only in ("caches", "images", "exports"):
        assert boot(rdctl, only).code == 0
    assert kernel.steps == steps


def test_a_lock_waits_for_the_image(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    kernel.put(FILE, LOCKED)
    assert boot(rdctl, "caches").out == "created rd0 (8388608 bytes)\n"
    assert not kernel.volumes[0].locked
    assert boot(rdctl, "images").out == f"loaded rd0 from {IMAGE}\nlocked rd0\n"
    assert kernel.volumes[0].locked


def test_a_boot_without_the_image_names_it_and_goes_on(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.put(FILE, LOCKED)
    assert boot(rdctl, "caches").code == 0
    ran = boot(rdctl, "images", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == ("rd0", "not-found")
    assert error["message"] == f"rd0 is empty: image {IMAGE} not found"
    assert [row["action"] for row in ran.json["results"]] == ["keep", "lock"]
    assert dumped(rdctl) == IMAGE
    assert boot(rdctl, "images").code == 0


def test_a_damaged_image_leaves_the_volume_empty_and_unlocked(
    rdctl: Program, kernel: FakeKernel
) -> None:
    kernel.put(FILE, EXPORTED)
    message = damaged(kernel)
    assert boot(rdctl, "caches").code == 0
    ran = boot(rdctl, "images", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert error["message"].startswith(message)
    assert contents(kernel) == bytes(8 * MIB)
    # A dump keeps the key, and the volume does not replace the image.
    assert dumped(rdctl) == IMAGE
    assert differences(rdctl, "diff --only images")[-1] == ("volume", "rd0", "differs", "image")
    assert run(rdctl, "boot stop --only images").code == 4
    steps = kernel.steps
    assert (boot(rdctl, "images").code, kernel.steps) == (8, steps)
    # Its clients would see an empty disk, and might format it.
    ran = boot(rdctl, "exports", "--json")
    assert ran.code == 8
    errors = {error["target"]: error["message"] for error in ran.json["errors"]}
    assert errors == {NQN: f"rd0 does not have the contents of its image {IMAGE}"}
    put_image(kernel)
    for only in ("images", "exports"):
        assert boot(rdctl, only).code == 0
    is_loaded(rdctl, kernel)
    assert kernel.volumes[0].locked


def test_a_boot_does_not_export_what_it_could_not_load(rdctl: Program, kernel: FakeKernel) -> None:
    kernel.put(FILE, EXPORTED)
    message = damaged(kernel)
    ran = run(rdctl, "apply --boot --json")
    assert ran.code == 8
    first, second = ran.json["errors"]
    assert first["message"].startswith(message)
    assert (second["target"], second["message"]) == (
        NQN,
        f"rd0 does not have the contents of its image {IMAGE}",
    )


def test_a_volume_that_could_not_be_created(rdctl: Program, kernel: FakeKernel) -> None:
    put_image(kernel)
    ran = boot(rdctl, "images", "--json")
    assert (ran.code, kernel.steps) == (8, 0)
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == ("rd0", "not-found")
    assert differences(rdctl, "diff --only images") == [("volume", "rd0", "missing", None)]


def test_only_images_leaves_all_else_alone(rdctl: Program, kernel: FakeKernel) -> None:
    other = '\n[volumes.rd1]\nsize = "9MiB"\nlocked = true\n'
    kernel.put(FILE, TEXT + other)
    kernel.add_volume(0, 8 * MIB)
    kernel.add_volume(1, 8 * MIB)
    kernel.add_volume(5, 8 * MIB)
    put_image(kernel)
    assert differences(rdctl, "diff --only images") == [("volume", "rd0", "differs", "image")]
    assert run(rdctl, "apply --only images --prune").out == f"loaded rd0 from {IMAGE}\n"
    assert (kernel.volumes[1].size, kernel.volumes[1].locked) == (8 * MIB, False)
    assert run(rdctl, "apply --only images").out == f"/{FILE}: no changes\n"


# --- interrupted --------------------------------------------------------------------------------


def steps_of(rdctl: Program, root: Path) -> int:
    kernel = machine(rdctl, root, LOCKED)
    put_image(kernel)
    assert run(rdctl, "apply").code == 0
    return kernel.steps


def test_an_interrupt_or_a_refusal_at_any_step_leaves_nothing(
    rdctl: Program, tmp_path: Path
) -> None:
    for step in range(1, steps_of(rdctl, tmp_path / "whole") + 1):
        kernel = machine(rdctl, tmp_path / str(step), LOCKED)
        put_image(kernel)
        before = kernel.snapshot()
        kernel.interrupt_at(step)
        assert run(rdctl, "apply").code == 130
        assert (kernel.snapshot(), kernel.harm) == (before, []), step
        kernel.steps = 0
        kernel.fail_at(step, errno.EIO)
        ran = run(rdctl, "apply")
        assert ran.code not in (0, 130)
        assert "could not be rolled back" not in ran.err
        assert (kernel.snapshot(), kernel.harm) == (before, []), step


def test_apply_after_a_kill_at_any_step_completes_it(rdctl: Program, tmp_path: Path) -> None:
    asked = 0
    for step in range(1, steps_of(rdctl, tmp_path / "whole") + 1):
        kernel = machine(rdctl, tmp_path / str(step), LOCKED)
        path = put_image(kernel)
        kernel.kill_at(step)
        with pytest.raises(Killed):
            run(rdctl, "apply")
        kernel.revive()
        # No shutdown in between replaces the image by a part of itself.
        run(rdctl, "boot stop --only images")
        assert path.read_bytes() == whole()
        asked += "of an interrupted load will be erased" in run(rdctl, "apply --dry-run").out
        ran = run(rdctl, "apply --boot")
        assert ran.code == 0, (step, ran.err)
        is_loaded(rdctl, kernel)
        assert kernel.volumes[0].locked
    assert asked


def test_what_an_interrupted_load_left_is_erased_only_after_confirmation(
    rdctl: Program, kernel: FakeKernel
) -> None:
    put_image(kernel)
    assert run(rdctl, "apply").code == 0
    record = json.loads(kernel.text("run/rdctl/images.json"))
    record["rd0"]["whole"] = False
    kernel.put("run/rdctl/images.json", json.dumps(record))
    kernel.write_data("rd0", b"x" * PAGE)
    before = kernel.snapshot()
    ran = run(rdctl, "apply", tty=True, stdin=b"n\n")
    assert ran.code == 1
    assert "rd0: 20.0 KiB of an interrupted load will be erased" in ran.err
    assert kernel.snapshot() == before
    assert run(rdctl, "apply", tty=True, stdin=b"y\n").code == 0
    is_loaded(rdctl, kernel)
