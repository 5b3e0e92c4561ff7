"""Images at boot and shutdown: what is saved, and what must not replace a good image; the drop-in
of the unit, and what `boot status` warns of."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable

import pytest

from rdctl.rapiddisk.boot import units
from tests.conftest import Program, Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel, Killed
from tests.rapiddisk.boot.test_reboot import run_by_unit

Local = Callable[..., Ran]

FILE = "etc/rdctl/rapiddisk.toml"
FIRST, SECOND = "/srv/rd0.img", "/srv/disk images/50%.img"
STATE = f"""schema = "rdctl.rapiddisk.state/1"

[volumes.rd0]
size = "8MiB"
image = "{FIRST}"

[volumes.rd1]
size = "8MiB"
locked = true
image = "{SECOND}"

[volumes.rd2]
size = "8MiB"
"""
DROP_IN = "etc/systemd/system/rdctl-images.service.d/rdctl.conf"


@pytest.fixture
def machine(kernel: FakeKernel, local: Local) -> FakeKernel:
    """Two volumes with images that do not exist yet."""
    kernel.put(FILE, STATE)
    kernel.make_dir("srv/disk images")
    assert local("rapiddisk", "apply").code == 0
    kernel.write_data("rd0", b"0" * PAGE)
    kernel.write_data("rd1", b"1" * PAGE, MIB)
    kernel.steps = 0
    return kernel


@pytest.fixture
def saved(machine: FakeKernel, local: Local) -> FakeKernel:
    assert stop(local).code == 0
    return machine


def stop(local: Local, *words: str) -> Ran:
    return local("rapiddisk", "boot", "stop", "--only", "images", *words)


def image(kernel: FakeKernel, path: str = FIRST) -> bytes:
    return kernel.path(path).read_bytes()


def status(local: Local) -> list[dict[str, str]]:
    item = local("rapiddisk", "boot", "status", "--json").json["item"]
    found: list[dict[str, str]] = item["warnings"]
    return found


# --- at shutdown --------------------------------------------------------------------------------


def test_each_is_saved_in_its_image(machine: FakeKernel, local: Local) -> None:
    ran = stop(local)
    assert (ran.code, ran.err, machine.harm) == (0, "", [])
    assert ran.out.splitlines() == [f"saved rd0 in {FIRST}", f"saved rd1 in {SECOND}"]
    assert image(machine) == (b"0" * PAGE).ljust(8 * MIB, b"\0")
    assert image(machine, SECOND)[MIB : MIB + PAGE] == b"1" * PAGE
    for path in (FIRST, SECOND):
        found = hashlib.sha256(image(machine, path)).hexdigest()
        name = path.rpartition("/")[2]
        assert machine.text(f"{path}.sha256") == f"{found}  {name}"
    assert machine.volumes[1].locked


def test_the_next_shutdown_replaces_them(saved: FakeKernel, local: Local) -> None:
    saved.write_data("rd0", b"2" * PAGE, 2 * MIB)
    assert stop(local).code == 0
    assert image(saved)[2 * MIB : 2 * MIB + PAGE] == b"2" * PAGE


def test_a_dry_run_names_each(machine: FakeKernel, local: Local) -> None:
    ran = stop(local, "--dry-run", "--json")
    assert (ran.code, machine.steps) == (0, 0)
    assert [line.split()[0] for line in ran.json["plan"]].count("dd") == 2
    assert not machine.path(FIRST).exists()


def test_nothing_to_save(kernel: FakeKernel, local: Local) -> None:
    kernel.put(FILE, STATE)  # whose volumes do not exist
    assert stop(local).out == "images: nothing to save\n"


def mounted(kernel: FakeKernel) -> str:
    kernel.mount("/dev/rd0", "/mnt")
    return "rd0 was not saved: rd0 is in use: mounted on /mnt"


def opened(kernel: FakeKernel) -> str:
    kernel.open_by(4711, "dd", "/dev/rd0")
    return "rd0 was not saved: rd0 is in use: open"


def not_mounted(kernel: FakeKernel) -> str:
    kernel.put("etc/fstab", "/dev/sdb /srv\\040x ext4 rw\n/dev/sda /srv/ ext4 noauto 0 0\n")
    kernel.mount("/dev/sda", "/srv/disk images")
    return "rd0: /srv, which has its image, is not mounted"


def incomplete(kernel: FakeKernel) -> str:
    record = json.loads(kernel.text("run/rdctl/images.json"))
    record["rd0"]["whole"] = False
    kernel.put("run/rdctl/images.json", json.dumps(record))
    return "rd0 is incomplete: loading was interrupted"


def created_again(kernel: FakeKernel) -> str:
    """As after a boot that could not load it."""
    kernel.replace_volume(0, 8 * MIB)
    return f"rd0 and its image {FIRST} differ: the volume was not loaded from it"


def erased(kernel: FakeKernel) -> str:
    """Since it was saved; by something that forgot to record it first, after a kill."""
    record = json.loads(kernel.text("run/rdctl/images.json"))
    record["rd0"]["files"] = []
    kernel.put("run/rdctl/images.json", json.dumps(record))
    return f"rd0 and its image {FIRST} differ: the volume was not loaded from it"


def behind_a_link(kernel: FakeKernel) -> str:
    """The file system that the link leads to is not mounted."""
    kernel.make_dir("big")
    kernel.path("srv").rename(kernel.path("big/srv"))
    kernel.path("srv").symlink_to("/big/srv")
    kernel.put("etc/fstab", "/dev/sda /big ext4 rw 0 0\n")
    return "rd0: /big, which has its image, is not mounted"


NOT_SAVED = [mounted, opened, not_mounted, incomplete, created_again, erased]


@pytest.mark.parametrize("arrange", NOT_SAVED)
def test_what_keeps_its_old_image(
    saved: FakeKernel, local: Local, arrange: Callable[[FakeKernel], str]
) -> None:
    before = image(saved), saved.text(f"{FIRST}.sha256")
    saved.write_data("rd0", b"2" * PAGE, 2 * MIB)
    saved.write_data("rd1", b"3" * PAGE, 2 * MIB)
    message = arrange(saved)
    ran = stop(local, "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert (error["target"], error["message"][: len(message)]) == ("rd0", message)
    assert (image(saved), saved.text(f"{FIRST}.sha256")) == before
    assert image(saved, SECOND)[2 * MIB : 2 * MIB + PAGE] == b"3" * PAGE
    assert saved.harm == []


@pytest.mark.parametrize("arrange", NOT_SAVED[2:])
def test_status_names_what_would_not_be_saved(
    saved: FakeKernel, local: Local, arrange: Callable[[FakeKernel], str]
) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    saved.systemd.active |= set(units.units())
    assert status(local) == []
    message = arrange(saved)
    (found,) = status(local)
    assert found["message"].startswith(f"not saved at the next shutdown: {message}")
    commands: dict[Callable[[FakeKernel], str], str] = {
        not_mounted: "mount /srv",
        incomplete: "rdctl --local rapiddisk flush rd0",
        created_again: f"rdctl --local rapiddisk load {FIRST} rd0",
        erased: f"rdctl --local rapiddisk save rd0 {FIRST} --overwrite",
    }
    assert commands[arrange] in found["why"]
    saved.root_user = False
    assert status(local) == []


def test_an_image_that_was_replaced_is_kept(saved: FakeKernel, local: Local) -> None:
    """By another one, with a digest that proves it."""
    other = bytes(8 * MIB)
    saved.path(FIRST).write_bytes(other)
    saved.put(f"{FIRST}.sha256", f"{hashlib.sha256(other).hexdigest()}  rd0.img\n")
    (difference,) = local("rapiddisk", "diff", "--json").json["items"]
    assert (difference["name"], difference["key"]) == ("rd0", "image")
    digest = hashlib.sha256(other).hexdigest()
    for text in ("", f"{digest}  rd0.img\n"):
        saved.put(f"{FIRST}.sha256", text)
        ran = stop(local, "--json")
        (error,) = ran.json["errors"]
        assert error["message"].startswith(f"rd0 and its image {FIRST} differ")
        assert image(saved) == other
    assert local("rapiddisk", "apply").code == 4
    assert local("rapiddisk", "flush", "rd0", "--yes").code == 0
    assert local("rapiddisk", "apply").code == 0
    assert stop(local).code == 0


def test_an_erased_volume_does_not_replace_its_image(saved: FakeKernel, local: Local) -> None:
    before = image(saved)
    assert local("rapiddisk", "flush", "rd0", "--yes").code == 0
    ran = stop(local, "--json")
    (error,) = ran.json["errors"]
    assert error["message"].startswith(f"rd0 and its image {FIRST} differ")
    assert image(saved) == before
    ran = local("rapiddisk", "apply")
    assert (ran.code, ran.out) == (0, f"loaded rd0 from {FIRST}\n")
    assert saved.path("dev/rd0").read_bytes().ljust(8 * MIB, b"\0") == before


def test_a_kill_after_the_erase_does_not_let_it_replace_its_image(
    saved: FakeKernel, local: Local
) -> None:
    def kill() -> None:
        saved.dead = True
        raise Killed

    before, saved.steps = image(saved), 0
    saved.after[1] = kill
    with pytest.raises(Killed):
        local("rapiddisk", "flush", "rd0", "--yes")
    saved.revive()
    assert saved.volumes[0].used == 0
    assert stop(local).code == 8
    assert image(saved) == before


def test_an_erase_that_is_refused_changes_nothing(saved: FakeKernel, local: Local) -> None:
    saved.write_data("rd0", b"2" * PAGE, 2 * MIB)
    record = saved.text("run/rdctl/images.json")
    saved.fail_at(saved.steps + 1, errno.EIO)
    assert local("rapiddisk", "flush", "rd0", "--yes").code != 0
    assert saved.text("run/rdctl/images.json") == record
    assert stop(local).code == 0
    assert image(saved)[2 * MIB : 2 * MIB + PAGE] == b"2" * PAGE


def test_the_image_behind_a_link(saved: FakeKernel, local: Local) -> None:
    """The machine has a root of its own, so the link does not lead out of it."""
    before, message = image(saved), behind_a_link(saved)
    saved.write_data("rd0", b"2" * PAGE, 2 * MIB)
    ran = stop(local, "--json")
    assert [error["message"] for error in ran.json["errors"]] == [
        message,
        message.replace("rd0", "rd1"),
    ]
    assert saved.path("big/srv/rd0.img").read_bytes() == before
    saved.mount("/dev/sda", "/big")
    assert stop(local).code == 0
    after = saved.path("big/srv/rd0.img").read_bytes()
    assert after[2 * MIB : 2 * MIB + PAGE] == b"2" * PAGE
    assert local("rapiddisk", "boot", "enable").code == 0
    assert saved.path(DROP_IN).read_text().splitlines()[2:4] == [
        "RequiresMountsFor=/srv/rd0.img",
        "RequiresMountsFor=/big/srv/rd0.img",
    ]
    mounts = saved.text("proc/self/mountinfo")
    saved.put("proc/self/mountinfo", f"{mounts}\n80 22 0:50 / /big rw - tmpfs tmpfs rw\n")
    (error, _) = stop(local, "--json").json["errors"]
    assert error["message"] == f"rd0: its image {FIRST} is in RAM: a reboot loses it"


def test_links_in_a_circle(saved: FakeKernel, local: Local) -> None:
    saved.path("srv").rename(saved.path("big"))
    saved.path("srv").symlink_to("srv")
    ran = stop(local, "--json")
    assert ran.code == 4
    assert len(ran.json["errors"]) == 2


def test_what_cannot_be_written_is_named(saved: FakeKernel, local: Local) -> None:
    saved.path(FIRST).unlink()
    saved.path(FIRST).mkdir()
    ran = stop(local, "--json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["target"]) == (8, "rd0")
    assert error["message"] == f"rd0 was not saved: {FIRST}: is a directory"


def test_exports_are_removed_before(machine: FakeKernel, local: Local) -> None:
    local("rapiddisk", "nvmet", "port", "add", "1", "--transport", "tcp", "--address", "10.0.2.15")
    assert local("rapiddisk", "nvmet", "export", "rd0", "--port", "1", "--any-host").code == 0
    ran = stop(local)
    assert (ran.code, "rd0 is in use: exported" in ran.err) == (8, True)
    assert local("rapiddisk", "dump", "--save", "--yes").code == 0
    dry = local("rapiddisk", "boot", "stop", "--dry-run").out.splitlines()
    ran = local("rapiddisk", "boot", "stop")
    assert (ran.code, machine.harm) == (0, []), ran.err
    acts = [line.split()[0] for line in ran.out.splitlines()]
    assert acts == ["removed", "removed", "saved", "saved", "caches:"]
    assert [line.split()[1] for line in dry[:4]] == ["unexport", "remove", "save", "save"]


# --- a reboot, by the command lines of the units ------------------------------------------------

NAMES = (units.CACHES, units.IMAGES, units.EXPORTS)


def test_contents_last_over_a_reboot(rdctl: Program, machine: FakeKernel) -> None:
    assert rdctl("--local", "rapiddisk", "boot", "enable").code == 0
    before = [machine.path(f"dev/rd{number}").read_bytes() for number in (0, 1)]
    for name in reversed(NAMES):
        ran = run_by_unit(rdctl, name, "ExecStop")
        assert (ran.code, ran.err) == (0, "")
    for number in list(machine.volumes):
        machine.remove_volume(number)
    for name in NAMES:
        ran = run_by_unit(rdctl, name, "ExecStart")
        assert (ran.code, ran.err) == (0, "")
    assert machine.volumes[1].locked
    after = [machine.path(f"dev/rd{number}").read_bytes() for number in (0, 1)]
    assert after == before
    assert rdctl("--local", "rapiddisk", "diff", "--exit-code").code == 0
    steps = machine.steps
    for name in NAMES:
        assert run_by_unit(rdctl, name, "ExecStart").code == 0
    assert (machine.steps, machine.harm) == (steps, [])


def test_a_volume_that_outgrew_the_state_file(saved: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    saved.systemd.active |= set(units.units())
    assert local("rapiddisk", "resize", "rd0", "16M").code == 0
    (found,) = status(local)
    assert found["message"] == (
        "not loaded at the next boot: rd0 is larger (16.0 MiB) than in the state file (8.0 MiB)"
    )
    assert found["mend"] == "rdctl --local rapiddisk dump --save"
    assert stop(local).code == 0
    before = image(saved)
    saved.replace_volume(0, 8 * MIB)
    ran = local("rapiddisk", "apply", "--boot", "--json")
    (error,) = ran.json["errors"]
    words = f"rd0 was not loaded: {FIRST} (16.0 MiB) is larger than rd0 (8.0 MiB)"
    assert (ran.code, error["message"]) == (8, words)
    assert error["hint"].startswith('Change the size in the file: size = "16MiB"')
    assert local("rapiddisk", "resize", "rd0", "16M").code == 0
    ran = local("rapiddisk", "apply")
    assert ran.code == 4
    assert "Change the size in the file." in ran.err
    assert "rapiddisk resize" not in ran.err
    saved.put(FILE, STATE.replace("8MiB", "16MiB", 1))
    assert local("rapiddisk", "apply").code == 0
    assert saved.path("dev/rd0").read_bytes().ljust(16 * MIB, b"\0") == before


def test_images_without_their_unit(machine: FakeKernel, local: Local) -> None:
    (found,) = status(local)
    assert found["message"] == (
        "the contents of rd0, rd1 do not survive a reboot: rdctl-images.service is not enabled"
    )
    assert found["mend"] == "rdctl --local rapiddisk boot enable --now"


def test_a_saved_dump_that_loses_an_image(machine: FakeKernel, local: Local) -> None:
    machine.replace_volume(0, 8 * MIB)
    ran = local("rapiddisk", "dump", "--save", "--json")
    assert ran.json["error"]["losses"] == [f"/{FILE} will be replaced; rd0 loses its image {FIRST}"]


def test_loading_another_file_names_the_image(saved: FakeKernel, local: Local) -> None:
    other = str(saved.path(SECOND))
    ran = local("rapiddisk", "load", other, "rd0", "--yes")
    assert (ran.code, ran.err) == (
        0,
        f"rdctl: warning: rd0 now differs from its image {FIRST}, which the next shutdown does not"
        f" replace; to replace it: rdctl --local rapiddisk save rd0 {FIRST} --overwrite\n",
    )


# --- the drop-in --------------------------------------------------------------------------------


def test_the_drop_in_has_the_places_and_the_time(machine: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    text = machine.path(DROP_IN).read_text()
    assert units.is_untouched(text)
    assert text.splitlines()[1:] == [
        "[Unit]",
        "RequiresMountsFor=/srv/rd0.img",
        'RequiresMountsFor="/srv/disk images/50%%.img"',
        "",
        "[Service]",
        "TimeoutStartSec=300",
        "TimeoutStopSec=300",
    ]


def test_an_image_that_was_added_since(machine: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    machine.put(FILE, STATE.replace(f'image = "{FIRST}"\n', ""))
    shown = local("rapiddisk", "boot", "status", "--json").json["item"]
    assert {f["path"]: f["state"] for f in shown["files"]}[f"/{DROP_IN}"] == "outdated"
    assert shown["status"] == "incomplete"
    machine.put(FILE, 'schema = "rdctl.rapiddisk.state/1"\n')
    shown = local("rapiddisk", "boot", "status", "--json").json["item"]
    assert {f["path"]: f["state"] for f in shown["files"]}[f"/{DROP_IN}"] == "not needed"
    assert local("rapiddisk", "boot", "enable").code == 0
    assert not machine.path(DROP_IN).exists()


def test_its_time_and_that_of_a_shutdown_follow_from_the_sizes(
    kernel: FakeKernel, local: Local
) -> None:
    kernel.put(FILE, STATE.replace("8MiB", "64GiB"))
    assert local("rapiddisk", "boot", "enable").code == 0
    # Twice 2 x 1375 s at 50 MB/s.
    assert "TimeoutStopSec=9600\n" in kernel.path(DROP_IN).read_text()
    reboot = kernel.path("etc/systemd/system/reboot.target.d/rdctl.conf").read_text()
    assert reboot.endswith("JobTimeoutSec=7200\n")


def test_a_unit_that_the_next_shutdown_does_not_run(machine: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    assert [one["message"] for one in status(local)] == [
        "rdctl-images.service is enabled but not active: the next shutdown does not run it"
    ]


def test_an_image_that_does_not_fit(saved: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    saved.systemd.active |= set(units.units())
    saved.volumes[0].used = 1 << 50
    saved.show_volumes()
    (found,) = status(local)
    assert found["message"].startswith(
        "not saved at the next shutdown: rd0 holds 1.0 PiB, but only "
    )
    assert found["message"].endswith(f" are free for {FIRST}")


def test_disabling_names_what_will_be_lost(machine: FakeKernel, local: Local) -> None:
    assert local("rapiddisk", "boot", "enable").code == 0
    ran = local("rapiddisk", "boot", "disable")
    assert ran.err == (
        "rdctl: warning: the next shutdown will not save the contents of rd0, rd1; before it, run:"
        " rdctl --local rapiddisk boot stop --only images\n"
    )
    assert not machine.path(DROP_IN).exists()
