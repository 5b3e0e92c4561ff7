"""The API over SSH, with a stand-in for ssh that runs its command on this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from pathlib import Path

import pytest

import rdctl
from rdctl.output.rows import as_data
from rdctl.remote.wire import PROTOCOL
from tests.conftest import Program
from tests.remote.conftest import forking, nursery
from tests.remote.nursery import Nursery

__all__ = ["forking", "nursery"]  # fixtures; nothing may be left behind


@pytest.fixture
def far(home: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> rdctl.Site:
    """A site behind whose ssh is rdctl in the sandbox."""
    monkeypatch.setenv("PATH", nursery.path)
    command = shlex.join([sys.executable, "-m", "rdctl", "-c", "sandbox"])
    (home / "config.toml").write_text(
        f'[contexts.far]\nrapiddisk = "ssh://node7"\nremote_command = {json.dumps(command)}\n'
    )
    return rdctl.connect("far")


# Rows without an end, which are interrupted.
FLOOD = """#!/bin/sh
echo '{"kind":"hello","protocol":%d,"version":"%s"}'
read hello
read command
echo '{"kind":"result","type":"listing","vertical":0,"few":0,"also":[],"counted":[]}'
kill -INT $PPID
exec yes '{"kind":"rows","rows":[]}'
"""


def test_an_interrupted_listing_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(FLOOD % (PROTOCOL, rdctl.__version__))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=os.pathsep)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        rdctl.connect(rapiddisk="ssh://node7").rapiddisk.volumes.list()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_data_are_the_same_as_without_ssh(far: rdctl.Site, site: rdctl.Site) -> None:
    there, here = far.rapiddisk, site.rapiddisk
    here.volumes.create("64M")
    here.caches.create("rd1", "sdb")
    assert there.volumes.list() == here.volumes.list()
    assert there.volumes.show("rd0").users_seen == here.volumes.show("rd0").users_seen
    assert there.caches.list() == here.caches.list()
    assert there.ports.list() == here.ports.list()
    assert there.exports.list() == here.exports.list()
    assert there.exports.list()[0].ports[0].port == 1
    assert there.status() == here.status()
    assert there.resources() == here.resources()
    assert as_data(there.state.dump()) == as_data(here.state.dump())


def test_changes_and_consent(
    far: rdctl.Site,
    site: rdctl.Site,
    home: Path,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RDCTL_HISTORY", str(home / "own.ndjson"))
    volumes = far.rapiddisk.volumes
    made = volumes.create("64M")
    assert (made.target, made.changed, made.verified) == ("rd1", True, True)
    with pytest.raises(rdctl.ConsentError) as caught:
        volumes.remove("rd1")
    assert caught.value.losses == ("volume rd1 (64.0 MiB, empty) will be removed",)
    planned = volumes.remove("rd1", dry_run=True)
    assert (planned.dry_run, planned.losses, planned.would) == (
        True,
        caught.value.losses,
        ("remove rd1",),
    )
    with pytest.raises(rdctl.Error) as failed:
        volumes.lock("rd1", "rd9")
    assert (failed.value.code, failed.value.errors[0].code) == ("partial", "not-found")
    with pytest.raises(rdctl.ConflictError) as locked:
        volumes.remove("rd1", yes=True)
    assert locked.value.hint == "Unlock it first: rdctl -c far rapiddisk unlock rd1"
    volumes.unlock("rd1")
    assert volumes.remove("rd1", consent=lambda losses: losses == caught.value.losses).changed
    with pytest.raises(rdctl.NotFoundError) as missing:
        volumes.show("rd1")
    assert missing.value.hint == "Existing volumes: rd0."
    assert [volume.device for volume in site.rapiddisk.volumes.list()] == ["rd0"]
    here = program("history", "--json", env={"RDCTL_HISTORY": str(home / "own.ndjson")})
    argvs = [" ".join(item["argv"]) for item in here.json["items"]]
    assert argvs[0] == "python: rapiddisk create 64M"


def test_a_state_of_this_side(far: rdctl.Site, home: Path) -> None:
    state = far.rapiddisk.state
    before = state.dump()
    wanted = {**before.data, "volumes": {**before.data["volumes"], "rd5": {"size": "64MiB"}}}
    (difference,) = state.diff(wanted)
    assert (difference.kind, difference.name, difference.state) == ("volume", "rd5", "missing")
    assert state.apply(wanted).changed
    file = home / "state.toml"
    file.write_text(before.text)
    assert [(one.name, one.state) for one in state.diff(file)] == [("rd5", "extra")]


def test_a_machine_without_rdctl(home: Path, far: rdctl.Site) -> None:
    (home / "config.toml").write_text(
        '[contexts.far]\nrapiddisk = "ssh://node7"\nremote_command = "/nothing/rdctl"\n'
    )
    with pytest.raises(rdctl.Error) as caught:
        rdctl.connect("far").rapiddisk.volumes.list()
    assert (caught.value.code, caught.value.exit) == ("unavailable", 6)
