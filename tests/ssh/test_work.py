"""The main job over the real ssh: volumes, caches, exports, state, history of another machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rdctl.sandbox import rapiddisk_app
from tests.fakes.kernel import FakeKernel
from tests.fakes.served import serving as served
from tests.ssh.conftest import Over
from tests.ssh.server import Server, naming

# --- one machine ------------------------------------------------------------------------------


def test_volumes(over: Over) -> None:
    assert over("rapiddisk", "create", "64M", "-o", "name").out == "rd1\n"
    listed = over("rapiddisk", "list", "--json")
    assert listed == over.there("rapiddisk", "list", "--json")
    assert [row["device"] for row in listed.json["items"]] == ["rd0", "rd1"]
    assert over("rapiddisk", "resize", "rd1", "128M").out == "resized rd1 (134217728 bytes)\n"
    used = over("rapiddisk", "remove", "rd0", "--yes")
    assert (used.code, used.out) == (4, "")
    # A command in a hint is for this machine.
    assert "rdctl -c node rapiddisk" in used.err
    assert over("rapiddisk", "remove", "-", "--yes", stdin=b"rd1\n").out == "removed rd1\n"
    assert over("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_it_asks_here_and_acts_there(over: Over) -> None:
    over("rapiddisk", "create", "64M")
    declined = over("rapiddisk", "remove", "rd1", tty=True, stdin=b"n\n")
    assert declined.code == 1
    assert declined.err.endswith("Aborted.\n")
    assert "rd1" in over.there("rapiddisk", "list", "-o", "name").out
    nobody = over("rapiddisk", "remove", "rd1")
    assert nobody.code == 2
    assert "rd1" in over.there("rapiddisk", "list", "-o", "name").out
    tried = over("rapiddisk", "remove", "rd1", "--dry-run", "--json")
    assert tried.json == over.there("rapiddisk", "remove", "rd1", "--dry-run", "--json").json
    assert over("rapiddisk", "remove", "rd1", tty=True, stdin=b"y\n").code == 0
    assert "rd1" not in over.there("rapiddisk", "list", "-o", "name").out


def test_caches_and_exports(over: Over) -> None:
    over("rapiddisk", "create", "64M")
    made = over("rapiddisk", "cache", "create", "rd1", "sdb", "--yes", "--json")
    assert made.code == 0, made.err
    assert over("rapiddisk", "cache", "list", "--json") == over.there(
        "rapiddisk", "cache", "list", "--json"
    )
    (cache,) = over("rapiddisk", "cache", "list", "-o", "name").out.split()
    assert over("rapiddisk", "cache", "remove", cache, "--yes").code == 0
    exported = over("rapiddisk", "nvmet", "export", "rd1", "--port", "1", "--any-host", "--yes")
    assert exported.code == 0, exported.err
    assert "rd1" in over("rapiddisk", "nvmet", "list").out
    assert over("rapiddisk", "nvmet", "unexport", "rd1", "--yes").code == 0


def test_state_and_history(over: Over, tmp_path: Path) -> None:
    dumped = over("rapiddisk", "dump")
    assert dumped == over.there("rapiddisk", "dump")
    assert over("rapiddisk", "create", "64M").code == 0
    assert over("rapiddisk", "undo", "--yes").code == 0
    assert over("rapiddisk", "dump") == dumped
    made = over.there("history", "--json").json["items"][0]
    assert "create" in made["command"]
    # Who it was, as that machine saw it.
    assert "127.0.0.1" in json.dumps(made)


# --- how one comes there ----------------------------------------------------------------------


def test_banners_are_skipped(over: Over, server: Server) -> None:
    noise = "echo Welcome; echo; seq 5000; echo unheard >&2"
    rdctl = " ".join(["env", *over.environ, "rdctl", "-c", "sandbox"])
    over.context("node", command=f"sh -c '{noise}; exec {rdctl} \"$@\"' sh")
    assert over("rapiddisk", "list", "--json") == over.there("rapiddisk", "list", "--json")


def test_sudo(over: Over, tmp_path: Path) -> None:
    """A command like sudo, which has another environment."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\nexec env -i PATH="$PATH" "$@"\n')
    sudo.chmod(0o755)
    command = " ".join([str(sudo), "-n", "env", *over.environ, "rdctl", "-c", "sandbox"])
    over.context("node", command=command)
    assert over("rapiddisk", "create", "64M").out == "created rd1 (67108864 bytes)\n"
    assert over("rapiddisk", "list", "--json") == over.there("rapiddisk", "list", "--json")


def test_a_path_in_the_home_directory(over: Over, server: Server) -> None:
    over.context("node", command="~/bin/rdctl -c sandbox")
    assert over("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_a_shared_connection(over: Over, shared: Server) -> None:
    before = shared.log.read_text().count("Accepted publickey")
    for _ in range(3):
        assert over("rapiddisk", "list", "-o", "name").out == "rd0\n"
    assert shared.log.read_text().count("Accepted publickey") == before + 1
    # That one is the user's, and stays.
    (master,) = naming(f"{shared.folder}/cm").values()
    assert "[mux]" in master


def test_a_jump_host(over: Over, server: Server) -> None:
    server.configure("Host far-1", f"  ProxyCommand {server.bin}/ssh -W %h:%p node")
    over.context("node", url="ssh://far-1")
    assert over("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_a_jump_host_that_is_down(over: Over, server: Server) -> None:
    server.configure("Host far-1", f"  ProxyCommand {server.bin}/ssh -W %h:%p -p 1 127.0.0.1")
    over.context("node", url="ssh://far-1")
    done = over("rapiddisk", "list")
    assert (done.code, done.out) == (6, "")
    assert "far-1: connect to host 127.0.0.1 port 1: Connection refused" in done.err


def test_a_key_that_runs_nothing_else(over: Over, server: Server) -> None:
    """As docs/ssh.md restricts one."""
    document = (Path(__file__).parents[2] / "docs" / "ssh.md").read_text()
    ((options, command),) = re.findall(r'^(restrict,command=)"(rdctl __agent)" ', document, re.M)
    command = command.replace("rdctl", "rdctl -c sandbox")
    key = (server.folder / "user.pub").read_text()
    (server.folder / "authorized_keys").write_text(f'{options}"{command}" {key}')
    over.context("node", command="touch /never")
    assert over("rapiddisk", "list", "-o", "name").out == "rd0\n"


# --- several machines -------------------------------------------------------------------------


def test_a_fleet_of_all_kinds(over: Over, kernel: FakeKernel, tmp_path: Path) -> None:
    """This machine, one with a daemon, two over SSH, one of which is down."""
    with served(rapiddisk_app(tmp_path / "served.db")) as (url,):
        over.rdctl("context", "set", "here", "rapiddisk=local")
        over.rdctl("context", "set", "served", f"rapiddisk={url}")
        over.context("down", url="ssh://127.0.0.1:1")
        fleet = ("-c", "here,served,node,down")
        listed = over(*fleet, "rapiddisk", "list", "--json")
        assert listed.code == 8
        assert {row["context"] for row in listed.json["items"]} >= {"served", "node"}
        (error,) = listed.json["errors"]
        assert (error["context"], error["code"]) == ("down", "unreachable")
        made = over("-c", "here,served,node", "rapiddisk", "create", "32M", "--yes", "--json")
        assert made.code == 0, made.err
        assert [one["context"] for one in made.json["results"]] == ["here", "served", "node"]


def test_a_fleet_asks_once(over: Over) -> None:
    far = ["env", *(f"{one}2" for one in over.environ), "rdctl", "-c", "sandbox"]
    over.context("other", command=" ".join(far))
    fleet = ("-c", "node,other")
    assert over(*fleet, "rapiddisk", "create", "64M", "--yes").code == 0
    declined = over(*fleet, "rapiddisk", "remove", "rd1", tty=True, stdin=b"n\n")
    assert declined.code == 1
    assert declined.err.count("[y/N]") == 1
    assert "node" in declined.err
    assert "other" in declined.err
    agreed = over(*fleet, "rapiddisk", "remove", "rd1", tty=True, stdin=b"y\n")
    assert agreed.code == 0, agreed.err
    assert agreed.err.count("[y/N]") == 1
    rows = over(*fleet, "rapiddisk", "list", "--json").json["items"]
    assert [(row["context"], row["device"]) for row in rows] == [("node", "rd0"), ("other", "rd0")]
