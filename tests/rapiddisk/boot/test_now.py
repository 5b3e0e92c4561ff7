"""boot enable --now: the units run in the sandbox, where they are commands of rdctl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Ran

Sandbox = Callable[..., Ran]
UNITS = ["rdctl-caches.service", "rdctl-images.service", "rdctl-exports.service"]


def saved(sandbox: Sandbox) -> None:
    for words in ("create 64M --number 5", "cache create rd5 sdb --policy writeback"):
        assert sandbox("rapiddisk", *words.split(), "--yes").code == 0
    assert sandbox("rapiddisk", "dump", "--save").code == 0


def active(sandbox: Sandbox) -> list[str]:
    units = sandbox("rapiddisk", "boot", "status", "--json").json["item"]["units"]
    return [unit["unit"] for unit in units if unit["active"]]


def test_the_units_are_active_and_change_nothing(sandbox: Sandbox) -> None:
    saved(sandbox)
    before = sandbox("rapiddisk", "dump").out
    ran = sandbox("rapiddisk", "boot", "enable", "--now", "--json")
    assert (ran.code, ran.err) == (0, "[sandbox]\n")
    started = [row["target"] for row in ran.json["results"] if row["action"] == "start"]
    assert (started, active(sandbox)) == (UNITS, UNITS)
    assert sandbox("rapiddisk", "dump").out == before
    again = sandbox("rapiddisk", "boot", "enable", "--now", "--json")
    assert {row["changed"] for row in again.json["results"]} == {False}


def test_without_it_they_are_idle_and_named(sandbox: Sandbox) -> None:
    saved(sandbox)
    ran = sandbox("rapiddisk", "boot", "enable")
    assert (ran.code, active(sandbox)) == (0, [])
    assert "start them: rdctl -c sandbox rapiddisk boot enable --now" in ran.err


def test_a_dry_run_starts_nothing(sandbox: Sandbox) -> None:
    saved(sandbox)
    dry = sandbox("rapiddisk", "boot", "enable", "--now", "--dry-run", "--json").json
    assert [line for line in dry["plan"] if " start " in line] == [
        f"systemctl start {unit}" for unit in UNITS
    ]
    assert active(sandbox) == []


def test_the_stop_side_runs_at_the_next_reboot(sandbox: Sandbox) -> None:
    saved(sandbox)
    assert sandbox("rapiddisk", "boot", "enable", "--now").code == 0
    ran = sandbox("sandbox", "reboot", "--yes", "--json")
    acts = [(row["action"], row["target"]) for row in ran.json["results"]]
    assert acts == [
        *(("stop", unit) for unit in reversed(UNITS)),
        ("reboot", "sandbox"),
        *(("start", unit) for unit in UNITS),
    ]
    assert sandbox("rapiddisk", "diff", "--exit-code").code == 0


def test_contents_last_in_the_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    """Saved by the unit when the machine goes down, in a file of the machine, and loaded again."""
    image = "/var/lib/rdctl/rd0.img"
    state, before, after = tmp_path / "state.toml", tmp_path / "before", tmp_path / "after"
    text = sandbox("rapiddisk", "dump").out
    state.write_text(text.replace("[volumes.rd0]\n", f'[volumes.rd0]\nimage = "{image}"\n'))
    assert sandbox("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    assert sandbox("rapiddisk", "save", "rd0", str(before)).code == 0
    assert before.read_bytes().strip(b"\0")
    ran = sandbox("rapiddisk", "apply", str(state), "--save", "--yes")
    assert ran.code == 0, ran.err
    assert f'image = "{image}"' in sandbox("rapiddisk", "dump").out
    assert sandbox("rapiddisk", "boot", "enable", "--now").code == 0
    dry = sandbox("sandbox", "reboot", "--dry-run").out
    assert "rd0" not in dry
    for _ in range(2):
        ran = sandbox("sandbox", "reboot", "--yes")
        assert (ran.code, ran.err) == (0, "")
        assert sandbox("rapiddisk", "diff", "--exit-code").code == 0
    assert sandbox("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    assert sandbox("rapiddisk", "save", "rd0", str(after)).code == 0
    assert after.read_bytes() == before.read_bytes()
