"""RapidDisk through the API, in the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rdctl
from rdctl.output.rows import as_data
from tests.conftest import Program

MIB = 1 << 20
HOST = "nqn.2014-08.org.nvmexpress:uuid:7a"
KEY = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"


def names(site: rdctl.Site) -> list[str]:
    return [volume.device for volume in site.rapiddisk.volumes.list()]


def test_volumes_are_created_changed_and_removed(site: rdctl.Site) -> None:
    volumes = site.rapiddisk.volumes
    made = volumes.create(64 * MIB, count=2)
    assert (made.targets, made.changed, made.verified) == (["rd1", "rd2"], True, True)
    assert [change.facts["size"] for change in made] == [64 * MIB] * 2
    assert volumes.create("64M", number=7).target == "rd7"
    again = volumes.create("64M", number=7)
    assert (again.changed, again.verified) == (False, True)
    assert volumes.resize("rd1", "+64M").changed
    assert volumes.show("rd1").size == 128 * MIB
    assert volumes.resize("rd1", 128 * MIB).changed is False
    volumes.lock("rd1", "rd2")
    assert [volume.locked for volume in volumes.list("rd1", "rd2")] == [True, True]
    volumes.unlock("rd1")
    (gone,) = volumes.remove("rd1", yes=True)
    assert (gone.action, gone.target, gone.changed, gone.verified) == ("remove", "rd1", True, True)
    assert (gone.facts["before"]["size"], gone.facts["after"]) == (128 * MIB, None)
    assert names(site) == ["rd0", "rd2", "rd7"]


def test_what_is_lost_needs_consent(site: rdctl.Site) -> None:
    site.rapiddisk.volumes.create("64M")
    with pytest.raises(rdctl.ConsentError) as caught:
        site.rapiddisk.volumes.remove("rd1")
    error = caught.value
    assert (error.code, error.exit) == ("consent-missing", 2)
    assert error.losses == ("volume rd1 (64.0 MiB, empty) will be removed",)
    asked: list[tuple[str, ...]] = []

    def ask(losses: Any, answer: bool) -> bool:
        asked.append(losses)
        return answer

    with pytest.raises(rdctl.ConsentError, match="declined") as caught:
        site.rapiddisk.volumes.remove("rd1", consent=lambda losses: ask(losses, False))
    assert (caught.value.code, caught.value.exit) == ("declined", 1)
    assert names(site) == ["rd0", "rd1"]
    site.rapiddisk.volumes.remove("rd1", consent=lambda losses: ask(losses, True))
    assert asked == [error.losses] * 2
    assert names(site) == ["rd0"]


def test_a_dry_run_changes_nothing(site: rdctl.Site, home: Path) -> None:
    site.rapiddisk.volumes.create("64M")
    planned = site.rapiddisk.volumes.remove("rd1", dry_run=True)
    assert (planned.dry_run, planned.changed, planned.verified) == (True, True, False)
    assert planned.losses == ("volume rd1 (64.0 MiB, empty) will be removed",)
    assert planned.would == ("remove rd1",)
    assert planned.plan
    quiet = rdctl.connect("sandbox", dry_run=True)
    quiet.rapiddisk.volumes.create("64M")
    assert names(site) == ["rd0", "rd1"]


def test_a_failure_among_several_names_the_others(site: rdctl.Site) -> None:
    site.rapiddisk.volumes.create("64M")
    with pytest.raises(rdctl.Error) as caught:
        site.rapiddisk.volumes.lock("rd9", "rd1")
    error = caught.value
    assert (error.code, error.exit) == ("partial", 8)
    assert [change.target for change in error.results] == ["rd1"]
    (failed,) = error.errors
    assert isinstance(failed, rdctl.NotFoundError)
    assert (failed.target, failed.code, failed.exit) == ("rd9", "not-found", 3)
    with pytest.raises(rdctl.NotFoundError) as caught:
        site.rapiddisk.volumes.lock("rd9")
    assert caught.value.hint == "Existing volumes: rd0, rd1."


def test_caches(site: rdctl.Site) -> None:
    site.rapiddisk.volumes.create("64M")
    made = site.rapiddisk.caches.create("rd1", "sdb", policy="write-around")
    assert made.target == "rc-wa_sdb"
    (cache,) = site.rapiddisk.caches.list()
    assert (cache.volume, cache.source, cache.policy) == ("rd1", "sdb", "write-around")
    assert site.rapiddisk.caches.show("rc-wa_sdb").kernel == cache.kernel
    (stats,) = site.rapiddisk.caches.stats("rc-wa_sdb")
    assert (stats["device"], stats["policy"], stats["errors"]) == (cache.device, cache.policy, None)
    assert isinstance(stats["reads"], int)
    with pytest.raises(rdctl.ConflictError, match="used by cache rc-wa_sdb") as caught:
        site.rapiddisk.volumes.remove("rd1", yes=True)
    assert caught.value.code == "in-use"
    site.rapiddisk.caches.remove("rc-wa_sdb", yes=True)
    assert site.rapiddisk.caches.list() == []


def test_ports_and_exports(site: rdctl.Site) -> None:
    rapiddisk = site.rapiddisk
    rapiddisk.volumes.create("64M")
    rapiddisk.ports.add(3, "tcp", address="127.0.0.1", service=4422)
    assert rapiddisk.ports.show(3).service == "4422"
    rapiddisk.exports.create("rd1", ports=[3], any_host=True, serial="lab-1")
    (export,) = rapiddisk.exports.show("rd1")
    assert (export.any_host, export.serial, export.ports[0].port) == (True, "lab-1", 3)
    assert len(rapiddisk.exports.list()) == 2
    rapiddisk.exports.remove("rd1", yes=True)
    rapiddisk.ports.remove(3, yes=True)
    assert [port.port for port in rapiddisk.ports.list()] == [1, 2]


def test_hosts_with_keys(site: rdctl.Site, home: Path) -> None:
    key = home / "host.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    site.rapiddisk.volumes.create("64M")
    site.rapiddisk.exports.create("rd1", ports=[1], hosts=[HOST], auth_key_file=str(key))
    (export,) = site.rapiddisk.exports.show("rd1")
    assert (export.hosts, export.authenticated) == ([HOST], True)
    assert KEY not in (home / "sandbox.db-history.ndjson").read_text()
    with pytest.raises(TypeError):
        site.rapiddisk.exports.create("rd0", ports=[1], hosts=[HOST], ctrl_key_file=str(key))


def test_the_state_of_a_machine(site: rdctl.Site, home: Path) -> None:
    state = site.rapiddisk.state
    before = state.dump()
    wanted = {**before.data, "volumes": {**before.data["volumes"], "rd5": {"size": "64MiB"}}}
    (difference,) = state.diff(wanted)
    assert (difference.kind, difference.name, difference.state) == ("volume", "rd5", "missing")
    assert state.apply(wanted, dry_run=True).changed
    assert state.apply(wanted).changed
    assert state.diff(wanted) == []
    assert state.apply(wanted).changed is False
    file = home / "state.toml"
    file.write_text(before.text)
    assert [one.name for one in state.diff(file)] == ["rd5"]
    state.apply(file, prune=True, yes=True)
    assert names(site) == ["rd0"]


def test_the_machine(site: rdctl.Site) -> None:
    assert site.rapiddisk.status().status == "OK"
    memory = site.rapiddisk.resources()
    assert memory.mem_total
    assert memory.disks


def test_an_undo(site: rdctl.Site) -> None:
    site.rapiddisk.volumes.create("64M")
    assert site.rapiddisk.undo(yes=True).changed
    assert names(site) == ["rd0"]


REFUSED: dict[str, Callable[[rdctl.Site], Any]] = {
    "a size that is no whole number of MiB": lambda site: site.rapiddisk.volumes.create(1000),
    "a size below the minimum": lambda site: site.rapiddisk.volumes.create("0"),
    "a growth as the size of a new volume": lambda site: site.rapiddisk.volumes.create("+64M"),
    "an unknown policy": lambda site: site.rapiddisk.caches.create("rd0", "sdb", policy="fast"),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_wrong_values_are_refused(site: rdctl.Site, act: Callable[[rdctl.Site], Any]) -> None:
    with pytest.raises(rdctl.Error) as caught:
        act(site)
    assert (caught.value.code, caught.value.exit) == ("usage", 2)


MISUSED: dict[str, Callable[[rdctl.Site], Any]] = {
    "hosts": lambda site: site.rapiddisk.exports.create("rd0", ports=[1]),
    "address": lambda site: site.rapiddisk.ports.add(3, "tcp"),
    "devices": lambda site: site.rapiddisk.exports.remove(),
    "count": lambda site: site.rapiddisk.volumes.create("64M", count=2, number=3),
}


@pytest.mark.parametrize("act", MISUSED.values(), ids=MISUSED)
def test_arguments_that_do_not_fit_are_type_errors(
    site: rdctl.Site, act: Callable[[rdctl.Site], Any]
) -> None:
    with pytest.raises(TypeError):
        act(site)


def test_the_data_are_those_of_the_command_line(site: rdctl.Site, program: Program) -> None:
    site.rapiddisk.volumes.create("64M")
    site.rapiddisk.caches.create("rd1", "sdb")
    calls: dict[tuple[str, ...], Callable[[], Any]] = {
        ("list",): site.rapiddisk.volumes.list,
        ("cache", "list"): site.rapiddisk.caches.list,
        ("nvmet", "list"): site.rapiddisk.exports.list,
        ("nvmet", "port", "list"): site.rapiddisk.ports.list,
    }
    for command, call in calls.items():
        shown = program("-c", "sandbox", "rapiddisk", *command, "--json").json["items"]
        assert as_data(call()) == shown, command
    counted = program("-c", "sandbox", "rapiddisk", "cache", "stats", "--json").json["items"]
    assert [list(stats) for stats in site.rapiddisk.caches.stats()] == [list(counted[0])]
    detail = program("-c", "sandbox", "rapiddisk", "show", "rd1", "--json").json["item"]
    assert as_data(site.rapiddisk.volumes.show("rd1")) == detail
