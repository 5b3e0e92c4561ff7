"""What ssh, the shell there and sudo refuse: in their own words, with a code and a command."""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.ssh.conftest import Over
from tests.ssh.server import Server, lasting, left_behind, serving

LIST = ("rapiddisk", "list")


def refused(done: Ran, code: int, *words: str) -> str:
    """The hint of an error with this exit code and these words in its message, on one line."""
    assert (done.code, done.out) == (code, ""), done.err
    error, _, hint = done.err.partition("\n")
    assert error.startswith("rdctl: error: ")
    for word in words:
        assert word in error
    assert hint.startswith("hint: ")
    assert "internal error" not in error
    return hint.removeprefix("hint: ").rstrip("\n")


# --- of ssh -----------------------------------------------------------------------------------


@pytest.mark.parametrize("checking", ["yes", "ask"])
def test_an_unknown_host_key(over: Over, server: Server, checking: str) -> None:
    server.known_hosts.write_text("")
    server.configure(f"StrictHostKeyChecking {checking}")
    hint = refused(over(*LIST), 6, "ssh://node: the host key is not known: ")
    assert hint == "Compare and accept its host key: ssh node true"
    # A key is never accepted on its own.
    assert server.known_hosts.read_text() == ""


def test_a_host_key_that_has_changed(over: Over, server: Server) -> None:
    server.key("other")
    kind, key, *_ = (server.folder / "other.pub").read_text().split()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
    hint = refused(
        over(*LIST), 6, "ssh://node: the host key has changed: ", "Host key verification failed."
    )
    assert "ssh-keygen -f" in hint
    assert f"[127.0.0.1]:{server.port}" in hint


def test_a_login_that_is_denied(over: Over, server: Server) -> None:
    server.key("stranger")
    server.admit("stranger")
    hint = refused(over(*LIST), 5, f"ssh://node: permission denied: {server.user}@127.0.0.1: ")
    assert hint == "Check that this works: ssh node true"
    url = f"ssh://{server.user}@127.0.0.1:{server.port}"
    hint = refused(over("--rapiddisk-url", url, *LIST), 5, f"{url}: permission denied: ")
    assert hint == f"Check that this works: ssh -p {server.port} {server.user}@127.0.0.1 true"


def test_no_server(over: Over) -> None:
    hint = refused(
        over("--rapiddisk-url", "ssh://127.0.0.1:1", *LIST),
        6,
        "no connection to ssh://127.0.0.1:1: connect to host 127.0.0.1 port 1: Connection refused",
    )
    assert hint == "Check that this works: ssh -p 1 127.0.0.1 true"


def test_no_such_host(over: Over) -> None:
    refused(
        over("--rapiddisk-url", "ssh://no-such-host.invalid", *LIST),
        6,
        "no connection to ssh://no-such-host.invalid: Could not resolve hostname",
    )


def test_a_fault_in_the_configuration_of_ssh(over: Over, server: Server) -> None:
    server.configure("Prot 2")
    refused(over(*LIST), 2, "ssh_config", "Bad configuration option: prot")


def test_no_ssh(over: Over, tmp_path: Path) -> None:
    hint = refused(over(*LIST, env={"PATH": str(tmp_path)}), 1, "ssh://node: ssh not found")
    assert hint == "Install it: sudo apt-get install openssh-client"


# --- of the machine there ---------------------------------------------------------------------


@pytest.mark.parametrize("command", ["nothing", "/no/such/rdctl", "env nothing"])
def test_rdctl_is_not_found_there(over: Over, command: str) -> None:
    over.context("node", command=command)
    hint = refused(over(*LIST), 6, "rdctl not found on ssh://node: ")
    assert "rdctl context set node remote_command=/" in hint


def test_rdctl_is_not_executable_there(over: Over, tmp_path: Path) -> None:
    (tmp_path / "rdctl").write_text("")
    over.context("node", command=str(tmp_path / "rdctl"))
    refused(over(*LIST), 5, "ssh://node: permission denied: ", "Permission denied")


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ("sudo: a password is required", 5, "permission denied: sudo: a password is required"),
        ("sudo: a terminal is required to read the password", 5, "permission denied: sudo: a term"),
        ("me is not in the sudoers file.", 5, "permission denied: me is not in the sudoers file."),
        ("sudo: rdctl: command not found", 6, "rdctl not found on ssh://node: sudo: rdctl"),
    ],
)
def test_sudo_refuses(over: Over, tmp_path: Path, says: str, code: int, words: str) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    sudo.chmod(0o755)
    over.context("node", command=f"{sudo} -n rdctl")
    hint = refused(over(*LIST), code, words)
    assert ("NOPASSWD" in hint) == ("password" in says)


def test_an_older_rdctl(over: Over, tmp_path: Path) -> None:
    old = tmp_path / "rdctl"
    old.write_text(
        '#!/bin/sh\necho \'rdctl: error: unknown command "__agent" for "rdctl"\' >&2\nexit 2\n'
    )
    old.chmod(0o755)
    over.context("node", command=str(old))
    hint = refused(over(*LIST), 11, "ssh://node: its rdctl does not support SSH")
    assert f"ssh node {old} --version" in hint


def test_a_login_without_a_shell(folder: Path, over: Over) -> None:
    with serving(folder, "ForceCommand echo This account is not available.; exit 1") as server:
        path = f"{server.bin}:{over.path}"
        refused(over(*LIST, env={"PATH": path}), 6, "This account is not available.", "exit code 1")
        assert left_behind(server) == {}


def test_another_program_that_writes_much(over: Over) -> None:
    over.context("node", command="sh -c 'yes welcome | head -c 100000; cat' ")
    refused(over(*LIST), 9, 'does not start rdctl: it writes "welcome"')


def test_a_machine_that_says_nothing(over: Over) -> None:
    over.context("node", command="sh -c 'exec cat >&2'")
    began = time.monotonic()
    hint = refused(over("--timeout", "3", *LIST), 7, "ssh://node did not answer within ", " s")
    assert re.match(r"Check that this works: ssh node sh -c .* --version", hint)
    # The shell there gets the words of the setting, after the shell here and ssh.
    there = " ".join(shlex.split(hint.partition(": ")[2])[2:])
    assert shlex.split(there) == ["sh", "-c", "exec cat >&2", "--version"]
    assert time.monotonic() - began < 60


def test_a_jump_host_that_says_nothing(over: Over, server: Server) -> None:
    """The command of the proxy ends as well, though it does not notice that ssh has ended."""
    over.context("node", url="ssh://far-1")
    # Of this process: others may run the same test at the same time.
    waiting = f"sleep 31415.{os.getpid()}"
    server.configure("Host far-1", f"  ProxyCommand {waiting}")
    done = over("--timeout", "2", *LIST)
    assert done.code in (6, 7)
    assert "ssh://far-1" in done.err
    assert lasting(waiting) == {}


# --- what is tried again ----------------------------------------------------------------------


def test_a_server_on_which_many_log_in(folder: Path, over: Over) -> None:
    """With MaxStartups, sshd turns away what comes while others log in."""
    with serving(folder, "MaxStartups 1") as server:
        names = [f"far-{number}" for number in range(3)]
        for name in names:
            over.context(name, url=f"ssh://{name}")
        done = over(
            *("-c", ",".join(names), "--parallel", "4", *LIST, "--json"),
            env={"PATH": f"{server.bin}:{over.path}"},
        )
        assert done.code == 0, done.err
        assert [row["context"] for row in done.json["items"]] == names
        assert "MaxStartups" in server.log.read_text()
        assert left_behind(server) == {}
